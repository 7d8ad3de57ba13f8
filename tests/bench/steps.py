"""How many durable steps one worker process takes a second, beside what a user would pick instead; and its memory."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from time import process_time
from typing import NamedTuple

from payflow.store.embedded import Fsync
from tests.bench import peers
from tests.bench.bed import Bed, WorkerProcess, bed, busy_s
from tests.bench.machine import STEPS
from tests.bench.table import TIMES, Row

RECORDS, RECORDS_QUICK = 20_000, 4_000
PEER_CHAINS, PEER_CHAINS_QUICK = 1_500, 500
ROUNDS = 3
MODES: tuple[Fsync, ...] = ("always", "everysec")

STEPS_TARGET = 15_000
PEER_TIMES_TARGET = 10
FSYNC_TARGET = 0.75
RSS_TARGET_MB = 60
FLAT_MB = 5


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the worker gave."""

    steps_a_second: float
    cpu_us_a_step: float
    server_us_a_step: float
    rss_mb: float
    strangers_percent: float
    """CPU time that other programs took meanwhile, in percent of one CPU."""


async def measure(*, quick: bool, soak: int = 0) -> list[Row]:
    """Let Payflow at both durabilities and the peers take turns."""
    records, chains = (RECORDS_QUICK, PEER_CHAINS_QUICK) if quick else (RECORDS, PEER_CHAINS)
    runs: dict[Fsync, list[Run]] = {mode: [] for mode in MODES}
    outings: dict[str, list[peers.Outing]] = {name: [] for name in peers.NAMES}
    absent = await peers.absent()
    async with AsyncExitStack() as stack:
        beds = {mode: await stack.enter_async_context(bed(mode)) for mode in MODES}
        workers = {mode: await stack.enter_async_context(beds[mode].worker()) for mode in MODES}
        for mode in MODES:
            await run(beds[mode], workers[mode], records // 10)  # warms it up
        warm_mb = (await workers["always"].usage()).rss_kb / 1024
        for _ in range(1 if quick else ROUNDS):
            for mode in MODES:
                runs[mode].append(await run(beds[mode], workers[mode], records))
            for name in () if absent else peers.NAMES:
                outings[name].append(await peers.outing(name, chains))
        if soak:
            await run(beds["always"], workers["always"], soak)
        end_mb = (await workers["always"].usage()).rss_kb / 1024
        conserved = all([await beds[mode].conserved() for mode in MODES])
        count = beds["always"].made
    return [
        *_speed_rows(runs, outings, absent, conserved=conserved),
        _fsync_row(runs),
        _memory_row(warm_mb, end_mb, count, outings),
    ]


async def run(bed: Bed, worker: WorkerProcess, records: int) -> Run:
    """Wake so many sleeping records at once, and wait until all are paid."""
    await bed.load(records)
    before = await _reading(bed, worker)
    began = await bed.release()
    seconds = await bed.finish() - began
    after = await _reading(bed, worker)
    steps = STEPS * records
    worker_s, server_s, all_s = (now - then for now, then in zip(after.cpu_s, before.cpu_s, strict=True))
    return Run(
        steps_a_second=steps / seconds,
        cpu_us_a_step=worker_s / steps * 1e6,
        server_us_a_step=server_s / steps * 1e6,
        rss_mb=after.rss_mb,
        strangers_percent=max(0.0, all_s - worker_s - server_s) / seconds * 100,
    )


class _Reading(NamedTuple):
    """CPU time so far, of the worker, of the server and of the whole machine without us; and the worker's memory."""

    cpu_s: tuple[float, float, float]
    rss_mb: float


async def _reading(bed: Bed, worker: WorkerProcess) -> _Reading:
    used = await worker.usage()
    return _Reading((used.cpu_s, await bed.server_cpu_s(), busy_s() - process_time()), used.rss_kb / 1024)


def _speed_rows(
    runs: Mapping[Fsync, list[Run]], outings: Mapping[str, list[peers.Outing]], absent: str, *, conserved: bool
) -> list[Row]:
    by_peer = {name: median(one.steps_a_second for one in some) for name, some in outings.items() if some}
    best = max(by_peer, key=lambda name: by_peer[name]) if by_peer else ""
    rows = []
    for mode, some in runs.items():
        figure = median(one.steps_a_second for one in some)
        enough = figure >= STEPS_TARGET and bool(best) and figure >= PEER_TIMES_TARGET * by_peer[best]
        for name in by_peer or ("",):
            judged = mode == "always" and name == best
            rows.append(
                Row(
                    what=f"durable steps, one worker, fsync {mode}",
                    figure=figure,
                    unit="/s",
                    beside=absent or f"{name}, fsync everysec{' (best peer)' if name == best else ''}",
                    other=by_peer.get(name),
                    target=f"≥ {STEPS_TARGET:,} and ≥ {PEER_TIMES_TARGET} {TIMES} best peer" if judged else "",
                    meets=enough if judged else None,
                    note=_costs(some, conserved=conserved) if name == best else _peer_costs(outings[name]),
                )
            )
    return rows


def _costs(runs: list[Run], *, conserved: bool) -> str:
    worker, server = median(one.cpu_us_a_step for one in runs), median(one.server_us_a_step for one in runs)
    strangers = max(one.strangers_percent for one in runs)
    books = "conserved" if conserved else "BROKEN"
    return (
        f"CPU a step: worker {worker:.0f}, store {server:.0f} µs; others took {strangers:.0f} % of a CPU; books {books}"
    )


def _peer_costs(outings: list[peers.Outing]) -> str:
    return f"CPU a step: its worker {median(one.cpu_us_a_step for one in outings):.0f} µs"


def _fsync_row(runs: Mapping[Fsync, list[Run]]) -> Row:
    always, everysec = (median(one.steps_a_second for one in runs[mode]) for mode in MODES)
    return Row(
        what="fsync always against everysec, 256 records in flight",
        figure=always,
        unit="/s",
        beside="fsync everysec",
        other=everysec,
        target=f"≥ {FSYNC_TARGET} {TIMES}",
        meets=always / everysec >= FSYNC_TARGET,
    )


def _memory_row(warm_mb: float, end_mb: float, count: int, outings: Mapping[str, list[peers.Outing]]) -> Row:
    arq = outings["arq"]
    return Row(
        what=f"worker memory (RSS) after {count:,} records, without web3",
        figure=end_mb,
        unit="MB",
        beside="arq",
        other=median(one.rss_mb for one in arq) if arq else None,
        target=f"≤ {RSS_TARGET_MB} MB, flat",
        meets=end_mb <= RSS_TARGET_MB and end_mb - warm_mb <= FLAT_MB,
        note=f"{warm_mb:.1f} MB when warm: {end_mb - warm_mb:+.1f} MB since",
    )
