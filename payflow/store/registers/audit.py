"""What people did to the installation: one line an act, each behind the hash of the one before.

A line is written before the act is tried, so that nothing is done without a trace; an act that was refused gets a
second line that says so. What an act did to a record stands in the record's own history.

Old lines are put away into the archive. In their place stands one line at the front, signed, that says how many they
were and begins, as each line does, with the hash of the one before.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from machines.core.clock import Clock, Millis, SystemClock
from machines.core.errors import Conflict, PayflowError, StoreUnavailable
from payflow.store import keys
from payflow.store.codec import GENESIS, encode
from payflow.store.link import PAGE, Link
from payflow.store.registers.anchors import Anchor, AnchorFile
from payflow.store.scripts import AUDIT, AUDIT_CUT

REFUSED = "refused"
PUT_AWAY = "put away"
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
            before = newest[:32] if count == 1 and self._put_away(newest) else _hash(newest)
            line = before + encode((self._clock.now(), who, act, subject, why[:LONGEST]))
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
        length, first = await self._link.pipeline([("LLEN", keys.AUDIT), ("LINDEX", keys.AUDIT, 0)])
        return int(length) + self._offset(first)

    def _put_away(self, first: bytes | None) -> int:
        """Say how many lines were put away, as the line in their place says; 0 where it is a line as any other."""
        if not first:
            return 0
        line = _read(0, first)
        count = int(line.subject) if line.act == PUT_AWAY and line.subject.isdigit() else 0
        return count if count and line.why == self._link.rows.sign(PUT_AWAY, count, first[:32].hex()) else 0

    def _offset(self, first: bytes | None) -> int:
        """Say by how much the number of a line is more than its place in the list."""
        return max(0, self._put_away(first) - 1)

    async def put_away(self, before: Millis, write: Callable[[AuditLine], object]) -> int:
        """Take the lines from before a time, but for the newest, out of the store; each is written elsewhere first."""
        length, first = await self._link.pipeline([("LLEN", keys.AUDIT), ("LINDEX", keys.AUDIT, 0)])
        if not self._link.rows.strict or not length:
            return 0  # nothing could prove that they were put away, and not cut off
        offset, begins = self._offset(first), int(self._put_away(first) > 0)
        end = head = None
        for start in range(begins, length - 1, PAGE):
            for place, raw in enumerate(
                await self._link.ask("LRANGE", keys.AUDIT, start, min(start + PAGE, length - 1) - 1), start
            ):
                line = _read(place + 1 + offset, raw)
                if line.at >= before or (end or begins) != place:
                    break
                write(line)
                end, head = place + 1, _hash(raw)
        if end is None or head is None:
            return 0
        count = end + offset
        signature = self._link.rows.sign(PUT_AWAY, count, head.hex())
        mark = head + encode((self._clock.now(), "payflow", PUT_AWAY, str(count), signature))
        return end - begins if await self._link.run(AUDIT_CUT, [keys.AUDIT], first, end, mark) else 0

    async def page(self, before: int | None, limit: int) -> list[AuditLine]:
        """List lines, the newest first, that were written before the line of a number."""
        offset = self._offset(front := await self._link.ask("LINDEX", keys.AUDIT, 0))
        last = (await self.count() if before is None else before - 1) - 1 - offset
        least = int(self._put_away(front) > 0)
        if last < least:
            return []
        first = max(least, last - limit + 1)
        found = await self._link.ask("LRANGE", keys.AUDIT, first, last)
        return [_read(first + place + 1 + offset, raw) for place, raw in enumerate(found)][::-1]

    async def anchor(self, *, anew: bool = False) -> Anchor:
        """Write down outside the store how far the log is; `anew` where what was written down before is void."""
        length, first = await self._link.pipeline([("LLEN", keys.AUDIT), ("LINDEX", keys.AUDIT, 0)])
        newest = await self._link.ask("LINDEX", keys.AUDIT, length - 1) if length else None
        head = first[:32] if length == 1 and self._put_away(first) else _hash(newest)
        anchor = Anchor(self._clock.now(), length + self._offset(first), head.hex(), anew)
        self._anchors.write(anchor)
        return anchor

    async def fault(self) -> str:
        """Walk over the whole log and say where it was changed or cut; empty when it is whole."""
        anchors, broken = self._anchors.read()
        if broken:
            return broken
        written_down = {anchor.lines: anchor for anchor in anchors}
        first = await self._link.ask("LINDEX", keys.AUDIT, 0)
        gone, offset = self._put_away(first), self._offset(first)
        expected, start = (first[:32], 1) if gone else (GENESIS, 0)
        written_down = {lines: anchor for lines, anchor in written_down.items() if lines >= gone}
        if gone in written_down and written_down.pop(gone).head != expected.hex():
            return f"line {gone}, the last that was put away, is not what was written down outside the store"
        while lines := await self._link.ask("LRANGE", keys.AUDIT, start, start + PAGE - 1):
            for number, raw in enumerate(lines, start + 1 + offset):
                if raw[:32] != expected:
                    return f"line {number} does not follow the one before"
                expected = _hash(raw)
                anchor = written_down.pop(number, None)
                if anchor is not None and anchor.head != expected.hex():
                    return f"line {number}, or one before it, is not what was written down outside the store"
            start += len(lines)
        longest = max(written_down, default=0)
        if longest:
            had = f"had {longest} as was written down outside the store"
            return f"it has {start + offset} lines, and {had}: its end was cut off"
        return ""


def _hash(line: bytes | None) -> bytes:
    return hashlib.sha256(line).digest() if line else GENESIS


def _read(number: int, raw: bytes) -> AuditLine:
    try:
        at, who, act, subject, why = msgspec.msgpack.decode(raw[32:])
    except (msgspec.MsgspecError, ValueError, TypeError):
        return AuditLine(number, Millis(0), "", "unreadable", "", "this line was damaged")
    return AuditLine(number, Millis(at), who, act, subject, why)
