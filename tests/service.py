"""Payflow as it is installed, with the sample machine: `python -m tests.service serve`, `worker`, or any other command.

Its rail writes one line for each submit into the file that TEST_RAIL names, so that any number of processes, killed at
any moment, share one count: more than one line of a key is a payment made twice.
"""

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from machines.core.ports import Evidence, Failed, Payment, Pending, Settled, Status, Unsent
from payflow.app.installation import Parts
from payflow.cli import main
from payflow.config import Settings
from payflow.store.outbox import Post
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from tests.errand import errand

RAIL = "TEST_RAIL"

# The last digits of an amount say what becomes of it, as the magic amounts of a gateway's sandbox do.
BOUNCES = 13
NEVER_SETTLES = 14
BREAKS = 15
HANGS = 16


class FileRail:
    """Pays by writing a line, at once and for ever."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._read_to = 0
        self._paid: Counter[str] = Counter()

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> str | None:
        """Pay."""
        os.write(self._file, f"{payment.key}\n".encode())
        return None

    async def status(self, payment: Payment) -> Status:
        """Say whether it was paid, by whomever."""
        match payment.amount.units % 100:
            case int(last) if last == BREAKS:
                raise ZeroDivisionError("a bug in the rail")
            case int(last) if last == BOUNCES:
                return Failed("no such account", retryable=False)
            case int(last) if last == HANGS:
                await asyncio.sleep(3600)
            case int(last) if last == NEVER_SETTLES:
                return Pending("approval")
        return Settled(Evidence("file", payment.key)) if self.paid()[payment.key] else Unsent()

    def paid(self) -> Counter[str]:
        """Count by key all that was paid so far."""
        news = os.pread(self._file, os.fstat(self._file).st_size - self._read_to, self._read_to)
        whole = news[: news.rfind(b"\n") + 1]
        self._read_to += len(whole)
        self._paid.update(whole.decode().splitlines())
        return self._paid

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


async def told(_post: Post) -> None:
    """Deliver what the errands say: to nobody."""


async def parts(settings: Settings, _store: Store, _metrics: Metrics, stack: AsyncExitStack) -> Parts:
    """Put the sample machine on the rail in the file."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    rail = FileRail(Path(os.environ.get(RAIL) or settings.data / "rail"))
    stack.callback(rail.close)
    return Parts(machines=(errand(rail),), deliver={"told": told}, scopes=("rail:test",))


if __name__ == "__main__":
    main(parts)
