"""Discrepancies at random over many payments are found once each, and go by their acts, until nothing differs.

python -m tests.stories.reconciled          10,000 payouts, 2,000 of a lane, 100 miners of a pool; 200 discrepancies
python -m tests.stories.reconciled --payouts 400 --planted 100 --lane-payments 100 --miners 10 --seed 7
"""

import argparse
import asyncio
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import structlog

from machines.core.clock import DAY, HOUR, Millis
from machines.core.ids import in_room
from payflow.config import load
from payflow.desk.reconcile.findings import FindingFilter
from payflow.store.seals import new_key
from tests.chain import anvil
from tests.desk import settings_for
from tests.servers import Farm
from tests.stories.planted import (
    RAIL,
    STAYS_OPEN,
    asked_payouts,
    counted,
    found_again,
    paid_payouts,
    plant_all,
    put_in,
    reconciling,
    resolve_all,
)
from tests.stories.pool_world import pool_redis
from tests.stories.reconciled_rails import play_lane, play_pool
from tests.stories.town import open_town

DAYS, LATE = 10, 9
AT_ONCE = OWNERS = 50
BUSY: Mapping[str, Any] = {
    "batch_schedule": "instant",
    "gateway_calls": 100_000,
    # Rules say yes, nobody is told, and what comes back later is seen by nobody but whoever compares.
    "risk": {"least_successes": 0, "details_cool_off_ms": 0, "most_an_hour": 10**9, "most_a_day": 10**9,
             "most_units_an_hour": 10**15, "most_units_a_day": 10**15},
    "platform_webhooks": {},
    "reviewers": (),
    "watch_days": 0,
    "returns_days": {RAIL: 0},
}  # fmt: skip


async def play(payouts: int, planted: int, seed: int, folder: Path) -> list[str]:
    """Play it, and say what came of it; raises where anything is not as it was planted."""
    random, said = Random(seed), []
    settings = load({"PAYFLOW_DATA": str(folder), "PAYFLOW_FSYNC": "everysec", "PAYFLOW_SEAL_KEYS": new_key(),
                     "PAYFLOW_ACCEPT_WEAK_DURABILITY": "true"})  # fmt: skip
    owners = [in_room("shop", f"provider-{number}") for number in range(OWNERS)]
    async with open_town(settings, **BUSY) as town, reconciling(town) as reconciler:
        for owner in owners:
            await town.joins(owner)
        town.clock.at += 2 * HOUR - town.clock.at % DAY
        await reconciler.compare(RAIL)
        await put_in(town, RAIL)
        days: list[list[str]] = []
        async with town.worker():
            for _ in range(DAYS):
                day: list[str] = []
                for _ in range(0, payouts // DAYS, AT_ONCE):
                    some = min(AT_ONCE, payouts // DAYS)
                    day += await paid_payouts(town, [random.randrange(1_000, 4_999) for _ in range(some)], owners)
                days.append(day)
                await town.time_passes(days=1)
            late = await asked_payouts(town, [random.randrange(1_000, 4_999) for _ in range(LATE)], STAYS_OPEN)
        wanted = plant_all(town, random, days, late, planted)
        await town.time_passes(days=2)
        began = time.perf_counter()
        await reconciler.compare(RAIL, Millis(town.clock.now() - 30 * DAY))
        found = await reconciler.findings.all(FindingFilter())
        said.append(f"{len(found)} found in {time.perf_counter() - began:.1f} s; {len(wanted)} were planted.")
        assert counted(found) == Counter(wanted), (counted(found) - Counter(wanted), Counter(wanted) - counted(found))
        await resolve_all(town, reconciler, found)
        assert await found_again(town, reconciler) == Counter()
        books = await town.store.ledger.check()
        assert books.conserved
        assert not any(one.unexplained for one in books.rails.values()), "both sides agree"
        said.append("Each once, with its kind and sum, nothing else; each went by its act, and nothing differs.")
    return said


async def play_others(lane_payments: int, miners: int, planted: int, seed: int, folder: Path) -> list[str]:
    """Play a lane and a pool, each on a chain of its own."""
    said = []
    with Farm() as farm:
        async with anvil(mining=False, slots_in_an_epoch=1) as chain:
            settings = settings_for(farm.server(), folder / "lane")
            said.append(await play_lane(settings, chain, Random(seed), lane_payments, planted))
        async with anvil() as chain:
            place = folder / "pool"
            place.mkdir()
            pool = pool_redis(farm)
            said.append(await play_pool(farm.server(), pool, chain, place, Random(seed), miners, planted))
    return said


def main() -> None:
    """Play what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payouts", type=int, default=10_000)
    parser.add_argument("--planted", type=int, default=180, help="Discrepancies of the gateway's.")
    parser.add_argument("--lane-payments", type=int, default=2_000)
    parser.add_argument("--miners", type=int, default=100)
    parser.add_argument("--planted-there", type=int, default=10, help="Discrepancies of the lane, and of the pool.")
    parser.add_argument("--seed", type=int, default=20270115)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"Seed {given.seed}: {given.payouts:,} payouts, {given.lane_payments:,} of a lane, {given.miners} miners.")
    with tempfile.TemporaryDirectory(prefix="payflow-reconciled-") as folder:
        place, there = Path(folder), (given.lane_payments, given.miners, given.planted_there)
        for line in asyncio.run(play_others(*there, given.seed, place)) if given.lane_payments else ():
            print(line)
        for line in asyncio.run(play(given.payouts, given.planted, given.seed, place)) if given.payouts else ():
            print(line)


if __name__ == "__main__":
    main()
