"""What is left of a record that was put away: all but its history, which is in the archive."""

from dataclasses import dataclass

import msgspec

from machines.core.ids import RecordId, parse_id
from payflow.store import keys
from payflow.store.link import Link


@dataclass(frozen=True, slots=True)
class ArchivedStub:
    """What is left of a record that was put away."""

    state: str
    version: int
    owner: str
    asset: str
    units: int
    at: int
    """When it was put away."""
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


async def archived_stub(link: Link, record_id: RecordId) -> ArchivedStub | None:
    """Read what is left of a record; None where none was put away under this id."""
    tomb = await link.ask("HGET", keys.tombs(parse_id(record_id)[1]), record_id)
    return None if tomb is None else read_stub(tomb)


def read_stub(stored: bytes) -> ArchivedStub:
    """Read what is left of a record, as the store has it."""
    return msgspec.msgpack.decode(stored, type=ArchivedStub)
