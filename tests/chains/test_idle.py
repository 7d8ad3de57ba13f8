"""What a lane costs when it has nothing to do, or a lot: looks, events, and the size of a commit."""

from collections.abc import AsyncIterator

import pytest

from machines.core.clock import FixedClock
from machines.transaction import lifecycle as s
from machines.transaction.planning import MOST_PAYMENTS
from payflow.config import Settings
from tests.chain import ETHER, LANE, Anvil
from tests.chainproxy import ChainProxy
from tests.chains.batches import existing, made_contract
from tests.lanes import Station, open_station

MOST_CALLS_A_MINUTE = 12


@pytest.fixture
async def proxy(chain: Anvil) -> AsyncIterator[ChainProxy]:
    """The node that we use, which counts."""
    async with ChainProxy(chain.url) as proxy:
        yield proxy


@pytest.fixture
async def station(settings: Settings, chain: Anvil, proxy: ChainProxy, clock: FixedClock) -> AsyncIterator[Station]:
    """A lane behind it."""
    async with open_station(settings, chain, urls=[proxy.url], clock=clock) as station:
        yield station


async def minute(station: Station, clock: FixedClock) -> None:
    """Let a minute pass, a second at a time, with everything that is due in it."""
    for _ in range(60):
        clock.advance(1)
        for machine, state in (("lane", s.OPEN), *(("transaction", one) for one in (s.SIGNED, s.SENT, s.MINED))):
            await station.look_once(machine, state)


async def test_a_lane_with_nothing_to_do_asks_its_node_rarely_and_writes_nothing(
    station: Station, proxy: ChainProxy, clock: FixedClock
) -> None:
    await station.lanes.books.ensure(station.lane)
    await minute(station, clock)
    lane_id, versions = station.lanes.books.lane_id("ethereum"), []
    proxy.forget()
    for _ in range(3):
        await minute(station, clock)
        versions.append((await station.store.records.read(lane_id)).record.version)
    assert len(proxy.calls) / 3 <= MOST_CALLS_A_MINUTE
    assert len(set(versions)) == 1


async def test_a_lane_that_waits_for_money_says_so_once(station: Station, chain: Anvil, clock: FixedClock) -> None:
    await chain.set_balance(LANE.address, 0)
    await station.pay(station.payment("p-1"))
    await minute(station, clock)
    events = await station.whys(station.lanes.books.lane_id("ethereum"))
    await minute(station, clock)
    assert await station.whys(station.lanes.books.lane_id("ethereum")) == events


async def test_what_waits_in_the_pool_costs_fewer_looks_the_longer_it_waits(
    station: Station, proxy: ChainProxy, clock: FixedClock
) -> None:
    await station.pay(*(station.payment(f"p-{number}") for number in range(4)))
    await minute(station, clock)
    transaction = await station.transaction(0)
    assert transaction.state == s.SENT
    for _ in range(2):
        await minute(station, clock)
    proxy.forget()
    await minute(station, clock)
    assert proxy.count("eth_getTransactionReceipt") <= 4 * 5
    assert (await station.transaction(0)).version == transaction.version, "no event for a look that learned nothing"


async def test_one_look_never_moves_more_payments_than_a_commit_should_hold(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    contract = await made_contract(chain)
    await chain.set_balance(LANE.address, 10**6 * ETHER)
    async with open_station(settings, chain, clock=clock, pay_many=contract) as station:
        station.set_policy(batch_size=200, in_flight=4096, at_once=100)
        payments = [station.payment(f"p-{number}", to) for number, to in enumerate(await existing(chain, 900))]
        await station.pay(*payments)
        await station.look_once("lane", s.OPEN)
        await station.look_once("lane", s.OPEN)
        unsettled = await station.lanes.books.unsettled("ethereum")
        first = [len(one.data.members) for one in unsettled]
        assert 0 < sum(first) <= MOST_PAYMENTS
        assert max(first) == 200
        for _ in range(3):
            await station.look_once("lane", s.OPEN)
        assert sum(len(one.data.members) for one in await station.lanes.books.unsettled("ethereum")) == 900
