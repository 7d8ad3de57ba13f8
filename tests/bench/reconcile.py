"""Comparing a day's payouts with the rail's statement, over ever more that are finished: it costs what the day does."""

import asyncio
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

from machines.core.clock import DAY, DAY_S, FixedClock, Millis
from machines.core.decision import New
from machines.core.ids import Owner, RecordId, fresh_id
from machines.core.money import NGN, Assets, Money
from machines.core.ports import Destination, Evidence, LineKind, StatementLine, StatementPart
from machines.finding.react import finding
from machines.payout import lifecycle as s
from machines.payout.data import Attempt, PayoutData, reference_of
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout
from payflow.config import load
from payflow.desk.reconcile.findings import Findings
from payflow.desk.reconcile.payouts import PayoutBooks, PayoutsReconcile
from payflow.desk.reconcile.reconciler import ComparedRail, Reconciler
from payflow.store.store import Store, open_store
from payflow.telemetry.metrics import Metrics
from tests.bench.table import Row

RAIL, ACCOUNT = "flutterwave", "0123456789"
A_DAY, SIZES = 2_000, (20_000, 200_000)
A_DAY_QUICK, SIZES_QUICK = 300, (1_500, 6_000)
AT_ONCE, OWNERS = 500, 40
SLOPE = 1.5
"""Ten times as much that is finished may cost so many times as much: what is more than noise is a slope."""
AMOUNT = Money(100_000, NGN)


class RailOfTheBench:
    """A statement that agrees with our books, of the last days alone: nobody asks for more."""

    patience_ms = Millis(DAY // 24)
    overlap_ms = Millis(DAY + DAY // 24)

    def __init__(self) -> None:
        self.days: dict[Millis, list[StatementLine]] = {}
        self.read = 0

    async def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        for begins, lines in self.days.items():
            if since - DAY < begins <= until:
                self.read += len(lines)
                yield StatementPart(begins, tuple(lines))


async def measure(*, quick: bool) -> list[Row]:
    """Compare a day over few and over many."""
    a_day, sizes = (A_DAY_QUICK, SIZES_QUICK) if quick else (A_DAY, SIZES)
    found: list[tuple[float, float, int]] = []
    async with _desk() as (store, clock):
        rail, made = RailOfTheBench(), 0
        books = PayoutBooks(store, RAIL)
        # Nothing differs, so nothing is asked.
        nobody = PayoutsReconcile(store, Metrics(), None, {})  # type: ignore[arg-type]
        reconciler = Reconciler(store, Findings(store, Metrics()), {RAIL: ComparedRail(rail, books, nobody)})
        await reconciler.compare(RAIL)
        for size in sizes:
            while made < size:
                made += await _pay(store, clock, rail, a_day)
                await reconciler.compare(RAIL)
            seconds, grown_mb, lines = await _one_day(store, clock, rail, reconciler, a_day)
            made += a_day
            found.append((seconds, grown_mb, lines))
    (few_s, _, _), (many_s, grown_mb, lines) = found
    ratio = many_s / few_s
    return [
        Row(
            what=f"compare a day of {a_day:,} payouts over {sizes[1]:,} that are finished",
            figure=many_s,
            unit="s",
            target=f"≤ {SLOPE} times what it takes over {sizes[0]:,}",
            meets=ratio <= SLOPE,
            beside=f"over {sizes[0]:,}",
            other=few_s,
            note=f"{lines:,} lines read, {a_day / many_s:,.0f} payouts a second; memory grew by {grown_mb:.0f} MB",
        )
    ]


async def _one_day(
    store: Store, clock: FixedClock, rail: RailOfTheBench, reconciler: Reconciler, a_day: int
) -> tuple[float, float, int]:
    """Give the seconds, the memory and the lines that one day more takes."""
    await _pay(store, clock, rail, a_day)
    rail.read, before = 0, _peak_mb()
    began = time.perf_counter()
    turn = await reconciler.compare(RAIL)
    seconds = time.perf_counter() - began
    if turn.found or turn.lines != a_day:
        raise AssertionError(f"{turn.lines} lines and {len(turn.found)} findings, of {a_day} payouts that agree.")
    return seconds, _peak_mb() - before, rail.read


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _pay(store: Store, clock: FixedClock, rail: RailOfTheBench, count: int) -> int:
    """Have a day go by in which so many payouts are finished, here and there."""
    clock.advance(DAY_S)
    now = clock.now()
    lines: list[StatementLine] = []

    async def one(number: int) -> None:
        owner = Owner(f"owner{number % OWNERS}")
        name = fresh_id("payout", store.records.owner_shard(owner))
        await store.records.recreate(New(name, "payout", owner, AMOUNT, _paid(store, name)), s.COMPLETED, "bench", "")
        reference = reference_of(name, 1, store.installation)
        line = StatementLine(f"{now}-{number}", LineKind.PAYMENT, AMOUNT, out=True, at=now, reference=reference)
        lines.append(replace(line, fee=1_075, account=ACCOUNT))

    for numbers in _slices(count):
        await asyncio.gather(*map(one, numbers))
    rail.days = {begins: kept for begins, kept in rail.days.items() if begins > now - 3 * DAY} | {now: lines}
    clock.advance(2 * 3600)
    return count


def _paid(store: Store, name: RecordId) -> PayoutData:
    reference = reference_of(name, 1, store.installation)
    sealed = store.seals.seal(Destination("bank", (("bank_code", "044"), ("account_number", ACCOUNT))), name)
    return PayoutData(
        RAIL, "bank", sealed, "044 ••••6789", AMOUNT.units, installation=store.installation, assessed=True,
        attempts=(Attempt(reference, sealed, "77", sent=True),), paid_by=reference,
        evidence=Evidence(RAIL, reference, (("fee", "10.75"),)),
    )  # fmt: skip


def _slices(count: int) -> Iterator[range]:
    return (range(first, min(first + AT_ONCE, count)) for first in range(0, count, AT_ONCE))


@asynccontextmanager
async def _desk() -> AsyncIterator[tuple[Store, FixedClock]]:
    clock = FixedClock()
    with tempfile.TemporaryDirectory(prefix="payflow-bench-") as folder:
        settings = load({"PAYFLOW_DATA": folder, "PAYFLOW_FSYNC": "everysec"})
        async with open_store(settings, clock=clock) as store:
            store.serve([payout(PayoutPolicy(), {}), finding({})])
            for number in range(OWNERS):
                await store.records.fund(Owner(f"owner{number}"), Money(10**12, NGN), f"money/{number}")
            yield store, clock
