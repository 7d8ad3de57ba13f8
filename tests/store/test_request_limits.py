"""How many requests an owner may make is held by the script that makes them: nothing slips through in between."""

import asyncio
from dataclasses import replace

import pytest

from machines.core.clock import DAY, FixedClock
from machines.core.decision import RequestLimits
from machines.core.errors import TooManyOpen, TooManyToday
from machines.core.ids import RecordId
from payflow.store.store import Store
from tests.desk import ANN, BOB, account, faults, fund, new, tell
from tests.errand import Cancelled
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)

FEW = RequestLimits(most_open=3, most_daily=5)
OPEN = RequestLimits(most_open=3, most_daily=0)


async def request(store: Store, key: str, limits: RequestLimits = FEW) -> RecordId:
    made = await store.records.create(replace(new(key=key), limits=limits), "app")
    return made.record.id


async def test_of_thirty_requests_at_once_only_so_many_are_made_as_may_be_open(store: Store) -> None:
    await fund(store)
    made = await asyncio.gather(*(request(store, str(n)) for n in range(30)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["TooManyOpen"] * 27 + ["str"] * 3
    assert (await account(store)).held == 300
    assert await faults(store) == []


async def test_what_is_over_makes_room(store: Store) -> None:
    await fund(store)
    first, *_ = [await request(store, str(n)) for n in range(3)]
    with pytest.raises(TooManyOpen):
        await request(store, "3")
    await tell(store, first, Cancelled())
    await request(store, "3")
    with pytest.raises(TooManyOpen):
        await request(store, "4")


async def test_what_was_taken_back_counts_into_the_day(store: Store, clock: FixedClock) -> None:
    await fund(store)
    for number in range(5):
        await tell(store, await request(store, str(number)), Cancelled())
        clock.at += 1000
    with pytest.raises(TooManyToday):
        await request(store, "5")
    room = await store.records.room_after_ms(ANN, FEW.most_daily)
    assert room == DAY - 5000
    clock.at += room - 1
    with pytest.raises(TooManyToday):
        await request(store, "5")
    clock.at += 1
    await request(store, "5")


async def test_a_replay_gets_its_first_answer_though_there_is_no_room(store: Store) -> None:
    await fund(store)
    ids = [await request(store, str(n)) for n in range(3)]
    assert [await request(store, str(n)) for n in range(3)] == ids
    with pytest.raises(TooManyOpen):
        await request(store, "3")


async def test_what_was_refused_counts_neither_as_open_nor_into_the_day(store: Store) -> None:
    await fund(store)
    for number in range(3):
        await request(store, str(number))
    for number in range(9):
        with pytest.raises(TooManyOpen):
            await request(store, f"refused {number}")
    assert await store.records.room_after_ms(ANN, 4) == 0


async def test_one_owners_requests_take_no_room_from_anothers(store: Store) -> None:
    await fund(store)
    await fund(store, BOB)
    for number in range(3):
        await request(store, str(number))
    assert (await store.records.create(replace(new(BOB), limits=FEW), "app")).fresh


async def test_without_a_daily_limit_a_provider_may_ask_and_take_back_for_ever(store: Store) -> None:
    await fund(store)
    for number in range(12):
        await tell(store, await request(store, str(number), OPEN), Cancelled())
