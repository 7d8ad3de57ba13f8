"""What a gateway says of one payment holds that one, and the others go on: over every gateway, in either form."""

from contextlib import AsyncExitStack
from decimal import Decimal

import pytest

from payflow.app import gateways
from payflow.app.probing import probe_closed_rails
from payflow.config import Settings
from payflow.web.gauges import read
from tests.stories.banks import Choice, paystack, v3, v4
from tests.stories.town import ELSEWHERE, HOME, Town, open_town

# Paystack fails a transfer without saying why: told later, it is a failure like any other, and tried again by itself.
EVERY_WAY = pytest.mark.parametrize(
    ("choice", "at_once"), [(v3, True), (v3, False), (v4, True), (v4, False), (paystack, True)]
)
SMALL = 8


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
    async with open_town(settings, choice) as town, town.worker():
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


# ── what speaks of every payment ─────────────────────────────────────────────────────────────────────────────────────


async def a_probe(town: Town) -> None:
    """A minute later a worker asks the closed rail whether it lets us in."""
    await town.time_passes(seconds=60)
    async with AsyncExitStack() as stack:
        doors = await gateways.open_doors(town.settings, town.clock, stack)
        probes = {name: door.probe for name, door in doors.items() if door.probe}
        await probe_closed_rails(town.store, probes)


@pytest.mark.parametrize("choice", [v3, v4, paystack])
async def test_a_revoked_key_closes_the_rail_which_opens_by_itself_when_it_is_restored(
    settings: Settings, choice: Choice
) -> None:
    """A probe is one cheap look: while it is refused the rail stays closed, and nobody has to resume it afterwards."""
    async with open_town(settings, choice) as town, town.worker():
        await town.ann_earns("5000")
        payout = await approved(town, "1000")
        town.bank.transfers.switches.key_revoked = True
        await batch_opens(town)
        rail = f"rail:{town.settings.payout_rail}"
        await town.until_paused(rail)
        assert (await town.store.pauses.all())[rail].code == "HTTP 401"
        gauges = await read(town.store)
        assert gauges.registry.get_sample_value("payflow_rail_closed", {"rail": rail.removeprefix("rail:")}) == 1
        await a_probe(town)
        assert rail in await town.store.pauses.all()
        town.bank.transfers.switches.key_revoked = False
        await a_probe(town)
        assert await town.store.pauses.all() == {}
        await town.time_passes(seconds=30)
        await until_paid(town, [payout])


async def test_what_people_or_a_contradiction_closed_is_opened_by_no_probe(settings: Settings) -> None:
    """Not even where the gateway's own code had closed it before."""
    async with open_town(settings) as town:
        rail, now = "rail:flutterwave", town.clock.now()
        await town.store.pauses.pause(rail, "worker-1", "RailClosed: HTTP 401", now, "HTTP 401")
        assert await town.store.pauses.pause(rail, "payflow", "payout-1 was paid twice", now)
        await a_probe(town)
        assert (await town.store.pauses.all())[rail].why == "payout-1 was paid twice"
        await town.store.pauses.reopen(rail)
        assert (await town.store.pauses.all())[rail].why == "payout-1 was paid twice"
        assert await town.store.pauses.resume(rail)
        assert await town.store.pauses.all() == {}
