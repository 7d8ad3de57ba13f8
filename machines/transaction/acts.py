"""The looks at a transaction: send its bytes, follow all its hashes, and say what became of it only with proof."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from machines.core.chain import NO_DATA, Address, ChainHead, NodeAnswer, NodeReply, PayMany, Receipt, Seen, Unsigned
from machines.core.clock import SECOND
from machines.core.errors import NoQuorum, OutcomeUnknown, RailClosed
from machines.core.facts import Fact, Nothing, Proof, Reading
from machines.core.ports import Act, Step
from machines.transaction import calldata
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.caps import EMPTY_GAS, FEES, Charge, cost_wei
from machines.transaction.data import LaneRecord, PaymentRecord, SignedAttempt, TransactionData, TransactionRecord
from machines.transaction.permit import may_be_signed_again, once_more
from machines.transaction.planning import fee_room
from machines.transaction.policy import bumped
from machines.transaction.ports import Lane, LaneBooks, unpaid

REPEATS, MOST_PATIENCE = 20, 20
"""What waits for long is sent again the more rarely: after a twentieth of its age, up to twenty times the usual."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One look: the record, what it belongs to, and where its chain stands."""

    record: TransactionRecord
    lane: Lane
    head: ChainHead
    step: Step

    @property
    def data(self) -> TransactionData:
        return self.record.data


@dataclass(frozen=True, slots=True)
class TransactionActs:
    """Follows the transactions of every lane."""

    lanes: Mapping[str, Lane]
    books: LaneBooks

    def acts(self) -> dict[str, Act[TransactionData]]:
        looks = {
            s.SIGNED: self._send,
            s.SENT: self._follow,
            s.MINED: self._confirm,
            s.FINAL: self._watch,
            s.REVERTED: self._watch,
            s.DISPLACED: self._watch_displaced,
        }
        return {state: partial(self._look, look) for state, look in looks.items()}

    async def _look(self, look: Callable[[_Case], Awaitable[Fact]], record: TransactionRecord, step: Step, /) -> Fact:
        lane = self.lanes.get(record.data.lane)
        if lane is None:
            return Nothing()  # another process has this lane
        lane.refuse_other(record.data.chain_id, record.data.sender)
        return await look(_Case(record, lane, await lane.chain.head(), step))

    async def prove(self, record: TransactionRecord) -> Reading:
        """Say what the chain shows of a nonce and of each attempt to use it, and what is deep enough to count."""
        data, lane = record.data, self.lanes.get(record.data.lane)
        if lane is None:
            return Reading()
        head = await lane.chain.head()
        receipts = await asyncio.gather(*(lane.chain.receipt(one.hash) for one in data.attempts))
        next_one = await lane.chain.nonce(data.sender, head.number)
        read = [(f"{lane.name} at block {head.number}", f"the next nonce of {data.sender} is {next_one}")]
        proof = Proof.NONE
        for attempt, receipt in zip(data.attempts, receipts, strict=True):
            read.append((attempt.hash, _receipt_in_words(receipt, attempt)))
            if receipt is None:
                continue
            if receipt.ok and not attempt.empty and receipt.block <= lane.policy.settled_up_to(head):
                proof = Proof.PAID
            elif not (receipt.ok and not attempt.empty) and receipt.block <= lane.policy.proven_up_to(head):
                proof = Proof.NOT_PAID
        return Reading(proof, tuple(read))

    async def prove_payment(self, record: PaymentRecord) -> Reading:
        """Say what the chain shows of the transaction that carries a payment; of a batch it proves no single one."""
        data = record.data
        lane = next((name for name in self.lanes if self.books.payment_id(name, data.key) == record.id), "")
        carrier = await self.books.transaction(lane, data.nonce) if lane and data.nonce >= 0 else None
        if carrier is None:
            return Reading(read=((record.id, "nothing is signed for it now"),))
        found = await self.prove(carrier)
        alone = not carrier.data.batch and not data.token
        return found if alone or found.proof is Proof.NOT_PAID else replace(found, proof=Proof.NONE)

    async def prove_lane(self, record: LaneRecord) -> Reading:
        """Say where the chain has the sequence of an address, beside where the lane has it."""
        data, lane = record.data, self.lanes.get(record.data.name)
        if lane is None:
            return Reading()
        head = await lane.chain.head()
        nonce, balance = await asyncio.gather(
            lane.chain.nonce(data.address, head.number), lane.chain.balance(data.address, head.number)
        )
        said = (
            f"the next nonce of {data.address} is {nonce}, the lane signs {data.next_nonce} next; it has {balance} wei"
        )
        return Reading(read=((f"{lane.name} at block {head.number}", said),))

    # ── send ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, case: _Case) -> Fact:
        """Give the newest attempt's bytes to the nodes: always the same bytes for the same attempt."""
        lane, newest = case.lane, case.data.newest
        if any(attempt.sent for attempt in case.data.attempts):
            # An older attempt may be mined while this one is held back, by a pause for instance.
            mined = await _mined(case)
            if mined is not None:
                return f.Mined(mined.hash, mined.block, mined.block_hash)
        if case.data.cancel and not newest.empty:
            return await self._replaced(case, case.data.cancel)
        if lane.announce is not None and not newest.sent and not newest.empty:
            for payment in await self.books.payments(case.data.members):
                fault = await lane.announce(payment.data.key, newest.hash, case.data.nonce)
                if fault:
                    return await self._replaced(case, fault)  # else all that waits behind its nonce would wait too
        return await self._hand_over(case, newest)

    async def _hand_over(self, case: _Case, attempt: SignedAttempt) -> Fact:
        if not attempt.empty and await self._suspected(case):
            return Nothing()
        await case.step.may_send(*case.lane.scopes)
        try:
            answer = await case.lane.chain.broadcast(attempt.raw)
        except OutcomeUnknown as error:
            # Perhaps some node has it. That changes nothing: its hash is followed, and the same bytes may go again.
            answer = NodeAnswer(NodeReply.ACCEPTED, f"unknown: {error}")
        return f.Broadcast(attempt.hash, answer, case.step.now)

    async def _suspected(self, case: _Case) -> bool:
        """Say whether somebody else may have paid what it carries: until a person says so, it must not be sent."""
        lane = await self.books.lane(case.lane.name)
        return lane is not None and any(one.payment in case.data.members for one in lane.data.suspects)

    # ── follow ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _follow(self, case: _Case) -> Fact:
        """Look for every attempt; where none is mined, see that one of them still can be."""
        mined = await _mined(case)
        if mined is not None:
            return f.Mined(mined.hash, mined.block, mined.block_hash)
        try:
            latest = await case.lane.chain.nonce(case.data.sender, case.head.number)
        except NoQuorum:
            latest = case.data.nonce  # nothing is proven now, and what is to be sent goes on being sent
        if latest > case.data.nonce:
            # Mined, says this count: ours, though no node shows it yet, or somebody else's, which takes proof.
            return await self._displaced(case) or Nothing()
        return await self._push(case, first_in_line=latest == case.data.nonce)

    async def _displaced(self, case: _Case) -> Fact | None:
        """Prove, at a block that stays, that the nonce went to a transaction that is not ours."""
        chain, sender, nonce = case.lane.chain, case.data.sender, case.data.nonce
        proof = case.lane.policy.proven_up_to(case.head)
        if proof < 0 or await chain.nonce(sender, proof) <= nonce:
            return None
        seen = await chain.sent_by(sender, nonce, proof)
        if seen is None or seen.hash in {attempt.hash for attempt in case.data.attempts}:
            return None
        receipt = await chain.receipt(seen.hash)
        if receipt is None or receipt.block > proof:
            return None
        members = await self.books.payments(case.data.members)
        paid, short = _paid_by(case, seen, receipt, members)
        if paid or short or not receipt.ok:
            return f.Displaced(seen, receipt, members, paid, short=short, permits=self._again(members))
        return await self._with_suspects(case, f.Displaced(seen, receipt, members, permits=self._again(members)))

    def _again(self, members: Sequence[PaymentRecord]) -> tuple[str, ...]:
        """Permit each of them once more: this nonce is proven to have paid none that waits again."""
        return tuple(once_more(self.books.permits, one) for one in members)

    async def _with_suspects(self, case: _Case, fact: f.Displaced) -> Fact:
        """Look for payments, here and elsewhere in the lane, that the other transaction may have made."""
        name = case.lane.name
        others = await unpaid(self.books, name, await self.books.unsettled(name))
        here = {member.id for member in fact.members}
        found = calldata.suspects([fact.seen], [*fact.members, *(one for one in others if one.id not in here)])
        return replace(fact, lane=await self.books.lane(name), suspects=found) if found else fact

    async def _push(self, case: _Case, *, first_in_line: bool) -> Fact:
        """Offer more, replace by nothing, or send the same again: whatever the transaction needs to be mined."""
        data, lane, now = case.data, case.lane, case.step.now
        # A bump that is refused leaves the attempt before it where it is.
        refused = data.reply_code == NodeReply.REFUSED and len(data.attempts) == 1
        if (data.cancel or refused) and not data.newest.empty:
            return await self._replaced(case, data.cancel or f"the nodes say {data.reply}")
        waits_long = (now - data.sent_at) / SECOND >= lane.policy.bump_after_s
        dear = data.reply_code == NodeReply.TOO_CHEAP
        if dear or (first_in_line and (data.asked_bump or waits_long)):
            better = await self._bumped(case, _why(data, dear=dear), empty=data.newest.empty)
            if better is not None:
                return better
        if (now - data.repeated_at) / SECOND < _patience_s(case):
            return Nothing()
        shown = await asyncio.gather(*(lane.chain.transaction(attempt.hash) for attempt in data.attempts))
        return Nothing() if any(shown) else await self._hand_over(case, data.newest)

    async def _replaced(self, case: _Case, why: str) -> Fact:
        return await self._bumped(case, f"replaced by nothing: {why}", empty=True) or Nothing()

    async def _bumped(self, case: _Case, why: str, *, empty: bool) -> f.Bumped | None:
        """Sign another attempt at a better price; None where a ceiling or cap forbids one, or a person must look."""
        lane, data, cap = case.lane, case.data, case.lane.policy.fee_cap
        if not empty and (await self._suspected(case) or not self._as_permitted(case)):
            return None
        market = await lane.chain.market(lane.policy.fees.percentile)
        live = data.attempts if case.record.state == s.SENT else [one for one in data.attempts if one.sent]
        fee = bumped([attempt.fee for attempt in live], market, lane.policy.fees)
        if fee is None:
            return None
        before, gas = cost_wei(data), EMPTY_GAS if empty else data.gas
        after = max(before, gas * fee.max_wei)
        record = await self.books.lane(lane.name) if cap else None
        charges: tuple[Charge, ...] = ()
        if cap and record:
            charges = (Charge(FEES, cap, after - before, after - before if empty else 0),)
            unsettled = await self.books.unsettled(lane.name)
            if not empty and after - before > fee_room(lane.policy, record, unsettled, case.step.now, data, after):
                return None  # it stays as it is, and can still be closed
        await case.step.may_send(*lane.scopes)
        if empty:
            unsigned = Unsigned(data.chain_id, data.nonce, data.sender, 0, NO_DATA, EMPTY_GAS, fee)
        else:
            unsigned = Unsigned(data.chain_id, data.nonce, data.to, int(data.value_wei), data.data, data.gas, fee)
        signed = await lane.signer.sign(unsigned)
        if lane.watch is not None:
            lane.watch.bumped(lane.name)
        return f.Bumped(SignedAttempt(signed.hash, signed.raw, fee, empty=empty), why, record, charges)

    def _as_permitted(self, case: _Case) -> bool:
        """Tell whether it is still what was signed first; if not, it can be replaced by nothing alone."""
        permitted = may_be_signed_again(self.books.permits, case.data)
        if not permitted:
            self.books.distrust(case.record.id)
        return permitted

    # ── confirm ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _confirm(self, case: _Case) -> Fact:
        """Wait until the block is deep enough, and read what happened only then."""
        receipt = await _mined(case)
        if receipt is None:
            return await self._unmined(case) or Nothing()
        if (receipt.hash, receipt.block_hash) != (case.data.hash, case.data.block_hash):
            return f.Mined(receipt.hash, receipt.block, receipt.block_hash)
        attempt = next(attempt for attempt in case.data.attempts if attempt.hash == receipt.hash)
        good = receipt.ok and not (attempt.empty and case.data.members)
        policy = case.lane.policy
        enough = policy.settled_up_to(case.head) if good else policy.proven_up_to(case.head)
        return await self._finished(case, receipt, good=good) if receipt.block <= enough else Nothing()

    async def _finished(self, case: _Case, receipt: Receipt, *, good: bool) -> Fact:
        members = await self.books.payments(case.data.members)
        failed, short = _came(case, receipt, members) if good else (frozenset[int](), ())
        if case.lane.watch is not None:
            case.lane.watch.finished(case.lane.name, receipt.gas_used * receipt.gas_price_wei)
        return f.Finished(receipt, members, failed, case.data.sender, short, () if good else self._again(members))

    async def _unmined(self, case: _Case) -> Fact | None:
        """Tell a block that is gone from a node that does not show a receipt."""
        chain, sender = case.lane.chain, case.data.sender
        proof = case.lane.policy.proven_up_to(case.head)
        if case.head.number < case.data.block:
            return None
        # Counted at the head by its number: a node that has not reached it cannot answer.
        taken = await chain.nonce(sender, case.head.number) > case.data.nonce
        if taken and (proof < 0 or await chain.nonce(sender, proof) <= case.data.nonce):
            return None
        if taken and await self._displaced(case) is None:
            return None
        return await self._gone(case)

    async def _watch(self, case: _Case) -> Fact:
        """See that what counted is still there, until the chain cannot forget it any more."""
        receipt = await _mined(case)
        if receipt is None:
            return await self._unmined(case) or Nothing()
        same = receipt.hash == case.data.hash and receipt.block_hash == case.data.block_hash
        if not same or receipt.ok != (case.record.state == s.FINAL):
            return await self._gone(case)
        return f.Rooted() if receipt.block <= case.lane.policy.forgotten_below(case.head) else Nothing()

    async def _watch_displaced(self, case: _Case) -> Fact:
        """See that what took the nonce still has it: what it carried was given another one on that proof."""
        receipt = await _mined(case)
        if receipt is None and case.data.hash not in {attempt.hash for attempt in case.data.attempts}:
            receipt = await case.lane.chain.receipt(case.data.hash)
        if receipt is None:
            return await self._gone(case) if await self._free_or_taken_by_another(case) else Nothing()
        if (receipt.hash, receipt.block_hash) != (case.data.hash, case.data.block_hash):
            return await self._gone(case)
        return f.Rooted() if receipt.block <= case.lane.policy.forgotten_below(case.head) else Nothing()

    async def _free_or_taken_by_another(self, case: _Case) -> bool:
        """Tell a block that is gone from a node that does not show the receipt of what took the nonce."""
        if case.head.number < case.data.block:
            return False
        if await case.lane.chain.nonce(case.data.sender, case.head.number) <= case.data.nonce:
            return True
        taken = await self._displaced(case)
        return isinstance(taken, f.Displaced) and taken.seen.hash != case.data.hash

    async def _gone(self, case: _Case) -> Fact:
        """Say that the block on which it was decided is gone."""
        members = await self.books.payments(case.data.members)
        finalized = case.head.finalized
        return f.Unmined(members, deep=finalized is not None and case.data.block <= finalized)


# ── small things ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _mined(case: _Case) -> Receipt | None:
    """Find the receipt of any of the attempts; the newest are the likeliest, the old ones mine all the same."""
    receipts = await asyncio.gather(*(case.lane.chain.receipt(one.hash) for one in reversed(case.data.attempts)))
    return next((receipt for receipt in receipts if receipt is not None), None)


def _receipt_in_words(receipt: Receipt | None, attempt: SignedAttempt) -> str:
    what = "which pays nobody" if attempt.empty else "which pays"
    if receipt is None:
        return f"{what}: no block has it"
    return f"{what}: in block {receipt.block} ({receipt.block_hash}), {'done' if receipt.ok else 'failed'}"


def _why(data: TransactionData, *, dear: bool) -> str:
    if data.asked_bump:
        return "asked for by an operator"
    return f"the nodes want more ({data.reply})" if dear else "it waits for too long"


def _patience_s(case: _Case) -> float:
    """Say how long until the same bytes go out again: the longer it has waited already, the longer."""
    policy, age_s = case.lane.policy, (case.step.now - case.record.created_at) / SECOND
    return max(policy.rebroadcast_s, min(age_s / REPEATS, policy.rebroadcast_s * MOST_PATIENCE))


def _came(
    case: _Case, receipt: Receipt, members: tuple[PaymentRecord, ...]
) -> tuple[frozenset[int], tuple[f.Short, ...]]:
    """Say which members, by their place, a successful transaction did not pay, and to whom less came than was sent."""
    data, token = case.data, case.data.token
    payees = calldata.payees_of(members)
    failed = _contract(case).failed(receipt, data.batch, payees) if data.batch else frozenset[int]()
    if token is None:
        return failed, ()
    wanted = Counter[Address]()
    for place, one in enumerate(members):
        if place not in failed and one.data.to is not None:
            wanted[one.data.to] += int(one.data.value_wei)
    came = {to: calldata.came_to(receipt, token, to) for to in wanted}
    if not data.batch and not any(came.values()) and not calldata.left(receipt, token, data.sender):
        return frozenset(range(len(members))), ()  # it said no without failing
    short = tuple(
        f.Short(place, came[to], wanted[to])
        for place, one in enumerate(members)
        if place not in failed and (to := one.data.to) is not None and came[to] < wanted[to]
    )
    return failed, short


def _contract(case: _Case) -> PayMany:
    """Give the contract that a batch went to; no other can say what became of it."""
    contract = case.lane.pay_many
    if contract is None or contract.address != case.data.to:
        raise RailClosed(
            f"Nonce {case.data.nonce} of the lane {case.lane.name} pays through {case.data.to}, which the settings no "
            "longer name: put it back into pay_many until that is over.",
            rail=case.lane.name,
        )
    return contract


def _paid_by(
    case: _Case, seen: Seen, receipt: Receipt, members: tuple[PaymentRecord, ...]
) -> tuple[frozenset[int], tuple[f.Short, ...]]:
    """Say which members a transaction from outside surely paid, in whole or in part.

    The very call of our transaction, at another price, has paid like it. Else it is one at most, however many are
    alike.
    """
    data = case.data
    same = (seen.to, seen.value_wei, seen.data.lower()) == (data.to, int(data.value_wei), data.data.lower())
    if (data.batch or data.token) and members:
        if not same or not receipt.ok:
            return frozenset(), ()
        failed, short = _came(case, receipt, members)
        return frozenset(range(len(members))) - failed - {one.place for one in short}, short
    for place, payment in enumerate(members):
        if receipt.ok and calldata.does(seen, payment.data):
            return frozenset((place,)), ()
    return frozenset(), ()
