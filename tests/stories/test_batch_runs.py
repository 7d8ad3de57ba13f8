"""`BATCH_WORKER_CONCURRENCY` and `BATCH_WORKER_RATE_LIMIT` are about batch runs, each of which takes all that waits."""

from typing import Any

import pytest

from payflow.config import PollerSettings, Settings, load
from payflow.desk.requests import payout_pollers
from tests.stories.town import open_town

DOCUMENT = {"BATCH_WORKER_CONCURRENCY": "1", "BATCH_WORKER_RATE_LIMIT": "1"}
"""What the provider document sets in its `.env`."""
MANY = 12


@pytest.mark.parametrize("schedule", ["0 */2 * * *", "instant"])
async def test_with_the_documents_settings_one_run_takes_every_payout_that_waits(
    settings: Settings, schedule: str
) -> None:
    """They once meant payouts a second: sixty took a minute. Time does not pass here while the run is under way."""
    given = load(DOCUMENT, data=settings.data)
    changes: dict[str, Any] = {
        "batch_worker_concurrency": given.batch_worker_concurrency,
        "batch_worker_rate_limit": given.batch_worker_rate_limit,
        "batch_schedule": schedule,
        "pollers": {"payout.APPROVED": payout_pollers(given).get("payout.APPROVED", PollerSettings())},
    }
    async with open_town(settings, **changes) as town, town.worker():
        await town.ann_earns("50000")
        payouts = [await town.ann_asks("1000") for _ in range(MANY)]
        town.clock.advance(0.5)
        for payout in payouts:
            await town.approve(payout)
        if schedule != "instant":
            for payout in payouts:
                await town.until_queued(payout)
            await town.time_passes(hours=2)
        else:
            await town.time_passes(seconds=0.5)
        batches = {(await town.until_sent(payout)).data.batch for payout in payouts}
        assert len(batches) == 1
        await town.time_passes(seconds=10)
        for payout in payouts:
            await town.until(payout, "paid")
