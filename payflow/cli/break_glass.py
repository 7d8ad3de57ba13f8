"""What takes two people, at one terminal, when no service answers."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.text import Text

from adapters.notify.people import People
from machines.core.clock import SECOND
from machines.core.errors import BadInput, Retryable
from payflow.app.installation import Payflow, refuse_unfit
from payflow.cli.commands import cli
from payflow.cli.steering import steering_of
from payflow.cli.terminal import Code, Commands, Reason, Terminal, clean
from payflow.desk import break_glass as desk
from payflow.desk.person import Person, identified, refuse_reading_only
from payflow.store.registers.tokens import Tokens

TOKEN, TOKEN_FILE = "PAYFLOW_TOKEN", "PAYFLOW_TOKEN_FILE"

command = Commands()


@command(
    'payflow break-glass --first olu.token --second otto.token --reason "the pages are down" -- '
    "person alone --on --reason because",
    "break-glass",
)
def break_glass(
    terminal: Terminal,
    words: Annotated[list[str], typer.Argument(metavar="COMMAND", help="What takes two, after --.")],
    *,
    first: Annotated[Path, typer.Option(metavar="FILE", help="Holds the token of who proposes it.")],
    second: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the token of who confirms it; none where one is enough."),
    ] = None,
    reason: Reason = "",
) -> Code:
    waited: set[str] = set()
    terminal.run(_begun(terminal, first, second, desk.words_of(words), reason, waited))
    with _showing(first):
        given = cli(list(words), obj=terminal.assemble, standalone_mode=False)
    if given not in (None, Code.OK):
        return Code(given)
    return terminal.run(_confirmed(terminal, first, second, waited)) or Code.OK


async def _begun(
    terminal: Terminal, first: Path, second: Path | None, what: str, reason: str, waited: set[str]
) -> Code:
    async with terminal.open() as payflow:
        refuse_unfit(payflow.store)
        people = People(payflow.settings.mail.get_secret_value() if payflow.settings.mail else "")

        async def tell(contacts: Sequence[str], subject: str, text: str) -> list[str]:
            failed = []
            for contact in contacts:
                try:
                    await people.tell([contact], subject, text)
                except Retryable:
                    failed.append(contact.partition(":")[0])
            return failed

        waited.update(found.digest for found in await steering_of(payflow).two.waiting())
        one, other = await _holder(payflow, first), await _holder(payflow, second) if second else None
        untold = await desk.begin(payflow.store, one, other, what, reason, payflow.settings.reviewers, tell)
        for line in untold:
            typer.echo(clean(line), err=True)
    return Code.OK


async def _confirmed(terminal: Terminal, first: Path, second: Path | None, waited: set[str]) -> Code:
    """Confirm what the first person proposed just now; alone after the wait."""
    async with terminal.open() as payflow:
        two, one = steering_of(payflow).two, await _holder(payflow, first)
        other = await _holder(payflow, second) if second else one
        fresh = [found for found in await two.waiting() if found.digest not in waited and await two.own(found, one)]
        if len(fresh) != 1:
            raise BadInput(f"{len(fresh)} proposals came of it, so nothing was confirmed: `payflow proposals`.")
        (found,) = fresh
        for line in two.says(found):
            typer.echo(clean(line))
        until = await two.alone_from(found) if second is None else None
        if until is not None:
            left_s = max(0, until - await payflow.store.records.now()) / SECOND + 1
            typer.echo(f"It is done in {left_s:.0f} seconds, unless somebody takes it back; Ctrl-C leaves it waiting.")
            await anyio.sleep(left_s)
        said = await two.confirm(found.digest, other)
        terminal.tell({"proposal": found.digest, "did": said}, Text(clean(said), "green"))
    return Code.OK


async def _holder(payflow: Payflow, file: Path) -> Person:
    try:
        secret = (await anyio.Path(file).read_text("utf-8")).strip()
    except OSError as error:
        raise BadInput(f"The token in {file} cannot be read ({error.strerror or error}).") from error
    caller = await identified(payflow.store, await Tokens(payflow.store.link).find(secret))
    if caller is None:
        raise BadInput(f"The token in {file} is unknown here, expired or revoked, or its person was disabled.")
    refuse_reading_only(caller.scope)
    return caller.person


@contextmanager
def _showing(file: Path) -> Iterator[None]:
    """Let the token of a file be the one that is shown."""
    before = {name: os.environ.pop(name, None) for name in (TOKEN, TOKEN_FILE)}
    os.environ[TOKEN_FILE] = str(file)
    try:
        yield
    finally:
        del os.environ[TOKEN_FILE]
        os.environ.update({name: value for name, value in before.items() if value is not None})
