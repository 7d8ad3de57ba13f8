"""The outbox: what was set aside because nobody took it, and how it is sent once more."""

from typing import Annotated

import typer

from payflow.app.installation import Payflow
from payflow.cli.steering import steering_of
from payflow.cli.terminal import TIME, Column, Commands, Terminal, Usage, drawn, json_of, typed

MOST = 10_000

command = Commands()

MESSAGE = (
    Column("message", "message", "id"),
    Column("at", "written (UTC)", form=TIME),
    Column("kind", "kind"),
    Column("record", "about"),
    Column("event", "news", lambda post: post.body.get("event")),
)


@command("payflow outbox ls")
async def ls(
    terminal: Terminal,
    payflow: Payflow,
    *,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 100,
) -> None:
    """Count the messages that wait, and list those that were set aside after a day of trying."""
    waiting, aside = await payflow.store.outbox.waiting(), await payflow.store.outbox.undelivered(limit)
    terminal.tell(
        {"waiting": waiting, "set_aside": [json_of(MESSAGE, one) for one in aside]},
        f"{waiting} messages wait to be delivered.",
        drawn(MESSAGE, aside) if aside else "None was set aside.",
    )


@command("payflow outbox replay --all")
async def replay(
    terminal: Terminal,
    payflow: Payflow,
    message: Annotated[
        str, typer.Argument(metavar="[MESSAGE]", help="A message, as `payflow outbox ls` names it.")
    ] = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every message that was set aside.")] = False,
) -> None:
    """Send a message that was set aside once more, under its old id, or all of them."""
    if bool(message) == everything:
        raise Usage("Name one message, or --all of them.")
    who, steering = await terminal.person(payflow), steering_of(payflow)
    wanted = [post.id for post in await payflow.store.outbox.undelivered(MOST)] if everything else [message]
    for one in wanted:
        with typed():
            await steering.replay(one, who.name)
    terminal.tell({"replayed": wanted}, f"{len(wanted)} messages are sent once more.")
