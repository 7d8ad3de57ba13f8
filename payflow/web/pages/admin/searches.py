"""Ways to find records by what is written on them, beside their id, their references and their owner."""

import asyncio
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from machines.bounty.data import MACHINE as BOUNTY
from machines.bounty.data import REPOSITORY_MACHINE
from machines.bounty.lifecycle import DISABLED, ENABLED
from machines.core.errors import PayflowError, StoreUnavailable
from machines.core.ids import Owner, RecordId
from machines.core.ports import PaymentKey
from machines.core.record import Record
from machines.pool.data import owner_of_login
from machines.transaction import lifecycle as s
from machines.transaction.data import HASHES, payment_id
from payflow.store.listing import ListCursor
from payflow.store.store import Store
from payflow.web.pages.admin.extensions import DashboardExtensions, Search

LATEST = 500
OF_ONE = 50
MOST_LANES = 100
MOST_BOUNTIES = 500
LANE, TRANSACTION, PAYMENT, POOL = "lane", "transaction", "payment", "pool"

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_LOGIN = re.compile(r"0x[0-9a-fA-F]{40}")
_BOUNTY = re.compile(r"(?P<name>[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100})(?:#(?P<number>[0-9]{1,9}))?")


def of(store: Store, board: DashboardExtensions) -> list[Search]:
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
        holder = await store.listing.holder(HASHES, text.lower())
        if holder is not None:
            return await _of_hash(store, holder, text.lower())
        states = [(TRANSACTION, state) for state in store.records.machines[TRANSACTION].lifecycle.states]
        places = await store.listing.in_states(states, None, LATEST, oldest_first=False)
        found = await asyncio.gather(*(_of_hash(store, place.id, text.lower()) for place in places))
        return [one for ids in found for one in ids]

    return Search("transaction hash", find)


async def _of_hash(store: Store, record_id: RecordId, wanted: str) -> Sequence[RecordId]:
    record = await _readable(store, record_id)
    if record is None:
        return ()
    data = record.data
    hashes = {data.hash, *(attempt.hash for attempt in data.attempts)}
    return (record_id, *data.members) if wanted in hashes else ()


def by_key(store: Store, lanes: Collection[str]) -> Search:
    """Find the payment of a lane by the key that it was asked with, such as a payout's reference."""

    async def find(text: str) -> Sequence[RecordId]:
        known = [
            one.record.data.name
            for state in (s.OPEN, s.HALTED)
            for one in await store.listing.in_state(LANE, state, MOST_LANES)
        ]
        ids = [payment_id(lane, PaymentKey(text), store.records.shards) for lane in dict.fromkeys([*lanes, *known])]
        found = await asyncio.gather(*(_readable(store, one) for one in ids))
        return [record.id for record in found if record is not None]

    return Search("lane payment key", find)


def by_login(store: Store, coins: Sequence[str]) -> Search:
    """Find the payments of a miner by their login at the pools of some coins."""

    async def find(text: str) -> Sequence[RecordId]:
        if not _LOGIN.fullmatch(text):
            return ()
        found: list[ListCursor] = []
        for coin in coins:
            owner = owner_of_login(coin, text.lower())
            found += await store.listing.owned_before(owner, None, None, None, OF_ONE)
        return [place.id for place in sorted(found, key=lambda place: place.at, reverse=True)]

    return Search("login", find)


def by_bounty(store: Store) -> Search:
    """Find the bounty of an issue as people write it, `owner/repository#7`; without a number all of the repository."""

    async def find(text: str) -> Sequence[RecordId]:
        asked = _BOUNTY.fullmatch(text)
        if asked is None:
            return ()
        name, number = asked["name"].casefold(), int(asked["number"] or 0)
        owners = await _repositories(store, lambda it: it.casefold() == name)
        found: list[RecordId] = []
        for owner in owners:
            places = await store.listing.owned_before(owner, None, None, None, MOST_BOUNTIES)
            read = await asyncio.gather(*(_readable(store, place.id) for place in places))
            found += [one.id for one in read if one and one.machine == BOUNTY and number in (0, one.data.place.number)]
        return found

    return Search("owner/repository#number", find)


async def _repositories(store: Store, wanted: Callable[[str], bool]) -> list[Owner]:
    """List the repositories with a name: two, where one was deleted and made again."""
    found = []
    for state in (ENABLED, DISABLED):
        stored = await store.listing.in_state(REPOSITORY_MACHINE, state)
        found += [one.record.owner for one in stored if wanted(one.record.data.name)]
    return found


async def _readable(store: Store, record_id: RecordId) -> Record[Any] | None:
    """Read a record; one that is gone or cannot be read hides no other."""
    try:
        return (await store.records.read(record_id)).record
    except StoreUnavailable:
        raise
    except PayflowError:
        return None
