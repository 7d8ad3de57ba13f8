"""Where a contributor is paid, as a function: no order of saves makes a proven address give way sooner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.core.clock import DAY, Millis
from machines.core.errors import BadInput
from machines.core.saved_address import CoolOff, SavedAddress

COOL_OFF = CoolOff(unsigned_ms=7 * DAY, replacing_ms=3 * DAY)
PROVEN = SavedAddress("old", proven=True)
NOW = Millis(1_000 * DAY)


def test_the_first_address_that_signed_counts_at_once() -> None:
    assert SavedAddress().saving("new", NOW, COOL_OFF, proven=True) == SavedAddress("new", proven=True)
    unsigned = SavedAddress("old")
    assert unsigned.saving("new", NOW, COOL_OFF, proven=True) == SavedAddress("new", proven=True)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "old"]), st.booleans(), st.integers(0, 3 * DAY - 1)), max_size=8))
def test_whoever_has_the_session_alone_replaces_a_proven_address_only_after_the_days(
    saves: list[tuple[str, bool, int]],
) -> None:
    """Every order of saves, of signed and unsigned ones, within the cool-off: the old one is paid all the while."""
    saved = PROVEN
    for address, proven, after in sorted(saves, key=lambda one: one[2]):
        now = Millis(NOW + after)
        saved = saved.saving(address, now, COOL_OFF, proven=proven and address != "old")
        assert saved.at(now) == saved
        assert saved.address == "old"
        assert saved.at(Millis(NOW + 3 * DAY - 1)).address == "old"


@pytest.mark.parametrize("unsigned_days", [1, 7])
def test_an_unsigned_address_is_never_the_quicker_way(unsigned_days: int) -> None:
    """Whatever somebody sets."""
    cool_off = CoolOff(unsigned_days * DAY, 3 * DAY)
    saved = PROVEN.saving("new", NOW, cool_off, proven=False)
    assert saved.next_from >= NOW + 3 * DAY


def test_an_address_counts_as_proven_only_where_it_signed() -> None:
    later = Millis(NOW + 8 * DAY)
    for proven in (True, False):
        assert PROVEN.saving("new", NOW, COOL_OFF, proven=proven).at(later) == SavedAddress("new", proven=proven)


def test_what_is_to_come_is_taken_back_or_let_in() -> None:
    coming = PROVEN.saving("new", NOW, COOL_OFF, proven=True)
    assert coming.withdrawn(NOW) == PROVEN == coming.saving("old", NOW, COOL_OFF, proven=False)
    assert coming.released("new", NOW) == SavedAddress("new", proven=True)
    unsigned = PROVEN.saving("new", NOW, COOL_OFF, proven=False)
    late = Millis(coming.next_from)
    for saved, address, now in (
        (coming, "other", NOW),
        (unsigned, "new", NOW),
        (PROVEN, "new", NOW),
        (coming, "new", late),
    ):
        with pytest.raises(BadInput):
            saved.released(address, now)
