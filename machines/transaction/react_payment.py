"""What a fact means to a payment of a lane. Pure. It is moved by the lane and by its transaction, in their commits."""

from dataclasses import replace

from machines.core.chain import NO_HASH, TxHash
from machines.core.clock import Millis
from machines.core.decision import Decision, New, contradiction, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, Nothing, Override, override
from machines.core.ids import RecordId
from machines.core.machine import Machine, Prove
from machines.core.ports import Cause, Evidence
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.data import PaymentData, PaymentRecord, TransactionData
from machines.transaction.permit import PAYMENTS
from machines.transaction.rail_share import payment_share

Choice = Decision[PaymentData]


def payment(prove: Prove[PaymentData] | None = None) -> Machine[PaymentData]:
    return Machine(
        lifecycle=s.PAYMENT,
        data=PaymentData,
        react=react,
        prove=prove,
        adoption=PAYMENTS,
        rail_share=payment_share,
    )


def react(record: PaymentRecord, fact: Fact, _: Millis) -> Choice:
    """Decide; one case a line."""
    match record.state, fact:
        case _, Override():
            return override(s.PAYMENT, record, fact)
        case s.QUEUED, f.Withdrawn(by, reason):
            return move(
                "fail",
                f"{by}: {reason}",
                data=replace(record.data, reason=f"withdrawn: {reason}", retryable=True),
            )
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
    return move(
        "sign",
        f"nonce {carrier.nonce}, {carrier.newest.hash}",
        data=replace(
            record.data, transaction=new.id, place=place, nonce=carrier.nonce, hash=carrier.newest.hash, reason=""
        ),
    )


def unpayable(found: f.UnpayablePayment) -> Choice:
    """Decide that it can never be paid as it is: nothing was signed."""
    return move(
        "fail",
        found.reason,
        data=replace(found.payment.data, reason=found.reason, cause=found.cause, retryable=found.retryable),
    )


def recognized(record: PaymentRecord, evidence: Evidence, why: str) -> Choice:
    """Decide, on a person's word, that a transaction from outside paid it."""
    data = replace(record.data, evidence=evidence, hash=TxHash(evidence.reference), reason="")
    match record.state:
        case s.QUEUED:
            return move("recognize", why, data=data)
        case s.FAILED:
            return move("contradict", why, data=data, alarm="paid from outside, though it had failed here")
        case s.SENDING:
            raise BadInput(f"{record.id} is under way at nonce {record.data.nonce}: cancel that transaction first.")
        case _:
            raise BadInput(f"{record.id} is {record.state} already.")


# ── what a transaction decides for what it carries, or carried before the chain changed its mind ─────────────────────


def settled(record: PaymentRecord, carrier: RecordId, evidence: Evidence, stops: str) -> Choice:
    """Decide that it is paid; from wherever a chain that changed its mind has left it."""
    data = replace(record.data, evidence=evidence, hash=TxHash(evidence.reference), reason="")
    why = f"paid in {evidence.reference}"
    match record.state:
        case s.SENDING if record.data.transaction == carrier:
            return move("settle", why, data=data)
        case s.SENDING:
            return contradiction(f"{why}, and under way again at nonce {record.data.nonce}", stops)
        case s.FAILED:
            return move("contradict", why, data=data, alarm="paid after it had failed")
        case s.QUEUED:
            return move("recognize", why, data=data)
        case _ if record.data.hash != evidence.reference:
            return contradiction(f"{why}, and before that in {record.data.hash}", stops)
        case _:
            return noted(f"{why}, and settled already")


def short(record: PaymentRecord, carrier: RecordId, evidence: Evidence, came: int, wanted: int) -> Choice:
    """Decide that less came to the payee than was sent: neither paid nor unpaid, until a person says."""
    reason = f"only {came} of {wanted} units of {record.data.token} came to {record.data.to} in {evidence.reference}"
    if not _carried(record, carrier):
        return noted(reason)
    evidence = replace(evidence, details=(*evidence.details, ("came", str(came)), ("wanted", str(wanted))))
    data = replace(record.data, evidence=evidence, hash=TxHash(evidence.reference), reason=reason)
    return move("fall_short", reason, data=data, alarm=f"{record.id}: {reason}")


def failed(
    record: PaymentRecord, carrier: RecordId, evidence: Evidence, reason: str, cause: Cause, *, retryable: bool = False
) -> Choice:
    """Decide that it is proven not paid, for good."""
    if not _carried(record, carrier):
        return noted(f"not paid by {evidence.reference}: {reason}")
    return move(
        "fail",
        reason,
        data=replace(record.data, evidence=evidence, reason=reason, cause=cause, retryable=retryable),
    )


def requeued(record: PaymentRecord, carrier: RecordId, why: str, permit: str, most_together: int = 0) -> Choice:
    """Decide that it waits again: its transaction is over and did not pay it, so that it is permitted once more."""
    if not _carried(record, carrier):
        return noted(why)
    return move(
        "requeue",
        why,
        data=replace(
            record.data,
            transaction=None,
            nonce=-1,
            hash=NO_HASH,
            permit=permit,
            turn=record.version + 1,
            most_together=most_together or record.data.most_together,
        ),
    )


def withdrawn_by_chain(record: PaymentRecord, carrier: RecordId) -> Choice:
    """Decide that what counted as paid is open again."""
    if record.state not in {s.SETTLED, s.SHORT} or record.data.transaction != carrier:
        return noted("the chain took back the block of a transaction that carried it")
    return move("reverse", "the chain took back the block that paid it", data=replace(record.data, evidence=None))


def _carried(record: PaymentRecord, carrier: RecordId) -> bool:
    """Say whether it is under way in this transaction, and not in another that came after it."""
    return record.state == s.SENDING and record.data.transaction == carrier
