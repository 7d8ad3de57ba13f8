"""The sample machine as a function: every state against every fact, with no I/O and no clock."""

import builtins
import socket
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

import tests.errand
from machines.core.clock import Millis
from machines.core.decision import Decision
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Proof, Refused
from machines.core.ids import Owner, RecordId
from machines.core.lifecycle import OVERRIDE, REOPENING, By, Position
from machines.core.money import NGN, Money
from machines.core.record import Record, Sending
from tests.desk import FakeRail
from tests.errand import LIFECYCLE, Approved, Cancelled, Done, ErrandData, NotDone, Sent, errand, react
from tests.facts import facts_of

NOW = Millis(1_800_000_000_000)
STATES = tuple(LIFECYCLE.states)
FACTS: tuple[Fact, ...] = (
    Approved("ann"),
    Cancelled("ann"),
    Sent(),
    Done("receipt"),
    NotDone("bounced"),
    Nothing(),
    Refused("no such account"),
    LostSight("a time-out"),
    *(
        Override(to=target, reason="the bank called", by="olu", second=second, proof=proof)
        for target in STATES
        for second in ("", "eve")
        for proof in Proof
    ),
)

# What moves a record, and where to. Everything else leaves it where it is.
MOVES = {
    ("ASKED", Approved): "READY",
    ("ASKED", Cancelled): "CANCELLED",
    ("READY", Cancelled): "CANCELLED",
    ("READY", Sent): "SENDING",
    ("SENDING", Done): "DONE",
    ("SENDING", NotDone): "FAILED",
    ("SENDING", Refused): "FAILED",
    ("FAILED", Approved): "READY",
    ("FAILED", Cancelled): "CANCELLED",
    ("CANCELLED", Done): "CONTRADICTED",
}

# What a person must be told, although nothing moves.
ALARMS = {("DONE", NotDone), ("CONTRADICTED", NotDone), ("CANCELLED", Done)}


@pytest.fixture(autouse=True)
def _no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("react did I/O")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr("time.time", refuse)
    monkeypatch.setattr("time.time_ns", refuse)


def record(state: str) -> Record[ErrandData]:
    return Record(
        id=RecordId("errand-01-abcdefgh23456777"),
        machine="errand",
        state=state,
        version=3,
        owner=Owner("ann"),
        amount=Money(100, NGN),
        data=ErrandData("a note"),
        created_at=Millis(1),
        since=Millis(2),
    )


def answer(state: str, fact: Fact) -> Decision[ErrandData] | str:
    try:
        return react(record(state), fact, NOW)
    except BadInput as refusal:
        return str(refusal)


def check(state: str, fact: Fact) -> None:
    decision = answer(state, fact)
    if isinstance(decision, str):
        assert isinstance(fact, Override)
        return
    if decision.trigger == OVERRIDE:
        assert isinstance(fact, Override)
        assert decision.to == fact.to
    elif decision.trigger:
        assert LIFECYCLE.target(state, decision.trigger).name == MOVES[state, type(fact)]
        assert decision.to is None
    else:
        assert (state, type(fact)) not in MOVES
    assert bool(decision.alarm) == ((state, type(fact)) in ALARMS)
    assert decision.recorded or not (decision.trigger or decision.data or decision.messages)
    if decision.recorded and decision.trigger is None:
        assert decision.why, "what is written without a move says why"


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_an_answer_to_every_fact(state: str) -> None:
    for fact in FACTS:
        check(state, fact)


@pytest.mark.parametrize("state", STATES)
def test_the_same_question_gets_the_same_answer(state: str) -> None:
    for fact in FACTS:
        assert answer(state, fact) == answer(state, fact)


@pytest.mark.parametrize("state", [name for name, facts in LIFECYCLE.states.items() if facts.final])
def test_a_final_state_is_left_only_by_a_reopening_move(state: str) -> None:
    for fact in FACTS:
        decision = answer(state, fact)
        if isinstance(decision, Decision):
            assert decision.trigger is None or decision.trigger in REOPENING


def test_every_state_can_be_reached_by_facts_alone() -> None:
    reached, following = set[str](), {LIFECYCLE.initial}
    while following:
        reached |= following
        following = {MOVES[pair] for pair in MOVES if pair[0] in reached} - reached
    assert reached == set(STATES)


def test_every_move_of_the_table_is_made_by_some_fact() -> None:
    made = {
        (state, decision.trigger)
        for state, fact in product(STATES, FACTS)
        if isinstance(decision := answer(state, fact), Decision) and decision.trigger not in (None, OVERRIDE)
    }
    assert made == {(source, move.trigger) for move in LIFECYCLE.moves for source in move.sources}


def test_every_state_that_is_not_final_has_somebody_who_moves_it_on() -> None:
    machine = errand(FakeRail())
    for name, facts in LIFECYCLE.states.items():
        assert facts.final == (facts.by is By.NOBODY)
        assert (facts.by is By.POLLER) == (name in machine.acts)


def test_a_final_state_has_no_moves_but_reopening_ones() -> None:
    for move in LIFECYCLE.moves:
        for source in move.sources:
            assert not LIFECYCLE.states[source].final or move.trigger in REOPENING


def test_no_final_state_holds_money() -> None:
    assert all(facts.position is not Position.HELD for facts in LIFECYCLE.states.values() if facts.final)


def test_every_fact_of_the_machine_is_tried_here() -> None:
    assert {type(fact) for fact in FACTS} == facts_of(tests.errand)


def test_a_time_out_is_not_a_failure() -> None:
    decision = react(record("SENDING"), LostSight("a time-out"), NOW)
    assert decision.trigger is None
    assert decision.data == replace(record("SENDING").data, asked=1)


@pytest.mark.parametrize("lost", [{"data": ErrandData(asked=1)}, {"sending": Sending.LOST}])
def test_that_a_repeat_is_refused_proves_nothing_of_a_send_whose_outcome_is_unknown(lost: dict[str, Any]) -> None:
    decision = react(replace(record("SENDING"), **lost), Refused("seen already"), NOW)
    assert decision.trigger is None
    assert decision.recorded


def test_a_machine_with_positions_says_that_it_moves_money() -> None:
    assert errand(FakeRail()).money
