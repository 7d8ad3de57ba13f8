"""Looking over records: counts, lists, histories. Reads only, and never inside a payment's path."""

import hashlib
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from machines.core.clock import SECOND, Millis
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.record import Record
from payflow.store import keys
from payflow.store.link import PAGE, scored
from payflow.store.records import OverRecords
from payflow.store.stored import Stored


@dataclass(frozen=True, slots=True)
class StateCount:
    """The records of a machine in one state."""

    machine: str
    state: str
    count: int
    oldest: Millis | None
    due: int
    """How many wait to be looked at, their time having come."""
    late_since: Millis | None
    """When the record that waits longest for a look came due."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """When somebody looks at a record again."""

    at: Millis | None
    """When its look is due, or its lease ends; none where nobody looks."""
    leased: bool
    error: str = ""
    """What kept the last look from learning anything; empty where it learned something."""


@dataclass(frozen=True, slots=True)
class FailingRecord:
    """A record whose looks fail."""

    record: Record[Any]
    since: Millis
    error: str


@dataclass(frozen=True, slots=True)
class ListCursor:
    """A place in an owner's list of records."""

    at: Millis
    id: RecordId


StateName = tuple[str, str]
"""A machine and one of its states."""


class Listing(OverRecords):
    """Counts and lists over all shards."""

    async def counts_by_state(self) -> list[StateCount]:
        """Count the records of every machine in every state, as the store has them."""
        now = await self._records.now()
        places = [(machine, state) for machine in self._records.machines.values() for state in machine.lifecycle.states]
        commands: list[tuple[str | int, ...]] = []
        for machine, state in places:
            for shard in range(self._records.shards):
                members = keys.members(shard, machine.name, state)
                due = keys.due(shard, machine.name, state)
                commands += [
                    ("ZCARD", members),
                    ("ZRANGE", members, 0, 0, "WITHSCORES"),
                    ("ZCOUNT", due, "-inf", now),
                    ("ZRANGEBYSCORE", due, "-inf", now, "WITHSCORES", "LIMIT", 0, 1),
                ]
        answers = await self._link.pipeline(commands)
        counts = []
        step = 4 * self._records.shards
        for place, (machine, state) in enumerate(places):
            part = answers[place * step : (place + 1) * step]
            counts.append(
                StateCount(
                    machine.name,
                    state,
                    count=sum(part[0::4]),
                    oldest=_earliest(part[1::4]),
                    due=sum(part[2::4]),
                    late_since=_earliest(part[3::4]),
                )
            )
        return counts

    async def foreign(self) -> list[tuple[str, str, int]]:
        """Count the records in states that this version does not know, by machine and state."""
        found: Counter[tuple[str, str]] = Counter()
        async for key in self._link.keys("{pf:??}:in:*"):
            machine, _, state = key.partition(":in:")[2].partition(":")
            known = self._records.machines.get(machine)
            if known is None or state not in known.lifecycle.states:
                found[machine, state] += await self._link.ask("ZCARD", key)
        return [(machine, state, count) for (machine, state), count in sorted(found.items())]

    async def in_state(self, machine: str, state: str, limit: int = PAGE) -> list[Stored]:
        """List records in a state, the oldest first."""
        return await self._first("ZRANGE", machine, state, limit)

    async def newest(self, machine: str, state: str, limit: int = PAGE) -> list[Stored]:
        """List records in a state, those that came into it last first."""
        return await self._first("ZREVRANGE", machine, state, limit)

    async def _first(self, order: Literal["ZRANGE", "ZREVRANGE"], machine: str, state: str, limit: int) -> list[Stored]:
        commands = [
            (order, keys.members(shard, machine, state), 0, limit - 1, "WITHSCORES")
            for shard in range(self._records.shards)
        ]
        found = [(score, one) for answer in await self._link.pipeline(commands) for one, score in scored(answer)]
        first = sorted(found, reverse=order == "ZREVRANGE")[:limit]
        return await self._records.readable([record_id for _, record_id in first])

    async def owned_by(self, owner: Owner, limit: int = PAGE) -> list[Stored]:
        """List an owner's records, the newest first."""
        key = keys.owned(self._records.owner_shard(owner), owner)
        ids = await self._link.ask("ZREVRANGE", key, 0, limit - 1)
        return await self._records.readable([RecordId(record_id.decode()) for record_id in ids])

    async def of_owner(self, machine: str, state: str, owner: Owner, limit: int = PAGE) -> list[Stored]:
        """List an owner's records in a state, those longest in it first."""
        key = keys.members(self._records.owner_shard(owner), machine, state)
        found: list[Stored] = []
        first, size = 0, min(limit, PAGE)
        while len(found) < limit:
            page = await self._link.ask("ZRANGE", key, first, first + size - 1)
            read = await self._records.readable([RecordId(one.decode()) for one in page])
            found += [one for one in read if one.record.owner == owner and one.record.state == state]
            if len(page) < size:
                break
            first += size
        return found[:limit]

    async def owned_before(
        self, owners: Sequence[Owner], place: ListCursor | None, since: Millis | None, until: Millis | None, limit: int
    ) -> list[ListCursor]:
        """List so many records of some owners made before a place, and between two times (the second excluded)."""
        newest = f"({until}" if until is not None else "+inf"
        if place is not None and (until is None or place.at < until):
            newest = str(place.at)
        oldest = str(since) if since is not None else "-inf"
        names = [keys.owned(self._records.owner_shard(owner), owner) for owner in owners]
        if len(names) > limit:
            names = await self._with_newest(names, place, (newest, oldest), limit)
        return await self._behind(names, place, limit, (newest, oldest), oldest_first=False)

    async def _with_newest(
        self, names: list[str], place: ListCursor | None, bounds: tuple[str, str], limit: int
    ) -> list[str]:
        """Name the indexes in which the newest of all are: so many as are wanted, and those that the place is in."""
        commands = [("ZREVRANGEBYSCORE", name, *bounds, "WITHSCORES", "LIMIT", 0, 1) for name in names]
        answers = await self._link.pipeline(commands)
        first = [(int(score), name) for name, answer in zip(names, answers, strict=True) for _, score in scored(answer)]
        tied = {name for score, name in first if place is not None and score == place.at}
        return [*tied, *(name for _, name in heapq.nlargest(limit, (one for one in first if one[1] not in tied)))]

    async def failing(self, until: Millis, limit: int = PAGE) -> tuple[int, list[FailingRecord]]:
        """Count the records whose looks have failed since this time or longer, and list those that do so longest."""
        asked: list[tuple[str | int, ...]] = []
        for shard in range(self._records.shards):
            key = keys.failing(shard)
            asked += [
                ("ZCOUNT", key, "-inf", until),
                ("ZRANGEBYSCORE", key, "-inf", until, "WITHSCORES", "LIMIT", 0, limit),
            ]
        answers = await self._link.pipeline(asked)
        since = {
            RecordId(name.decode()): Millis(int(float(at)))
            for rows in answers[1::2]
            for name, at in zip(rows[::2], rows[1::2], strict=True)
        }
        oldest = sorted(since, key=since.__getitem__)[:limit]
        read = await self._records.readable(oldest)
        errors = (
            await self._link.pipeline([("HGET", keys.record(one.record.id), "error") for one in read]) if read else []
        )
        found = [
            FailingRecord(one.record, since[one.record.id], (error or b"").decode(errors="replace"))
            for one, error in zip(read, errors, strict=True)
            if one.record.tries
        ]
        return sum(answers[::2]), found

    async def parked(self, limit: int = PAGE) -> list[tuple[RecordId, str]]:
        """List records that were set aside, and why."""
        found: list[tuple[RecordId, str]] = []
        for shard in range(self._records.shards):
            ids = [RecordId(one.decode()) for one in await self._link.ask("ZRANGE", keys.parked(shard), 0, limit - 1)]
            whys = await self._link.pipeline([("HGET", keys.record(one), "parked") for one in ids]) if ids else []
            found += [(one, (why or b"").decode()) for one, why in zip(ids, whys, strict=True)]
        return found[:limit]

    async def count_parked(self) -> int:
        """Count the records that were set aside."""
        return sum(
            await self._link.pipeline([
                ("ZCARD", keys.parked(shard)) for shard in range(self._records.shards)
            ])
        )  # fmt: skip

    async def moved_since(self, machine: str, state: str, since: Millis) -> list[RecordId]:
        """List records that came into a state at this time or later."""
        commands = [
            ("ZRANGEBYSCORE", keys.members(shard, machine, state), since, "+inf", "LIMIT", 0, PAGE)
            for shard in range(self._records.shards)
        ]
        return [RecordId(one.decode()) for found in await self._link.pipeline(commands) for one in found]

    async def came_between(self, machine: str, state: str, since: Millis, until: Millis) -> AsyncIterator[list[Stored]]:
        """Walk over the records that came into a state between two times, the second excluded, a page at a time."""
        for shard in range(self._records.shards):
            key, skipped = keys.members(shard, machine, state), 0
            while True:
                page = await self._link.ask("ZRANGEBYSCORE", key, since, f"({until}", "LIMIT", skipped, PAGE)
                if page:
                    yield await self._records.readable([RecordId(one.decode()) for one in page])
                if len(page) < PAGE:
                    break
                skipped += PAGE

    async def outlook(self, record: Record[Any]) -> Outlook:
        """Say when somebody looks at a record again."""
        due = keys.due(parse_id(record.id)[1], record.machine, record.state)
        score, (fence, error) = await self._link.pipeline([
            ("ZSCORE", due, record.id),
            ("HMGET", keys.record(record.id), "fence", "error"),
        ])  # fmt: skip
        at = None if score is None else Millis(int(float(score)))
        leased = at is not None and int(fence or 0) % 2 == 1 and at > await self._records.now()
        return Outlook(at, leased, (error or b"").decode(errors="replace") if record.tries else "")

    async def pulse(self) -> str:
        """Give a word that changes whenever records, pauses or the audit log do."""
        counted = [("GET", keys.sequence(shard)) for shard in range(self._records.shards)]
        found = await self._link.pipeline([*counted, ("HGETALL", keys.PAUSE), ("LLEN", keys.AUDIT)])
        return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    async def stuck(self) -> dict[StateName, int]:
        """Count the records that are in their state for longer than they should be."""
        now = await self._records.now()
        limits = {
            (machine.name, state.name): now - state.stuck_after_s * SECOND
            for machine in self._records.machines.values()
            for state in machine.lifecycle.states.values()
            if state.stuck_after_s is not None
        }
        commands = [
            ("ZCOUNT", keys.members(shard, *place), "-inf", f"({since}")
            for place, since in limits.items()
            for shard in range(self._records.shards)
        ]
        counts = await self._link.pipeline(commands) if commands else []
        step = self._records.shards
        return {place: sum(counts[number * step : (number + 1) * step]) for number, place in enumerate(limits)}

    async def in_states(
        self, states: Sequence[StateName], after: ListCursor | None, limit: int, *, oldest_first: bool
    ) -> list[ListCursor]:
        """List so many records of some states behind a place, in the order in which they came into their states."""
        names = [keys.members(shard, *state) for state in states for shard in range(self._records.shards)]
        first, last = ("-inf", "+inf") if oldest_first else ("+inf", "-inf")
        bounds = (first if after is None else str(after.at), last)
        return await self._behind(names, after, limit, bounds, oldest_first=oldest_first)

    async def _behind(
        self,
        names: list[str],
        place: ListCursor | None,
        limit: int,
        bounds: tuple[str, str],
        *,
        oldest_first: bool,
    ) -> list[ListCursor]:
        """List so many of all that stands in some indexes between two times, behind a place."""
        order = "ZRANGEBYSCORE" if oldest_first else "ZREVRANGEBYSCORE"
        found: set[ListCursor] = set()
        skipped = 0
        while names:
            commands = [(order, name, *bounds, "WITHSCORES", "LIMIT", skipped, limit) for name in names]
            answers = [scored(answer) for answer in await self._link.pipeline(commands)]
            pages = [[ListCursor(Millis(int(score)), record_id) for record_id, score in answer] for answer in answers]
            behind = [[one for one in page if _is_behind(one, place, oldest_first=oldest_first)] for page in pages]
            found |= {one for page in behind for one in page}
            # Records of one millisecond stand in the order of their ids: those in front of the place were seen.
            names = [
                name for name, page, new in zip(names, pages, behind, strict=True) if len(page) == limit > len(new)
            ]
            skipped += limit
        choose = heapq.nsmallest if oldest_first else heapq.nlargest
        return choose(limit, found, key=lambda one: (one.at, one.id))

    async def holder(self, space: str, value: str) -> RecordId | None:
        """Find the record that holds a unique value, in whichever shard."""
        commands = [("HGET", keys.unique(shard, space), value) for shard in range(self._records.shards)]
        return next((RecordId(one.decode()) for one in await self._link.pipeline(commands) if one), None)


def _is_behind(one: ListCursor, place: ListCursor | None, *, oldest_first: bool) -> bool:
    if place is None:
        return True
    mine, its = (one.at, one.id), (place.at, place.id)
    return mine > its if oldest_first else mine < its


def _earliest(answers: list[list[bytes]]) -> Millis | None:
    scores = [score for answer in answers for _, score in scored(answer)]
    return Millis(int(min(scores))) if scores else None
