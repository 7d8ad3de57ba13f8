"""What everybody who speaks to a Redis shares: how its scripts are put together, and which servers reach their disk.

That a server knows `WAITAOF` proves nothing: where the file is synced every second, some answer it before the sync
(Redis 7.4, and every Valkey from 8.0 that we tried). No counter and no answer shows it, only what they ask of their
kernel. So this lists what was watched (`python -m tests.store.disk PROGRAM` watches another one), and what is not
listed must sync at every write.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SEEN_TO_WAIT: Mapping[str, frozenset[str]] = {
    "redis": frozenset({"7.2.0", "7.2.1", "7.2.2", "7.2.3", "7.2.4", "7.2.5", "7.2.6", "8.2.3"}),
    "valkey": frozenset({"7.2.5", "7.2.6", "7.2.7"}),
}
"""Servers whose answer to `WAITAOF 1 0` came after the end of a sync that had begun after the write.

Watched and found to answer before it: Redis 7.4.0 and 7.4.1; Valkey 8.0.0, 8.0.1, 9.0.0, 9.1.0, 9.1.1 and 9.1.2.
"""

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)

# What every Redis says of itself; another `…_version` names a server that is only called Redis for its clients.
_REDIS_SAYS = frozenset({"redis_version", "gcc_version"})


@dataclass(frozen=True, slots=True)
class Engine:
    """The program that a server runs."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name.capitalize()} {self.version}"

    @property
    def waits_for_disk(self) -> bool:
        """Whether `WAITAOF`, asked on the connection that wrote, is the word of its disk."""
        return self.version in SEEN_TO_WAIT.get(self.name, frozenset())

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split(".")[:3] if part.isdecimal())


def engine_of(info: Mapping[str, Any]) -> Engine:
    """Read the name and version that a server gives in INFO."""
    others = sorted(name for name in info if name.endswith("_version") and name not in _REDIS_SAYS)
    said = others[0] if others else "redis_version"
    return Engine(said.removesuffix("_version"), str(info.get(said, "0")))


def weak_sync(fsync: str, engine: Engine) -> str:
    """Say why writes that are synced so seldom do not count as kept, and what to do; empty where they do."""
    if fsync == "always" or (fsync == "everysec" and engine.waits_for_disk):
        return ""
    interval = fsync or "at times that it does not tell"
    why = f", and {engine} was never seen to reach its disk before it says so" if fsync == "everysec" else ""
    return f"syncs its append-only file {interval}{why}: set `appendfsync always`"


class Weakness(StrEnum):
    """How a server may come to lack what it acknowledged."""

    REPLICA = "replica"
    """Its primary writes over it."""
    NO_FILE = "no_file"
    """It keeps no append-only file."""
    LATE_SYNC = "late_sync"
    """It answers before the file is on its disk."""
    UNSYNCED_REWRITE = "unsynced_rewrite"
    """It stops syncing while it writes the file anew, or a snapshot."""
    EVICTION = "eviction"
    """It drops records when it is full."""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """One server, as it describes itself."""

    info: Mapping[str, Any]
    config: Mapping[str, str] = field(default_factory=dict)
    """Empty where it may not be read."""

    @property
    def engine(self) -> Engine:
        return engine_of(self.info)

    @property
    def role(self) -> str:
        return str(self.info.get("role", ""))

    @property
    def replicas(self) -> int:
        return int(self.info.get("connected_slaves", 0))

    @property
    def append_only(self) -> bool:
        """Whether it keeps a file of all that was written."""
        return self.config.get("appendonly", "yes" if str(self.info.get("aof_enabled")) == "1" else "no") == "yes"

    @property
    def fsync(self) -> str:
        """`always`, `everysec`, `no`, or empty when the server does not tell."""
        return self.config.get("appendfsync", "")

    @property
    def eviction(self) -> str:
        """The eviction policy, or empty when the server does not tell."""
        return self.config.get("maxmemory-policy", str(self.info.get("maxmemory_policy", "")))

    @property
    def must_wait(self) -> bool:
        """Whether it must be asked to reach its disk, because it does not do so before it answers."""
        return self.append_only and self.fsync != "always" and self.engine.waits_for_disk

    def weaknesses(self) -> list[Weakness]:
        """List how it may come to lack what it acknowledged: of a weak disk the one thing to begin with."""
        found = [Weakness.REPLICA] if self.role != "master" else []
        if not self.append_only:
            found.append(Weakness.NO_FILE)
        elif weak_sync(self.fsync, self.engine):
            found.append(Weakness.LATE_SYNC)
        elif self.config.get("no-appendfsync-on-rewrite", "no") != "no":
            found.append(Weakness.UNSYNCED_REWRITE)
        return found + ([Weakness.EVICTION] if self.eviction not in ("noeviction", "") else [])


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it is sent to a Redis."""

    name: str
    text: str
    sha: str


def assembled(name: str, part: Callable[[str], str]) -> Script:
    """Put a script together with the parts that it includes."""
    text = _INCLUDE.sub(lambda found: part(found[1]), part(name))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
