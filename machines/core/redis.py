"""What everybody who speaks to a Redis shares: how its scripts are put together, and which servers reach their disk.

That a server knows `WAITAOF` proves nothing: where the file is synced every second, some answer it before the sync
(Redis 7.4, and every Valkey from 8.0 that we tried). No counter and no answer shows it, only what they ask of their
kernel. So this lists what was watched (`python -m tests.store.disk PROGRAM` watches another one), and what is not
listed must sync at every write.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
