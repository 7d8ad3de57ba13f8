"""Whether the pool's Redis keeps what it acknowledged, as it says itself."""

import asyncio
import socket

import pytest

from adapters.open_ethereum_pool.books import PoolBooks
from adapters.open_ethereum_pool.config import Flavour, Redis
from adapters.open_ethereum_pool.link import PoolRedis
from machines.core import redis
from machines.core.errors import NotDurable, Retryable
from tests.adapters.open_ethereum_pool.mine import mine_of
from tests.servers import Farm, Kind, Server
from tests.store.disk import synced, traced
from tests.waiting import wait_until


def link_to(server: Server, password: str = "") -> PoolRedis:
    """Connect as `payouts.json` says."""
    return PoolRedis(Redis(f"127.0.0.1:{server.port}", 0, password, 10))


@pytest.mark.parametrize(
    ("kind", "options", "fault"),
    [
        (Kind.VALKEY, (), ""),
        (Kind.VALKEY, ("--appendfsync", "everysec"), "Valkey 9.1.2 was never seen to reach its disk"),
        (Kind.VALKEY, ("--no-appendfsync-on-rewrite", "yes"), "no-appendfsync-on-rewrite no"),
        (Kind.REDIS_6, ("--appendfsync", "everysec"), "appendfsync always"),
        (Kind.VALKEY, ("--appendonly", "no"), "appendonly yes"),
        (Kind.VALKEY, ("--maxmemory-policy", "allkeys-lru"), "noeviction"),
    ],
)
async def test_nothing_is_sent_on_the_word_of_a_redis_that_may_forget(
    own: Farm, kind: Kind, options: tuple[str, ...], fault: str
) -> None:
    server = own.server(kind, *options, tcp=True)
    async with link_to(server) as link:
        books = PoolBooks(link, "eth", Flavour.OEP)
        assert fault in await books.durability_fault()
        if fault:
            with pytest.raises(NotDurable):
                await books.keep()
            await PoolBooks(link, "eth", Flavour.OEP, weak_accepted=True).keep()
        else:
            await books.keep()


async def test_the_disk_is_waited_for_on_a_connection_that_wrote(own: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server waits for what the asking connection wrote: asked by one that wrote nothing, it says yes at once."""
    monkeypatch.setattr(redis, "SEEN_TO_WAIT", {"valkey": frozenset({"9.1.2"})})
    server = own.server(Kind.VALKEY, "--appendfsync", "everysec", tcp=True)
    async with link_to(server) as link:
        heard = asyncio.create_task(asyncio.to_thread(_heard, server))
        await wait_until(lambda: b"flags=O" in _clients(server), "somebody listens")
        await PoolBooks(link, "eth", Flavour.OEP).keep()
        server.ask("ECHO", "enough")
        by = {command.split()[0].upper(): place for place, command in await heard}
        assert by["SET"] == by["WAITAOF"]
        assert server.ask("PTTL", "eth:payflow:synced") > 0


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_what_the_books_keep_is_on_the_disk(own: Farm, fsync: str) -> None:
    server = own.server(Kind.VALKEY, "--appendfsync", fsync, tcp=True)
    async with link_to(server) as link:
        with traced(server) as trace:
            server.ask("SET", "debited", "the miner")
            try:
                await PoolBooks(link, "eth", Flavour.OEP).keep()
            except NotDurable:
                assert fsync == "everysec"
                return
            assert synced(await asyncio.to_thread(trace.lines), "the miner")


def _clients(server: Server) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port)) as ask:
        ask.sendall(b"CLIENT LIST\r\n")
        return ask.recv(65536)


def _heard(server: Server) -> list[tuple[str, str]]:
    """Listen to what the server is told, until the word comes: which connection, and what."""
    told: list[tuple[str, str]] = []
    with server.client() as client, client.monitor() as monitor:  # type: ignore[no-untyped-call]
        for said in monitor.listen():
            if said["command"].endswith("enough"):
                return told
            told.append((f"{said['client_address']}:{said['client_port']}", said["command"]))
    return told


async def test_each_write_is_synced_for_the_time_of_a_run_and_set_back_also_by_the_next_one(own: Farm) -> None:
    server = own.server(Kind.VALKEY, "--appendfsync", "everysec", tcp=True)
    async with link_to(server) as link:
        books, other = PoolBooks(link, "eth", Flavour.OEP), PoolBooks(link, "etc", Flavour.OEP)
        await books.sync_as_before()
        assert await books.fsync() == "everysec"
        await books.sync_each_write()
        await books.keep()
        await books.sync_each_write()  # the run before was killed
        await other.sync_each_write()
        await books.sync_as_before()
        assert await other.fsync() == "always", "another coin's run is under way"
        await other.sync_as_before()
        await other.sync_as_before()
        assert await books.fsync() == "everysec"
        assert server.ask("KEYS", "*:payflow:fsync") == []


async def test_a_server_that_syncs_each_write_stays_as_it_is(own: Farm) -> None:
    server = own.server(Kind.VALKEY, tcp=True)
    async with link_to(server) as link:
        books = PoolBooks(link, "eth", Flavour.OEP)
        await books.sync_each_write()
        await books.sync_as_before()
        assert await books.fsync() == "always"


async def test_a_replica_is_not_the_books(own: Farm) -> None:
    primary, replica = own.server(tcp=True), own.server(tcp=True)
    replica.follow(primary)
    async with link_to(replica) as link:
        assert "is a replica" in await PoolBooks(link, "eth", Flavour.OEP).durability_fault()


async def test_a_redis_that_is_gone_or_refuses_is_a_reason_to_wait(own: Farm) -> None:
    server = own.server(tcp=True, password="right")
    async with link_to(server, "wrong") as link:
        with pytest.raises(Retryable):
            await link.ask("PING")
    async with link_to(server, "right") as link:
        assert await PoolBooks(link, "eth", Flavour.OEP).ping() == "PONG"
        server.kill()
        with pytest.raises(Retryable, match="does not answer"):
            await link.ask("PING")


async def test_a_redis_without_backups_is_told_of(own: Farm) -> None:
    server = own.server(tcp=True)
    with mine_of(server) as mine:
        async with link_to(server) as link:
            mine.do("CONFIG", "SET", "save", "3600 1")
            kept = await PoolBooks(link, "eth", Flavour.OEP).persistence()
            assert (kept.faults(), kept.advice()) == ([], [])
            mine.do("CONFIG", "SET", "save", "")
            never = await PoolBooks(link, "eth", Flavour.OEP).persistence()
            assert (never.config["save"], never.snapshots_written) == ("", 0)
            assert any("no snapshots" in one for one in never.advice())
            await link.save_in_background()

            async def written() -> bool:
                return (await PoolBooks(link, "eth", Flavour.OEP).persistence()).snapshots_written == 1

            await wait_until(written, "the snapshot is written")
            assert (await PoolBooks(link, "eth", Flavour.OEP).persistence()).advice() == []


async def test_sentinels_lead_to_the_primary(own: Farm) -> None:
    primary, replica = own.server(tcp=True), own.server(tcp=True)
    replica.follow(primary)
    sentinel = own.sentinel(primary)
    settings = Redis("", 0, "", 10, "mymaster", (f"127.0.0.1:{sentinel.port}",))
    async with PoolRedis(settings) as link:
        books = PoolBooks(link, "eth", Flavour.FRIENDS)
        assert await books.ping() == "PONG"
        assert (await books.persistence()).role == "master"
        with mine_of(primary) as mine:
            mine.earn("0xb85150eb365e7df0941f0cf08235f987ba91506a", 5)
        assert await books.logins() == ["0xb85150eb365e7df0941f0cf08235f987ba91506a"]
