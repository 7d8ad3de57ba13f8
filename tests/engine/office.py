"""The engine at work on a real store, in this process: what its tests share."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from machines.core.clock import FixedClock, Millis
from machines.core.decision import Decision, New
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId, fresh_id
from machines.core.machine import Machine
from machines.core.money import NGN, Money
from machines.core.ports import Act, Evidence, Payment, Settled, Status, Step, Unsent
from machines.core.record import Record
from payflow.config import Settings, load
from payflow.engine.dispatcher import Dispatcher, Handler
from payflow.engine.step import Applied, Steps, take_in
from payflow.engine.worker import Worker
from payflow.store import keys
from payflow.store.store import Store, open_store
from payflow.store.stored import Queue, Stored
from payflow.telemetry.metrics import Metrics
from tests.errand import ErrandData, acts, errand, react
from tests.waiting import PATIENCE_S, wait_until

LEASE_MS = 10_000
FUNDS = Money(10**12, NGN)

Look = Callable[[Record[ErrandData], Step], Coroutine[Any, Any, Fact]]


class Gate:
    """Holds whoever comes to it until it is opened."""

    def __init__(self) -> None:
        self.came = 0
        self._opened = asyncio.Event()

    async def pass_through(self) -> None:
        """Come to the gate, and wait there while it is shut."""
        self.came += 1
        await self._opened.wait()

    async def reached(self, times: int = 1) -> None:
        """Wait until somebody stands, or stood, before it."""
        await wait_until(lambda: self.came >= times, description=f"{times} at the gate")

    def open(self) -> None:
        """Let everybody through, now and from now on."""
        self._opened.set()


class CountingRail:
    """Pays at once, and counts by key."""

    def __init__(self) -> None:
        self.submits: Counter[str] = Counter()

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> None:
        self.submits[payment.key] += 1

    async def status(self, payment: Payment) -> Status:
        return Settled(Evidence("rail", payment.key)) if payment.key in self.submits else Unsent()


class FixedRandom(Random):
    """Always the same number."""

    def __init__(self, jitter: float) -> None:
        super().__init__()
        self._jitter = jitter

    def random(self) -> float:
        return self._jitter


@dataclass
class Office:
    """A store, a machine whose every part a test may replace, and workers."""

    folder: Path
    settings: Settings
    rail: CountingRail
    clock: FixedClock | None
    acts: dict[str, Act[ErrandData]] = field(default_factory=dict)
    react: Callable[[Record[ErrandData], Fact, Millis], Decision[ErrandData]] = react
    metrics: Metrics = field(default_factory=Metrics)
    owner: Owner = field(default_factory=lambda: Owner("ada"))
    _store: Store | None = None

    @property
    def store(self) -> Store:
        """The store that this office opened."""
        assert self._store is not None
        return self._store

    @property
    def machine(self) -> Machine[ErrandData]:
        """The errand, with the acts and the react that are set here at the time of use."""
        return replace(errand(self.rail), acts=self.acts, react=self._react)

    def _react(self, record: Record[ErrandData], fact: Fact, now: Millis) -> Decision[ErrandData]:
        return self.react(record, fact, now)

    @asynccontextmanager
    async def another_store(self) -> AsyncIterator[Store]:
        """Open the same store once more, with connections of its own, as another process would."""
        async with open_store(self.settings, clock=self.clock) as store:
            store.serve([self.machine])
            yield store

    # ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, count: int = 1, *, store: Store | None = None, units: int = 100) -> list[RecordId]:
        """Make errands."""
        records = (store or self.store).records
        new = [
            New(
                fresh_id("errand", records.owner_shard(self.owner)),
                "errand",
                self.owner,
                Money(units, NGN),
                ErrandData("test"),
            )
            for _ in range(count)
        ]
        await asyncio.gather(*(records.create(one, "test") for one in new))
        return [one.id for one in new]

    async def one_in(self, state: str) -> RecordId:
        """Make an errand and bring it into a polled state, by looks at this one record."""
        (record_id,) = await self.ask()
        while (record := await self.record(record_id)).state != state:
            stored = await self.claim(record.state)
            assert stored.record.id == record_id
            await self.steps().look(stored)
        return record_id

    async def record(self, record_id: RecordId) -> Record[ErrandData]:
        """Read a record."""
        return (await self.store.records.read(record_id)).record

    async def state(self, record_id: RecordId) -> str:
        """Read a record's state."""
        return (await self.record(record_id)).state

    async def fields(self, record_id: RecordId) -> dict[str, bytes]:
        """Read a record's raw fields."""
        raw = await self.store.link.ask("HGETALL", keys.record(record_id))
        return {name.decode(): value for name, value in raw.items()}

    async def due_in_ms(self, record_id: RecordId, state: str) -> int | None:
        """Say in how many ms a record is due in a state's index; None where it is not in it."""
        shard = self.store.records.shard_of(record_id)
        score = await self.store.link.ask("ZSCORE", keys.due(shard, "errand", state), record_id)
        return None if score is None else int(float(score)) - await self.store.records.now()

    async def events(self, record_id: RecordId) -> list[tuple[str, str, str]]:
        """Tell a record's history: trigger, state, fact."""
        return [(event.trigger, event.state, event.fact) for event in await self.store.records.history(record_id)]

    async def whys(self, record_id: RecordId) -> list[str]:
        """Tell the reasons in a record's history."""
        return [event.why for event in await self.store.records.history(record_id)]

    async def until(self, record_id: RecordId, state: str) -> Record[ErrandData]:
        """Wait until a record is in a state."""

        async def there() -> bool:
            return await self.state(record_id) == state

        await wait_until(there, description=f"{record_id} is {state}")
        return await self.record(record_id)

    async def until_all(self, ids: list[RecordId], *states: str) -> None:
        """Wait until each of these records is in one of these states."""
        left = set(ids)

        async def there() -> bool:
            found = await asyncio.gather(*(self.record(record_id) for record_id in left))
            left.difference_update(record.id for record in found if record.state in states)
            return not left

        await wait_until(there, description=f"all {len(ids)} records are {' or '.join(states)}")

    async def leased(self, ids: list[RecordId]) -> list[RecordId]:
        """List those of these records that say of themselves that they are leased."""
        return [record_id for record_id in ids if int((await self.fields(record_id)).get("fence", 0)) % 2]

    # ── single looks ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def claim(self, state: str, *, store: Store | None = None, lease_ms: int = LEASE_MS) -> Stored:
        """Lease the one record that is due in a state."""
        found = await self.claim_all(state, store=store, lease_ms=lease_ms)
        assert len(found) == 1
        assert isinstance(found[0], Stored)
        return found[0]

    async def claim_all(self, state: str, *, store: Store | None = None, lease_ms: int = LEASE_MS) -> list[object]:
        """Lease what is due in a state."""
        answers = await (store or self.store).records.claim([Queue("errand", state, 10, lease_ms)])
        return [found for claimed in answers for found in claimed.found]

    def steps(self, *, store: Store | None = None, jitter: float = 1.0, who: str = "desk") -> Steps:
        """Look at records by hand."""
        return Steps(store or self.store, self.metrics, who=who, lease_ms=LEASE_MS, rng=FixedRandom(jitter))

    async def learn(
        self, record_id: RecordId, fact: Fact | Callable[[Record[Any]], Awaitable[Fact]], who: str = "outside"
    ) -> Applied:
        """Take in a fact from outside."""
        return await take_in(self.store.records, self.metrics, record_id, fact, who)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def worker(
        self,
        name: str = "first",
        *,
        store: Store | None = None,
        metrics: Metrics | None = None,
        handlers: Mapping[str, Handler] | None = None,
        **changes: Any,
    ) -> AsyncIterator[Worker]:
        """Run a worker for as long as the context lasts; it must stop in order."""
        store, metrics = store or self.store, metrics or self.metrics
        settings = load({}, **(self.settings.model_dump() | {"worker_name": name} | changes))
        dispatcher = Dispatcher(store.outbox, metrics, {"told": _heard} if handlers is None else handlers)
        worker = Worker(store, settings, metrics, dispatcher)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            async with asyncio.timeout(PATIENCE_S):
                await running

    def sample(self, name: str, metrics: Metrics | None = None, **labels: str) -> float:
        """Read a metric."""
        return (metrics or self.metrics).registry.get_sample_value(name, labels) or 0.0

    def leases_lost(self, metrics: Metrics | None = None) -> float:
        """Count the leases that were lost."""
        return self.sample("payflow_leases_lost_total", metrics, machine="errand")

    def errors(self, state: str, kind: str, metrics: Metrics | None = None) -> float:
        """Count the looks that ended in an error."""
        return self.sample("payflow_act_errors_total", metrics, machine="errand", state=state, kind=kind)

    # ── the end of every test ────────────────────────────────────────────────────────────────────────────────────────

    async def check(self, *, planted: bool = False) -> None:
        """Prove that the books balance, that every record is whole, and that nothing was paid twice."""
        books = await self.store.ledger.check()
        # What was damaged may have gone on before it was put back: the rail's side says so, and is right to.
        faults = [one for one in books.faults if not (planted and one.startswith("rail:"))]
        assert faults == []
        if not planted:
            assert [fault async for fault in self.store.integrity.verify()] == []
        assert [key for key, times in self.rail.submits.items() if times > 1] == []


@asynccontextmanager
async def open_office(
    folder: Path, *, clock: FixedClock | None = None, planted: bool = False, **changes: Any
) -> AsyncIterator[Office]:
    """Open an office; what it leaves behind must be sound. `planted` where a test damaged a record on purpose."""
    rail = CountingRail()
    office = Office(folder, load({}, data=folder, **changes), rail, clock, dict(acts(rail)))
    async with open_store(office.settings, clock=clock) as store:
        store.serve([office.machine])
        office._store = store  # noqa: SLF001  (the machine that the store needs reads the office)
        await store.records.fund(office.owner, FUNDS, "funds")
        yield office
        await office.check(planted=planted)


async def _heard(post: object) -> None:
    """Deliver a message to nobody."""
