"""The page about the machines says what the tables say."""

from payflow.app import installation
from tests.machines.readme import PATH, lifecycles, written


def test_the_page_is_what_the_tables_say() -> None:
    assert PATH.read_text("utf-8") == written(), "run `python -m tests.machines.readme`"


def test_every_state_and_move_is_on_the_page() -> None:
    page = written()
    for lifecycle in lifecycles():
        assert all(f"`{state}`" in page for state in lifecycle.states)
        assert all(f"| {move.trigger} |" in page for move in lifecycle.moves)


def test_every_machine_of_the_folders_is_one_that_an_installation_knows() -> None:
    known, there = set(installation.lifecycles()), {lifecycle.machine for lifecycle in lifecycles()}
    assert "payout" in there
    assert known == there, "name it in `lifecycles` of payflow/app/installation.py, and make it in `assemble`"
