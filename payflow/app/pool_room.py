"""Pools on the dashboard: looked at and resolved there. Their runs are another process's, or none's."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from adapters.open_ethereum_pool import config, durations
from machines.core.clock import SECOND, Millis, SystemClock
from machines.core.errors import BadInput, BadSettings
from machines.core.facts import Proof
from machines.core.money import ETH, MAX_UNITS, Money
from machines.pool.data import WEI, PoolRecord
from machines.pool.evidence import Outcome
from payflow.app.pool_desk import Judged, PoolDesk
from payflow.app.pool_due import estimate
from payflow.app.pool_lanes import lane_name
from payflow.app.pool_payees import due
from payflow.app.pool_runs import save
from payflow.app.pools import Pool, Pools, open_pools
from payflow.config import Settings
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web.admin.pool import Due, Row, Sheet, Terms

MOST_SKIPPED = 20
NOBODY = "the dashboard"


class PoolRoom:
    """One pool. Its Redis, node and signer are opened when it is first looked at: a dashboard starts without them."""

    def __init__(self, settings: Settings, file: Path, stack: AsyncExitStack) -> None:
        self._config = config.load(file)
        self._settings = settings
        self._file = file
        self._stack = stack
        self._opening = asyncio.Lock()
        self._pools: Pools | None = None
        self._store: Store | None = None
        self._metrics = Metrics()

    def open(self, store: Store) -> None:
        """Bind to the store."""
        self._store = store

    def count_in(self, metrics: Metrics) -> None:
        """Say where to count what is done here."""
        self._metrics = metrics

    @property
    def coin(self) -> str:
        """What its keys begin with."""
        return self._config.coin

    @property
    def lane(self) -> str:
        """The lane that pays its miners."""
        return lane_name(self._settings, self._config)

    @property
    def terms(self) -> Terms:
        """What its file says."""
        given = self._config
        lane = self._settings.lanes.get(self.lane)
        explorer = f"{lane.explorer}{{reference}}" if lane and lane.explorer else ""
        interval = durations.write(given.interval_ns)
        return Terms(given.place, given.address, self.lane, given.threshold, interval, explorer)

    # ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def sheet(self) -> Sheet:
        """Say how it stands."""
        pools, pool = await self._opened()
        skipped: list[str] = []
        payees = await due(pool, skipped.append)
        cost = await estimate(pool, payees)
        wei = await pool.lane.chain.balance(pool.config.address)
        lock, rows = await self.rows()
        return Sheet(
            [Due(one.login, one.shannon) for one in payees],
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
        pools, pool = await self._opened()
        found = await self._desk(pools, pool, NOBODY).pending()
        return await pool.books.lock() or "", [_row(one) for one in found]

    async def prove(self, record: PoolRecord) -> Proof:
        """Say what the rail knows of one of its payments, before a person overrules it."""
        pools, _ = await self._opened()
        return await pools.machine.prove(record) if pools.machine.prove else Proof.NONE

    # ── resolve ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def resolve(self, who: str, rows: Sequence[Row]) -> Sequence[str]:
        """Book what is proven of these rows, unlock where nothing is left, and say what was done."""
        pools, pool = await self._opened()
        desk = self._desk(pools, pool, who)
        said, done, left = [], {Outcome.PAID: 0, Outcome.UNPAID: 0}, 0
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
        counted = f"{done[Outcome.PAID]} booked as paid, {done[Outcome.UNPAID]} credited back, {left} left as they are."
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

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _desk(self, pools: Pools, pool: Pool, who: str) -> PoolDesk:
        return PoolDesk(pools, pool, self._metrics, who)

    async def _opened(self) -> tuple[Pools, Pool]:
        if self._store is None:
            raise RuntimeError("The store is not open yet.")
        async with self._opening:
            if self._pools is None:
                # Only the lane that pays this pool: each of the others would ask its own signer once more.
                lanes = {name: lane for name, lane in self._settings.lanes.items() if name == self.lane}
                settings = self._settings.model_copy(update={"lanes": lanes})
                async with AsyncExitStack() as trying:
                    pools = await open_pools(settings, [self._file], SystemClock(), trying)
                    pools.open(self._store)
                    self._stack.push_async_callback(trying.pop_all().aclose)
                    self._pools = pools
        return self._pools, self._pools.pools[self.coin]


class PoolRooms:
    """All pools of a dashboard."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self.rooms = [PoolRoom(settings, file, stack) for file in settings.pools]
        coins = [room.coin for room in self.rooms]
        twice = next((coin for coin in coins if coins.count(coin) > 1), None)
        if twice is not None:
            raise BadSettings(f"PAYFLOW_POOLS names two files for the coin {twice}: give each coin once.")

    def open(self, store: Store) -> None:
        """Bind to the store."""
        for room in self.rooms:
            room.open(store)

    async def prove(self, record: PoolRecord) -> Proof:
        """Ask the pool that a payment belongs to; a pool that is not known here proves nothing."""
        room = next((one for one in self.rooms if one.coin == record.data.coin), None)
        return await room.prove(record) if room else Proof.NONE


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
