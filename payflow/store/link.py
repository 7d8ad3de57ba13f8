"""The connection to Redis: one server, sentinels or a cluster behind the same few calls.

No error of redis-py leaves here.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from redis import exceptions as redis_errors
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from machines.core.errors import NotDurable, StoreUnavailable, StoreUnfit
from machines.core.ids import RecordId
from machines.core.redis import Script
from payflow.config import Settings
from payflow.store.macs import NO_MACS
from payflow.store.row_list import NO_ROWS
from payflow.store.scripts import ALL

T = TypeVar("T")

ANSWER_TIMEOUT_S = 10.0
CLOSING_S = 0.5
BARRIER_TIMEOUT_S = 5.0
LISTEN_S = 30.0
PAGE = 500


@dataclass(frozen=True, slots=True)
class Barrier:
    """What must hold before something irreversible leaves."""

    local: int = 0
    """1 when the server must be asked to reach its disk first, because it does not do so by itself."""
    replicas: int = 0
    """How many replicas must have it."""


# Redis before 7.0 wraps an error that a script met into another one, so that only its mark is left, in the text; and
# the client of a cluster wraps what it met when it came.
_UNFIT: tuple[tuple[type[Exception], str, str], ...] = (
    (
        redis_errors.AuthenticationError,
        "NOAUTH ",
        "refuses user or password: check REDIS_USERNAME, REDIS_PASSWORD.",
    ),
    (redis_errors.ReadOnlyError, "-READONLY ", "is a read-only replica: point Payflow at the primary."),
    (redis_errors.OutOfMemoryError, "-OOM ", "is out of memory: raise maxmemory; nothing was written."),
    (redis_errors.NoPermissionError, "-NOPERM ", "forbids a command: {}. Widen the user's ACL."),
    (
        ssl.SSLCertVerificationError,
        "CERTIFICATE_VERIFY_FAILED",
        "shows a certificate that is not to be trusted ({}): check its address and REDIS_CA_FILE.",
    ),
)


class Link:
    """Runs scripts and commands on the store."""

    def __init__(
        self,
        client: "Redis | RedisCluster",
        *,
        cluster: bool,
        place: str,
        turns: int | None = None,
        sentinels: Sequence[Redis] = (),
    ) -> None:
        self.client: Any = client  # redis-py types its commands as sync and async at once
        self.cluster = cluster
        self.place = place
        self.macs = NO_MACS
        """Who signs what is written over this link, and knows what was."""
        self.rows = NO_ROWS
        """Which rows there are beside the records."""
        # Where redis-py refuses what exceeds the pool instead of waiting, we wait. None where it waits itself.
        self._turns = asyncio.Semaphore(turns) if turns else nullcontext()
        self._sentinels = sentinels
        self._closed = False
        self._under_way = 0
        self._quiet = asyncio.Event()

    async def open(self) -> None:
        """Connect and load the scripts."""
        async with self.errors():
            # A server that misses a password says so to this; to anything long it answers with a protocol error.
            await (self.client.initialize() if self.cluster else self.client.ping())
            for script in ALL:
                await self._load(script)

    async def _load(self, script: Script) -> None:
        where = {"target_nodes": RedisCluster.PRIMARIES} if self.cluster else {}
        await self.client.execute_command("SCRIPT LOAD", script.text, **where)

    async def run(self, script: Script, keys: Sequence[str], *args: str | bytes | int) -> Any:
        """Run a script; a server that does not have it yet gets it."""
        async with self.errors():
            try:
                return await self.client.evalsha(script.sha, len(keys), *keys, *args)
            except redis_errors.NoScriptError:
                await self._load(script)
                return await self.client.evalsha(script.sha, len(keys), *keys, *args)

    async def run_durably(self, script: Script, keys: Sequence[str], barrier: Barrier, *args: str | bytes | int) -> Any:
        """Run a script and wait, on the same connection, until all that was written so far is safe."""
        if not barrier.local and not barrier.replicas:
            return await self.run(script, keys, *args)
        async with self.errors():
            await self.client.exists(keys[0])
            async with self._connection(keys[0]) as ask:
                try:
                    answer = await ask("EVALSHA", script.sha, len(keys), *keys, *args)
                except redis_errors.NoScriptError:
                    answer = await ask("EVAL", script.text, len(keys), *keys, *args)
                timeout_ms = int(BARRIER_TIMEOUT_S * 1000)
                if barrier.local and (await ask("WAITAOF", 1, 0, timeout_ms))[0] < 1:
                    raise NotDurable("The store did not reach its disk in time: look at its disk and its log.")
                if barrier.replicas and await ask("WAIT", barrier.replicas, timeout_ms) < barrier.replicas:
                    raise NotDurable(
                        f"Fewer than {barrier.replicas} replicas confirmed the intent: look at the replicas."
                    )
                return answer

    @asynccontextmanager
    async def _connection(self, key: str) -> AsyncIterator[Any]:
        """Hold one connection to the server of a key, so that a barrier speaks of what was written on it."""
        if self.cluster:
            node = self.client.get_node_from_key(key)
            connection = node.acquire_connection()

            async def ask(*words: Any) -> Any:
                await connection.send_packed_command(connection.pack_command(*words))
                return await node.parse_response(connection, words[0])

            try:
                await connection.connect()
                yield ask
            finally:
                node.release(connection)
        else:
            async with self.client.client() as single:
                yield single.execute_command

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands that belong to no transaction in one go."""
        async with self.errors():
            pipe = self.client.pipeline() if self.cluster else self.client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            return list(await pipe.execute())

    async def ask(self, *command: Any) -> Any:
        async with self.errors():
            return await self.client.execute_command(*command)

    async def primaries(self, *command: Any) -> list[Any]:
        """Ask every server that takes writes."""
        async with self.errors():
            if not self.cluster:
                return [await self.client.execute_command(*command)]
            return [
                await self.client.execute_command(*command, target_nodes=node) for node in self.client.get_primaries()
            ]

    async def keys(self, pattern: str) -> AsyncIterator[str]:
        """Walk over the keys of a shape, on every server that takes writes."""
        shape = pattern.replace("{", "\\{")
        for node in self.client.get_primaries() if self.cluster else (None,):
            where = {"target_nodes": node} if node else {}
            cursor: Any = 0
            while True:
                async with self.errors():
                    words = ("SCAN", cursor, "MATCH", shape, "COUNT", PAGE)
                    cursor, found = await self.client.execute_command(*words, **where)
                for key in found:
                    yield key.decode()
                if not (cursor := next(iter(cursor.values())) if isinstance(cursor, dict) else cursor):
                    break

    async def members(self, key: str) -> AsyncIterator[tuple[RecordId, float]]:
        """Walk over the ids of an index and their scores, however long it is."""
        cursor = 0
        while True:
            cursor, found = await self.ask("ZSCAN", key, cursor, "COUNT", PAGE)
            for member, score in found:
                yield RecordId(member.decode()), score
            if not cursor:
                return

    async def fields(self, key: str, pattern: str = "*") -> AsyncIterator[tuple[str, bytes]]:
        """Walk over the fields of a hash, however long it is; it may come by one twice."""
        cursor = 0
        while True:
            cursor, found = await self.ask("HSCAN", key, cursor, "MATCH", pattern, "COUNT", PAGE)
            for name, value in found.items():
                yield name.decode(), value
            if not cursor:
                return

    async def entries(self, key: str, after: str = "") -> AsyncIterator[tuple[str, dict[bytes, bytes]]]:
        """Walk over the entries of a stream that came after one, oldest first."""
        start = f"({after}" if after else "-"
        while True:
            page = await self.ask("XRANGE", key, start, "+", "COUNT", PAGE)
            for name, fields in page:
                yield name.decode(), fields
            if len(page) < PAGE:
                return
            start = f"({page[-1][0].decode()}"

    async def heard(self, channel: str) -> AsyncIterator[bytes]:
        """Listen to a channel; on a cluster any node hears what is published on another."""
        async with self.client.pubsub(ignore_subscribe_messages=True) as ear:
            await ear.subscribe(channel)
            while True:
                message = await ear.get_message(timeout=LISTEN_S)
                if message is not None:
                    yield message["data"]

    async def close(self) -> None:
        """Close all connections: new questions are refused, and those under way may end first."""
        self._closed = True
        if self._under_way:
            self._quiet.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_S):
                    await self._quiet.wait()
        await self.client.aclose()
        if self.cluster:
            # After a failure it believes that it has none.
            await self.client.nodes_manager.aclose()
            await self.client.nodes_manager.aclose("startup_nodes")
        for client in self._sentinels:
            await client.aclose()

    @asynccontextmanager
    async def errors(self, within_s: float | None = ANSWER_TIMEOUT_S) -> AsyncIterator[None]:
        """Wait so long and no longer, and turn the errors of redis-py into ours, each with what to do."""
        if self._closed:
            # A question asked now would open a connection that nobody closes any more.
            raise StoreUnavailable(f"The store at {self.place} was closed.")
        self._under_way += 1
        try:
            # Who listens for ever has a connection to himself: it is the one that the turns leave free.
            async with asyncio.timeout(within_s), self._turns if within_s else nullcontext():
                yield
        except (redis_errors.RedisError, redis_errors.RedisClusterException, OSError, TimeoutError) as error:
            text = str(error) or type(error).__name__
            for kind, mark, advice in _UNFIT:
                if isinstance(error, kind) or isinstance(error.__cause__, kind) or mark in text:
                    raise StoreUnfit(f"The store at {self.place} {advice.format(text)}") from error
            raise StoreUnavailable(
                f"The store at {self.place} did not answer ({text}): see that it runs and that the settings lead to it."
            ) from error
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()


class OverLink:
    """What reads and writes on a link."""

    def __init__(self, link: Link) -> None:
        self._link = link


async def paged(found: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    """Take what is found in parts that one call may ask about."""
    page: list[T] = []
    async for one in found:
        page.append(one)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def scored(answer: Sequence[bytes]) -> list[tuple[RecordId, float]]:
    """Read ids and their scores, which come in turn, as the protocol that is pinned here gives them."""
    return [(RecordId(member.decode()), float(score)) for member, score in zip(answer[::2], answer[1::2], strict=True)]


def connect(settings: Settings, socket: str | None = None) -> Link:
    """Make a link as the settings say, or to the embedded store's socket."""
    options: dict[str, Any] = {
        # redis-py would wait in `asyncio.wait_for`, which can swallow a cancellation before 3.12; `errors` times out.
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),  # a write is never repeated behind our back
        "protocol": 2,
    }
    size = min(settings.redis_pool_size, settings.redis_max_clients)
    if socket is not None:
        return _single(f"unix://{socket}", socket, size, options)
    if settings.redis_ca_file and settings.store_tls:
        options["ssl_ca_certs"] = str(settings.redis_ca_file)
    if settings.redis_cluster:
        client = RedisCluster.from_url(settings.url, max_connections=size, **options)
        return Link(client, cluster=True, place=_place(settings), turns=size - 1)
    if settings.redis_sentinels:
        return _behind_sentinels(settings, size, options)
    return _single(settings.url, _place(settings), size, options)


def _single(url: str, place: str, size: int, options: dict[str, Any]) -> Link:
    pool = BlockingConnectionPool.from_url(url, max_connections=size, timeout=ANSWER_TIMEOUT_S, **options)
    return Link(Redis.from_pool(pool), cluster=False, place=place)


def _behind_sentinels(settings: Settings, size: int, options: dict[str, Any]) -> Link:
    addresses = [
        (host, int(port or 26379)) for host, _, port in (one.partition(":") for one in settings.redis_sentinels)
    ]
    if settings.redis_tls:
        options["ssl"] = True
    login: dict[str, Any] = {"db": settings.redis_db, "username": settings.redis_username}
    if settings.redis_password:
        login["password"] = settings.redis_password.get_secret_value()
    sentinel = Sentinel(addresses, sentinel_kwargs=dict(options), **options, **login)  # type: ignore[no-untyped-call]
    client = sentinel.master_for(settings.redis_sentinel_master, max_connections=size)
    place = f"{settings.redis_sentinel_master} of {','.join(settings.redis_sentinels)}"
    return Link(client, cluster=False, place=place, turns=size - 1, sentinels=sentinel.sentinels)


def _place(settings: Settings) -> str:
    """Name the store without its password."""
    return settings.url.rpartition("@")[2].removeprefix("redis://").removeprefix("rediss://")
