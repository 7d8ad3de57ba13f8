"""What every command has at hand: how it is declared, the installation, who types, ways to read, ask, tell and draw."""

import asyncio
import inspect
import json
import re
import sys
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import cache, cached_property, wraps
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput, BadSettings, NotAllowed, PayflowError, StoreUnavailable, StoreUnfit
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.machine import AnyMachine
from machines.core.money import Asset, Assets, Money
from payflow.app.installation import Assemble, Payflow, assemble, opened, refuse_unfit
from payflow.cli import saved_login
from payflow.config import Settings, load
from payflow.desk import person
from payflow.desk.person import OPERATES, Person, identified, refuse_reading_only, shell
from payflow.desk.platforms import find_owner
from payflow.shown import amount, amount_json, iso, span, utc
from payflow.store.registers.tokens import Role, Tokens
from payflow.telemetry import logs
from payflow.telemetry.health import Level

WIDE = 200
LEVEL_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


@cache
def console() -> Console:
    """Where people read. A pipe gets wide lines, so that nothing is cut off."""
    return Console(
        markup=False, highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE
    )


def clean(text: str) -> str:
    """Show what came from outside without the power to steer the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


# ── how far it is ───────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def bar(what: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show how far it is, on the error output: what a command tells may be read by a program."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda number: progress.advance(task, number)


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Format(NamedTuple):
    """How a value is written, for machines and for people."""

    json: Callable[[Any], object]
    text: Callable[[Any], str | Text]


def as_it_is(value: Any) -> Any:  # noqa: ANN401  (whatever a list is made of)
    """Write a value as it is."""
    return value


def _plain(value: object) -> str | Text:
    return value if isinstance(value, Text) else "" if value is None else str(value)


PLAIN = Format(as_it_is, _plain)
COUNT = Format(as_it_is, "{:,}".format)
MONEY = Format(amount_json, amount)
TIME = Format(lambda at: None if at is None else iso(at), lambda at: "" if at is None else utc(at))


def ago(now: Millis) -> Format:
    """Write since when something is, and for people how long that is."""
    return Format(TIME.json, lambda at: "" if at is None else span(now - at))


class Column(NamedTuple):
    """One thing that a list tells of each of its items."""

    key: str
    """Its name for machines; empty for what only people are told."""
    title: str | None
    """Its head for people; ends in `>` where there are numbers; None for what only machines are told."""
    of: str | Callable[[Any], Any] = ""
    """Where it is: a path of attributes, by default its key, or a function."""
    form: Format = PLAIN

    def value(self, item: object) -> Any:  # noqa: ANN401  (whatever it is)
        """Find it."""
        return self.of(item) if callable(self.of) else attrgetter(self.of or self.key)(item)


def json_of(columns: Iterable[Column], item: object) -> dict[str, Any]:
    """Write an item for machines."""
    return {one.key: one.form.json(one.value(item)) for one in columns if one.key}


def drawn(columns: Iterable[Column], items: Iterable[object]) -> Table:
    """Draw a table."""
    shown = [one for one in columns if one.title is not None]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(shown):
        head = column.title or ""
        table.add_column(
            head.rstrip(">"),
            justify="right" if head.endswith(">") else "left",
            overflow="fold",
            no_wrap=place == 0,  # what comes first is copied and typed again
        )
    for item in items:
        table.add_row(*(_cell(one.form.text(one.value(item))) for one in shown))
    return table


def grid(lines: Mapping[str, str | Text] | Iterable[Sequence[str | Text]]) -> Table:
    """Draw lines without heads: names before what is told of them."""
    table = Table.grid(padding=(0, 2))
    if isinstance(lines, Mapping):
        lines = [(Text(clean(name), "dim"), value) for name, value in lines.items()]
    for line in lines:
        table.add_row(*map(_cell, line))
    return table


def _cell(value: str | Text) -> str | Text:
    return clean(value) if isinstance(value, str) else value


RecordName = Annotated[str, typer.Argument(metavar="ID", help="A record, such as payout-03-abcdefgh23456777.")]
Reason = Annotated[str, typer.Option("--reason", help="Why: it is kept for whoever asks later.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]

_SPAN = re.compile(r"([0-9]{1,4})(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


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


@dataclass(frozen=True)
class Terminal:
    """One command at work."""

    read: Callable[[], Settings]
    """Reads the settings: the few commands that need none work where they are wrong."""
    assemble: Assemble
    as_json: bool

    @cached_property
    def settings(self) -> Settings:
        """The settings."""
        return self.read()

    def open(self, pool_files: Sequence[Path] = (), *, make: bool = False) -> AbstractAsyncContextManager[Payflow]:
        """Open the installation; the embedded store is shared with a service that runs.

        A command makes no store: whoever types it in the wrong folder, or without the settings of the service, would
        steer an empty one and believe that it was theirs. Nor does it run workers, so that it opens no key of a lane.
        """
        settings = self.settings.model_copy(update={"enable_workers": False})
        return opened(settings, self.assemble, pool_files=pool_files, make=make)

    def run(self, work: Coroutine[Any, Any, "Code | None"]) -> "Code | None":
        """Do what needs no worker."""
        logs.configure("error", "text")
        return asyncio.run(work)

    # ── who types ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def person(self, payflow: Payflow, roles: Collection[Role] = OPERATES) -> Person:
        """Tell who types: the holder of the token that is set, who logged in, or this shell, as one operator.

        Where a shell may not, and somebody is there to be asked, they are asked for their token.
        """
        secret = self.settings.token.get_secret_value().strip() if self.settings.token else ""
        login = None if secret else saved_login.read(self.settings)
        secret = login.token if login else secret
        if not secret and Role.OPERATOR not in roles and not self.as_json:
            secret = _asked()
        if not secret:
            who = shell()
        else:
            caller = await identified(payflow.store, await Tokens(payflow.store.link).find(secret))
            if caller is None and login is not None:
                raise BadInput(
                    f"What `payflow login` gave to {login.who} opens nothing any more: type it again, or `payflow "
                    "logout` to go on as this shell. Nothing was done."
                )
            if caller is None:
                raise BadInput(
                    "The token that is shown (PAYFLOW_TOKEN, its file, or what was typed) is unknown here, expired or "
                    "revoked, or its person was disabled: see that it is of this installation. Nothing was done."
                )
            refuse_reading_only(caller.scope)
            who = caller.person
        who.refuse_unless(roles)
        return who

    async def acting(self, payflow: Payflow, roles: Collection[Role] = OPERATES) -> Person:
        """Tell who types what changes records: no record of a store that may drop it is touched."""
        refuse_unfit(payflow.store)
        return await self.person(payflow, roles)

    def confirm(self, lines: Iterable[str]) -> None:
        """Show what would happen, and go on only if a person says yes."""
        if self.as_json:
            raise Usage("With --json nobody can be asked: add --yes.")
        for line in lines:
            typer.echo(clean(line))
        try:
            sure = typer.confirm("Do it?")
        except typer.Abort:
            raise BadInput("Nobody answered, so nothing was changed: add --yes in scripts.") from None
        if not sure:
            raise BadInput("Nothing was changed.")

    # ── told ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, data: object, *drawings: object) -> None:
        """Print the data for a machine, or the drawings and lines for a person."""
        if self.as_json:
            print_json(data)
            return
        for drawing in drawings:
            console().print(Text(clean(drawing)) if isinstance(drawing, str) else drawing)

    def tell_list(self, columns: Sequence[Column], items: Collection[Any], empty: str) -> None:
        """Print a list: for people as a table, or a sentence where there is nothing in it."""
        self.tell([json_of(columns, one) for one in items], drawn(columns, items) if items else empty)


def print_json(data: object) -> None:
    """Print one document on one line, at once: whoever reads it may be waiting."""
    typer.echo(json.dumps(data, ensure_ascii=False))
    sys.stdout.flush()


def _asked() -> str:
    try:
        return str(typer.prompt("Your token", default="", show_default=False, hide_input=True, err=True)).strip()
    except typer.Abort:
        return ""


# ── how a command is declared ────────────────────────────────────────────────────────────────────────────────────────

Function = TypeVar("Function", bound=Callable[..., Any])


class Commands:
    """The commands of one noun; which nouns there are stands in `payflow/cli/commands.py`."""

    def __init__(self) -> None:
        self.typer = typer.Typer(no_args_is_help=True)

    def __call__(self, example: str, name: str | None = None) -> Callable[[Function], Function]:
        """Make a command of a function, with an example for its help.

        Its first parameter is the `Terminal`. Where the second one is a `Payflow`, the installation is open while the
        function runs. All others are typed. It gives its exit code, or none for 0; every command takes --json.
        """

        def declare(function: Function) -> Function:
            signature = inspect.signature(function, eval_str=True)
            _, *rest = signature.parameters.values()
            opens = bool(rest) and rest[0].annotation is Payflow

            @wraps(function)
            def command(context: typer.Context, *, as_json: bool, **typed: object) -> None:
                terminal = Terminal(load, context.obj or assemble, as_json)
                with leaving():
                    done: Any = _opened(function, terminal, typed) if opens else function(terminal, **typed)
                    raise typer.Exit((terminal.run(done) if inspect.iscoroutine(done) else done) or Code.OK)

            kinds = inspect.Parameter
            parameters = [
                kinds("context", kinds.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
                *(rest[1:] if opens else rest),
                kinds("as_json", kinds.KEYWORD_ONLY, default=False, annotation=AsJson),
            ]
            command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
            self.typer.command(name, epilog=f"Example: {example}")(command)
            return function

        return declare


async def _opened(function: Callable[..., Any], terminal: Terminal, typed: dict[str, object]) -> Code | None:
    async with terminal.open() as payflow:
        code: Code | None = await function(terminal, payflow, **typed)
        return code


@contextmanager
def leaving() -> Iterator[None]:
    """Turn what ends a command into its exit code; an error that was foreseen is one clear sentence."""
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


# ── what is typed ────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def typed() -> Iterator[None]:
    """Mark what is refused inside as a mistake in the command line."""
    try:
        yield
    except NotAllowed:
        raise  # it was typed well, by somebody else than may
    except BadInput as error:
        raise Usage(str(error)) from error


async def owner_named(payflow: Payflow, name: str) -> Owner:
    """Read an owner: by the whole name, or as their platform calls them."""
    with typed():
        return await find_owner(payflow.store, name)


def because(reason: str) -> str:
    """Take a reason, where somebody would be asked in vain without one."""
    asks = "This needs a reason: add --reason. It is written into the history for whoever asks later."
    return person.because(reason, asks)


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """Take a name that there is, or say which there are."""
    names = list(dict.fromkeys(names))
    if name not in names:
        there = f"there is {', '.join(names)}" if names else "this Payflow has none yet"
        raise Usage(f"There is no {kind} {name!r}; {there}.")
    return name


def limit_of(text: str, assets: Assets) -> tuple[Asset, Money | None]:
    """Read a limit: `5000000 NGN`, or `none ETH` for none."""
    number, _, code = text.strip().partition(" ")
    asset = assets[code.strip() or "NGN"]
    return asset, None if number == "none" else Money.parse(number, asset)


def machine_of(payflow: Payflow, name: str) -> AnyMachine:
    """Find a machine by the name that was typed."""
    return payflow.store.records.machines[known("machine", name, payflow.store.records.machines)]


def record_of(payflow: Payflow, text: str) -> RecordId:
    """Accept a record's id as it was typed."""
    with typed():
        machine, _ = parse_id(text)
    machine_of(payflow, machine)
    return RecordId(text)


def duration(text: str) -> int:
    """Read how long, such as 90m, 6h or 3d, as milliseconds."""
    long = _SPAN.fullmatch(text.strip())
    if long is None:
        raise Usage(f"{text!r} says not how long: write 90m, 6h or 3d.")
    return int(timedelta(**{_UNITS[long[2]]: int(long[1])}).total_seconds()) * SECOND


def moment(text: str, now: Millis) -> Millis:
    """Read a time: 2027-01-15T08:00 (UTC, unless it says otherwise), or how long ago, such as 90m, 6h or 3d."""
    if _SPAN.fullmatch(text):
        return Millis(now - duration(text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"{text!r} is no time: write 2027-01-15T08:00, or 90m, 6h or 3d for that long ago.") from None
    return Millis(int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * SECOND))
