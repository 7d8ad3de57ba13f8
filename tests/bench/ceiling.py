"""How near the worker comes to what the store alone could do with the same calls.

The calls of a whole run, claims and commits with every byte of them, are recorded once and then thrown at a fresh store
by redis-cli in pipe mode, which costs next to nothing and always has the next call ready. redis-benchmark of the same
package cannot do it: it repeats one command, and a commit is good for one version of a record only.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from redis.asyncio import Redis
from redis.asyncio.connection import UnixDomainSocketConnection

from machines.core.clock import SystemClock
from machines.core.redis import Script
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.worker import Worker
from payflow.store.scripts import CLAIM, COMMIT
from payflow.telemetry.metrics import Metrics
from tests.bench.bed import Bed, bed
from tests.bench.machine import STEPS
from tests.bench.steps import run
from tests.bench.table import Row

RECORDS, RECORDS_QUICK = 20_000, 4_000
ROUNDS = 3
SHARE_WANTED = 0.5

Command = tuple[str | bytes | int, ...]


@dataclass(slots=True)
class Recording:
    """The calls that make records, and those that walk them through their lives."""

    making: list[Command] = field(default_factory=list)
    walking: list[Command] = field(default_factory=list)
    records: int = 0

    @property
    def steps_a_call(self) -> float:
        """How many steps one commit wrote, on average."""
        commits = sum(1 for command in self.walking if command[1] == COMMIT.sha)
        return STEPS * self.records / commits


async def measure(*, quick: bool) -> list[Row]:
    """Let the worker and the replay of the same calls take turns."""
    records = RECORDS_QUICK if quick else RECORDS
    recording = await record(records)
    how = "redis-cli --pipe" if shutil.which("redis-cli") else "a bare redis-py loop (redis-tools is not installed)"
    runs, replays, whole = [], [], []
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(bed("always"))
        worker = await stack.enter_async_context(ours.worker())
        await run(ours, worker, records // 10)
        for _ in range(1 if quick else ROUNDS):
            runs.append((await run(ours, worker, records)).steps_a_second)
            seconds, finished = await replay(recording)
            replays.append(STEPS * finished / seconds)
            whole.append(finished / records)
    figure, ceiling = median(runs), median(replays)
    return [
        Row(
            what="share of the raw ceiling, fsync always",
            figure=figure,
            unit="steps/s",
            beside=f"the same calls from {how}",
            other=ceiling,
            target="(told, no target)",
            meets=None,
            note=f"{recording.steps_a_call:.0f} steps a commit; the replay finished {min(whole):.1%} of the records",
        )
    ]


async def record(records: int) -> Recording:
    """Run a worker in this process and keep every call. Each carries the time, so that a replay does the same."""
    recording = Recording(records=records)
    async with bed("everysec", clock=SystemClock()) as ours:
        _listen_in(ours, recording.making)
        await ours.load(records, due_in_s=0)
        _listen_in(ours, recording.walking)
        metrics = Metrics()
        worker = Worker(ours.store, ours.settings, metrics, Dispatcher(ours.store.outbox, metrics, {}))
        running = asyncio.create_task(worker.run())
        await ours.finish()
        worker.stop()
        await running
    return recording


def _listen_in(ours: Bed, kept: list[Command]) -> None:
    link = ours.store.link
    send = type(link).run.__get__(link)

    async def keep(script: Script, names: Sequence[str], *args: str | bytes | int) -> object:
        if script.name in (CLAIM.name, COMMIT.name):
            kept.append(("EVALSHA", script.sha, len(names), *names, *args))
        return await send(script, names, *args)

    setattr(link, "run", keep)  # noqa: B010  (mypy forbids to assign to a method, rightly)


async def replay(recording: Recording) -> tuple[float, int]:
    """Make the records again, then walk them as fast as the store can: the seconds, and how many got to the end."""
    async with bed("always") as theirs:
        await _send(theirs, recording.making)
        seconds = await _send(theirs, recording.walking)
        return seconds, await theirs.count()


async def _send(theirs: Bed, commands: Sequence[Command]) -> float:
    packed = _packed(commands)
    if shutil.which("redis-cli"):
        return await _by_redis_cli(theirs.socket, packed)
    return await _by_redis_py(theirs.socket, commands)


async def _by_redis_cli(socket: str, packed: bytes) -> float:
    with tempfile.TemporaryFile(dir=Path(socket).parent) as file:
        file.write(packed)
        file.seek(0)
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            "redis-cli", "-s", socket, "--pipe", stdin=file, stdout=asyncio.subprocess.DEVNULL
        )
        await process.wait()
        return time.perf_counter() - began


async def _by_redis_py(socket: str, commands: Sequence[Command]) -> float:
    async with Redis(unix_socket_path=socket, protocol=2) as client:
        began = time.perf_counter()
        for start in range(0, len(commands), 4):
            pipe = client.pipeline(transaction=False)
            for command in commands[start : start + 4]:
                pipe.execute_command(*command)
            await pipe.execute(raise_on_error=False)
        return time.perf_counter() - began


def _packed(commands: Sequence[Command]) -> bytes:
    connection = UnixDomainSocketConnection(protocol=2)
    return b"".join(piece for command in commands for piece in connection.pack_command(*command))
