"""What may be done to a record now: each action is tried on `react`, so that a page offers what is legal, no more."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from machines.core.decision import Decision
from machines.core.errors import BadInput
from machines.core.facts import Fact
from machines.core.ids import RecordId
from machines.core.lifecycle import Lifecycle
from machines.core.machine import AnyMachine
from machines.core.record import Record
from machines.payout import facts as f
from payflow.desk.payouts import MACHINE, Desk
from payflow.desk.person import Caller
from payflow.desk.steering import Steering
from payflow.shown import grouped
from payflow.store.registers.tokens import Role
from payflow.store.stored import Stored
from payflow.web.pages.admin.extensions import Action, Pick, Word

REVIEWS = frozenset({Role.REVIEWER})
OPERATES = frozenset({Role.OPERATOR})


@dataclass(frozen=True, slots=True)
class Offer:
    """An action that is legal now, and what it would do."""

    action: Action
    seen: str
    lines: list[str]
    picks: Sequence[Pick] = ()


def offers(actions: Iterable[Action], machine: AnyMachine, stored: Stored, caller: Caller) -> list[Offer]:
    """List what somebody may do to a record now."""
    found = (offer(action, machine, stored, caller) for action in actions if caller.role in action.roles)
    return [one for one in found if isinstance(one, Offer)]


def offer(action: Action, machine: AnyMachine, stored: Stored, caller: Caller) -> Offer | str:
    """Try an action: what it would do, or why it cannot be done."""
    record = stored.record
    if action.machine != record.machine or record.parked:
        return f"{record.id} does not know {action.name}."
    try:
        decision = machine.react(record, action.fact(record, caller.who, "…"), stored.at)
    except BadInput as error:
        return str(error)
    if not decision.recorded or decision.moot:
        return f"{record.id} is in {record.state}, where this means nothing."
    lines = _lines(machine.lifecycle, record, decision) + ([action.foresees] if action.foresees else [])
    return Offer(action, action.sees(record), lines, action.picks(record))


def _lines(lifecycle: Lifecycle, record: Record[Any], decision: Decision[Any]) -> list[str]:
    if decision.trigger is None:
        return [f"It stays in {record.state}: {decision.why}.", "No money moves."]
    source = lifecycle.state(record.state)
    target = lifecycle.state(decision.to) if decision.to else lifecycle.target(source.name, decision.trigger)
    return [f"{source.name} → {target.name}. {target.means}", money_line(record, source.position, target.position)]


def money_line(record: Record[Any], source: object, target: object) -> str:
    """Say what happens to the money."""
    if record.amount is None or source is target or target is None:
        return "No money moves in the books."
    return f"{grouped(record.amount)} of {record.owner} goes from {source} to {target}."


def of_payouts(desk: Desk) -> Sequence[Action]:
    """List what people decide about payouts."""

    async def approve(record_id: RecordId, word: Word) -> object:
        return await desk.approve(record_id, word.who, word.seen)

    async def reject(record_id: RecordId, word: Word) -> object:
        return await desk.reject(record_id, word.who, word.reason)

    async def cancel(record_id: RecordId, word: Word) -> object:
        return await desk.cancel(record_id, word.who, word.reason)

    async def release(record_id: RecordId, word: Word) -> object:
        return await desk.release(record_id, word.who, word.reason)

    def seen(record: Record[Any]) -> str:
        return str(record.data.proposal.fingerprint)

    return (
        Action(
            "approve", "Approve", "Say yes to amount and destination.", MACHINE, REVIEWS,
            lambda record, who, _: f.Approved(who, seen(record)), approve, sees=seen,
        ),
        Action(
            "reject", "Reject", "Say no; the money is available again.", MACHINE, REVIEWS,
            lambda _, who, why: f.Declined(who, why), reject, asks="Why not? The provider reads it.", danger=True,
            sees=seen,
        ),
        Action(
            "cancel", "Cancel", "Take it back before it is sent.", MACHINE, OPERATES,
            lambda _, who, why: f.Cancelled(who, why), cancel, asks="Why? The provider reads it.", danger=True,
        ),
        Action(
            "release", "Give back", "Give the money of a failed payout back.", MACHINE, OPERATES,
            lambda _, who, why: f.Released(who, why, proven=True), release, asks="Why? The provider reads it.",
            danger=True, foresees="The rail is asked first: it is refused unless every attempt is proven unpaid.",
        ),
    )  # fmt: skip


def of_all(machines: Iterable[AnyMachine], steering: Steering) -> list[Action]:
    """List what every machine knows that can be retried."""

    async def retry(record_id: RecordId, word: Word) -> object:
        return await steering.retry(record_id, word.who)

    def once_more(made: Callable[[str], Fact], name: str) -> Action:
        return Action(
            "retry", "Try again", "Ask for one more attempt.", name, OPERATES, lambda _, who, __: made(who), retry,
            foresees="Nothing is sent before every earlier attempt is proven unpaid.",
        )  # fmt: skip

    return [once_more(machine.retried, machine.name) for machine in machines if machine.retried]
