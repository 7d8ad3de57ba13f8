"""What reviewers are to hear of next, gathered over the messages that say so: one letter for all of it.

A message stays in the outbox until a letter had it, so that none is lost with a process; the first of a quiet time
goes at once, what comes within the next minutes goes together.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from machines.core.errors import PutOff
from payflow.store import keys
from payflow.store.link import Link

IN_A_LETTER = b""
SENDING_MS = 60_000
"""How long a letter may be on its way before another process writes one."""


class ReviewMessage(Protocol):
    """A message of the outbox to reviewers."""

    @property
    def id(self) -> str:
        """The same for every delivery."""

    @property
    def body(self) -> Mapping[str, Any]:
        """What it says."""


Send = Callable[[list[dict[str, Any]]], Awaitable[None]]


@dataclass
class ReviewDigest:
    """The letters to the reviewers of an installation."""

    link: Link
    every_ms: int

    async def deliver(self, post: ReviewMessage, send: Send) -> None:
        """Send all that waits, this message with it, or say when there will be a letter."""
        # Never written over: another delivery of this moment may just have put it into its letter.
        await self.link.ask("HSETNX", keys.REVIEW_DIGEST, post.id, msgspec.msgpack.encode(dict(post.body)))
        if await self.link.ask("HGET", keys.REVIEW_DIGEST, post.id) != IN_A_LETTER:
            if not await self.link.ask("SET", keys.REVIEW_LETTER, post.id, "NX", "PX", max(self.every_ms, SENDING_MS)):
                wait_ms = int(await self.link.ask("PTTL", keys.REVIEW_LETTER))
                raise PutOff("It goes with the next letter to the reviewers.", after_s=max(wait_ms, 1000) / 1000)
            await self._send_all(send)
        await self.link.ask("HDEL", keys.REVIEW_DIGEST, post.id)

    async def _send_all(self, send: Send) -> None:
        found = await self.link.ask("HGETALL", keys.REVIEW_DIGEST)
        waiting = {name: msgspec.msgpack.decode(body) for name, body in found.items() if body != IN_A_LETTER}
        try:
            await send(list(waiting.values()))
        except BaseException:
            await self.link.ask("DEL", keys.REVIEW_LETTER)
            raise
        marks = [part for name in waiting for part in (name, IN_A_LETTER)]
        await self.link.ask("HSET", keys.REVIEW_DIGEST, *marks)
