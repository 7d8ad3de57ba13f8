"""The outbox: what was set aside because nobody took it, and how it is sent once more."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from payflow.cli.desk import Code, Desk

app = typer.Typer(name="outbox", help="See news that nobody took, and send it once more.", no_args_is_help=True)

MOST = 10_000

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Message = Annotated[str, typer.Argument(metavar="[MESSAGE]", help="A message, as `payflow outbox ls` names it.")]


@app.command()
def ls(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Count the messages that wait, and list those that were set aside after a day of trying."""
    from payflow.cli import desk

    desk.go(context, partial(_ls, limit=limit), as_json=as_json)


@app.command()
def replay(
    context: typer.Context,
    message: Message = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every message that was set aside.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a message that was set aside once more, under its old id, or all of them."""
    from payflow.cli import desk

    desk.go(context, partial(_replay, message=message, everything=everything), as_json=as_json)


async def _ls(desk: "Desk", *, limit: int) -> "Code":
    from rich.text import Text

    from payflow.cli.desk import Code
    from payflow.cli.words import rows, table
    from payflow.shown import iso, utc

    async with desk.open() as payflow:
        waiting = await payflow.store.outbox.waiting()
        aside = await payflow.store.outbox.undelivered(limit)
    drawn = rows(
        table("message", "written (UTC)", "kind", "about", "news"),
        ((post.id, utc(post.at), post.kind, post.record, str(post.body.get("event", ""))) for post in aside),
    )
    told = [
        {
            "message": post.id,
            "at": iso(post.at),
            "kind": post.kind,
            "record": post.record,
            "event": post.body.get("event"),
        }
        for post in aside
    ]
    desk.tell(
        {"waiting": waiting, "set_aside": told},
        Text(f"{waiting} messages wait to be delivered."),
        drawn if aside else Text("None was set aside."),
    )
    return Code.OK


async def _replay(desk: "Desk", *, message: str, everything: bool) -> "Code":
    from rich.text import Text

    from payflow.cli.desk import Code, Usage, named, typed

    if bool(message) == everything:
        raise Usage("Name one message, or --all of them.")
    async with desk.open() as payflow:
        outbox, who = payflow.store.outbox, await named(desk, payflow.store)
        wanted = [post.id for post in await outbox.undelivered(MOST)] if everything else [message]
        for one in wanted:
            async with payflow.store.audit.doing(who, "replay", one):
                with typed():
                    await outbox.replay(one)
    desk.tell({"replayed": wanted}, Text(f"{len(wanted)} messages are sent once more."))
    return Code.OK
