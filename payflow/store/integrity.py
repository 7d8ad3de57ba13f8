"""Walks over everything that is kept and finds what is not as it should be: indexes, hash chains, forgotten records."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from machines.core.errors import PayflowError, StoreUnavailable
from machines.core.ids import RecordId, parse_id
from machines.core.lifecycle import By
from machines.core.rail_share import written
from payflow.store import keys
from payflow.store.codec import UnreadableRecord, chain_fault, contradicted, digest
from payflow.store.ledger import RAILS_OPENED
from payflow.store.link import paged
from payflow.store.macs import Forged
from payflow.store.records import OverRecords

# How often something that seems wrong is read again before it is said to be wrong.
MOST_READS = 3
NOT_SIGNED = "its newest commit is not signed: `payflow permit ls` says what to do"
UNPOSTED = "what is posted of it on its rail's side is not what its state says: `payflow ledger --open` posts it"
_CHECKED = ("state", "hash", "parked", "archived", "ver", "asset", "units", "owner", "data", "made")


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


class Integrity(OverRecords):
    """What holds between the records, their indexes and their histories. Work may go on while it is looked at."""

    async def verify(self) -> AsyncIterator[IntegrityFault]:
        """Walk over everything: indexes, hash chains, records that nobody would look at. Work may go on meanwhile."""
        async for places in paged(self._indexed()):
            for fault in await self._strays(places):
                yield fault
        async for page in paged(self._records.ids()):
            ids = page
            for _ in range(MOST_READS):
                # Between two of our reads a worker may have moved it: what is wrong must be wrong every time.
                ids = [one for one, problems in zip(ids, await self._problems(ids), strict=True) if problems]
            for record_id, problems in zip(ids, await self._problems(ids), strict=True):
                for problem in problems:
                    yield IntegrityFault(record_id, problem)

    async def _indexed(self) -> AsyncIterator[_Place]:
        async for key in self._link.keys("{pf:??}:in:*"):
            async for record_id, _ in self._link.members(key):
                yield _Place(key, record_id)

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
        owners = {record_id: row[7] for record_id, row in zip(ids, rows, strict=True)}
        commands: list[tuple[str | int, ...]] = []
        for record_id, (state, *_) in zip(ids, rows, strict=True):
            machine, shard = parse_id(record_id)
            commands += [
                ("ZSCORE", keys.members(shard, machine, _text(state)), record_id),
                ("ZSCORE", keys.due(shard, machine, _text(state)), record_id),
                ("LRANGE", keys.history(record_id), 0, -1),
                ("HEXISTS", keys.tombs(shard), record_id),
                ("ZSCORE", keys.owned(shard, _text(owners[record_id])), record_id),
            ]
        answers = await self._link.pipeline(commands)
        unreadable = await asyncio.gather(*(self._unreadable(one) for one in ids))
        found = []
        for place, (state, newest, parked, archived, version, asset, units, owner, data, made) in enumerate(rows):
            there, due, events, archived_too, owned = answers[5 * place : 5 * place + 5]
            machine_name = parse_id(ids[place])[0]
            broken = chain_fault(events, newest or b"", archived or b"")
            data_digest = digest((owner or b"").decode(), data or b"")
            why, forged, unposted = unreadable[place]
            known = not broken and (forged or not why)
            differs = contradiction(events, state, version, (asset, units), data_digest) if known else ""
            problems = {
                f"it is in {_text(state)}, whose index does not name it": there is None,
                "it is there, and archived as well": bool(archived_too),
                "the index of its owner does not name it, or at another time": (owned is None or b"%d" % owned != made)
                and not differs
                and machine_name in self._records.machines,
                f"its history is not whole: {broken}": bool(broken),
                f"somebody changed it beside its history: {differs}": bool(differs),
                why: bool(why) and not (forged and differs),
                UNPOSTED: unposted,
                f"nobody will ever look at it in {_text(state)}": due is None
                and not parked
                and self._watched(machine_name, _text(state)),
            }
            found.append([problem for problem, is_so in problems.items() if is_so])
        return found

    async def _unreadable(self, record_id: RecordId) -> tuple[str, bool, bool]:
        """Say why a record of one of our machines cannot be used, empty when it can; and whether it was forged.

        The last is whether its share of the rail's side is another one than is posted.
        """
        machine = self._records.machines.get(parse_id(record_id)[0])
        if machine is None:
            return "", False, False
        try:
            stored = await self._records.read(record_id)
            trusted = self._records.trusts(stored)
            share = written(machine.rail_share(stored.record)) if machine.rail_share else ""
        except StoreUnavailable:
            raise
        except (PayflowError, ValueError, TypeError, AttributeError) as error:
            return str(error), isinstance(error, Forged), False
        # What an older version left is posted when the rails' side is opened.
        unposted = share != stored.share and (bool(stored.share) or await self._is_opened())
        return "" if trusted else NOT_SIGNED, not trusted, unposted

    async def _is_opened(self) -> bool:
        return bool(await self._link.ask("HEXISTS", keys.META, RAILS_OPENED))

    def _watched(self, machine: str, state: str) -> bool:
        """Whether a poller must look at the records of a state."""
        known = self._records.machines.get(machine)
        facts = known.lifecycle.states.get(state) if known else None
        return facts is not None and facts.by is By.POLLER and not facts.final

    async def faults_of(self, record_id: RecordId) -> list[str]:
        """Say what is wrong with one record; what is wrong must be wrong every time that it is read."""
        problems: list[str] = []
        for _ in range(MOST_READS):
            (problems,) = await self._problems([record_id])
            if not problems:
                break
        return problems

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


def contradiction(
    events: list[bytes], state: bytes | None, version: bytes | None, amount: Sequence[bytes | None], data_digest: bytes
) -> str:
    """Say where the fields of a record, as they are kept, are not what its whole history says."""
    asset, units = amount
    known = (asset.decode(), units.decode()) if asset and units else None
    try:
        return contradicted(events, _text(state), int(version or 0), known, data_digest)
    except (UnreadableRecord, ValueError) as error:
        return str(error)


def _text(state: bytes | None) -> str:
    return (state or b"no state").decode()
