"""What our books say of one mining pool's payments, to whoever holds its database against them, and how that goes.

The money is in the pool's own books: nothing is posted here, and what differs is put right there, by what the pool's
own verbs prove. A pool that is not looked at is not opened.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from machines.core.clock import DAY, HOUR, Millis
from machines.core.errors import BadInput, NotPossible
from machines.core.ids import Owner, RecordId
from machines.core.money import Assets
from machines.core.ports import RailStatement, StatementLine, StatementPart
from machines.finding.data import POOL, Finding
from machines.finding.matching import OurPayment
from machines.pool import lifecycle as s
from machines.pool.data import PoolRecord, owner_of_login, shannon_of
from payflow.desk.lanes import StoreBooks
from payflow.desk.pool.repairs import PoolDesk
from payflow.desk.pool.restored import apply_again
from payflow.desk.pool.room import PoolRoom
from payflow.desk.reconcile.comparison import Word
from payflow.desk.reconcile.lane_payments import LanePayments, statement_of
from payflow.desk.reconcile.reconciler import ComparedRail
from payflow.desk.records import revived
from payflow.store.store import Store

MACHINE = "pool"
MOST_OF_A_MINER = 500


def compared_pools(store: Store, rooms: Iterable[PoolRoom], lanes: Iterable[str]) -> dict[str, ComparedRail]:
    """Compare pools with their databases, and the lanes that pay them with their chains, unless they are compared."""
    found: dict[str, ComparedRail] = {}
    known = set(lanes)
    for room in rooms:
        paid = PoolPayments(store, room)
        found[f"{POOL}{room.coin}"] = ComparedRail(_PoolsOwn(room), paid, paid)
        if room.lane not in known:
            lane = LanePayments(store, StoreBooks(store), room.lane)
            found[room.lane] = ComparedRail(_PoolsLane(room), lane, lane)
    return found


class _PoolsOwn:
    """The statement of a pool, which is opened when it is read."""

    patience_ms = Millis(HOUR)
    overlap_ms = Millis(2 * DAY)

    def __init__(self, room: PoolRoom) -> None:
        self._room = room

    async def _statement(self) -> RailStatement | None:
        from adapters.open_ethereum_pool.statement import PoolStatement  # noqa: PLC0415  (only where there is a pool)

        _, pool = await self._room.opened()
        return PoolStatement(pool.books)

    async def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        statement = await self._statement()
        if statement is None:
            return
        async for part in statement.parts(since, until, assets):
            yield part


class _PoolsLane(_PoolsOwn):
    """The statement of the lane that pays a pool over the pool's own node."""

    overlap_ms = Millis(0)

    async def _statement(self) -> RailStatement | None:
        lane, _ = await self._room.paying()
        return statement_of(lane)


class PoolPayments:
    """The payments of one pool."""

    def __init__(self, store: Store, room: PoolRoom) -> None:
        self._store = store
        self._room = room

    async def ours(self, lines: Sequence[StatementLine]) -> Mapping[str, RecordId]:
        """Name the payments that lines are of: to this miner, by this transaction."""
        logins = {login for one in lines if (login := _login(one))}
        records = dict(zip(logins, await asyncio.gather(*map(self._of_miner, logins)), strict=True))
        found: dict[str, RecordId] = {}
        for line in lines:
            mine = [one.id for one in records.get(_login(line), ()) if one.data.hash == line.handle]
            found |= {line.id: mine[0]} if mine else {}
        return found

    async def payments(self, records: Sequence[RecordId]) -> Mapping[RecordId, OurPayment]:
        """Say what some payments are, archived ones too."""
        found = {one.record.id: one.record for one in await self._store.records.readable(records)}
        for name in records:
            left: PoolRecord | None = None if name in found else await self._store.archive.as_left(name)
            found |= {} if left is None else {name: left}
        return {name: self._of(record) for name, record in found.items() if record.machine == MACHINE}

    async def paid_between(self, since: Millis, until: Millis) -> AsyncIterator[Sequence[OurPayment]]:
        """Walk over the payments that came to be paid between two times."""
        async for page in self._store.listing.came_between(MACHINE, s.PAID, since, until):
            yield [self._of(one.record) for one in page if one.record.data.coin == self._room.coin]

    async def late(self, before: Millis) -> Sequence[OurPayment]:
        """List what was taken off a balance, and is not paid, since before a time."""
        pages = [await self._store.listing.in_state(MACHINE, state) for state in s.TAKEN]
        records = [one.record for page in pages for one in page if one.record.data.coin == self._room.coin]
        return [self._of(one) for one in records if one.since < before]

    # ── what is done about it ────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, _rail: str, record: RecordId, who: str) -> Sequence[Finding]:
        """Have the database learn what is paid and not in its list, as far as the chain proves it; look at the rest."""
        found: PoolRecord = await revived(self._store, record, "its pool is asked about it once more", who)
        await self._store.records.poke(record)
        if found.state != s.PAID:
            return []
        pools, pool = await self._room.opened()
        data, shannon = found.data, shannon_of(found)
        stuck = (await apply_again(pool, [found])).stuck
        if stuck:
            raise NotPossible(next(iter(stuck.values())))
        if not (await pool.books.booked([(data.login, shannon, data.hash, int(data.charge_wei))]))[0]:
            await PoolDesk(pools, pool, who).add_missing(data.login, shannon, data.hash, dry_run=False)
        return []

    async def adopt(self, _rail: str, record: RecordId, _since: Millis, _word: Word) -> Sequence[Finding]:
        """Adopt nothing: what a pool paid without us is booked by its own verb."""
        raise NotPossible(f"Our books have forgotten {record}: see `payflow pool rebook`, and waive this.")

    async def learn_fee(self, record: RecordId, fee: str, who: str) -> None:
        """Learn nothing: what it cost a payment proves itself."""

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _of_miner(self, login: str) -> list[PoolRecord]:
        try:
            owner = owner_of_login(self._room.coin, login)
        except BadInput:
            return []  # a row that was written by hand
        found = await self._store.listing.owned_by(owner, MOST_OF_A_MINER)
        return [one.record for one in found if one.record.machine == MACHINE]

    def _of(self, record: PoolRecord) -> OurPayment:
        data, amount = record.data, record.amount
        if amount is None:
            raise BadInput(f"{record.id} has no amount.")
        return OurPayment(
            record.id, Owner(record.owner), (f"{data.hash}:{data.login}",), (data.hash,) if data.hash else (), amount,
            None, self._store.seals.account(data.login, amount.asset), paid=record.state == s.PAID,
            open=record.state in s.OPEN, at=record.since,
        )  # fmt: skip


def _login(line: StatementLine) -> str:
    """Read whose a line is; it keeps of the account a fingerprint alone."""
    return line.reference.rpartition(":")[2]
