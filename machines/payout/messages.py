"""What the world is told about a payout: provider and platform news, reviewers a call to look."""

from machines.core.decision import Message
from machines.core.money import Money
from machines.payout.data import PayoutRecord


def news(record: PayoutRecord, event: str, **more: str) -> tuple[Message, ...]:
    """Tell the provider and the platform."""
    body = {**_known(record), "event": event, **more}
    return Message("notify", body), Message("webhook", body)


def review_needed(record: PayoutRecord, why: str) -> Message:
    return Message("notify", {**_known(record), "event": "review_needed", "why": why})


def boarded(batch: str) -> Message:
    return Message("batch", {"batch": batch})


def _known(record: PayoutRecord) -> dict[str, str]:
    known = {"payout": record.id, "owner": record.owner, "destination": record.data.shown}
    if record.amount is None:
        return known
    asset, arrives = record.amount.asset, Money(record.data.send_units, record.amount.asset)
    return {**known, "amount": record.amount.decimal, "currency": asset.code, "arrives": arrives.decimal}
