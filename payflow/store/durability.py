"""Whether the store keeps what it acknowledged, and what must be waited for before money leaves."""

from collections.abc import Mapping
from dataclasses import dataclass

from machines.core.engines import Engine, engine_of, weak_sync
from machines.core.errors import StoreUnavailable, StoreUnfit
from payflow.store.link import Barrier, Link


@dataclass(frozen=True, slots=True)
class Server:
    """What one server that takes writes says of itself."""

    engine: Engine
    role: str
    replicas: int
    append_only: bool
    fsync: str
    """`always`, `everysec`, `no`, or empty when the server does not tell."""
    eviction: str
    """The eviction policy, or empty when the server does not tell."""
    identity: tuple[str, str] = ("", "")
    """Its run id and replication id."""
    syncs_in_rewrites: bool = True
    """Whether it also syncs while it writes its file anew, or a snapshot."""

    def weakness(self) -> str:
        """Say why what it acknowledged may not survive its death; an operator may accept that."""
        if not self.append_only:
            return "The store keeps no append-only file: set `appendonly yes`."
        if weak := weak_sync(self.fsync, self.engine):
            return f"The store {weak}."
        if not self.syncs_in_rewrites:
            return "The store stops syncing while it writes its file anew: set `no-appendfsync-on-rewrite no`."
        return ""

    def faults(self) -> list[str]:
        """List what else is wrong, which nobody may accept."""
        found = []
        if self.role != "master":
            found.append("The store is a replica: point Payflow at the primary.")
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
                engine=engine_of(info),
                role=str(info["role"]),
                replicas=int(info.get("connected_slaves", 0)),
                append_only=append_only == "yes",
                fsync=config.get("appendfsync", ""),
                eviction=config.get("maxmemory-policy", str(info.get("maxmemory_policy", ""))),
                identity=(str(info.get("run_id", "")), str(info.get("master_replid", ""))),
                syncs_in_rewrites=config.get("no-appendfsync-on-rewrite", "no") == "no",
            )
        )
    return servers


async def _config(link: Link, servers: int) -> list[Mapping[str, str]]:
    """Read the settings that matter; a managed server may forbid it."""
    names = ("appendonly", "appendfsync", "maxmemory-policy", "no-appendfsync-on-rewrite")
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
    if not accepted:
        found |= {weakness for server in servers if (weakness := server.weakness())}
    return sorted(found)


def barrier(servers: list[Server], replicas_wanted: int) -> Barrier:
    """Tell what to wait for before something leaves."""
    local = any(server.append_only and server.fsync != "always" and server.engine.waits_for_disk for server in servers)
    return Barrier(local=int(local), replicas=replicas_wanted)
