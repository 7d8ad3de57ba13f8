"""Death at any await: the process stops for ever before or after a call, and a new one takes over.

What stopped is cancelled when the process is buried, so that nothing of it is left pending; by then its link is cut,
and nothing that it had still to say goes out.
"""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

from machines.core.errors import StoreUnavailable
from machines.core.redis import Script
from payflow.store.link import Barrier, Link


class Died(Exception):
    """The process is dead: nothing of it goes on."""


class Fate:
    """Decides at every call whether the process dies there."""

    def __init__(self, dice: Random, danger: float) -> None:
        self._dice = dice
        self._danger = danger
        self.died = asyncio.Event()
        self.deaths = 0
        self._dead: list[asyncio.Task[object] | None] = []
        """What stopped for ever, until it is buried."""

    async def bury(self) -> None:
        """Clear away what died, and let a new process begin."""
        self.died = asyncio.Event()
        dead, self._dead = [task for task in self._dead if task is not None], []
        for task in dead:
            task.cancel()
        await asyncio.gather(*dead, return_exceptions=True)

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


class DyingLink(Link):
    """A link whose caller may die, or lose the answer, around each script."""

    def __init__(self, link: Link, fate: Fate) -> None:
        super().__init__(link.client, cluster=link.cluster, place=link.place)
        self.macs = link.macs
        self._fate = fate
        self.cut = False
        """Whether its process is dead. A batcher whose call was cancelled would begin the next one."""

    async def run(self, script: Script, keys: Sequence[str], *args: str | bytes | int) -> Any:  # noqa: ANN401  (as the link)
        """Run a script, with everything that can happen around it."""
        if self.cut:
            raise StoreUnavailable("the process is dead")
        await self._fate.meet()
        if self._fate.fails():
            raise StoreUnavailable("the connection broke before the call")
        answer = await super().run(script, keys, *args)
        await self._fate.meet()
        if self._fate.fails():
            raise StoreUnavailable("the connection broke after the call")
        return answer

    async def run_durably(self, script: Script, keys: Sequence[str], _: Barrier, *args: str | bytes | int) -> Any:  # noqa: ANN401
        """As `run`."""
        return await self.run(script, keys, *args)
