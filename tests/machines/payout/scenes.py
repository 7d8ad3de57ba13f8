"""Payouts as tests need them: in a state, with a past that can lead there."""

from dataclasses import replace
from typing import Any

from machines.core.clock import Millis
from machines.core.decision import Decision
from machines.core.errors import BadInput
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId
from machines.core.money import NGN, Money
from machines.core.ports import Evidence
from machines.core.record import Record
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Attempt, PayoutData, PayoutRecord, RiskFinding, Wish, reference_of
from machines.payout.policy import PayoutPolicy
from machines.payout.react import react

NOW = Millis(1_800_000_000_000)
ID = RecordId("payout-01-abcdefgh23456777")
FIRST, SECOND, THIRD = (reference_of(ID, number) for number in (1, 2, 3))
RECEIPT = Evidence("flutterwave", "receipt")
PRINT = "print of 1000 to bank 044"
POLICY = PayoutPolicy()
STATES = tuple(s.LIFECYCLE.states)


def data(**parts: Any) -> PayoutData:
    """What a payout of Ann's keeps."""
    given: dict[str, Any] = {
        "rail": "flutterwave",
        "method": "bank",
        "sealed": "sealed account",
        "shown": "044 ••••0031",
        "send_units": 100_000,
        "requested_by": "ann",
        "fingerprint": PRINT,
        "rules": "rules.sealed",
    }
    return PayoutData(**(given | parts))


def payout(state: str, since: int = NOW, units: int = 100_000, **parts: Any) -> PayoutRecord:
    """A payout of Ann's in a state; what has come further than a request was assessed."""
    parts.setdefault("assessed", state != s.REQUESTED)
    return Record(
        id=ID,
        machine="payout",
        state=state,
        version=3,
        owner=Owner("ann"),
        amount=Money(units, NGN),
        data=data(**parts),
        created_at=Millis(since),
        since=Millis(since),
    )


def attempt(number: int = 1, **parts: Any) -> Attempt:
    """An attempt that the rail was asked to pay."""
    given: dict[str, Any] = {"reference": reference_of(ID, number), "sealed": "sealed account", "sent": True}
    return Attempt(**(given | parts))


def failed(number: int = 1, **parts: Any) -> Attempt:
    """An attempt that is proven unpaid."""
    return attempt(number, **({"failed": "the bank said no"} | parts))


ONE = (attempt(),)
TWO = (failed(), attempt(2))
WISH = Wish("cancel", "ann", "changed my mind", NOW - 1000)
REVIEW = (RiskFinding("amount", "NGN 60000.00 is more than NGN 50000.00"),)

# What can have happened before, in any state: the facts must find an answer to all of it.
PASTS: dict[str, dict[str, Any]] = {
    "nothing yet": {},
    "assessed": {"assessed": True, "findings": REVIEW},
    "two needed": {"assessed": True, "approvals_needed": 2},
    "an attempt that may not be sent": {"assessed": True, "attempts": (attempt(sent=False),)},
    "an attempt that was never begun": {"assessed": True, "attempts": (attempt(sent=False, opened_at=NOW),)},
    "an attempt, and not wanted": {"assessed": True, "attempts": ONE, "wish": WISH},
    "one failed, and not wanted": {"assessed": True, "attempts": (failed(),), "failures": 1, "wish": WISH},
    "an attempt": {"assessed": True, "attempts": ONE},
    "an attempt that was lost": {"assessed": True, "attempts": ONE, "unseen": 1, "unseen_since": 1, "lost": 4},
    "one failed": {"assessed": True, "attempts": (failed(),), "failures": 1},
    "one refused": {"assessed": True, "attempts": (failed(sent=False),), "failures": 4},
    "two": {"assessed": True, "attempts": TWO, "failures": 1},
    "all failed": {"assessed": True, "attempts": (failed(), failed(2), failed(3), failed(4)), "failures": 4},
    "first paid": {"assessed": True, "attempts": ONE, "paid_by": FIRST, "evidence": RECEIPT},
    "both paid": {"assessed": True, "attempts": TWO, "paid_by": FIRST, "also_paid": (SECOND,), "evidence": RECEIPT},
}


def answer(
    record: PayoutRecord, fact: Fact, now: int = NOW, policy: PayoutPolicy = POLICY
) -> Decision[PayoutData] | str:
    """What the machine decides, or why it refuses."""
    try:
        return react(policy, record, fact, Millis(now))
    except BadInput as refusal:
        return str(refusal)


def decide(record: PayoutRecord, fact: Fact, now: int = NOW, policy: PayoutPolicy = POLICY) -> Decision[PayoutData]:
    """What the machine decides; it must not refuse."""
    return react(policy, record, fact, Millis(now))


def after(record: PayoutRecord, fact: Fact, now: int = NOW, policy: PayoutPolicy = POLICY) -> PayoutRecord:
    """The record as the store will have it after a fact."""
    return carried_out(record, decide(record, fact, now, policy), now)


def carried_out(record: PayoutRecord, decision: Decision[PayoutData], now: int) -> PayoutRecord:
    """Do what the store does with a decision, without a store."""
    if decision.to is not None:
        state = decision.to
    elif decision.trigger is not None:
        state = s.LIFECYCLE.target(record.state, decision.trigger).name
    else:
        state = record.state
    return replace(
        record,
        state=state,
        version=record.version + 1,
        data=record.data if decision.data is None else decision.data,
        since=record.since if state == record.state else Millis(now),
    )


def told(decision: Decision[PayoutData], kind: str = "notify") -> list[str]:
    """The events that a decision tells of."""
    return [
        str(message.body.get("event", message.body.get("why"))) for message in decision.messages if message.kind == kind
    ]


def paid(reference: str = FIRST) -> f.Paid:
    """The rail proves that it was paid."""
    return f.Paid(reference, RECEIPT)


def not_paid(reference: str = FIRST, **parts: Any) -> f.NotPaid:
    """The rail proves that it was not paid."""
    return f.NotPaid(**({"reference": reference, "reason": "the bank said no"} | parts))
