"""What a look at a bounty does: asks the ports, sends through the lane, and returns what was learned."""

import hashlib
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty import permit
from machines.bounty.comment import day_of, open_question
from machines.bounty.data import (
    BountyData,
    BountyPolicy,
    BountyRecord,
    Hand,
    ProposalAttempt,
    approval_key,
    deploy_key,
    withdrawal_key,
)
from machines.bounty.hands import are_there, sole_funder, wanted_for
from machines.core.chain import Address, TxHash
from machines.core.errors import BadInput, Rejected, Retryable, TooLong, Unapproved
from machines.core.facts import Fact, Nothing, Proof, Reading
from machines.core.forge import Forge, Place, PullState
from machines.core.money import ETH, Money
from machines.core.ports import (
    Act,
    Destination,
    Failed,
    Payment,
    PaymentKey,
    Pending,
    PermitSigner,
    Rail,
    Settled,
    Step,
    Unsent,
)
from machines.core.saved_address import SavedAddress
from machines.core.wallets import ContractCall, Creation, End, Holding, ProposalOutcome, Wallets

OWNERS = "an owner who proves his address"
Look = Callable[[BountyRecord, Step], Coroutine[Any, Any, Fact]]


class Owners(Protocol):
    """Who owns the wallets of a repository."""

    async def proven(self, repository: int) -> tuple[Hand, ...]:
        """List the maintainers who proved an address; none where the repository is not enabled."""


class Contributors(Protocol):
    """Where contributors want their money."""

    async def address(self, person: int) -> SavedAddress:
        """Give what somebody saved."""


class CommentText(Protocol):
    """What the comment on an issue says."""

    def comment(self, record: BountyRecord) -> str:
        """Write it; empty where there is none."""


@dataclass(frozen=True, slots=True)
class BountyActs:
    """The looks of the bounty machine, bound to their ports."""

    rail: Rail
    scope: str
    bot: Address
    wallets: Wallets
    forge: Forge
    owners: Owners
    contributors: Contributors
    words: CommentText
    policy: BountyPolicy
    permits: PermitSigner

    def acts(self) -> dict[str, Act[BountyData]]:
        looks: dict[str, Look] = {
            s.OPENING: self.deploy,
            s.OPEN: self.watch,
            s.CLOSED: self.watch,
            s.MERGED: self.self_sign,
            s.AWAITING_ADDRESS: self.await_address,
            s.CONTESTED: self.watch,
            s.EXECUTED: self.approve,
            s.CONFIRMABLE: self.settle,
            s.CONFIRMING: self.settle,
            s.PAID: self.watch,
            s.REVOKING: self.revoke,
            s.REFUNDED: self.watch,
        }
        return {state: self._with_comment(look) for state, look in looks.items()}

    # ── the comment ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _with_comment(self, look: Look) -> Look:
        """See to the comment first, under the record's lease, so that one worker writes it.

        No trouble of the forge's stops what has to do with money.
        """

        async def with_comment(record: BountyRecord, step: Step) -> Fact:
            trouble = None
            try:
                written = await self._comment(record)
            except Retryable as error:
                trouble, written = error, None
            if written is not None:
                return written
            fact = await look(record, step)
            if trouble is not None and isinstance(fact, Nothing):
                raise trouble
            return fact

        return with_comment

    async def _comment(self, record: BountyRecord) -> Fact | None:
        data = record.data
        text = self.words.comment(record)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        if not text or fingerprint == data.comment_print:
            return None
        try:
            comment = await self.forge.comment(data.place, data.comment_id, record.id, text)
        except Rejected:
            # A locked or deleted issue takes none, and asking again for the same words changes nothing. Which one was
            # ours is still known when it is unlocked. Nobody was told anything by it.
            return f.Commented(data.comment_id, fingerprint)
        return f.Commented(comment, fingerprint, open_question(record))

    # ── the forge ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _sweep(self, record: BountyRecord) -> Fact:
        """Read issue and pull requests as they are: deliveries get lost, and some are older than the label."""
        try:
            return await read_anew(self.forge, record.data.place)
        except TooLong as error:
            return f.IssueUnreadable(str(error))

    def _sweep_due(self, record: BountyRecord, step: Step) -> bool:
        if record.data.sweep_of or s.LIFECYCLE.state(record.state).final:
            return False  # what is paid stays paid, and there are more of those every day; who sweeps it, asks
        return step.now - record.data.swept_at >= self.policy.sweep_ms

    # ── the wallet ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def deploy(self, record: BountyRecord, step: Step) -> Fact:
        """Plan the wallet, send for it, find it: one of these a look."""
        data = record.data
        if data.sweep_of:
            return f.Deployed(data.contract_address, data.transaction_hash)
        if not data.swept_at:
            return await self._sweep(record)
        if data.creation is not None:
            return await self._deploying(record, data.creation, step)
        return await self._planned(record)

    async def _planned(self, record: BountyRecord) -> Fact:
        """Say how the wallet is made: owned by the bot and whoever maintains the repository now."""
        data = record.data
        # Who proved an address and maintains the repository no more must not own its money.
        hands = tuple(
            [
                hand
                for hand in await self.owners.proven(data.place.repository)
                if await self.forge.maintains(data.place, hand.person) is not None
            ]
        )
        if len(hands) + 1 < self.policy.threshold:
            return f.Blocked(OWNERS)
        named = (self.bot, *(Address(hand.address) for hand in hands), Address(self.policy.recovery))
        owners = tuple(dict.fromkeys(owner for owner in named if owner))
        creation = await self.wallets.creation(owners, self.policy.threshold, record.id)
        return f.Planned(creation, hands, permit.sealed(self.permits, permit.made_like(record, creation, hands)))

    async def _deploying(self, record: BountyRecord, creation: Creation, step: Step) -> Fact:
        payment = _payment(deploy_key(record.id, record.data.deploys), creation.call)
        match await self.rail.status(payment):
            case Settled(evidence):
                made = await self.wallets.made(creation, TxHash(evidence.reference))
                return await self._deployed(record, creation, made, evidence.reference)
            case Failed(reason):
                return await self._deployed(record, creation, None, "", reason)
            case Pending() as pending:
                return _pending(record, pending, record.data.transaction_hash, f.Deploying)
            case _:
                planned = permit.made_like(record, creation, record.data.hands)
                if not permit.holds(self.permits, record.data.creation_seal, planned):
                    if record.data.creation_seal:
                        raise Unapproved("What it would send is not the wallet that a worker planned.")
                    return await self._planned(record)  # an older version did, and nothing of it was sent
                await self._refuse_other_wallet(record, creation)
                return await self._send(payment, step)

    async def _refuse_other_wallet(self, record: BountyRecord, creation: Creation) -> None:
        """Raise unless what would be sent makes a wallet of its owners: the lane has the money of others."""
        owners = [Address(one) for one in creation.owners]
        planned = await self.wallets.creation(owners, creation.threshold, record.id)
        if planned.call != creation.call or self.bot not in creation.owners:
            raise Unapproved("What it would send is not how a wallet of these owners is made.")

    async def _deployed(
        self, record: BountyRecord, creation: Creation, made: Address | None, tx: str, reason: str = "it made none"
    ) -> Fact:
        wallet = made or await self.wallets.existing(creation)
        if wallet is None:
            return f.DeployFailed(reason)
        planned = permit.holds(
            self.permits, record.data.creation_seal, permit.made_like(record, creation, record.data.hands)
        )
        seal = permit.sealed(self.permits, permit.made_at(record, wallet)) if planned else ""
        return f.Deployed(wallet, tx, seal)

    async def watch(self, record: BountyRecord, step: Step) -> Fact:
        """Read the forge now and then, and what the wallet holds every time.

        An approval that was taken back comes first: as long as it stands, the wallet's other owners can carry it out.
        """
        earlier = await self._earlier(record, step) if record.state not in (s.PAID, s.REFUNDED) else None
        if earlier is not None:
            return earlier
        if self._sweep_due(record, step):
            with suppress(Rejected):  # who took the app away does not keep us from looking after the money
                return await self._sweep(record)
        if not record.data.contract_address:
            return Nothing()
        return f.Held(await self.wallets.holdings(Address(record.data.contract_address)))

    # ── the payment ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def self_sign(self, record: BountyRecord, step: Step) -> Fact:
        """Fix the payment: every earlier approval is dead, the winner has an address, and there is money."""
        data = record.data
        earlier = await self._earlier(record, step)
        if earlier is not None:
            return earlier
        saved = (await self.contributors.address(data.winner_id)).at(step.now)
        if not _payable(data, saved.address):
            return f.NoAddress(data.winner_id)
        return await self._propose(record, Address(saved.address), step, refund=False)

    async def await_address(self, record: BountyRecord, step: Step) -> Fact:
        """See whether the winner has an address now; remind him every few days."""
        data = record.data
        surprise = await self._carried_out(record)
        if surprise is not None:
            return surprise
        saved = (await self.contributors.address(data.winner_id)).at(step.now)
        if _payable(data, saved.address):
            return f.AddressKnown(data.winner_id, saved.address)
        if self._sweep_due(record, step):
            with suppress(Rejected):  # as above
                return await self._sweep(record)
        if _payable(data, saved.next_address):
            waiting_for = f"{day_of(saved.next_from)}: nobody signed for the address that {data.winner_login} saved"
            waiting_for += ". Signing for it on that page makes it count at once"
            if saved.next_proven:
                waiting_for = f"{day_of(saved.next_from)}: then the new address of {data.winner_login} counts"
            return f.Blocked(waiting_for) if waiting_for != data.waiting_for else Nothing()
        due = data.asked_at + (data.reminders + 1) * self.policy.remind_ms
        return f.NoAddress(data.winner_id) if step.now >= due else Nothing()

    async def revoke(self, record: BountyRecord, step: Step) -> Fact:
        """Take the steps of a payment, towards the address that gets the money back."""
        data = record.data
        if data.current is None:
            earlier = await self._earlier(record, step)
            return earlier or await self._propose(record, Address(data.refund_to), step, refund=True)
        return await (self.settle if data.confirm_hash else self.approve)(record, step)

    async def _earlier(self, record: BountyRecord, step: Step) -> Fact | None:
        """Deal with what was proposed before: it may have been carried out, and it must be dead."""
        surprise = await self._carried_out(record)
        if surprise is not None:
            return surprise
        back = record.data.to_withdraw
        return None if back is None else await self._withdraw(record, back, step)

    async def _carried_out(self, record: BountyRecord) -> Fact | None:
        """Find a proposal that the wallet carried out, whichever it was."""
        for attempt in record.data.attempts:
            outcome = await self.wallets.outcome(attempt.proposal, attempt.confirm_hash, ())
            if outcome.end is End.PAID:
                return _paid_out(attempt, outcome)
        return None

    async def prove(self, record: BountyRecord) -> Reading:
        """Say what the wallet says of each payment that was proposed, and what that proves."""
        data, read, paid = record.data, list[tuple[str, str]](), bool(record.data.payout_receipt)
        for attempt in data.attempts:
            outcome = await self.wallets.outcome(attempt.proposal, attempt.confirm_hash, ())
            paid = paid or outcome.end is End.PAID
            said = [f"{outcome.end}", outcome.tx and f"in {outcome.tx}, block {outcome.block}", outcome.why]
            said += [f"{name} {value}" for name, value in outcome.details]
            number = f"payment {attempt.proposal.number} of {data.contract_address}"
            read.append((number, ", ".join(one for one in said if one)))
        if paid:
            return Reading(Proof.PAID, tuple(read))
        return Reading(Proof.NONE if data.attempts else Proof.NOT_PAID, tuple(read))

    async def _withdraw(self, record: BountyRecord, attempt: ProposalAttempt, step: Step) -> Fact:
        number = attempt.proposal.number
        if not attempt.confirm_hash:
            approval = _payment(approval_key(record.id, number), attempt.proposal.approval)
            match await self.rail.status(approval):
                case Settled(evidence) if found := await self.wallets.approved(
                    attempt.proposal, TxHash(evidence.reference)
                ):
                    return f.BotApproved(number, evidence.reference, found)
                case Settled() | Failed() | Unsent():
                    return f.ApprovalWithdrawn(number)
                case _:  # it may still come
                    return Nothing()
        call = self.wallets.withdrawal(attempt.proposal, attempt.confirm_hash)
        if call is None or await self.wallets.withdrawn(attempt.proposal, attempt.confirm_hash):
            return f.ApprovalWithdrawn(number)
        payment = _payment(withdrawal_key(record.id, number), call)
        match await self.rail.status(payment):
            case Unsent():
                return await self._send(payment, step)
            case Failed(reason):
                raise Rejected(f"The earlier approval cannot be taken back: {reason}")
            case _:
                return Nothing()

    async def _propose(self, record: BountyRecord, to: Address, step: Step, *, refund: bool) -> Fact:
        wallet = Address(record.data.contract_address)
        holdings = await self.wallets.holdings(wallet)
        if not holdings:
            return f.Held(())
        if not await self._hands_are_there(record, to, holdings, step, refund=refund):
            return f.HandWanted(record.data.question)
        await self._refuse_others_wallet(record)
        if not refund:
            await self._refuse_another_winner(record)
        proposal = await self.wallets.propose(wallet, to, holdings, len(record.data.attempts) + 1)
        return f.Proposed(proposal, refund, permit.sealed(self.permits, permit.paid(record, proposal, refund=refund)))

    async def _refuse_others_wallet(self, record: BountyRecord) -> None:
        """Raise unless a worker saw this very wallet made for this issue, or its address says so."""
        data, wallet = record.data, record.data.contract_address
        if permit.is_its_issue(record):
            if permit.holds(self.permits, data.wallet_seal, permit.made_at(record, wallet)):
                return
            made = data.creation
            if made is not None and not data.wallet_seal:  # an older version saw it
                owners = [Address(one) for one in made.owners]
                where = (await self.wallets.creation(owners, made.threshold, permit.root_of(record))).address
                if where == wallet:
                    return
        raise Unapproved(f"No worker saw {wallet or 'its wallet'} made for this issue. {permit.ADOPT}")

    async def _refuse_another_winner(self, record: BountyRecord) -> None:
        """Raise unless the forge itself shows that whoever wins had the pull request merged for this issue."""
        data = record.data
        if data.winner_seal and permit.holds(self.permits, data.winner_seal, permit.won(record)):
            return
        try:
            issue, pulls = await self.forge.issue(data.place), await self.forge.pulls(data.place)
        except (Rejected, TooLong):
            issue, pulls = None, ()
        merged = [(one.id, one.author_id) for one in pulls if one.state == PullState.MERGED]
        if issue is None or issue.id != data.issue_id or (data.winner_pull, data.winner_id) not in merged:
            raise Unapproved(
                f"The forge does not show at {data.place.path} that {data.winner_login} wins: somebody wrote it, or "
                f"the issue is not there any more. {permit.ADOPT}"
            )

    async def _hands_are_there(
        self, record: BountyRecord, to: str, holdings: Sequence[Holding], step: Step, *, refund: bool
    ) -> bool:
        """Say whether the bot may agree: the chain is asked whose money it is, and if need be the forge who is left."""
        data, funder = record.data, ""
        since = data.deposits_since or data.transaction_hash
        if refund and since:
            funder = sole_funder(holdings, await self.wallets.deposits(Address(data.contract_address), TxHash(since)))
        wanted = wanted_for(data, to, refund=refund, funder=funder)
        if are_there(self.policy, data, wanted, step.now):
            return True
        return are_there(self.policy, data, wanted, step.now, await maintaining(self.forge, data))

    async def approve(self, record: BountyRecord, step: Step) -> Fact:
        """Send the bot's approval, and read from its receipt what the others confirm."""
        attempt = record.data.current
        if attempt is None:
            raise BadInput(f"{record.id} is {record.state} without a payment.")
        proposal = attempt.proposal
        payment = _payment(approval_key(record.id, proposal.number), proposal.approval)
        match await self.rail.status(payment):
            case Settled(evidence):
                found = await self.wallets.approved(proposal, TxHash(evidence.reference))
                if not found:
                    return f.NotApproved(proposal.number, "its receipt shows no approval")
                return f.BotApproved(proposal.number, evidence.reference, found)
            case Failed(reason):
                return f.NotApproved(proposal.number, reason)
            case Pending() as pending:
                return _pending(record, pending, record.data.execute_hash, partial(f.Executing, proposal.number))
            case _:
                to, held = proposal.to, proposal.holdings
                if not await self._hands_are_there(record, to, held, step, refund=attempt.refund):
                    return f.HandWanted(record.data.question)
                permit.refuse_unsealed(self.permits, record, attempt)
                if proposal.wallet != record.data.contract_address or not self.wallets.is_approval(proposal):
                    raise Unapproved("What it would send is not the bot's yes to this payment of this wallet.")
                return await self._send(payment, step)

    async def settle(self, record: BountyRecord, step: Step) -> Fact:
        """Look for the payment by its effect and by the transaction that was named; the wallet's events decide."""
        data = record.data
        attempt = data.current
        if attempt is None:
            raise BadInput(f"{record.id} is {record.state} without a payment.")
        named = (data.payout_hash,) if data.payout_hash else ()
        number = attempt.proposal.number
        outcome = await self.wallets.outcome(attempt.proposal, data.confirm_hash, named)
        match outcome.end:
            case End.PAID:
                return _paid_out(attempt, outcome)
            case End.DEAD:
                return await self._carried_out(record) or f.Dead(number, outcome.why)
            case End.FAILED:
                return f.NotPaidOut(number, outcome.tx, outcome.why)
            case End.OPEN if outcome.tx and outcome.tx != data.payout_hash:
                return f.Underway(number, outcome.tx)
            case End.OPEN if not outcome.known and step.now - data.confirmed_at >= self.policy.vanish_ms:
                return f.Vanished(number, data.payout_hash)
            case _:
                return Nothing()

    async def _send(self, payment: Payment, step: Step) -> Fact:
        payment = await self.rail.prepare(payment)
        await step.may_send(self.scope)
        await self.rail.submit(payment)
        return Nothing()


async def read_anew(forge: Forge, place: Place) -> f.Swept:
    """Read an issue and the pull requests that concern it as they are."""
    return f.Swept(await forge.issue(place), await forge.pulls(place))


async def maintaining(forge: Forge, data: BountyData) -> list[int]:
    """List which of a wallet's owners maintain the repository now."""
    return [hand.person for hand in data.hands if await forge.maintains(data.place, hand.person) is not None]


def _payable(data: BountyData, address: str) -> bool:
    """Say whether money can go to an address: not into the wallet that it comes from."""
    return bool(address) and address != data.contract_address


def _payment(key: str, call: ContractCall) -> Payment:
    fields = (("to", call.to), ("data", call.data), ("value_wei", "0"))
    return Payment(PaymentKey(key), Destination("call", fields), Money(0, ETH))


def _pending(record: BountyRecord, pending: Pending, known: str, has_hash: Callable[[str], Fact]) -> Fact:
    """Tell of a transaction that is under way: its hash, or what it waits for."""
    if pending.evidence is not None and pending.evidence.reference != known:
        return has_hash(pending.evidence.reference)
    return f.Blocked(pending.waiting_for) if pending.waiting_for != record.data.waiting_for else Nothing()


def _paid_out(attempt: ProposalAttempt, outcome: ProposalOutcome) -> Fact:
    return f.PaidOut(attempt.proposal.number, outcome.tx, (("block", str(outcome.block)), *outcome.details))
