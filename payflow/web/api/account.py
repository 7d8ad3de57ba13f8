"""What a provider has: the balance, what their platform brings in and takes back, and a statement of each month."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from operator import itemgetter
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from machines.core.clock import DAY, SECOND, Millis
from machines.core.currencies import CURRENCIES
from machines.core.errors import PayflowError, ReservedOwner
from machines.core.ids import Owner, parse_id
from machines.core.lifecycle import Position
from machines.core.money import NGN, Money
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import LIFECYCLE, REQUESTED
from payflow.desk.archive import left_of
from payflow.desk.payouts import MACHINE, Desk
from payflow.desk.person import LOOKS, Caller
from payflow.desk.providers import AccessScope, ProviderProfiles, claim
from payflow.desk.values import LedgerAccount
from payflow.shown import iso
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.web.api import answers
from payflow.web.api.answers import money_of, status_of
from payflow.web.http import problems
from payflow.web.http.endpoints import CSV, AnyEndpoint, ApiEndpoint, CsvReply, EndpointCall, JsonReply
from payflow.web.http.payloads import (
    Amount,
    Currency,
    ExternalId,
    NoBody,
    NoQuery,
    OwnerAsked,
    OwnerName,
    RequestBody,
    asset_of,
    cursor_of,
    money,
    read_cursor,
)
from payflow.web.http.problems import Problem

COLUMNS = ("time", "kind", "id", "status", "currency", "amount", "change")
MOST_LINES = 10_000
SLICE = 200
MOST_EARNINGS = 500
# A payout that was asked for this long before the month may still have moved in it.
LOOK_BACK_MS = 92 * DAY


Row = tuple[str, ...]
_NUMBER = re.compile(r"[0-9]{1,12}")


class EarningGiven(RequestBody):
    """What a provider earned."""

    id: ExternalId
    """The platform's own id: the same id is booked once, whatever is repeated."""
    owner: OwnerName
    amount: Amount
    currency: Currency


class EarningsGiven(RequestBody):
    """What many providers earned."""

    earnings: Annotated[list[EarningGiven], Field(min_length=1, max_length=MOST_EARNINGS)]


class ClawbackGiven(RequestBody):
    """How much of an earning is taken back."""

    reference: ExternalId
    """The platform's own name for this: the same reference takes back once, whatever is repeated."""
    amount: Amount | None = None
    """Null for the whole earning."""
    currency: Currency | None = None
    """Needed with an amount."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.amount is None) != (self.currency is None):
            raise PydanticCustomError("no_currency", "amount and currency go together")
        return self


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
        self._assets = desk.store.records.assets
        self._scope = scope
        self._profiles = ProviderProfiles(desk.store)

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
        platform = frozenset({Role.PLATFORM})
        reused = HTTPStatus.UNPROCESSABLE_ENTITY
        yield ApiEndpoint(
            "POST", "/api/earnings", "Credit an earning. The same id again changes nothing.", platform, self.credit,
            {HTTPStatus.CREATED: answers.Credited, HTTPStatus.OK: answers.Credited}, body=EarningGiven,
            refuses=(reused,),
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", "/api/earnings/batch", "Credit many earnings; each has a result of its own.", platform,
            self.credit_many, {HTTPStatus.OK: answers.BatchResult}, body=EarningsGiven,
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", "/api/earnings/{id}/clawback", "Take an earning back; what is gone already is owed.", platform,
            self.claw_back, {HTTPStatus.OK: answers.ClawedBack}, body=ClawbackGiven,
            refuses=(HTTPStatus.NOT_FOUND, reused),
        )  # fmt: skip

    async def balance(self, call: EndpointCall[NoBody, OwnerAsked]) -> JsonReply:
        """Tell what there is."""
        owner = await self._scope.owner(call.caller, call.query.owner)
        return JsonReply(await self.balances(call.caller, owner))

    async def balances(self, caller: Caller, owner: Owner) -> answers.Balances:
        """Tell what an owner has, in every currency."""
        accounts = await self._store.ledger.account(owner)
        # A currency of the table in which nothing ever happened to them is no balance of theirs.
        shown = (one for one in self._assets if one == NGN or one.code in accounts or one.code not in CURRENCIES)
        balances = [answers.balance(asset, accounts.get(asset.code, LedgerAccount())) for asset in shown]
        return answers.Balances(owner=caller.calls(owner), balances=balances)

    async def earnings(self, call: EndpointCall[NoBody, EarningsAsked]) -> JsonReply:
        """List earnings page by page. Nothing is ever taken out of their line, so a place in it is a number."""
        owner = await self._scope.owner(call.caller, call.query.owner)
        asset = asset_of(call.query.currency, self._assets)
        place = read_cursor(call.query.cursor, _NUMBER)
        first = int(place[0]) if place else 0
        last = first + call.query.limit
        line = await self._store.earnings.of(owner, asset.code)
        earnings = [answers.earned(one, asset) for one in line[first:last]]
        return JsonReply(
            answers.EarningsPage(
                owner=call.caller.calls(owner), earnings=earnings, next=cursor_of(last) if last < len(line) else None
            )
        )

    async def statement(self, call: EndpointCall[NoBody, StatementAsked]) -> CsvReply:
        """Give a month's statement."""
        owner = await self._scope.owner(call.caller, call.query.owner)
        rows = await _statement(self._store, owner, _month_of(call.query.month))
        return CsvReply(f"statement-{call.query.month}.csv", COLUMNS, rows)

    # ── what platforms do ────────────────────────────────────────────────────────────────────────────────────────────

    async def credit(self, call: EndpointCall[EarningGiven, NoQuery]) -> JsonReply:
        """Credit one earning."""
        given = call.body
        amount = money(given.amount, given.currency, self._assets)
        fresh = await self._book(call.caller, given, await claim(self._store, given.owner, call.caller.of))
        answer = answers.Credited(id=given.id, owner=given.owner, amount=amount.decimal, currency=given.currency)
        return JsonReply(answer, HTTPStatus.CREATED if fresh else HTTPStatus.OK)

    async def _book(self, caller: Caller, given: EarningGiven, owner: Owner) -> bool:
        amount = money(given.amount, given.currency, self._assets)
        return await self._profiles.credit(caller, given.id, owner, amount)

    async def credit_many(self, call: EndpointCall[EarningsGiven, NoQuery]) -> JsonReply:
        """Credit many earnings."""
        names = {given.owner for given in call.body.earnings}
        claims = await asyncio.gather(*(self._claimed(name, call.caller) for name in names))
        claimed = dict(zip(names, claims, strict=True))
        booked = (self._item(call.caller, given, claimed[given.owner]) for given in call.body.earnings)
        return JsonReply(answers.BatchResult(results=await asyncio.gather(*booked)))

    async def _claimed(self, name: str, caller: Caller) -> Owner | PayflowError:
        try:
            return await claim(self._store, name, caller.of)
        except ReservedOwner as error:
            return error

    async def _item(self, caller: Caller, given: EarningGiven, claimed: Owner | PayflowError) -> answers.BatchItem:
        """Book one earning of many; what is wrong with it is said of it alone, and the others go on."""
        try:
            if isinstance(claimed, PayflowError):
                raise claimed
            fresh = await self._book(caller, given, claimed)
        except (Problem, PayflowError) as error:
            problem = error if isinstance(error, Problem) else problems.of(error)
            detail = answers.ErrorDetail.model_validate(problem.error()["error"])
            return answers.BatchItem(id=given.id, result="refused", error=detail)
        return answers.BatchItem(id=given.id, result="credited" if fresh else "known")

    async def claw_back(self, call: EndpointCall[ClawbackGiven, NoQuery]) -> JsonReply:
        """Take an earning back."""
        given, earning = call.body, call.path["id"]
        amount = money(given.amount, given.currency, self._assets) if given.amount and given.currency else None
        owner, taken = await self._profiles.claw_back(call.caller.of, earning, amount, given.reference)
        answer = answers.ClawedBack(
            id=earning,
            reference=given.reference,
            owner=call.caller.calls(owner),
            amount=taken.decimal,
            currency=taken.asset.code,
        )
        return JsonReply(answer)


# ── a statement ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _month_of(text: str) -> range:
    """Read a month such as 2026-01, in UTC: the milliseconds of it."""
    year, month = int(text[:4]), int(text[5:])
    first, following = datetime(year, month, 1, tzinfo=UTC), datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return range(int(first.timestamp()) * SECOND, int(following.timestamp()) * SECOND)


async def _statement(store: Store, owner: Owner, month: range) -> list[Row]:
    """List what happened in a month, in its order."""
    rows: list[Row] = []
    async for row in _rows(store, owner, month):
        rows.append(row)
        if len(rows) > MOST_LINES:
            raise Problem(problems.BAD_FIELD, f"A statement has at most {MOST_LINES} lines: this month has more.")
    return sorted(rows, key=itemgetter(0))


def _row(at: Millis, kind: str, name: str, status: str, money: Money, sign: int) -> Row:
    """Write a line; `sign` says what it did to the balance. Ids begin with a letter or digit, so none is a formula."""
    amount = money.decimal
    change = {1: amount, 0: "0", -1: f"-{amount}"}[sign]
    return (iso(at), kind, name, status, money.asset.code, amount, change)


async def _rows(store: Store, owner: Owner, month: range) -> AsyncIterator[Row]:
    async for entry in store.earnings.entries(owner):
        if entry.at in month:
            money = Money(entry.units, store.records.assets[entry.asset])
            kind, sign = ("clawback", -1) if entry.taken_back else ("earning", 1)
            yield _row(entry.at, kind, entry.id.partition("/")[2], "booked", money, sign)
    async for record, moves in _payouts(store, owner, month):
        # The moves that changed where the money was: taken when it was asked for, paid, given back.
        before, money = Position.AVAILABLE, money_of(record)
        for at, state in moves:
            after = LIFECYCLE.state(state).position or before
            if after is not before and at in month:
                sign = 1 if after is Position.AVAILABLE else -1 if before is Position.AVAILABLE else 0
                yield _row(at, "payout", record.id, status_of(state), money, sign)
            before = after


async def _payouts(
    store: Store, owner: Owner, month: range
) -> AsyncIterator[tuple[PayoutRecord, Sequence[tuple[Millis, str]]]]:  # fmt: skip
    """Give payouts that may have moved in a month, with their moves.

    What is left of one that was archived since says when it was asked for, and how and when it ended: that is all that
    the balance saw of it.
    """
    for left in await left_of(store, MACHINE, owner, Millis(month.start)):
        yield left, [(left.created_at, REQUESTED), (left.since, left.state)]
    place = None
    while True:
        since, until = Millis(month.start - LOOK_BACK_MS), Millis(month.stop)
        found = await store.listing.owned_before([owner], place, since, until, SLICE)
        for place in found:
            if parse_id(place.id)[0] == MACHINE:
                events = await store.records.history(place.id)
                yield (await store.records.read(place.id)).record, [(one.at, one.state) for one in events]
        if len(found) < SLICE:
            return
