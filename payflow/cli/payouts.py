"""What reviewers and operators decide about one payout; the desk does it, as it does for the API."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from machines.core.ids import RecordId
from machines.payout.data import PayoutRecord
from payflow.app.installation import Payflow
from payflow.cli.records import RECORD
from payflow.cli.terminal import Commands, Reason, RecordName, Terminal, Usage, Yes, because, json_of, record_of
from payflow.desk.payouts import MACHINE, Desk
from payflow.desk.person import OPERATES, REVIEWS, Person
from payflow.desk.values import Applied
from payflow.shown import amount
from payflow.store.registers.tokens import Role

command = Commands()


@command("payflow payout approve payout-03-abcdefgh23456777")
async def approve(terminal: Terminal, payflow: Payflow, payout_id: RecordName, *, yes: Yes = False) -> None:
    """Say yes to the amount and the destination that are shown; nobody approves what they asked for themselves."""

    async def say_yes(desk: Desk, record: PayoutRecord, who: Person) -> Applied:
        # Whatever changes between showing and saying yes is refused.
        if not yes:
            terminal.confirm(_shown(record))
        return await desk.approve(record.id, who, record.data.proposal.fingerprint)

    await _decide(terminal, payflow, payout_id, say_yes, REVIEWS)


@command('payflow payout reject payout-03-abcdefgh23456777 --reason "no invoice"')
async def reject(terminal: Terminal, payflow: Payflow, payout_id: RecordName, *, reason: Reason = "") -> None:
    """Say no to a payout, or to another destination for a failed one; the provider reads why."""
    why = because(reason)
    await _decide(terminal, payflow, payout_id, lambda desk, one, who: desk.reject(one.id, who.name, why), REVIEWS)


@command('payflow payout cancel payout-03-abcdefgh23456777 --reason "asked for twice"')
async def cancel(terminal: Terminal, payflow: Payflow, payout_id: RecordName, *, reason: Reason = "") -> None:
    """Take a payout back that is not with its rail yet; the provider reads why."""
    why = because(reason)
    await _decide(terminal, payflow, payout_id, lambda desk, one, who: desk.cancel(one.id, who.name, why))


@command("payflow payout retry payout-03-abcdefgh23456777")
async def retry(terminal: Terminal, payflow: Payflow, payout_id: RecordName) -> None:
    """Try a failed payout once more, under a new reference."""
    await _decide(terminal, payflow, payout_id, lambda desk, one, who: desk.retry(one.id, who.name))


@command('payflow payout release payout-03-abcdefgh23456777 --reason "they want it by cheque"')
async def release(terminal: Terminal, payflow: Payflow, payout_id: RecordName, *, reason: Reason = "") -> None:
    """Give the money of a failed payout back, if the rail proves that none of its attempts was paid."""
    why = because(reason)
    await _decide(terminal, payflow, payout_id, lambda desk, one, who: desk.release(one.id, who, why))


@command("payflow payout correct payout-03-abcdefgh23456777 --account 0123456789 --bank 044")
async def correct(
    terminal: Terminal,
    payflow: Payflow,
    payout_id: RecordName,
    *,
    account: Annotated[str, typer.Option(metavar="NUMBER", help="The account's or wallet's number.")],
    bank: Annotated[str, typer.Option(metavar="CODE", help="The bank's code; by default the bank stays.")] = "",
    name: Annotated[str, typer.Option(help="Whose account it is.")] = "",
) -> None:
    """Name another account for a failed payout; another person must approve it."""
    await _decide(
        terminal, payflow, payout_id, lambda desk, one, who: desk.correct_account(one.id, who.name, account, bank, name)
    )


async def _decide(
    terminal: Terminal,
    payflow: Payflow,
    payout_id: str,
    decide: Callable[[Desk, PayoutRecord, Person], Awaitable[Applied]],
    roles: frozenset[Role] = OPERATES,
) -> None:
    who = await terminal.acting(payflow, roles)
    record: PayoutRecord = (await payflow.store.records.read(_payout_of(payflow, payout_id))).record
    applied = await decide(desk_of(payflow), record, who)
    after, why = applied.after, applied.decision.why
    moved = f"It is {after.state} now" if applied.decision.trigger else f"It stays {after.state}"
    terminal.tell(json_of(RECORD, after) | {"from": applied.before.state, "why": why}, f"{moved}: {why}.")


def desk_of(payflow: Payflow) -> Desk:
    """Give the desk of the payouts."""
    if payflow.parts.desk is None:
        raise Usage("This Payflow pays no payouts.")
    return payflow.parts.desk


def _payout_of(payflow: Payflow, text: str) -> RecordId:
    name = record_of(payflow, text)
    if not name.startswith(f"{MACHINE}-"):
        raise Usage(f"{text} is no payout.")
    return name


def _shown(record: PayoutRecord) -> list[str]:
    data, proposal = record.data, record.data.proposal
    lines = [
        f"{record.id}: {amount(record.amount)} to {proposal.shown}, for {record.owner}",
        f"Asked for by {proposal.by}.",
        *(f"Found: {finding.text}" for finding in data.findings),
        *(f"Approved by {approval.by} already." for approval in data.approvals),
    ]
    return lines + ([f"It failed before: {data.reason}"] if data.correction else [])
