"""Looking over records: counts, lists, histories. Reads only, and never inside a payment's path."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from machines.core.clock import Millis
from machines.core.errors import PayflowError
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.lifecycle import By
from payflow.store import keys
from payflow.store.codec import chain_fault
from payflow.store.link import Link
from payflow.store.records import Records, Stored

PAGE = 500


@dataclass(frozen=True, slots=True)
class Crowd:
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
class Fault:
    """Something in the store that should not be."""

    place: str
    problem: str


class Listing:
    """Counts and lists over all shards."""

    def __init__(self, link: Link, records: Records) -> None:
        self._link = link
        self._records = records

    async def crowds(self) -> list[Crowd]:
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
        crowds = []
        step = 4 * self._records.shards
        for place, (machine, state) in enumerate(places):
            part = answers[place * step : (place + 1) * step]
            crowds.append(
                Crowd(
                    machine.name,
                    state,
                    count=sum(part[0::4]),
                    oldest=_earliest(part[1::4]),
                    due=sum(part[2::4]),
                    late_since=_earliest(part[3::4]),
                )
            )
        return crowds

    async def in_state(self, machine: str, state: str, limit: int = PAGE) -> list[Stored]:
        """List records in a state, the oldest first."""
        found: list[tuple[float, RecordId]] = []
        for shard in range(self._records.shards):
            answer = await self._link.ask("ZRANGE", keys.members(shard, machine, state), 0, limit - 1, "WITHSCORES")
            found += [(score, record_id) for record_id, score in scored(answer)]
        return await self._read([record_id for _, record_id in sorted(found)[:limit]])

    async def owned_by(self, owner: Owner, limit: int = PAGE) -> list[Stored]:
        """List an owner's records, the newest first."""
        key = keys.owned(self._records.owner_shard(owner), owner)
        ids = await self._link.ask("ZREVRANGE", key, 0, limit - 1)
        return await self._read([RecordId(record_id.decode()) for record_id in ids])

    async def parked(self, limit: int = PAGE) -> list[tuple[RecordId, str]]:
        """List records that were set aside, and why."""
        found: list[tuple[RecordId, str]] = []
        for shard in range(self._records.shards):
            ids = [
                RecordId(one.decode())
                for one in await self._link.ask("ZRANGE", f"{keys.prefix(shard)}parked", 0, limit - 1)
            ]
            whys = await self._link.pipeline([("HGET", keys.record(one), "parked") for one in ids]) if ids else []
            found += [(one, (why or b"").decode()) for one, why in zip(ids, whys, strict=True)]
        return found[:limit]

    async def tallies(self, owner: Owner) -> dict[str, int]:
        """Say how often an owner's records entered the states that are tallied, as `machine:STATE`."""
        fields = await self._link.ask("HGETALL", keys.tally(self._records.owner_shard(owner), owner))
        return {name.decode(): int(count) for name, count in fields.items()}

    async def _read(self, ids: list[RecordId]) -> list[Stored]:
        found = []
        for record_id in ids:
            try:
                found.append(await self._records.read(record_id))
            except PayflowError:  # an unreadable record must not hide the others; `verify` names it
                continue
        return found

    async def verify(self) -> AsyncIterator[Fault]:
        """Walk over everything: hash chains, indexes, records that nobody would look at."""
        for shard in range(self._records.shards):
            places: dict[RecordId, list[tuple[str, str]]] = {}
            async for key in self.keys(f"{keys.prefix(shard)}in:*"):
                _, _, rest = key.partition(":in:")
                machine, _, state = rest.partition(":")
                async for record_id, _ in self.scan(key):
                    places.setdefault(record_id, []).append((machine, state))
            seen = set()
            async for key in self.keys(f"{keys.prefix(shard)}rec:*"):
                record_id = RecordId(key.partition(":rec:")[2])
                seen.add(record_id)
                async for fault in self._verify_record(record_id, places.get(record_id, [])):
                    yield fault
            for record_id in places.keys() - seen:
                yield Fault(record_id, "an index names it, but there is no such record")

    async def _verify_record(self, record_id: RecordId, places: list[tuple[str, str]]) -> AsyncIterator[Fault]:
        raw = keys.record(record_id)
        state, newest, parked = await self._link.ask("HMGET", raw, "state", "hash", "parked")
        machine_name, shard = parse_id(record_id)
        if places != [(machine_name, (state or b"").decode())]:
            yield Fault(record_id, f"it is in {(state or b'no state').decode()}, its indexes say {places or 'nothing'}")
        events = await self._link.ask("LRANGE", keys.history(record_id), 0, -1)
        broken = chain_fault(events, newest)
        if broken:
            yield Fault(record_id, f"its history is not whole: {broken}")
        machine = self._records.machines.get(machine_name)
        if machine is None:
            return
        try:
            facts = machine.lifecycle.state((state or b"").decode())
            await self._records.read(record_id)
        except PayflowError as error:
            yield Fault(record_id, str(error))
            return
        watched = await self._link.ask("ZSCORE", keys.due(shard, machine_name, facts.name), record_id)
        if facts.by is By.POLLER and not facts.final and watched is None and not parked:
            yield Fault(record_id, f"nobody will ever look at it in {facts.name}")

    async def keys(self, pattern: str) -> AsyncIterator[str]:
        """Walk over all keys of a shape."""
        async for key in self._link.client.scan_iter(match=pattern.replace("{", "\\{"), count=PAGE):
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
