"""What is paused, by whom and why. A pause stops sends, never looks."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import msgspec

from machines.core.clock import Millis
from machines.core.errors import BadInput, Conflict
from payflow.store import keys
from payflow.store.link import OverLink
from payflow.store.macs import Forged, UnknownKey
from payflow.store.row_list import Row
from payflow.store.scripts import PAUSE

EVERYTHING = "everything"
_CLOSED = "closed:"
"""In front of a scope that a rail's own code closed: it stands beside a pause by people, and never in its place."""
KINDS = ("machine", "rail", "lane", "owner", "shard")
SIGNATURE = b"#signature"
_ROW = Row(keys.PAUSE, SIGNATURE.decode())
MOST_TRIES = 50
TRY_AGAIN_S = 0.02
CHANGED = "payflow"
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
        fields, _, sound = await self._fields()
        read = [_read(field.decode(), value) for field, value in fields.items()]
        found = {pause.scope: pause for pause in sorted(read, key=lambda pause: not pause.code)}
        if not sound:
            why = "what is paused was changed beside Payflow: look at `payflow paused`, then resume everything"
            found[EVERYTHING] = Pause(EVERYTHING, CHANGED, why, Millis(0))
        return found

    async def name(self, scopes: Iterable[str], now: Millis) -> None:
        """Remember what a process of this installation sends through, so that everybody can tell a typing error."""
        for scope in scopes:
            await self._link.ask("HSETNX", keys.SCOPES, scope_of(scope), now)

    async def known(self) -> set[str]:
        """List what any process of this installation ever named."""
        return {scope.decode() for scope in await self._link.ask("HKEYS", keys.SCOPES)}

    async def pause(self, scope: str, who: str, why: str, now: Millis, code: str = "") -> bool:
        """Pause, unless it is paused already; the first reason stays. With a code it may open by itself."""
        field = (f"{_CLOSED}{scope_of(scope)}" if code else scope_of(scope)).encode()
        value = msgspec.msgpack.encode((who, why, now, code))
        return await self._change(lambda fields: {} if field in fields else {field: value})

    async def reopen(self, scope: str) -> None:
        """Take away what a rail's own code closed, and leave what people paused."""
        field = f"{_CLOSED}{scope_of(scope)}".encode()
        await self._change(lambda fields: {field: b""} if field in fields else {})
        await self._link.ask("PUBLISH", keys.WAKE_CHANNEL, "resumed")

    async def resume(self, scope: str, *, reconciled: bool = False) -> bool:
        """Take a pause away. What the sequence guard closed, only reconciliation opens."""
        if scope.startswith("shard:") and not reconciled:
            raise BadInput(f"{scope} was closed because the store lost writes: run `payflow reconcile`.")
        both = (scope_of(scope).encode(), f"{_CLOSED}{scope}".encode())
        removed = await self._change(lambda fields: {field: b"" for field in both if field in fields})
        if not removed and scope == EVERYTHING:
            removed = await self._believed()
        await self._link.ask("PUBLISH", keys.WAKE_CHANNEL, "resumed")
        return removed

    # ── signed as a whole: a pause that is taken away by hand must be missed ─────────────────────────────────────────

    def _sound(self, fields: dict[bytes, bytes], signature: bytes) -> bool:
        """Tell whether all of it is what we wrote; raises where this process lacks the key to tell."""
        try:
            self._link.macs.refuse_forged(keys.PAUSE, _signature_in(signature), *_content(fields))
        except Forged:
            return False
        return True

    async def _fields(self, *, judged: bool = False) -> tuple[dict[bytes, bytes], bytes, bool]:
        """Read what is paused, its signature, and whether all of it is what we wrote last.

        Who must know raises where this process lacks the key to tell; who only reads takes it for false.
        """
        question = ("HGETALL", keys.PAUSE)
        try:
            fields, listed = (
                await self._link.rows.read(self._link, _ROW, question, lambda one: one.get(SIGNATURE)),
                True,
            )
        except Forged:
            fields, listed = await self._link.ask(*question), False
        signature = fields.pop(SIGNATURE, b"")
        try:
            return fields, signature, listed and self._sound(fields, signature)
        except UnknownKey:
            if judged:
                raise
            return fields, signature, False

    async def _change(self, change: Callable[[dict[bytes, bytes]], dict[bytes, bytes]]) -> bool:
        """Set fields, or take away those that get nothing; False where there is nothing to change."""
        for _ in range(MOST_TRIES):
            fields, before, sound = await self._fields(judged=True)
            changes = change(fields)
            if not changes:
                return False
            # What is not what we wrote stays unsigned, whatever is added: everything is paused.
            after = {field: value for field, value in (fields | changes).items() if value}
            if await self._write(before, self._signature_of(after) if sound else before, changes):
                return True
            await asyncio.sleep(random.uniform(0, TRY_AGAIN_S))  # noqa: S311  (others change it at the same moment)
        raise Conflict("What is paused is being changed by too many at once: try again.")

    async def _believed(self) -> bool:
        """Take what is paused for what we wrote, as it is; False where it is that already."""
        fields, before, sound = await self._fields(judged=True)
        return not sound and await self._write(before, self._signature_of(fields), {})

    def _signature_of(self, fields: dict[bytes, bytes]) -> bytes:
        """Sign all of it; written as a pause is, which an older version takes for one of nothing."""
        signature = self._link.macs.sign(keys.PAUSE, *_content(fields))
        return (
            msgspec.msgpack.encode((CHANGED, "the signature of what is paused", 0, signature.hex()))
            if signature
            else b""
        )

    async def _write(self, before: bytes, signature: bytes, changes: dict[bytes, bytes]) -> bool:
        words = [part for change in changes.items() for part in change]
        if signature == before:
            return bool(await self._link.run(PAUSE, [keys.PAUSE], before, signature, *words))
        async with self._link.rows.changing(self._link, _ROW, signature):
            return bool(await self._link.run(PAUSE, [keys.PAUSE], before, signature, *words))

    async def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, what is paused, or name it where it is not what we wrote."""
        fields, before, sound = await self._fields()
        if not sound:
            yield keys.PAUSE
        elif not self._link.macs.is_current(_signature_in(before)):
            await self._write(before, self._signature_of(fields), {})


def _signature_in(value: bytes) -> bytes:
    if not value:
        return b""
    try:
        *_, signature = msgspec.msgpack.decode(value)
        return bytes.fromhex(signature)
    except (msgspec.MsgspecError, ValueError, TypeError):
        return b"no signature"


def _content(fields: dict[bytes, bytes]) -> list[bytes]:
    return [part for field in sorted(fields) for part in (field, fields[field])]


def _read(field: str, value: bytes) -> Pause:
    try:
        who, why, at, *code = msgspec.msgpack.decode(value)
        return Pause(field.removeprefix(_CLOSED), who, why, Millis(at), *code)
    except (msgspec.MsgspecError, ValueError, TypeError):
        return Pause(field.removeprefix(_CLOSED), CHANGED, "what is said of it cannot be read", Millis(0))
