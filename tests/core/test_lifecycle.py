"""A lifecycle is a closed table: what does not fit is refused when it is read, not when money is on the way."""

from dataclasses import replace
from typing import Any

import pytest

from machines.core.errors import IllegalMove
from machines.core.lifecycle import By, Lifecycle, Move, Position, State, UnknownState
from tests.errand import LIFECYCLE


def state(name: str, **facts: Any) -> State:
    return State(**{"name": name, "means": "Some state.", "by": By.PERSON, **facts})


def final(name: str, **facts: Any) -> State:
    return state(name, **{"by": By.NOBODY, "final": True, **facts})


def polled(name: str, **facts: Any) -> State:
    return state(name, **{"by": By.POLLER, "every_s": 1, **facts})


def table(*states: State, moves: list[Move] | None = None, initial: str = "A") -> Lifecycle:
    if moves is None:
        moves = [Move("go", ("A",), "B", "it goes")]
    return Lifecycle("test", states=states, moves=moves, initial=initial)


def test_a_table_that_fits_is_accepted() -> None:
    lifecycle = table(state("A"), final("B"))
    assert lifecycle.target("A", "go").name == "B"


def test_a_state_that_nothing_leads_to_is_refused() -> None:
    with pytest.raises(IllegalMove, match="nothing leads to C"):
        table(state("A"), final("B"), final("C"))


def test_states_that_lead_only_to_each_other_are_refused() -> None:
    round_trip = [Move("there", ("C",), "D", ""), Move("back", ("D",), "C", "")]
    with pytest.raises(IllegalMove, match="nothing leads to C"):
        table(state("A"), final("B"), state("C"), state("D"), moves=[Move("go", ("A",), "B", ""), *round_trip])


def test_a_state_that_nothing_leads_out_of_must_be_final() -> None:
    with pytest.raises(IllegalMove, match="nothing leads out of B"):
        table(state("A"), state("B"))


def test_a_state_that_is_not_final_needs_somebody_who_looks_after_it() -> None:
    with pytest.raises(IllegalMove, match="nobody looks after A"):
        table(state("A", by=By.NOBODY), final("B"))


@pytest.mark.parametrize("source", [polled("A", every_s=None), state("A", every_s=5)], ids=["no pace", "no poller"])
def test_a_poller_and_its_pace_go_together(source: State) -> None:
    with pytest.raises(IllegalMove, match="needs a poller and its pace"):
        table(source, final("B"))


def test_only_a_poller_may_send() -> None:
    with pytest.raises(IllegalMove, match="only a poller sends"):
        table(state("A", sends=True), final("B"))


def test_either_every_state_holds_money_or_none_does() -> None:
    with pytest.raises(IllegalMove, match="either every state has a position or none"):
        table(state("A", position=Position.HELD), final("B"))


def test_a_trigger_leaves_a_state_once() -> None:
    twice = [Move("go", ("A",), "B", ""), Move("go", ("A",), "C", "")]
    with pytest.raises(IllegalMove, match="go leaves A twice"):
        table(state("A"), final("B"), final("C"), moves=twice)


@pytest.mark.parametrize("trigger", ["go", "retry", "reversed", "Override"])
def test_an_ordinary_move_cannot_leave_a_final_state(trigger: str) -> None:
    with pytest.raises(IllegalMove, match="B is final"):
        table(state("A"), final("B"), moves=[Move("go", ("A",), "B", ""), Move(trigger, ("B",), "A", "")])


@pytest.mark.parametrize("trigger", ["reverse", "contradict"])
def test_a_reopening_move_may_leave_a_final_state(trigger: str) -> None:
    lifecycle = table(
        state("A"), final("B"), final("C"), moves=[Move("go", ("A",), "B", ""), Move(trigger, ("B",), "C", "")]
    )
    assert lifecycle.target("B", trigger).name == "C"


@pytest.mark.parametrize(
    "move",
    [Move("go", ("A",), "NOWHERE", ""), Move("go", ("NOWHERE",), "A", "")],
    ids=["target", "source"],
)
def test_a_move_from_or_to_a_state_that_is_not_there_is_refused(move: Move) -> None:
    with pytest.raises((IllegalMove, ValueError)):
        table(state("A"), final("B"), moves=[Move("end", ("A",), "B", ""), move])


def test_an_initial_state_that_is_not_there_is_refused() -> None:
    with pytest.raises((IllegalMove, ValueError)):
        table(state("A"), final("B"), initial="NOWHERE")


def test_a_move_that_the_table_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(IllegalMove, match="errand in ASKED cannot finish; it can: approve, cancel"):
        LIFECYCLE.target("ASKED", "finish")
    with pytest.raises(IllegalMove, match="it can: nothing"):
        LIFECYCLE.target("DONE", "cancel")


def test_a_state_of_another_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnknownState, match=r"does not know the errand state 'NEW'\. Run the version that wrote it"):
        LIFECYCLE.state("NEW")


def test_a_state_that_sends_says_that_money_may_have_left() -> None:
    assert polled("A", sends=True).may_have_left
    assert not polled("A").may_have_left
    assert replace(polled("A"), sends=True).may_have_left


def test_the_table_cannot_be_changed_afterwards() -> None:
    with pytest.raises(TypeError):
        LIFECYCLE.states["NEW"] = state("NEW")  # type: ignore[index]
    with pytest.raises(AttributeError):
        LIFECYCLE.states["DONE"].final = False  # type: ignore[misc]


def test_the_diagram_shows_every_move_and_nothing_else() -> None:
    drawn = LIFECYCLE.mermaid()
    arrows = {line.strip() for line in drawn.splitlines() if "-->" in line and "[*]" not in line}
    assert arrows == {
        f"{source} --> {move.target}: {move.trigger}" for move in LIFECYCLE.moves for source in move.sources
    }
