"""Bounded reads for pages: each costs what it shows, never what there is. Only `totals` walks, over accounts alone."""

import hashlib
import heapq
from collections.abc import Sequence
from typing import NamedTuple

from machines.core.clock import SECOND, Millis
from machines.core.ids import RecordId
from payflow.store import keys
from payflow.store.ledger import LedgerAccount, Posting, accounts_of, entry_of
from payflow.store.link import Link
from payflow.store.listing import PAGE, Listing, scored
from payflow.store.pages import ListCursor
from payflow.store.records import Records

# No stream numbers more entries of one millisecond.
MOST_AT_ONCE = 2**64 - 1

StateName = tuple[str, str]
"""A machine and one of its states."""


class PlacedPosting(NamedTuple):
    """A posting, when it was made and where it is kept."""

    at: Millis
    shard: int
    entry: Posting


class JournalCursor(NamedTuple):
    """A place in the journal of all shards: a moment, and how many postings of it were seen."""

    at: Millis
    seen: int


class Views:
    """What pages look at."""

    def __init__(self, link: Link, records: Records, listing: Listing) -> None:
        self._link = link
        self._records = records
        self._listing = listing

    async def pulse(self) -> str:
        """Give a word that changes whenever records, pauses or the audit log do."""
        counted = [("GET", keys.sequence(shard)) for shard in range(self._records.shards)]
        found = await self._link.pipeline([*counted, ("HGETALL", keys.PAUSE), ("LLEN", keys.AUDIT)])
        return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    async def stuck(self) -> dict[StateName, int]:
        """Count the records that are in their state for longer than they should be."""
        now = await self._records.now()
        limits = {
            (machine.name, state.name): now - state.stuck_after_s * SECOND
            for machine in self._records.machines.values()
            for state in machine.lifecycle.states.values()
            if state.stuck_after_s is not None
        }
        commands = [
            ("ZCOUNT", keys.members(shard, *place), "-inf", f"({since}")
            for place, since in limits.items()
            for shard in range(self._records.shards)
        ]
        counts = await self._link.pipeline(commands) if commands else []
        step = self._records.shards
        return {place: sum(counts[number * step : (number + 1) * step]) for number, place in enumerate(limits)}

    async def in_states(
        self, states: Sequence[StateName], after: ListCursor | None, limit: int, *, oldest_first: bool
    ) -> list[ListCursor]:
        """List so many records of some states behind a place, in the order in which they came into their states."""
        names = [keys.members(shard, *state) for state in states for shard in range(self._records.shards)]
        found: set[ListCursor] = set()
        skipped = 0
        while names:
            commands = [_behind_in(name, after, skipped, limit, oldest_first=oldest_first) for name in names]
            answers = [scored(answer) for answer in await self._link.pipeline(commands)]
            places = [[ListCursor(Millis(int(score)), record_id) for record_id, score in answer] for answer in answers]
            behind = [[one for one in page if _is_behind(one, after, oldest_first=oldest_first)] for page in places]
            found |= {one for page in behind for one in page}
            # Records of one millisecond stand in the order of their ids: those in front of the place were seen.
            names = [
                name for name, page, new in zip(names, places, behind, strict=True) if len(page) == limit > len(new)
            ]
            skipped += limit
        choose = heapq.nsmallest if oldest_first else heapq.nlargest
        return choose(limit, found, key=lambda one: (one.at, one.id))

    async def holder(self, space: str, value: str) -> RecordId | None:
        """Find the record that holds a unique value, in whichever shard."""
        commands = [("HGET", keys.unique(shard, space), value) for shard in range(self._records.shards)]
        return next((RecordId(one.decode()) for one in await self._link.pipeline(commands) if one), None)

    async def postings(
        self, limit: int, after: JournalCursor | None = None
    ) -> tuple[list[PlacedPosting], JournalCursor | None]:
        """List postings of all owners, the newest first, behind a turn; and the turn where the next ones begin."""
        newest, seen = ("+", 0) if after is None else (f"{after.at}-{MOST_AT_ONCE}", after.seen)
        wanted = seen + limit + 1
        commands = [
            ("XREVRANGE", keys.journal(shard), newest, "-", "COUNT", wanted) for shard in range(self._records.shards)
        ]
        found = [
            PlacedPosting(Millis(int(entry_id.decode().partition("-")[0])), shard, entry_of(entry_id, fields))
            for shard, answer in enumerate(await self._link.pipeline(commands))
            for entry_id, fields in answer
        ]
        page = heapq.nlargest(wanted, found, key=lambda one: (one.at, one.shard, _number(one.entry)))[seen:]
        if len(page) <= limit:
            return page, None
        last = page[limit - 1].at
        together = sum(1 for one in page[:limit] if one.at == last)
        return page[:limit], JournalCursor(last, together + (seen if after and after.at == last else 0))

    async def totals(self) -> dict[str, LedgerAccount]:
        """Add up the accounts of all owners, by asset: as many reads as there are accounts, in pages."""
        sums: dict[str, LedgerAccount] = {}
        page: list[str] = []
        async for key in self._listing.keys("{pf:??}:acct:*"):
            page.append(key)
            if len(page) == PAGE:
                await self._add(sums, page)
                page = []
        await self._add(sums, page)
        return sums

    async def _add(self, sums: dict[str, LedgerAccount], names: list[str]) -> None:
        for fields in await self._link.pipeline([("HGETALL", name) for name in names]) if names else []:
            for asset, account in accounts_of(fields).items():
                sums.setdefault(asset, LedgerAccount()).add(account)


def _number(entry: Posting) -> int:
    return int(entry.id.partition("-")[2])


def _behind_in(
    name: str, after: ListCursor | None, skipped: int, limit: int, *, oldest_first: bool
) -> tuple[str | int, ...]:
    order, first, last = ("ZRANGEBYSCORE", "-inf", "+inf") if oldest_first else ("ZREVRANGEBYSCORE", "+inf", "-inf")
    begin = first if after is None else str(after.at)
    return (order, name, begin, last, "WITHSCORES", "LIMIT", skipped, limit)


def _is_behind(one: ListCursor, place: ListCursor | None, *, oldest_first: bool) -> bool:
    if place is None:
        return True
    mine, its = (one.at, one.id), (place.at, place.id)
    return mine > its if oldest_first else mine < its
