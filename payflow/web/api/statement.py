"""A provider's statement of a month: every line that changed what he could ask for, and what was paid to him."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from machines.core.clock import DAY, SECOND, Millis
from machines.core.ids import Owner, parse_id
from machines.core.lifecycle import Position
from machines.core.money import Money
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import LIFECYCLE
from payflow.desk.payouts import MACHINE
from payflow.shown import iso
from payflow.store.store import Store
from payflow.web.api.answers import money_of, status_of
from payflow.web.http import problems
from payflow.web.http.problems import Problem

COLUMNS = ("time", "kind", "id", "status", "currency", "amount", "change")
MOST_LINES = 10_000
SLICE = 200
# A payout that was asked for this long before the month may still have moved in it.
LOOK_BACK_MS = 92 * DAY

_DECEMBER = 12


@dataclass(frozen=True, slots=True)
class Month:
    """A month in UTC; the end is no part of it."""

    start: Millis
    end: Millis

    def __contains__(self, at: Millis) -> bool:
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of a statement."""

    at: Millis
    kind: str
    id: str
    status: str
    money: Money
    sign: int
    """What it did to the balance: 1 added, -1 took, 0 neither."""

    def cells(self) -> tuple[str, ...]:
        """Write it as text. All ids begin with a letter or digit, so a spreadsheet takes none for a formula."""
        amount = self.money.decimal
        change = {1: amount, 0: "0", -1: f"-{amount}"}[self.sign]
        return (iso(self.at), self.kind, self.id, self.status, self.money.asset.code, amount, change)


def month_of(text: str) -> Month:
    """Read a month such as 2026-01."""
    year, month = int(text[:4]), int(text[5:])
    following = (year + 1, 1) if month == _DECEMBER else (year, month + 1)
    start, end = (int(datetime(*first, 1, tzinfo=UTC).timestamp()) * SECOND for first in ((year, month), following))
    return Month(Millis(start), Millis(end))


async def statement(store: Store, owner: Owner, month: Month) -> str:
    """Write a statement as CSV, in the order in which things happened."""
    lines: list[StatementLine] = []
    async for line in _lines(store, owner, month):
        lines.append(line)
        if len(lines) > MOST_LINES:
            raise Problem(problems.BAD_FIELD, f"A statement has at most {MOST_LINES} lines: this month has more.")
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(COLUMNS)
    table.writerows(line.cells() for line in sorted(lines, key=lambda line: line.at))
    return written.getvalue()


async def _lines(store: Store, owner: Owner, month: Month) -> AsyncIterator[StatementLine]:
    async for entry in store.earnings.entries(owner):
        if entry.at in month:
            money = Money(entry.units, store.records.assets[entry.asset])
            kind, sign = ("clawback", -1) if entry.taken_back else ("earning", 1)
            yield StatementLine(entry.at, kind, entry.id.partition("/")[2], "booked", money, sign)
    async for record in _payouts(store, owner, month):
        async for line in _moves(store, record):
            if line.at in month:
                yield line


async def _payouts(store: Store, owner: Owner, month: Month) -> AsyncIterator[PayoutRecord]:
    place = None
    while True:
        since = Millis(month.start - LOOK_BACK_MS)
        found = await store.listing.owned_before(owner, place, since, month.end, SLICE)
        for place in found:
            if parse_id(place.id)[0] == MACHINE:
                yield (await store.records.read(place.id)).record
        if len(found) < SLICE:
            return


async def _moves(store: Store, record: PayoutRecord) -> AsyncIterator[StatementLine]:
    """Give the moves that changed where the money was: taken when it was asked for, paid, given back."""
    before, money = Position.AVAILABLE, money_of(record)
    for event in await store.records.history(record.id):
        after = LIFECYCLE.state(event.state).position or before
        if after is not before:
            sign = 1 if after is Position.AVAILABLE else -1 if before is Position.AVAILABLE else 0
            yield StatementLine(event.at, "payout", record.id, status_of(event.state), money, sign)
        before = after
