"""What others tell us without being asked: each delivery is proven genuine, taken in once, decides nothing alone."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from machines.core.errors import BadInput
from machines.core.forge import News
from machines.core.ports import Notice
from payflow.desk.bounties.bounties import BountyDesk
from payflow.desk.gateways import Hooks, Notices
from payflow.store.registers.inbox import Inbox
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web.http import problems
from payflow.web.http.auth import Gate
from payflow.web.http.endpoints import received
from payflow.web.http.problems import Problem

log = structlog.get_logger()

T = TypeVar("T")

GITHUB = "github"
GITHUB_PLACE = "/webhook-app"
LONGEST_NAME = 100
GITHUB_MOST_BYTES = 1024 * 1024
"""A pull request's text alone may have 256 kB."""


@dataclass(frozen=True, slots=True)
class Deliveries(Generic[T]):
    """The deliveries of one source: how they are told from forged ones, read, and taken in."""

    source: str
    paths: tuple[str, ...]
    """Where they arrive."""
    genuine: Callable[[Mapping[str, str], bytes], bool]
    read: Callable[[Mapping[str, str], bytes], T | None]
    """Gives what one tells, None when that is of no interest; raises `BadInput` for what cannot be read."""
    take: Callable[[T], Awaitable[str]]
    """Takes it in, and says what became of it."""
    most_bytes: int = 0
    """How long one may be, where that is more than other requests."""

    def routes(self, gate: Gate, metrics: Metrics) -> list[web.RouteDef]:
        """List where they arrive."""
        return [web.post(path, self._serving(gate, metrics)) for path in self.paths]

    def _serving(self, gate: Gate, metrics: Metrics) -> Handler:
        def count(outcome: str) -> None:
            metrics.webhooks.labels(self.source, outcome).inc()

        async def serve(request: web.Request) -> web.StreamResponse:
            raw = await received(request, most_bytes=self.most_bytes)
            if not self.genuine(request.headers, raw):
                # Only who cannot prove who they are is slowed down: a source with much to tell must not be.
                count("forged")
                await gate.rate_limit(request)
                log.warning("A webhook was forged, or its secret changed.", action="webhook_forged", source=self.source)
                raise Problem(problems.FORGED, f"This delivery does not prove that it comes from {self.source}.")
            try:
                delivery = self.read(request.headers, raw)
            except BadInput:
                count("unread")
                raise
            count("other" if delivery is None else await self.take(delivery))
            return web.json_response({"received": True})

        return serve


AnyDeliveries = Deliveries[Any]


def of_gateways(store: Store, metrics: Metrics, hooks: Iterable[Hooks]) -> list[AnyDeliveries]:
    """Take in what gateways tell: it decides nothing, and makes the payout be looked at now."""
    notices = Notices(store, metrics)

    def of(one: Hooks) -> AnyDeliveries:
        return Deliveries(one.source, one.paths, one.genuine, lambda _, raw: one.read(raw), partial(notices.take, one))

    return list(map(of, hooks))


ForgeDelivery = tuple[Notice, tuple[News, ...]]


def of_github(
    desk: BountyDesk,
    genuine: Callable[[Mapping[str, str], bytes], bool],
    read: Callable[[str, bytes], tuple[News, ...]],
) -> Deliveries[ForgeDelivery]:
    """Take in what GitHub tells; each delivery is answered only when what it told is kept."""
    inbox = Inbox(desk.store.link, GITHUB)

    def heard(headers: Mapping[str, str], raw: bytes) -> ForgeDelivery | None:
        event, number = (headers.get(f"X-GitHub-{name}", "")[:LONGEST_NAME] for name in ("Event", "Delivery"))
        news = read(event, raw)
        return (Notice((event,), "", event, number), news) if news else None

    async def take(delivery: ForgeDelivery) -> str:
        notice, news = delivery
        if notice.delivery and await inbox.knows(notice):
            return "again"
        # Kept as known only when all of it is written: a crash in between makes GitHub's delivery count as failed, and
        # what was written already is the same when it is written again.
        outcomes = [await desk.take(one) for one in news]
        if notice.delivery:
            await inbox.keep(notice)
        return next((outcome for outcome in outcomes if outcome != "other"), "other")

    return Deliveries(GITHUB, (GITHUB_PLACE,), genuine, heard, take, GITHUB_MOST_BYTES)
