"""The page about the machines says what the tables say."""

from tests.machines.readme import PATH, lifecycles, written


def test_the_page_is_what_the_tables_say() -> None:
    assert PATH.read_text("utf-8") == written(), "run `python -m tests.machines.readme`"


def test_every_state_and_move_is_on_the_page() -> None:
    page = written()
    for lifecycle in lifecycles():
        assert all(f"`{state}`" in page for state in lifecycle.states)
        assert all(f"| {move.trigger} |" in page for move in lifecycle.moves)


def test_the_shipped_machines_are_found() -> None:
    assert "payout" in [lifecycle.machine for lifecycle in lifecycles()]
