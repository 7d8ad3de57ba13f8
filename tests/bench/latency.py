"""How long a lone step takes on an idle system: from the poke that makes a record due to the commit that others see.

The server itself tells when the commit is written (keyspace notifications, which cost it a microsecond), so nothing in
the worker is touched. Beside it stands the least that such a step must do: a claim and a commit, one after the other,
straight from a client that needs no wake-up.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from random import Random

from redis.asyncio import Redis

from machines.core.ids import RecordId
from payflow.store.stored import Queue, Stored
from tests.bench.bed import WHO, Bed, bed
from tests.bench.machine import FIRST, NAME, Checked, react
from tests.bench.table import Row

STEPS, STEPS_QUICK = 400, 100
P50_MS, P99_MS = 3, 15
PAUSE_S = 0.004
PATIENCE_S = 5.0
LEASE_MS = 10_000


async def measure(*, quick: bool) -> list[Row]:
    """Take lone steps with a worker, and then the bare calls."""
    count = STEPS_QUICK if quick else STEPS
    async with bed("always") as ours:
        async with ours.worker():
            lone = await _lone_steps_ms(ours, await ours.load(count))
        await ours.load(count, due_in_s=0)
        bare = await _bare_steps_ms(ours, count)
    return [_row(lone, bare, 50, P50_MS), _row(lone, bare, 99, P99_MS)]


def _row(lone: list[float], bare: list[float], percent: int, limit_ms: float) -> Row:
    figure = _percentile(lone, percent)
    return Row(
        what=f"a lone step on an idle system, p{percent}",
        figure=figure,
        unit="ms",
        beside="bare claim + commit, no wake-up",
        other=_percentile(bare, percent),
        target=f"≤ {limit_ms} ms",
        meets=figure <= limit_ms,
    )


async def _lone_steps_ms(ours: Bed, ids: list[RecordId]) -> list[float]:
    """Poke one sleeping record after another, each when the one before is through and all is quiet again."""
    await ours.command("CONFIG", "SET", "notify-keyspace-events", "Kl")
    luck, taken = Random(1), []
    async with Redis(unix_socket_path=ours.socket, protocol=2) as client, aclosing(_appends(client)) as events:
        await anext(events)
        for record_id in ids:
            began = time.perf_counter()
            await ours.store.records.poke(record_id)
            async with asyncio.timeout(PATIENCE_S):
                await anext(events)
                taken.append((time.perf_counter() - began) * 1000)
                for _ in range(3):  # the steps that follow are not alone: they find the worker awake
                    await anext(events)
            await asyncio.sleep(PAUSE_S * (1 + luck.random()))
    return taken


async def _appends(client: "Redis") -> AsyncGenerator[str]:
    """Yield whenever an event is added to a history; first when listening has begun."""
    async with client.pubsub() as ear:
        await ear.psubscribe("__keyspace@0__:*:hist:*")
        async for message in ear.listen():
            yield str(message["data"])


async def _bare_steps_ms(ours: Bed, count: int) -> list[float]:
    records, taken = ours.store.records, []
    for _ in range(count):
        began = time.perf_counter()
        (claimed,) = await records.claim([Queue(NAME, FIRST, 1, LEASE_MS)])
        stored = claimed.found[0]
        assert isinstance(stored, Stored)
        await records.commit(stored, react(stored.record, Checked(), stored.at), Checked(), WHO)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
