"""What a gateway says of one payment holds that one, and the others go on: over every gateway, in either form."""

from contextlib import AsyncExitStack
from decimal import Decimal

import pytest

from payflow.app import gateways
from payflow.config import Settings
from payflow.desk.gateways import probe_closed_rails
from payflow.web.http.probes import read_gauges
from tests.desk import UNLIMITED
from tests.stories.banks import Choice, paystack, v3, v4
from tests.stories.town import ELSEWHERE, HOME, Town, open_town
from tests.waiting import wait_until

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
        setups = await gateways.open_gateways(town.settings, UNLIMITED, town.clock, stack)
        probes = {name: setup.probe for name, setup in setups.items() if setup.probe}
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
        gauges = await read_gauges(town.store)
        assert gauges.registry.get_sample_value("payflow_rail_closed", {"rail": rail.removeprefix("rail:")}) == 1
        await a_probe(town)
        assert rail in await town.store.pauses.all()
        town.bank.transfers.switches.key_revoked = False
        await a_probe(town)
        assert await town.store.pauses.all() == {}
        while (await town.ann_sees(payout))["status"] != "paid":
            await town.time_passes(seconds=40)  # a look that was under way when a minute passed may have lost its lease
            await town.until_looked(payout)


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


# ── a wallet that is too low ─────────────────────────────────────────────────────────────────────────────────────────


async def money_comes(town: Town, naira: int) -> None:
    """Somebody fills the wallet; minutes later whoever waits is looked at again."""
    town.bank.transfers.wallets["NGN"] += naira
    await town.time_passes(minutes=11)


@pytest.mark.parametrize("choice", [v3, v4, paystack])
async def test_a_wallet_that_is_filled_pays_who_waited_without_another_batch(
    settings: Settings, choice: Choice
) -> None:
    async with open_town(settings, choice) as town, town.worker():
        large, small = await a_large_one_among_small_ones(town, at_once=True)
        await batch_opens(town)
        await until_paid(town, small)
        await town.until_in(large, "APPROVED")
        assert await banner(town) == 1
        assert (await gauge(town, "waiting_payouts"), await gauge(town, "waiting_units")) == (
            1,
            490_000_000 + fee(choice),
        )
        await money_comes(town, 2_000_000)
        await town.until_sent(large, attempt=2)
        assert (await gauge(town, "waiting_payouts"), await banner(town)) == (0, 0)
        await town.time_passes(seconds=10)
        await town.until(large, "paid")


def fee(choice: Choice) -> int:
    """What v3 says that it takes for the large one; the others do not say."""
    return 5375 if choice is v3 else 0


async def gauge(town: Town, name: str) -> float | None:
    """What a scrape says of our wallet."""
    labels = {"rail": town.settings.payout_rail, "asset": "NGN"}
    return (await read_gauges(town.store)).registry.get_sample_value(f"payflow_wallet_{name}", labels)


async def banner(town: Town) -> int:
    """How many wallets the dashboard says are too low."""
    return len(await town.store.shortfalls.all(town.clock.now()))


async def test_the_oldest_that_fits_goes_first_and_a_day_later_its_sum_is_kept_back(settings: Settings) -> None:
    """Small ones pass a large one only for a day; after two hours people know."""
    async with open_town(settings, batch_schedule="instant") as town, town.worker():
        town.bank.transfers.switches.short_at_once = True
        town.bank.transfers.wallets["NGN"] = Decimal(100_000)
        await town.ann_earns("6000000")
        large = await town.ann_asks("150000", ELSEWHERE)
        await town.approve(large)
        await held_back(town, large)
        await town.until_all_is_told()
        told = len(town.reviewers_were_told())

        await town.time_passes(seconds=1)
        quick = await town.ann_asks("20000")
        await town.approve(quick)
        await town.until_sent(quick)
        for _ in range(3):
            await town.time_passes(minutes=41)  # in the world somebody looks at it every five minutes
            await town.until_looked(large)
        await town.until_all_is_told()
        assert len(town.reviewers_were_told()) == told + 2, "of the quick one's review, and of the one passed over"

        for _ in range(15):
            await town.time_passes(minutes=91)
            await town.until_looked(large)
        late = await town.ann_asks("20000")
        await town.approve(late)
        await held_back(town, late)
        await money_comes(town, 80_000)
        await town.until_sent(large, attempt=2)
        assert (await town.record(late)).state == "APPROVED"
        await money_comes(town, 80_000)
        await town.until_sent(late, attempt=2)
        await town.time_passes(seconds=10)
        for payout in (large, quick, late):
            await town.until(payout, "paid")


async def held_back(town: Town, payout: str) -> None:
    """Wait until a payout has been put back among the approved."""

    async def there() -> bool:
        record = await town.record(payout)
        return record.state == "APPROVED" and bool(record.data.deferred_since)

    await wait_until(there, f"{payout} is held back")


async def test_two_workers_pay_from_a_low_wallet_no_more_than_fits(settings: Settings) -> None:
    """Whatever one of them believes of the wallet, the gateway refuses what it has not, and that one waits."""
    async with open_town(settings) as town, town.worker(), town.worker():
        town.bank.transfers.switches.short_at_once = True
        town.bank.transfers.wallets["NGN"] = Decimal(5_500)
        await town.ann_earns("20000")
        payouts = [await approved(town, "1000") for _ in range(10)]
        await batch_opens(town)

        async def settled() -> bool:
            records = [await town.record(payout) for payout in payouts]
            sent = [record for record in records if record.data.current and record.data.current.sent]
            return len(sent) == 5 and all(record in sent or record.data.deferred_since for record in records)

        await wait_until(settled, "five are sent, five wait")
        assert town.bank.transfers.wallets["NGN"] >= 0
        await money_comes(town, 100_000)
        for payout in payouts:
            await town.until_with_gateway(payout)
        await town.time_passes(seconds=60)
        for payout in payouts:
            await town.until(payout, "paid")
