"""A claim leases what is due, the oldest first, to one worker, for a time."""

import asyncio

import pytest

from machines.core.clock import FixedClock
from machines.core.decision import move, wait
from machines.core.errors import Conflict, LeaseLost
from machines.core.facts import Nothing
from payflow.config import Settings
from payflow.store import keys
from payflow.store.store import Store
from payflow.store.stored import Queue, Stored
from tests.desk import (
    LEASE_MS,
    ask,
    claim,
    claim_one,
    faults,
    fund,
    opened,
    owner_in,
    tell,
    think,
)
from tests.errand import Approved, Cancelled, Done, NotDone, Sent
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)


async def asked(store: Store, count: int, clock: FixedClock, apart_s: float = 1) -> list[str]:
    """Make errands one after the other, over all shards."""
    ids = []
    for number in range(count):
        owner = owner_in(number % store.records.shards)
        await fund(store, owner, 1_000_000, f"{number}")
        ids.append(str(await ask(store, owner, key=str(number))))
        clock.advance(apart_s)
    return ids


async def test_the_oldest_due_come_first(store: Store, clock: FixedClock) -> None:
    ids = await asked(store, 12, clock)
    if store.link.cluster:  # where a shard is asked by itself, the order holds within it
        found = await claim(store, limit=4)
        ages = {shard: [one.record.id for one in found if f"-{shard:02d}-" in one.record.id] for shard in range(4)}
        assert all(ages[shard] == ids[shard::4][: len(ages[shard])] for shard in range(4))
    else:
        assert {one.record.id for one in await claim(store, limit=5)} == set(ids[:5])
        assert {one.record.id for one in await claim(store, limit=5)} == set(ids[5:10])


async def test_no_more_are_leased_than_were_asked_for(store: Store, clock: FixedClock) -> None:
    await asked(store, 12, clock)
    assert len(await claim(store, limit=3)) <= 3
    assert len(await claim(store, limit=1)) <= 1


async def test_all_that_is_due_is_leased_in_the_end_and_each_once(store: Store, clock: FixedClock) -> None:
    ids = await asked(store, 12, clock)
    found: list[str] = []
    for _ in range(20):
        found += [one.record.id for one in await claim(store, limit=3)]
    assert sorted(found) == sorted(ids)


async def test_a_leased_record_is_nobody_elses(store: Store, settings: Settings, clock: FixedClock) -> None:
    await asked(store, 40, clock, apart_s=0)
    async with opened(settings, clock=clock) as other:
        claimed = await asyncio.gather(*(claim(one, limit=3) for _ in range(10) for one in (store, other)))
    ids = [one.record.id for found in claimed for one in found]
    assert len(ids) == len(set(ids))


async def test_the_fence_grows_with_every_lease(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    fences = []
    for _ in range(3):
        fences.append((await claim_one(store, lease_ms=1000)).fence)
        clock.advance(1)
    for _ in range(3):
        stored = await claim_one(store)
        fences.append(stored.fence)
        await store.records.commit(stored, wait(0), Nothing(), "test")
    assert fences == sorted(set(fences))
    assert all(fence > 0 for fence in fences)


async def test_a_lease_ends_when_it_was_said_to(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock, apart_s=0)
    await claim_one(store, lease_ms=LEASE_MS)
    clock.advance(LEASE_MS / 1000 - 0.001)
    assert await claim(store) == []
    clock.advance(0.001)
    await claim_one(store)


async def test_a_late_commit_is_refused_after_another_worker_took_the_record(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    late = await claim_one(store, lease_ms=1000)
    clock.advance(1)
    await claim_one(store)
    with pytest.raises(LeaseLost):
        await think(store, late, Approved())
    with pytest.raises(LeaseLost):
        await store.records.commit(late, wait(), Nothing(), "late")
    assert (await store.records.read(late.record.id)).record.version == 1


async def test_a_late_commit_is_refused_after_the_record_was_given_back(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    late = await claim_one(store, lease_ms=1000)
    clock.advance(1)
    await store.records.commit(await claim_one(store), wait(5), Nothing(), "other")
    with pytest.raises(LeaseLost):
        await think(store, late, Approved())
    with pytest.raises(LeaseLost):
        await store.records.commit(late, wait(0), Nothing(), "late")


async def test_the_same_lease_is_given_back_once(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    stored = await claim_one(store)
    await store.records.commit(stored, wait(0), Nothing(), "test")
    with pytest.raises(LeaseLost):
        await store.records.commit(stored, wait(0), Nothing(), "test")


async def test_a_lease_that_ran_out_and_was_taken_by_nobody_may_still_commit(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    stored = await claim_one(store, lease_ms=1000)
    clock.advance(5)
    await think(store, stored, Approved())
    assert (await store.records.read(stored.record.id)).record.state == "READY"


async def test_a_lease_can_be_prolonged_while_it_holds(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    stored = await claim_one(store, lease_ms=1000)
    for _ in range(5):
        clock.advance(0.9)
        assert await store.records.hold(stored, 1000)
        assert await claim(store) == []
    clock.advance(1)
    assert not await store.records.hold(stored, 1000), "a lease that ran out is gone, although nobody took it"
    await claim_one(store)


async def test_a_lease_that_another_worker_has_cannot_be_prolonged(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    late = await claim_one(store, lease_ms=1000)
    clock.advance(1)
    fresh = await claim_one(store)
    assert not await store.records.hold(late, LEASE_MS)
    assert await store.records.hold(fresh, LEASE_MS)


async def test_a_lease_is_prolonged_in_the_state_where_the_record_is_now(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    stored = await claim_one(store, lease_ms=1000)
    await tell(store, stored.record.id, Approved())
    assert await store.records.hold(stored, LEASE_MS)
    clock.advance(2)
    assert await claim(store, "READY") == []
    assert await faults(store) == []


async def test_nothing_may_be_sent_for_a_record_that_was_changed_meanwhile(store: Store, clock: FixedClock) -> None:
    """An operator said "cancelled" between the look and the send: the lease still holds, the send must not be."""
    await asked(store, 1, clock)
    stored = await claim_one(store)
    await tell(store, stored.record.id, Approved())
    with pytest.raises((Conflict, LeaseLost)):
        await store.may_send(stored, LEASE_MS)


async def test_nothing_may_be_sent_for_a_record_that_was_taken_off_meanwhile(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    stored = await claim_one(store)
    await tell(store, stored.record.id, Cancelled())
    with pytest.raises((Conflict, LeaseLost)):
        await store.may_send(stored, LEASE_MS)


async def test_nothing_may_be_sent_after_the_lease(store: Store, clock: FixedClock) -> None:
    await asked(store, 1, clock)
    stored = await claim_one(store, lease_ms=1000)
    await store.may_send(stored, 1000)
    clock.advance(1)
    with pytest.raises(LeaseLost):
        await store.may_send(stored, 1000)


async def test_a_claim_says_when_the_next_record_comes_due(store: Store, clock: FixedClock) -> None:
    await fund(store)
    await ask(store, due_in_s=30)
    soonest = [claimed.next_due for claimed in await store.records.claim([Queue("errand", "ASKED", 5, LEASE_MS)])]
    assert [due for due in soonest if due is not None] == [clock.now() + 30_000]


async def test_a_claim_that_leaves_due_records_behind_says_so(store: Store, clock: FixedClock) -> None:
    owner = owner_in(1)
    await fund(store, owner)
    for number in range(5):
        await ask(store, owner, key=str(number))
    for left in (3, 1):
        answers = await store.records.claim([Queue("errand", "ASKED", 2, LEASE_MS)])
        assert clock.now() in [claimed.next_due for claimed in answers], f"{left} are left"


async def test_as_many_as_a_poller_may_ask_for_can_be_leased_at_once(store: Store) -> None:
    owner = owner_in(1)
    await fund(store, owner)
    await asyncio.gather(*(ask(store, owner, units=1, key=str(number)) for number in range(4500)))
    rounds = [len(await claim(store, limit=4096, lease_ms=600_000)) for _ in range(9)]
    assert max(rounds) <= 4096
    assert sum(rounds) == 4500


async def test_several_queues_are_served_in_one_claim(store: Store, clock: FixedClock) -> None:
    first, second, third = await asked(store, 3, clock)
    for found in await claim(store):
        if found.record.id != first:
            await think(store, found, Approved())
        else:
            await store.records.commit(found, wait(0), Nothing(), "test")
    queues = [Queue("errand", "READY", 10, LEASE_MS), Queue("errand", "ASKED", 10, LEASE_MS)]
    claimed = await store.records.claim(queues)
    states = {one.record.id: one.record.state for each in claimed for one in each.found if isinstance(one, Stored)}
    assert states == {first: "ASKED", second: "READY", third: "READY"}


async def test_an_id_in_an_index_without_its_record_is_taken_out_and_named(store: Store, clock: FixedClock) -> None:
    (record_id,) = await asked(store, 1, clock)
    await store.link.ask("ZADD", keys.due(0, "errand", "READY"), 5, record_id)
    await store.link.ask("ZADD", keys.due(0, "errand", "READY"), 5, "errand-00-aaaaaaaaaaaaaaaa")
    claimed = await store.records.claim([Queue("errand", "READY", 10, LEASE_MS)])
    assert sorted(astray for one in claimed for astray in one.astray) == ["errand-00-aaaaaaaaaaaaaaaa", record_id]
    assert not any(one.found for one in claimed)
    assert [one for each in await store.records.claim([Queue("errand", "READY", 10, 1)]) for one in each.astray] == []


async def test_a_record_that_cannot_be_read_is_leased_as_poison_and_the_others_go_on(
    store: Store, clock: FixedClock
) -> None:
    good, bad, worse = await asked(store, 3, clock)
    await store.link.ask("HSET", keys.record(bad), "data", b"\xc1 no msgpack")  # type: ignore[arg-type]
    await store.link.ask("HDEL", keys.record(worse), "ver", "hash", "data")  # type: ignore[arg-type]
    found = [
        one for claimed in await store.records.claim([Queue("errand", "ASKED", 10, LEASE_MS)]) for one in claimed.found
    ]
    assert {one.record.id for one in found if isinstance(one, Stored)} == {good}
    poison = {one.record.id: one for one in found if not isinstance(one, Stored)}
    assert set(poison) == {bad, worse}
    assert "not what Payflow wrote" in poison[bad].problem  # type: ignore[index]


async def test_a_record_goes_through_its_whole_life(store: Store, clock: FixedClock) -> None:
    (record_id,) = await asked(store, 1, clock)
    for state, fact in (("ASKED", Approved()), ("READY", Sent()), ("SENDING", NotDone("bounced"))):
        await think(store, await claim_one(store, state), fact)
    failed = (await store.records.read(record_id)).record  # type: ignore[arg-type]
    assert failed.state == "FAILED"
    assert await claim(store, "FAILED") == [], "a person's state is nobody's to claim"
    await tell(store, failed.id, Approved("eve"))
    await think(store, await claim_one(store, "READY"), Sent())
    await think(store, await claim_one(store, "SENDING"), Done("receipt"))
    done = (await store.records.read(failed.id)).record
    assert (done.state, done.version) == ("DONE", 7)
    assert await faults(store) == []


async def test_fifty_workers_that_race_to_commit_have_one_winner(store: Store, clock: FixedClock) -> None:
    (record_id,) = await asked(store, 1, clock)
    seen = await store.records.read(record_id)  # type: ignore[arg-type]
    results = await asyncio.gather(
        *(store.records.commit(seen, move("approve", f"by {n}"), Approved(str(n)), f"w{n}") for n in range(50)),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, BaseException) for one in results) == 1
    assert sum(isinstance(one, Conflict) for one in results) == 49
    assert len(await store.records.history(seen.record.id)) == 2
    assert await faults(store) == []
