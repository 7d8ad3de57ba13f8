"""Messages that were committed with a move and wait to be delivered, at least once."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from machines.core.clock import Clock, Millis
from machines.core.errors import NotFound
from machines.core.ids import RecordId, parse_id
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import Link, scored
from payflow.store.scripts import OUTBOX, SWAP

LINES = ("outbox:alarm", "outbox:notify", "outbox:webhook", "outbox:delivery", "outbox")
"""The lines in which messages wait: those of a kind that has one, and all others; as lines.lua names them."""

UNREADABLE = "unreadable"
"""The kind of a message that was damaged."""

MessageId = str
"""The record's id, the version that the commit wrote, and a number: the same for every delivery. A webhook becomes one
message for each endpoint, whose name is then behind an @."""

DELIVERY = "delivery"
"""The kind of a message to one endpoint."""


@dataclass(frozen=True, slots=True)
class Post:
    """A message on its way."""

    id: MessageId
    kind: str
    record: RecordId
    at: Millis
    body: Mapping[str, Any]
    tries: int


@dataclass
class Outbox:
    """The messages of all shards."""

    link: Link
    shards: int
    clock: Clock | None = None

    async def take(self, limit: int, lease_ms: int, line: str = "") -> list[Post]:
        """Take due messages of a line, or of each, so many a shard; nobody else gets them before the lease ends."""
        ways = [[shard] for shard in range(self.shards)] if self.link.cluster else [list(range(self.shards))]
        posts = []
        for shards in ways:
            flat = await self._run(shards, "take", limit, lease_ms, line)
            posts += [self._post(flat[i].decode(), flat[i + 1], flat[i + 2]) for i in range(0, len(flat), 3)]
        return posts

    async def done(self, post: Post) -> None:
        """Forget a message that was delivered."""
        await self._run([_shard(post.id)], "done", post.id)

    async def later(self, post: Post, after_s: float, *, failed: bool = True) -> None:
        """Try again after a while; what only waits for its turn has not failed."""
        await self._run([_shard(post.id)], "later", post.id, int(after_s * 1000), int(failed))

    async def spread(self, post: Post, body: Mapping[str, Any], endpoints: Sequence[str]) -> None:
        """Make one message for each endpoint out of a webhook: each is delivered for itself, and in its order."""
        content = encode((DELIVERY, post.record, post.at, body))
        await self._run([_shard(post.id)], "spread", post.id, content, *endpoints)

    async def again(self, message_id: MessageId, record: str, at: Millis, body: Mapping[str, Any]) -> None:
        """Deliver to an endpoint once more, under the same id, whatever became of it."""
        await self._run([_shard(message_id)], "again", message_id, encode((DELIVERY, record, at, body)))

    async def give_up(self, post: Post) -> None:
        """Set a message aside for a person."""
        await self._run([_shard(post.id)], "give_up", post.id)

    async def replay(self, message_id: MessageId) -> None:
        """Take up a message that was set aside."""
        if not await self._run([_shard(message_id)], "replay", message_id):
            raise NotFound(f"No message {message_id} was set aside.")

    async def undelivered(self, limit: int = 100) -> list[Post]:
        """List messages that were set aside, the oldest of each shard first."""
        posts = []
        for shard in range(self.shards):
            ids = await self.link.ask("ZRANGE", keys.undelivered(shard), 0, limit - 1)
            if ids:
                contents = await self.link.ask("HMGET", keys.messages(shard), *ids)
                posts += [self._post(name.decode(), content, 0) for name, content in zip(ids, contents, strict=True)]
        return posts[:limit]

    async def naming_contacts(self, shard: int) -> AsyncIterator[MessageId]:
        """Walk over the messages of a shard that name where they go to."""
        async for name, content in self.link.fields(keys.messages(shard)):
            if "to" in self._post(name, content, 0).body:
                yield name

    async def readdress(self, message_id: MessageId, renew: Callable[[Post], str]) -> bool:
        """Write anew how a message names where it goes to; False where it is as it should be, or was delivered."""
        key = keys.messages(_shard(message_id))
        while (content := await self.link.ask("HGET", key, message_id)) is not None:
            post = self._post(message_id, content, 0)
            to = renew(post)
            if to == post.body["to"]:
                return False
            after = encode((post.kind, post.record, post.at, {**post.body, "to": to}))
            if await self.link.run(SWAP, [key], message_id, content, after):
                return True
        return False

    async def oldest_due(self) -> Millis | None:
        """Say when the message that waits longest was or will be due."""
        answers = await self.link.pipeline([("ZRANGE", key, 0, 0, "WITHSCORES") for key in self._waiting()])
        scores = [int(score) for answer in answers for _, score in scored(answer)]
        return Millis(min(scores)) if scores else None

    async def waiting(self) -> int:
        return sum(await self.link.pipeline([("ZCARD", key) for key in self._waiting()]))

    def _waiting(self) -> list[str]:
        return [f"{keys.prefix(shard)}{line}" for shard in range(self.shards) for line in LINES]

    async def given_up(self) -> int:
        return sum(await self.link.pipeline([("ZCARD", keys.undelivered(shard)) for shard in range(self.shards)]))

    async def _run(self, shards: list[int], *action: str | int | bytes) -> Any:
        now = self.clock.now() if self.clock else 0
        return await self.link.run(OUTBOX, [keys.sequence(shard) for shard in shards], now, *action)

    @staticmethod
    def _post(message_id: MessageId, content: bytes, tries: int) -> Post:
        try:
            kind, record_id, at, body = msgspec.msgpack.decode(content)
            return Post(message_id, kind, RecordId(record_id), Millis(at), body, tries)
        except (msgspec.MsgspecError, ValueError, TypeError):  # nobody delivers it, and the others must go on
            return Post(message_id, UNREADABLE, RecordId(message_id.partition("/")[0]), Millis(0), {}, tries)


def _shard(message_id: MessageId) -> int:
    return parse_id(message_id.partition("/")[0])[1]
