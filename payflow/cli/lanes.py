"""Lanes: the sending addresses, what waits in them, and what an operator may do about it."""

from functools import partial
from typing import Annotated

import typer

lane = typer.Typer(name="lane", help="See and steer the addresses that pay over a chain.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Name = Annotated[
    str,
    typer.Argument(
        metavar="LANE", help="A lane of PAYFLOW_LANES, such as ethereum, or a pool's own, such as pool-etc."
    ),
]
Nonce = Annotated[int, typer.Argument(min=0, help="Which of its transactions.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is written into the history.")]


def _hours(text: str) -> int:
    digits = text.removesuffix("h")
    if not digits.isdecimal():
        raise typer.BadParameter(f"{text!r} is no number of hours: write 6h.")
    return int(digits)


@lane.command()
def ls(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the lanes: where they stand, what they hold, what they wait for.

    Example: payflow lane ls
    """
    from payflow.cli import chains, desk

    desk.go(context, chains.ls, as_json=as_json)


@lane.command()
def show(
    context: typer.Context,
    name: Name,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Payments shown at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what a lane has under way, nonce by nonce, and what waits for a signature.

    Example: payflow lane show ethereum
    """
    from payflow.cli import chains, desk

    desk.go(context, partial(chains.show, name=name, limit=limit), as_json=as_json)


@lane.command()
def bump(context: typer.Context, name: Name, nonce: Nonce, *, reason: Reason = "", as_json: AsJson = False) -> None:
    """Offer more for a transaction that waits, at the same nonce and up to the ceiling.

    Example: payflow lane bump ethereum 17 --reason "it waits for an hour"
    """
    from payflow.cli import chains, desk

    desk.go(context, partial(chains.bump, name=name, nonce=nonce, reason=reason), as_json=as_json)


@lane.command()
def cancel(
    context: typer.Context,
    name: Name,
    what: Annotated[str, typer.Argument(metavar="NONCE|PAYMENT", help="A nonce, or a payment that has none yet.")],
    *,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Take back a payment that waits, or use up a nonce with nothing; which one wins, the chain says.

    Example: payflow lane cancel ethereum 17 --reason "wrong recipient"
    """
    from payflow.cli import chains, desk

    desk.go(context, partial(chains.cancel, name=name, what=what, reason=reason), as_json=as_json)


@lane.command()
def adopt(
    context: typer.Context,
    name: Name,
    *,
    paid: Annotated[
        list[str] | None,
        typer.Option("--paid", metavar="PAYMENT", help="A payment that the transaction from outside has paid."),
    ] = None,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open a lane that stopped because somebody else sent from its address, and say what those transactions were.

    Every suspect that is not named with --paid is paid by the lane afterwards.

    Example: payflow lane adopt ethereum --paid payment-03-abcdefgh23456777 --reason "paid by hand on Monday"
    """
    from payflow.cli import chains, desk

    desk.go(context, partial(chains.adopt, name=name, paid=paid or [], reason=reason, yes=yes), as_json=as_json)


@lane.command()
def trust(
    context: typer.Context,
    node: Annotated[str, typer.Argument(metavar="NODE", help="A node of the lane, by host and port.")],
    *,
    hours: Annotated[
        int, typer.Option("--for", metavar="HOURS", parser=_hours, help="For how long, such as 6h; 24h at most.")
    ],
    name: Annotated[str | None, typer.Option("--lane", help="Which lane, where several have the node.")] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Propose that one node's word counts alone for a time, while too few others answer; another operator confirms.

    Example: payflow lane trust node-1.example:8545 --for 6h --reason "the other provider is down"
    """
    from payflow.cli import chains, desk

    desk.go(
        context,
        partial(chains.trust, node=node, hours=hours, lane=name, reason=reason),
        as_json=as_json,
    )
