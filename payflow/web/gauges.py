"""What is told of the store at each scrape."""

from machines.core.clock import SECOND, Millis
from payflow.store import checkup
from payflow.store.store import Store
from payflow.telemetry.metrics import StoreGauges


async def read(store: Store) -> StoreGauges:
    """Ask the store for everything that does not belong to one process."""
    gauges = StoreGauges()
    now = await store.records.now()
    await _crowds(gauges, store, now)
    await _pauses(gauges, store)
    await store.look_at_servers()
    gauges.durable.set(not store.faults())
    gauges.clients.set(await checkup.connections(store.link))
    gauges.parked.set(await store.listing.count_parked())
    gauges.outbox.set(await store.outbox.waiting())
    gauges.outbox_lag.set(_age_s(now, await store.outbox.oldest_due()))
    return gauges


async def _crowds(gauges: StoreGauges, store: Store, now: Millis) -> None:
    for crowd in await store.listing.crowds():
        where = (crowd.machine, crowd.state)
        gauges.records.labels(*where).set(crowd.count)
        gauges.oldest.labels(*where).set(_age_s(now, crowd.oldest))
        gauges.due.labels(*where).set(crowd.due)
        gauges.due_lag.labels(*where).set(_age_s(now, crowd.late_since))


async def _pauses(gauges: StoreGauges, store: Store) -> None:
    paused = await store.pauses.all()
    for scope in paused:
        gauges.paused.labels(scope).set(1)
    for shard in range(store.records.shards):
        closed = shard in store.guard.alarms or f"shard:{shard:02d}" in paused
        gauges.sequence_alarm.labels(f"{shard:02d}").set(closed)


def _age_s(now: Millis, since: Millis | None) -> float:
    return 0.0 if since is None else max(0.0, (now - since) / SECOND)
