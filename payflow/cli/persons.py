"""Persons who work here: what each may do, up to how much, and under which names they are one person."""

from typing import Annotated

import typer

from machines.core.money import Money
from payflow.app.installation import Payflow
from payflow.cli.steering import who_confirms
from payflow.cli.terminal import (
    TIME,
    Column,
    Commands,
    Format,
    Reason,
    Terminal,
    because,
    drawn,
    json_of,
    known,
    limit_of,
    typed,
)
from payflow.desk import identity
from payflow.desk.identity import PersonChange
from payflow.desk.person import STAFF
from payflow.desk.values import Proposal
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.tokens import Role

Name = Annotated[str, typer.Argument(metavar="PERSON", help="What the history calls them, or another name of theirs.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="reviewer, operator or viewer; may be said again.")]
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="AMOUNT", help="The most of one approval: `500000 NGN`, or `none ETH`."),
]
Aliases = Annotated[
    list[str] | None,
    typer.Option("--alias", metavar="NAME", help="Another name of theirs, such as that of an older token."),
]
Contacts = Annotated[
    list[str] | None,
    typer.Option("--contact", metavar="URL", help="Where they hear of what concerns them, such as mailto:a@b.example."),
]

command = Commands()


@command("payflow person add rita --role reviewer --limit '500000 NGN'")
async def add(
    terminal: Terminal,
    payflow: Payflow,
    name: Name,
    *,
    role: Roles = None,
    limit: Limits = None,
    alias: Aliases = None,
    contact: Contacts = None,
    reason: Reason = "",
) -> None:
    """Register somebody who works here; `payflow token create … --person` gives them a token."""
    change = _change(payflow, role, limit, alias, contact)
    _tell(
        terminal,
        payflow,
        await identity.add_person(payflow.store, name, change, await terminal.person(payflow), reason),
    )


@command('payflow person alone --on --reason "nobody else works here"')
async def alone(
    terminal: Terminal,
    payflow: Payflow,
    *,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Say so, or let it take two again.")] = None,
    reason: Reason = "",
) -> None:
    """Show whether one person is enough for what takes two, after ten minutes; or say so, or end it at once."""
    store, proposal = payflow.store, None
    if on:
        proposal = await identity.propose_one_person(store, reason, await terminal.acting(payflow))
    elif on is False:
        await identity.end_one_person(store, reason, await terminal.acting(payflow))
    found = await store.alone.read()
    said = (
        f"One person is enough for what takes two, since {found.by} said so."
        if found.on
        else "What takes two takes two."
    )
    answer = {"one_person": found.on, "by": found.by, "proposal": proposal.digest if proposal else None}
    terminal.tell(answer, said, *(who_confirms(proposal) if proposal else ()))


@command("payflow person set rita --role reviewer --role operator --alias rita-2025", "set")
async def set_(
    terminal: Terminal,
    payflow: Payflow,
    name: Name,
    *,
    role: Roles = None,
    limit: Limits = None,
    alias: Aliases = None,
    contact: Contacts = None,
    reason: Reason = "",
) -> None:
    """Say otherwise what a person may do; roles and contacts take the place of those before, aliases are added."""
    change = _change(payflow, role, limit, alias, contact)
    _tell(
        terminal,
        payflow,
        await identity.change_person(payflow.store, name, change, await terminal.person(payflow), reason),
    )


@command("payflow person ls")
async def ls(terminal: Terminal, payflow: Payflow) -> None:
    """List everybody who is registered, those who were disabled too."""
    found = await payflow.store.persons.all()
    terminal.tell_list(_columns(payflow), found, "Nobody is registered: each token is a person of its own.")


@command("payflow person show rita")
async def show(terminal: Terminal, payflow: Payflow, name: Name) -> None:
    """Show one person."""
    _tell(terminal, payflow, await identity.find_person(payflow.store, name))


@command('payflow person disable rita --reason "left the company"')
async def disable(terminal: Terminal, payflow: Payflow, name: Name, *, reason: Reason = "") -> None:
    """Let a person come in nowhere any more, at once: all their tokens and sessions open nothing."""
    why, who = because(reason), await terminal.person(payflow)
    _tell(terminal, payflow, await identity.disable_person(payflow.store, name, why, who))


@command('payflow person enable rita --reason "came back"')
async def enable(terminal: Terminal, payflow: Payflow, name: Name, *, reason: Reason = "") -> None:
    """Let a person who was disabled come in again."""
    why, who = because(reason), await terminal.person(payflow)
    _tell(terminal, payflow, await identity.enable_person(payflow.store, name, why, who))


def _change(
    payflow: Payflow,
    roles: list[str] | None,
    limits: list[str] | None,
    aliases: list[str] | None,
    contacts: list[str] | None,
) -> PersonChange:
    with typed():
        return PersonChange(
            frozenset(Role(known("role", role, sorted(STAFF))) for role in roles or ()),
            dict(limit_of(text, payflow.store.records.assets) for text in limits or ()),
            tuple(aliases or ()),
            None if contacts is None else tuple(contacts),
        )


def _columns(payflow: Payflow) -> tuple[Column, ...]:
    persons, assets = payflow.store.persons, payflow.store.records.assets

    def limits(person: RegisteredPerson) -> dict[str, str]:
        return {code: Money(units, assets[code]).decimal for code, units in person.limits.items()}

    listed = Format(list, ", ".join)
    return (
        Column("name", "name"),
        Column("roles", "roles", lambda person: sorted(person.roles), listed),
        Column("limits", "approves up to", limits, Format(dict, lambda of: ", ".join(f"{of[a]} {a}" for a in of))),
        Column("aliases", "also called", form=listed),
        Column("contacts", "contacts>", lambda person: len(persons.contacts(person))),
        Column("made_at", "made (UTC)", form=TIME),
        Column("made_by", "by"),
        Column("disabled_at", "disabled (UTC)", form=TIME),
        Column("disabled_by", "by"),
    )


def _tell(terminal: Terminal, payflow: Payflow, person: RegisteredPerson | Proposal) -> None:
    if isinstance(person, Proposal):
        terminal.tell({"proposal": person.digest}, "Nothing has changed yet.", *who_confirms(person))
        return
    columns = _columns(payflow)
    terminal.tell(json_of(columns, person), drawn(columns, [person]))
