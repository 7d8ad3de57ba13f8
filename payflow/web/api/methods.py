"""What can be paid here, with which fields; which banks there are; and whose an account is."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from machines.core.methods import MethodField
from payflow.desk.methods import PayRoute
from payflow.desk.payouts import Desk
from payflow.desk.person import ASKS, LOOKS, Caller
from payflow.desk.providers import AccessScope
from payflow.store.registers.tokens import Role
from payflow.web.api.answers import ApiResponse
from payflow.web.api.provider import Where, destination
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.payloads import Currency, Method, NoBody, NoQuery, Query, RequestBody


class ChoiceShown(ApiResponse):
    """One thing that may stand in a field."""

    code: str
    name: str


class FieldShown(ApiResponse):
    """One thing to know of a destination."""

    name: str
    """What it is called in `destination`."""
    label: str
    needed: bool
    says: str
    """What it must look like."""
    pattern: str
    """The same as a regular expression; empty where only the choices will do."""
    example: str
    choices: list[ChoiceShown]
    """What alone may stand there; empty where anything like it may."""
    listed: bool
    """Whether `GET /api/banks` lists what may stand there."""


class FeeShown(ApiResponse):
    """What the rail takes, as its vendor publishes it."""

    up_to: str | None
    """For amounts up to here; null for any."""
    fixed: str
    percent: str


class MethodShown(ApiResponse):
    """One currency by one method."""

    currency: str
    decimals: int
    method: str
    rail: str
    fields: list[FieldShown]
    minimum: str | None
    maximum: str | None
    fees: list[FeeShown]
    resolves: bool
    """Whether `POST /api/accounts/resolve` can say whose an account is."""
    test: str
    """How a test is made to end."""


class MethodsShown(ApiResponse):
    """All that can be paid here."""

    methods: list[MethodShown]


class BanksShown(ApiResponse):
    """The banks of a currency."""

    currency: str
    banks: list[ChoiceShown]


class BanksAsked(Query):
    """Of which currency."""

    currency: Currency


class AccountAsked(RequestBody):
    """Whose account it is."""

    currency: Currency
    method: Method = "bank"
    destination: Where


class AccountShown(ApiResponse):
    """Whose account it is, as far as the gateway says."""

    resolves: bool
    """Whether it can be asked at all; where not, nobody knows before it is paid."""
    holder: str | None
    """The name that the account is in."""
    name_score: Annotated[int | None, Field(ge=0, le=100)]
    """How far it fits the `account_name` that was given, of 100; null where one of them is missing."""


class MethodsApi:
    """The room of what can be paid."""

    def __init__(self, desk: Desk, scope: AccessScope) -> None:
        self._desk = desk
        self._scope = scope

    def endpoints(self) -> Iterable[AnyEndpoint]:
        """List what may be asked here."""
        yield ApiEndpoint(
            "GET", "/api/methods", "Show what can be paid here: currencies, methods, the fields that they need.", LOOKS,
            self.methods, {HTTPStatus.OK: MethodsShown},
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/banks", "List the banks that are paid in a currency.", LOOKS, self.banks,
            {HTTPStatus.OK: BanksShown}, query=BanksAsked, refuses=(HTTPStatus.SERVICE_UNAVAILABLE,),
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", "/api/accounts/resolve", "Ask whose account it is. Nothing is paid.", ASKS, self.resolve,
            {HTTPStatus.OK: AccountShown}, body=AccountAsked, refuses=(HTTPStatus.SERVICE_UNAVAILABLE,),
        )  # fmt: skip

    async def methods(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        routes = self._desk.methods.routes(_platform(call.caller))
        return JsonReply(MethodsShown(methods=[self._shown(route) for route in routes]))

    async def banks(self, call: EndpointCall[NoBody, BanksAsked]) -> JsonReply:
        currency = call.query.currency
        found = await self._desk.methods.banks(currency, _platform(call.caller))
        return JsonReply(
            BanksShown(currency=currency, banks=[ChoiceShown(code=code, name=name) for code, name in found])
        )

    async def resolve(self, call: EndpointCall[AccountAsked, NoQuery]) -> JsonReply:
        given = call.body
        route = self._desk.methods.route(given.currency, given.method, _platform(call.caller))
        now = await self._desk.store.records.now()
        found = await self._desk.methods.holder(route, destination(given.method, given.destination), now)
        return JsonReply(AccountShown(resolves=found.resolves, holder=found.holder or None, name_score=found.score))

    def _shown(self, route: PayRoute) -> MethodShown:
        row = route.row
        least, most = self._desk.bounds.of(row.currency, row)
        return MethodShown(
            currency=row.currency,
            decimals=self._desk.store.records.assets[row.currency].decimals,
            method=row.method,
            rail=route.rail,
            fields=[_field(one) for one in row.fields],
            minimum=least.decimal if least else None,
            maximum=most.decimal if most else None,
            fees=[FeeShown(up_to=one.up_to or None, fixed=one.fixed, percent=one.percent) for one in row.fees],
            resolves=row.resolves,
            test=row.test_ends,
        )


def _field(one: MethodField) -> FieldShown:
    return FieldShown(
        name=one.name,
        label=one.label,
        needed=one.needed,
        says=one.says,
        pattern=one.pattern,
        example=one.example,
        choices=[ChoiceShown(code=code, name=name) for code, name in one.choices],
        listed=one.listed,
    )


def _platform(caller: Caller) -> str:
    """Name the platform that asks; what one of its providers asks is looked up when a payout is made."""
    return caller.of if caller.role is Role.PLATFORM else ""
