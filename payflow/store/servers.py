"""The servers behind the store: whether they keep what they acknowledged, and what an operator should change."""

import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from machines.core.errors import StoreUnavailable, StoreUnfit
from machines.core.redis import RedisServer, Weakness, weak_sync
from payflow.config import Settings
from payflow.store.link import Barrier, Link
from payflow.store.scripts import ALL
from payflow.telemetry.health import Check, Level, fail, first_of, ok, warn

OLDEST_REDIS = (6, 2)
LISTPACK_VALUE = 2048
CLOCK_OFF_S = 1.0
NEARLY_FULL = 0.9

# What a server listens on when it listens on every address it has.
_ANYWHERE = frozenset({"*", "0.0.0.0", "::", "-::*"})  # noqa: S104

# The only settings that are read: `CONFIG GET *` would bring the server's passwords as well.
_DURABILITY = ("appendonly", "appendfsync", "maxmemory-policy", "no-appendfsync-on-rewrite")
_OTHERS = (
    "bind", "protected-mode", "maxclients", "maxmemory", "hash-max-listpack-value", "hash-max-ziplist-value",
)  # fmt: skip


ACCEPTABLE = frozenset({Weakness.NO_FILE, Weakness.LATE_SYNC, Weakness.UNSYNCED_REWRITE})
"""What an operator may accept: the last moments are lost when the server dies, and not what is older."""


class DurabilityFault(NamedTuple):
    """Why money must not be sent, and what to do about it."""

    kind: Weakness
    text: str


@dataclass(frozen=True, slots=True)
class StoreServer(RedisServer):
    """One server that takes writes."""

    passwordless: bool | None = None
    """Whether anybody may come in as `default`; none where the server does not tell."""
    clock_off_s: float = 0.0
    """How far its clock is ahead of ours."""

    @property
    def identity(self) -> tuple[str, str]:
        """Its run id and replication id."""
        return str(self.info.get("run_id", "")), str(self.info.get("master_replid", ""))

    def number(self, *names: str) -> int:
        """Give a figure under the first name that the server knows it by."""
        found = (source[name] for name in names for source in (self.config, self.info) if name in source)
        return int(next(found, 0))

    def faults(self) -> list[DurabilityFault]:
        """Say what is weak about it."""
        says = {
            Weakness.NO_FILE: "keeps no append-only file: set `appendonly yes`",
            Weakness.LATE_SYNC: weak_sync(self.fsync, self.engine),
            Weakness.UNSYNCED_REWRITE: (
                "stops syncing while it writes its file anew: set `no-appendfsync-on-rewrite no`"
            ),
            Weakness.REPLICA: "is a replica: point Payflow at the primary",
            Weakness.EVICTION: f"may drop records ({self.eviction}): set `maxmemory-policy noeviction`",
        }
        return [DurabilityFault(kind, f"The store {says[kind]}.") for kind in self.weaknesses()]


# ── durability ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def inspect(link: Link) -> list[StoreServer]:
    """Ask every server that takes writes how durable it is."""
    infos = await link.primaries("INFO")
    configs = await _config(link, len(infos), _DURABILITY)
    return [StoreServer(info, config) for info, config in zip(infos, configs, strict=True)]


def faults(servers: Sequence[StoreServer], *, accepted: bool) -> list[DurabilityFault]:
    """List why rails must stay closed; an operator may accept the risk of a weak disk, never of an eviction."""
    found = {fault for server in servers for fault in server.faults()}
    return sorted((one for one in found if not (accepted and one.kind in ACCEPTABLE)), key=lambda one: one.text)


def barrier(servers: Sequence[StoreServer], replicas_wanted: int) -> Barrier:
    """Tell what to wait for before something leaves."""
    return Barrier(local=int(any(server.must_wait for server in servers)), replicas=replicas_wanted)


# ── what an operator should change ───────────────────────────────────────────────────────────────────────────────────


async def examine(link: Link, settings: Settings) -> list[Check]:
    """Look at every server that takes writes; where they differ, the worst is told of."""
    infos = await link.primaries("INFO")
    clocks, here = await link.primaries("TIME"), time.time()
    open_to_all = await _passwordless(link, len(infos))
    configs = await _config(link, len(infos), (*_DURABILITY, *_OTHERS))
    servers = [
        StoreServer(info, config, passwordless, seconds + micros / 1e6 - here)
        for info, config, passwordless, (seconds, micros) in zip(infos, configs, open_to_all, clocks, strict=True)
    ]
    each: tuple[Callable[[StoreServer, Settings], Check], ...] = (
        version, log_written, memory, password, encryption, address, compact_records, clock, clients,
    )  # fmt: skip
    gravity = list(Level)
    return [
        *_durable(servers, settings),
        replicas(servers, settings.replicas or 0, settings),
        *(
            max((check(one, settings) for one in servers), key=lambda found: gravity.index(found.level))
            for check in each
        ),
    ]


async def connections(link: Link) -> int:
    """Count the connections that the store has, of everybody."""
    return sum(int(info["connected_clients"]) for info in await link.primaries("INFO", "clients"))


async def load_missing_scripts(link: Link) -> None:
    """See to it that every server has our scripts: a restarted one has forgotten them."""
    for known in await link.primaries("SCRIPT EXISTS", *(script.sha for script in ALL)):
        if not all(known):
            await link.open()
            return


async def _config(link: Link, servers: int, names: Sequence[str]) -> list[dict[str, str]]:
    """Read settings of each server; a managed one may forbid it. What is not known whole is not known."""
    try:
        answers = [await link.primaries("CONFIG GET", name) for name in names]
    except (StoreUnfit, StoreUnavailable):
        return [{} for _ in range(servers)]
    return [{name: value for answer in answers for name, value in answer[place].items()} for place in range(servers)]


async def _passwordless(link: Link, servers: int) -> list[bool | None]:
    """Ask each server whether anybody may come in; a managed one may not tell."""
    try:
        users = await link.primaries("ACL GETUSER", "default")
    except (StoreUnfit, StoreUnavailable):
        return [None] * servers
    return ["nopass" in user["flags"] if user else None for user in users]


def _durable(servers: Sequence[StoreServer], settings: Settings) -> list[Check]:
    """Whether the store keeps what it acknowledged."""
    found = [
        warn("durability", f"{fault.text} You have accepted this.")
        if settings.accept_weak_durability and fault.kind in ACCEPTABLE
        else fail("durability", fault.text)
        for fault in faults(servers, accepted=False)
    ]
    fsync = servers[0].fsync or "unknown"
    return found or [ok("durability", f"Every write is in the append-only file (fsync {fsync}), nothing is evicted.")]


def replicas(servers: Sequence[StoreServer], wanted: int, settings: Settings) -> Check:
    have = min(server.replicas for server in servers)
    return first_of(
        "replicas",
        (
            have < wanted,
            Level.FAIL,
            (
                f"An intent must reach {wanted} replicas and {have} are connected, so no money leaves: start them, "
                "or set PAYFLOW_REPLICAS."
            ),
        ),
        (have, Level.OK, f"{have} connected."),
        (settings.embedded, Level.OK, f"The embedded store has none: back up {settings.data}."),
        (True, Level.WARN, "There is none: when this server's disk dies, so do the books. Add one."),
    )


def version(server: StoreServer, _settings: Settings) -> Check:
    old = server.engine.name == "redis" and server.engine.numbers < OLDEST_REDIS
    return first_of(
        "version",
        (old, Level.FAIL, f"This is {server.engine}: run Redis 6.2, Valkey 7.2 or a newer one."),
        (True, Level.OK, f"{server.engine}."),
    )


def log_written(server: StoreServer, _settings: Settings) -> Check:
    """Whether the server can write its append-only file."""
    return first_of(
        "disk",
        (
            str(server.info.get("aof_last_write_status", "ok")) != "ok",
            Level.FAIL,
            "The store could not write its append-only file: free space on its disk, read its log.",
        ),
        (
            str(server.info.get("aof_last_bgrewrite_status", "ok")) != "ok",
            Level.WARN,
            "The store could not rewrite its append-only file, which keeps growing: read its log.",
        ),
        (True, Level.OK, "The last writes reached the append-only file."),
    )


def memory(server: StoreServer, _settings: Settings) -> Check:
    """Whether there is room for more records."""
    used, most = server.number("used_memory"), server.number("maxmemory")
    figures = f"{_mebibytes(used)} of {_mebibytes(most)}" if most else _mebibytes(used)
    full = most and used > NEARLY_FULL * most
    return first_of(
        "memory",
        (full, Level.WARN, f"{figures} are used; a full store refuses every write: raise maxmemory."),
        (True, Level.OK, f"{figures} used."),
    )


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def password(server: StoreServer, settings: Settings) -> Check:
    """Whether not everybody may change the books."""
    return first_of(
        "password",
        (_behind_socket(settings), Level.OK, "None is needed: the store listens on a private socket."),
        (server.passwordless is None, Level.OK, "The server does not tell whether it asks for one."),
        (
            server.passwordless,
            Level.WARN if _at_home(settings) else Level.FAIL,
            "Whoever reaches the store may change the books: set `requirepass` and REDIS_PASSWORD.",
        ),
        (True, Level.OK, "The store asks for one."),
    )


def encryption(_server: StoreServer, settings: Settings) -> Check:
    """Whether others on the network can read along."""
    encrypted = settings.redis_url and urlsplit(settings.url).scheme == "rediss"
    return first_of(
        "encryption",
        (_at_home(settings), Level.OK, "None is needed: nothing leaves this machine."),
        (encrypted, Level.OK, "The way to the store is encrypted."),
        (
            True,
            Level.WARN,
            "Password and books pass the network in clear text: give REDIS_URL as rediss://, or use a VPN.",
        ),
    )


def address(server: StoreServer, settings: Settings) -> Check:
    """Whether the store can be reached from where nobody needs it."""
    bound = server.config.get("bind", "")
    protected = server.passwordless and server.config.get("protected-mode") == "yes"
    return first_of(
        "address",
        (_behind_socket(settings), Level.OK, "The store has no network address."),
        (not server.config, Level.OK, "The server does not tell where it listens."),
        (_ANYWHERE.isdisjoint(bound.split() or ["*"]), Level.OK, f"The store listens on {bound} only."),
        (protected, Level.OK, "The store is in protected mode: without a password only this machine gets in."),
        (
            True,
            Level.FAIL if server.passwordless else Level.WARN,
            "The store listens on every address: set `bind` to the one that Payflow uses, or firewall it.",
        ),
    )


def compact_records(server: StoreServer, _settings: Settings) -> Check:
    """Whether records are kept in their small form."""
    value = server.number("hash-max-listpack-value", "hash-max-ziplist-value")
    return first_of(
        "compact records",
        (not server.config, Level.OK, "The server does not tell its hash-max-listpack-value."),
        (
            value < LISTPACK_VALUE,
            Level.WARN,
            (
                f"Records take about three times the memory they need: set `hash-max-listpack-value {LISTPACK_VALUE}`"
                f" (it is {value})."
            ),
        ),
        (True, Level.OK, f"hash-max-listpack-value is {value}."),
    )


def clock(server: StoreServer, _settings: Settings) -> Check:
    off = f"{abs(server.clock_off_s):.1f} s {'ahead of' if server.clock_off_s > 0 else 'behind'} this machine's"
    return first_of(
        "clock",
        (
            abs(server.clock_off_s) > CLOCK_OFF_S,
            Level.WARN,
            f"The store's clock is {off}: run NTP on both, or logs and history will not agree.",
        ),
        (True, Level.OK, "The store's clock agrees with this machine's."),
    )


def clients(server: StoreServer, settings: Settings) -> Check:
    """Whether there are connections left."""
    have, most, planned = server.number("connected_clients"), server.number("maxclients"), settings.redis_max_clients
    return first_of(
        "clients",
        (
            most and have > NEARLY_FULL * most,
            Level.FAIL,
            f"{have} of the {most} connections that the store allows are taken: raise maxclients.",
        ),
        (
            most and planned > most,
            Level.WARN,
            f"REDIS_MAX_CLIENTS is {planned}, the store allows {most}: raise its maxclients.",
        ),
        (
            have > planned,
            Level.WARN,
            f"{have} clients are connected, REDIS_MAX_CLIENTS plans for {planned}: find out who they are, or raise it.",
        ),
        (True, Level.OK, f"{have} connected; {planned} are planned for" + (f", {most} allowed." if most else ".")),
    )


def _behind_socket(settings: Settings) -> bool:
    return settings.embedded or bool(settings.redis_url and settings.url.startswith("unix:"))


def _at_home(settings: Settings) -> bool:
    """Whether the store is reached without leaving this machine."""
    if _behind_socket(settings):
        return True
    if settings.redis_sentinels:
        return False
    return is_own_host(urlsplit(settings.url).hostname or "")


def is_own_host(host: str) -> bool:
    """Whether a host, by name or address, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
