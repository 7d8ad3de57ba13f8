"""Records, facts and events as bytes, and the hash chain over a record's history."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from machines.core.clock import Millis
from machines.core.errors import PayflowError
from machines.core.machine import AnyMachine

GENESIS = bytes(32)
_NO_ASSET = ""

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class UnreadableRecord(PayflowError):
    """The bytes of a record cannot be read by this version."""


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One commit in a record's history."""

    at: Millis
    version: int
    trigger: str
    """The move; empty where the record stayed."""
    state: str
    """Where the record was afterwards."""
    who: str
    why: str
    fact: str
    details: Mapping[str, Any]
    before: bytes
    """The hash of the event before."""
    left: bytes | None = None
    """The digest of what the record kept afterwards; empty where that stayed as it was, None where an older version
    wrote the event, which said nothing of it."""
    amount: tuple[str, str] | None = None
    """Asset and units, in the event that made the record."""


class DataCodec:
    """Reads and writes what each machine keeps on its records."""

    def __init__(self, machines: Mapping[str, AnyMachine]) -> None:
        self._decoders = {name: msgspec.msgpack.Decoder(machine.data) for name, machine in machines.items()}

    def read(self, machine: str, data: bytes) -> Any:
        try:
            return self._decoders[machine].decode(data)
        except msgspec.MsgspecError as error:
            raise UnreadableRecord(f"Its data cannot be read: {error}.") from error

    def rebuild(self, machine: str, details: Mapping[str, Any]) -> Any:
        """Make a record's data from the details of the event that created it."""
        return msgspec.convert(details, self._decoders[machine].type)


def event_bytes(
    before: bytes,
    at: int,
    version: int,
    trigger: str,
    state: str,
    who: str,
    why: str,
    fact: str,
    details: object,
    *more: tuple[str, str | bytes],
) -> bytes:
    """Write an event behind the hash of the one before.

    In the event that makes a record its amount comes next, then, as a pair that no amount is, what the record keeps
    from now on: so nobody can change them beside it, and an older version reads past it.
    """
    return before + encode((at, version, trigger, state, who, why, fact, details, *more))


def left_by(data_digest: bytes) -> tuple[str, bytes]:
    """Give what an event says of the data that it wrote, and of whose they are; nothing where it wrote none."""
    return _NO_ASSET, data_digest


def digest(owner: str, data: bytes) -> bytes:
    """Tell an owner's data from any others."""
    return hashlib.sha256(encode((owner, data))).digest()[:16]


def chain(event: bytes) -> bytes:
    """Give the hash of an event, which covers the hash of the one before."""
    return hashlib.sha256(event).digest()


def read_event(event: bytes) -> HistoryEvent:
    """Read an event."""
    try:
        at, version, trigger, state, who, why, fact, details, *more = _decode(event[32:])
        left = next((value for asset, value in more if asset == _NO_ASSET), None)
        made_for = next(((str(asset), str(units)) for asset, units in more if asset != _NO_ASSET), None)
    except (msgspec.MsgspecError, ValueError, TypeError, IndexError) as error:
        raise UnreadableRecord(f"An event of the history cannot be read: {error}.") from error
    return HistoryEvent(Millis(at), version, trigger, state, who, why, fact, details or {}, event[:32], left, made_for)


def contradicted(
    events: list[bytes], state: str, version: int, amount: tuple[str, str] | None, data_digest: bytes
) -> str:  # fmt: skip
    """Say where a record is not what its whole history says; empty where it is. `data_digest` is of what it has now."""
    first, last = read_event(events[0]), read_event(events[-1])
    if (last.state, last.version) != (state, version):
        return f"it is in {state}, version {version}; its history ends in {last.state}, version {last.version}"
    if first.amount is not None and first.amount != amount:
        return f"its amount is {_said(amount)}; its history begins with {_said(first.amount)}"
    wrote = next((event for event in map(read_event, reversed(events)) if event.left != b""), first)
    if wrote.left and wrote.left != data_digest:
        return f"its data, or its owner, are not what event {wrote.version} left"
    return ""


def _said(amount: tuple[str, str] | None) -> str:
    return " ".join(amount) if amount else "none"


def chain_fault(events: list[bytes], newest: bytes, archived: bytes = b"") -> str:
    """Say where a history was changed or cut; empty when it is whole.

    Of a record that came back from an archive, what is between its first event and the one with this hash is there.
    """
    expected = GENESIS
    for place, event in enumerate(events):
        if event[:32] != expected and not (place == 1 and archived and event[:32] == archived):
            return f"event {place + 1} does not follow the one before"
        expected = chain(event)
    if expected != newest:
        return "the newest event is not the one that the record was written with"
    return ""
