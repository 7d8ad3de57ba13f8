"""Many runs, one after another on a store, and side by side in processes; and what they came to."""

import asyncio
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from adapters.sandbox.flutterwave.simulator import FlutterwaveKeys
from adapters.sandbox.paystack.simulator import SECRET_KEY
from machines.core.clock import HOUR, FixedClock
from machines.payout.lifecycle import CANCELLED, COMPLETED, FAILED
from payflow.app.payouts import Payouts
from payflow.config import Settings, load
from payflow.simulation.judge import RunResult, played
from payflow.simulation.run import START, PayoutRun, Snapshot
from payflow.store.blocking import blocking
from payflow.store.store import open_store
from payflow.telemetry.metrics import Metrics

RUNS_A_STORE = 25
MEMORY = Path("/dev/shm")  # noqa: S108  (each run has a folder of its own there)
"""Where there is one, nothing waits for a disk."""
GOOD_ENDS = frozenset({COMPLETED, FAILED, CANCELLED})


@dataclass(slots=True)
class RunSummary:
    """What many runs came to."""

    runs: int = 0
    looks: int = 0
    deaths: int = 0
    faulty: int = 0
    unaided: int = 0
    """Runs that ended in COMPLETED, FAILED or CANCELLED and needed nobody."""
    ends: Counter[str] = field(default_factory=Counter)
    help: Counter[str] = field(default_factory=Counter)
    """What people had to do, and in how many runs."""
    faults: Counter[str] = field(default_factory=Counter)
    """Kinds of faults, and in how many runs each."""
    took_ms: list[int] = field(default_factory=list)

    def add(self, one: RunResult) -> None:
        """Count a run."""
        self.runs += 1
        self.looks += one.looks
        self.deaths += one.deaths
        self.faulty += bool(one.faults)
        self.unaided += one.state in GOOD_ENDS and not one.help
        self.ends[one.state] += 1
        self.help.update({what.partition(":")[0] for what in one.help})
        self.faults.update({what.partition(":")[0] for what in one.faults})
        self.took_ms.append(one.took_ms)

    def figures(self) -> dict[str, Any]:
        """Say it in figures."""
        cuts = statistics.quantiles(self.took_ms, n=20) if self.runs > 1 else [0.0] * 19
        return {
            "runs": self.runs,
            "looks": self.looks,
            "deaths": self.deaths,
            "faulty": self.faulty,
            "faults": dict(self.faults.most_common()),
            "ends": dict(self.ends.most_common()),
            "unaided_percent": round(100 * self.unaided / max(self.runs, 1), 2),
            "help": dict(self.help.most_common()),
            "hours_to_the_end": {"median": round(cuts[9] / HOUR, 2), "p95": round(cuts[18] / HOUR, 2)},
        }


def play(
    first: int, runs: int, *, processes: int = 1, truthful: bool = False, tell: bool = False
) -> Iterator[RunResult]:
    """Play many seeds, in their order."""
    end = first + runs
    parts = [_Part(at, min(at + RUNS_A_STORE, end), truthful, tell) for at in range(first, end, RUNS_A_STORE)]
    if len(parts) == 1 or processes == 1:
        for part in parts:
            yield from _played(part)
        return
    with ProcessPoolExecutor(processes) as pool:
        for results in pool.map(_played, parts):
            yield from results


@dataclass(frozen=True, slots=True)
class _Part:
    """What one process plays on one store."""

    first: int
    end: int
    truthful: bool
    tell: bool


def _played(part: _Part) -> list[RunResult]:
    structlog.configure(processors=[_drop])
    with tempfile.TemporaryDirectory(prefix="payflow-simulation-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        return asyncio.run(_play(part, Path(folder)))


async def _play(part: _Part, folder: Path) -> list[RunResult]:
    clock, metrics, settings = FixedClock(START), Metrics(), settings_in(folder)
    results = []
    async with open_store(settings["v3"], clock=clock) as store:
        store.serve([Payouts(settings["v3"], store, metrics, {}).machine])
        rows = store.link.rows
        # Losses are played, so that nothing here hangs on the disk: it would only take time.
        await store.link.ask("CONFIG SET", "appendonly", "no")
        async with blocking(store.link, Path(store.link.place)) as store.link:
            empty = await Snapshot.of(store.link)
            for seed in range(part.first, part.end):
                await empty.put_back(store.link)
                rows.newest.clear()  # each run is another installation's
                run = PayoutRun(seed, store, clock, settings, folder, metrics, truthful=part.truthful)
                results.append(await played(run, tell=part.tell))
    return results


def settings_in(folder: Path) -> Mapping[str, Settings]:
    """Make the settings of an installation for each gateway: payouts start at once, and need no reviewer."""
    keys = FlutterwaveKeys()
    common = {
        "PAYFLOW_DATA": str(folder),
        "PAYFLOW_SHARDS": "2",
        "PAYFLOW_INSTALLATION": "simu",  # references carry it, and a seed must bring the same ones back
        "PAYFLOW_BATCH_SCHEDULE": "instant",
        "PAYFLOW_RISK": '{"least_successes": 0, "details_cool_off_ms": 0}',
        "PAYFLOW_WATCH_DAYS": "1",
        "PAYFLOW_RETURNS_DAYS": '{"flutterwave": 1, "paystack": 1}',
        "PAYFLOW_GATEWAY_CALLS": "100000",  # who waits for a permit waits in real time, which does not pass in a run
        "FLUTTERWAVE_WEBHOOK_HASH": keys.secret_hash,
    }
    own: Mapping[str, Mapping[str, str]] = {
        "v3": {"FLUTTERWAVE_SECRET_KEY": keys.secret_key, "FLUTTERWAVE_URL": "http://gateway/v3"},
        "v4": {
            "FLUTTERWAVE_VERSION": "v4",
            "FLUTTERWAVE_CLIENT_ID": keys.client_id,
            "FLUTTERWAVE_CLIENT_SECRET": keys.client_secret,
            "FLUTTERWAVE_URL": "http://gateway/v4",
            "FLUTTERWAVE_TOKEN_URL": "http://gateway/realms/flutterwave/protocol/openid-connect/token",
        },
        "paystack": {
            "PAYFLOW_PAYOUT_RAIL": "paystack",
            "PAYSTACK_SECRET_KEY": SECRET_KEY,
            "PAYSTACK_URL": "http://gateway",
        },
    }
    return {api: load({**common, **given}) for api, given in own.items()}


def _drop(*_: object) -> str:
    raise structlog.DropEvent
