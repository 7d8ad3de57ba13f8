"""Permits of a rate are shared by the whole fleet."""

import asyncio

import pytest

from machines.core.clock import FixedClock
from payflow.config import Settings
from payflow.store import keys
from payflow.store.store import Store
from tests.desk import opened
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)


async def take(store: Store, wanted: int, rate: float = 10) -> tuple[int, int]:
    return await store.records.rate_tokens("errand.SENDING", rate, wanted)


async def test_at_most_a_seconds_worth_is_saved_up(store: Store, clock: FixedClock) -> None:
    assert (await take(store, 100))[0] == 10
    assert (await take(store, 100))[0] == 0
    clock.advance(3600)
    assert (await take(store, 100))[0] == 10


async def test_permits_come_at_the_rate(store: Store, clock: FixedClock) -> None:
    await take(store, 10)
    granted = 0
    for _ in range(1000):
        clock.advance(0.01)
        granted += (await take(store, 5))[0]
    assert granted == 100


async def test_who_gets_none_is_told_when_there_is_one(store: Store, clock: FixedClock) -> None:
    await take(store, 10)
    granted, wait_ms = await take(store, 1)
    assert (granted, wait_ms) == (0, 100)
    clock.advance(0.1)
    assert (await take(store, 1))[0] == 1


async def test_permits_that_were_not_used_can_be_given_back(store: Store) -> None:
    await take(store, 10)
    await take(store, -4)
    assert (await take(store, 100))[0] == 4
    await take(store, -100)
    assert (await take(store, 100))[0] == 10, "never more than a second's worth"


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01])
async def test_a_rate_below_one_a_second_grants_one_at_a_time(store: Store, clock: FixedClock, rate: float) -> None:
    assert await take(store, 3, rate) == (1, round(1000 / rate))
    granted = 0
    for _ in range(10):
        clock.advance(1 / rate)
        granted += (await take(store, 3, rate))[0]
    assert granted == 10
    assert await store.link.ask("PTTL", keys.rate("errand.SENDING")) >= 900 / rate, "it outlives the wait"


async def test_two_workers_share_one_rate(store: Store, settings: Settings, clock: FixedClock) -> None:
    async with opened(settings, clock=clock) as other:
        taken = await asyncio.gather(*(take(one, 1) for _ in range(20) for one in (store, other)))
    assert sum(granted for granted, _ in taken) == 10


async def test_two_rates_do_not_meet(store: Store) -> None:
    await take(store, 10)
    assert (await store.records.rate_tokens("errand.READY", 10, 100))[0] == 10


async def test_a_clock_that_goes_back_grants_nothing(store: Store, clock: FixedClock) -> None:
    await take(store, 10)
    clock.at -= 5000
    assert (await take(store, 1))[0] == 0


async def test_an_idle_rate_is_forgotten(store: Store) -> None:
    await take(store, 1)
    assert 0 < await store.link.ask("PTTL", keys.rate("errand.SENDING")) <= 60_000
