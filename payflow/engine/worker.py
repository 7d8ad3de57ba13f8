"""The worker: claims what is due, looks at it, and stops without leaving anything half-done."""

import asyncio
from dataclasses import dataclass

import anyio
import structlog

from machines.core.clock import SECOND
from machines.core.errors import PayflowError
from machines.core.lifecycle import By
from payflow.config import PollerSettings, Settings
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.step import Steps
from payflow.store import keys
from payflow.store.store import Store
from payflow.store.stored import Poison, Queue, Stored
from payflow.telemetry.metrics import Metrics

log = structlog.get_logger()

IDLE_S = 1.0
AFTER_TROUBLE_S = 1.0
SERVER_CHECK_S = 10
HAND_BACK_S = 2.0
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
        return f"{self.machine}.{self.state}"

    @property
    def free(self) -> int:
        """How many more records it may take."""
        return self.settings.concurrency - self.working


@dataclass(slots=True, eq=False)
class _Job:
    """A leased record on its way through the worker."""

    poller: Poller
    found: Stored | Poison


class Worker:
    """One process's pollers."""

    def __init__(self, store: Store, settings: Settings, metrics: Metrics, dispatcher: Dispatcher) -> None:
        self._store = store
        self._records = store.records
        self._settings = settings
        self._metrics = metrics
        self._dispatcher = dispatcher
        self._lease_ms = int(settings.lease_s * SECOND)
        self._steps = Steps(
            store, metrics, who=settings.worker_name, lease_ms=self._lease_ms, limit_s=settings.look_limit_s
        )
        self.pollers = [
            Poller(machine.name, state.name, settings.pollers.get(f"{machine.name}.{state.name}", PollerSettings()))
            for machine in self._records.machines.values()
            for state in machine.lifecycle.states.values()
            # A machine without acts is only shown here: another process does its work.
            if state.by is By.POLLER and machine.acts
        ]
        for poller in self.pollers:
            for kind in ("unsigned", "unknown_key"):
                # Prometheus sees no increase in a series that is born with its first event, and these page.
                metrics.act_errors.labels(poller.machine, poller.state, kind)
        self._runners = min(MOST_AT_A_TIME, sum(poller.settings.concurrency for poller in self.pollers))
        # Claims are made for a good part of the runners at once: many small claims would make many small commits.
        self._enough = self._runners * 3 // 4
        self._in_hand: set[_Job] = set()
        self._line: asyncio.Queue[_Job] = asyncio.Queue()
        self._steps.on_messages = dispatcher.wake
        self._by_queue = {(poller.machine, poller.state): poller for poller in self.pollers}
        self._wake = asyncio.Event()
        self._stopping = False
        self._drained = asyncio.Event()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Work until `stop`; then finish what was begun, within the grace time."""
        async with anyio.create_task_group() as group:
            for _ in range(self._runners):
                group.start_soon(self._runner)
            group.start_soon(self._renewer)
            group.start_soon(self._listener)
            group.start_soon(self._server_watch)
            group.start_soon(self._dispatcher.run)
            await self._feeder()
            with anyio.move_on_after(self._settings.grace_s):
                while self._in_hand:
                    self._drained.clear()
                    await self._drained.wait()
            group.cancel_scope.cancel()
        # The leases of looks that were cut short, and of records that still waited for theirs, are given up.
        left = [job.found for job in self._in_hand if isinstance(job.found, Stored)]
        with anyio.CancelScope(shield=True), anyio.move_on_after(HAND_BACK_S):
            await asyncio.gather(*map(self._steps.hand_back, left))
        log.info("The worker stopped.", action="stopped", worker=self._settings.worker_name)

    def stop(self) -> None:
        """Stop claiming; `run` ends when the work in hand is done."""
        self._stopping = True
        self._wake.set()

    # ── feed ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _feeder(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                pause_s = await self._feed()
            except PayflowError as error:
                log.warning("No work can be claimed.", action="claim_failed", error=str(error))
                pause_s = AFTER_TROUBLE_S
            if pause_s and not self._stopping:
                with anyio.move_on_after(pause_s):
                    await self._wake.wait()

    async def _feed(self) -> float:
        """Claim once; say how long there is nothing to claim."""
        if self._store.guard.doubted:
            await self._store.compare()
        wanted = {poller: poller.free for poller in self.pollers if poller.free > 0}
        waits_s = await self._ration(wanted)
        queues = [
            Queue(poller.machine, poller.state, limit, self._lease_ms) for poller, limit in wanted.items() if limit
        ]
        idle_s = IDLE_S
        for claimed in await self._records.claim(queues) if queues else ():
            self._metrics.worker_seen.set(claimed.now / SECOND)
            for record_id in claimed.astray:
                log.error("An index named a record that is not there.", action="astray", record=record_id)
            for found in claimed.found:
                wanted[self._take(found)] -= 1
            if claimed.next_due is not None:
                idle_s = min(idle_s, max(0.0, (claimed.next_due - claimed.now) / SECOND))
        for poller, unused in wanted.items():
            if unused > 0 and poller.settings.rate is not None:
                await self._records.rate_tokens(poller.name, poller.settings.rate, -unused)
        # Only a rate that was used up makes us come back sooner.
        return min([idle_s, *(wait_s for poller, wait_s in waits_s.items() if not wanted[poller])])

    async def _ration(self, wanted: dict[Poller, int]) -> dict[Poller, float]:
        """Cut what is wanted to what the fleet's rates allow; say where they allow less, and how long until more."""
        waits_s = {}
        for poller, limit in wanted.items():
            if poller.settings.rate is not None:
                granted, wait_ms = await self._records.rate_tokens(poller.name, poller.settings.rate, limit)
                if granted < limit:
                    waits_s[poller] = wait_ms / SECOND
                wanted[poller] = granted
        return waits_s

    def _take(self, found: Stored | Poison) -> Poller:
        """Put a leased record into the line of work."""
        poller = self._by_queue[found.record.machine, found.record.state]
        poller.working += 1
        job = _Job(poller, found)
        self._in_hand.add(job)
        self._line.put_nowait(job)
        return poller

    # ── work ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _runner(self) -> None:
        while True:
            job = await self._line.get()
            try:
                if isinstance(job.found, Poison):
                    await self._steps.untouched(job.found)
                else:
                    await self._steps.look(job.found)
            except Exception:
                # A runner must survive whatever a record brings.
                log.exception("A look failed in an unforeseen way.", action="look_failed")
            # Not reached by a look that is cut short: its record stays in hand, to be handed back.
            job.poller.working -= 1
            self._in_hand.discard(job)
            # It may be worth claiming for this poller alone: others may be stuck, and it must not wait for them.
            hungry = job.poller.working <= job.poller.settings.concurrency * 3 // 4
            if len(self._in_hand) <= self._enough or hungry:
                self._wake.set()
            if not self._in_hand:
                self._drained.set()

    async def _renewer(self) -> None:
        """Prolong the leases of all records in hand; one renewal may fail, the next one still comes in time."""
        third_s = self._settings.lease_s / 3
        while True:
            await anyio.sleep(third_s)
            held = [job.found for job in self._in_hand if isinstance(job.found, Stored)]
            try:
                await asyncio.gather(*(self._records.hold(stored, self._lease_ms) for stored in held))
            except PayflowError as error:
                log.warning("Leases could not be prolonged.", action="renew_failed", error=str(error))

    async def _listener(self) -> None:
        """Wake up when somebody else made work due."""
        while True:
            try:
                async with self._store.link.errors(within_s=None):
                    async for _ in self._store.link.heard(keys.WAKE_CHANNEL):
                        self._wake.set()
                        self._dispatcher.wake()
            except (PayflowError, OSError) as error:
                log.warning("Wake-ups are not heard.", action="listen_failed", error=str(error))
            await anyio.sleep(AFTER_TROUBLE_S)

    async def _server_watch(self) -> None:
        """See whether the store is still durable enough, and known."""
        while True:
            await anyio.sleep(SERVER_CHECK_S)
            try:
                await self._store.look_at_servers()
                if self._store.guard.doubted:
                    await self._store.compare()
            except PayflowError as error:
                log.warning("The store cannot be examined.", action="server_watch_failed", error=str(error))
