"""Claims freeze at the merge: nobody writes himself into a bounty afterwards, or wins by what was merged before it."""

from dataclasses import replace

import pytest

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import BountyRecord
from machines.core.clock import HOUR
from machines.core.errors import BadInput
from machines.core.forge import PullState
from tests.machines.bounty.scenes import NOW, after, bounty, decide, issue, pull

LABELLED = NOW - HOUR


def swept(record: BountyRecord, *pulls: int, edited: bool) -> BountyRecord:
    """The bounty after the forge was read, with these pull requests merged and perhaps edited since."""
    found = tuple(pull(number, updated_at=NOW + (2 * HOUR if edited else number)) for number in pulls)
    return after(record, f.Swept(replace(issue(), labelled_at=LABELLED), found))


def test_what_was_merged_before_there_was_a_bounty_wins_nothing() -> None:
    """The issue was opened again, so that work did not solve it; the next one does."""
    old = pull(6, merged_at=LABELLED - 1, updated_at=LABELLED)
    record = after(bounty(s.OPEN), f.Swept(replace(issue(), labelled_at=LABELLED), (old,)))
    assert (record.state, record.data.winner_login) == (s.OPEN, "")
    assert "before this was a bounty" in record.data.banners[0]
    record = after(record, f.PullChanged(pull(8, author="bob")))
    assert (record.state, record.data.winner_login) == (s.MERGED, "bob")
    assert record.data.rivals == ()


def test_when_it_became_a_bounty_is_learned_once() -> None:
    """Taken off and put on again, the label does not take back what was merged meanwhile."""
    record = after(bounty(s.OPEN), f.Swept(replace(issue(), labelled_at=LABELLED), ()))
    record = after(record, f.Swept(replace(issue(updated_at=NOW + 9), labelled_at=NOW + 9), (pull(),)), now=NOW + 9)
    assert (record.data.labelled_at, record.state) == (LABELLED, s.MERGED)


def test_a_merge_that_only_a_sweep_sees_and_that_was_changed_since_is_decided_about_by_a_person() -> None:
    """The forge does not say what was changed: it may be the claim itself."""
    record = swept(bounty(s.OPEN), 8, edited=True)
    assert (record.state, record.data.winner_login) == (s.CONTESTED, "")
    assert after(record, f.Decided("olu", pull(8).id)).data.winner_login == "ann"
    record = after(record, f.Decided("olu", 0))
    assert record.state == s.OPEN
    assert swept(record, 8, edited=True).state == s.OPEN, "he was decided about"
    record = after(record, f.PullChanged(pull(9, author="bob")))
    assert (record.state, record.data.winner_login) == (s.MERGED, "bob")


def test_a_merge_that_was_lost_but_not_changed_wins() -> None:
    """So does one whose claim was known before."""
    assert swept(bounty(s.OPEN), 8, edited=False).state == s.MERGED
    known = bounty(s.OPEN, claims=(pull(8, PullState.OPENED),))
    assert swept(known, 8, edited=True).state == s.MERGED


def test_what_was_surely_won_does_not_go_on_without_a_winner() -> None:
    """Only doubt lets an operator say that nobody won."""
    record = swept(bounty(s.MERGED), 8, 9, edited=True)
    assert record.state == s.CONTESTED
    with pytest.raises(BadInput, match="name the pull request"):
        decide(record, f.Decided("olu", 0))
