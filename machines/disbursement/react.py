"""What a fact means to a file of payouts. Pure: a record, a fact and the time give a decision."""

from dataclasses import replace

from machines.core.clock import Millis
from machines.core.decision import Decision, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, Nothing, Override, override
from machines.core.machine import Machine, RetryPolicy
from machines.core.ports import Act
from machines.disbursement import facts as f
from machines.disbursement import lifecycle as s
from machines.disbursement.data import (
    FileApproval,
    FileData,
    FileRecord,
    PortionData,
    PortionRecord,
    same_name,
)

Choice = Decision[FileData]

RETRY = RetryPolicy(base_s=2, cap_s=300)


def disbursement(acts: dict[str, Act[FileData]]) -> Machine[FileData]:
    return Machine(lifecycle=s.LIFECYCLE, data=FileData, react=react, acts=acts, retry=RETRY)


def portion() -> Machine[PortionData]:
    return Machine(lifecycle=s.PORTION, data=PortionData, react=react_portion)


def react(record: FileRecord, fact: Fact, now: Millis) -> Choice:
    """Decide what a fact means to a file."""
    match record.state, fact:
        case _, Override():
            return override(s.LIFECYCLE, record, fact)
        case _, Nothing():
            return wait()
        case s.CHECKED, f.FileApproved():
            return _approved(record, fact, now)
        case s.CHECKED, f.RowsLeftOut(by, left_out, portions, needed):
            data = replace(record.data, left_out=left_out, portions=portions, approvals_needed=needed, approvals=())
            return keep(f"{by} leaves out {record.data.payable - data.payable} rows more", data=data)
        case s.CHECKED, f.FileRejected(by, reason):
            return move("reject", f"{by}: {reason}", data=replace(record.data, reason=reason))
        case ((s.CHECKED | s.MAKING), f.FileCancelled()):
            return _cancelled(record, fact)
        case s.MAKING, f.PortionRead() if fact.place == record.data.next_portion:
            return _split(record, fact)
        case s.MAKING, f.PortionGone(place, state) if place == record.data.next_portion:
            return _after(record, place, 0, f"portion {place + 1} is {state}: its rows are not paid")
        case s.PAYING, f.RowsFollowed():
            return _followed(record, fact)
        case _, (f.FileApproved() | f.RowsLeftOut() | f.FileRejected() | f.FileCancelled()):
            raise BadInput(f"{record.id} is {record.state}: {s.LIFECYCLE.state(record.state).means}")
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


def react_portion(record: PortionRecord, fact: Fact, _: Millis) -> Decision[PortionData]:
    """Decide what a fact means to a portion, which moves with its file alone."""
    if isinstance(fact, Override):
        return override(s.PORTION, record, fact)
    return noted(f"{type(fact).__name__} means nothing to a portion")


def _approved(record: FileRecord, fact: f.FileApproved, now: Millis) -> Choice:
    data = record.data
    if same_name(fact.by, data.uploaded_by) or same_name(fact.by, record.owner):
        raise BadInput(f"{fact.by} sent {record.id} and cannot approve it: another person must.")
    if fact.fingerprint != data.fingerprint:
        raise BadInput(f"{record.id} changed since you looked at it: look at its sums again.")
    if any(same_name(one.by, fact.by) for one in data.approvals):
        raise BadInput(f"{fact.by} approved {record.id} already: a second person must.")
    if not data.payable:
        raise BadInput(f"{record.id} has no row to pay.")
    data = replace(data, approvals=(*data.approvals, FileApproval(fact.by, fact.at or now, fact.seal)))
    missing = data.approvals_needed - len(data.approvals)
    if missing > 0:
        return keep(f"{fact.by} said yes; {missing} more must", data=data)
    return move("approve", f"{fact.by} said yes to {data.payable} rows", data=data, creates=fact.reserves)


def _cancelled(record: FileRecord, fact: f.FileCancelled) -> Choice:
    group = tuple((one, move("give_back", fact.reason)) for one in fact.reserved)
    data = replace(record.data, reason=fact.reason)
    made = f"; {data.made} rows are payouts, and stay so" if data.made else ""
    return move("cancel", f"{fact.by}: {fact.reason}{made}", data=data, group=group)


def _split(record: FileRecord, fact: f.PortionRead) -> Choice:
    """Let go of what is held for a portion, and make its payouts, which hold it, in one commit."""
    refused = f", {fact.refused} have a reference that was used meanwhile" if fact.refused else ""
    why = f"{len(fact.payouts)} rows of portion {fact.place + 1} are payouts{refused}"
    made = _after(record, fact.place, len(fact.payouts), why)
    return made.but(creates=fact.payouts, group=((fact.portion, move("split", why)),))


def _after(record: FileRecord, place: int, made: int, why: str) -> Choice:
    data = record.data.with_portion(place, replace(record.data.portions[place], made=made, over=not made))
    if data.next_portion is None:
        return move("follow", f"{why}; that was the last of them", data=data, again_s=1)
    return keep(why, data=data, again_s=0)


def _followed(record: FileRecord, fact: f.RowsFollowed) -> Choice:
    data = record.data
    for place, states, over in fact.found:
        data = data.with_portion(place, replace(data.portions[place], states=states, over=over))
    says = ", ".join(f"{count} {state}" for state, count in data.states().items())
    if all(one.over for one in data.portions):
        return move("finish", says or "nothing was to be paid", data=data)
    return keep(says, data=data)
