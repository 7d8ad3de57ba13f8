"""Everything that a provider and their platform hear of a payout is in this table."""

from collections.abc import Mapping
from dataclasses import dataclass

from machines.payout import lifecycle as s


@dataclass(frozen=True, slots=True)
class PayoutEvent:
    """One kind of news."""

    state: str
    """Where the payout is then."""
    means: str
    more: tuple[str, ...] = ()
    """What is said of it beyond what is said of each payout."""


_BACK, _WHY = "the money is available again", ("reason", "reason_code")
EVENTS: Mapping[str, PayoutEvent] = {
    "received": PayoutEvent(s.REQUESTED, "It was asked for, and people look at it before it is paid."),
    "approved": PayoutEvent(s.APPROVED, "It goes out with the next batch."),
    "rejected": PayoutEvent(s.REJECTED, f"It will not be paid, and {_BACK}.", _WHY),
    "cancelled": PayoutEvent(s.CANCELLED, f"It was taken back, or given back unpaid, and {_BACK}.", _WHY),
    "completed": PayoutEvent(s.COMPLETED, "It was paid, with proof.", ("reference",)),
    "failed": PayoutEvent(s.FAILED, "It is proven not paid; the money is still held.", (*_WHY, "next")),
    "reversed": PayoutEvent(s.REVERSED, f"It was paid and came back; {_BACK}.", ("reference",)),
    "paid_after_all": PayoutEvent(
        s.CONTRADICTED, "It was given back, and is proven to be paid now: that is taken off what is available.",
        ("reference",),
    ),
}  # fmt: skip


def public_status(event: str) -> str:
    """Say in the public's word where a payout is after an event."""
    return s.LIFECYCLE.state(EVENTS[event].state).public
