"""The store was set back, the chain was not: every transaction of the lane's address is accounted for by its nonce."""

from adapters.ethereum.pay_many import PayManyContract
from machines.core.chain import Address, BatchPayee
from machines.core.clock import Millis
from machines.finding.data import Finding
from payflow.desk.reconcile.comparison import Word
from payflow.desk.reconcile.lanes import LanesReconcile
from tests.chain import GWEI, Anvil, stranger
from tests.lanes import Station, outside

AMOUNT = 1_000_000 * GWEI


async def reconciled(station: Station) -> list[Finding]:
    """Compare the lane with its chain."""
    part = LanesReconcile(station.store, station.lanes.lanes, station.lanes.books)
    return list(await part.reconcile(Millis(0), Word("otto")))


async def paid(station: Station, count: int) -> None:
    """Pay some, each in a transaction of its own."""
    payments = [station.payment(f"p-{number}") for number in range(count)]
    async with station.worker():
        await station.pay(*payments)
        await station.until_settled(payments)
        await station.settle_down()


async def test_a_lane_whose_every_nonce_is_known_has_nothing_to_settle(station: Station) -> None:
    assert await reconciled(station) == []
    await paid(station, 2)
    assert await reconciled(station) == []


async def test_each_transaction_that_the_store_forgot_is_named_with_what_it_may_have_paid(
    station: Station, chain: Anvil
) -> None:
    await paid(station, 2)
    # As after a restore: the address went on to nonce 3, and of the store's payments one would pay the same again.
    again, other = station.payment("again"), stranger()
    await outside(chain, nonce=2, to=dict(again.to.fields)["address"], wei=AMOUNT)
    await chain.mine()
    await outside(chain, nonce=3, to=other, wei=7)
    await chain.mine()
    await station.pay(again)
    one, two = await reconciled(station)
    assert (one.subject, two.subject) == ("ethereum/2", "ethereum/3")
    assert one.open
    assert "It may have paid again" in one.advice
    assert "It may have" not in two.advice
    assert f"7 wei to {other}" in two.says


async def test_what_a_batch_that_the_store_forgot_may_have_paid_is_named_too(station: Station, chain: Anvil) -> None:
    await paid(station, 1)
    again = station.payment("again")
    payees = (BatchPayee(stranger(), 5), BatchPayee(Address(dict(again.to.fields)["address"]), AMOUNT))
    contract = PayManyContract(stranger())
    wei, data, gas = contract.pay("0x" + "11" * 32, payees, None)
    await outside(chain, nonce=1, to=contract.address, wei=wei, data=data, gas=gas)
    await chain.mine()
    await station.pay(again)
    (one,) = await reconciled(station)
    assert "It may have paid again" in one.advice


async def test_a_transaction_that_waits_for_its_block_must_be_waited_for(station: Station, chain: Anvil) -> None:
    await paid(station, 1)
    await outside(chain, nonce=1, to=stranger(), wei=7)
    (finding,) = await reconciled(station)
    assert finding.open
    assert "waits for its block" in finding.says


async def test_an_address_of_which_the_store_knows_nothing_is_one_finding(station: Station, chain: Anvil) -> None:
    for nonce in range(3):
        await outside(chain, nonce=nonce, to=stranger(), wei=7)
        await chain.mine()
    (finding,) = await reconciled(station)
    assert finding.subject == "lane:ethereum"
    assert "has sent 3 transactions" in finding.says


async def test_a_chain_that_cannot_be_asked_keeps_the_rails_closed(station: Station, chain: Anvil) -> None:
    await paid(station, 1)
    chain.kill()
    (finding,) = await reconciled(station)
    assert finding.open
    assert finding.subject == "lane:ethereum"
