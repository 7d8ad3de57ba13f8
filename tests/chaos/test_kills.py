"""Worker processes that are killed: nothing is lost, nothing is done twice."""

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

import pytest

from machines.core.ids import RecordId
from tests.chaos.fleet import Fleet, Member, fleet
from tests.chaos.process import KILLED, make, meddle
from tests.waiting import wait_until

KILLS = 50
BACKLOG = 150
POLLERS = json.dumps({f"errand.{state}": {"concurrency": 6} for state in ("ASKED", "READY", "SENDING")})
ROUGH = ("--trouble", 0.05, "--slow-ms", 60)


@pytest.fixture
def luck() -> Random:
    """Chance with a name: CHAOS_SEED brings the same choices back, though not the same races."""
    seed = int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(2**32))
    print(f"CHAOS_SEED={seed}")  # noqa: T201  (pytest shows it when the test fails)
    return Random(seed)


@pytest.mark.timeout(300)
async def test_fifty_kills_under_load_lose_nothing_and_do_nothing_twice(tmp_path: Path, luck: Random) -> None:
    async with fleet(tmp_path) as ours:
        load = Load(ours, luck)
        workers = [await ours.worker(f"worker-{number}", *ROUGH, pollers=POLLERS) for number in range(3)]
        for kill in range(KILLS):
            victim = workers.pop(luck.randrange(len(workers)))
            await load.until_busy(victim)
            await victim.kill()
            workers.append(await ours.start(f"worker-{3 + kill}", "worker", *ROUGH, pollers=POLLERS))
        for worker in workers:
            await worker.kill()
        await ours.check_final_or_due()
        await ours.check()

        last = await ours.worker("last")
        await ours.until_settled()
        await last.stop()
        await ours.check()
        crowds = await ours.crowds()
        assert sum(crowds.values()) == len(load.ids)
        assert crowds["DONE"] == len(ours.rail.keys) == ours.rail.keys.total()
        assert ours.told.keys.keys() == ours.rail.keys.keys()
        assert len(ours.rail.who) > KILLS // 2, "most of the killed had paid something"


@dataclass
class Load:
    """Keeps so many records open, and disturbs a few."""

    ours: Fleet
    luck: Random
    ids: list[RecordId] = field(default_factory=list)
    _calls: int = 0

    async def keep_up(self) -> None:
        """Make as many records as were finished, when they are many; one call of twenty looks whether they are."""
        self._calls += 1
        if self._calls % 20 != 1:
            return
        crowds = await self.ours.crowds()
        missing = BACKLOG - crowds["ASKED"] - crowds["READY"] - crowds["SENDING"]
        if missing < BACKLOG // 3:
            return
        self.ids += await asyncio.gather(*(make(self.ours.store, self.luck) for _ in range(missing)))
        some = self.luck.sample(self.ids[-BACKLOG:], 20)
        await asyncio.gather(*(meddle(self.ours.store, self.luck, record_id) for record_id in some))

    async def until_busy(self, worker: Member) -> None:
        """Wait until a worker has paid a few times; sometimes not even until it has started."""
        wanted = self.luck.choice((0, 1, 1, 2, self.luck.randrange(3, 12), self.luck.randrange(3, 12)))

        async def enough() -> bool:
            await self.keep_up()
            return self.ours.rail.who[worker.name] >= wanted

        await wait_until(enough, f"{worker.name} has paid {wanted} times")


@pytest.mark.timeout(300)
async def test_a_kill_at_any_call_of_a_record_s_life_is_healed(tmp_path: Path) -> None:
    """Before, during and after each call to the store and to the rail, from the first claim to the last commit."""
    async with fleet(tmp_path) as ours:
        steps = await ours.start("steps", "steps")
        ahead_s, code, places = 0, KILLED, {}
        for moment in ("before", "during", "after"):
            at, code = 0, KILLED
            while code == KILLED:
                at += 1
                ahead_s += 20
                record_id = await make(ours.store, Random(ahead_s), 100)
                code = await run(steps, at=at, moment=moment, id=record_id, ahead_s=ahead_s)
                if code == KILLED:
                    assert await run(steps, at=0, moment="never", id=record_id, ahead_s=ahead_s + 10) == 0
                assert await ours.state(record_id) == "DONE", f"killed {moment} call {at}"
                assert ours.rail.keys[record_id] == 1, f"killed {moment} call {at}"
            places[moment] = at - 1
        assert code == 0
        assert min(places.values()) > 10, places
        await ours.check()


async def run(steps: Member, **plan: object) -> int:
    """Run a worker as planned, and give its exit code."""
    assert steps.process.stdin is not None
    steps.process.stdin.write(f"{json.dumps(plan)}\n".encode())
    return int(await steps.says())
