"""A taste of the long run: `payflow simulate --runs 20000` plays as many as you have time for."""

import os

import pytest

from payflow.simulation.judge import RunResult
from payflow.simulation.play import RunSummary, play

RUNS = int(os.environ.get("SIMULATED_RUNS", "12"))
FIRST = int(os.environ.get("SIMULATED_SEED", "4"))


def played(first: int, runs: int, *, truthful: bool, tell: bool = False) -> list[RunResult]:
    return list(play(first, runs, truthful=truthful, tell=tell))


@pytest.mark.timeout(600)
def test_no_payout_is_paid_twice_or_elsewhere_or_lost_whatever_gateways_processes_and_people_do() -> None:
    results = played(FIRST, RUNS, truthful=False)
    assert [(one.seed, one.faults) for one in results if one.faults] == []
    assert any(one.state == "COMPLETED" for one in results)
    assert any(one.deaths for one in results)


@pytest.mark.timeout(600)
def test_with_truthful_gateways_payouts_end_without_anybody_helping() -> None:
    results = played(FIRST, RUNS, truthful=True)
    assert [(one.seed, one.faults, one.help) for one in results if one.faults or one.help] == []
    assert {one.state for one in results} <= {"COMPLETED", "FAILED", "CANCELLED"}


def test_the_same_seed_is_the_same_run_whatever_was_played_before_it() -> None:
    after_another, alone = played(7, 2, truthful=False, tell=True)[1], played(8, 1, truthful=False, tell=True)[0]
    assert after_another == alone
    assert len(alone.story) > 10


def test_a_summary_counts_what_needed_nobody_and_what_was_at_fault() -> None:
    (good,) = played(2, 1, truthful=True)
    summary = RunSummary()
    summary.add(good)
    figures = summary.figures()
    assert (figures["runs"], figures["faulty"], figures["looks"]) == (1, 0, good.looks)
    assert figures["unaided_percent"] == 100.0


def test_a_call_that_arrives_late_is_judged_by_what_could_be_seen_when_it_set_out() -> None:
    """The call of this seed is under way for most of a minute, and later somebody clicks Retry on what it paid."""
    (run,) = played(198, 1, truthful=False, tell=True)
    assert any("will arrive" in line for line in run.story)
    assert any("clicks Retry" in line for line in run.story)
    assert run.faults == ()
