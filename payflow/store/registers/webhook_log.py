"""What was sent to each endpoint of a platform, and what it answered: the last attempts of each, and no more."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from machines.core.clock import DAY_S, Millis
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import OverLink

MOST_ATTEMPTS = 1_000
"""So many are there of each endpoint at most, or a few more: they are let go in pieces."""
LASTS_S = 90 * DAY_S
AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt to deliver one event."""

    id: str
    """Of the event, the same in each attempt."""
    record: str
    at: Millis
    """When it was tried."""
    written_at: Millis
    """When it happened."""
    attempt: int
    """Which attempt of this delivery it is, the first is 1; 0 where nothing was sent, because it is switched off."""
    status: int
    """What was answered, as HTTP has it; 0 where nothing was."""
    answer: str
    """The beginning of the answer, or why there was none."""
    took_ms: int
    news: Mapping[str, Any]
    """What was sent."""

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004  (2xx)


_TYPES = tuple[str, str, int, int, int, int, str, int, dict[str, Any]]


class WebhookLog(OverLink):
    """The logs of all endpoints."""

    async def note(self, endpoint: str, one: DeliveryAttempt) -> None:
        """Write an attempt down."""
        key = keys.webhook_log(endpoint)
        content = encode((
            one.id, one.record, one.at, one.written_at, one.attempt, one.status, one.answer, one.took_ms,
            dict(one.news),
        ))  # fmt: skip
        signed = self._link.macs.wrap(key, content)
        await self._link.pipeline([
            ("XADD", key, "MAXLEN", "~", MOST_ATTEMPTS, "*", "a", signed),
            ("EXPIRE", key, LASTS_S),
        ])  # fmt: skip

    async def newest(self, endpoint: str, limit: int, before: str = "") -> list[tuple[str, DeliveryAttempt]]:
        """List attempts, the newest first, each behind its place; from before a place on."""
        key, until = keys.webhook_log(endpoint), f"({before}" if before else "+"
        found = await self._link.ask("XREVRANGE", key, until, "-", "COUNT", limit)
        return [(place.decode(), one) for place, fields in found if (one := self._read(key, fields))]

    async def all(self, endpoint: str) -> AsyncIterator[DeliveryAttempt]:
        """Walk over all attempts, the newest first."""
        before = ""
        while some := await self.newest(endpoint, AT_A_TIME, before):
            before = some[-1][0]
            for _, one in some:
                yield one

    async def forget(self, endpoint: str) -> None:
        """Let the log of an endpoint go that is there no more."""
        await self._link.ask("DEL", keys.webhook_log(endpoint))

    def _read(self, key: str, fields: Any) -> DeliveryAttempt | None:
        entry = dict(fields) if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
        content = self._link.macs.opened(key, entry.get(b"a"))
        if content is None:
            return None  # somebody else wrote it: nothing of it is sent
        name, record, at, written_at, attempt, status, answer, took_ms, news = msgspec.msgpack.decode(
            content, type=_TYPES
        )
        return DeliveryAttempt(name, record, Millis(at), Millis(written_at), attempt, status, answer, took_ms, news)
