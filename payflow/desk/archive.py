"""What leaves the store as files: records exported as lines, or archived and taken out of it; a backup of it all.

An archive is written whole, synced and given its name before the first record leaves the store. If we die in between,
both have the record, and the next archive has it once more; it is never in neither.
"""

import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.money import Money
from machines.core.record import Record
from payflow.config import Settings
from payflow.shown import utc
from payflow.store import backup, sealed_file
from payflow.store.accounts import Posting
from payflow.store.archive import RawRecord
from payflow.store.codec import HistoryEvent, chain_fault, read_event
from payflow.store.registers.audit import AuditLine
from payflow.store.sealed_file import FileKeys
from payflow.store.seals import keys_given
from payflow.store.store import RESTORED, Store
from payflow.telemetry.logs import redacted

FOLDER = "archive"
SEALED = sealed_file.SUFFIX
SUFFIX = ".jsonl.zst"
RECORD, POSTING = "record", "posting"
"""What a line of an archive is about."""
_PLAIN = ("state", "owner", "asset", "units", "print", "parked")

Count = Callable[[int], None]
"""Is told of each line that was written."""


@dataclass(frozen=True, slots=True)
class Done:
    """What an archive came to."""

    file: Path | None
    """None where nothing was to be archived."""
    records: int = 0
    postings: int = 0
    skipped: int = 0
    """Records that changed while they were being archived, and stayed."""


@dataclass(frozen=True, slots=True)
class Found:
    """A record that was read from an archive."""

    record: Record[Any]
    events: list[HistoryEvent]
    fault: str
    """Where its history was changed or cut; empty when it is whole."""
    file: Path


def keys_of(settings: Settings) -> FileKeys:
    """Give the keys of files that leave the machine."""
    return FileKeys(keys_given(settings.backup_keys.get_secret_value()) if settings.backup_keys else ())


def folder_of(store: Store) -> Path:
    """Say where archives are, unless somebody said otherwise."""
    return store.settings.data / FOLDER


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def line_of(store: Store, record: RawRecord) -> bytes:
    """Write a record as one line: for people and tools to read, and exact enough to prove its history."""
    machine, shard = parse_id(record.id)
    plain = {name: record.fields[name].decode() for name in _PLAIN if name in record.fields}
    numbers = {name: int(record.fields[name]) for name in ("ver", "made", "since")}
    line = {
        "kind": RECORD,
        "id": record.id,
        "machine": machine,
        "shard": shard,
        **plain,
        **numbers,
        "data": _data(store, machine, record.fields["data"]),
        "events": [_event(read_event(event)) for event in record.events],
        "raw": {
            "data": record.fields["data"],
            "hash": record.fields["hash"],
            "events": record.events,
            "archived": record.fields.get("archived", b""),
        },
    }
    return msgspec.json.encode(line) + b"\n"


def _data(store: Store, machine: str, data: bytes) -> object:
    if machine not in store.records.machines:
        return None  # another version wrote it; its bytes are in the line
    return redacted(msgspec.to_builtins(store.records.data_of(machine, data)))


def _event(event: HistoryEvent) -> dict[str, object]:
    return {
        "at": event.at,
        "version": event.version,
        "trigger": event.trigger,
        "state": event.state,
        "who": event.who,
        "why": event.why,
        "fact": event.fact,
    }


@contextmanager
def written(path: Path, keys: FileKeys) -> Iterator[Callable[[bytes], object]]:
    """Write a file of lines, compressed and encrypted where its name says so.

    It gets its name once it is whole and on disk.
    """
    unfinished = path.with_name(path.name + ".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with keys.writing(file, sealed=path.suffix == SEALED) as sealed:
            if _is_packed(path):
                packer = zstandard.ZstdCompressor(level=9, write_checksum=True)
                with packer.stream_writer(sealed, closefd=False) as writer:
                    yield writer.write
            else:
                yield sealed.write
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_packed(path: Path) -> bool:
    return path.name.removesuffix(SEALED).endswith(".zst")


def lines(path: Path, keys: FileKeys) -> Iterator[bytes]:
    """Read a file of lines; one in clear is from a time, or an installation, without a key for files."""
    with keys.reading(path, clear=True) as file:
        if _is_packed(path):
            with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as reader:
                yield from io.BufferedReader(reader)
        else:
            yield from file


def new(path: Path) -> Path:
    """Refuse a file that is there already; make its folder."""
    if path.exists():
        raise BadInput(f"{path} is there already: name another file.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


# ── export ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def selection(
    *, machine: str | None = None, state: str | None = None, owner: Owner | None = None, since: int = 0
) -> Callable[[RawRecord], bool]:
    """Choose records: of a machine, in a state, of an owner, that came into their state since a time."""

    def wanted(record: RawRecord) -> bool:
        return (
            (machine is None or record.id.startswith(f"{machine}-"))
            and state in (None, record.state)
            and (owner is None or record.fields["owner"].decode() == owner)
            and record.since >= since
        )

    return wanted


async def export(store: Store, path: Path, wanted: Callable[[RawRecord], bool], who: str, count: Count) -> int:
    """Write all records that are wanted, with their histories, into a file; the store keeps them."""
    await store.audit.note(who, "export", str(path))
    new(path)
    number = 0
    with written(path, keys_of(store.settings)) as write:
        for shard in range(store.records.shards):
            async for record in store.archive.everything(shard):
                if wanted(record):
                    write(line_of(store, record))
                    number += 1
                    count(1)
    return number


# ── archive ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def archive(store: Store, folder: Path, before: Millis, who: str, count: Count = lambda _: None) -> Done:
    """Take finished records and old postings out of the store, into a file."""
    now = await store.records.now()
    await store.audit.note(who, "archive", str(folder), f"before {utc(before)} UTC")
    if before > now:
        raise BadInput("That time is still to come.")
    name = f"{datetime.fromtimestamp(now / SECOND, UTC):%Y%m%dT%H%M%S}-{now % SECOND:03d}{SUFFIX}"
    path = new(folder / (name + SEALED if keys_of(store.settings).ready else name))
    gone: list[RawRecord] = []
    postings: list[tuple[int, list[Posting]]] = []
    with written(path, keys_of(store.settings)) as write:
        for shard in range(store.records.shards):
            async for record in store.archive.finished(shard, before):
                write(line_of(store, record))
                # What only the file needs is forgotten: there may be very many.
                slim = {name: value for name, value in record.fields.items() if name != "data"}
                gone.append(RawRecord(record.id, slim, record.events[:1]))
                count(1)
        for shard in range(store.records.shards):
            entries = await store.archive.postings(shard, before)
            for entry in entries:
                write(msgspec.json.encode({"kind": POSTING, "shard": shard, **msgspec.to_builtins(entry)}) + b"\n")
            postings.append((shard, entries))
        said = await store.audit.put_away(before, lambda one: write(_audit_line(one)))
    if not gone and not said and not any(entries for _, entries in postings):
        path.unlink()
        return Done(None)
    left = [await store.archive.remove(record, path.name, now) for record in gone]
    folded = sum([len(entries) for shard, entries in postings if await store.archive.fold(shard, entries)])
    return Done(path, sum(left), folded, left.count(False))


def _audit_line(one: AuditLine) -> bytes:
    return msgspec.json.encode({"kind": "audit", **asdict(one)}) + b"\n"


# ── find again ───────────────────────────────────────────────────────────────────────────────────────────────────────


def archived_lines(store: Store, folder: Path, kind: str) -> Iterator[tuple[Path, bytes]]:
    """Read the lines of one kind in all archives of a folder, the oldest file first."""
    begins = f'{{"kind":"{kind}",'.encode()
    for path in sorted(folder.glob(f"*{SUFFIX}*")):
        for line in lines(path, keys_of(store.settings)):
            if line.startswith(begins):
                yield path, line


async def archived(store: Store, machine: str, folder: Path) -> AsyncIterator[Found]:
    """Give every record of a machine that was put away, as it left the store; raises where one is not in the folder."""
    missing = 0
    for shard in range(store.records.shards):
        async for _ in store.archive.stubs_of(machine, shard):
            missing += 1
    for path, line in archived_lines(store, folder, RECORD):
        named = msgspec.json.decode(line, type=_Named)
        tomb = await store.archive.stub(RecordId(named.id)) if named.machine == machine else None
        if tomb is None or tomb.file != path.name:
            continue  # it came back, or a later file has it
        found = _read(store, RecordId(named.id), line, path, tomb.hash)
        if found.fault:
            raise BadInput(f"{named.id} in {path} is not as it left the store: {found.fault}.")
        missing -= 1
        yield found
    if missing:
        raise BadInput(
            f"{missing:,} archived records are in no file in {folder}: bring all files of the archive there."
        )


async def left_of(store: Store, machine: str, owner: Owner, since: Millis) -> list[Record[Any]]:
    """Give an owner's records that were archived since a time, as they were then; older stubs do not say when."""
    shard = store.records.owner_shard(owner)
    stubs = {name: stub async for name, stub in store.archive.stubs_of(machine, shard)}
    wanted = {name: one for name, one in stubs.items() if one.owner == owner and one.at >= since and one.since}
    return [store.records.as_left(name, stub) for name, stub in wanted.items()]


async def find(store: Store, record_id: RecordId, folder: Path) -> Found | None:
    """Find a record that was put away, in the archive that its tombstone names; None where none was put away."""
    tomb = await store.archive.stub(record_id)
    if tomb is None:
        return None
    path = folder / tomb.file
    if not path.exists():
        raise BadInput(
            f"{record_id} was {tomb.state} when it was put into {tomb.file}, which is not in {folder}: bring it there, "
            "or name its folder with --archive."
        )
    sign = f'"id":"{record_id}"'.encode()
    for line in lines(path, keys_of(store.settings)):
        if sign in line:
            return _read(store, record_id, line, path, tomb.hash)
    raise BadInput(f"{path} should have {record_id}, and has not: look for another copy of it.")


def _read(store: Store, record_id: RecordId, line: bytes, path: Path, left_with: bytes) -> Found:
    fields = msgspec.json.decode(line)
    raw = msgspec.convert(fields["raw"], _Raw)
    asset = fields.get("asset")
    record = Record(
        id=record_id,
        machine=fields["machine"],
        state=fields["state"],
        version=fields["ver"],
        owner=Owner(fields["owner"]),
        amount=Money(int(fields["units"]), store.records.assets[asset]) if asset else None,
        data=store.records.data_of(fields["machine"], raw.data),
        created_at=Millis(fields["made"]),
        since=Millis(fields["since"]),
    )
    fault = chain_fault(raw.events, raw.hash, raw.archived)
    if not fault and left_with not in (b"", raw.hash):
        fault = "it is not the one that left the store"
    return Found(record, [read_event(event) for event in raw.events], fault, path)


class _Named(msgspec.Struct):
    id: str
    machine: str


class _Raw(msgspec.Struct):
    data: bytes
    hash: bytes
    events: list[bytes]
    archived: bytes = b""


# ── backup ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def back_up(store: Store, file: Path, who: str) -> int:
    """Save the embedded store into a new file, while payments go on; say how many bytes it has."""
    await store.audit.note(who, "backup", str(file))
    settings = store.settings
    return await backup.save(store.link, settings.data, file, await store.records.now(), keys_of(settings))


def restore(file: Path, settings: Settings, who: str, *, clear: bool = False) -> Millis:
    """Put a saved store into a folder that has none; say when it was saved. Nothing is sent before it is reconciled."""
    saved_at = backup.set_back(file, settings.data, keys_of(settings), clear=clear)
    (settings.data / RESTORED).write_text(f"{who}\n{file}", "utf-8")
    return saved_at


def unseal(file: Path, to: Path, settings: Settings) -> int:
    """Write what an encrypted file holds into a new one, for other tools; say how many bytes that is."""
    if not file.is_file():
        raise BadInput(f"There is no file {file}.")
    new(to)
    unfinished = to.with_name(to.name + ".part")
    size = 0
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target, keys_of(settings).reading(file) as source:
            while part := source.read(1 << 20):
                size += target.write(part)
        unfinished.replace(to)
    finally:
        unfinished.unlink(missing_ok=True)
    return size
