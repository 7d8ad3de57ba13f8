"""To poke is to have a record looked at now; to park is to set it aside until a person retries it."""

import asyncio
from dataclasses import replace

import pytest

from machines.core.clock import FixedClock
from machines.core.decision import move, wait
from machines.core.errors import BadInput, Conflict, LeaseLost
from machines.core.facts import Nothing
from machines.core.ids import RecordId
from payflow.config import Settings
from payflow.store import keys
from payflow.store.integrity import NOT_SIGNED
from payflow.store.store import Store
from payflow.store.stored import Poison, Stored
from tests.desk import (
    LEASE_MS,
    ask,
    claim,
    claim_any,
    claim_one,
    faults,
    fund,
    opened,
    owner_in,
    stay,
    tell,
    think,
)
from tests.errand import Approved, Cancelled, Done, NotDone, Sent
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)


@pytest.fixture
async def record_id(store: Store) -> RecordId:
    """An errand that is due in an hour."""
    await fund(store)
    return await ask(store, due_in_s=3600)


async def poke(store: Store, record_id: RecordId) -> str:
    (answer,) = await store.records.poke(record_id)
    return answer


# ── poke ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_poked_record_is_due_now(store: Store, record_id: RecordId) -> None:
    assert await claim(store) == []
    assert await poke(store, record_id) == "due"
    assert (await claim_one(store)).record.id == record_id


async def test_a_poke_of_a_leased_record_lets_no_second_worker_in(
    store: Store, settings: Settings, clock: FixedClock, record_id: RecordId
) -> None:
    await poke(store, record_id)
    stored = await claim_one(store)
    assert await poke(store, record_id) == "leased"
    async with opened(settings, clock=clock) as other:
        assert await claim(other) == []
        clock.advance(LEASE_MS / 1000 - 0.001)
        assert await claim(other) == []
    await store.may_send(stored, LEASE_MS)


async def test_a_lease_after_one_that_ran_out_is_a_lease_too(
    store: Store, clock: FixedClock, record_id: RecordId
) -> None:
    await poke(store, record_id)
    for _ in range(3):
        await claim_one(store)
        assert await poke(store, record_id) == "leased"
        await tell(store, record_id, Done("means nothing in ASKED"))
        assert await claim(store) == []
        clock.advance(LEASE_MS / 1000)


async def test_a_poke_during_a_lease_makes_the_record_due_as_soon_as_it_is_given_back(
    store: Store, record_id: RecordId
) -> None:
    await poke(store, record_id)
    stored = await claim_one(store)
    await poke(store, record_id)
    await store.records.commit(stored, wait(3600), Nothing(), "test")
    again = await claim_one(store)
    await store.records.commit(again, wait(3600), Nothing(), "test")
    assert await claim(store) == [], "one poke, one look"


async def test_a_poke_during_a_lease_outlives_a_move(store: Store, record_id: RecordId) -> None:
    await poke(store, record_id)
    stored = await claim_one(store)
    await poke(store, record_id)
    await store.records.commit(stored, move("approve", again_s=3600), Approved(), "test")
    await claim_one(store, "READY")


async def test_a_poke_during_a_lease_outlives_the_worker(store: Store, clock: FixedClock, record_id: RecordId) -> None:
    await poke(store, record_id)
    await claim_one(store)
    await poke(store, record_id)
    clock.advance(LEASE_MS / 1000)
    await store.records.commit(await claim_one(store), wait(3600), Nothing(), "another")
    await claim_one(store)


async def test_a_poke_during_the_last_look_leaves_nothing_due_where_nobody_looks(
    store: Store, record_id: RecordId
) -> None:
    await poke(store, record_id)
    stored = await claim_one(store)
    await poke(store, record_id)
    await store.records.commit(stored, move("cancel"), Cancelled(), "test")
    assert await store.link.ask("ZCARD", keys.due(3, "errand", "CANCELLED")) == 0
    assert all(crowd.due == 0 for crowd in await store.listing.counts_by_state())


@pytest.mark.parametrize("facts", [(Cancelled(),), (Approved(), Sent(), NotDone("no"))], ids=["final", "a person's"])
async def test_a_poke_where_nobody_looks_says_so(
    store: Store, record_id: RecordId, facts: tuple[Cancelled, ...]
) -> None:
    for fact in facts:
        await tell(store, record_id, fact)
    assert await poke(store, record_id) == "asleep"
    assert all(crowd.due == 0 for crowd in await store.listing.counts_by_state())


async def test_a_poke_of_a_record_that_is_not_there_says_so(store: Store) -> None:
    assert await poke(store, RecordId("errand-01-aaaaaaaaaaaaaaaa")) == "missing"


async def test_records_of_many_shards_are_poked_in_the_order_in_which_they_were_named(store: Store) -> None:
    ids = []
    for shard in (2, 0, 3, 1):
        await fund(store, owner_in(shard))
        ids.append(await ask(store, owner_in(shard), due_in_s=3600))
    missing = RecordId("errand-02-aaaaaaaaaaaaaaaa")
    await tell(store, ids[1], Cancelled())
    assert await store.records.poke(ids[0], missing, *ids[1:]) == ["due", "missing", "asleep", "due", "due"]
    assert await store.records.poke() == []


# ── a fact from outside ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_fact_from_outside_does_not_shorten_a_lease(
    store: Store, clock: FixedClock, record_id: RecordId
) -> None:
    await poke(store, record_id)
    stored = await claim_one(store)
    await tell(store, record_id, Approved())
    assert await claim(store, "READY") == []
    with pytest.raises(Conflict):
        await think(store, stored, Approved(), "worker 7")
    await store.records.commit(await store.records.reread(stored), wait(3600), Nothing(), "test")
    assert (await claim_one(store, "READY")).record.id == record_id, "the move was a poke"


async def test_after_a_fact_from_outside_the_record_comes_back_when_the_worker_died(
    store: Store, clock: FixedClock, record_id: RecordId
) -> None:
    await poke(store, record_id)
    await claim_one(store)
    await tell(store, record_id, Approved())
    clock.advance(LEASE_MS / 1000)
    assert (await claim_one(store, "READY")).record.id == record_id
    assert await faults(store) == []


async def test_facts_that_mean_nothing_do_not_put_off_a_look(
    store: Store, clock: FixedClock, record_id: RecordId
) -> None:
    """Somebody who sends a webhook a second must not keep a record from being looked at."""
    await tell(store, record_id, Approved())
    await store.records.commit(await claim_one(store, "READY"), wait(10), Nothing(), "test")
    for _ in range(10):
        assert await claim(store, "READY") == []
        await tell(store, record_id, Done("means nothing in READY"))
        clock.advance(1)
    assert (await claim_one(store, "READY")).record.version == 12


async def test_a_fact_from_outside_may_bring_a_look_forward(
    store: Store, clock: FixedClock, record_id: RecordId
) -> None:
    seen = await store.records.read(record_id)
    await store.records.commit(seen, stay(again_s=5), Nothing(), "test")
    clock.advance(5)
    await claim_one(store)


async def test_facts_that_mean_nothing_do_not_shorten_a_back_off(store: Store, record_id: RecordId) -> None:
    await poke(store, record_id)
    await store.records.commit(await claim_one(store), wait(100), Nothing(), "test", tries=4)
    await tell(store, record_id, Done("means nothing in ASKED"))
    assert (await store.records.read(record_id)).record.tries == 4
    await tell(store, record_id, Approved())
    assert (await store.records.read(record_id)).record.tries == 0


async def test_a_worker_whose_record_was_finished_by_others_can_still_write_what_he_saw(
    store: Store, record_id: RecordId
) -> None:
    await poke(store, record_id)
    stored = await claim_one(store)
    await tell(store, record_id, Cancelled())
    fresh = await store.records.reread(stored)
    await think(store, fresh, Sent())
    after = await store.records.read(record_id)
    assert (after.record.state, after.record.version) == ("CANCELLED", 3)
    assert all(crowd.due == 0 for crowd in await store.listing.counts_by_state())
    assert await faults(store) == []


# ── park ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def parked(store: Store, record_id: RecordId, why: str = "a bug") -> Stored:
    await poke(store, record_id)
    await store.records.park(await claim_one(store), why, "worker 7")
    return await store.records.read(record_id)


async def test_a_parked_record_is_not_looked_at(store: Store, clock: FixedClock, record_id: RecordId) -> None:
    stored = await parked(store, record_id)
    assert (stored.record.parked, stored.record.state) == ("a bug", "ASKED")
    clock.advance(10**6)
    assert await claim(store) == []
    assert await poke(store, record_id) == "asleep"
    assert await faults(store) == []


async def test_a_parked_record_is_listed_with_the_reason_and_alarmed(store: Store, record_id: RecordId) -> None:
    await parked(store, record_id, "a bug " * 100)
    ((listed, why),) = await store.listing.parked()
    assert listed == record_id
    assert why.startswith("a bug a bug")
    assert len(why) == 200
    (post,) = await store.outbox.take(10, 1000)
    assert post.kind == "alarm"
    newest = (await store.records.history(record_id))[-1]
    assert (newest.fact, newest.who, newest.state) == ("Parked", "worker 7", "ASKED")


async def test_a_record_is_parked_only_by_who_holds_it(store: Store, clock: FixedClock, record_id: RecordId) -> None:
    await poke(store, record_id)
    late = await claim_one(store, lease_ms=1000)
    clock.advance(1)
    await claim_one(store)
    with pytest.raises(LeaseLost):
        await store.records.park(late, "a bug", "late")
    assert await store.listing.parked() == []


async def test_the_others_go_on_when_one_is_parked(store: Store, record_id: RecordId) -> None:
    other = await ask(store, key="2")
    await poke(store, record_id)
    found = {one.record.id: one for one in await claim(store)}
    await asyncio.gather(store.records.park(found[record_id], "a bug", "test"), think(store, found[other], Approved()))
    assert (await claim_one(store, "READY")).record.id == other


async def test_a_person_takes_a_parked_record_up_again(store: Store, record_id: RecordId) -> None:
    stored = await parked(store, record_id)
    await store.records.unpark(stored, "mended", "olu")
    assert await store.listing.parked() == []
    again = await claim_one(store)
    assert (again.record.id, again.record.parked) == (record_id, "")
    assert (await store.records.history(record_id))[-1].who == "olu"
    assert await faults(store) == []


async def test_a_move_takes_a_parked_record_up_again(store: Store, record_id: RecordId) -> None:
    await parked(store, record_id)
    await tell(store, record_id, Approved("olu"))
    assert await store.listing.parked() == []
    assert (await claim_one(store, "READY")).record.parked == ""
    assert await faults(store) == []


async def test_facts_that_mean_nothing_leave_a_parked_record_parked(
    store: Store, clock: FixedClock, record_id: RecordId
) -> None:
    stored = await parked(store, record_id)
    since = await store.link.ask("ZSCORE", keys.parked(3), record_id)
    clock.advance(60)
    noted = await tell(store, record_id, Done("means nothing in ASKED"))
    await tell(store, record_id, Nothing())
    assert noted == replace(stored.record, version=stored.record.version + 1)
    assert (await store.records.read(record_id)).record == noted
    clock.advance(10**6)
    assert await claim(store) == []
    assert await store.listing.parked() == [(record_id, "a bug")]
    assert await store.link.ask("ZSCORE", keys.parked(3), record_id) == since
    assert await faults(store) == []


async def test_a_record_where_nobody_looks_cannot_be_taken_up_again(store: Store, record_id: RecordId) -> None:
    await tell(store, record_id, Cancelled())
    with pytest.raises(BadInput, match="override"):
        await store.records.unpark(await store.records.read(record_id), "again", "olu")
    assert all(crowd.due == 0 for crowd in await store.listing.counts_by_state())


async def test_a_record_that_cannot_be_read_can_be_parked_and_mended(store: Store, record_id: RecordId) -> None:
    good = await store.link.ask("HGET", keys.record(record_id), "data")
    await poke(store, record_id)
    await store.link.ask("HSET", keys.record(record_id), "data", b"\xc1")
    (poison,) = await claim_any(store)
    assert isinstance(poison, Poison)
    await store.records.park(poison, poison.problem, "test")
    ((listed, why),) = await store.listing.parked()
    assert (listed, "not what Payflow wrote" in why) == (record_id, True)
    assert any("cannot be read" in fault for fault in await faults(store))
    await store.link.ask("HSET", keys.record(record_id), "data", good)
    await store.records.unpark(await store.records.read(record_id), "mended", "olu")
    await claim_one(store)
    # What is written on top of what was forged is signed by nobody, until two people take it over.
    assert await faults(store) == [f"{record_id}: {NOT_SIGNED}"]
    (mended,) = [one async for one in store.permits.unsigned()]
    assert (mended.problem, await store.permits.adopt(mended)) == ("", True)
    assert await faults(store) == []
