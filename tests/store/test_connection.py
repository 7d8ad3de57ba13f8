"""The connection: bounded, honest about what went wrong, and never mistaken about whose answer it reads."""

import asyncio
import random
from functools import partial
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from machines.core.errors import NotFound, StoreError, StoreUnavailable, StoreUnfit
from machines.core.ids import derived_id
from payflow.config import Settings
from payflow.store import keys
from payflow.store.link import Barrier, Link
from payflow.store.scripts import COMMIT
from payflow.store.store import Store
from tests.desk import (
    ANN,
    account,
    ask,
    claim,
    claim_one,
    faults,
    fund,
    new,
    ngn,
    opened,
    owner_in,
    settings_for,
    tell,
    think,
)
from tests.errand import Approved
from tests.front import fronted
from tests.servers import EVERY, SINGLE, Deployment, Farm, Kind, Server, dump, free_port
from tests.waiting import wait_until

POOL = 4


def clients(server: Server) -> int:
    """How many connections others than the asking one have."""
    others: list[dict[str, str]] = server.ask("CLIENT LIST")
    return sum(one["flags"] != "S" for one in others) - 1


async def listen(store: Store, heard: list[bytes]) -> None:
    """Listen for wake-ups, as a worker does."""
    async with store.link.errors(within_s=None):
        async for word in store.link.heard(keys.WAKE_CHANNEL):
            heard.append(word)  # noqa: PERF401  (it never ends)


async def storm(store: Store) -> None:
    """Ask for much at once, in every way there is."""
    owners = [owner_in(shard) for shard in range(store.records.shards)]
    ids = [await ask(store, owner, key="stormy") for owner in owners]
    work = [
        *(store.records.read(ids[n % len(ids)]) for n in range(100)),
        *(fund(store, owners[n % len(owners)], 1, f"storm {n}") for n in range(100)),
        *(claim(store, limit=2) for _ in range(50)),
        *(store.listing.counts_by_state() for _ in range(20)),
        *(store.pauses.all() for _ in range(50)),
        *(store.records.poke(*ids) for _ in range(50)),
        *(store.outbox.take(5, 1000) for _ in range(20)),
        *(store.look_at_servers() for _ in range(20)),
        *(store.records.rate_tokens(f"{n}", 5, 1) for n in range(50)),
    ]
    random.Random(7).shuffle(work)
    await asyncio.gather(*work)


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)
async def test_one_process_never_has_more_connections_than_it_may(server: Deployment, tmp_path: Path) -> None:
    before = [clients(node) for node in server.nodes()]
    most = 0
    async with opened(settings_for(server, tmp_path, REDIS_POOL_SIZE=str(POOL))) as store:
        for shard in range(store.records.shards):
            await fund(store, owner_in(shard))
        storming = asyncio.create_task(storm(store))
        while not storming.done():
            counts = await asyncio.to_thread(lambda: [clients(node) for node in server.nodes()])
            most = max(most, *(now - then for now, then in zip(counts, before, strict=True)))
        await storming
    assert 1 <= most <= POOL


@pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)
async def test_waiting_before_a_send_takes_no_more_connections_either(server: Deployment, tmp_path: Path) -> None:
    async with opened(settings_for(server, tmp_path, REDIS_POOL_SIZE=str(POOL))) as store:
        await fund(store)
        await ask(store)
        stored = await claim_one(store, lease_ms=600_000)
        store.records.barrier = Barrier(local=1)
        await asyncio.gather(*(store.may_send(stored, 600_000) for _ in range(200)), *(ask(store) for _ in range(50)))


@pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)
async def test_the_smallest_pool_is_enough_to_work_and_to_listen(server: Deployment, tmp_path: Path) -> None:
    async with opened(settings_for(server, tmp_path, REDIS_POOL_SIZE="2")) as store:
        heard: list[bytes] = []
        listening = asyncio.create_task(listen(store, heard))
        for shard in range(store.records.shards):
            await fund(store, owner_in(shard))
        await asyncio.gather(storm(store), *(faults(store) for _ in range(5)))
        assert await faults(store) == []
        await wait_until(lambda: bool(heard), "a wake-up is heard")
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)
@pytest.mark.parametrize("trouble", [False, True], ids=["in peace", "after a failure"])
async def test_all_connections_are_closed_in_the_end(server: Deployment, tmp_path: Path, *, trouble: bool) -> None:
    before = [clients(node) for node in server.nodes()]
    async with opened(settings_for(server, tmp_path)) as store:
        await asyncio.gather(*(store.pauses.all() for _ in range(20)))
        assert sum(clients(node) for node in server.nodes()) > sum(before)
        if trouble and store.link.cluster:
            store.link.client._initialize = True  # noqa: SLF001  (as redis-py does when a node did not answer)
    await wait_until(lambda: [clients(node) for node in server.nodes()] == before, "the connections are gone")


# ── what may go wrong ────────────────────────────────────────────────────────────────────────────────────────────────


async def refused(settings: Settings) -> str:
    """Open a store that cannot be used, and give the reason."""
    with pytest.raises(StoreError) as error:
        async with opened(settings):
            pass
    assert type(error.value) is (StoreUnfit if "did not answer" not in str(error.value) else StoreUnavailable)
    return str(error.value)


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("login", [":wrong@", "", "nobody:secret@"], ids=["wrong", "none", "another user"])
async def test_a_wrong_password_is_told_and_not_shown(own: Farm, tmp_path: Path, kind: Kind, login: str) -> None:
    server = own.server(kind, tcp=True, password="secret")
    reason = await refused(settings_for(server, tmp_path, REDIS_URL=f"redis://{login}127.0.0.1:{server.port}"))
    assert "REDIS_PASSWORD" in reason
    assert "wrong" not in reason
    assert "secret" not in reason
    async with opened(settings_for(server, tmp_path, REDIS_URL=f"redis://:secret@127.0.0.1:{server.port}")) as store:
        assert "secret" not in store.link.place


@pytest.mark.parametrize("kind", [Kind.CLUSTER], indirect=True)
@pytest.mark.parametrize("login", [":wrong", "nobody:wrong"])
async def test_a_wrong_password_for_a_cluster_is_told_and_not_shown(
    server: Deployment, tmp_path: Path, login: str
) -> None:
    url = f"redis://{login}@127.0.0.1:{server.nodes()[0].port}"
    reason = await refused(settings_for(server, tmp_path, REDIS_URL=url))
    assert "REDIS_PASSWORD" in reason
    assert "wrong" not in reason


async def test_a_server_can_be_named_by_its_parts(own: Farm, tmp_path: Path) -> None:
    server = own.server(tcp=True, password="p@ss:/#?%")
    parts = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port), "REDIS_PASSWORD": "p@ss:/#?%", "REDIS_DB": "3"}
    async with opened(settings_for(server, tmp_path, REDIS_URL="", **parts)) as store:
        await fund(store)
    assert "db3" in server.info("keyspace")


@pytest.mark.parametrize("cluster", ["false", "true"])
async def test_an_address_where_nobody_listens_is_told(tmp_path: Path, cluster: str, farm: Farm) -> None:
    port = free_port()
    url = f"redis://:secret@127.0.0.1:{port}"
    nowhere = settings_for(farm.shared(Kind.VALKEY), tmp_path, REDIS_URL=url, REDIS_CLUSTER=cluster)
    reason = await refused(nowhere)
    assert f"127.0.0.1:{port}" in reason
    assert "secret" not in reason


async def test_a_server_that_is_no_cluster_is_not_taken_for_one(own: Farm, tmp_path: Path) -> None:
    server = own.server(tcp=True)
    assert str(server.port) in await refused(settings_for(server, tmp_path, REDIS_CLUSTER="true"))


@pytest.mark.parametrize("kind", SINGLE)
async def test_a_replica_is_refused_with_what_to_do(own: Farm, tmp_path: Path, kind: Kind) -> None:
    server = own.server(kind)
    async with opened(settings_for(server, tmp_path)) as store:
        await fund(store)
        record_id = await ask(store)
        server.ask("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(StoreUnfit, match="read-only replica: point Payflow at the primary"):
            await tell(store, record_id, Approved())
        with pytest.raises(StoreUnfit, match="primary"):
            await claim(store)
        await store.look_at_servers()
        assert "replica" in store.faults()[0].text
    assert "primary" in await refused(settings_for(server, tmp_path / "new"))


@pytest.mark.parametrize("kind", SINGLE)
async def test_a_full_memory_is_told_and_nothing_is_written(own: Farm, tmp_path: Path, kind: Kind) -> None:
    server = own.server(kind)
    async with opened(settings_for(server, tmp_path)) as store:
        await fund(store)
        record_id = await ask(store)
        before = dump(server)
        server.ask("CONFIG", "SET", "maxmemory", 1)
        for attempt in (tell(store, record_id, Approved()), ask(store, key="2"), fund(store, reference="more")):
            with pytest.raises(StoreUnfit, match="out of memory"):
                await attempt
        with pytest.raises(StoreUnfit, match="out of memory"):
            await claim(store)
        assert dump(server) == before
        assert (await store.records.read(record_id)).record.state == "ASKED", "looks go on"
        server.ask("CONFIG", "SET", "maxmemory", 0)
        await tell(store, record_id, Approved())
        assert await faults(store) == []


@pytest.mark.parametrize("kind", SINGLE)
async def test_a_user_who_may_not_do_enough_is_told_what(own: Farm, tmp_path: Path, kind: Kind) -> None:
    server = own.server(kind)
    server.ask("ACL", "SETUSER", "payflow", "on", ">secret", "~*", "&*", "+@all", "-evalsha", "-script")
    url = f"unix://payflow:secret@{server.socket}"
    reason = await refused(settings_for(server, tmp_path, REDIS_URL=url))
    assert "ACL" in reason
    assert "script" in reason


@pytest.mark.parametrize("kind", SINGLE)
async def test_a_user_who_may_not_use_a_command_of_a_script_is_told(own: Farm, tmp_path: Path, kind: Kind) -> None:
    server = own.server(kind)
    server.ask("ACL", "SETUSER", "payflow", "on", ">secret", "~*", "&*", "+@all", "-xadd", "-info")
    url = f"unix://payflow:secret@{server.socket}"
    with pytest.raises(StoreError):
        async with opened(settings_for(server, tmp_path, REDIS_URL=url)) as store:
            await fund(store)


@pytest.mark.parametrize("kind", EVERY, indirect=True)
async def test_a_store_of_a_newer_schema_is_left_alone(store: Store, server: Deployment, settings: Settings) -> None:
    await fund(store)
    await store.link.ask("HSET", keys.META, "schema", keys.SCHEMA + 1)
    before = dump(server)
    assert "run the newer version" in await refused(settings)
    assert dump(server) == before
    await store.link.ask("HSET", keys.META, "schema", keys.SCHEMA)


@pytest.mark.parametrize("kind", EVERY, indirect=True)
async def test_the_number_of_shards_is_fixed_at_the_first_start(
    store: Store, server: Deployment, tmp_path: Path
) -> None:
    async with opened(settings_for(server, tmp_path, PAYFLOW_SHARDS="9")) as other:
        assert other.records.shards == store.records.shards == 4
        assert other.store_id == store.store_id


@pytest.mark.parametrize("kind", EVERY, indirect=True)
async def test_a_server_that_forgot_the_scripts_gets_them_again(store: Store, server: Deployment) -> None:
    await fund(store)
    record_id = await ask(store)

    def forget() -> None:
        for node in server.nodes():
            node.ask("SCRIPT", "FLUSH")

    forget()
    await tell(store, record_id, Approved())
    forget()
    stored = await claim_one(store, "READY")
    forget()
    store.records.barrier = Barrier(local=1) if store.servers[0].engine.numbers >= (7, 2) else Barrier()
    assert await store.records.hold(stored, 1000)
    forget()
    assert await store.records.poke(record_id) == ["leased"]
    forget()
    assert await store.outbox.take(1, 1) == []
    forget()
    assert (await store.records.rate_tokens("x", 5, 1))[0] == 1
    forget()
    assert (await store.records.read(record_id)).record.state == "READY"


# ── trouble in between ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", SINGLE)
async def test_a_restart_of_the_server_between_two_calls_is_not_noticed(own: Farm, tmp_path: Path, kind: Kind) -> None:
    server = own.server(kind)
    async with opened(settings_for(server, tmp_path)) as store:
        await fund(store)
        await asyncio.gather(*(store.pauses.all() for _ in range(20)))
        await asyncio.to_thread(server.restart)
        for key in ("1", "2"):
            await ask(store, key=key)
        await asyncio.gather(*(store.pauses.all() for _ in range(20)))
        assert (await account(store)).held == 200


async def test_while_the_server_is_down_every_call_says_so_and_afterwards_all_goes_on(
    own: Farm, tmp_path: Path
) -> None:
    server = own.server()
    async with opened(settings_for(server, tmp_path)) as store:
        await fund(store)
        record_id = await ask(store)
        await asyncio.to_thread(server.kill)
        for attempt in (
            store.records.read(record_id),
            ask(store, key="2"),
            claim(store),
            store.pauses.all(),
            store.listing.counts_by_state(),
            store.look_at_servers(),
            store.outbox.take(1, 1),
            store.records.now(),
        ):
            with pytest.raises(StoreUnavailable, match="did not answer"):
                await attempt
        await asyncio.to_thread(server.start)
        assert (await claim_one(store)).record.id == record_id


async def test_a_server_that_hangs_is_not_waited_for_for_ever(
    own: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own.server()
    async with opened(settings_for(server, tmp_path)) as store:
        await fund(store)
        record_id = await ask(store)
        with monkeypatch.context() as patched:
            patched.setattr(store.link, "errors", partial(Link.errors, store.link, 0.1))
            server.freeze()
            try:
                for attempt in (store.records.read(record_id), ask(store, key="2"), store.pauses.all()):
                    with pytest.raises(StoreUnavailable):
                        await attempt
            finally:
                server.thaw()
        # The answers that came late are nobody's.
        assert (await store.records.read(record_id)).record.id == record_id
        assert await store.pauses.all() == {}
        assert (await store.records.create(new(key="2"), "test")).record.id == new(key="2").id


async def test_a_lost_reply_means_unknown_and_the_same_request_finds_what_was_written(
    own: Farm, tmp_path: Path
) -> None:
    async with fronted(own.server()) as front, opened(settings_for(front, tmp_path)) as store:
        await fund(store)
        front.swallowing = COMMIT.sha.encode()
        for attempt in (store.records.create(new(), "test"), store.records.fund(ANN, ngn(5), "five")):
            with pytest.raises(StoreUnavailable):
                await attempt
        front.swallowing = b""
        assert not (await store.records.create(new(), "test")).fresh
        assert not await store.records.fund(ANN, ngn(5), "five")
        assert (await account(store)).held == 100
        assert (await account(store)).funded == 1_000_005
        stored = await claim_one(store)
        front.swallowing = COMMIT.sha.encode()
        with pytest.raises(StoreUnavailable):
            await think(store, stored, Approved())
        front.swallowing = b""
        await think(store, stored, Approved())
        assert (await store.records.read(stored.record.id)).record.version == 2
        assert await faults(store) == []


@pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)
async def test_who_is_cancelled_leaves_no_answer_for_the_next(store: Store) -> None:
    """A reply that is read by the wrong caller would be the end of everything."""
    luck = random.Random(7)
    ids = []
    for number in range(40):
        owner = owner_in(number % 4)
        await fund(store, owner)
        ids.append(await ask(store, owner, 100 + number, str(number)))
    store.records.barrier = Barrier(local=1)

    async def look(number: int) -> None:
        record = (await store.records.read(ids[number])).record
        assert record.id == ids[number]
        assert record.amount == ngn(100 + number)
        history = await store.records.history(ids[number])
        assert history[0].version == 1
        await store.link.ask("GET", keys.sequence(number % 4))
        with pytest.raises(NotFound):
            await store.records.read(derived_id("errand", number % 4, "nobody", str(number)))

    for _ in range(15):
        tasks = [asyncio.create_task(look(luck.randrange(40))) for _ in range(40)]
        for _ in range(luck.randrange(6)):
            await asyncio.sleep(0)
        for task in luck.sample(tasks, 15):
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(one) for one in done} <= {type(None), asyncio.CancelledError}
    assert await faults(store) == []


@pytest.mark.parametrize("kind", EVERY, indirect=True)
async def test_a_wake_up_is_heard_by_other_processes(store: Store, settings: Settings) -> None:
    async with opened(settings) as other:
        heard: list[bytes] = []
        listening = asyncio.create_task(listen(other, heard))
        await fund(store)
        tries = 0

        async def is_heard() -> bool:
            nonlocal tries
            tries += 1
            await ask(store, key=str(tries))
            return bool(heard)

        await wait_until(is_heard, "a wake-up is heard")
        assert heard[0] == b"errand:ASKED"
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


# ── sentinels ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def guarded(own: Farm, tmp_path: Path) -> tuple[Settings, Server, Server]:
    """A primary and its replica behind a sentinel."""
    primary, replica = own.server(tcp=True), own.server(tcp=True)
    await asyncio.to_thread(replica.follow, primary)
    sentinel = own.sentinel(primary)
    await wait_until(lambda: sentinel.ask("SENTINEL", "CKQUORUM", "mymaster") is not None, "the sentinel is ready")
    await wait_until(
        lambda: len(sentinel.ask("SENTINEL", "REPLICAS", "mymaster")) == 1, "the sentinel knows the replica"
    )
    settings = settings_for(
        primary, tmp_path, REDIS_URL="", REDIS_SENTINELS=f"127.0.0.1:{sentinel.port}", REDIS_POOL_SIZE=str(POOL)
    )
    return settings, sentinel, replica


async def test_behind_sentinels_the_primary_is_found_and_followed(
    guarded: tuple[Settings, Server, Server],
) -> None:
    settings, sentinel, replica = guarded
    async with opened(settings) as store:
        for shard in range(4):
            await fund(store, owner_in(shard))
        await storm(store)
        assert await faults(store) == []

        def failover() -> bool:
            try:
                return bool(sentinel.ask("SENTINEL", "FAILOVER", "mymaster"))
            except ResponseError:  # it does not know its replica well enough yet
                return False

        await wait_until(failover, "the sentinel promotes the replica")

        async def followed() -> bool:
            try:
                await fund(store, reference="after the failover")
            except StoreError:
                return False
            return True

        await wait_until(followed, "writes go to the new primary")
        assert replica.ask("HGET", "{pf:03}:uniq:fund", "after the failover")
        assert not store.guard.alarms
