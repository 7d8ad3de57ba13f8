"""What the risk rules are told of a provider, read from a real store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
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
from machines.payout.risk import ProviderHistory
from payflow.config import Settings, load
from payflow.desk.providers import ProviderHistories
from payflow.engine.step import take_in
from payflow.store.seals import new_key
from payflow.store.store import Store, open_store
from payflow.telemetry.metrics import Metrics

ANN = Owner("ann")
MONTH = 30 * DAY


def bank(number: str, **more: str) -> Destination:
    return Destination("bank", (("bank_code", "044"), ("account_number", number), *more.items()))


HOME, OTHER = bank("0690000031"), bank("0690000032")


@dataclass
class Past:
    """Makes payouts and lets things happen to them, without rail or worker."""

    store: Store
    clock: FixedClock
    numbers: Any

    async def asked(
        self, units: int = 1000, where: Destination = HOME, owner: Owner = ANN, asset: Asset = NGN
    ) -> RecordId:
        """Ask for a payout."""
        record_id = fresh_id("payout", self.store.records.owner_shard(owner))
        await self.store.records.fund(owner, Money(units, asset), f"earned {next(self.numbers)}")
        data = PayoutData("flutterwave", "bank", self.store.seals.seal(where, record_id), "••", units)
        await self.store.records.create(New(record_id, "payout", owner, Money(units, asset), data), "test")
        return record_id

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
        record: PayoutRecord = (await self.store.records.read(record_id)).record
        return await ProviderHistories(self.store).history(record, MONTH)


@pytest.fixture
async def past(settings: Settings, clock: FixedClock) -> AsyncIterator[Past]:
    sealing = load({}, **(settings.model_dump() | {"seal_keys": new_key()}))
    async with open_store(sealing, clock=clock) as store:
        store.serve([payout(PayoutPolicy(), {})])
        yield Past(store, clock, count())


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
