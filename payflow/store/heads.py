"""How far each record is, written down outside the store: one that is set back, or taken away, whole is missed.

Every signature in such a record is ours, and no index contradicts it. So each process appends to a file of its own what
it committed: id, version, and the hash of the newest event. A record may be further on than that, and then it has that
event in its history; it is never behind, or gone. A shorter file of the same kind says how far each part of the list of
rows is, and what the postings of each shard sum to up to one of them.

What is written lies in blocks, each signed. A block belongs to the time since a person last took the store for the
truth: what was written before that is void.
"""

import asyncio
import fcntl
import os
import re
from collections.abc import AsyncIterator, Iterator
from hashlib import blake2b
from hmac import compare_digest
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import structlog

from machines.core.clock import Millis
from machines.core.errors import BadSettings
from machines.core.ids import RecordId, is_id, parse_id
from payflow.store import keys
from payflow.store.codec import chain, encode
from payflow.store.link import PAGE, Link
from payflow.store.row_list import ListNumber
from payflow.store.stored import read_stub

MOST_WAITING = 5_000
"""So many records at most wait to be written down."""
MOST_REMEMBERED = 50_000
"""Of so many records that it committed last a process knows how far they were."""
MOST_FILES = 256
MOST_READS = 3
HEADS, MARKS = ".heads", ".marks"
ROWS, POSTED = "rows:", "posted:"
_HASH_BYTES = 16
_TAG_BYTES = 16
_CLOSES = "="
_CLOSING = re.compile(r"= (\d+) (\d+) ([0-9a-f]{32})")
_PARTS = 4
_SHORTENED = "shortened to "

log = structlog.get_logger()


class RecordHead(NamedTuple):
    """How far a record was."""

    id: str
    """Of a record; or which part of the list of rows, or the postings of which shard."""
    version: str
    hash: str
    """The beginning of that of its newest event, in hexadecimal digits."""


class Broken(Exception):
    """A file was changed: it cannot be compared with."""


class Heads:
    """The files of a folder; this process writes one of them."""

    def __init__(self, path: Path, key: bytes, longest: int = 64 * 2**20) -> None:
        self._path = self._mine = path
        self._longest = longest
        self._key = key
        self._epoch = 0
        self._file: int | None = None
        self._waiting: dict[str, RecordHead] = {}
        self._newest: dict[RecordId, int] = {}
        self._said: dict[int, ListNumber] = {}
        self._reading: Iterator[RecordHead] | None = None

    def open(self, epoch: int) -> None:
        """Take a file that no process uses; `epoch` is when a person last took the store for the truth."""
        self._epoch = epoch
        if not self._key:
            return
        for place in self._places():
            try:
                file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            except OSError as error:
                raise BadSettings(
                    f"How far records are cannot be written down in {place} ({error.strerror or error}): set "
                    "PAYFLOW_ANCHORS to a file in a folder that this process may write to."
                ) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
            else:
                self._file, self._mine = file, place
                return

    def close(self) -> None:
        """Write down what waits, and leave the file to the next one."""
        self.write_down()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    # ── written ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def committed(self, record_id: RecordId, version: int, newest: bytes) -> None:
        """Learn how far a record is now."""
        if not self._key or self.passed(record_id, version):
            return  # nothing is asked of it; or somebody set it back, and what was written down must go on to say so
        self._newest.pop(record_id, None)
        self._newest[record_id] = version
        if len(self._newest) > MOST_REMEMBERED:
            del self._newest[next(iter(self._newest))]
        self._put(RecordHead(record_id, str(version), newest[:_HASH_BYTES].hex()))

    def listed(self, bucket: int, at: ListNumber) -> None:
        """Learn how far a part of the list of rows is."""
        if self._said.get(bucket) != at:
            self._said[bucket] = at
            self._put(RecordHead(f"{ROWS}{bucket}", f"{at.epoch}.{at.number}", "-"))

    def posted(self, shard: int, last: str, digest: str, now: Millis) -> None:
        """Learn what the postings of a shard sum to up to one of them."""
        self._put(RecordHead(f"{POSTED}{shard}", str(now), f"{last}:{digest}"))

    def _put(self, head: RecordHead) -> None:
        if self._file is None:
            return
        self._waiting[head.id] = head
        if len(self._waiting) >= MOST_WAITING:
            self.write_down()

    def write_down(self) -> int:
        """Append what was learned since the last time; gives how much that was."""
        waiting, self._waiting = self._waiting, {}
        if self._file is None or not waiting:
            return 0
        os.write(self._file, self._block(list(waiting.values())))
        return len(waiting)

    async def write_down_for_good(self) -> int:
        """Append it, and wait for the disk."""
        count = self.write_down()
        if self._file is not None and count:
            await asyncio.to_thread(os.fsync, self._file)
        return count

    def begin_anew(self, epoch: int) -> bool:
        """Take all that was written so far for void: a person took the store, as it is, for the truth."""
        if epoch <= self._epoch:
            return False
        self._epoch, self._waiting, self._newest, self._said, self._reading = epoch, {}, {}, {}, None
        if self._file is not None:
            os.write(self._file, self._block([]))
            os.fsync(self._file)
        return True

    def _block(self, heads: list[RecordHead]) -> bytes:
        lines = [" ".join(head) for head in heads]
        # Whatever a process that died left half written is no part of it: it says how many lines it has.
        return "\n".join(
            ["", *lines, f"{_CLOSES} {self._epoch} {len(lines)} {self._tag(self._epoch, lines)}\n"]
        ).encode()

    def _tag(self, epoch: int, lines: list[str]) -> str:
        return blake2b(encode(("heads", epoch, lines)), key=self._key, digest_size=_TAG_BYTES).hexdigest()

    # ── read ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _places(self) -> Iterator[Path]:
        yield self._path
        yield from (self._path.with_name(f"{self._path.name}.{number}") for number in range(1, MOST_FILES))

    def all(self) -> Iterator[RecordHead]:
        """Read all that still holds, file by file; raises where one was changed."""
        for place in self._places():
            if not place.exists():
                return
            yield from self._read(place)

    def _read(self, place: Path) -> Iterator[RecordHead]:
        lines: list[str] = []
        with place.open(encoding="ascii", errors="replace") as file:
            for number, line in enumerate(file, 1):
                text = line.rstrip("\n")
                if not text.startswith(_CLOSES):
                    lines.append(text)
                    continue
                yield from self._closed(lines, text, f"line {number} of {place}")
                lines = []

    def _closed(self, lines: list[str], closing: str, where: str) -> Iterator[RecordHead]:
        match = _CLOSING.fullmatch(closing)
        epoch, count, tag = match.groups() if match else ("0", "0", "")
        block = lines[len(lines) - int(count) :] if 0 < int(count) <= len(lines) else []
        if len(block) != int(count) or not compare_digest(tag, self._tag(int(epoch), block)):
            raise Broken(f"the block that ends in {where} was changed, or signed with a key that is gone")
        if int(epoch) > self._epoch:
            raise Broken(f"{where} says that the store was reconciled later than it knows: is it an old backup?")
        if int(epoch) == self._epoch:
            yield from (RecordHead(*line.split(" ")) for line in block)

    def shorten(self) -> None:
        """Leave of each record the newest line where the file is long; in passes, each of which holds but a part."""
        if self._file is None:
            return
        self.write_down()
        size, place = os.fstat(self._file).st_size, self._mine
        if size < self._longest + 2 * self._shortest(place):
            return
        fresh = place.with_name(f"{place.name}.shorter")
        try:
            with fresh.open("wb") as file:
                for part in range(_PARTS):
                    newest: dict[str, RecordHead] = {}
                    for one in self._read(place):
                        if hash(one.id) % _PARTS == part and _place(one) >= _place(newest.get(one.id, one)):
                            newest[one.id] = one
                    file.write(self._block(list(newest.values())))
                # Read over by who reads heads, for no block counts it.
                file.write(f"{_SHORTENED}{file.tell()}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except Broken:
            fresh.unlink()
            return
        fresh.replace(place)
        os.close(self._file)
        self._file = None
        self.open(self._epoch)

    def _shortest(self, place: Path) -> int:
        """Say how long the file was when it was shortened last; 0 where it never was."""
        with place.open(encoding="ascii", errors="replace") as file:
            found = [line for line in file if line.startswith(_SHORTENED)]
        return int(found[-1].removeprefix(_SHORTENED)) if found else 0

    def marks(self) -> tuple[dict[int, ListNumber], dict[int, tuple[str, str]]]:
        """Say how far each part of the list of rows was, and what the postings of each shard summed to up to which."""
        newest: dict[str, RecordHead] = {}
        for head in self.all():
            if head.id.startswith((ROWS, POSTED)) and _place(head) >= _place(newest.get(head.id, head)):
                newest[head.id] = head
        rows, posted = {}, {}
        for name, head in newest.items():
            kind, _, number = name.partition(":")
            if f"{kind}:" == ROWS:
                rows[int(number)] = ListNumber(*map(int, head.version.split(".")))
            else:
                last, _, digest = head.hash.partition(":")
                posted[int(number)] = (last, digest)
        return rows, posted

    # ── compared ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def passed(self, record_id: RecordId, version: int) -> bool:
        """Whether this process itself took a record further than that."""
        return self._newest.get(record_id, 0) > version

    async def faults(self, link: Link, most: int | None = None) -> AsyncIterator[tuple[str, str]]:
        """Compare records with what was written down, all or the next so many; gives which is behind, and how."""
        if not self._key:
            return
        if most is None or self._reading is None:
            reading = self.all()
            self._reading = self._reading if most is None else reading
        else:
            reading = self._reading
        left = most
        while left is None or left > 0:
            try:
                heads = list(islice(reading, PAGE))
            except Broken as broken:
                yield str(self._path), str(broken)
                heads = []
            if not heads:
                self._reading = None if most is not None else self._reading
                return
            left = left - len(heads) if left is not None else None
            found = [head for head in heads if is_id(head.id)]
            for _ in range(MOST_READS):  # a commit may come between two questions
                found = [head for head, fault in zip(found, await self._compared(link, found), strict=True) if fault]
            for head, fault in zip(found, await self._compared(link, found), strict=True):
                if fault:
                    yield head.id, fault

    async def _compared(self, link: Link, heads: list[RecordHead]) -> list[str]:
        commands: list[tuple[str | int, ...]] = []
        for head in heads:
            record_id, at = RecordId(head.id), int(head.version)
            commands += [
                ("HMGET", keys.record(record_id), "ver", "archived"),
                ("LINDEX", keys.history(record_id), at - 1),
                ("HGET", keys.tombs(parse_id(record_id)[1]), record_id),
            ]
        answers = await link.pipeline(commands) if commands else []
        triples = zip(answers[::3], answers[1::3], answers[2::3], strict=True)
        return [_fault(head, *triple) for head, triple in zip(heads, triples, strict=True)]


def _place(head: RecordHead) -> tuple[int, ...]:
    """Tell which of two lines about the same is further on."""
    return tuple(map(int, head.version.split(".")))


def _fault(head: RecordHead, row: list[bytes | None], event: bytes | None, stub: bytes | None) -> str:
    version, archived = row
    at = int(head.version)
    if version is None:
        if stub is None:
            return f"it was in version {at}, and is not there any more"
        left = read_stub(stub)
        same = left.version > at or left.hash[:_HASH_BYTES].hex() == head.hash
        return "" if left.version >= at and same else f"it was archived in another version than {at}, which it had"
    if not version.isdigit() or int(version) < at:
        return f"it was set back to version {version.decode(errors='replace')}; it was in {at}"
    if archived:
        return ""  # what it was before is in the archive
    same = event is not None and chain(event)[:_HASH_BYTES].hex() == head.hash
    return "" if same else f"its history is not the one that it had in version {at}"


NO_HEADS = Heads(Path(HEADS), b"")
