"""Batches of payouts: when they open, and how a person opens one."""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadSettings, PayflowError, StoreUnavailable
from machines.core.ids import RecordId
from machines.core.money import Money
from machines.payout import facts as f
from machines.payout.acts import batch_name
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import APPROVED, LIFECYCLE, PROCESSING
from payflow.desk.records import tell
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

BOARDING = 64
"""So many board a batch at a time."""

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


# ── opened by a person ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Boarding:
    """What became of a batch that somebody opened."""

    batch: str
    boarded: int
    refused: Mapping[RecordId, str]
    """Why some are not in it."""


async def approved(store: Store, limit: int) -> list[PayoutRecord]:
    """List what waits for a batch, the oldest first."""
    return [one.record for one in await store.listing.in_state(LIFECYCLE.machine, APPROVED, limit)]


async def open_batch(
    store: Store, metrics: Metrics, waiting: Sequence[PayoutRecord], by: str, step: Callable[[], None]
) -> Boarding:
    """Let payouts board a batch that opens now; one that cannot does not hold up the others."""
    name = batch_name("manual", await store.records.now())
    refused: dict[RecordId, str] = {}
    turn = asyncio.Semaphore(BOARDING)

    async def board(record: PayoutRecord) -> None:
        async with turn:
            try:
                after = (await tell(store, metrics, record.id, f.Boarded(name), by)).after
            except StoreUnavailable:
                raise
            except PayflowError as error:
                refused[record.id] = str(error)
            else:
                if after.state != PROCESSING:
                    refused[record.id] = f"it is {after.state} by now"
            step()

    about = f"{len(waiting)} payouts: {sum_of(waiting)}"
    async with store.audit.doing(by, "open batch", name, about), asyncio.TaskGroup() as group:
        for record in waiting:
            group.create_task(board(record))
    return Boarding(name, len(waiting) - len(refused), dict(sorted(refused.items())))


def sum_of(records: Iterable[PayoutRecord]) -> str:
    """Add up amounts, each asset by itself."""
    sums: dict[str, Money] = {}
    for amount in (record.amount for record in records if record.amount):
        code = amount.asset.code
        sums[code] = sums[code] + amount if code in sums else amount
    return ", ".join(map(str, sums.values())) or "nothing"
