"""Delivers to platforms: each event to each endpoint that wants it, in the order of its payout, and writes down how.

An event becomes a message for each endpoint, with tries of its own. The outbox hands a message out only when those
before it, of the same record and to the same endpoint, were delivered or given up.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from machines.core.clock import DAY, SECOND
from machines.core.errors import PutOff, Retryable
from machines.core.ids import Owner
from payflow.desk.webhooks.events import news_of
from payflow.store.outbox import Post
from payflow.store.registers.webhook_endpoints import WebhookEndpoint
from payflow.store.registers.webhook_log import DeliveryAttempt
from payflow.store.store import Store

MOST_UNDER_WAY = 48
"""So many deliveries to one endpoint are under way in a process: fewer than there is room for in all."""
MOST_AFTER_FAILURE = 2
"""So many, while its last answer was none or a refusal: one that hangs must not be what all others wait for."""
NEXT_TURN_S, AFTER_FAILURE_S = 1.0, 15.0
SEVENTH, MOST_PUT_OFF_S = 7, 3600.0
"""Behind one that fails each waits a seventh of the time that it has waited already, up to an hour: however much waits
for it, it is not what the others wait for."""
MOST_WAIT_MS = 2 * DAY
"""After so long each turn that it does not get counts as a try, after the last of which it is set aside."""
SWITCHED_OFF = "It is switched off: nothing was sent. A replay sends it."


class EndpointAnswer(Protocol):
    """What an endpoint answered."""

    @property
    def status(self) -> int:
        """As HTTP has it; 0 where it could not be asked."""

    @property
    def words(self) -> str:
        """The beginning of its answer, or why there was none."""

    @property
    def took_ms(self) -> int:
        """How long it took."""

    @property
    def received(self) -> bool:
        """Whether it took it."""


SendSigned = Callable[[str, Sequence[str], str, Mapping[str, Any]], Awaitable[EndpointAnswer]]
"""Sends once to an address, signed with these secrets, under an id."""


class PlatformDeliveries:
    """What the outbox hands over to platforms."""

    def __init__(self, store: Store, fixed: Mapping[str, WebhookEndpoint], send: SendSigned) -> None:
        self._store = store
        self._fixed = fixed
        self._send = send
        self._under_way: Counter[str] = Counter()
        self._failing: set[str] = set()

    async def spread(self, post: Post) -> None:
        """Make a message for each endpoint that wants an event."""
        body = post.body
        platform = body.get("platform") or (await self._store.profiles.read(Owner(body["owner"]))).platform
        news = news_of(post)
        listening = [
            one.name for one in await endpoints_of(self._store, self._fixed, platform) if one.hears(news["type"])
        ]
        await self._store.outbox.spread(post, {"event": news["type"], "news": news}, listening)

    async def deliver(self, post: Post) -> None:
        """Deliver to one endpoint; one that was taken away listens to nothing any more."""
        message, _, name = post.id.partition("@")
        endpoint = self._fixed.get(name) or await self._store.webhook_endpoints.find(name)
        if endpoint is None:
            return
        now, news = await self._store.records.now(), post.body["news"]
        if not endpoint.enabled:
            off = DeliveryAttempt(message, post.record, now, post.at, 0, 0, SWITCHED_OFF, 0, news)
            await self._store.webhook_log.note(name, off)
            return
        with self._turn(name, now - post.at):
            answer = await self._send(endpoint.url, endpoint.signing(now), message, news)
        (self._failing.discard if answer.received else self._failing.add)(name)
        attempt = DeliveryAttempt(
            message, post.record, now, post.at, post.tries + 1, answer.status, answer.words, answer.took_ms, news
        )  # fmt: skip
        await self._store.webhook_log.note(name, attempt)
        if not answer.received:
            raise Retryable(
                f"{name} answered with HTTP {answer.status}." if answer.status else f"{name}: {answer.words}"
            )

    @contextmanager
    def _turn(self, name: str, waited_ms: int) -> Iterator[None]:
        failing = name in self._failing
        if self._under_way[name] >= (MOST_AFTER_FAILURE if failing else MOST_UNDER_WAY):
            if failing and waited_ms > MOST_WAIT_MS:
                raise Retryable(f"{name} fails, and this has waited for it for days.")
            again_s = min(MOST_PUT_OFF_S, max(AFTER_FAILURE_S, waited_ms / SECOND / SEVENTH))
            raise PutOff(f"{name} has enough under way.", after_s=again_s if failing else NEXT_TURN_S)
        self._under_way[name] += 1
        try:
            yield
        finally:
            self._under_way[name] -= 1
            if not self._under_way[name]:
                del self._under_way[name]


async def endpoints_of(store: Store, fixed: Mapping[str, WebhookEndpoint], platform: str) -> list[WebhookEndpoint]:
    """List the endpoints of a platform, those of the settings first."""
    if not platform:
        return []
    return [*(one for one in fixed.values() if one.platform == platform), *await store.webhook_endpoints.of(platform)]
