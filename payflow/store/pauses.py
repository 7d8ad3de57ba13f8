"""What is paused, by whom and why. A pause stops sends, never looks."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from machines.core.clock import Millis
from machines.core.errors import BadInput
from payflow.store import keys
from payflow.store.link import Link

EVERYTHING = "everything"
KINDS = ("machine", "rail", "lane", "shard")
GUARD = "sequence guard"


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause."""

    scope: str
    who: str
    why: str
    at: Millis


def scope_of(text: str) -> str:
    """Accept a scope from outside: `everything`, or `machine:`, `rail:` or `lane:` and a name."""
    kind, _, name = text.partition(":")
    if text != EVERYTHING and (kind not in KINDS or not name):
        raise BadInput(f"{text!r} cannot be paused: write {EVERYTHING}, machine:<name>, rail:<name> or lane:<name>.")
    return text


class Pauses:
    """The pauses of the whole installation."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def all(self) -> dict[str, Pause]:
        """Read every pause."""
        fields = await self._link.ask("HGETALL", keys.PAUSE)
        return {scope.decode(): _read(scope.decode(), value) for scope, value in fields.items()}

    async def name(self, scopes: Iterable[str], now: Millis) -> None:
        """Remember what a process of this installation sends through, so that everybody can tell a typing error."""
        for scope in scopes:
            await self._link.ask("HSETNX", keys.SCOPES, scope_of(scope), now)

    async def known(self) -> set[str]:
        """List what any process of this installation ever named."""
        return {scope.decode() for scope in await self._link.ask("HKEYS", keys.SCOPES)}

    async def pause(self, scope: str, who: str, why: str, now: Millis) -> bool:
        """Pause, unless it is paused already; the first reason stays."""
        value = msgspec.msgpack.encode((who, why, now))
        return bool(await self._link.ask("HSETNX", keys.PAUSE, scope_of(scope), value))

    async def resume(self, scope: str, *, reconciled: bool = False) -> bool:
        """Take a pause away. What the sequence guard closed, only reconciliation opens."""
        if scope.startswith("shard:") and not reconciled:
            raise BadInput(f"{scope} was closed because the store lost writes: run `payflow reconcile`.")
        removed = bool(await self._link.ask("HDEL", keys.PAUSE, scope_of(scope)))
        await self._link.ask("PUBLISH", keys.WAKE_CHANNEL, "resumed")
        return removed


def _read(scope: str, value: bytes) -> Pause:
    who, why, at = msgspec.msgpack.decode(value)
    return Pause(scope, who, why, Millis(at))
