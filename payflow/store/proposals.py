"""Overrides that wait for a second person: proposed by one, confirmed or declined by another."""

from dataclasses import dataclass

import msgspec

from machines.core.clock import Millis
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
        return bool(await self._link.ask("SET", keys.proposal(proposal.record), value, "NX", "EX", LASTS_S))

    async def of(self, record: RecordId) -> Proposal | None:
        """Read the proposal about a record."""
        value = await self._link.ask("GET", keys.proposal(record))
        if value is None:
            return None
        to, reason, by, version, at = msgspec.msgpack.decode(value)
        return Proposal(record, to, reason, by, version, Millis(at))

    async def drop(self, record: RecordId) -> None:
        """Forget a proposal."""
        await self._link.ask("DEL", keys.proposal(record))
