"""Here it is decided that the rows that become payouts are those that people approved.

Each who says yes puts a seal on the file's fingerprint, which names every portion by its digest. The worker that makes
payouts of a portion compares these seals with the file, and the digest with the rows, and only then seals each payout.
"""

from collections.abc import Mapping

from machines.core.errors import Unapproved
from machines.core.ids import folded
from machines.core.ports import PermitSigner, SealKind
from machines.disbursement.data import TWO_PEOPLE, FileApproval, FileRecord, same_name


def sealed_yes(signer: PermitSigner, record: FileRecord, by: str, at: int) -> str:
    """Seal somebody's yes to a file as it is."""
    return signer.sign(SealKind.PERSON, *_said(record, by, at))


def people_needed(sums: Mapping[str, int], two_people_from: Mapping[str, int] | None) -> int:
    """Say how many people must approve what comes to these sums."""
    if two_people_from is None:
        return 1
    return TWO_PEOPLE if any(units >= two_people_from.get(code, 0) for code, units in sums.items()) else 1


def file_approvers(
    signer: PermitSigner, record: FileRecord, two_people_from: Mapping[str, int] | None
) -> tuple[FileApproval, ...]:
    """Say whose yes a file is paid on; raises where too few put a seal on exactly this."""
    data = record.data
    sealed = (
        one
        for one in data.approvals
        if signer.knows(one.seal, [SealKind.PERSON], *_said(record, one.by, one.at))
        and not same_name(one.by, data.uploaded_by)
        and not same_name(one.by, record.owner)
    )
    given = {folded(one.by): one for one in sealed}
    needed = max(data.approvals_needed, people_needed(data.sums(), two_people_from))
    if len(given) < needed:
        raise Unapproved(f"Nobody approved it as it is: {len(given)} of {needed} people put a seal on just this.")
    return tuple(given.values())


def _said(record: FileRecord, by: str, at: int) -> tuple[str | int, ...]:
    data = record.data
    return ("file", record.id, record.owner, data.uploaded_by, data.fingerprint, by, at)
