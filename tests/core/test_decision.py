"""The short words for decisions say what they mean."""

import pytest

from machines.core.clock import FixedClock, SystemClock
from machines.core.decision import Decision, contradiction, keep, move, noted, wait
from machines.core.errors import PayflowError, Retryable, StepError, StoreError


def test_to_move_names_the_trigger_and_the_reason() -> None:
    assert move("send", "asked twice", again_s=5.0) == Decision(trigger="send", why="asked twice", again_s=5.0)


def test_to_wait_writes_nothing_but_the_next_look() -> None:
    assert wait(7) == Decision(recorded=False, again_s=7)
    assert wait().again_s is None


def test_to_keep_writes_a_reason_and_does_not_move() -> None:
    assert keep("seen", data=1) == Decision(why="seen", data=1)


def test_what_means_nothing_is_noted_and_not_lost() -> None:
    decision = noted("a late success")
    assert decision.recorded
    assert decision.why == "noted: a late success"
    assert not decision.alarm


def test_a_contradiction_is_written_down_and_told() -> None:
    decision = contradiction("it failed after it was done")
    assert decision.recorded
    assert decision.alarm == "it failed after it was done"


def test_a_decision_with_a_change_leaves_the_first_as_it_was() -> None:
    first = move("send")
    assert first.but(again_s=1.0).again_s == 1.0
    assert first.again_s is None


def test_an_error_without_a_message_says_what_its_class_says() -> None:
    assert str(Retryable()) == "Surely not done: it may be tried again later with the same key."
    assert str(Retryable("no route")) == "no route"


@pytest.mark.parametrize("kind", [StepError, StoreError])
def test_every_error_is_one_of_ours(kind: type[PayflowError]) -> None:
    assert issubclass(kind, PayflowError)


def test_a_fixed_clock_goes_only_when_told() -> None:
    clock = FixedClock(1000)
    assert (clock.now(), clock.now()) == (1000, 1000)
    clock.advance(1.5)
    assert clock.now() == 2500


def test_the_clock_of_the_machine_counts_milliseconds() -> None:
    assert 1_700_000_000_000 < SystemClock().now() < 5_000_000_000_000
