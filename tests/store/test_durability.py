"""Nothing leaves before its intent is durable; a store that cannot promise that keeps the rails shut."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from machines.core import redis
from machines.core.errors import NotDurable
from machines.core.redis import Engine, Weakness, engine_of
from payflow.config import Settings
from payflow.store import link as link_module
from payflow.store import servers
from payflow.store.link import Barrier
from payflow.store.servers import StoreServer
from payflow.store.store import Store
from payflow.store.stored import Stored
from tests.desk import LEASE_MS, ask, claim_one, fund, opened, settings_for, tell
from tests.errand import Approved, Sent
from tests.servers import SINGLE, Deployment, Farm, Kind, Server
from tests.store.disk import observe, synced, traced

WAITS, ANSWERS_AT_ONCE = Engine("redis", "7.2.6"), Engine("valkey", "9.1.2")


def seen(
    engine: Engine = ANSWERS_AT_ONCE,
    *,
    role: str = "master",
    append_only: bool = True,
    fsync: str = "always",
    eviction: str = "noeviction",
    syncs_in_rewrites: bool = True,
) -> StoreServer:
    """A server that keeps all that it acknowledged, but for what is given."""
    config = {
        "appendonly": "yes" if append_only else "no",
        "appendfsync": fsync,
        "maxmemory-policy": eviction,
        "no-appendfsync-on-rewrite": "no" if syncs_in_rewrites else "yes",
    }
    return StoreServer({f"{engine.name}_version": engine.version, "role": role}, config)


FIT = seen()


async def about_to_send(store: Store) -> Stored:
    """Bring an errand to where it is about to be sent."""
    await fund(store)
    record_id = await ask(store)
    await tell(store, record_id, Approved())
    await tell(store, record_id, Sent())
    return await claim_one(store, "SENDING", lease_ms=600_000)


def calls(server: Server, command: str) -> int:
    """How often a server was asked for something."""
    stats = server.info("commandstats").get(f"cmdstat_{command}")
    return int(stats["calls"]) if stats else 0


# ── what a server says of itself ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"role": "slave"}, "replica"),
        ({"append_only": False}, "appendonly yes"),
        ({"fsync": "no"}, "appendfsync always"),
        ({"fsync": ""}, "appendfsync always"),
        ({"fsync": "everysec", "engine": Engine("redis", "7.0.15")}, "appendfsync always"),
        ({"fsync": "everysec", "engine": Engine("redis", "7.4.1")}, "Redis 7.4.1 was never seen"),
        ({"fsync": "everysec", "engine": Engine("redis", "99.0.0")}, "appendfsync always"),
        ({"fsync": "everysec", "engine": Engine("valkey", "7.2.4")}, "appendfsync always"),
        ({"fsync": "everysec"}, "Valkey 9.1.2 was never seen"),
        ({"fsync": "everysec", "engine": WAITS}, ""),
        ({"fsync": "no", "engine": WAITS}, "appendfsync always"),
        ({"syncs_in_rewrites": False}, "no-appendfsync-on-rewrite no"),
        ({"eviction": "allkeys-lru"}, "noeviction"),
        ({"eviction": "volatile-ttl"}, "noeviction"),
        ({"eviction": ""}, ""),
    ],
)
def test_a_server_that_may_forget_is_told_from_one_that_does_not(changes: dict[str, object], fault: str) -> None:
    found = servers.faults([seen(**changes)], accepted=False)  # type: ignore[arg-type]
    assert (fault in found[0].text) if fault else (found == [])


def test_an_operator_may_accept_a_weak_disk_but_never_an_eviction_or_a_replica() -> None:
    weak = seen(append_only=False)
    evicting, replica = seen(eviction="allkeys-lru"), seen(role="slave")
    assert servers.faults([weak], accepted=False)
    assert not servers.faults([weak, seen(fsync="no")], accepted=True)
    left = servers.faults([weak, evicting, replica], accepted=True)
    assert {one.kind for one in left} == {Weakness.EVICTION, Weakness.REPLICA}


def test_one_weak_server_of_a_cluster_is_enough_to_close() -> None:
    assert servers.faults([FIT, FIT, seen(append_only=False)], accepted=False)
    assert servers.barrier([FIT, seen(fsync="everysec", engine=WAITS)], 0) == Barrier(local=1)


@pytest.mark.parametrize(
    ("server", "barrier"),
    [
        (FIT, Barrier()),
        (seen(fsync="everysec", engine=WAITS), Barrier(local=1)),
        (seen(fsync="everysec"), Barrier()),
        (seen(fsync="everysec", engine=Engine("redis", "7.0.0")), Barrier()),
        (seen(append_only=False), Barrier()),
    ],
)
def test_the_disk_is_waited_for_where_the_server_does_not_do_so_by_itself(
    server: StoreServer, barrier: Barrier
) -> None:
    assert servers.barrier([server], 0) == barrier


@pytest.mark.parametrize(
    ("kind", "options", "fsync"),
    [
        (Kind.VALKEY, (), "always"),
        (Kind.REDIS_7, (), "always"),
        (Kind.REDIS_6, (), "always"),
        (Kind.VALKEY, ("--appendfsync", "everysec"), "everysec"),
    ],
)
async def test_a_real_server_is_seen_as_it_is(
    own: Farm, tmp_path: Path, kind: Kind, options: tuple[str, ...], fsync: str
) -> None:
    server = own.server(kind, *options)
    async with opened(settings_for(server, tmp_path)) as store:
        (found,) = store.servers
        assert (found.role, found.append_only, found.fsync, found.eviction) == ("master", True, fsync, "noeviction")
        name = "valkey" if kind is Kind.VALKEY else "redis"
        versions = {Kind.VALKEY: "9.1.2", Kind.REDIS_6: "6.2.14"}
        assert found.engine == Engine(name, versions.get(kind, found.engine.version))
        assert bool(store.faults()) == (fsync != "always")


async def test_a_server_that_does_not_tell_its_settings_is_trusted_no_further_than_it_shows(
    own: Farm, tmp_path: Path
) -> None:
    server = own.server()
    server.ask("ACL", "SETUSER", "payflow", "on", ">secret", "~*", "&*", "+@all", "-config")
    settings = settings_for(server, tmp_path, REDIS_URL=f"unix://payflow:secret@{server.socket}")
    async with opened(settings) as store:
        (found,) = store.servers
        assert (found.append_only, found.fsync) == (True, "")
        assert store.faults()


@pytest.mark.parametrize(
    ("says", "engine"),
    [
        ({"redis_version": "7.2.6", "gcc_version": "12.2.0"}, Engine("redis", "7.2.6")),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2", "server_name": "valkey"}, Engine("valkey", "9.1.2")),
        ({"redis_version": "7.2.5", "dragonfly_version": "df-1.27"}, Engine("dragonfly", "df-1.27")),
        ({}, Engine("redis", "0")),
    ],
)
def test_a_server_that_is_only_called_redis_is_taken_for_what_it_is(says: dict[str, str], engine: Engine) -> None:
    assert engine_of(says) == engine
    assert engine.waits_for_disk == (engine == WAITS)


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", SINGLE)
def test_an_engine_is_believed_only_where_it_is_seen_to_wait_for_its_disk(own: Farm, kind: Kind) -> None:
    server = own.server(kind, "--appendfsync", "everysec")
    assert engine_of(server.info("server")).waits_for_disk == observe(server).waits


def test_where_a_server_syncs_at_every_write_that_is_seen(own: Farm) -> None:
    """What the other observations are worth: the same eyes see a server that does wait."""
    assert observe(own.server()).waits


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_whatever_may_be_sent_the_intent_is_on_the_disk(
    own: Farm, tmp_path: Path, kind: Kind, fsync: str
) -> None:
    server = own.server(kind, "--appendfsync", fsync)
    async with opened(settings_for(server, tmp_path)) as store:
        with traced(server) as trace:
            stored = await about_to_send(store)
            try:
                await store.may_send(stored, LEASE_MS)
            except NotDurable:
                assert fsync == "everysec"
                return
            assert synced(await asyncio.to_thread(trace.lines), f"hist:{stored.record.id}")


async def test_a_server_that_stops_syncing_while_it_rewrites_its_file_gets_no_sends(own: Farm, tmp_path: Path) -> None:
    server = own.server(Kind.VALKEY, "--no-appendfsync-on-rewrite", "yes")
    async with opened(settings_for(server, tmp_path)) as store:
        with pytest.raises(NotDurable, match="no-appendfsync-on-rewrite no"):
            await store.may_send(await about_to_send(store), LEASE_MS)


async def test_with_a_sync_at_every_write_nothing_more_is_waited_for(own: Farm, tmp_path: Path) -> None:
    server = own.server()
    async with opened(settings_for(server, tmp_path)) as store:
        await store.may_send(await about_to_send(store), LEASE_MS)
        assert store.records.barrier == Barrier()
    assert calls(server, "wait") == calls(server, "waitaof") == 0


@pytest.fixture
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of the tests counts as one that waits, so that what is asked of such a one can be seen."""
    monkeypatch.setattr(redis, "SEEN_TO_WAIT", {"valkey": frozenset({"9.1.2"})})


@pytest.mark.usefixtures("_trusted")
async def test_with_a_sync_every_second_the_disk_is_waited_for_before_a_send(own: Farm, tmp_path: Path) -> None:
    server = own.server(Kind.VALKEY, "--appendfsync", "everysec")
    async with opened(settings_for(server, tmp_path)) as store:
        stored = await about_to_send(store)
        assert calls(server, "waitaof") == 0
        await store.may_send(stored, LEASE_MS)
        assert calls(server, "waitaof") == 1


@pytest.mark.usefixtures("_trusted")
async def test_a_disk_that_does_not_keep_up_lets_nothing_leave(
    own: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "BARRIER_TIMEOUT_S", 0.05)
    server = own.server(Kind.VALKEY, "--appendfsync", "everysec")
    async with opened(settings_for(server, tmp_path)) as store:
        stored = await about_to_send(store)
        server.ask("CONFIG", "SET", "appendfsync", "no")
        with pytest.raises(NotDurable, match="disk"):
            await store.may_send(stored, LEASE_MS)


@pytest.mark.usefixtures("_trusted")
async def test_many_sends_share_one_wait(own: Farm, tmp_path: Path) -> None:
    server = own.server(Kind.VALKEY, "--appendfsync", "everysec")
    async with opened(settings_for(server, tmp_path)) as store:
        stored = await about_to_send(store)
        await asyncio.gather(*(store.may_send(stored, LEASE_MS) for _ in range(100)))
        assert calls(server, "waitaof") <= 3


async def test_an_old_server_that_syncs_every_second_keeps_the_rails_closed_until_that_is_accepted(
    own: Farm, tmp_path: Path
) -> None:
    server = own.server(Kind.REDIS_7, "--appendfsync", "everysec")
    async with opened(settings_for(server, tmp_path)) as store:
        assert "appendfsync always" in store.faults()[0].text
        stored = await about_to_send(store)
        with pytest.raises(NotDurable, match="appendfsync always"):
            await store.may_send(stored, LEASE_MS)
    async with opened(settings_for(server, tmp_path, PAYFLOW_ACCEPT_WEAK_DURABILITY="true")) as store:
        assert store.faults() == []
        await store.may_send(stored, LEASE_MS)


async def test_what_the_operator_changes_on_the_server_is_seen_at_the_next_look(own: Farm, tmp_path: Path) -> None:
    server = own.server()
    async with opened(settings_for(server, tmp_path)) as store:
        stored = await about_to_send(store)
        await store.may_send(stored, LEASE_MS)
        server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        await store.look_at_servers()
        with pytest.raises(NotDurable, match="noeviction"):
            await store.may_send(stored, LEASE_MS)
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await store.look_at_servers()
        await store.may_send(stored, LEASE_MS)


# ── replicas ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Pair:
    """A primary and its replica."""

    def __init__(self, farm: Farm) -> None:
        self.primary, self.replica = farm.server(tcp=True), farm.server(tcp=True)
        self.replica.follow(self.primary)


@pytest.fixture(scope="module")
def _shared_pair(farm: Farm) -> Pair:
    return Pair(farm)


@pytest.fixture
def pair(_shared_pair: Pair) -> Pair:
    """The pair, empty and in step."""
    _shared_pair.primary.ask("FLUSHALL")
    _shared_pair.primary.ask("WAIT", 1, 5000)
    return _shared_pair


@pytest.fixture
async def watched(pair: Pair, tmp_path: Path) -> AsyncIterator[Store]:
    """A store with a replica behind it."""
    async with opened(settings_for(pair.primary, tmp_path / "data")) as store:
        yield store


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "BARRIER_TIMEOUT_S", 0.05)


async def test_a_replica_that_was_seen_must_have_the_intent_before_a_send(watched: Store, pair: Pair) -> None:
    assert watched.records.barrier == Barrier(replicas=1)
    stored = await about_to_send(watched)
    before = calls(pair.primary, "wait")
    await watched.may_send(stored, LEASE_MS)
    assert calls(pair.primary, "wait") == before + 1
    assert pair.replica.ask("HGET", f"{{pf:03}}:rec:{stored.record.id}", "state") == b"SENDING"


@pytest.mark.usefixtures("_impatient")
async def test_a_replica_that_does_not_answer_lets_nothing_leave(watched: Store, pair: Pair) -> None:
    stored = await about_to_send(watched)
    pair.replica.freeze()
    try:
        with pytest.raises(NotDurable, match="replicas confirmed"):
            await watched.may_send(stored, LEASE_MS)
    finally:
        pair.replica.thaw()


@pytest.mark.usefixtures("_impatient")
async def test_a_worker_that_starts_while_the_replica_is_gone_misses_it_too(
    watched: Store, pair: Pair, tmp_path: Path
) -> None:
    stored = await about_to_send(watched)
    pair.replica.promote()
    try:
        await watched.look_at_servers()
        with pytest.raises(NotDurable, match="replicas"):
            await watched.may_send(stored, LEASE_MS)
        async with opened(settings_for(pair.primary, tmp_path / "data")) as restarted:
            with pytest.raises(NotDurable, match="replicas"):
                await restarted.may_send(stored, LEASE_MS)
        async with opened(settings_for(pair.primary, tmp_path / "data", PAYFLOW_REPLICAS="0")) as alone:
            await alone.may_send(stored, LEASE_MS)
    finally:
        await asyncio.to_thread(pair.replica.follow, pair.primary)


@pytest.mark.usefixtures("_impatient")
async def test_more_replicas_than_there_are_let_nothing_leave(pair: Pair, tmp_path: Path) -> None:
    async with opened(settings_for(pair.primary, tmp_path, PAYFLOW_REPLICAS="2")) as store:
        stored = await about_to_send(store)
        with pytest.raises(NotDurable, match="Fewer than 2 replicas"):
            await store.may_send(stored, LEASE_MS)


async def test_a_store_without_replicas_needs_none(own: Farm, tmp_path: Path) -> None:
    async with opened(settings_for(own.server(), tmp_path)) as store:
        assert store.records.barrier == Barrier()
        await store.may_send(await about_to_send(store), LEASE_MS)


async def test_a_wait_covers_what_was_written_on_other_connections(watched: Store, pair: Pair) -> None:
    """The intent was committed on one connection of the pool, the wait is on another."""
    stored = await about_to_send(watched)
    for number in range(20):
        await asyncio.gather(*(fund(watched, reference=f"{number} {n}") for n in range(20)))
        await watched.may_send(stored, LEASE_MS)
        assert pair.replica.ask("GET", "{pf:03}:seq") == pair.primary.ask("GET", "{pf:03}:seq")


# ── the cluster ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [Kind.CLUSTER], indirect=True)
async def test_on_a_cluster_the_node_of_the_record_is_waited_for(store: Store, server: Deployment) -> None:
    stored = await about_to_send(store)
    assert len(store.servers) == 3
    before = [calls(node, "waitaof") for node in server.nodes()]
    store.records.barrier = Barrier(local=1)
    await store.may_send(stored, LEASE_MS)
    after = [calls(node, "waitaof") for node in server.nodes()]
    assert sorted(now - then for then, now in zip(before, after, strict=True)) == [0, 0, 1]


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("kind", [Kind.CLUSTER], indirect=True)
async def test_on_a_cluster_a_missing_replica_lets_nothing_leave(store: Store, settings: Settings) -> None:
    stored = await about_to_send(store)
    store.records.barrier = Barrier(replicas=1)
    for _ in range(12):  # more than there are connections: none may be lost
        with pytest.raises(NotDurable, match="replicas"):
            await store.may_send(stored, LEASE_MS)
    store.records.barrier = Barrier()
    await store.may_send(stored, LEASE_MS)
