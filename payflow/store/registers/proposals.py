"""What waits for a second person: proposed by the holder of one token, confirmed or declined by the holder of another.

A proposal is named by the hash of all that it says. Whoever confirms shows the name of what they saw, so that nobody
can put something else in its place between looking and saying yes.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from machines.core.clock import DAY, SECOND, Millis
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import OverLink
from payflow.store.macs import Forged
from payflow.store.row_list import Row
from payflow.store.scripts import PROPOSAL, SWAP

LASTS_MS = 24 * 3600 * SECOND
MOST = 1000
"""So many wait at a time: who proposes without an end must not fill the store."""

_MADE = 1
_LISTED_MS = 365 * DAY
"""Far beyond its end: the next one that is made takes those away that are over."""
_PLACE = keys.PROPOSED


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one person wants to do, and another must confirm."""

    kind: str
    """Which act it is, such as `override`."""
    subject: str
    """What it is done to: the id of a record, a lane, an owner. One proposal of a kind waits for each subject."""
    seen: Mapping[str, str]
    """What the person who proposes it saw and wants, in plain values: the second one confirms exactly this."""
    role: str
    """Which role the token of the second person must have."""
    reason: str
    by: str
    """Whose token proposed it."""
    version: int
    """Of what it is about, when it was looked at: a proposal about another version is void."""
    at: Millis
    made_by: str = ""
    """Who made the token that proposed it; empty where an older version kept it."""

    @property
    def digest(self) -> str:
        """The name of the proposal: the hash of all that it says."""
        return hashlib.sha256(_written(self)).hexdigest()[:32]


class Proposals(OverLink):
    """At most one of a kind for each subject; it is forgotten after a day."""

    async def make(self, proposal: Proposal) -> bool:
        """Keep a proposal, unless one of its kind waits for its subject already, or far too many wait."""
        named = (_place(proposal), self._name(proposal), _written(proposal))
        words = ("make", *named, proposal.at, proposal.at - LASTS_MS, MOST)
        value = f"{named[1]} {proposal.at} ".encode() + named[2]
        async with self._link.rows.changing(self._link, Row(keys.PROPOSED, named[0]), value, _LISTED_MS):
            return int(await self._link.run(PROPOSAL, [keys.PROPOSED], *words)) == _MADE

    async def take(self, proposal: Proposal) -> bool:
        """Take exactly this proposal off the table, and say whether it was still there: only one is told so."""
        words = ("take", _place(proposal), self._name(proposal))
        async with self._link.rows.changing(self._link, Row(keys.PROPOSED, words[1]), None):
            return bool(await self._link.run(PROPOSAL, [keys.PROPOSED], *words))

    async def waiting(self, now: Millis) -> list[Proposal]:
        """List what waits for a second person, the oldest first."""
        found = [one async for _, _, one in self._all()]
        return sorted((one for one in found if one and one.at > now - LASTS_MS), key=lambda one: one.at)

    async def of(self, subject: str, now: Millis) -> list[Proposal]:
        """List what is proposed about a subject."""
        return [one for one in await self.waiting(now) if one.subject == subject]

    async def _all(self) -> AsyncIterator[tuple[bytes, bytes, Proposal | None]]:
        """Give all that wait, as they are stored and as they were proposed; none for one that nobody of us proposed."""
        for place, value in await self._link.rows.fields(self._link, keys.PROPOSED):
            if isinstance(value, Forged):
                yield place, b"", None
                continue
            # Hash and time stand before what they are of, so that the script need not know how it is written.
            try:
                name, _, content = value.split(b" ", 2)
                one = _read(content)
                signature = bytes.fromhex(name[len(one.digest) :].decode())
            except (msgspec.MsgspecError, ValueError, TypeError):
                self._link.macs.on_forged(_PLACE)
                yield place, value, None
                continue
            sound = name.startswith(one.digest.encode()) and place == _place(one).encode()
            yield place, value, one if self._link.macs.trusts(_PLACE, signature, one.digest if sound else "") else None

    def _name(self, proposal: Proposal) -> str:
        """Name a proposal in the store: by the hash of what it says, and our signature of that."""
        return proposal.digest + self._link.macs.sign(_PLACE, proposal.digest).hex()

    async def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted; name what is not."""
        for place, value, one in [found async for found in self._all()]:
            if one is None:
                yield f"{keys.PROPOSED} {place.decode(errors='replace')}"
                continue
            name, _, rest = value.partition(b" ")
            fresh = self._name(one).encode()
            if name != fresh:
                after = fresh + b" " + rest
                async with self._link.rows.changing(self._link, Row(keys.PROPOSED, place.decode()), after):
                    await self._link.run(SWAP, [keys.PROPOSED], place, value, after)


def _place(proposal: Proposal) -> str:
    return f"{proposal.kind}:{proposal.subject}"


def _written(one: Proposal) -> bytes:
    seen = sorted(one.seen.items())
    maker = (one.made_by,) if one.made_by else ()
    return encode((one.kind, one.subject, seen, one.role, one.reason, one.by, one.version, one.at, *maker))


def _read(content: bytes) -> Proposal:
    kind, subject, seen, role, reason, by, version, at, *maker = msgspec.msgpack.decode(content)
    return Proposal(kind, subject, dict(seen), role, reason, by, version, Millis(at), *maker)
