"""From a line of a statement to the record that it is about, and to the postings that the record made."""

from typing import NamedTuple

from machines.core.errors import NotFound
from machines.core.ids import RecordId, is_id, parse_id
from machines.finding.data import FindingRecord
from payflow.shown import amount, utc
from payflow.store.store import Store


class Lineage(NamedTuple):
    """What stands behind a finding, in words."""

    line: str
    """What the rail says; empty where no line is there."""
    record: str
    """The record that it is about, and where that is."""
    record_id: str
    postings: tuple[str, ...]
    """What the record posted, oldest first."""
    events: tuple[str, ...]
    """What happened to the finding, oldest first."""


async def lineage_of(store: Store, finding: FindingRecord) -> Lineage:
    """Follow a finding to both its ends."""
    data = finding.data
    found = await store.statements.line(data.rail, data.line) if data.line else None
    line = ""
    if found is not None:
        one = found.line
        way = "left" if one.out else "came in"
        by = f" as {one.reference}" if one.reference else ""
        source = f", in {found.source}" if found.source else ""
        line = f"{one.id}: {one.kind} of {one.amount} {way} at {utc(one.at)}{by}{source}"
    about = RecordId((found.record if found else "") or data.record)
    record, postings = await _record(store, about) if about else ("", ())
    events = tuple(
        f"{utc(event.at)} {event.who}: {event.why or event.trigger or event.state}"
        for event in await store.records.history(finding.id)
    )
    return Lineage(line, record, about, postings, events)


async def _record(store: Store, name: RecordId) -> tuple[str, tuple[str, ...]]:
    if not is_id(name) or parse_id(name)[0] not in store.records.machines:
        return f"{name}, of a machine that is not run here", ()
    try:
        record = (await store.records.read(name)).record
    except NotFound:
        left = await store.archive.as_left(name)
        if left is None:
            return f"{name}, which our books do not know", ()
        return f"{name}: {amount(left.amount)}, {left.state}, archived", ()
    states = store.records.machines[record.machine].lifecycle.states
    postings, before = [], "available"
    for event in await store.records.history(name):
        position = states[event.state].position if event.state in states else None
        if position is not None and position.value != before:
            postings.append(f"{utc(event.at)} {amount(record.amount)} of {record.owner}: {before} → {position.value}")
            before = position.value
    return f"{name}: {amount(record.amount)}, {record.state} since {utc(record.since)}", tuple(postings)
