"""The runs of a pool: who is due, one payment after the other or some at a time, and what operators read meanwhile."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from adapters.open_ethereum_pool import durations
from machines.core.errors import ClaimTaken, PayflowError
from machines.core.ids import RecordId
from machines.core.ports import PaymentKey
from machines.pool import lifecycle as s
from machines.pool.data import WEI, PoolRecord, owner_of_login, shannon_of
from machines.transaction import lifecycle as ts
from payflow.desk.pool.due import Due, due
from payflow.desk.pool.lines import Say, moved, save, shown
from payflow.desk.pool.pool import Pool, Pools, payment_for
from payflow.desk.pool.restored import apply_again, asked, forgotten
from payflow.store.pauses import EVERYTHING

log = structlog.get_logger()

LOOK_EVERY_S = 0.2
PATIENCE_S = 1800.0
"""So long a single run waits for payments of which none moves."""
WHO = "pool"
MACHINE = s.LIFECYCLE.machine


@dataclass(slots=True)
class RunOutcome:
    """What became of one run."""

    must_pay: int = 0
    paid: int = 0
    total: int = 0
    refused: str = ""
    """Why nothing may be paid before a person has looked."""
    waits: str = ""
    """Why the rest waits for the next run."""
    short: str = ""
    """Why one of the miners was not paid, while others may have been."""
    open: int = 0
    """Payments that are still under way, because the run was told to stop."""
    pending: int = 0
    """Rows that are pending in the pool's books."""
    records: list[RecordId] = field(default_factory=list)

    @property
    def fault(self) -> str:
        """Say why somebody was not paid who is owed; empty where all is well."""
        return self.refused or self.waits or self.short


class Run:
    """One run over all miners of one pool."""

    def __init__(
        self,
        pools: Pools,
        pool: Pool,
        say: Say,
        stop: asyncio.Event,
        *,
        drain: bool = False,
        once: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._pools = pools
        self._pool = pool
        self._own = pools.own
        self._records = pools.own.store.records
        self._ready = pools.readiness[pool.coin]
        self._say = say
        self._stop = stop
        self._drain = drain
        self._once = once
        self._patience_s = patience_s
        self._out = RunOutcome()
        self._seen: dict[RecordId, PoolRecord] = {}
        """Payments under way, as they were last seen."""
        self._stuck: dict[str, str] = {}
        """By login: why one of his payments is not in the books as our record has it."""
        self._hindrance = ""
        self._gives_up = False
        """Whether a single run waits no longer for what is under way."""
        self._moved_at = 0.0
        """When a payment under way moved last, by the loop's clock."""

    async def whole(self) -> RunOutcome:
        """Pay whoever is due, and say how it went."""
        try:
            # Its Redis syncs each write while we pay, where its file says so; else what a run left is undone.
            if self._pool.config.syncs_runs:
                await self._pool.books.sync_each_write()
            else:
                await self._pool.books.sync_as_before()
            await self._go()
        except PayflowError as error:
            self._out.waits = f"Unable to start payouts: {error}"
            self._say(self._out.waits)
        with suppress(PayflowError):  # the next run does it, as where payments are still under way, or after a crash
            if not any(one.state in s.TAKEN for one in await self._own.open_payments(self._pool.coin)):
                await self._pool.books.sync_as_before()
        log.info(
            "A run over a pool's miners ended.",
            action="pool_run",
            coin=self._pool.coin,
            paid=self._out.paid,
            due=self._out.must_pay,
            shannon=self._out.total,
            waits=self._out.fault,
        )
        self._count(self._out)
        return self._out

    def _count(self, out: RunOutcome) -> None:
        metrics, coin = self._pools.metrics.pools, self._pool.coin
        metrics.due.labels(coin).set(out.must_pay)
        metrics.pending.labels(coin).set(out.pending)
        metrics.paid.labels(coin).inc(out.total)
        metrics.waiting.labels(coin).set(1 if out.fault else 0)
        metrics.last_run.labels(coin).set_to_current_time()

    async def _go(self) -> None:
        found = await forgotten(self._pool, self._own)
        await self._put_right(found.marks)
        self._out.refused = await self.foreign() or (asked(self._pool, found) if found.must_ask else "")
        if self._out.refused:
            self._say(self._out.refused)
            return
        await self._put_right(found.records)
        await self._tell_of_others()
        for record in await self._own.open_payments(self._pool.coin):
            self._take_up(record)
        payees = [] if self._drain else await due(self._pool, self._say)
        self._out.must_pay = len(payees)
        await self._pay(payees)
        await self._until(0)
        self._out.open = len(self._seen)
        await self._sum_up()

    async def _put_right(self, records: Sequence[PoolRecord]) -> None:
        """Book again what the books forgot; what cannot be done stops this miner alone."""
        done = await apply_again(self._pool, records)
        self._stuck |= done.stuck
        for line in (*done.lines, *done.stuck.values()):
            self._say(line)

    # ── before ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def foreign(self) -> str:
        """Say what somebody else left in the middle; a lock and rows that our own payments name are ours."""
        pool = self._pool
        rows = await self._own.owners(pool.books)
        self._out.pending = len(rows)
        strange = [row for row, owner in rows if owner is None]
        if strange:
            return (
                "Previous payout failed, you have to resolve it. List of failed payments:\n "
                + "".join(f"\t{shown(row)}\n" for row in strange)
                + "Look at what the chain says with `payflow pool resolve --dry-run`, then resolve or adopt them."
            )
        lock = await pool.books.lock()
        # A backup from the middle of a run has the lock and the row of a payment of ours that is over by now.
        if not lock or lock in {row.member for row, _ in rows}:
            return ""
        if await self._own.names(pool.coin, lock) or await pool.books.lock() != lock:
            return ""
        return (
            f"Unable to start payouts because they are locked: by {lock}, which is no open payment of Payflow's. "
            "Is another payer running? If not, `payflow pool unlock` takes the lock away."
        )

    async def _tell_of_others(self) -> None:
        """Say that somebody else sends from the address: nonces that we did not use are used up."""
        lane = await self._pools.lanes.books.lane(self._pool.lane.name)
        if lane is not None and lane.data.noticed > self._pools.announced.get(self._pool.coin, 0):
            self._pools.announced[self._pool.coin] = lane.data.noticed
            self._say(
                f"{lane.data.noticed} transactions from {self._pool.config.address} are not Payflow's: "
                "somebody else uses this address. Stop the old payouts module, and use a wallet of another address."
            )
        if lane is not None and lane.data.waits_for:
            self._say(f"The lane {self._pool.lane.name} waits for {lane.data.waits_for}")

    # ── pay ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _pay(self, payees: list[Due]) -> None:
        """Open a payment for each, at most so many at a time; a smaller sum may be there where a larger one is not."""
        run = str(await self._records.now())
        for payee in payees:
            await self._until(self._pool.config.concurrent - 1)
            await self._tell_what_hinders()
            if self._stop.is_set() or self._out.waits:
                return
            fault = await self._fault_of(payee)
            if fault:
                self._out.short = self._out.short or fault
                self._say(fault)
                continue
            await self._open(payee, run)

    async def _fault_of(self, payee: Due) -> str:
        fault = await self._ready.common_fault()
        if fault:
            self._out.waits = fault
            return fault
        return await self._fault_of_miner(payee.login) or await self._ready.funds_fault(
            payee.shannon * WEI - self._pool.config.charge_wei, PaymentKey("")
        )

    async def _fault_of_miner(self, login: str) -> str:
        """Say why this miner is left out, whatever the others get."""
        if f"owner:{owner_of_login(self._pool.coin, login)}" in await self._own.store.pauses.all():
            return f"Skipped {login}: his payments are paused, `payflow paused` says why."
        outside = self._stuck.get(login, "") or await self._ready.paid_outside(login)
        if outside:
            return f"Skipped {login}: {outside}."
        before = await self._own.newest(self._pool.coin, login)
        if before is None:
            return ""
        if before.state == s.HALTED or (before.parked and before.state in s.OPEN):
            why = before.data.reason or before.parked
            return (
                f"Skipped {login}: payment {before.id} is {before.state} ({why}). `payflow pool resolve` looks at it."
            )
        if before.state == s.CREDITED and before.data.refused:
            return (
                f"Skipped {login}: the address threw its last payment back ({before.data.reason}). "
                f"`payflow pool repeat {login}` pays it again."
            )
        return ""

    async def _open(self, payee: Due, run: str) -> None:
        new = payment_for(self._pool, payee.login, payee.to, payee.shannon, run, self._own.store)
        try:
            made = await self._records.create(new, WHO)
        except ClaimTaken:
            self._say(f"Skipped {payee.login}: he has an open payment of Payflow's already.")
            return
        self._take_up(made.record)

    # ── follow ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_up(self, record: PoolRecord) -> None:
        if record.state != s.HALTED and not record.parked:
            self._seen[record.id] = record

    async def _until(self, under_way: int) -> None:
        """Wait until no more than so many payments are under way, and tell of each what happens to it."""
        self._moved_at = asyncio.get_running_loop().time()
        while len(self._seen) > under_way and not self._stop.is_set() and not self._gives_up:
            for stored in await asyncio.gather(*map(self._records.read, self._seen)):
                self._tell(self._seen[stored.record.id], stored.record)
            if len(self._seen) <= under_way:
                return
            await self._tell_what_hinders()
            # While somebody waits for them, they are looked at more often than their states ask for.
            await self._records.poke(*self._seen)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), LOOK_EVERY_S)

    async def _tell_what_hinders(self) -> None:
        """Say once why nothing moves. A single run ends then: what is under way is finished by the next one."""
        hindrance = await self._hindered()
        if hindrance and hindrance != self._hindrance:
            self._say(hindrance)
        self._hindrance = hindrance
        if not self._once:
            return
        if not self._seen:
            self._moved_at = asyncio.get_running_loop().time()
        still_s = asyncio.get_running_loop().time() - self._moved_at
        self._gives_up = bool(hindrance) or still_s > self._patience_s
        if hindrance:
            self._out.waits = hindrance
        elif still_s > self._patience_s:
            self._out.waits = (
                f"{len(self._seen)} payments are under way, and none has moved for {still_s:.0f} seconds: "
                "the next run goes on with them."
            )
            self._say(self._out.waits)

    async def _hindered(self) -> str:
        """Say what lets no payment of this pool leave: a pause, or a lane that a person must open."""
        pauses, lane = await self._own.store.pauses.all(), self._pool.lane
        for scope in (EVERYTHING, f"machine:{MACHINE}", *lane.scopes):
            pause = pauses.get(scope)
            if pause is not None:
                return f"{scope} is paused by {pause.who} ({pause.why}): `payflow resume {scope}` when that is over."
        if self._seen and all(f"owner:{one.owner}" in pauses for one in self._seen.values()):
            return "All whose payments are under way are paused: `payflow paused` lists them."
        closed = next((scope for scope in pauses if scope.startswith("shard:")), None)
        if closed is not None:
            return f"{closed} is closed because the store lost writes: `payflow reconcile` opens it."
        record = await self._pools.lanes.books.lane(lane.name)
        if record is not None and record.state == ts.HALTED:
            return (
                f"The lane {lane.name} stopped: `payflow lane show {lane.name}` says why, `payflow lane adopt "
                f"{lane.name}` opens it."
            )
        return ""

    def _tell(self, before: PoolRecord, now: PoolRecord) -> None:
        if now.version == before.version:
            return
        self._seen[now.id] = now
        self._moved_at = asyncio.get_running_loop().time()
        for line in moved(before, now):
            self._say(line)
        if now.state == s.PAID:
            self._out.paid += 1
            self._out.total += shannon_of(now)
        if now.parked:
            self._say(f"Set aside the payment to {now.data.login}: {now.parked}. `payflow show {now.id}`")
        if now.parked or now.state not in (s.DUE, s.DEBITED, s.SENT):
            del self._seen[now.id]
            self._out.records.append(now.id)

    # ── after ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _sum_up(self) -> None:
        out = self._out
        out.pending = len(await self._pool.books.pending())
        if self._drain:
            self._say(f"{out.paid} payments were finished, {out.open} are still under way")
        elif out.must_pay or out.paid:
            self._say(f"Paid total {out.total} Shannon to {out.paid} of {max(out.must_pay, out.paid)} payees")
        else:
            self._say("No payees that have reached payout threshold")
        if out.paid and self._pool.config.bgsave:
            await save(self._pool, self._say)


# ── the service ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def serve(pools: Pools, say: Say, stop: asyncio.Event, *, once: bool, drain: bool = False) -> list[RunOutcome]:
    """Run over every pool now, and again an interval after each run ended, until told to stop.

    With `drain` what is under way is finished, and nothing is begun.
    """
    each = (_serve_one(pools, pool, say, stop, once=once or drain, drain=drain) for pool in pools.pools.values())
    return list(await asyncio.gather(*each))


async def _serve_one(pools: Pools, pool: Pool, say: Say, stop: asyncio.Event, *, once: bool, drain: bool) -> RunOutcome:
    try:
        say(f"Backend check reply: {await pool.books.ping()}")
    except PayflowError as error:
        say(f"Can't establish connection to backend: {error}")
    say("Starting payouts")
    say(f"Set payouts interval to {durations.write(pool.config.interval_ns)}")
    while True:
        outcome = await Run(pools, pool, say, stop, drain=drain, once=once).whole()
        if once or stop.is_set():
            return outcome
        try:
            await asyncio.wait_for(stop.wait(), pool.config.interval_ns / durations.SECOND)
        except TimeoutError:
            continue
        return outcome
