"""What may be done to a record now: each action is tried on `react`, so that what is offered is legal, no more."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from machines.core.decision import Decision
from machines.core.errors import BadInput, Conflict, NotAllowed, NotFound, NotPossible
from machines.core.facts import Fact
from machines.core.ids import RecordId
from machines.core.lifecycle import Lifecycle, State
from machines.core.machine import AnyMachine
from machines.core.record import Record
from machines.payout import facts as f
from machines.transaction import facts as t
from machines.transaction.data import LaneRecord
from payflow.desk.lane_steering import LANE, PAYMENT, TRANSACTION, LaneSteering, suspect_name
from payflow.desk.payouts import MACHINE, Desk
from payflow.desk.person import OPERATES, REVIEWS, Caller, Person
from payflow.desk.records import FactSource
from payflow.desk.steering import Steering
from payflow.engine.step import Applied
from payflow.shown import grouped
from payflow.store.registers.proposals import Proposal
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.store.stored import Stored

PROPOSED = "proposed to a second person"


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """What a person says when they do something."""

    person: Person
    reason: str
    seen: str
    """What `sees` gave when they looked."""
    picked: Sequence[str] = ()
    """Which of the picks they chose."""

    @property
    def who(self) -> str:
        """What the history calls them."""
        return self.person.name


@dataclass(frozen=True, slots=True)
class Pick:
    """Something that may be chosen with an action."""

    name: str
    """What is sent, such as the id of a record."""
    says: str
    reference: str = ""
    """The transaction that it is about, to look at."""


async def _at_once() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a person may do to a record of a machine. What it would do is found by trying it on `react`."""

    name: str
    """The word in its address, such as `approve`."""
    label: str
    """What its button says."""
    says: str
    """What it does, in a sentence."""
    machine: str
    roles: frozenset[Role]
    fact: Callable[[Record[Any], str, str], Fact]
    """Makes, of the record, a name and a reason, the fact that `react` is tried on."""
    run: Callable[[RecordId, ActionRequest], Awaitable[object]]
    """Does it to the record, by a person's word."""
    sees: Callable[[Record[Any]], str] = lambda record: str(record.version)
    """What the person's word is bound to: when this changes, they must look again."""
    asks: str = ""
    """The question whose answer is the reason; empty where none is needed."""
    danger: bool = False
    """Whether it takes or gives back money, or refuses somebody."""
    foresees: str = ""
    """What has to hold besides, and is found out only when it is done."""
    picks: Callable[[Record[Any]], Sequence[Pick]] = lambda _: ()
    """What the person chooses among, none or more of it."""
    of_picks: str = ""
    """What choosing means, as a question; empty where there is nothing to choose."""
    learns: Callable[[ActionRequest], FactSource] | None = None
    """Gives what makes the fact in earnest, with what the world says then; None where `fact` is all of it."""
    proposes: Callable[[], Awaitable[bool]] = _at_once
    """Whether it is put before a second person now, and not done."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An action that is legal now, and what it would do."""

    action: Action
    seen: str
    lines: list[str]
    picks: Sequence[Pick] = ()


class Actions:
    """All that people may do to records of this installation."""

    def __init__(self, store: Store, actions: Sequence[Action]) -> None:
        self._store = store
        self._actions = actions

    def roles(self) -> dict[str, frozenset[Role]]:
        """Name the actions, and for each who may do it to a record of one machine at least."""
        named: dict[str, frozenset[Role]] = {}
        for action in self._actions:
            named[action.name] = named.get(action.name, frozenset()) | action.roles
        return named

    def offers(self, stored: Stored, caller: Caller) -> list[Offer]:
        """List what somebody may do to a record now."""
        mine = [one for one in self._actions if one.machine == stored.record.machine and caller.role in one.roles]
        found = (self._tried(one, stored, caller) for one in mine)
        return [one for one in found if isinstance(one, Offer)]

    def offered(self, name: str, stored: Stored, caller: Caller) -> Offer | str:
        """Try an action, whoever may do it: what it would do, or why it cannot be done."""
        return self._tried(self._named(name, stored), stored, caller)

    def offer(self, name: str, stored: Stored, caller: Caller) -> Offer:
        """Try an action for somebody, or say why they cannot do it."""
        action = self._named(name, stored)
        if caller.role not in action.roles:
            raise NotAllowed(f"{action.label}: this takes a token of a {' or '.join(sorted(action.roles))}.")
        found = self._tried(action, stored, caller)
        if isinstance(found, str):
            raise NotPossible(found)
        return found

    async def do(self, name: str, stored: Stored, caller: Caller, word: ActionRequest) -> Record[Any] | None:
        """Do what was offered, if the record is as it was shown; gives the record as it is then.

        None where it takes two people: it is proposed to a second one, and nothing has changed.
        """
        record_id, found = stored.record.id, self.offer(name, stored, caller)
        if found.seen != word.seen:
            raise Conflict(f"{record_id} changed since you looked at it: look again.")
        if found.action.asks and not word.reason:
            raise BadInput("Say why: it is written into the history, and whoever is concerned reads it.")
        if isinstance(await found.action.run(record_id, word), Proposal):
            return None
        return (await self._store.records.read(record_id)).record

    def sees(self, name: str, stored: Stored) -> str:
        """Give what a person's word about a record would be bound to."""
        return self._named(name, stored).sees(stored.record)

    async def foresee(self, name: str, stored: Stored, word: ActionRequest) -> str:
        """Say where an action would leave a record, or raise what would refuse it; the rail may be asked."""
        action, record = self._named(name, stored), stored.record
        word.person.refuse_unless(action.roles)
        if record.parked:
            raise NotPossible(f"{record.id} was set aside ({record.parked}): it is taken up again first.")
        source = action.learns(word) if action.learns else action.fact(record, word.who, word.reason)
        fact = source if isinstance(source, Fact) else await source(record)
        machine = self._store.records.machines[record.machine]
        decision = machine.react(record, fact, stored.at)
        if not decision.recorded or decision.moot:
            raise NotPossible(f"{record.id} is in {record.state}, where this means nothing.")
        if await action.proposes():
            return PROPOSED
        return left_in(record.state, _target(machine.lifecycle, record, decision).name if decision.trigger else "")

    async def carry_out(self, name: str, stored: Stored, word: ActionRequest) -> str:
        """Do it to a record that is as it was seen; say where that left it."""
        action, record = self._named(name, stored), stored.record
        word.person.refuse_unless(action.roles)
        if action.sees(record) != word.seen:
            raise Conflict(f"{record.id} changed since you looked at it: look again.")
        done = await action.run(record.id, word)
        if isinstance(done, Applied):
            return left_in(done.before.state, done.after.state if done.decision.trigger else "")
        return PROPOSED if isinstance(done, Proposal) else left_in(record.state, "")

    def _named(self, name: str, stored: Stored) -> Action:
        machine = stored.record.machine
        action = next((one for one in self._actions if one.name == name and one.machine == machine), None)
        if action is None:
            raise NotFound(f"A {machine} knows no {name[:40]!r}.")
        return action

    def _tried(self, action: Action, stored: Stored, caller: Caller) -> Offer | str:
        record = stored.record
        if record.parked:
            return f"{record.id} does not know {action.name}."
        machine = self._store.records.machines[record.machine]
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
    source, target = lifecycle.state(record.state), _target(lifecycle, record, decision)
    return [f"{source.name} → {target.name}. {target.means}", money_line(record, source.position, target.position)]


def _target(lifecycle: Lifecycle, record: Record[Any], decision: Decision[Any]) -> State:
    if decision.to:
        return lifecycle.state(decision.to)
    return lifecycle.target(record.state, decision.trigger or "")


def left_in(state: str, target: str) -> str:
    """Say where a record is left that was in a state, and moved, if it did."""
    return target or f"stays in {state}"


def money_line(record: Record[Any], source: object, target: object) -> str:
    """Say what happens to the money."""
    if record.amount is None or source is target or target is None:
        return "No money moves in the books."
    return f"{grouped(record.amount)} of {record.owner} goes from {source} to {target}."


def _saying_why(
    act: Callable[[RecordId, str, str], Awaitable[object]],
) -> Callable[[RecordId, ActionRequest], Awaitable[object]]:
    return lambda record_id, word: act(record_id, word.who, word.reason)


def of_payouts(desk: Desk) -> Sequence[Action]:
    """List what people decide about payouts."""

    def seen(record: Record[Any]) -> str:
        return str(record.data.proposal.fingerprint)

    return (
        Action(
            "approve", "Approve", "Say yes to amount and destination.", MACHINE, REVIEWS,
            lambda record, who, _: f.Approved(who, seen(record)),
            lambda record_id, word: desk.approve(record_id, word.person, word.seen), sees=seen,
            learns=lambda word: desk.approving(word.person, word.seen),
        ),
        Action(
            "reject", "Reject", "Say no; the money is available again.", MACHINE, REVIEWS,
            lambda _, who, why: f.Declined(who, why), _saying_why(desk.reject),
            asks="Why not? The provider reads it.", danger=True, sees=seen,
        ),
        Action(
            "cancel", "Cancel", "Take it back before it is sent.", MACHINE, OPERATES,
            lambda _, who, why: f.Cancelled(who, why), _saying_why(desk.cancel),
            asks="Why? The provider reads it.", danger=True,
            learns=lambda word: desk.cancelling(word.who, word.reason),
        ),
        Action(
            "release", "Give back", "Give the money of a failed payout back.", MACHINE, OPERATES,
            lambda _, who, why: f.Released(who, why, proven=True),
            lambda record_id, word: desk.release(record_id, word.person, word.reason),
            asks="Why? The provider reads it.", danger=True,
            foresees="The rail is asked first: it is refused unless every attempt is proven unpaid.",
            learns=lambda word: desk.releasing(word.person, word.reason),
        ),
    )  # fmt: skip


def of_all(machines: Iterable[AnyMachine], steering: Steering) -> list[Action]:
    """List what every machine knows that can be retried."""

    def once_more(made: Callable[[str], Fact], name: str) -> Action:
        return Action(
            "retry", "Try again", "Ask for one more attempt.", name, OPERATES, lambda _, who, __: made(who),
            lambda record_id, word: steering.retry(record_id, word.who),
            foresees="Nothing is sent before every earlier attempt is proven unpaid.",
        )  # fmt: skip

    return [once_more(machine.retried, machine.name) for machine in machines if machine.retried]


def of_lanes(steering: LaneSteering) -> Sequence[Action]:
    """List what people do to a lane, to what waits in it and to what it sent."""

    async def adopt(record_id: RecordId, word: ActionRequest) -> object:
        return await steering.adopt(await steering.adoption(record_id, word.picked), word.person, word.reason)

    return (
        Action(
            "bump", "Offer more", "Ask for a better price at the same nonce, up to the lane's ceiling.", TRANSACTION,
            OPERATES, lambda _, who, __: t.BumpAsked(who), _saying_why(steering.bump), asks="Why?",
            foresees="The lane signs a new attempt at this nonce. Only one of all its attempts can ever be mined.",
        ),
        Action(
            "cancel", "Replace by nothing", "Use up its nonce with a transaction that pays nobody.", TRANSACTION,
            OPERATES, lambda _, who, why: t.CancelAsked(who, why),
            lambda record_id, word: steering.cancel(record_id, word.person, word.reason), asks="Why?", danger=True,
            foresees="The chain decides which one wins: if what was sent first is mined, it stays paid. "
            "If the empty one wins, what it carried has failed, and may be paid anew.",
            proposes=steering.takes_two,
        ),
        Action(
            "withdraw", "Take back", "Take back a payment that nothing is signed for.", PAYMENT, OPERATES,
            lambda _, who, why: t.Withdrawn(who, why), _saying_why(steering.withdraw), asks="Why?", danger=True,
            foresees="Whoever asked for it learns that it has failed, unpaid.",
        ),
        Action(
            "adopt", "Open the lane", "Say which transactions from outside paid our payments.", LANE, OPERATES,
            lambda _, who, why: t.Adopted(who, why), adopt, asks="How do you know?", danger=True, picks=_suspects,
            of_picks="Which of these are paid? Look at each. What you do not tick, the lane pays.",
            foresees="What is wrongly left out is paid twice; what is wrongly ticked is never paid.",
        ),
    )  # fmt: skip


def _suspects(record: LaneRecord) -> Sequence[Pick]:
    return [
        Pick(suspect_name(one), f"{one.payment} was paid at nonce {one.nonce} by", one.hash)
        for one in record.data.suspects
    ]


def actions_of(store: Store, desk: Desk, steering: Steering, more: Iterable[Action] = ()) -> Actions:
    """Put together all that people may do to records here."""
    lanes = LaneSteering(store, desk.metrics, steering.two)
    return Actions(
        store, [*of_payouts(desk), *of_all(store.records.machines.values(), steering), *of_lanes(lanes), *more]
    )
