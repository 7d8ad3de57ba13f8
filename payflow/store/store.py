"""Opens the store: the embedded server or a given one, its schema, the sequence guard, its durability."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import structlog

from machines.core.clock import SECOND, Clock
from machines.core.errors import LeaseLost, NotDurable, NotSigned, Paused, StoreUnfit
from machines.core.ids import ReservedOwners
from machines.core.machine import AnyMachine
from machines.core.money import Assets
from machines.core.record import Record
from payflow.config import Settings
from payflow.store import keys, servers
from payflow.store.archive import Archive
from payflow.store.embedded import embedded, is_made
from payflow.store.guard import HIGH_WATER, Guard
from payflow.store.heads import HEADS, MARKS, Broken, Heads
from payflow.store.integrity import Integrity
from payflow.store.ledger import RAILS_OPENED, Ledger, PostedSums
from payflow.store.link import Link, connect
from payflow.store.listing import Listing
from payflow.store.macs import Macs
from payflow.store.opening import Opening
from payflow.store.outbox import Outbox
from payflow.store.pauses import CHANGED, EVERYTHING, GUARD, Pauses, scope_of_shard
from payflow.store.permits import PermitKeys, Permits
from payflow.store.receipt_keys import ReceiptKeys
from payflow.store.records import UNSIGNED, Records
from payflow.store.registers.alone import BrokenGlass, OnePersonSetting
from payflow.store.registers.anchors import ANCHORS, AnchorFile
from payflow.store.registers.audit import Audit
from payflow.store.registers.caps import DailyCaps
from payflow.store.registers.contributors import Challenges, ContributorAddresses
from payflow.store.registers.earnings import Earnings
from payflow.store.registers.passkeys import Passkeys
from payflow.store.registers.persons import Persons
from payflow.store.registers.platforms import PlatformGrants
from payflow.store.registers.profiles import INDEXED, Profiles
from payflow.store.registers.proposals import Proposals
from payflow.store.registers.shortfalls import Shortfalls
from payflow.store.registers.statements import Statements
from payflow.store.registers.subjects import KnownSubjects
from payflow.store.registers.tokens import Sessions, Tokens
from payflow.store.registers.webhook_endpoints import WebhookEndpoints
from payflow.store.registers.webhook_log import WebhookLog
from payflow.store.row_list import RowList
from payflow.store.seals import Seals, key_of_folder, keys_given
from payflow.store.servers import DurabilityFault, StoreServer
from payflow.store.signed_rows import SignedRows
from payflow.store.stored import Stored
from payflow.store.track_record import TrackRecords

log = structlog.get_logger()

RESTORED = "restored"
"""The file in the data folder that says who restored the store, until the audit log does."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class Store:
    """Everything that is kept, and what may be done with it."""

    settings: Settings
    link: Link
    guard: Guard
    records: Records
    marks: Heads
    """What is written down outside of the list of rows and of the books."""
    ledger: Ledger
    listing: Listing
    integrity: Integrity
    permits: Permits
    rows: SignedRows
    earnings: Earnings
    seals: Seals
    permit_keys: PermitKeys
    receipt_keys: ReceiptKeys
    profiles: Profiles
    contributors: ContributorAddresses
    challenges: Challenges
    outbox: Outbox
    pauses: Pauses
    shortfalls: Shortfalls
    statements: Statements
    platforms: PlatformGrants
    webhook_endpoints: WebhookEndpoints
    webhook_log: WebhookLog
    alone: OnePersonSetting
    glass: BrokenGlass
    persons: Persons
    caps: DailyCaps
    audit: Audit
    archive: Archive
    opening: Opening
    track: TrackRecords
    store_id: str
    installation: str
    two_people_at_first: bool
    """Whether it began with a version in which large amounts take two reviewers unless the settings say otherwise."""
    """A short name of this installation, for ever: whatever is asked of others carries it."""
    servers: list[StoreServer]
    _comparing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.records.on_doubt = self.compare
        self.records.before_giving_back = self.refuse_closed

    def serve(self, machines: Iterable[AnyMachine]) -> None:
        """Say which machines' records it keeps; before that nothing of any record can be read or written."""
        self.records.serve(machines)

    async def may_send(self, stored: Stored, lease_ms: int, *scopes: str) -> None:
        """Raise unless, at this very moment, something irreversible may leave for a leased record.

        The record is marked as sending, as durably as its intent, before anything can leave.
        """
        asked_at = perf_counter()
        faults = self.faults()
        if faults:
            raise NotDurable(faults[0].text)
        if not self.records.trusts(stored):
            raise NotSigned(f"{stored.record.id} sends nothing: {UNSIGNED}")
        await self.records.confirm(stored, lease_ms)
        await self.records.refuse_archived(stored.record.id)
        await self.records.refuse_set_back(stored)
        if self.guard.doubted or self.guard.alarms:
            await self.compare()
            if self.guard.doubted:
                raise NotDurable("Two servers answered for the store within a moment: it is changing its primary.")
        await self.refuse_paused(stored.record, *scopes)
        if (perf_counter() - asked_at) * SECOND >= lease_ms:
            # We were asleep (stopped, swapped out) while the answers lay there: they speak of a lease long gone.
            raise LeaseLost(f"{stored.record.id}: the answers before the send came too late; nothing has left.")

    async def refuse_paused(self, record: Record[Any], *scopes: str) -> None:
        """Raise where sends of a record, or in the scopes that it uses, are paused."""
        shard = scope_of_shard(self.records.shard_of(record.id))
        paused = await self.pauses.all()
        for scope in (shard, EVERYTHING, f"machine:{record.machine}", f"owner:{record.owner}", *scopes):
            if scope in paused:
                raise Paused(f"{scope} is paused: {paused[scope].why}")

    async def refuse_closed(self, shard: int) -> None:
        """Raise where a shard lost writes, until people have reconciled it: what its records forgot may have left.

        What people paused is given back all the same, so this asks the guard alone, and compares anew.
        """
        self.guard.doubted.add(shard)
        await self.compare()
        paused = await self.pauses.all()
        pause = paused.get(scope_of_shard(shard))
        if pause is None and EVERYTHING in paused and paused[EVERYTHING].who == CHANGED:
            pause = paused[EVERYTHING]  # whether the guard closed it cannot be told
        if pause is not None:
            raise Paused(f"{pause.scope} is closed: {pause.why}. Nothing is given back before `payflow reconcile`.")

    def faults(self) -> list[DurabilityFault]:
        """List why money must not be sent now; from what was last seen of the servers."""
        return servers.faults(self.servers, accepted=self.settings.accept_weak_durability)

    async def look_at_servers(self) -> None:
        """See again how durable the store is."""
        self.servers = await servers.inspect(self.link)
        self.guard.doubt_all_but([server.identity for server in self.servers])
        connected = min(server.replicas for server in self.servers)
        # Kept in the store: a worker that starts while the replicas are gone must miss them too.
        seen = int(await self.link.ask("HGET", keys.META, "replicas") or 0)
        if connected > seen:
            await self.link.ask("HSET", keys.META, "replicas", connected)
        wanted = self.settings.replicas if self.settings.replicas is not None else min(1, max(seen, connected))
        self.records.barrier = servers.barrier(self.servers, wanted)
        if self.guard.alarms:
            await self.compare()

    async def compare(self) -> None:
        """Compare servers that we do not know with what was acknowledged to us."""
        # One at a time: once a shard is trusted again its mark moves on, and an older answer would seem not to know it.
        async with self._comparing:
            if not self.guard.doubted and not self.guard.alarms:
                return
            store_id, adopted = await self._adopted_at()
            if store_id != self.store_id:
                self.guard.raise_all("the store is another one than at our start: it was wiped or replaced")
            self.guard.recall(self.store_id, adopted)
            if self.records.heads.begin_anew(adopted):
                self.marks.begin_anew(adopted)
                self.ledger.outside = {}
                self.records.requests.forget()
            for shard in sorted(self.guard.doubted):
                asked = self.guard.question(shard)
                self.guard.compare(shard, await self.records.shard_state(shard), asked)
        await self.settle_alarms()

    async def adopt(self) -> None:
        """Open what the guard closed: a person has reconciled the store with the world."""
        shards, self.store_id, self.installation = await _meta(self.link, self.settings, self.records.shards)
        if shards != self.records.shards:
            raise StoreUnfit(f"The store has {shards} shards now: start this process again.")
        await self.rows.begin_again(self.store_id)
        self.ledger.timed_since = await self.rows.timed_since()
        adopted = max(await self.records.now(), (await self._adopted_at())[1] + 1)
        # The list first: who learns that the store was taken for the truth must find one that holds.
        await self.rows.believe(adopted)
        words = ("adopted", adopted, "adopted_by", self.link.rows.sign("adopted", self.store_id, adopted))
        await self.link.ask("HSET", keys.META, *words)
        self.ledger.outside = {}
        self.records.heads.begin_anew(adopted)
        self.records.requests.forget()
        self.marks.begin_anew(adopted)
        for shard in range(self.records.shards):
            await self.link.ask("HSET", keys.writers(shard), "adopted", adopted)
            await self.link.ask("HDEL", keys.writers(shard), "lost")
        self.guard.adopt(
            self.store_id, adopted, [await self.records.shard_state(shard) for shard in range(self.records.shards)]
        )
        for scope in await self.pauses.all():
            if scope.startswith("shard:"):
                await self.pauses.resume(scope, reconciled=True)
        await self.audit.anchor(anew=True)

    async def begin_outside(self) -> None:
        """Read what was written down outside the store of how far all is."""
        adopted = (await self._adopted_at())[1]
        self.records.heads.open(adopted)
        self.marks.open(adopted)
        self.marks.shorten()
        try:
            self.link.rows.newest, self.ledger.outside = self.marks.marks()
        except Broken as broken:
            log.exception("What was written down outside was changed.", action="forged", why=str(broken))

    async def write_down(self) -> int:
        """Write down outside the store how far the records are that this process committed, and the list of rows."""
        self.note_rows()
        await self.marks.write_down_for_good()
        return await self.records.heads.write_down_for_good()

    async def write_down_books(self, posted: PostedSums) -> None:
        """Have it written down what the postings of each shard sum to."""
        now = await self.records.now()
        for shard, (last, digest) in self.ledger.sums_to_write_down(posted).items():
            self.marks.posted(shard, last, digest, now)

    async def note_restored(self) -> None:
        """Write into the audit log that the store was restored, at the first start afterwards."""
        note = self.settings.data / RESTORED
        if note.exists():
            who, _, file = note.read_text("utf-8").partition("\n")
            await self.audit.note(who, "restore", file)
            note.unlink()

    def note_rows(self) -> None:
        """Have it written down how far the list of rows is."""
        for bucket, at in self.link.rows.newest.items():
            self.marks.listed(bucket, at)

    async def settle_alarms(self) -> None:
        """Make the alarms of this process known to all others, through the store."""
        for shard, why in list(self.guard.alarms.items()):
            scope = scope_of_shard(shard)
            paused = await self.pauses.pause(scope, GUARD, why, await self.records.now())
            if paused and (await self._adopted_at())[1] > self.guard.adopted:
                # Somebody opened it while we were about to close it: we learn that at the next comparison.
                await self.pauses.resume(scope, reconciled=True)

    async def _adopted_at(self) -> tuple[str, int]:
        """Say which store this is, and when it was last taken for the truth."""
        store_id, adopted, sign = await self.link.ask("HMGET", keys.META, "store", "adopted", "adopted_by")
        found, at, rows = (store_id or b"").decode(), int(adopted or 0), self.link.rows
        if rows.strict and at and (sign or b"").decode(errors="replace") != rows.sign("adopted", found, at):
            self.guard.raise_all("that the store was taken for the truth was written beside Payflow")
            return found, self.guard.adopted
        return found, at


@asynccontextmanager
async def open_store(
    settings: Settings,
    *,
    assets: Assets | None = None,
    clock: Clock | None = None,
    coins: Iterable[str] = (),
    make: bool = True,
) -> AsyncIterator[Store]:
    """Open the store for as long as the context lasts; `coins` are those of the pools that are known here.

    Unless it may be made, it must be there: what is typed in the wrong folder must not be answered by an empty store.
    """
    if not make and settings.embedded:
        refuse_missing(settings)
    async with AsyncExitStack() as stack:
        settings.data.mkdir(parents=True, exist_ok=True)
        socket = None
        if settings.embedded:
            socket = (await stack.enter_async_context(embedded(settings.data, fsync=settings.fsync))).socket
        link = connect(settings, str(socket) if socket else None)
        stack.push_async_callback(link.close)
        await link.open()
        if not make and not _was_here(settings) and not await link.ask("HEXISTS", keys.META, "store"):
            raise no_store(f"at {link.place}")
        shards, store_id, installation = await _meta(link, settings, settings.shards)
        reserved = await _reserved(link, coins)
        guard = Guard(shards, Path(settings.data) / HIGH_WATER)
        stack.callback(guard.close)
        seals = await _seals(link, settings)
        key = bytes.fromhex(seals.fingerprint_key) if seals.ready else b""
        anchors = settings.anchors or settings.data / ANCHORS
        heads = Heads(anchors.with_name(anchors.name + HEADS), key)
        marks = Heads(anchors.with_name(anchors.name + MARKS), key, longest=2**20)
        stack.callback(heads.close)
        stack.callback(marks.close)
        link.macs = Macs(_seal_keys(settings))
        link.rows = RowList(key)
        records = Records(link, guard, shards, assets or Assets(), clock, heads)
        ledger = Ledger(link, records)
        profiles = Profiles(link, seals, shards, clock, reserved)
        pauses, platforms, persons = Pauses(link), PlatformGrants(link), Persons(link, seals)
        people = (Tokens(link, clock), Sessions(link), Passkeys(link), persons, KnownSubjects(link))
        endpoints = WebhookEndpoints(link, seals)
        registers = (*people, Proposals(link), profiles, platforms, endpoints, pauses, ledger)
        store = Store(
            settings=settings,
            link=link,
            guard=guard,
            records=records,
            marks=marks,
            ledger=ledger,
            earnings=Earnings(link, records, ledger),
            seals=seals,
            permit_keys=_permit_keys(settings),
            receipt_keys=ReceiptKeys(_receipt_keys(settings)),
            profiles=profiles,
            contributors=ContributorAddresses(link, seals, profiles, shards),
            challenges=Challenges(link),
            listing=Listing(link, records),
            integrity=Integrity(link, records),
            permits=Permits(link, records),
            rows=SignedRows(link, settings.data, store_id, registers, records.requests, records.now),
            outbox=Outbox(link, shards, clock),
            pauses=pauses,
            shortfalls=Shortfalls(link),
            statements=Statements(link, records.assets),
            platforms=platforms,
            webhook_endpoints=endpoints,
            webhook_log=WebhookLog(link),
            alone=OnePersonSetting(profiles, shards),
            glass=BrokenGlass(profiles, shards),
            persons=persons,
            caps=DailyCaps(link),
            audit=Audit(link, AnchorFile(anchors, seals), clock),
            archive=Archive(link, records, ledger),
            opening=Opening(link, records, ledger),
            track=TrackRecords(link, records),
            store_id=store_id,
            installation=installation,
            two_people_at_first=bool(await link.ask("HEXISTS", keys.META, "two_people")),
            servers=[],
        )
        stack.callback(store.note_rows)
        await store.begin_outside()
        await store.rows.begin()
        await records.requests.begin()
        ledger.timed_since = await store.rows.timed_since()
        await store.look_at_servers()
        await store.compare()
        await store.note_restored()
        yield store


def refuse_missing(settings: Settings) -> None:
    """Raise where no embedded store was ever made; nothing is written by looking."""
    if not (is_made(settings.data) or _was_here(settings) or settings.data.is_file()):
        raise no_store(f"in the folder {settings.data.absolute()}")


def _was_here(settings: Settings) -> bool:
    """Whether a process of this installation knew its store: if it is gone, the sequence guard says so, and closes."""
    return (settings.data / HIGH_WATER).exists()


def no_store(where: str) -> StoreUnfit:
    """Say that there is no store, and what to do."""
    return StoreUnfit(
        f"There is no store of Payflow {where}, so nothing was done. If it is elsewhere, type this with the settings "
        "of the service: PAYFLOW_DATA for the folder of the embedded store, or REDIS_URL, REDIS_HOST or "
        "REDIS_SENTINELS. If this installation is new, make its store with `payflow init`, or start `payflow serve`."
    )


async def _seals(link: Link, settings: Settings) -> Seals:
    """Take the keys; others than were used here before would name each request and destination anew, and are refused.

    Then a request made again would be a new one, and an attempt that is under way one to somewhere else.
    """
    given = settings.fingerprint_key.get_secret_value().strip() if settings.fingerprint_key else ""
    seals = Seals(known := _seal_keys(settings), given)
    if not known:
        return seals
    mine = seals.fingerprint("these fingerprints")
    await link.ask("HSETNX", keys.META, "fingerprints", mine)
    if (await link.ask("HGET", keys.META, "fingerprints")).decode() != mine:
        raise StoreUnfit(
            f"The store at {link.place} has fingerprints of another key: set PAYFLOW_FINGERPRINT_KEY to what "
            "`payflow seal-key --fingerprints` said of the keys before, or put the oldest of PAYFLOW_SEAL_KEYS back."
        )
    return seals


def _permit_keys(settings: Settings) -> PermitKeys:
    """Take the keys of approvals and permits; without a list of their own they come from those that seal."""
    approvals, permits = settings.approval_keys, settings.permit_keys
    return PermitKeys(
        keys_given(approvals.get_secret_value()) if approvals else (),
        keys_given(permits.get_secret_value()) if permits else (),
        _seal_keys(settings),
    )


def _seal_keys(settings: Settings) -> list[str]:
    """Take the keys of the settings; beside the embedded store one is kept, for others none is made up."""
    if settings.seal_keys:
        return keys_given(settings.seal_keys.get_secret_value())
    return key_of_folder(settings.data) if settings.embedded else []


def _receipt_keys(settings: Settings) -> list[str]:
    """Take the keys of the settings; without any they come from those that encrypt destinations."""
    return keys_given(settings.receipt_keys.get_secret_value()) if settings.receipt_keys else _seal_keys(settings)


async def _meta(link: Link, settings: Settings, shards: int) -> tuple[int, str, str]:
    """Read what was fixed at the first start, or fix it now."""
    fresh = {
        "schema": keys.SCHEMA,
        "shards": shards,
        "store": secrets.token_hex(8),
        "installation": settings.installation or _installation(settings),
    }
    made = [await link.ask("HSETNX", keys.META, name, value) for name, value in fresh.items()]
    if all(made):
        await link.ask("HSET", keys.META, "platforms_limited", 1, "two_people", 1, RAILS_OPENED, 1, INDEXED, 1)
    meta = {name.decode(): value.decode() for name, value in (await link.ask("HGETALL", keys.META)).items()}
    if int(meta["schema"]) > keys.SCHEMA:
        raise StoreUnfit(
            f"The store at {link.place} has schema {meta['schema']}, this Payflow knows {keys.SCHEMA}: "
            "run the newer version."
        )
    if settings.installation not in (None, meta["installation"]):
        raise StoreUnfit(
            f"The store at {link.place} is of the installation {meta['installation']}, PAYFLOW_INSTALLATION says "
            f"{settings.installation}: take the setting away, or connect to the other store."
        )
    return int(meta["shards"]), meta["store"], meta["installation"]


def _installation(settings: Settings) -> str:
    """Name an installation by four letters and digits of which the first is a letter, as references have it.

    The name comes from the oldest key that opens destinations, which is kept elsewhere: a store that was lost without a
    backup gets its name again, so that what it has sent is found by its references and not sent once more.
    """
    known = _seal_keys(settings)
    source = hashlib.sha256(b"installation" + known[-1].encode()).digest() if known else secrets.token_bytes(4)
    rest = "".join((_LETTERS + "234567")[byte % 32] for byte in source[1:4])
    return _LETTERS[source[0] % 26] + rest


async def _reserved(link: Link, coins: Iterable[str]) -> ReservedOwners:
    """Read the coins of all pools that a process of this store ever knew: the API may know none of their files."""
    given = sorted({coin.casefold() for coin in coins})
    if given:
        await link.ask("SADD", keys.COINS, *given)
    return ReservedOwners(frozenset(coin.decode() for coin in await link.ask("SMEMBERS", keys.COINS)))
