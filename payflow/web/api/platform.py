"""What a platform sees of all its providers at once: their payouts, who they are, what they have."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from machines.core.money import Assets, Money
from payflow.desk.payouts import Desk
from payflow.desk.person import STAFF
from payflow.desk.platform_lists import PayoutFilter, PlatformLists
from payflow.desk.providers import AccessScope
from payflow.desk.values import LedgerAccount
from payflow.store.registers.tokens import Role
from payflow.web.api import answers
from payflow.web.api.answers import STATES, ApiResponse, CurrencyBalance, Decimal, Payout, ProviderShown, Status
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.payloads import AnyOwner, Currency, Moment, NoBody, Query, cursor_of, list_cursor, read_cursor

_NAME = re.compile(r"[!-~]{1,200}")
LOOKS_AT_ALL = STAFF | {Role.PLATFORM}
PlatformName = Annotated[str, Field(max_length=64, pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,63})?$")]


class PlatformAsked(Query):
    """Whose."""

    platform: PlatformName = ""
    """Whose providers; a platform's token sees its own."""


class PlatformPayoutsAsked(PlatformAsked):
    """Which payouts."""

    owner: AnyOwner | None = None
    """Only those of one provider."""
    status: Status | None = None
    """Only those of which this is true."""
    currency: Currency | None = None
    """Only those in one currency."""
    since: Annotated[Moment | None, Field(alias="from")] = None
    """Only those asked for at this time or later."""
    until: Annotated[Moment | None, Field(alias="to")] = None
    """Only those asked for before this time."""


class PlatformPayoutsPageAsked(PlatformPayoutsAsked):
    """Which page of them."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """How many."""
    cursor: Annotated[str, Field(max_length=200)] = ""
    """Where to go on: the `next` of the page before."""


class PlatformProvidersAsked(PlatformAsked):
    """Which page of providers."""

    limit: Annotated[int, Field(ge=1, le=100)] = 50
    """How many."""
    cursor: Annotated[str, Field(max_length=300)] = ""
    """Where to go on: the `next` of the page before."""


class PlatformPayouts(ApiResponse):
    """One page of the payouts of all providers, the newest first."""

    platform: str
    payouts: list[Payout]
    """A page may have fewer than were asked for, though there is a next one: where few of many are asked for."""
    next: str | None
    """The `cursor` of the next page; null on the last one."""


class PayoutTotal(ApiResponse):
    """What the payouts of one status and currency come to."""

    status: Status
    currency: str
    count: int
    amount: Decimal


class PayoutTotals(ApiResponse):
    """What payouts come to."""

    platform: str
    totals: list[PayoutTotal]
    complete: bool
    """Whether those are all; else they are of the newest ten thousand."""


class PlatformProviders(ApiResponse):
    """One page of providers, in the order of their names."""

    platform: str
    providers: list[ProviderShown]
    count: int
    """How many there are in all."""
    next: str | None
    """The `cursor` of the next page; null on the last one."""


class OwnerBalances(ApiResponse):
    """What one provider has."""

    owner: str
    balances: list[CurrencyBalance]


class PlatformBalances(ApiResponse):
    """One page of what providers have, in the order of their names, and what all of them have together."""

    platform: str
    providers: list[OwnerBalances]
    totals: list[CurrencyBalance]
    """Of all providers, whatever page this is."""
    next: str | None
    """The `cursor` of the next page; null on the last one."""


class PlatformApi:
    """The room of the platforms' lists."""

    def __init__(self, desk: Desk, scope: AccessScope) -> None:
        self._desk = desk
        self._assets = desk.store.records.assets
        self._scope = scope
        self._lists = PlatformLists(desk.store)

    def endpoints(self) -> Iterable[AnyEndpoint]:
        """List what may be looked at here."""
        missing = (HTTPStatus.NOT_FOUND,)
        yield ApiEndpoint(
            "GET", "/api/platform/payouts", "List the payouts of all providers of a platform, the newest first.",
            LOOKS_AT_ALL, self.payouts, {HTTPStatus.OK: PlatformPayouts}, query=PlatformPayoutsPageAsked,
            refuses=missing,
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/platform/payouts/totals", "Sum payouts up, by status and currency.", LOOKS_AT_ALL,
            self.totals, {HTTPStatus.OK: PayoutTotals}, query=PlatformPayoutsAsked, refuses=missing,
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/platform/providers", "List the providers of a platform.", LOOKS_AT_ALL, self.providers,
            {HTTPStatus.OK: PlatformProviders}, query=PlatformProvidersAsked,
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/platform/balances", "List what the providers of a platform have, and what it comes to.",
            LOOKS_AT_ALL, self.balances, {HTTPStatus.OK: PlatformBalances}, query=PlatformProvidersAsked,
        )  # fmt: skip

    async def payouts(self, call: EndpointCall[NoBody, PlatformPayoutsPageAsked]) -> JsonReply:
        asked, caller = call.query, call.caller
        platform = await self._lists.platform(caller, asked.platform)
        owner = await self._scope.owner(caller, asked.owner) if asked.owner else None
        page, following = await self._lists.payouts(
            platform, owner, _filter(asked), list_cursor(asked.cursor), asked.limit
        )
        now, schedule = await self._desk.store.records.now(), self._desk.schedule
        shown = [answers.payout(one, answers.expected_at(one, schedule, now), caller.calls(one.owner)) for one in page]
        further = cursor_of(following.at, following.id) if following else None
        return JsonReply(PlatformPayouts(platform=platform, payouts=shown, next=further))

    async def totals(self, call: EndpointCall[NoBody, PlatformPayoutsAsked]) -> JsonReply:
        asked, caller = call.query, call.caller
        platform = await self._lists.platform(caller, asked.platform)
        owner = await self._scope.owner(caller, asked.owner) if asked.owner else None
        sums, complete = await self._lists.totals(platform, owner, _filter(asked))
        found: dict[tuple[str, str], tuple[int, Money]] = {}
        for one in sums:  # two states may be one status
            place = (answers.status_of(one.state), one.amount.asset.code)
            count, amount = found.get(place, (0, Money(0, one.amount.asset)))
            found[place] = (count + one.count, Money(amount.units + one.amount.units, amount.asset))
        totals = [
            PayoutTotal(status=status, currency=code, count=count, amount=amount.decimal)
            for (status, code), (count, amount) in sorted(found.items())
        ]
        return JsonReply(PayoutTotals(platform=platform, totals=totals, complete=complete))

    async def providers(self, call: EndpointCall[NoBody, PlatformProvidersAsked]) -> JsonReply:
        asked, caller = call.query, call.caller
        platform = await self._lists.platform(caller, asked.platform)
        found, further = await self._lists.providers(platform, _behind(asked.cursor), asked.limit)
        shown = [answers.provider(one, caller.calls(one.owner)) for one in found]
        count = await self._lists.count(platform)
        return JsonReply(PlatformProviders(platform=platform, providers=shown, count=count, next=_next(further)))

    async def balances(self, call: EndpointCall[NoBody, PlatformProvidersAsked]) -> JsonReply:
        asked, caller = call.query, call.caller
        platform = await self._lists.platform(caller, asked.platform)
        found, further = await self._lists.balances(platform, _behind(asked.cursor), asked.limit)
        shown = [
            OwnerBalances(owner=caller.calls(owner), balances=_balances(self._assets, accounts))
            for owner, accounts in found
        ]
        sums = await self._lists.sums(platform)
        totals = _balances(self._assets, sums)
        return JsonReply(PlatformBalances(platform=platform, providers=shown, totals=totals, next=_next(further)))


def _filter(asked: PlatformPayoutsAsked) -> PayoutFilter:
    states = STATES[asked.status] if asked.status else ()
    return PayoutFilter(tuple(states), asked.currency or "", asked.since, asked.until)


def _balances(assets: Assets, accounts: Mapping[str, LedgerAccount]) -> list[CurrencyBalance]:
    return [answers.balance(one, accounts.get(one.code, LedgerAccount())) for one in assets]


def _behind(cursor: str) -> str:
    match = read_cursor(cursor, _NAME)
    return match[0] if match else ""


def _next(further: str) -> str | None:
    return cursor_of(further) if further else None
