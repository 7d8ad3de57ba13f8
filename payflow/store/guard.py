"""Notices that the store forgot acknowledged writes: a failover, an old backup, a wiped store.

Every call that writes counts up its shards, and leaves on each of them its number among the calls of its *writer* (one
process) and a tag. It also brings the newest mark that was acknowledged to the writer, and the script compares before
it leaves another: a lost write is missed however many calls came after it. The marks are kept here and in a file of the
writer outside the store as well, so that who starts on the same folder compares for those who are gone. A known server
whose count goes backwards, or one that does not hold a mark, has lost writes: the rails of these shards close until a
person has reconciled. That is written into the store with its time, so that every process, and the files of every
machine, learn that what they remember is void.
"""

import fcntl
import os
import secrets
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from machines.core.errors import StoreUnfit

Identity = tuple[str, str]
"""Run id and replication id of a server."""

_HEADER = struct.Struct("<8s16sQ16s")
_SLOT = struct.Struct("<QQ16sQ")
_MAGIC = b"payflow2"
_OLD_SLOT = struct.Struct("<Q8s")
_OLD_MAGIC = b"payflow1"
"""What an older version wrote: one file for all processes, and of each shard the newest count."""
_OLD_HEADER = struct.Struct("<8s16sQ")
HIGH_WATER = "high-water"
"""The file of the first process in a folder."""
RECENT = 256
MOST_WRITERS = 256
"""Processes that may use a folder at a time and still be remembered after their end."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest call of a writer on a shard that was acknowledged."""

    count: int = 0
    """How many calls of anybody there were then."""
    number: int = 0
    """How many of this writer."""
    tag: str = ""
    at: int = 0
    """When, by the store's clock."""


_NEVER = Mark()


@dataclass(frozen=True, slots=True)
class WriteReply:
    """What a call that wrote learned of a shard."""

    mark: Mark
    lost: str
    """What a call missed when it came, if any ever did."""
    adopted: int
    """When the shard was last taken for the truth."""


@dataclass(frozen=True, slots=True)
class ShardState:
    """Where a server says that a shard stands."""

    server: Identity
    count: int
    marks: Mapping[str, Mark]
    """Of each writer, its newest call."""
    lost: str
    dropped: int
    """Until when the marks of writers that came back no more were dropped."""

    def mark_of(self, writer: str) -> Mark:
        """Give a writer's newest call as one that is acknowledged now."""
        return replace(self.marks.get(writer, _NEVER), count=self.count)

    def holds(self, writer: str, mark: Mark) -> bool:
        """Whether a call that was acknowledged is in it."""
        known = self.marks.get(writer)
        if known is None:
            return mark.number == 0 or mark.at <= self.dropped
        return known.number > mark.number or (known.number == mark.number and known.tag == mark.tag)


@dataclass(frozen=True, slots=True)
class _FileHeader:
    """What a file begins with."""

    magic: bytes
    store_id: bytes
    adopted: int
    writer: str

    @classmethod
    def of(cls, content: bytes) -> Self | None:
        """Read it; none where the file is empty, or ends in it: it was never finished."""
        if content.startswith(_OLD_MAGIC) and len(content) >= _OLD_HEADER.size:
            magic, store_id, adopted = _OLD_HEADER.unpack_from(content)
            return cls(magic, store_id, adopted, "")
        if len(content) < _HEADER.size:
            return None
        magic, store_id, adopted, writer = _HEADER.unpack_from(content)
        return cls(magic, store_id, adopted, writer.decode("ascii", "replace"))

    @property
    def is_old(self) -> bool:
        return self.magic == _OLD_MAGIC

    def belongs_to(self, store_id: str) -> bool:
        return self.magic in (_MAGIC, _OLD_MAGIC) and self.store_id == _padded(store_id)


@dataclass(slots=True)
class _Shard:
    """What is known of one shard."""

    own: Mark = _NEVER
    others: dict[str, Mark] = field(default_factory=dict)
    """Of other writers: what was in the store when it was compared, and what the folder remembers."""
    server: Identity | None = None
    """Who was compared last."""
    since: int = 0
    """The number of our last call that it had then."""
    in_doubt: dict[Identity, Mark] = field(default_factory=dict)
    """The newest of our calls that servers acknowledged while they were not compared yet."""
    recent: dict[int, str] = field(default_factory=dict)
    """The tags of our last calls by their numbers, whoever acknowledged them."""

    def went_apart(self, server: Identity, mark: Mark) -> bool:
        """Whether another server acknowledged another call of ours under this number."""
        apart = self.recent.setdefault(mark.number, mark.tag) != mark.tag
        if len(self.recent) > RECENT:
            del self.recent[next(iter(self.recent))]
        return apart or (server != self.server and self.since < mark.number <= self.own.number)


@dataclass(frozen=True, slots=True)
class Question:
    """What a server must hold; to be handed back with what it then says."""

    own: Mark
    others: Mapping[str, Mark]
    in_doubt: Mapping[Identity, Mark]


class Guard:
    """Remembers what was acknowledged, and compares."""

    def __init__(self, shards: int, path: Path | None) -> None:
        self._shards = [_Shard() for _ in range(shards)]
        self.doubted: set[int] = set(range(shards))
        """Shards on a server that was not compared yet."""
        self.alarms: dict[int, str] = {}
        self.adopted = 0
        """When the store was last taken for the truth."""
        self._path = path
        self._file = _claimed(path) if path else None
        self.writer = secrets.token_hex(8)
        """Who we are; whoever is the next to use our file goes on under this name."""

    def close(self) -> None:
        """Close the file, for the next one to use."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def acknowledged(self) -> tuple[Mark, ...]:
        """Give our newest marks: they go with a call, and are handed back with what is seen after it."""
        return tuple(shard.own for shard in self._shards)

    def saw_write(self, server: Identity, replies: Mapping[int, WriteReply], before: Sequence[Mark]) -> None:
        """Learn from the reply to a call that wrote; `before` are our marks when it was sent."""
        for place, reply in replies.items():
            shard, mark = self._shards[place], reply.mark
            if reply.adopted > self.adopted:
                self.doubted.add(place)  # somebody reconciled it: what we remember is void
                continue
            self._look_at(server, place, mark.count, reply.lost, before[place].count + 1)
            if server == shard.server and mark.number <= before[place].number:
                self.raise_alarm(place, _forgot(f"{before[place].number} of ours"))
            elif shard.went_apart(server, mark):
                self.raise_alarm(place, f"two servers acknowledged different writes as number {mark.number} of ours")
            elif self._trusted(place):
                shard.own = max(shard.own, mark, key=_number)
            elif place in self.doubted:
                shard.in_doubt[server] = max(shard.in_doubt.get(server, _NEVER), mark, key=_number)
        self._write(replies)

    def saw_read(self, server: Identity, found: Mapping[int, tuple[int, str]], before: Sequence[Mark]) -> None:
        """Learn from the reply to a call that only asked: the count of each shard, and what it lost."""
        for place, (count, lost) in found.items():
            self._look_at(server, place, count, lost, before[place].count)

    def _look_at(self, server: Identity, place: int, count: int, lost: str, least: int) -> None:
        if server != self._shards[place].server:
            self.doubted.add(place)
        elif count < least:
            self.raise_alarm(place, f"the store counts {count} where more was acknowledged")
        if lost:
            self.raise_alarm(place, _forgot(lost))

    def _trusted(self, shard: int) -> bool:
        return shard not in self.alarms and shard not in self.doubted

    def doubt_all_but(self, servers: Collection[Identity]) -> None:
        """Learn which servers there are now; what others told us must be compared again."""
        self.doubted |= {place for place, shard in enumerate(self._shards) if shard.server not in servers}

    def recall(self, store_id: str, adopted: int) -> None:
        """Take over what the files know; a file of another store means that this one was wiped or replaced."""
        if adopted > self.adopted:
            self._start_over(adopted)
        elif adopted < self.adopted:
            self.raise_all("the store forgot that it was reconciled: an old backup, or it was wiped")
        for path, content in _contents(self._path) if self._path else ():
            header = _FileHeader.of(content)
            if header is None:
                continue
            if not header.belongs_to(store_id):
                self.raise_all(f"{path} belongs to another store: this one was wiped or replaced")
            elif header.adopted > adopted:
                self.raise_all(f"{path} knows of a reconciliation that the store forgot: is it an old backup?")
            elif header.adopted == adopted and header.is_old:
                self._remember_counts(content)
            elif header.adopted == adopted:
                self._remember(header.writer, content)
        self._take_up(store_id, adopted)

    def _take_up(self, store_id: str, adopted: int) -> None:
        """Go on in our file: as who used it before, or anew where it is empty or void."""
        if self._file is None:
            return
        header = _FileHeader.of(os.pread(self._file, _HEADER.size, 0))
        if header is None or (header.belongs_to(store_id) and (header.adopted < adopted or header.is_old)):
            self._overwrite(store_id)
        elif header.belongs_to(store_id) and header.adopted == adopted and header.writer != self.writer:
            self.writer = header.writer
            for shard in self._shards:
                shard.own = shard.others.pop(header.writer, _NEVER)

    def _remember(self, writer: str, content: bytes) -> None:
        for shard, mark in zip(self._shards, _slots(content), strict=False):
            if writer == self.writer:
                shard.own = max(shard.own, mark, key=_number)
            elif mark.count:
                shard.others[writer] = max(shard.others.get(writer, _NEVER), mark, key=_number)

    def _remember_counts(self, content: bytes) -> None:
        """Take over what an older version counted: a store that counts less has lost writes."""
        for shard, (count, _) in zip(self._shards, _OLD_SLOT.iter_unpack(_whole(content)), strict=False):
            shard.own = max(shard.own, Mark(count), key=_number)

    def _start_over(self, adopted: int) -> None:
        self.adopted = adopted
        self.alarms.clear()
        self._shards = [_Shard() for _ in self._shards]
        self.doubted = set(range(len(self._shards)))

    def question(self, shard: int) -> Question:
        """Give what a server must hold; to be handed back with what it then says."""
        known = self._shards[shard]
        return Question(known.own, dict(known.others), dict(known.in_doubt))

    def compare(self, place: int, found: ShardState, asked: Question) -> None:
        """Decide whether a server that we do not know holds everything that was acknowledged to us."""
        newest = max([asked.own, *asked.in_doubt.values(), *asked.others.values()], key=lambda mark: mark.count)
        if found.count < newest.count:
            self.raise_alarm(place, f"the store counts {found.count} where {newest.count} was acknowledged")
        if found.lost:
            self.raise_alarm(place, _forgot(found.lost))
        owed = [(self.writer, asked.own), *((self.writer, mark) for mark in asked.in_doubt.values())]
        for writer, mark in [*owed, *asked.others.items()]:
            if not found.holds(writer, mark):
                self.raise_alarm(place, _forgot(f"{mark.number} of {writer}"))
        self._believe(place, found, asked)

    def _believe(self, place: int, found: ShardState, asked: Question) -> None:
        shard = self._shards[place]
        if shard.server != found.server:
            shard.server, shard.since = found.server, found.mark_of(self.writer).number
        # What was acknowledged since the question: by this server it is sound, by another one it stays in doubt.
        since = {at: mark for at, mark in shard.in_doubt.items() if asked.in_doubt.get(at) != mark}
        newest = max(since.pop(found.server, _NEVER), found.mark_of(self.writer), key=_number)
        shard.in_doubt = since
        if since:
            return
        self.doubted.discard(place)
        if self._trusted(place):
            shard.own = max(newest, shard.own, key=_number)
            shard.others = {writer: mark for writer, mark in found.marks.items() if writer != self.writer}
            self._write((place,))

    def adopt(self, store_id: str, adopted: int, states: Sequence[ShardState]) -> None:
        """Take the store as it is for the truth: a person has reconciled it."""
        self._start_over(adopted)
        for shard, found in zip(self._shards, states, strict=True):
            shard.own = found.mark_of(self.writer)
        self._overwrite(store_id)
        self._void_others(store_id)

    def raise_alarm(self, shard: int, why: str) -> None:
        """Close the rails of a shard; its mark stays where it is, so that a restart finds the same."""
        self.alarms.setdefault(shard, why)

    def raise_all(self, why: str) -> None:
        for shard in range(len(self._shards)):
            self.raise_alarm(shard, why)

    def _write(self, places: Iterable[int]) -> None:
        if self._file is None:
            return
        for place in places:
            if self._trusted(place):
                os.pwrite(self._file, _packed(self._shards[place].own), _HEADER.size + place * _SLOT.size)

    def _overwrite(self, store_id: str) -> None:
        if self._file is None:
            return
        slots = b"".join(_packed(shard.own) for shard in self._shards)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, _begins(store_id, self.adopted, self.writer) + slots, 0)
        os.fsync(self._file)

    def _void_others(self, store_id: str) -> None:
        """Let nobody who is gone, and whose file is of another store, close what a person has opened."""
        for place, content in _contents(self._path) if self._path else ():
            header = _FileHeader.of(content)
            if header is not None and header.writer != self.writer:
                writer = header.writer if header.magic == _MAGIC else secrets.token_hex(8)
                place.write_bytes(_begins(store_id, self.adopted, writer))


def never_seen() -> bytes:
    """Give a file that belongs to no store: whichever is opened with it stays closed until it was reconciled."""
    return _begins("set back", 0, secrets.token_hex(8))


def _begins(store_id: str, adopted: int, writer: str) -> bytes:
    return _HEADER.pack(_MAGIC, _padded(store_id), adopted, writer.encode())


def _claimed(path: Path) -> int:
    """Open the first file that no process uses: one for each process of a folder, used again by the next."""
    for place in _places(path):
        file = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            return file
    raise StoreUnfit(f"{MOST_WRITERS} processes use {path.parent} already: stop some.")


def _places(path: Path) -> Iterator[Path]:
    yield path
    yield from (path.with_name(f"{path.name}.{number}") for number in range(1, MOST_WRITERS))


def _contents(path: Path) -> Iterator[tuple[Path, bytes]]:
    """Read what all processes of the folder, those that ended too, had acknowledged."""
    for place in _places(path):
        if not place.exists():
            return
        yield place, place.read_bytes()


def _slots(content: bytes) -> Iterator[Mark]:
    for offset in range(_HEADER.size, len(content) - _SLOT.size + 1, _SLOT.size):
        count, number, tag, at = _SLOT.unpack_from(content, offset)
        yield Mark(count, number, tag.rstrip(b"\0").decode("ascii", "replace"), at)


def _whole(content: bytes) -> bytes:
    """Give the slots of an older version's file, without one that was cut off."""
    slots = content[_OLD_HEADER.size :]
    return slots[: len(slots) - len(slots) % _OLD_SLOT.size]


def _packed(mark: Mark) -> bytes:
    return _SLOT.pack(mark.count, mark.number, mark.tag.encode(), mark.at)


def _forgot(what: str) -> str:
    return f"the store does not know write {what}, which was acknowledged"


def _number(mark: Mark) -> tuple[int, int]:
    return mark.number, mark.count


def _padded(store_id: str) -> bytes:
    return store_id.encode()[:16].ljust(16, b"\0")
