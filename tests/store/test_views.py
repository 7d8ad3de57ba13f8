"""What pages read: true on every kind of store, and bounded."""

import pytest

from machines.core.clock import FixedClock
from payflow.store.ledger import PlacedPosting
from payflow.store.listing import ListCursor
from payflow.store.store import Store
from tests.desk import ANN, BOB, ask, claim, fund, owner_in, think
from tests.errand import Approved
from tests.servers import Kind

KINDS = pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)


@KINDS
async def test_records_of_some_states_are_listed_over_all_shards_without_a_gap(store: Store, clock: FixedClock) -> None:
    made = []
    for shard in range(4):
        owner = owner_in(shard)
        await fund(store, owner)
        for number in range(15):
            clock.advance(0.001 * (number % 3))
            made.append(await ask(store, owner, key=str(number)))
    states = [("errand", "ASKED"), ("errand", "DONE")]
    for oldest_first in (False, True):
        found: list[ListCursor] = []
        while page := await store.listing.in_states(states, found[-1] if found else None, 7, oldest_first=oldest_first):
            found += page
        assert len(found) == len(made)
        assert {place.id for place in found} == set(made)
        assert [place.at for place in found] == sorted((place.at for place in found), reverse=not oldest_first)
    assert await store.listing.in_states([], None, 7, oldest_first=True) == []


@KINDS
async def test_the_pulse_changes_with_everything_that_a_page_shows_and_with_nothing_else(
    store: Store, clock: FixedClock
) -> None:
    await fund(store)
    beats = [await store.listing.pulse()]
    assert await store.listing.pulse() == beats[0]
    await ask(store)
    beats.append(await store.listing.pulse())
    await store.pauses.pause("everything", "otto", "why", clock.now())
    beats.append(await store.listing.pulse())
    await store.audit.note("otto", "pause", "everything")
    beats.append(await store.listing.pulse())
    assert len(set(beats)) == 4


async def test_what_is_too_long_in_its_state_is_counted(store: Store, clock: FixedClock) -> None:
    await fund(store)
    await ask(store)
    (stored,) = await claim(store)
    await think(store, stored, Approved())
    assert (await store.listing.stuck())["errand", "READY"] == 0
    clock.advance(60)
    assert (await store.listing.stuck())["errand", "READY"] == 0
    clock.advance(1)
    assert (await store.listing.stuck())["errand", "READY"] == 1
    assert ("errand", "DONE") not in await store.listing.stuck()


@KINDS
async def test_totals_and_postings_are_those_of_the_books(store: Store) -> None:
    await fund(store, ANN, 500)
    await fund(store, BOB, 700)
    await ask(store, ANN, 100)
    totals = await store.ledger.totals()
    books = await store.ledger.check()
    assert totals == books.totals
    assert (totals["NGN"].available, totals["NGN"].held) == (1100, 100)
    postings, following = await store.ledger.postings(10)
    assert sorted((one.posting.owner, one.posting.target, one.posting.units) for one in postings) == [
        (ANN, "available", 500),
        (ANN, "held", 100),
        (BOB, "available", 700),
    ]
    assert following is None


@KINDS
async def test_postings_of_one_moment_are_on_one_page_or_another_and_none_on_two(
    store: Store, clock: FixedClock
) -> None:
    for shard in range(4):
        for number in range(10):
            await fund(store, owner_in(shard), 10 + number, f"earned {number}")
    clock.advance(1)
    await fund(store, ANN, 5)
    found: list[PlacedPosting] = []
    page, following = await store.ledger.postings(7)
    assert page[0].posting.owner == ANN
    while True:
        found += page
        if following is None:
            break
        page, following = await store.ledger.postings(7, following)
    assert len(found) == len(set(found)) == 41
