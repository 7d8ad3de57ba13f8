"""A month for accountants: every payout, every posting, and what each account held when it began and when it ended.

What was archived is read from the archive's files. What they and the store sum to must be what the books say: where a
file is missing nothing is written, rather than a month in which something lacks.
"""

import csv
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

import msgspec

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput
from machines.core.ids import Owner, called, room_of
from machines.core.money import Money
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import APPROVED, CANCELLED, COMPLETED, PROCESSING, REJECTED, REVERSED
from payflow.desk.archive import POSTING, archived, archived_lines, folder_of, new
from payflow.desk.payouts import MACHINE
from payflow.desk.query import RecordQuery
from payflow.shown import harmless, iso
from payflow.store.accounts import Posting, Sums, place_of
from payflow.store.codec import HistoryEvent
from payflow.store.rail_side import RAIL
from payflow.store.store import Store

Cell: TypeAlias = str | Decimal
Row: TypeAlias = Sequence[Cell]

PAYOUTS = (
    "id", "platform", "provider", "currency", "gross", "fee", "net", "state at the end", "state now", "rail",
    "our reference", "rail's reference", "to", "asked", "approved", "sent", "paid", "came back", "given back", "note",
)  # fmt: skip
POSTINGS = ("at", "account", "currency", "from", "to", "amount", "changes what is owed by", "cause", "posting")
BALANCES = ("account", "currency", "figure", "opening", "change", "closing")
_REACHED = (APPROVED, PROCESSING, COMPLETED, REVERSED)
_EXACT_DIGITS = 15
"""So many digits of a number a spreadsheet keeps; one with more is written as text."""


@dataclass(frozen=True, slots=True)
class MonthFiles:
    """What was written."""

    files: Sequence[Path]
    payouts: int
    postings: int
    figures: int


def month_of(text: str) -> range:
    """Read a month such as 2026-01, in UTC: the milliseconds of it."""
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise BadInput(f"{text[:20]!r} is no month: write it as 2027-01.") from None
    following = datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=UTC)
    return range(int(first.timestamp()) * SECOND, int(following.timestamp()) * SECOND)


class MonthEnd:
    """Writes the books of one month."""

    def __init__(self, store: Store, month: range, platform: str = "", archives: Path | None = None) -> None:
        self._store = store
        self._month = month
        self._platform = platform
        self._archives = archives or folder_of(store)
        self._ours: dict[Owner, bool] = {}

    async def write(self, folder: Path, who: str, *, xlsx: bool = False) -> MonthFiles:
        """Write payouts, postings and balances into a folder, as three tables or as one file with three sheets."""
        if self._month.start > await self._store.records.now():
            raise BadInput("That month is still to come.")
        balances, postings = await self._balances()
        await self._store.audit.note(who, "month end", str(folder), self._platform)
        counts = []
        with (_workbook if xlsx else _tables)(folder) as (files, table):
            for name, heads, rows in (
                ("payouts", PAYOUTS, self._payouts()),
                ("postings", POSTINGS, _each(map(self._posting, postings))),
                ("balances", BALANCES, _each(balances)),
            ):
                write, count = table(name, heads), 0
                async for row in rows:
                    write(row)
                    count += 1
                counts.append(count)
        return MonthFiles(files, *counts)

    # ── payouts ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _payouts(self) -> AsyncIterator[Row]:
        """Give every payout that something happened to in the month: those in the store, and those in the archive."""
        async for stored in RecordQuery.parse(f"machine={MACHINE}").find(self._store):
            events = await self._store.records.history(stored.record.id)
            if await self._is_of(stored.record.owner, events):
                yield self._payout(stored.record, events)
        async for found in archived(self._store, MACHINE, self._archives):
            if await self._is_of(found.record.owner, found.events):
                yield self._payout(found.record, found.events)

    async def _is_of(self, owner: Owner, events: Sequence[HistoryEvent]) -> bool:
        return any(one.at in self._month for one in events) and await self._is_ours(owner)

    async def _is_ours(self, owner: Owner) -> bool:
        """Whether an account is of the platform that is asked for, if one is."""
        if not self._platform:
            return True
        if owner not in self._ours:
            whose = room_of(owner) or (await self._store.profiles.read(owner)).platform
            self._ours[owner] = whose == self._platform and not owner.startswith(RAIL)
        return self._ours[owner]

    def _payout(self, record: PayoutRecord, events: Sequence[HistoryEvent]) -> Row:
        data, gross = record.data, record.amount
        if gross is None:
            raise BadInput(f"{record.id} has no amount.")
        at_end = [one.state for one in events if one.at < self._month.stop]
        reached = {state: _when(events, state) for state in (*_REACHED, REJECTED, CANCELLED)}
        evidence = data.evidence
        theirs = dict(evidence.details).get("id", evidence.reference) if evidence else ""
        return (
            record.id, room_of(record.owner), called(record.owner), gross.asset.code, _number(gross.units, gross),
            _number(data.fee_units, gross), _number(data.send_units, gross), at_end[-1] if at_end else "",
            record.state, data.rail, data.paid_by or data.newest, theirs, data.shown, iso(events[0].at),
            *(reached[state] for state in _REACHED), reached[REJECTED] or reached[CANCELLED], data.note,
        )  # fmt: skip

    # ── postings and balances ────────────────────────────────────────────────────────────────────────────────────────

    def _posting(self, one: Posting) -> Row:
        return (
            iso(_at(one)), one.owner, one.asset, one.source, one.target, self._decimal(one.units, one.asset),
            self._decimal(one.owed, one.asset), one.cause, one.id,
        )  # fmt: skip

    async def _balances(self) -> tuple[list[Row], list[Posting]]:
        """Sum up what each account held at both ends, with the month's postings; of all shards, one after the other."""
        found: list[Posting] = []
        shards = range(self._store.records.shards)
        there, before, inside = ([Sums() for _ in shards] for _ in range(3))
        for shard, one in self._put_away():
            there[shard][one.owner, one.asset].post(one)
            await self._count(one, before[shard], inside[shard], found)
        for shard in shards:
            _refuse_gaps(shard, *await self._store.ledger.checkpoint(shard), there[shard])
            async for one in self._store.ledger.journal(shard):
                await self._count(one, before[shard], inside[shard], found)
        rows = sorted(self._figures(_added(before), _added(inside)), key=itemgetter(0, 1, 2))
        found.sort(key=lambda one: (_at(one), one.id))
        return rows, found

    async def _count(self, one: Posting, before: Sums, inside: Sums, found: list[Posting]) -> None:
        if _at(one) >= self._month.stop or not await self._is_ours(one.owner):
            return
        if _at(one) < self._month.start:
            before[one.owner, one.asset].post(one)
            return
        inside[one.owner, one.asset].post(one)
        found.append(one)

    def _figures(self, before: Sums, inside: Sums) -> Iterator[Row]:
        for key in before.keys() | inside.keys():
            opening, change = before[key].named, inside[key].named
            for figure in dict.fromkeys([*opening, *change]):
                first, moved = opening.get(figure, 0), change.get(figure, 0)
                if first or moved:
                    values = (self._decimal(units, key[1]) for units in (first, moved, first + moved))
                    yield (key[0], key[1], figure, *values)

    def _put_away(self) -> Iterator[tuple[int, Posting]]:
        """Read the postings that were archived; each of them once, though an archive that was cut short has it too."""
        last: dict[int, tuple[int, int]] = {}
        for _, line in archived_lines(self._store, self._archives, POSTING):
            one = msgspec.json.decode(line, type=_ArchivedPosting)
            shard = self._store.records.owner_shard(one.owner) if one.shard is None else one.shard
            place = place_of(one.id)
            if place > last.get(shard, (0, 0)):
                last[shard] = place
                yield shard, one

    def _decimal(self, units: int, asset: str) -> Decimal:
        return _number(units, Money(0, self._store.records.assets[asset]))


@dataclass(frozen=True, slots=True)
class _ArchivedPosting(Posting):
    shard: int | None = None
    """None where an older version wrote it, which knew of accounts of owners alone."""


def _refuse_gaps(shard: int, sums: Sums, until: str, there: Sums) -> None:
    same = {key: one.figures for key, one in sums.items() if any(one.named.values())}
    if same != {key: one.figures for key, one in there.items() if any(one.named.values())}:
        raise BadInput(
            f"Postings of shard {shard:02d} up to {until} were archived, and the files that are here do not sum to "
            "what the books say of them: bring all files of archives into one folder, and name it with --archive."
        )


def _added(parts: Iterable[Sums]) -> Sums:
    found = Sums()
    for part in parts:
        for key in part:
            if key[0].startswith(RAIL):
                found.on_rail(key).add(part.on_rail(key))
            else:
                found.owned(key).add(part.owned(key))
    return found


def _at(one: Posting) -> Millis:
    return Millis(int(one.id.partition("-")[0]))


def _when(events: Iterable[HistoryEvent], state: str) -> str:
    """Say when a record came into a state last."""
    return next((iso(one.at) for one in reversed([*events]) if one.trigger and one.state == state), "")


def _number(units: int, like: Money) -> Decimal:
    return Decimal(units).scaleb(-like.asset.decimals)


@contextmanager
def _tables(folder: Path) -> Iterator[tuple[list[Path], "Table"]]:
    """Write each table as a file of its own."""
    files: list[Path] = []
    with ExitStack() as stack:

        def table(name: str, heads: Sequence[str]) -> Callable[[Row], object]:
            path = new(folder / f"{name}.csv")
            files.append(path)
            writer = csv.writer(stack.enter_context(path.open("x", newline="", encoding="utf-8")))
            writer.writerow(heads)
            return lambda row: writer.writerow([harmless(one) if isinstance(one, str) else f"{one:f}" for one in row])

        yield files, table


@contextmanager
def _workbook(folder: Path) -> Iterator[tuple[list[Path], "Table"]]:
    """Write each table as a sheet of one file."""
    from openpyxl import Workbook  # noqa: PLC0415  (only where somebody asks for it)

    path, book = new(folder / "books.xlsx"), Workbook(write_only=True)

    def table(name: str, heads: Sequence[str]) -> Callable[[Row], object]:
        sheet = book.create_sheet(name)
        sheet.append(heads)
        return lambda row: sheet.append([harmless(one) if isinstance(one, str) else _cell(one) for one in row])

    yield [path], table
    book.save(path)


Table = Callable[[str, Sequence[str]], Callable[[Row], object]]
"""Begins a table, and gives what writes its rows."""


def _cell(number: Decimal) -> Cell:
    return number if len(number.as_tuple().digits) <= _EXACT_DIGITS else f"{number:f}"


async def _each(rows: Iterable[Row]) -> AsyncIterator[Row]:
    for row in rows:
        yield row
