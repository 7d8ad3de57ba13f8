"""What the world is told about a payout: provider and platform its news, reviewers a call to look."""

from machines.core.decision import Message
from machines.payout.data import Finding, PayoutRecord


def news(record: PayoutRecord, event: str, **more: str) -> tuple[Message, ...]:
    """Tell the provider and the platform."""
    body = {
        "event": event,
        "payout": record.id,
        "owner": record.owner,
        "amount": record.amount.decimal if record.amount else "",
        "currency": record.amount.asset.code if record.amount else "",
        "destination": record.data.shown,
        **more,
    }
    return Message("notify", body), Message("webhook", body)


def review_needed(record: PayoutRecord, findings: tuple[Finding, ...]) -> Message:
    """Ask reviewers to look."""
    return Message(
        "notify",
        {
            "event": "review_needed",
            "payout": record.id,
            "owner": record.owner,
            "amount": str(record.amount),
            "findings": "; ".join(finding.text for finding in findings) or record.data.reason,
        },
    )
