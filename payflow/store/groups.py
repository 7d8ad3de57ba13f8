"""What a decision becomes: the ops of one atomic write, in the order that `commit.lua` reads them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from machines.core.decision import Claim, Decision, Message, New
from machines.core.errors import IllegalMove
from machines.core.facts import Fact
from machines.core.ids import RecordId
from machines.core.lifecycle import OVERRIDE, By, Lifecycle, State
from machines.core.record import Record, Sending
from payflow.store.codec import chain, encode, event_bytes, first_event_bytes
from payflow.store.stored import Poison, Stored

CREATED = "Created"
PARKED = "Parked"
UNPARKED = "Unparked"

# ARGV of the script up to here is not bytes of a group.
BLOBS_FROM = 5


class Blob(int):
    """A place among a group's bytes, to be shifted to a place in ARGV."""


class Group(NamedTuple):
    """Ops that are written together or not at all."""

    shard: int
    ops: list[list[Any]]
    blobs: list[bytes]
    announce: bool
    """Whether workers elsewhere should hear of it."""

    def blob(self, content: bytes) -> Blob:
        """Add bytes, which msgpack as Lua reads it does not have."""
        self.blobs.append(content)
        return Blob(len(self.blobs) - 1)

    def placed(self, offset: int) -> list[list[Any]]:
        """Give the ops with the places that their bytes have in the call."""
        return [_placed(op, offset) for op in self.ops]


def create(
    group: Group, lifecycle: Lifecycle, new: New[Any], who: str, at: int, *, state: str = "", why: str = ""
) -> None:
    """Add the making of a record; in another state than the initial one only where the store had forgotten it."""
    made_in = lifecycle.state(state or lifecycle.initial)
    amount = (new.amount.asset.code, str(new.amount.units)) if new.amount else None
    event = first_event_bytes(at, made_in.name, who, why, CREATED, new.data, amount)
    _create(group, made_in, new, event, at)


def _create(group: Group, state: State, new: New[Any], event: bytes, at: int) -> None:
    data = encode(new.data)
    after = -1 if new.due_in_s is None or state.by is not By.POLLER else int(new.due_in_s * 1000)
    group.ops.append([
        "create",
        new.id,
        new.owner,
        new.amount.asset.code if new.amount else False,
        str(new.amount.units) if new.amount else False,
        state.name,
        state.position.value if state.position else False,
        new.fingerprint,
        group.blob(data),
        group.blob(event),
        group.blob(chain(event)),
        after,
        new.counted,
        flat(new.claims),
        messages_of(group, new.id, at, new.messages),
    ])  # fmt: skip


def decide(
    group: Group,
    lifecycle: Lifecycle,
    stored: Stored,
    decision: Decision[Any],
    fact: Fact,
    who: str,
    tries: int,
    leader: RecordId | None = None,
    *,
    settled: bool = False,
) -> Record[Any]:
    """Add a decision, and give the record as it will be. What moves with a leader keeps its id in place of the fact.

    `settled` says of a look that learned nothing that nothing of what it sent, if anything, has left.
    """
    record = stored.record
    source = lifecycle.state(record.state)
    if decision.trigger == OVERRIDE:
        target = lifecycle.state(decision.to or "")
    else:
        target = lifecycle.target(record.state, decision.trigger) if decision.trigger else source
    again_s = decision.again_s if decision.again_s is not None else target.every_s
    if target is not source and decision.again_s is None and target.by is By.POLLER:
        again_s = 0
    after_ms = -1 if again_s is None or again_s < 0 or target.by is not By.POLLER else int(again_s * 1000)
    kept = ""
    if target is source and not stored.fence:
        # A fact from outside that moves nothing neither brings back what was set aside nor shortens a back-off.
        kept, tries = record.parked, record.tries
        after_ms = -1 if kept else after_ms
    if not decision.recorded:
        if decision.data is not None or decision.trigger or decision.alarm or any(_writes(decision)):
            raise IllegalMove(f"{record.id}: a look that learned nothing must not write anything.")
        group.ops.append(["stay", record.id, record.version, stored.fence, record.state, after_ms, tries, settled])
        return record
    event = event_bytes(
        stored.chain,
        stored.at,
        record.version + 1,
        decision.trigger or "",
        target.name,
        who,
        decision.why,
        type(fact).__name__,
        {"with": leader} if leader else fact.kept(),
    )
    messages = decision.messages
    if decision.alarm:
        told = {"why": decision.alarm, "stops": decision.stops} if decision.stops else {"why": decision.alarm}
        messages = (*messages, Message("alarm", told))
    group.ops.append([
        "move",
        record.id,
        record.version,
        stored.fence,
        record.state,
        target.name,
        source.position.value if source.position else False,
        target.position.value if target.position else False,
        False if decision.data is None else group.blob(encode(decision.data)),
        group.blob(event),
        group.blob(chain(event)),
        after_ms,
        tries,
        target.tallied,
        kept,
        flat(decision.claims),
        flat(decision.releases),
        messages_of(group, record.id, stored.at, messages),
        "none" if decision.unsent else "settled" if stored.fence else "",
    ])  # fmt: skip
    return Record(
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
        record.velocity,
        kept,
        Sending.NO if stored.fence else record.sending,
    )


def mark(
    group: Group,
    stored: Stored | Poison,
    fact: str,
    why: str,
    who: str,
    *,
    after_ms: int,
    parked: str = "",
    messages: tuple[Message, ...] = (),
) -> None:
    """Add an event that changes nothing but whether, and when, a record is looked at."""
    record_id, state, version = standing(stored)
    event = event_bytes(stored.chain, stored.at, version + 1, "", state, who, why, fact, None)
    group.ops.append([
        "move", record_id, version, stored.fence, state, state, False, False, False, group.blob(event),
        group.blob(chain(event)), after_ms, 0, False, parked, [], [],
        messages_of(group, record_id, stored.at, messages), "",
    ])  # fmt: skip


def standing(stored: Stored | Poison) -> tuple[RecordId, str, int]:
    """Give id, state and version of a record, readable or not."""
    if isinstance(stored, Poison):
        return stored.id, stored.state, stored.version
    return stored.record.id, stored.record.state, stored.record.version


def _writes(decision: Decision[Any]) -> tuple[tuple[Any, ...], ...]:
    return decision.messages, decision.claims, decision.releases, decision.creates, decision.group


def _placed(op: list[Any], offset: int) -> list[Any]:
    return [
        offset + part
        if type(part) is Blob
        else [offset + one if type(one) is Blob else one for one in part]
        if type(part) is list
        else part
        for part in op
    ]


def flat(claims: Iterable[Claim]) -> list[str]:
    return [part for claim in claims for part in (claim.space, claim.value)]


def messages_of(group: Group, record_id: RecordId, at: int, messages: Iterable[Message]) -> list[Blob]:
    return [group.blob(encode((message.kind, record_id, at, message.body))) for message in messages]
