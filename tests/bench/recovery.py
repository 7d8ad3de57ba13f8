"""A worker is killed in the middle of its work: how soon has the other one finished everything, and nothing twice?"""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.bench.bed import Bed, bed
from tests.bench.table import Row
from tests.waiting import wait_until

RECORDS = 1_500
KILLED_AT = 500
LEASE_S, LEASE_QUICK_S = 10.0, 2.0
GRACE_S = 2.0


async def measure(*, quick: bool) -> list[Row]:
    """Kill one of two workers when a third of the records is paid."""
    lease_s = LEASE_QUICK_S if quick else LEASE_S
    async with bed("always") as ours:
        with tempfile.TemporaryDirectory(prefix="payflow-bench-rail-") as rail:
            seconds, finished, held = await _kill_one_of_two(ours, Path(rail), lease_s)
            payments = _payments(Path(rail))
        conserved = await ours.conserved()
    lost, twice = RECORDS - finished, sum(count for times, count in payments.items() if times > 1)
    limit_s = lease_s + GRACE_S
    return [
        Row(
            what=f"kill -9 among {RECORDS:,} records, another worker running: all done after",
            figure=seconds,
            unit="s",
            target=f"≤ lease ({lease_s:.0f} s) + {GRACE_S:.0f} s; 0 lost, 0 twice",
            meets=seconds <= limit_s and not lost and not twice and conserved and payments[1] == RECORDS,
            beside="arq 310, dramatiq 264 (performance.md, not run here)",
            note=f"{held} in the dead worker's hands; {lost} lost, {twice} paid twice; "
            f"books {'conserved' if conserved else 'BROKEN'}",
        )
    ]


def _payments(rail: Path) -> Counter[int]:
    """Count the payments that were made once, twice, …."""
    return Counter(file.stat().st_size for file in rail.iterdir())


async def _kill_one_of_two(ours: Bed, rail: Path, lease_s: float) -> tuple[float, int, int]:
    """Give the seconds from the kill to the last payment, how many were paid, and how many leases the dead one held."""
    async with ours.worker(lease_s=lease_s, rail=rail), ours.worker(lease_s=lease_s, rail=rail) as doomed:
        await ours.load(RECORDS)
        await ours.release()
        await wait_until(lambda: ours.reached(KILLED_AT), "a third of the records is paid")
        await doomed.kill()
        killed_at = time.time()
        await asyncio.sleep(lease_s / 2)
        held = RECORDS - await ours.count()
        try:
            seconds = await ours.finish(limit_s=lease_s * 3) - killed_at
        except TimeoutError:
            seconds = float("inf")
        return seconds, await ours.count(), held
