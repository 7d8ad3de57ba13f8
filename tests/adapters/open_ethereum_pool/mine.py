"""A pool's Redis as a pool writes it: miners with earnings, and whatever its payer left."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from tests.servers import Server

MARK = "accounted for"
"""The field of our own key that says up to where the chain was read; it is no part of the books."""


class Mine:
    """What the unlocker, the payer and operators do to the books of one coin, by hand."""

    def __init__(self, redis: "Redis", coin: str = "eth") -> None:
        self.redis = redis
        self.coin = coin

    def do(self, *command: str | int) -> Any:  # noqa: ANN401  (each command has its own answer)
        """Send one command as an operator types it."""
        return self.redis.execute_command(*command)  # type: ignore[no-untyped-call]

    def earn(self, login: str, shannon: int, *, height: int = 1) -> None:
        """Mature a block: what the unlocker writes."""
        coin = self.coin
        self.do("HINCRBY", f"{coin}:miners:{login}", "balance", shannon)
        self.do("HSETNX", f"{coin}:credits:{height}:0xb10c{height:060x}", login, shannon)
        self.do("HINCRBY", f"{coin}:finances", "balance", shannon)
        self.do("HSET", f"{coin}:finances", "lastCreditHeight", height)
        self.do("HSET", f"{coin}:miners:{login}", "lastShare", 1_500_000_000)

    def debit(self, login: str, shannon: int, at_s: int) -> None:
        """Lock and take off the balance, as the old payer does before it sends."""
        coin = self.coin
        self.do("SETNX", f"{coin}:payments:lock", f"{login}:{shannon}")
        for field, by in (("balance", -shannon), ("pending", shannon)):
            self.do("HINCRBY", f"{coin}:miners:{login}", field, by)
            self.do("HINCRBY", f"{coin}:finances", field, by)
        self.do("ZADD", f"{coin}:payments:pending", at_s, f"{login}:{shannon}")

    def pay(self, login: str, shannon: int, at_s: int, tx: str) -> None:
        """Book as paid, as the old payer does after it sent."""
        coin = self.coin
        for field, by in (("pending", -shannon), ("paid", shannon)):
            self.do("HINCRBY", f"{coin}:miners:{login}", field, by)
            self.do("HINCRBY", f"{coin}:finances", field, by)
        self.do("ZADD", f"{coin}:payments:all", at_s, f"{tx}:{login}:{shannon}")
        self.do("ZADD", f"{coin}:payments:{login}", at_s, f"{tx}:{shannon}")
        self.do("ZREM", f"{coin}:payments:pending", f"{login}:{shannon}")
        self.do("DEL", f"{coin}:payments:lock")

    def everything(self) -> dict[str, Any]:
        """All keys of the coin with all that they hold, but for up to where the chain was read; scores too."""
        found: dict[str, Any] = {}
        for key in sorted(str(one) for one in self.do("KEYS", f"{self.coin}:*")):
            match str(self.do("TYPE", key)):
                case "hash":
                    held: Any = self.redis.hgetall(key)
                    found[key] = {name: value for name, value in held.items() if name != MARK}
                case "zset":
                    scored: Any = self.redis.zrange(key, 0, -1, withscores=True)
                    found[key] = dict(scored)
                case _:
                    found[key] = self.do("GET", key)
        return found

    def backup(self) -> dict[bytes, Any]:
        """Copy the whole server, as a snapshot has it."""
        return copied(self.redis)

    def restore(self, backup: dict[bytes, Any]) -> None:
        """Put a copy in place of all that is there."""
        put_back(self.redis, backup)

    def sums(self, key: str) -> tuple[int, int, int]:
        """The balance, pending and paid of a miner, or of `finances`."""
        name = f"{self.coin}:{key}" if key == "finances" else f"{self.coin}:miners:{key}"
        return tuple(int(self.redis.hget(name, field) or 0) for field in ("balance", "pending", "paid"))  # type: ignore[return-value]

    def pending(self) -> list[str]:
        """The pending rows."""
        return [str(one) for one in self.do("ZRANGE", f"{self.coin}:payments:pending", 0, -1)]

    def lock(self) -> str | None:
        """What holds the lock."""
        held = self.do("GET", f"{self.coin}:payments:lock")
        return None if held is None else str(held)

    def history(self, login: str = "") -> list[str]:
        """The rows of what was paid, to one miner or to all."""
        return [str(one) for one in self.do("ZRANGE", f"{self.coin}:payments:{login or 'all'}", 0, -1)]


def copied(redis: "Redis") -> dict[bytes, Any]:
    """Copy everything that a server has."""
    raw = _raw(redis)
    try:
        return {key: (raw.dump(key), max(0, raw.pttl(key))) for key in raw.keys("*")}
    finally:
        raw.close()


def put_back(redis: "Redis", backup: dict[bytes, Any]) -> None:
    """Let a server have what a copy has, and nothing else."""
    raw = _raw(redis)
    try:
        raw.flushall()
        for key, (value, ttl_ms) in backup.items():
            raw.restore(key, ttl_ms, value)
    finally:
        raw.close()


def _raw(redis: "Redis") -> Any:  # noqa: ANN401  (a client that decodes nothing)
    options = {**redis.connection_pool.connection_kwargs, "decode_responses": False}
    return Redis(connection_pool=type(redis.connection_pool)(redis.connection_pool.connection_class, **options))


@contextmanager
def mine_of(server: Server, coin: str = "eth") -> Iterator[Mine]:
    """Open a pool's Redis."""
    redis = Redis(host="127.0.0.1", port=server.port, decode_responses=True, protocol=2)
    try:
        yield Mine(redis, coin)
    finally:
        redis.close()


def payouts_json(server: Server, daemon: str, address: str, **changes: Any) -> dict[str, Any]:
    """A pool's own configuration, with what its payouts module reads."""
    payouts: dict[str, Any] = {
        "enabled": True,
        "requirePeers": 0,
        "interval": "120m",
        "daemon": daemon,
        "timeout": "10s",
        "address": address,
        "gas": "21000",
        "gasPrice": "50000000000",
        "autoGas": True,
        "threshold": 500_000_000,
        "bgsave": False,
    }
    own = changes.pop("payflow", {})
    top = changes.pop("top", {})
    content: dict[str, Any] = {
        "threads": 2,
        "coin": "eth",
        "name": "main",
        "redis": {"endpoint": f"127.0.0.1:{server.port}", "poolSize": 10, "database": 0, "password": ""},
        "payouts": payouts | changes,
        "payflow": own,
    }
    return content | dict(top)


def write_config(path: Path, content: dict[str, Any]) -> Path:
    """Write a configuration file."""
    path.write_text(json.dumps(content, indent=2), "utf-8")
    return path
