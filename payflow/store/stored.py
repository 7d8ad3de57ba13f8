"""What the store gives: records as they were read, what a commit on them needs, and what is left of archived ones."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, NamedTuple

import msgspec

from machines.core.clock import Millis
from machines.core.ids import RecordId, parse_id
from machines.core.record import Record
from payflow.store import keys
from payflow.store.link import Link
from payflow.store.macs import Body

BROUGHT_BACK = "BroughtBack"
"""The fact that an archived record learned when it came back into the store."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it was read, with what a commit on it needs."""

    record: Record[Any]
    chain: bytes
    """Hash of its newest event."""
    at: Millis
    """The store's time when it was read."""
    body: Body
    fence: int = 0
    """The number of our lease; 0 without one."""
    share: str = ""
    """What it has in the accounts of its rail, as far as that is posted."""


@dataclass(frozen=True, slots=True)
class Poison:
    """A leased record that cannot be read, with what is needed to set it aside."""

    record: Record[None]
    """All that can be read of it: id, state and version."""
    chain: bytes
    at: Millis
    fence: int
    problem: str
    body: Body
    foreign: bool = False
    """Whether only this process cannot judge it, because it lacks the key."""


class Queue(NamedTuple):
    """What a poller asks for."""

    machine: str
    state: str
    limit: int
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to one claim."""

    now: Millis
    next_due: Millis | None
    """When the next record of these queues comes due, as far as known."""
    found: Sequence[Stored | Poison]
    astray: Sequence[RecordId] = ()
    """Ids that were in an index without a record in that state; they were taken out of it."""


@dataclass(frozen=True, slots=True)
class Made:
    """The answer to a creation: the record as it was when it was first made."""

    record: Record[Any]
    fresh: bool
    """False for a replay."""


@dataclass(frozen=True, slots=True)
class ArchivedStub:
    """What is left of an archived record: all but its history, which is in the archive."""

    state: str
    version: int
    owner: str
    asset: str
    units: int
    at: int
    """When it was archived."""
    file: str
    """The name of the archive that has it."""
    first: bytes
    """Its first event, which is the first answer."""
    data: bytes = b""
    """What it kept."""
    hash: bytes = b""
    """The hash of its newest event."""
    made: int = 0
    since: int = 0
    mac: bytes = b""
    """The signature of all this; empty where an older version archived it."""
    share: str = ""
    """What it has in the accounts of its rail, as far as that is posted."""


async def archived_stub(link: Link, record_id: RecordId) -> ArchivedStub | None:
    """Read what is left of a record; None where none was archived under this id."""
    stub = await link.ask("HGET", keys.tombs(parse_id(record_id)[1]), record_id)
    return None if stub is None else read_stub(stub)


def signed_parts(record_id: RecordId, stub: ArchivedStub) -> tuple[str | int | bytes, ...]:
    """Give what the signature of a tombstone is over: all but itself."""
    parts = astuple(replace(stub, mac=b""))
    return (record_id, *(parts if stub.share else parts[:-1]))  # as it was before there were shares


def read_stub(stored: bytes) -> ArchivedStub:
    return msgspec.msgpack.decode(stored, type=ArchivedStub)
