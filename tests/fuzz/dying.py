"""Death at any await: the process stops for ever before or after a call, and a new one takes over."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

from machines.core.errors import StoreUnavailable
from machines.core.ports import Payment, Rail, Status
from payflow.store.link import Barrier, Link
from payflow.store.scripts import Script


class Fate:
    """Decides at every call whether the process dies there."""

    def __init__(self, dice: Random, danger: float) -> None:
        self._dice = dice
        self._danger = danger
        self.died = asyncio.Event()
        self.deaths = 0
        self._dead: list[asyncio.Task[object] | None] = []
        """What died stays referenced until the loop ends, so that nobody complains of lost tasks."""

    def reborn(self) -> None:
        """Begin a new process."""
        self.died = asyncio.Event()

    async def meet(self) -> None:
        """Die here, perhaps: what waits for this never goes on."""
        if self._dice.random() < self._danger:
            self.deaths += 1
            self.died.set()
            self._dead.append(asyncio.current_task())
            await asyncio.Event().wait()

    def fails(self) -> bool:
        """Say whether a call fails here."""
        return self._dice.random() < self._danger


class DyingRail:
    """A rail whose caller may die before or after each call."""

    def __init__(self, rail: Rail, fate: Fate) -> None:
        self._rail = rail
        self._fate = fate

    async def submit(self, payment: Payment) -> str | None:
        """Submit, unless death comes first."""
        await self._fate.meet()
        try:
            return await self._rail.submit(payment)
        finally:
            await self._fate.meet()

    async def status(self, payment: Payment) -> Status:
        """Look, unless death comes first."""
        await self._fate.meet()
        try:
            return await self._rail.status(payment)
        finally:
            await self._fate.meet()


class DyingLink(Link):
    """A link whose caller may die, or lose the answer, around each script."""

    def __init__(self, link: Link, fate: Fate) -> None:
        super().__init__(link.client, cluster=link.cluster, place=link.place)
        self._fate = fate

    async def run(self, script: Script, keys: Sequence[str], *args: str | bytes | int) -> Any:
        """Run a script, with everything that can happen around it."""
        await self._fate.meet()
        if self._fate.fails():
            raise StoreUnavailable("the connection broke before the call")
        answer = await super().run(script, keys, *args)
        await self._fate.meet()
        if self._fate.fails():
            raise StoreUnavailable("the connection broke after the call")
        return answer

    async def run_durably(self, script: Script, keys: Sequence[str], barrier: Barrier, *args: str | bytes | int) -> Any:
        """As `run`."""
        return await self.run(script, keys, *args)
