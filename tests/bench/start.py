"""How long it takes from the start of a worker's process until its first claim is in the store."""

import time
from statistics import median

from machines.core.ids import RecordId
from tests.bench import peers
from tests.bench.bed import Bed, bed
from tests.bench.table import Row

STARTS, STARTS_QUICK = 7, 3
TARGET_S = 0.5


async def measure(*, quick: bool) -> list[Row]:
    """Start Payflow's worker and arq's in turn, each on a store that is up and has work."""
    ours_s, theirs_s, absent = [], [], await peers.absent()
    async with bed("always") as ours:
        for _ in range(STARTS_QUICK if quick else STARTS):
            ours_s.append(await _start_to_first_claim_s(ours))
            if not absent:
                theirs_s.append(await peers.start_to_first_job_s("arq"))
    figure = median(ours_s)
    return [
        Row(
            what="start to first claim, without a chain",
            figure=figure,
            unit="s",
            beside=absent or "arq, to its first job",
            other=median(theirs_s) if theirs_s else None,
            target=f"≤ {TARGET_S} s",
            meets=figure <= TARGET_S,
        )
    ]


async def _start_to_first_claim_s(ours: Bed) -> float:
    (record_id,) = await ours.load(1, due_in_s=0)
    began = time.time()
    worker = await ours.start_worker()
    try:
        await worker.ready()
        await ours.finish(poll_s=0.01)
    finally:
        await worker.stop()
    return await _first_claim_at_s(ours, record_id) - began


async def _first_claim_at_s(ours: Bed, record_id: RecordId) -> float:
    """An event carries the time of the claim that it came from; the first is the creation."""
    events = await ours.store.records.history(record_id)
    return events[1].at / 1000
