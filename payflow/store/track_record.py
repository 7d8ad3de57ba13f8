"""What an owner asked for before and what became of it, as far as it is signed: what risk rules may judge by.

Who writes to the store alone can take a record out of the index of its owner, or say that it was made at another time.
So nothing is taken from an index but which records to read: each is as it was signed, when it was asked for says its
history, each of the newest that the signed list of what its owner asked for names is there (request_lists.py), and what
all of them hold is what the account says. Where any of that is not so there is a doubt, which is for a person.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from machines.core.clock import Millis
from machines.core.errors import PayflowError
from machines.core.ids import Owner, RecordId
from machines.core.lifecycle import Position
from machines.core.record import Record
from payflow.store import keys
from payflow.store.accounts import accounts_of
from payflow.store.codec import GENESIS, chain, read_event
from payflow.store.macs import Forged
from payflow.store.records import OverRecords, OwnerSnapshot
from payflow.store.stored import BROUGHT_BACK, Stored, read_stub, signed_parts

MOST_HOLDING = 1_000
"""So many records of an owner are read at most to find all that hold."""


@dataclass(frozen=True, slots=True)
class PastRequest:
    """A record of an owner as it is now, or was when it was archived."""

    record: Record[Any]
    asked_at: Millis
    """When it was made; where that was not asked for exactly, some time after that."""
    archived: bool = False


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """The newest records of an owner, and the newest archived ones."""

    requests: tuple[PastRequest, ...]
    more: bool
    """Whether there may be older ones that are not archived."""
    doubt: str = ""
    """What of it is not as Payflow wrote it; empty where all is."""


class TrackRecords(OverRecords):
    """Reads the past of owners."""

    async def of(
        self,
        owner: Owner,
        machine: str,
        most: int,
        since: Callable[[Record[Any]], Millis] | None = None,
        judged: RecordId | None = None,
    ) -> TrackRecord:
        """Read so many of an owner's newest records, and as many archived ones; those of one machine are given.

        `since` says of a record from which time on it must be known exactly when it was made. The one that is judged
        must be one of those that are listed.
        """
        snapshot = await self._records.owned(owner, most)
        found, doubts, missing = self._sound(owner, snapshot, judged)
        more = len(snapshot.records) >= most
        if (more or len(snapshot.requests.numbers) >= most) and missing and not doubts:
            # An older one may hold what the newest do not; where even more are there, a person looks.
            snapshot = await self._records.owned(owner, max(most, MOST_HOLDING))
            found, doubts, missing = self._sound(owner, snapshot, judged)
        doubts = doubts or missing
        asked = [(stored, at) for stored, at in found if stored.record.machine == machine]
        exact = [stored for stored, at in asked if since is not None and at >= since(stored.record)]
        times = await self._asked_at(exact)
        doubts += [f"the history of {one} is not whole" for one, at in times.items() if at is None]
        requests = [PastRequest(stored.record, times.get(stored.record.id) or at) for stored, at in asked]
        archived, doubted = self._archived(owner, snapshot.tombs)
        requests += [one for one in archived if one.record.machine == machine]
        return TrackRecord(tuple(requests), more, next(iter([*doubts, *doubted]), ""))

    def _sound(
        self, owner: Owner, snapshot: OwnerSnapshot, judged: RecordId | None
    ) -> tuple[list[tuple[Stored, Millis]], list[str], list[str]]:
        """Give the records that may be judged by, and when they moved last; why others may not; and what is missing."""
        found: list[tuple[Stored, Millis]] = []
        doubts = [snapshot.requests.fault] if snapshot.requests.fault else []
        for record_id, stored, newest in snapshot.records:
            doubt = self._doubt(owner, stored, newest)
            if doubt:
                doubts.append(f"{record_id} is not what Payflow wrote: {doubt}")
            elif isinstance(stored, Stored):
                found.append((stored, read_event(newest).at))
        missing = self._unheld(snapshot, [stored.record for stored, _ in found])
        return found, doubts, [*missing, *self._unlisted(snapshot, judged)]

    def _unlisted(self, snapshot: OwnerSnapshot, judged: RecordId | None) -> list[str]:
        """Name what is there and not listed, as far as older ones are: somebody cut the list off, and hid others."""
        if not self._records.requests.strict or snapshot.requests.fault:
            return []
        there = [one.record.id for _, one, _ in snapshot.records if isinstance(one, Stored) and one.record.amount]
        known = {*there, *(one for one, _ in snapshot.tombs)} if snapshot.requests.whole else set[RecordId]()
        known |= {judged} if judged else set()
        return [f"{one} is not in the list of requests" for one in sorted(known - snapshot.requests.numbers.keys())]

    async def asked_at(self, record_id: RecordId) -> Millis | None:
        """Say when a record was made, as its history says; None where that is not whole."""
        return (await self._asked_at([await self._records.read(record_id)]))[record_id]

    def _doubt(self, owner: Owner, stored: Stored | PayflowError, newest: bytes) -> str:
        """Say why a record that the index of an owner names is not to be judged by."""
        if isinstance(stored, PayflowError):
            return str(stored)
        if stored.record.owner != owner:
            return f"it is not of {owner}"
        if not self._records.trusts(stored):
            return "its newest commit is not signed"
        return "" if chain(newest) == stored.chain else "its newest event is another one"

    def _unheld(self, snapshot: OwnerSnapshot, records: Sequence[Record[Any]]) -> list[str]:
        """See that what is held is what these records hold, all of them being there: else one is hidden."""
        held: Counter[str] = Counter()
        for one in records:
            state = self._records.machines[one.machine].lifecycle.state(one.state)
            if one.amount is not None and state.position is Position.HELD:
                held[one.amount.asset.code] += one.amount.units
        accounts = {asset: account.held for asset, account in accounts_of(snapshot.account).items()}
        return [
            f"{accounts.get(asset, 0)} {asset} are held, and the records that hold come to {held[asset]}"
            for asset in sorted({*accounts, *held})
            if accounts.get(asset, 0) != held[asset]
        ]

    async def _asked_at(self, exact: Sequence[Stored]) -> dict[RecordId, Millis | None]:
        """Say when each was made: its history, read from the newest event back, leads to its first one."""
        histories = [("LRANGE", keys.history(stored.record.id), 0, -1) for stored in exact]
        found = await self._link.pipeline(histories) if histories else []
        return {stored.record.id: _first_at(events, stored.chain) for stored, events in zip(exact, found, strict=True)}

    def _archived(
        self, owner: Owner, tombs: Sequence[tuple[RecordId, bytes | None]]
    ) -> tuple[list[PastRequest], list[str]]:
        """Read what is left of archived records; it is signed, with its first event."""
        found, doubts, macs = [], [], self._records.macs
        for record_id, content in tombs:
            if content is None:
                doubts.append(f"{record_id} was asked for, and is not there any more")
                continue
            try:
                stub = read_stub(content)
                if macs.ready:
                    macs.check(stub.mac, *signed_parts(record_id, stub))
                if stub.owner != owner:
                    raise Forged(f"It is not of {owner}.")
                record, asked_at = self._records.as_left(record_id, stub), read_event(stub.first).at
            except (PayflowError, ValueError, TypeError, AttributeError) as error:
                doubts.append(f"what is left of {record_id} is not what Payflow wrote: {error}")
            else:
                found.append(PastRequest(record, asked_at, archived=True))
        return found, doubts


def _first_at(events: Sequence[bytes], newest: bytes) -> Millis | None:
    """Say when the first event was, from which a chain leads to the newest one; None where there is no such chain.

    Of a record that came back from an archive it was before it came back.
    """
    first, expected = b"", newest
    for event in reversed(events):
        if chain(event) == expected:
            first, expected = event, event[:32]
        elif first:
            break  # what is before it was cut out, or there is none of it; else it was written since
    if not first:
        return None
    seen = read_event(first)
    return seen.at if expected == GENESIS or seen.fact == BROUGHT_BACK else None
