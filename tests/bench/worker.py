"""The worker under test, in a process of its own, which obeys lines on its standard input.

usage   print CPU time and memory as JSON
(end)   finish the work in hand and leave
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path

import uvloop

from machines.core.ports import Evidence, Payment, Settled, Status, Unsent
from payflow.config import load
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.worker import Worker
from payflow.store.store import open_store
from payflow.telemetry.logs import configure
from payflow.telemetry.metrics import Metrics
from tests.bench.machine import chain


class FileRail:
    """Pays by adding a byte to a file of the payment's name, so that every payment is still counted after a kill -9."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> None:
        """Pay; again, if asked again: whoever asks twice is to be found out."""
        with (self._folder / payment.key).open("ab") as file:
            file.write(b"1")

    async def status(self, payment: Payment) -> Status:
        """Tell whether it was paid."""
        paid = (self._folder / payment.key).exists()
        return Settled(Evidence("file", payment.key)) if paid else Unsent()


def usage() -> dict[str, float]:
    """Say what this process has used so far."""
    return {"cpu_s": time.process_time(), "rss_kb": _rss_kb()}


def _rss_kb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:  # macOS tells only the most that it ever was, and in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


async def main(data: Path, fsync: str, lease_s: float, rail: FileRail | None) -> None:
    """Work until standard input ends."""
    configure("warning", "text")
    settings = load({"PAYFLOW_DATA": str(data), "PAYFLOW_FSYNC": fsync, "PAYFLOW_LEASE_S": str(lease_s)})
    metrics = Metrics()
    async with open_store(settings) as store:
        store.serve([chain(rail)])
        worker = Worker(store, settings, metrics, Dispatcher(store.outbox, metrics, {}))
        running = asyncio.create_task(worker.run())
        print("ready", flush=True)
        await _obey()
        worker.stop()
        await running


async def _obey() -> None:
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while await orders.readline():
        print(json.dumps(usage()), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fsync", required=True)
    parser.add_argument("--lease", type=float, default=10.0)
    parser.add_argument("--rail", type=Path)
    given = parser.parse_args()
    uvloop.run(main(given.data, given.fsync, given.lease, FileRail(given.rail) if given.rail else None))
