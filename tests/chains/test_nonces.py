"""What can go wrong with nonces and waiting transactions, on a real node."""

import pytest

from machines.core.clock import FixedClock
from machines.core.errors import BadInput
from machines.core.ports import Cause, Failed, Pending, Settled
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from tests.chain import ETHER, GWEI, LANE, Anvil, stranger
from tests.lanes import Station, outside, received, steal

HOUR_S = 3600


async def test_what_the_pool_dropped_is_sent_again_as_the_same_bytes(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    station.set_policy(bump_after_s=10 * HOUR_S, rebroadcast_s=30)
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        await chain.drop(sent.data.newest.hash)
        assert await chain.waiting() == []
        clock.advance(31)
        await station.poke()
        await station.until_settled([payment])
    after = await station.transaction(0)
    assert [attempt.hash for attempt in after.data.attempts] == [sent.data.newest.hash]


async def test_a_payment_that_waits_too_long_is_offered_more_for_at_the_same_nonce(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    station.set_policy(bump_after_s=60)
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT)
        clock.advance(61)
        await station.poke()
        await station.until_attempts(0, 2)
        await station.until_nonce(0, s.SENT)
        await station.until_settled([payment])
    data = (await station.transaction(0)).data
    first, second = data.attempts
    assert second.fee.max_wei * 8 >= first.fee.max_wei * 9
    assert (second.fee.tip_wei or 0) * 8 >= (first.fee.tip_wei or 0) * 9
    assert data.hash == second.hash
    assert await chain.nonce(LANE.address) == 1


async def test_the_old_bytes_may_be_mined_after_a_bump_and_count_all_the_same(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    station.set_policy(bump_after_s=60)
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        first = (await station.until_nonce(0, s.SENT)).data.newest
        clock.advance(61)
        await station.poke()
        await station.until_attempts(0, 2)
        await station.until_nonce(0, s.SENT)
        await chain.drop_all()
        await chain.rpc("eth_sendRawTransaction", first.raw)
        await station.until_settled([payment])
    settled = await station.status(payment)
    assert isinstance(settled, Settled)
    assert settled.evidence.reference == first.hash
    assert dict(settled.evidence.details)["fee_wei"] == (await station.transaction(0)).data.fee_wei


async def test_no_price_above_the_ceiling_is_ever_offered(station: Station, chain: Anvil, clock: FixedClock) -> None:
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        offered = (await station.until_nonce(0, s.SENT)).data.newest.fee
        fees = station.lane.policy.fees
        tight = type(fees)(tip_ceiling_wei=fees.tip_ceiling_wei, max_fee_ceiling_wei=offered.max_wei)
        station.set_policy(bump_after_s=1, rebroadcast_s=10 * HOUR_S, fees=tight)
        clock.advance(HOUR_S)
        await station.poke()
        await station.tell((await station.transaction(0)).id, f.BumpAsked("ada"))
        await station.until_settled([payment])
    assert len((await station.transaction(0)).data.attempts) == 1


async def test_a_nonce_that_somebody_else_used_gives_its_payment_a_new_one_only_on_proof(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT)
        await steal(station, chain, nonce=0, to=stranger(), wei=5)
        await chain.mine(1)
        await station.poke()
        await station.settle_down()
        assert (await station.record(payment)).state == s.SENDING, "one block proves nothing"
        await chain.mine(4)
        await station.poke()
        displaced = await station.until_nonce(0, s.DISPLACED)
        assert displaced.data.hash
        await station.until_settled([payment])
    assert (await station.record(payment)).data.nonce == 1
    assert set((await received(chain, [payment])).values()) == {1_000_000 * GWEI}


async def test_a_replacement_from_outside_that_does_the_same_is_the_payment(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT)
        speedup = await steal(station, chain, nonce=0, to=payment.to["address"], wei=1_000_000 * GWEI)
        await station.until_settled([payment], blocks=4)
    settled = await station.status(payment)
    assert isinstance(settled, Settled)
    assert settled.evidence.reference == speedup
    assert set((await received(chain, [payment])).values()) == {1_000_000 * GWEI}
    assert (await station.transaction(0)).state == s.DISPLACED


async def test_a_cancelled_transaction_uses_up_its_nonce_and_pays_nobody(station: Station, chain: Anvil) -> None:
    payment, next_one = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        await station.tell(sent.id, f.CancelAsked("ada", "wrong recipient"))
        await station.until_attempts(0, 2)
        await station.until_nonce(0, s.SENT)
        await station.pay(next_one)
        await station.until_all([payment], s.FAILED)
        await station.until_settled([next_one], blocks=4)
    status = await station.status(payment)
    assert isinstance(status, Failed)
    assert status.reason == "wrong recipient"
    assert status.retryable
    assert await chain.balance(payment.to["address"]) == 0


async def test_of_a_cancel_and_its_payment_the_receipt_says_which_one_won(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        original = (await station.until_nonce(0, s.SENT)).data.newest
        await station.tell((await station.transaction(0)).id, f.CancelAsked("ada", "wrong recipient"))
        await station.until_attempts(0, 2)
        await station.until_nonce(0, s.SENT)
        await chain.drop_all()
        await chain.rpc("eth_sendRawTransaction", original.raw)
        await station.until_settled([payment])
    assert isinstance(await station.status(payment), Settled)


async def test_a_lane_without_money_waits_and_fails_nothing(station: Station, chain: Anvil) -> None:
    await chain.set_balance(LANE.address, 1_000_000 * GWEI)
    payments = [station.payment(f"p-{number}") for number in range(3)]
    async with station.worker():
        await station.pay(*payments)
        await station.until_waits("ETH more at")
        assert {(await station.record(payment)).state for payment in payments} == {s.QUEUED}
        status = await station.status(payments[0])
        assert isinstance(status, Pending)
        assert status.waiting_for == (await station.lane_data()).waits_for
        assert status.waiting_for.endswith(f"ETH more at {LANE.address}"), "whoever asks for a payment hears of it"
        await chain.set_balance(LANE.address, ETHER)
        await station.until_settled(payments)
    data = await station.lane_data()
    assert (data.waits_for, data.lacks) == ("", "")


async def test_gas_counts_into_what_a_lane_needs(station: Station, chain: Anvil) -> None:
    await chain.set_balance(LANE.address, 1_000_000 * GWEI + 20_999)
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_waits("ETH more at")
    assert await chain.nonce(LANE.address) == 0


async def test_a_contract_that_throws_fails_its_own_payment_and_no_other(station: Station, chain: Anvil) -> None:
    thrower = stranger()
    await chain.set_code(thrower, "0x60006000fd")
    bad, good = station.payment("bad", thrower), station.payment("good")
    async with station.worker():
        await station.pay(bad, good)
        await station.until_settled([good])
    status = await station.status(bad)
    assert isinstance(status, Failed)
    assert status.cause is Cause.DESTINATION
    assert not status.retryable
    assert await chain.nonce(LANE.address) == 1, "nothing was sent for it"


async def test_what_reverts_on_the_chain_has_failed_only_deep_in_it(station: Station, chain: Anvil) -> None:
    turncoat = stranger()
    payment = station.payment("p-1", turncoat)
    station.set_policy(gas_limit=60_000)
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT)
        await chain.set_code(turncoat, "0x60006000fd")
        await chain.mine(2)
        await station.poke()
        await station.until_nonce(0, s.MINED)
        await chain.mine(4)
        await station.poke()
        await station.until_nonce(0, s.REVERTED)
    status = await station.status(payment)
    assert isinstance(status, Failed)
    assert status.evidence is not None
    assert await chain.balance(turncoat) == 0


async def test_somebody_else_sending_from_the_address_is_noticed_and_nothing_stops(
    station: Station, chain: Anvil
) -> None:
    first, second = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(first)
        await station.until_settled([first])
        await outside(chain, nonce=1, to=stranger(), wei=7)
        await chain.mine(4)
        await station.pay(second)
        await station.until_settled([second], blocks=4)
    assert (await station.lane_data()).noticed == 1
    assert (await station.record(second)).data.nonce == 2


async def test_what_may_have_paid_a_queued_payment_stops_the_lane_until_a_person_has_said(
    station: Station, chain: Anvil
) -> None:
    await station.lanes.books.ensure(station.lane)
    payment, other = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.until_next_nonce(0)
        paid = await outside(chain, nonce=0, to=payment.to["address"], wei=1_000_000 * GWEI)
        await chain.mine(1)
        await station.pay(payment, other)
        await station.settle_down()
        assert await chain.nonce(LANE.address) == 1, "nothing is signed before it is known what that was"
        await chain.mine(4)
        await station.poke()
        await station.until_lane(s.HALTED)
        lane_id = station.lanes.books.lane_id("ethereum")
        record = await station.record(payment)
        with pytest.raises(BadInput, match="no suspect"):
            await station.tell(lane_id, f.Adopted("ada", "looked", ((await station.record(other), paid),)))
        await station.tell(lane_id, f.Adopted("ada", "paid by hand on Monday", ((record, paid),)))
        await station.until_settled([other], blocks=4)
    assert isinstance(await station.status(payment), Settled)
    assert await chain.balance(payment.to["address"]) == 1_000_000 * GWEI


async def test_a_counter_ahead_of_the_chain_goes_back_over_nonces_that_were_never_sent(
    station: Station, chain: Anvil
) -> None:
    first, second = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(first)
        await station.until_settled([first])
        await station.force_next_nonce(9)
        await station.pay(second)
        await station.until_settled([second])
    assert (await station.record(second)).data.nonce == 1


async def test_a_gap_below_what_waits_is_filled_with_nothing(station: Station, chain: Anvil, clock: FixedClock) -> None:
    station.set_policy(rebroadcast_s=30, bump_after_s=10 * HOUR_S)
    payment = station.payment("p-1")
    await station.lanes.books.ensure(station.lane)
    async with station.worker():
        await station.until_next_nonce(0)
        await outside(chain, nonce=0, to=stranger(), wei=1)
        await chain.mine(4)
        await station.poke()
        await station.until_next_nonce(1)
        await station.pay(payment)
        await station.until_nonce(1, s.SENT)
        await chain.reorg(4)
        assert await chain.nonce(LANE.address) == 0
        await station.poke()
        filler = await station.until_nonce(0, s.SENT)
        await chain.mine(1)
        clock.advance(31)
        await station.until_settled([payment])
    assert filler.data.newest.empty
    assert filler.data.members == ()
    assert set((await received(chain, [payment])).values()) == {1_000_000 * GWEI}
