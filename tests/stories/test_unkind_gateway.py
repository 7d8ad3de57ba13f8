"""A gateway as unkind as the world: it refuses before it looks for duplicates, lags, respells, and people click."""

from dataclasses import replace

import pytest

from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.magic import ACCOUNTS, PAYS, Fate, Webhook
from machines.core.ids import RecordId
from payflow.config import Settings
from tests.stories.banks import Choice, paid_to, paystack, v3, v4
from tests.stories.town import Town, open_town
from tests.waiting import wait_until

BANKS = [v3, v4, paystack]
FOUND_LATE, NEVER_THERE, CLICKED = "0100000043", "0100000044", "0100000007"
RETURNED = "0100000048"
RESPELLED = ["0100000045", "0100000046", "0100000047"]


async def asked(town: Town, account: str) -> str:
    """Ann asks for ₦1,000 at an account; a reviewer says yes; it is being sent."""
    await town.ann_earns("5000")
    payout = await town.ann_asks("1000", account)
    await town.approve(payout)
    return payout


async def time_goes_by(town: Town, payout: str, *, minutes: int, step: float = 1) -> None:
    """Let time pass in small steps, with a look at the payout after each."""
    for _ in range(int(minutes / step)):
        await town.time_passes(minutes=step)
        if (await town.record(payout)).parked:
            return
        await town.until_looked(payout)


# ── a refusal before the look for duplicates ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("choice", BANKS)
async def test_a_refused_repeat_of_what_landed_unseen_opens_no_second_transfer(
    settings: Settings, choice: Choice
) -> None:
    """The answer to the first POST was lost, the look-up lags an hour, and the repeat is refused. It was paid."""
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await asked(town, FOUND_LATE)
        await town.until_in(payout, "UNCONFIRMED")
        await time_goes_by(town, payout, minutes=20)
        if (await town.record(payout)).state == "FAILED":
            await town.retry(payout)
        await time_goes_by(town, payout, minutes=120, step=10)
        await town.until(payout, "paid")
        assert len(town.transfers_of(payout)) == 1
        assert paid_to(town.bank.book, FOUND_LATE) == 1000


# ── numbers as the gateway writes them ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("account", RESPELLED)
@pytest.mark.parametrize("choice", BANKS)
async def test_a_gateway_that_respells_the_account_pays_and_stops_nobody(
    settings: Settings, choice: Choice, account: str
) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await asked(town, account)
        await town.until_sent(payout)
        await town.time_passes(seconds=10)
        await town.until(payout, "paid")
        assert await town.store.pauses.all() == {}


@pytest.mark.parametrize("choice", BANKS)
async def test_a_transfer_to_another_account_is_set_aside_alone_and_the_others_are_paid(
    settings: Settings, choice: Choice
) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await asked(town, "0100000013")
        await town.until_sent(payout)
        order = town.transfer(payout).order
        object.__setattr__(order, "account", "0999999999")
        await town.store.records.poke(RecordId(payout))

        async def set_aside() -> bool:
            return bool((await town.record(payout)).parked)

        await wait_until(set_aside, "the payout waits for a person")
        assert await town.store.pauses.all() == {}
        other = await town.ann_asks("1000")
        await town.approve(other)
        await town.until_sent(other)
        await town.time_passes(seconds=10)
        await town.until(other, "paid")

        # Its webhook comes. What the person must find out is as open as before.
        await town.time_passes(minutes=10)
        await wait_until(lambda: len(town.bank.courier.deliveries) == 2, "the gateway has told both")
        assert (await town.record(payout)).parked
        object.__setattr__(order, "account", "0100000013")  # it was the gateway's mistake, says the person
        await town.store.records.unpark(await town.store.records.read(RecordId(payout)), "looked into", "otto")
        await town.until(payout, "paid")


def test_every_unkind_account_is_told_from_a_kind_one() -> None:
    assert all(ACCOUNTS[account] != PAYS for account in (FOUND_LATE, NEVER_THERE, *RESPELLED))
    assert all(isinstance(ACCOUNTS[account], Fate) for account in ACCOUNTS)


@pytest.mark.parametrize("choice", BANKS)
async def test_what_never_landed_and_is_refused_again_ends_by_itself(settings: Settings, choice: Choice) -> None:
    """Neither the look-up nor the complete list has it, hours later and twice: then it is proven unpaid."""
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await asked(town, NEVER_THERE)
        await town.until_in(payout, "UNCONFIRMED")
        await time_goes_by(town, payout, minutes=10)
        assert (await town.record(payout)).state == "UNCONFIRMED"
        await time_goes_by(town, payout, minutes=240, step=10)
        record = await town.record(payout)
        assert record.data.failures == 1
        assert record.data.attempts[0].refused
        assert town.reached(NEVER_THERE) == "0"


# ── taken back ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("choice", [v3])  # v4 tells of a retry only when it is over
async def test_a_cancel_after_somebody_revived_the_failed_transfer_gives_nothing_back(
    settings: Settings, choice: Choice
) -> None:
    """Our wallet was locked, the payout waits; support unlocks it and clicks Retry. Then Ann cancels, and asks anew."""
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await asked(town, CLICKED)
        await town.until_sent(payout)
        await town.time_passes(seconds=10)
        await town.until_over(payout)
        for transfer in town.transfers_of(payout):
            town.bank.transfers.retry(transfer, chosen=PAYS)
        await town.ann_cancels(payout)
        assert (await town.ann_has())[0] == "4,000", "she cannot ask for it once more"
        await town.time_passes(seconds=10)
        await town.until_in(payout, "COMPLETED")
        assert await town.ann_has() == ("4,000", "0", "1,000")


async def test_a_payout_whose_batch_opened_while_nothing_left_can_be_cancelled(town: Town) -> None:
    await town.store.pauses.pause("rail:flutterwave", "otto", "a look at the wallet", town.clock.now())
    await town.ann_earns("5000")
    payout = await town.ann_asks("1000")
    await town.approve(payout)
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    await town.until_looked(payout)
    assert (await town.record(payout)).state == "APPROVED", "boarding respects the pause"
    await town.ann_cancels(payout)
    await town.until(payout, "cancelled")
    assert town.sent() == 0
    assert await town.ann_has() == ("5,000", "0", "0")


async def test_a_wish_to_cancel_waits_while_the_gateway_cannot_be_asked_and_then_ends_by_itself(town: Town) -> None:
    await town.ann_earns("5000")
    payout = await town.ann_asks("1000", "0100000006")
    await town.approve(payout)
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    town.bank.faults.add(Fault(Kind.UNAVAILABLE, where="GET /v3/transfers*", times=100))
    await town.ann_cancels(payout)
    told = await town.ann_sees(payout)
    assert (told["status"], told["reason"]) == ("processing", "cancelling: waits for proof that nothing was paid")
    assert await town.ann_has() == ("4,000", "1,000", "0")

    town.bank.faults.clear()
    await town.time_passes(minutes=10)
    await town.until(payout, "cancelled")
    assert await town.ann_has() == ("5,000", "0", "0")
    assert [each.state for each in town.transfers_of(payout)] == ["failed"]


# ── what only a webhook tells ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_retry_that_somebody_clicked_at_v4_is_followed_by_the_id_that_its_webhook_brings(
    settings: Settings,
) -> None:
    """v4 has no look-up by reference and lists no retries: without the id our own retry would pay a second time."""
    async with open_town(settings, v4, batch_schedule="instant") as town, town.worker():
        payout = await asked(town, "0100000006")
        await town.until_sent(payout)
        await town.time_passes(seconds=10)
        await town.until_in(payout, "FAILED")
        again = town.bank.transfers.retry(town.transfer(payout), reference="a-click-by-support", chosen=PAYS)
        await town.time_passes(seconds=10)
        await town.until_in(payout, "COMPLETED")
        assert again.state == "paid"
        await town.time_passes(hours=8)
        assert len(town.transfers_of(payout)) == 1
        assert paid_to(town.bank.book, "0100000006") == 1000


async def test_a_clicked_retry_that_v4_told_of_and_does_not_show_keeps_the_money_held(settings: Settings) -> None:
    """Its webhook came, and whoever asks for its id gets nothing: the first transfer's failure proves nothing of it."""
    async with open_town(settings, v4, batch_schedule="instant") as town, town.worker():
        payout = await asked(town, "0100000006")
        await town.until_sent(payout)
        await town.time_passes(seconds=10)
        await town.until_in(payout, "FAILED")
        again = town.bank.transfers.retry(town.transfer(payout), reference="a-click-by-support", chosen=PAYS)
        town.bank.faults.add(Fault(Kind.EMPTY, where=f"GET *{again.id}", times=1000))
        await town.time_passes(seconds=10)

        async def told() -> bool:
            current = (await town.record(payout)).data.current
            return current is not None and bool(current.named)

        await wait_until(told, "its webhook came")
        await town.release(payout, "Ann wants it elsewhere")
        await time_goes_by(town, payout, minutes=20, step=5)
        assert await town.ann_has() == ("4,000", "1,000", "0")
        assert len(town.transfers_of(payout)) == 1, "nor is it sent once more"
        town.bank.faults.clear()
        await town.time_passes(minutes=10)
        await town.until_in(payout, "COMPLETED")
        assert paid_to(town.bank.book, "0100000006") == 1000


async def test_a_webhook_that_names_somebody_elses_transfer_changes_nothing(settings: Settings) -> None:
    async with open_town(settings, v4, batch_schedule="instant") as town, town.worker():
        town.bank.transfers.otherwise = replace(PAYS, webhook=Webhook.MISNAMED)
        await town.ann_earns("5000")
        payouts = [await town.ann_asks("1000") for _ in range(2)]
        for payout in payouts:
            await town.approve(payout)
            await town.until_sent(payout)
        await town.time_passes(seconds=10)
        for payout in payouts:
            await town.until(payout, "paid")
        assert await town.ann_has() == ("3,000", "0", "2,000")


# ── a return that has no word ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("choice", BANKS)
async def test_a_return_that_is_shown_as_failed_is_given_back_and_stops_nobody(
    settings: Settings, choice: Choice
) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        payout = await asked(town, RETURNED)
        await town.until_sent(payout)
        await town.time_passes(seconds=10)
        await town.until(payout, "paid")
        await town.time_passes(hours=7)
        await town.until_looked(payout)
        await town.time_passes(minutes=11)
        await town.until(payout, "returned")
        assert await town.ann_has() == ("5,000", "0", "0")
        assert await town.store.pauses.all() == {}
