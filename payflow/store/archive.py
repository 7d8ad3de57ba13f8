"""Finished records leave the store for files; what stays of each keeps its key from ever paying again."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from machines.core.clock import Millis
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.record import Record
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.ledger import Entry, Ledger
from payflow.store.link import Link
from payflow.store.listing import Listing
from payflow.store.records import Records
from payflow.store.scripts import ARCHIVE, CHECKPOINT
from payflow.store.tombs import Tombstone, read_tomb, tombstone

NONE = "-"
SCANNED = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """A record as the store has it, byte for byte."""

    id: RecordId
    fields: dict[str, bytes]
    events: list[bytes]

    @property
    def state(self) -> str:
        """Where it is."""
        return self.fields["state"].decode()

    @property
    def since(self) -> Millis:
        """Since when it is there."""
        return Millis(int(self.fields["since"]))


class Archive:
    """Reads records whole, and puts finished ones away."""

    def __init__(self, link: Link, records: Records, listing: Listing, ledger: Ledger) -> None:
        self._link = link
        self._records = records
        self._listing = listing
        self._ledger = ledger

    async def everything(self, shard: int) -> AsyncIterator[Kept]:
        """Walk over all records of a shard."""
        prefix = f"{keys.prefix(shard)}rec:"
        async for key in self._listing.keys(f"{prefix}*"):
            kept = await self.read(RecordId(key.removeprefix(prefix)))
            if kept is not None:
                yield kept

    async def finished(self, shard: int, before: Millis) -> AsyncIterator[Kept]:
        """Walk over records of a shard whose story ended before a time, and that nobody will look at again."""
        busy = await self._spoken_of(shard)
        for machine in self._records.machines.values():
            for state in machine.lifecycle.states.values():
                if not state.final:
                    continue
                members, due = keys.members(shard, machine.name, state.name), keys.due(shard, machine.name, state.name)
                async for record_id, since in self._listing.scan(members):
                    if since >= before or record_id in busy or await self._link.ask("ZSCORE", due, record_id):
                        continue
                    kept = await self.read(record_id)
                    if kept is not None and kept.state == state.name and "parked" not in kept.fields:
                        yield kept

    async def read(self, record_id: RecordId) -> Kept | None:
        """Read a record as it is kept; None where there is none."""
        fields, events = await self._link.pipeline(
            [("HGETALL", keys.record(record_id)), ("LRANGE", keys.history(record_id), 0, -1)]
        )
        return Kept(record_id, {name.decode(): value for name, value in fields.items()}, events) if fields else None

    async def _spoken_of(self, shard: int) -> set[str]:
        """Name the records of which a message has not been delivered yet."""
        names = await self._link.ask("HKEYS", f"{keys.prefix(shard)}message")
        return {name.decode().partition("/")[0] for name in names}

    # ── put away ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def put_away(self, kept: Kept, file: str, now: Millis) -> bool:
        """Take a record out of the store, its copy being safe in a file; False when it has changed since."""
        machine, shard = parse_id(kept.id)
        fields = kept.fields
        owner, version = fields["owner"].decode(), fields["ver"].decode()
        known = (fields.get(name, b"").decode() or NONE for name in ("print", "owner", "asset", "units"))
        asset, units = fields.get("asset", b"").decode(), int(fields.get("units", b"0"))
        data = fields.get("data", b"") if self.remembers(machine) else b""
        tomb = Tombstone(kept.state, int(version), owner, asset, units, now, file, kept.events[0], data)
        words = (kept.id, machine, kept.state, version, owner, " ".join(known), encode(tomb))
        return bool(await self._link.run(ARCHIVE, [keys.sequence(shard)], *words))

    async def tombstone(self, record_id: RecordId) -> Tombstone | None:
        """Read what is left of a record that was put away; None where none was."""
        return await tombstone(self._link, record_id)

    async def put_away_of(self, machine: str, shard: int) -> AsyncIterator[tuple[RecordId, Tombstone]]:
        """Walk over what is left of a machine's records that were put away; it may come by one twice."""
        cursor = 0
        while True:
            cursor, fields = await self._link.ask(
                "HSCAN", keys.tombs(shard), cursor, "MATCH", f"{machine}-*", "COUNT", SCANNED
            )
            for name, tomb in _pairs(fields):
                yield RecordId(name.decode()), read_tomb(tomb)
            if int(cursor) == 0:
                return

    def remembers(self, machine: str) -> bool:
        """Say whether what a machine's records came to stays in their tombstones."""
        return machine in self._records.machines and self._records.machines[machine].remembered

    async def last_answer(self, record_id: RecordId) -> Record[Any] | None:
        """Give a record that was put away as it was then, as far as that is still known; None where none was."""
        tomb = await self.tombstone(record_id)
        return None if tomb is None else self._records.as_left(record_id, tomb)

    async def first_answer(self, record_id: RecordId) -> Record[Any] | None:
        """Give a record that was put away as it was when it was made; None where none was."""
        tomb = await self.tombstone(record_id)
        return None if tomb is None else self._records.as_made(record_id, tomb)

    async def count(self) -> int:
        """Count the records that were put away."""
        commands = [("HLEN", keys.tombs(shard)) for shard in range(self._records.shards)]
        return sum(await self._link.pipeline(commands))

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def postings(self, shard: int, before: Millis) -> list[Entry]:
        """List the postings of a shard from before a time, oldest first."""
        found = []
        async for entry in self._ledger.journal(shard):
            if int(entry.id.partition("-")[0]) >= before:
                break
            found.append(entry)
        return found

    async def fold(self, shard: int, entries: Sequence[Entry]) -> bool:
        """Replace the oldest postings, whose copies are safe in a file, by their sums; False when somebody else did."""
        if not entries:
            return True
        sums, until = await self._ledger.checkpoint(shard)
        touched = {(entry.owner, entry.asset) for entry in entries}
        for entry in entries:
            sums[entry.owner, entry.asset].post(entry)
        words: list[Any] = []
        for owner, asset in sorted(touched):
            words += [f"{owner} {asset}", sums[Owner(owner), asset].figures]
        at, _, number = entries[-1].id.partition("-")
        keep_from = f"{at}-{int(number) + 1}"
        return bool(await self._link.run(CHECKPOINT, [keys.sequence(shard)], until, entries[-1].id, keep_from, *words))


def _pairs(fields: Any) -> list[tuple[bytes, bytes]]:
    """Read a hash's fields, as either protocol gives them."""
    return list(fields.items()) if isinstance(fields, dict) else list(zip(fields[::2], fields[1::2], strict=True))
