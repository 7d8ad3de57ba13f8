"""What a provider has: his balance, what he earned, and a statement of each month."""

import base64
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from machines.core.errors import BadAmount
from payflow.desk.payouts import Desk
from payflow.desk.person import LOOKS
from payflow.store.ledger import LedgerAccount
from payflow.web.api import answers
from payflow.web.api.payloads import NoBody, OwnerAsked
from payflow.web.api.reach import AccessScope
from payflow.web.api.statement import month_of, statement
from payflow.web.http import problems
from payflow.web.http.endpoints import CSV, AnyEndpoint, CsvReply, Endpoint, EndpointCall, JsonReply
from payflow.web.http.fields import Currency
from payflow.web.http.problems import Problem


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

    def __init__(self, desk: Desk, reach: AccessScope) -> None:
        self._store = desk.store
        self._reach = reach

    def endpoints(self) -> Iterable[AnyEndpoint]:
        missing = (HTTPStatus.NOT_FOUND,)
        yield Endpoint(
            "GET", "/api/provider/balance", "Tell what there is, in every currency.", LOOKS, self.balance,
            {HTTPStatus.OK: answers.Balances}, query=OwnerAsked, refuses=missing,
        )  # fmt: skip
        yield Endpoint(
            "GET", "/api/provider/earnings", "List earnings, the oldest first, and where each part of them is.",
            LOOKS, self.earnings, {HTTPStatus.OK: answers.EarningsPage}, query=EarningsAsked, refuses=missing,
        )  # fmt: skip
        yield Endpoint(
            "GET", "/api/provider/statement", "Give all that moved the balance in a month, as a table.",
            LOOKS, self.statement, {HTTPStatus.OK: CSV}, query=StatementAsked, refuses=missing,
        )  # fmt: skip

    async def balance(self, call: EndpointCall[NoBody, OwnerAsked]) -> JsonReply:
        """Tell what there is."""
        owner = await self._reach.owner(call.caller, call.query.owner)
        accounts = await self._store.ledger.account(owner)
        told = [
            answers.balance(asset, accounts.get(asset.code, LedgerAccount())) for asset in self._store.records.assets
        ]
        return JsonReply(answers.Balances(owner=owner, balances=told))

    async def earnings(self, call: EndpointCall[NoBody, EarningsAsked]) -> JsonReply:
        """List earnings page by page. Nothing is ever taken out of their line, so a place in it is a number."""
        owner = await self._reach.owner(call.caller, call.query.owner)
        try:
            asset = self._store.records.assets[call.query.currency]
        except BadAmount as error:
            raise Problem(problems.UNKNOWN_CURRENCY, f"currency: {error}", field="currency") from error
        first = _number(call.query.cursor)
        last = first + call.query.limit
        line = await self._store.earnings.of(owner, asset.code)
        told = [answers.earned(one, asset) for one in line[first:last]]
        return JsonReply(
            answers.EarningsPage(owner=owner, earnings=told, next=_cursor(last) if last < len(line) else None)
        )

    async def statement(self, call: EndpointCall[NoBody, StatementAsked]) -> CsvReply:
        """Give a month's statement."""
        owner = await self._reach.owner(call.caller, call.query.owner)
        text = await statement(self._store, owner, month_of(call.query.month))
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
