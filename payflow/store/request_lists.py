"""What each owner asked for, line by line: a record that is taken away is missed, whether or not it holds money.

Who writes to the store alone can take a record out of every index, or take it away whole. So whoever makes a record
that has an amount adds a line to the list of its owner in the same script: the next number, the id, and a signature of
both. Whoever judges an owner finds each record of the newest lines, or what the archive left of it. A line in the
middle cannot be taken out without a gap. The newest ones can be cut off, which makes the list an older one of ours: a
process that saw more of it knows, and where none is left that did, the record is missed by what is written down outside
(`heads.py`), at the next walk over that.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from machines.core.errors import Conflict, PayflowError
from machines.core.ids import Owner, RecordId, is_id
from payflow.store import keys
from payflow.store.groups import CreateOp, WriteGroup
from payflow.store.keys import Key
from payflow.store.link import Link, OverLink, paged
from payflow.store.macs import Forged
from payflow.store.row_list import Row
from payflow.store.scripts import RELIST

MOST_LISTED = 1_000
"""So many lines a list has at most: op_create.lua cuts off the oldest."""
MOST_REMEMBERED = 50_000
MOST_READS = 3
AT_A_TIME = 50
BEGINS = "-"
"""In place of an id: what was asked for before this number is not listed."""
BEHIND = "behind"
REQUESTS_LISTED = "requests_listed"
_MARK = Row(keys.META, REQUESTS_LISTED)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OwnerRequests:
    """The newest lines of an owner's list."""

    numbers: dict[str, int] = field(default_factory=dict)
    """Of each id."""
    whole: bool = False
    """Whether there are no older ones."""
    fault: str = ""
    """Why they are not to be judged by."""


class RequestLists(OverLink):
    """All lists, as this process knows them."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.strict = False
        """Whether what an older version made was listed: then nothing is missing from a list."""
        self._next: dict[Owner, int] = {}
        self._seen: dict[Owner, int] = {}

    # ── written ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def number(self, group: WriteGroup) -> None:
        """Say of each record that is made with an amount which line it adds behind which."""
        for op in group.ops:
            if isinstance(op, CreateOp) and op.line:
                op.listed_after = self._next.get(op.owner, self._seen.get(op.owner, 0))
                # Behind a list that was set back it leaves a gap, which whoever judges its owner finds.
                number = max(op.listed_after, self._seen.get(op.owner, 0)) + 1
                group.blobs[op.line] = self._line(op.owner, number, op.id)
                _remember(self._next, op.owner, number)

    def came_of(self, group: WriteGroup, code: str) -> bool:
        """Learn what became of it; False where somebody else had added a line, and it is to be tried again."""
        made = [op for op in group.ops if isinstance(op, CreateOp) and op.line]
        if code.startswith(BEHIND):
            owner, newest = made[0].owner, int(code.removeprefix(BEHIND))
            _remember(self._next, owner, newest)
            return False
        for op in made:
            if code:
                self._next.pop(op.owner, None)  # who was numbered behind it learns where the list ends
            else:
                self._saw(op.owner, int(group.blobs[op.line].partition(b" ")[0]))
        return True

    def _saw(self, owner: Owner, number: int) -> None:
        _remember(self._seen, owner, max(number, self._seen.get(owner, 0)))

    def forget(self) -> None:
        """Take what was seen for void: a person took the store, as it is, for the truth."""
        self._next.clear()
        self._seen.clear()

    def _line(self, owner: Owner, number: int, record_id: str) -> bytes:
        return f"{number} {record_id} ".encode() + self._link.macs.sign("asked", owner, number, record_id)

    # ── read ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, owner: Owner, lines: Sequence[bytes], most: int) -> OwnerRequests:
        """Judge the newest lines of a list, so many of which were asked for."""
        if not self.strict:
            return OwnerRequests()
        numbers: dict[str, int] = {}
        try:
            for line in lines:
                number, record_id = self._opened(owner, line)
                if numbers and number != max(numbers.values()) + 1:
                    raise Forged("a line is missing")
                numbers[record_id] = number
        except PayflowError as error:
            return OwnerRequests(fault=f"the list of what {owner} asked for is not what Payflow wrote: {error}")
        newest = max(numbers.values(), default=0)
        if numbers and len(lines) < most and BEGINS not in numbers and min(numbers.values()) > 1:
            return OwnerRequests(fault=f"the beginning of the list of what {owner} asked for was taken away")
        if newest < self._seen.get(owner, 0):
            return OwnerRequests(fault=f"the list of what {owner} asked for was put back as it was")
        self._saw(owner, newest)
        return OwnerRequests(numbers, len(lines) < most)

    def _opened(self, owner: Owner, line: bytes) -> tuple[int, str]:
        number, _, rest = line.partition(b" ")
        record_id, _, signature = rest.partition(b" ")
        named = record_id.decode(errors="replace")
        if not number.isdigit():
            raise Forged("a line has no number")
        self._link.macs.check(signature, "asked", owner, int(number), named)
        return int(number), named

    # ── all of them ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self) -> None:
        """List what an older version made, once, as it is; who takes the mark of that away has nothing listed anew."""
        self.strict = self._link.rows.strict
        if self.strict and not await self._is_begun():
            try:
                await self._link.rows.read(self._link, _MARK)
            except Forged as error:
                log.exception("That requests are listed was taken away.", action="forged", why=str(error))
            else:
                await self.believe()

    async def _is_begun(self) -> bool:
        return bool(await self._link.ask("HEXISTS", *_MARK))

    async def believe(self) -> None:
        """List anew, as it is, what is not as it was listed: a person says that it is right, or nobody ever did."""
        self.strict = True
        async for shard, owner, why in self._walk():
            if why:
                await self._list_anew(shard, owner)
        if not await self._is_begun():
            async with self._link.rows.changing(self._link, _MARK, b"1"):
                await self._link.ask("HSET", *_MARK, 1)

    async def sign(self) -> AsyncIterator[str]:
        """Sign with the newest key the lists that are sound; name the others."""
        if self.strict:
            async for shard, owner, why in self._walk():
                if why:
                    yield f"{keys.asked(shard, owner)}: {why}"

    async def _walk(self) -> AsyncIterator[tuple[int, Owner, str]]:
        """Look at the list of each owner who asked for anything, and say what is wrong with it."""
        before: list[Key] = []
        for shape in (keys.owned, keys.past, keys.asked):
            begins = shape.shape.partition("SS")[2].partition("<")[0]
            async for page in paged(self._link.keys(f"{{pf:??{begins}*")):
                found = [(int(key[4:6]), Owner(key.partition(begins)[2])) for key in page]
                for seen in before:
                    there = await self._link.pipeline([("EXISTS", seen(*one)) for one in found]) if found else []
                    found = [one for one, has in zip(found, there, strict=True) if not has]
                for first in range(0, len(found), AT_A_TIME):
                    some = found[first : first + AT_A_TIME]
                    faults = await asyncio.gather(*(self._looked_at(shard, owner) for shard, owner in some))
                    for (shard, owner), why in zip(some, faults, strict=True):
                        yield shard, owner, why
            before.append(shape)

    async def _looked_at(self, shard: int, owner: Owner) -> str:
        why = ""
        for _ in range(MOST_READS):  # something may be asked for, or archived, between two questions
            lines = await self._link.ask("LRANGE", keys.asked(shard, owner), 0, -1)
            requests = self.read(owner, lines, MOST_LISTED)
            why = requests.fault or await self._unlike(shard, owner, requests)
            if not why:
                await self._renew(shard, owner, lines)
                break
        return why

    async def _unlike(self, shard: int, owner: Owner, requests: OwnerRequests) -> str:
        """Say which record is listed and not there, or there and not listed."""
        listed = [one for one in requests.numbers if is_id(one)]
        questions: list[tuple[str | int, ...]] = []
        for one in listed:
            questions += [("EXISTS", keys.record(RecordId(one))), ("HEXISTS", keys.tombs(shard), one)]
        answers = await self._link.pipeline(questions) if questions else []
        for one, there, archived in zip(listed, answers[::2], answers[1::2], strict=True):
            if not there and not archived:
                return f"{one} was asked for, and is not there any more"
        if len(requests.numbers) >= MOST_LISTED:
            return ""  # older ones need not be listed
        known = [*await self._archived(shard, owner), *await self._with_amounts(shard, owner)]
        unlisted = [one for one in known if one not in requests.numbers]
        return f"{unlisted[0]} is not in the list of what {owner} asked for" if unlisted else ""

    async def _with_amounts(self, shard: int, owner: Owner) -> list[str]:
        """Give the newest records of an owner that have an amount, oldest first."""
        names = await self._link.ask("ZREVRANGE", keys.owned(shard, owner), 0, MOST_LISTED - 1)
        ids = [one for one in (name.decode(errors="replace") for name in reversed(names)) if is_id(one)]
        questions = [("HEXISTS", keys.record(RecordId(one)), "asset") for one in ids]
        answers = await self._link.pipeline(questions) if questions else []
        return [one for one, has in zip(ids, answers, strict=True) if has]

    async def _archived(self, shard: int, owner: Owner) -> list[str]:
        """Give those of the newest that were archived of which something is left, oldest first."""
        names = await self._link.ask("ZRANGE", keys.past(shard, owner), 0, -1)
        left = await self._link.pipeline([("HEXISTS", keys.tombs(shard), name) for name in names]) if names else []
        return [name.decode(errors="replace") for name, has in zip(names, left, strict=True) if has]

    async def _renew(self, shard: int, owner: Owner, lines: list[bytes]) -> None:
        macs = self._link.macs
        if not all(macs.is_current(line.split(b" ", 2)[2]) for line in lines):
            fresh = [self._line(owner, *self._opened(owner, line)) for line in lines]
            await self._replace(shard, owner, lines, fresh)  # where somebody added a line meanwhile, the next walk does

    async def _list_anew(self, shard: int, owner: Owner) -> None:
        for _ in range(MOST_READS):
            lines = await self._link.ask("LRANGE", keys.asked(shard, owner), 0, -1)
            ids = [*await self._archived(shard, owner), *await self._with_amounts(shard, owner)][1 - MOST_LISTED :]
            numbers = [int(line.partition(b" ")[0]) for line in lines if line.partition(b" ")[0].isdigit()]
            first = max([self._seen.get(owner, 0), *numbers]) + 1
            fresh = [self._line(owner, first + place, one) for place, one in enumerate([BEGINS, *ids])]
            if await self._replace(shard, owner, lines, fresh):
                log.warning("What somebody asked for was listed anew, as it is.", action="listed_anew", owner=owner)
                self._saw(owner, first + len(ids))
                return
        raise Conflict(f"{owner} asks for so much at this moment that it cannot be listed anew: try again.")

    async def _replace(self, shard: int, owner: Owner, lines: list[bytes], fresh: list[bytes]) -> Any:
        return await self._link.run(RELIST, [keys.sequence(shard)], owner, len(lines), *lines, *fresh)


def _remember(numbers: dict[Owner, int], owner: Owner, number: int) -> None:
    numbers.pop(owner, None)
    numbers[owner] = number
    if len(numbers) > MOST_REMEMBERED:
        del numbers[next(iter(numbers))]
