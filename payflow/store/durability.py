"""Whether the store keeps what it acknowledged, and what must be waited for before money leaves."""

from collections.abc import Mapping
from dataclasses import dataclass

from machines.core.errors import StoreUnavailable, StoreUnfit
from payflow.store.link import Barrier, Link

WAITAOF_SINCE = (7, 2)


@dataclass(frozen=True, slots=True)
class Server:
    """What one server that takes writes says of itself."""

    version: tuple[int, ...]
    role: str
    replicas: int
    append_only: bool
    fsync: str
    """`always`, `everysec`, `no`, or empty when the server does not tell."""
    eviction: str
    """The eviction policy, or empty when the server does not tell."""
    identity: tuple[str, str] = ("", "")
    """Its run id and replication id."""

    @property
    def knows_waitaof(self) -> bool:
        """Whether it can be asked to reach its disk."""
        return self.version >= WAITAOF_SINCE

    @property
    def keeps_writes(self) -> bool:
        """Whether an acknowledged write can be made to survive the server's death."""
        return self.append_only and (self.fsync == "always" or (self.fsync == "everysec" and self.knows_waitaof))

    def faults(self) -> list[str]:
        """List why money must not be sent on the word of this server."""
        found = []
        if self.role != "master":
            found.append("The store is a replica: point Payflow at the primary.")
        if not self.append_only:
            found.append("The store keeps no append-only file: set `appendonly yes`.")
        elif not self.keeps_writes:
            found.append(
                f"The store syncs its file {self.fsync or 'unknown'!r}: set `appendfsync always`, or run 7.2 or newer."
            )
        if self.eviction not in ("noeviction", ""):
            found.append(f"The store may drop records ({self.eviction}): set `maxmemory-policy noeviction`.")
        return found


async def inspect(link: Link) -> list[Server]:
    """Ask every server that takes writes."""
    infos = await link.primaries("INFO")
    servers = []
    settings = await _config(link, len(infos))
    for info, config in zip(infos, settings, strict=True):
        append_only = config.get("appendonly", "yes" if str(info.get("aof_enabled")) == "1" else "no")
        servers.append(
            Server(
                version=tuple(
                    int(part) for part in str(info.get("valkey_version") or info["redis_version"]).split(".")[:3]
                ),
                role=str(info["role"]),
                replicas=int(info.get("connected_slaves", 0)),
                append_only=append_only == "yes",
                fsync=config.get("appendfsync", ""),
                eviction=config.get("maxmemory-policy", str(info.get("maxmemory_policy", ""))),
                identity=(str(info.get("run_id", "")), str(info.get("master_replid", ""))),
            )
        )
    return servers


async def _config(link: Link, servers: int) -> list[Mapping[str, str]]:
    """Read the settings that matter; a managed server may forbid it."""
    names = ("appendonly", "appendfsync", "maxmemory-policy")
    try:
        answers = [await link.primaries("CONFIG GET", name) for name in names]
    except (StoreUnfit, StoreUnavailable):
        return [{} for _ in range(servers)]
    return [
        {
            name: _text(answer[place].get(name) or answer[place].get(name.encode(), ""))
            for name, answer in zip(names, answers, strict=True)
        }
        for place in range(servers)
    ]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def faults(servers: list[Server], *, accepted: bool) -> list[str]:
    """List why rails must stay closed; an operator may accept the risk of a weak disk, never of an eviction."""
    found = {fault for server in servers for fault in server.faults()}
    if accepted:
        found = {fault for fault in found if "appendonly" not in fault and "appendfsync" not in fault}
    return sorted(found)


def barrier(servers: list[Server], replicas_wanted: int) -> Barrier:
    """Tell what to wait for before something leaves."""
    local = any(server.append_only and server.fsync != "always" and server.knows_waitaof for server in servers)
    return Barrier(local=int(local), replicas=replicas_wanted)
