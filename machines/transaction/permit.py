"""Here it is decided that a lane pays nothing but what it was permitted to pay.

Whoever pays through a lane has seen, right before, that it was approved; a permit goes with the payment: which one, to
whom, how much of what. The lane looks at it before it signs the first transaction that pays it. Each transaction has a
permit too, over what was signed first, so that a better offer for gas is one for the same. What a lane sends for its
own sake pays nobody, so its permit covers nothing that is worth anything: no value, or to ourselves.

A permit is good for one turn in the queue: the first while nothing was ever written into the payment after it was made,
a later one, which a worker gives it with the proof that its transaction did not pay it, in that very version. So an old
permit that is put into a payment which was signed for pays it no second time.
"""

from dataclasses import replace

from machines.core.clock import Millis
from machines.core.ids import RecordId
from machines.core.machine import SealAdoption
from machines.core.ports import PermitSigner, SealKind
from machines.transaction import lifecycle as s
from machines.transaction.calldata import effect
from machines.transaction.data import PaymentData, PaymentRecord, TransactionData, TransactionRecord

FIRST = 1
"""The version of a record that was just made."""


def with_permit(signer: PermitSigner, record_id: RecordId, data: PaymentData) -> PaymentData:
    """Permit a payment."""
    return replace(data, permit=signer.sign(SealKind.PERMIT, *_paid(record_id, data)))


def once_more(signer: PermitSigner, record: PaymentRecord) -> str:
    """Permit a payment once more in the version in which it waits again, now that its transaction did not pay it."""
    return signer.sign(SealKind.PERMIT, *_paid(record.id, record.data), record.version + 1)


def may_be_paid(signer: PermitSigner, record: PaymentRecord) -> bool:
    """Tell whether a payment says what was permitted, for this turn in the queue."""
    kinds, turn = (SealKind.PERMIT, SealKind.ADOPTION), () if record.version == FIRST else (record.version,)
    return signer.knows(record.data.permit, kinds, *_paid(record.id, record.data), *turn)


def as_signed(signer: PermitSigner, data: TransactionData) -> TransactionData:
    """Permit what is signed for a nonce, for all that is signed for it later."""
    kind = SealKind.PERMIT if data.members else SealKind.OWN
    return replace(data, permit=signer.sign(kind, *_signed(data)))


def may_be_signed_again(signer: PermitSigner, data: TransactionData) -> bool:
    """Tell whether a transaction says what was signed for its nonce first."""
    kinds = (SealKind.PERMIT if data.members else SealKind.OWN, SealKind.ADOPTION)
    pays_nobody = not int(data.value_wei) or data.to == data.sender
    return (bool(data.members) or pays_nobody) and signer.knows(data.permit, kinds, *_signed(data))


def _paid(record_id: RecordId, data: PaymentData) -> tuple[str | int, ...]:
    return (record_id, data.key, *effect(data))


def _signed(data: TransactionData) -> tuple[str | int, ...]:
    return (data.lane, data.chain_id, data.sender, data.nonce, data.to or "", data.value_wei, data.data, data.gas)


# ── what an older version queued or signed ───────────────────────────────────────────────────────────────────────────


def _adopted_payment(record: PaymentRecord, signer: PermitSigner, _: str, __: Millis) -> PaymentData:
    turn = record.version + 1
    return replace(record.data, turn=turn, permit=signer.sign(SealKind.ADOPTION, *_paid(record.id, record.data), turn))


def _adopted_transaction(record: TransactionRecord, signer: PermitSigner, _: str, __: Millis) -> TransactionData:
    return replace(record.data, permit=signer.sign(SealKind.ADOPTION, *_signed(record.data)))


def _waits(record: PaymentRecord) -> bool:
    """Whether nothing permits it, or only what did so before it was signed for, as an older version left it."""
    stale = record.version not in {FIRST, record.data.turn}
    return record.state == s.QUEUED and (stale or not record.data.permit)


PAYMENTS: SealAdoption[PaymentData] = SealAdoption(_waits, _adopted_payment)
TRANSACTIONS: SealAdoption[TransactionData] = SealAdoption(
    lambda record: record.state in (s.SIGNED, s.SENT) and not record.data.permit, _adopted_transaction
)
