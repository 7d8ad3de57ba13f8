"""What people and GitHub may do with bounties: one function each, for API, page and command line alike."""

import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.acts import maintaining, read_anew
from machines.bounty.claims import DOUBTS
from machines.bounty.comment import day_of
from machines.bounty.data import (
    MACHINE,
    REPOSITORY_MACHINE,
    BountyRecord,
    Hand,
    RepositoryRecord,
    owner_of_repository,
    repository_id,
)
from machines.bounty.hands import may_confirm
from machines.bounty.policy import BountyPolicy
from machines.core.chain import Address, TxHash, tx_hash
from machines.core.clock import MINUTE, SECOND, Millis
from machines.core.decision import Message
from machines.core.errors import (
    BadInput,
    ForgeUnavailable,
    NotAllowed,
    NotFound,
    NotPossible,
    Rejected,
    StepError,
    TooLong,
    TooSoon,
)
from machines.core.facts import Fact
from machines.core.forge import Forge, ForgeAccount, ForgeIssue, News, Place, PullRequest, RepositoryNews
from machines.core.ids import Owner, RecordId
from machines.core.saved_address import CoolOff, SavedAddress
from machines.core.sign_in import SignInMessage
from machines.core.wallets import ContractCall, Wallets
from payflow.desk import records
from payflow.desk.forge_news import ISSUES, SHOWN, NewsDesk
from payflow.desk.forge_news import WHO as FORGE
from payflow.desk.person import STAFF, Caller
from payflow.store import keys
from payflow.store.registers.contributors import ContributorAddress
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

RECENT_S = 60.0
NAMING_S = 10.0
MOST_RECENT = 10_000
NOBODY = "0x" + "00" * 20
SIGN_WITHIN_MS = 15 * MINUTE
"""How long somebody may take to sign what they were asked to sign."""
MOST_DIGITS = 19
"""Of a number of 64 bits."""

WON = (s.MERGED, s.AWAITING_ADDRESS, s.CONTESTED, s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING, s.PAID)

_PERSON = re.compile(r"github:([1-9][0-9]{0,18})")


class Reader(Forge, Protocol):
    """The forge, and what a sweep over all of it needs."""

    async def person(self, installation: int, person: int) -> ForgeAccount:
        """Read an account."""

    def repositories(self) -> AsyncIterator[RepositoryNews]:
        """List every repository that the app is installed in."""

    def labelled(self, place: Place) -> AsyncIterator[ForgeIssue]:
        """List the open issues of a repository that carry the label."""

    async def all_pulls(self, place: Place) -> tuple[PullRequest, ...]:
        """List pull requests of a repository."""


@dataclass(frozen=True, slots=True)
class World:
    """What the desk asks of the world outside."""

    forge: Reader
    wallets: Wallets
    checksummed: Callable[[str], Address]
    """Reads an address; `ValueError` or `BadInput` for one that is none or is mistyped."""
    signer_of: Callable[[str, str], Address]
    """Tells who signed a message; `BadInput` for a signature that is none."""
    server: str
    chain_id: int
    explorer: str
    most_open: int
    policy: BountyPolicy
    cool_off: CoolOff
    """How long an address of a contributor's waits before it counts."""
    recovery: str = ""
    """Address of one more owner of every wallet; empty for none."""


class BountyDesk:
    """Does what is asked, as far as the asker may."""

    def __init__(self, store: Store, metrics: Metrics, world: World) -> None:
        self.store = store
        self.metrics = metrics
        self.world = world
        self._recent: dict[tuple[int, str], tuple[float, bool]] = {}

    # ── what the forge tells ─────────────────────────────────────────────────────────────────────────────────────────

    async def take(self, news: News) -> str:
        """Take in a piece of news, and say what became of it. Twice, late or out of order it changes nothing."""
        return await NewsDesk(self.store, self.tell, self.world.most_open).take(news)

    async def tell(self, record_id: RecordId, fact: Fact, who: str) -> None:
        """Let a record learn something."""
        await records.tell(self.store, self.metrics, record_id, fact, who)

    # ── finding ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def find(self, name: str) -> BountyRecord:
        """Find a bounty by its id, or by the number that the forge gave its issue."""
        if name.isascii() and name.isdecimal() and len(name) <= MOST_DIGITS:
            shards = range(self.store.records.shards)
            asked = [("HGET", keys.unique(shard, ISSUES), str(int(name))) for shard in shards]
            found = [one.decode() for one in await self.store.link.pipeline(asked) if one]
            name = found[0] if found else ""
        try:
            record: BountyRecord = (await self.store.records.read(RecordId(name))).record
        except (BadInput, NotFound):
            raise NotFound("There is no such bounty.") from None
        if record.machine != MACHINE:
            raise NotFound("There is no such bounty.")
        return record

    async def repositories(self) -> list[RepositoryRecord]:
        """List the repositories that are enabled."""
        return [one.record for one in await self.store.listing.in_state(REPOSITORY_MACHINE, s.ENABLED, SHOWN)]

    async def disabled(self) -> set[int]:
        """Name the repositories from which the app was taken away: nobody there can be told from a stranger."""
        return {one.data.number for one in await self._gone()}

    async def _gone(self) -> list[RepositoryRecord]:
        return [one.record for one in await self.store.listing.in_state(REPOSITORY_MACHINE, s.DISABLED, SHOWN)]

    async def public(self, states: Iterable[str] | None = None) -> list[BountyRecord]:
        """List bounties that anybody may see: those of private repositories are nobody's business."""
        homes = [*await self.repositories(), *await self._gone()]
        hidden = {one.data.number for one in homes if one.data.private}
        return [one for one in await self.bounties(states) if one.data.place.repository not in hidden]

    async def bounties(self, states: Iterable[str] | None = None, limit: int = SHOWN) -> list[BountyRecord]:
        """List bounties in these states, the oldest of each first."""
        found: dict[RecordId, BountyRecord] = {}
        for state in states or s.LIFECYCLE.states:
            # Read one after the other, a bounty may move on in between and be listed twice.
            found |= {one.id: one for one in await self._in_state(state, limit)}
        return list(found.values())

    async def _in_state(self, state: str, limit: int) -> list[BountyRecord]:
        """List bounties in a state: of those that are over the newest, of the others those that wait longest."""
        if not s.LIFECYCLE.state(state).final:
            return [one.record for one in await self.store.listing.in_state(MACHINE, state, limit)]
        asked = [
            ("ZREVRANGE", keys.members(shard, MACHINE, state), 0, limit - 1)
            for shard in range(self.store.records.shards)
        ]
        ids = [RecordId(one.decode()) for part in await self.store.link.pipeline(asked) for one in part]
        records = [(await self.store.records.read(one)).record for one in ids[:limit]]
        return sorted(records, key=lambda one: one.since, reverse=True)

    async def of_repository(self, repository: int) -> list[BountyRecord]:
        """List a repository's bounties, the newest first."""
        found = await self.store.listing.owned_by(owner_of_repository(repository), SHOWN)
        return [one.record for one in found if one.record.machine == MACHINE]

    async def solvable(self) -> list[BountyRecord]:
        """List the bounties that anybody may solve."""
        return await self.public((s.OPEN,))

    async def paid_out(self) -> list[BountyRecord]:
        """List what was paid, as far as anybody may see it."""
        return await self.public((s.PAID,))

    async def concerning(self, caller: Caller) -> list[BountyRecord]:
        """List the bounties that a caller may see: all for staff, else of repositories they maintain or won by them."""
        if caller.role in STAFF:
            return await self.bounties()
        person = person_of(caller)
        if person is None:
            return []
        places = await self.maintained(caller)
        found = {one.id: one for place in places for one in await self.of_repository(place.repository)}
        found |= {one.id: one for one in await self.bounties(WON) if one.data.winner_id == person}
        return list(found.values())

    async def seen_by(self, name: str, caller: Caller) -> BountyRecord:
        """Find a bounty for somebody whom it concerns."""
        record = await self.find(name)
        won = record.data.winner_id and record.data.winner_id == person_of(caller)
        if not (caller.role in STAFF or won):
            await self.maintainer(record.data.place, caller)
        return record

    # ── who may ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def maintains(self, place: Place, caller: Caller) -> ForgeAccount | None:
        """Say as whom a caller maintains a repository; the forge decides, each time."""
        person = person_of(caller)
        return None if person is None else await self.world.forge.maintains(place, person)

    async def maintained(self, caller: Caller) -> list[Place]:
        """List the repositories that a caller maintains."""
        if person_of(caller) is None:
            return []
        homes = [Place(one.data.installation, one.data.number, one.data.name, 0) for one in await self.repositories()]
        return [place for place in homes if await self._seen_to_maintain(place, caller)]

    async def _seen_to_maintain(self, place: Place, caller: Caller) -> bool:
        """Say so from a recent answer, for lists alone: whoever does something is asked about anew."""
        key = (place.repository, caller.of)
        known = self._recent.get(key)
        if known is None or known[0] < monotonic():
            try:
                found = await self.maintains(place, caller)
            except Rejected:  # the app was taken away there, which must not hide all the other repositories
                found = None
            known = (monotonic() + RECENT_S, found is not None)
            if len(self._recent) >= MOST_RECENT:
                self._recent.clear()
            self._recent[key] = known
        return known[1]

    async def maintainer(self, place: Place, caller: Caller) -> ForgeAccount:
        """Let only those go on who maintain the repository."""
        found = await self.maintains(place, caller)
        if found is None:
            raise NotAllowed(f"Only who maintains {place.name} may do this.")
        return found

    # ── a maintainer's hand ──────────────────────────────────────────────────────────────────────────────────────────

    async def confirmation(self, name: str, caller: Caller, owner: str) -> tuple[int, ContractCall]:
        """Give what a maintainer's wallet must send to confirm a payment, and the payment's number."""
        record = await self.find(name)
        person = await self.maintainer(record.data.place, caller)
        record = await self._read_since_approval(record)
        data, current = record.data, record.data.current
        if current is None or not data.confirm_hash:
            raise NotPossible("The bot has not approved a payment: there is nothing to confirm yet.")
        if record.state not in (s.CONFIRMABLE, s.CONFIRMING, s.REVOKING):
            raise NotPossible(f"This bounty is {record.state}: there is nothing to confirm.")
        await self._must_be_theirs_to_confirm(record, person)
        address = self.address(owner)
        owners = data.creation.owners if data.creation else ()
        if owners and address not in owners:
            raise NotPossible(f"{address} does not own this wallet; these do: {', '.join(owners)}.")
        try:
            call = await self.world.wallets.confirmation(current.proposal, data.confirm_hash, address)
        except Rejected as error:
            hint = "Where the winner's address takes no money, take the payment back."
            raise NotPossible(f"It would fail now, so nothing is sent: {error} {hint}") from error
        return current.proposal.number, call

    async def confirmed(self, name: str, caller: Caller, payout_hash: str, number: int | None = None) -> BountyRecord:
        """Take the hash of the transaction with which a maintainer confirms."""
        record = await self.find(name)
        person = await self.maintainer(record.data.place, caller)
        record = await self._read_since_approval(record)
        await self._must_be_theirs_to_confirm(record, person)
        hashed = tx_hash(payout_hash)
        current = record.data.current
        known = current.proposal.number if current else 0
        fact = f.Confirmed(person.login, number or known, hashed)
        await self.tell(record.id, fact, caller.who)
        return await self.find(record.id)

    async def _must_be_theirs_to_confirm(self, record: BountyRecord, person: ForgeAccount) -> None:
        """Refuse the winner where another owner can confirm, and everybody while the work may be undone."""
        data, refund = record.data, bool(record.data.current and record.data.current.refund)
        others = [hand for hand in data.hands if hand.person != person.id]
        if person.id == data.winner_id and not refund and others:
            raise NotAllowed(f"You are the winner: {others[0].login}, or another owner, must confirm it.")
        now = await self.store.records.now()
        if may_confirm(self.world.policy, data, person.id, now):
            return
        there = await maintaining(self.world.forge, data)
        if not may_confirm(self.world.policy, data, person.id, now, there):
            why = " ".join(DOUBTS[doubt] for doubt in data.doubts)
            raise NotAllowed(f"{why} That is not whoever confirms: somebody else says so on /bounties first.")

    async def _read_since_approval(self, record: BountyRecord) -> BountyRecord:
        """Read it anew, but not twice a minute: a page asks as often as somebody clicks."""
        swept_at = record.data.swept_at
        known = swept_at >= record.since and await self.store.records.now() - swept_at < RECENT_S * SECOND
        return record if known else await self.read_anew(record)

    async def read_anew(self, record: BountyRecord) -> BountyRecord:
        """Read an issue at the forge before something is done that what we missed would forbid."""
        data = record.data
        if data.sweep_of:
            return record
        try:
            swept = await read_anew(self.world.forge, data.place)
        except TooLong as error:
            raise NotPossible(str(error)) from error
        except StepError as error:
            said = f"GitHub cannot be asked now what became of {data.place.path}, so nothing was done: ask again later."
            raise ForgeUnavailable(said) from error
        await self.tell(record.id, swept, FORGE)
        return await self.find(record.id)

    async def act(
        self, name: str, caller: Caller, fact: Callable[[ForgeAccount], Fact], *, anew: bool = False
    ) -> BountyRecord:
        """Let a maintainer decide something; `anew` where it must not be decided on old news."""
        record = await self.find(name)
        person = await self.maintainer(record.data.place, caller)
        if anew:
            await self.read_anew(record)
        await self.tell(record.id, fact(person), caller.who)
        return await self.find(record.id)

    async def revoke(self, name: str, caller: Caller, text: str) -> BountyRecord:
        """Let a maintainer give the money back."""
        to = self.address(text)
        return await self.act(name, caller, lambda by: f.Revoked(by.login, to, by.id), anew=True)

    async def agree(self, name: str, caller: Caller, about: str) -> BountyRecord:
        """Take the word of another owner, or of an operator, about what they were shown."""
        record = await self.find(name)
        if caller.role is Role.OPERATOR:
            async with self.store.audit.doing(caller.who, "agree to a bounty's payment", record.id, about):
                await self.tell(record.id, f.AgreementGiven(caller.who, 0, about), caller.who)
            return await self.find(record.id)
        return await self.act(record.id, caller, lambda by: f.AgreementGiven(by.login, by.id, about))

    async def retract(self, name: str, caller: Caller, reason: str) -> BountyRecord:
        """Let a maintainer take back a payment that nobody has confirmed yet; a person then decides anew."""
        why = reason.strip()[:200] or "no reason given"
        return await self.act(name, caller, lambda by: f.Retracted(by.login, why))

    async def reassign(self, name: str, caller: Caller, pull: int) -> BountyRecord:
        """Let a maintainer name another merged claim."""
        return await self.act(name, caller, lambda by: f.Reassigned(by.login, pull))

    async def refund_message(self, name: str, funder: str, to: str) -> str:
        """Give the words that whoever funded a bounty signs with that address, to name where it goes back to."""
        record = await self.find(name)
        return await self._asked(self.address(funder), _to_get_back(record, self.address(to)))

    async def name_refund(
        self, name: str, caller: Caller, funder_text: str, to_text: str, proof: tuple[str, str]
    ) -> BountyRecord:
        """Take the word of an address that funded a bounty: where its money goes when it is given back."""
        record, now = await self.find(name), await self.store.records.now()
        funder, to, data = self.address(funder_text), self.address(to_text), record.data
        await self._proven(proof, funder, _to_get_back(record, to), now)
        # Any account may ask, and what came in is looked for in many blocks.
        granted, wait_ms = await self.store.records.rate_tokens(f"refund-named:{caller.of}", 1 / NAMING_S, 1)
        if not granted:
            raise TooSoon(f"Ask once in {NAMING_S:g} seconds.", after_s=-(-wait_ms // SECOND))
        since = data.deposits_since or data.transaction_hash
        deposits = await self.world.wallets.deposits(Address(data.contract_address), TxHash(since)) if since else ()
        if funder not in {one.sender for one in deposits or ()}:
            raise NotPossible(f"{funder} put nothing into the wallet of {data.place.path}.")
        await self.tell(record.id, f.RefundNamed(funder, to, *proof), caller.who)
        return await self.find(record.id)

    async def sweep(self, name: str, caller: Caller, text: str = "") -> BountyRecord:
        """Let a maintainer have paid out, or given back, what came in later: one such payment after the other."""
        to = self.address(text) if text else ""
        record = await self.find(name)
        if first_of(record) in sweeping(await self.of_repository(record.data.place.repository)):
            raise NotPossible("What came in later is being paid out already: finish that one first.")
        return await self.act(name, caller, lambda by: f.SweepWanted(by.login, to, by.id), anew=True)

    async def decide(self, name: str, who: str, pull: int) -> BountyRecord:
        """Let an operator decide who gets a contested bounty."""
        record = await self.find(name)
        number = next((claim.number for claim in record.data.claims if claim.id == pull), 0)
        async with self.store.audit.doing(who, "decide bounty", record.id, f"pull request {number}"):
            await self.tell(record.id, f.Decided(who, pull), who)
        return await self.find(record.id)

    # ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────

    def address(self, text: str) -> Address:
        """Read an address that money can go to."""
        try:
            found = self.world.checksummed(text.strip())
        except ValueError as error:
            raise BadInput("An address is 0x and 40 hexadecimal digits.") from error
        if text.strip()[2:] not in (found[2:], found[2:].lower(), found[2:].upper()):
            raise BadInput("The address is mistyped: its capital letters do not fit.")
        if found == NOBODY:
            raise BadInput("Nobody owns that address.")
        return found

    async def address_of(self, person: int) -> SavedAddress:
        """Give what somebody saved."""
        saved = (await self.store.contributors.read(account_of(person))).saved
        return saved.at(await self.store.records.now())

    async def save_address(self, caller: Caller, text: str, proof: tuple[str, str] | None) -> SavedAddress:
        """Save where a contributor wants their money: a first one that signed counts at once, else after a cool-off."""
        person = _contributor(caller)
        address, now = self.address(text), await self.store.records.now()
        if proof is not None:
            await self._proven(proof, address, _to_be_paid(person), now)
        before = await self.store.contributors.read(account_of(person))
        saved = before.saved.saving(address, now, self.world.cool_off, proven=proof is not None)
        return await self._keep(caller, before, saved, now, proof)

    async def release_address(self, caller: Caller, text: str, proof: tuple[str, str]) -> SavedAddress:
        """Let the address that is to come count at once: the one that counts signed that it gives way to it."""
        person = _contributor(caller)
        address, now = self.address(text), await self.store.records.now()
        before = await self.store.contributors.read(account_of(person))
        saved = before.saved.released(address, now)
        await self._proven(proof, Address(before.saved.at(now).address), _to_give_way(person, address), now)
        return await self._keep(caller, before, saved, now, proof)

    async def withdraw_address(self, caller: Caller) -> SavedAddress:
        """Take back the address that is to come."""
        person, now = _contributor(caller), await self.store.records.now()
        before = await self.store.contributors.read(account_of(person))
        return await self._keep(caller, before, before.saved.withdrawn(now), now, None)

    async def _keep(
        self,
        caller: Caller,
        before: ContributorAddress,
        saved: SavedAddress,
        now: Millis,
        proof: tuple[str, str] | None,
    ) -> SavedAddress:
        """Write it, and say so.

        Their contacts are told of every change, and so is everybody who reads the issues that they claim: somebody
        must hear of it who is not the one with the session.
        """
        if saved != before.saved:
            contacts = (await self.store.profiles.read(before.owner)).notify
            warning = self._warning(before.owner, saved, contacts) if before.saved != SavedAddress() else ()
            await self.store.contributors.write(before, saved, proof or ("", ""), now, warning)
        person = _contributor(caller)
        counts_from = saved.next_from if saved.address and now < saved.next_from else 0
        for one in await self.bounties(s.UNFIXED):
            if person in one.data.claimants:
                await self.tell(one.id, f.AddressChanging(person, counts_from), caller.who)
            if one.state == s.AWAITING_ADDRESS and one.data.winner_id == person:
                await self.store.records.poke(one.id)
        return saved

    def _warning(self, owner: Owner, saved: SavedAddress, contacts: Sequence[str]) -> tuple[Message, ...]:
        if not contacts:
            return ()
        body = {"event": "bounty_address_changed", "owner": owner, "address": saved.address, "to": "\n".join(contacts)}
        if saved.next_address:
            body |= {"coming": saved.next_address, "day": day_of(saved.next_from)}
        return (Message("notify", {**body, "page": f"{self.world.server}/bounties"}),)

    async def prove_owner(self, caller: Caller, repository: int, text: str, proof: tuple[str, str]) -> Hand:
        """Take a maintainer on as an owner of the wallets that are made from now on; their address must be proven."""
        place = await self.place_of(repository)
        person = await self.maintainer(place, caller)
        address = self.address(text)
        await self._proven(proof, address, _to_own(person.id, place), await self.store.records.now())
        hand = Hand(person.id, person.login, address)
        record_id = repository_id(repository, self.store.records.shards)
        await self.tell(record_id, f.HandProven(hand, *proof), caller.who)
        for one in await self.of_repository(repository):
            if one.state == s.OPENING:
                await self.store.records.poke(one.id)
        return hand

    async def remove_owner(self, caller: Caller, repository: int, person: int) -> None:
        """Take somebody off the owners of the wallets to come; those that are made keep theirs."""
        by = await self.maintainer(await self.place_of(repository), caller)
        record_id = repository_id(repository, self.store.records.shards)
        await self.tell(record_id, f.HandRemoved(person, by.login), caller.who)

    async def place_of(self, repository: int) -> Place:
        """Say where a repository is."""
        try:
            record = (await self.store.records.read(repository_id(repository, self.store.records.shards))).record
        except NotFound:
            raise NotFound("There is no such repository here.") from None
        return Place(record.data.installation, record.data.number, record.data.name, 0)

    async def message(self, caller: Caller, text: str, repository: int | None, gives_way_to: str) -> str:
        """Give the words that an address signs: once, within minutes, for this alone."""
        person = _contributor(caller)
        place = None if repository is None else await self.place_of(repository)
        statement = _to_own(person, place) if place else _to_be_paid(person)
        if gives_way_to:
            statement = _to_give_way(person, self.address(gives_way_to))
        return await self._asked(self.address(text), statement)

    async def _asked(self, address: Address, statement: str) -> str:
        now = await self.store.records.now()
        message = SignInMessage(
            uri=f"{self.world.server}/bounties",
            chain_id=self.world.chain_id,
            address=address,
            statement=statement,
            nonce=secrets.token_hex(16),
            issued_at=now,
            expires_at=Millis(now + SIGN_WITHIN_MS),
        )
        await self.store.challenges.keep(message)
        return message.text

    async def _proven(self, proof: tuple[str, str], address: Address, statement: str, now: Millis) -> None:
        """See that an account signed what we asked it to sign, for this purpose; the words are used up by it."""
        message = await self.store.challenges.take(proof[0], now)
        if message is None or (message.address, message.statement) != (address, statement):
            raise BadInput(
                "Those words were not asked for, are used up, or are too old: ask for new ones, and sign them."
            )
        if self.world.signer_of(*proof) != address:
            raise BadInput("The signature is not that address's: sign with the account that you name.")


def _to_be_paid(person: int) -> str:
    return f"GitHub account {person} wants to be paid bounties at this address."


def _to_give_way(person: int, to: Address) -> str:
    return f"GitHub account {person} wants to be paid bounties at {to} from now on, and no longer at this address."


def _to_own(person: int, place: Place) -> str:
    return (
        f"GitHub account {person} wants to own the bounty wallets of repository {place.repository} with this address."
    )


def _to_get_back(record: BountyRecord, to: Address) -> str:
    return f"What this address put into the wallet of bounty {record.id} is given back, if it is given back, to {to}."


def person_of(caller: Caller) -> int | None:
    """Tell which account of the forge a caller is; None for people who work here."""
    match = _PERSON.fullmatch(caller.of) if caller.role is Role.PROVIDER else None
    return int(match[1]) if match else None


def _contributor(caller: Caller) -> int:
    person = person_of(caller)
    if person is None:
        raise NotAllowed("Only a contributor has an address of their own.")
    return person


def account_of(person: int) -> Owner:
    """Name whom a contributor's profile belongs to: by their number, because names change."""
    return Owner(f"github:{person}")


def first_of(record: BountyRecord) -> str:
    """Name the bounty whose wallet this one pays out of."""
    return record.data.sweep_of or record.id


def sweeping(found: Iterable[BountyRecord]) -> set[str]:
    """Name the bounties, among these, whose later deposits are being paid out."""
    open_ones = (one for one in found if not s.LIFECYCLE.state(one.state).final)
    return {one.data.sweep_of for one in open_ones if one.data.sweep_of}
