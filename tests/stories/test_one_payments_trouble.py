"""What a gateway says of one payment holds that one, and the others go on: over every gateway, in either form."""

from decimal import Decimal

import pytest

from payflow.config import Settings
from tests.stories.banks import Choice, paystack, v3, v4
from tests.stories.town import ELSEWHERE, HOME, Town, open_town

# Paystack fails a transfer without saying why: told later, it is a failure like any other, and tried again by itself.
EVERY_WAY = pytest.mark.parametrize(
    ("choice", "at_once"), [(v3, True), (v3, False), (v4, True), (v4, False), (paystack, True)]
)
SMALL = 8
UNHURRIED = {"payout_worker_rate_limit": 1000}  # time stands still while they are looked at: nobody gets another permit


async def approved(town: Town, amount: str, account: str = HOME) -> str:
    """Ann asks, Rita says yes, and it waits for the batch."""
    payout = await town.ann_asks(amount, account)
    await town.approve(payout)
    await town.until_queued(payout)
    return payout


async def a_large_one_among_small_ones(town: Town, *, at_once: bool) -> tuple[str, list[str]]:
    """Our wallet holds ₦4M; the oldest payout is of ₦4.9M, behind it wait some of ₦1,000."""
    town.bank.transfers.switches.short_at_once = at_once
    town.bank.transfers.wallets["NGN"] = Decimal(4_000_000)
    await town.ann_earns("6000000")
    large = await approved(town, "4900000", ELSEWHERE)
    return large, [await approved(town, "1000") for _ in range(SMALL)]


async def batch_opens(town: Town) -> None:
    """It is ten o'clock."""
    await town.time_passes(hours=2)


async def until_paid(town: Town, payouts: list[str]) -> None:
    """Wait until all of them are with the gateway, and then until they are paid."""
    for payout in payouts:
        await town.until_sent(payout)
    await town.time_passes(seconds=10)
    for payout in payouts:
        await town.until(payout, "paid")


@EVERY_WAY
async def test_a_wallet_that_is_too_low_for_one_payout_pays_the_others(
    settings: Settings, choice: Choice, *, at_once: bool
) -> None:
    """The large one can be cancelled meanwhile: surely nothing of it left."""
    async with open_town(settings, choice, **UNHURRIED) as town, town.worker():
        large, small = await a_large_one_among_small_ones(town, at_once=at_once)
        await batch_opens(town)
        if not at_once:
            await town.until_sent(large)
        await until_paid(town, small)
        assert not await town.store.pauses.all()
        record = await town.until_in(large, "APPROVED")
        assert record.data.failures == 0
        await town.ann_cancels(large)
        assert (await town.ann_sees(large))["status"] == "cancelled"
        assert await town.ann_has() == ("5,992,000", "0", "8,000")
