"""What people did to the installation: one line an act, each behind the hash of the one before.

A line is written before the act is tried, so that nothing is done without a trace; an act that was refused gets a
second line that says so. What an act did to a record stands in the record's own history.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from machines.core.clock import Clock, Millis, SystemClock
from machines.core.errors import Conflict, PayflowError, StoreUnavailable
from payflow.store import keys
from payflow.store.codec import GENESIS, encode
from payflow.store.link import PAGE, Link
from payflow.store.registers.anchors import Anchor, AnchorFile
from payflow.store.scripts import AUDIT

REFUSED = "refused"
# Somebody else may write at the same moment; so often in a row is no coincidence.
MOST_TRIES = 50
LONGEST = 500


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One act of a person."""

    number: int
    """Its place, from 1."""
    at: Millis
    who: str
    act: str
    """What he did, such as `approve` or `pause`."""
    subject: str
    """What he did it to: the id of a record or a message, a scope."""
    why: str


class Audit:
    """The audit log of the whole installation."""

    def __init__(self, link: Link, anchors: AnchorFile, clock: Clock | None = None) -> None:
        self._link = link
        self._anchors = anchors
        self._clock = clock or SystemClock()

    async def note(self, who: str, act: str, subject: str, why: str = "") -> None:
        """Write a line down."""
        for _ in range(MOST_TRIES):
            count, newest = await self._link.pipeline([("LLEN", keys.AUDIT), ("LINDEX", keys.AUDIT, -1)])
            line = _hash(newest) + encode((self._clock.now(), who, act, subject, why[:LONGEST]))
            if await self._link.run(AUDIT, [keys.AUDIT], count, line):
                return
        raise Conflict("The audit log is being written to by too many at once; nothing was done: try again.")

    @asynccontextmanager
    async def doing(self, who: str, act: str, subject: str, why: str = "") -> AsyncIterator[None]:
        """Write an act down before it is tried, and afterwards that it was refused, if it was."""
        await self.note(who, act, subject, why)
        try:
            yield
        except StoreUnavailable:
            raise  # whether it was done is not known
        except PayflowError as error:
            await self.note(who, REFUSED, subject, f"{act}: {error}")
            raise

    async def count(self) -> int:
        return int(await self._link.ask("LLEN", keys.AUDIT))

    async def page(self, before: int | None, limit: int) -> list[AuditLine]:
        """List lines, the newest first, that were written before the line of a number."""
        last = (await self.count() if before is None else before - 1) - 1
        if last < 0:
            return []
        first = max(0, last - limit + 1)
        found = await self._link.ask("LRANGE", keys.AUDIT, first, last)
        return [_read(first + place + 1, raw) for place, raw in enumerate(found)][::-1]

    async def anchor(self, *, anew: bool = False) -> Anchor:
        """Write down outside the store how far the log is; `anew` where what was written down before is void."""
        count = await self.count()
        newest = await self._link.ask("LINDEX", keys.AUDIT, count - 1) if count else None
        anchor = Anchor(self._clock.now(), count, _hash(newest).hex(), anew)
        self._anchors.write(anchor)
        return anchor

    async def fault(self) -> str:
        """Walk over the whole log and say where it was changed or cut; empty when it is whole."""
        anchors, broken = self._anchors.read()
        if broken:
            return broken
        written_down = {anchor.lines: anchor for anchor in anchors}
        expected, start = GENESIS, 0
        while lines := await self._link.ask("LRANGE", keys.AUDIT, start, start + PAGE - 1):
            for number, raw in enumerate(lines, start + 1):
                if raw[:32] != expected:
                    return f"line {number} does not follow the one before"
                expected = _hash(raw)
                anchor = written_down.pop(number, None)
                if anchor is not None and anchor.head != expected.hex():
                    return f"line {number}, or one before it, is not what was written down outside the store"
            start += len(lines)
        longest = max(written_down, default=0)
        if longest:
            return f"it has {start} lines, and had {longest} as was written down outside the store: its end was cut off"
        return ""


def _hash(line: bytes | None) -> bytes:
    return hashlib.sha256(line).digest() if line else GENESIS


def _read(number: int, raw: bytes) -> AuditLine:
    try:
        at, who, act, subject, why = msgspec.msgpack.decode(raw[32:])
    except (msgspec.MsgspecError, ValueError, TypeError):
        return AuditLine(number, Millis(0), "", "unreadable", "", "this line was damaged")
    return AuditLine(number, Millis(at), who, act, subject, why)
