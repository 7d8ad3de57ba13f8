"""Here it is decided that a pool payment is what a run found due: no other is debited, or handed to the lane."""

from dataclasses import replace

from machines.core.clock import Millis
from machines.core.errors import Unapproved
from machines.core.ids import RecordId
from machines.core.machine import SealAdoption
from machines.core.ports import PermitSigner, SealKind
from machines.pool import lifecycle as s
from machines.pool.data import PoolData, PoolRecord, shannon_of


def with_permit(signer: PermitSigner, record_id: RecordId, data: PoolData, shannon: int) -> PoolData:
    """Permit a payment that is due, as whoever runs the pool."""
    return replace(data, permit=signer.sign(SealKind.PERMIT, *_due(record_id, data, shannon)))


def refuse_unpermitted(signer: PermitSigner, record: PoolRecord) -> None:
    """Raise unless a payment says what was found due."""
    kinds = (SealKind.PERMIT, SealKind.ADOPTION)
    if not signer.knows(record.data.permit, kinds, *_due(record.id, record.data, shannon_of(record))):
        raise Unapproved("No run found it due as it is: somebody else wrote it, or an older version.")


def _due(record_id: RecordId, data: PoolData, shannon: int) -> tuple[str | int, ...]:
    return (record_id, data.coin, data.login, data.to, data.run, data.charge_wei, shannon)


def _adopted(record: PoolRecord, signer: PermitSigner, _: str, __: Millis) -> PoolData:
    due = _due(record.id, record.data, shannon_of(record))
    return replace(record.data, permit=signer.sign(SealKind.ADOPTION, *due))


ADOPTION: SealAdoption[PoolData] = SealAdoption(
    lambda record: record.state in (s.DUE, s.DEBITED, s.HALTED) and not record.data.permit, _adopted
)
