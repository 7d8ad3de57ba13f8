"""Bounties at the terminal: read GitHub again, look, decide."""

from typing import Annotated

import typer

from machines.bounty.lifecycle import POLLERS
from machines.core.errors import BadSettings
from payflow.app.installation import Payflow
from payflow.cli.terminal import Column, Commands, Terminal, Usage, drawn, grid
from payflow.desk.bounties.bounties import BountyDesk, sweep_forge
from payflow.desk.bounties.finding import UNFINISHED
from payflow.desk.bounties.open_bounty import balances, shown

Name = Annotated[
    str, typer.Argument(metavar="BOUNTY", help="Its id, such as bounty-03-abcdefgh23456777, or its issue's id.")
]

command = Commands()


def _pollers(state: str) -> str:
    """Name who looks after a state, in the words of the payout flow's document."""
    return ", ".join(name for name, states in POLLERS.items() if state in states)


BOUNTY = (
    Column("", "bounty", "id"),
    Column("", "issue", "data.place.path"),
    Column("", "state", "state"),
    Column("", "pollers", lambda one: _pollers(one.state)),
    Column("", "holds", lambda one: ", ".join(balances(one.data.holdings))),
)
"""For people; for machines a bounty is told as the API tells it."""


@command("payflow bounty sync")
async def sync(terminal: Terminal, payflow: Payflow) -> None:
    """Read from GitHub what deliveries may have failed to tell: repositories, labelled issues, pull requests."""
    answer = await sweep_forge(_desk(payflow))
    terminal.tell(answer, ", ".join(f"{count} {what}" for what, count in answer.items()) + ".")


@command("payflow bounty ls --all")
async def ls(
    terminal: Terminal,
    payflow: Payflow,
    *,
    finished: Annotated[bool, typer.Option("--all", help="Also those that are paid or refunded.")] = False,
) -> None:
    """List bounties, each with its state and the pollers that look after it."""
    found = await _desk(payflow).bounties(None if finished else UNFINISHED)
    terminal.tell([shown(one) for one in found], drawn(BOUNTY, found))


@command("payflow bounty show bounty-03-abcdefgh23456777")
async def show(terminal: Terminal, payflow: Payflow, name: Name) -> None:
    """Show one bounty with all that is known of it."""
    record = await _desk(payflow).find(name)
    answer = {**shown(record), "pollers": _pollers(record.state)}
    terminal.tell(answer, grid({key: str(value) for key, value in answer.items() if value not in (None, "", [], {})}))


@command("payflow bounty decide bounty-03-abcdefgh23456777 --pull 12")
async def decide(
    terminal: Terminal,
    payflow: Payflow,
    name: Name,
    *,
    pull: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="The merged pull request that gets it; 0 lets it go on.")
    ],
) -> None:
    """Say who gets a contested bounty."""
    who, desk = await terminal.person(payflow), _desk(payflow)
    record = await desk.find(name)
    ids = {claim.number: claim.id for claim in record.data.merged}
    if pull and pull not in ids:
        raise Usage(f"{record.data.place.path} has no merged pull request {pull}; it has {sorted(ids)}.")
    record = await desk.decide(record.id, who.name, ids.get(pull, 0))
    terminal.tell(shown(record), f"{record.data.place.path} is {record.state}.")


def _desk(payflow: Payflow) -> BountyDesk:
    if payflow.parts.bounties is None:
        raise BadSettings(
            "Bounties are not set up: set GITHUB_APP_ID, GITHUB_PRIVATE_KEY_FILE and PAYFLOW_BOUNTY_LANE."
        )
    return payflow.parts.bounties.desk
