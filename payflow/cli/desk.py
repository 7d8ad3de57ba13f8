"""What every command has at hand: the settings, a way to open the installation, a way to tell what it found."""

import asyncio
import json
import sys
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import typer

from machines.core.errors import BadInput, BadSettings, PayflowError, StoreUnavailable, StoreUnfit
from machines.core.machine import AnyMachine
from payflow.app.installation import Assemble, Payflow, assemble, opened
from payflow.config import Settings, load
from payflow.desk.person import Person, holder, shell
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store
from payflow.telemetry import logs

OPERATES = frozenset({Role.OPERATOR})
REVIEWS = frozenset({Role.REVIEWER})


class Code(IntEnum):
    """What a command's exit code means; the same for all commands."""

    OK = 0
    REFUSED = 1
    """What was asked for was refused, or faults were found."""
    USAGE = 2
    """The command line or the settings cannot be used."""
    STORE = 3
    """The store cannot be reached, or must not be used."""
    INTERRUPTED = 130


class Usage(PayflowError):
    """What was typed cannot be used."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One command at work."""

    settings: Settings
    assemble: Assemble
    as_json: bool

    def open(self) -> AbstractAsyncContextManager[Payflow]:
        """Open the installation; the embedded store is shared with a service that runs.

        A command makes no store: whoever types it in the wrong folder, or without the settings of the service, would
        steer an empty one and believe that it was theirs.
        """
        return opened(self.settings, self.assemble, make=False)

    def tell(self, data: object, *drawings: object) -> None:
        """Print the data for a machine, or the drawings for a person."""
        if self.as_json:
            print_json(data)
            return
        from payflow.cli.words import console  # noqa: PLC0415  (rich is for people only)

        for drawing in drawings:
            console().print(drawing)


Action = Callable[[Desk], Coroutine[Any, Any, Code]]


def go(context: typer.Context, action: Action, *, as_json: bool) -> None:
    """Run a command and leave with its exit code; an error that was foreseen is one clear sentence."""
    with leaving():
        desk = Desk(load(), context.obj or assemble, as_json)
        logs.configure("error", "text")
        raise typer.Exit(asyncio.run(action(desk)))


@contextmanager
def leaving() -> Iterator[None]:
    """Turn what ends a command into its exit code."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(Code.INTERRUPTED) from None
    except Exception as error:
        foreseen = _foreseen(error)
        if foreseen is None:
            raise
        typer.echo(f"payflow: {foreseen}", err=True)
        raise typer.Exit(code_of(foreseen)) from None


def _foreseen(error: BaseException) -> PayflowError | None:
    """Find our own error, which a task group may have wrapped."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, PayflowError) else None


def code_of(error: PayflowError) -> Code:
    """Tell the exit code of an error."""
    if isinstance(error, StoreUnavailable | StoreUnfit):
        return Code.STORE
    if isinstance(error, BadSettings | Usage):
        return Code.USAGE
    return Code.REFUSED


@contextmanager
def typed() -> Iterator[None]:
    """Mark what is refused inside as a mistake in the command line."""
    try:
        yield
    except BadInput as error:
        raise Usage(str(error)) from error


def print_json(data: object) -> None:
    """Print one document on one line, at once: whoever reads it may be waiting."""
    typer.echo(json.dumps(data, ensure_ascii=False))
    sys.stdout.flush()


def confirm(desk: Desk, lines: Iterable[str]) -> None:
    """Show what would happen, and go on only if a person says yes."""
    if desk.as_json:
        raise Usage("With --json nobody can be asked: add --yes.")
    from payflow.cli.words import clean  # noqa: PLC0415  (as above)

    for line in lines:
        typer.echo(clean(line))
    try:
        sure = typer.confirm("Do it?")
    except typer.Abort:
        raise BadInput("Nobody answered, so nothing was changed: add --yes in scripts.") from None
    if not sure:
        raise BadInput("Nothing was changed.")


def machine_of(payflow: Payflow, name: str) -> AnyMachine:
    """Find a machine by the name that was typed."""
    machines = payflow.store.records.machines
    if name not in machines:
        raise Usage(f"There is no machine {name!r}; {listed(machines)}.")
    return machines[name]


def listed(names: Iterable[str]) -> str:
    """Say what there is."""
    joined = ", ".join(names)
    return f"there is {joined}" if joined else "this Payflow has none yet"


async def person(desk: Desk, store: Store, roles: Collection[Role] = OPERATES) -> Person:
    """Tell who types: the holder of the token that is set, or this shell, which may do what takes one operator.

    Where a shell may not, and somebody is there to be asked, they are asked for their token.
    """
    secret = desk.settings.token.get_secret_value().strip() if desk.settings.token else ""
    if not secret and Role.OPERATOR not in roles and not desk.as_json:
        secret = _asked()
    if not secret:
        who = shell()
    else:
        token = await Tokens(store.link).find(secret)
        if token is None:
            raise BadInput(
                "The token that is shown (PAYFLOW_TOKEN, its file, or what was typed) is unknown here or was revoked: "
                "see that it is of this installation. Nothing was done."
            )
        who = holder(token)
    who.refuse_unless(roles)
    return who


async def named(desk: Desk, store: Store, roles: Collection[Role] = OPERATES) -> str:
    """Tell who types, as the history calls them."""
    return (await person(desk, store, roles)).name


def _asked() -> str:
    try:
        return str(typer.prompt("Your token", default="", show_default=False, hide_input=True, err=True)).strip()
    except typer.Abort:
        return ""
