"""What a provider has: the balance, what was earned, and a statement of each month."""

import base64
import csv
import io
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from machines.core.clock import DAY, SECOND, Millis
from machines.core.errors import BadAmount
from machines.core.ids import Owner, parse_id
from machines.core.lifecycle import Position
from machines.core.money import Money
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import LIFECYCLE
from payflow.desk.payouts import MACHINE, Desk
from payflow.desk.person import LOOKS
from payflow.desk.providers import AccessScope
from payflow.desk.values import LedgerAccount
from payflow.shown import iso
from payflow.store.store import Store
from payflow.web.api import answers
from payflow.web.api.answers import money_of, status_of
from payflow.web.api.payloads import NoBody, OwnerAsked
from payflow.web.http import problems
from payflow.web.http.endpoints import CSV, AnyEndpoint, ApiEndpoint, CsvReply, EndpointCall, JsonReply
from payflow.web.http.fields import Currency
from payflow.web.http.problems import Problem

COLUMNS = ("time", "kind", "id", "status", "currency", "amount", "change")
MOST_LINES = 10_000
SLICE = 200
# A payout that was asked for this long before the month may still have moved in it.
LOOK_BACK_MS = 92 * DAY

_DECEMBER = 12


class EarningsAsked(OwnerAsked):
    """Which earnings."""

    currency: Currency = "NGN"
    """In which currency: each has a line of its own."""
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """How many."""
    cursor: Annotated[str, Field(max_length=40)] = ""
    """Where to go on: the `next` of the page before."""


class StatementAsked(OwnerAsked):
    """Which statement."""

    month: Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2026-01"])]
    """Of which month, in UTC."""


class AccountsApi:
    """The room of the accounts."""

    def __init__(self, desk: Desk, scope: AccessScope) -> None:
        self._store = desk.store
        self._scope = scope

    def endpoints(self) -> Iterable[AnyEndpoint]:
        missing = (HTTPStatus.NOT_FOUND,)
        yield ApiEndpoint(
            "GET", "/api/provider/balance", "Tell what there is, in every currency.", LOOKS, self.balance,
            {HTTPStatus.OK: answers.Balances}, query=OwnerAsked, refuses=missing,
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/provider/earnings", "List earnings, the oldest first, and where each part of them is.",
            LOOKS, self.earnings, {HTTPStatus.OK: answers.EarningsPage}, query=EarningsAsked, refuses=missing,
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/provider/statement", "Give all that moved the balance in a month, as a table.",
            LOOKS, self.statement, {HTTPStatus.OK: CSV}, query=StatementAsked, refuses=missing,
        )  # fmt: skip

    async def balance(self, call: EndpointCall[NoBody, OwnerAsked]) -> JsonReply:
        """Tell what there is."""
        owner = await self._scope.owner(call.caller, call.query.owner)
        accounts = await self._store.ledger.account(owner)
        balances = [
            answers.balance(asset, accounts.get(asset.code, LedgerAccount())) for asset in self._store.records.assets
        ]
        return JsonReply(answers.Balances(owner=owner, balances=balances))

    async def earnings(self, call: EndpointCall[NoBody, EarningsAsked]) -> JsonReply:
        """List earnings page by page. Nothing is ever taken out of their line, so a place in it is a number."""
        owner = await self._scope.owner(call.caller, call.query.owner)
        try:
            asset = self._store.records.assets[call.query.currency]
        except BadAmount as error:
            raise Problem(problems.UNKNOWN_CURRENCY, f"currency: {error}", field="currency") from error
        first = _number(call.query.cursor)
        last = first + call.query.limit
        line = await self._store.earnings.of(owner, asset.code)
        earnings = [answers.earned(one, asset) for one in line[first:last]]
        return JsonReply(
            answers.EarningsPage(owner=owner, earnings=earnings, next=_cursor(last) if last < len(line) else None)
        )

    async def statement(self, call: EndpointCall[NoBody, StatementAsked]) -> CsvReply:
        """Give a month's statement."""
        owner = await self._scope.owner(call.caller, call.query.owner)
        text = await statement_of(self._store, owner, month_of(call.query.month))
        return CsvReply(f"statement-{call.query.month}.csv", text)


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(str(number).encode()).decode()


def _number(cursor: str) -> int:
    try:
        number = int(base64.b64decode(cursor, altchars=b"-_", validate=True)) if cursor else 0
    except ValueError:
        number = -1
    if number < 0:
        raise Problem(problems.BAD_FIELD, "cursor: give the `next` of the page before, unchanged.", field="cursor")
    return number


# ── a statement ───────────────────────────────────────────────────────────────────────────────────────────────────────


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


async def statement_of(store: Store, owner: Owner, month: Month) -> str:
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
