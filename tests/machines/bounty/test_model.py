"""Anything that may happen to a bounty, in any order: a wallet with a truth of its own, GitHub, people, a lane, death.

1. The bot never agrees to a second payment while its word on another one is still worth something.
2. A bounty is PAID, or REFUNDED, only where its wallet carried out that payment, and then it says which.
3. However the looks are cut short, each of the bot's calls is handed to the lane under one key, with one content.
4. When all is quiet, a payment that was carried out is known, and nothing else is called paid.
5. The bot agrees to no refund that a maintainer alone wants at an address of their choice.
"""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.acts import BountyActs
from machines.bounty.data import BountyData, BountyPolicy, BountyRecord, Hand, owner_of_repository
from machines.bounty.react import react
from machines.core.chain import Address, TxHash
from machines.core.clock import HOUR, Millis
from machines.core.errors import BadInput, Rejected, Retryable
from machines.core.facts import Fact, LostSight, Refused
from machines.core.forge import ForgeAccount, ForgeIssue, Place, PullRequest, PullState
from machines.core.ports import Evidence, Failed, Payment, Pending, Settled, Status, Unsent
from machines.core.record import Record
from machines.core.saved_address import SavedAddress
from machines.core.wallets import ETHER, ContractCall, Creation, Deposit, End, Holding, ProposalOutcome, WalletProposal
from tests.machines.bounty.scenes import ANNS, BOBS, ID, ISSUE, NOW, PLACE, REPOSITORY, WALLET, pull
from tests.machines.payout.world import Believing

T = TypeVar("T")

POLICY = BountyPolicy(sweep_ms=10**15)
HOSTILE = "0x4444444444444444444444444444444444444444"
BACK = "0x5555555555555555555555555555555555555555"
BOT = Address("0x6666666666666666666666666666666666666666")


class Died(Exception):
    """The worker was killed."""


def run(deed: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing."""
    try:
        deed.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waited for something")


@dataclass
class Entry:
    """One payment in the wallet's list."""

    proposal: WalletProposal
    alive: bool = True
    executed: str = ""


@dataclass
class Truth:
    """What is so, whatever anybody knows: a wallet, a lane, GitHub, and a knife."""

    money: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)
    deployed: bool = False
    orders: dict[str, str] = field(default_factory=dict)
    """What the lane was asked under each key."""
    done: dict[str, str] = field(default_factory=dict)
    """Keys that are carried out, with their transactions."""
    failing: set[str] = field(default_factory=set)
    receipts: dict[str, bool] = field(default_factory=dict)
    """Transactions of the maintainer: whether they paid."""
    address: str = ""
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    issue: ForgeIssue = field(
        default_factory=lambda: ForgeIssue(ISSUE, 7, "t", open=True, labelled=True, updated_at=NOW)
    )
    awaits: int = 0
    dies_at: int = 0

    def here(self) -> None:
        """Be an await, at which a worker may be killed."""
        self.awaits += 1
        if self.awaits == self.dies_at:
            raise Died

    # ── the lane ──

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> str | None:
        """Take a call."""
        self.here()
        content = repr(payment.to)
        assert self.orders.setdefault(payment.key, content) == content, f"{payment.key} asks for something else now"
        if "/approve/" in payment.key:
            number = int(payment.key.rpartition("/")[2])
            rivals = [one for one in self.entries.values() if one.alive and not one.executed]
            assert not [one for one in rivals if one.proposal.number != number], "two approvals are worth something"
        self.here()
        return None

    async def status(self, payment: Payment) -> Status:
        """Tell what became of a call."""
        self.here()
        if payment.key in self.done:
            tx = self.done[payment.key]
            return Failed("reverted", retryable=False) if payment.key in self.failing else Settled(Evidence("f", tx))
        return Pending("", Evidence("f", f"tx of {payment.key}")) if payment.key in self.orders else Unsent()

    def carry_out(self, key: str, *, fails: bool) -> None:
        """Mine one of the bot's calls."""
        self.done[key] = f"tx of {key}"
        number = int(key.rpartition("/")[2])
        if fails:
            self.failing.add(key)
        elif "/deploy/" in key:
            self.deployed = True
        elif "/withdraw/" in key and not self.entries[number].executed:
            self.entries[number].alive = False
        elif "/approve/" in key:
            self.entries[number] = Entry(self.proposals[number])

    # ── the wallet ──

    kind = "multisig"
    proposals: dict[int, WalletProposal] = field(default_factory=dict)

    async def creation(self, owners: Sequence[Address], threshold: int, salt: str) -> Creation:
        """Plan it."""
        self.here()
        return Creation("multisig", tuple(owners), threshold, ContractCall("", "0x60"))

    def is_approval(self, proposal: WalletProposal) -> bool:
        """Tell whether it is that."""
        return proposal.approval == ContractCall(proposal.wallet, f"0x{proposal.number:02x}")

    async def made(self, creation: Creation, tx: TxHash) -> Address | None:
        """Find it."""
        self.here()
        return Address(WALLET) if self.deployed else None

    async def existing(self, creation: Creation) -> Address | None:
        """Find it without a transaction: this kind cannot be."""
        return None

    async def holdings(self, wallet: Address) -> tuple[Holding, ...]:
        """Tell what it holds."""
        self.here()
        return (Holding(ETHER, "ETH", 18, str(self.money)),) if self.money else ()

    async def deposits(self, wallet: Address, made_by: TxHash) -> tuple[Deposit, ...] | None:
        """Tell nothing: who gets a refund is for two hands."""
        self.here()
        return None

    async def propose(self, wallet: Address, to: Address, holdings: Sequence[Holding], number: int) -> WalletProposal:
        """Fix a payment."""
        self.here()
        call = ContractCall(wallet, f"0x{number:02x}")
        units = holdings[0].units
        pays = ContractCall(to, "0x")
        return WalletProposal(
            "multisig", number, wallet, to, tuple(holdings), pays, units, delegate=False, nonce=-1, hash="",
            approval=call, since_block=1,
        )  # fmt: skip

    async def approved(self, proposal: WalletProposal, tx: TxHash) -> str:
        """Tell what must be confirmed."""
        self.here()
        return f"0x{proposal.number:064x}"

    async def confirmation(self, proposal: WalletProposal, confirm_hash: str, owner: Address) -> ContractCall:
        """Not asked here."""
        raise NotImplementedError

    async def outcome(self, proposal: WalletProposal, confirm_hash: str, named: Sequence[str]) -> ProposalOutcome:
        """Tell the truth."""
        self.here()
        entry = self.entries.get(proposal.number)
        if entry and entry.executed:
            return ProposalOutcome(End.PAID, entry.executed, 9)
        for tx in named:
            if tx in self.receipts:
                return ProposalOutcome(End.FAILED, tx, 9, "paid nothing")
        return ProposalOutcome(End.OPEN, known=not named)

    def withdrawal(self, proposal: WalletProposal, confirm_hash: str) -> ContractCall | None:
        """Say how the bot takes its word back."""
        return ContractCall(WALLET, f"0xaa{proposal.number:02x}") if confirm_hash else None

    async def withdrawn(self, proposal: WalletProposal, confirm_hash: str) -> bool:
        """Tell whether it did."""
        self.here()
        entry = self.entries.get(proposal.number)
        return entry is None or not entry.alive

    def confirm(self, number: int) -> str:
        """A maintainer confirms an entry; gives his transaction."""
        entry, tx = self.entries[number], f"maintainer's {len(self.receipts)}"
        units = int(entry.proposal.value_units)
        pays = entry.alive and not entry.executed and units <= self.money and entry.proposal.to != HOSTILE
        self.receipts[tx] = pays
        if pays:
            entry.executed, self.money = tx, self.money - units
        return tx

    # ── the others ──

    async def address_of(self) -> str:
        """Read the winner's address."""
        self.here()
        return self.address


@dataclass
class Outside:
    """GitHub, owners and contributors, as the machine's ports."""

    truth: Truth

    async def issue(self, place: Place) -> ForgeIssue | None:
        """Read the issue."""
        self.truth.here()
        return self.truth.issue

    async def pulls(self, place: Place) -> tuple[PullRequest, ...]:
        """List the pull requests."""
        return tuple(self.truth.pulls.values())

    async def comment(self, place: Place, known: int, marker: str, text: str) -> int:
        """Write nothing."""
        raise AssertionError("there is nothing to say")

    async def maintains(self, place: Place, person: int) -> ForgeAccount | None:
        """Mia does."""
        return ForgeAccount(person, "mia")

    async def proven(self, repository: int) -> tuple[Hand, ...]:
        """One owner."""
        return (Hand(1, "mia", BOBS),)

    async def address(self, person: int) -> SavedAddress:
        """The winner's address."""
        return SavedAddress(await self.truth.address_of())


class Silent:
    """Says nothing under the issue."""

    def comment(self, record: BountyRecord) -> str:
        """Write nothing."""
        return ""


@dataclass(frozen=True)
class MaySend:
    """A look that may always send."""

    now: Millis

    async def may_send(self, *scopes: str) -> None:
        """Allow it."""

    async def refuse_paused(self, *scopes: str) -> None:
        """Nothing is paused."""


class Bounties(RuleBasedStateMachine):
    """The steps."""

    @initialize()
    def label(self) -> None:
        """It begins with a label."""
        self.truth = Truth()
        self.now = int(NOW)
        outside = Outside(self.truth)
        self.acts = BountyActs(
            self.truth, "rail:bot", BOT, self.truth, outside, outside, outside, Silent(), POLICY, Believing()
        ).acts()  # fmt: skip
        data = BountyData(PLACE, ISSUE)
        self.record: BountyRecord = Record(
            ID, "bounty", s.OPENING, 1, owner_of_repository(REPOSITORY), None, data, NOW, NOW
        )

    def take(self, fact: Fact) -> None:
        """Let the record learn something, as the store would write it."""
        try:
            decision = react(POLICY, self.record, fact, Millis(self.now))
        except BadInput:
            return
        if not decision.recorded:
            return
        state = self.record.state
        if decision.trigger:
            state = s.LIFECYCLE.target(state, decision.trigger).name
        data = self.record.data if decision.data is None else decision.data
        self.record = replace(self.record, state=state, data=data, version=self.record.version + 1)
        for attempt in data.attempts:
            self.truth.proposals[attempt.proposal.number] = attempt.proposal

    def look(self, dies_at: int = 0) -> None:
        """One look, which may be cut short at any await."""
        self.truth.awaits, self.truth.dies_at = 0, dies_at
        try:
            fact = run(self.acts[self.record.state](self.record, MaySend(Millis(self.now))))
        except (Died, Retryable):
            return
        except Rejected as error:
            fact = Refused(str(error))
        finally:
            self.truth.dies_at = 0
        self.take(fact)

    # ── what happens ──

    @rule(dies_at=st.integers(0, 8), times=st.integers(1, 4))
    def looks(self, dies_at: int, times: int) -> None:
        """A worker looks."""
        for _ in range(times):
            self.look(dies_at)

    @rule(pick=st.integers(0, 9), fails=st.sampled_from([False, False, False, True]))
    def mine(self, pick: int, fails: bool) -> None:  # noqa: FBT001  (hypothesis draws it)
        """The lane gets one of its calls mined."""
        waiting = [key for key in self.truth.orders if key not in self.truth.done]
        if waiting:
            self.truth.carry_out(waiting[pick % len(waiting)], fails=fails)

    @rule()
    def go_on(self) -> None:
        """Nothing stands in the way for a while: otherwise few examples would come far."""
        for _ in range(4):
            self.look()
            for key in [one for one in self.truth.orders if one not in self.truth.done]:
                self.truth.carry_out(key, fails=False)
            self.look()

    @rule(units=st.integers(1, 5))
    def fund(self, units: int) -> None:
        """Somebody puts money in, as soon as there is a wallet."""
        if self.truth.deployed:
            self.truth.money += units

    @rule(number=st.integers(8, 9), state=st.sampled_from(PullState), told=st.booleans())
    def claim(self, number: int, state: PullState, told: bool) -> None:  # noqa: FBT001  (as above)
        """A pull request is opened, closed or merged; GitHub tells, or not."""
        known = self.truth.pulls.get(number)
        if known and known.state == PullState.MERGED:
            return
        self.now += 1000
        self.truth.pulls[number] = pull(number, state, author=f"p{number}", updated_at=self.now, merged_at=self.now)
        if told:
            self.take(f.PullChanged(self.truth.pulls[number]))

    @rule(opened=st.booleans(), labelled=st.booleans())
    def change(self, opened: bool, labelled: bool) -> None:  # noqa: FBT001  (as above)
        """The issue is closed, opened, labelled, unlabelled."""
        self.now += 1000
        self.truth.issue = replace(self.truth.issue, open=opened, labelled=labelled, updated_at=self.now)
        self.take(f.IssueChanged(self.truth.issue))

    @rule(address=st.sampled_from(["", ANNS, BOBS, HOSTILE]))
    def save(self, address: str) -> None:
        """The winner saves an address."""
        self.truth.address = address

    @rule(told=st.booleans(), pick=st.integers(0, 9))
    def confirm(self, told: bool, pick: int) -> None:  # noqa: FBT001  (as above)
        """A maintainer confirms any entry of the wallet, be it an old one; his browser tells, or not."""
        if self.truth.entries:
            number = sorted(self.truth.entries)[pick % len(self.truth.entries)]
            tx = self.truth.confirm(number)
            if told:
                self.take(f.Confirmed("mia", number, tx))

    @rule()
    def lie(self) -> None:
        """Somebody names a transaction that does not exist."""
        current = self.record.data.current
        if current:
            self.take(f.Confirmed("mia", current.proposal.number, "0xno"))

    @rule(what=st.sampled_from(["retract", "decide", "resume", "revoke", "reassign", "repeat", "agree"]))
    def people(self, what: str) -> None:
        """People decide."""
        if what == "revoke":  # what the desk does before
            self.take(f.Swept(self.truth.issue, tuple(self.truth.pulls.values())))
        merged = self.record.data.merged
        first = merged[-1].id if merged else 0
        facts: dict[str, Fact] = {
            "retract": f.Retracted("mia", "no"),
            "decide": f.Decided("olu", first),
            "resume": f.Decided("olu", 0),
            "revoke": f.Revoked("mia", BACK, 1),
            "reassign": f.Reassigned("mia", first),
            "repeat": LostSight("?"),
            "agree": f.AgreementGiven("olu", 0, self.record.data.question),
        }
        self.take(facts[what])

    @rule(hours=st.sampled_from([1, 80, 1000]))
    def wait(self, hours: int) -> None:
        """Time passes."""
        self.now += hours * HOUR

    # ── what must hold ──

    @invariant()
    def paid_is_what_the_wallet_paid(self) -> None:
        """2."""
        if not hasattr(self, "record") or self.record.state not in (s.PAID, s.REFUNDED):
            return
        data = self.record.data
        (entry,) = [one for one in self.truth.entries.values() if one.executed == data.payout_hash]
        attempt = next(one for one in data.attempts if one.proposal.number == entry.proposal.number)
        assert attempt.refund == (self.record.state == s.REFUNDED)
        assert data.payout_address == entry.proposal.to
        assert int(entry.proposal.value_units) > 0

    @invariant()
    def nothing_goes_back_by_one_word(self) -> None:
        """5."""
        back = (
            [one for one in self.truth.entries.values() if one.proposal.to == BACK] if hasattr(self, "record") else []
        )
        asked = {one.about for one in self.record.data.agreements} if back else set()
        assert not back or f"refund to {BACK}" in asked

    @precondition(lambda self: hasattr(self, "record") and any(one.executed for one in self.truth.entries.values()))
    @rule()
    def quiet(self) -> None:
        """4. All that waits is mined, and workers look undisturbed: what was carried out is known."""
        for _ in range(6):
            for key in [one for one in self.truth.orders if one not in self.truth.done]:
                self.truth.carry_out(key, fails=False)
            self.look()
        assert self.record.state in (s.PAID, s.REFUNDED), self.record.state


TestModel = Bounties.TestCase
TestModel.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)
