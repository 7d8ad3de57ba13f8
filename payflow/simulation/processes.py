"""Worker processes that are stopped, and that die, at any await. One runs at a time, so that a seed is always one run.

A process runs from one await to the next: of a script of the store, or of a call to the gateway. There it may die, wait
for a while, or let another one go first. What died is cancelled when it is buried; by then nothing of it goes out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from machines.core.clock import FixedClock, Millis
from machines.core.errors import StoreUnavailable
from machines.core.redis import Script
from payflow.simulation.conditions import Conditions, Story
from payflow.store.link import Barrier, Link
from payflow.store.scripts import RENEW

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
        self.macs = link.macs
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
