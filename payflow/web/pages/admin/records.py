"""Records: found by what is written on them, listed by machine and state, page by page, and as a table to take away."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from machines.bounty.data import MACHINE as BOUNTY
from machines.bounty.data import REPOSITORY_MACHINE
from machines.bounty.lifecycle import DISABLED, ENABLED
from machines.core.errors import BadInput, NotFound
from machines.core.ids import RecordId
from machines.core.ports import PaymentKey
from machines.core.record import Record
from machines.pool.data import owner_of_login
from machines.transaction import lifecycle as s
from machines.transaction.data import HASHES, payment_id
from payflow.desk.platforms import owners_called
from payflow.desk.records import is_stuck, owned_page
from payflow.shown import harmless, iso
from payflow.store.listing import ListCursor
from payflow.store.store import Store
from payflow.web.http.auth import Visit, see
from payflow.web.http.endpoints import CsvReply, written
from payflow.web.http.payloads import cursor_of, list_cursor
from payflow.web.http.problems import BAD_FIELD, Problem
from payflow.web.pages.admin.bulk import verbs_of
from payflow.web.pages.admin.frame import DashboardExtensions, Frame, Search

SHOWN = 50
COLUMNS = ("id", "machine", "state", "owner", "currency", "amount", "made", "since", "parked")

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

    def fits(self, record: Record[Any]) -> bool:
        """Whether a record is of the machine and in the state that are looked for."""
        return self.machine in ("", record.machine) and self.state in ("", record.state)

    def link(self, after: ListCursor | None = None) -> str:
        """Write it as a query, for the first page or for the one behind a place."""
        parts = {"q": self.text, "machine": self.machine, "state": self.state, "order": "oldest" if self.oldest else ""}
        parts |= {"parked": "1" if self.parked else "", "after": cursor_of(after.at, after.id) if after else ""}
        return urlencode({name: value for name, value in parts.items() if value})


class RecordsPage:
    """The list."""

    def __init__(self, frame: Frame, searches: Sequence[Search]) -> None:
        self._frame = frame
        self._searches = searches

    def routes(self) -> list[web.RouteDef]:
        return [
            self._frame.shows("/records", self.show),
            self._frame.shows("/records.csv", self.take_away),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Show a page of the list, or the one record that was meant."""
        asked = self._asked(visit.request.query)
        one = await self._meant(asked.text)
        if one is not None:
            return see(f"{self._frame.place}/records/{one}")
        (found, following), now = await self._find(asked), await self._frame.store.records.now()
        machines = self._frame.store.records.machines
        return await self._frame.page(
            visit, "records.html", title="Records", here="records", asked=asked, found=found,
            stuck={one.id for one in found if is_stuck(machines[one.machine].lifecycle, one, now)},
            following=asked.link(after=following) if following else "",
            table=asked.link(after=asked.after), first=asked.link(), machines=machines,
            states=[
                state for name, machine in machines.items() if asked.machine in ("", name)
                for state in machine.lifecycle.states
            ],
            verbs=verbs_of(visit.caller),
            searched=["id", "reference", "owner", *(search.by for search in self._searches)],
        )  # fmt: skip

    async def take_away(self, visit: Visit) -> web.StreamResponse:
        """Give what the page shows as a table."""
        found, _ = await self._find(self._asked(visit.request.query))
        return written(CsvReply("records.csv", COLUMNS, map(_cells, found)))

    def _asked(self, query: Mapping[str, str]) -> RecordFilter:
        machine, state = query.get("machine", ""), query.get("state", "")
        machines = self._frame.store.records.machines
        if machine and machine not in machines:
            raise Problem(BAD_FIELD, f"There is no machine {machine[:40]!r}; there is {', '.join(machines)}.")
        return RecordFilter(
            query.get("q", "").strip()[:200],
            machine,
            state[:40],
            query.get("order") == "oldest",
            bool(query.get("parked")),
            list_cursor(query.get("after", "")),
        )

    async def _meant(self, text: str) -> RecordId | None:
        """Tell the one record that a text names: by its id, or by the reference of one of its payments."""
        reference = _REFERENCE.fullmatch(text)
        name = reference[1] if reference else text
        try:
            self._frame.store.records.shard_of(RecordId(name))
            return (await self._frame.store.records.read(RecordId(name))).record.id
        except BadInput:
            return None
        except NotFound:
            return RecordId(name) if await self._frame.store.archive.stub(RecordId(name)) else None

    async def _find(self, asked: RecordFilter) -> tuple[list[Record[Any]], ListCursor | None]:
        """Give one page of what was found, and where the next page begins; None when nothing follows."""
        if asked.parked:
            return await self._read([one for one, _ in await self._frame.store.listing.parked(SHOWN)]), None
        if asked.text:
            for search in self._searches:
                if ids := await search.find(asked.text):
                    return list(filter(asked.fits, await self._read(ids[:SHOWN]))), None
            return await self._owned(asked)
        states = [
            (name, state)
            for name, machine in self._frame.store.records.machines.items()
            for state in machine.lifecycle.states
            if asked.machine in ("", name) and asked.state in ("", state)
        ]
        places = await self._frame.store.listing.in_states(states, asked.after, SHOWN + 1, oldest_first=asked.oldest)
        following = places[SHOWN - 1] if len(places) > SHOWN else None
        return await self._read([place.id for place in places[:SHOWN]]), following

    async def _owned(self, asked: RecordFilter) -> tuple[list[Record[Any]], ListCursor | None]:
        """Give a page of an owner's; where more than one is called so, the newest of each."""
        store = self._frame.store
        try:
            owners = await owners_called(store, asked.text)
        except BadInput:
            return [], None
        pages = [await owned_page(store, [owner], asked.after, asked.fits, SHOWN) for owner in owners]
        if len(pages) == 1:
            return pages[0]
        found = sorted((one for page, _ in pages for one in page), key=lambda one: one.created_at, reverse=True)
        return found[:SHOWN], None

    async def _read(self, ids: Iterable[RecordId]) -> list[Record[Any]]:
        return [one.record for one in await self._frame.store.records.readable(ids)]


def _cells(record: Record[Any]) -> tuple[str, ...]:
    """Write a record as text."""
    amount = record.amount
    return (
        record.id, record.machine, record.state, record.owner, amount.asset.code if amount else "",
        amount.decimal if amount else "", iso(record.created_at), iso(record.since), harmless(record.parked),
    )  # fmt: skip


# ── searches ──────────────────────────────────────────────────────────────────────────────────────────────────────────

LATEST = 500
OF_ONE = 50
MOST_LANES = 100
MOST_BOUNTIES = 500
LANE, TRANSACTION, PAYMENT, POOL = "lane", "transaction", "payment", "pool"

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_LOGIN = re.compile(r"0x[0-9a-fA-F]{40}")
_BOUNTY = re.compile(r"(?P<name>[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100})(?:#(?P<number>[0-9]{1,9}))?")


def searches_of(store: Store, board: DashboardExtensions) -> list[Search]:
    """List the searches that this installation's machines allow."""
    machines = store.records.machines
    found = [by_hash(store)] if TRANSACTION in machines else []
    found += [by_key(store, board.lanes)] if PAYMENT in machines else []
    found += [by_login(store, tuple(board.coins))] if board.coins and POOL in machines else []
    found += [by_bounty(store)] if BOUNTY in machines and REPOSITORY_MACHINE in machines else []
    return found


def by_hash(store: Store) -> Search:
    """Find a transaction by the hash of any of its attempts, and with it what it pays.

    What somebody else sent in its place claims nothing here: that is looked for among the newest alone.
    """

    async def find(text: str) -> Sequence[RecordId]:
        if not _HASH.fullmatch(text):
            return ()
        wanted = text.lower()
        holder = await store.listing.holder(HASHES, wanted)
        if holder is not None:
            ids = [holder]
        else:
            states = [(TRANSACTION, state) for state in store.records.machines[TRANSACTION].lifecycle.states]
            ids = [place.id for place in await store.listing.in_states(states, None, LATEST, oldest_first=False)]
        sent = [one.record for one in await store.records.readable(ids)]
        matching = [one for one in sent if wanted in (one.data.hash, *(attempt.hash for attempt in one.data.attempts))]
        return [record_id for one in matching for record_id in (one.id, *one.data.members)]

    return Search("transaction hash", find)


def by_key(store: Store, lanes: Collection[str]) -> Search:
    """Find the payment of a lane by the key that it was asked with, such as a payout's reference."""

    async def find(text: str) -> Sequence[RecordId]:
        known = [
            one.record.data.name
            for state in (s.OPEN, s.HALTED)
            for one in await store.listing.in_state(LANE, state, MOST_LANES)
        ]
        ids = [payment_id(lane, PaymentKey(text), store.records.shards) for lane in dict.fromkeys([*lanes, *known])]
        return [one.record.id for one in await store.records.readable(ids)]

    return Search("lane payment key", find)


def by_login(store: Store, coins: Sequence[str]) -> Search:
    """Find the payments of a miner by their login at the pools of some coins."""

    async def find(text: str) -> Sequence[RecordId]:
        if not _LOGIN.fullmatch(text):
            return ()
        found: list[ListCursor] = []
        for coin in coins:
            owner = owner_of_login(coin, text.lower())
            found += await store.listing.owned_before([owner], None, None, None, OF_ONE)
        return [place.id for place in sorted(found, key=lambda place: place.at, reverse=True)]

    return Search("login", find)


def by_bounty(store: Store) -> Search:
    """Find the bounty of an issue as people write it, `owner/repository#7`; without a number all of the repository."""

    async def find(text: str) -> Sequence[RecordId]:
        asked = _BOUNTY.fullmatch(text)
        if asked is None:
            return ()
        name, number = asked["name"].casefold(), int(asked["number"] or 0)
        # Two have one name, where a repository was deleted and made again.
        repositories = [
            one.record
            for state in (ENABLED, DISABLED)
            for one in await store.listing.in_state(REPOSITORY_MACHINE, state)
        ]
        found: list[RecordId] = []
        for owner in (one.owner for one in repositories if one.data.name.casefold() == name):
            places = await store.listing.owned_before([owner], None, None, None, MOST_BOUNTIES)
            read = [one.record for one in await store.records.readable(place.id for place in places)]
            found += [one.id for one in read if one.machine == BOUNTY and number in (0, one.data.place.number)]
        return found

    return Search("owner/repository#number", find)
