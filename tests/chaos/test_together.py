"""Several processes on one embedded store: workers that stop, sleep and wake, and one that makes the work."""

import asyncio
import json
import signal
from pathlib import Path
from random import Random

import pytest

from machines.core.ids import RecordId
from payflow.store.codec import HistoryEvent
from tests.chaos.fleet import Fleet, Member, fleet
from tests.chaos.process import make
from tests.waiting import wait_until


async def test_two_workers_and_an_api_process_share_one_store(tmp_path: Path) -> None:
    async with fleet(tmp_path) as ours:
        workers = [await ours.worker(name, "--trouble", 0.05, "--slow-ms", 10) for name in ("first", "second")]
        apis = [await ours.start(f"api-{seed}", "api", "--count", 100, "--seed", seed) for seed in (1, 2)]
        ids = [record_id for api in apis for record_id in json.loads(await api.says())]
        await ours.until_settled()
        for worker in workers:
            await worker.stop()
        crowds = await ours.crowds()
        assert sum(crowds.values()) == len(ids) == 200
        assert set(crowds) - {"DONE", "FAILED", "CANCELLED"} <= {state for state, count in crowds.items() if not count}
        assert crowds["DONE"] == len(ours.rail.keys)
        assert ours.rail.who.keys() == {"first", "second"}
        await ours.check()


@pytest.mark.parametrize("place", ["send", "commit"])
async def test_a_worker_that_slept_past_its_lease_neither_sends_nor_commits(tmp_path: Path, place: str) -> None:
    """It wakes up right before its send, or right before its commit, when another worker has finished the record."""
    async with fleet(tmp_path) as ours:
        sleeper = await asleep(ours, place)
        record_id = await make(ours.store, Random(1), 100)
        await reached(ours)
        sleeper.signal(signal.SIGSTOP)
        other = await ours.worker("other")
        await ours.until(record_id, "DONE")
        before = await history(ours, record_id)
        (ours.folder / "gate").touch()
        sleeper.signal(signal.SIGCONT)
        assert (await sleeper.stop())["leases_lost"] == 1
        assert (await other.stop())["leases_lost"] == 0
        assert (ours.rail.keys, ours.rail.who) == ({record_id: 1}, {"other": 1})
        assert await history(ours, record_id) == before
        assert [event.who for event in before if event.trigger == "finish"] == ["other"]
        await ours.check()


async def asleep(ours: Fleet, place: str, pollers: str = "") -> Member:
    """Start a worker that stops at a gate."""
    return await ours.worker("sleeper", "--gate", ours.folder / "gate", "--place", place, pollers=pollers)


async def reached(ours: Fleet) -> None:
    """Wait until the worker stands at the gate."""
    await wait_until((ours.folder / "gate.reached").exists, "the worker stands at the gate")


async def history(ours: Fleet, record_id: RecordId) -> list[HistoryEvent]:
    return await ours.store.records.history(record_id)


async def test_a_poke_during_a_lease_lets_no_second_worker_in(tmp_path: Path) -> None:
    async with fleet(tmp_path) as ours:
        holder = await asleep(ours, "send", pollers='{"errand.SENDING": {"concurrency": 1}}')
        record_id = await make(ours.store, Random(1), 100)
        await reached(ours)
        fence = await ours.field(record_id, "fence")
        other = await ours.worker("other")
        for seed in range(2, 6):
            assert await ours.store.records.poke(record_id) == ["leased"]
            await ours.until(await make(ours.store, Random(seed), 100), "DONE")  # the other one looked around meanwhile
        assert await ours.field(record_id, "fence") == fence
        (ours.folder / "gate").touch()
        await ours.until(record_id, "DONE")
        for worker in (holder, other):
            assert (await worker.stop())["leases_lost"] == 0
        assert ours.rail.last[record_id] == "sleeper"
        await ours.check()


async def test_a_worker_that_is_asked_to_stop_leaves_nothing_leased(tmp_path: Path) -> None:
    """Finished or handed back: the next worker need not wait for any lease to run out."""
    async with fleet(tmp_path) as ours:
        worker = await ours.worker("first", "--slow-ms", 30)
        ids = await asyncio.gather(*(make(ours.store, Random(seed)) for seed in range(300)))
        await wait_until(lambda: len(ours.rail.keys) > 20, "it is in the middle of it")
        await worker.stop()
        fences = [int(await ours.field(record_id, "fence") or 0) for record_id in ids]
        assert not any(fence % 2 for fence in fences)
        assert len(ours.rail.keys) < len(ids), "it did not stop before it was done"
        await ours.check()
        second = await ours.worker("second")
        await ours.until_settled()
        await second.stop()
        await ours.check()
