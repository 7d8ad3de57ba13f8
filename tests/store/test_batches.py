"""Batches: written once for each that boards, and summed up from the records themselves."""

from dataclasses import replace

import pytest

from machines.core.clock import FixedClock, Millis
from machines.core.ids import RecordId
from payflow.store import keys
from payflow.store.outbox import Post
from payflow.store.registers.batches import Batches, Summary
from payflow.store.store import Store
from tests.desk import ANN, BOB, ask, fund, tell
from tests.errand import Approved, Done, Sent
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)

MORNING, NOON = "20270115-080000-batch", "20270115-120000-batch"


@pytest.fixture
def batches(store: Store) -> Batches:
    return Batches(store.link, store.records)


def boarded(record_id: RecordId, batch: str, at: int) -> Post:
    return Post(f"{record_id}/3/1", "batch", record_id, Millis(at), {"batch": batch}, 0)


async def some(store: Store, count: int = 3) -> list[RecordId]:
    """Errands of two owners, in two shards."""
    for owner in (ANN, BOB):
        await fund(store, owner)
    return [await ask(store, (ANN, BOB)[number % 2], 100 + number, key=str(number)) for number in range(count)]


async def test_a_payout_that_boards_opens_its_batch(store: Store, batches: Batches, clock: FixedClock) -> None:
    ids = await some(store)
    for number, record_id in enumerate(ids):
        await batches.deliver(boarded(record_id, MORNING, clock.now() + number))
    (batch,) = await batches.latest(10)
    assert (batch.id, batch.opened_at, batch.size) == (MORNING, clock.now(), 3)
    assert await batches.find(MORNING) == batch
    assert [record.id async for record in batches.records(MORNING)] == ids


async def test_a_message_that_comes_again_or_late_changes_nothing(
    store: Store, batches: Batches, clock: FixedClock
) -> None:
    first, second, _ = await some(store)
    await batches.deliver(boarded(second, MORNING, clock.now() + 5))
    await batches.deliver(boarded(first, MORNING, clock.now() + 2))
    before = await batches.find(MORNING)
    for _ in range(3):
        await batches.deliver(boarded(second, MORNING, clock.now() + 5))
        await batches.deliver(boarded(first, MORNING, clock.now() + 9))
    assert await batches.find(MORNING) == before
    assert before is not None
    assert before.opened_at == clock.now() + 2
    assert [record.id async for record in batches.records(MORNING)] == [first, second]


async def test_batches_are_listed_the_newest_first(store: Store, batches: Batches, clock: FixedClock) -> None:
    (record_id,) = await some(store, 1)
    for number in range(5):
        await batches.deliver(boarded(record_id, f"batch-{number}", clock.now() + number))
    assert [batch.id for batch in await batches.latest(3)] == ["batch-4", "batch-3", "batch-2"]


async def test_what_never_opened_is_not_there(batches: Batches) -> None:
    assert await batches.latest(10) == []
    assert await batches.find(NOON) is None
    assert (await batches.summary(NOON)).counts == {}


async def test_a_summary_says_where_each_member_is_by_now(store: Store, batches: Batches, clock: FixedClock) -> None:
    ids = await some(store, 4)
    for record_id in ids:
        await batches.deliver(boarded(record_id, MORNING, clock.now()))
    for record_id in ids[:2]:
        for fact in (Approved(), Sent(), Done("receipt")):
            await tell(store, record_id, fact)
    await tell(store, ids[2], Approved())
    summary = await batches.summary(MORNING)
    assert summary.counts == {"DONE": 2, "READY": 1, "ASKED": 1}
    assert {state: dict(sums) for state, sums in summary.sums.items()} == {
        "DONE": {"NGN": 201},
        "READY": {"NGN": 102},
        "ASKED": {"NGN": 103},
    }


async def test_who_went_on_in_a_later_batch_is_counted_there(store: Store) -> None:
    class Data:
        batch = NOON

    (record_id,) = await some(store, 1)
    record = replace((await store.records.read(record_id)).record, data=Data())
    earlier, later = Summary(), Summary()
    earlier.add(MORNING, record)
    later.add(NOON, record)
    assert (earlier.boarded_again, earlier.counts) == (1, {})
    assert (later.boarded_again, later.counts) == (0, {"ASKED": 1})


async def test_an_unreadable_member_does_not_hide_the_others(store: Store, batches: Batches, clock: FixedClock) -> None:
    first, second, third = await some(store)
    for record_id in (first, second, third):
        await batches.deliver(boarded(record_id, MORNING, clock.now()))
    await store.link.ask("HSET", keys.record(second), "data", b"\xc1")
    assert {record.id async for record in batches.records(MORNING)} == {first, third}


async def test_a_batch_of_many_is_walked_over_page_by_page(
    store: Store, batches: Batches, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payflow.store.registers.batches.PAGE", 2)
    ids = await some(store, 7)
    for number, record_id in enumerate(ids):
        await batches.deliver(boarded(record_id, MORNING, clock.now() + number))
    assert [record.id async for record in batches.records(MORNING)] == ids
