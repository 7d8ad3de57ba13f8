"""A pool's evidence over several nodes, of which one lies: nobody is paid twice, or given back to, on its word."""

from contextlib import suppress
from random import Random
from typing import Any, cast

import pytest

from machines.core.chain import Address, GasFee, Unsigned
from machines.core.clock import FixedClock
from machines.core.errors import NoQuorum, Retryable
from machines.pool.evidence import BEFORE_S, ChainOutcome, UnprovenPayment, judge
from machines.transaction import lifecycle as s
from machines.transaction.data import TransactionRecord
from machines.transaction.policy import LanePolicy
from machines.transaction.ports import Lane
from payflow.desk.pool.outside import Outside
from tests.adapters.ethereum.test_quorum import CHAIN_ID, DEPTH, gone, honest, liar, seen
from tests.chain import GWEI, LANE, raw_key, stranger
from tests.chains.stubs import Lie, StubChain, StubNode
from tests.machines.transaction.scenes import transaction

MINER = stranger()
SHANNON = 700_000_000
ROW_AT = 10
GENESIS_S, BLOCK_S = 1_800_000_000, 12
POLICY = LanePolicy(depth=DEPTH)
CASE = UnprovenPayment(LANE.address, MINER, SHANNON, GENESIS_S + ROW_AT * BLOCK_S)


async def sent(chain: StubChain, to: Address, wei: int) -> None:
    nonce = chain.blocks[-1].nonces.get(LANE.address.lower(), 0)
    unsigned = Unsigned(CHAIN_ID, nonce, to, wei, "0x", 21_000, GasFee(100 * GWEI, GWEI))
    signed = await raw_key(LANE.key).sign(unsigned)
    StubNode(chain, CHAIN_ID).answer("eth_sendRawTransaction", [signed.raw])
    chain.mine()


async def story(*, paid: bool) -> StubChain:
    """A row was written, and its payment left or did not; later ones used up what nonce it can have had."""
    chain = StubChain(LANE.address, 10**21, 0, Random(2))
    for _ in range(ROW_AT + 1):
        chain.mine()
    if paid:
        await sent(chain, MINER, SHANNON * GWEI)
    for _ in range(80):
        chain.mine()
    await sent(chain, stranger(), 5)
    for _ in range(40):
        chain.mine()
    return chain


@pytest.mark.parametrize("lie", list(Lie), ids=[lie.name for lie in Lie])
@pytest.mark.parametrize("paid", [True, False], ids=["paid", "unpaid"])
async def test_one_liar_of_three_changes_no_verdict(clock: FixedClock, lie: Lie, *, paid: bool) -> None:
    chain = await story(paid=paid)
    async with seen(clock, liar(chain, lie), honest(chain), honest(chain)) as nodes:
        verdict = await judge(nodes, nodes, CASE, POLICY)
    assert verdict.outcome is (ChainOutcome.PAID if paid else ChainOutcome.UNPAID), verdict.why


@pytest.mark.parametrize("lie", list(Lie), ids=[lie.name for lie in Lie])
@pytest.mark.parametrize("paid", [True, False], ids=["paid", "unpaid"])
async def test_one_liar_of_two_makes_no_verdict(clock: FixedClock, lie: Lie, *, paid: bool) -> None:
    chain = await story(paid=paid)
    async with seen(clock, liar(chain, lie), honest(chain)) as nodes:
        with suppress(Retryable):
            verdict = await judge(nodes, nodes, CASE, POLICY)
            assert verdict.outcome is not (ChainOutcome.UNPAID if paid else ChainOutcome.PAID), verdict.why


class NothingKnown:
    """A store and a pool's books that know nothing of what left, but for these transactions."""

    def __init__(self, *transactions: TransactionRecord) -> None:
        self.transactions = {one.data.nonce: one for one in transactions}

    async def accounted_for(self) -> None:
        """Say that nobody ever looked."""

    async def account_for(self, block: int, nonce: int) -> None:
        """Forget it."""

    async def newest_booking(self) -> None:
        """Say that none was booked."""

    async def now(self) -> int:
        return GENESIS_S + BEFORE_S

    async def is_miner(self, _: str) -> bool:
        return True

    async def bookings(self, _: str) -> list[Any]:
        return []

    async def steps(self, keys: list[str]) -> list[str]:
        return [""] * len(keys)

    async def transaction(self, _: str, nonce: int) -> TransactionRecord | None:
        return self.transactions.get(nonce)

    async def unsettled(self, _: str) -> list[TransactionRecord]:
        return [one for one in self.transactions.values() if one.state in {s.SIGNED, s.SENT, s.MINED}]

    async def is_archived(self, _: str, __: int) -> bool:
        return False


@pytest.mark.parametrize("others", ["agree", "are away"])
async def test_who_was_paid_outside_is_never_cleared_by_nodes_that_agree_on_no_head(
    clock: FixedClock, others: str
) -> None:
    chain, nothing = await story(paid=True), cast("Any", NothingKnown())
    third = honest(chain) if others == "agree" else gone(chain)
    async with seen(clock, liar(chain, Lie.FALSE_HASH), honest(chain), third) as nodes:
        lane = Lane("one", nodes, raw_key(LANE.key), POLICY)
        outside = Outside(nothing, nodes, lane, nothing)
        if others == "agree":
            assert "paid 700000000 Shannon" in await outside.fault(MINER.lower())
        else:
            with pytest.raises(NoQuorum):
                await outside.fault(MINER.lower())


@pytest.mark.parametrize("state", [s.SIGNED, s.SENT, s.MINED])
async def test_a_hand_that_takes_a_nonce_of_ours_is_seen_however_late_our_store_hears_of_it(
    clock: FixedClock, state: str
) -> None:
    chain, nothing = StubChain(LANE.address, 10**21, 0, Random(2)), NothingKnown(transaction(state, 0))
    for _ in range(ROW_AT):
        chain.mine()
    nodes_of_one = [honest(chain), honest(chain), honest(chain)]
    async with seen(clock, *nodes_of_one) as nodes:
        lane = Lane("one", nodes, raw_key(LANE.key), POLICY)
        outside = Outside(cast("Any", nothing), nodes, lane, cast("Any", nothing))
        assert await outside.fault(MINER.lower()) == ""
        await sent(chain, MINER, SHANNON * GWEI)
        for node in nodes_of_one:
            node.sync()
        first = await outside.fault(MINER.lower())
        assert first or state == s.MINED, "the chain shows none of our attempts, and the nonce is used up"
        nothing.transactions[0] = transaction(s.DISPLACED, 0)
        assert "paid 700000000 Shannon" in await outside.fault(MINER.lower())
