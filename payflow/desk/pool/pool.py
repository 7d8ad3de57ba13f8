"""A mining pool that is paid for: its books and node, what our store knows of it, what must hold before it pays."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.open_ethereum_pool.books import PendingRow, PoolBooks
from adapters.open_ethereum_pool.config import Config
from machines.core.chain import NO_DATA, GasFee, TxHash, Unsigned
from machines.core.clock import SECOND, Clock
from machines.core.decision import New
from machines.core.errors import BadInput, NotFound, PayflowError, Retryable
from machines.core.ids import RecordId
from machines.core.money import ETH, Money
from machines.core.ports import PaymentKey
from machines.pool import lifecycle as s
from machines.pool.acts import PayingPool, PoolActs, why_not
from machines.pool.data import WEI, PoolData, PoolRecord, claim_of, line_of, owner_of_login, payment_id, sent_of
from machines.pool.permit import with_permit
from machines.pool.ports import Booked, Trail
from machines.pool.react import pool as pool_machine
from machines.transaction.policy import offered
from machines.transaction.ports import Announce, Lane
from machines.transaction.rail import LaneRail
from payflow.desk import archive
from payflow.desk.pool.outside import Outside
from payflow.store.store import Store
from payflow.store.stored import ArchivedStub
from payflow.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from adapters.ethereum.node import Nodes
    from payflow.desk.lanes import Lanes

PLAIN_GAS = 21_000
# No chain ever gets to this nonce, so that what is signed to try a signer out can never be sent.
NEVER_NONCE = 2**64 - 2

SIGNER_CHECKED_FOR_S = 60.0
MOST_OPEN = 10_000


@dataclass(frozen=True, slots=True)
class Pool:
    """One coin of one pool, open."""

    config: Config
    books: PoolBooks
    node: "Nodes"
    lane: Lane
    rail: LaneRail

    @property
    def coin(self) -> str:
        """What its keys begin with."""
        return self.config.coin

    @property
    def trail(self) -> Trail:
        """Where the chain is searched: on enough of the lane's nodes where there are several, else on our own."""
        from adapters.ethereum.node import Nodes  # noqa: PLC0415  (half a second, which `payflow pool --help` has not)

        chain = self.lane.chain
        return chain if isinstance(chain, Nodes) and not chain.quorum.alone else self.node

    async def gas_wei(self) -> int:
        """Say about what one plain payment costs, as the chain is now."""
        price = self.config.gas_price_wei
        if price is None:
            market = await self.lane.chain.market(self.lane.policy.fees.percentile)
            price = max(market.gas_price_wei, (market.base_fee_wei or 0) + market.tip_wei)
        return (self.config.gas or PLAIN_GAS) * price

    async def most_gas_wei(self) -> int:
        """Say what the lane offers for one: so much must be there, or it waits with what was debited already."""
        fees = self.lane.policy.fees
        return (self.config.gas or PLAIN_GAS) * offered(await self.lane.chain.market(fees.percentile), fees).max_wei


class Own:
    """What our own store knows of pool payments."""

    def __init__(self, books: Mapping[str, PoolBooks], store: Store) -> None:
        self._books = books
        self.store = store

    async def open_payments(self, coin: str) -> list[PoolRecord]:
        """List the payments of a coin that are not over."""
        found = await asyncio.gather(*(self.store.listing.in_state("pool", state, MOST_OPEN) for state in s.OPEN))
        by_id = {one.record.id: one.record for part in found for one in part if one.record.data.coin == coin}
        return list(by_id.values())

    async def of_row(self, coin: str, login: str, shannon: int) -> list[PoolRecord]:
        """List the payments that a row of the books may mean, the newest first."""
        try:
            owner = owner_of_login(coin, login)
        except BadInput:
            return []
        return [
            one.record
            for one in await self.store.listing.owned_by(owner)
            if one.record.machine == "pool" and one.record.amount and one.record.amount.units == shannon
        ]

    async def names(self, coin: str, row: str) -> bool:
        """Say whether a lock with this row is ours: it may name a payment that is over, while others are open.

        A payment that is only due has locked nothing yet, unless the books say that it is debited.
        """
        login, _, amount = row.rpartition(":")
        mine = await self.of_row(coin, login, int(amount)) if amount.isdecimal() else []
        if any(one.state in s.TAKEN for one in mine):
            return True
        if not any(one.state in (s.DUE, s.PAID, s.CREDITED) for one in mine):
            return False
        steps = await self._books[coin].steps([one.id for one in mine])
        if any(one.state == s.DUE and step == "debited" for one, step in zip(mine, steps, strict=True)):
            return True
        over = any(one.state in (s.PAID, s.CREDITED) for one in mine)
        return over and any(one.state in s.TAKEN for one in await self.open_payments(coin))

    async def transactions_to(self, coin: str, login: str, shannon: int, but: PoolRecord | None) -> frozenset[TxHash]:
        """List the transactions with which other payments of ours to a miner are paid, or are about to be.

        Archived ones count where they are over this amount: others account for themselves in the miner's history.
        """
        found = await self.store.listing.owned_by(owner_of_login(coin, login), MOST_OPEN)
        records = [one.record for one in found if one.record.machine == "pool"]
        for record_id, tomb in (await self.archived(coin, login)).items():
            if tomb.state == s.PAID and tomb.units == shannon:
                with suppress(BadInput):  # its file is elsewhere: then its transaction counts as a candidate
                    put_away = await archive.find(self.store, record_id, archive.folder_of(self.store))
                    records += [put_away.record] if put_away else []
        return frozenset(
            one.data.hash
            for one in records
            if one.data.hash and one.state in (s.PAID, s.SENT) and (but is None or one.id != but.id)
        )

    async def archived(self, coin: str, login: str = "") -> dict[RecordId, ArchivedStub]:
        """List what is left of payments that were put away, of a coin or of one miner."""
        store, owners = self.store, f"{coin}:"
        shards = range(store.records.shards)
        if login:
            owners = owner_of_login(coin, login)
            shard = store.records.owner_shard(owner_of_login(coin, login))
            shards = range(shard, shard + 1)
        return {
            record_id: tomb
            for shard in shards
            async for record_id, tomb in store.archive.stubs_of("pool", shard)
            if tomb.owner == owners or (not login and tomb.owner.startswith(owners))
        }

    async def owners(self, books: PoolBooks) -> list[tuple[PendingRow, PoolRecord | None]]:
        """List what is pending, each with the payment that wrote it; None for a row of somebody else.

        A row over the same amount as an old payment of ours is somebody else's all the same.
        """
        found = []
        for row in await books.pending():
            is_pending, owner = await self._owner(books, row)
            if is_pending and owner is None:
                # One that was paid and one that was debited since the list was read may look like this.
                is_pending, owner = await self._owner(books, row)
            if is_pending:
                found.append((row, owner))
        return found

    async def _owner(self, books: PoolBooks, row: PendingRow) -> tuple[bool, PoolRecord | None]:
        mine = await self.of_row(books.keys.coin, row.login, row.shannon)
        is_pending, steps = await books.row_and_steps(row, [one.id for one in mine])
        return is_pending, next((one for one, step in zip(mine, steps, strict=True) if step == "debited"), None)

    async def newest(self, coin: str, login: str) -> PoolRecord | None:
        """Find the newest payment of a miner that was not called off."""
        found = await self.store.listing.owned_by(owner_of_login(coin, login))
        pool = (one.record for one in found if one.record.machine == "pool")
        return next((one for one in pool if one.state != s.SKIPPED), None)


class PoolReadiness:
    """What must hold before a payment leaves; a reason to wait, never one to halt."""

    def __init__(self, pool: Pool, own: Own, clock: Clock, outside: Outside) -> None:
        self._pool = pool
        self._outside = outside
        self._own = own
        self._clock = clock
        self._signed_at = 0.0

    async def fault(self, needed_wei: int, key: PaymentKey) -> str:
        """Say why it cannot be paid now, in the words that operators know."""
        return await self.common_fault() or await self.funds_fault(needed_wei, key)

    async def paid_outside(self, login: str) -> str:
        """Say which transaction that nothing accounts for may have paid a miner already."""
        return await self._outside.fault(login)

    async def common_fault(self) -> str:
        """Say why nothing at all can be paid now."""
        least = self._pool.config.require_peers
        if least:
            try:
                peers = await self._pool.node.peers()
            except PayflowError as error:
                return f"Unable to start payouts, failed to retrieve number of peers from node: {error}"
            if peers < least:
                return f"Unable to start payouts, number of peers on a node is less than required {least}"
        try:
            await self._try_signer()
            fault = await self._pool.books.durability_fault()
        except PayflowError as error:
            return f"Unable to process payouts: {error}"
        return fault and f"Unable to start payouts: {fault}"

    async def funds_fault(self, needed_wei: int, key: PaymentKey) -> str:
        """Say that the address has too little: the amount, its gas, and what is on its way already all count."""
        try:
            balance = await self._pool.lane.chain.balance(self._pool.config.address)
            gas_wei = await self._pool.most_gas_wei()
            needed = needed_wei + gas_wei + await self._on_its_way(key, gas_wei)
        except PayflowError as error:
            return f"Unable to get pool balance from node, retrying next cycle: {error}"
        if balance < needed:
            return (
                f"Not enough pool balance for payment, need {needed} Wei, pool has {balance} Wei; retrying next cycle"
            )
        return ""

    async def _on_its_way(self, key: PaymentKey, gas_wei: int) -> int:
        mined = await self._pool.lane.chain.nonce(self._pool.config.address)
        leaving = [
            one
            for one in await self._own.open_payments(self._pool.coin)
            if str(one.id) != key and one.state != s.DUE and not 0 <= one.data.nonce < mined
        ]
        return sum(sent_of(one).units * WEI for one in leaving) + len(leaving) * gas_wei

    async def _try_signer(self) -> None:
        now = self._clock.now() / SECOND
        if now - self._signed_at < SIGNER_CHECKED_FOR_S:
            return
        await try_signer(self._pool.lane)
        self._signed_at = now


class Pools:
    """The pools of an installation, and the machine of their payments."""

    def __init__(self, pools: Mapping[str, Pool], lanes: "Lanes", clock: Clock, own: Own, metrics: Metrics) -> None:
        self.pools = dict(pools)
        self.lanes = lanes
        self.own = own
        self.announced: dict[str, int] = {}
        """Of how many transactions that are not ours the runs of a coin have told."""
        self.metrics = metrics
        """Where runs are counted."""
        self.outside = {
            coin: Outside(pool.books, pool.trail, pool.lane, lanes.books) for coin, pool in self.pools.items()
        }
        self.readiness = {
            coin: PoolReadiness(pool, own, clock, self.outside[coin]) for coin, pool in self.pools.items()
        }
        paying = {
            coin: PayingPool(pool.books, pool.rail, self.readiness[coin], pool.lane.scopes)
            for coin, pool in self.pools.items()
        }
        looks = PoolActs(paying, own, own.store.permit_keys)
        self.machine = pool_machine(looks.acts(), looks.prove)


def announcing(books: PoolBooks, own: Own) -> Announce:
    """Note nonce and hash in the pool's books before the bytes leave, for the pool's own module to find."""

    async def announce(key: PaymentKey, tx: TxHash, nonce: int) -> str:
        try:
            record: PoolRecord = (await own.store.records.read(RecordId(key))).record
        except (NotFound, BadInput):
            return ""  # a payment of the lane that is none of the pool's, such as one that only uses up a nonce
        if record.machine != "pool" or record.data.coin != books.keys.coin or record.state == s.PAID:
            return ""  # what is booked and sent again, because the chain took it back, is noted nowhere any more
        answer = await books.announce(line_of(record, record.data.debited_at), tx, nonce)
        if answer.code in (Booked.DONE, Booked.ALREADY):
            return ""
        if answer.code == Booked.ROW_GONE or answer.found == "credited":
            return f"{record.id}: {why_not(answer)}"
        raise Retryable(f"{record.id} cannot be noted in the pool's books before it is sent: {answer.found}")

    return announce


def payment_for(pool: Pool, login: str, to: str, shannon: int, run: str, store: Store) -> New[PoolData]:
    """Write down a payment that is due, and permit it."""
    data = PoolData(pool.coin, login, to, run, str(pool.config.charge_wei))
    record_id = payment_id(pool.coin, login, shannon, run, store.records.shards)
    return New(
        record_id,
        "pool",
        data.owner,
        Money(shannon, ETH),
        with_permit(store.permit_keys, record_id, data, shannon),
        claims=(claim_of(pool.coin, login),),
    )


async def try_signer(lane: Lane) -> None:
    """See that the signer signs for the lane's chain: to nobody, over nothing, with a nonce that no chain reaches."""
    unsigned = Unsigned(lane.chain.chain_id, NEVER_NONCE, lane.signer.address, 0, NO_DATA, PLAIN_GAS, GasFee(1))
    await lane.signer.sign(unsigned)
