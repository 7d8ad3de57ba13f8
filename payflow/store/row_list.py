"""Which rows there are beside the records, and what each is: one that was put back, or taken away, is missed.

A row is signed, so nobody makes one up; but an old one of ours is signed as well. So a list says of each row what it is
now, and a number counts the changes of the list. It lies in parts: in each, `#` is that number and the sum of all that
the part says, signed. Who puts back a row alone contradicts the list; who puts back a line of the list as well
contradicts the sum; who puts back all of it is known by the number, which every process remembers and which is written
down outside the store (`heads.py`).

Row and list may lie on two servers, so a change takes three steps: the list names what is coming beside what is there,
the row is written, the list names it alone. Whoever dies in between leaves a row that may be either, and the next walk
settles it.
"""

import asyncio
import hashlib
import random
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from machines.core.clock import Clock, SystemClock
from machines.core.errors import Conflict, StoreUnavailable
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.macs import Forged
from payflow.store.scripts import LIST_ROWS

if TYPE_CHECKING:
    from payflow.store.link import Link

BUCKETS = 16
MOST_READS = 3
MOST_TRIES = 50
TRY_AGAIN_S = 0.01
AT_A_TIME = 200
"""Rows of which one call asks."""
ROOT = b"#"
_ROOT = struct.Struct(">QQ32s16s")
_TAG_BYTES = 16
_SUMS = 2**256
_GONE = b""
_RECONCILE = "look who did, then take the store for the truth with `payflow reconcile`"

log = structlog.get_logger()


class Row(NamedTuple):
    """Where a row is."""

    key: str
    field: str = ""
    """The field that tells it from any other: it, or its signature; empty where the key is a string."""

    @property
    def place(self) -> str:
        return f"{self.key} {self.field}" if self.field else self.key

    @property
    def bucket(self) -> int:
        return blake2b(self.place.encode(), digest_size=1).digest()[0] % BUCKETS

    @property
    def question(self) -> tuple[str, ...]:
        return ("HGET", self.key, self.field) if self.field else ("GET", self.key)

    @classmethod
    def at(cls, place: str) -> "Row":
        key, _, name = place.partition(" ")
        return cls(key, name)


class ListedRow(NamedTuple):
    """What the list says of a row."""

    now: bytes = _GONE
    coming: tuple[bytes, ...] = ()
    """What somebody is about to make of it."""
    until: int = 0
    """When it ends by itself, before which it may go at any time; 0 for never."""


class ListNumber(NamedTuple):
    """How far a part of the list is."""

    epoch: int = 0
    """Since when it is believed: when a person last took the store for the truth."""
    number: int = 0


class Asked(NamedTuple):
    """What is asked about a row."""

    row: Row
    command: Sequence[Any]
    raw: Callable[[Any], bytes | None]
    """Takes out of the answer what tells the row from any other."""


class RowList:
    """The list, as one process knows it."""

    def __init__(self, key: bytes, clock: Clock | None = None) -> None:
        self._key = key
        self._clock = clock or SystemClock()
        self.strict = False
        """Whether all that was there was listed once."""
        self.newest: dict[int, ListNumber] = {}
        """How far each part is, as far as this process knows."""
        self._unsettled: dict[str, bytes] = {}
        self._turns: dict[int, asyncio.Lock] = {}

    # ── read ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def read(
        self, link: "Link", row: Row, command: Sequence[Any] = (), raw: Callable[[Any], bytes | None] | None = None
    ) -> Any:
        """Ask for a row, or for more that it is taken out of; raises where it is not what the list says."""
        (found,) = await self.read_all(link, [Asked(row, command or row.question, raw or _as_it_is)])
        if isinstance(found, Forged):
            raise found
        return found

    async def fields(self, link: "Link", key: str, begins: str = "") -> list[tuple[bytes, Any]]:
        """Read a hash of which each field is a row; in place of one that is not what the list says, why not."""
        names = [name for name in await link.ask("HKEYS", key) if name.startswith(begins.encode())]
        rows = [Row(key, name.decode(errors="replace")) for name in names]
        found = await self.read_all(link, [Asked(row, row.question, _as_it_is) for row in rows])
        return [(name, value) for name, value in zip(names, found, strict=True) if value is not None]

    async def read_all(self, link: "Link", asked: Sequence[Asked]) -> list[Any]:
        """Ask for many rows; gives the answers, and in place of one that is not what the list says, why not."""
        if not self.strict:
            return [] if not asked else await link.pipeline([one.command for one in asked])
        found: dict[int, Any] = {}
        left = list(range(len(asked)))
        # A change takes three steps: whoever reads in between may find what is not listed any more, or not yet.
        for _ in range(MOST_READS):
            for first in range(0, len(left), AT_A_TIME):
                await self._read_some(link, asked, left[first : first + AT_A_TIME], found)
            left = [place for place in left if isinstance(found[place], Forged)]
            if not left:
                break
        for place in left:
            why = str(found[place])
            log.error("A row of the store is not what the list of rows says.", action="forged", why=why)
            link.macs.on_forged(asked[place].row.place)
        return [found[place] for place in range(len(asked))]

    async def _read_some(
        self, link: "Link", asked: Sequence[Asked], places: Sequence[int], found: dict[int, Any]
    ) -> None:
        known = [self.newest.get(asked[place].row.bucket, ListNumber()) for place in places]
        commands: list[Sequence[Any]] = []
        for one in (asked[place] for place in places):
            commands += [("HMGET", keys.rows(one.row.bucket), ROOT, one.row.place), one.command]
        answers = await link.pipeline(commands)
        for place, least, (root, line), answer in zip(places, known, answers[::2], answers[1::2], strict=True):
            one = asked[place]
            fault = self._fault(one.row, root, line, one.raw(answer), least)
            found[place] = Forged(f"{one.row.place}: {fault}.") if fault else answer

    def _fault(
        self, row: Row, root: bytes | None, line: bytes | None, raw: bytes | None, least: ListNumber
    ) -> str:  # fmt: skip
        try:
            self._look_at(row.bucket, root, least)
            listed = self._opened(row.place, line)
        except Forged as error:
            return str(error).removesuffix(".")
        if listed.until and listed.until < self._clock.now():
            return "it ended, and is there again" if raw is not None else ""
        if print_of(raw) in (listed.now, *listed.coming) or (raw is None and listed.until):
            return ""
        if raw is None:
            return "somebody took it away beside Payflow"
        return "it is not what Payflow wrote last: an older version wrote it, or somebody put it back as it once was"

    async def has(self, link: "Link", key: str) -> bool:
        """Whether the list names any row of a key; a look over all of it, for where there is none."""
        if not self.strict:
            return False
        begins = f"{key} "
        for bucket in range(BUCKETS):
            if any(
                name.decode(errors="replace").startswith(begins) for name in await link.ask("HKEYS", keys.rows(bucket))
            ):
                return True
        return False

    # ── written ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def changing(self, link: "Link", row: Row, after: bytes | None, lasts_ms: int = 0) -> AsyncIterator[None]:
        """Write a row within, so that it becomes this, or goes; what came of it is read afterwards."""
        if not self.strict:
            yield
            return
        mine, until = print_of(after), self._clock.now() + lasts_ms if lasts_ms else 0

        def comes(listed: ListedRow, _: bytes) -> ListedRow:
            return listed._replace(coming=(*listed.coming, mine), until=until or listed.until)

        await self._change(link, row, comes)
        try:
            yield
        except BaseException:
            with suppress(StoreUnavailable):  # the next walk settles it
                await self._settle(link, row, (mine,))
            raise
        await self._settle(link, row, (mine,))

    async def _settle(self, link: "Link", row: Row, mine: tuple[bytes, ...]) -> None:
        def settled(listed: ListedRow, there: bytes) -> ListedRow:
            coming = list(listed.coming)
            for one in mine:
                if one in coming:
                    coming.remove(one)
            known = (listed.now, *listed.coming, *mine)
            return listed._replace(now=there if there in known else listed.now, coming=tuple(coming))

        await self._change(link, row, settled)

    async def _change(self, link: "Link", row: Row, change: Callable[[ListedRow, bytes], ListedRow]) -> None:
        bucket = row.bucket
        async with self._turns.setdefault(bucket, asyncio.Lock()):
            for _ in range(MOST_TRIES):
                least = self.newest.get(bucket, ListNumber())
                # The list first: what is read of the row afterwards is at least as new.
                (root, line), raw = await link.pipeline([("HMGET", keys.rows(bucket), ROOT, row.place), row.question])
                number, total = self._look_at(bucket, root, least)
                listed = self._opened(row.place, line)
                after = change(listed, print_of(raw))
                if after == listed:
                    return
                fresh = self._closed(row.place, after)
                total = (total - self._weight(row.place, line) + self._weight(row.place, fresh)) % _SUMS
                if await self._write(link, bucket, root, number, total, [row.place, fresh]):
                    return
                await asyncio.sleep(random.uniform(0, TRY_AGAIN_S))  # noqa: S311  (others change it at this moment)
        raise Conflict("Who may do what is being changed by too many at once: try again.")

    async def _write(
        self, link: "Link", bucket: int, root: bytes | None, number: ListNumber, total: int, words: list[Any]
    ) -> bool:  # fmt: skip
        after = number._replace(number=number.number + 1)
        fresh = self._root(bucket, after, total)
        if not await link.run(LIST_ROWS, [keys.rows(bucket)], root or b"", fresh, *words):
            return False
        self.newest[bucket] = max(self.newest.get(bucket, after), after)
        return True

    # ── all of it ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self, link: "Link", there: AsyncIterator[tuple[Row, bytes, int]], epoch: int) -> None:
        """List what is there as it is: at the first start, and where a person takes the store for the truth."""
        if not self._key:
            return
        lines: dict[int, dict[str, bytes]] = {bucket: {} for bucket in range(BUCKETS)}
        now = self._clock.now()
        async for row, raw, lasts_ms in there:
            listed = ListedRow(print_of(raw), until=now + lasts_ms if lasts_ms else 0)
            lines[row.bucket][row.place] = self._closed(row.place, listed)
        for bucket, said in lines.items():
            total = sum(self._weight(place, line) for place, line in said.items()) % _SUMS
            for _ in range(MOST_TRIES):
                before = await link.ask("HGETALL", keys.rows(bucket))
                root = before.pop(ROOT, None)
                gone = [part for name in before if name.decode() not in said for part in (name, b"")]
                words = [*gone, *(part for pair in said.items() for part in pair)]
                if await self._write(link, bucket, root, ListNumber(epoch), total, words):
                    break  # else somebody changed a row at the same moment
        self.newest = {bucket: max(self.newest[bucket], ListNumber(epoch)) for bucket in self.newest}

    async def is_begun(self, link: "Link") -> bool:
        """Whether any part of it is there."""
        there = await link.pipeline([("HEXISTS", keys.rows(bucket), ROOT) for bucket in range(BUCKETS)])
        return any(there)

    async def faults(self, link: "Link", outside: Mapping[int, ListNumber]) -> AsyncIterator[str]:
        """Walk over the list: name what is not as it says, and what of the list itself was changed."""
        if not self.strict:
            return
        for bucket in range(BUCKETS):
            async for place in self._faults_in(link, bucket, outside.get(bucket, ListNumber())):
                yield place

    async def _faults_in(self, link: "Link", bucket: int, outside: ListNumber) -> AsyncIterator[str]:
        least = max(self.newest.get(bucket, ListNumber()), outside)
        lines = await link.ask("HGETALL", keys.rows(bucket))
        root = lines.pop(ROOT, None)
        try:
            _, total = self._look_at(bucket, root, least)
            listed = {name.decode(): self._opened(name.decode(), line) for name, line in lines.items()}
        except (Forged, UnicodeDecodeError) as error:
            yield f"{keys.rows(bucket)}: {error}"
            return
        if sum(self._weight(name.decode(), line) for name, line in lines.items()) % _SUMS != total:
            yield f"{keys.rows(bucket)}: lines of it were put back as they were, or taken away"
        asked = [Asked(row, row.question, _as_it_is) for row in map(Row.at, listed)]
        for one, answer in zip(asked, await self.read_all(link, asked), strict=True):
            place = one.row.place
            if isinstance(answer, Forged):
                yield place
            elif answer is None and listed[place].until and not listed[place].coming:
                await self._change(link, one.row, _ended)
            elif listed[place].coming and self._unsettled.get(place) == lines[place.encode()]:
                await self._settle(link, one.row, listed[place].coming)  # whoever was about to write it is gone
        busy = {place: lines[place.encode()] for place, one in listed.items() if one.coming}
        self._unsettled = {place: line for place, line in self._unsettled.items() if Row.at(place).bucket != bucket}
        self._unsettled |= busy

    def sign(self, *parts: str | int) -> str:
        """Sign what else must not be made up, by a key that stays when others change."""
        return self._tag("sign", *parts).hex() if self._key else ""

    # ── signed ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _look_at(self, bucket: int, root: bytes | None, least: ListNumber) -> tuple[ListNumber, int]:
        """Read how far a part of the list is, and the sum of what it says; raises where it is not as we left it."""
        if root is None:
            if self.strict:
                raise Forged(f"the list of rows was taken away: {_RECONCILE}")
            return ListNumber(), 0
        if len(root) != _ROOT.size:
            raise Forged(f"the list of rows was changed beside Payflow: {_RECONCILE}")
        epoch, number, masked, tag = _ROOT.unpack(root)
        found = ListNumber(epoch, number)
        total = int.from_bytes(masked, "big") ^ self._mask(bucket, found)
        if not compare_digest(tag, self._tag("root", bucket, *found, masked)):
            raise Forged(f"the list of rows was changed beside Payflow: {_RECONCILE}")
        if found < least:
            raise Forged(f"the list of rows was put back as it was: {_RECONCILE}")
        self.newest[bucket] = max(found, self.newest.get(bucket, found))
        return found, total

    def _root(self, bucket: int, at: ListNumber, total: int) -> bytes:
        # What it sums to is nobody's to see: who saw many sums could look for old lines that sum to the same.
        masked = (total ^ self._mask(bucket, at)).to_bytes(32, "big")
        return _ROOT.pack(*at, masked, self._tag("root", bucket, *at, masked))

    def _mask(self, bucket: int, at: ListNumber) -> int:
        return int.from_bytes(self._digest(32, "mask", bucket, *at), "big")

    def _weight(self, place: str, line: bytes | None) -> int:
        return int.from_bytes(self._digest(32, "line", place, line), "big") if line else 0

    def _opened(self, place: str, line: bytes | None) -> ListedRow:
        if not line:
            return ListedRow()
        content, tag = line[:-_TAG_BYTES], line[-_TAG_BYTES:]
        if not compare_digest(tag, self._tag("row", place, content)):
            raise Forged("what the list of rows says of it was changed beside Payflow")
        now, coming, until = msgspec.msgpack.decode(content)
        return ListedRow(now, tuple(coming), until)

    def _closed(self, place: str, listed: ListedRow) -> bytes:
        if listed.now == _GONE and not listed.coming:
            return b""
        content = encode(listed)
        return content + self._tag("row", place, content)

    def _tag(self, *parts: str | int | bytes) -> bytes:
        return self._digest(_TAG_BYTES, *parts)

    def _digest(self, size: int, *parts: str | int | bytes) -> bytes:
        return blake2b(encode(parts), key=self._key, digest_size=size).digest()


def print_of(raw: bytes | str | None) -> bytes:
    """Tell a row from any other, and from none."""
    content = raw.encode() if isinstance(raw, str) else raw
    return _GONE if content is None else hashlib.sha256(content).digest()[:_TAG_BYTES]


def _ended(listed: ListedRow, there: bytes) -> ListedRow:
    return listed if there else ListedRow()


def _as_it_is(answer: bytes | None) -> bytes | None:
    return answer


NO_ROWS = RowList(b"")
