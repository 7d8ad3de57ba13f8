"""`make bench`: measures Payflow beside what it stands against, in the same run, and prints one table.

make bench                        everything, in about seven minutes
make bench ARGS="--quick"         everything, smaller, in about a minute: for a first look only
make bench ARGS="steps latency"   only these
make bench ARGS="--json"          for machines
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import uvloop

from payflow.telemetry.logs import configure
from tests.bench import ceiling, chains, footprint, latency, parked, reconcile, recovery, requests, start, steps
from tests.bench.bed import bed, fdatasync_us
from tests.bench.table import Row, as_json, show

Measure = Callable[..., Awaitable[list[Row]]]

LINES: dict[str, Measure] = {
    "steps": steps.measure,
    "ceiling": ceiling.measure,
    "latency": latency.measure,
    "parked": parked.measure,
    "footprint": footprint.measure,
    "start": start.measure,
    "recovery": recovery.measure,
    "requests": requests.measure,
    "chains": chains.measure,
    "reconcile": reconcile.measure,
}


def main() -> None:
    """Measure what was asked for."""
    given = _arguments()
    configure("warning", "text")
    lines = {name: LINES[name] for name in given.names or LINES}
    if "steps" in lines:
        lines["steps"] = partial(steps.measure, soak=given.soak)
    rows, conditions = uvloop.run(_measure(lines, quick=given.quick))
    if given.json:
        print(as_json(rows, conditions))
    else:
        show(rows, conditions)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measures Payflow and prints a table.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(LINES)}; all if none")
    parser.add_argument("--quick", action="store_true", help="smaller and only once: for a first look")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="before the memory is read, N records more")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in LINES]
    if unknown:
        parser.error(f"nothing is called {', '.join(unknown)}; there are {', '.join(LINES)}")
    return given


async def _measure(lines: dict[str, Measure], *, quick: bool) -> tuple[list[Row], list[str]]:
    conditions = await _conditions(quick=quick)
    rows: list[Row] = []
    for name, measure in lines.items():
        began = time.perf_counter()
        rows += await measure(quick=quick)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return rows, conditions


async def _conditions(*, quick: bool) -> list[str]:
    folder = Path(tempfile.gettempdir())
    async with bed() as ours:
        server = (await ours.command("INFO", "server")).get("valkey_version", "unknown")
    taken = "--quick: smaller, once; figures waver." if quick else "Speeds are medians of three, taken in turn."
    return [
        f"Payflow: embedded Valkey {server}, append-only file in {folder}, fsync always unless a line says everysec.",
        f"One write with fsync takes {fdatasync_us(folder):.0f} µs here.",
        "Peers: the same Valkey, each on one of its own, fsync everysec, with uvloop and hiredis as Payflow has them.",
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before, Python {platform.python_version()}. {taken}",
    ]


if __name__ == "__main__":
    main()
