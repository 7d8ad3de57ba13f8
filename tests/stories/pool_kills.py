"""A pool's run whose process is killed, again and again: `python -m tests.stories.pool_kills --miners 200 --seed 1`.

A life is a process of its own that works on the pool's miners, and dies by SIGKILL right before or right after its
nth event: a commit of the store, a change of the pool's books, a call to the node or the signer. The next life goes
on. In the end everybody is paid once, on the chain and in the books.

    steps  for each line of JSON on its input forks a life; says how it ended (`-9` for a life that was killed)
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import ClientSession

from adapters.open_ethereum_pool.link import PoolRedis as PoolLink
from payflow.app.installation import opened
from payflow.config import Settings, load
from payflow.desk.pool.audit import audit
from payflow.desk.pool.runs import Run
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.worker import Worker
from payflow.store.link import Link as StoreLink
from payflow.telemetry import logs
from tests.adapters.open_ethereum_pool.mine import Mine, mine_of, payouts_json, write_config
from tests.chain import GWEI, LANE, Anvil, anvil
from tests.desk import settings_for
from tests.servers import Farm, Server
from tests.stories.pool_world import lanes_json, nothing_else, pools_of

SHARE = 600_000_000
DONE = 0


class Death:
    """Counts events, and kills the process at the one that was chosen."""

    def __init__(self, at: int) -> None:
        self._left = at

    def around(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Make the moments before and after each of these calls events."""

        @wraps(call)
        async def wrapped(*args: Any, **options: Any) -> object:
            self._pass()
            answer = await call(*args, **options)
            self._pass()
            return answer

        return wrapped

    def _pass(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def lurk(self) -> None:
        """Stand at every commit, every change of the pool's books and every call to a node."""
        for kind, name in (
            (StoreLink, "run"),
            (StoreLink, "run_durably"),
            (PoolLink, "run"),
            (ClientSession, "_request"),
        ):
            setattr(kind, name, self.around(getattr(kind, name)))


async def live(settings: Settings, file: Path) -> None:
    """Work until everybody is paid."""
    async with opened(settings, nothing_else, pool_files=[file]) as payflow:
        pools = pools_of(payflow)
        (pool,) = pools.pools.values()
        worker = Worker(payflow.store, settings, payflow.metrics, Dispatcher(payflow.store.outbox, payflow.metrics, {}))
        work = asyncio.create_task(worker.run())
        while True:
            outcome = await Run(pools, pool, lambda _: None, asyncio.Event()).whole()
            if outcome.refused:
                raise AssertionError(outcome.refused)
            if not outcome.must_pay and not await pools.own.open_payments(pool.coin):
                break
        worker.stop()
        await work


def steps(environment: dict[str, str], file: Path) -> None:
    """Fork a life for each line on the input: {"at": at which event it dies, 0 for never}."""
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            logs.configure("critical", "json")
            if order["at"]:
                Death(order["at"]).lurk()
            settings = load(environment)
            asyncio.run(live(settings, file))
            os._exit(DONE)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


@dataclass
class Bed:
    """Where the lives are lived."""

    mine: Mine
    chain: Anvil
    zygote: "subprocess.Popen[str]"
    kills: int = 0

    def life(self, at: int) -> bool:
        """Live one life; whether it came to its end by itself."""
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        self.zygote.stdin.write(json.dumps({"at": at}) + "\n")
        self.zygote.stdin.flush()
        answer = self.zygote.stdout.readline().strip()
        if answer == str(-signal.SIGKILL):
            self.kills += 1
            return False
        assert answer == str(DONE), f"a life ended with {answer!r}"
        return True


@contextmanager
def zygote_of(environment: dict[str, str], file: Path) -> "Iterator[subprocess.Popen[str]]":
    """Start the process that forks the lives."""
    command = [sys.executable, "-m", "tests.stories.pool_kills", "steps", str(file), json.dumps(environment)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


async def play(
    farm: Farm,
    folder: Path,
    *,
    miners: int,
    kills: int,
    seed: int,
    furthest: int,
    concurrent: int,
    oetc: bool = False,
    sweep: bool = False,
) -> Bed:
    """Pay so many miners through so many deaths, and prove that each was paid once.

    With `sweep` the first life dies at its first event, the second at its second, and so on.
    """
    dice = Random(seed)
    redis, store = farm.server(tcp=True), farm.server(tcp=True)
    logins = [f"0x{dice.getrandbits(160):040x}" for _ in range(miners)]
    async with anvil() as chain:
        with mine_of(redis) as mine:
            earned = {login: SHARE + dice.randrange(10**9) for login in logins}
            for login, shannon in earned.items():
                mine.earn(login, shannon)
            file, environment = _set_up(redis, store, chain, folder, concurrent, oetc=oetc)
            with zygote_of(environment, file) as zygote:
                bed = Bed(mine, chain, zygote)
                over = False
                while not over and bed.kills < kills:
                    at = bed.kills % furthest + 1 if sweep else dice.randrange(1, furthest)
                    over = await asyncio.to_thread(bed.life, at)
                if not over:
                    assert await asyncio.to_thread(bed.life, 0)
            await prove(chain, mine, earned, folder, environment, file)
    return bed


def _set_up(
    redis: Server, store: Server, chain: Anvil, folder: Path, concurrent: int, *, oetc: bool
) -> tuple[Path, dict[str, str]]:
    top = {"network": "classic"} if oetc else {}
    file = write_config(
        folder / "payouts.json",
        payouts_json(redis, chain.url, LANE.address, concurrentTx=concurrent, timeout="5s", top=top),
    )
    lanes = lanes_json(chain, folder)
    # Says what is wrong with it before anything forks.
    settings_for(store, folder / "data", PAYFLOW_LANES=lanes, PAYFLOW_DEVELOPMENT="true")
    environment = {
        "REDIS_URL": store.url,
        "PAYFLOW_DATA": str(folder / "data"),
        "PAYFLOW_SHARDS": "4",
        "PAYFLOW_LANES": lanes,
        "PAYFLOW_DEVELOPMENT": "true",
        "PAYFLOW_LEASE_S": "1",
        "PAYFLOW_GRACE_S": "1",
    }
    return file, environment


async def prove(
    chain: Anvil, mine: Mine, earned: dict[str, int], folder: Path, environment: dict[str, str], file: Path
) -> None:
    """Compare the chain, the pool's books and our own with what was earned."""
    for login, shannon in earned.items():
        assert await chain.balance(login) == shannon * GWEI, f"{login} did not get exactly what he earned"
        assert mine.sums(login) == (0, 0, shannon)
        (paid,) = mine.history(login)
        assert paid.endswith(f":{shannon}")
    assert mine.sums("finances") == (0, 0, sum(earned.values()))
    assert len(mine.history()) == len(earned)
    assert (mine.pending(), mine.lock()) == ([], None)
    steps_of = mine.everything()["eth:payflow:applied"].values()
    assert sum(step.startswith("paid:") for step in steps_of) == len(earned)
    assert not {"eth:payments:pendingtx", "eth:payments:pendingnonce"} & set(mine.everything())
    async with opened(load(environment), nothing_else, pool_files=[file]) as payflow:
        (pool,) = pools_of(payflow).pools.values()
        assert await audit(pool.books) == []
        assert [fault async for fault in payflow.store.integrity.verify()] == []
        paid_records = await payflow.store.listing.in_state("pool", "PAID", 10_000)
        assert len(paid_records) == len(earned)


async def full(given: Namespace) -> None:
    """The whole of it, with figures."""
    miners, seed, begun = given.miners, given.seed, time.monotonic()
    with Farm() as farm, tempfile.TemporaryDirectory() as folder:
        bed = await play(
            farm,
            Path(folder),
            miners=miners,
            kills=given.kills,
            seed=seed,
            furthest=given.furthest,
            concurrent=given.concurrent,
            oetc=given.oetc,
            sweep=given.sweep,
        )
    seconds = time.monotonic() - begun
    print(f"{miners} miners, seed {seed}: {bed.kills} kills in {seconds:.0f} s; 0 paid twice, 0 lost.")  # noqa: T201


def main() -> None:
    """Run what was asked for."""
    if sys.argv[1:2] == ["steps"]:
        steps(json.loads(sys.argv[3]), Path(sys.argv[2]))
        return
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--miners", type=int, default=200)
    parser.add_argument("--kills", type=int, default=150)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--furthest", type=int, default=400, help="the latest event that a life may die at")
    parser.add_argument("--concurrent", type=int, default=20)
    parser.add_argument("--oetc", action="store_true")
    parser.add_argument("--sweep", action="store_true", help="die at the first event, the second, and so on")
    asyncio.run(full(parser.parse_args()))


if __name__ == "__main__":
    main()
