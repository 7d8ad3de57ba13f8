"""What the commands on bounties do."""

from machines.bounty.lifecycle import POLLERS
from machines.core.errors import BadSettings
from payflow.app.installation import Payflow
from payflow.cli.desk import Code, Desk, Usage, named
from payflow.cli.words import rows, table
from payflow.desk import forge_sweep
from payflow.desk.bounties import BountyDesk
from payflow.desk.forge_news import UNFINISHED
from payflow.desk.open_bounty import balances, shown


async def sync(desk: Desk) -> Code:
    """Read GitHub as a whole."""
    async with desk.open() as payflow:
        told = await forge_sweep.sweep(_office(payflow))
    desk.tell(told, ", ".join(f"{count} {what}" for what, count in told.items()) + ".")
    return Code.OK


async def ls(desk: Desk, *, finished: bool) -> Code:
    """List bounties."""
    async with desk.open() as payflow:
        found = await _office(payflow).bounties(None if finished else UNFINISHED)
    listed = (
        (one.id, one.data.place.path, one.state, pollers_of(one.state), ", ".join(balances(one.data.holdings)))
        for one in found
    )
    desk.tell([shown(one) for one in found], rows(table("bounty", "issue", "state", "pollers", "holds"), listed))
    return Code.OK


async def show(desk: Desk, *, name: str) -> Code:
    """Show one bounty."""
    async with desk.open() as payflow:
        record = await _office(payflow).find(name)
    known = {**shown(record), "pollers": pollers_of(record.state)}
    told = ((key, str(value)) for key, value in known.items() if value not in (None, "", [], {}))
    desk.tell(known, rows(table("", ""), told))
    return Code.OK


async def decide(desk: Desk, *, name: str, number: int) -> Code:
    """Decide who gets a contested bounty."""
    async with desk.open() as payflow:
        who = await named(desk, payflow.store)
        office = _office(payflow)
        record = await office.find(name)
        ids = {claim.number: claim.id for claim in record.data.merged}
        if number and number not in ids:
            raise Usage(f"{record.data.place.path} has no merged pull request {number}; it has {sorted(ids)}.")
        record = await office.decide(record.id, who, ids.get(number, 0))
    desk.tell(shown(record), f"{record.data.place.path} is {record.state}.")
    return Code.OK


def pollers_of(state: str) -> str:
    """Name who looks after a state, in the words of the payout flow's document."""
    return ", ".join(name for name, states in POLLERS.items() if state in states)


def _office(payflow: Payflow) -> BountyDesk:
    if payflow.parts.bounties is None:
        raise BadSettings(
            "Bounties are not set up: set GITHUB_APP_ID, GITHUB_PRIVATE_KEY_FILE and PAYFLOW_BOUNTY_LANE."
        )
    return payflow.parts.bounties.desk
