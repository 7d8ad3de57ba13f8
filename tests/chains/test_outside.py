"""Transactions of our own address that we did not sign: what they did is never done again without somebody's word."""

from collections.abc import AsyncIterator

import pytest

from adapters.ethereum.pay_many import PayManyContract
from machines.core.clock import FixedClock
from machines.core.ports import Failed, Payment, Settled
from machines.transaction import calldata
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from payflow.config import Settings
from tests.chain import GWEI, LANE, Anvil, stranger
from tests.chains.batches import existing, made_contract
from tests.lanes import Station, open_station, outside, received, steal

AMOUNT = 1_000_000 * GWEI


@pytest.fixture
async def contract(chain: Anvil) -> PayManyContract:
    """The contract, made by the lane's address."""
    return await made_contract(chain)


@pytest.fixture
async def batching(
    settings: Settings, chain: Anvil, clock: FixedClock, contract: PayManyContract
) -> AsyncIterator[Station]:
    """A lane with the contract. The contract took nonce 0."""
    async with open_station(settings, chain, clock=clock, pay_many=contract) as station:
        yield station


async def some(station: Station, chain: Anvil, count: int = 4) -> list[Payment]:
    """Make payments to accounts that have one wei."""
    return [station.payment(f"p-{number}", to) for number, to in enumerate(await existing(chain, count))]


# ── at a nonce of ours ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_batch_that_a_wallet_sped_up_has_paid_its_payments(batching: Station, chain: Anvil) -> None:
    payments = await some(batching, chain)
    await batching.pay(*payments)
    async with batching.worker():
        batch = (await batching.until_nonce(1, s.SENT)).data
        assert len(batch.members) == 4
        await steal(
            batching, chain, nonce=1, to=batch.to or "", wei=int(batch.value_wei), data=batch.data, gas=batch.gas
        )
        await batching.until_settled(payments)
        await batching.settle_down()
    assert set((await received(chain, payments)).values()) == {AMOUNT + 1}
    assert await chain.nonce(LANE.address) == 2


async def test_another_batch_at_the_nonce_of_ours_pays_nobody_twice(
    batching: Station, chain: Anvil, contract: PayManyContract
) -> None:
    payments = await some(batching, chain)
    await batching.pay(*payments)
    async with batching.worker():
        await batching.until_nonce(1, s.SENT)
        records = [await batching.record(payment) for payment in payments]
        # As a store that was restored would find it: the same payments, in a batch that it has forgotten.
        value, data, gas = contract.pay("0x" + "77" * 32, calldata.payees_of(records[:3]), None)
        forgotten = await steal(batching, chain, nonce=1, to=contract.address, wei=value, data=data, gas=gas)
        await chain.mine(4)
        await batching.poke()
        await batching.until_lane(s.HALTED)
        lane_id = batching.lanes.books.lane_id("ethereum")
        suspects = (await batching.lane_data()).suspects
        assert {one.payment for one in suspects} == {record.id for record in records[:3]}
        paid = tuple([(await batching.record(payment), forgotten) for payment in payments[:3]])
        await batching.tell(lane_id, f.Adopted("ada", "seen on chain", paid))
        await batching.until_settled(payments)
    assert set((await received(chain, payments)).values()) == {AMOUNT + 1}


async def test_what_took_a_nonce_and_did_a_queued_payments_work_stops_the_lane(station: Station, chain: Anvil) -> None:
    station.set_policy(in_flight=1)
    first, second = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(first)
        await station.until_nonce(0, s.SENT)
        await station.pay(second)
        taker = await steal(station, chain, nonce=0, to=second.to["address"], wei=AMOUNT)
        await chain.mine(4)
        await station.poke()
        await station.until_lane(s.HALTED)
        await station.settle_down()
        assert (await station.record(second)).state == s.QUEUED
        lane_id = station.lanes.books.lane_id("ethereum")
        await station.tell(lane_id, f.Adopted("ada", "that was it", ((await station.record(second), taker),)))
        await station.until_settled([first, second])
    assert set((await received(chain, [first, second])).values()) == {AMOUNT}


async def test_what_took_a_nonce_and_did_the_work_of_another_nonce_raises_an_alarm(
    station: Station, chain: Anvil
) -> None:
    first, second = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(first)
        await station.until_nonce(0, s.SENT)
        await station.pay(second)
        await station.until_nonce(1, s.SENT)
        await chain.drop_all()
        await outside(chain, nonce=0, to=second.to["address"], wei=AMOUNT)
        await chain.mine(4)
        await station.poke()
        await station.until_lane(s.HALTED)
        suspect = (await station.lane_data()).suspects[0]
        assert suspect.payment == (await station.record(second)).id
        await station.tell((await station.transaction(1)).id, f.CancelAsked("ada", "paid at nonce 0"))
        await station.until_attempts(1, 2)
        await station.until_nonce(1, s.SENT)
        await station.until_all([second], s.FAILED)
        lane_id = station.lanes.books.lane_id("ethereum")
        adopted = ((await station.record(second), suspect.hash),)
        await station.tell(lane_id, f.Adopted("ada", "it paid the second", adopted))
        await station.until_settled([first, second])
    assert set((await received(chain, [first, second])).values()) == {AMOUNT}


@pytest.mark.parametrize("asked", ["again", "more"])
async def test_a_stopped_lane_repeats_nothing_that_somebody_else_may_have_paid(
    station: Station, chain: Anvil, clock: FixedClock, asked: str
) -> None:
    station.set_policy(rebroadcast_s=30, bump_after_s=60 if asked == "more" else 10_000)
    first, second = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(first)
        await station.until_nonce(0, s.SENT)
        await station.pay(second)
        await station.until_nonce(1, s.SENT)
        # The nodes lost both; somebody paid the second by hand at the first one's nonce.
        await chain.drop_all()
        taker = await outside(chain, nonce=0, to=second.to["address"], wei=AMOUNT)
        await chain.mine(4)
        await station.poke()
        await station.until_lane(s.HALTED)
        for _ in range(4):
            clock.advance(61)
            await station.settle_down()
            await chain.mine(1)
        assert await chain.balance(second.to["address"]) == AMOUNT
        await station.tell((await station.transaction(1)).id, f.CancelAsked("ada", "paid at nonce 0"))
        await station.until_all([second], s.FAILED, each=lambda: clock.advance(61))
        adopted = ((await station.record(second), taker),)
        await station.tell(station.lanes.books.lane_id("ethereum"), f.Adopted("ada", "it paid the second", adopted))
        await station.until_all([first, second], s.SETTLED, each=lambda: clock.advance(61))
    assert set((await received(chain, [first, second])).values()) == {AMOUNT}


async def test_what_a_person_says_was_not_paid_from_outside_goes_out_again(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    station.set_policy(rebroadcast_s=30, bump_after_s=10_000)
    first, second = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(first)
        await station.until_nonce(0, s.SENT)
        await station.pay(second)
        await station.until_nonce(1, s.SENT)
        await chain.drop_all()
        await outside(chain, nonce=0, to=second.to["address"], wei=AMOUNT)
        await chain.mine(4)
        await station.poke()
        await station.until_lane(s.HALTED)
        await station.tell(station.lanes.books.lane_id("ethereum"), f.Adopted("ada", "that was a gift"))
        await station.until_all([first, second], s.SETTLED, each=lambda: clock.advance(61))
    assert await chain.balance(second.to["address"]) == 2 * AMOUNT


async def test_of_two_payments_alike_one_transaction_from_outside_settles_exactly_one(
    station: Station, chain: Anvil
) -> None:
    to = stranger()
    first, second = station.payment("p-1", to), station.payment("p-2", to)
    async with station.worker():
        await station.pay(first)
        await station.until_nonce(0, s.SENT)
        await station.pay(second)
        await station.until_nonce(1, s.SENT)
        taker = await steal(station, chain, nonce=0, to=to, wei=AMOUNT)
        await station.until_settled([first, second], blocks=4)
    one, two = await station.status(first), await station.status(second)
    assert isinstance(one, Settled)
    assert isinstance(two, Settled)
    assert one.evidence.reference == taker != two.evidence.reference
    assert await chain.balance(to) == 2 * AMOUNT


# ── at a nonce that we had not reached ───────────────────────────────────────────────────────────────────────────────


async def test_a_batch_from_outside_that_paid_queued_payments_stops_the_lane(
    batching: Station, chain: Anvil, contract: PayManyContract
) -> None:
    payments = await some(batching, chain)
    await batching.lanes.books.ensure(batching.lane)
    async with batching.worker():
        await batching.until_next_nonce(1)
        await batching.pause()
        await batching.pay(*payments)
        records = [await batching.record(payment) for payment in payments]
        value, data, gas = contract.pay("0x" + "77" * 32, calldata.payees_of(records), None)
        await outside(chain, nonce=1, to=contract.address, wei=value, data=data, gas=gas)
        await chain.mine(5)
        await batching.resume()
        await batching.poke()
        await batching.until_lane(s.HALTED)
    assert len((await batching.lane_data()).suspects) == 4
    assert set((await received(chain, payments)).values()) == {AMOUNT + 1}


# ── cancelled, or sent to a contract that is not the lane's any more ──────────────────────────────────────────────────


async def test_a_batch_that_is_cancelled_fails_its_payments_and_stops_nothing(batching: Station, chain: Anvil) -> None:
    payments = await some(batching, chain)
    after = batching.payment("after")
    await batching.pay(*payments)
    async with batching.worker():
        batch = await batching.until_nonce(1, s.SENT)
        await batching.tell(batch.id, f.CancelAsked("ada", "wrong list"))
        await batching.until_attempts(1, 2)
        await batching.until_nonce(1, s.SENT)
        await batching.until_all(payments, s.FAILED)
        await batching.pay(after)
        await batching.until_settled([after])
    for payment in payments:
        status = await batching.status(payment)
        assert isinstance(status, Failed)
        assert status.reason == "wrong list"
    assert "rail:ethereum" not in await batching.store.pauses.all()
    assert set((await received(chain, payments)).values()) == {1}


async def test_a_batch_is_never_read_without_its_contract(batching: Station, chain: Anvil) -> None:
    payments = await some(batching, chain)
    thrower = payments[2].to["address"]
    await batching.pay(*payments)
    async with batching.worker():
        await batching.until_nonce(1, s.SENT)
        await chain.set_code(thrower, "0x60006000fd")
        contract = batching.lane.pay_many
        batching.change_lane(pay_many=None)
        await chain.mine(4)
        await batching.poke()
        await batching.until_paused("rail:ethereum")
        assert {(await batching.record(payment)).state for payment in payments} == {s.SENDING}
        batching.change_lane(pay_many=contract)
        await batching.resume()
        await batching.until_settled([*payments[:2], payments[3]])
    assert isinstance(await batching.status(payments[2]), Failed)
