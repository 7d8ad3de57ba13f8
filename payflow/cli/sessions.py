"""Who is signed in at the pages, from where, and since when; ended at once."""

from typing import Annotated

import typer

from payflow.app.installation import Payflow
from payflow.cli.terminal import TIME, Column, Commands, Terminal, ago
from payflow.desk.identity import end_session, open_sessions
from payflow.desk.person import STAFF

command = Commands()


@command("payflow session ls")
async def ls(terminal: Terminal, payflow: Payflow) -> None:
    """List who is signed in: for operators everybody, for everybody else their own."""
    now = await payflow.store.records.now()
    columns = (
        Column("name", "session", "use.name"),
        Column("who", "who"),
        Column("role", "role"),
        Column("address", "from", "use.address"),
        Column("opened_at", "since (UTC)", "use.opened_at", TIME),
        Column("seen_at", "idle for>", "use.seen_at", ago(now)),
        Column("let_in_by", "let in by", "use.let_in_by"),
    )
    found = await open_sessions(payflow.store, await terminal.person(payflow, STAFF))
    terminal.tell_list(columns, found, "Nobody is signed in.")


@command("payflow session end 0a1b2c3d4e5f")
async def end(
    terminal: Terminal,
    payflow: Payflow,
    name: Annotated[str, typer.Argument(metavar="SESSION", help="As `payflow session ls` names it.")],
) -> None:
    """End a session at once: whoever has it open must sign in again."""
    one = await end_session(payflow.store, name, await terminal.person(payflow, STAFF))
    terminal.tell({"name": name, "who": one.who, "ended": True}, f"{one.who} is signed out there.")
