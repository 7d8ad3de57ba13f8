"""What a pool's database says was paid is held against our payments: what people write into it by hand is found."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from machines.core.clock import DAY, HOUR, Millis
from machines.core.errors import NotPossible
from machines.finding.data import FindingKind, ProposedAct
from machines.finding.react import finding
from machines.pool import lifecycle as s
from payflow.app.pools import rooms_of
from payflow.desk.person import Person
from payflow.desk.reconcile.findings import FindingFilter, Findings
from payflow.desk.reconcile.pool_payments import compared_pools
from payflow.desk.reconcile.reconciler import Reconciler
from payflow.desk.reconcile.repairs import FindingRepairs, posting_of
from payflow.store.registers.tokens import Role
from tests.chain import Anvil, anvil
from tests.servers import Deployment, Farm, Server
from tests.stories.pool_world import World, open_world, pool_redis

ANN = "0xb85150eb365e7df0941f0cf08235f987ba91506a"
BOB = "0x5a0b54d5dc17e0aadc383d2db43b0a0d3e029c4c"
CAT = "0x00000000219ab540356cbb839cbe05303d7705fa"
DAN = "0x7a250d5630b4cf539739df2c5dacb4c659f2488d"
EVE = "0x68b3465833fb72a70ecdf485e0e4c7bd8665fc45"
OTTO = Person("otto", Role.OPERATOR, "token")
POOL = "pool:eth"
Kind = FindingKind


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines each transaction at once."""
    async with anvil() as chain:
        yield chain


@pytest.fixture
def redis(own: Farm) -> Server:
    """The pool's Redis."""
    return pool_redis(own)


@pytest.fixture
async def world(server: Deployment, redis: Server, chain: Anvil, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(server, redis, chain, tmp_path) as world:
        yield world


@asynccontextmanager
async def reconciling(world: World) -> AsyncIterator[Reconciler]:
    """Compare the pool, whose own time is over at once."""
    payflow = world.payflow
    async with AsyncExitStack() as stack:
        rooms = rooms_of(payflow.settings, payflow.store, payflow.metrics, stack, [Path(world.pool.config.place)])
        rails = compared_pools(payflow.store, rooms.rooms.values(), ())
        for rail in rails.values():
            rail.statement.patience_ms = Millis(0)  # type: ignore[union-attr, misc]
        reconciler = Reconciler(payflow.store, Findings(payflow.store, payflow.metrics), rails)
        machines = payflow.store.records.machines
        payflow.store.serve([*machines.values(), finding(reconciler.acts())])
        yield reconciler


async def kinds(reconciler: Reconciler) -> Counter[tuple[FindingKind, int]]:
    """Compare the pool, and say what is open."""
    await reconciler.compare(POOL)
    open_ = await reconciler.findings.all(FindingFilter(POOL))
    return Counter((one.data.kind, one.data.units) for one in open_)


async def paid(world: World, **shannon: int) -> dict[str, str]:
    """Pay miners; gives the row of each."""
    for login, amount in shannon.items():
        world.mine.earn(login, amount)
    async with world.working():
        await world.run()
    records = await world.records(s.PAID)
    return {one.data.login: f"{one.data.hash}:{one.data.login}:{one.amount.units}" for one in records if one.amount}


async def test_what_was_paid_agrees_with_the_pools_list_and_with_the_chain_of_its_lane(world: World) -> None:
    async with reconciling(world) as reconciler:
        assert set(reconciler.rails) == {POOL, "pool"}
        assert await kinds(reconciler) == Counter()
        await paid(world, **{ANN: 600_000_000, BOB: 700_000_000})
        await world.chain.mine(100)  # until the chain is sure of them
        for _ in range(2):
            assert await kinds(reconciler) == Counter()
            turn = await reconciler.compare("pool")
            assert [one.data for one in turn.found] == []
        assert await world.payflow.store.statements.count(POOL) == 2
        assert await world.payflow.store.statements.count("pool") == 2
        read = await reconciler.compare(POOL, Millis(await world.payflow.store.records.now() - 3 * DAY))
        assert (read.lines, read.found) == (0, ())


async def test_what_people_wrote_into_the_list_is_found_by_its_kind_once(world: World) -> None:
    amounts = dict(zip((ANN, BOB, CAT, DAN), (600_000_000, 700_000_000, 800_000_000, 900_000_000), strict=True))
    async with reconciling(world) as reconciler:
        assert await kinds(reconciler) == Counter()
        rows = await paid(world, **amounts)
        do, listed = world.mine.do, "eth:payments:all"
        at_s = {login: int(float(do("ZSCORE", listed, row))) for login, row in rows.items()}
        do("ZREM", listed, rows[ANN])
        do("ZREM", listed, rows[BOB])
        do("ZADD", listed, at_s[BOB], rows[BOB].replace("700000000", "700000001"))
        do("ZADD", listed, at_s[CAT] + 1, rows[CAT].replace("800000000", "800000002"))
        do("ZADD", listed, at_s[DAN], f"0x{'ab' * 32}:{EVE}:555")
        do("ZADD", listed, at_s[DAN], "no row of a pool")
        found = await kinds(reconciler)
        assert found == Counter(
            {
                (Kind.MISSING_THERE, -600_000_000): 1,
                (Kind.AMOUNT_DIFFERS, -1): 1,
                (Kind.TWICE, -800_000_002): 1,
                (Kind.NOT_OURS, -555): 1,
            }
        )
        assert await kinds(reconciler) == found
        by_kind = {one.data.kind: one for one in await reconciler.findings.all(FindingFilter(POOL))}
        pauses = await world.payflow.store.pauses.all()
        assert {one for one in pauses if one.startswith("owner:")} == {f"owner:eth:{one}" for one in (ANN, BOB, CAT)}
        assert "rail:pool" not in pauses, "one miner's trouble stops no others"

        store, metrics = world.payflow.store, world.payflow.metrics
        for kind in (Kind.AMOUNT_DIFFERS, Kind.TWICE):
            assert by_kind[kind].data.act is ProposedAct.ASK
            with pytest.raises(NotPossible, match="nothing is posted"):
                await posting_of(store, metrics, by_kind[kind].id)
        repairs = FindingRepairs(store, reconciler)
        await repairs.do(by_kind[Kind.NOT_OURS].id, OTTO, "the old payer tried it")
        assert not [rail for rail, _ in await store.ledger.rails() if rail == POOL], "the pool has books of its own"


async def test_a_row_that_is_lost_is_booked_again_as_the_chain_proves_it(world: World) -> None:
    async with reconciling(world) as reconciler:
        assert await kinds(reconciler) == Counter()
        row = (await paid(world, **{ANN: 600_000_000}))[ANN]
        world.mine.do("ZREM", "eth:payments:all", row)
        world.mine.do("ZREM", f"eth:payments:{ANN}", row.replace(f":{ANN}:", ":"))
        assert await kinds(reconciler) == Counter({(Kind.MISSING_THERE, -600_000_000): 1})
        (record,) = await reconciler.findings.all(FindingFilter(POOL))
        repairs = FindingRepairs(world.payflow.store, reconciler)
        done = await repairs.do(record.id, OTTO)
        assert done.record.state == "RESOLVED"
        assert world.mine.history() == [row], "it is there again"
        assert await kinds(reconciler) == Counter()


async def test_a_pool_that_does_not_answer_is_no_finding_and_stops_no_other(world: World, redis: Server) -> None:
    async with reconciling(world) as reconciler:
        await paid(world, **{ANN: 600_000_000})
        redis.kill()
        turns = await reconciler.compare_all(Millis(await world.payflow.store.records.now() - HOUR))
        failed = {one.rail: one.failed for one in turns}
        assert "does not answer" in failed[POOL]
        assert failed["pool"] == ""
        assert await reconciler.findings.all(FindingFilter()) == []
