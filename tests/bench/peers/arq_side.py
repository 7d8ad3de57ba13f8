"""The four-step chain on arq, tuned: `load` enqueues the first steps, `work` runs them all. Runs in .venv-bench."""

import asyncio
import json
import logging
import resource
import sys
import time
from contextlib import suppress
from typing import Any

import uvloop
from arq.connections import RedisSettings, create_pool  # type: ignore[import-not-found,unused-ignore]
from arq.worker import Worker  # type: ignore[import-not-found,unused-ignore]

STEPS = 4
ENQUEUERS = 64
POLL_S = 0.002
JOBS_AT_A_TIME = 100


class Progress:
    """Counts finished chains, and says when all are."""

    def __init__(self, chains: int) -> None:
        self.left = chains
        self.began = 0.0
        self.cpu_before = 0.0
        self.all_done = asyncio.Event()

    def begin(self) -> None:
        """Take the time of the very first step."""
        if not self.began:
            self.began, self.cpu_before = time.monotonic(), time.process_time()

    def finish(self) -> None:
        """Count one chain."""
        self.left -= 1
        if not self.left:
            self.all_done.set()


async def step(ctx: dict[str, Any], number: int) -> None:
    """Do nothing, then enqueue the next step."""
    ctx["progress"].begin()
    if number < STEPS:
        await ctx["redis"].enqueue_job("step", number + 1)
    else:
        ctx["progress"].finish()


async def load(settings: RedisSettings, chains: int) -> dict[str, float]:
    """Enqueue the first step of each chain, many at a time."""
    pool = await create_pool(settings)
    began = time.monotonic()

    async def enqueue(count: int) -> None:
        for _ in range(count):
            await pool.enqueue_job("step", 1)

    shares = [chains // ENQUEUERS + (place < chains % ENQUEUERS) for place in range(ENQUEUERS)]
    await asyncio.gather(*(enqueue(share) for share in shares))
    seconds = time.monotonic() - began
    await pool.aclose()
    return {"seconds": seconds}


async def work(settings: RedisSettings, chains: int) -> dict[str, float]:
    """Run one worker until every chain is done."""
    progress = Progress(chains)
    worker = Worker(
        [step],
        redis_settings=settings,
        ctx={"progress": progress},
        poll_delay=POLL_S,
        max_jobs=JOBS_AT_A_TIME,
        keep_result=0,
        log_results=False,
        handle_signals=False,
    )
    running = asyncio.create_task(worker.async_run())
    await progress.all_done.wait()
    seconds, cpu_s = time.monotonic() - progress.began, time.process_time() - progress.cpu_before
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    with suppress(asyncio.CancelledError):  # of the last job's own bookkeeping, which nobody measures
        await worker.close()
    return {"began": progress.began, "seconds": seconds, "cpu_s": cpu_s}


async def main(verb: str, url: str, chains: int) -> None:
    """Print what was measured as JSON."""
    settings = RedisSettings.from_dsn(url)
    told = await (load if verb == "load" else work)(settings, chains)
    rss_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    print(json.dumps({**told, "rss_kb": rss_kb}))


if __name__ == "__main__":
    logging.disable(logging.INFO)
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
