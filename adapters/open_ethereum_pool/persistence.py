"""Whether the pool's Redis keeps what it acknowledged: the first line of the pool's own document asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from adapters.open_ethereum_pool.link import PoolRedis
from machines.core.errors import Retryable
from machines.core.redis import Engine, engine_of, weak_sync

SNAPSHOT_OLD_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Persistence:
    """What the server says of itself."""

    engine: Engine
    role: str
    append_only: bool
    fsync: str
    """`always`, `everysec`, `no`, or empty when it does not tell."""
    eviction: str
    snapshots: bool
    """Whether it writes snapshots by itself."""
    snapshot_age_s: int
    """Since the last one, or since it started if it wrote none since."""
    snapshots_written: int | None
    """Since it started; None where it does not tell."""
    snapshot_failed: bool
    append_failed: bool
    replicas: int
    syncs_in_rewrites: bool = True
    """Whether it also syncs while it writes its file anew, or a snapshot."""

    @classmethod
    async def of(cls, link: PoolRedis) -> Self:
        """Ask the server."""
        info: Mapping[str, Any] = _fields(await link.ask("INFO"))
        settings = await _settings(link)
        written = int(info.get("rdb_last_save_time", 0))
        now = int((await link.ask("TIME"))[0])
        return cls(
            engine=engine_of(info),
            role=str(info.get("role", "")),
            append_only=settings.get("appendonly", "yes" if str(info.get("aof_enabled")) == "1" else "no") == "yes",
            fsync=settings.get("appendfsync", ""),
            eviction=settings.get("maxmemory-policy", str(info.get("maxmemory_policy", ""))),
            snapshots=bool(settings.get("save", "unknown")),
            snapshot_age_s=max(0, now - written),
            snapshots_written=int(info["rdb_saves"]) if "rdb_saves" in info else None,
            snapshot_failed=str(info.get("rdb_last_bgsave_status", "ok")) != "ok",
            append_failed=str(info.get("aof_last_write_status", "ok")) != "ok",
            replicas=int(info.get("connected_slaves", 0)),
            syncs_in_rewrites=settings.get("no-appendfsync-on-rewrite", "no") == "no",
        )

    @property
    def must_wait(self) -> bool:
        """Whether it must be asked, because it does not do it before it answers."""
        return self.append_only and self.fsync != "always" and self.engine.waits_for_disk

    def faults(self) -> list[str]:
        """List why nothing must be sent on the word of this server."""
        found = []
        if self.role not in ("master", ""):
            found.append("The pool's Redis is a replica: name the primary in payouts.json.")
        if not self.append_only:
            found.append(
                "The pool's Redis keeps no append-only file, so that it may forget who was debited: "
                "`CONFIG SET appendonly yes`, and the same in redis.conf."
            )
        elif weak := weak_sync(self.fsync, self.engine):
            found.append(
                f"The pool's Redis {weak}; or let `payflow pool run` set it for the time of a run: "
                '"payflow": {"appendfsync": "always"} in payouts.json.'
            )
        elif not self.syncs_in_rewrites:
            found.append(
                "The pool's Redis stops syncing while it writes its file anew: set `no-appendfsync-on-rewrite no`."
            )
        if self.append_failed:
            found.append("The pool's Redis failed to write its append-only file: is its disk full?")
        if self.eviction not in ("noeviction", ""):
            found.append(f"The pool's Redis may drop keys ({self.eviction}): set `maxmemory-policy noeviction`.")
        return found

    def advice(self) -> list[str]:
        """List what should be better: backups, above all."""
        found = []
        if self.snapshot_failed:
            found.append("Its last snapshot (BGSAVE) failed: look into its log.")
        is_old = self.snapshots_written == 0 or self.snapshot_age_s > SNAPSHOT_OLD_S
        if not self.snapshots and not self.replicas and is_old:
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
