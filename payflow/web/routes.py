"""The API: all its rooms, and the document that describes them."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib import resources

from aiohttp import web

from payflow.config import Settings
from payflow.desk.gateways import Hooks
from payflow.desk.payouts import Desk
from payflow.desk.providers import AccessScope
from payflow.telemetry.metrics import Metrics
from payflow.web.api.account import AccountsApi
from payflow.web.api.logins import LoginsApi
from payflow.web.api.methods import MethodsApi
from payflow.web.api.openapi import PLACE, document
from payflow.web.api.payout_files import PayoutFilesApi
from payflow.web.api.platform import PlatformApi
from payflow.web.api.provider import ProviderApi
from payflow.web.api.receipts import ReceiptsApi
from payflow.web.api.review import ReviewsApi
from payflow.web.api.trouble import TroubleApi
from payflow.web.api.webhook_endpoints import WebhookEndpointsApi
from payflow.web.api.webhooks import AnyDeliveries, of_gateways
from payflow.web.http.auth import Gate
from payflow.web.http.endpoints import JSON, AnyEndpoint, route
from payflow.web.pages.admin import dashboard
from payflow.web.pages.admin.frame import DashboardExtensions
from payflow.web.pages.portal import Portal

Described = tuple[Iterable[AnyEndpoint], Iterable[AnyDeliveries]]
"""What is in the document, and served by others."""


def routes(
    desk: Desk,
    settings: Settings,
    metrics: Metrics,
    hooks: Iterable[Hooks] = (),
    served_elsewhere: Described = ((), ()),
    also: Iterable[AnyEndpoint] = (),
) -> list[web.RouteDef]:
    """List every route of the API, with what not every installation has; the document names what bounties serve too."""
    gate = Gate(desk.store, settings)
    receipts = ReceiptsApi(desk, AccessScope(desk))
    places = [*endpoints(desk), *LoginsApi(desk.store).endpoints(), *receipts.public(), *also]
    deliveries = of_gateways(desk.store, metrics, hooks)
    spec = document([*places, *served_elsewhere[0]], [*deliveries, *served_elsewhere[1]])
    return [
        _document(json.dumps(spec), gate),
        *([_security(settings, gate)] if settings.security_contact else ()),
        *(route(endpoint, gate, metrics) for endpoint in places),
        *(one for source in deliveries for one in source.routes(gate, metrics)),
    ]


def pages(desk: Desk, settings: Settings, board: DashboardExtensions | None = None) -> list[web.RouteDef]:
    """List the pages for people, which are no part of the API; the installation adds what is on its board."""
    return [
        _checks_receipts(Gate(desk.store, settings)),
        *dashboard.routes(desk, settings, board or DashboardExtensions()),
        *Portal(desk, settings).routes(),
    ]


def endpoints(desk: Desk) -> Iterable[AnyEndpoint]:
    """List every place that asks for a token."""
    scope = AccessScope(desk)
    for room in (
        MethodsApi, ProviderApi, AccountsApi, ReviewsApi, ReceiptsApi, TroubleApi, WebhookEndpointsApi, PlatformApi,
        PayoutFilesApi,
    ):  # fmt: skip
        yield from room(desk, scope).endpoints()


SECURITY_PLACE = "/.well-known/security.txt"
EXPIRES = timedelta(days=90)
"""A page that says so on its own day is never out of date while somebody runs this."""


def _security(settings: Settings, gate: Gate) -> web.RouteDef:
    """Say whom to tell of a hole, as RFC 9116 has it."""

    async def show(request: web.Request) -> web.StreamResponse:
        await gate.rate_limit(request)
        until = datetime.now(UTC) + EXPIRES
        lines = [f"Contact: {settings.security_contact}", f"Expires: {until:%Y-%m-%dT%H:%M:%SZ}"]
        if settings.public_url.startswith("https:"):
            lines.append(f"Canonical: {settings.public_url}{SECURITY_PLACE}")
        return web.Response(text="\n".join([*lines, "Preferred-Languages: en", ""]))

    return web.get(SECURITY_PLACE, show)


CHECKS_PLACE = "/verify-receipt"


def _checks_receipts(gate: Gate) -> web.RouteDef:
    """Give the page that checks receipts: one file, which works without us and says so in its own policy."""
    text = (resources.files("payflow.web.pages") / "static/verify-receipt.html").read_text("utf-8")

    async def show(request: web.Request) -> web.StreamResponse:
        await gate.rate_limit(request)
        return web.Response(text=text, content_type="text/html", headers={"X-Frame-Options": "DENY"})

    return web.get(CHECKS_PLACE, show)


def _document(text: str, gate: Gate) -> web.RouteDef:
    async def show(request: web.Request) -> web.StreamResponse:
        await gate.rate_limit(request)
        return web.Response(text=text, content_type=JSON)

    return web.route("GET", PLACE, show)
