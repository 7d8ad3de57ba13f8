"""Two people click Retry in the gateway's dashboard, and each has it paid: that payout is in trouble, and no other is.

Flutterwave makes a new transfer of each click; it names them in webhooks, and where v3 is asked. Paystack pays under
the old reference: there it takes a click on each of two attempts.
"""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.magic import PAYS
from adapters.sandbox.paystack.simulator import PaystackSimulator
from adapters.sandbox.transfers import SimulatedTransfer
from machines.core.clock import DAY, Millis
from machines.finding.data import Finding
from machines.payout.data import PayoutRecord
from payflow.app import gateways
from payflow.app.payouts import Payouts
from payflow.config import Settings
from payflow.desk.reconcile.comparison import Word, compare
from payflow.desk.reconcile.payouts import MOST_REPEATS
from payflow.store.store import open_store
from payflow.telemetry.metrics import Metrics
from payflow.web.pages.admin import story
from tests.stories.banks import Choice, paid_to, paystack, v3, v4
from tests.stories.town import BOUNCES, Town, open_town

BANKS = pytest.mark.parametrize("choice", [v3, v4, paystack])
FAILS = "0100000006"

Log = list[Any]


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    """Everything that is logged, alarms among it."""
    with capture_logs() as lines:
        yield lines


async def sent(town: Town) -> str:
    """Ann's payout is with the gateway, at Paystack for the second time."""
    await town.ann_earns("5000")
    payout = await town.ann_asks("1000", FAILS)
    await town.approve(payout)
    await town.until_sent(payout)
    if isinstance(town.bank, PaystackSimulator):
        await town.time_passes(seconds=10)
        await town.until_over(payout)
        await town.retry(payout)
        await town.until_sent(payout, 2)
    return payout


async def failed(town: Town) -> str:
    """Ann's payout has failed, for no reason that is known."""
    payout = await sent(town)
    await town.time_passes(seconds=10)
    await town.until_over(payout)
    return payout


def click(town: Town, payout: str, number: int) -> SimulatedTransfer:
    """Somebody clicks Retry, and it will be paid."""
    if isinstance(town.bank, PaystackSimulator):
        again = town.transfer(payout, number)
        town.bank.transfers.revive(again, PAYS)
    else:
        again = town.bank.transfers.retry(town.transfer(payout), chosen=PAYS)
    town.clicked.add(again.first.reference)
    return again


async def looked_at(town: Town, payout: str, times: int = 3) -> PayoutRecord:
    """Some seconds later somebody looks, and some hours later again."""
    await town.time_passes(seconds=10)
    record = await town.until_looked(payout)
    for _ in range(times - 1):
        await town.time_passes(hours=7)
        record = await town.until_looked(payout)
    return record


async def rests(town: Town, payout: str, log: Log, state: str = "COMPLETED") -> None:
    """It says what was paid besides, people were told of it once, nothing more is sent, and others are paid."""
    attempts = len((await town.record(payout)).data.attempts)
    record = await looked_at(town, payout)
    assert (record.state, record.parked, len(record.data.attempts)) == (state, "", attempts)
    (besides,) = record.data.also_paid
    assert ("also paid", [[("", besides)]]) in story.tables(story.stored_data(record)), "its page says so"
    assert paid_to(town.bank.book, FAILS) == 2000
    await town.until_all_is_told()
    # What was on its way to people when the clock jumped is delivered once more: it is the same alarm.
    alarms = {
        line["message"]: line["why"] for line in log if line.get("action") == "alarm" and line["record"] == payout
    }
    assert len([why for why in alarms.values() if besides in why]) == 1, alarms
    assert await town.store.pauses.all() == {}
    other = await town.ann_asks("1500")
    await town.approve(other)
    await town.until_sent(other)
    await town.time_passes(seconds=10)
    await town.until(other, "paid")


async def gets_it_back(town: Town, payout: str, second: SimulatedTransfer) -> None:
    """The bank takes the second payment back, as somebody asked it to: then nothing is paid besides."""
    town.bank.transfers.reverse(second)
    await looked_at(town, payout, 2)
    await town.time_passes(minutes=11)
    record = await town.until_looked(payout)
    assert record.data.also_paid == ()
    assert record.data.paid_by


@pytest.mark.parametrize(
    ("choice", "webhooks"), [(v3, True), (v3, False), (v4, True), (paystack, True), (paystack, False)]
)
async def test_both_are_paid_after_it_failed(settings: Settings, choice: Choice, log: Log, *, webhooks: bool) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await failed(town)
        town.bank.courier.on = webhooks
        _, second = (click(town, payout, number) for number in (1, 2))
        await looked_at(town, payout, 1)
        await town.until(payout, "paid")
        await rests(town, payout, log)
        await gets_it_back(town, payout, second)


@BANKS
async def test_both_are_paid_before_we_see_that_ours_failed(settings: Settings, choice: Choice, log: Log) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town:
        async with town.worker():
            payout = await sent(town)
        await town.time_passes(seconds=10)
        _, second = (click(town, payout, number) for number in (1, 2))
        await town.time_passes(seconds=10)
        async with town.worker():
            await town.until(payout, "paid")
            await rests(town, payout, log)
            await gets_it_back(town, payout, second)


@BANKS
async def test_one_is_paid_long_after_the_other_completed_it(settings: Settings, choice: Choice, log: Log) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await failed(town)
        click(town, payout, 1)
        await town.time_passes(seconds=10)
        await town.until(payout, "paid")
        assert (await looked_at(town, payout)).data.also_paid == ()
        second = click(town, payout, 2)
        await town.time_passes(seconds=10)
        await rests(town, payout, log)
        await gets_it_back(town, payout, second)


@BANKS
async def test_both_are_paid_after_it_was_cancelled(settings: Settings, choice: Choice, log: Log) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await failed(town)
        await town.release(payout, "she wants it back")
        await town.until_in(payout, "CANCELLED")
        _, second = (click(town, payout, number) for number in (1, 2))
        await town.time_passes(seconds=10)
        await town.until_in(payout, "CONTRADICTED")
        rail = f"rail:{town.settings.payout_rail}"
        await town.until_paused(rail)  # for what was given back, whoever clicked: once, till a person resumes it
        await town.store.pauses.resume(rail)
        await rests(town, payout, log, "CONTRADICTED")
        await gets_it_back(town, payout, second)


@pytest.mark.parametrize("choice", [v3, v4])
async def test_a_click_on_a_retry_that_failed_itself_is_followed(settings: Settings, choice: Choice) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await failed(town)
        bounced = town.bank.transfers.retry(town.transfer(payout), chosen=BOUNCES)
        await looked_at(town, payout, 1)
        town.bank.transfers.retry(bounced, chosen=PAYS)
        await town.time_passes(seconds=10)
        record = await town.until(payout, "paid")
        assert (len(record.data.attempts), record.data.also_paid) == (1, ())


# ── the list ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def reconciled(town: Town) -> dict[str, Finding]:
    """Otto compares the store with all that the gateway did; gives what was found of each payout."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(town.settings, clock=town.clock))
        setups = await gateways.open_gateways(town.settings, store, town.clock, stack)
        payouts = Payouts(town.settings, store, Metrics(), setups)
        store.serve([payouts.machine])
        outcome = await compare(store, [payouts.reconcile()], Millis(town.clock.now() - DAY), Word("otto"))
        return {finding.subject: finding for finding in outcome.findings}


@BANKS
async def test_a_reconciliation_takes_in_all_others_and_the_names_that_nobody_told(
    settings: Settings, choice: Choice, log: Log
) -> None:
    """The webhooks are lost, and v4 tells of retries nowhere else but in its list: two payments are one finding."""
    async with open_town(settings, choice, batch_schedule="instant") as town:
        async with town.worker():
            payout = await failed(town)
            other = await town.ann_asks("1500")
            await town.approve(other)
            await town.until_sent(other)
        town.bank.courier.on = False
        _, second = (click(town, payout, number) for number in (1, 2))
        await town.time_passes(seconds=10)
        found = await reconciled(town)
        assert set(found) == {payout, other}
        assert "paid by" in found[payout].says
        assert found[payout].open
        assert not found[other].open
        assert (await town.record(other)).state == "COMPLETED"
        async with town.worker():
            await town.until_in(payout, "COMPLETED")
            await rests(town, payout, log)
            await gets_it_back(town, payout, second)


@BANKS
async def test_a_reconciliation_asks_again_for_what_went_astray_but_not_for_ever(
    settings: Settings, choice: Choice
) -> None:
    """Each of the calls may be lost: with hundreds of them hardly any reconciliation would come to its end."""
    async with open_town(settings, choice, batch_schedule="instant") as town:
        async with town.worker():
            payout = await failed(town)
        town.bank.courier.on = False
        click(town, payout, 1)
        await town.time_passes(seconds=10)
        lost = Fault(Kind.EMPTY, where="GET *", times=MOST_REPEATS)
        town.bank.faults.add(lost)
        found = await reconciled(town)
        assert set(found) == {payout}
        assert not found[payout].open
        assert (await town.record(payout)).state == "COMPLETED"
        town.bank.faults.add(replace(lost, times=1000))
        found = await reconciled(town)
        assert all(finding.open for finding in found.values())
        assert f"rail:{town.settings.payout_rail}" in found
        assert len(list(town.bank.faults)) == 1, "it gave up"
