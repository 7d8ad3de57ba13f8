"""Rows of the old module that the chain has paid, in ways that a search may miss: nobody is credited or paid again."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from machines.core.chain import TxHash
from machines.core.errors import BadInput
from machines.core.ports import Settled
from payflow.cli.terminal import Code
from tests.chain import GWEI, LANE, OTHER, Anvil, anvil
from tests.servers import Deployment, Farm, Server
from tests.stories.pool_by_hand import mining
from tests.stories.pool_world import World, open_world, pool_redis
from tests.stories.test_pool_mess import (
    AMOUNT,
    ANN,
    HOUR_S,
    chain_time,
    later,
    resolve,
    something_else_uses_up_the_nonce,
)
from tests.waiting import wait_until as until

CHARGE_WEI = 21_000 * 5 * GWEI
FRIENDS: dict[str, Any] = {"keepNwFees": True, "nwTxGas": "21000", "nwTxGasPrice": "5000000000"}


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain of which two blocks are not final, and whose clock may be put forward."""
    async with anvil(slots_in_an_epoch=1, options=("--timestamp", str(int(time.time()) - 4 * HOUR_S))) as chain:
        await chain.mine(3)
        yield chain


@pytest.fixture
def redis(own: Farm) -> Server:
    """The pool's Redis."""
    return pool_redis(own)


async def everything_is_tried(world: World, *, fill: bool) -> None:
    """Let an operator do whatever might credit or pay the miner: resolve, adopt, run."""
    async with world.working(), mining(world.chain):
        await resolve(world, fill=fill)
        for judged in await world.desk().pending():
            await world.desk().adopt(judged)
        await world.run()


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("half", ["own", "all and own"])
async def test_what_an_operator_stored_and_left_pending_is_not_paid_again(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path, half: str, *, fill: bool
) -> None:
    async with open_world(server, redis, chain, tmp_path) as world:
        world.mine.earn(ANN, AMOUNT)
        at = await chain_time(chain)
        world.mine.debit(ANN, AMOUNT, at)
        tx = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
        world.mine.do("ZADD", f"eth:payments:{ANN}", at, f"{tx}:{AMOUNT}")
        if half == "all and own":
            world.mine.do("ZADD", "eth:payments:all", at, f"{tx}:{ANN}:{AMOUNT}")
        await later(chain)
        if not fill:
            await something_else_uses_up_the_nonce(world)
        await everything_is_tried(world, fill=fill)
        assert await world.got(ANN) == AMOUNT
        assert world.mine.sums(ANN) == (0, 0, AMOUNT)
        assert world.mine.history(ANN) == [f"{tx}:{AMOUNT}"]


async def test_a_price_that_was_changed_in_the_file_since_hides_no_payment(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with open_world(server, redis, chain, tmp_path, **FRIENDS) as world:
        world.mine.earn(ANN, AMOUNT)
        world.mine.debit(ANN, AMOUNT, await chain_time(chain))
        before = 2 * CHARGE_WEI
        tx = await world.mined(await chain.send(LANE, ANN, AMOUNT * GWEI - before, gas=hex(21_000)))
        await later(chain)
        await something_else_uses_up_the_nonce(world)
        await everything_is_tried(world, fill=False)
        assert await world.got(ANN) == AMOUNT - before // GWEI
        assert tx in " ".join(world.lines)
        await world.desk().mark_paid(ANN, AMOUNT, TxHash(tx), dry_run=False)
        assert world.mine.history(ANN) == [f"{tx}:{AMOUNT}:{before}"]
        assert world.mine.sums(ANN) == (0, 0, AMOUNT)


async def test_a_clock_that_was_fast_when_the_row_was_written_hides_no_payment(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with open_world(server, redis, chain, tmp_path) as world:
        world.mine.earn(ANN, AMOUNT)
        world.mine.debit(ANN, AMOUNT, await chain_time(chain) + HOUR_S)
        tx = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
        await later(chain, 2 * HOUR_S)
        await something_else_uses_up_the_nonce(world)
        await everything_is_tried(world, fill=False)
        assert await world.got(ANN) == AMOUNT
        assert world.mine.history(ANN) == [f"{tx}:{AMOUNT}"]


async def test_a_first_try_that_failed_does_not_hide_the_second_that_paid(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with open_world(server, redis, chain, tmp_path) as world:
        world.mine.earn(ANN, AMOUNT)
        world.mine.debit(ANN, AMOUNT, await chain_time(chain))
        await chain.set_code(ANN, "0x60006000fd")
        await world.mined(await world.old_payer_sends(ANN, AMOUNT))
        await chain.set_code(ANN, "0x")
        tx = await world.mined(await world.old_payer_sends(ANN, AMOUNT))
        await later(chain)
        await something_else_uses_up_the_nonce(world)
        await everything_is_tried(world, fill=False)
        assert await world.got(ANN) == AMOUNT
        assert world.mine.history(ANN) == [f"{tx}:{AMOUNT}"]


async def test_a_sum_that_was_mistyped_by_hand_is_left_to_a_person(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with open_world(server, redis, chain, tmp_path) as world:
        world.mine.earn(ANN, AMOUNT)
        world.mine.debit(ANN, AMOUNT, await chain_time(chain))
        tx = await world.mined(await world.old_payer_sends(ANN, AMOUNT - 1))
        await later(chain)
        await something_else_uses_up_the_nonce(world)
        before = world.mine.everything()
        await everything_is_tried(world, fill=False)
        assert await world.got(ANN) == AMOUNT - 1
        assert world.mine.everything() == before
        assert tx in " ".join(world.lines)
        with pytest.raises(BadInput, match=f"{tx} went from the pool"):
            await world.desk().credit(ANN, AMOUNT, dry_run=False)


async def test_filling_waits_for_what_resolving_judges_by(server: Deployment, redis: Server, tmp_path: Path) -> None:
    # Final is what is 64 blocks old: the lane itself settles after one.
    async with anvil(options=("--timestamp", str(int(time.time()) - 4 * HOUR_S))) as chain:
        await chain.mine(70)
        async with open_world(server, redis, chain, tmp_path) as world, world.working():
            world.mine.earn(ANN, AMOUNT)
            world.mine.debit(ANN, AMOUNT, await chain_time(chain))
            await later(chain)
            desk, rail = world.desk(), world.pool.rail
            (filling,) = await desk.fill(await desk.pending())

            async def settled() -> bool:
                return isinstance(await rail.status(filling), Settled)

            await until(settled, "the lane calls it settled")
            assert not await desk.filled([filling]), "resolving would not count that block yet"
            await chain.mine(80)
            assert await desk.filled([filling])
            assert await resolve(world) == Code.OK
        assert world.mine.sums(ANN) == (AMOUNT, 0, 0)


async def test_whatever_can_be_filled_says_how(server: Deployment, redis: Server, chain: Anvil, tmp_path: Path) -> None:
    async with open_world(server, redis, chain, tmp_path) as world:
        world.mine.earn(ANN, AMOUNT)
        world.mine.debit(ANN, AMOUNT, await chain_time(chain))
        (young,) = await world.desk().pending()
        assert "try again in " in young.verdict.why
        await later(chain)
        (judged,) = await world.desk().pending()
        assert "`payflow pool resolve --fill`" in judged.verdict.why
        assert await resolve(world) == Code.REFUSED
        assert world.said("`payflow pool resolve --fill`")
        with pytest.raises(BadInput, match="`payflow pool resolve --fill`"):
            await world.desk().credit(ANN, AMOUNT, dry_run=False)


async def test_a_hand_payment_from_another_address_is_no_candidate(
    server: Deployment, redis: Server, chain: Anvil, tmp_path: Path
) -> None:
    async with open_world(server, redis, chain, tmp_path) as world:
        world.mine.earn(ANN, AMOUNT)
        world.mine.debit(ANN, AMOUNT, await chain_time(chain))
        await world.mined(await chain.send(OTHER, ANN, AMOUNT * GWEI))
        await later(chain)
        await something_else_uses_up_the_nonce(world)
        await resolve(world)
        assert world.mine.sums(ANN) == (AMOUNT, 0, 0), "what others give him is not the pool's business"
