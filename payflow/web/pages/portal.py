"""A provider's own page: what they have, how to ask for it, and what became of what they asked for, in honest words."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput, StepError
from machines.core.ids import Owner
from machines.core.methods import MethodField
from machines.payout.lifecycle import APPROVED, FAILED, REJECTED, REQUESTED, REVERSED
from payflow.config import Settings
from payflow.desk.payouts import Desk, shown
from payflow.desk.person import PROVIDERS
from payflow.desk.providers import AccessScope
from payflow.desk.requests import PARTS
from payflow.shown import plain, thousands
from payflow.store.registers.profiles import Profile
from payflow.web.api import answers
from payflow.web.api.account import AccountsApi, StatementAsked
from payflow.web.api.answers import status_of
from payflow.web.api.provider import PayoutGiven, PayoutsAsked, ProviderApi
from payflow.web.api.receipts import page_reply
from payflow.web.http import problems
from payflow.web.http.auth import Form, Gate, PageSessions, Visit
from payflow.web.http.endpoints import EndpointCall, written
from payflow.web.http.payloads import NoBody, read_body, read_query
from payflow.web.http.problems import Problem
from payflow.web.pages.admin.frame import FormDone, Frame

PLACE = "/portal"
COOKIE = "payflow_portal"
SHOWN = 20
MONTHS = 6
USUAL = "usual"
FIELDS = ("amount", "currency", "method", "note")

# What each of the public's words means to them. Nothing is called paid before it is proven.
MEANS: Mapping[str, str] = {
    "requested": "We are checking it. Nothing has been sent.",
    "approved": "It is sent when the next batch opens.",
    "processing": "It is on its way. We call it paid only when the bank or the chain has confirmed it.",
    "paid": "Confirmed as paid.",
    "failed": "It was not paid. The money is still kept for it.",
    "returned": "It was paid and came back. The money is available again.",
    "rejected": "It was not approved. The money is available again.",
    "cancelled": "It was taken back before it was paid. The money is available again.",
}
TAKEN_BACK = frozenset(map(status_of, (REQUESTED, APPROVED)))
BAD = frozenset(map(status_of, (FAILED, REJECTED, REVERSED)))

WAYS: Mapping[str, str] = {
    USUAL: "your usual account",
    "bank": "bank account",
    "mobile_money": "mobile money",
    "wallet": "wallet at Flutterwave",
    "ethereum": "Ethereum address",
}

_YEAR = 12


@dataclass(frozen=True, slots=True)
class AskForm:
    """The form of a request, for one currency and one method."""

    currencies: Sequence[str]
    currency: str
    methods: Sequence[str]
    method: str
    fields: Sequence[MethodField]
    banks: Sequence[tuple[str, str]]
    usual: str


class Portal:
    """The page. It does what the API does for a provider, and nothing beside it."""

    def __init__(self, desk: Desk, settings: Settings) -> None:
        gate = Gate(desk.store, settings)
        sessions = PageSessions(desk.store, gate, COOKIE, PLACE, PROVIDERS)
        self._desk = desk
        self._frame = Frame(
            desk.store, sessions, (), PLACE, "Payouts", staff=PROVIDERS, templates=("payflow.web.pages",), inside=False
        )
        self._scope = scope = AccessScope(desk)
        self._provider, self._accounts = ProviderApi(desk, scope), AccountsApi(desk, scope)

    def routes(self) -> list[web.RouteDef]:
        return [
            *self._frame.sign_in_routes(),
            self._frame.shows("", self.show),
            self._frame.shows("/statement", self.statement),
            self._frame.does("/payouts", self.ask, PROVIDERS),
            self._frame.does("/payouts/{id}/cancel", self.cancel, PROVIDERS),
            self._frame.shows("/payouts/{id}/receipt", self.receipt),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Show what they have and what they asked for."""
        cursor = visit.request.query.get("cursor", "")
        asked = PayoutsAsked.model_validate({"limit": SHOWN, "cursor": cursor[:200]})
        owner = Owner(visit.caller.of)
        payouts, balances = (
            await self._provider.page(visit.caller, owner, asked),
            await self._accounts.balances(visit.caller, owner),
        )
        profile = await self._desk.profiles.read(owner)
        form = await self._form(visit.request.query, profile)
        return await self._frame.page(
            visit, "portal.html", title="Your payouts", payouts=payouts.payouts, following=payouts.next,
            first=not cursor, means=MEANS, takes_back=TAKEN_BACK, bad=BAD, thousands=thousands,
            balances=_worth_showing(balances.balances), ways=WAYS, form=form,
            key=secrets.token_urlsafe(16),
            months=_months(await self._desk.store.records.now()),
        )  # fmt: skip

    async def _form(self, query: Mapping[str, str], profile: Profile) -> "AskForm | None":
        """Make the form for a currency and a method out of the table; None where nothing can be paid."""
        routes = list(self._desk.methods.routes(profile.platform))
        currencies = list(dict.fromkeys(route.row.currency for route in routes))
        if not currencies:
            return None
        currency = query.get("currency", "") if query.get("currency", "") in currencies else currencies[0]
        rows = {route.row.method: route.row for route in routes if route.row.currency == currency}
        usual = profile.destination
        by_usual = next((way for way, row in rows.items() if usual and row.destination_kind == usual.kind), "")
        methods = [*([USUAL] if by_usual else []), *rows]
        method = query.get("method", "") if query.get("method", "") in methods else methods[0]
        fields = () if method == USUAL else rows[method].fields
        banks = await self._banks(currency, profile.platform) if any(one.listed for one in fields) else ()
        said = f"{shown(usual)} ({plain(usual.kind)})" if usual else ""
        return AskForm(currencies, currency, methods, method, fields, banks, said)

    async def _banks(self, currency: str, platform: str) -> Sequence[tuple[str, str]]:
        """List the banks; where the gateway does not say them people type the code."""
        try:
            return sorted(await self._desk.methods.banks(currency, platform), key=lambda bank: bank[1])
        except StepError:
            return ()

    async def ask(self, visit: Visit, form: Form) -> FormDone:
        """Ask for a payout. The form carries a key of its own, so that sending it twice makes one payout."""
        given = read_body(PayoutGiven, json.dumps(await self._given(visit, form)).encode())
        key = f"portal/ {str(form.get('key', ''))[:64]}"
        answer = await self._provider.request(visit.caller, given, key)
        payout = answers.payout(answer.record, answer.expected_at, visit.caller.calls(answer.record.owner))
        return FormDone(f"You asked for {payout.currency} {thousands(payout.amount)}. {MEANS[payout.status]}", PLACE)

    async def _given(self, visit: Visit, form: Form) -> dict[str, Any]:
        """Write the form as the API would be asked, which checks it."""
        fields = {name: str(form.get(name, "")).strip() for name in FIELDS}
        body: dict[str, Any] = {name: fields[name] for name in ("amount", "currency", "method", "note")}
        if fields["method"] == USUAL:
            usual = (await self._desk.profiles.read(Owner(visit.caller.of))).destination
            if usual is None:
                raise Problem(problems.BAD_FIELD, "You have no usual account: say where the money goes.")
            return body | {"method": usual.kind}
        try:
            row = self._desk.methods.route(fields["currency"], fields["method"]).row
            names = [field.name for field in row.fields]
        except BadInput:
            names = list(PARTS)  # what is wrong with the two is said when it is asked for
        where = {name: str(form.get(name, "")).strip() for name in names}
        return body | {"destination": {name: text for name, text in where.items() if text}}

    async def cancel(self, visit: Visit, _: Form) -> FormDone:
        amount = answers.money_of(await self._provider.withdraw(visit.caller, visit.request.match_info["id"]))
        return FormDone(f"You took {amount.asset.code} {thousands(amount.decimal)} back. It is available again.", PLACE)

    async def receipt(self, visit: Visit) -> web.StreamResponse:
        """Give the receipt of a payout, as a page that prints."""
        record = await self._scope.payout(visit.caller, visit.request.match_info["id"])
        return written(page_reply(record.id, await self._desk.receipts.page(record.id, staff=False)))

    async def statement(self, visit: Visit) -> web.StreamResponse:
        """Give a month's statement as a table."""
        asked = read_query(StatementAsked, visit.request.query)
        return written(await self._accounts.statement(EndpointCall(visit.caller, {}, NoBody(), asked, "")))


def _worth_showing(balances: list[answers.CurrencyBalance]) -> list[answers.CurrencyBalance]:
    """Leave out currencies in which nothing ever happened, unless that is all of them."""
    used = [one for one in balances if any(part.strip("0.") for part in (one.available, one.held, one.paid, one.owed))]
    return used or balances[:1]


def _months(now: Millis) -> list[str]:
    """List the last months, the newest first."""
    today = datetime.fromtimestamp(now / SECOND, UTC)
    counted = [today.year * _YEAR + today.month - 1 - back for back in range(MONTHS)]
    return [f"{one // _YEAR}-{one % _YEAR + 1:02d}" for one in counted]
