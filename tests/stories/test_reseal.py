"""A seal key is retired while payouts are asked for, approved, sent, refused, corrected and paid."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.sandbox.magic import PAYS
from payflow.config import Settings, load
from payflow.desk.reseal import reseal
from payflow.store.macs import Macs
from payflow.store.seals import Seals, new_key
from payflow.store.store import open_store
from tests.stories.town import BOUNCES, ELSEWHERE, HOME, Town, open_town
from tests.waiting import wait_until

OLD, NEW = new_key(), new_key()
PRINTS = Seals([OLD]).fingerprint_key


@asynccontextmanager
async def town_with_the_old_key(settings: Settings) -> AsyncIterator[Town]:
    """The town as it was before anybody thought of another key."""
    async with open_town(settings, seal_keys=OLD, fingerprint_key=PRINTS) as town:
        yield town


def started_again(town: Town, keys: str) -> None:
    """All processes are started again with other keys: the API at once, workers from now on."""
    town.settings = load({}, **(town.settings.model_dump() | {"seal_keys": keys}))
    town.store.seals._boxes = Seals(keys.split(","), PRINTS)._boxes  # noqa: SLF001  (this is the API's process)
    town.store.link.macs = Macs(keys.split(","))


async def allowed(town: Town, payout: str) -> None:
    """Wait until a payout may leave with its batch: some the rules let through, some a person."""

    async def assessed() -> bool:
        return (await town.record(payout)).data.assessed

    await wait_until(assessed, f"the rules looked at {payout}")
    if (await town.record(payout)).state == "REQUESTED":
        await town.approve(payout)
    await town.until_queued(payout)


async def test_a_key_is_retired_in_the_middle_of_everything(settings: Settings) -> None:
    async with town_with_the_old_key(settings) as town:
        async with town.worker():
            await town.ann_is_an_old_customer()
            await town.ann_earns("60000")
            town.bank.transfers.otherwise = BOUNCES
            corrected = await town.ann_asks("1000")
            await town.until_queued(corrected)
            await town.time_passes(hours=2)
            await town.until_sent(corrected)
            await town.time_passes(seconds=10)
            await town.until(corrected, "failed")
            await town.ann_corrects(corrected, ELSEWHERE)
            town.bank.transfers.otherwise = PAYS
            queued = [await town.ann_asks("1000") for _ in range(5)]
            for payout in queued:
                await allowed(town, payout)
        started_again(town, f"{NEW},{OLD}")
        async with town.worker(), open_store(town.settings, clock=town.clock) as other:
            other.serve(town.store.records.machines.values())
            fingerprints = {payout: (await town.record(payout)).data.fingerprint for payout in queued}
            resealing = asyncio.create_task(reseal(other, "otto"))
            await town.approve(corrected)
            await town.time_passes(hours=2)
            for payout in (*queued, corrected):
                await town.until_sent(payout, 2 if payout == corrected else 1)
            report = await resealing
            assert report.done, report
            assert {payout: (await town.record(payout)).data.fingerprint for payout in queued} == fingerprints
        started_again(town, NEW)
        async with town.worker():
            await town.time_passes(minutes=1)
            for payout in (*queued, corrected):
                paid = await town.until(payout, "paid")
                assert [attempt.reference for attempt in paid.data.attempts] == [
                    town.reference(payout, number + 1) for number in range(len(paid.data.attempts))
                ]
            assert (town.reached(HOME), town.reached(ELSEWHERE)) == ("35,000", "1,000")
            fresh = await town.ann_asks("1000")
            await allowed(town, fresh)
            await town.time_passes(hours=2)
            await town.until_sent(fresh)


async def test_a_worker_that_was_not_started_again_sets_nothing_aside(settings: Settings) -> None:
    async with town_with_the_old_key(settings) as town:
        old = town.settings
        started_again(town, f"{NEW},{OLD}")
        await town.ann_earns("5000")
        payout = await town.ann_asks("1000")
        town.settings = old
        async with town.worker() as metrics:
            looked = ("payflow_act_errors_total", {"machine": "payout", "state": "REQUESTED", "kind": "unknown_key"})

            async def held_up() -> bool:
                return bool(metrics.registry.get_sample_value(*looked))

            await wait_until(held_up, "the worker cannot judge it")
        assert (await town.record(payout)).parked == ""
        started_again(town, f"{NEW},{OLD}")
        async with town.worker():
            await town.time_passes(minutes=1)
            await town.approve(payout)
