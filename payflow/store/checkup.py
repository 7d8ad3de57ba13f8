"""Examines the servers behind the store, and says what an operator should change about them."""

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from machines.core.engines import engine_of
from machines.core.errors import StoreUnavailable, StoreUnfit
from payflow.config import Settings
from payflow.store import durability
from payflow.store.link import Link
from payflow.store.scripts import ALL
from payflow.telemetry.health import Check, Level, fail, ok, warn

OLDEST_REDIS = (6, 2)
LISTPACK_VALUE = 2048
CLOCK_OFF_S = 1.0
NEARLY_FULL = 0.9

# What a server listens on when it listens on every address it has.
_ANYWHERE = frozenset({"*", "0.0.0.0", "::", "-::*"})  # noqa: S104

# The only settings that are read: `CONFIG GET *` would bring the server's passwords as well.
_SETTINGS = (
    "bind", "protected-mode", "maxclients", "maxmemory", "hash-max-listpack-value", "hash-max-ziplist-value",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Server:
    """One server as it describes itself."""

    info: Mapping[str, Any]
    config: Mapping[str, str]
    """Empty where it may not be read."""
    passwordless: bool | None
    """Whether anybody may come in as `default`; none where the server does not tell."""
    clock_off_s: float
    """How far its clock is ahead of ours."""

    def number(self, *names: str) -> int:
        """Give a figure under the first name that the server knows it by."""
        found = (source[name] for name in names for source in (self.config, self.info) if name in source)
        return int(next(found, 0))


async def examine(link: Link, settings: Settings) -> list[Check]:
    """Look at every server that takes writes; where they differ, the worst is told of."""
    servers = await _servers(link)
    each = (version, log_written, memory, password, encryption, address, compact_records, clock, clients)
    return [
        *_kept(await durability.inspect(link), settings),
        *(_worst([check(server, settings) for server in servers]) for check in each),
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


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────


async def _servers(link: Link) -> list[Server]:
    infos = await link.primaries("INFO")
    clocks = await link.primaries("TIME")
    here = time.time()
    users = await _if_allowed(link, len(infos), "ACL GETUSER", "default")
    configs: list[dict[str, str]] = [{} for _ in infos]
    for name in _SETTINGS:
        for config, answer in zip(configs, await _if_allowed(link, len(infos), "CONFIG GET", name), strict=True):
            config.update({_text(key): _text(value) for key, value in (answer or {}).items()})
    return [
        Server(info, config, "nopass" in user["flags"] if user else None, seconds + micros / 1e6 - here)
        for info, config, user, (seconds, micros) in zip(infos, configs, users, clocks, strict=True)
    ]


async def _if_allowed(link: Link, servers: int, *command: str) -> list[Any]:
    """Ask what a managed server may forbid."""
    try:
        return await link.primaries(*command)
    except (StoreUnfit, StoreUnavailable):
        return [None] * servers


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _worst(checks: list[Check]) -> Check:
    return max(checks, key=lambda check: list(Level).index(check.level))


# ── what is made of it ───────────────────────────────────────────────────────────────────────────────────────────────


def _kept(servers: list[durability.Server], settings: Settings) -> list[Check]:
    """Whether the store keeps what it acknowledged."""
    unacceptable = durability.faults(servers, accepted=settings.accept_weak_durability)
    found = [
        fail("durability", fault) if fault in unacceptable else warn("durability", f"{fault} You have accepted this.")
        for fault in durability.faults(servers, accepted=False)
    ]
    fsync = servers[0].fsync or "unknown"
    return [
        *(found or [ok("durability", f"Every write is in the append-only file (fsync {fsync}), nothing is evicted.")]),
        replicas(servers, settings.replicas or 0, settings),
    ]


def replicas(servers: list[durability.Server], wanted: int, settings: Settings) -> Check:
    """Whether there are as many replicas as an intent must reach."""
    have = min(server.replicas for server in servers)
    if have < wanted:
        return fail(
            "replicas",
            f"An intent must reach {wanted} replicas and {have} are connected, so no money leaves: start them, "
            "or set PAYFLOW_REPLICAS.",
        )
    if have:
        return ok("replicas", f"{have} connected.")
    if settings.embedded:
        return ok("replicas", f"The embedded store has none: back up {settings.data}.")
    return warn("replicas", "There is none: when this server's disk dies, so do the books. Add one.")


def version(server: Server, _settings: Settings) -> Check:
    """Whether the server is new enough."""
    engine = engine_of(server.info)
    if engine.name == "redis" and engine.numbers < OLDEST_REDIS:
        return fail("version", f"This is {engine}: run Redis 6.2, Valkey 7.2 or a newer one.")
    return ok("version", f"{engine}.")


def log_written(server: Server, _settings: Settings) -> Check:
    """Whether the server can write its append-only file."""
    if str(server.info.get("aof_last_write_status", "ok")) != "ok":
        return fail("disk", "The store could not write its append-only file: free space on its disk, read its log.")
    if str(server.info.get("aof_last_bgrewrite_status", "ok")) != "ok":
        return warn("disk", "The store could not rewrite its append-only file, which keeps growing: read its log.")
    return ok("disk", "The last writes reached the append-only file.")


def memory(server: Server, _settings: Settings) -> Check:
    """Whether there is room for more records."""
    used, most = server.number("used_memory"), server.number("maxmemory")
    figures = f"{_mebibytes(used)} of {_mebibytes(most)}" if most else _mebibytes(used)
    if most and used > NEARLY_FULL * most:
        return warn("memory", f"{figures} are used; a full store refuses every write: raise maxmemory.")
    return ok("memory", f"{figures} used.")


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def password(server: Server, settings: Settings) -> Check:
    """Whether not everybody may change the books."""
    if _behind_socket(settings):
        return ok("password", "None is needed: the store listens on a private socket.")
    if server.passwordless is None:
        return ok("password", "The server does not tell whether it asks for one.")
    if server.passwordless:
        level = warn if _at_home(settings) else fail
        return level(
            "password", "Whoever reaches the store may change the books: set `requirepass` and REDIS_PASSWORD."
        )
    return ok("password", "The store asks for one.")


def encryption(_server: Server, settings: Settings) -> Check:
    """Whether others on the network can read along."""
    if _at_home(settings):
        return ok("encryption", "None is needed: nothing leaves this machine.")
    if settings.redis_url and urlsplit(settings.url).scheme == "rediss":
        return ok("encryption", "The way to the store is encrypted.")
    return warn(
        "encryption", "Password and books pass the network in clear text: give REDIS_URL as rediss://, or use a VPN."
    )


def address(server: Server, settings: Settings) -> Check:
    """Whether the store can be reached from where nobody needs it."""
    if _behind_socket(settings):
        return ok("address", "The store has no network address.")
    if not server.config:
        return ok("address", "The server does not tell where it listens.")
    if _ANYWHERE.isdisjoint(server.config.get("bind", "").split() or ["*"]):
        return ok("address", f"The store listens on {server.config['bind']} only.")
    if server.passwordless and server.config.get("protected-mode") == "yes":
        return ok("address", "The store is in protected mode: without a password only this machine gets in.")
    level = fail if server.passwordless else warn
    return level(
        "address", "The store listens on every address: set `bind` to the one that Payflow uses, or firewall it."
    )


def compact_records(server: Server, _settings: Settings) -> Check:
    """Whether records are kept in their small form."""
    value = server.number("hash-max-listpack-value", "hash-max-ziplist-value")
    if not server.config:
        return ok("compact records", "The server does not tell its hash-max-listpack-value.")
    if value < LISTPACK_VALUE:
        return warn(
            "compact records",
            f"Records take about three times the memory they need: set `hash-max-listpack-value {LISTPACK_VALUE}`"
            f" (it is {value}).",
        )
    return ok("compact records", f"hash-max-listpack-value is {value}.")


def clock(server: Server, _settings: Settings) -> Check:
    """Whether the two machines agree what time it is."""
    off = f"{abs(server.clock_off_s):.1f} s {'ahead of' if server.clock_off_s > 0 else 'behind'} this machine's"
    if abs(server.clock_off_s) > CLOCK_OFF_S:
        return warn("clock", f"The store's clock is {off}: run NTP on both, or logs and history will not agree.")
    return ok("clock", "The store's clock agrees with this machine's.")


def clients(server: Server, settings: Settings) -> Check:
    """Whether there are connections left."""
    have, most, planned = server.number("connected_clients"), server.number("maxclients"), settings.redis_max_clients
    if most and have > NEARLY_FULL * most:
        return fail("clients", f"{have} of the {most} connections that the store allows are taken: raise maxclients.")
    if most and planned > most:
        return warn("clients", f"REDIS_MAX_CLIENTS is {planned}, the store allows {most}: raise its maxclients.")
    if have > planned:
        return warn(
            "clients",
            f"{have} clients are connected, REDIS_MAX_CLIENTS plans for {planned}: find out who they are, or raise it.",
        )
    return ok("clients", f"{have} connected; {planned} are planned for" + (f", {most} allowed." if most else "."))


def _behind_socket(settings: Settings) -> bool:
    return settings.embedded or bool(settings.redis_url and settings.url.startswith("unix:"))


def _at_home(settings: Settings) -> bool:
    """Whether the store is reached without leaving this machine."""
    if _behind_socket(settings):
        return True
    if settings.redis_sentinels:
        return False
    host = urlsplit(settings.url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
