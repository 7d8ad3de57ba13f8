"""When batches open."""

from collections.abc import Callable
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadSettings

INSTANT = "instant"
MANUAL = "manual"


class Schedule:
    """A cron expression in UTC, `instant`, or `manual`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._next: Callable[[Millis], Millis | None] = {INSTANT: lambda after: after, MANUAL: lambda _: None}.get(
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

    def _tick(self, after: Millis) -> Millis:
        tick = next(CronSim(self.text, datetime.fromtimestamp(after // SECOND, UTC)))
        return Millis(int(tick.timestamp()) * SECOND)
