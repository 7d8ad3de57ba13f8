"""A gateway as unkind as the world: it refuses before it looks for duplicates, lags, respells, and people click."""

import pytest

from adapters.sandbox.magic import ACCOUNTS, PAYS, Fate
from machines.core.ids import RecordId
from payflow.config import Settings
from tests.stories.banks import Choice, paystack, v3, v4
from tests.stories.town import Town, open_town
from tests.waiting import wait_until

BANKS = [v3, v4, paystack]
FOUND_LATE, NEVER_THERE = "0100000043", "0100000044"
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
        await time_goes_by(town, payout, minutes=60, step=10)
        await town.until(payout, "paid")
        assert len(town.transfers_of(payout)) == 1
        assert town.bank.book.paid_to(FOUND_LATE) == 1000


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
