"""Acts over many records: what each was when it was shown, and what became of it, until nobody asks any more.

Each row is signed under the name of its run: who writes to the store alone has nothing done that nobody was shown.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from machines.core.clock import DAY, Millis
from machines.core.errors import NotFound
from machines.core.ids import RecordId
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import PAGE, OverLink

REMEMBERED_MS = 30 * DAY
_PLAN = "plan"


class BulkStage(StrEnum):
    """How far an act came with one record."""

    WAITING = "waiting"
    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """An act over many records, as somebody saw it."""

    verb: str
    where: str
    reason: str
    by: str
    at: Millis


@dataclass(frozen=True, slots=True)
class BulkEntry:
    """One record of it."""

    state: str
    seen: str
    becomes: str
    """Where it goes, or went."""
    stage: BulkStage = BulkStage.WAITING
    why: str = ""
    """Why it was refused."""


class BulkRuns(OverLink):
    """The acts over many records of an installation."""

    async def begin(self, plan: BulkPlan, entries: Mapping[RecordId, BulkEntry]) -> str:
        """Write down what will be done, before anything is; gives the name of it."""
        name = secrets.token_hex(6)
        key = keys.bulk_run(name)
        items = [(_PLAN, self._written(key, _PLAN, plan))]
        items += [(one, self._written(key, one, entry)) for one, entry in entries.items()]
        for start in range(0, len(items), PAGE):
            await self._link.ask("HSET", key, *(word for pair in items[start : start + PAGE] for word in pair))
        await self._link.ask("PEXPIRE", key, REMEMBERED_MS)
        return name

    async def read(self, name: str) -> tuple[BulkPlan, dict[RecordId, BulkEntry]]:
        """Give one that was begun, and how far it came."""
        key = keys.bulk_run(name)
        plan, entries = None, {}
        async for field, row in self._link.fields(key):
            value = self._link.macs.unwrap(f"{key} {field}", row)
            if field == _PLAN:
                plan = msgspec.msgpack.decode(value, type=BulkPlan)
            else:
                entries[RecordId(field)] = msgspec.msgpack.decode(value, type=BulkEntry)
        if plan is None:
            raise NotFound(f"Nothing was begun under {name[:40]!r}, or it is longer ago than 30 days.")
        return plan, dict(sorted(entries.items()))

    async def write(self, name: str, record_id: RecordId, entry: BulkEntry) -> None:
        """Write down how far it came with a record."""
        key = keys.bulk_run(name)
        await self._link.ask("HSET", key, record_id, self._written(key, record_id, entry))

    def _written(self, key: str, field: str, row: BulkPlan | BulkEntry) -> bytes:
        return self._link.macs.wrap(f"{key} {field}", encode(row))


def counted(entries: Iterable[BulkEntry]) -> dict[BulkStage, int]:
    """Count the records at each stage."""
    found = [one.stage for one in entries]
    return {stage: found.count(stage) for stage in BulkStage}
