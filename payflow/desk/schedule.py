"""When batches open."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadSettings

INSTANT = "instant"
MANUAL = "manual"


class Schedule:
    """A cron expression in UTC, `instant`, or `manual`."""

    def __init__(self, text: str, runs_a_second: float | None = None) -> None:
        self.text = text
        self._apart_ms = max(1, math.ceil(SECOND / runs_a_second)) if runs_a_second else 1
        self._next: Callable[[Millis], Millis | None] = {INSTANT: self._soon, MANUAL: lambda _: None}.get(
            text, self._tick
        )
        if text not in (INSTANT, MANUAL):
            try:
                CronSim(text, datetime.now(UTC))
            except CronSimError as error:
                raise BadSettings(
                    f"PAYFLOW_BATCH_SCHEDULE: {text!r} is no cron expression, `{INSTANT}` or `{MANUAL}` ({error})."
                ) from error

    def next_opening(self, after: Millis) -> Millis | None:
        """Say when the next batch opens after a time; None when only a person opens them."""
        return self._next(after)

    def _soon(self, after: Millis) -> Millis:
        """Open at once, or with all that comes before the next run may begin: the same moment for every worker."""
        return Millis(-(-after // self._apart_ms) * self._apart_ms)

    def _tick(self, after: Millis) -> Millis:
        tick = next(CronSim(self.text, datetime.fromtimestamp(after // SECOND, UTC)))
        return Millis(int(tick.timestamp()) * SECOND)
