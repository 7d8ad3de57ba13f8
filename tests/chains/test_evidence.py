"""A pool's evidence over several nodes, of which one lies: nobody is paid twice, or given back to, on its word."""

from contextlib import suppress
from random import Random

import pytest

from adapters.ethereum.signers import raw_key
from machines.core.chain import Address, Fee, Unsigned
from machines.core.clock import FixedClock
from machines.core.errors import Retryable
from machines.pool.evidence import Case, Outcome, judge
from machines.transaction.policy import LanePolicy
from tests.adapters.ethereum.test_quorum import CHAIN_ID, DEPTH, honest, liar, seen
from tests.chain import GWEI, LANE, stranger
from tests.chains.stubs import Lie, StubChain, StubNode

MINER = stranger()
SHANNON = 700_000_000
ROW_AT = 10
GENESIS_S, BLOCK_S = 1_800_000_000, 12
POLICY = LanePolicy(depth=DEPTH)
CASE = Case(LANE.address, MINER, SHANNON, GENESIS_S + ROW_AT * BLOCK_S)


async def sent(chain: StubChain, to: Address, wei: int) -> None:
    nonce = chain.blocks[-1].nonces.get(LANE.address.lower(), 0)
    unsigned = Unsigned(CHAIN_ID, nonce, to, wei, "0x", 21_000, Fee(100 * GWEI, GWEI))
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
    assert verdict.outcome is (Outcome.PAID if paid else Outcome.UNPAID), verdict.why


@pytest.mark.parametrize("lie", list(Lie), ids=[lie.name for lie in Lie])
@pytest.mark.parametrize("paid", [True, False], ids=["paid", "unpaid"])
async def test_one_liar_of_two_makes_no_verdict(clock: FixedClock, lie: Lie, *, paid: bool) -> None:
    chain = await story(paid=paid)
    async with seen(clock, liar(chain, lie), honest(chain)) as nodes:
        with suppress(Retryable):
            verdict = await judge(nodes, nodes, CASE, POLICY)
            assert verdict.outcome is not (Outcome.UNPAID if paid else Outcome.PAID), verdict.why
