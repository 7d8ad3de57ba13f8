"""What rails said that they did: each line once, by the rail's own name for it, and which record it was matched with.

Where money went is kept as a fingerprint alone. What is kept is a copy: a rail is asked anew with `reconcile --since`.
Lines, balances and how far a statement was read are signed: what somebody else wrote is none, and nothing is proposed
because of it, or passed over. Which lines are about a record is said by the lines; the index only leads there.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from machines.core.clock import DAY, Millis
from machines.core.ids import RecordId
from machines.core.money import Asset, Assets, Money
from machines.core.ports import LineKind, StatementBalance, StatementLine
from payflow.store import keys
from payflow.store.link import Link, OverLink

KEEP_MS = 400 * DAY
"""Lines and balances that are older are let go: an accountant's year, and the weeks in which it is closed."""
MOST_ASKED = 1_000
_ENCODE = msgspec.msgpack.Encoder()


class _Row(msgspec.Struct, array_like=True, omit_defaults=True):
    kind: LineKind
    asset: str
    units: int
    out: bool
    at: int
    reference: str = ""
    handle: str = ""
    fee: int | None = None
    account: str = ""
    open: bool = False
    record: str = ""
    source: str = ""
    rest: int = 0
    fee_rest: int = 0


_ROWS = msgspec.msgpack.Decoder(_Row)


class MatchedLine(NamedTuple):
    """A line, and what we made of it."""

    line: StatementLine
    record: str
    """The record that it is about; empty where none is known."""
    source: str
    """The file that it came with; empty where the rail was asked."""


class ChangedLine(NamedTuple):
    """A line of which a rail says something else than it said before, under the same id."""

    before: MatchedLine
    line: StatementLine
    waits: bool
    """Whether nothing was said of it yet, so that it counts as it is now."""


class TakenIn(NamedTuple):
    """What came of taking lines in."""

    fresh: list[StatementLine]
    """Those that are new, or no longer open."""
    changed: list[ChangedLine]


@dataclass(frozen=True, slots=True)
class StatementMark:
    """How far a rail's statement was read, and our books were compared with it."""

    read: Millis
    compared: Millis
    begun: Millis
    """Before that nothing of ours is missing there: nobody had read it."""


class Statements(OverLink):
    """The statements of all rails."""

    def __init__(self, link: Link, assets: Assets) -> None:
        super().__init__(link)
        self._assets = assets

    # ── how far ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def mark(self, rail: str) -> StatementMark | None:
        """Say how far a rail's statement was read; None where it never was."""
        return self._mark(rail, await self._link.ask("HGET", keys.STATEMENTS, rail))

    async def marks(self) -> dict[str, StatementMark]:
        """Say how far the statement of each rail was read."""
        found = (await self._link.ask("HGETALL", keys.STATEMENTS)).items()
        marks = {rail.decode(): self._mark(rail.decode(), row) for rail, row in found}
        return {rail: mark for rail, mark in marks.items() if mark is not None}

    async def advance(self, rail: str, mark: StatementMark) -> None:
        """Write down how far it was read, and let go of what is too old."""
        content = f"{mark.read} {mark.compared} {mark.begun}".encode()
        await self._link.ask("HSET", keys.STATEMENTS, rail, self._wrapped(keys.STATEMENTS, rail, content))
        old = await self._link.ask("ZRANGEBYSCORE", keys.lines_by_time(rail), "-inf", mark.read - KEEP_MS)
        if old:
            await self._link.ask("HDEL", keys.lines(rail), *old)
            await self._link.ask("ZREM", keys.lines_by_time(rail), *old)

    async def balance(self, rail: str, asset: str, begins: Millis) -> StatementBalance | None:
        """Give what a wallet held around one span, as it was read last."""
        name = f"{asset} {begins}"
        found = self._unwrapped(keys.statement(rail), name, await self._link.ask("HGET", keys.statement(rail), name))
        return msgspec.msgpack.decode(found, type=StatementBalance) if found else None

    async def first_balances(self, rail: str) -> dict[str, tuple[Millis, StatementBalance]]:
        """Give the oldest balance that was read of each wallet, with when its span begins."""
        first: dict[str, Millis] = {}
        for name in await self._link.ask("HKEYS", keys.statement(rail)):
            asset, _, begins = name.decode().rpartition(" ")
            first[asset] = min(first.get(asset, Millis(int(begins))), Millis(int(begins)))
        found = {asset: (begins, await self.balance(rail, asset, begins)) for asset, begins in first.items()}
        return {asset: (begins, one) for asset, (begins, one) in found.items() if one}

    async def since(self, rail: str, at: Millis) -> list[str]:
        """Name the lines since a time, the oldest first."""
        return [one.decode() for one in await self._link.ask("ZRANGEBYSCORE", keys.lines_by_time(rail), at, "+inf")]

    async def keep_balances(self, rail: str, begins: Millis, balances: Mapping[str, StatementBalance]) -> None:
        """Keep what a wallet held around one span."""
        rows = {f"{asset} {begins}": _ENCODE.encode(one) for asset, one in balances.items()}
        key = keys.statement(rail)
        words = [word for name, row in rows.items() for word in (name, self._wrapped(key, name, row))]
        if words:
            await self._link.ask("HSET", keys.statement(rail), *words)

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def columns(self, rail: str) -> str:
        """Say which column is what in a rail's tables; empty where nobody said so."""
        return (await self._link.ask("HGET", keys.STATEMENT_COLUMNS, rail) or b"").decode()

    async def keep_columns(self, rail: str, columns: str) -> None:
        """Keep which column is what, for the next file."""
        await self._link.ask("HSET", keys.STATEMENT_COLUMNS, rail, columns)

    async def count_new(self, rail: str, ids: Sequence[str]) -> int:
        """Count the lines that nobody has taken in."""
        new = 0
        for first in range(0, len(ids), MOST_ASKED):
            some = list(dict.fromkeys(ids[first : first + MOST_ASKED]))
            new += (await self._link.ask("HMGET", keys.lines(rail), *some)).count(None)
        return new

    # ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def take_in(self, rail: str, lines: Sequence[StatementLine], source: str = "") -> TakenIn:
        """Keep lines, each once; what a rail says now under an id that is known takes the place of what it said."""
        by_id = {line.id: line for line in lines}
        if not by_id:
            return TakenIn([], [])
        known = await self._link.ask("HMGET", keys.lines(rail), *by_id)
        fresh, changed = [], []
        for line, found in zip(by_id.values(), known, strict=True):
            before = self._opened(rail, line.id, found)
            # What a rail itself says counts in place of what a file said of it.
            if before is None or (before.open and not line.open) or (before.source and not source):
                fresh.append(line)
            elif before.source == source and _otherwise(before, _row(line)):
                changed.append((before, line))
        if fresh:
            # First that they are to be looked at: whoever dies between the two reads them once more, and loses none.
            places = [word for one in fresh for word in (one.at, one.id)]
            await self._link.ask("ZADD", keys.unmatched(rail), *places)
            rows = [word for one in fresh for word in (one.id, self._sealed(rail, one.id, _row(one, source=source)))]
            await self._link.ask("HSET", keys.lines(rail), *rows)
            await self._link.ask("ZADD", keys.lines_by_time(rail), *places)
        return TakenIn(fresh, await self._changed(rail, changed))

    async def _changed(self, rail: str, changed: Sequence[tuple[_Row, StatementLine]]) -> list[ChangedLine]:
        """Keep what is said now, about the same record; it is compared once more."""
        if not changed:
            return []
        waits = await self._link.ask("ZMSCORE", keys.unmatched(rail), *(line.id for _, line in changed))
        again = [word for before, line in changed if before.record for word in (line.at, line.id)]
        if again:
            await self._link.ask("ZADD", keys.unmatched(rail), *again)
        rows = [
            (line.id, self._sealed(rail, line.id, _row(line, record=before.record, source=before.source)))
            for before, line in changed
        ]
        await self._link.ask("HSET", keys.lines(rail), *(word for row in rows for word in row))
        found = [(self._matched(line.id, before), line) for before, line in changed]
        return [
            ChangedLine(before, line, score is not None)
            for (before, line), score in zip(found, waits, strict=True)
            if before
        ]

    async def gone(self, rail: str, since: Millis, until: Millis, there: Collection[str]) -> list[MatchedLine]:
        """Give the payments between two times that the rail said it made, and lists no more."""
        words = ("ZRANGEBYSCORE", keys.lines_by_time(rail), since, until)
        ids = [name for one in await self._link.ask(*words) if (name := one.decode()) not in there]
        found: list[MatchedLine] = []
        for first in range(0, len(ids), MOST_ASKED):
            some = await self.found(rail, ids[first : first + MOST_ASKED])
            found += [one for one in some if one and one.line.kind is LineKind.PAYMENT and not one.source]
        return [one for one in found if not one.line.open]

    async def forget(self, rail: str, lines: Sequence[MatchedLine]) -> None:
        """Forget lines that a rail lists no more, as if it had never said them."""
        records = list(dict.fromkeys(RecordId(one.record) for one in lines if one.record))
        ids = [one.line.id for one in lines]
        about = zip(records, await self.matched_each(rail, records), strict=True)
        left = {record: [one for one in names if one not in ids] for record, names in about}
        if left:
            words = [word for record, names in left.items() for word in (record, _ENCODE.encode(names))]
            await self._link.ask("HSET", keys.matched(rail), *words)
        if ids:
            await self._link.ask("ZREM", keys.unmatched(rail), *ids)
            await self._link.ask("ZREM", keys.lines_by_time(rail), *ids)
            await self._link.ask("HDEL", keys.lines(rail), *ids)

    async def line(self, rail: str, line_id: str) -> MatchedLine | None:
        """Find a line."""
        (found,) = await self.found(rail, [line_id])
        return found

    async def found(self, rail: str, ids: Sequence[str]) -> list[MatchedLine | None]:
        """Find lines, in the order of their ids."""
        if not ids:
            return []
        rows = await self._link.ask("HMGET", keys.lines(rail), *ids)
        return [self._matched(name, self._opened(rail, name, row)) for name, row in zip(ids, rows, strict=True)]

    async def newest(self, rail: str, limit: int, before: int | None = None) -> list[MatchedLine]:
        """List lines, the newest first, from before a time on."""
        until = "+inf" if before is None else f"({before}"
        ids = await self._link.ask("ZREVRANGEBYSCORE", keys.lines_by_time(rail), until, "-inf", "LIMIT", 0, limit)
        return [one for one in await self.found(rail, [name.decode() for name in ids]) if one]

    async def count(self, rail: str) -> int:
        """Count the lines that are kept."""
        return int(await self._link.ask("ZCARD", keys.lines_by_time(rail)))

    # ── what they are about ──────────────────────────────────────────────────────────────────────────────────────────

    async def match(self, rail: str, pairs: Sequence[tuple[MatchedLine, RecordId]]) -> Mapping[RecordId, list[str]]:
        """Write down which records some lines are about; gives all lines that are about each of these."""
        records = list(dict.fromkeys(record for _, record in pairs))
        about = dict(zip(records, await self.matched_each(rail, records), strict=True))
        fresh = [(one, record) for one, record in pairs if one.line.id not in about[record]]
        for one, record in fresh:
            about[record].append(one.line.id)
        if fresh:
            rows = [
                (one.line.id, self._sealed(rail, one.line.id, _row(one.line, record=record, source=one.source)))
                for one, record in fresh
            ]
            await self._link.ask("HSET", keys.lines(rail), *(word for row in rows for word in row))
            lines = {record: about[record] for _, record in fresh}
            words = [word for record, ids in lines.items() for word in (record, _ENCODE.encode(ids))]
            await self._link.ask("HSET", keys.matched(rail), *words)
        return about

    async def matched(self, rail: str, record: RecordId) -> list[str]:
        """List the lines that are about a record."""
        (found,) = await self.matched_each(rail, [record])
        return found

    async def matched_each(self, rail: str, records: Sequence[RecordId]) -> list[list[str]]:
        """List the lines that are about each of some records."""
        if not records:
            return []
        named = [
            msgspec.msgpack.decode(one, type=list[str]) if one else []
            for one in await self._link.ask("HMGET", keys.matched(rail), *records)
        ]
        ids = [name for some in named for name in some]
        says = {name: one.record for name, one in zip(ids, await self.found(rail, ids), strict=True) if one}
        return [
            [name for name in some if says.get(name) == record] for record, some in zip(records, named, strict=True)
        ]

    # ── what is to be looked at again ────────────────────────────────────────────────────────────────────────────────

    async def waiting(self, rail: str, skipped: int, limit: int) -> list[str]:
        """Name lines of which nothing could be said yet, the oldest first."""
        found = await self._link.ask("ZRANGE", keys.unmatched(rail), skipped, skipped + limit - 1)
        return [one.decode() for one in found]

    async def unsaid(self, rail: str, since: Millis) -> list[StatementLine]:
        """List lines since a time that are about no record, and that nobody is to look at."""
        ids = [one.decode() for one in await self._link.ask("ZRANGEBYSCORE", keys.lines_by_time(rail), since, "+inf")]
        found = []
        for first in range(0, len(ids), MOST_ASKED):
            some = ids[first : first + MOST_ASKED]
            waits = await self._link.ask("ZMSCORE", keys.unmatched(rail), *some)
            rows = await self.found(rail, some)
            found += [one.line for one, at in zip(rows, waits, strict=True) if one and not one.record and at is None]
        return found

    async def look_again(self, rail: str, lines: Sequence[StatementLine]) -> None:
        """Have lines looked at."""
        if lines:
            await self._link.ask("ZADD", keys.unmatched(rail), *(word for one in lines for word in (one.at, one.id)))

    async def done(self, rail: str, *lines: str) -> None:
        """Write down that lines were dealt with."""
        if lines:
            await self._link.ask("ZREM", keys.unmatched(rail), *lines)

    # ── signed ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def renew(self, key: str) -> bool:
        """Sign anew, with the newest key, what an older key of ours signed in one hash; tells whether anything was."""
        macs, renewed = self._link.macs, False
        async for name, row in self._link.fields(key):
            place = f"{key} {name}"
            content = macs.opened(place, row)
            if content is not None and not macs.is_current(row[1 : 1 + row[0]]):
                await self._link.ask("HSET", key, name, macs.wrap(place, content))
                renewed = True
        return renewed

    def _wrapped(self, key: str, name: str, content: bytes) -> bytes:
        return self._link.macs.wrap(f"{key} {name}", content)

    def _unwrapped(self, key: str, name: str, row: bytes | None) -> bytes | None:
        return self._link.macs.opened(f"{key} {name}", row)

    def _mark(self, rail: str, row: bytes | None) -> StatementMark | None:
        content = self._unwrapped(keys.STATEMENTS, rail, row)
        return StatementMark(*(Millis(int(one)) for one in content.split())) if content else None

    def _sealed(self, rail: str, name: str, row: _Row) -> bytes:
        return self._wrapped(keys.lines(rail), name, _ENCODE.encode(row))

    def _opened(self, rail: str, name: str, found: bytes | None) -> _Row | None:
        content = self._unwrapped(keys.lines(rail), name, found)
        return _ROWS.decode(content) if content else None

    def _matched(self, name: str, row: _Row | None) -> MatchedLine | None:
        if row is None:
            return None
        amount = Money(row.units, asset_of(self._assets, row.asset))
        line = StatementLine(
            name, row.kind, amount, row.out, Millis(row.at), row.reference, row.handle, row.fee, row.account, row.open,
            row.rest, row.fee_rest,
        )  # fmt: skip
        return MatchedLine(line, row.record, row.source)


def _otherwise(before: _Row, now: _Row) -> bool:
    """Whether a line says another thing than it did; when it happened, and its names, may be written otherwise."""
    same = all(
        getattr(before, name) == getattr(now, name)
        for name in ("kind", "asset", "units", "rest", "out", "account", "open")
    )
    named = None not in (before.fee, now.fee) and (before.fee, before.fee_rest) != (now.fee, now.fee_rest)
    return not same or named


def asset_of(assets: Assets, code: str) -> Asset:
    """Give an asset that a rail names; one that we keep no books in has two decimals, as most currencies do."""
    return next((one for one in assets if one.code == code), Asset(code, 2))


def _row(line: StatementLine, *, record: str = "", source: str = "") -> _Row:
    return _Row(
        line.kind, line.amount.asset.code, line.amount.units, line.out, line.at, line.reference, line.handle, line.fee,
        line.account, line.open, record, source, line.rest, line.fee_rest,
    )  # fmt: skip
