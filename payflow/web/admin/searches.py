"""Ways to find records by what is written on them, beside their id, their references and their owner."""

import asyncio
import re
from collections.abc import Sequence

from machines.core.errors import BadInput, PayflowError, StoreUnavailable
from machines.core.ids import RecordId, owner_of
from payflow.store import pages
from payflow.store.store import Store
from payflow.web.admin.board import Search

# Hashes have no index of their own: whoever asks for one has seen it lately.
LATEST = 500
LOGINS = 50
TRANSACTION = "transaction"

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def by_hash(store: Store) -> Search:
    """Find a transaction by the hash of any of its attempts, and with it what it pays."""

    async def find(text: str) -> Sequence[RecordId]:
        if not _HASH.fullmatch(text):
            return ()
        states = [(TRANSACTION, state) for state in store.records.machines[TRANSACTION].lifecycle.states]
        places = await store.views.in_states(states, None, LATEST, oldest_first=False)
        found = await asyncio.gather(*(_of_hash(store, place.id, text.lower()) for place in places))
        return [one for ids in found for one in ids]

    return Search(f"transaction hash (of the newest {LATEST})", find)


async def _of_hash(store: Store, record_id: RecordId, wanted: str) -> Sequence[RecordId]:
    try:
        data = (await store.records.read(record_id)).record.data
    except StoreUnavailable:
        raise
    except PayflowError:
        return ()
    hashes = {data.hash, *(attempt.hash for attempt in data.attempts)}
    return (record_id, *data.members) if wanted in hashes else ()


def by_login(store: Store, coins: Sequence[str]) -> Search:
    """Find the payments of a miner by his login at the pools of some coins."""

    async def find(text: str) -> Sequence[RecordId]:
        found: list[pages.Place] = []
        for coin in coins:
            try:
                owner = owner_of(f"{coin}:{text.lower()}")
            except BadInput:
                return ()
            shard = store.records.owner_shard(owner)
            found += await pages.before(store.link, shard, owner, None, None, None, LOGINS)
        return [place.id for place in sorted(found, key=lambda place: place.at, reverse=True)]

    return Search("login", find)
