"""Commands for the long run: watching, saving and setting back, putting away, and reconciling."""

from functools import partial
from typing import Annotated

import typer

app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Reason = Annotated[str, typer.Option(help="Why: it is kept for whoever asks later.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

KEEP, LOOK, PROVE = "Keep", "Look", "Prove"


@app.command(rich_help_panel=PROVE)
def reconcile(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option(metavar="TIME", help="From when on: 2027-01-15T08:00 in UTC, or 90m, 6h, 3d.")],
    owner: Annotated[
        list[str] | None, typer.Option(metavar="ID=NAME", help="Whose a payout was that the store has forgotten.")
    ] = None,
    dismiss: Annotated[
        list[str] | None, typer.Option(metavar="SUBJECT", help="A finding that you have dealt with by hand.")
    ] = None,
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Compare the store with what the world did since a time; then open what closed when the store lost writes."""
    from payflow.cli import desk
    from payflow.cli.reconcile import reconcile as run

    action = partial(run, since=since, owners=owner or (), dismissed=dismiss or (), reason=reason, yes=yes)
    desk.go(context, action, as_json=as_json)


@app.command(rich_help_panel=KEEP)
def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file; compressed when its name ends in .zst.")],
    *,
    machine: Annotated[str | None, typer.Option(help="Only records of this machine.")] = None,
    state: Annotated[str | None, typer.Option(help="Only records in this state.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only records of this owner.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only what came into its state since then.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write records with their whole histories into a file, one JSON document a line; the store keeps them."""
    from payflow.cli import archive, desk

    action = partial(archive.export_records, file=file, machine=machine, state=state, owner=owner, since=since)
    desk.go(context, action, as_json=as_json)


@app.command(rich_help_panel=KEEP)
def archive(
    context: typer.Context,
    *,
    before: Annotated[str, typer.Option(metavar="TIME", help="What ended before: 2027-01-15T08:00, or 90d ago.")],
    to: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where to; by default `archive` in PAYFLOW_DATA.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take finished records and old postings out of the store, into a file; their keys never pay again."""
    from payflow.cli import archive as archives
    from payflow.cli import desk

    action = partial(archives.archive_records, before=before, to=to, yes=yes)
    desk.go(context, action, as_json=as_json)


@app.command(rich_help_panel=KEEP)
def backup(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file, such as payflow-2027-01-15.tar.zst.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Save the embedded store into a file, while payments go on."""
    from payflow.cli import backup as backups
    from payflow.cli import desk

    desk.go(context, partial(backups.backup, file=file), as_json=as_json)


@app.command(rich_help_panel=KEEP)
def restore(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `payflow backup` wrote.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Put a saved store into a data folder that has none; nothing is sent until it was reconciled."""
    from payflow.cli import backup as backups
    from payflow.cli import desk

    desk.go(context, partial(backups.restore, file=file), as_json=as_json)


@app.command(rich_help_panel=LOOK)
def top(
    context: typer.Context,
    *,
    every: Annotated[float, typer.Option(min=0.2, metavar="SECONDS", help="How often to look.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch the installation: records by state, how fast they move, what is late, paused or closed."""
    from payflow.cli import desk
    from payflow.cli import top as tops

    desk.go(context, partial(tops.top, every_s=every, once=once), as_json=as_json)
