"""How many payout requests one process accepts.

Each checks the balance, binds its idempotency key and is on disk before its answer.

First as many as it can with 64 under way; then half as many a second, evenly spaced, where each answer's time counts
from the moment when its request was due.
"""

import asyncio
import hashlib
import time
from itertools import count
from statistics import median

from machines.core.decision import New
from machines.core.ids import Owner, derived_id, shard_for
from tests.bench import peers
from tests.bench.bed import AMOUNT, DATA, SLEEPS_S, WHO, Bed, bed
from tests.bench.machine import NAME
from tests.bench.table import Row

UNDER_WAY = 64
OWNERS = 1_000
LENGTH_S, LENGTH_QUICK_S = 4.0, 2.0
ROUNDS = 3
PEER_JOBS = 4_000
RATE_TARGET = 1_500
P99_TARGET_MS = 50


async def measure(*, quick: bool) -> list[Row]:
    """Let arq's enqueueing and Payflow's accepting take turns, then measure the answers at half the speed."""
    length_s = LENGTH_QUICK_S if quick else LENGTH_S
    absent = await peers.absent()
    rates, theirs = [], []
    async with bed("always") as ours:
        desk = _Desk(ours, await ours.fund(OWNERS))
        await desk.flat_out(0.5)
        for _ in range(1 if quick else ROUNDS):
            rates.append(await desk.flat_out(length_s))
            if not absent:
                theirs.append(await peers.enqueued_a_second("arq", PEER_JOBS))
        answers_ms = await desk.evenly(median(rates) / 2, length_s)
        conserved = await ours.conserved()
    rate, p99 = median(rates), sorted(answers_ms)[len(answers_ms) * 99 // 100]
    return [
        Row(
            what=f"requests accepted, one process, {UNDER_WAY} under way, fsync always",
            figure=rate,
            unit="/s",
            target=f"≥ {RATE_TARGET:,}/s",
            meets=rate >= RATE_TARGET,
            beside=absent or "jobs enqueued by arq, fsync everysec",
            other=median(theirs) if theirs else None,
            note=f"balance, idempotency; books {'conserved' if conserved else 'BROKEN'}",
        ),
        Row(
            what=f"answers at half of that ({rate / 2:,.0f}/s), p99",
            figure=p99,
            unit="ms",
            target=f"≤ {P99_TARGET_MS} ms",
            meets=p99 <= P99_TARGET_MS,
            beside="their p50",
            other=median(answers_ms),
        ),
    ]


class _Desk:
    """Takes requests."""

    def __init__(self, ours: Bed, owners: list[Owner]) -> None:
        self._records = ours.store.records
        self._owners = owners
        self._number = count()

    async def accept(self) -> None:
        """Take one request, as the API would."""
        number = next(self._number)
        owner = self._owners[number % len(self._owners)]
        shard = shard_for(owner, self._records.shards)
        key = f"request-{number}"
        body = hashlib.sha256(f"{owner} {key} {AMOUNT}".encode()).hexdigest()
        new = New(derived_id(NAME, shard, owner, key), NAME, owner, AMOUNT, DATA, body, due_in_s=SLEEPS_S)
        await self._records.create(new, WHO)

    async def flat_out(self, seconds: float) -> float:
        """Take as many as possible; give how many a second."""
        began = time.perf_counter()
        accepted = 0

        async def one_after_the_other() -> None:
            nonlocal accepted
            while time.perf_counter() - began < seconds:
                await self.accept()
                accepted += 1

        await asyncio.gather(*(one_after_the_other() for _ in range(UNDER_WAY)))
        return accepted / (time.perf_counter() - began)

    async def evenly(self, rate: float, seconds: float) -> list[float]:
        """Take so many a second; give for each, in milliseconds, how long after its time it was answered."""
        answers_ms = []
        began = time.perf_counter()

        async def at(due: float) -> None:
            await self.accept()
            answers_ms.append((time.perf_counter() - due) * 1000)

        async with asyncio.TaskGroup() as group:
            for place in range(int(rate * seconds)):
                due = began + place / rate
                await _sleep_until(due)
                group.create_task(at(due))
        return answers_ms


async def _sleep_until(due: float) -> None:
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
