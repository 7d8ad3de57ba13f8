"""What a decision becomes: the ops of one atomic write, in the order that `commit.lua` reads them."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import msgspec

from machines.core.clock import Millis
from machines.core.decision import Claim, Decision, Message, New
from machines.core.errors import IllegalMove
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId
from machines.core.lifecycle import OVERRIDE, By, Position, State
from machines.core.machine import AnyMachine
from machines.core.record import Record, Sending
from payflow.store.codec import GENESIS, chain, digest, encode, event_bytes, left_by
from payflow.store.macs import NO_MACS, Body, Macs
from payflow.store.rail_side import RailOp, on_rail
from payflow.store.stored import Stored

CREATED = "Created"

# ── the wire ─────────────────────────────────────────────────────────────────────────────────────────────────────────
# Each op goes to the script as an array: its tag, and its fields in this order. op_<tag>.lua takes them under the same
# names. What is not there is False, because an array of Lua ends at its first nil.

Place = int
"""Where something stands among the bytes of its group, which go beside it: msgpack as Lua reads it has no bytes."""
Absent = Literal[False]


class CreateOp(msgspec.Struct, array_like=True, tag="create", gc=False):
    """The making of a record."""

    id: RecordId
    owner: Owner
    asset: str | Absent
    units: str | Absent
    state: str
    position: str | Absent
    print: str
    data: Place
    event: Place
    hash: Place
    mac: Place | Absent
    line: Place | Absent
    """The line that it adds to the list of its owner, behind which one: see request_lists.py, which says both."""
    listed_after: int
    posting: str
    after_ms: int
    most_open: int
    most_daily: int
    open_states: list[str]
    claims: list[str]
    messages: list[Place]
    rail: RailOp | Absent


class MoveOp(msgspec.Struct, array_like=True, tag="move", gc=False):
    """A decision, or a mark, that is written into a record's history."""

    id: RecordId
    version: int
    fence: int
    """0 comes from outside a lease."""
    state: str
    to: str
    from_position: str | Absent
    to_position: str | Absent
    data: Place | Absent
    event: Place
    hash: Place
    mac: Place | Absent
    posting: str
    after_ms: int
    tries: int
    parked: str
    claims: list[str]
    releases: list[str]
    messages: list[Place]
    sends: Literal["", "settled", "none"]
    share: str | Absent
    """What of it was posted on its rail's side when it was read."""
    rail: RailOp | Absent


class StayOp(msgspec.Struct, array_like=True, tag="stay", gc=False):
    """A look that learned nothing."""

    id: RecordId
    version: int
    fence: int
    state: str
    after_ms: int
    tries: int
    settled: bool
    error: str


class FundOp(msgspec.Struct, array_like=True, tag="fund", gc=False):
    """Money that came from outside, or went back there."""

    owner: Owner
    asset: str
    units: str
    way: Literal["in", "out"]
    reference: str
    earning: str
    most: str | Absent
    posting: str


Op = CreateOp | MoveOp | StayOp | FundOp


class Setback(NamedTuple):
    """How it stands with looks that learn nothing."""

    tries: int = 0
    """So many in a row ended in an error."""
    settled: bool = False
    """Whether nothing of what this one sent, if anything, has left."""
    error: str = ""
    """Why this one learned nothing."""


NONE = Setback()


class WriteGroup(NamedTuple):
    """Ops that are written together or not at all."""

    shard: int
    ops: list[Op]
    blobs: list[bytes]
    announce: bool
    """Whether workers elsewhere should hear of it."""
    macs: Macs = NO_MACS
    """Who signs."""
    signs: bool = True
    """Whether records are: not where one of them was not signed before, for what goes on from it is not either."""

    def place(self, content: bytes) -> Place:
        """Add bytes, and say where they stand."""
        self.blobs.append(content)
        return len(self.blobs) - 1

    def signed(self, record_id: RecordId, state: str, version: int, newest: bytes, body: Body) -> Place | Absent:
        """Sign a record as it will be, if it may be signed."""
        mac = self.macs.sign_record(record_id, state, version, newest, body) if self.signs else b""
        return self.place(mac) if mac else False

    def posting(self, record_id: RecordId, version: int, body: Body, source: str | Absent, target: str | Absent) -> str:
        """Sign the posting of a move of money, where it is one."""
        if not source or not target or source == target:
            return ""
        return self.macs.seal_posting((body.owner, body.asset, source, target, body.units, record_id), version)


# ── what is decided ──────────────────────────────────────────────────────────────────────────────────────────────────


def create(
    group: WriteGroup, machine: AnyMachine, new: New[Any], who: str, at: int, *, state: str = "", why: str = ""
) -> None:
    """Add the making of a record; in another state than the initial one only where the store had forgotten it."""
    lifecycle = machine.lifecycle
    made_in = lifecycle.state(state or lifecycle.initial)
    amount = (new.amount.asset.code, str(new.amount.units)) if new.amount else None
    data = encode(new.data)
    body = Body(new.owner, *(amount or ("", "")), digest(new.owner, data), group.macs.ready)
    # An older version takes what comes first for the amount: where there is none, nothing is said of the data either.
    more = (amount, left_by(body.digest)) if amount else ()
    # What is sealed stays out of a history, where no other key could ever take the place of the one that sealed it.
    told = machine.reseal(new.data, lambda _, place: ("", place)) if machine.reseal else new.data
    event = event_bytes(GENESIS, at, 1, "", made_in.name, who, why, CREATED, told, *more)
    newest, position = chain(event), _position(made_in)
    after = Record(new.id, new.machine, made_in.name, 1, new.owner, new.amount, new.data, Millis(at), Millis(at))
    after_ms = -1 if new.due_in_s is None or made_in.by is not By.POLLER else int(new.due_in_s * 1000)
    group.ops.append(
        CreateOp(
            id=new.id,
            owner=new.owner,
            asset=amount[0] if amount else False,
            units=amount[1] if amount else False,
            state=made_in.name,
            position=position,
            print=new.fingerprint,
            data=group.place(data),
            event=group.place(event),
            hash=group.place(newest),
            mac=group.signed(new.id, made_in.name, 1, newest, body),
            line=group.place(b"") if amount else False,
            listed_after=0,
            posting=group.posting(new.id, 1, body, Position.AVAILABLE.value, position),
            after_ms=after_ms,
            most_open=new.limits.most_open,
            most_daily=new.limits.most_daily,
            open_states=[name for name, one in lifecycle.states.items() if one.position is Position.HELD],
            claims=_flat(new.claims),
            messages=placed(group, new.id, at, new.messages),
            rail=on_rail(group.macs, machine, after),
        )
    )


def decide(
    group: WriteGroup,
    machine: AnyMachine,
    stored: Stored,
    decision: Decision[Any],
    fact: Fact,
    who: str,
    setback: Setback,
    leader: RecordId | None = None,
) -> Record[Any]:
    """Add a decision, and give the record as it will be. What moves with a leader keeps its id in place of the fact."""
    record, lifecycle = stored.record, machine.lifecycle
    source = lifecycle.state(record.state)
    if decision.trigger == OVERRIDE:
        target = lifecycle.state(decision.to or "")
    else:
        target = lifecycle.target(record.state, decision.trigger) if decision.trigger else source
    again_s = decision.again_s if decision.again_s is not None else target.every_s
    if target is not source and decision.again_s is None and target.by is By.POLLER:
        again_s = 0
    after_ms = -1 if again_s is None or again_s < 0 or target.by is not By.POLLER else int(again_s * 1000)
    parked, tries = "", setback.tries
    if target is source and not stored.fence:
        # A fact from outside that moves nothing neither brings back what was set aside nor shortens a back-off.
        parked, tries = record.parked, record.tries
        after_ms = -1 if parked else after_ms
    if not decision.recorded:
        effects = (decision.messages, decision.claims, decision.releases, decision.creates, decision.group)
        if decision.data is not None or decision.trigger or decision.alarm or any(effects):
            raise IllegalMove(f"{record.id}: a look that learned nothing must not write anything.")
        group.ops.append(
            StayOp(
                record.id, record.version, stored.fence, record.state, after_ms, tries, setback.settled, setback.error
            )
        )
        return record
    data, body = None, stored.body
    if decision.data is not None:
        data = encode(decision.data)
        body = body._replace(digest=digest(record.owner, data))
    event = event_bytes(
        stored.chain,
        stored.at,
        record.version + 1,
        decision.trigger or "",
        target.name,
        who,
        decision.why,
        type(fact).__name__,
        {"with": leader} if leader else fact.recorded(),
        left_by(b"" if data is None else body.digest),
    )
    newest, messages = chain(event), decision.messages
    left, reached = _position(source), _position(target)
    if decision.alarm:
        says = {"why": decision.alarm, "stops": decision.stops} if decision.stops else {"why": decision.alarm}
        messages = (*messages, Message("alarm", says))
    after = Record(
        record.id,
        record.machine,
        target.name,
        record.version + 1,
        record.owner,
        record.amount,
        record.data if decision.data is None else decision.data,
        record.created_at,
        record.since if target is source else stored.at,
        tries,
        parked,
        Sending.NO if stored.fence else record.sending,
    )
    group.ops.append(
        MoveOp(
            id=record.id,
            version=record.version,
            fence=stored.fence,
            state=record.state,
            to=target.name,
            from_position=left,
            to_position=reached,
            data=False if data is None else group.place(data),
            event=group.place(event),
            hash=group.place(newest),
            mac=group.signed(record.id, target.name, record.version + 1, newest, body),
            posting=group.posting(record.id, record.version + 1, body, left, reached),
            after_ms=after_ms,
            tries=tries,
            parked=parked,
            claims=_flat(decision.claims),
            releases=_flat(decision.releases),
            messages=placed(group, record.id, stored.at, messages),
            sends="none" if decision.unsent else "settled" if stored.fence else "",
            share=stored.share,
            rail=on_rail(group.macs, machine, after, stored.share),
        )
    )
    return after


def _position(state: State) -> str | Absent:
    return state.position.value if state.position else False


def _flat(claims: Iterable[Claim]) -> list[str]:
    return [part for claim in claims for part in (claim.space, claim.value)]


def placed(group: WriteGroup, record_id: RecordId, at: int, messages: Iterable[Message]) -> list[Place]:
    return [group.place(encode((message.kind, record_id, at, message.body))) for message in messages]
