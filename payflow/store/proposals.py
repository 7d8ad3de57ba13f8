"""Overrides that wait for a second person: proposed by one, confirmed or declined by another."""

from dataclasses import dataclass

import msgspec

from machines.core.clock import SECOND, Millis
from machines.core.ids import RecordId
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import Link

LASTS_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one person wants to do to a record, and another must confirm."""

    record: RecordId
    to: str
    reason: str
    by: str
    version: int
    """Of the record when it was looked at: a proposal about another version is void."""
    at: Millis


class Proposals:
    """At most one a record; it is forgotten after a day."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def make(self, proposal: Proposal) -> bool:
        """Keep a proposal, unless there is one already."""
        value = encode((proposal.to, proposal.reason, proposal.by, proposal.version, proposal.at))
        if not await self._link.ask("SET", keys.proposal(proposal.record), value, "NX", "EX", LASTS_S):
            return False
        await self._link.ask("ZADD", keys.PROPOSALS, proposal.at, proposal.record)
        return True

    async def of(self, record: RecordId) -> Proposal | None:
        """Read the proposal about a record."""
        value = await self._link.ask("GET", keys.proposal(record))
        return None if value is None else _read(record, value)

    async def waiting(self, now: Millis, limit: int) -> list[Proposal]:
        """List what waits for a second person, the oldest first."""
        await self._link.ask("ZREMRANGEBYSCORE", keys.PROPOSALS, "-inf", now - LASTS_S * SECOND)
        ids = [RecordId(one.decode()) for one in await self._link.ask("ZRANGE", keys.PROPOSALS, 0, limit - 1)]
        values = await self._link.pipeline([("GET", keys.proposal(one)) for one in ids]) if ids else []
        return [_read(record, value) for record, value in zip(ids, values, strict=True) if value is not None]

    async def drop(self, record: RecordId) -> None:
        """Forget a proposal."""
        await self._link.pipeline([("DEL", keys.proposal(record)), ("ZREM", keys.PROPOSALS, record)])


def _read(record: RecordId, value: bytes) -> Proposal:
    to, reason, by, version, at = msgspec.msgpack.decode(value)
    return Proposal(record, to, reason, by, version, Millis(at))
