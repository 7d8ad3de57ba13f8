"""Pools on the dashboard: looked at and resolved there. Their runs are another process's, or none's."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from adapters.open_ethereum_pool import config, durations
from machines.core.chain import TxHash
from machines.core.errors import BadSettings, Conflict, NotPossible, PayflowError
from machines.core.facts import Reading
from machines.core.money import ETH, MAX_UNITS, Money
from machines.pool.data import WEI, PoolRecord
from machines.transaction.ports import Lane, LaneBooks
from payflow.desk.pool.due import Dues, dues
from payflow.desk.pool.evidence import Judged, PoolEvidence
from payflow.desk.pool.pool import Pool, Pools
from payflow.desk.pool.repairs import PoolDesk
from payflow.desk.pool.resolving import evidence_digest, resolve


@dataclass(frozen=True, slots=True)
class Sheet:
    """How a pool stands."""

    dues: Dues
    batches: bool
    """Whether the lane sends batches."""
    holds: Money
    """What the pool's address has."""
    lock: str
    lock_is_ours: bool
    fault: str
    """Why nothing would be paid now."""
    rows: Sequence[Judged]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the pool's own file says."""

    place: str
    address: str
    lane: str
    threshold: int
    interval: str
    explorer: str = ""
    """Where a transaction is looked at: an address with `{reference}` in it; empty where nobody said."""


Opens = Callable[[AsyncExitStack], Awaitable[Pools]]
"""Opens a pool with the lane that pays it."""


class PoolRoom:
    """One pool. Its Redis, node and signer are opened when it is first looked at: a dashboard starts without them."""

    def __init__(self, given: config.Config, lane: str, explorer: str, opens: Opens, stack: AsyncExitStack) -> None:
        self._config = given
        self.lane = lane
        """The lane that pays its miners."""
        self._explorer = explorer
        self._opens = opens
        self._stack = stack
        self._opening = asyncio.Lock()
        self._pools: Pools | None = None

    @property
    def coin(self) -> str:
        """What its keys begin with."""
        return self._config.coin

    @property
    def terms(self) -> Terms:
        """What its file says."""
        given = self._config
        interval = durations.write(given.interval_ns)
        return Terms(given.place, given.address, self.lane, given.threshold, interval, self._explorer)

    # ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def sheet(self) -> Sheet:
        """Say how it stands."""
        pools, pool = await self.opened()
        found = await dues(pool)
        wei = await pool.lane.chain.balance(pool.config.address)
        lock, rows = await self._rows()
        return Sheet(
            found,
            batches=pool.lane.pay_many is not None,
            holds=Money(min(wei // WEI, MAX_UNITS), ETH),
            lock=lock,
            lock_is_ours=bool(lock) and await pools.own.names(pool.coin, lock),
            fault=await pools.readiness[pool.coin].common_fault(),
            rows=rows,
        )

    async def rows(self) -> tuple[str, Sequence[Judged]]:
        """Give the lock and what is pending, with what is proven now."""
        try:
            return await self._rows()
        except PayflowError as error:
            raise NotPossible(f"The pool cannot be looked at now, and nothing was changed: {error}") from error

    async def _rows(self) -> tuple[str, Sequence[Judged]]:
        pools, pool = await self.opened()
        found = await PoolEvidence(pools, pool).pending()
        return await pool.books.lock() or "", found

    async def prove(self, record: PoolRecord) -> Reading:
        """Say what the rail knows of one of its payments, before a person overrules it."""
        pools, _ = await self.opened()
        return await pools.machine.prove(record) if pools.machine.prove else Reading()

    async def paying(self) -> tuple[Lane, LaneBooks]:
        """Give the lane that pays its miners, with its records."""
        pools, pool = await self.opened()
        return pool.lane, pools.lanes.books

    # ── resolve ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def resolve(self, who: str, reason: str, seen: str) -> Sequence[str]:
        """Do what was shown, if it is still what books and evidence say, and say what was done."""
        lock, rows = await self.rows()
        if seen != evidence_digest(lock, rows):
            raise Conflict("The books or the evidence changed since you looked: look again.")
        return (await resolve(await self._desk(who), rows, reason)).says()

    async def disown(self, login: str, tx: TxHash, who: str) -> str:
        """Count what the pool's address sent as no payment, on the word of two people."""
        return await (await self._desk(who)).disown(login, tx)

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _desk(self, who: str) -> PoolDesk:
        return PoolDesk(*await self.opened(), who)

    async def opened(self) -> tuple[Pools, Pool]:
        """Give the pool, opened when it is first needed."""
        async with self._opening:
            if self._pools is None:
                async with AsyncExitStack() as trying:
                    pools = await self._opens(trying)
                    self._stack.push_async_callback(trying.pop_all().aclose)
                    self._pools = pools
        return self._pools, self._pools.pools[self.coin]


class PoolRooms:
    """All pools of a dashboard."""

    def __init__(self, rooms: Sequence[PoolRoom]) -> None:
        self.rooms = {room.coin: room for room in rooms}
        coins = [room.coin for room in rooms]
        twice = next((coin for coin in coins if coins.count(coin) > 1), None)
        if twice is not None:
            raise BadSettings(f"PAYFLOW_POOLS names two files for the coin {twice}: give each coin once.")

    @property
    def coins(self) -> Collection[str]:
        """Whose books can be opened here."""
        return self.rooms.keys()

    async def disown(self, coin: str, login: str, tx: TxHash, who: str) -> str:
        """Count what a pool's address sent as no payment, on the word of two people."""
        return await self.rooms[coin].disown(login, tx, who)

    async def prove(self, record: PoolRecord) -> Reading:
        """Ask the pool that a payment belongs to; a pool that is not known here proves nothing."""
        room = self.rooms.get(record.data.coin)
        return await room.prove(record) if room else Reading()
