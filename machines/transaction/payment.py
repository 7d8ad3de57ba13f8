"""What a fact means to a payment of a lane. Pure. It is moved by the lane and by its transaction, in their commits."""

from dataclasses import replace

from machines.core.chain import NO_HASH, TxHash
from machines.core.clock import Millis
from machines.core.decision import Decision, New, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, Nothing, Override, override
from machines.core.machine import Machine
from machines.core.ports import Cause, Evidence
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.data import PaymentData, PaymentRecord, TransactionData

Choice = Decision[PaymentData]


def payment() -> Machine[PaymentData]:
    """Make the machine."""
    return Machine(lifecycle=s.PAYMENT, data=PaymentData, facts=f.PAYMENT_FACTS, react=react)


def react(record: PaymentRecord, fact: Fact, _: Millis) -> Choice:
    """Decide; one case a line."""
    match record.state, fact:
        case _, Override():
            return override(s.PAYMENT, record, fact)
        case s.QUEUED, f.Withdrawn(by, reason):
            data = replace(record.data, reason=f"withdrawn: {reason}", retryable=True)
            return move("fail", f"{by}: {reason}", data=data)
        case _, f.Withdrawn():
            raise BadInput(
                f"{record.id} is {record.state}: it may have left. Cancel its transaction {record.data.transaction}."
            )
        case _, Nothing():
            return wait()
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


# ── what the lane decides for it ─────────────────────────────────────────────────────────────────────────────────────


def signed(record: PaymentRecord, new: New[TransactionData], place: int) -> Choice:
    """Decide that a signed transaction carries it."""
    carrier = new.data
    data = replace(
        record.data, transaction=new.id, place=place, nonce=carrier.nonce, hash=carrier.newest.hash, reason=""
    )
    return move("sign", f"nonce {carrier.nonce}, {carrier.newest.hash}", data=data)


def unpayable(found: f.Unpayable) -> Choice:
    """Decide that it can never be paid as it is: nothing was signed."""
    data = replace(found.payment.data, reason=found.reason, cause=found.cause, retryable=found.retryable)
    return move("fail", found.reason, data=data)


def recognized(record: PaymentRecord, evidence: Evidence, why: str) -> Choice:
    """Decide, on a person's word, that a transaction from outside paid it."""
    if record.state != s.QUEUED:
        raise BadInput(f"{record.id} is {record.state}: only what waits can have been paid by somebody else.")
    data = replace(record.data, evidence=evidence, hash=TxHash(evidence.reference))
    return move("recognize", why, data=data)


# ── what its transaction decides for it ──────────────────────────────────────────────────────────────────────────────


def settled(record: PaymentRecord, evidence: Evidence) -> Choice:
    """Decide that it is paid; from wherever a chain that changed its mind has left it."""
    data = replace(record.data, evidence=evidence, hash=TxHash(evidence.reference), reason="")
    match record.state:
        case s.SENDING:
            return move("settle", f"paid in {evidence.reference}", data=data)
        case s.FAILED:
            return move("contradict", f"paid in {evidence.reference}", data=data, alarm="paid after it had failed")
        case s.QUEUED:
            return move("recognize", f"paid in {evidence.reference}", data=data)
        case _:
            return noted(f"paid in {evidence.reference}, and settled already")


def failed(record: PaymentRecord, evidence: Evidence, reason: str, cause: Cause, *, retryable: bool = False) -> Choice:
    """Decide that it is proven not paid, for good."""
    if record.state != s.SENDING:
        return noted(f"not paid by {evidence.reference}: {reason}")
    data = replace(record.data, evidence=evidence, reason=reason, cause=cause, retryable=retryable)
    return move("fail", reason, data=data)


def requeued(record: PaymentRecord, why: str, most_together: int = 0) -> Choice:
    """Decide that it waits again: its transaction is over and did not pay it."""
    if record.state != s.SENDING:
        return noted(why)
    data = replace(
        record.data,
        transaction=None,
        nonce=-1,
        hash=NO_HASH,
        most_together=most_together or record.data.most_together,
    )
    return move("requeue", why, data=data)


def withdrawn_by_chain(record: PaymentRecord) -> Choice:
    """Decide that what counted as paid is open again."""
    if record.state != s.SETTLED:
        return noted("the chain took back the block of its transaction")
    return move("reverse", "the chain took back the block that paid it", data=replace(record.data, evidence=None))
