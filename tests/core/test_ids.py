"""An id says which machine and which shard a record belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.core.errors import BadInput
from machines.core.ids import MAX_SHARDS, Owner, derived_id, fresh_id, owner_of, parse_id, shard_for

MACHINES = st.from_regex(r"[a-z][a-z_]{1,31}", fullmatch=True)


@given(machine=MACHINES, shard=st.integers(0, MAX_SHARDS - 1))
def test_machine_and_shard_are_read_back_from_a_fresh_id(machine: str, shard: int) -> None:
    assert parse_id(fresh_id(machine, shard)) == (machine, shard)


@given(machine=MACHINES, shard=st.integers(0, MAX_SHARDS - 1), parts=st.lists(st.text()))
def test_machine_and_shard_are_read_back_from_a_derived_id(machine: str, shard: int, parts: list[str]) -> None:
    assert parse_id(derived_id(machine, shard, *parts)) == (machine, shard)


def test_fresh_ids_differ() -> None:
    assert len({fresh_id("payout", 1) for _ in range(1000)}) == 1000


def test_the_same_parts_give_the_same_id_for_ever() -> None:
    assert derived_id("payout", 3, "ann", "key 1") == "payout-03-yi4ywvn6fuaiit6o"


@given(one=st.lists(st.text(), max_size=3), other=st.lists(st.text(), max_size=3))
def test_other_parts_give_another_id(one: list[str], other: list[str]) -> None:
    assert (derived_id("payout", 0, *one) == derived_id("payout", 0, *other)) == (one == other)


def test_parts_cannot_be_pushed_from_one_into_the_next() -> None:
    assert derived_id("payout", 0, "ann", "x") != derived_id("payout", 0, "annx")
    assert derived_id("payout", 0, "ann\0x") != derived_id("payout", 0, "ann", "x")
    assert derived_id("payout", 0) != derived_id("payout", 0, "")


def test_the_machine_is_part_of_a_derived_id() -> None:
    assert derived_id("payout", 0, "x")[-16:] != derived_id("bounty", 0, "x")[-16:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "payout",
        "payout-03",
        "payout-03-",
        "payout-3-abcdefgh23456777",
        "payout-003-abcdefgh23456777",
        "payout-03-abcdefgh2345677",
        "payout-03-abcdefgh234567777",
        "payout-03-ABCDEFGH23456777",
        "payout-03-abcdefgh23456718",
        "Payout-03-abcdefgh23456777",
        "pay-out-03-abcdefgh23456777",
        "payout-03-abcdefgh23456777\n",
        " payout-03-abcdefgh23456777",
        "payout-٠٣-abcdefgh23456777",
        "payout-03-abcdefgh234567{}",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="no record id"):
        parse_id(text)


@given(owner=st.text(min_size=1).map(Owner), shards=st.integers(1, MAX_SHARDS))
def test_an_owner_has_one_shard(owner: Owner, shards: int) -> None:
    assert 0 <= shard_for(owner, shards) < shards
    assert shard_for(owner, shards) == shard_for(owner, shards)


def test_an_owner_keeps_his_shard_over_versions() -> None:
    assert [shard_for(Owner(name), 8) for name in ("ann", "bob", "0xabc", "a@b.c")] == [3, 0, 0, 5]


def test_owners_are_spread_over_the_shards() -> None:
    shards = [shard_for(Owner(f"provider-{number}"), 8) for number in range(8000)]
    assert all(800 < shards.count(shard) < 1200 for shard in range(8))


@pytest.mark.parametrize("name", ["a", "ann", "a.b:c@d+e/f-g_h", "0xAbC", "9", "a" * 128])
def test_a_usual_name_of_an_owner_is_accepted(name: str) -> None:
    assert owner_of(name) == name


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a\n", "-a", ":a", "a{b}", "a*", "ä", "a\0", "a" * 129, "a\tb", "a,b", "a;b", "<a>"]
)
def test_a_name_that_a_key_or_a_journal_could_trip_over_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no owner"):
        owner_of(name)
