"""The API: all its rooms, and the document that describes them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from payflow.config import Settings
from payflow.store.tokens import Tokens
from payflow.telemetry.metrics import Metrics
from payflow.web.account import Accounts
from payflow.web.admin import dashboard
from payflow.web.admin.board import Board
from payflow.web.auth import Gate
from payflow.web.desk import Desk
from payflow.web.endpoints import JSON, AnyEndpoint, route
from payflow.web.openapi import PLACE, document
from payflow.web.platform import Platform
from payflow.web.portal import Portal
from payflow.web.problems import answer_to
from payflow.web.profile import ProfileRoom
from payflow.web.provider import Provider
from payflow.web.reach import Reach
from payflow.web.review import Review
from payflow.web.webhooks import Hooks, Webhooks


def routes(
    desk: Desk,
    settings: Settings,
    metrics: Metrics,
    hooks: Iterable[Hooks] = (),
    beside: Mapping[str, Any] | None = None,
) -> list[web.RouteDef]:
    """List every route of the API; `beside` describes what others serve, for the document."""
    hooks = tuple(hooks)
    gate = Gate(Tokens(desk.store.link), desk.store.records, settings)
    places = list(endpoints(desk, settings))
    return [
        _document(json.dumps(document(places, hooks, beside)), gate),
        *(route(endpoint, gate, metrics) for endpoint in places),
        *Webhooks(desk.store, gate, metrics, hooks).routes(),
    ]


def pages(desk: Desk, settings: Settings, board: Board | None = None) -> list[web.RouteDef]:
    """List the pages for people, which are no part of the API; the installation adds what is on its board."""
    return [*dashboard.routes(desk, settings, board or Board()), *Portal(desk, settings).routes()]


def endpoints(desk: Desk, settings: Settings) -> Iterable[AnyEndpoint]:
    """List every place that asks for a token."""
    reach = Reach(desk)
    profiles = ProfileRoom(desk, reach)
    for room in (
        Provider(desk, reach),
        Accounts(desk, reach),
        profiles,
        Platform(desk, profiles),
        Review(desk, reach, settings),
    ):
        yield from room.endpoints()


def _document(text: str, gate: Gate) -> web.RouteDef:
    async def show(request: web.Request) -> web.StreamResponse:
        try:
            await gate.slow_down(request)
        except Exception as error:  # noqa: BLE001  (as everywhere in the API: an answer for whatever it was)
            return answer_to(error, request.path)
        return web.Response(text=text, content_type=JSON)

    return web.route("GET", PLACE, show)
