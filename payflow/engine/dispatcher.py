"""Delivers the outbox: at least once, with back-off, and set aside when it will not go.

What stops money, what people are told, what platforms are told and the rest each have a line of their own. In a line so
many are under way at a time, and nobody waits for the slowest: a mail server that hangs delays no alarm.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskGroup

from machines.core.errors import PayflowError, PutOff
from machines.core.machine import RetryPolicy
from payflow.store.outbox import LINES, MessageId, Outbox, Post
from payflow.store.pauses import Pauses
from payflow.telemetry.metrics import Metrics

log = structlog.get_logger()

Handler = Callable[[Post], Awaitable[None]]

IDLE_S = 1.0
AT_A_TIME = 16
UNDER_WAY = 128
"""So many deliveries of a line are under way at a time, in one process."""
LEASE_MS = 60_000
BACK_OFF = RetryPolicy(base_s=5, cap_s=3600)
# With this back-off the last try is about a day after the first.
MOST_TRIES = 34


@dataclass(slots=True)
class OutboxLine:
    """One line of the outbox, as this process delivers it."""

    name: str
    under_way: set[MessageId] = field(default_factory=set)
    """What this process delivers now: it does not begin again with it, even if its lease ran out meanwhile."""
    news: anyio.Event = field(default_factory=anyio.Event)


class Dispatcher:
    """Hands each message to the handler of its kind."""

    def __init__(
        self, outbox: Outbox, metrics: Metrics, handlers: Mapping[str, Handler], pauses: Pauses | None = None
    ) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._pauses = pauses
        self._handlers = {"alarm": self._alarm, **handlers}
        self._lines = [OutboxLine(name) for name in LINES]

    def wake(self) -> None:
        for line in self._lines:
            line.news.set()

    async def run(self) -> None:
        async with anyio.create_task_group() as group:
            for line in self._lines:
                group.start_soon(self._serve, line, group)

    async def _serve(self, line: OutboxLine, group: TaskGroup) -> None:
        """Deliver one line: what is due begins as soon as there is room, whatever else is under way."""
        while True:
            line.news = anyio.Event()
            room = UNDER_WAY - len(line.under_way)
            # So many are taken of each shard: a few more than there is room for may come.
            limit = min(AT_A_TIME, max(1, room // self._outbox.shards))
            posts = await self._taken(line, limit) if room > 0 else []
            for post in posts:
                if post.id not in line.under_way:
                    line.under_way.add(post.id)
                    group.start_soon(self._deliver_in, line, post)
            if not posts:
                with anyio.move_on_after(IDLE_S):
                    await line.news.wait()

    async def _taken(self, line: OutboxLine, limit: int) -> list[Post]:
        try:
            return await self._outbox.take(limit, LEASE_MS, line.name)
        except PayflowError as error:
            log.warning("Messages cannot be taken.", action="outbox_failed", line=line.name, error=str(error))
            return []

    async def _deliver_in(self, line: OutboxLine, post: Post) -> None:
        try:
            await self._deliver(post)
        finally:
            line.under_way.discard(post.id)
            if len(line.under_way) == UNDER_WAY - 1:
                line.news.set()

    async def deliver_due(self) -> bool:
        """Deliver what is due now in all lines, wait for all of it, and say whether there was anything."""
        posts = await self._outbox.take(AT_A_TIME, LEASE_MS)
        async with anyio.create_task_group() as group:
            for post in posts:
                group.start_soon(self._deliver, post)
        return bool(posts)

    async def _deliver(self, post: Post) -> None:
        try:
            await self._hand_over(post)
        except PayflowError as error:
            # What became of it could not be written: it comes again when its lease has run out.
            log.warning("A delivery is not written down.", action="delivery_lost", message=post.id, error=str(error))

    async def _hand_over(self, post: Post) -> None:
        handler = self._handlers.get(post.kind)
        if handler is None:
            await self._failed(post, LookupError(f"nothing delivers {post.kind!r}"), hopeless=True)
            return
        try:
            # What must stop is paused, whoever else hears of it.
            if self._pauses is not None and post.body.get("stops"):
                await self._pauses.pause(post.body["stops"], "payflow", f"{post.record}: {post.body['why']}", post.at)
            with anyio.fail_after(LEASE_MS / 2000):
                await handler(post)
        except PutOff as error:  # its handler gathers it with others, or has enough under way
            await self._outbox.later(post, error.after_s or 0, failed=False)
        except Exception as error:  # noqa: BLE001  (one message must not stop the others)
            await self._failed(post, error, hopeless=False)
        else:
            self._metrics.delivered.labels(post.kind).inc()
            await self._outbox.done(post)

    async def _failed(self, post: Post, error: Exception, *, hopeless: bool) -> None:
        self._metrics.undelivered.labels(post.kind).inc()
        if hopeless or post.tries + 1 >= MOST_TRIES:
            log.error(
                "A message was set aside.", action="undelivered", message=post.id, kind=post.kind, error=repr(error)
            )
            await self._outbox.give_up(post)
            return
        log.warning("A message was not delivered.", action="delivery_failed", message=post.id, error=repr(error))
        await self._outbox.later(post, BACK_OFF.delay_s(post.tries, 1.0))

    async def _alarm(self, post: Post) -> None:
        """Tell an alarm to the log, where every installation can see it."""
        log.error(
            "Alarm.",
            action="alarm",
            message=post.id,
            record=post.record,
            **{str(name): value for name, value in post.body.items()},
        )
