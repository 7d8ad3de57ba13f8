"""Bounties at the terminal: read GitHub again, look, decide."""

from functools import partial
from typing import Annotated

import typer

bounty = typer.Typer(name="bounty", help="Bounties of a GitHub organisation.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Name = Annotated[
    str, typer.Argument(metavar="BOUNTY", help="Its id, such as bounty-03-abcdefgh23456777, or its issue's id.")
]


@bounty.command()
def sync(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Read from GitHub what deliveries may have failed to tell: repositories, labelled issues, pull requests."""
    from payflow.cli import bounty_work, desk

    desk.go(context, bounty_work.sync, as_json=as_json)


@bounty.command()
def ls(
    context: typer.Context,
    *,
    finished: Annotated[bool, typer.Option("--all", help="Also those that are paid or refunded.")] = False,
    as_json: AsJson = False,
) -> None:
    """List bounties, each with its state and the pollers that look after it."""
    from payflow.cli import bounty_work, desk

    desk.go(context, partial(bounty_work.ls, finished=finished), as_json=as_json)


@bounty.command()
def show(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Show one bounty with all that is known of it."""
    from payflow.cli import bounty_work, desk

    desk.go(context, partial(bounty_work.show, name=name), as_json=as_json)


@bounty.command()
def decide(
    context: typer.Context,
    name: Name,
    *,
    pull: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="The merged pull request that gets it; 0 lets it go on.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say who gets a contested bounty."""
    from payflow.cli import bounty_work, desk

    desk.go(context, partial(bounty_work.decide, name=name, number=pull), as_json=as_json)
