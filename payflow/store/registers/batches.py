"""Batches: which payouts went out together, and what became of them since.

A batch is a list of ids, written once for each that boards. What became of them is read from the records themselves, so
that a summary can never disagree with them.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from machines.core.clock import Millis
from machines.core.ids import RecordId
from machines.core.record import Record
from payflow.store import keys
from payflow.store.link import PAGE, scored
from payflow.store.outbox import Post
from payflow.store.records import OverRecords


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, by its name."""

    id: str
    opened_at: Millis
    """When the first one boarded."""
    size: int


@dataclass(slots=True)
class Summary:
    """What became of a batch."""

    counts: Counter[str] = field(default_factory=Counter)
    """How many of its records are in each state."""
    sums: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """For each state the units of each asset."""
    boarded_again: int = 0
    """How many of them went on in a later batch, and are counted there; its name stands in their data."""

    def add(self, batch_id: str, record: Record[Any]) -> None:
        """Count a record."""
        if getattr(record.data, "batch", batch_id) != batch_id:
            self.boarded_again += 1
            return
        self.counts[record.state] += 1
        if record.amount:
            self.sums[record.state][record.amount.asset.code] += record.amount.units


class Batches(OverRecords):
    """The batches of the whole installation."""

    async def deliver(self, post: Post) -> None:
        """Take in that a record boarded: the dispatcher's handler of `batch`. Again changes nothing."""
        await self.board(str(post.body["batch"]), post.record, post.at)

    async def board(self, batch_id: str, record_id: RecordId, at: Millis) -> None:
        """Put a record into a batch; the first one opens it."""
        await self._link.ask("ZADD", keys.batch(batch_id), "NX", at, record_id)
        # Messages may come late and in any order: the batch opened when its earliest record boarded.
        await self._link.ask("ZADD", keys.BATCHES, "LT", at, batch_id)

    async def latest(self, limit: int) -> list[Batch]:
        """List batches, the newest first."""
        found = scored(await self._link.ask("ZREVRANGE", keys.BATCHES, 0, limit - 1, "WITHSCORES"))
        sizes = await self._link.pipeline([("ZCARD", keys.batch(name)) for name, _ in found]) if found else []
        return [Batch(str(name), Millis(int(at)), size) for (name, at), size in zip(found, sizes, strict=True)]

    async def find(self, batch_id: str) -> Batch | None:
        at, size = await self._link.pipeline([("ZSCORE", keys.BATCHES, batch_id), ("ZCARD", keys.batch(batch_id))])
        return None if at is None else Batch(batch_id, Millis(int(float(at))), size)

    async def records(self, batch_id: str) -> AsyncIterator[Record[Any]]:
        """Walk over the records of a batch, in the order in which they boarded."""
        start = 0
        while ids := await self._link.ask("ZRANGE", keys.batch(batch_id), start, start + PAGE - 1):
            for stored in await self._records.readable(RecordId(one.decode()) for one in ids):
                yield stored.record
            start += len(ids)

    async def summary(self, batch_id: str) -> Summary:
        summary = Summary()
        async for record in self.records(batch_id):
            summary.add(batch_id, record)
        return summary
