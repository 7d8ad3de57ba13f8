"""What a test does at the desk of the sample machine: fund, ask, claim, move, look into the books."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from machines.core.clock import Clock
from machines.core.decision import Claim, Decision, Message, New
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId, derived_id, shard_for
from machines.core.money import NGN, Asset, Money
from machines.core.ports import Evidence, Payment, Settled, Status, Unsent
from machines.core.record import Record
from payflow.config import Settings, load
from payflow.store import keys
from payflow.store.accounts import LedgerAccount
from payflow.store.store import Store, open_store
from payflow.store.stored import Made, Poison, Queue, Stored
from tests.errand import ErrandData, errand
from tests.servers import Deployment

SHARDS = 4
LEASE_MS = 10_000
SEAL_KEY = "made-up-for-tests-0123456789abcdefghijklmno="

ANN = Owner("ann")
BOB = Owner("bob")


class FakeRail:
    """Pays at once, and counts by key what it paid."""

    def __init__(self) -> None:
        self.paid: dict[str, int] = {}

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> str | None:
        """Pay."""
        self.paid[payment.key] = self.paid.get(payment.key, 0) + 1
        return None

    async def status(self, payment: Payment) -> Status:
        """Say whether it was paid."""
        return Settled(Evidence("fake", payment.key)) if payment.key in self.paid else Unsent()


def settings_for(deployment: Deployment, data: Path, **more: str) -> Settings:
    """Settings that lead to a store."""
    own = {"PAYFLOW_DATA": str(data), "PAYFLOW_SHARDS": str(SHARDS), "PAYFLOW_SEAL_KEYS": SEAL_KEY}
    return load({**own, **deployment.environment, **more})


@asynccontextmanager
async def opened(
    settings: Settings, *, clock: Clock | None = None, rail: FakeRail | None = None
) -> AsyncIterator[Store]:
    """Open a store of the sample machine, as another process would."""
    async with open_store(settings, clock=clock) as store:
        store.serve([errand(rail or FakeRail())])
        yield store


def owner_in(shard: int, nth: int = 0, shards: int = SHARDS) -> Owner:
    """Find an owner whose records are in a shard."""
    names = (Owner(f"owner{number}") for number in count())
    return next(islice((name for name in names if shard_for(name, shards) == shard), nth, None))


def ngn(units: int) -> Money:
    """So many kobo."""
    return Money(units, NGN)


def new(
    owner: Owner = ANN, units: int = 100, key: str = "1", *, shards: int = SHARDS, asset: Asset = NGN, **parts: Any
) -> New[ErrandData]:
    """A request for an errand; the same key is the same request."""
    given: dict[str, Any] = {"fingerprint": f"{units} {asset.code}", "data": ErrandData(f"note {key}")} | parts
    record_id = derived_id("errand", shard_for(owner, shards), owner, key)
    return New(id=record_id, machine="errand", owner=owner, amount=Money(units, asset), **given)


async def fund(store: Store, owner: Owner = ANN, units: int = 1_000_000, reference: str = "") -> None:
    """Give an owner money."""
    await store.records.fund(owner, ngn(units), reference or f"earned by {owner}")


async def ask(store: Store, owner: Owner = ANN, units: int = 100, key: str = "1", **parts: Any) -> RecordId:
    """Make an errand of an owner who has the money, and give its id."""
    made: Made = await store.records.create(new(owner, units, key, shards=store.records.shards, **parts), "test")
    return made.record.id


async def claim(
    store: Store, state: str = "ASKED", limit: int = 100, lease_ms: int = LEASE_MS, machine: str = "errand"
) -> list[Stored]:
    """Lease what is due in a state; a record that cannot be read is a failure."""
    return [one for one in await claim_any(store, state, limit, lease_ms, machine) if isinstance(one, Stored)]


async def claim_any(
    store: Store, state: str = "ASKED", limit: int = 100, lease_ms: int = LEASE_MS, machine: str = "errand"
) -> list[Stored | Poison]:
    """Lease what is due in a state, readable or not."""
    return [
        found
        for claimed in await store.records.claim([Queue(machine, state, limit, lease_ms)])
        for found in claimed.found
    ]


async def claim_one(store: Store, state: str = "ASKED", lease_ms: int = LEASE_MS) -> Stored:
    """Lease the one record that is due in a state."""
    (found,) = await claim(store, state, lease_ms=lease_ms)
    return found


async def think(store: Store, stored: Stored, fact: Fact, who: str = "test") -> Record[Any]:
    """Let the machine react to a fact and commit what it decides."""
    decision = store.records.machines[stored.record.machine].react(stored.record, fact, stored.at)
    return await store.records.commit(stored, decision, fact, who)


async def tell(store: Store, record_id: RecordId, fact: Fact, who: str = "test") -> Record[Any]:
    """Let a record learn a fact from outside."""
    return await think(store, await store.records.read(record_id), fact, who)


async def account(store: Store, owner: Owner = ANN, asset: str = "NGN") -> LedgerAccount:
    """Read an owner's account."""
    return (await store.ledger.account(owner)).get(asset, LedgerAccount())


async def sign(store: Store, record_id: RecordId) -> None:
    """Sign a record as it stands, as whoever has the keys would: a newer version, for instance."""
    await store.link.ask("HDEL", keys.record(record_id), "mac")
    found = [one async for one in store.permits.unsigned() if one.id == record_id]
    assert [await store.permits.adopt(one) for one in found] == [True]


async def faults(store: Store) -> list[str]:
    """Everything that is wrong with the books, the indexes and the histories."""
    books = await store.ledger.check()
    return books.faults + [f"{fault.place}: {fault.problem}" async for fault in store.integrity.verify()]


def claims(*pairs: tuple[str, str]) -> tuple[Claim, ...]:
    """Unique claims, as space and value."""
    return tuple(Claim(space, value) for space, value in pairs)


def messages(*kinds: str) -> tuple[Message, ...]:
    """Messages of these kinds."""
    return tuple(Message(kind, {"n": number}) for number, kind in enumerate(kinds))


def stay(why: str = "noted", **parts: Any) -> Decision[Any]:
    """A decision to stay that is written down."""
    return Decision(why=why, **parts)


class _Grants:
    """Grants every call at once."""

    async def call_token(self, *_: object) -> tuple[int, int]:
        return 1, 0


UNLIMITED = cast("Store", SimpleNamespace(records=_Grants()))
"""Stands for a store where only its budget of calls is asked."""
