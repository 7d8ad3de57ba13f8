"""A taste of the long run: `python -m tests.fuzz --runs 10000` plays as many as you have time for."""

import asyncio
import os
from pathlib import Path
from random import Random

from machines.core.clock import FixedClock
from machines.core.ids import Owner
from machines.core.money import NGN, Money
from payflow.config import load
from payflow.store.store import open_store
from tests.fuzz.__main__ import play
from tests.fuzz.bank import Bank
from tests.fuzz.dying import Fate
from tests.fuzz.world import Run, machine_on

RUNS = int(os.environ.get("FUZZ_RUNS", "60"))
FIRST = int(os.environ.get("FUZZ_SEED", "1"))


def test_no_payout_is_paid_twice_or_lost_whatever_fails_and_whoever_dies(tmp_path: Path) -> None:
    tally = asyncio.run(play(range(FIRST, FIRST + RUNS), tmp_path))
    assert tally.faults == []
    assert tally.ends["COMPLETED"]
    assert tally.deaths > RUNS


class Doomed(Fate):
    """Lets a process claim, and then kills it at whatever it does."""

    def __init__(self) -> None:
        super().__init__(Random(0), 0.0)
        self._mercy = 2

    async def meet(self) -> None:
        """Die, unless this is the claim."""
        self._mercy -= 1
        self._danger = 1.1 if self._mercy < 0 else 0.0
        await super().meet()


async def test_a_process_that_died_looks_at_nothing_more_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Were it to go on, each death would keep one of its few calls to the store for ever, until it waited for ever."""
    clock = FixedClock()
    machine = machine_on({"bank": Bank(Random(0), clock, 0)})
    async with open_store(load({"PAYFLOW_DATA": str(tmp_path)}), [machine], clock=clock) as store:
        before = asyncio.all_tasks()
        runs = [Run(seed, store, clock) for seed in range(3)]
        for run in runs:
            owner, amount = Owner(f"provider-{run.seed}"), Money(1_000_00, NGN)
            await store.records.fund(owner, amount, "earned")
            await run.request(owner, amount)
        runs[0].fate = Doomed()
        async with asyncio.timeout(10):
            assert await runs[0].turn()
        assert (runs[0].tally.looks, runs[0].fate.deaths) == (1, 1)
        assert asyncio.all_tasks() == before
