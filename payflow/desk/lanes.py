"""The lanes of an installation: their records in the store, and the rails that pay over them."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from machines.core.batcher import Batcher
from machines.core.decision import New
from machines.core.errors import Conflict, NotFound
from machines.core.ids import RecordId
from machines.core.machine import AnyMachine
from machines.core.ports import PaymentKey, PermitSigner
from machines.core.record import Record
from machines.transaction import lifecycle as s
from machines.transaction.acts import TransactionActs
from machines.transaction.acts_lane import UNKNOWN_NONCE, LaneActs
from machines.transaction.data import (
    LaneData,
    LaneRecord,
    PaymentData,
    PaymentRecord,
    TransactionRecord,
    lane_id,
    owner_of_lane,
    payment_id,
    transaction_id,
)
from machines.transaction.ports import Lane, LaneBooks
from machines.transaction.rail import LaneRail
from machines.transaction.react import transaction as transaction_machine
from machines.transaction.react_lane import lane as lane_machine
from machines.transaction.react_payment import payment as payment_machine
from payflow.desk.records import revived
from payflow.store.macs import Forged
from payflow.store.store import Store
from payflow.store.stored import Stored

if TYPE_CHECKING:
    from adapters.ethereum.node import Nodes

log = structlog.get_logger()

log = structlog.get_logger()

MOST_UNSETTLED = 10_000
WHO = "rail"


class StoreBooks:
    """A lane's records, in the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._made: set[str] = set()
        self._waking: Batcher[str, None] = Batcher(self._wake)

    @property
    def permits(self) -> PermitSigner:
        """What makes and checks permits."""
        return self.store.permit_keys

    def distrust(self, record_id: RecordId) -> None:
        """Tell people of a record that says something else than was permitted."""
        log.error("A lane signs nothing for what was not permitted.", action="not_permitted", record=record_id)
        self.store.link.macs.on_forged(record_id)

    @property
    def _shards(self) -> int:
        return self.store.records.shards

    async def queued(self, lane: str, limit: int) -> list[PaymentRecord]:
        """List payments that wait for a signature, the oldest first."""
        found = await self.store.listing.of_owner("payment", s.QUEUED, owner_of_lane(lane), limit)
        # What goes on from something unsigned is unsigned: one such payment would stop the whole lane.
        sound = [one.record for one in found if self.store.records.trusts(one) and await self._is_newest(one)]
        return sorted(sound, key=lambda record: (record.created_at, record.id))

    async def _is_newest(self, stored: Stored) -> bool:
        """Tell a payment that waits from one that this process has paid, and whose older row somebody put back."""
        try:
            await self.store.records.refuse_set_back(stored)
        except Conflict:
            return False  # it moved since it was read
        except Forged as error:
            log.error("It was paid, and waits.", action="forged", record=stored.record.id, why=str(error))  # noqa: TRY400
            self.store.link.macs.on_forged(stored.record.id)
            return False
        return True

    async def unsettled(self, lane: str) -> list[TransactionRecord]:
        """List the lane's transactions that are not over, by nonce."""
        states = (s.SIGNED, s.SENT, s.MINED)
        owner = owner_of_lane(lane)
        found = await asyncio.gather(
            *(self.store.listing.of_owner("transaction", state, owner, MOST_UNSETTLED) for state in states)
        )
        # Read one after the other, a record may move on in between and be listed twice.
        by_id = {one.record.id: one.record for part in found for one in part}
        return sorted(by_id.values(), key=lambda record: record.data.nonce)

    async def transaction(self, lane: str, nonce: int) -> TransactionRecord | None:
        """Find what the lane did with a nonce."""
        return await self._found(self.transaction_id(lane, nonce))

    async def _found(self, record_id: RecordId) -> Record[Any] | None:
        """Find a record, or what is left of it since it was put away."""
        try:
            return (await self.store.records.read(record_id)).record
        except NotFound:
            return await self.store.archive.as_left(record_id)

    async def is_archived(self, lane: str, nonce: int) -> bool:
        """Say whether what the lane did with a nonce was put away."""
        return await self.store.archive.stub(self.transaction_id(lane, nonce)) is not None

    async def payments(self, ids: Sequence[RecordId]) -> tuple[PaymentRecord, ...]:
        """Read payments, in the order of their ids; those that were archived come back, for they are to be moved."""
        why = "its transaction is not final any more"
        return tuple(await asyncio.gather(*(revived(self.store, one, why) for one in ids)))

    def transaction_id(self, lane: str, nonce: int) -> RecordId:
        """Give the id of what a lane does with a nonce."""
        return transaction_id(lane, nonce, self._shards)

    def payment_id(self, lane: str, key: PaymentKey) -> RecordId:
        """Give the id of a payment."""
        return payment_id(lane, key, self._shards)

    def lane_id(self, lane: str) -> RecordId:
        """Give the id of a lane."""
        return lane_id(lane, self._shards)

    async def payment(self, lane: str, key: PaymentKey) -> PaymentRecord | None:
        """Find a payment by its key."""
        return await self._found(self.payment_id(lane, key))

    async def queue(self, lane: Lane, new: New[PaymentData]) -> None:
        """Make a payment unless it exists, and wake the lane."""
        await self.ensure(lane)
        await self.store.records.create(new, WHO)
        await self._waking.ask(lane.name)

    async def _wake(self, lanes: list[str]) -> list[None]:
        """Let each lane be looked at once, however many payments were queued in it."""
        await self.store.records.poke(*(self.lane_id(name) for name in dict.fromkeys(lanes)))
        return [None] * len(lanes)

    async def ensure(self, lane: Lane) -> None:
        """Make the lane's record unless it exists."""
        if lane.name in self._made:
            return
        data = LaneData(lane.name, lane.chain.chain_id, lane.signer.address, UNKNOWN_NONCE)
        await self.store.records.create(New(self.lane_id(lane.name), "lane", owner_of_lane(lane.name), None, data), WHO)
        self._made.add(lane.name)

    async def trusted(self, name: str) -> str:
        """Say whose word counts alone now, as two people have said; empty for nobody's."""
        try:
            stored = await self.store.records.read(self.lane_id(name))
        except NotFound:
            return ""
        data: LaneData = stored.record.data
        return data.trusted if stored.at < data.trusted_until else ""

    async def lane(self, name: str) -> LaneRecord | None:
        """Find a lane's record; None before its first payment."""
        try:
            return (await self.store.records.read(self.lane_id(name))).record
        except NotFound:
            return None


class Lanes:
    """The lanes of an installation, and the machines that work in them."""

    def __init__(self, lanes: Mapping[str, Lane], store: Store) -> None:
        self.lanes = dict(lanes)
        self.books = StoreBooks(store)
        looks = TransactionActs(self.lanes, self.books)
        self.machines: tuple[AnyMachine, ...] = (
            lane_machine({s.OPEN: LaneActs(self.lanes, self.books).look}, looks.prove_lane),
            payment_machine(looks.prove_payment),
            transaction_machine(looks.acts(), looks.prove),
        )
        for name, lane in self.lanes.items():
            if nodes := _nodes_of(lane):
                nodes.trusted = partial(self.books.trusted, name)

    def nodes(self) -> dict[str, list[str]]:
        """Name the nodes of each lane, as everything that tells of them does."""
        known = {name: _nodes_of(lane) for name, lane in self.lanes.items()}
        return {name: [one.name for one in nodes.figures()] if nodes else [] for name, nodes in known.items()}

    def rail(self, name: str) -> LaneRail:
        """Give the rail that pays over a lane."""
        from adapters.addresses import typed  # noqa: PLC0415  (as below)

        return LaneRail(self.lanes[name], self.books, typed)


def _nodes_of(lane: Lane) -> "Nodes | None":
    from adapters.ethereum.node import Nodes  # noqa: PLC0415  (half a second, only where a chain is used)

    return lane.chain if isinstance(lane.chain, Nodes) else None


_: type[LaneBooks] = StoreBooks
