"""What a chain may take back, and what counts all the same: reorganisations on a real node."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.addresses import checksummed
from machines.core.clock import FixedClock
from machines.core.ports import Failed, Payment, Pending, Settled
from machines.transaction import lifecycle as s
from payflow.config import Settings
from tests.chain import GWEI, LANE, Anvil, anvil, stranger
from tests.chainproxy import ChainProxy
from tests.lanes import Station, open_station, received, steal
from tests.waiting import wait_until


async def paid_in_block(station: Station, chain: Anvil, payment: Payment) -> str:
    """Bring a payment into a block; give the bytes that did it."""
    await station.pay(payment)
    sent = await station.until_nonce(0, s.SENT)
    await chain.mine(1)
    await station.poke()
    await station.until_nonce(0, s.MINED)
    return sent.data.newest.raw


async def test_a_block_that_goes_away_before_the_depth_is_followed_by_the_same_bytes(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    payment = station.payment("p-1")
    station.set_policy(depth=6, rebroadcast_s=30, bump_after_s=10_000)
    async with station.worker():
        await paid_in_block(station, chain, payment)
        await chain.reorg(1)
        await station.poke()
        await station.until_nonce(0, s.SENT)
        clock.advance(31)
        await station.poke()
        await station.until_settled([payment])
    transaction = await station.transaction(0)
    assert len(transaction.data.attempts) == 1
    assert "its block is gone" in await station.whys(transaction.id)
    assert set((await received(chain, [payment])).values()) == {1_000_000 * GWEI}


async def test_many_reorganisations_in_a_row_end_in_one_payment(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    payment = station.payment("p-1")
    station.set_policy(depth=6, rebroadcast_s=30, bump_after_s=10_000)
    async with station.worker():
        raw = await paid_in_block(station, chain, payment)
        for _ in range(4):
            await chain.reorg(1)
            await station.poke()
            await station.until_nonce(0, s.SENT)
            await chain.rpc("eth_sendRawTransaction", raw)
            await chain.mine(1)
            await station.poke()
            await station.until_nonce(0, s.MINED)
        await station.until_settled([payment])
    assert await chain.nonce(LANE.address) == 1
    assert set((await received(chain, [payment])).values()) == {1_000_000 * GWEI}


async def test_another_block_with_the_same_transaction_starts_the_count_anew(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    station.set_policy(depth=6)
    async with station.worker():
        raw = await paid_in_block(station, chain, payment)
        before = (await station.transaction(0)).data
        await chain.rollback(1)
        await chain.mine(3)
        await chain.rpc("eth_sendRawTransaction", raw)
        await chain.mine(1)
        await station.poke()
        await station.until_block(0, before.block + 3)
        await chain.mine(2)
        await station.poke()
        await station.settle_down()
        assert (await station.transaction(0)).state == s.MINED, "six blocks from the first one, three from this one"
        await station.until_settled([payment])
    after = (await station.transaction(0)).data
    assert after.block_hash != before.block_hash


async def test_a_block_that_goes_away_after_the_depth_opens_the_payment_again_and_raises_an_alarm(
    settings: Settings, clock: FixedClock
) -> None:
    # 32 blocks to an epoch: the chain itself is sure of a block only after 64.
    async with anvil(mining=False) as chain, open_station(settings, chain, clock=clock) as station:
        payment = station.payment("p-1")
        async with station.worker():
            raw = await paid_in_block(station, chain, payment)
            await chain.mine(2)
            await station.poke()
            await station.until_nonce(0, s.FINAL)
            assert isinstance(await station.status(payment), Settled)
            await chain.reorg(3)
            await station.poke_nonce(0)
            await station.until_nonce(0, s.SENT)
            assert isinstance(await station.status(payment), Pending), "its receipt is withdrawn"
            assert any("counted as final" in why for why in await station.alarms())
            await chain.rpc("eth_sendRawTransaction", raw)
            await station.until_settled([payment])
        assert set((await received(chain, [payment])).values()) == {1_000_000 * GWEI}


async def test_a_block_that_the_chain_called_final_and_takes_back_stops_the_lane(
    station: Station, chain: Anvil
) -> None:
    payment = station.payment("p-1")
    async with station.worker():
        await paid_in_block(station, chain, payment)
        await chain.mine(2)
        await station.poke()
        await station.until_nonce(0, s.FINAL)
        await chain.reorg(3)
        await chain.drop_all()
        await chain.mine(3)
        await station.poke_nonce(0)
        await station.until_paused("rail:ethereum")
    assert (await station.transaction(0)).state == s.FINAL
    assert (await station.record(payment)).state == s.SETTLED


@asynccontextmanager
async def without_finality(settings: Settings, clock: FixedClock) -> AsyncIterator[tuple[Station, Anvil]]:
    """Open a lane on a chain where depth alone counts, and that may take back more than that."""
    async with (
        anvil(mining=False) as chain,
        ChainProxy(chain.url, no_finality=True) as proxy,
        open_station(settings, chain, urls=[proxy.url], clock=clock) as station,
    ):
        yield station, chain


async def displaced_and_paid_elsewhere(station: Station, chain: Anvil, payment: Payment) -> str:
    """Let somebody take a payment's nonce, and the lane pay it at the next one; give the first bytes."""
    await station.pay(payment)
    raw = (await station.until_nonce(0, s.SENT)).data.newest.raw
    await steal(station, chain, nonce=0, to=stranger(), wei=1)
    await chain.mine(2)
    await station.poke()
    await station.until_nonce(0, s.DISPLACED)
    await station.until_settled([payment])
    return raw


async def test_old_bytes_that_come_back_for_a_nonce_that_was_lost_stop_the_lane(
    settings: Settings, clock: FixedClock
) -> None:
    async with without_finality(settings, clock) as (station, chain):
        payment = station.payment("p-1")
        async with station.worker():
            raw = await displaced_and_paid_elsewhere(station, chain, payment)
            second = (await station.until_nonce(1, s.FINAL)).data.newest.raw
            await chain.rollback(await chain.height())
            for one in (raw, second):
                await chain.rpc("eth_sendRawTransaction", one)
            await chain.mine(20)
            await station.poke_nonce(0)
            await station.until_paused("rail:ethereum")
        assert "and before that in" in " ".join(await station.whys((await station.record(payment)).id))


async def test_a_lost_nonce_that_is_free_again_is_used_up_by_nothing(settings: Settings, clock: FixedClock) -> None:
    async with without_finality(settings, clock) as (station, chain):
        payment = station.payment("p-1")
        station.set_policy(rebroadcast_s=30)
        async with station.worker():
            await displaced_and_paid_elsewhere(station, chain, payment)
            second = (await station.until_nonce(1, s.FINAL)).data.newest.raw
            await chain.rollback(await chain.height())
            await chain.drop_all()
            await chain.rpc("eth_sendRawTransaction", second)
            await chain.mine(20)
            await station.poke_nonce(0)
            await station.until_nonce(0, s.SENT, s.SIGNED, s.MINED)
            await station.poke_nonce(1)
            await station.until_all([payment], s.SETTLED, each=lambda: clock.advance(31))

            async def used_up() -> bool:
                await chain.mine(3)
                clock.advance(31)
                await station.poke()
                return (await station.transaction(0)).state == s.DISPLACED

            await wait_until(used_up, "nonce 0 is used up by nothing")
        assert (await station.transaction(0)).data.newest.empty
        assert await chain.balance(checksummed(payment.to["address"])) == 1_000_000 * GWEI


async def test_a_revert_that_a_reorganisation_turns_into_a_success_is_a_success(station: Station, chain: Anvil) -> None:
    turncoat = stranger()
    payment = station.payment("p-1", turncoat)
    station.set_policy(gas_limit=60_000, depth=6)
    async with station.worker():
        await station.pay(payment)
        raw = (await station.until_nonce(0, s.SENT)).data.newest.raw
        await chain.set_code(turncoat, "0x60006000fd")
        await chain.mine(2)
        await station.poke()
        await station.until_nonce(0, s.MINED)
        assert not isinstance(await station.status(payment), Failed), "not deep enough to be believed"
        await chain.reorg(2)
        await chain.set_code(turncoat, "0x")
        await chain.rpc("eth_sendRawTransaction", raw)
        await station.until_settled([payment])
    assert await chain.balance(turncoat) == 1_000_000 * GWEI


async def test_with_finality_asked_for_depth_alone_does_not_count(settings: Settings, clock: FixedClock) -> None:
    async with anvil(mining=False, slots_in_an_epoch=4) as chain, open_station(settings, chain, clock=clock) as station:
        station.set_policy(finalized=True)
        payment = station.payment("p-1")
        async with station.worker():
            await paid_in_block(station, chain, payment)
            await chain.mine(4)
            await station.poke()
            await station.settle_down()
            assert isinstance(await station.status(payment), Pending)
            await station.until_settled([payment])


@pytest.mark.parametrize("depth", [1, 2, 5])
async def test_depth_counts_the_block_itself(station: Station, chain: Anvil, depth: int) -> None:
    payment = station.payment("p-1")
    station.set_policy(depth=depth)
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT)
        await chain.mine(depth)
        await station.poke()
        await station.until(payment, s.SETTLED)
