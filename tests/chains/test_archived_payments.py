"""A lane payment that was archived is still what it was: paid, with its evidence, and never paid again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from machines.core.clock import FixedClock, Millis
from machines.core.ports import Settled
from machines.transaction import lifecycle as s
from payflow.config import Settings
from payflow.desk.archive import archive
from tests.chain import GWEI, LANE, Anvil
from tests.lanes import Station, open_station, received


@pytest.fixture
async def station(settings: Settings, chain: Anvil, clock: FixedClock) -> AsyncIterator[Station]:
    """A lane."""
    async with open_station(settings, chain, clock=clock) as station:
        yield station


async def put_away(station: Station, folder: Path, clock: FixedClock) -> None:
    """Archive all that may be archived; the transaction is still watched, and stays."""
    for post in await station.store.outbox.take(100, 1000):
        await station.store.outbox.done(post)
    clock.advance(1)
    assert (await archive(station.store, folder, Millis(clock.now()), "olu")).records > 0


async def test_an_archived_payment_is_settled_as_it_was_and_is_not_paid_again(
    station: Station, chain: Anvil, clock: FixedClock, tmp_path: Path
) -> None:
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_all([payment], s.SETTLED, each=lambda: clock.advance(31))
    before = await station.status(payment)
    assert isinstance(before, Settled)
    await put_away(station, tmp_path / "archive", clock)
    assert await station.store.archive.count() == 1
    assert await station.status(payment) == before
    async with station.worker():
        await station.pay(payment)
        await chain.mine(5)
        other = station.payment("p-2")
        await station.pay(other)
        await station.until_all([other], s.SETTLED, each=lambda: clock.advance(31))
    assert set((await received(chain, [payment])).values()) == {1_000_000 * GWEI}
    assert await chain.nonce(LANE.address) == 2
    assert await station.status(payment) == before


async def test_a_member_of_a_transaction_that_is_no_longer_final_comes_out_of_the_archive(
    station: Station, clock: FixedClock, tmp_path: Path
) -> None:
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_all([payment], s.SETTLED, each=lambda: clock.advance(31))
    await put_away(station, tmp_path / "archive", clock)
    record = await station.record(payment)
    (again,) = await station.lanes.books.payments([record.id])
    assert (again.state, again.data, again.version) == (record.state, record.data, record.version + 1)
    assert (await station.store.listing.outlook(again)).at is None, "nobody looks at a payment by itself"
    assert [fault async for fault in station.store.integrity.verify()] == []
