"""Settings that change under payments on their way, and what nodes do not tell: the lane waits and says why."""

from dataclasses import replace

import pytest

from machines.core.chain import TxHash
from machines.core.clock import FixedClock
from machines.core.errors import Rejected
from machines.core.ports import Destination, PaymentKey, Settled
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from payflow.config import Settings
from tests.chain import GWEI, LANE, OTHER, Anvil, raw_key, stranger
from tests.chainproxy import FOR_EVER, ChainProxy, Kind
from tests.lanes import Station, open_station, received

SEND = "eth_sendRawTransaction"


async def test_a_lane_that_is_given_another_address_takes_nothing_for_displaced(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    for _ in range(3):
        await chain.send(OTHER, stranger())
    await chain.mine(5)
    assert await chain.nonce(OTHER.address) == 3
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        await chain.drop_all()
        station.change_lane(signer=raw_key(OTHER.key))
        await station.poke()
        await station.until_paused("rail:ethereum")
        await station.settle_down()
        assert (await station.transaction(0)).state == s.SENT
        why = (await station.store.pauses.all())["rail:ethereum"].why
        assert LANE.address in why
        assert OTHER.address in why
        station.change_lane(signer=raw_key(LANE.key))
        await station.resume()
        await chain.rpc(SEND, sent.data.newest.raw)
        await station.until_settled([payment])
    assert await chain.nonce(OTHER.address) == 3


async def test_where_finality_is_asked_for_and_not_told_nothing_is_signed_and_nothing_counts(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    async with ChainProxy(chain.url) as proxy, open_station(settings, chain, urls=[proxy.url], clock=clock) as station:
        proxy.no_finality = True
        station.set_policy(finalized=True)
        payment = station.payment("p-1")
        async with station.worker():
            await station.pay(payment)
            await station.until_waits("final")
            await chain.mine(5)
            await station.settle_down()
            assert (await station.record(payment)).state == s.QUEUED
            proxy.no_finality = False
            await station.until_settled([payment])


async def test_an_older_attempt_is_seen_while_the_newer_one_is_held_back(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        await station.pause()
        fee = sent.data.newest.fee
        newer = replace(sent.data.newest, hash=TxHash("0x" + "11" * 32), fee=replace(fee, max_wei=fee.max_wei * 2))
        await station.tell(sent.id, f.Bumped(replace(newer, sent=False), "held back"))
        await chain.mine(5)
        await station.until_settled([payment])


async def test_what_is_cancelled_before_it_was_sent_is_never_sent(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    await station.lanes.books.ensure(station.lane)
    await station.look_once("lane", s.OPEN)
    await station.pay(payment)
    await station.look_once("lane", s.OPEN)
    signed = await station.transaction(0)
    assert signed.state == s.SIGNED
    await station.tell(signed.id, f.CancelAsked("ada", "wrong recipient"))
    async with station.worker():
        await station.until_all([payment], s.FAILED)
    assert await chain.balance(payment.to["address"]) == 0
    assert signed.data.newest.hash not in {one["hash"] for one in await mined(chain)}
    assert len((await station.transaction(0)).data.attempts) == 2


async def mined(chain: Anvil) -> list[dict[str, str]]:
    """List all transactions in blocks."""
    blocks = [await chain.rpc("eth_getBlockByNumber", hex(at), True) for at in range(await chain.height() + 1)]  # noqa: FBT003
    return [tx for block in blocks for tx in block["transactions"]]


async def test_a_better_price_that_nodes_refuse_leaves_the_payment_under_way(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    async with ChainProxy(chain.url) as proxy, open_station(settings, chain, urls=[proxy.url], clock=clock) as station:
        payment = station.payment("p-1")
        async with station.worker():
            await station.pay(payment)
            sent = await station.until_nonce(0, s.SENT)
            proxy.fail(Kind.ERROR, SEND, words="tx fee (1.2 ether) exceeds the configured cap (1.0 ether)")
            await station.tell(sent.id, f.BumpAsked("ada"))
            await station.until_attempts(0, 2)
            await station.until_nonce(0, s.SENT)
            await station.settle_down()
            assert len((await station.transaction(0)).data.attempts) == 2, "it is not cancelled"
            await station.until_settled([payment])
        assert isinstance(await station.status(payment), Settled)


async def test_bytes_that_are_sent_again_do_not_put_off_a_better_price(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    async with ChainProxy(chain.url) as proxy, open_station(settings, chain, urls=[proxy.url], clock=clock) as station:
        station.set_policy(rebroadcast_s=30, bump_after_s=90)
        proxy.fail(Kind.DROPPED, SEND, FOR_EVER)
        payment = station.payment("p-1")
        async with station.worker():
            await station.pay(payment)
            await station.until_nonce(0, s.SENT)
            for _ in range(4):
                clock.advance(31)
                await station.settle_down()
            await station.until_attempts(0, 2)
            proxy.heal()
            await station.until_all([payment], s.SETTLED, each=lambda: clock.advance(31))
    assert proxy.count(SEND) > 3
    assert await chain.nonce(LANE.address) == 1


@pytest.mark.parametrize(
    "address",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",  # the last but one letter is wrong
        "0x0000000000000000000000000000000000000000",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeA",
        "bob.eth",
        "",
    ],
)
async def test_an_address_that_is_mistyped_is_rejected_with_a_reason(station: Station, address: str) -> None:
    payment = replace(station.payment("p-1"), to=Destination("ethereum", (("address", address),)))
    with pytest.raises(Rejected, match="address"):
        await station.rail.submit(payment)
    assert await station.lanes.books.payment("ethereum", payment.key) is None


@pytest.mark.parametrize(
    ("to", "data", "value"),
    [
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xzz", "0"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x123", "0"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x", "-1"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x", str(2**256)),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x" + "00" * 200_000, "0"),
        ("", "0x", "0"),
    ],
)
async def test_a_call_that_cannot_be_signed_never_comes_into_the_queue(
    station: Station, to: str, data: str, value: str
) -> None:
    ask = station.payment("p-1")
    call = Destination("call", (("to", to), ("data", data), ("value_wei", value)))
    payment = replace(ask, key=PaymentKey("c-1"), to=call, amount=replace(ask.amount, units=0))
    with pytest.raises(Rejected):
        await station.rail.submit(payment)


async def test_a_lane_whose_counter_is_behind_the_chain_finds_what_it_did_and_pays_nobody_twice(
    station: Station, chain: Anvil
) -> None:
    first, second = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(first)
        await station.until_settled([first])
        await station.force_next_nonce(0)
        await station.pay(second)
        await station.until_settled([second], blocks=4)
    assert set((await received(chain, [first, second])).values()) == {1_000_000 * GWEI}
    assert await chain.nonce(LANE.address) == 2
