"""What people may do with files of payouts: send one, see what it says, leave rows out, say yes or no, take it back."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from adapters.payout_files.columns import payout_columns
from adapters.payout_files.rows import RawRow, rows_of
from machines.core.decision import New
from machines.core.errors import BadAmount, BadInput, Conflict, NotFound, NotPossible, ShortBalance
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.money import Money
from machines.disbursement import facts as f
from machines.disbursement import lifecycle as s
from machines.disbursement.data import (
    MACHINE,
    MOST_RANGES,
    PORTION_MACHINE,
    FileData,
    FileRecord,
    Portion,
    PortionData,
    file_id,
    portion_id,
    ranges_of,
)
from machines.disbursement.permit import people_needed, sealed_yes
from payflow.desk.payout_files.checking import KNOWN, RowChecker
from payflow.desk.payouts import Desk
from payflow.desk.person import REVIEWS, Person, because, refuse_who_spoke
from payflow.desk.records import FactSource, tell
from payflow.desk.requests import refuse_bad_line, two_people_from
from payflow.shown import decimal
from payflow.store.registers.payout_files import FileRow, PayoutFileRows, RedRow, digest_of

PORTION_ROWS = 250
"""So many rows become payouts in one commit."""
CHECKED_AT_ONCE = 250
MOST_WAITING = 10
"""So many files of one owner may wait for reviewers."""
MOST_LISTED = 1_000
LONGEST_NAME = 100

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class FileCover:
    """What a file comes to in one currency, and what its owner has."""

    asset: str
    rail: str
    rows: int
    units: int
    available: int
    """In that currency, for all rails."""
    short: int
    """What is missing, for all rails together; 0 where enough is there."""


@dataclass(slots=True)
class _Reading:
    """A file while it is read."""

    file: RecordId
    portions: list[Portion] = field(default_factory=list)
    buffers: dict[tuple[str, str], list[FileRow]] = field(default_factory=dict)
    rows: int = 0
    red: int = 0
    red_pages: int = 0
    doubtful: int = 0
    fees: Counter[str] = field(default_factory=Counter)
    alive: dict[str, bool] = field(default_factory=dict)
    """Of other files, whether they may yet be paid, or were."""


class PayoutFiles:
    """The files of an installation."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.store = desk.store
        self.rows = PayoutFileRows(desk.store.link, desk.store.records)
        self._bands = two_people_from(desk.store.settings, desk.store)

    # ── sent ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def upload(
        self, owner: Owner, path: Path, name: str, columns: str, by: Person, progress: Progress = lambda _: None
    ) -> FileRecord:
        """Check a file row by row, and write down what it says; the same file again is the one that is there."""
        refuse_bad_line(name, LONGEST_NAME)
        columns = columns or await self.columns(owner)
        shaped = payout_columns(columns, KNOWN)
        sha256 = await asyncio.to_thread(_sha256, path)
        record_id = file_id(self.store.records.owner_shard(owner), owner, f"{sha256} {columns}")
        known = await self._known(record_id)
        if known is not None and await self.rows.there(record_id):
            return known
        if known is None:
            await self._refuse_many_waiting(owner)
        reading = _Reading(record_id)
        checker = RowChecker(self.desk, owner, sha256, self.store.records.assets)
        try:
            with closing(rows_of(path, shaped, KNOWN)) as raw:
                await self._read(reading, checker, raw, progress)
        except BaseException:
            await self.rows.forget(record_id)
            raise
        data = self._data(reading, name, sha256, columns, by)
        if known is not None:
            return await self._restored(known, data)
        for money in self.sums(data):
            by.refuse_above(money)
        about = f"{name}: {data.rows} rows, {data.red} red"
        async with self.store.audit.doing(by.name, "upload", record_id, about):
            made = await self.store.records.create(New(record_id, MACHINE, owner, None, data, due_in_s=None), by.name)
        if columns:
            await self.keep_columns(owner, columns)
        return made.record if made.fresh else await self.read(record_id)

    async def _read(
        self, reading: _Reading, checker: RowChecker, raw: Iterator[RawRow], progress: Progress
    ) -> None:  # fmt: skip
        last = False
        while not last:
            good, red, last = await asyncio.to_thread(checker.check, raw, CHECKED_AT_ONCE)
            await self._take(reading, checker.owner, good, red)
            progress(reading.rows)
        for key in sorted(reading.buffers):
            await self._write_portion(reading, key)
        if not reading.rows:
            raise BadInput("The file has headings and no row.")

    async def _known(self, record_id: RecordId) -> FileRecord | None:
        try:
            return await self.read(record_id)
        except NotFound:
            return None

    async def _refuse_many_waiting(self, owner: Owner) -> None:
        waiting = [one for one in await self.all((s.CHECKED,)) if one.owner == owner]
        if len(waiting) >= MOST_WAITING:
            raise NotPossible(f"{MOST_WAITING} files of {owner} wait for reviewers, and no more at a time: cancel one.")

    async def _take(self, reading: _Reading, owner: Owner, good: list[FileRow], red: list[RedRow]) -> None:
        """Take checked rows in: what is a payout already is red, what another file pays too is pointed out."""
        reading.rows += len(good) + len(red)
        there = await self.rows.existing([row.payout for row in good])
        red += [
            RedRow(row.number, "", f"it is {row.payout} already", row.reference) for row in good if row.payout in there
        ]
        good = [row for row in good if row.payout not in there]
        now = await self.store.records.now()
        prints = {row.print: row for row in good}
        twins = await self.rows.twins(owner, list(prints), now)
        for found in good:
            row, other = found, twins.get(found.print, "")
            if other and other != reading.file and await self._may_pay(reading, other):
                row = found.like(other)
                reading.doubtful += 1
            reading.fees[row.asset] += row.fee
            buffer = reading.buffers.setdefault((row.asset, row.rail), [])
            buffer.append(row)
            if len(buffer) == PORTION_ROWS:
                await self._write_portion(reading, (row.asset, row.rail))
        await self.rows.note_prints(reading.file, owner, list(prints), now)
        if red:
            await self.rows.write_red(reading.file, reading.red_pages, sorted(red, key=lambda row: row.number))
            reading.red_pages += 1
            reading.red += len(red)

    async def _may_pay(self, reading: _Reading, other: str) -> bool:
        """Whether another file was not taken back."""
        if other not in reading.alive:
            found = await self._known(RecordId(other))
            reading.alive[other] = found is not None and found.state not in (s.REJECTED, s.CANCELLED)
        return reading.alive[other]

    async def _write_portion(self, reading: _Reading, key: tuple[str, str]) -> None:
        rows = reading.buffers.pop(key)
        await self.rows.write(reading.file, len(reading.portions), rows)
        units = sum(row.units for row in rows)
        asset, rail = key
        try:
            Money(units, self.store.records.assets[asset])
        except BadAmount:
            raise BadInput(
                f"Rows {rows[0].number} to {rows[-1].number} come to more {asset} than books hold."
            ) from None
        reading.portions.append(
            Portion(asset, rail, units, len(rows), digest_of(rows), rows[0].number, rows[-1].number)
        )

    def _data(self, reading: _Reading, name: str, sha256: str, columns: str, by: Person) -> FileData:
        data = FileData(
            name=name,
            sha256=sha256,
            uploaded_by=by.name,
            columns=columns,
            rows=reading.rows,
            red=reading.red,
            doubtful=reading.doubtful,
            fees=tuple(sorted(reading.fees.items())),
            portions=tuple(reading.portions),
        )
        return replace(data, approvals_needed=people_needed(data.sums(), self._bands))

    async def _restored(self, known: FileRecord, data: FileData) -> FileRecord:
        """Take the rows of a file that were not there any more, if they are those that it had."""
        same = [one.digest for one in known.data.portions] == [one.digest for one in data.portions]
        if not same:
            await self.rows.forget(known.id)
            raise Conflict(
                f"{known.id} is this file, checked by other rules than today's: its rows cannot be restored."
            )
        return known

    # ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def columns(self, owner: Owner) -> str:
        """Say which column is what in an owner's files; empty where headings say it."""
        return await self.store.statements.columns(f"payouts:{owner}")

    async def keep_columns(self, owner: Owner, columns: str) -> None:
        """Keep which column is what, for the owner's next file."""
        payout_columns(columns, KNOWN)
        await self.store.statements.keep_columns(f"payouts:{owner}", columns)

    # ── looked at ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def read(self, record_id: str) -> FileRecord:
        """Read a file."""
        if parse_id(record_id)[0] != MACHINE:
            raise NotFound(f"{record_id} is no file of payouts.")
        return (await self.store.records.read(RecordId(record_id))).record

    async def all(self, states: Collection[str] = tuple(s.LIFECYCLE.states)) -> list[FileRecord]:
        """List files, the newest first."""
        found: list[FileRecord] = []
        for state in states:
            found += [one.record for one in await self.store.listing.in_state(MACHINE, state, MOST_LISTED)]
        return sorted(found, key=lambda record: (-record.created_at, record.id))

    def means(self, record: FileRecord) -> str:
        """Say in a sentence where it is."""
        return s.LIFECYCLE.state(record.state).means

    async def first_red(self, record_id: RecordId, most: int) -> list[RedRow]:
        """Give the first red rows."""
        found: list[RedRow] = []
        async for row in self.rows.red(record_id):
            if len(found) >= most:
                break
            found.append(row)
        return found

    async def first_twins(self, record: FileRecord, most: int) -> list[FileRow]:
        """Give the first rows that pay what another file pays to the same payee."""
        found: list[FileRow] = []
        for place in range(len(record.data.portions)):
            found += [row for row in await self.rows.read(record.id, place) or () if row.twin]
            if len(found) >= most:
                break
        return found[:most]

    def sums(self, data: FileData) -> list[Money]:
        """Give what a file comes to, by currency."""
        assets = self.store.records.assets
        try:
            return [Money(units, assets[code]) for code, units in data.sums().items()]
        except BadAmount as error:
            raise BadInput(f"The file comes to more than books hold: split it. {error}") from error

    async def cover(self, record: FileRecord) -> list[FileCover]:
        """Say by currency and rail what a file comes to, and whether its owner has that."""
        accounts = await self.store.ledger.account(record.owner)
        sums = record.data.sums()
        found = []
        for (asset, rail), (rows, units) in record.data.totals().items():
            available = accounts[asset].available if asset in accounts else 0
            found.append(FileCover(asset, rail, rows, units, available, max(0, sums[asset] - available)))
        return found

    # ── decided ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def approve(self, record_id: str, by: Person, fingerprint: str) -> FileRecord:
        """Say yes to exactly what was seen; with the last yes that is needed the sums are held, all of them or none."""
        by.refuse_unless(REVIEWS)
        record = await self.read(record_id)
        if record.state == s.CHECKED and not await self.rows.there(record.id):
            raise NotPossible(f"The rows of {record.id} are not there any more: send the same file again.")

        async def yes(record: FileRecord) -> Fact:
            data = record.data
            for money in self.sums(data):
                by.refuse_above(money)
            await refuse_who_spoke(self.store, by, data.uploaded_by, [one.by for one in data.approvals], record.id)
            at = await self.store.records.now()
            seal = sealed_yes(self.store.permit_keys, record, by.name, at)
            return f.FileApproved(by.name, fingerprint, at, seal, tuple(self._reserves(record)))

        try:
            return await self._decide("approve", record, yes, by)
        except ShortBalance:
            raise ShortBalance(await self._short(record)) from None

    def _reserves(self, record: FileRecord) -> Iterable[New[PortionData]]:
        assets = self.store.records.assets
        for place, one in enumerate(record.data.portions):
            if one.rows:
                amount = Money(one.units, assets[one.asset])
                name = portion_id(record.id, place)
                yield New(name, PORTION_MACHINE, record.owner, amount, PortionData(record.id, place), due_in_s=None)

    async def _short(self, record: FileRecord) -> str:
        assets = self.store.records.assets
        lacking = {one.asset: one for one in await self.cover(record) if one.short}
        said = [
            f"{decimal(one.short, code, assets)} {code} are missing, {decimal(one.available, code, assets)} are there"
            for code, one in sorted(lacking.items())
        ]
        return f"{record.owner} has too little for {record.id}: {'; '.join(said) or 'somebody spent it meanwhile'}."

    async def leave_out(self, record_id: str, rows: str, by: Person) -> FileRecord:
        """Leave rows out, such as `3,17,20-40`; whoever said yes before says it again to what is left."""
        by.refuse_unless(REVIEWS)
        record = await self.read(record_id)
        left_out = tuple(ranges_of(_numbers(rows, record.data)))
        if len(left_out) > MOST_RANGES:
            raise BadInput(f"More than {MOST_RANGES} ranges of rows are left out: send a file without them.")

        async def without(record: FileRecord) -> Fact:
            wanted = replace(record.data, left_out=left_out)
            portions = [await self._without(record.id, place, wanted) for place in range(len(wanted.portions))]
            sums = replace(wanted, portions=tuple(portions)).sums()
            return f.RowsLeftOut(by.name, left_out, tuple(portions), people_needed(sums, self._bands))

        return await self._decide("leave rows out", record, without, by, rows)

    async def _without(self, record_id: RecordId, place: int, wanted: FileData) -> Portion:
        portion = wanted.portions[place]
        rows = await self.rows.read(record_id, place)
        if rows is None or digest_of(rows) != portion.digest:
            raise Conflict(f"The rows of {record_id} are not those that were checked: send the same file again.")
        left = [row for row in rows if not wanted.leaves_out(row.number)]
        made = -1 if left else 0
        units = sum(row.units for row in left)
        return replace(portion, rows=len(left), units=units, made=made, over=not left)

    async def reject(self, record_id: str, by: Person, reason: str) -> FileRecord:
        """Say no to all of it."""
        by.refuse_unless(REVIEWS)
        why = because(reason, "Say why: whoever sent it will read it.")
        return await self._decide("reject", await self.read(record_id), f.FileRejected(by.name, why), by, why)

    async def cancel(self, record_id: str, by: Person, reason: str) -> FileRecord:
        """Take it back: no further row becomes a payout, and what is held for those is available again."""
        why = because(reason, "Say why: it is written into the history.")

        async def back(record: FileRecord) -> Fact:
            names = [portion_id(record.id, place) for place, one in enumerate(record.data.portions) if one.made < 0]
            found = await self.store.records.readable(names) if record.state == s.MAKING else []
            return f.FileCancelled(by.name, why, tuple(one.record for one in found if one.record.state == s.RESERVED))

        return await self._decide("cancel", await self.read(record_id), back, by, why)

    async def _decide(self, act: str, record: FileRecord, source: FactSource, by: Person, why: str = "") -> FileRecord:
        async with self.store.audit.doing(by.name, act, record.id, why):
            return (await tell(self.store, self.desk.metrics, record.id, source, by.name)).after


def _numbers(text: str, data: FileData) -> Iterable[int]:
    """Read row numbers such as `3,17,20-40`."""
    last = max((one.last for one in data.portions), default=0)
    for part in filter(None, (one.strip() for one in text.split(","))):
        first, dash, end = part.partition("-")
        bounds = [one.strip() for one in ((first, end) if dash else (first, first))]
        if not all(one.isascii() and one.isdecimal() and len(one) < 10 for one in bounds):  # noqa: PLR2004
            raise BadInput(f"{part[:20]!r} names no rows: write 3,17,20-40.")
        begin, stop = map(int, bounds)
        if not 0 < begin <= stop <= last:
            raise BadInput(f"{part[:20]!r} names no rows of the file, whose last one is {last}.")
        yield from range(begin, stop + 1)


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
