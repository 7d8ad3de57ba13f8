"""The connection to a pool's Redis, one server or one that sentinels know, and whether it keeps what it acknowledged.

The first line of the pool's own document asks for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis, Sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.open_ethereum_pool import config
from machines.core.errors import Retryable
from machines.core.redis import RedisServer, Script, Weakness, assembled, weak_sync

PATIENCE_S = 10.0
SNAPSHOT_OLD_S = 24 * 3600


@cache
def _script(name: str) -> Script:
    return assembled(name, _part)


def _part(name: str) -> str:
    return (resources.files("adapters.open_ethereum_pool") / "lua" / f"{name}.lua").read_text("utf-8")


class PoolRedis:
    """Sends commands. What the server refuses, and a server that does not answer, are `Retryable`.

    That is right for changes too, although their outcome is unknown then: every one of them may be repeated.
    """

    def __init__(self, settings: config.Redis) -> None:
        self.place = f"{settings.endpoint or ', '.join(settings.sentinels)}/{settings.database}"
        self._sentinel: Sentinel | None = None
        options: dict[str, Any] = {
            "db": settings.database,
            "password": settings.password or None,
            "max_connections": settings.pool_size,
            "decode_responses": True,
            "encoding_errors": "replace",
            "socket_timeout": PATIENCE_S,
            "socket_connect_timeout": PATIENCE_S,
        }
        if settings.sentinels:
            places = [config.host_and_port(place, "sentinelAddrs") for place in settings.sentinels]
            self._sentinel = Sentinel(places, sentinel_kwargs={"socket_timeout": PATIENCE_S})  # type: ignore[no-untyped-call]
            self._redis: Redis = self._sentinel.master_for(settings.master_name, **options)
        else:
            host, port = config.host_and_port(settings.endpoint, "redis.endpoint")
            self._redis = Redis(host=host, port=port, retry=Retry(NoBackoff(), 1), **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._redis.aclose()
        for sentinel in self._sentinel.sentinels if self._sentinel else ():
            await sentinel.aclose()

    async def ask(self, *command: str | int) -> Any:  # noqa: ANN401  (each command has its own answer)
        """Send one command."""
        try:
            return await self._send(*command)
        except (RedisError, OSError) as error:
            raise self._trouble(error) from error

    async def together(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """Send many commands in one transaction, so that their answers are of one moment."""
        if not commands:
            return []
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute())
        except (RedisError, OSError) as error:
            raise self._trouble(error) from error

    async def in_pages(self, commands: Sequence[Sequence[str | int]], page: int) -> list[Any]:
        """Send any number of commands, so many in one transaction: the answers of a page are of one moment."""
        answers: list[Any] = []
        for first in range(0, len(commands), page):
            answers += await self.together(commands[first : first + page])
        return answers

    async def run(self, name: str, keys: Sequence[str], *arguments: str | int) -> tuple[str, str]:
        """Run a script; it gives a code and what it found."""
        script = _script(name)
        try:
            try:
                answer = await self._send("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                answer = await self._send("EVAL", script.text, len(keys), *keys, *arguments)
        except (RedisError, OSError) as error:
            raise self._trouble(error) from error
        code, found = answer
        return str(code), str(found)

    async def reaches_disk(self, key: str, timeout_ms: int) -> bool:
        """Write to a key of no importance and wait for the disk: it then has all that was written before, by anybody.

        The server waits for what the *asking* connection wrote last, so one that wrote nothing is answered at once.
        """
        try:
            async with self._redis.client() as single:
                await single.execute_command("SET", key, "1", "PX", timeout_ms)  # type: ignore[no-untyped-call]
                answer = await single.execute_command("WAITAOF", 1, 0, timeout_ms)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise self._trouble(error) from error
        return int(answer[0]) > 0

    async def save_in_background(self) -> str:
        """Let the server write its snapshot, as the pool's own module does after a run."""
        try:
            answer = await self._send("BGSAVE")
        except ResponseError as error:
            raise Retryable(str(error)) from error
        except (RedisError, OSError) as error:
            raise self._trouble(error) from error
        return "Background saving started" if answer is True else str(answer)

    async def _send(self, *command: str | int) -> Any:  # noqa: ANN401  (as above)
        return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

    def _trouble(self, error: Exception) -> Retryable:
        if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError):
            return Retryable(f"The pool's Redis at {self.place} does not answer: {error}")
        return Retryable(f"The pool's Redis at {self.place} answers with an error: {error}")


@dataclass(frozen=True, slots=True)
class Persistence(RedisServer):
    """Whether a pool's server keeps what it acknowledged."""

    at_s: int = 0
    """Its time."""

    @classmethod
    async def of(cls, link: PoolRedis) -> Self:
        """Ask the server."""
        info, config = _fields(await link.ask("INFO")), await _settings(link)
        return cls(info, config, int((await link.ask("TIME"))[0]))

    @property
    def snapshots_written(self) -> int | None:
        """Since it started; None where it does not tell."""
        return int(self.info["rdb_saves"]) if "rdb_saves" in self.info else None

    @property
    def snapshot_age_s(self) -> int:
        """Since the last one, or since it started if it wrote none since."""
        return max(0, self.at_s - int(self.info.get("rdb_last_save_time", 0)))

    def faults(self) -> list[str]:
        """List why nothing must be sent on the word of this server."""
        says = {
            Weakness.REPLICA: "The pool's Redis is a replica: name the primary in payouts.json.",
            Weakness.NO_FILE: (
                "The pool's Redis keeps no append-only file, so that it may forget who was debited: "
                "`CONFIG SET appendonly yes`, and the same in redis.conf."
            ),
            Weakness.LATE_SYNC: (
                f"The pool's Redis {weak_sync(self.fsync, self.engine)}; or let `payflow pool run` set it for the time "
                'of a run: "payflow": {"appendfsync": "always"} in payouts.json.'
            ),
            Weakness.UNSYNCED_REWRITE: (
                "The pool's Redis stops syncing while it writes its file anew: set `no-appendfsync-on-rewrite no`."
            ),
            Weakness.EVICTION: (
                f"The pool's Redis may drop keys ({self.eviction}): set `maxmemory-policy noeviction`."
            ),
        }
        found = [says[kind] for kind in self.weaknesses()]
        if str(self.info.get("aof_last_write_status", "ok")) != "ok":
            found.append("The pool's Redis failed to write its append-only file: is its disk full?")
        return found

    def advice(self) -> list[str]:
        """List what should be better: backups, above all."""
        found = []
        if str(self.info.get("rdb_last_bgsave_status", "ok")) != "ok":
            found.append("Its last snapshot (BGSAVE) failed: look into its log.")
        is_old = self.snapshots_written == 0 or self.snapshot_age_s > SNAPSHOT_OLD_S
        if not self.config.get("save", "unknown") and not self.replicas and is_old:
            found.append(
                "It writes no snapshots and has no replica: set `bgsave` to true in payouts.json or `save` in "
                "redis.conf, and copy dump.rdb and the append-only folder to another machine."
            )
        return found


def _fields(info: object) -> dict[str, Any]:
    """Read INFO, whether or not the client has taken it apart."""
    if isinstance(info, dict):
        return {str(name): value for name, value in info.items()}
    lines = (line.partition(":") for line in str(info).splitlines())
    return {name: value for name, colon, value in lines if colon}


async def _settings(link: PoolRedis) -> dict[str, str]:
    """Read the settings that matter; a managed server may forbid it."""
    found: dict[str, str] = {}
    for name in ("appendonly", "appendfsync", "maxmemory-policy", "save", "no-appendfsync-on-rewrite"):
        try:
            answer = await link.ask("CONFIG", "GET", name)
        except Retryable:
            return found
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
        found |= {str(key): str(value) for key, value in pairs}
    return found
