"""What every line of the table stands on: a store in a folder of its own, records in it, and worker processes on it."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from machines.core.clock import Clock
from machines.core.decision import New
from machines.core.ids import Owner, RecordId, fresh_id, shard_for
from machines.core.money import NGN, Money
from payflow.config import Settings, load
from payflow.store import keys
from payflow.store.embedded import Fsync
from payflow.store.store import Store, open_store
from tests.bench.machine import FIRST, LAST, NAME, ChainData, chain

PROJECT = Path(__file__).parents[2]
RECORDS_OF_AN_OWNER = 10
WHO = "bench"
SLEEPS_S = 86_400.0

T = TypeVar("T")

_AT_A_TIME = 512
_POLL_S = 0.05
_PLENTY = Money(10**12, NGN)

AMOUNT = Money(12_345, NGN)
DATA = ChainData("bank 058 0123456789")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used."""

    cpu_s: float
    rss_kb: float


class WorkerProcess:
    """A worker in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def ready(self) -> None:
        """Wait until it looks for work."""
        if await self._line() != "ready":
            raise RuntimeError("The worker did not start; what it says stands above.")

    async def usage(self) -> Usage:
        """Ask what it has used so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"usage\n")
        return Usage(**json.loads(await self._line()))

    async def stop(self) -> None:
        """Let it finish."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.close()
        await self._process.wait()

    async def kill(self) -> None:
        """End it without a warning: kill -9."""
        self._process.kill()
        await self._process.wait()

    async def _line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()


@dataclass(slots=True)
class Bed:
    """A store and the records in it."""

    folder: Path
    fsync: Fsync
    settings: Settings
    store: Store
    made: int = 0
    funded: int = 0

    # ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self, count: int, *, due_in_s: float = SLEEPS_S) -> list[RecordId]:
        """Make records, ten an owner; unless told otherwise they sleep until `release`."""
        owners = await self.fund(-(-count // RECORDS_OF_AN_OWNER))
        ids = []
        for some in _slices((owners * RECORDS_OF_AN_OWNER)[:count], _AT_A_TIME):
            news = [self._new(owner, due_in_s) for owner in some]
            await asyncio.gather(*(self.store.records.create(new, WHO) for new in news))
            ids += [new.id for new in news]
        self.made += count
        return ids

    async def fund(self, count: int) -> list[Owner]:
        """Make new owners with plenty of money."""
        owners = [Owner(f"owner-{self.funded + place}") for place in range(count)]
        self.funded += count
        for some in _slices(owners, _AT_A_TIME):
            await asyncio.gather(*(self.store.records.fund(owner, _PLENTY, f"funds of {owner}") for owner in some))
        return owners

    def _new(self, owner: Owner, due_in_s: float) -> New[ChainData]:
        record_id = fresh_id(NAME, shard_for(owner, self.store.records.shards))
        return New(record_id, NAME, owner, AMOUNT, DATA, due_in_s=due_in_s)

    async def release(self) -> float:
        """Make all sleeping records due in one stroke and wake the workers; give the store's time, in seconds."""
        due = [keys.due(shard, NAME, FIRST) for shard in range(self.store.records.shards)]
        seconds, micros = await self.command("TIME")
        await self.store.link.pipeline([("ZUNIONSTORE", key, 1, key, "WEIGHTS", 0) for key in due])
        await self.command("PUBLISH", keys.WAKE_CHANNEL, f"{NAME}:{FIRST}")
        return int(seconds) + int(micros) / 1e6

    async def count(self, state: str = LAST) -> int:
        """Count the records in a state."""
        shards = range(self.store.records.shards)
        return sum(await self.store.link.pipeline([("ZCARD", keys.members(shard, NAME, state)) for shard in shards]))

    async def reached(self, count: int) -> bool:
        """Tell whether so many records are finished."""
        return await self.count() >= count

    async def finish(self, limit_s: float = 120.0, poll_s: float = _POLL_S) -> float:
        """Wait until every record is finished; give the store's time, in seconds, when the last one was."""
        deadline = time.monotonic() + limit_s
        while await self.count() < self.made:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Only {await self.count()} of {self.made} records finished within {limit_s} s.")
            await asyncio.sleep(poll_s)
        shards = range(self.store.records.shards)
        newest = [("ZREVRANGE", keys.members(shard, NAME, LAST), 0, 0, "WITHSCORES") for shard in shards]
        return max(_score(answer) for answer in await self.store.link.pipeline(newest) if answer) / 1000

    async def conserved(self) -> bool:
        """Prove that no money was lost or made."""
        return (await self.store.ledger.check()).conserved

    # ── server and processes ─────────────────────────────────────────────────────────────────────────────────────────

    async def command(self, *words: Any) -> Any:  # noqa: ANN401  (each command answers in its own way)
        """Send one command to the server."""
        return await self.store.link.ask(*words)

    async def memory(self) -> int:
        """Bytes that the server uses for data."""
        return int((await self.command("INFO", "memory"))["used_memory"])

    async def server_cpu_s(self) -> float:
        """CPU time that the server has used."""
        used = await self.command("INFO", "cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    @property
    def socket(self) -> str:
        """Where the server listens."""
        return str(self.store.link.place)

    @asynccontextmanager
    async def worker(self, *, lease_s: float = 10.0, rail: Path | None = None) -> AsyncIterator[WorkerProcess]:
        """Run a worker process for as long as the context lasts."""
        worker = await self.start_worker(lease_s=lease_s, rail=rail)
        try:
            await worker.ready()
            yield worker
        finally:
            await worker.stop()

    async def start_worker(self, *, lease_s: float = 10.0, rail: Path | None = None) -> WorkerProcess:
        """Start a worker process, and do not wait for it."""
        words = ["-m", "tests.bench.worker", "--data", str(self.folder), "--fsync", self.fsync, "--lease", str(lease_s)]
        if rail is not None:
            words += ["--rail", str(rail)]
        pipe = asyncio.subprocess.PIPE
        return WorkerProcess(
            await asyncio.create_subprocess_exec(sys.executable, *words, cwd=PROJECT, stdin=pipe, stdout=pipe)
        )


@asynccontextmanager
async def bed(fsync: Fsync = "always", *, clock: Clock | None = None) -> AsyncIterator[Bed]:
    """Open a fresh store, and leave nothing behind."""
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="payflow-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = load({"PAYFLOW_DATA": str(folder), "PAYFLOW_FSYNC": fsync})
        store = await stack.enter_async_context(open_store(settings, clock=clock))
        store.serve([chain()])
        yield Bed(folder, fsync, settings, store)


def busy_s() -> float:
    """CPU time that this machine has spent on anything so far; 0 where it does not tell (it is not Linux)."""
    try:
        words = Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _waiting, *interrupts = map(int, words)
    return (user + nice + system + sum(interrupts[:2])) / os.sysconf("SC_CLK_TCK")


def fdatasync_us(folder: Path, times: int = 200) -> float:
    """Measure what one write to the disk costs here, in microseconds."""
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(times):
            os.write(file.fileno(), b"x" * 512)
            os.fsync(file.fileno())
        return (time.perf_counter() - began) / times * 1e6


def _slices(things: list[T], size: int) -> list[list[T]]:
    return [things[start : start + size] for start in range(0, len(things), size)]


def _score(answer: Any) -> float:  # noqa: ANN401  (redis-py gives either of two shapes)
    return float(answer[0][1] if isinstance(answer[0], list | tuple) else answer[1])
