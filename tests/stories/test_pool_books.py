"""The pool's books after what others did to them: the old module, an operator by hand, a backup; and what was lost."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from machines.core.chain import TxHash
from machines.core.errors import BadInput, Conflict, NotAllowed
from machines.core.facts import Override
from machines.core.ids import parse_id
from machines.pool import lifecycle as s
from machines.transaction.facts import Adopted, CancelAsked
from payflow.desk import archive
from payflow.desk.dual_control import DualControl
from payflow.desk.person import Person
from payflow.desk.pool import audit, not_a_payment
from payflow.engine.step import take_in
from payflow.store import keys
from payflow.store.registers.tokens import Role
from tests.adapters.open_ethereum_pool.mine import copied, mine_of, put_back
from tests.chain import GWEI, LANE, Anvil, anvil
from tests.servers import Deployment, Farm, Server
from tests.stories.old_payer import OldPayer
from tests.stories.pool_world import World, open_world, pool_redis
from tests.stories.test_pool_mess import chain_time, resolve, waiting_run
from tests.waiting import wait_until

OLU, EVE = (Person(name, Role.OPERATOR, "boss") for name in ("olu", "eve"))

ANN = "0xb85150eb365e7df0941f0cf08235f987ba91506a"
BOB = "0x5a0b54d5dc17e0aadc383d2db43b0a0d3e029c4c"
CAT = "0x00000000219ab540356cbb839cbe05303d7705fa"
LOGINS = (ANN, BOB, CAT)
AMOUNT = 600_000_000
OURS = "eth:payflow:applied"


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines each transaction at once."""
    async with anvil(slots_in_an_epoch=1) as chain:
        yield chain


@pytest.fixture
def redis(own: Farm) -> Server:
    """The pool's Redis."""
    return pool_redis(own)


@pytest.fixture
async def world(server: Deployment, redis: Server, chain: Anvil, tmp_path: Path) -> AsyncIterator[World]:
    """A pool that owes three miners something."""
    async with open_world(server, redis, chain, tmp_path) as world:
        for number, login in enumerate(LOGINS):
            world.mine.earn(login, AMOUNT + number)
        yield world


async def books_are_right(world: World) -> bool:
    """Whether every sum agrees with its rows."""
    return await audit.audit(world.pool.books) == []


async def got_once(world: World, *logins: str) -> bool:
    """Whether miners have what they earned, once."""
    return [await world.got(login) for login in logins] == [AMOUNT + LOGINS.index(login) for login in logins]


# ── our own mark, and backups ────────────────────────────────────────────────────────────────────────────────────────


async def test_our_mark_may_be_deleted_and_nobody_is_debited_a_second_time(world: World, chain: Anvil) -> None:
    async with world.working():
        assert (await world.run()).paid == 3
        old = OldPayer(world.mine, chain)
        world.mine.earn(ANN, AMOUNT + 9, height=2)
        await old.process(await chain_time(chain))
        before = world.mine.everything()
        world.mine.do("DEL", OURS)
        outcome = await world.run()
    assert world.mine.everything() == before
    assert await books_are_right(world)
    assert outcome.fault == ""
    assert not world.said("forgotten")


async def test_our_mark_deleted_in_the_middle_of_a_payment_ends_with_one(world: World, chain: Anvil) -> None:
    await chain.automine(on=False)
    async with world.working(), waiting_run(world):
        await world.until(s.SENT)
        world.mine.do("DEL", OURS)
        await chain.automine(on=True)
        await chain.mine()
    assert (world.mine.pending(), world.mine.lock()) == ([], None)
    assert await got_once(world, *LOGINS)
    assert await books_are_right(world)


async def test_an_empty_redis_under_an_old_store_is_asked_about(world: World) -> None:
    async with world.working():
        await world.run()
        world.mine.do("FLUSHALL")
        for login in LOGINS:
            world.mine.earn(login, AMOUNT)
        before = world.mine.everything()
        outcome = await world.run()
        assert outcome.paid == 0
        assert "the pool's Redis has no payment at all" in outcome.refused
        assert world.mine.everything() == before


async def test_more_than_three_forgotten_payments_are_asked_about_and_booked_on_demand(world: World) -> None:
    world.mine.do("ZADD", "eth:payments:all", 5, f"0x{3:064x}:{CAT}:5")
    world.mine.do("ZADD", f"eth:payments:{CAT}", 5, f"0x{3:064x}:5")
    fourth = f"0x{1 << 70:040x}"
    world.mine.earn(fourth, AMOUNT)
    backup = world.mine.backup()
    async with world.working():
        assert (await world.run()).paid == 4
        after = world.mine.everything()
        world.mine.restore(backup)
        outcome = await world.run()
        assert (outcome.paid, "lacks payments of Payflow's" in outcome.refused) == (0, True)
        desk = world.desk()
        assert "booked" in " ".join(await desk.rebook(*await desk.forgotten()))
        assert world.mine.everything() == after
        assert (await world.run()).fault == ""
    assert await got_once(world, *LOGINS)


async def test_an_archived_payment_that_a_backup_forgot_is_not_paid_again(world: World, server: Deployment) -> None:
    world.mine.do("ZADD", "eth:payments:all", 5, f"0x{3:064x}:{CAT}:5")
    backup = world.mine.backup()
    async with world.working():
        await world.run()
        after = world.mine.everything()
        await archived(world, server)
        world.mine.restore(backup)
        assert (await world.run()).paid == 0
        desk = world.desk()
        await desk.rebook(*await desk.forgotten())
        assert world.mine.everything() == after
        assert (await world.run()).fault == ""
    assert await got_once(world, *LOGINS)


async def archived(world: World, server: Deployment) -> None:
    """Put every finished payment of the pool away, as if nobody looked at it any more."""
    store = world.payflow.store
    for record in await world.records(s.PAID):
        due = keys.due(parse_id(record.id)[1], "pool", s.PAID)
        with server.nodes()[0].client() as redis:
            redis.zrem(due, record.id)
    now = await store.records.now()
    await archive.archive(store, archive.folder_of(store), now, "olu")
    assert await world.records(s.PAID) == []


async def test_store_and_pool_restored_together_pay_nobody_twice(
    server: Deployment, redis: Server, chain: Anvil, own: Farm, tmp_path: Path
) -> None:
    data, kept = tmp_path / "data", tmp_path / "kept"
    with server.nodes()[0].client() as store, mine_of(redis) as mine:
        async with open_world(server, redis, chain, tmp_path) as world:
            world.mine.earn(BOB, AMOUNT, height=9)
            async with world.working():
                assert (await world.run()).paid == 1, "the snapshot is of a pool that has run before"
            for number, login in enumerate(LOGINS):
                world.mine.earn(login, AMOUNT + 100 + number)
        backup, snapshot = mine.backup(), copied(store)
        shutil.copytree(data, kept)
        async with open_world(server, redis, chain, tmp_path) as world:
            async with world.working():
                assert (await world.run()).paid == 3
            after = world.mine.everything()
            reached = [await world.got(login) for login in LOGINS]
        mine.restore(backup)
        put_back(store, snapshot)
        shutil.rmtree(data)
        shutil.copytree(kept, data)
    async with open_world(server, redis, chain, tmp_path) as world:
        async with world.working():
            outcome = await world.run()
            assert outcome.paid == 0
            assert "from the pool's address, and neither the pool's books nor Payflow know of it" in outcome.short
            desk = world.desk()
            said = await desk.rebook(*await desk.forgotten())
            assert all(line.startswith("Booked") for line in said), said
            assert (await world.run()).fault == ""
        assert [await world.got(login) for login in LOGINS] == reached
        assert sums_of(world.mine.everything()) == sums_of(after)
        assert await books_are_right(world)


def sums_of(books: dict[str, Any]) -> dict[str, Any]:
    """The pool's own keys, without seconds and without our mark."""
    return {key: sorted(value) if "payments" in key else value for key, value in books.items() if key != OURS}


async def test_what_was_something_else_is_said_by_two_people_and_the_miner_is_paid(world: World, chain: Anvil) -> None:
    """The chain cannot tell a gift from a payment: one operator alone has nobody paid on top of it."""
    gift = await world.mined(await world.old_payer_sends(ANN, 5))
    two = DualControl(world.payflow.store, [not_a_payment.verb(Opened(world))])
    async with world.working():
        outcome = await world.run()
        assert outcome.paid == 2
        assert gift in outcome.short
        _, strays = await world.desk().forgotten()
        with pytest.raises(BadInput, match="none of the transactions"):
            not_a_payment.chosen(strays, [TxHash("0x" + "11" * 32)])
        (stray,) = not_a_payment.chosen(strays, [gift])
        with pytest.raises(NotAllowed, match="nobody here"):
            await not_a_payment.propose(two, "eth", stray, "a gift", Person("shell:root@desk", None))
        proposal = await not_a_payment.propose(two, "eth", stray, "a gift", OLU)
        with pytest.raises(NotAllowed, match="must be another one"):
            await two.confirm(proposal.digest, OLU)
        assert (await world.run()).paid == 0
        assert "paid twice" in " ".join(two.says(proposal))
        assert "counts as something else" in await two.confirm(proposal.digest, EVE)
        outcome = await world.run()
        assert (outcome.paid, outcome.fault) == (1, "")
    assert await world.got(ANN) == AMOUNT + 5


async def test_what_was_booked_meanwhile_is_not_called_something_else(world: World, chain: Anvil) -> None:
    """Between the first word and the second one a colleague found out that it was the miner's payment."""
    sent = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
    two = DualControl(world.payflow.store, [not_a_payment.verb(Opened(world))])
    async with world.working():
        await world.run()
        found, strays = await world.desk().forgotten()
        (stray,) = not_a_payment.chosen(strays, [sent])
        proposal = await not_a_payment.propose(two, "eth", stray, "I think so", OLU)
        assert "Booked" in " ".join(await world.desk().rebook(found, strays))
        with pytest.raises(Conflict, match="accounted for by now"):
            await two.confirm(proposal.digest, EVE)
        assert (await world.run()).paid == 0
    assert await world.got(ANN) == AMOUNT


@dataclass
class Opened:
    """The one pool, open."""

    world: World

    @property
    def coins(self) -> list[str]:
        """The one."""
        return [self.world.pool.coin]

    async def disown(self, coin: str, login: str, tx: TxHash, who: str) -> str:
        """Hand it to the pool's desk."""
        assert coin == self.world.pool.coin
        return await self.world.desk(who).disown(login, tx)


# ── the old module's RESOLVE, in the middle of our payments, and back ────────────────────────────────────────────────


@pytest.mark.parametrize("flavour", ["oep", "oetc"])
async def test_an_emergency_rollback_to_the_old_module_pays_once_whatever_the_file_says(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path, flavour: str
) -> None:
    async with open_world(server, redis, chain, tmp_path, payflow={"flavour": flavour}) as world:
        world.mine.earn(ANN, AMOUNT)
        await chain.automine(on=False)
        async with world.working():
            world.stop.clear()
            async with waiting_run(world):
                await world.until(s.SENT)
                world.stop.set()
        await chain.automine(on=True)
        await chain.mine()
        old = OldPayer(world.mine, chain)
        assert await old.resolve(await chain_time(chain)) == [f"booked {ANN}:{AMOUNT}"]
        await old.process(await chain_time(chain))
        assert await world.got(ANN) == AMOUNT
        before = world.mine.everything()
        world.stop.clear()
        async with world.working():
            await world.run()
            (paid,) = await world.until(s.PAID)
        assert world.mine.everything() | {OURS: None} == before | {OURS: None}
        assert world.mine.history(ANN) == [f"{paid.data.hash}:{AMOUNT}"]
        assert await books_are_right(world)


async def halted_by_hand(world: World, chain: Anvil) -> TxHash:
    """Let an operator follow the manual procedure to its end for a payment that the lane sent."""
    await chain.automine(on=False)
    async with world.working(), waiting_run(world):
        (sent,) = await world.until(s.SENT)
        login, shannon = sent.data.login, AMOUNT + LOGINS.index(sent.data.login)
        at = sent.data.debited_at
        for command in manual(login, shannon, at, sent.data.hash):
            world.mine.do(*command)
        await chain.automine(on=True)
        await chain.mine()
    return sent.data.hash


def manual(login: str, shannon: int, at_s: int, tx: str) -> list[tuple[str | int, ...]]:
    """The seed's manual procedure, command by command, after the payment itself."""
    return [
        ("ZADD", "eth:payments:all", at_s, f"{tx}:{login}:{shannon}"),
        ("ZADD", f"eth:payments:{login}", at_s, f"{tx}:{shannon}"),
        ("ZREM", "eth:payments:pending", f"{login}:{shannon}"),
        ("HINCRBY", "eth:finances", "pending", -shannon),
        ("HINCRBY", "eth:finances", "paid", shannon),
        ("DEL", "eth:payments:lock"),
    ]


async def test_what_the_manual_procedure_booked_is_recognised_and_nobody_waits(world: World, chain: Anvil) -> None:
    await halted_by_hand(world, chain)
    assert await world.records(s.HALTED) == []
    assert len(await world.records(s.PAID)) == 3
    found = await audit.audit(world.pool.books)
    await audit.repair(world.pool.books, found)
    assert await books_are_right(world)
    assert await got_once(world, *LOGINS)


async def test_a_row_that_is_gone_without_a_trace_stops_its_own_miner_only(world: World, chain: Anvil) -> None:
    await chain.automine(on=False)
    async with world.working():
        async with waiting_run(world):
            (sent,) = await world.until(s.SENT)
            login, shannon = sent.data.login, AMOUNT + LOGINS.index(sent.data.login)
            world.mine.do("ZREM", "eth:payments:pending", f"{login}:{shannon}")
            world.mine.do("DEL", "eth:payments:lock")
            await chain.automine(on=True)
            await chain.mine()
        assert len(await world.records(s.PAID)) == 2
        (halted,) = await world.records(s.HALTED)
        world.mine.earn(login, AMOUNT, height=3)
        outcome = await world.run()
        assert outcome.paid == 0
        assert world.said(halted.id)
        await resolve(world)
        assert await world.records(s.HALTED) == []
        assert (await world.run()).paid == 1
    found = await audit.audit(world.pool.books)
    await audit.repair(world.pool.books, found)
    assert await books_are_right(world)


@pytest.mark.parametrize("to", [s.PAID, s.CREDITED, s.SKIPPED])
async def test_an_override_of_a_halted_payment_leaves_the_pool_able_to_run(world: World, chain: Anvil, to: str) -> None:
    await chain.automine(on=False)
    async with world.working():
        async with waiting_run(world):
            (sent,) = await world.until(s.SENT)
            login = sent.data.login
            world.mine.do("ZREM", "eth:payments:pending", f"{login}:{AMOUNT + LOGINS.index(login)}")
            await chain.automine(on=True)
            await chain.mine()
        (halted,) = await world.records(s.HALTED)
        store = world.payflow.store
        fact = Override(to, "olu", "closed by hand", "eve")
        await take_in(store.records, world.payflow.metrics, halted.id, fact, "olu")
        others = [one for one in LOGINS if one != login]
        for other in others:
            world.mine.earn(other, AMOUNT, height=4)
        outcome = await world.run()
        assert (outcome.refused, outcome.paid) == ("", 2)
        assert world.mine.lock() is None


# ── one chain ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_lock_that_names_a_payment_which_is_only_due_is_another_payers(world: World) -> None:
    now = await world.payflow.store.records.now()
    await world.payflow.store.pauses.pause("machine:pool", "olu", "counting", now)
    async with world.working(), waiting_run(world):
        (due,) = await world.until(s.DUE)
        row = f"{due.data.login}:{AMOUNT + LOGINS.index(due.data.login)}"
        world.mine.do("SETNX", "eth:payments:lock", row)
        assert not await world.pools.own.names("eth", row)
        world.stop.set()


async def test_a_node_of_another_chain_than_the_lanes_is_refused_at_once(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with anvil(chain_id=61) as other:
        with pytest.raises(Exception, match="is on the chain 61"):
            async with open_world(server, redis, chain, tmp_path, daemon=other.url):
                raise AssertionError("it opened")


async def test_a_node_on_a_fork_with_the_same_number_is_refused_at_once(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with anvil(chain_id=chain.chain_id) as fork:
        for one, wei in ((chain, 5), (fork, 6)):
            await one.send(LANE, BOB, wei * GWEI)
        with pytest.raises(Exception, match="two forks of the chain"):
            async with open_world(server, redis, chain, tmp_path, daemon=fork.url):
                raise AssertionError("it opened")


# ── a hand beside the lane ───────────────────────────────────────────────────────────────────────────────────────────


async def test_what_an_operator_pays_by_hand_while_the_lane_waits_is_not_sent_as_well(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    lane = {"rebroadcast_s": 1}
    async with open_world(server, redis, chain, tmp_path, lane=lane, concurrentTx=2) as world, world.working():
        for login in (ANN, BOB):
            world.mine.earn(login, AMOUNT)
        await chain.automine(on=False)
        run = asyncio.create_task(world.run(once=True))
        await world.until(s.SENT, 2)
        (second,) = [one for one in await world.records(s.SENT) if one.data.nonce == 1]
        (first,) = [one for one in await world.records(s.SENT) if one.data.nonce == 0]
        # The node has lost what it took, as one does that hung; so the hand's transaction gets the first nonce.
        await chain.rpc("anvil_dropAllTransactions")
        by_hand = await world.old_payer_sends(second.data.login, AMOUNT, nonce="0x0", gasPrice=hex(1000 * GWEI))
        await chain.mine()
        await world.mined(by_hand)
        await chain.mine(3)
        store, lanes = world.payflow.store.records, world.pools.lanes.books

        async def stopped() -> bool:
            await store.poke(lanes.transaction_id("pool", 0), lanes.lane_id("pool"))
            found = await lanes.lane("pool")
            return found is not None and bool(found.data.suspects)

        await wait_until(stopped, "the lane stops")
        await wait_until(run.done, "the run ends")
        assert "The lane pool stopped" in run.result().waits
        under_way = await lanes.transaction("pool", 1)
        assert under_way is not None
        fact = CancelAsked("olu", "paid by hand")
        await take_in(store, world.payflow.metrics, under_way.id, fact, "olu")

        async def given_back() -> bool:
            await chain.mine()
            await store.poke(under_way.id, second.id)
            return bool(await world.records(s.CREDITED))

        await wait_until(given_back, "what is proven not to come is given back")
        record = await lanes.lane("pool")
        assert record is not None
        await take_in(store, world.payflow.metrics, record.id, Adopted("olu", "looked at", ()), "olu")
        await chain.automine(on=True)
        await chain.mine()
        outcome = await world.run(once=True)
        assert by_hand in outcome.short, "it is on his balance, and the chain shows that he has it"
        desk = world.desk()
        await desk.rebook(*await desk.forgotten())
        assert (await world.run(once=True)).fault == ""
        assert [await world.got(one.data.login) for one in (first, second)] == [AMOUNT, AMOUNT]
        assert await books_are_right(world)
        assert world.mine.history(second.data.login) == [f"{by_hand}:{AMOUNT}"]
