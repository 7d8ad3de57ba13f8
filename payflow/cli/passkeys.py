"""Passkeys at the command line: seen, and removed where one was lost. They are added at the pages alone."""

from typing import Annotated

import typer

from payflow.app.installation import Payflow
from payflow.cli.terminal import TIME, Column, Commands, Terminal
from payflow.desk.passkeys import passkeys_of, remove_passkey

Who = Annotated[str, typer.Argument(help="Whose.")]

command = Commands()

PASSKEY = (
    Column("label", "called"),
    Column("made_at", "added (UTC)", form=TIME),
    Column("used_at", "last used (UTC)", form=TIME),
    Column("let_in_by", "let in by"),
    Column("id", "id"),
)


@command("payflow passkey ls rita")
async def ls(terminal: Terminal, payflow: Payflow, name: Who) -> None:
    """List the passkeys of somebody, the oldest first."""
    found = await passkeys_of(payflow.store, name)
    terminal.tell_list(
        PASSKEY, found, f"{name} has no passkey: they add one at {payflow.settings.pages_at}/admin/passkeys."
    )


@command("payflow passkey remove rita fV3q")
async def remove(
    terminal: Terminal,
    payflow: Payflow,
    name: Who,
    key: Annotated[str, typer.Argument(metavar="ID", help="Its id, or how that begins.")],
) -> None:
    """Let a passkey prove nothing any more, at once and everywhere."""
    who = await terminal.person(payflow)
    passkey = await remove_passkey(payflow.store, who.name, name, key)
    terminal.tell({"label": passkey.label, "removed": True}, f"{passkey.label} of {name} proves nothing any more.")
