"""Seals and signs anew what an older key sealed or signed, while everything runs, so that it can be taken off.

What needs it is found by looking at each thing: whoever stopped in the middle begins again and skips what is done.
Nothing but ciphertext changes: no reference, no fingerprint, no state, no lease, and not when a record is looked at.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec

from machines.core.errors import Conflict, NotFound, PayflowError, SealedForAnother, StoreUnavailable
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.machine import Anew
from payflow.store import keys
from payflow.store.link import paged
from payflow.store.outbox import Post
from payflow.store.registers.payout_files import FileRow, PayoutFileRows
from payflow.store.seals import Seals
from payflow.store.store import Store

AT_A_TIME = 16
MOST_PASSES = 5
"""So often it begins anew while something is sealed with an older key meanwhile."""
MOST_CONFLICTS = 20


@dataclass(frozen=True, slots=True)
class SealedLeft:
    """Something that still needs an older key."""

    place: str
    problem: str


@dataclass(frozen=True, slots=True)
class ResealReport:
    """What became of it."""

    looked_at: int
    renewed: int
    left: tuple[SealedLeft, ...]
    done: bool
    """Whether the last walk over everything found nothing that needs an older key."""


class _Sealed(NamedTuple):
    """A place that may hold something sealed; `renew` tells whether it had to be sealed anew."""

    name: str
    renew: Callable[[], Awaitable[bool]]


async def reseal(store: Store, who: str, count: Callable[[int], None] = lambda _: None) -> ResealReport:
    """Walk over everything until nothing needs another key than the newest, but what cannot be sealed anew."""
    looked_at = renewed = 0
    left: list[SealedLeft] = []
    async with store.audit.doing(who, "reseal", "everything that is sealed"):
        for _ in range(MOST_PASSES):
            found, left = await _walk(store, who, count)
            looked_at = max(looked_at, found.looked_at)
            renewed += found.renewed
            if not found.renewed:
                return ResealReport(looked_at, renewed, tuple(left), not left)
    return ResealReport(looked_at, renewed, tuple(left), done=False)


async def count_of_records(store: Store) -> int:
    """Say about how much there is to walk over."""
    return sum(one.count for one in await store.listing.counts_by_state()) + await store.archive.count()


class _Pass(NamedTuple):
    looked_at: int
    renewed: int


async def _walk(store: Store, who: str, count: Callable[[int], None]) -> tuple[_Pass, list[SealedLeft]]:
    looked_at = renewed = 0
    left: list[SealedLeft] = []
    async for page in paged(_everything(store, who)):
        for first in range(0, len(page), AT_A_TIME):
            some = page[first : first + AT_A_TIME]
            for one, answer in zip(some, await asyncio.gather(*map(_renewed, some)), strict=True):
                if isinstance(answer, str):
                    left.append(SealedLeft(one.name, answer))
                else:
                    renewed += answer
            looked_at += len(some)
            count(len(some))
    false = "it is not what Payflow wrote, so it is not signed anew"
    left += [SealedLeft(place, false) async for place in store.rows.faults()]
    return _Pass(looked_at, renewed), left


async def _renewed(one: _Sealed) -> bool | str:
    """Seal one thing anew if it needs it; a sentence where it cannot be."""
    try:
        return await one.renew()
    except StoreUnavailable:
        raise
    except (PayflowError, ValueError, TypeError, AttributeError) as error:  # one that cannot be read stops no others
        return str(error) or type(error).__name__


async def _everything(store: Store, who: str) -> AsyncIterator[_Sealed]:
    """Find each place, records first: what is archived meanwhile is found among the archived."""
    for shard in range(store.records.shards):
        for machine in store.records.machines:
            async for key in store.link.keys(keys.records(shard, f"{machine}-*")):
                record_id = RecordId(key.partition(":rec:")[2])
                yield _Sealed(record_id, partial(_record, store, record_id, who))
            async for record_id, _ in store.archive.stubs_of(machine, shard):
                yield _Sealed(f"{record_id}, archived", partial(_archived, store, record_id))
        for owner in [one async for one in _owners(store, keys.provider(shard, "*"))]:
            yield _Sealed(f"provider {owner}", partial(store.profiles.reseal, owner))
        for owner in [one async for one in _owners(store, keys.contributor(shard, "*"))]:
            yield _Sealed(f"contributor {owner}", partial(store.contributors.reseal, owner))
        async for message in _messages(store, shard):
            yield message
        rows = PayoutFileRows(store.link, store.records)
        async for file, portion in rows.portions(shard):
            yield _Sealed(f"{file}, {portion}", partial(rows.reseal, file, portion, partial(_row, store.seals)))

    async for other in _of_the_installation(store):
        yield other


async def _of_the_installation(store: Store) -> AsyncIterator[_Sealed]:
    for rail in await store.statements.marks():
        for key in (keys.lines(rail), keys.statement(rail), keys.STATEMENTS):
            yield _Sealed(f"statement of {rail}", partial(store.statements.renew, key))
    for person in await store.persons.all():
        yield _Sealed(f"person {person.name}", partial(store.persons.reseal, person))
    endpoints = store.webhook_endpoints
    for platform in await endpoints.platforms():
        for one in await endpoints.of(platform):
            yield _Sealed(f"webhook endpoint {one.name}", partial(endpoints.reseal, one.name))


async def _messages(store: Store, shard: int) -> AsyncIterator[_Sealed]:
    """Find messages that name contacts, those among them that were given up and may be sent once more."""

    def renew(post: Post) -> str:
        return store.profiles.renewed_contacts(Owner(post.body["owner"]), post.body["to"])

    async for name in store.outbox.naming_contacts(shard):
        yield _Sealed(f"message {name}", partial(store.outbox.readdress, name, renew))


async def _owners(store: Store, shape: str) -> AsyncIterator[Owner]:
    async for key in store.link.keys(shape):
        yield Owner(key.removeprefix(shape[:-1]))


async def _record(store: Store, record_id: RecordId, who: str) -> bool:
    """Seal a record anew by an event of its own, which is written as all others are."""
    renew = store.records.machines[parse_id(record_id)[0]].reseal
    for _ in range(MOST_CONFLICTS):
        try:
            stored = await store.records.read(record_id)
        except NotFound:
            return False  # it was archived this moment
        data = renew(stored.record.data, anew(store.seals, record_id)) if renew else stored.record.data
        if data == stored.record.data:
            return await store.permits.renew(record_id)
        # What somebody wrote in beside its history must not get a new seal as if it had always been there.
        for problem in await store.integrity.faults_of(record_id):
            raise SealedForAnother(problem)
        try:
            await store.records.reseal(stored, data, who)
        except Conflict:
            continue
        return True
    raise Conflict(f"{record_id} changes all the time: begin again.")


async def _archived(store: Store, record_id: RecordId) -> bool:
    renew = store.records.machines[parse_id(record_id)[0]].reseal
    fresh = anew(store.seals, record_id)
    return await store.archive.reseal(record_id, lambda data: renew(data, fresh) if renew else data)


def _row(seals: Seals, row: FileRow) -> FileRow:
    """Seal a row of a file of payouts anew, which is none yet."""
    return msgspec.structs.replace(row, sealed=anew(seals, row.payout)(row.sealed, row.place)[0])


def anew(seals: Seals, record_id: RecordId) -> Anew:
    """Seal anew what needs it: within a record, the same ciphertext becomes the same."""
    renewed: dict[str, str] = {}

    def one(sealed: str, place: str) -> tuple[str, str]:
        destination = seals.open(sealed, record_id)
        named = seals.place(destination)
        if place not in ("", named):
            raise SealedForAnother(f"What is sealed in {record_id} is another destination than is named beside it.")
        if sealed not in renewed:
            current = seals.is_current(sealed, record_id)
            renewed[sealed] = sealed if current else seals.seal(destination, record_id)
        return renewed[sealed], named

    return one
