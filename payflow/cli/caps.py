"""What may leave in a day, and what of it has left."""

from payflow.app.installation import Payflow
from payflow.cli.terminal import Column, Commands, Terminal
from payflow.desk.caps import daily_caps

CAPS = (
    Column("cap", None, "of"),
    Column("currency", None, lambda one: one.most.asset.code),
    Column("a_day", None, lambda one: str(one.most)),
    Column("used", None, lambda one: str(one.used)),
    Column("left", None, lambda one: str(one.left)),
    Column("reached", None, lambda one: "payouts wait" if one.reached else ""),
)

command = Commands()


@command("payflow caps")
async def caps(terminal: Terminal, payflow: Payflow) -> None:
    found = await daily_caps(payflow.store)
    terminal.tell_list(CAPS, found, "No cap of the day is set: PAYFLOW_PAYOUT_CAPS sets one.")
