"""What a finished record leaves in the store: itself, its whole history, its postings and its index entries."""

from statistics import fmean

from machines.core.ids import RecordId
from payflow.store import keys
from tests.bench.bed import RECORDS_OF_AN_OWNER, Bed, bed
from tests.bench.table import Row

RECORDS, RECORDS_QUICK = 20_000, 4_000
WARM_UP = 1_000
SAMPLE = 200
TARGET_B = 1_200


async def measure(*, quick: bool) -> list[Row]:
    """Finish records and see by how much the store has grown."""
    records = RECORDS_QUICK if quick else RECORDS
    async with bed("always") as ours, ours.worker():
        await _growth(ours, WARM_UP)
        ids, bytes_each = await _growth(ours, records)
        bare = await _average_usage(ours, [keys.record(one) for one in ids[:SAMPLE]])
        history = await _average_usage(ours, [keys.history(one) for one in ids[:SAMPLE]])
    rest = bytes_each - bare - history
    return [
        Row(
            what=f"store memory per finished four-step record, {RECORDS_OF_AN_OWNER} an owner",
            figure=bytes_each,
            unit="B",
            beside="its bare hash alone",
            other=bare,
            target=f"≤ {TARGET_B:,} B",
            meets=bytes_each <= TARGET_B,
            note=f"hash {bare:.0f} B, five events {history:.0f} B, ledger and indexes {rest:.0f} B",
        )
    ]


async def _growth(ours: Bed, records: int) -> tuple[list[RecordId], float]:
    before = await ours.memory()
    ids = await ours.load(records)
    await ours.release()
    await ours.finish()
    return ids, (await ours.memory() - before) / records


async def _average_usage(ours: Bed, names: list[str]) -> float:
    return fmean(await ours.store.link.pipeline([("MEMORY USAGE", name, "SAMPLES", 0) for name in names]))
