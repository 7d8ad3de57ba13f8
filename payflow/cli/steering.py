"""Steering: override, retry, and the pause switches."""

from dataclasses import dataclass
from typing import Any

from rich.text import Text

from machines.core.errors import BadInput, Conflict, StepError
from machines.core.facts import Fact, Override, Proof
from machines.core.lifecycle import By, Lifecycle, State
from machines.core.record import Record
from payflow.app import Payflow, refuse_unfit
from payflow.cli.desk import Code, Desk, Usage, confirm, listed, machine_of, operator, typed
from payflow.cli.records import record_of
from payflow.cli.words import amount, amount_json, clean, iso, rows, span, table, utc
from payflow.engine.step import take_in
from payflow.store.pauses import EVERYTHING, scope_of
from payflow.store.stored import Stored

RETRY = "retry"

# ── override ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Preview:
    """What an override would change."""

    record: Record[Any]
    source: State
    target: State
    why: str
    evidence: str
    """What the rail said when it was asked; empty where there is none to ask."""

    @property
    def moves_money(self) -> bool:
        """Whether the money changes its position."""
        return self.record.amount is not None and self.source.position is not self.target.position

    def lines(self) -> list[str]:
        """Say it to a person."""
        money = "No money moves."
        if self.moves_money:
            way = f"{self.source.position} to {self.target.position}"
            money = f"{amount(self.record.amount)} of {self.record.owner} goes from {way}."
        return [
            f"{self.record.id}: {self.source.name} → {self.target.name}",
            money,
            f"Then: {self.target.means} {_looked_after(self.target)}",
            f"Reason: {self.why}",
            *([f"Evidence: {self.evidence}"] if self.evidence else []),
        ]


async def override(
    desk: Desk, *, record_id: str, to: str, reason: str, second: str, yes: bool, named: str | None
) -> Code:
    """Put a record into a state, by an operator's word."""
    who = operator(named)
    async with desk.open() as payflow:
        refuse_unfit(payflow.store)
        name = record_of(payflow, record_id)
        shown = await payflow.store.records.read(name)
        proof, evidence = await _evidence(payflow, shown.record)
        word = Override(to, reason, who, second, proof)
        preview = _preview(payflow, shown, word, evidence)
        if not yes:
            confirm(desk, preview.lines())

        async def unless_changed(record: Record[Any]) -> Fact:
            if record.version != shown.record.version:
                raise Conflict(f"{name} changed while you were looking at it: look again.")
            return word

        by = f"{who} and {second}" if second else who
        async with payflow.store.audit.doing(by, f"override to {to}", name, reason):
            applied = await take_in(payflow.store.records, payflow.metrics, name, unless_changed, who)
        desk.tell(
            {
                "id": name,
                "from": applied.before.state,
                "to": applied.after.state,
                "amount": amount_json(applied.after.amount),
                "from_position": preview.source.position,
                "to_position": preview.target.position,
                "who": who,
                "why": applied.decision.why,
                "proof": proof,
            },
            *([Text(clean(line)) for line in preview.lines()] if yes else []),
            Text(f"Done: it is in {applied.after.state}.", "green"),
        )
    return Code.OK


async def _evidence(payflow: Payflow, record: Record[Any]) -> tuple[Proof, str]:
    """Ask the rail before a person overrules it."""
    prove = payflow.store.records.machines[record.machine].prove
    if prove is None:
        return Proof.NONE, ""
    try:
        proof = await prove(record)
    except StepError as error:
        return Proof.NONE, f"the rail could not be asked ({error})."
    return proof, {
        Proof.NONE: "the rail cannot tell whether it was paid.",
        Proof.PAID: "the rail proves that it was paid.",
        Proof.NOT_PAID: "the rail proves that it was not paid.",
    }[proof]


def _preview(payflow: Payflow, stored: Stored, fact: Override, evidence: str) -> Preview:
    machine = payflow.store.records.machines[stored.record.machine]
    states = machine.lifecycle.states
    if fact.to not in states:
        raise Usage(f"There is no state {fact.to!r}; {listed(states)}.")
    decision = machine.react(stored.record, fact, stored.at)
    return Preview(stored.record, states[stored.record.state], states[fact.to], decision.why, evidence)


def _looked_after(state: State) -> str:
    return {
        By.POLLER: "Workers look after it.",
        By.PERSON: "A person looks after it.",
        By.OUTSIDE: "It waits for the world outside.",
        By.NOBODY: "Its story ends there.",
    }[state.by]


# ── retry ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def retry(desk: Desk, *, record_id: str, named: str | None) -> Code:
    """Try again: a retry where the machine knows one, otherwise a look at once."""
    who = operator(named)
    async with desk.open() as payflow:
        refuse_unfit(payflow.store)
        name = record_of(payflow, record_id)
        stored = await payflow.store.records.read(name)
        async with payflow.store.audit.doing(who, RETRY, name, stored.record.parked):
            did, said = await _tried(payflow, stored, who)
        desk.tell({"id": name, "state": stored.record.state, "did": did}, Text(said))
    return Code.OK


async def _tried(payflow: Payflow, stored: Stored, who: str) -> tuple[str, str]:
    record, records = stored.record, payflow.store.records
    machine = records.machines[record.machine]
    if record.parked:
        await records.unpark(stored, f"taken up again by {who}; it was set aside: {record.parked}", who)
        return "unparked", f"{record.id} is taken up again and will be looked at now."
    # Where a retry is no move, what was typed asks for a look; where it is one and cannot be now, the machine says why.
    fact = machine.retried(who) if machine.retried and RETRY in machine.lifecycle.triggers(record.state) else None
    if fact is not None and machine.react(record, fact, stored.at).trigger == RETRY:
        applied = await take_in(records, payflow.metrics, record.id, fact, who)
        return "moved", f"{record.id} is tried again: it is in {applied.after.state}."
    state = machine.lifecycle.state(record.state)
    if state.by is not By.POLLER:
        raise BadInput(f"{record.id} is in {state.name}, where nothing is tried. {_ways(machine.lifecycle, state)}")
    (answer,) = await records.poke(record.id)
    if answer == "asleep":
        await records.unpark(stored, f"woken by {who}", who)
    if answer == "leased":
        return "leased", f"A worker looks at {record.id} right now, and will look again as soon as it is done."
    return "due", f"{record.id} will be looked at now."


def _ways(lifecycle: Lifecycle, state: State) -> str:
    ways = lifecycle.triggers(state.name)
    return f"It answers to: {', '.join(ways)}." if ways else "Its story ends there."


# ── pause ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def pause(desk: Desk, *, scope: str, why: str, named: str | None) -> Code:
    """Stop sends in a scope."""
    who = operator(named)
    if not why.strip():
        raise BadInput("A pause needs a reason, for whoever finds it at night: add --why.")
    async with desk.open() as payflow:
        _known(payflow, scope)
        pauses = payflow.store.pauses
        async with payflow.store.audit.doing(who, "pause", scope, why):
            fresh = await pauses.pause(scope, who, why, await payflow.store.records.now())
        standing = (await pauses.all())[scope]
        said = f"Sends are paused: {scope}. Looks go on; `payflow resume {scope}` opens it again."
        if not fresh:
            said = f"{scope} is paused already, by {standing.who}: {standing.why}"
        desk.tell({"scope": scope, "fresh": fresh, "who": standing.who, "why": standing.why}, Text(clean(said)))
    return Code.OK


async def resume(desk: Desk, *, scope: str) -> Code:
    """Allow sends in a scope again."""
    async with desk.open() as payflow:
        with typed():
            scope_of(scope)
        async with payflow.store.audit.doing(operator(None), "resume", scope):
            if not await payflow.store.pauses.resume(scope):
                standing = ", ".join(await payflow.store.pauses.all()) or "nothing"
                raise BadInput(f"{scope} is not paused; paused is: {standing}.")
        desk.tell({"scope": scope}, Text(f"Sends go on: {scope}."))
    return Code.OK


async def paused(desk: Desk) -> Code:
    """List what is paused."""
    async with desk.open() as payflow:
        now = await payflow.store.records.now()
        standing = sorted((await payflow.store.pauses.all()).values(), key=lambda pause: pause.at)
        desk.tell(
            [{"scope": one.scope, "who": one.who, "why": one.why, "at": iso(one.at)} for one in standing],
            rows(
                table("scope", "since (UTC)", "for>", "by", "why"),
                ((one.scope, utc(one.at), span(now - one.at), one.who, one.why) for one in standing),
            )
            if standing
            else Text("Nothing is paused."),
        )
    return Code.OK


def _known(payflow: Payflow, scope: str) -> None:
    """Refuse a scope that stops nothing: whoever mistypes it believes that sends have stopped."""
    kind, _, name = scope.partition(":")
    if kind == "shard":
        raise Usage("Only Payflow itself closes a shard, when the store lost writes. Pause `everything` instead.")
    with typed():
        scope_of(scope)
    if kind == "machine" and scope != EVERYTHING:
        machine_of(payflow, name)
