"""Whether something may be sent is asked right before the one call that sends it: nothing is slow in between."""

from collections.abc import AsyncIterator

import pytest

from adapters.sandbox.faults import Fault, Kind
from machines.core.clock import Millis
from payflow.config import Settings
from tests.stories.banks import paystack
from tests.stories.town import Town, open_town
from tests.waiting import wait_until

RECIPIENT, TRANSFER = "POST /transferrecipient", "POST /transfer"


@pytest.fixture
async def town(settings: Settings) -> AsyncIterator[Town]:
    """A town that pays by a gateway which wants a recipient before it takes a transfer."""
    async with open_town(settings, paystack) as town:
        yield town


async def asked_for_its_recipient(town: Town) -> str:
    """A payout whose recipient the gateway was asked for, and has not told yet."""
    await town.ann_earns("5000")
    payout = await town.ann_asks("1000")
    await town.approve(payout)
    await town.until_queued(payout)
    town.bank.faults.add(Fault(Kind.SLOW, created=True, delay_s=5, where=RECIPIENT))
    await town.time_passes(hours=2)
    await wait_until(lambda: RECIPIENT in town.bank.server.calls, "the gateway is asked for a recipient")
    assert TRANSFER not in town.bank.server.calls
    return payout


async def test_a_pause_while_the_recipient_is_asked_for_holds_the_transfer(town: Town) -> None:
    """It goes out when the pause is over, once."""
    async with town.worker():
        payout = await asked_for_its_recipient(town)
        await town.store.pauses.pause("rail:paystack", "olu", "something is wrong there", Millis(1))
        await town.time_passes(seconds=5)
        await town.until_looked(payout)
        assert TRANSFER not in town.bank.server.calls
        assert not town.transfers_of(payout)
        await town.store.pauses.resume("rail:paystack")
        await town.time_passes(seconds=30)
        await town.until_sent(payout)
        await town.time_passes(seconds=30)
        await town.until(payout, "paid")
        assert town.bank.server.calls.count(TRANSFER) == 1


async def test_a_payout_that_is_cancelled_while_the_recipient_is_asked_for_is_given_back(town: Town) -> None:
    """Nothing has left, and nothing does."""
    async with town.worker():
        payout = await asked_for_its_recipient(town)
        await town.ann_cancels(payout)
        await town.time_passes(minutes=5)
        await town.until(payout, "cancelled")
    assert TRANSFER not in town.bank.server.calls
    assert (await town.account()).held == 0
