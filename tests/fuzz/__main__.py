"""`python -m tests.fuzz`: many payouts, each with its own seed, trouble at every call and death at any await."""

import argparse
import asyncio
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import structlog

from machines.core.clock import FixedClock
from payflow.config import load
from payflow.store.store import open_store
from tests.fuzz.bank import Bank
from tests.fuzz.world import Run, Tally, machine_on

RUNS_A_STORE = 100


async def play(seeds: range, folder: Path) -> Tally:
    """Play some seeds on one store, then check its books and its indexes."""
    clock = FixedClock()
    settings = load({"PAYFLOW_DATA": str(folder)})
    tally = Tally()
    machine = machine_on({"bank": Bank(Random(0), clock, 0)})
    async with open_store(settings, [machine], clock=clock) as store:
        for seed in seeds:
            tally.add(await Run(seed, store, clock).play())
        books = await store.ledger.check()
        tally.faults += [f"seeds {seeds.start} to {seeds.stop - 1}: {fault}" for fault in books.faults]
        async for fault in store.listing.verify():
            tally.faults.append(f"seeds {seeds.start} to {seeds.stop - 1}: {fault.place}: {fault.problem}")
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            tally.faults.append(f"seeds {seeds.start} to {seeds.stop - 1}: the dead left {len(left)} tasks behind")
    return tally


def part(seeds: range) -> Tally:
    """Play some seeds in a process of their own."""
    structlog.configure(processors=[_drop])
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(play(seeds, Path(folder)))


def _drop(*_: object) -> str:
    raise structlog.DropEvent


def main() -> int:
    """Play, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="the first seed; a fault names the one to replay")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    end = given.seed + given.runs
    parts = [range(start, min(start + RUNS_A_STORE, end)) for start in range(given.seed, end, RUNS_A_STORE)]
    began, total = time.monotonic(), Tally()
    with ProcessPoolExecutor(given.processes) as pool:
        for tally in pool.map(part, parts):
            total.add(tally)
            for fault in tally.faults:
                print(f"\n{fault}", flush=True)
            sys.stderr.write(f"\r{total.runs} of {given.runs} runs, {len(total.faults)} faults")
    ends = ", ".join(f"{count} {state}" for state, count in total.ends.most_common())
    took = time.monotonic() - began
    print(f"\n{total.runs} payouts, {total.looks} looks, {total.deaths} deaths in {took:.0f} s: {ends}")
    print(f"{len(total.faults)} faults (paid twice, lost, ledger not conserved, books that differ)")
    return 1 if total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
