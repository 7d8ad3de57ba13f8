"""Many payments in one transaction: cheaper where it is, and each with a result of its own."""

from collections.abc import AsyncIterator

import pytest

from adapters.ethereum.pay_many import PayManyContract
from machines.core.clock import FixedClock
from machines.core.ports import Cause, Failed, Settled
from machines.transaction import lifecycle as s
from payflow.config import Settings
from tests.chain import ETHER, GWEI, LANE, Anvil
from tests.chains.batches import existing, made_contract
from tests.lanes import Station, open_station, received


@pytest.fixture
async def contract(chain: Anvil) -> PayManyContract:
    """The contract, made by the lane's address."""
    return await made_contract(chain)


@pytest.fixture
async def station(
    settings: Settings, chain: Anvil, clock: FixedClock, contract: PayManyContract
) -> AsyncIterator[Station]:
    """A lane with the contract, which waits a moment for company."""
    async with open_station(settings, chain, clock=clock, pay_many=contract) as station:
        station.set_policy(batch_wait_s=5, batch_size=100)
        yield station


async def test_a_hundred_payments_leave_in_one_transaction_with_evidence_for_each(
    station: Station, chain: Anvil
) -> None:
    payments = [station.payment(f"p-{number}", to) for number, to in enumerate(await existing(chain, 100))]
    before = await chain.nonce(LANE.address)
    async with station.worker():
        await station.pay(*payments)
        await station.until_settled(payments)
    assert await chain.nonce(LANE.address) == before + 1
    assert set((await received(chain, payments)).values()) == {1_000_000 * GWEI + 1}
    details = []
    for payment in payments:
        status = await station.status(payment)
        assert isinstance(status, Settled)
        details.append(dict(status.evidence.details))
    assert len({one["place"] for one in details}) == 100
    assert int(details[0]["gas_used"]) / 100 <= 10_500


async def test_one_recipient_of_a_hundred_that_throws_is_the_only_one_not_paid(station: Station, chain: Anvil) -> None:
    addresses = await existing(chain, 100)
    thrower = addresses[37]
    await chain.set_code(thrower, "0x60006000fd")
    payments = [station.payment(f"p-{number}", to) for number, to in enumerate(addresses)]
    before = await chain.balance(LANE.address)
    async with station.worker():
        await station.pay(*payments)
        good = [payment for payment in payments if payment.to["address"] != thrower]
        await station.until_settled(good)
        await station.until(payments[37], s.FAILED)
    status = await station.status(payments[37])
    assert isinstance(status, Failed)
    assert status.cause is Cause.DESTINATION
    assert status.evidence is not None
    assert dict(status.evidence.details)["place"] == str((await station.record(payments[37])).data.place)
    balances = await received(chain, payments)
    assert balances.pop(thrower) == 1
    assert set(balances.values()) == {1_000_000 * GWEI + 1}
    fee = int(dict(status.evidence.details)["fee_wei"])
    assert await chain.balance(LANE.address) == before - 99 * 1_000_000 * GWEI - fee, "its share came back"


async def test_accounts_that_do_not_exist_yet_are_paid_one_by_one(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    old = [station.payment(f"old-{number}", to) for number, to in enumerate(await existing(chain, 5))]
    new = [station.payment(f"new-{number}") for number in range(4)]
    before = await chain.nonce(LANE.address)
    async with station.worker():
        await station.pay(*old, *new)
        clock.advance(6)
        await station.until_settled([*old, *new])
    assert await chain.nonce(LANE.address) == before + 5
    assert {(await station.record(payment)).data.evidence is not None for payment in new} == {True}


async def test_a_batch_that_reverts_is_taken_apart_until_the_bad_one_is_alone(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    # A contract that pays nobody and always reverts: every batch fails, payments alone do not go through it.
    payments = [station.payment(f"p-{number}", to) for number, to in enumerate(await existing(chain, 8))]
    async with station.worker():
        await station.pay(*payments)
        clock.advance(6)
        await station.poke()
        await station.until_nonce(1, s.SENT)
        assert station.lane.pay_many is not None
        await chain.set_code(station.lane.pay_many.address, "0x60006000fd")
        await station.until_all(payments, s.SETTLED, blocks=5, each=lambda: clock.advance(6))
    assert set((await received(chain, payments)).values()) == {1_000_000 * GWEI + 1}
    sizes = []
    for nonce in range(1, await chain.nonce(LANE.address)):
        transaction = await station.transaction(nonce)
        sizes.append((len(transaction.data.members), transaction.state))
    assert (8, s.REVERTED) in sizes
    assert (4, s.REVERTED) in sizes
    assert (2, s.REVERTED) in sizes
    assert sizes.count((1, s.FINAL)) == 8


async def test_payments_wait_for_company_only_for_a_while(station: Station, chain: Anvil, clock: FixedClock) -> None:
    station.set_policy(batch_wait_s=60)
    payments = [station.payment(f"p-{number}", to) for number, to in enumerate(await existing(chain, 4))]
    before = await chain.nonce(LANE.address)
    async with station.worker():
        await station.pay(*payments)
        await station.settle_down()
        assert {(await station.record(payment)).state for payment in payments} == {s.QUEUED}
        clock.advance(61)
        await station.until_settled(payments)
    assert await chain.nonce(LANE.address) == before + 1


async def test_a_batch_costs_no_more_than_the_lane_has(station: Station, chain: Anvil, clock: FixedClock) -> None:
    await chain.set_balance(LANE.address, 5 * 1_000_000 * GWEI)
    payments = [station.payment(f"p-{number}", to) for number, to in enumerate(await existing(chain, 10))]
    async with station.worker():
        await station.pay(*payments)
        clock.advance(6)
        await station.poke()
        await station.until_waits("ETH more at")
        await chain.set_balance(LANE.address, ETHER)
        await station.until_settled(payments)
    assert set((await received(chain, payments)).values()) == {1_000_000 * GWEI + 1}
