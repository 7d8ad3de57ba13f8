"""Pools on the dashboard: looked at and resolved there. Their runs are another process's, or none's."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from adapters.open_ethereum_pool import config, durations
from machines.core.chain import TxHash
from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput, BadSettings, Conflict, NotPossible, PayflowError
from machines.core.facts import Proof
from machines.core.ids import RecordId
from machines.core.money import ETH, MAX_UNITS, Money
from machines.pool.data import WEI, PoolRecord
from machines.pool.evidence import ChainOutcome
from payflow.desk.pool.due import due
from payflow.desk.pool.estimate import estimate
from payflow.desk.pool.pool import Pool, Pools
from payflow.desk.pool.repairs import Judged, PoolDesk
from payflow.desk.pool.runs import save
from payflow.telemetry.metrics import Metrics

MOST_SKIPPED = 20
NOBODY = "the dashboard"


@dataclass(frozen=True, slots=True)
class DueMiner:
    """A miner who would be paid now."""

    login: str
    shannon: int


@dataclass(frozen=True, slots=True)
class Row:
    """A pending payment in the pool's books, whose it is, and what is proven about it."""

    login: str
    shannon: int
    at: Millis
    record: RecordId | None
    """None where another payer wrote it."""
    outcome: ChainOutcome
    why: str
    tx: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """How a pool stands."""

    due: Sequence[DueMiner] = ()
    skipped: Sequence[str] = ()
    """Who cannot be paid, and why."""
    fee_wei: int = 0
    """What paying all who are due would cost about, one by one."""
    gas_saved: int = 0
    """By paying them in batches."""
    batches: bool = False
    """Whether the lane sends batches."""
    holds: Money | None = None
    """What the pool's address has."""
    lock: str = ""
    lock_is_ours: bool = False
    fault: str = ""
    """Why nothing would be paid now."""
    rows: Sequence[Row] = ()

    @property
    def total(self) -> int:
        """What all who are due would get, in Shannon."""
        return sum(one.shannon for one in self.due)


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

    def __init__(
        self, given: config.Config, lane: str, explorer: str, opens: Opens, metrics: Metrics, stack: AsyncExitStack
    ) -> None:
        self._config = given
        self.lane = lane
        """The lane that pays its miners."""
        self._explorer = explorer
        self._opens = opens
        self._stack = stack
        self._opening = asyncio.Lock()
        self._pools: Pools | None = None
        self._metrics = metrics

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
        pools, pool = await self._opened()
        skipped: list[str] = []
        payees = await due(pool, skipped.append)
        cost = await estimate(pool, payees)
        wei = await pool.lane.chain.balance(pool.config.address)
        lock, rows = await self._rows()
        return Sheet(
            [DueMiner(one.login, one.shannon) for one in payees],
            skipped[:MOST_SKIPPED],
            cost.fee_wei,
            cost.gas_saved,
            batches=pool.lane.pay_many is not None,
            holds=Money(min(wei // WEI, MAX_UNITS), ETH),
            lock=lock,
            lock_is_ours=bool(lock) and await pools.own.names(pool.coin, lock),
            fault=await pools.readiness[pool.coin].common_fault(),
            rows=rows,
        )

    async def rows(self) -> tuple[str, Sequence[Row]]:
        """Give the lock and what is pending, with what is proven now."""
        try:
            return await self._rows()
        except PayflowError as error:
            raise NotPossible(f"The pool cannot be looked at now, and nothing was changed: {error}") from error

    async def _rows(self) -> tuple[str, Sequence[Row]]:
        pools, pool = await self._opened()
        found = await self._desk(pools, pool, NOBODY).pending()
        return await pool.books.lock() or "", [_row(one) for one in found]

    async def prove(self, record: PoolRecord) -> Proof:
        """Say what the rail knows of one of its payments, before a person overrules it."""
        pools, _ = await self._opened()
        return await pools.machine.prove(record) if pools.machine.prove else Proof.NONE

    # ── resolve ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def resolve(self, who: str, reason: str, seen: str) -> Sequence[str]:
        """Do what was shown, if it is still what books and evidence say, and say what was done."""
        if not reason.strip():
            raise BadInput("Say why: the audit log keeps it.")
        lock, rows = await self.rows()
        if seen != evidence_digest(lock, rows):
            raise Conflict("The books or the evidence changed since you looked: look again.")
        pools, _ = await self._opened()
        audit = pools.own.store.audit
        async with audit.doing(who, "resolve pool", self.coin, reason.strip()):
            said = await self._resolved(who, rows)
        for row in rows:
            if row.outcome is not ChainOutcome.UNKNOWN:
                await audit.note(who, f"resolved as {row.outcome}", row.record or f"{row.login}:{row.shannon}", row.why)
        return said

    async def _resolved(self, who: str, rows: Sequence[Row]) -> Sequence[str]:
        """Book what is proven of these rows, and unlock where nothing is left."""
        pools, pool = await self._opened()
        desk = self._desk(pools, pool, who)
        said, done, left = [], {ChainOutcome.PAID: 0, ChainOutcome.UNPAID: 0}, 0
        wanted = set(map(_same, rows))
        for judged in await desk.pending():
            try:
                # What was not shown, or is judged otherwise by now, nobody has agreed to.
                booked = _same(_row(judged)) in wanted and await desk.book(judged)
            except BadInput as error:
                said.append(f"{judged.row.member}: {error}")
                booked = False
            if booked:
                done[judged.verdict.outcome] += 1
            else:
                left += 1
        if pool.config.bgsave and any(done.values()):
            await save(pool, said.append)
        paid, unpaid = done[ChainOutcome.PAID], done[ChainOutcome.UNPAID]
        counted = f"{paid} booked as paid, {unpaid} credited back, {left} left as they are."
        return [counted, *said, await self._unlocked(desk, pool)]

    async def _unlocked(self, desk: PoolDesk, pool: Pool) -> str:
        """Take away a lock that nothing pending holds."""
        if not await pool.books.lock():
            return "Payouts are not locked."
        if await pool.books.pending():
            return "Payouts stay locked until the rest is told."
        try:
            return await desk.unlock(dry_run=False)
        except BadInput as error:
            return f"Payouts stay locked: {error}"

    async def disown(self, login: str, tx: TxHash, who: str) -> str:
        """Count what the pool's address sent as no payment, on the word of two people."""
        pools, pool = await self._opened()
        return await self._desk(pools, pool, who).disown(login, tx)

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _desk(self, pools: Pools, pool: Pool, who: str) -> PoolDesk:
        return PoolDesk(pools, pool, self._metrics, who)

    async def _opened(self) -> tuple[Pools, Pool]:
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
        self.rooms = rooms
        coins = [room.coin for room in self.rooms]
        twice = next((coin for coin in coins if coins.count(coin) > 1), None)
        if twice is not None:
            raise BadSettings(f"PAYFLOW_POOLS names two files for the coin {twice}: give each coin once.")

    async def disown(self, coin: str, login: str, tx: TxHash, who: str) -> str:
        """Count what a pool's address sent as no payment, on the word of two people."""
        room = next((one for one in self.rooms if one.coin == coin), None)
        if room is None:
            raise BadInput(
                f"No pool {coin[:40]} is known here, so nothing was done: name its file in PAYFLOW_POOLS, or in "
                "PAYFLOW_POOL_CONFIG, and propose it again."
            )
        return await room.disown(login, tx, who)

    async def prove(self, record: PoolRecord) -> Proof:
        """Ask the pool that a payment belongs to; a pool that is not known here proves nothing."""
        room = next((one for one in self.rooms if one.coin == record.data.coin), None)
        return await room.prove(record) if room else Proof.NONE


def evidence_digest(lock: str, rows: Sequence[Row]) -> str:
    """Give what changes when there is something else to decide; not the words, which grow with the chain."""
    seen = [(one.login, one.shannon, one.at, one.record, one.outcome, one.tx) for one in rows]
    return hashlib.sha256(repr((lock, seen)).encode()).hexdigest()[:32]


def _row(one: Judged) -> Row:
    verdict = one.verdict
    return Row(
        one.row.login,
        one.row.shannon,
        Millis(one.row.at_s * SECOND),
        one.record.id if one.record else None,
        verdict.outcome,
        verdict.why,
        verdict.evidence.reference if verdict.evidence else "",
    )


def _same(one: Row) -> tuple[object, ...]:
    return one.login, one.shannon, one.at, one.record, one.outcome, one.tx
