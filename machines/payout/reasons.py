"""Why a payout was not paid, in words for whoever waits for it: their page, mail, API and webhooks read this table.

What the gateway itself said stays on the record, for who works here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from machines.core.ports import Cause
from machines.payout import lifecycle as s

if TYPE_CHECKING:
    from machines.payout.data import PayoutRecord

NO_ACCOUNT, SENT_BACK = "no_account", "sent_back"
_WE_LOOK = "A person looks into it; you need not do anything."


@dataclass(frozen=True, slots=True)
class PlainReason:
    """One reason."""

    code: str
    """For programs: it stays when the words change."""
    text: str
    next: str = ""
    """What happens next, or what the provider may do."""


# By what the rail's adapter found the failure to be about, or by what else it was.
REASONS: Mapping[str, PlainReason] = {
    Cause.DESTINATION: PlainReason(
        "destination", "the bank could not pay this account",
        "Please check where the money should go, and name another account if this one is wrong.",
    ),
    Cause.LIMIT: PlainReason("ours", "it could not be paid for a reason on our side", _WE_LOOK),
    Cause.WALLET: PlainReason("ours", "it could not be paid for a reason on our side", _WE_LOOK),
    Cause.UNKNOWN: PlainReason(
        "unknown", "the bank did not pay it, and did not say why",
        "A person looks into it; please check meanwhile that your account can receive money.",
    ),
    NO_ACCOUNT: PlainReason(
        "no_account", "there is no such account, or it cannot receive this payment",
        "Please check where the money should go, and ask again.",
    ),
    SENT_BACK: PlainReason(
        "sent_back", "the bank sent the money back", "Please check the account before you ask again."
    ),
}  # fmt: skip


def plain(cause: str) -> PlainReason:
    """Say a reason in plain words; what an older version did not write down is not known."""
    return REASONS.get(cause, REASONS[Cause.UNKNOWN])


def reason_of(record: "PayoutRecord") -> tuple[str, str]:
    """Give the code and the words of why a payout was not paid; what a person says has no code, and many have none."""
    data = record.data
    if record.state == s.FAILED or (data.cause and record.state in (s.REJECTED, s.CANCELLED, s.REVERSED)):
        said = plain(data.cause)
        return said.code, said.text
    if record.state == s.REVERSED:
        return plain(SENT_BACK).code, plain(SENT_BACK).text
    return "", data.reason if record.state in (s.REJECTED, s.CANCELLED) else ""
