"""Discrepancies planted where a lane and a pool pay: by whoever has the lane's key, and by hand in the pool's lists.

What goes by its act is planted. A row that somebody wrote into a pool's list with another amount, or twice, takes a
person with a Redis shell; and of what the store itself forgot a chain names no payee of ours: those are waived.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from machines.core.clock import FixedClock
from machines.core.ports import Payment
from machines.core.rail_share import FINE, RailPart
from machines.finding.data import FindingKind
from machines.pool import lifecycle as pool
from payflow.config import Settings
from payflow.desk.reconcile.findings import FindingFilter
from payflow.desk.reconcile.repairs import FindingRepairs
from tests.chain import GWEI, LANE, OTHER, Anvil, stranger
from tests.chains.batches import existing, made_contract
from tests.chains.test_statements import LANE_NAME, OTTO, Books, opened
from tests.lanes import outside
from tests.servers import Deployment, Server
from tests.stories.pool_world import World, open_world
from tests.stories.test_pool_statement import POOL, kinds, reconciling

BATCH, AT_ONCE = 50, 200
BLOCKS_BEFORE_SURE = 100
Found = Counter[tuple[FindingKind, int]]


async def play_lane(settings: Settings, chain: Anvil, random: Random, count: int, planted: int) -> str:
    """Pay so many over a lane; somebody else with its key pays too, and others put money in."""
    contract, clock = await made_contract(chain), FixedClock()
    async with opened(settings, chain, clock, pay_many=contract) as books:
        station = books.station
        station.set_policy(batch_size=BATCH)
        payees = await existing(chain, min(count, AT_ONCE))
        for first in range(0, count, AT_ONCE):
            some = min(AT_ONCE, count - first)
            amounts = [random.randrange(1_000, 5_000_000) for _ in range(some)]
            payments = [
                station.payment(f"p-{first + number}", payees[number], amount) for number, amount in enumerate(amounts)
            ]
            await _paid(books, payments)
            await chain.send(OTHER, LANE.address, random.randrange(1, 10**15))
            await books.later()
        wanted: Found = Counter()
        for nonce in range(await chain.nonce(LANE.address), await chain.nonce(LANE.address) + planted):
            wei = random.randrange(1, 10**15)
            await outside(chain, nonce=nonce, to=stranger(), wei=wei)
            wanted[FindingKind.NOT_OURS, -(wei // GWEI)] += 1
        await chain.mine(4)
        await books.later()
        assert await books.kinds() == wanted, (await books.kinds() - wanted, wanted - await books.kinds())
        repairs = FindingRepairs(station.store, books.reconciler)
        for record in await books.reconciler.findings.all(FindingFilter()):
            await repairs.do(record.id, OTTO, "somebody tried a new wallet")
        assert await books.kinds() == Counter()
        account = await books.account()
        assert account.unexplained == 0
        assert account.fine(RailPart.WALLET) == await chain.balance(LANE.address) * FINE // GWEI
        lines = await station.store.statements.count(LANE_NAME)
    return f"{count:,} lane payments, {lines:,} lines: {planted} of somebody else are found and booked, to the wei."


async def _paid(books: Books, payments: Sequence[Payment]) -> None:
    async with books.station.worker():
        await books.station.pay(*payments)
        await books.station.until_settled(payments)


async def play_pool(
    store: Deployment, redis: Server, chain: Anvil, folder: Path, random: Random, miners: int, planted: int
) -> str:
    """Pay miners once; then rows get lost in the pool's lists, and others are written in by hand."""
    async with open_world(store, redis, chain, folder) as world, reconciling(world) as reconciler:
        assert await kinds(reconciler) == Counter()
        rows = await _mined(world, {stranger().lower(): random.randrange(500_000_001, 10**10) for _ in range(miners)})
        await world.chain.mine(BLOCKS_BEFORE_SURE)
        wanted: Found = Counter()
        listed, do = "eth:payments:all", world.mine.do
        lost = random.sample(sorted(rows), planted)
        for number, login in enumerate(lost):
            at_s, row = int(float(do("ZSCORE", listed, rows[login]))), rows[login]
            units = int(row.rpartition(":")[2])
            if number % 2:
                do("ZADD", listed, at_s, f"0x{random.randrange(16**64):064x}:{stranger().lower()}:{number + 1}")
                wanted[FindingKind.NOT_OURS, -(number + 1)] += 1
            else:
                do("ZREM", listed, row)
                do("ZREM", f"eth:payments:{login}", row.replace(f":{login}:", ":"))
                wanted[FindingKind.MISSING_THERE, -units] += 1
        found = await kinds(reconciler)
        assert found == wanted, (found - wanted, wanted - found)
        repairs = FindingRepairs(world.payflow.store, reconciler)
        for record in await reconciler.findings.all(FindingFilter(POOL)):
            await repairs.do(record.id, OTTO, "the old payer tried it")
        assert await kinds(reconciler) == Counter()
        assert set(rows.values()) <= set(world.mine.history()), "what was lost is there again"
    return f"{miners:,} miners: {planted} rows that were lost or written in are found, and put right."


async def _mined(world: World, amounts: dict[str, int]) -> dict[str, str]:
    """Pay miners; gives the row of each in the pool's list."""
    for login, shannon in amounts.items():
        world.mine.earn(login, shannon)
    async with world.working():
        await world.run()
    found = [one.record for one in await world.payflow.store.listing.in_state("pool", pool.PAID, len(amounts))]
    rows = {one.data.login: f"{one.data.hash}:{one.data.login}:{one.amount.units}" for one in found if one.amount}
    assert set(rows) == set(amounts)
    return rows
