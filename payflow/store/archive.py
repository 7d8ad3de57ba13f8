"""Finished records leave the store for files; what stays of each keeps its key from ever paying again."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from machines.core.clock import Millis
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.lifecycle import By
from machines.core.record import Record
from payflow.store import keys
from payflow.store.accounts import Posting
from payflow.store.codec import chain, chain_fault, digest, encode, event_bytes, left_by
from payflow.store.ledger import Ledger
from payflow.store.link import Link
from payflow.store.macs import Body, Forged, Macs
from payflow.store.records import OverRecords, Records
from payflow.store.scripts import ARCHIVE, CHECKPOINT, SWAP, UNARCHIVE
from payflow.store.stored import BROUGHT_BACK, ArchivedStub, archived_stub, read_stub, signed_parts

NONE = "-"


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record as the store has it, byte for byte."""

    id: RecordId
    fields: dict[str, bytes]
    events: list[bytes]

    @property
    def state(self) -> str:
        return self.fields["state"].decode()

    @property
    def since(self) -> Millis:
        return Millis(int(self.fields["since"]))


class Archive(OverRecords):
    """Reads records whole, and takes finished ones out."""

    def __init__(self, link: Link, records: Records, ledger: Ledger) -> None:
        super().__init__(link, records)
        self._ledger = ledger

    async def everything(self, shard: int) -> AsyncIterator[RawRecord]:
        async for key in self._link.keys(keys.records(shard, "*")):
            record = await self.read(RecordId(key.partition(":rec:")[2]))
            if record is not None:
                yield record

    async def finished(self, shard: int, before: Millis) -> AsyncIterator[RawRecord]:
        """Walk over records of a shard whose story ended before a time, and of which nothing can come back."""
        undelivered = await self._link.ask("HKEYS", keys.messages(shard))
        busy, now = {name.decode().partition("/")[0] for name in undelivered}, await self._records.now()
        for machine in self._records.machines.values():
            for state in machine.lifecycle.states.values():
                if not state.final:
                    continue
                members, due = keys.members(shard, machine.name, state.name), keys.due(shard, machine.name, state.name)
                async for record_id, since in self._link.members(members):
                    if since >= before or record_id in busy or await self._link.ask("ZSCORE", due, record_id):
                        continue
                    record = await self.read(record_id)
                    if record is None or record.state != state.name or "parked" in record.fields:
                        continue
                    if chain_fault(record.events, record.fields["hash"], record.fields.get("archived", b"")):
                        continue  # it stays where it is seen
                    left = self._records.as_left(record.id, _stub(record, Millis(0), "", record.fields["data"]))
                    if machine.open_until is None or now >= machine.open_until(left):
                        yield record

    async def read(self, record_id: RecordId) -> RawRecord | None:
        """Read a record as it is kept; None where there is none."""
        fields, events = await self._link.pipeline(
            [("HGETALL", keys.record(record_id)), ("LRANGE", keys.history(record_id), 0, -1)]
        )
        return (
            RawRecord(record_id, {name.decode(): value for name, value in fields.items()}, events) if fields else None
        )

    # ── out of the store, and back ────────────────────────────────────────────────────────────────────────────────────

    async def remove(self, record: RawRecord, file: str, now: Millis) -> bool:
        """Take a record out of the store, its copy being safe in a file; False when it has changed since."""
        machine, shard = parse_id(record.id)
        known = (record.fields.get(name, b"").decode() or NONE for name in ("print", "owner", "asset", "units"))
        data = await self._link.ask("HGET", keys.record(record.id), "data")  # of this version, or the script refuses it
        stub = _stub(record, now, file, data or b"")
        try:
            stored = await self._records.read(record.id)
        except Forged:
            return False  # it stays where it is seen
        if stored.body.signed and stored.record.version == stub.version:
            stub = replace(stub, mac=self._records.macs.sign(*signed_parts(record.id, stub)))
        # What nobody signed is nothing that anybody may be judged by.
        made = str(stub.made) if stub.mac or not self._records.macs.ready else ""
        version, last = str(stub.version), (encode(stub), made, stub.share)
        words = (record.id, machine, record.state, version, stub.owner, " ".join(known), *last)
        return bool(await self._link.run(ARCHIVE, [keys.sequence(shard)], *words))

    async def as_left(self, record_id: RecordId) -> Record[Any] | None:
        """Give an archived record as it was then; None where none was."""
        stub = await self.stub(record_id)
        return None if stub is None else self._records.as_left(record_id, stub)

    async def bring_back(self, record_id: RecordId, who: str, why: str) -> bool:
        """Put a record back into the store and have it looked at; False where none was archived under this id.

        It is as it was left. Its history goes on behind the hash that it ended with: the rest of it is in the archive.
        """
        machine, shard = parse_id(record_id)
        content = await self._link.ask("HGET", keys.tombs(shard), record_id)
        if content is None:
            return False
        stub = read_stub(content)
        if not stub.hash:
            return False  # an older version kept too little of it
        macs = self._records.macs
        if stub.mac and macs.ready:
            macs.check(stub.mac, *signed_parts(record_id, stub))
        known = await self._link.ask("HGET", keys.gone(shard), record_id)
        now = await self._records.now()
        why = f"brought back from {stub.file}: {why}"
        units = str(stub.units) if stub.asset else ""
        body = Body(stub.owner, stub.asset, units, digest(stub.owner, stub.data), bool(stub.mac))
        left = left_by(body.digest)
        event = event_bytes(stub.hash, now, stub.version + 1, "", stub.state, who, why, BROUGHT_BACK, None, left)
        mac = macs.sign_record(record_id, stub.state, stub.version + 1, chain(event), body)
        fields = {
            "state": stub.state, "ver": stub.version + 1, "owner": stub.owner, "data": stub.data,
            "made": stub.made, "since": stub.since, "archived": stub.hash,
        }  # fmt: skip
        if stub.asset:
            fields |= {"asset": stub.asset, "units": stub.units}
        if mac:
            fields["mac"] = mac
        if stub.share:
            fields["share"] = stub.share
        fingerprint = (known or b"").decode().rsplit(" ", 3)[0]
        if fingerprint not in ("", NONE):
            fields["print"] = fingerprint
        words: list[Any] = [part for field in fields.items() for part in field]
        due = int(self._records.machines[machine].lifecycle.state(stub.state).by is By.POLLER)
        whole = (record_id, machine, stub.state, stub.owner, content, stub.first, event, chain(event), due, *words)
        return bool(await self._link.run(UNARCHIVE, [keys.sequence(shard)], now, *whole))

    async def reseal(self, record_id: RecordId, renew: Callable[[Any], Any]) -> bool:
        """Write anew what is left of a record, with what is sealed in it; False where it is as it should be."""
        machine, shard = parse_id(record_id)
        while (content := await self._link.ask("HGET", keys.tombs(shard), record_id)) is not None:
            stub = read_stub(content)
            before = self._records.data_of(machine, stub.data) if stub.data else None
            after = renew(before) if stub.data else None
            macs = self._records.macs
            if after == before and (not stub.mac or macs.is_current(stub.mac)):
                return False
            fresh = changed_stub(macs, record_id, stub, data=encode(after) if stub.data else b"")
            if await self._link.run(SWAP, [keys.tombs(shard)], record_id, content, encode(fresh)):
                return True
        return False

    async def stub(self, record_id: RecordId) -> ArchivedStub | None:
        """Read what is left of an archived record; None where none was."""
        return await archived_stub(self._link, record_id)

    async def stubs_of(self, machine: str, shard: int) -> AsyncIterator[tuple[RecordId, ArchivedStub]]:
        """Walk over what is left of a machine's archived records; it may come by one twice."""
        async for name, stub in self._link.fields(keys.tombs(shard), f"{machine}-*"):
            yield RecordId(name), read_stub(stub)

    async def first_answer(self, record_id: RecordId) -> Record[Any] | None:
        """Give an archived record as it was when it was made; None where none was."""
        stub = await self.stub(record_id)
        return None if stub is None else self._records.as_made(record_id, stub)

    async def count(self) -> int:
        return sum(await self._link.pipeline([("HLEN", keys.tombs(shard)) for shard in range(self._records.shards)]))

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def postings(self, shard: int, before: Millis) -> list[Posting]:
        """List the postings of a shard from before a time, oldest first."""
        found = []
        async for entry in self._ledger.journal(shard):
            if int(entry.id.partition("-")[0]) >= before:
                break
            found.append(entry)
        return found

    async def fold(self, shard: int, entries: Sequence[Posting]) -> bool:
        """Replace the oldest postings, whose copies are safe in a file, by their sums; False when somebody else did."""
        if not entries:
            return True
        sums, until = await self._ledger.checkpoint(shard)
        if self._records.macs.strict:
            for why in await self._ledger.forged_in(shard):
                raise Forged(f"{why} Nothing of the journal is put away before that is settled.")
        touched = {(entry.owner, entry.asset) for entry in entries}
        for entry in entries:
            sums[entry.owner, entry.asset].post(entry)
        words: list[Any] = []
        for owner, asset in sorted(touched):
            words += [f"{owner} {asset}", sums[Owner(owner), asset].figures]
        at, _, number = entries[-1].id.partition("-")
        keep_from = f"{at}-{int(number) + 1}"
        stated, ends_before = await self._ledger.stated_before(shard, entries[-1].id)
        fresh = self._ledger.statement(shard, entries[-1].id, sums) if self._records.macs.strict and ends_before else ""
        places = (until, entries[-1].id, keep_from, stated, fresh)
        return bool(await self._link.run(CHECKPOINT, [keys.sequence(shard)], *places, *words))


def _stub(record: RawRecord, now: Millis, file: str, data: bytes) -> ArchivedStub:
    fields = record.fields
    return ArchivedStub(
        record.state,
        int(fields["ver"]),
        fields["owner"].decode(),
        fields.get("asset", b"").decode(),
        int(fields.get("units", b"0")),
        now,
        file,
        record.events[0],
        data,
        fields["hash"],
        int(fields["made"]),
        record.since,
        share=fields.get("share", b"").decode(),
    )


def changed_stub(macs: Macs, record_id: RecordId, stub: ArchivedStub, **changes: Any) -> ArchivedStub:
    """Give what is left of a record with other parts, signed anew; raises where it is not what we left."""
    if not stub.mac:
        return replace(stub, **changes)
    macs.check(stub.mac, *signed_parts(record_id, stub))
    fresh = replace(stub, mac=b"", **changes)
    return replace(fresh, mac=macs.sign(*signed_parts(record_id, fresh)))
