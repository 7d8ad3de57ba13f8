"""Which records may send: those whose newest commit is signed, and which say what was approved.

What is not signed, two people take over as it is. What was approved has seals by keys of their own, `PermitKeys`.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import structlog

from machines.core.errors import BadSettings, UnknownPermitKey
from machines.core.ids import RecordId, parse_id
from machines.core.ports import SealKind
from payflow.config import LEAST_SECRET
from payflow.store import keys
from payflow.store.codec import GENESIS, chain_fault, digest, encode
from payflow.store.integrity import contradiction
from payflow.store.link import paged
from payflow.store.macs import Body, Forged, Macs, UnknownKey, of_text, parts_of
from payflow.store.records import OverRecords
from payflow.store.scripts import SIGN

log = structlog.get_logger()

_NAME_DIGITS = 8
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


_BY_PEOPLE = frozenset({SealKind.PERSON})
OF_SEAL_KEYS = "seal-keys"
"""In a list of keys: those that came from PAYFLOW_SEAL_KEYS while there was no list."""


class PermitKeys:
    """Makes and checks approval seals with one list of keys, permits and the rules' seals with another.

    Without either list both come from the keys that encrypt destinations, so that they prove no more than those do;
    in an installation without any key nothing is sealed or asked for. With the first alone this is a desk's process:
    it can say what people approved, and neither make nor judge a permit.
    """

    def __init__(self, approvals: Sequence[str], permits: Sequence[str], seal_keys: Sequence[str]) -> None:
        _refuse_bad(approvals, permits, seal_keys)
        own = bool(approvals or permits)
        self.derived = bool(seal_keys) and (not own or OF_SEAL_KEYS in permits)
        """Whether permits are only as good as the keys that encrypt destinations."""
        self._people = _macs("approvals", approvals if own else (OF_SEAL_KEYS,), seal_keys)
        self._workers = _macs("permits", permits if own else (OF_SEAL_KEYS,), seal_keys)
        self.unknown: set[str] = set()
        """Keys that something was sealed with and that this process lacks, by their names."""

    @property
    def asks(self) -> bool:
        """Whether anything is sealed and asked for at all."""
        return self._people.ready

    @property
    def makes_permits(self) -> bool:
        """Whether this process is one that pays, and no desk alone."""
        return self._workers.ready or not self._people.ready

    def sign(self, kind: SealKind, *parts: str | int) -> str:
        """Seal parts; empty in an installation without keys."""
        macs = self._of(kind)
        if not macs.ready and self._people.ready:
            raise UnknownPermitKey(
                "This process has no PAYFLOW_PERMIT_KEYS, which only workers have: do it where workers run."
            )
        return f"{kind}.{macs.sign(kind, *parts).hex()}" if macs.ready else ""

    def knows(self, seal: str, kinds: Iterable[SealKind], *parts: str | int) -> bool:
        """Tell whether a seal is one of these kinds, over exactly these parts."""
        if not self._people.ready:
            return True
        kind, _, signature = seal.partition(".")
        if kind not in {one.value for one in kinds}:
            return False
        try:
            self._of(SealKind(kind)).check(of_text(signature.encode()), kind, *parts)
        except Forged:
            return False
        except UnknownKey as error:
            name = signature[:_NAME_DIGITS]
            self._miss(name)
            raise UnknownPermitKey(
                f"It was approved under the key {name}, which this process does not have: give it the "
                "PAYFLOW_APPROVAL_KEYS and PAYFLOW_PERMIT_KEYS that the others have. Others may send it."
            ) from error
        return True

    def _miss(self, name: str) -> None:
        if name not in self.unknown:
            log.error("It was approved under a key that is not here.", action="unknown_permit_key", key=name)
        self.unknown.add(name)

    def _of(self, kind: SealKind) -> Macs:
        return self._people if kind in _BY_PEOPLE else self._workers


def _macs(purpose: str, given: Sequence[str], seal_keys: Sequence[str]) -> Macs:
    old = [f"of seal keys {key}" for key in seal_keys]
    return Macs([f"payflow {purpose} {one}" for key in given for one in (old if key == OF_SEAL_KEYS else [key])])


def _refuse_bad(approvals: Sequence[str], permits: Sequence[str], seal_keys: Sequence[str]) -> None:
    if permits and not approvals:
        raise BadSettings("PAYFLOW_PERMIT_KEYS is set: set PAYFLOW_APPROVAL_KEYS too, to other keys.")
    own = [key for key in (*approvals, *permits) if key != OF_SEAL_KEYS]
    if any(len(key) < LEAST_SECRET for key in own):
        raise BadSettings(
            f"A key of PAYFLOW_APPROVAL_KEYS or PAYFLOW_PERMIT_KEYS is shorter than {LEAST_SECRET} characters: "
            "`payflow seal-key` makes one."
        )
    if len({*own, *seal_keys}) < len(own) + len(set(seal_keys)):
        raise BadSettings(
            "A key stands twice in PAYFLOW_APPROVAL_KEYS, PAYFLOW_PERMIT_KEYS and PAYFLOW_SEAL_KEYS: each list has its "
            "own, or who has one could do what the other is for."
        )


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
