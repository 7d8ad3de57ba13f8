"""Records: found by what is written on them, listed by machine and state, page by page, and as a table to take away."""

import asyncio
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import hdrs, web

from machines.core.clock import Millis
from machines.core.errors import BadInput, NotFound, PayflowError, StoreError
from machines.core.ids import RecordId, owner_of, parse_id
from machines.core.record import Record
from payflow.desk.records import is_stuck
from payflow.shown import iso
from payflow.store.listing import ListCursor
from payflow.web.http.problems import BAD_FIELD, Problem
from payflow.web.http.sessions import Visit, see
from payflow.web.pages.admin.extensions import Search
from payflow.web.pages.admin.frame import Frame

SHOWN = 50
# Of an owner's records so many are looked through for those in a state, before the page is shown as far as it is.
MOST_LOOKED_THROUGH = 500
COLUMNS = ("id", "machine", "state", "owner", "currency", "amount", "made", "since", "parked")

_CURSOR = re.compile(r"([0-9]{1,15})\.([a-z0-9-]{1,60})")
_REFERENCE = re.compile(r"([a-z][a-z_]{1,31}-[0-9]{2}-[a-z2-7]{16})(?:-[a-z][a-z2-7]{3})?-[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """What somebody looks for."""

    text: str
    machine: str
    state: str
    oldest: bool
    parked: bool
    after: ListCursor | None

    def link(self, **changes: str) -> str:
        """Write it as a query, with some parts changed."""
        parts = {"q": self.text, "machine": self.machine, "state": self.state, "order": "oldest" if self.oldest else ""}
        parts |= {"parked": "1" if self.parked else ""} | changes
        return urlencode({name: value for name, value in parts.items() if value})


@dataclass(frozen=True, slots=True)
class RecordsFound:
    """One page of what was found."""

    records: Sequence[Record[Any]]
    following: ListCursor | None = None
    """Where the next page begins; None when nothing follows."""


class RecordsPage:
    """The list."""

    def __init__(self, frame: Frame, searches: Sequence[Search]) -> None:
        self._frame = frame
        self._store = frame.store
        self._searches = searches

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{self._frame.place}/records", self._frame.shows(self.show)),
            web.get(f"{self._frame.place}/records.csv", self._frame.shows(self.take_away)),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Show a page of the list, or the one record that was meant."""
        asked = self._asked(visit.request.query)
        one = await self._meant(asked.text)
        if one is not None:
            return see(f"{self._frame.place}/records/{one}")
        found, now = await self._find(asked), await self._store.records.now()
        machines = self._store.records.machines
        return await self._frame.page(
            visit, "records.html", title="Records", here="records", asked=asked, found=found.records,
            stuck={one.id for one in found.records if is_stuck(machines[one.machine].lifecycle, one, now)},
            following=asked.link(after=f"{found.following.at}.{found.following.id}") if found.following else "",
            table=asked.link(**_after(asked)), first=asked.link(), machines=machines,
            states=[
                state for name, machine in machines.items() if asked.machine in ("", name)
                for state in machine.lifecycle.states
            ],
            searched=["id", "reference", "owner", *(search.by for search in self._searches)],
        )  # fmt: skip

    async def take_away(self, visit: Visit) -> web.StreamResponse:
        """Give what the page shows as a table."""
        found = await self._find(self._asked(visit.request.query))
        written = io.StringIO()
        table = csv.writer(written)
        table.writerow(COLUMNS)
        table.writerows(_cells(record) for record in found.records)
        named = {hdrs.CONTENT_DISPOSITION: 'attachment; filename="records.csv"'}
        return web.Response(text=written.getvalue(), content_type="text/csv", charset="utf-8", headers=named)

    def _asked(self, query: Mapping[str, str]) -> RecordFilter:
        machine, state = query.get("machine", ""), query.get("state", "")
        machines = self._store.records.machines
        if machine and machine not in machines:
            raise Problem(BAD_FIELD, f"There is no machine {machine[:40]!r}; there is {', '.join(machines)}.")
        return RecordFilter(
            query.get("q", "").strip()[:200],
            machine,
            state[:40],
            query.get("order") == "oldest",
            bool(query.get("parked")),
            _place(query.get("after", "")),
        )

    async def _meant(self, text: str) -> RecordId | None:
        """Tell the one record that a text names: by its id, or by the reference of one of its payments."""
        reference = _REFERENCE.fullmatch(text)
        name = reference[1] if reference else text
        try:
            self._store.records.shard_of(RecordId(name))
            return (await self._store.records.read(RecordId(name))).record.id
        except BadInput:
            return None
        except NotFound:
            return RecordId(name) if await self._store.archive.stub(RecordId(name)) else None

    async def _find(self, asked: RecordFilter) -> RecordsFound:
        if asked.parked:
            return RecordsFound(await self._read([one for one, _ in await self._store.listing.parked(SHOWN)]))
        if asked.text:
            for search in self._searches:
                if ids := await search.find(asked.text):
                    return RecordsFound(_fitting(await self._read(ids[:SHOWN]), asked))
            return await self._owned(asked)
        states = [
            (name, state)
            for name, machine in self._store.records.machines.items()
            for state in machine.lifecycle.states
            if asked.machine in ("", name) and asked.state in ("", state)
        ]
        places = await self._store.listing.in_states(states, asked.after, SHOWN + 1, oldest_first=asked.oldest)
        following = places[SHOWN - 1] if len(places) > SHOWN else None
        return RecordsFound(await self._read([place.id for place in places[:SHOWN]]), following)

    async def _owned(self, asked: RecordFilter) -> RecordsFound:
        try:
            owner = owner_of(asked.text)
        except BadInput:
            return RecordsFound(())
        place = asked.after
        found: list[Record[Any]] = []
        for _ in range(MOST_LOOKED_THROUGH // SHOWN):
            slice_ = await self._store.listing.owned_before(owner, place, None, None, SHOWN)
            read = {one.id: one for one in _fitting(await self._read([one.id for one in slice_]), asked)}
            for place in slice_:
                if place.id in read:
                    found.append(read[place.id])
                if len(found) == SHOWN:
                    return RecordsFound(found, place)
            if len(slice_) < SHOWN:
                return RecordsFound(found)
        return RecordsFound(found, place)

    async def _read(self, ids: Iterable[RecordId]) -> list[Record[Any]]:
        read = await asyncio.gather(*(self._readable(one) for one in ids))
        return [one for one in read if one is not None]

    async def _readable(self, record_id: RecordId) -> Record[Any] | None:
        """Read a record; one that cannot be read must not hide the others."""
        try:
            return (await self._store.records.read(record_id)).record
        except StoreError as error:
            if isinstance(error, NotFound):
                return None
            raise
        except PayflowError:
            return None


def _fitting(records: Iterable[Record[Any]], asked: RecordFilter) -> list[Record[Any]]:
    return [one for one in records if asked.machine in ("", one.machine) and asked.state in ("", one.state)]


def _after(asked: RecordFilter) -> dict[str, str]:
    return {"after": f"{asked.after.at}.{asked.after.id}"} if asked.after else {}


def _place(cursor: str) -> ListCursor | None:
    if not cursor:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise Problem(BAD_FIELD, "This address of a further page was changed: begin at the first one.")
    try:
        parse_id(match[2])
    except BadInput:
        raise Problem(BAD_FIELD, "This address of a further page was changed: begin at the first one.") from None
    return ListCursor(Millis(int(match[1])), RecordId(match[2]))


def _cells(record: Record[Any]) -> tuple[str, ...]:
    """Write a record as text; what an error said must be no formula to a spreadsheet."""
    amount = record.amount
    parked = f"'{record.parked}" if record.parked[:1] in ("=", "+", "-", "@") else record.parked
    return (
        record.id, record.machine, record.state, record.owner, amount.asset.code if amount else "",
        amount.decimal if amount else "", iso(record.created_at), iso(record.since), parked,
    )  # fmt: skip
