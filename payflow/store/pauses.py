"""What is paused, by whom and why. A pause stops sends, never looks."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from machines.core.clock import Millis
from machines.core.errors import BadInput
from payflow.store import keys
from payflow.store.link import OverLink

EVERYTHING = "everything"
_CLOSED = "closed:"
"""In front of a scope that a rail's own code closed: it stands beside a pause by people, and never in its place."""
KINDS = ("machine", "rail", "lane", "owner", "shard")
GUARD = "sequence guard"
BOOKS = "the books"


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause."""

    scope: str
    who: str
    why: str
    at: Millis
    code: str = ""
    """What a rail said of every payment when it closed itself; it opens by itself once a probe is let in. A pause by
    a person, by a contradiction, by false books or by lost writes has none: people open it."""


def scope_of_shard(shard: int) -> str:
    """Name what the sequence guard closes."""
    return f"shard:{shard:02d}"


def scope_of(text: str) -> str:
    """Accept a scope from outside: `everything`, or `machine:`, `rail:`, `lane:` or `owner:` and a name."""
    kind, _, name = text.partition(":")
    if text != EVERYTHING and (kind not in KINDS or not name):
        raise BadInput(
            f"{text!r} cannot be paused: write {EVERYTHING}, machine:<name>, rail:<name>, lane:<name> or owner:<name>."
        )
    return text


class Pauses(OverLink):
    """The pauses of the whole installation."""

    async def all(self) -> dict[str, Pause]:
        """Read every pause; where people paused what had closed itself, theirs."""
        fields = await self._link.ask("HGETALL", keys.PAUSE)
        read = [_read(field.decode(), value) for field, value in fields.items()]
        return {pause.scope: pause for pause in sorted(read, key=lambda pause: not pause.code)}

    async def name(self, scopes: Iterable[str], now: Millis) -> None:
        """Remember what a process of this installation sends through, so that everybody can tell a typing error."""
        for scope in scopes:
            await self._link.ask("HSETNX", keys.SCOPES, scope_of(scope), now)

    async def known(self) -> set[str]:
        """List what any process of this installation ever named."""
        return {scope.decode() for scope in await self._link.ask("HKEYS", keys.SCOPES)}

    async def pause(self, scope: str, who: str, why: str, now: Millis, code: str = "") -> bool:
        """Pause, unless it is paused already; the first reason stays. With a code it may open by itself."""
        field = f"{_CLOSED}{scope_of(scope)}" if code else scope_of(scope)
        return bool(await self._link.ask("HSETNX", keys.PAUSE, field, msgspec.msgpack.encode((who, why, now, code))))

    async def reopen(self, scope: str) -> None:
        """Take away what a rail's own code closed, and leave what people paused."""
        await self._link.ask("HDEL", keys.PAUSE, f"{_CLOSED}{scope_of(scope)}")
        await self._link.ask("PUBLISH", keys.WAKE_CHANNEL, "resumed")

    async def resume(self, scope: str, *, reconciled: bool = False) -> bool:
        """Take a pause away. What the sequence guard closed, only reconciliation opens."""
        if scope.startswith("shard:") and not reconciled:
            raise BadInput(f"{scope} was closed because the store lost writes: run `payflow reconcile`.")
        removed = bool(await self._link.ask("HDEL", keys.PAUSE, scope_of(scope), f"{_CLOSED}{scope}"))
        await self._link.ask("PUBLISH", keys.WAKE_CHANNEL, "resumed")
        return removed


def _read(field: str, value: bytes) -> Pause:
    who, why, at, *code = msgspec.msgpack.decode(value)
    return Pause(field.removeprefix(_CLOSED), who, why, Millis(at), *code)
