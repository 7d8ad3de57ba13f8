"""What nodes may answer, or not, between us and a real chain: whatever it is, at most one payment."""

from collections.abc import AsyncIterator

import pytest

from machines.core.clock import FixedClock
from machines.core.ports import Settled
from machines.transaction import lifecycle as s
from payflow.config import Settings
from tests.chain import GWEI, LANE, Anvil
from tests.chainproxy import FOR_EVER, ChainProxy, Kind
from tests.lanes import Station, open_station, received

SEND = "eth_sendRawTransaction"
RECEIPT = "eth_getTransactionReceipt"


@pytest.fixture
async def proxy(chain: Anvil) -> AsyncIterator[ChainProxy]:
    """The node that we use, and that a test makes ill."""
    async with ChainProxy(chain.url) as proxy:
        yield proxy


@pytest.fixture
async def station(settings: Settings, chain: Anvil, proxy: ChainProxy, clock: FixedClock) -> AsyncIterator[Station]:
    """A lane behind it."""
    async with open_station(settings, chain, urls=[proxy.url], clock=clock) as station:
        yield station


async def paid_once(station: Station, chain: Anvil, clock: FixedClock, *keys: str) -> None:
    """Pay, with patience, and prove that each payment arrived once."""
    payments = [station.payment(key) for key in keys or ("p-1",)]
    station.set_policy(rebroadcast_s=30, bump_after_s=10_000)
    async with station.worker():
        await station.pay(*payments)
        await station.until_all(payments, s.SETTLED, each=lambda: clock.advance(31))
    assert set((await received(chain, payments)).values()) == {1_000_000 * GWEI}
    assert await chain.nonce(LANE.address) == len(payments)
    for payment in payments:
        assert isinstance(await station.status(payment), Settled)
        assert len((await station.transaction((await station.record(payment)).data.nonce)).data.attempts) == 1


@pytest.mark.parametrize("kind", list(Kind), ids=[kind.name for kind in Kind])
async def test_whatever_becomes_of_the_answer_to_a_send_it_is_paid_once(
    station: Station, chain: Anvil, proxy: ChainProxy, clock: FixedClock, kind: Kind
) -> None:
    proxy.fail(kind, SEND, times=2, size=64 * 1024 * 1024)
    await paid_once(station, chain, clock)


@pytest.mark.parametrize(
    "words",
    [
        "already known",
        "nonce too low",
        "nonce too high",
        "replacement transaction underpriced",
        "insufficient funds for gas * price + value",
        "txpool is full",
        "some words that no node has said before",
    ],
)
async def test_an_error_text_is_never_taken_for_the_fate_of_the_payment(
    station: Station, chain: Anvil, proxy: ChainProxy, clock: FixedClock, words: str
) -> None:
    proxy.fail(Kind.ERROR_AFTER, SEND, words=words)
    station.set_policy(rebroadcast_s=30, bump_after_s=10_000)
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_all([payment], s.SETTLED, each=lambda: clock.advance(31))
    assert set((await received(chain, [payment])).values()) == {1_000_000 * GWEI}
    assert await chain.nonce(LANE.address) == 1


async def test_nonce_too_low_while_nothing_of_ours_is_mined_moves_nothing_without_proof(
    station: Station, chain: Anvil, proxy: ChainProxy, clock: FixedClock
) -> None:
    proxy.fail(Kind.ERROR, SEND, times=3, words="nonce too low")
    await paid_once(station, chain, clock)


async def test_a_node_that_lags_is_no_proof_that_anything_is_missing(
    station: Station, chain: Anvil, proxy: ChainProxy, clock: FixedClock
) -> None:
    station.set_policy(depth=3, bump_after_s=10_000, rebroadcast_s=10_000)
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT)
        await chain.mine(2)
        await station.poke()
        await station.until_nonce(0, s.MINED)
        proxy.lag = 2
        await station.settle_down()
        assert (await station.transaction(0)).state == s.MINED
        proxy.lag = 0
        await station.until_settled([payment])
    assert "its block is gone" not in await station.whys((await station.transaction(0)).id)


async def test_a_receipt_that_comes_and_goes_counts_once(
    station: Station, chain: Anvil, proxy: ChainProxy, clock: FixedClock
) -> None:
    station.set_policy(depth=4, bump_after_s=10_000, rebroadcast_s=10_000)
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT)
        await chain.mine(1)
        proxy.flap(RECEIPT, "+-+--+-+")
        for _ in range(6):
            await station.settle_down()
        assert (await station.transaction(0)).state in {s.MINED, s.SENT}
        await station.until_settled([payment])
    assert await chain.nonce(LANE.address) == 1


async def test_a_node_of_another_chain_gets_nothing(
    settings: Settings, chain: Anvil, proxy: ChainProxy, clock: FixedClock
) -> None:
    proxy.chain_id = 1
    async with open_station(settings, chain, urls=[proxy.url], clock=clock) as station:
        payment = station.payment("p-1")
        async with station.worker():
            await station.pay(payment)
            await station.until_paused("rail:ethereum")
            assert proxy.count(SEND) == 0
            assert (await station.record(payment)).state == s.QUEUED
            proxy.chain_id = None
            clock.advance(60)
            await station.settle_down()  # a look that still met the other chain would pause the rail again
            await station.store.pauses.resume("rail:ethereum")
            await station.until_all([payment], s.SETTLED, each=lambda: clock.advance(60))


async def test_an_ill_node_beside_good_ones_holds_nothing_up(
    settings: Settings, chain: Anvil, proxy: ChainProxy, clock: FixedClock
) -> None:
    async with (
        ChainProxy(chain.url) as third,
        open_station(settings, chain, urls=[proxy.url, chain.url, third.url], clock=clock) as station,
    ):
        proxy.fail(Kind.HTML_502, times=FOR_EVER)
        await paid_once(station, chain, clock, "p-1", "p-2", "p-3")


async def test_a_node_of_another_chain_beside_good_ones_is_left_out(
    settings: Settings, chain: Anvil, proxy: ChainProxy, clock: FixedClock
) -> None:
    async with (
        ChainProxy(chain.url) as third,
        open_station(settings, chain, urls=[proxy.url, chain.url, third.url], clock=clock) as station,
    ):
        proxy.chain_id = 1
        await paid_once(station, chain, clock)
        assert proxy.count(SEND) == 0


async def test_without_enough_nodes_sends_go_on_and_nothing_settles_until_they_are_back(
    settings: Settings, chain: Anvil, proxy: ChainProxy, clock: FixedClock
) -> None:
    async with (
        ChainProxy(chain.url) as second,
        open_station(settings, chain, urls=[proxy.url, second.url], clock=clock) as station,
    ):
        first, later = station.payment("p-1"), station.payment("p-2")
        station.set_policy(rebroadcast_s=30, bump_after_s=10_000)
        async with station.worker():
            await station.pay(first)
            await station.until_nonce(0, s.SENT)
            second.outage = True
            await station.pay(later)
            await station.until_nonce(1, s.SENT)
            for _ in range(5):
                await chain.mine(3)
                clock.advance(31)
                await station.settle_down()
            assert {(await station.record(one)).state for one in (first, later)} == {s.SENDING}
            assert await chain.nonce(LANE.address) == 2, "what had to be sent was sent"
            second.outage = False
            await station.until_all([first, later], s.SETTLED, each=lambda: clock.advance(31))


async def test_fifteen_minutes_without_any_node_are_waited_out(
    station: Station, chain: Anvil, proxy: ChainProxy, clock: FixedClock
) -> None:
    first, second = station.payment("p-1"), station.payment("p-2")
    station.set_policy(rebroadcast_s=30, bump_after_s=10_000)
    async with station.worker():
        await station.pay(first)
        await station.until_nonce(0, s.SENT)
        proxy.outage = True
        await station.pay(second)
        for _ in range(15):
            clock.advance(60)
            await station.settle_down()
        assert (await station.record(first)).state == s.SENDING
        assert (await station.record(second)).state == s.QUEUED
        proxy.outage = False
        await station.until_all([first, second], s.SETTLED, each=lambda: clock.advance(60))
    assert set((await received(chain, [first, second])).values()) == {1_000_000 * GWEI}
    assert await chain.nonce(LANE.address) == 2


async def test_a_quota_that_is_used_up_delays_and_loses_nothing(
    station: Station, chain: Anvil, proxy: ChainProxy, clock: FixedClock
) -> None:
    proxy.fail(Kind.TOO_MANY, times=12, retry_after_s=1)
    await paid_once(station, chain, clock, *(f"p-{number}" for number in range(20)))


async def test_what_is_underpriced_is_offered_more_for_at_the_same_nonce(
    station: Station, chain: Anvil, proxy: ChainProxy
) -> None:
    proxy.fail(Kind.ERROR, SEND, words="transaction underpriced")
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT, s.SIGNED)
        await station.poke()
        await station.until_attempts(0, 2)
        await station.until_settled([payment])
    first, second = (await station.transaction(0)).data.attempts
    assert second.fee.max_wei * 8 >= first.fee.max_wei * 9
    assert await chain.nonce(LANE.address) == 1
