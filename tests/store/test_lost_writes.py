"""A store that forgot what it acknowledged is noticed, by running and by restarted workers, and nothing is sent."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from machines.core.errors import BadInput, Conflict, LeaseLost, NotDurable, Paused, StoreError, StoreUnavailable
from payflow.config import Settings
from payflow.store.pauses import GUARD
from payflow.store.store import Store
from payflow.store.stored import Stored
from tests.desk import ask, claim, claim_one, fund, opened, owner_in, settings_for, tell
from tests.errand import Approved, Sent
from tests.front import Front, fronted
from tests.servers import Farm, Server, flush
from tests.waiting import wait_until

LONG_MS = 600_000
MANY = 1000
"""Calls of others: however many came after a lost one, it is missed."""
SHARD = 3
ANN_S_SCOPE = f"shard:{SHARD:02d}"


class Scene:
    """A server behind an address, and a worker with a record that is about to be sent."""

    def __init__(self, farm: Farm, front: Front, settings: Settings, store: Store) -> None:
        self.farm, self.front, self.primary = farm, front, front.target
        self.settings, self.store = settings, store
        self.stored: Stored
        self.replica: Server

    async def get_replica(self) -> None:
        """Have a replica that is in step."""
        self.replica = await asyncio.to_thread(self.farm.server, tcp=True)
        await asyncio.to_thread(self.replica.follow, self.primary)
        await self.in_step()

    async def get_copy(self) -> None:
        """Have a server that knows what the primary knows now, without the second that a replica takes to join."""
        self.replica = self.farm.unstarted(tcp=True)
        shutil.copytree(self.primary.folder / "appendonlydir", self.replica.folder / "appendonlydir")
        await asyncio.to_thread(self.replica.start)

    async def in_step(self) -> None:
        """Wait until the replica has everything."""
        await wait_until(lambda: _offset(self.primary) == _offset(self.replica), "the replica has everything")

    async def about_to_send(self, key: str = "1") -> Stored:
        await fund(self.store)
        record_id = await ask(self.store, key=key)
        await tell(self.store, record_id, Approved())
        await tell(self.store, record_id, Sent())
        (self.stored,) = [
            one for one in await claim(self.store, "SENDING", lease_ms=LONG_MS) if one.record.id == record_id
        ]
        return self.stored

    async def writes(self, count: int = 1, *, store: Store | None = None, start: int = 0) -> None:
        """Write to Ann's shard, so that it is acknowledged."""
        for number in range(start, start + count):
            await fund(store or self.store, reference=f"more {start} {number}")


@pytest.fixture
async def scene(own: Farm, tmp_path: Path) -> AsyncIterator[Scene]:
    async with fronted(own.server(tcp=True)) as front:
        settings = settings_for(front, tmp_path / "data", PAYFLOW_REPLICAS="0")
        async with opened(settings) as store:
            scene = Scene(own, front, settings, store)
            await scene.about_to_send()
            yield scene


async def steady(store: Store) -> None:
    """Wait until the store answers again."""

    async def answers() -> bool:
        with suppress(StoreUnavailable):
            await store.records.now()
            return True
        return False

    await wait_until(answers, "the store answers again")


@asynccontextmanager
async def the_same_or_restarted(scene: Scene, *, restarted: bool) -> AsyncIterator[Store]:
    """Give the worker that saw it, or another one that starts on the same data folder."""
    async with AsyncExitStack() as stack:
        if restarted:
            await scene.store.link.close()
            yield await stack.enter_async_context(opened(scene.settings))
        else:
            await steady(scene.store)
            yield scene.store


async def check_closed(store: Store, stored: Stored, scope: str = ANN_S_SCOPE) -> None:
    """Nothing is sent, everybody is told, and says why."""
    with pytest.raises(Paused, match=r"acknowledged|wiped or replaced") as refused:
        await store.may_send(stored, LONG_MS, "rail:test")
    assert scope in str(refused.value)
    pause = (await store.pauses.all())[scope]
    assert pause.who == GUARD
    assert store.guard.alarms[SHARD] == pause.why
    with pytest.raises(BadInput, match="payflow reconcile"):
        await store.pauses.resume(scope)


async def check_adopted(store: Store, stored: Stored, settings: Settings) -> None:
    """After the reconciliation sends go on, here and after a restart, and are guarded as before."""
    await store.adopt()
    assert await store.pauses.all() == {}
    await store.may_send(stored, LONG_MS, "rail:test")
    await fund(store, reference="afterwards")
    async with opened(settings) as again:
        assert not again.guard.alarms
        await again.may_send(stored, LONG_MS, "rail:test")
    await store.may_send(stored, LONG_MS, "rail:test")
    assert await store.pauses.all() == {}


# ── what is fine ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("restarted", [False, True], ids=["same worker", "worker restarted"])
async def test_a_restart_of_the_server_is_fine(scene: Scene, *, restarted: bool) -> None:
    await scene.writes(5)
    await asyncio.to_thread(scene.primary.restart)
    async with the_same_or_restarted(scene, restarted=restarted) as store:
        await store.may_send(scene.stored, LONG_MS, "rail:test")
        await scene.writes(5, store=store, start=5)
        assert not store.guard.alarms
        assert await store.pauses.all() == {}


@pytest.mark.parametrize("restarted", [False, True], ids=["same worker", "worker restarted"])
async def test_a_server_that_is_killed_and_started_again_is_fine(scene: Scene, *, restarted: bool) -> None:
    await scene.writes(5)
    await asyncio.to_thread(scene.primary.kill)
    await asyncio.to_thread(scene.primary.start)
    async with the_same_or_restarted(scene, restarted=restarted) as store:
        await store.may_send(scene.stored, LONG_MS, "rail:test")
        assert not store.guard.alarms


@pytest.mark.parametrize("restarted", [False, True], ids=["same worker", "worker restarted"])
async def test_a_failover_that_lost_nothing_is_fine(scene: Scene, *, restarted: bool) -> None:
    await scene.get_replica()
    await scene.writes(5)
    await scene.in_step()
    await asyncio.to_thread(scene.primary.kill)
    scene.replica.promote()
    await scene.front.lead_to(scene.replica)
    async with the_same_or_restarted(scene, restarted=restarted) as store:
        await store.may_send(scene.stored, LONG_MS, "rail:test")
        assert not store.guard.alarms


def _offset(server: Server) -> int:
    said = server.info("replication")
    return int(said["slave_repl_offset"] if said["role"] == "slave" else said["master_repl_offset"])


# ── what is not ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def failover(scene: Scene, lost: int = 3) -> None:
    """Promote the replica while the old primary still acknowledges writes."""
    await scene.get_replica()
    scene.replica.promote()
    await scene.writes(lost, start=100)
    await asyncio.to_thread(scene.primary.kill)
    await scene.front.lead_to(scene.replica)


async def quick_failover(scene: Scene, lost: int = 3) -> None:
    """Have another server take over that does not know the newest writes."""
    await scene.get_copy()
    await scene.writes(lost, start=100)
    await asyncio.to_thread(scene.primary.kill)
    await scene.front.lead_to(scene.replica)


async def old_backup(scene: Scene) -> None:
    """Take a backup, write, and restore the backup."""
    server, backup = scene.primary, scene.primary.folder.with_suffix(".backup")
    await asyncio.to_thread(server.stop)
    shutil.copytree(server.folder / "appendonlydir", backup)
    await asyncio.to_thread(server.start)
    await steady(scene.store)
    await scene.store.may_send(scene.stored, LONG_MS)
    await scene.writes(3, start=100)
    await asyncio.to_thread(server.stop)
    shutil.rmtree(server.folder / "appendonlydir")
    shutil.move(backup, server.folder / "appendonlydir")
    await asyncio.to_thread(server.start)


async def cut_off_log(scene: Scene) -> None:
    """Lose the end of the append-only file, as a disk without barriers does."""
    await scene.writes(3, start=100)
    await asyncio.to_thread(scene.primary.kill)
    (log,) = (scene.primary.folder / "appendonlydir").glob("*.incr.aof")
    with log.open("rb+") as file:
        file.truncate(log.stat().st_size - 700)
    await asyncio.to_thread(scene.primary.start)


@pytest.mark.parametrize("restarted", [False, True], ids=["same worker", "worker restarted"])
@pytest.mark.parametrize("lose", [failover, old_backup, cut_off_log], ids=lambda lose: lose.__name__)
async def test_a_store_that_lost_writes_closes_the_rails_until_it_is_reconciled(
    scene: Scene, lose: Callable[[Scene], Awaitable[None]], *, restarted: bool
) -> None:
    await lose(scene)
    async with the_same_or_restarted(scene, restarted=restarted) as store:
        await check_closed(store, scene.stored)
        await check_adopted(store, scene.stored, scene.settings)


@pytest.mark.parametrize("restarted", [False, True], ids=["same worker", "worker restarted"])
@pytest.mark.parametrize("how", ["flushed", "folder lost"])
async def test_a_wiped_store_closes_every_rail_until_it_is_reconciled(
    scene: Scene, how: str, *, restarted: bool
) -> None:
    if how == "flushed":
        flush(scene.primary)
    else:
        await asyncio.to_thread(scene.primary.kill)
        shutil.rmtree(scene.primary.folder / "appendonlydir")
        await asyncio.to_thread(scene.primary.start)
    async with the_same_or_restarted(scene, restarted=restarted) as store:
        with pytest.raises((LeaseLost, Conflict, StoreError)):
            await store.may_send(scene.stored, LONG_MS)
        scene.store = store
        stored = await scene.about_to_send("after the wipe")
        await check_closed(store, stored)
        assert set(store.guard.alarms) == set(range(store.records.shards))
        await check_adopted(store, stored, scene.settings)


async def test_looks_go_on_while_the_rails_are_closed(scene: Scene) -> None:
    await quick_failover(scene)
    await steady(scene.store)
    await check_closed(scene.store, scene.stored)
    record_id = await ask(scene.store, key="new")
    await tell(scene.store, record_id, Approved())
    assert (await scene.store.records.read(record_id)).record.state == "READY"


async def test_the_other_shards_go_on_after_a_loss_in_one(scene: Scene) -> None:
    other = owner_in(1)
    await fund(scene.store, other)
    record_id = await ask(scene.store, other)
    await tell(scene.store, record_id, Approved())
    await tell(scene.store, record_id, Sent())
    stored = await claim_one(scene.store, "SENDING", lease_ms=LONG_MS)
    await quick_failover(scene)
    await steady(scene.store)
    await check_closed(scene.store, scene.stored)
    await scene.store.may_send(stored, LONG_MS, "rail:test")


async def test_a_loss_that_one_worker_noticed_closes_the_rails_for_all(scene: Scene, tmp_path: Path) -> None:
    far_away = settings_for(scene.front, tmp_path / "another machine", PAYFLOW_REPLICAS="0")
    async with opened(far_away) as other:
        await quick_failover(scene)
        await steady(scene.store)
        await scene.store.look_at_servers()
        await scene.store.compare()
        assert SHARD in scene.store.guard.alarms
        await steady(other)
        with pytest.raises(Paused, match=ANN_S_SCOPE):
            await other.may_send(scene.stored, LONG_MS)


async def test_what_one_process_reconciled_opens_for_all_and_is_guarded_by_all(scene: Scene, tmp_path: Path) -> None:
    far_away = settings_for(scene.front, tmp_path / "another machine", PAYFLOW_REPLICAS="0")
    async with opened(scene.settings) as beside, opened(far_away) as other:
        await scene.writes(1, store=other, start=50)
        await quick_failover(scene)
        for store in (scene.store, beside, other):
            await steady(store)
            await store.compare()
        await check_closed(scene.store, scene.stored)
        async with opened(scene.settings) as command_line:
            await command_line.adopt()
        for store in (scene.store, beside, other):
            await store.may_send(scene.stored, LONG_MS, "rail:test")
            assert not store.guard.alarms
            assert await store.pauses.all() == {}
            await scene.writes(1, store=store, start=id(store))
        async with opened(far_away) as restarted:
            await restarted.may_send(scene.stored, LONG_MS, "rail:test")
        scene.replica.ask("DECRBY", "{pf:03}:seq", 10)
        for store in (scene.store, other):
            with pytest.raises(Paused, match=ANN_S_SCOPE):
                await store.may_send(scene.stored, LONG_MS, "rail:test")


async def test_a_pause_that_a_second_loss_took_away_is_said_again(scene: Scene) -> None:
    await quick_failover(scene)
    await steady(scene.store)
    await check_closed(scene.store, scene.stored)
    scene.replica.ask("DEL", "pf:pause")
    await check_closed(scene.store, scene.stored)
    scene.replica.ask("DEL", "pf:pause")
    await scene.store.look_at_servers()
    assert ANN_S_SCOPE in await scene.store.pauses.all()


async def test_an_alarm_that_could_not_be_said_keeps_the_rail_closed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await quick_failover(scene)
    await steady(scene.store)

    async def fail(*_: object) -> bool:
        raise StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(scene.store.pauses, "pause", fail)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await scene.store.may_send(scene.stored, LONG_MS)
    await check_closed(scene.store, scene.stored)


async def test_an_idle_worker_notices_a_new_server_by_looking_at_the_servers(scene: Scene) -> None:
    await scene.writes(3)
    await quick_failover(scene, lost=1)
    await steady(scene.store)
    await scene.store.look_at_servers()
    assert scene.store.guard.doubted
    await scene.store.compare()
    assert SHARD in scene.store.guard.alarms


async def test_an_old_backup_from_before_the_reconciliation_is_noticed(scene: Scene) -> None:
    backup = scene.primary.folder.with_suffix(".backup")
    await asyncio.to_thread(scene.primary.stop)
    shutil.copytree(scene.primary.folder / "appendonlydir", backup)
    await asyncio.to_thread(scene.primary.start)
    await steady(scene.store)
    await scene.store.adopt()
    await asyncio.to_thread(scene.primary.stop)
    shutil.rmtree(scene.primary.folder / "appendonlydir")
    shutil.move(backup, scene.primary.folder / "appendonlydir")
    await asyncio.to_thread(scene.primary.start)
    async with opened(scene.settings) as store:
        with pytest.raises(Paused, match="old backup"):
            await store.may_send(scene.stored, LONG_MS)


@pytest.mark.parametrize("how", ["the same worker", "it writes before it looks", "restarted"])
async def test_one_write_that_a_failover_lost_is_missed_behind_a_thousand_calls_of_another_worker(
    scene: Scene, tmp_path: Path, how: str
) -> None:
    """Two machines: one stalls while a failover loses its last write, the other one works on with the new primary."""
    far_away = settings_for(scene.front, tmp_path / "another machine", PAYFLOW_REPLICAS="0")
    async with opened(far_away) as other:
        await quick_failover(scene, lost=1)
        await steady(other)
        await scene.writes(MANY, store=other, start=500)
        async with the_same_or_restarted(scene, restarted=how == "restarted") as store:
            if how == "it writes before it looks":
                await scene.writes(3, store=store, start=9000)
            await check_closed(store, scene.stored)
            with pytest.raises(Paused, match=ANN_S_SCOPE):
                await other.may_send(scene.stored, LONG_MS, "rail:test")
            await check_adopted(store, scene.stored, scene.settings)
            await other.may_send(scene.stored, LONG_MS, "rail:test")


async def test_who_never_heard_of_the_reconciliation_and_writes_first_closes_nothing(
    scene: Scene, tmp_path: Path
) -> None:
    far_away = settings_for(scene.front, tmp_path / "another machine", PAYFLOW_REPLICAS="0")
    async with opened(far_away) as other:
        await scene.writes(2, store=other, start=50)
        await quick_failover(scene, lost=1)
        await steady(scene.store)
        await check_closed(scene.store, scene.stored)
        await scene.store.adopt()
        await steady(other)
        await scene.writes(2, store=other, start=60)
        await scene.store.may_send(scene.stored, LONG_MS, "rail:test")
        await other.may_send(scene.stored, LONG_MS, "rail:test")
        assert await scene.store.pauses.all() == {}


async def test_processes_that_came_and_went_are_forgotten_in_the_end_and_nobody_is_alarmed(
    scene: Scene, tmp_path: Path
) -> None:
    """A process in a container of its own leaves a mark for ever, were the oldest not dropped."""
    await scene.writes(3)
    crowd = [f"{number:016x}" for number in range(1100)]
    for writer in crowd:
        scene.primary.ask("HSET", "{pf:03}:writers", writer, 7, f"{writer}#", f"{writer} {2**48}")
    async with opened(settings_for(scene.front, tmp_path / "new", PAYFLOW_REPLICAS="0")) as newcomer:
        await scene.writes(1, store=newcomer, start=50)
        assert scene.primary.ask("HLEN", "{pf:03}:writers") < 1200
        assert not scene.primary.ask("HEXISTS", "{pf:03}:writers", scene.store.guard.writer)
        await scene.writes(2, start=60)
        await scene.store.may_send(scene.stored, LONG_MS, "rail:test")
        assert not scene.store.guard.alarms
        await quick_failover(scene, lost=1)
        await steady(newcomer)
        await scene.writes(5, store=newcomer, start=500)
        await check_closed(scene.store, scene.stored)


# ── false alarms ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_worker_that_slept_through_many_writes_is_not_alarmed(scene: Scene, tmp_path: Path) -> None:
    far_away = settings_for(scene.front, tmp_path / "another machine", PAYFLOW_REPLICAS="0")
    async with opened(far_away) as other:
        await scene.writes(MANY, store=other)
    await asyncio.to_thread(scene.primary.restart)
    await steady(scene.store)
    await scene.store.may_send(scene.stored, LONG_MS)
    assert not scene.store.guard.alarms


async def test_restarts_under_load_by_several_workers_never_raise_an_alarm(scene: Scene, tmp_path: Path) -> None:
    """Three stores, two of them on one file, write, ask and compare while the server goes down and comes back."""
    far_away = settings_for(scene.front, tmp_path / "another machine", PAYFLOW_REPLICAS="0")
    done = asyncio.Event()
    written = 0

    async def load(store: Store, name: str) -> None:
        nonlocal written
        number = 0
        while not done.is_set():
            number += 1
            with suppress(StoreUnavailable, LeaseLost, NotDurable):
                await asyncio.gather(
                    *(fund(store, owner_in(shard), 1, f"{name} {number}") for shard in range(4)),
                    store.may_send(scene.stored, LONG_MS),
                    store.compare(),
                    store.look_at_servers(),
                )
                written += 1
            await asyncio.sleep(0)

    async with opened(scene.settings) as beside, opened(far_away) as other:
        stores = {"first": scene.store, "beside": beside, "other": other}
        tasks = [asyncio.create_task(load(store, f"{name} {n}")) for name, store in stores.items() for n in range(3)]
        for turn in range(4):
            target = written + 30
            await wait_until(lambda target=target: written >= target, "work goes on")  # type: ignore[misc]
            await asyncio.to_thread(scene.primary.restart if turn % 2 else scene.primary.kill)
            if not turn % 2:
                await asyncio.to_thread(scene.primary.start)
        done.set()
        await asyncio.gather(*tasks)
        for store in stores.values():
            await steady(store)
            assert store.guard.alarms == {}
        assert await scene.store.pauses.all() == {}


async def test_many_comparisons_at_once_do_not_mistake_an_older_answer_for_a_loss(scene: Scene) -> None:
    for turn in range(5):
        scene.store.guard.doubted |= set(range(4))

        async def send_and_write(number: int, turn: int = turn) -> None:
            await scene.store.may_send(scene.stored, LONG_MS)
            await fund(scene.store, owner_in(number % 4), 1, f"{turn} {number}")

        await asyncio.gather(*(send_and_write(number) for number in range(40)))
        assert scene.store.guard.alarms == {}
