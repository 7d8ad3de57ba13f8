"""A mining pool for the sandbox: a Redis of its own, with books as a pool writes them, and its configuration file."""

import json
import random
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.sandbox.chain.accounts import POOL
from adapters.sandbox.leashed import Leashed, NotStarted
from payflow.store.embedded import server_binary

if TYPE_CHECKING:
    from adapters.open_ethereum_pool.link import PoolRedis

COIN = "eth"
THRESHOLD_SHANNON = 500_000_000
TRIES = 5
_PORTS = (20_000, 30_000)
RUN_EVERY = "5s"

MINERS: Mapping[str, int] = {
    "0x00000000000000000000000000000000c0ffee01": 1_250_000_000,
    "0x00000000000000000000000000000000c0ffee02": 840_000_000,
    "0x00000000000000000000000000000000c0ffee03": 505_500_000,
    "0x00000000000000000000000000000000c0ffee04": 61_000_000,
}
"""Each miner, and what a block earns him in Shannon. The last one stays below the threshold for a while."""


def free_port() -> int:
    """Find a port that nobody uses now, from those that no system hands out by itself: so nobody takes it meanwhile."""
    while True:
        port = random.randrange(*_PORTS)  # noqa: S311  (no secret)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class SandboxPool:
    """The pool's Redis, and what the pool's other modules write into it."""

    def __init__(self, folder: Path, lock: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = lock
        self._link: PoolRedis | None = None
        self._start()

    def _start(self) -> None:
        self.port = free_port()
        command = [
            str(server_binary()),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--daemonize", "no"),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
        ]
        self._program = Leashed(command, self._folder / "log", keep=(self._lock,))

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Wait until it answers."""
        from adapters.open_ethereum_pool.config import Redis  # noqa: PLC0415  (only the sandbox speaks for a pool)
        from adapters.open_ethereum_pool.link import PoolRedis  # noqa: PLC0415  (as above)

        for _ in range(TRIES):
            try:
                await self._program.said(r"(Ready to accept connections)")
            except NotStarted as error:
                if "already in use" not in str(error):
                    raise
                await self._program.stop()
                self._start()  # somebody was quicker
            else:
                break
        self._link = PoolRedis(Redis(self.endpoint, 0, "", 4))

    async def close(self) -> None:
        """End it."""
        if self._link is not None:
            await self._link.__aexit__(None, None, None)
        await self._program.stop()

    async def find_block(self) -> int:
        """Let a block mature, as the pool's unlocker books it; gives its height."""
        if self._link is None:
            raise RuntimeError("The pool is not open.")
        height = int(await self._link.ask("HGET", f"{COIN}:finances", "lastCreditHeight") or 19_000_000) + 1
        commands: list[tuple[str | int, ...]] = [
            ("HSET", f"{COIN}:finances", "lastCreditHeight", height, "lastCreditHash", f"0x{height:064x}"),
            ("HINCRBY", f"{COIN}:finances", "balance", sum(MINERS.values())),
            ("HINCRBY", f"{COIN}:finances", "totalMined", sum(MINERS.values())),
        ]
        for login, shannon in MINERS.items():
            commands += [
                ("HINCRBY", f"{COIN}:miners:{login}", "balance", shannon),
                ("HSET", f"{COIN}:miners:{login}", "lastShare", 1_700_000_000 + height),
                ("HSETNX", f"{COIN}:credits:{height}:0x{height:064x}", login, shannon),
            ]
        await self._link.together(commands)
        return height

    def write_config(self, path: Path, daemon: str) -> None:
        """Write the configuration that the pool's payouts module would read."""
        payouts = {
            "enabled": True,
            "requirePeers": 0,
            "interval": RUN_EVERY,
            "daemon": daemon,
            "timeout": "10s",
            "address": POOL.address,
            "gas": "21000",
            "gasPrice": "50000000000",
            "autoGas": True,
            "threshold": THRESHOLD_SHANNON,
            "bgsave": False,
            "concurrentTx": 10,
        }
        whole = {
            "threads": 2,
            "coin": COIN,
            "name": "sandbox",
            "redis": {"endpoint": self.endpoint, "poolSize": 10, "database": 0, "password": ""},
            "payouts": payouts,
        }
        path.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
