"""Time is an argument: milliseconds since 1970, as whole numbers."""

import time
from typing import NewType, Protocol

Millis = NewType("Millis", int)

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MINUTE_S, HOUR_S, DAY_S = MINUTE // SECOND, HOUR // SECOND, DAY // SECOND


class Clock(Protocol):
    """Where a part of Payflow gets the time from."""

    def now(self) -> Millis:
        """Say what time it is."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> Millis:
        return Millis(time.time_ns() // 1_000_000)


class FixedClock:
    """A clock that moves only when it is told to."""

    def __init__(self, at: int = 1_800_000_000_000) -> None:
        self.at = at

    def now(self) -> Millis:
        return Millis(self.at)

    def advance(self, seconds: float) -> None:
        self.at += int(seconds * SECOND)
