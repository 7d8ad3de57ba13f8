"""A run over a pool's miners: who is paid, what the pool's books hold afterwards, and what stops it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.open_ethereum_pool.books import PaymentLine, ScriptAnswer
from machines.core.facts import Override
from machines.core.ids import RecordId
from machines.pool import lifecycle as s
from machines.pool.data import shannon_of
from machines.transaction.data import TransactionRecord
from payflow.app.pools import rooms_of
from payflow.desk.receipts.checking import check
from payflow.desk.receipts.receipts import Receipts
from payflow.engine.step import take_in
from tests.adapters.open_ethereum_pool.mine import Mine, payouts_json, write_config
from tests.chain import GWEI, LANE, OTHER, Anvil, RpcError, anvil
from tests.chains.batches import existing, made_contract
from tests.servers import Deployment, Farm, Server
from tests.stories.pool_world import World, open_world, pool_redis
from tests.verifier import verify
from tests.waiting import wait_until

ANN = "0xb85150eb365e7df0941f0cf08235f987ba91506a"
BOB = "0x5a0b54d5dc17e0aadc383d2db43b0a0d3e029c4c"
CAT = "0x00000000219ab540356cbb839cbe05303d7705fa"
OURS = "eth:payflow:applied"
BEFORE = "0x" + "3" * 64
"""What somebody was paid with long ago."""


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
    """A pool that pays from 0.5 ETH, one payment after the other."""
    async with open_world(server, redis, chain, tmp_path) as world:
        yield world


async def test_a_run_leaves_exactly_the_keys_that_the_pool_would_have_written(world: World) -> None:
    for login, shannon in ((ANN, 600_000_000), (BOB, 2_000_000_001), (CAT, 500_000_000)):
        world.mine.earn(login, shannon)
    async with world.working():
        outcome = await world.run()
    assert (outcome.paid, outcome.must_pay, outcome.total) == (2, 2, 2_600_000_001)
    ours = world.mine.everything()
    paid = {one.data.login: one.data for one in await world.records(s.PAID)}
    await _receipts_hold(world)

    # What the old module would have written for the same payments, at the same seconds.
    world.mine.do("FLUSHALL")
    for login, shannon in ((ANN, 600_000_000), (BOB, 2_000_000_001), (CAT, 500_000_000)):
        world.mine.earn(login, shannon)
    for login, shannon in ((ANN, 600_000_000), (BOB, 2_000_000_001)):
        world.mine.debit(login, shannon, paid[login].debited_at)
        world.mine.pay(login, shannon, paid[login].paid_at, paid[login].hash)
    assert {key: value for key, value in ours.items() if key != OURS} == world.mine.everything()
    assert len(ours[OURS]) == 2
    assert (await world.got(ANN), await world.got(BOB), await world.got(CAT)) == (600_000_000, 2_000_000_001, 0)


async def _receipts_hold(world: World) -> None:
    payflow = world.payflow
    async with AsyncExitStack() as stack:
        rooms = rooms_of(payflow.settings, payflow.store, payflow.metrics, stack, [Path(world.pool.config.place)])
        for record in await world.records(s.PAID):
            file = await Receipts(payflow.store, pools=rooms).file(record.id, staff=True)
            body = verify(file)
            assert check(file).body == body
            pays = body["chain"]["pays"]
            assert (body["says"], pays["to"], pays["units"]) == (
                "PAID",
                record.data.to,
                f"{shannon_of(record)}{'0' * 9}",
            )


async def test_operators_read_the_lines_that_they_know(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    async with world.working():
        await world.run()
        await world.run()
    tx = world.mine.history()[0].partition(":")[0]
    assert world.lines == [
        f"Locked payment for {ANN}, 600000000 Shannon",
        f"Waiting for tx confirmation: {tx}",
        f"Paid 600000000 Shannon to {ANN}, TxHash: {tx}",
        f"Payout tx successful for {ANN}: {tx}",
        "Paid total 600000000 Shannon to 1 of 1 payees",
        "No payees that have reached payout threshold",
    ]


async def test_the_threshold_must_be_exceeded_unless_the_document_is_followed(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with open_world(server, redis, chain, tmp_path, payflow={"threshold": ">="}) as world, world.working():
        world.mine.earn(ANN, 500_000_000)
        assert (await world.run()).paid == 1


async def test_restored_books_are_put_right_and_nobody_is_paid_again(world: World, redis: Server) -> None:
    world.mine.earn(ANN, 600_000_000)
    world.mine.earn(BOB, 700_000_000)
    before = world.mine.everything()
    async with world.working():
        await world.run()
    after = world.mine.everything()

    world.mine.do("FLUSHALL")
    for login, shannon in ((ANN, 600_000_000), (BOB, 700_000_000)):
        world.mine.earn(login, shannon)
    assert world.mine.everything() == before
    # Other payments of these books are known, so that they are the same pool's.
    world.mine.do("ZADD", "eth:payments:all", 1_462_920_526, f"{BEFORE}:{CAT}:5")
    world.lines.clear()
    async with world.working():
        outcome = await world.run()
    assert outcome.paid == 0
    world.mine.do("ZREM", "eth:payments:all", f"{BEFORE}:{CAT}:5")
    assert world.mine.everything() == after
    assert (await world.got(ANN), await world.got(BOB)) == (600_000_000, 700_000_000)
    assert sum("The pool's Redis had forgotten a payment" in line for line in world.lines) == 2


async def test_runs_and_lanes_of_a_pool_are_measured(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    async with world.working():
        await world.run()

    def read(name: str, **labels: str) -> float | None:
        return world.payflow.metrics.registry.get_sample_value(name, labels)

    assert read("payflow_pool_due", coin="eth") == 1
    assert read("payflow_pool_pending", coin="eth") == 0
    assert read("payflow_pool_paid_shannon_total", coin="eth") == 600_000_000
    assert read("payflow_pool_waiting", coin="eth") == 0
    assert read("payflow_pool_last_run_timestamp_seconds", coin="eth")
    assert read("payflow_lane_next_nonce", lane="pool") == 0
    assert read("payflow_lane_fee_paid_wei_total", lane="pool")

    world.mine.do("SETNX", "eth:payments:lock", f"{BOB}:5")
    await world.run()
    assert read("payflow_pool_waiting", coin="eth") == 1


async def test_a_backup_from_the_middle_of_a_payment_is_put_right_by_the_next_run(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    async with world.working():
        await world.run()
    after = world.mine.everything()
    (paid,) = await world.records(s.PAID)

    world.mine.do("FLUSHALL")
    world.mine.earn(ANN, 600_000_000)
    world.mine.debit(ANN, 600_000_000, paid.data.debited_at)
    world.mine.do("HSET", OURS, paid.id, "debited")
    world.lines.clear()
    async with world.working():
        outcome = await world.run()
    assert (outcome.refused, outcome.paid) == ("", 0)
    assert world.mine.everything() == after
    assert await world.got(ANN) == 600_000_000


async def test_a_block_that_goes_away_after_it_was_booked_is_told_and_paid_again_by_the_same_bytes(
    world: World, chain: Anvil
) -> None:
    world.mine.earn(ANN, 600_000_000)
    records, lanes = world.payflow.store.records, world.pools.lanes.books
    async with world.working():
        await world.run()
        (paid,) = await world.records(s.PAID)
        raw = (await transaction_of(world)).data.newest.raw
        await chain.automine(on=False)
        await chain.reorg(1)

        async def noticed() -> bool:
            await records.poke((await transaction_of(world)).id, paid.id)
            return bool((await records.read(paid.id)).record.data.taken_back)

        await wait_until(noticed, "the payment knows that its block is gone")
        assert await world.got(ANN) == 0
        whys = [event.why for event in await records.history(paid.id)]
        assert any("the chain took back" in why for why in whys)
        assert world.mine.sums(ANN) == (0, 0, 600_000_000), "the books stay: the lane sends the same bytes again"
        await chain.automine(on=True)
        with suppress(RpcError):  # the lane may have sent them already
            await chain.rpc("eth_sendRawTransaction", raw)
        await chain.mine()

        async def proven() -> bool:
            await records.poke((await transaction_of(world)).id, paid.id)
            return not (await records.read(paid.id)).record.data.taken_back

        await wait_until(proven, "it is proven once more")
    assert await world.got(ANN) == 600_000_000
    assert await lanes.unsettled("pool") == []
    assert (await world.records(s.PAID))[0].data.hash == paid.data.hash


async def transaction_of(world: World) -> TransactionRecord:
    """The lane's first transaction."""
    found = await world.pools.lanes.books.transaction("pool", 0)
    assert found is not None
    return found


async def test_a_row_of_another_payer_stops_the_run_and_is_listed(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    world.mine.earn(BOB, 700_000_000)
    world.mine.debit(BOB, 700_000_000, 1_508_374_334)
    before = world.mine.everything()
    async with world.working():
        outcome = await world.run()
    assert outcome.refused.startswith("Previous payout failed, you have to resolve it. List of failed payments:")
    assert f"Address: {BOB}, Amount: 700000000 Shannon, 2017-10-19" in outcome.refused
    assert world.mine.everything() == before


async def test_a_lock_of_another_payer_stops_the_run(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    world.mine.do("SETNX", "eth:payments:lock", f"{BOB}:5")
    async with world.working():
        outcome = await world.run()
    assert outcome.refused.startswith("Unable to start payouts because they are locked")
    assert world.mine.sums(ANN) == (600_000_000, 0, 0)


async def test_too_little_money_waits_and_pays_whom_it_can(world: World, chain: Anvil) -> None:
    world.mine.earn(ANN, 600_000_000)
    world.mine.earn(BOB, 5_000_000_000)
    await chain.set_balance(LANE.address, 5_000_000_000 * GWEI)
    async with world.working():
        outcome = await world.run()
        assert (outcome.paid, outcome.must_pay) == (1, 2)
        assert world.said("Not enough pool balance for payment, need")
        assert world.mine.sums(BOB) == (5_000_000_000, 0, 0)
        await chain.set_balance(LANE.address, 6_000_000_000 * GWEI)
        assert (await world.run()).paid == 1


async def test_nobody_is_debited_whom_the_lane_could_not_pay_at_the_price_that_it_offers(
    world: World, chain: Anvil
) -> None:
    world.mine.earn(ANN, 600_000_000)
    market = await world.pool.lane.chain.market(50)
    assert market.base_fee_wei
    tight = 600_000_000 * GWEI + 21_000 * (market.base_fee_wei + market.tip_wei)
    await chain.set_balance(LANE.address, tight)
    async with world.working():
        outcome = await world.run()
        assert (outcome.paid, world.mine.sums(ANN), world.mine.lock()) == (0, (600_000_000, 0, 0), None)
        assert world.said("Not enough pool balance for payment")
        await chain.set_balance(LANE.address, tight + 21_000 * (market.base_fee_wei + market.tip_wei + GWEI))
        assert (await world.run()).paid == 1


async def test_too_few_peers_wait_for_the_next_run(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with open_world(server, redis, chain, tmp_path, requirePeers=25) as world, world.working():
        world.mine.earn(ANN, 600_000_000)
        outcome = await world.run()
        assert outcome.paid == 0
        assert outcome.waits.startswith("Unable to start payouts, ")
        assert world.mine.sums(ANN) == (600_000_000, 0, 0)


async def test_an_address_that_throws_gets_its_money_credited_and_is_not_tried_again(
    world: World, chain: Anvil
) -> None:
    await chain.set_code(CAT, "0x60006000fd")
    world.mine.earn(CAT, 600_000_000)
    async with world.working():
        outcome = await world.run()
        assert (outcome.paid, world.mine.sums(CAT), world.mine.lock()) == (0, (600_000_000, 0, 0), None)
        assert world.said(f"Credited 600000000 Shannon back to {CAT}")
        world.lines.clear()
        await world.run()
        assert world.said(f"Skipped {CAT}: the address threw its last payment back")
        await chain.set_code(CAT, "0x")
        assert "600000000 Shannon are paid" in await world.desk().repeat(CAT, None, dry_run=False)
        await world.until(s.PAID)
    assert world.mine.sums(CAT) == (0, 0, 600_000_000)


async def test_of_a_hundred_miners_in_a_batch_the_one_who_throws_is_credited_back(
    server: Deployment, redis: Server, tmp_path: Path
) -> None:
    async with anvil() as chain:
        contract = await made_contract(chain)
        logins = [address.lower() for address in await existing(chain, 100)]
        thrower = logins[37]
        await chain.set_code(thrower, "0x60006000fd")
        batches = {"pay_many": contract.address, "batch_wait_s": 2, "batch_size": 100}
        async with open_world(server, redis, chain, tmp_path, lane=batches, concurrentTx=100) as world:
            for login in logins:
                world.mine.earn(login, 600_000_000)
            async with world.working():
                outcome = await world.run()
            assert (outcome.must_pay, outcome.paid) == (100, 99)
            assert (world.mine.sums(thrower), await world.got(thrower)) == ((600_000_000, 0, 0), 0)
            for login in logins:
                if login != thrower:
                    assert world.mine.sums(login) == (0, 0, 600_000_000)
                    assert await world.got(login) == 600_000_000
            assert (world.mine.pending(), world.mine.lock(), len(world.mine.history())) == ([], None, 99)
            # Into how many transactions they were split depends on how fast they were queued.
            proofs = [one.data.evidence for one in await world.records(s.PAID) if one.data.evidence]
            places = {(one.reference, dict(one.details).get("place", "alone")) for one in proofs}
            assert (len(proofs), len(places)) == (99, 99), "each has evidence of its own"
            assert len({one.reference for one in proofs}) < 99, "some were paid together"
            (back,) = await world.records(s.CREDITED)
            assert back.data.refused
            assert back.data.evidence is not None


async def test_what_cannot_be_paid_is_said_and_the_others_are_paid(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    world.mine.do("HSET", "eth:miners:worker1", "balance", "900000000")
    world.mine.do("HSET", f"eth:miners:{BOB}", "balance", "lots")
    world.mine.do("HSET", f"eth:miners:{CAT}", "balance", "9300000000000000000")
    async with world.working():
        assert (await world.run()).paid == 1
    assert world.said("Skipped 'worker1': 'worker1' is no address")
    assert world.said(f"Skipped '{BOB}': his balance is 'lots'")
    assert world.said(f"Skipped '{CAT}': his balance is 9300000000000000000 Shannon, more than there can be")


async def test_payments_overlap_when_the_file_says_so(server: Deployment, redis: Server, tmp_path: Path) -> None:
    logins = [f"0x{number:040x}" for number in range(1 << 64, (1 << 64) + 30)]
    async with (
        anvil(block_time_s=1) as chain,
        open_world(server, redis, chain, tmp_path, concurrentTx=30) as world,
        world.working(),
    ):
        for login in logins:
            world.mine.earn(login, 600_000_000)
        outcome = await world.run()
        assert outcome.paid == 30
        assert world.mine.lock() is None
        assert world.mine.pending() == []
        assert await chain.height() < 15


async def test_snapshots_are_written_after_a_run_that_paid(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with open_world(server, redis, chain, tmp_path, bgsave=True) as world, world.working():
        await world.run()
        assert not world.said("Saving backend state to disk")
        world.mine.earn(ANN, 600_000_000)
        await world.run()
        assert world.said("Saving backend state to disk: Background saving started")


async def test_a_redis_that_may_forget_sends_nothing(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    world.mine.do("CONFIG", "SET", "appendonly", "no")
    async with world.working():
        outcome = await world.run()
    assert "keeps no append-only file" in outcome.waits
    assert world.mine.sums(ANN) == (600_000_000, 0, 0)


async def test_a_run_may_let_the_pools_redis_sync_each_write_and_sets_it_back(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with open_world(server, redis, chain, tmp_path, payflow={"appendfsync": "always"}) as world:
        world.mine.earn(ANN, 600_000_000)
        world.mine.do("CONFIG", "SET", "appendfsync", "everysec")
        await chain.automine(on=False)
        async with world.working():
            run = asyncio.create_task(world.run())
            await world.until(s.SENT)
            assert await world.pool.books.fsync() == "always"
            world.stop.set()
            await wait_until(run.done, "the run is told to stop")
            assert await world.pool.books.fsync() == "always", "a payment is still under way"
            world.stop.clear()
            await chain.automine(on=True)
            await chain.mine()
            assert (await world.run()).fault == ""
    assert world.mine.sums(ANN) == (0, 0, 600_000_000)
    assert list(world.mine.do("CONFIG", "GET", "appendfsync"))[1] == "everysec"
    assert "eth:payflow:fsync" not in world.mine.everything()


async def test_a_redis_whose_word_is_no_barrier_pays_nobody(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    world.mine.do("CONFIG", "SET", "appendfsync", "everysec")
    async with world.working():
        outcome = await world.run()
    assert (outcome.paid, world.mine.sums(ANN)) == (0, (600_000_000, 0, 0))
    assert '"appendfsync": "always"' in outcome.waits


async def test_a_row_over_the_same_amount_as_a_payment_of_ours_is_still_another_payers(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    async with world.working():
        await world.run()
        world.mine.earn(ANN, 600_000_000, height=2)
        world.mine.debit(ANN, 600_000_000, 1_508_374_334)
        before = world.mine.everything()
        outcome = await world.run()
    assert outcome.refused.startswith("Previous payout failed")
    assert world.mine.everything() == before


async def test_somebody_else_who_sends_from_the_address_is_told_of(world: World, chain: Anvil) -> None:
    async with world.working():
        world.mine.earn(ANN, 600_000_000)
        await world.run()
        await world.mined(await chain.send(LANE, BOB, 5))
        await chain.mine(70)
        world.mine.earn(ANN, 700_000_000, height=2)
        await world.run()
        await world.run()
        await world.run()
    told = [line for line in world.lines if f"transactions from {LANE.address} are not Payflow's" in line]
    assert len(told) == 1, "a run says it once, and again when there are more of them"
    assert await world.got(ANN) == 1_300_000_000


async def test_several_coins_are_paid_side_by_side(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    second = payouts_json(redis, chain.url, OTHER.address, top={"coin": "etc"})
    etc_file = write_config(tmp_path / "etc.json", second)
    async with open_world(server, redis, chain, tmp_path, beside=(etc_file,)) as eth, eth.working():
        etc = replace(eth, pool=eth.pools.pools["etc"], mine=Mine(eth.mine.redis, "etc"))
        eth.mine.earn(ANN, 600_000_000)
        etc.mine.earn(ANN, 700_000_000)
        runs = await asyncio.gather(eth.run(), etc.run())
        assert [one.total for one in runs] == [600_000_000, 700_000_000]
        assert (eth.mine.sums(ANN), etc.mine.sums(ANN)) == ((0, 0, 600_000_000), (0, 0, 700_000_000))


async def test_the_friends_fork_keeps_the_fee_back_and_books_it(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    fees: dict[str, Any] = {"keepNwFees": True, "nwTxGas": "21000", "nwTxGasPrice": "5000000000"}
    async with open_world(server, redis, chain, tmp_path, **fees) as world, world.working():
        world.mine.earn(ANN, 600_000_000)
        assert (await world.run()).paid == 1
        tx, charge = world.mine.history()[0].partition(":")[0], 21_000 * 5_000_000_000
        assert world.mine.history() == [f"{tx}:{ANN}:600000000:{charge}"]
        assert world.mine.history(ANN) == [f"{tx}:600000000:{charge}"]
        assert await world.got(ANN) == 600_000_000 - charge // GWEI


async def test_a_redis_that_answers_errors_in_the_middle_is_waited_for(world: World, chain: Anvil) -> None:
    world.mine.earn(ANN, 600_000_000)
    await chain.automine(on=False)
    async with world.working():
        run = asyncio.create_task(world.run())
        await world.until(s.SENT)
        debited = world.mine.everything()
        world.mine.do("CONFIG", "SET", "min-replicas-to-write", "1")
        await chain.mine()
        (record,) = await world.until(s.SENT)
        await wait_until(lambda: tried(world, record.id), "the books were tried")
        assert world.mine.everything() == debited
        world.mine.do("CONFIG", "SET", "min-replicas-to-write", "0")
        await wait_until(run.done, "the run ends")
    assert run.result().paid == 1
    assert (world.mine.sums(ANN), await world.got(ANN)) == ((0, 0, 600_000_000), 600_000_000)


async def tried(world: World, record_id: RecordId) -> bool:
    """Whether a look at a payment failed and will be tried again."""
    return (await world.payflow.store.records.read(record_id)).record.tries > 0


async def test_a_payment_that_is_set_aside_does_not_hold_up_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.mine.earn(ANN, 600_000_000)
    world.mine.earn(BOB, 700_000_000)
    books = world.pool.books
    debit = books.debit

    async def broken(line: PaymentLine, lock: str = "", *, again: bool = False) -> ScriptAnswer:
        if line.login == ANN:
            raise ZeroDivisionError("a bug")
        return await debit(line, lock, again=again)

    monkeypatch.setattr(books, "debit", broken)
    async with world.working():
        assert (await world.run()).paid == 1
    assert world.said(f"Set aside the payment to {ANN}: ZeroDivisionError: a bug")
    assert world.mine.sums(ANN) == (600_000_000, 0, 0)


async def test_an_operator_pauses_the_pool_and_nothing_is_taken_or_sent(world: World) -> None:
    world.mine.earn(ANN, 600_000_000)
    now = await world.payflow.store.records.now()
    await world.payflow.store.pauses.pause("machine:pool", "olu", "counting", now)
    async with world.working():
        run = asyncio.create_task(world.run())
        await world.until(s.DUE)
        held = {"machine": "pool", "state": "DUE", "kind": "paused"}
        counted = world.payflow.metrics.registry
        await wait_until(lambda: bool(counted.get_sample_value("payflow_act_errors_total", held)), "it was held up")
        assert world.mine.sums(ANN) == (600_000_000, 0, 0)
        await world.payflow.store.pauses.resume("machine:pool")
        await wait_until(run.done, "the run ends")
    assert run.result().paid == 1


# ── a single run ends, and says why ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scope", ["everything", "machine:pool", "rail:pool", "lane:pool"])
async def test_a_single_run_ends_when_what_it_needs_is_paused(world: World, scope: str) -> None:
    world.mine.earn(ANN, 600_000_000)
    now = await world.payflow.store.records.now()
    await world.payflow.store.pauses.pause(scope, "olu", "counting", now)
    async with world.working():
        outcome = await world.run(once=True)
        assert (outcome.paid, world.mine.sums(ANN)) == (0, (600_000_000, 0, 0))
        assert f"{scope} is paused by olu (counting): `payflow resume {scope}`" in outcome.fault
        await world.payflow.store.pauses.resume(scope)
        assert (await world.run(once=True)).paid == 1


async def test_a_single_run_ends_when_its_rail_is_paused_after_the_debit(world: World, chain: Anvil) -> None:
    world.mine.earn(ANN, 600_000_000)
    await chain.automine(on=False)
    async with world.working():
        run = asyncio.create_task(world.run(once=True))
        await world.until(s.SENT)
        now = await world.payflow.store.records.now()
        await world.payflow.store.pauses.pause("rail:pool", "the engine", "the signer refused", now)
        await wait_until(run.done, "the run ends")
        assert "rail:pool is paused by the engine" in run.result().waits
        assert run.result().open == 1
        world.lines.clear()
        assert (await world.run(once=True)).paid == 0
        assert world.said("rail:pool is paused by the engine"), "each run says it"
        await world.payflow.store.pauses.resume("rail:pool")
        await chain.automine(on=True)
        await chain.mine()
        assert (await world.run(once=True)).paid == 1


async def test_a_single_run_ends_when_its_lane_has_stopped(world: World) -> None:
    async with world.working():
        world.mine.earn(ANN, 600_000_000)
        assert (await world.run(once=True)).paid == 1
        store, lane = world.payflow.store, world.pools.lanes.books.lane_id("pool")
        await take_in(store.records, world.payflow.metrics, lane, Override("HALTED", "a look", "olu", "eve"), "olu")
        world.mine.earn(ANN, 700_000_000, height=2)
        outcome = await world.run(once=True)
    assert outcome.paid == 0
    assert "The lane pool stopped: `payflow lane show pool`" in outcome.waits
    assert world.mine.sums(ANN) == (700_000_000, 0, 600_000_000)


async def test_a_single_run_ends_when_nothing_moves(world: World, chain: Anvil) -> None:
    world.mine.earn(ANN, 600_000_000)
    await chain.automine(on=False)
    async with world.working():
        outcome = await world.run(once=True, patience_s=1.0)
        assert (outcome.paid, outcome.open) == (0, 1)
        assert "none has moved for" in outcome.waits
        await chain.automine(on=True)
        await chain.mine()
        assert (await world.run(once=True)).paid == 1


async def test_a_wallet_that_cannot_pay_all_counts_as_waiting(world: World, chain: Anvil) -> None:
    world.mine.earn(ANN, 600_000_000)
    world.mine.earn(BOB, 5_000_000_000)
    await chain.set_balance(LANE.address, 5_000_000_000 * GWEI)
    async with world.working():
        outcome = await world.run(once=True)
    assert (outcome.paid, "Not enough pool balance" in outcome.fault) == (1, True)
    assert world.payflow.metrics.registry.get_sample_value("payflow_pool_waiting", {"coin": "eth"}) == 1
