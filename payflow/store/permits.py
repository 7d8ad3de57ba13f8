"""Which records may send: those whose newest commit is signed. What is not, two people take over as it is."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from machines.core.ids import RecordId, parse_id
from payflow.store import keys
from payflow.store.codec import GENESIS, chain_fault, digest, encode
from payflow.store.integrity import contradiction
from payflow.store.link import paged
from payflow.store.macs import Body, Forged, UnknownKey, parts_of
from payflow.store.records import OverRecords
from payflow.store.scripts import SIGN

_FIELDS = ("state", "ver", "owner", "asset", "units", "data", "hash", "mac", "archived")


@dataclass(frozen=True, slots=True)
class UnsignedRecord:
    """A record that nobody of us signed as it is."""

    id: RecordId
    state: str
    version: int
    newest: bytes
    """The hash of its newest event."""
    body: Body
    forged: bool
    """Whether it has a signature, which is not of what it says now."""
    problem: str
    """Why it cannot be taken over as it is; empty where its whole history says the same."""

    @property
    def print(self) -> bytes:
        """Tell it, exactly as it was seen, from anything else."""
        seen = (self.id, self.state, self.version, self.newest, *self.body, self.forged)
        return hashlib.sha256(encode(seen)).digest()


class Permits(OverRecords):
    """Over the records of all shards."""

    async def unsigned(self) -> AsyncIterator[UnsignedRecord]:
        """Walk over the records that are not signed as they are; none where there is no key to sign with."""
        if not self._records.macs.ready:
            return
        async for page in paged(self._records.ids()):
            rows = await self._link.pipeline([("HMGET", keys.record(one), *_FIELDS) for one in page])
            for record_id, row in zip(page, rows, strict=True):
                found = await self._judged(record_id, row) if row[0] is not None else None
                if found is not None:
                    yield found

    async def adopt(self, found: UnsignedRecord) -> bool:
        """Sign a record as it was seen; False where it has moved since."""
        body = found.body._replace(signed=True)
        mac = self._records.macs.sign_record(found.id, found.state, found.version, found.newest, body)
        key = keys.sequence(parse_id(found.id)[1])
        return bool(await self._link.run(SIGN, [key], found.id, found.version, found.newest, mac))

    async def renew(self, record_id: RecordId) -> bool:
        """Sign with the newest key what is signed with an older one; False where there is nothing to do."""
        row = await self._link.ask("HMGET", keys.record(record_id), *_FIELDS)
        mac, macs = row[7] or b"", self._records.macs
        if row[0] is None or not macs.ready or macs.is_current(parts_of(mac)[1]):
            return False
        stored = await self._records.read(record_id)
        found = UnsignedRecord(
            record_id, stored.record.state, stored.record.version, stored.chain, stored.body, forged=False, problem=""
        )
        return stored.body.signed and await self.adopt(found)

    async def _judged(self, record_id: RecordId, row: list[bytes | None]) -> UnsignedRecord | None:
        state, version, owner, asset, units = (_text(value) for value in row[:5])
        data, newest, mac, archived = row[5:]
        body = Body(owner, asset, units, digest(owner, data or b""), signed=False)
        at = int(version) if version.isdigit() else 0
        forged, problem = False, ""
        try:
            if self._records.macs.knows_record(mac, record_id, state, at, newest or GENESIS, body):
                return None
        except Forged:
            forged = True
        except UnknownKey as error:
            problem = str(error)
        if not problem:
            events = await self._link.ask("LRANGE", keys.history(record_id), 0, -1)
            problem = chain_fault(events, newest or b"", archived or b"") or contradiction(
                events, row[0], row[1], row[3:5], body.digest
            )
        return UnsignedRecord(record_id, state, at, newest or GENESIS, body, forged, problem)


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
