"""What an owner asked for lately is counted exactly, in the script that makes his next request."""

import asyncio

import pytest

from machines.core.clock import DAY, HOUR, FixedClock
from machines.core.errors import ShortBalance
from machines.core.ids import Owner
from machines.core.money import ETH, MAX_UNITS, Asset, Money
from machines.core.money import NGN as NAIRA
from machines.core.record import Velocity
from payflow.store.store import Store
from tests.desk import ANN, BOB, ask, fund, tell
from tests.errand import Cancelled
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)


class Requests:
    """Makes requests that count, and reads what was counted before each."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.made = 0

    async def next(self, units: int = 100, owner: Owner = ANN, asset: Asset = NAIRA) -> Velocity:
        self.made += 1
        record_id = await ask(self.store, owner, units, str(self.made), counted=True, asset=asset)
        velocity = (await self.store.records.read(record_id)).record.velocity
        assert velocity is not None
        return velocity


@pytest.fixture
async def requests(store: Store) -> Requests:
    await fund(store, units=MAX_UNITS)
    return Requests(store)


async def test_the_first_request_has_nothing_before_it(requests: Requests) -> None:
    assert await requests.next() == Velocity(0, 0, 0, 0)


async def test_each_request_sees_those_before_it_and_not_itself(requests: Requests) -> None:
    seen = [await requests.next(units) for units in (100, 20, 3)]
    assert seen == [Velocity(0, 0, 0, 0), Velocity(1, 100, 1, 100), Velocity(2, 120, 2, 120)]


async def test_a_request_leaves_the_window_after_an_hour_and_the_other_after_a_day(
    requests: Requests, clock: FixedClock
) -> None:
    await requests.next(100)
    clock.at += HOUR - 1
    assert await requests.next(20) == Velocity(1, 100, 1, 100)
    clock.at += 1
    assert await requests.next(3) == Velocity(1, 20, 2, 120)
    clock.at += DAY - HOUR - 1
    assert await requests.next(4) == Velocity(0, 0, 3, 123)
    clock.at += 1
    assert await requests.next(5) == Velocity(1, 4, 3, 27)
    clock.at += DAY
    assert await requests.next(6) == Velocity(0, 0, 0, 0)


async def test_a_sliding_window_is_exact_over_two_days(requests: Requests, clock: FixedClock) -> None:
    past: list[tuple[int, int]] = []
    for number in range(100):
        units = number * 37 % 101
        hour = [one for at, one in past if at > clock.at - HOUR]
        day = [one for at, one in past if at > clock.at - DAY]
        assert await requests.next(units) == Velocity(len(hour), sum(hour), len(day), sum(day))
        past.append((clock.at, units))
        clock.at += number * 7919 % 3_600_001


async def test_more_requests_than_are_taken_off_at_a_time_leave_the_window_too(
    requests: Requests, clock: FixedClock
) -> None:
    await asyncio.gather(*(requests.next(1) for _ in range(600)))
    assert await requests.next(1) == Velocity(600, 600, 600, 600)
    clock.at += HOUR
    assert await requests.next(1) == Velocity(0, 0, 601, 601)
    clock.at += DAY
    assert await requests.next(1) == Velocity(0, 0, 0, 0)


async def test_requests_at_once_are_counted_one_after_the_other(requests: Requests) -> None:
    seen = await asyncio.gather(*(requests.next(10) for _ in range(20)))
    assert sorted(one.hour_count for one in seen) == list(range(20))
    assert sorted(one.day_units for one in seen) == [10 * n for n in range(20)]


async def test_amounts_are_summed_by_asset_and_requests_are_not(requests: Requests) -> None:
    await requests.store.records.fund(ANN, Money(1000, ETH), "eth")
    await requests.next(100)
    assert await requests.next(7, asset=ETH) == Velocity(1, 0, 1, 0)
    assert await requests.next(1) == Velocity(2, 100, 2, 100)


async def test_one_owners_requests_are_not_anothers(requests: Requests) -> None:
    await fund(requests.store, BOB)
    await requests.next(100)
    assert await requests.next(100, BOB) == Velocity(0, 0, 0, 0)


async def test_sums_that_no_double_can_hold_are_exact(requests: Requests, clock: FixedClock) -> None:
    await requests.next(2**53)
    await requests.next(1)
    assert await requests.next(1) == Velocity(2, 2**53 + 1, 2, 2**53 + 1)
    clock.at += HOUR
    assert (await requests.next(1)).day_units == 2**53 + 2


async def test_a_sum_may_be_larger_than_any_amount(requests: Requests) -> None:
    """What is asked for, given back and asked for again counts each time."""
    for number in range(3):
        velocity = await requests.next(MAX_UNITS)
        assert velocity.hour_units == number * MAX_UNITS
        (latest,) = await requests.store.listing.owned_by(ANN, 1)
        newest = (await requests.store.listing.in_state("errand", "ASKED"))[-1]
        assert latest.record.owner == ANN
        await tell(requests.store, newest.record.id, Cancelled())


async def test_a_refused_request_does_not_count(requests: Requests) -> None:
    await requests.next(MAX_UNITS)
    with pytest.raises(ShortBalance):
        await ask(requests.store, units=1, key="refused", counted=True)
    await fund(requests.store, BOB)
    await tell(requests.store, (await requests.store.listing.in_state("errand", "ASKED"))[0].record.id, Cancelled())
    assert (await requests.next(1)).hour_count == 1


async def test_a_replay_does_not_count(requests: Requests) -> None:
    await ask(requests.store, key="same", counted=True)
    await ask(requests.store, key="same", counted=True)
    assert (await requests.next()).hour_count == 1


async def test_a_request_that_does_not_count_is_not_counted(requests: Requests) -> None:
    record_id = await ask(requests.store, key="uncounted")
    assert (await requests.store.records.read(record_id)).record.velocity is None
    assert await requests.next() == Velocity(0, 0, 0, 0)
