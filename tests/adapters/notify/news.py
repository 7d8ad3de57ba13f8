"""Messages as the machines write them, one of each kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from machines.bounty import facts as b
from machines.bounty import lifecycle as bs
from machines.core.decision import Decision
from machines.core.ports import Evidence
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import RiskFinding
from tests.machines.bounty import scenes as bounties
from tests.machines.payout.scenes import FIRST, NOW, ONE, PRINT, decide, failed, not_paid, paid, payout

BACK = f.CameBack(FIRST, Evidence("bank", "returned"))
FOUND = (RiskFinding("amount", "NGN 125050.00 is more than NGN 50000.00"),)
UNITS: dict[str, Any] = {"units": 125_050, "send_units": 125_050}

# Every decision of the machine that tells somebody something.
DECISIONS: tuple[Decision[Any], ...] = (
    decide(payout(s.REQUESTED, **UNITS), f.Assessed(FOUND)),
    decide(payout(s.REQUESTED, **UNITS), f.Assessed(())),
    decide(payout(s.REQUESTED, assessed=True, **UNITS), f.Approved("olu", PRINT)),
    decide(payout(s.REQUESTED, assessed=True, **UNITS), f.Declined("olu", "the invoice is missing")),
    decide(payout(s.REQUESTED, **UNITS), f.Cancelled("ann", "")),
    decide(payout(s.PROCESSING, attempts=ONE, **UNITS), paid()),
    decide(payout(s.PROCESSING, attempts=ONE, **UNITS), not_paid(reason="the account is closed", retryable=False)),
    decide(payout(s.PROCESSING, attempts=ONE, **UNITS), not_paid()),
    decide(payout(s.COMPLETED, attempts=ONE, paid_by=FIRST, **UNITS), BACK),
    decide(payout(s.CANCELLED, attempts=ONE, **UNITS), paid()),
    bounties.decide(bounties.bounty(bs.MERGED), b.NoAddress(bounties.pull().author_id)),
    bounties.decide(bounties.bounty(bs.AWAITING_ADDRESS), b.NoAddress(bounties.pull().author_id)),
    decide(payout(s.FAILED, attempts=(failed(),), **UNITS), f.Corrected("ann", "sealed", "058 ••••9999", "print")),
)
PROFILE_CHANGED = {"event": "profile_changed", "owner": "ann", "changed": "where your money goes"}
ADDRESS_CHANGED = {
    "event": "bounty_address_changed",
    "owner": "ann",
    "address": "0xold",
    "coming": "0xnew",
    "day": "2026-12-02",
    "page": "https://pay.example.com/bounties",
}
ACTED_ALONE = {
    "event": "acted_alone",
    "owner": "one-person",
    "by": "olu",
    "does": "proposes",
    "kind": "override",
    "subject": "payout-03-abcdefgh23456777",
    "reason": "the bank says so",
    "until": "2026-12-02 10:00:00",
    "proposal": "0" * 32,
}
FIRST_SIGN_IN = {
    "event": "first_sign_in",
    "owner": "one-person",
    "by": "rita",
    "issuer": "https://login.example.com/realms/staff",
    "subject": "rita@shop.example",
    "roles": "reviewer",
}
MESSAGES: tuple[Mapping[str, Any], ...] = (
    *(message.body for decision in DECISIONS for message in decision.messages if message.kind == "notify"),
    PROFILE_CHANGED,
    ADDRESS_CHANGED,
    ACTED_ALONE,
    FIRST_SIGN_IN,
)


def message(event: str, **parts: str) -> dict[str, Any]:
    """The first message of a kind."""
    return {**next(body for body in MESSAGES if body["event"] == event), **parts}


@dataclass(frozen=True)
class Letter:
    """A message on its way."""

    body: Mapping[str, Any]
    id: str = "payout-01-abcdefgh23456777/4/1"
    at: int = NOW
