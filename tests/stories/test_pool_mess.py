"""What the old module, a killed process or a helpful hand left in the middle: evidence first, then the books."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from machines.core.chain import TxHash
from machines.core.errors import BadInput
from machines.pool import lifecycle as s
from machines.pool.evidence import ChainOutcome
from payflow.cli.terminal import Code
from payflow.desk.pool import audit, resolving
from payflow.desk.pool.runs import Run
from tests.chain import GWEI, LANE, OTHER, Anvil, anvil
from tests.servers import Deployment, Farm, Server
from tests.stories.pool_world import World, open_world, pool_redis
from tests.waiting import wait_until

ANN = "0xb85150eb365e7df0941f0cf08235f987ba91506a"
BOB = "0x5a0b54d5dc17e0aadc383d2db43b0a0d3e029c4c"
AMOUNT = 600_000_000
HOUR_S = 3600
NOBODY = TxHash("0x" + "7" * 64)


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines each transaction at once, and has been there for a day."""
    # What is two blocks old is final; its clock may be put forward without overtaking the pool's.
    options = ("--timestamp", str(int(time.time()) - 2 * HOUR_S))
    async with anvil(slots_in_an_epoch=1, options=options) as chain:
        await chain.mine(3)
        yield chain


@pytest.fixture
def redis(own: Farm) -> Server:
    """The pool's Redis."""
    return pool_redis(own)


@pytest.fixture
async def world(server: Deployment, redis: Server, chain: Anvil, tmp_path: Path) -> AsyncIterator[World]:
    """A pool whose miner Ann has earned something."""
    async with open_world(server, redis, chain, tmp_path) as world:
        world.mine.earn(ANN, AMOUNT)
        yield world


async def chain_time(chain: Anvil) -> int:
    """The second of the newest block."""
    block = await chain.rpc("eth_getBlockByNumber", "latest", False)  # noqa: FBT003  (without its transactions)
    return int(block["timestamp"], 16)


async def something_else_uses_up_the_nonce(world: World) -> None:
    """Let the address send something else, for good."""
    await world.mined(await world.chain.send(LANE, OTHER.address, 5))
    await world.chain.mine(3)


async def later(chain: Anvil, seconds: int = HOUR_S) -> None:
    """Let time pass on the chain."""
    await chain.rpc("evm_increaseTime", hex(seconds))
    await chain.mine()


async def left_by_the_old_module(world: World, *, sent: bool, mined: bool = True) -> str:
    """Debit, and send or not; then the old module dies."""
    world.mine.debit(ANN, AMOUNT, await chain_time(world.chain))
    if not sent:
        return ""
    tx = await world.old_payer_sends(ANN, AMOUNT)
    return await world.mined(tx) if mined else tx


async def resolve(world: World, *, dry_run: bool = False, fill: bool = False) -> Code:
    """Resolve as `payflow pool resolve` does."""
    desk, say = world.desk(), world.lines.append
    found = await resolving.judged(desk, say, world.stop, fill=fill and not dry_run)
    done = await resolving.resolve_aloud(desk, found, say, "the old module died", dry_run=dry_run)
    return Code.OK if done else Code.REFUSED


# ── the field case: a time-out, an operator who resolves, and a miner who is paid twice ──────────────────────────────


async def test_a_payment_that_timed_out_and_was_mined_is_booked_and_not_paid_again(world: World) -> None:
    tx = await left_by_the_old_module(world, sent=True)

    before = world.mine.everything()
    assert await resolve(world, dry_run=True) == Code.OK
    assert world.mine.everything() == before

    assert await resolve(world) == Code.OK
    assert world.mine.sums(ANN) == (0, 0, AMOUNT)
    assert world.mine.history() == [f"{tx}:{ANN}:{AMOUNT}"]
    assert (world.mine.pending(), world.mine.lock()) == ([], None)
    async with world.working():
        assert (await world.run()).paid == 0
    assert await world.got(ANN) == AMOUNT


async def test_resolving_twice_changes_nothing_twice(world: World) -> None:
    await left_by_the_old_module(world, sent=True)
    await resolve(world)
    after = world.mine.everything()
    world.lines.clear()
    assert await resolve(world) == Code.OK
    assert world.mine.everything() == after
    assert world.lines == [
        "No pending payments to resolve",
        "Payouts unlocked",
        "Now you have to restart payouts module with RESOLVE_PAYOUT=0 for normal run",
    ]


async def test_what_was_never_sent_is_credited_once_its_nonce_is_used_up(world: World) -> None:
    await left_by_the_old_module(world, sent=False)
    await later(world.chain)

    assert await resolve(world) == Code.REFUSED
    assert world.said("so the old transaction may still come")
    assert world.mine.sums(ANN) == (0, AMOUNT, 0)

    world.lines.clear()
    async with world.working(), mining(world.chain):
        assert await resolve(world, fill=True) == Code.OK
    assert world.said("Will credit back following balances:\nAddress: " + ANN)
    assert f"Credited {AMOUNT} Shannon back to {ANN}" in world.lines
    assert world.lines[-2:] == [
        "Payouts unlocked",
        "Now you have to restart payouts module with RESOLVE_PAYOUT=0 for normal run",
    ]
    assert (world.mine.sums(ANN), world.mine.pending(), world.mine.lock()) == ((AMOUNT, 0, 0), [], None)


async def test_what_waits_in_the_mempool_is_left(world: World, chain: Anvil) -> None:
    await chain.automine(on=False)
    tx = await left_by_the_old_module(world, sent=True, mined=False)
    assert await resolve(world) == Code.REFUSED
    assert world.said("wait in the mempool")
    assert world.mine.sums(ANN) == (0, AMOUNT, 0)
    await chain.mine()
    assert await resolve(world) == Code.OK
    assert world.mine.history(ANN) == [f"{tx}:{AMOUNT}"]


async def test_what_is_not_deep_enough_is_left(server: Deployment, redis: Server, chain: Anvil, tmp_path: Path) -> None:
    async with open_world(server, redis, chain, tmp_path, lane={"depth": 5}) as world:
        world.mine.earn(ANN, AMOUNT)
        await left_by_the_old_module(world, sent=True)
        assert await resolve(world) == Code.REFUSED
        assert world.said("not deep enough")
        await chain.mine(5)
        assert await resolve(world) == Code.OK


async def test_a_payment_that_the_address_threw_back_is_credited(world: World, chain: Anvil) -> None:
    await chain.set_code(ANN, "0x60006000fd")
    tx = await left_by_the_old_module(world, sent=True)
    assert await resolve(world) == Code.REFUSED  # what failed may yet succeed in another block
    await chain.mine(3)
    assert await resolve(world) == Code.OK
    assert world.said(f"{tx} failed in block")
    assert world.mine.sums(ANN) == (AMOUNT, 0, 0)


async def test_the_same_sum_paid_before_does_not_count_for_the_pending_one(world: World) -> None:
    at = await chain_time(world.chain)
    world.mine.debit(ANN, AMOUNT, at)
    tx = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
    world.mine.pay(ANN, AMOUNT, at, tx)
    world.mine.earn(ANN, AMOUNT, height=2)
    world.mine.debit(ANN, AMOUNT, at + 1)
    (judged,) = await world.desk().pending()
    assert judged.verdict.outcome is ChainOutcome.UNKNOWN


async def test_a_recorded_nonce_and_hash_are_looked_at_first(world: World, chain: Anvil) -> None:
    tx = await left_by_the_old_module(world, sent=True)
    row = f"{ANN}:{AMOUNT}"
    world.mine.do("HSET", "eth:payments:pendingnonce", row, 0)
    world.mine.do("HSET", "eth:payments:pendingtx", row, tx)
    assert await resolve(world) == Code.OK
    assert world.mine.history(ANN) == [f"{tx}:{AMOUNT}"]
    assert not {"eth:payments:pendingtx", "eth:payments:pendingnonce"} & set(world.mine.everything())


async def test_a_nonce_that_went_to_something_else_proves_that_it_was_not_paid(world: World, chain: Anvil) -> None:
    await left_by_the_old_module(world, sent=False)
    world.mine.do("HSET", "eth:payments:pendingnonce", f"{ANN}:{AMOUNT}", 0)
    await something_else_uses_up_the_nonce(world)
    assert await resolve(world) == Code.OK
    assert world.mine.sums(ANN) == (AMOUNT, 0, 0)


async def test_a_lock_without_a_row_is_taken_away_by_resolving(world: World) -> None:
    world.mine.do("SETNX", "eth:payments:lock", f"{ANN}:{AMOUNT}")
    assert await resolve(world) == Code.OK
    assert world.mine.lock() is None


# ── adopt ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_proven_unpaid_is_adopted_and_paid_once(world: World, chain: Anvil) -> None:
    await left_by_the_old_module(world, sent=False)
    await later(chain)
    await something_else_uses_up_the_nonce(world)
    (judged,) = await world.desk().pending()
    assert judged.verdict.outcome is ChainOutcome.UNPAID
    assert await world.desk().adopt(judged)
    assert await world.desk().adopt(judged)  # again, as after a crash
    async with world.working():
        await world.until(s.PAID)
        assert (await world.run()).refused == ""
    assert (world.mine.sums(ANN), world.mine.pending(), world.mine.lock()) == ((0, 0, AMOUNT), [], None)
    assert await world.got(ANN) == AMOUNT


async def test_what_is_proven_paid_is_booked_when_adopted(world: World) -> None:
    tx = await left_by_the_old_module(world, sent=True)
    (judged,) = await world.desk().pending()
    assert await world.desk().adopt(judged)
    assert world.mine.history(ANN) == [f"{tx}:{AMOUNT}"]


# ── single commands, each with --dry-run first ───────────────────────────────────────────────────────────────────────


async def test_mark_paid_wants_the_right_transaction(world: World, chain: Anvil) -> None:
    await left_by_the_old_module(world, sent=False)
    desk = world.desk()
    too_little = await world.mined(await chain.send(LANE, ANN, AMOUNT * GWEI - 1))
    by_another = await world.mined(await chain.send(OTHER, ANN, AMOUNT * GWEI))
    to_another = await world.mined(await chain.send(LANE, BOB, AMOUNT * GWEI))
    before = world.mine.everything()
    for tx, why in (
        (NOBODY, "no node knows"),
        (too_little, "carried"),
        (by_another, "was sent by"),
        (to_another, "it went to"),
    ):
        with pytest.raises(BadInput, match=why):
            await desk.mark_paid(ANN, AMOUNT, tx, dry_run=False)
    right = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
    await desk.mark_paid(ANN, AMOUNT, right, dry_run=True)
    assert world.mine.everything() == before

    await desk.mark_paid(ANN, AMOUNT, right, dry_run=False)
    assert world.mine.history() == [f"{right}:{ANN}:{AMOUNT}"]
    assert (world.mine.sums(ANN), world.mine.sums("finances")) == ((0, 0, AMOUNT), (0, 0, AMOUNT))
    assert (world.mine.pending(), world.mine.lock()) == ([], None)
    after = world.mine.everything()
    with pytest.raises(BadInput):
        await desk.mark_paid(ANN, AMOUNT, right, dry_run=False)
    assert world.mine.everything() == after


async def test_credit_wants_proof(world: World, chain: Anvil) -> None:
    await left_by_the_old_module(world, sent=False)
    with pytest.raises(BadInput, match="not proven that this was not paid"):
        await world.desk().credit(ANN, AMOUNT, dry_run=False)
    await later(chain)
    await something_else_uses_up_the_nonce(world)
    await world.desk().credit(ANN, AMOUNT, dry_run=True)
    assert world.mine.sums(ANN) == (0, AMOUNT, 0)
    await world.desk().credit(ANN, AMOUNT, dry_run=False)
    assert world.mine.sums(ANN) == (AMOUNT, 0, 0)


async def test_unlock_leaves_the_lock_while_something_is_pending(world: World) -> None:
    await left_by_the_old_module(world, sent=False)
    with pytest.raises(BadInput, match="1 payments are pending"):
        await world.desk().unlock(dry_run=False)
    world.mine.do("ZREM", "eth:payments:pending", f"{ANN}:{AMOUNT}")
    await world.desk().unlock(dry_run=True)
    assert world.mine.lock()
    await world.desk().unlock(dry_run=False)
    assert world.mine.lock() is None


async def test_a_missing_entry_is_added_with_the_time_of_its_block(world: World, chain: Anvil) -> None:
    tx = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
    await world.desk().add_missing(ANN, AMOUNT, tx, dry_run=True)
    assert world.mine.history() == []
    await world.desk().add_missing(ANN, AMOUNT, tx, dry_run=False)
    assert "already" in await world.desk().add_missing(ANN, AMOUNT, tx, dry_run=False)
    books = world.mine.everything()
    at = await chain_time(chain)
    assert books["eth:payments:all"] == {f"{tx}:{ANN}:{AMOUNT}": at}
    assert books[f"eth:payments:{ANN}"] == {f"{tx}:{AMOUNT}": at}


async def test_the_drift_of_the_old_manual_procedure_is_found_and_put_right(world: World, chain: Anvil) -> None:
    at = await chain_time(chain)
    world.mine.debit(ANN, AMOUNT, at)
    tx = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
    # The document, line by line.
    for command in (
        ("ZADD", "eth:payments:all", at, f"{tx}:{ANN}:{AMOUNT}"),
        ("ZADD", f"eth:payments:{ANN}", at, f"{tx}:{AMOUNT}"),
        ("ZREM", "eth:payments:pending", f"{ANN}:{AMOUNT}"),
        ("HINCRBY", "eth:finances", "pending", -AMOUNT),
        ("HINCRBY", "eth:finances", "paid", AMOUNT),
        ("DEL", "eth:payments:lock"),
    ):
        world.mine.do(*command)
    books = world.pool.books
    found = await audit.audit(books)
    assert [(one.key, one.field, one.added) for one in found] == [
        (f"eth:miners:{ANN}", "pending", -AMOUNT),
        (f"eth:miners:{ANN}", "paid", AMOUNT),
    ]
    assert world.mine.sums(ANN) == (0, AMOUNT, 0)
    await audit.repair(books, found)
    assert world.mine.sums(ANN) == (0, 0, AMOUNT)
    assert await audit.audit(books) == []
    with pytest.raises(BadInput, match="the books changed meanwhile"):
        await audit.repair(books, found)


async def test_balances_that_do_not_add_up_are_shown_and_left_to_a_person(world: World) -> None:
    world.mine.do("HINCRBY", f"eth:miners:{ANN}", "balance", 5)
    books = world.pool.books
    (found,) = await audit.audit(books)
    assert (found.key, found.field, found.added, found.repairable) == ("eth:finances", "balance", 5, False)
    await audit.repair(books, [found])
    assert world.mine.sums("finances") == (AMOUNT, 0, 0)


async def test_a_booked_payment_that_never_confirmed_is_repeated_only_when_it_is_dead(
    world: World, chain: Anvil
) -> None:
    at = await chain_time(chain)
    world.mine.debit(ANN, AMOUNT, at)
    world.mine.pay(ANN, AMOUNT, at, NOBODY)
    with pytest.raises(BadInput, match="not proven that the old one is dead"):
        await world.desk().repeat(ANN, (AMOUNT, NOBODY), dry_run=False)
    await later(chain)
    await something_else_uses_up_the_nonce(world)
    await world.desk().repeat(ANN, (AMOUNT, NOBODY), dry_run=True)
    assert world.mine.history(ANN) == [f"{NOBODY}:{AMOUNT}"]
    await world.desk().repeat(ANN, (AMOUNT, NOBODY), dry_run=False)
    async with world.working():
        (record,) = await world.until(s.PAID)
    assert world.mine.history(ANN) == [f"{record.data.hash}:{AMOUNT}"]
    assert world.mine.history() == [f"{record.data.hash}:{ANN}:{AMOUNT}"]
    assert world.mine.sums(ANN) == (0, 0, AMOUNT)
    assert await world.got(ANN) == AMOUNT


async def test_a_booked_payment_that_did_confirm_is_not_repeated(world: World, chain: Anvil) -> None:
    at = await chain_time(chain)
    world.mine.debit(ANN, AMOUNT, at)
    tx = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
    world.mine.pay(ANN, AMOUNT, at, tx)
    with pytest.raises(BadInput, match="paid it in block"):
        await world.desk().repeat(ANN, (AMOUNT, tx), dry_run=False)


# ── our own payments in a mess ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_row_taken_away_by_hand_halts_and_mark_paid_ends_it(world: World, chain: Anvil) -> None:
    await chain.automine(on=False)
    async with world.working(), waiting_run(world):
        await world.until(s.SENT)
        world.mine.do("ZREM", "eth:payments:pending", f"{ANN}:{AMOUNT}")
        await chain.mine()
        (record,) = await world.until(s.HALTED)
    assert "somebody resolved it by hand" in record.data.reason
    assert record.data.evidence is not None
    tx = TxHash(record.data.evidence.reference)
    await world.desk().mark_paid(ANN, AMOUNT, tx, dry_run=False)
    (paid,) = await world.records(s.PAID)
    assert paid.data.hash == tx
    found = await audit.audit(world.pool.books)
    await audit.repair(world.pool.books, found)
    assert (world.mine.sums(ANN), world.mine.sums("finances")) == ((0, 0, AMOUNT), (0, 0, AMOUNT))


async def test_nobody_marks_as_paid_what_payflow_itself_still_pays(world: World, chain: Anvil) -> None:
    by_hand = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
    await world.desk().add_missing(ANN, AMOUNT, by_hand, dry_run=False)
    await chain.automine(on=False)
    async with world.working(), waiting_run(world):
        await world.until(s.SENT)
        with pytest.raises(BadInput, match="Payflow itself pays"):
            await world.desk().mark_paid(ANN, AMOUNT, by_hand, dry_run=False)
        await chain.mine()
        await world.until(s.PAID)


async def test_going_back_finishes_what_is_pending_and_begins_nothing(world: World, chain: Anvil) -> None:
    await chain.automine(on=False)
    async with world.working():
        world.stop.set()
        async with waiting_run(world):
            pass
        assert await world.records(s.DUE) == []
        world.stop.clear()
        async with waiting_run(world):
            await world.until(s.SENT)
            world.stop.set()
        world.stop.clear()
        world.mine.earn(BOB, AMOUNT)
        await chain.automine(on=True)
        await chain.mine()
        outcome = await Run(world.pools, world.pool, world.lines.append, world.stop, drain=True).whole()
    assert (outcome.paid, outcome.must_pay) == (1, 0)
    assert (world.mine.pending(), world.mine.lock(), world.mine.sums(BOB)) == ([], None, (AMOUNT, 0, 0))


async def test_resolving_leaves_what_payflow_is_paying(world: World, chain: Anvil) -> None:
    await chain.automine(on=False)
    async with world.working(), waiting_run(world):
        await world.until(s.SENT)
        assert await resolve(world) == Code.REFUSED
        assert world.said("Payflow is paying it")
        await chain.mine()
        await world.until(s.PAID)
    assert await world.got(ANN) == AMOUNT


@asynccontextmanager
async def mining(chain: Anvil) -> AsyncIterator[None]:
    """Let the chain grow by itself."""
    await chain.interval(1)
    yield
    await chain.interval(0)


@asynccontextmanager
async def waiting_run(world: World) -> AsyncIterator[None]:
    """Let a run be under way; it is waited for when the block ends."""
    run = asyncio.create_task(world.run())
    yield
    await wait_until(run.done, "the run ends")
    run.result()
