"""A lane: payments wait, are signed one nonce after the other, sent, mined, buried, and then they are paid."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from machines.core.errors import NotFound
from machines.core.ports import Failed, Pending, Settled, Unsent
from machines.transaction import lifecycle as s
from machines.transaction.facts import Withdrawn
from payflow.config import Settings
from payflow.desk.archive import archive
from tests.chain import LANE, Anvil, anvil
from tests.lanes import Station, open_station, received
from tests.waiting import wait_until

GWEI = 10**9


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines when it is told to."""
    async with anvil(mining=False) as chain:
        yield chain


@pytest.fixture
async def station(settings: Settings, chain: Anvil) -> AsyncIterator[Station]:
    """A lane on it."""
    async with open_station(settings, chain) as station:
        yield station


async def test_a_payment_is_signed_sent_mined_and_buried_before_it_counts(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1", gwei=250_000_000)
    assert await station.status(payment) == Unsent()
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        assert sent.data.newest.hash in await chain.waiting()
        pending = await station.status(payment)
        assert isinstance(pending, Pending)
        assert pending.evidence is not None
        assert pending.evidence.reference == sent.data.newest.hash

        await chain.mine(1)
        await station.poke()
        await station.until_nonce(0, s.MINED)
        assert isinstance(await station.status(payment), Pending), "one block is not deep enough"

        await chain.mine(1)
        await station.poke()
        await station.until_nonce(0, s.FINAL)
    settled = await station.status(payment)
    assert isinstance(settled, Settled)
    assert dict(settled.evidence.details)["sender"] == LANE.address
    assert await received(chain, [payment]) == {payment.to["address"]: 250_000_000 * GWEI}


async def test_many_payments_follow_each_other_nonce_by_nonce(station: Station, chain: Anvil) -> None:
    payments = [station.payment(f"p-{number}") for number in range(120)]
    async with station.worker():
        await station.pay(*payments)
        await station.until_settled(payments)
    assert set((await received(chain, payments)).values()) == {1_000_000 * GWEI}
    assert await chain.nonce(LANE.address) == 120
    assert {(await station.record(payment)).data.nonce for payment in payments} == set(range(120))


async def test_the_same_key_is_paid_once_however_often_it_is_submitted(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    async with station.worker("first"), station.worker("second"):
        await station.pay(*[payment] * 20)
        await station.until_settled([payment])
        await station.pay(payment)
    assert await chain.nonce(LANE.address) == 1


async def test_what_was_put_away_is_still_what_it_was(station: Station, chain: Anvil, tmp_path: Path) -> None:
    paid, withdrawn = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(paid)
        await station.until_settled([paid])
    await station.pay(withdrawn)
    await station.tell((await station.record(withdrawn)).id, Withdrawn("ada", "not wanted"))
    before = [await station.status(one) for one in (paid, withdrawn)]
    assert [type(one) for one in before] == [Settled, Failed]

    gone = 0

    async def put_away() -> bool:
        nonlocal gone  # one may be over a moment before the other
        gone += (await archive(station.store, tmp_path, await station.store.records.now(), "olu")).records
        return gone >= 2

    await wait_until(put_away, description="both are put away")
    for one in (paid, withdrawn):
        with pytest.raises(NotFound):
            await station.store.records.read(station.lanes.books.payment_id("ethereum", one.key))
    assert [await station.status(one) for one in (paid, withdrawn)] == before
    await station.pay(paid, withdrawn)
    async with station.worker():
        await station.settle_down()
    assert [await station.status(one) for one in (paid, withdrawn)] == before
    assert await chain.nonce(LANE.address) == 1
