"""Workers that die: `python -m tests.bounty_nursery FILE` forks one for each line it reads, with all imports done.

A line says when: `after N` kills it right behind its Nth commit that tells something, whose answer is lost; `before N`
right in front of it, when all that the look did to the world is done and nothing of it is written; `never 0` lets it
live. Each worker is a process of its own, killed by SIGKILL. FILE holds the settings, pickled.
"""

import asyncio
import os
import pickle
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from machines.core.clock import SystemClock
from payflow.app.bounties import open_bounties
from payflow.app.lanes import open_lanes
from payflow.config import Settings, load
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.worker import Worker
from payflow.store.records import Records
from payflow.store.store import open_store
from payflow.telemetry import logs
from payflow.telemetry.metrics import Metrics


def arm(records: Records, when: str, nth: int) -> None:
    """Have the process killed at a commit."""
    whole = records.commit
    count = 0

    async def commit(stored: Any, decision: Any, *args: Any, **more: Any) -> Any:  # noqa: ANN401  (as what it stands for)
        nonlocal count
        # Who dies of each look that learned nothing too never comes to the look that takes longest.
        count += decision.recorded
        if when == "before" and count >= nth:
            os.kill(os.getpid(), signal.SIGKILL)
        done = await whole(stored, decision, *args, **more)
        if when == "after" and count >= nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    records.commit = commit  # type: ignore[method-assign]


async def work(settings: Settings, when: str, nth: int) -> None:
    """Work until death."""
    async with AsyncExitStack() as stack:
        store, metrics = await stack.enter_async_context(open_store(settings)), Metrics()
        lanes = await open_lanes(settings, store, SystemClock(), stack)
        bounties = await open_bounties(settings, store, metrics, lanes, stack)
        store.serve([*bounties.machines, *lanes.machines])
        arm(store.records, when, nth)
        await Worker(store, settings, metrics, Dispatcher(store.outbox, metrics, {})).run()


def main() -> None:
    """Fork a worker a line, and say when it has died."""
    settings = load({}, **pickle.loads(Path(sys.argv[1]).read_bytes()))  # noqa: S301  (written by the test itself)
    logs.configure("error", "json")
    for line in sys.stdin:
        when, nth = line.split()
        child = os.fork()
        if not child:
            asyncio.run(work(settings, when, int(nth)))
            os._exit(0)
        print(child, flush=True)  # noqa: T201  (how the test learns of it)
        os.waitpid(child, 0)
        print("died", flush=True)  # noqa: T201  (as above)


if __name__ == "__main__":
    main()
