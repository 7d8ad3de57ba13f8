"""What a fact means to a transaction, and with it to the payments that it carries. Pure."""

from dataclasses import replace
from typing import Any

from machines.core.chain import NO_HASH, NodeReply, Receipt
from machines.core.clock import SECOND, Millis
from machines.core.decision import NEVER_S, Decision, alarm, contradiction, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused, override
from machines.core.machine import Machine, Prove
from machines.core.ports import Act, Cause, Evidence
from machines.core.record import Record
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction import permit, react_lane, react_payment
from machines.transaction.data import PaymentData, PaymentRecord, TransactionData, TransactionRecord, hash_claim
from machines.transaction.rail_share import gas_share

Choice = Decision[TransactionData]
Group = tuple[tuple[Record[Any], Decision[Any]], ...]

WATCH_S = 60.0

SOON_S, LATE_S, PACE = 2.0, 15.0, 1 / 8
"""What waits for blocks is looked at the more rarely the longer it waits: nothing is learned late by more than that."""


def transaction(
    acts: dict[str, Act[TransactionData]], prove: Prove[TransactionData] | None = None
) -> Machine[TransactionData]:
    return Machine(
        lifecycle=s.TRANSACTION,
        data=TransactionData,
        react=react,
        acts=acts,
        prove=prove,
        adoption=permit.TRANSACTIONS,
        rail_share=gas_share,
    )


def react(record: TransactionRecord, fact: Fact, now: Millis) -> Choice:
    """Decide; one case a line, the reasons below."""
    match record.state, fact:
        case _, Override():
            return override(s.TRANSACTION, record, fact)
        case s.SIGNED, f.Broadcast():
            return move("send", fact.answer.words or fact.answer.reply, data=_broadcast(record.data, fact))
        case s.SENT, f.Broadcast(_, answer):
            return keep(f"the same bytes again: {answer.words or answer.reply}", data=_broadcast(record.data, fact))
        case ((s.SENT | s.SIGNED), f.Bumped()):
            return _offered(record, fact, now)
        case ((s.SIGNED | s.SENT), f.Mined(_, block)):
            return move("mine", f"in block {block}", data=_in_block(record.data, fact))
        case s.MINED, f.Mined(tx, block):
            return keep(f"now in block {block} as {tx}", data=_in_block(record.data, fact))
        case s.MINED, f.Unmined():
            return move("reorg", "its block is gone", data=replace(record.data, hash=NO_HASH, block=0, block_hash=""))
        case ((s.FINAL | s.REVERTED | s.DISPLACED), f.Unmined()):
            return _taken_back(record, fact, now)
        case s.MINED, f.Finished():
            return _finished(record, fact)
        case s.SENT, f.Displaced():
            return _displaced(record, fact)
        case ((s.SIGNED | s.SENT), f.BumpAsked(by)):
            return keep(f"{by} asks for a better price", data=replace(record.data, asked_bump=True), again_s=0.0)
        case ((s.SIGNED | s.SENT), f.CancelAsked(by, reason)):
            data = replace(record.data, cancel=reason or "cancelled")
            return keep(f"{by} wants it replaced by nothing: {reason}", data=data, again_s=0.0)
        case _, (f.BumpAsked() | f.CancelAsked()):
            raise BadInput(f"{record.id} is {record.state}: its nonce is used up already.")
        case ((s.FINAL | s.REVERTED | s.DISPLACED), f.Rooted()):
            return wait(NEVER_S)
        case ((s.FINAL | s.REVERTED | s.DISPLACED), Nothing()):
            return wait(max(WATCH_S, _age_s(record, now)))
        case ((s.SENT | s.MINED), Nothing()):
            return wait(min(max(SOON_S, _age_s(record, now) * PACE), LATE_S))
        case _, (Refused() | LostSight()):
            return wait(react_lane.REFUSED_S)
        case _, (Nothing() | f.Broadcast() | f.Unmined() | f.Rooted() | f.Finished() | f.Displaced() | f.Bumped()):
            return wait()
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


def _age_s(record: TransactionRecord, now: Millis) -> float:
    return (now - record.since) / SECOND


def _offered(record: TransactionRecord, fact: f.Bumped, now: Millis) -> Choice:
    """Offer more for its nonce, and count it under the lane's cap where there is one."""
    why = f"{fact.why}: now {fact.attempt.hash}"
    group: Group = ()
    if fact.lane is not None:
        counted = react_lane.charged(fact.lane, fact.charges, f"nonce {record.data.nonce}: {why}", now)
        if counted is None:
            return wait()  # its bytes are thrown away unsent
        group = ((fact.lane, counted),)
    claims, attempts = (hash_claim(fact.attempt.hash),), (*record.data.attempts, fact.attempt)
    data = replace(record.data, attempts=attempts, asked_bump=False, reply="", reply_code="")
    if record.state == s.SENT:
        return move("bump", why, data=data, claims=claims, group=group)
    return keep(why, data=data, again_s=0.0, claims=claims, group=group)


def _broadcast(data: TransactionData, fact: f.Broadcast) -> TransactionData:
    attempts = tuple(replace(one, sent=True) if one.hash == fact.hash else one for one in data.attempts)
    answer = fact.answer
    code = "" if answer.reply in {NodeReply.ACCEPTED, NodeReply.NONCE_USED} else answer.reply.value
    reply = f"{code}: {answer.words}"[:200] if code else ""
    first = fact.hash == data.newest.hash and not data.newest.sent
    return replace(
        data,
        attempts=attempts,
        reply=reply,
        reply_code=code,
        sent_at=fact.at if first else data.sent_at,
        repeated_at=fact.at,
    )


def _in_block(data: TransactionData, fact: f.Mined) -> TransactionData:
    return replace(data, hash=fact.hash, block=fact.block, block_hash=fact.block_hash)


# ── over ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _finished(record: TransactionRecord, fact: f.Finished) -> Choice:
    data, receipt = record.data, fact.receipt
    winner = next((one for one in data.attempts if one.hash == receipt.hash), None)
    if winner is None or receipt.hash != data.hash:
        return wait(0.0)
    data = replace(data, fee_wei=str(receipt.gas_used * receipt.gas_price_wei))
    if winner.empty and data.members:
        why = data.cancel or "replaced by nothing"
        return move("displace", why, data=data, group=_given_up(record, fact, why))
    if receipt.ok:
        return move("finalize", f"final in block {receipt.block}", data=data, group=_outcomes(record, fact))
    return move("revert", f"failed in block {receipt.block}", data=data, group=_undone(record, fact))


def _outcomes(record: TransactionRecord, fact: f.Finished) -> Group:
    """Settle what was paid; what a batch could not pay is proven unpaid by the receipt."""
    short = {one.place: one for one in fact.short}

    def outcome(member: PaymentRecord, place: int) -> Decision[PaymentData]:
        evidence = evidence_of(record, fact, place)
        if place in fact.failed:
            return react_payment.failed(member, record.id, evidence, "the recipient did not take it", Cause.DESTINATION)
        return _came(record, member, evidence, short.get(place))

    return tuple((member, outcome(member, place)) for place, member in enumerate(fact.members))


def _came(
    record: TransactionRecord, member: PaymentRecord, evidence: Evidence, short: f.Short | None
) -> Decision[PaymentData]:
    if short is not None:
        return react_payment.short(member, record.id, evidence, short.came, short.wanted)
    return react_payment.settled(member, record.id, evidence, _rail(record))


def _undone(record: TransactionRecord, fact: f.Finished) -> Group:
    """Take a reverted batch apart; a payment that reverted alone has failed."""
    if len(fact.members) == 1:
        (member,), evidence = fact.members, evidence_of(record, fact, 0)
        reason = f"the chain reverted {fact.receipt.hash}"
        return ((member, react_payment.failed(member, record.id, evidence, reason, Cause.DESTINATION)),)
    return _taken_apart(record, fact, "its batch was reverted")


def _taken_apart(record: TransactionRecord, fact: f.Finished, why: str) -> Group:
    half = max(1, len(fact.members) // 2)
    return tuple(
        (one, react_payment.requeued(one, record.id, why, _permit(fact, place), half))
        for place, one in enumerate(fact.members)
    )


def _permit(fact: f.Finished | f.Displaced, place: int) -> str:
    return fact.permits[place] if fact.permits else ""


def _rail(record: TransactionRecord) -> str:
    return f"rail:{record.data.lane}"


def _given_up(record: TransactionRecord, fact: f.Finished, why: str) -> Group:
    """Fail what an operator cancelled, or what alone no node takes; a batch that no node takes is tried in halves."""
    if not record.data.cancel and len(fact.members) > 1:
        return _taken_apart(record, fact, why)
    return tuple(
        (
            member,
            react_payment.failed(
                member, record.id, evidence_of(record, fact, place), why, Cause.UNKNOWN, retryable=True
            ),
        )
        for place, member in enumerate(fact.members)
    )


def _displaced(record: TransactionRecord, fact: f.Displaced) -> Choice:
    """Let the payments go on: as paid where the other transaction did their work, else back into the queue."""
    seen = fact.seen
    data = replace(record.data, hash=seen.hash, block=fact.receipt.block, block_hash=fact.receipt.block_hash)
    why = f"nonce {seen.nonce} of {seen.sender} was used by {seen.hash}, which is not ours"
    short = {one.place: one for one in fact.short}
    group: Group = tuple(
        (member, _came(record, member, evidence_of(record, fact, place), short.get(place)))
        if place in fact.paid or place in short
        else (
            member,
            react_payment.requeued(member, record.id, f"nonce {seen.nonce} went to {seen.hash}", _permit(fact, place)),
        )
        for place, member in enumerate(fact.members)
    )
    if fact.lane is not None and fact.suspects:
        group = (*group, (fact.lane, react_lane.halted(fact.lane, fact.lane.data, fact.suspects, why)))
    return move("displace", why, data=data, group=group, messages=(alarm(f"{why}: another sender uses its key"),))


def _taken_back(record: TransactionRecord, fact: f.Unmined, now: Millis) -> Choice:
    why = f"the chain took back block {record.data.block}, which counted as final"
    if fact.deep:
        again_s = max(WATCH_S, _age_s(record, now))
        return contradiction(f"{why}, and called it so itself", _rail(record)).but(again_s=again_s)
    cancel = record.data.cancel
    waiting = [one for one in fact.members if one.data.transaction == record.id and one.state != s.FAILED]
    if fact.members and (not waiting or (record.state == s.DISPLACED and len(waiting) < len(fact.members))):
        # What it carried went on without it, or was given up on its proof: its bytes must not be mined beside that.
        cancel = cancel or "its payments have gone elsewhere"
    data = replace(record.data, hash=NO_HASH, block=0, block_hash="", fee_wei="", cancel=cancel)
    return move(
        "reverse",
        why,
        data=data,
        group=tuple((member, react_payment.withdrawn_by_chain(member, record.id)) for member in fact.members),
        alarm=why,
    )


def evidence_of(record: TransactionRecord, fact: f.Finished | f.Displaced, place: int) -> Evidence:
    """Say what proves the outcome of one payment."""
    receipt: Receipt = fact.receipt
    sender = fact.sender if isinstance(fact, f.Finished) else fact.seen.sender
    details = {
        "block": str(receipt.block),
        "block_hash": receipt.block_hash,
        "nonce": str(record.data.nonce),
        "sender": sender,
        "gas_used": str(receipt.gas_used),
        "gas_price_wei": str(receipt.gas_price_wei),
        "fee_wei": str(receipt.gas_used * receipt.gas_price_wei),
        "contract": receipt.contract or "",
        "batch": record.data.batch,
        "place": str(place) if record.data.batch else "",
    }
    return Evidence("ethereum", receipt.hash, tuple((name, value) for name, value in details.items() if value))
