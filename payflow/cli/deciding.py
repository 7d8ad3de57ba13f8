"""What people decide about one payout; the desk does it, as it does for the API."""

from collections.abc import Awaitable, Callable
from typing import Any

from rich.text import Text

from machines.core.errors import BadInput
from machines.core.ids import RecordId
from machines.payout.data import PayoutRecord
from payflow.app.installation import Payflow, refuse_unfit
from payflow.cli.desk import OPERATES, REVIEWS, Code, Desk, Usage, confirm, named
from payflow.cli.records import record_json, record_of
from payflow.cli.words import clean
from payflow.desk.payouts import MACHINE
from payflow.desk.payouts import Desk as PayoutDesk
from payflow.engine.step import Applied
from payflow.shown import amount
from payflow.store.registers.tokens import Role

Decide = Callable[[PayoutDesk, PayoutRecord, str], Awaitable[Applied]]


async def approve(desk: Desk, *, payout_id: str, yes: bool) -> Code:
    """Say yes to what is shown: whatever changes between showing and saying yes is refused."""

    def look(record: PayoutRecord) -> None:
        if not yes:
            confirm(desk, _shown(record))

    return await _decide(
        desk,
        payout_id,
        lambda payouts, record, who: payouts.approve(record.id, who, record.data.proposal.fingerprint),
        look,
        REVIEWS,
    )


async def reject(desk: Desk, *, payout_id: str, reason: str) -> Code:
    """Say no."""
    return await _decide(
        desk, payout_id, lambda payouts, record, who: payouts.reject(record.id, who, _given(reason)), roles=REVIEWS
    )


async def cancel(desk: Desk, *, payout_id: str, reason: str) -> Code:
    """Take it back."""
    return await _decide(desk, payout_id, lambda payouts, record, who: payouts.cancel(record.id, who, _given(reason)))


async def retry(desk: Desk, *, payout_id: str) -> Code:
    """Try once more."""
    return await _decide(desk, payout_id, lambda payouts, record, who: payouts.retry(record.id, who))


async def release(desk: Desk, *, payout_id: str, reason: str) -> Code:
    """Give it back."""
    return await _decide(desk, payout_id, lambda payouts, record, who: payouts.release(record.id, who, _given(reason)))


async def correct(desk: Desk, *, payout_id: str, account: str, bank: str, name: str) -> Code:
    """Name another account."""

    async def decide(payouts: PayoutDesk, record: PayoutRecord, who: str) -> Applied:
        return await payouts.correct_account(record.id, who, account, bank, name)

    return await _decide(desk, payout_id, decide)


async def _decide(
    desk: Desk,
    payout_id: str,
    decide: Decide,
    look: Callable[[PayoutRecord], None] = lambda _: None,
    roles: frozenset[Role] = OPERATES,
) -> Code:
    async with desk.open() as payflow:
        refuse_unfit(payflow.store)
        who = await named(desk, payflow.store, roles)
        record: PayoutRecord = (await payflow.store.records.read(_payout_of(payflow, payout_id))).record
        look(record)
        applied = await decide(_desk(payflow), record, who)
        after: PayoutRecord = applied.after
        told: dict[str, Any] = record_json(after) | {"from": applied.before.state, "why": applied.decision.why}
        moved = f"It is {after.state} now" if applied.decision.trigger else f"It stays {after.state}"
        desk.tell(told, Text(clean(f"{moved}: {applied.decision.why}.")))
    return Code.OK


def _desk(payflow: Payflow) -> PayoutDesk:
    if payflow.parts.desk is None:
        raise Usage("This Payflow pays no payouts.")
    return payflow.parts.desk


def _payout_of(payflow: Payflow, text: str) -> RecordId:
    name = record_of(payflow, text)
    if not name.startswith(f"{MACHINE}-"):
        raise Usage(f"{text} is no payout.")
    return name


def _given(reason: str) -> str:
    if not reason.strip():
        raise BadInput("Say why: add --reason.")
    return reason


def _shown(record: PayoutRecord) -> list[str]:
    data, proposal = record.data, record.data.proposal
    lines = [
        f"{record.id}: {amount(record.amount)} to {proposal.shown}, for {record.owner}",
        f"Asked for by {proposal.by}.",
        *(f"Found: {finding.text}" for finding in data.findings),
        *(f"Approved by {approval.by} already." for approval in data.approvals),
    ]
    return lines + ([f"It failed before: {data.reason}"] if data.correction else [])
