"""Notices that the store forgot acknowledged writes: a failover, an old backup, a wiped store.

Every call that writes counts up its shards and leaves a tag. The newest count and tag that were seen are kept here and
in a file outside the store. A known server whose count goes backwards, or an unknown server that does not know the tag,
has lost writes: the rails of these shards close until a person has reconciled. That is written into the store with its
time, so that every process, and the file of every machine, learns that what it remembers is void.
"""

import fcntl
import os
import struct
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Identity = tuple[str, str]
"""Run id and replication id of a server."""

_HEADER = struct.Struct("<8s16sQ")
_SLOT = struct.Struct("<Q8s")
_COUNT = struct.Struct("<Q")
_MAGIC = b"payflow1"
KEPT_MARKS = 256
# Whoever holds the lock writes for some microseconds.
_LOCK_PAUSES_S = (0.0, 0.0001, 0.0005, 0.002, 0.005)


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest call on a shard that was acknowledged to us."""

    count: int
    tag: bytes


_NEVER = Mark(0, b"\0" * 8)


class Guard:
    """Remembers what was acknowledged, and compares."""

    def __init__(self, shards: int, path: Path | None) -> None:
        self._marks = [_NEVER] * shards
        self._known: list[Identity | None] = [None] * shards
        self.doubted: set[int] = set(range(shards))
        """Shards on a server that was not compared yet."""
        self.alarms: dict[int, str] = {}
        self._unwritten: set[int] = set()
        """Shards whose marks the file may not have yet."""
        self._in_doubt: dict[int, dict[Identity, Mark]] = {}
        """The newest writes that servers acknowledged while they were not compared yet."""
        self.adopted = 0
        """When the store was last taken for the truth."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600) if path else None
        self._path = path

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def counts(self) -> tuple[int, ...]:
        """Give the newest counts, to be handed back with what is seen after them."""
        return tuple(mark.count for mark in self._marks)

    def saw_write(self, server: Identity, sequences: Mapping[int, int], tag: bytes, before: Sequence[int]) -> None:
        """Learn from the reply to a call that wrote; `before` are the counts when it was sent."""
        self._look_at(server, sequences, before, least=1)
        for shard, count in sequences.items():
            if self._trusted(shard):
                self._marks[shard] = max(self._marks[shard], Mark(count, tag), key=_count)
            elif shard in self.doubted:
                acknowledged = self._in_doubt.setdefault(shard, {})
                acknowledged[server] = max(acknowledged.get(server, _NEVER), Mark(count, tag), key=_count)
        self._write(sequences)

    def saw_read(self, server: Identity, sequences: Mapping[int, int], before: Sequence[int]) -> None:
        """Learn from the reply to a call that only asked."""
        self._look_at(server, sequences, before, least=0)

    def _look_at(self, server: Identity, sequences: Mapping[int, int], before: Sequence[int], least: int) -> None:
        for shard, count in sequences.items():
            if server != self._known[shard]:
                self.doubted.add(shard)
            elif count < before[shard] + least:
                self.raise_alarm(shard, f"the store counts {count} where {before[shard]} was acknowledged")

    def _trusted(self, shard: int) -> bool:
        return shard not in self.alarms and shard not in self.doubted

    def doubt_all_but(self, servers: Collection[Identity]) -> None:
        """Learn which servers there are now; what others told us must be compared again."""
        self.doubted |= {shard for shard, known in enumerate(self._known) if known not in servers}

    def recall(self, store_id: str, adopted: int) -> None:
        """Take over what the file knows; a file of another store means that this one was wiped or replaced."""
        if adopted > self.adopted:
            self._start_over(adopted)
        elif adopted < self.adopted:
            self.raise_all("the store forgot that it was reconciled: an old backup, or it was wiped")
        if self._file is None:
            return
        with self._locked():
            content = os.pread(self._file, _HEADER.size + _SLOT.size * len(self._marks), 0)
            if len(content) < _HEADER.size:
                self._overwrite(store_id)
                return
            magic, kept_id, kept_adopted = _HEADER.unpack_from(content)
            if magic != _MAGIC or kept_id != _padded(store_id):
                self.raise_all(f"{self._path} belongs to another store: this one was wiped or replaced")
            elif kept_adopted > adopted:
                self.raise_all(f"{self._path} knows of a reconciliation that the store forgot: is it an old backup?")
            elif kept_adopted < adopted:
                self._overwrite(store_id)
            else:
                self._remember(content)

    def _remember(self, content: bytes) -> None:
        for shard, mark in enumerate(self._slots(content)):
            if mark.count > self._marks[shard].count:
                self._marks[shard] = mark

    def _start_over(self, adopted: int) -> None:
        shards = len(self._marks)
        self.adopted = adopted
        self.alarms.clear()
        self._in_doubt.clear()
        self._marks, self._known, self.doubted = [_NEVER] * shards, [None] * shards, set(range(shards))

    def acknowledged(self, shard: int) -> list[Mark]:
        """Give what a server must know; to be handed back with what it then says."""
        return [self._marks[shard], *self._in_doubt.get(shard, {}).values()]

    def compare(
        self, shard: int, server: Identity, count: int, tags: Sequence[bytes], acknowledged: Sequence[Mark]
    ) -> None:
        """Decide whether a server that we do not know holds everything that was acknowledged to us."""
        for mark in acknowledged:
            if count < mark.count or (mark.count and mark.tag not in tags and count - mark.count < KEPT_MARKS):
                self.raise_alarm(
                    shard, f"the store does not know write {mark.count}, which was acknowledged; it counts {count}"
                )
        self._known[shard] = server
        # What was acknowledged since the question: by this server it is sound, by another one it stays in doubt.
        since = {at: mark for at, mark in self._in_doubt.pop(shard, {}).items() if mark not in acknowledged}
        newest = max(since.pop(server, _NEVER), Mark(count, tags[0]) if tags else _NEVER, key=_count)
        if since:
            self._in_doubt[shard] = since
            return
        self.doubted.discard(shard)
        if self._trusted(shard):
            self._marks[shard] = max(self._marks[shard], newest, key=_count)
            self._write((shard,))

    def adopt(self, store_id: str, adopted: int, newest: Sequence[tuple[int, bytes]]) -> None:
        """Take the store as it is for the truth: a person has reconciled it."""
        self.adopted = adopted
        self.alarms.clear()
        self._in_doubt.clear()
        self._marks = [Mark(count, tag) if count else _NEVER for count, tag in newest]
        with self._locked():
            self._overwrite(store_id)

    def raise_alarm(self, shard: int, why: str) -> None:
        """Close the rails of a shard; its mark stays where it is, so that a restart finds the same."""
        self.alarms.setdefault(shard, why)

    def raise_all(self, why: str) -> None:
        """Close the rails of every shard."""
        for shard in range(len(self._marks)):
            self.raise_alarm(shard, why)

    def _slots(self, content: bytes) -> Iterator[Mark]:
        for offset in range(_HEADER.size, len(content) - _SLOT.size + 1, _SLOT.size):
            yield Mark(*_SLOT.unpack_from(content, offset))

    def _write(self, shards: Iterable[int]) -> None:
        if self._file is None:
            return
        self._unwritten.update(shards)
        if not self._lock_soon(self._file):
            return  # its holder may have been frozen in the middle of it: our marks go with a later write
        try:
            for shard in self._unwritten:
                offset = _HEADER.size + shard * _SLOT.size
                kept = os.pread(self._file, _COUNT.size, offset)
                mark = self._marks[shard]
                if self._trusted(shard) and (len(kept) < _COUNT.size or _COUNT.unpack(kept)[0] < mark.count):
                    os.pwrite(self._file, _SLOT.pack(mark.count, mark.tag), offset)
            self._unwritten.clear()
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _overwrite(self, store_id: str) -> None:
        if self._file is None:
            return
        slots = b"".join(_SLOT.pack(mark.count, mark.tag) for mark in self._marks)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, _HEADER.pack(_MAGIC, _padded(store_id), self.adopted) + slots, 0)
        os.fsync(self._file)

    @staticmethod
    def _lock_soon(file: int) -> bool:
        """Take the lock, waiting no longer than our own event loop can bear."""
        for pause_s in _LOCK_PAUSES_S:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(pause_s)
            else:
                return True
        return False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._file is None:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def never_seen() -> bytes:
    """Give a file that belongs to no store: whichever is opened with it stays closed until it was reconciled."""
    return _HEADER.pack(_MAGIC, b"set back", 0)


def _count(mark: Mark) -> int:
    return mark.count


def _padded(store_id: str) -> bytes:
    return store_id.encode()[:16].ljust(16, b"\0")
