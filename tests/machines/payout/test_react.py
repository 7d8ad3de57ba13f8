"""The payout machine as a function: every state against every fact, with no I/O and no clock."""

import builtins
import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from machines.core.decision import Decision
from machines.core.facts import Fact, LostSight, Nothing, Override, Proof, Refused
from machines.core.lifecycle import OVERRIDE, REOPENING, By, Position
from machines.core.ports import Cause
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import PayoutRecord, RiskFinding
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout as machine
from tests.facts import facts_of
from tests.machines.payout.scenes import (
    FIRST,
    NOW,
    ONE,
    PASTS,
    PRINT,
    RECEIPT,
    SECOND,
    STATES,
    THIRD,
    TWO,
    answer,
    attempt,
    carried_out,
    decide,
    failed,
    payout,
)

OVERRIDES = tuple(
    Override(to=target, reason="the bank called", by="olu", second=second, proof=proof)
    for target in STATES
    for second in ("", "eve")
    for proof in Proof
)
PEOPLE = (f.Approved, f.Declined, f.Cancelled, f.Retried, f.Released, f.Corrected, Override)
FACTS: tuple[Fact, ...] = (
    f.Assessed(()),
    f.Assessed((RiskFinding("amount", "much"),)),
    f.Assessed((), approvals_needed=2),
    f.Assessed((), 1, f.Enquired("ADA BELLO", 1075, 98_925, "print of what the bank said")),
    f.Assessed((RiskFinding("unresolved", "nobody said"),), 1, f.Enquired("", 0, 100_000, "print", given_up=True)),
    f.Unpayable("there is no such account"),
    f.Approved("olu", PRINT),
    f.Approved("olu", "another print"),
    f.Approved("ann", PRINT),
    *(f.Cancelled("ann", "", proof) for proof in Proof),
    *(f.Declined("olu", "no invoice", proof) for proof in Proof),
    f.Waits(NOW + 1),
    f.PassedOver(),
    f.Capped("no more may leave in a day"),
    f.Boarded("20270115-080000-batch"),
    *(
        fact
        for reference in (FIRST, SECOND, THIRD, "payout-09-zzzzzzzzzzzzzzzz-1")
        for fact in (
            f.Submitted(reference, "handle"),
            f.UnderWay(reference),
            f.UnderWay(reference, "approval"),
            f.NotSeen(reference),
            f.NotSeen(reference, listed=True),
            f.Absent(reference),
            f.Named(reference, ("trf_9",)),
            f.Unnamed(reference, ("trf_9",)),
            f.NotTaken(reference, "blacklisted", proven=True),
            f.NotTaken(reference, "nobody knows what that means"),
            f.Paid(reference, RECEIPT),
            f.Paid(reference, RECEIPT, (replace(RECEIPT, reference="another"),), repeated=True),
            f.Paid(reference, replace(RECEIPT, reference="another"), over=("receipt",)),
            f.NotPaid(reference, "the bank said no"),
            f.NotPaid(reference, "", retryable=False),
            *(f.NotPaid(reference, "why", cause=cause) for cause in Cause),
            f.TurnedAway(reference, "our wallet is short"),
            f.CameBack(reference, RECEIPT),
            f.FeeNamed(reference, "10.75"),
            f.ApprovalsLapsed(reference, ("rita",), "the yes of rita counts no more"),
            Refused("blacklisted", reference),
            LostSight("a time-out", reference),
        )
    ),
    *(f.AllProvenUnpaid(count) for count in range(5)),
    f.Retried("olu"),
    f.Released("olu", "he asked for it", proven=True),
    f.Released("olu", "he asked for it", proven=False),
    f.Corrected("ann", "sealed other account", "058 ••••9999", "other print"),
    *(f.Rediscovered(attempts, "olu") for attempts in ((), ONE, TWO, (failed(),), (attempt(3),), (failed(4),))),
    Nothing(),
    Refused(""),
    LostSight(""),
    *OVERRIDES,
)
CIRCUMSTANCES = (
    (NOW, PayoutPolicy()),
    (NOW - 10**10, PayoutPolicy()),
    (NOW, PayoutPolicy((), settle_window_ms=0, watch_ms=0)),
)


@pytest.fixture(autouse=True)
def _no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("react did I/O")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr("time.time", refuse)
    monkeypatch.setattr("time.time_ns", refuse)


def cases(state: str) -> Iterator[tuple[PayoutRecord, Fact, PayoutPolicy]]:
    for past, fact, (since, policy) in product(PASTS.values(), FACTS, CIRCUMSTANCES):
        yield payout(state, since, **past), fact, policy


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_an_answer_to_every_fact(state: str) -> None:
    for record, fact, policy in cases(state):
        decision = answer(record, fact, policy=policy)
        if isinstance(decision, str):
            assert isinstance(fact, PEOPLE), f"{fact} is nobody's word, and was refused: {decision}"
            continue
        assert decision.recorded or not (decision.trigger or decision.data or decision.messages or decision.alarm)
        assert not decision.recorded or decision.why, f"{fact} is written down without a why"
        if decision.trigger == OVERRIDE:
            assert isinstance(fact, Override)
            assert decision.to == fact.to
        elif decision.trigger:
            s.LIFECYCLE.target(state, decision.trigger)
            assert decision.to is None


@pytest.mark.parametrize("state", STATES)
def test_the_same_question_gets_the_same_answer(state: str) -> None:
    for record, fact, policy in cases(state):
        assert answer(record, fact, policy=policy) == answer(record, fact, policy=policy)


@pytest.mark.parametrize("state", [name for name, facts in s.LIFECYCLE.states.items() if facts.final])
def test_a_final_state_is_left_only_by_a_reopening_move(state: str) -> None:
    for record, fact, policy in cases(state):
        decision = answer(record, fact, policy=policy)
        if isinstance(decision, Decision):
            assert decision.trigger is None or decision.trigger in REOPENING


def test_every_move_of_the_table_is_made_by_some_fact() -> None:
    made = {
        (state, decision.trigger)
        for state in STATES
        for record, fact, policy in cases(state)
        if isinstance(decision := answer(record, fact, policy=policy), Decision) and decision.trigger
    }
    moves = {(source, move.trigger) for move in s.LIFECYCLE.moves for source in move.sources}
    assert made == moves | {(state, OVERRIDE) for state in STATES}


def test_every_fact_of_the_machine_is_tried_here() -> None:
    assert {type(fact) for fact in FACTS} == facts_of(f)


def test_an_operator_can_ask_for_a_retry_by_name() -> None:
    retried = machine(PayoutPolicy(), {}).retried
    assert retried is not None
    assert retried("olu") == f.Retried("olu")


def test_every_state_that_is_not_final_has_somebody_who_moves_it_on() -> None:
    for name, facts in s.LIFECYCLE.states.items():
        assert facts.final or facts.by is By.POLLER, name


def test_every_state_whose_money_may_have_left_is_looked_at() -> None:
    """A success or a reversal that nobody looks for is one that the books do not know of."""
    for name, facts in s.LIFECYCLE.states.items():
        assert not facts.may_have_left or facts.by is By.POLLER, name


# ── what holds over all of them ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", STATES)
def test_money_is_given_back_only_by_people_or_on_the_rails_word(state: str) -> None:
    """Towards AVAILABLE: a rejection, a cancellation, a release, an override, a reversal. Nothing else."""
    back: dict[str, tuple[type[Fact], ...]] = {
        "override": (Override,),
        "reject": (f.Declined, f.Unpayable, f.AllProvenUnpaid),
        "cancel": (f.Cancelled, f.AllProvenUnpaid),
        "release": (f.Released, f.AllProvenUnpaid),
        "reverse": (f.CameBack,),
    }
    for record, fact, policy in cases(state):
        decision = answer(record, fact, policy=policy)
        if isinstance(decision, str) or decision.trigger is None:
            continue
        before = s.LIFECYCLE.states[state].position
        target = decision.to or s.LIFECYCLE.target(state, decision.trigger).name
        if s.LIFECYCLE.states[target].position is Position.AVAILABLE and before is not Position.AVAILABLE:
            assert isinstance(fact, back[decision.trigger])
            assert not isinstance(fact, f.AllProvenUnpaid) or record.data.wish


@pytest.mark.parametrize("state", STATES)
def test_an_open_attempt_is_never_given_back_on_one_persons_word(state: str) -> None:
    """It may have left. It takes the rail's proof, or two people."""
    for record, fact, policy in cases(state):
        decision = answer(record, fact, policy=policy)
        if isinstance(decision, str) or decision.trigger is None or record.data.all_dead:
            continue
        target = decision.to or s.LIFECYCLE.target(state, decision.trigger).name
        if s.LIFECYCLE.states[target].position is not Position.AVAILABLE or isinstance(fact, f.CameBack):
            continue
        if isinstance(fact, Override) and fact.second:
            continue
        # What is still open was never begun, and is not begun meanwhile: the store sees to that.
        if isinstance(fact, f.Released):
            assert fact.proven
        elif not isinstance(fact, f.AllProvenUnpaid):
            assert isinstance(fact, Override | f.Cancelled | f.Declined)
            assert fact.proof is Proof.NOT_PAID
        assert isinstance(fact, Override) or record.data.attempts[-1].never_begun
        assert state != s.PROCESSING or decision.unsent


@pytest.mark.parametrize("state", STATES)
def test_a_new_reference_is_opened_only_after_the_last_one_failed(state: str) -> None:
    for record, fact, policy in cases(state):
        if isinstance(fact, f.Rediscovered):
            continue  # opens none: it remembers what was opened before the store was set back
        decision = answer(record, fact, policy=policy)
        if isinstance(decision, Decision) and decision.data is not None:
            before, now = record.data.attempts, decision.data.attempts
            assert [one.reference for one in now[: len(before)]] == [one.reference for one in before]
            if len(now) > len(before):
                assert record.data.all_dead
                assert len(now) == len(before) + 1
                assert len({one.reference for one in now}) == len(now)


@pytest.mark.parametrize("state", STATES)
def test_an_attempt_that_failed_is_never_taken_up_again(state: str) -> None:
    for record, fact, policy in cases(state):
        decision = answer(record, fact, policy=policy)
        if isinstance(decision, Decision) and decision.data is not None:
            for one, then in zip(record.data.attempts, decision.data.attempts, strict=False):
                assert not one.failed or then.failed


@pytest.mark.parametrize("state", STATES)
def test_what_a_rail_proves_about_a_strange_reference_never_fails_or_reverses(state: str) -> None:
    strange = "payout-09-zzzzzzzzzzzzzzzz-1"
    for record, fact, policy in cases(state):
        if isinstance(fact, f.NotPaid | f.CameBack) and fact.reference == strange:
            assert decide(record, fact, policy=policy).trigger is None


@pytest.mark.parametrize("state", STATES)
def test_a_record_in_processing_always_has_an_attempt_to_follow(state: str) -> None:
    for record, fact, policy in cases(state):
        decision = answer(record, fact, policy=policy)
        if isinstance(decision, Decision) and decision.trigger and state not in (s.PROCESSING, s.UNCONFIRMED):
            then = carried_out(record, decision, NOW)
            if then.state in (s.PROCESSING, s.UNCONFIRMED):
                assert then.data.current is not None
