"""Records in the store: make, lease, commit, read. The only code that knows how the scripts are called."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

from machines.core.batcher import Batcher
from machines.core.clock import DAY, Clock, Millis
from machines.core.decision import Decision, New, alarm
from machines.core.errors import (
    BadInput,
    ClaimTaken,
    Conflict,
    KeyReused,
    LeaseLost,
    NotFound,
    NotSigned,
    PayflowError,
    ShortBalance,
    StoreUnavailable,
    TooManyOpen,
    TooManyToday,
)
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId, owner_of, parse_id, shard_for
from machines.core.lifecycle import By, Lifecycle, Position
from machines.core.machine import AnyMachine
from machines.core.money import Assets, Money
from machines.core.record import Record, Sending
from payflow.store import groups, keys, marks
from payflow.store.codec import GENESIS, DataCodec, HistoryEvent, UnreadableRecord, digest, encode, read_event
from payflow.store.groups import CreateOp, FundOp, MoveOp, StayOp, WriteGroup
from payflow.store.guard import Guard, Mark, ShardState, WriteReply
from payflow.store.heads import NO_HEADS, Heads
from payflow.store.link import Barrier, Link, OverLink, scored
from payflow.store.macs import Body, Forged, Macs, UnknownKey
from payflow.store.request_lists import OwnerRequests, RequestLists
from payflow.store.scripts import CALL, CLAIM, COMMIT, OWNED, POKE, READ, RENEW, TAKE
from payflow.store.stored import ArchivedStub, Claimed, Made, Poison, Queue, Stored, archived_stub

CLAIM_PATIENCE_S = 2.0
OUTSIDE = "outside"
"""Where money comes from, and goes to, in a posting."""
UNSIGNED = (
    "its newest commit is not signed, so an older version wrote it, or somebody beside Payflow. `payflow permit ls` "
    "lists such records; two people take them over with `payflow permit adopt`."
)

MOST_TRIES = 200
"""So often a line is added behind another one; each time that one is not, another was."""

# What `renew` answers; 1 is held.
LOST, CHANGED = 0, 2

# ARGV of the script up to here is not bytes of a group.
BLOBS_FROM = 5

_CODES: Mapping[str, type[PayflowError]] = {
    "conflict": Conflict,
    "fenced": LeaseLost,
    "missing": NotFound,
    "short": ShortBalance,
    "overflow": BadInput,
    "taken": ClaimTaken,
    "reused": KeyReused,
    "spent": BadInput,
    "open": TooManyOpen,
    "daily": TooManyToday,
}


class RecordRow(NamedTuple):
    """A record as the scripts give it: fields.lua names the same, in the same order."""

    state: bytes
    ver: bytes
    owner: bytes
    asset: bytes | None
    units: bytes
    data: bytes
    hash: bytes | None
    made: bytes
    since: bytes
    tries: bytes | None
    parked: bytes | None
    sending: bytes | None
    mac: bytes | None
    share: bytes | None
    fence: bytes | None
    """As it was before a claim."""


class OwnerSnapshot(NamedTuple):
    """What is kept of an owner, at one moment."""

    account: dict[bytes, bytes]
    records: list[tuple[RecordId, Stored | PayflowError, bytes]]
    """The newest ones, or why one cannot be used, each with its newest event."""
    tombs: list[tuple[RecordId, bytes | None]]
    requests: OwnerRequests
    """The newest of what they asked for: each is among the records, or among what is left of them."""


class CommitRefusal(NamedTuple):
    """Why a group was not written, and which of its ops is to blame."""

    code: str
    place: int


class Records:
    """Every way to read and write records."""

    def __init__(
        self,
        link: Link,
        guard: Guard,
        shards: int,
        assets: Assets,
        clock: Clock | None = None,
        heads: Heads | None = None,
    ) -> None:
        self.link = link
        self.heads = heads or NO_HEADS
        """What is written down outside the store of how far each record is."""
        self.guard = guard
        self.requests = RequestLists(link)
        self.shards = shards
        self.assets = assets
        self.machines: Mapping[str, AnyMachine] = {}
        self.barrier = Barrier()
        self._clock = clock
        self._codec = DataCodec(self.machines)
        self._commits = [Batcher(self._send_commits) for _ in range(self._servers)]
        self._renewals = [Batcher(self._send_renewals) for _ in range(self._servers)]
        self._times: Batcher[None, Millis] = Batcher(self._send_times)
        self._reads = [Batcher(self._send_reads) for _ in range(self._servers)]
        self.batches: deque[int] = deque(maxlen=1024)
        """How many decisions the last calls wrote."""
        self.on_commit: Callable[[int, float], None] = lambda _size, _seconds: None
        """Called for each call that committed: how many decisions it wrote, and how long it took."""
        self.on_doubt: Callable[[], Awaitable[None]] = _nothing
        """Called when a server wrote that we have not compared yet."""
        self.before_giving_back: Callable[[int], Awaitable[None]] = _nothing
        """Called with its shard before money that is held is given back; whatever it raises keeps it held."""
        self._turn = 0

    def serve(self, machines: Iterable[AnyMachine]) -> None:
        """Say which machines' records these are."""
        self.machines = {machine.name: machine for machine in machines}
        self._codec = DataCodec(self.machines)

    @property
    def macs(self) -> Macs:
        """Who signs records."""
        return self.link.macs

    @property
    def _servers(self) -> int:
        """How many ways to batch there are: one over all shards, or one a shard on a cluster."""
        return self.shards if self.link.cluster else 1

    def _way(self, shard: int) -> int:
        return shard if self.link.cluster else 0

    @property
    def has_clock_of_store(self) -> bool:
        """Whether what it writes down says the store's own time, as its streams do, and not that of a test."""
        return self._clock is None

    def _now(self) -> int:
        return self._clock.now() if self._clock else 0

    def shard_of(self, record_id: RecordId) -> int:
        """Tell the shard of an id, refusing one that this store cannot have."""
        machine, shard = parse_id(record_id)
        if machine not in self.machines:
            raise BadInput(
                f"{record_id}: this Payflow runs no machine {machine!r}; it runs {', '.join(self.machines)}."
            )
        if shard >= self.shards:
            raise NotFound(f"There is no record {record_id}.")
        return shard

    def owner_shard(self, owner: Owner) -> int:
        """Tell where everything of an owner is."""
        return shard_for(owner, self.shards)

    # ── make ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, new: New[Any], who: str) -> Made:
        """Make a record, or find the one that the same request made before."""
        group = WriteGroup(self.shard_of(new.id), [], [], announce=True, macs=self.macs)
        at = await self.now()
        groups.create(group, self._made_by(group, new), new, who, at)
        fresh = await self._write_unless_there(group, new.id)
        return Made(self._as_made(new, at) if fresh else await self._first(new), fresh)

    async def room_after_ms(self, owner: Owner, most_daily: int) -> int:
        """Say after how long an owner who made so many requests in 24 hours may make one more."""
        key = keys.owned(self.owner_shard(owner), owner)
        oldest = scored(await self.link.ask("ZREVRANGE", key, most_daily - 1, most_daily - 1, "WITHSCORES"))
        return max(0, int(oldest[0][1]) + DAY - await self.now()) if oldest else 0

    async def recreate(self, new: New[Any], state: str, who: str, why: str) -> None:
        """Make a record that the store had forgotten, in the state that the world shows it in."""
        group = WriteGroup(self.shard_of(new.id), [], [], announce=True, macs=self.macs)
        groups.create(group, self._made_by(group, new), new, who, await self.now(), state=state, why=why)
        await self._write_unless_there(group, new.id)

    def _lifecycle(self, record: Record[Any]) -> Lifecycle:
        return self.machines[record.machine].lifecycle

    def _made_by(self, group: WriteGroup, new: New[Any]) -> AnyMachine:
        """Give the machine of a record that can be made; one in the wrong place would never be found again."""
        shard, owner = self.shard_of(new.id), owner_of(new.owner)
        if parse_id(new.id)[0] != new.machine:
            raise BadInput(f"{new.id} is no id of a {new.machine}.")
        if not shard == group.shard == self.owner_shard(owner):
            raise BadInput(f"{new.id} is not in the shard of {new.owner}, or of what it is made with.")
        machine = self.machines[new.machine]
        if new.amount is None and machine.money:
            raise BadInput(f"A {new.machine} that is held needs an amount.")
        return machine

    def _as_made(self, new: New[Any], at: Millis) -> Record[Any]:
        initial = self.machines[new.machine].lifecycle.initial
        return Record(new.id, new.machine, initial, 1, new.owner, new.amount, new.data, at, at)

    async def _first(self, new: New[Any]) -> Record[Any]:
        """Give the first answer: the record as the first request made it."""
        first = await self.link.ask("LINDEX", keys.history(new.id), 0)
        if first is None:
            stub = await archived_stub(self.link, new.id)
            if stub is None:
                raise Conflict(f"{new.id} was archived this moment: try again.")
            first = stub.first
        event = read_event(first)
        data = self._codec.rebuild(new.machine, event.details)
        return self._as_made(replace(new, data=data), event.at)

    def data_of(self, machine: str, data: bytes) -> Any:
        """Read what a record keeps."""
        return self._codec.read(machine, data)

    def as_made(self, record_id: RecordId, stub: ArchivedStub) -> Record[Any]:
        """Give an archived record as it was when it was made."""
        machine, _ = parse_id(record_id)
        event = read_event(stub.first)
        amount = Money(stub.units, self.assets[stub.asset]) if stub.asset else None
        data = self._codec.rebuild(machine, event.details)
        return self._as_made(New(record_id, machine, Owner(stub.owner), amount, data), event.at)

    def as_left(self, record_id: RecordId, stub: ArchivedStub) -> Record[Any]:
        """Give an archived record as it was then; what an older tombstone does not keep is as it was made."""
        machine, _ = parse_id(record_id)
        if not stub.data:
            return replace(self.as_made(record_id, stub), state=stub.state, version=stub.version, since=Millis(stub.at))
        amount = Money(stub.units, self.assets[stub.asset]) if stub.asset else None
        data = self._codec.read(machine, stub.data)
        made, since = Millis(stub.made), Millis(stub.since)
        return Record(record_id, machine, stub.state, stub.version, Owner(stub.owner), amount, data, made, since)

    # ── lease ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def claim(self, queues: Sequence[Queue]) -> list[Claimed]:
        """Lease due records to us, the oldest first; one answer a server."""
        all_shards = range(self.shards)
        return await self._claim_each(queues) if self.link.cluster else [await self._claim_from(all_shards, queues)]

    async def _claim_each(self, queues: Sequence[Queue]) -> list[Claimed]:
        """Ask each shard for its part, so that together no more are leased than were asked for.

        A server that does not answer must not keep us from the records of the others.
        """
        self._turn += 1
        calls = []
        for shard in range(self.shards):
            place = (shard + self._turn) % self.shards
            parts = [queue._replace(limit=(queue.limit + place) // self.shards) for queue in queues]
            calls.append(asyncio.ensure_future(self._claim_from((shard,), parts)))
        try:
            await asyncio.wait(calls, timeout=CLAIM_PATIENCE_S)
        finally:
            for call in calls:
                call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if len(failures) == len(answers):
            raise failures[0] if isinstance(failures[0], Exception) else StoreUnavailable("No shard answered in time.")
        return [answer for answer in answers if isinstance(answer, Claimed)]

    async def _claim_from(self, shards: Iterable[int], queues: Sequence[Queue]) -> Claimed:
        names = [keys.sequence(shard) for shard in shards]
        now, next_due, *rows = await self.link.run(CLAIM, names, self._now(), encode(queues))
        found: list[Stored | Poison] = []
        astray: list[RecordId] = []
        for place, name, fence, *fields in rows:
            record_id = RecordId(name.decode())
            if fence == 0:
                astray.append(record_id)
            else:
                found.append(
                    self._stored_or_poison(queues[place - 1].machine, record_id, RecordRow(*fields), now, fence)
                )
        return Claimed(now, Millis(next_due) if next_due >= 0 else None, found, astray)

    def _stored_or_poison(
        self, machine: str, record_id: RecordId, row: RecordRow, now: Millis, fence: int
    ) -> Stored | Poison:
        body = _body_of(row)
        try:
            body = self._signed(record_id, row, body)
            return self._stored(machine, record_id, row, body, now, fence)
        except (PayflowError, ValueError, TypeError, AttributeError) as error:
            state, version = row.state.decode(), int(row.ver) if (row.ver or b"").isdigit() else 0
            tries = int(row.tries) if row.tries and row.tries.isdigit() else 0
            left = Record(record_id, machine, state, version, Owner(""), None, None, Millis(0), Millis(0), tries)
            why = str(error) or type(error).__name__
            return Poison(left, row.hash or GENESIS, now, fence, why, body, isinstance(error, UnknownKey))

    def _signed(self, record_id: RecordId, row: RecordRow, body: Body) -> Body:
        """Say whether a record is signed; raises where it is by nobody of us, or it was changed since."""
        known = self.macs.knows_record(row.mac, record_id, row.state.decode(), int(row.ver), row.hash or GENESIS, body)
        return body._replace(signed=known)

    def _stored(self, machine: str, record_id: RecordId, row: RecordRow, body: Body, now: Millis, fence: int) -> Stored:
        if not row.hash:
            raise UnreadableRecord("It has lost the hash of its history.")
        record = Record(
            id=record_id,
            machine=machine,
            state=row.state.decode(),
            version=int(row.ver),
            owner=Owner(row.owner.decode()),
            amount=Money(int(row.units), self.assets[row.asset.decode()]) if row.asset else None,
            data=self._codec.read(machine, row.data),
            created_at=Millis(int(row.made)),
            since=Millis(int(row.since)),
            tries=int(row.tries) if row.tries else 0,
            parked=row.parked.decode() if row.parked else "",
            sending=_sending(row.sending, fence or int(row.fence or 0)) if row.sending else Sending.NO,
        )
        self.machines[machine].lifecycle.state(record.state)
        return Stored(record, row.hash, now, body, fence, (row.share or b"").decode())

    def trusts(self, stored: Stored) -> bool:
        """Whether something may leave, or be given back, on what a record says."""
        return stored.body.signed or not self.macs.ready

    async def refuse_archived(self, record_id: RecordId) -> None:
        """Raise where a record was put away under this id: its key pays no second time."""
        if await self.link.ask("HEXISTS", keys.tombs(self.shard_of(record_id)), record_id):
            raise Forged(f"{record_id} was archived, and made anew beside Payflow under the same key.")

    async def refuse_set_back(self, stored: Stored) -> None:
        """Raise where this process itself took a record further than the store says that it is."""
        if not self.heads.passed(stored.record.id, stored.record.version):
            return
        # It moved since it was read; or a person took a store that had lost its newest version for the truth.
        self.guard.doubted.add(self.shard_of(stored.record.id))
        await self.on_doubt()
        fresh = await self.read(stored.record.id)
        if self.heads.passed(fresh.record.id, fresh.record.version):
            raise Forged(f"{fresh.record.id} was set back beside Payflow: this process took it further than that.")
        if fresh.record.version != stored.record.version:
            raise Conflict(f"{fresh.record.id} changed since it was read.")

    async def leave(self, poison: Poison, for_ms: int) -> None:
        """Give up the lease on a record that others can judge, and leave everything of it as it is."""
        record = poison.record
        op = StayOp(
            record.id,
            record.version,
            poison.fence,
            record.state,
            for_ms,
            record.tries,
            settled=False,
            error=poison.problem,
        )
        await self._write(WriteGroup(self.shard_of(record.id), [op], [], announce=False), record.id)

    async def hold(self, stored: Stored, lease_ms: int) -> bool:
        """Prolong a lease; False when it is lost. True also means that all we wrote is as durable as it must be."""
        return await self._renewed(stored, lease_ms, 0) != LOST

    async def confirm(self, stored: Stored, lease_ms: int) -> None:
        """Mark a send as begun and prolong the lease as `hold` does; raise when it is lost or the record changed."""
        found = await self._renewed(stored, lease_ms, stored.record.version)
        if found == LOST:
            raise LeaseLost(f"{stored.record.id}: the lease ended before the send; nothing has left.")
        if found == CHANGED:
            raise Conflict(f"{stored.record.id} changed before the send; nothing has left.")

    async def _renewed(self, stored: Stored, lease_ms: int, version: int) -> int:
        shard = self.shard_of(stored.record.id)
        return await self._renewals[self._way(shard)].ask((shard, stored.record.id, stored.fence, lease_ms, version))

    async def _send_renewals(self, asked: list[tuple[int, RecordId, int, int, int]]) -> list[int]:
        shards, places = _places(ask[0] for ask in asked)
        payload = encode([(places[shard], *rest) for shard, *rest in asked])
        before = self.guard.acknowledged()
        names = [keys.sequence(shard) for shard in shards]
        reply = await self.link.run_durably(RENEW, names, self.barrier, self._now(), payload)
        _, run, replication, sequences, held, _ = reply
        found = {shard: (count, lost.decode()) for shard, (count, lost) in zip(shards, sequences, strict=True)}
        self.guard.saw_read((run.decode(), replication.decode()), found, before)
        return list(held)

    async def shard_state(self, shard: int) -> ShardState:
        """Say which server has a shard, what it counts, and the last call of each writer."""
        reply = await self.link.run(RENEW, [keys.sequence(shard)], self._now(), encode([]))
        _, run, replication, ((count, lost),), _, writers = reply
        fields = {name.decode(): value.decode() for name, value in zip(writers[::2], writers[1::2], strict=True)}
        marks = {}
        for name, value in fields.items():
            if name.endswith("#"):
                tag, _, at = value.partition(" ")
                marks[name[:-1]] = Mark(0, int(fields.get(name[:-1], 0)), tag, int(at))
        server = (run.decode(), replication.decode())
        return ShardState(server, count, marks, lost.decode(), int(fields.get("dropped", 0)))

    # ── commit ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def commit(
        self,
        stored: Stored,
        decision: Decision[Any],
        fact: Fact,
        who: str,
        *,
        tries: int = 0,
        settled: bool = False,
        error: str = "",
    ) -> Record[Any]:
        """Write a decision: the record, and all that goes with it, or nothing.

        `settled` says of a look that learned nothing that it sent nothing either, whatever it was about to, and `error`
        why it learned nothing.
        """
        shard = self.shard_of(stored.record.id)
        strangers = [member.id for member, _ in decision.group if self.shard_of(member.id) != shard]
        if strangers:
            raise BadInput(f"{strangers[0]} is in another shard than {stored.record.id}: they cannot move together.")
        members = await asyncio.gather(*(self._same(member) for member, _ in decision.group))
        signed = all(one.body.signed for one in (stored, *members))
        group = WriteGroup(shard, [], [], stored.fence == 0, self.macs, signed)
        machine = self.machines[stored.record.machine]
        after = groups.decide(group, machine, stored, decision, fact, who, groups.Setback(tries, settled, error))
        for same, (member, its_decision) in zip(members, decision.group, strict=True):
            groups.decide(
                group, self.machines[member.machine], same, its_decision, fact, who, groups.NONE, stored.record.id
            )
        for new in decision.creates:
            groups.create(group, self._made_by(group, new), new, who, stored.at)
        if _gives_back(group):
            if not all(map(self.trusts, (stored, *members))):
                raise NotSigned(f"{stored.record.id} gives nothing back: {UNSIGNED}")
            await self.before_giving_back(shard)
            for one in (stored, *members):
                with suppress(Conflict):  # what it moved to since, the script says, and whether the lease was lost
                    await self.refuse_set_back(one)
        await self._write(group, stored.record.id)
        return after

    async def _same(self, member: Record[Any]) -> Stored:
        """Read a member of a group; it must be what the decision was made on."""
        stored = await self.read(member.id)
        if stored.record.version != member.version:
            raise Conflict(f"{member.id} changed since it was read.")
        return stored

    async def park(self, stored: Stored | Poison, why: str, who: str) -> None:
        """Set a record aside until an operator retries it; the others go on."""
        await self._mark(
            stored,
            marks.PARKED,
            why,
            who,
            after_ms=-1,
            parked=why[:200] or "unknown",
            messages=(alarm(f"parked: {why[:200]}"),),
        )

    async def unpark(self, stored: Stored, why: str, who: str) -> None:
        """Look again, at once, at a record that was set aside or that nobody would look at."""
        record = stored.record
        if self.machines[record.machine].lifecycle.state(record.state).by is not By.POLLER:
            raise BadInput(f"{record.id} is in {record.state}, where no worker looks: override it instead.")
        await self._mark(stored, marks.UNPARKED, why, who, after_ms=0)

    async def reseal(self, stored: Stored, data: Any, who: str) -> None:
        """Write the same data sealed anew; who holds the record goes on, when it is due and all else stays."""
        changes = {"after_ms": marks.AS_IT_IS, "parked": stored.record.parked, "data": encode(data)}
        await self._mark(stored, marks.RESEALED, "what is sealed in it has the newest key", who, **changes)

    async def take_over(self, stored: Stored, data: Any, who: str, why: str) -> None:
        """Write data that two people sealed as they were, and look at once at what was set aside for want of a seal."""
        polled = self._lifecycle(stored.record).state(stored.record.state).by is By.POLLER
        await self._mark(stored, marks.ADOPTED, why, who, after_ms=0 if polled else marks.AS_IT_IS, data=encode(data))

    async def _mark(self, stored: Stored | Poison, fact: str, why: str, who: str, **changes: Any) -> None:
        group = WriteGroup(self.shard_of(stored.record.id), [], [], stored.fence == 0, self.macs)
        marks.mark(group, stored, fact, why, who, **changes)
        await self._write(group, stored.record.id)

    async def fund(
        self,
        owner: Owner,
        amount: Money,
        reference: str,
        *,
        out: bool = False,
        earning: str = "",
        most: Money | None = None,
    ) -> bool:
        """Book money that came from outside, or went back there; False when this reference was booked before.

        Of an earning no more than `most` is ever taken back.
        """
        shard = self.owner_shard(owner_of(owner))
        code, units = amount.asset.code, str(amount.units)
        places = (OUTSIDE, Position.AVAILABLE.value)
        source, target = places[::-1] if out else places
        op = FundOp(
            owner=owner,
            asset=code,
            units=units,
            way="out" if out else "in",
            reference=reference,
            earning=earning,
            most=str(most.units) if most else False,
            posting=self.macs.seal_posting((owner, code, source, target, units, reference), await self.now()),
        )
        return await self._write_unless_there(WriteGroup(shard, [op], [], announce=False), RecordId(reference))

    async def _write(self, group: WriteGroup, blamed: RecordId) -> None:
        if not await self._write_unless_there(group, blamed):
            raise StoreUnavailable(f"The store says that {blamed} is there already.")

    async def _write_unless_there(self, group: WriteGroup, blamed: RecordId) -> bool:
        """Write all ops of a group, or none; False where what it makes is there already."""
        refusal = await self._commits[self._way(group.shard)].ask(group)
        if refusal is None:
            return True
        if refusal.code == "exists":
            return False
        kind = _CODES.get(refusal.code)
        if kind is None:
            raise StoreUnavailable(f"The store answered {refusal.code!r} for {blamed}.")
        raise kind(f"{blamed}: {(kind.__doc__ or '').strip()}")

    async def _send_commits(self, groups: list[WriteGroup]) -> list[CommitRefusal | None]:
        """Write groups; one that adds a line to a list that somebody else added to meanwhile adds it behind that."""
        refusals: dict[int, CommitRefusal | None] = {}
        left = list(range(len(groups)))
        for _ in range(MOST_TRIES):
            for place in left:
                self.requests.number(groups[place])
            found = await self._call_commit([groups[place] for place in left])
            refusals |= zip(left, found, strict=True)
            codes = {place: one.code if one else "" for place, one in zip(left, found, strict=True)}
            left = [place for place, code in codes.items() if not self.requests.came_of(groups[place], code)]
            if not left:
                break
        refusals |= {place: CommitRefusal("conflict", 0) for place in left}
        return [refusals[place] for place in range(len(groups))]

    async def _call_commit(self, groups: list[WriteGroup]) -> list[CommitRefusal | None]:
        self.batches.append(len(groups))
        shards, places = _places(group.shard for group in groups)
        blobs: list[bytes] = []
        payload = []
        for group in groups:
            offset = len(blobs) + BLOBS_FROM
            blobs += group.blobs
            payload.append((places[group.shard], offset, *group.ops))
        announce = int(any(group.announce for group in groups))
        tag = secrets.token_hex(8)
        before = self.guard.acknowledged()
        known = [(before[shard].number, before[shard].tag, before[shard].at) for shard in shards]
        brought = encode((self.guard.writer, tag, self.guard.adopted, known))
        names = [keys.sequence(shard) for shard in shards]
        begun = perf_counter()
        now, run, replication, left, refusals = await self.link.run(
            COMMIT, names, self._now(), brought, announce, encode(payload), *blobs
        )
        self.on_commit(len(groups), perf_counter() - begun)
        replies = {
            shard: WriteReply(Mark(count, number, tag, now), lost.decode(), adopted)
            for shard, (count, (number, lost, adopted)) in zip(shards, left, strict=True)
        }
        self.guard.saw_write((run.decode(), replication.decode()), replies, before)
        if not self.guard.doubted.isdisjoint(shards):
            # Nobody is told that it was written before it is sure that the server will be missed if it forgets it.
            await self.on_doubt()
        for group, refused in zip(groups, refusals, strict=True):
            for op in () if refused else group.ops:
                if isinstance(op, MoveOp):
                    self.heads.committed(op.id, op.version + 1, group.blobs[op.hash])
                elif isinstance(op, CreateOp):
                    self.heads.committed(op.id, 1, group.blobs[op.hash])
        return [CommitRefusal(one[0].decode(), one[1]) if one else None for one in refusals]

    # ── read ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def read(self, record_id: RecordId) -> Stored:
        """Read a record as it is now."""
        shard = self.shard_of(record_id)
        now, row = await self._reads[self._way(shard)].ask((shard, record_id))
        if row is None:
            raise NotFound(f"There is no record {record_id}.")
        return self._judged(record_id, row, now)

    def _judged(self, record_id: RecordId, row: Sequence[Any], now: Millis) -> Stored:
        found = RecordRow(*row)
        body = self._signed(record_id, found, _body_of(found))
        return self._stored(parse_id(record_id)[0], record_id, found, body, now, 0)

    async def owned(self, owner: Owner, most: int) -> OwnerSnapshot:
        """Read an owner's account, newest records and what is left of the newest archived ones, as they are now."""
        now, account, records, tombs, lines = await self.link.run(
            OWNED, [keys.sequence(self.owner_shard(owner))], self._now(), owner, most
        )
        found: list[tuple[RecordId, Stored | PayflowError, bytes]] = []
        for name, newest, row in records:
            record_id = RecordId(name.decode())
            try:
                if parse_id(record_id)[0] not in self.machines:
                    continue  # of a part that this process does not run
                if row is None:
                    raise NotFound(f"There is no record {record_id}.")
                found.append((record_id, self._judged(record_id, row, now), newest or b""))
            except (PayflowError, ValueError, TypeError, AttributeError) as error:
                why = error if isinstance(error, PayflowError) else UnreadableRecord(str(error))
                found.append((record_id, why, b""))
        units = dict(zip(account[::2], account[1::2], strict=True))
        left = [(RecordId(name.decode(errors="replace")), tomb) for name, tomb in tombs]
        return OwnerSnapshot(units, found, left, self.requests.read(owner, lines, most))

    async def reread(self, stored: Stored) -> Stored:
        """Read again a record that we hold a lease on."""
        fresh = await self.read(stored.record.id)
        return replace(fresh, fence=stored.fence)

    async def _send_reads(self, asked: list[tuple[int, RecordId]]) -> list[tuple[Millis, Sequence[Any] | None]]:
        shards, places = _places(ask[0] for ask in asked)
        payload = encode([(places[shard], record_id) for shard, record_id in asked])
        now, rows = await self.link.run(READ, [keys.sequence(shard) for shard in shards], self._now(), payload)
        return [(Millis(now), row) for row in rows]

    async def readable(self, record_ids: Iterable[RecordId]) -> list[Stored]:
        """Read many records at once. One that cannot be read must not hide the others; `verify` names it."""
        found = await asyncio.gather(*map(self.read, record_ids), return_exceptions=True)
        for one in found:
            # What was written by hand may be of any type.
            if isinstance(one, StoreUnavailable) or not isinstance(one, Stored | PayflowError | ValueError | TypeError):
                raise one
        return [one for one in found if isinstance(one, Stored)]

    async def ids(self) -> AsyncIterator[RecordId]:
        """Walk over the ids of all records, whatever their machine."""
        async for key in self.link.keys("{pf:??}:rec:*"):
            yield RecordId(key.partition(":rec:")[2])

    async def history(self, record_id: RecordId) -> list[HistoryEvent]:
        return [read_event(event) for event in await self.link.ask("LRANGE", keys.history(record_id), 0, -1)]

    async def now(self) -> Millis:
        """Ask the store what time it is."""
        return await self._times.ask(None)

    async def _send_times(self, asked: list[None]) -> list[Millis]:
        now, _ = await self.link.run(READ, [keys.sequence(0)], self._now(), encode([]))
        return [Millis(now)] * len(asked)

    # ── steer ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def poke(self, *record_ids: RecordId) -> list[str]:
        """Make records due now: `due`, `leased`, `asleep` or `missing` for each."""
        answers: dict[RecordId, str] = {}
        by_way: dict[int, list[tuple[int, RecordId]]] = {}
        for record_id in record_ids:
            shard = self.shard_of(record_id)
            by_way.setdefault(self._way(shard), []).append((shard, record_id))
        for asked in by_way.values():
            shards, places = _places(shard for shard, _ in asked)
            payload = encode([(places[shard], record_id) for shard, record_id in asked])
            reply = await self.link.run(POKE, [keys.sequence(shard) for shard in shards], self._now(), payload)
            answers |= {record_id: word.decode() for (_, record_id), word in zip(asked, reply, strict=True)}
        return [answers[record_id] for record_id in record_ids]

    async def rate_tokens(self, name: str, rate: float, wanted: int) -> tuple[int, int]:
        """Take tokens of a fleet-wide rate: how many were granted, and in how many ms there is another."""
        granted, wait_ms = await self.link.run(TAKE, [keys.rate(name)], self._now(), str(rate), wanted)
        return granted, wait_ms

    async def call_token(self, key: str, rate: float, kind: int, rest: Sequence[str]) -> tuple[int, int]:
        """Take a token for one call to a rail, as the script says."""
        granted, wait_ms = await self.link.run(CALL, [key], self._now(), str(rate), kind, *rest)
        return granted, wait_ms


class OverRecords(OverLink):
    """What reads and writes beside the records, on the link that they are on."""

    def __init__(self, link: Link, records: Records) -> None:
        super().__init__(link)
        self._records = records


def _body_of(row: RecordRow) -> Body:
    # What is no text was written by nobody of us, and no signature is over it.
    owner, asset, units = ((value or b"").decode(errors="replace") for value in (row.owner, row.asset, row.units))
    return Body(owner, asset, units, digest(owner, row.data or b""), signed=False)


async def _nothing(*_: int) -> None:
    pass


def _gives_back(group: WriteGroup) -> bool:
    """Tell whether money that is held becomes its owner's again."""
    back = (Position.HELD.value, Position.AVAILABLE.value)
    return any(isinstance(op, MoveOp) and (op.from_position, op.to_position) == back for op in group.ops)


def _places(shards: Iterable[int]) -> tuple[list[int], dict[int, int]]:
    """List the shards of a call and the place of each among the script's keys."""
    places: dict[int, int] = {}
    for shard in shards:
        if shard not in places:
            places[shard] = len(places) + 1
    return list(places), places


def _sending(mark: bytes, fence: int) -> Sending:
    """Tell a send whose worker still holds the record from one whose worker lost it, by the fence of its lease."""
    return Sending.UNDER_WAY if int(mark) == fence else Sending.LOST
