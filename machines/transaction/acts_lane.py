"""The look at a lane: what to sign next, in nonce order, as far as money, room and the chain's state allow."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from machines.core.chain import ChainHead, GasFee, Seen, Unsigned, known_head
from machines.core.clock import Millis
from machines.core.decision import Claim, New
from machines.core.errors import RailClosed, Retryable, UnknownPermitKey
from machines.core.facts import Fact, Nothing
from machines.core.ports import Step
from machines.transaction import calldata
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.caps import FEES, Charge, cost_wei, fitting, set_aside
from machines.transaction.data import (
    ETHER,
    LaneRecord,
    PaymentRecord,
    SignedAttempt,
    Suspect,
    TransactionData,
    TransactionRecord,
    hash_claim,
    owner_of_lane,
)
from machines.transaction.grouping import waits_for_company
from machines.transaction.permit import as_signed, may_be_paid
from machines.transaction.planning import Budget, Plan, PlannedTransaction, fee_room
from machines.transaction.policy import offered
from machines.transaction.ports import Lane, LaneBooks, LaneView, unpaid

MOST_LOOKED_UP = 50
LEAST_QUEUED, MOST_QUEUED = 100, 1000
"""How many queued payments one look reads: some more than it has room for, as one token may be short."""

UNKNOWN_NONCE = -1

AT_ONCE_S, ROOM_S, UNDER_WAY_S, IDLE_S = 0.0, 1.0, 15.0, 60.0
"""When to look again: there is more to sign; more waits for room; nothing is queued; nor is anything under way."""


@dataclass(frozen=True, slots=True)
class LaneActs:
    """Signs for each lane."""

    lanes: Mapping[str, Lane]
    books: LaneBooks

    async def look(self, record: LaneRecord, step: Step) -> Fact:
        """See what the chain knows of our nonces; sign what is queued where both agree."""
        lane = self.lanes.get(record.data.name)
        if lane is None:
            return Nothing()
        lane.refuse_other(record.data.chain_id, record.data.address)
        # Read before the chain is: what is mined meanwhile counts twice into what is spent, and never not at all.
        unsettled = await self.books.unsettled(lane.name)
        address = record.data.address
        head, latest, pending = await asyncio.gather(
            lane.chain.head(), lane.chain.nonce(address), lane.chain.nonce(address, "pending")
        )
        next_nonce = record.data.next_nonce
        if next_nonce == UNKNOWN_NONCE:
            # Where a lane begins is no plan that the next look mends: enough nodes must agree on it.
            next_nonce = await lane.chain.nonce(address, (await known_head(lane.chain)).number)
        obstacle = _obstacle(lane, head, next_nonce, latest, pending)
        if obstacle:
            return f.Looked(record.data.next_nonce, waits_for=obstacle)
        if next_nonce != record.data.next_nonce:
            return f.Looked(next_nonce, again_s=AT_ONCE_S)
        if latest > next_nonce:
            return await self._outside(lane, record, head, unsettled)
        missing = await self._missing(lane, record, latest, unsettled)
        free_from = _start_of_tail(missing, next_nonce)
        if pending <= free_from < next_nonce:
            # Nothing of ours, and nothing that a node knows, was ever at these nonces: they are free.
            return f.Looked(free_from, again_s=AT_ONCE_S)
        return await self._sign(lane, record, step, unsettled, missing)

    # ── nonces that do not agree ─────────────────────────────────────────────────────────────────────────────────────

    async def _outside(
        self, lane: Lane, record: LaneRecord, head: ChainHead, unsettled: Sequence[TransactionRecord]
    ) -> Fact:
        """Find who used the nonces that we did not, once that is proven; nothing is signed before."""
        proof = lane.policy.proven_up_to(head)
        first = record.data.next_nonce
        last = min(await lane.chain.nonce(record.data.address, max(proof, 0)), first + MOST_LOOKED_UP)
        if last <= first:
            return f.Looked(first, waits_for="transactions from outside, which must be final first")
        seen: list[Seen] = []
        for nonce in range(first, last):
            one = await lane.chain.sent_by(record.data.address, nonce, max(proof, 0))
            if one is None:
                return Nothing()
            seen.append(one)
        found = calldata.suspects(seen, await unpaid(self.books, lane.name, unsettled))
        return f.FoundOutside(last, tuple(seen), await _successful(lane, found))

    async def _missing(
        self, lane: Lane, record: LaneRecord, latest: int, unsettled: Sequence[TransactionRecord]
    ) -> list[int]:
        """List nonces that the chain waits for and that no record of ours holds."""
        held = {transaction.data.nonce for transaction in unsettled}
        open_ones = [nonce for nonce in range(latest, record.data.next_nonce) if nonce not in held]
        found = await asyncio.gather(*(self.books.transaction(lane.name, nonce) for nonce in open_ones))
        return [nonce for nonce, transaction in zip(open_ones, found, strict=True) if transaction is None]

    # ── signing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _sign(
        self,
        lane: Lane,
        record: LaneRecord,
        step: Step,
        unsettled: Sequence[TransactionRecord],
        missing: Sequence[int],
    ) -> Fact:
        waiting = [one for one in unsettled if one.state in {s.SIGNED, s.SENT}]
        room = min(lane.policy.in_flight - len(waiting), lane.policy.at_once)
        balance = await lane.chain.balance(record.data.address)
        if lane.watch is not None:
            lane.watch.looked(_view(record, waiting, balance, step.now))
        wanted = room * (lane.policy.batch_size if lane.pay_many else 1)
        limit = min(max(wanted, LEAST_QUEUED), MOST_QUEUED)
        found, queued, held = await self._payable(lane, record, step.now, limit)
        if held and len(found) == limit:  # what its cap holds must not hide what it does not
            found, queued, held = await self._payable(lane, record, step.now, limit := MOST_QUEUED)
        held = held or _fees_held(lane, record, waiting, step.now)
        company_s = waits_for_company(queued, lane.policy, step.now) if lane.pay_many else 0.0
        if not missing and not queued:
            pace_s = UNDER_WAY_S if unsettled else IDLE_S
            return f.Looked(record.data.next_nonce, waits_for=held, again_s=pace_s, capped=bool(held))
        if not missing and (company_s or room <= 0):
            if company_s:
                return f.Looked(record.data.next_nonce, waits_for=held, again_s=company_s, capped=bool(held))
            data = record.data
            return f.Looked(
                data.next_nonce, waits_for=data.waits_for, lacks=data.lacks, again_s=ROOM_S, capped=data.capped
            )
        fee = offered(await lane.chain.market(lane.policy.fees.percentile), lane.policy.fees)
        budget = Budget(lane, record, balance, fee, waiting)
        plan = Plan(lane, record, budget)
        await plan.fill(missing)
        if queued and not company_s:
            await plan.pay(queued, room, step.now)
        if plan.transactions:
            await step.may_send(*lane.scopes)
        signed = await self._signed(lane, record, plan.transactions, fee)
        next_nonce = max([record.data.next_nonce, *(one.new.data.nonce + 1 for one in signed)])
        more = bool(signed) and (plan.left > 0 or len(found) == limit)
        full = len(waiting) + len(signed) >= lane.policy.in_flight
        again_s = (ROOM_S if full else AT_ONCE_S) if more else None
        missing_money, held = budget.shortage, budget.too_dear or held
        return f.Looked(
            next_nonce,
            signed,
            tuple(plan.unpayable),
            missing_money.words or held,
            missing_money.asset,
            again_s,
            capped=budget.capped or (bool(held) and not missing_money.words),
            charges=_charges(lane, signed),
        )

    async def _payable(
        self, lane: Lane, record: LaneRecord, now: Millis, limit: int
    ) -> tuple[list[PaymentRecord], list[PaymentRecord], str]:
        """Read what is queued; give it, what of it may be signed for, and which cap holds the rest."""
        found = await self.books.queued(lane.name, limit)
        suspected = {suspect.payment for suspect in record.data.suspects}
        free = [payment for payment in found if payment.id not in suspected and self._permitted(payment)]
        return found, *fitting(free, lane.policy.caps, record.data.spent, now)

    def _permitted(self, payment: PaymentRecord) -> bool:
        """Tell what may be paid; one that may not, or that others must judge, keeps no other one from it."""
        try:
            permitted = may_be_paid(self.books.permits, payment)
        except UnknownPermitKey:
            return False
        if not permitted:
            self.books.distrust(payment.id)
        return permitted

    async def _signed(
        self, lane: Lane, record: LaneRecord, planned: Sequence[PlannedTransaction], fee: GasFee
    ) -> tuple[f.Signing, ...]:
        """Sign in order; where the signer gives up in the middle, what it has signed goes on."""
        made: list[f.Signing] = []
        for one in planned:
            unsigned = Unsigned(lane.chain.chain_id, one.nonce, one.to, one.value_wei, one.data, one.gas, fee)
            try:
                done = await lane.signer.sign(unsigned)
            except RailClosed:
                raise
            except Retryable:
                if not made:
                    raise
                break
            made.append(self._signing(record, one, SignedAttempt(done.hash, done.raw, fee, empty=one.empty)))
        return tuple(made)

    def _signing(self, record: LaneRecord, planned: PlannedTransaction, attempt: SignedAttempt) -> f.Signing:
        members = planned.bundle.payments if planned.bundle else ()
        lane = record.data
        data = TransactionData(
            lane=lane.name,
            chain_id=lane.chain_id,
            sender=lane.address,
            nonce=planned.nonce,
            to=planned.to,
            value_wei=str(planned.value_wei),
            data=planned.data,
            gas=planned.gas,
            attempts=(attempt,),
            members=tuple(payment.id for payment in members),
            batch=planned.batch,
            token=planned.token,
            token_units=str(planned.token_units),
        )
        new = New(
            self.books.transaction_id(lane.name, planned.nonce),
            "transaction",
            owner_of_lane(lane.name),
            None,
            as_signed(self.books.permits, data),
            fingerprint=attempt.hash,
            claims=(Claim(f"nonce:{lane.chain_id}:{lane.address}", str(planned.nonce)), hash_claim(attempt.hash)),
        )
        return f.Signing(new, members)


# ── caps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _fees_held(lane: Lane, record: LaneRecord, waiting: Sequence[TransactionRecord], now: Millis) -> str:
    """Say that the cap on fees has no room for the next nonce, or for a better offer for one that waits."""
    cap, fees = lane.policy.fee_cap, lane.policy.fees
    if cap is None:
        return ""
    costs = [cost_wei(one.data) for one in waiting if not one.data.newest.empty]
    better = max((int(cost * fees.bump_percent / 100) for cost in costs), default=0)
    needed = max(better, set_aside(0, fees.max_fee_ceiling_wei))
    return f"room under its cap of {cap.says} for fees" if fee_room(lane.policy, record, waiting, now) < needed else ""


def _charges(lane: Lane, signed: Sequence[f.Signing]) -> tuple[Charge, ...]:
    """Say what is spent under each cap: what is paid, and what is offered for gas."""
    paid = [payment.data for one in signed for payment in one.members]
    charges = [
        Charge(what, cap, sum(int(one.value_wei) for one in paid if (one.token or ETHER) == what))
        for what, cap in lane.policy.caps.items()
    ]
    if lane.policy.fee_cap is not None:
        offers = [one.new.data for one in signed]
        closes = sum(cost_wei(one) for one in offers if one.newest.empty)
        charges.append(Charge(FEES, lane.policy.fee_cap, sum(map(cost_wei, offers)), closes))
    return tuple(one for one in charges if one.units)


# ── small things ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _successful(lane: Lane, found: Sequence[Suspect]) -> tuple[Suspect, ...]:
    """Leave out transactions that failed: they paid nobody. What no node shows stays under suspicion."""
    hashes = list(dict.fromkeys(one.hash for one in found))
    receipts = dict(zip(hashes, await asyncio.gather(*map(lane.chain.receipt, hashes)), strict=True))
    return tuple(one for one in found if (receipt := receipts[one.hash]) is None or receipt.ok)


def _obstacle(lane: Lane, head: ChainHead, next_nonce: int, latest: int, pending: int) -> str:
    """Say why nothing may be signed now, before all else; empty when nothing forbids it."""
    if lane.policy.finalized and head.finalized is None:
        return "a node that tells which block is final, as the settings ask for"
    return "transactions from outside that are under way" if latest <= next_nonce < pending else ""


def _view(record: LaneRecord, waiting: Sequence[TransactionRecord], balance_wei: int, now: Millis) -> LaneView:
    oldest = min((one.created_at for one in waiting), default=None)
    data = record.data
    return LaneView(data.name, now, data.next_nonce, len(waiting), oldest, balance_wei, bool(data.lacks), data.capped)


def _start_of_tail(missing: Sequence[int], end: int) -> int:
    """Give the first of the numbers that lead up to the end without a break."""
    while end - 1 in missing:
        end -= 1
    return end
