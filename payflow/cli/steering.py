"""Steering: override, retry, and the pause switches; the desk does it, as it does for the dashboard."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from rich.text import Text

from machines.core.errors import BadInput
from machines.core.ids import RecordId
from machines.core.lifecycle import By, State
from payflow.app.installation import Payflow, refuse_unfit
from payflow.cli.desk import Code, Desk, Usage, confirm, listed, named, person
from payflow.cli.records import record_of
from payflow.cli.words import clean, rows, table
from payflow.desk.pool import not_a_payment
from payflow.desk.steering import Preview, Steering
from payflow.shown import amount, amount_json, iso, span, utc
from payflow.store.registers.tokens import Role

if TYPE_CHECKING:
    from payflow.desk.pool.room import PoolRooms

DECIDES = frozenset({Role.OPERATOR, Role.REVIEWER})


def steering_of(payflow: Payflow) -> Steering:
    """Open the desk."""
    return Steering(payflow.store, payflow.metrics)


def _pools_named(desk: Desk, payflow: Payflow, stack: AsyncExitStack) -> "PoolRooms":
    """Make room for the pools whose files the settings name; each is opened when something is done to its books."""
    from payflow.app.pools import rooms_of  # noqa: PLC0415  (two seconds, only where a pool is meant)

    settings = desk.settings
    files = {file.resolve(): file for file in (settings.pool_config, *settings.pools) if file.exists()}
    return rooms_of(settings, payflow.store, payflow.metrics, stack, files.values())


# ── override ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def override(desk: Desk, *, record_id: str, to: str, reason: str, yes: bool) -> Code:
    """Put a record into a state by one person's word, or propose it to a second one where one is not enough."""
    if not reason.strip():
        raise BadInput(
            "An override needs a reason: add --reason. It is written into the history for whoever asks later."
        )
    async with desk.open() as payflow:
        refuse_unfit(payflow.store)
        steering, name = steering_of(payflow), record_of(payflow, record_id)
        who = await person(desk, payflow.store)
        states = payflow.store.records.machines[name.partition("-")[0]].lifecycle.states
        if to not in states:
            raise Usage(f"There is no state {to!r}; {listed(states)}.")
        preview = await steering.preview(name, to, who.name)
        if preview.refused:
            raise BadInput(preview.refused)
        lines = _lines(preview, reason)
        if not yes:
            confirm(desk, lines)
        shown = [Text(clean(line)) for line in lines] if yes else []
        version = preview.record.version
        if preview.why_two:
            proposal = await steering.propose_override(name, to, reason, who, version)
            desk.tell(
                {"id": name, "proposal": proposal.digest, "why": preview.why_two, "who": who.name},
                *shown,
                Text(clean(f"Nothing has changed yet. {preview.why_two}"), "yellow"),
                *(Text(clean(line)) for line in who_confirms(proposal.role, proposal.digest)),
            )
            return Code.OK
        applied = await steering.override(name, to, reason, who.name, version)
        desk.tell(
            {
                "id": name,
                "from": applied.before.state,
                "to": applied.after.state,
                "amount": amount_json(applied.after.amount),
                "from_position": preview.source.position,
                "to_position": preview.target.position,
                "who": who.name,
                "why": applied.decision.why,
                "proof": preview.proof,
            },
            *shown,
            Text(f"Done: it is in {applied.after.state}.", "green"),
        )
    return Code.OK


def _lines(preview: Preview, reason: str) -> list[str]:
    record = preview.record
    money = "No money moves."
    if preview.moves_money:
        way = f"{preview.source.position} to {preview.target.position}"
        money = f"{amount(record.amount)} of {record.owner} goes from {way}."
    return [
        f"{record.id}: {preview.source.name} → {preview.target.name}",
        money,
        f"Then: {preview.target.means} {_looked_after(preview.target)}",
        f"Reason: {reason}",
        *([f"Evidence: {preview.evidence}"] if preview.evidence else []),
        *([f"One person is not enough: {preview.why_two}"] if preview.why_two else []),
    ]


def who_confirms(role: str, digest: str) -> list[str]:
    """Say who confirms a proposal, and where."""
    who = "a reviewer" if role == Role.REVIEWER else "another operator"
    return [
        f"It waits for {who}, with a token of their own, who within a day opens /admin/proposals on the dashboard,",
        f"or types: payflow confirm {digest}",
    ]


def _looked_after(state: State) -> str:
    return {
        By.POLLER: "Workers look after it.",
        By.PERSON: "A person looks after it.",
        By.OUTSIDE: "It waits for the world outside.",
        By.NOBODY: "Its story ends there.",
    }[state.by]


# ── what waits for a second person ───────────────────────────────────────────────────────────────────────────────────


async def proposals(desk: Desk) -> Code:
    """List what waits for a second person."""
    async with desk.open() as payflow:
        two = steering_of(payflow).two
        now, waiting = await payflow.store.records.now(), await two.waiting()
        desk.tell(
            [
                {
                    "proposal": one.digest, "kind": one.kind, "subject": one.subject, "seen": dict(one.seen),
                    "role": one.role, "reason": one.reason, "by": one.by, "at": iso(one.at),
                }
                for one in waiting
            ],
            rows(
                table("proposal", "act", "of", "since>", "by", "confirmed by a", "why"),
                (
                    (one.digest, one.kind, one.subject, span(now - one.at), one.by, one.role, one.reason)
                    for one in waiting
                ),
            )
            if waiting
            else Text("Nothing waits for a second person."),
        )  # fmt: skip
    return Code.OK


async def confirm_proposal(desk: Desk, *, named_by: str, yes: bool) -> Code:
    """Be the second person."""
    async with desk.open() as payflow, AsyncExitStack() as stack:
        refuse_unfit(payflow.store)
        two = steering_of(payflow).two
        proposal = await two.find(named_by)
        if proposal.kind == not_a_payment.NO_PAYMENT:
            two.register(not_a_payment.verb(_pools_named(desk, payflow, stack)))
        if yes and named_by != proposal.digest:
            raise Usage("With --yes name the proposal by its hash, which says what you have seen: `payflow proposals`.")
        if not yes:
            confirm(desk, two.says(proposal))
        said = await two.confirm(proposal.digest, await person(desk, payflow.store, {Role(proposal.role)}))
        desk.tell({"proposal": proposal.digest, "did": said}, Text(clean(said), "green"))
    return Code.OK


async def decline_proposal(desk: Desk, *, named_by: str) -> Code:
    """Take a proposal off the table."""
    async with desk.open() as payflow:
        two = steering_of(payflow).two
        proposal = await two.decline((await two.find(named_by)).digest, await person(desk, payflow.store, DECIDES))
        said = f"{proposal.kind} of {proposal.subject} is not proposed any more; nothing was changed."
        desk.tell({"proposal": proposal.digest, "declined": True}, Text(clean(said)))
    return Code.OK


# ── retry ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def retry(desk: Desk, *, record_id: str) -> Code:
    """Try again: a retry where the machine knows one, otherwise a look at once."""
    async with desk.open() as payflow:
        refuse_unfit(payflow.store)
        name, before = await _stands(payflow, record_id)
        again = await steering_of(payflow).again(name, await named(desk, payflow.store))
        desk.tell({"id": name, "state": before, "did": again.did}, Text(clean(again.said)))
    return Code.OK


async def _stands(payflow: Payflow, record_id: str) -> tuple[RecordId, str]:
    name = record_of(payflow, record_id)
    return name, (await payflow.store.records.read(name)).record.state


# ── pause ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def pause(desk: Desk, *, scope: str, why: str) -> Code:
    """Stop sends in a scope."""
    async with desk.open() as payflow:
        who = await named(desk, payflow.store)
        said = await steering_of(payflow).pause(scope, who, why)
        standing = (await payflow.store.pauses.all()).get(scope)
        told = {"who": standing.who, "why": standing.why, "fresh": standing.who == who} if standing else {}
        desk.tell({"scope": scope, **told}, Text(clean(f"{said} `payflow resume {scope} --why …` opens it again.")))
    return Code.OK


async def resume(desk: Desk, *, scope: str, why: str) -> Code:
    """Allow sends in a scope again."""
    async with desk.open() as payflow:
        said = await steering_of(payflow).resume(scope, await named(desk, payflow.store), why)
        desk.tell({"scope": scope}, Text(clean(said)))
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
