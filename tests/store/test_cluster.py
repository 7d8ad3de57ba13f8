"""On a real cluster of three: what is particular to it. Everything else runs there too, as it does on one server."""

import asyncio

import pytest

from payflow.config import Settings
from payflow.store import keys
from payflow.store import records as records_module
from payflow.store.store import Store
from payflow.store.stored import Queue
from tests.desk import LEASE_MS, account, ask, claim, faults, fund, opened, owner_in, think
from tests.errand import Approved, Done, Sent
from tests.servers import Deployment, Kind, Server, types

pytestmark = pytest.mark.parametrize("kind", [Kind.CLUSTER], indirect=True)

SHARDS = range(4)


def home_of(server: Deployment, shard: int) -> Server:
    """The node that keeps a shard."""
    return next(node for node in server.nodes() if f"{{pf:{shard:02d}}}:seq" in types(node))


async def settled(store: Store, count: int = 40) -> None:
    """Fund owners in all shards and make errands for them."""
    owners = [owner_in(shard) for shard in SHARDS]
    await asyncio.gather(*(fund(store, owner) for owner in owners))
    await asyncio.gather(*(ask(store, owners[n % 4], key=str(n)) for n in range(count)))


async def test_shards_live_on_more_than_one_node(store: Store, server: Deployment) -> None:
    await settled(store)
    assert len({home_of(server, shard).port for shard in SHARDS}) > 1
    assert sum(any(key.startswith("{pf:") for key in types(node)) for node in server.nodes()) > 1


async def test_payments_run_through_all_shards_and_the_books_agree(store: Store) -> None:
    await settled(store)
    for state, fact in (("ASKED", Approved()), ("READY", Sent()), ("SENDING", Done("receipt"))):
        found = []
        while batch := await claim(store, state, limit=7):
            found += batch
        assert len(found) == 40
        await asyncio.gather(*(think(store, one, fact) for one in found))
    for shard in SHARDS:
        assert (await account(store, owner_in(shard))).paid == 1000
    assert (await store.ledger.check()).totals["NGN"].paid == 4000
    assert await faults(store) == []


async def test_together_no_more_are_leased_than_were_asked_for_and_in_turn_each_shard_is_served(store: Store) -> None:
    await settled(store)
    served: set[str] = set()
    for _ in range(8):
        found = await claim(store, limit=1)
        assert len(found) <= 1
        served |= {one.record.id[:9] for one in found}
    assert len(served) == 4


async def test_a_fleets_rate_is_not_exceeded_by_asking_many_shards(store: Store) -> None:
    await settled(store)
    granted, _ = await store.records.rate_tokens("errand.ASKED", 5, 100)
    assert granted == 5
    assert len(await claim(store, limit=granted)) <= 5


async def test_a_node_that_hangs_does_not_keep_us_from_the_records_of_the_others(
    store: Store, server: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "CLAIM_PATIENCE_S", 0.2)
    await settled(store)
    hanging = home_of(server, 0)
    others = {shard for shard in SHARDS if home_of(server, shard) is not hanging}
    assert others
    hanging.freeze()
    try:
        claimed = await store.records.claim([Queue("errand", "ASKED", 40, LEASE_MS)])
    finally:
        hanging.thaw()
    found = {one.record.id[:9] for each in claimed for one in each.found}
    assert found == {f"errand-{shard:02d}" for shard in others}


async def test_each_node_is_known_to_the_guard_by_its_own_name(store: Store, settings: Settings) -> None:
    await settled(store)
    identities = {(await store.records.shard_state(shard)).server for shard in SHARDS}
    assert len(identities) > 1
    assert identities <= {seen.identity for seen in store.servers}
    await store.look_at_servers()
    assert not store.guard.doubted
    async with opened(settings) as restarted:
        assert not restarted.guard.alarms


async def test_a_loss_on_one_node_closes_its_shards_and_no_others(store: Store, settings: Settings) -> None:
    await settled(store)
    await store.link.ask("DECRBY", keys.sequence(2), 3)
    async with opened(settings) as restarted:
        assert set(restarted.guard.alarms) == {2}
        assert set(await restarted.pauses.all()) == {"shard:02"}
