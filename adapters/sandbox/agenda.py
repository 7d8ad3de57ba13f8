"""What will happen when: a simulator's future, on a clock that may be moved by hand."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import count

from machines.core.clock import DAY, SECOND, Clock, Millis

# How often somebody who waits for a clock looks at it. A clock that is moved by hand cannot wake anybody.
GLANCE_S = 0.005

_FIRST_DAY = date(1970, 1, 1).toordinal()


class Agenda:
    """Runs what is due, in order of time; nothing happens between two looks."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._number = count()
        self._entries: list[tuple[int, int, Callable[[], object]]] = []

    def now(self) -> Millis:
        """Say what time it is."""
        return self.clock.now()

    def later(self, seconds: float, do: Callable[[], object]) -> None:
        """Plan something."""
        heapq.heappush(self._entries, (self.now() + int(seconds * SECOND), next(self._number), do))

    def next_at(self) -> Millis | None:
        """Say when the next of it is due."""
        return Millis(self._entries[0][0]) if self._entries else None

    def run(self) -> bool:
        """Do all that is due; say whether there was anything."""
        done = False
        while self._entries and self._entries[0][0] <= self.now():
            _, _, do = heapq.heappop(self._entries)
            do()
            done = True
        return done

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved on."""
        until = self.now() + int(seconds * SECOND)
        while self.now() < until:  # noqa: ASYNC110  (a clock moved by hand sets no event)
            await asyncio.sleep(GLANCE_S)

    async def keep_running(self) -> None:
        """Do what is due for as long as the simulator lives."""
        while True:
            self.run()
            await asyncio.sleep(GLANCE_S * 2)


def day_of(millis: int) -> str:
    """Name the day of a time, as the gateways count days."""
    return f"{date.fromordinal(_FIRST_DAY + millis // DAY)}"


def stamp(millis: int) -> str:
    """Write a time as the gateways do."""
    return f"{datetime.fromtimestamp(millis / SECOND, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
