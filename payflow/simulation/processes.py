"""Worker processes that are stopped, and that die, at any await. One runs at a time, so that a seed is always one run.

A process runs from one await to the next: of a script of the store, or of a call to the gateway. There it may die, wait
for a while, or let another one go first. What died is cancelled when it is buried; by then nothing of it goes out.
Each has the parts of Payflow over its own connection and its own memory, on the same store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from machines.core.clock import Clock, FixedClock, Millis
from machines.core.errors import BadInput, StoreUnavailable
from machines.core.redis import Script
from machines.payout.data import PayoutRecord
from payflow.app.payouts import Payouts
from payflow.config import Settings
from payflow.desk.gateways import GatewaySetup
from payflow.desk.payouts import Desk
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.simulation.conditions import Conditions, Story
from payflow.store.guard import Guard
from payflow.store.integrity import Integrity
from payflow.store.ledger import Ledger
from payflow.store.link import Barrier, Link
from payflow.store.listing import Listing
from payflow.store.pauses import Pauses
from payflow.store.records import Records
from payflow.store.registers.tokens import Role
from payflow.store.scripts import RENEW
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

OLGA, OMAR = Person("olga", Role.OPERATOR), Person("omar", Role.OPERATOR)
RITA = Person("rita", Role.REVIEWER)


@dataclass(frozen=True, slots=True)
class Installation:
    """What one process works with."""

    store: Store
    payouts: Payouts
    setups: Mapping[str, GatewaySetup]
    metrics: Metrics
    desk: Desk
    steering: Steering

    async def override(self, record: PayoutRecord, to: str, reason: str, *, by_two: bool) -> None:
        """Put a payout into a state, as one operator may, or two."""
        try:
            await self.steering.override(record.id, to, reason, OLGA, record.version)
        except BadInput:
            if not by_two:
                raise
            proposal = await self.steering.propose_override(record.id, to, reason, OLGA, record.version)
            await self.steering.two.confirm(proposal.digest, OMAR)


def installed(
    store: Store,
    link: Link,
    settings: Settings,
    setups_over: Callable[[Store], Mapping[str, GatewaySetup]],
    clock: Clock,
    high_water: Path,
    metrics: Metrics,
) -> Installation:
    """Open the parts over a link."""
    guard = Guard(store.records.shards, high_water)
    records = Records(link, guard, store.records.shards, store.records.assets, clock)
    ledger, pauses = Ledger(link, records), Pauses(link)
    memory: dict[str, Any] = {"guard": guard, "records": records, "_comparing": asyncio.Lock()}
    own: Store = replace(
        store,
        settings=settings,
        link=link,
        listing=Listing(link, records),
        integrity=Integrity(link, records),
        ledger=ledger,
        pauses=pauses,
        **memory,
    )
    setups = setups_over(own)
    payouts = Payouts(settings, own, metrics, setups)
    own.serve([payouts.machine])
    return Installation(own, payouts, setups, metrics, payouts.desk, Steering(own, metrics))


YIELDING = 0.1
"""How likely a process lets another one go first, where there are two."""
SHORTEST_STOP_MS, LONGEST_STOP_MS = 500, 40_000

Job = Callable[[], Coroutine[Any, Any, None]]


class SimulatedProcess:
    """One process: it goes on when it is told to, until its next stop, its death, or the end of its job."""

    def __init__(self, name: str, dice: Random, clock: FixedClock, conditions: Conditions, story: Story) -> None:
        self.name = name
        self.dead = False
        self.awake_at: Millis | None = None
        """When it goes on from where it stopped; None while it is not stopped."""
        self._dice = dice
        self._clock = clock
        self._conditions = conditions
        self._story = story
        self._job: asyncio.Task[None] | None = None
        self._stopped: asyncio.Task[Any] | None = None
        self._go = asyncio.Event()
        self._quiet = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether it may be given something to do."""
        return not self.dead and self._job is None

    async def run(self, job: Job) -> None:
        """Begin a job."""
        self._job = asyncio.create_task(self._live(job))
        await self._until_quiet()

    async def go_on(self) -> None:
        """Go on from where it stopped."""
        self.awake_at = None
        self._go.set()
        await self._until_quiet()

    async def bury(self) -> None:
        """Clear away what is left of it."""
        self.dead = True
        left = [task for task in (self._stopped, self._job) if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def leave_alone(self) -> None:
        """Let nothing befall it any more."""
        self._conditions = replace(self._conditions, deaths=0.0, stops=0.0)

    async def at_await(self, place: str) -> None:
        """Die here, stop here, let another one go first, or pass."""
        if self.dead:
            raise StoreUnavailable("The process is dead.")
        whim, conditions = self._dice.random(), self._conditions
        if whim < conditions.deaths:
            self._story.tell(self.name, f"dies {place}")
            self.dead = True
            await self._stop(None)
        elif whim < conditions.deaths + conditions.stops:
            stop_ms = self._dice.randrange(SHORTEST_STOP_MS, LONGEST_STOP_MS)
            self._story.tell(self.name, f"stops {place}, for {stop_ms} ms")
            await self._stop(Millis(self._clock.now() + stop_ms))
        elif conditions.workers > 1 and whim > 1 - YIELDING:
            await self._stop(self._clock.now())

    def loses_connection(self) -> bool:
        """Say whether the connection to the store breaks here."""
        return self._dice.random() < self._conditions.deaths

    async def _live(self, job: Job) -> None:
        try:
            await job()
        finally:
            self._job = None
            self._quiet.set()

    async def _until_quiet(self) -> None:
        await self._quiet.wait()
        self._quiet.clear()

    async def _stop(self, until: Millis | None) -> None:
        self.awake_at, self._stopped = until, asyncio.current_task()
        self._quiet.set()
        await self._go.wait()
        self._go.clear()
        self._stopped = None


class SimulatedLink(Link):
    """The link of a process that may die, stop, or lose its connection around each script."""

    def __init__(self, link: Link, process: SimulatedProcess, on_barrier: Callable[[], Awaitable[None]]) -> None:
        super().__init__(link.client, cluster=link.cluster, place=link.place)
        self.macs, self.rows = link.macs, link.rows
        self._process = process
        self._on_barrier = on_barrier

    async def run(self, script: Script, keys: Sequence[str], *args: str | bytes | int) -> Any:  # noqa: ANN401  (as above)
        """Run a script, with everything that can happen around it."""
        await self._process.at_await(f"before {script.name}")
        if self._process.loses_connection():
            raise StoreUnavailable("The connection broke before the call.")
        answer = await super().run(script, keys, *args)
        if script is RENEW:
            await self._on_barrier()
        await self._process.at_await(f"after {script.name}")
        if self._process.loses_connection():
            raise StoreUnavailable("The connection broke after the call.")
        return answer

    async def run_durably(self, script: Script, keys: Sequence[str], _: Barrier, *args: str | bytes | int) -> Any:  # noqa: ANN401
        """Run a script. The barrier holds, without being waited for."""
        return await self.run(script, keys, *args)
