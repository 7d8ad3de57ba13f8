"""Looking over records: counts, lists, histories. Reads only, and never inside a payment's path."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from machines.core.clock import Millis
from machines.core.errors import PayflowError, StoreUnavailable
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.lifecycle import By
from machines.core.record import Record
from payflow.store import keys
from payflow.store.codec import UnreadableRecord, chain_fault, contradicted
from payflow.store.link import Link
from payflow.store.records import Records
from payflow.store.stored import Stored

T = TypeVar("T")

PAGE = 500
# How often something that seems wrong is read again before it is said to be wrong.
MOST_READS = 3
_CHECKED = ("state", "hash", "parked", "archived", "ver", "asset", "units")


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


@dataclass(frozen=True, slots=True)
class IntegrityFault:
    """Something in the store that should not be."""

    place: str
    problem: str


class _Place(NamedTuple):
    """An id in the index of a state."""

    key: str
    id: RecordId

    @property
    def state(self) -> str:
        return self.key.rpartition(":")[2]


class Listing:
    """Counts and lists over all shards."""

    def __init__(self, link: Link, records: Records) -> None:
        self._link = link
        self._records = records

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
        async for key in self.keys("{pf:??}:in:*"):
            machine, _, state = key.partition(":in:")[2].partition(":")
            known = self._records.machines.get(machine)
            if known is None or state not in known.lifecycle.states:
                found[machine, state] += await self._link.ask("ZCARD", key)
        return [(machine, state, count) for (machine, state), count in sorted(found.items())]

    async def in_state(self, machine: str, state: str, limit: int = PAGE) -> list[Stored]:
        """List records in a state, the oldest first."""
        found: list[tuple[float, RecordId]] = []
        for shard in range(self._records.shards):
            answer = await self._link.ask("ZRANGE", keys.members(shard, machine, state), 0, limit - 1, "WITHSCORES")
            found += [(score, record_id) for record_id, score in scored(answer)]
        return await self._read([record_id for _, record_id in sorted(found)[:limit]])

    async def newest(self, machine: str, state: str, limit: int = PAGE) -> list[Stored]:
        """List records in a state, those that came into it last first."""
        commands = [
            ("ZREVRANGE", keys.members(shard, machine, state), 0, limit - 1, "WITHSCORES")
            for shard in range(self._records.shards)
        ]
        found = [(score, one) for answer in await self._link.pipeline(commands) for one, score in scored(answer)]
        return await self._read([record_id for _, record_id in sorted(found, reverse=True)[:limit]])

    async def owned_by(self, owner: Owner, limit: int = PAGE) -> list[Stored]:
        """List an owner's records, the newest first."""
        key = keys.owned(self._records.owner_shard(owner), owner)
        ids = await self._link.ask("ZREVRANGE", key, 0, limit - 1)
        return await self._read([RecordId(record_id.decode()) for record_id in ids])

    async def of_owner(self, machine: str, state: str, owner: Owner, limit: int = PAGE) -> list[Stored]:
        """List an owner's records in a state, those longest in it first."""
        key = keys.members(self._records.owner_shard(owner), machine, state)
        found: list[Stored] = []
        first, size = 0, min(limit, PAGE)
        while len(found) < limit:
            page = await self._link.ask("ZRANGE", key, first, first + size - 1)
            read = await self._read([RecordId(one.decode()) for one in page])
            found += [one for one in read if one.record.owner == owner and one.record.state == state]
            if len(page) < size:
                break
            first += size
        return found[:limit]

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

    async def outlook(self, record: Record[Any]) -> Outlook:
        """Say when somebody looks at a record again."""
        due = keys.due(parse_id(record.id)[1], record.machine, record.state)
        score, fence = await self._link.pipeline([
            ("ZSCORE", due, record.id),
            ("HGET", keys.record(record.id), "fence"),
        ])  # fmt: skip
        at = None if score is None else Millis(int(float(score)))
        return Outlook(at, leased=at is not None and int(fence or 0) % 2 == 1 and at > await self._records.now())

    async def history_fault(self, record_id: RecordId) -> str:
        """Say where a record's history was changed or cut; empty when it is whole."""
        broken = ""
        for _ in range(MOST_READS):
            (newest, archived), events = await self._link.pipeline(
                [("HMGET", keys.record(record_id), "hash", "archived"), ("LRANGE", keys.history(record_id), 0, -1)]
            )
            broken = chain_fault(events, newest or b"", archived or b"")
            if not broken:
                break
        return broken

    async def tallies(self, owner: Owner) -> dict[str, int]:
        """Say how often an owner's records entered the states that are tallied, as `machine:STATE`."""
        fields = await self._link.ask("HGETALL", keys.tally(self._records.owner_shard(owner), owner))
        return {name.decode(): int(count) for name, count in fields.items()}

    async def _read(self, ids: list[RecordId]) -> list[Stored]:
        found = await asyncio.gather(*map(self._records.read, ids), return_exceptions=True)
        for one in found:
            # An unreadable record must not hide the others; `verify` names it.
            if isinstance(one, BaseException) and (
                isinstance(one, StoreUnavailable) or not isinstance(one, PayflowError)
            ):
                raise one
        return [one for one in found if isinstance(one, Stored)]

    async def verify(self) -> AsyncIterator[IntegrityFault]:
        """Walk over everything: indexes, hash chains, records that nobody would look at. Work may go on meanwhile."""
        async for places in _paged(self._indexed()):
            for fault in await self._strays(places):
                yield fault
        async for page in _paged(self._recorded()):
            ids = page
            for _ in range(MOST_READS):
                # Between two of our reads a worker may have moved it: what is wrong must be wrong every time.
                ids = [one for one, problems in zip(ids, await self._problems(ids), strict=True) if problems]
            for record_id, problems in zip(ids, await self._problems(ids), strict=True):
                for problem in problems:
                    yield IntegrityFault(record_id, problem)

    async def _indexed(self) -> AsyncIterator[_Place]:
        async for key in self.keys("{pf:??}:in:*"):
            async for record_id, _ in self.scan(key):
                yield _Place(key, record_id)

    async def _recorded(self) -> AsyncIterator[RecordId]:
        async for key in self.keys("{pf:??}:rec:*"):
            yield RecordId(key.partition(":rec:")[2])

    async def _strays(self, places: list[_Place]) -> list[IntegrityFault]:
        """Find ids in an index whose records are not in its state."""
        for _ in range(1 + MOST_READS):
            states = await self._link.pipeline([("HGET", keys.record(place.id), "state") for place in places])
            places = [place for place, state in zip(places, states, strict=True) if place.state != _text(state)]
            scores = await self._link.pipeline([("ZSCORE", place.key, place.id) for place in places])
            places = [place for place, score in zip(places, scores, strict=True) if score is not None]
        states = await self._link.pipeline([("HGET", keys.record(place.id), "state") for place in places])
        return [
            IntegrityFault(place.id, f"the index of {place.state} names it, but it is in {_text(state)}")
            if state
            else IntegrityFault(place.id, f"the index of {place.state} names it, but there is no such record")
            for place, state in zip(places, states, strict=True)
        ]

    async def _problems(self, ids: list[RecordId]) -> list[list[str]]:
        """Say for each record what is wrong with it."""
        rows = await self._link.pipeline([("HMGET", keys.record(one), *_CHECKED) for one in ids])
        commands: list[tuple[str | int, ...]] = []
        for record_id, (state, *_) in zip(ids, rows, strict=True):
            machine, shard = parse_id(record_id)
            commands += [
                ("ZSCORE", keys.members(shard, machine, _text(state)), record_id),
                ("ZSCORE", keys.due(shard, machine, _text(state)), record_id),
                ("LRANGE", keys.history(record_id), 0, -1),
            ]
        answers = await self._link.pipeline(commands)
        unreadable = await asyncio.gather(*(self._unreadable(one) for one in ids))
        found = []
        for place, (state, newest, parked, archived, version, *amount) in enumerate(rows):
            there, due, events = answers[3 * place : 3 * place + 3]
            machine_name = parse_id(ids[place])[0]
            broken = chain_fault(events, newest or b"", archived or b"")
            differs = "" if broken else _contradicted(events, state, version, amount)
            problems = {
                f"it is in {_text(state)}, whose index does not name it": there is None,
                f"its history is not whole: {broken}": bool(broken),
                f"somebody changed it beside its history: {differs}": bool(differs),
                unreadable[place]: bool(unreadable[place]),
                f"nobody will ever look at it in {_text(state)}": due is None
                and not parked
                and self._watched(machine_name, _text(state)),
            }
            found.append([problem for problem, is_so in problems.items() if is_so])
        return found

    async def _unreadable(self, record_id: RecordId) -> str:
        """Say why a record of one of our machines cannot be read; empty when it can."""
        if parse_id(record_id)[0] not in self._records.machines:
            return ""
        try:
            await self._records.read(record_id)
        except StoreUnavailable:
            raise
        except (PayflowError, ValueError, TypeError, AttributeError) as error:
            return str(error)
        return ""

    def _watched(self, machine: str, state: str) -> bool:
        """Whether a poller must look at the records of a state."""
        known = self._records.machines.get(machine)
        facts = known.lifecycle.states.get(state) if known else None
        return facts is not None and facts.by is By.POLLER and not facts.final

    async def keys(self, pattern: str) -> AsyncIterator[str]:
        """Walk over all keys of a shape."""
        async for key in self._link.scan(pattern.replace("{", "\\{"), PAGE):
            yield key.decode()

    async def scan(self, key: str) -> AsyncIterator[tuple[RecordId, float]]:
        """Walk over an index however long it is."""
        cursor = 0
        while True:
            cursor, members = await self._link.ask("ZSCAN", key, cursor, "COUNT", PAGE)
            for record_id, score in scored(members):
                yield record_id, score
            if int(cursor) == 0:
                return


async def _paged(found: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    page: list[T] = []
    async for one in found:
        page.append(one)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _contradicted(
    events: list[bytes], state: bytes | None, version: bytes | None, amount: Sequence[bytes | None]
) -> str:
    asset, units = amount
    known = (asset.decode(), units.decode()) if asset and units else None
    try:
        return contradicted(events, _text(state), int(version or 0), known)
    except (UnreadableRecord, ValueError) as error:
        return str(error)


def _text(state: bytes | None) -> str:
    return (state or b"no state").decode()


def scored(answer: list[object]) -> list[tuple[RecordId, float]]:
    """Read members with their scores, in either shape that redis-py gives."""
    if answer and isinstance(answer[0], bytes):
        pairs = zip(answer[0::2], answer[1::2], strict=True)
    else:
        pairs = ((one[0], one[1]) for one in answer)  # type: ignore[index,assignment]
    return [(RecordId(member.decode()), float(score)) for member, score in pairs]  # type: ignore[attr-defined,arg-type]


def _earliest(answers: list[list[object]]) -> Millis | None:
    scores = [score for answer in answers for _, score in scored(answer)]
    return Millis(int(min(scores))) if scores else None
