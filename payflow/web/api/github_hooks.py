"""What GitHub tells: each delivery is proven genuine, taken in once, and answered only when what it told is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web

from machines.core.errors import BadInput
from machines.core.forge import News
from machines.core.ports import Notice
from payflow.desk.bounties import BountyDesk
from payflow.store.registers.inbox import Inbox
from payflow.web.http import problems
from payflow.web.http.auth import Gate
from payflow.web.http.endpoints import received
from payflow.web.http.problems import Problem, answer_to

log = structlog.get_logger()

PLACE = "/webhook-app"
SOURCE = "github"
LONGEST_NAME = 100
MOST_BYTES = 1024 * 1024
"""A pull request's text alone may have 256 kB."""


@dataclass(frozen=True, slots=True)
class Signed:
    """How GitHub's deliveries are told from forged ones, and read."""

    genuine: Callable[[Mapping[str, str], bytes], bool]
    read: Callable[[str, bytes], tuple[News, ...]]
    """Gives what a delivery of an event tells; `BadInput` for what cannot be read."""


class GitHubHook:
    """Where deliveries arrive."""

    def __init__(self, desk: BountyDesk, gate: Gate, signed: Signed) -> None:
        self._desk = desk
        self._gate = gate
        self._signed = signed

    def routes(self) -> list[web.RouteDef]:
        """List the place."""
        return [web.post(PLACE, self.take)]

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Take in a delivery."""
        try:
            outcome = await self._take(request)
        except Exception as error:  # noqa: BLE001  (whatever it was, GitHub gets an answer and the log the rest)
            return answer_to(error, request.path)
        self._count(outcome)
        return web.json_response({"received": True})

    async def _take(self, request: web.Request) -> str:
        raw = await received(request.clone(client_max_size=MOST_BYTES))
        if not self._signed.genuine(request.headers, raw):
            self._count("forged")
            log.warning("A delivery was forged, or its secret changed.", action="webhook_forged", source=SOURCE)
            await self._gate.slow_down(request)
            raise Problem(problems.FORGED, "This delivery does not prove that it comes from GitHub.")
        event = request.headers.get("X-GitHub-Event", "")[:LONGEST_NAME]
        delivery = request.headers.get("X-GitHub-Delivery", "")[:LONGEST_NAME]
        try:
            news = self._signed.read(event, raw)
        except BadInput:
            self._count("unread")
            raise
        if not news:
            return "other"
        inbox = Inbox(self._desk.store.link, SOURCE)
        notice = Notice((event,), "", event, delivery)
        if delivery and await inbox.knows(notice):
            return "again"
        # Kept as known only when all of it is written: a crash in between makes GitHub's delivery count as failed, and
        # what was written already is the same when it is written again.
        outcomes = [await self._desk.take(one) for one in news]
        if delivery:
            await inbox.keep(notice)
        return next((outcome for outcome in outcomes if outcome != "other"), "other")

    def _count(self, outcome: str) -> None:
        self._desk.metrics.webhooks.labels(SOURCE, outcome).inc()
