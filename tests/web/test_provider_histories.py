"""What the risk rules are told of a provider, read from a real store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest

from machines.core.clock import DAY, HOUR, FixedClock, Millis
from machines.core.decision import New
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId, fresh_id
from machines.core.money import ETH, NGN, Asset, Money
from machines.core.ports import Destination, Evidence
from machines.payout import facts as f
from machines.payout.data import PayoutData, PayoutRecord, reference_of
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout
from machines.payout.risk import CALM, ProviderHistory, Thresholds, Velocity
from payflow.config import Settings, load
from payflow.desk.payouts import masked, shown
from payflow.desk.providers import LATEST, ProviderHistories
from payflow.engine.step import take_in
from payflow.store.seals import new_key
from payflow.store.store import Store, open_store
from payflow.telemetry.metrics import Metrics

ANN = Owner("ann")


def bank(number: str, **more: str) -> Destination:
    return Destination("bank", (("bank_code", "044"), ("account_number", number), *more.items()))


HOME, OTHER = bank("0690000031"), bank("0690000032")


@dataclass
class Past:
    """Makes payouts and lets things happen to them, without rail or worker."""

    store: Store
    clock: FixedClock
    numbers: Any = field(default_factory=count)

    async def asked(
        self, units: int = 1000, where: Destination = HOME, owner: Owner = ANN, asset: Asset = NGN
    ) -> RecordId:
        """Ask for a payout."""
        await self.store.records.fund(owner, Money(units, asset), f"earned {next(self.numbers)}")
        new = self.new(units, where, owner, asset)
        await self.store.records.create(new, "test")
        return new.id

    def new(self, units: int, where: Destination = HOME, owner: Owner = ANN, asset: Asset = NGN) -> New[PayoutData]:
        """Say what is asked for."""
        record_id = fresh_id("payout", self.store.records.owner_shard(owner))
        data = PayoutData("flutterwave", "bank", self.store.seals.seal(where, record_id), "••", units)
        return New(record_id, "payout", owner, Money(units, asset), data)

    async def happened(self, record_id: RecordId, *facts: Fact) -> None:
        """Let a payout learn something."""
        for fact in facts:
            await take_in(self.store.records, Metrics(), record_id, fact, "test")

    async def paid(self, **parts: Any) -> RecordId:
        """Pay a payout."""
        record_id = await self.asked(**parts)
        reference = reference_of(record_id, 1)
        await self.happened(record_id, f.Assessed(()), f.Boarded("b"), f.Paid(reference, Evidence("bank", reference)))
        return record_id

    async def failed(self, **parts: Any) -> RecordId:
        """Let a payout fail."""
        record_id = await self.asked(**parts)
        await self.happened(record_id, f.Assessed(()), f.Boarded("b"), f.NotPaid(reference_of(record_id, 1), "no"))
        return record_id

    async def history(self, **parts: Any) -> ProviderHistory:
        """What the rules hear when Ann asks now."""
        record_id = await self.asked(**parts)
        return await self.known_of(record_id)

    async def known_of(self, record_id: RecordId) -> ProviderHistory:
        """What they hear when they look at this one."""
        record: PayoutRecord = (await self.store.records.read(record_id)).record
        return await ProviderHistories(self.store).history(record, Thresholds())


@asynccontextmanager
async def opened(settings: Settings, clock: FixedClock) -> AsyncIterator[Store]:
    """Open a store of payouts that seals and signs."""
    sealing = load({}, **(settings.model_dump() | {"seal_keys": new_key()}))
    async with open_store(sealing, clock=clock) as store:
        store.serve([payout(PayoutPolicy(), {})])
        yield store


@pytest.fixture
async def past(settings: Settings, clock: FixedClock) -> AsyncIterator[Past]:
    async with opened(settings, clock) as store:
        yield Past(store, clock)


async def know(past: Past, **changes: Any) -> None:
    profiles = past.store.profiles
    before = await profiles.read(ANN)
    await profiles.write(before, replace(before, **changes), past.clock.now())


async def test_of_a_stranger_nothing_is_known_but_that_his_account_is_new(past: Past) -> None:
    assert await past.history() == ProviderHistory(details_changed_at=past.clock.now())


async def test_successes_are_those_that_did_not_come_back(past: Past) -> None:
    for _ in range(4):
        await past.paid()
    back = await past.paid()
    await past.happened(back, f.CameBack(reference_of(back, 1), Evidence("bank", "returned")))
    assert (await past.history()).successes == 4


async def test_a_verified_provider_is_known_as_such(past: Past) -> None:
    await know(past, verified=True)
    assert (await past.history()).verified


async def test_failures_count_for_a_month_and_what_came_back_counts_as_one(past: Past) -> None:
    await past.failed()
    past.clock.advance(20 * 86_400)
    await past.failed()
    back = await past.paid()
    await past.happened(back, f.CameBack(reference_of(back, 1), Evidence("bank", "returned")))
    assert (await past.history()).recent_failures == 3
    past.clock.advance(11 * 86_400)
    assert (await past.history()).recent_failures == 2
    past.clock.advance(20 * 86_400)
    assert (await past.history()).recent_failures == 0


async def test_the_average_is_of_what_was_paid_in_the_same_currency(past: Past) -> None:
    for units in (1000, 2000, 4000):
        await past.paid(units=units)
    await past.paid(units=10**9, asset=ETH)
    await past.failed(units=10**8)
    assert (await past.history(units=7)).average_units == 2333
    assert (await past.history(units=7, asset=ETH)).average_units == 10**9


async def test_others_do_not_count(past: Past) -> None:
    for _ in range(3):
        await past.paid(owner=Owner("bob"))
    assert (await past.history()).successes == 0


# ── what was asked for before ────────────────────────────────────────────────────────────────────────────────────────


async def test_each_request_sees_those_before_it_and_not_itself(past: Past) -> None:
    ids = [await past.asked(units) for units in (100, 20, 3)]
    seen = sorted([(await past.known_of(one)).velocity for one in ids], key=lambda one: one.day_count)
    assert [(one.hour_count, one.day_count) for one in seen] == [(0, 0), (1, 1), (2, 2)]


async def test_a_request_leaves_the_window_after_an_hour_and_the_other_after_a_day(past: Past) -> None:
    async def next_of(units: int, after_ms: int) -> Velocity:
        past.clock.at += after_ms
        return (await past.history(units=units)).velocity

    assert await next_of(100, 0) == CALM
    assert await next_of(20, HOUR - 1) == Velocity(1, 100, 1, 100)
    assert await next_of(3, 1) == Velocity(1, 20, 2, 120)
    assert await next_of(4, DAY - HOUR - 1) == Velocity(0, 0, 3, 123)
    assert await next_of(5, 1) == Velocity(1, 4, 3, 27)
    assert await next_of(6, DAY) == CALM


async def test_amounts_are_summed_by_asset_and_requests_are_not(past: Past) -> None:
    await past.asked(1000, asset=ETH)
    past.clock.at += 1
    assert (await past.history(units=2**53)).velocity == Velocity(1, 0, 1, 0)
    past.clock.at += 1
    assert (await past.history(units=1)).velocity == Velocity(2, 2**53, 2, 2**53)
    assert (await past.history(owner=Owner("bob"))).velocity == CALM


async def test_what_was_taken_back_still_counts(past: Past) -> None:
    await past.happened(await past.asked(700), f.Cancelled("ann"))
    past.clock.at += 1
    assert (await past.history()).velocity == Velocity(1, 700, 1, 700)


async def test_the_first_of_very_many_is_not_taken_for_the_only_one(past: Past) -> None:
    """Those before it are not among the newest, which are all that is read."""
    for _ in range(10):
        await past.asked(1)
        past.clock.at += 1
    eleventh = await past.asked(1)
    for _ in range(LATEST):
        past.clock.at += 1
        await past.asked(1)
    assert (await past.known_of(eleventh)).velocity.day_count >= LATEST - 1


# ── where the money goes ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_account_that_was_paid_before_is_no_change(past: Past) -> None:
    await past.paid()
    past.clock.advance(HOUR / 1000)
    assert (await past.history()).details_changed_at is None
    assert (await past.history(where=bank("0690000031", account_name="ANN A."))).details_changed_at is None


async def test_an_account_that_is_named_for_the_first_time_is_a_change_of_this_moment(past: Past) -> None:
    for _ in range(3):
        await past.paid()
    past.clock.advance(30 * 86_400)
    assert (await past.history(where=OTHER)).details_changed_at == past.clock.now()


async def test_an_account_to_which_a_payout_only_failed_stays_new(past: Past) -> None:
    await past.failed(where=OTHER)
    assert (await past.history(where=OTHER)).details_changed_at == past.clock.now()


async def test_writing_the_first_account_into_a_profile_makes_it_no_older(past: Past) -> None:
    for _ in range(3):
        await past.paid()
    await know(past, verified=True)
    await know(past, destination=OTHER)
    past.clock.advance(60)
    assert (await past.history(where=OTHER)).details_changed_at == past.clock.now()


async def test_an_account_of_the_profile_is_as_old_as_its_last_change(past: Past) -> None:
    await know(past, destination=HOME)
    past.clock.advance(3600)
    await know(past, destination=OTHER)
    changed: Millis = past.clock.now()
    past.clock.advance(8 * 86_400)
    assert (await past.history(where=OTHER)).details_changed_at == changed


async def test_a_recent_change_of_the_profile_is_told_even_where_the_old_account_is_paid(past: Past) -> None:
    await past.paid()
    await know(past, destination=HOME)
    await know(past, destination=OTHER)
    assert (await past.history()).details_changed_at == past.clock.now()


def address(text: str) -> Destination:
    return Destination("ethereum", (("address", text),))


TRUE_ONE, MADE_LIKE_IT = "0x5290840009852788" + "a" * 20 + "41ee", "0x5290" + "b" * 32 + "41EE"


async def test_an_address_that_only_looks_like_one_that_was_paid_is_named_with_that_one(past: Past) -> None:
    """Somebody sends dust from an address that begins and ends like the true one, and waits for it to be copied."""
    assert (await past.history(where=address(MADE_LIKE_IT), asset=ETH)).look_alike == ""
    await past.paid(where=address(TRUE_ONE), asset=ETH)
    assert (await past.history(where=address(MADE_LIKE_IT), asset=ETH)).look_alike == TRUE_ONE
    assert (await past.history(where=address(TRUE_ONE.upper().replace("0X", "0x")), asset=ETH)).look_alike == ""
    assert (await past.history(where=address("0x" + "7" * 40), asset=ETH)).look_alike == ""
    assert (await past.history()).look_alike == "", "an account at a bank has no look-alikes"


def test_an_address_is_shown_whole_and_what_an_older_version_masked_is_the_same() -> None:
    assert shown(address(TRUE_ONE)) == TRUE_ONE
    assert masked(address(TRUE_ONE)) == "••••41ee"
