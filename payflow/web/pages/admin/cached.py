"""A value that takes long to find: found beside the page that asks, kept for a while, shown with its age."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

import structlog
from aiohttp import web

from machines.core.clock import Clock, Millis, SystemClock
from payflow.web.http.app import in_background

log = structlog.get_logger()

T = TypeVar("T")


class CachedValue(Generic[T]):
    """One such value. However many ask at once, it is looked for once."""

    def __init__(
        self, find: Callable[[], Awaitable[T]], *, fresh_s: float, within_s: float, clock: Clock | None = None
    ) -> None:
        self._find = find
        self._fresh_s = fresh_s
        self._within_s = within_s
        self._clock = clock or SystemClock()
        self._looking: asyncio.Task[None] | None = None
        self._found_at = -fresh_s
        self.value: T | None = None
        self.at: Millis | None = None
        """When it was found."""
        self.error = ""
        """Why the last look found nothing; empty when it did."""

    @property
    def looking(self) -> bool:
        """Whether somebody is looking for it now."""
        return self._looking is not None and not self._looking.done()

    async def get(self, app: web.Application, patience_s: float = 0.0) -> T | None:
        """Give what is known; what is stale is looked for anew, and waited for only so long."""
        if monotonic() - self._found_at >= self._fresh_s:
            self.look(app)
        if self._looking is not None and patience_s:
            await asyncio.wait([self._looking], timeout=patience_s)
        return self.value

    def look(self, app: web.Application) -> None:
        """Look for it now, unless somebody does."""
        if not self.looking:
            self._looking = in_background(app, self._look())

    async def afresh(self, app: web.Application, patience_s: float) -> bool:
        """Look for it now, and say whether that was done within somebody's patience."""
        self.look(app)
        await self.get(app, patience_s)
        return not self.looking

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(self._within_s):
                self.value = await self._find()
            self.at, self.error = self._clock.now(), ""
        except TimeoutError:
            self.error = f"no answer within {self._within_s:g} s"
        except Exception as error:  # noqa: BLE001  (a page says that it is not known; the log says why)
            log.warning("A figure of the dashboard could not be found.", action="figure_lost", error=repr(error))
            self.error = str(error) or type(error).__name__
        self._found_at = monotonic()
