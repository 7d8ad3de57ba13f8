"""The worker: claims what is due, looks at it, and stops without leaving anything half-done."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import anyio
import structlog

from machines.core.clock import SECOND
from machines.core.errors import PayflowError, StoreError, StoreUnavailable
from machines.core.lifecycle import By
from payflow.config import PollerSettings, Settings
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.step import Steps
from payflow.store import keys
from payflow.store.records import Claimed, Poison, Queue, Stored
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

log = structlog.get_logger()

IDLE_S = 1.0
AFTER_TROUBLE_S = 1.0
SERVER_CHECK_S = 10.0
MOST_AT_A_TIME = 512


@dataclass(slots=True, eq=False)
class Poller:
    """Looks after the records of one machine in one state."""

    machine: str
    state: str
    settings: PollerSettings
    working: int = 0

    @property
    def name(self) -> str:
        """What the settings call it."""
        return f"{self.machine}.{self.state}"

    @property
    def free(self) -> int:
        """How many more records it may take."""
        return self.settings.concurrency - self.working


class Worker:
    """One process's pollers."""

    def __init__(self, store: Store, settings: Settings, metrics: Metrics, dispatcher: Dispatcher) -> None:
        self._store = store
        self._records = store.records
        self._settings = settings
        self._metrics = metrics
        self._dispatcher = dispatcher
        self._lease_ms = int(settings.lease_s * SECOND)
        self._steps = Steps(store, metrics, who=settings.worker_name, lease_ms=self._lease_ms)
        self.pollers = [
            Poller(machine.name, state.name, settings.pollers.get(f"{machine.name}.{state.name}", PollerSettings()))
            for machine in self._records.machines.values()
            for state in machine.lifecycle.states.values()
            if state.by is By.POLLER
        ]
        self._by_queue = {(poller.machine, poller.state): poller for poller in self.pollers}
        self._waiting: asyncio.Queue[tuple[Poller, Stored | Poison]] = asyncio.Queue()
        self._at_work: dict[str, tuple[Stored, float]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._drained = asyncio.Event()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Work until `stop`; then finish what was begun, within the grace time."""
        runners = min(MOST_AT_A_TIME, sum(poller.settings.concurrency for poller in self.pollers))
        async with anyio.create_task_group() as group:
            for _ in range(runners):
                group.start_soon(self._runner)
            group.start_soon(self._renewer)
            group.start_soon(self._listener)
            group.start_soon(self._server_watch)
            group.start_soon(self._dispatcher.run)
            await self._feeder()
            with anyio.move_on_after(self._settings.grace_s):
                await self._idle()
            group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), anyio.move_on_after(self._settings.grace_s):
            await self._hand_back()
        log.info("The worker stopped.", action="stopped", worker=self._settings.worker_name)

    def stop(self) -> None:
        """Stop claiming; `run` ends when the work in hand is done."""
        self._stopping = True
        self._wake.set()

    @property
    def busy(self) -> int:
        """How many records are in hand."""
        return sum(poller.working for poller in self.pollers)

    async def _idle(self) -> None:
        while self.busy:
            self._drained.clear()
            await self._drained.wait()

    async def _hand_back(self) -> None:
        for stored, _ in list(self._at_work.values()):
            await self._steps.hand_back(stored)
        while not self._waiting.empty():
            _, found = self._waiting.get_nowait()
            if isinstance(found, Stored):
                await self._steps.hand_back(found)

    # ── feed ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _feeder(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                pause_s = await self._feed()
            except (StoreError, PayflowError) as error:
                log.warning("No work can be claimed.", action="claim_failed", error=str(error))
                pause_s = AFTER_TROUBLE_S
            if pause_s and not self._stopping:
                await self._nap(pause_s)

    async def _nap(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._wake.wait()

    async def _feed(self) -> float:
        """Claim once; say how long there is nothing to claim."""
        idle_s = IDLE_S
        permits: dict[Poller, int] = {}
        queues = []
        for poller in self.pollers:
            limit = poller.free
            if limit > 0 and poller.settings.rate is not None:
                limit, wait_ms = await self._records.permits(poller.name, poller.settings.rate, limit)
                permits[poller] = limit
                idle_s = min(idle_s, wait_ms / SECOND)
            if limit > 0:
                queues.append(Queue(poller.machine, poller.state, limit, self._lease_ms))
        if not queues:
            return idle_s
        for claimed in await self._records.claim(queues):
            self._metrics.worker_seen.set(claimed.now / SECOND)
            for record_id in claimed.astray:
                log.error("An index named a record that is not there.", action="astray", record=record_id)
            for poller in self._enqueue(claimed):
                if poller in permits:
                    permits[poller] -= 1
            if claimed.next_due is not None:
                idle_s = min(idle_s, max(0.0, (claimed.next_due - claimed.now) / SECOND))
        for poller, unused in permits.items():
            if unused > 0:
                await self._records.permits(poller.name, poller.settings.rate or 0, -unused)
        return idle_s

    def _enqueue(self, claimed: Claimed) -> Iterator[Poller]:
        for found in claimed.found:
            machine, state = (
                (found.record.machine, found.record.state)
                if isinstance(found, Stored)
                else (found.id.partition("-")[0], found.state)
            )
            poller = self._by_queue[machine, state]
            poller.working += 1
            self._metrics.claimed.labels(machine, state).inc()
            self._waiting.put_nowait((poller, found))
            yield poller

    # ── work ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _runner(self) -> None:
        while True:
            poller, found = await self._waiting.get()
            try:
                if isinstance(found, Poison):
                    await self._steps.set_aside(found, found.problem)
                else:
                    record_id = found.record.id
                    self._at_work[record_id] = (found, perf_counter())
                    await self._steps.look(found)
                    self._at_work.pop(record_id, None)
            except Exception as error:
                log.error(
                    "A look failed in an unforeseen way.", action="look_failed", error=repr(error), exc_info=error
                )
            finally:
                poller.working -= 1
                self._wake.set()
                if not self.busy:
                    self._drained.set()

    async def _renewer(self) -> None:
        """Prolong the leases of looks that take long."""
        third_s = self._settings.lease_s / 3
        while True:
            await anyio.sleep(third_s)
            long = [stored for stored, since in list(self._at_work.values()) if perf_counter() - since > third_s]
            try:
                await asyncio.gather(*(self._records.hold(stored, self._lease_ms) for stored in long))
            except PayflowError as error:
                log.warning("Leases could not be prolonged.", action="renew_failed", error=str(error))

    async def _listener(self) -> None:
        """Wake up when somebody else made work due."""
        while True:
            try:
                await self._listen()
            except (PayflowError, OSError) as error:
                log.warning("Wake-ups are not heard.", action="listen_failed", error=str(error))
            await anyio.sleep(AFTER_TROUBLE_S)

    async def _listen(self) -> None:
        with self._store.link.errors():
            async for _ in self._store.link.heard(keys.WAKE_CHANNEL):
                self._wake.set()
                self._dispatcher.wake()

    async def _server_watch(self) -> None:
        """See whether the store is still durable enough, and known."""
        while True:
            await anyio.sleep(SERVER_CHECK_S)
            try:
                await self._store.look_at_servers()
                if self._store.guard.doubted:
                    await self._store.compare()
            except StoreUnavailable as error:
                log.warning("The store cannot be examined.", action="server_watch_failed", error=str(error))
