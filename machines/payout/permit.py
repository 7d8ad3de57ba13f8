"""Here it is decided that what leaves is what was approved.

The rules and each person who says yes put a seal on what they saw: which payout, how much, where to, through which
rail, with which findings. Before anything is sent, those seals are compared with what is about to be sent: the
destination as it is in clear, never as it is encrypted. Retries, deferrals and repeats are the same payment and need no
new yes; a corrected destination, another amount and another rail are another one, at which the rules look again.

The rules' seals are made with keys that workers alone have, those of people with keys that the API has as well: so
whoever takes over the API, or has a backup and its keys, can neither say that the rules let something pass nor change
what a person said yes to.
"""

from dataclasses import replace

from machines.core.clock import Millis
from machines.core.errors import BadAmount, Unapproved
from machines.core.machine import SealAdoption
from machines.core.ports import PermitSigner, SealKind
from machines.payout import lifecycle as s
from machines.payout.data import Approval, PayoutData, PayoutRecord, one_person, parts_of, reference_of, who_asked

_SENT_FROM = frozenset({s.APPROVED, s.PROCESSING, s.UNCONFIRMED, s.FAILED})


def by_rules(signer: PermitSigner, record: PayoutRecord) -> str:
    """Seal what the rules found, and where they saw it go."""
    return signer.sign(SealKind.RULES, *_ruled(record, record.data.ruled_place))


def by_person(signer: PermitSigner, record: PayoutRecord, place: str, by: str, at: int) -> str:
    """Seal somebody's yes to what is proposed now, which goes to this destination in clear."""
    said = Approval(by, at, record.data.proposal.fingerprint)
    return signer.sign(SealKind.PERSON, *_said(record, place, said, record.data.proposal.by))


def by_file(signer: PermitSigner, record: PayoutRecord, place: str, by: str, at: int) -> str:
    """Seal that somebody said yes to the file which a payout is a row of, where it says just this."""
    return signer.sign(SealKind.FILE, *_filed(record, place, by, at))


def who_approved(signer: PermitSigner, record: PayoutRecord, place: str) -> tuple[Approval, ...]:
    """Say whose yes the newest attempt, to this very destination, leaves on: nobody's, where the rules let it pass.

    Raises unless the rules saw it as it is and enough people approved it, or two adopted it from an older version.
    Nobody's yes stands for the rules' seal: those of people can be made with keys that the API has.
    """
    data = record.data
    _refuse_gaps(record)
    if any(signer.knows(one.seal, [SealKind.ADOPTION], *_said(record, place, one)) for one in data.approvals):
        return ()
    if not signer.knows(data.rules, [SealKind.RULES], *_ruled(record, place)):
        raise Unapproved(
            "The rules put no seal on it as it is. Put it into REQUESTED, where they look at it again; what an older "
            "version approved is taken over with `payflow permit adopt`."
        )
    if data.by_rules:
        return ()
    sealed = (
        one
        for one in data.approvals
        if signer.knows(one.seal, [SealKind.PERSON], *_said(record, place, one))
        or (data.is_row and signer.knows(one.seal, [SealKind.FILE], *_filed(record, place, one.by, one.at)))
    )
    said_yes = {one_person(one.by): one for one in sealed}
    for nobody in who_asked(record):
        said_yes.pop(one_person(nobody), None)
    given, needed = len(said_yes), data.people_needed
    if given < needed:
        raise Unapproved(f"Nobody approved it as it is: {given} of {needed} people put a seal on just this.")
    return tuple(said_yes.values())


def _refuse_gaps(record: PayoutRecord) -> None:
    """Raise where an attempt is missing before the newest: nobody would ask the rail what became of it."""
    data = record.data
    _, _, newest = parts_of(data.newest) or (record.id, "", 0)
    all_of_them = [reference_of(record.id, number, data.installation) for number in range(1, newest + 1)]
    if data.newest not in all_of_them or not {one.reference for one in data.attempts}.issuperset(all_of_them):
        raise Unapproved(f"{data.newest} is none of its references, or attempts before it are missing.")


def _content(record: PayoutRecord) -> tuple[str | int, ...]:
    if record.amount is None:
        raise BadAmount(f"{record.id} has no amount.")
    data, amount = record.data, record.amount
    return (record.id, record.owner, amount.asset.code, amount.units, data.send_units, data.rail, data.installation)


def _found(data: PayoutData) -> tuple[str | int, ...]:
    return (data.approvals_needed, *(f"{one.code} {one.text}" for one in data.findings))


def _ruled(record: PayoutRecord, place: str) -> tuple[str | int, ...]:
    return (*_content(record), place, *_found(record.data))


def _said(record: PayoutRecord, place: str, said: Approval, asked_by: str = "") -> tuple[str | int, ...]:
    """Give what a yes is to; who asked for it cannot be made somebody else, so that they say yes to it themselves."""
    asked = asked_by or record.data.requested_by
    return (*_content(record), place, asked, said.fingerprint, said.by, said.at, *_found(record.data))


def _filed(record: PayoutRecord, place: str, by: str, at: int) -> tuple[str | int, ...]:
    """Give what a yes to a file says of a row: what the bank says later, and what the rail takes, is not in it."""
    if record.amount is None:
        raise BadAmount(f"{record.id} has no amount.")
    data, amount = record.data, record.amount
    what = (record.id, record.owner, amount.asset.code, amount.units, data.rail, data.installation, place)
    return (*what, data.requested_by, data.file, by, at)


# ── what an older version approved ───────────────────────────────────────────────────────────────────────────────────


def _waits(record: PayoutRecord) -> bool:
    return record.state in _SENT_FROM and record.data.waits_unsealed


def _adopted(record: PayoutRecord, signer: PermitSigner, who: str, at: Millis) -> PayoutData:
    data = record.data
    approval = Approval(who, at, data.fingerprint)
    seal = signer.sign(SealKind.ADOPTION, *_said(record, data.place, approval))
    return replace(data, approvals=(*data.approvals, replace(approval, seal=seal)))


ADOPTION = SealAdoption(_waits, _adopted)
