"""Outbox: how many messages wait, and those that were given up, which an operator can have delivered once more."""

from aiohttp import web

from payflow.desk.person import OPERATES
from payflow.desk.steering import Steering
from payflow.shown import plain
from payflow.telemetry.logs import redacted
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.frame import FormDone, Frame

SHOWN = 100
LONGEST = 160


class OutboxPage:
    """The page."""

    def __init__(self, frame: Frame, steering: Steering) -> None:
        self._frame = frame
        self._steering = steering

    def routes(self) -> list[web.RouteDef]:
        return [
            self._frame.shows("/outbox", self.show),
            self._frame.does("/outbox/replay", self.replay, OPERATES),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        outbox = self._frame.store.outbox
        posts = await outbox.undelivered(SHOWN)
        return await self._frame.page(
            visit, "outbox.html", title="Outbox", here="outbox", waiting=await outbox.waiting(),
            oldest=await outbox.oldest_due(), given_up=await outbox.given_up(),
            posts=[(post, _says(dict(post.body))) for post in posts],
        )  # fmt: skip

    async def replay(self, visit: Visit, form: Form) -> FormDone:
        """Deliver one once more."""
        said = await self._steering.replay(str(form.get("message", ""))[:100], visit.caller.who)
        return FormDone(said, f"{self._frame.place}/outbox")


def _says(body: dict[str, object]) -> str:
    shown = redacted(body)
    text = "; ".join(f"{plain(name)}: {value}" for name, value in shown.items()) if isinstance(shown, dict) else ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
