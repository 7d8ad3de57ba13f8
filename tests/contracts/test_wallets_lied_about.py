"""Wallets over several nodes: what a private fork says of a wallet is not what became of it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import aiohttp
import pytest

from adapters.ethereum.node import Nodes
from adapters.ethereum.wallets.multisig import MultiSigs
from adapters.ethereum.wallets.reading import WalletReader
from adapters.ethereum.wallets.safe import Safes
from machines.core.errors import NoQuorum
from machines.core.wallets import End, Wallets
from tests.chain import LANE, OTHER, THIRD, Anvil, anvil, stranger
from tests.chainproxy import ChainProxy
from tests.contracts.test_wallets import DEPTH, Bench
from tests.wallets import Hands, deploy_safe, deploy_token

BOT, FUNDER = LANE, THIRD


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """The chain."""
    async with anvil() as made:
        yield made


async def forked(chain: Anvil, stack: AsyncExitStack) -> Anvil:
    """Make another chain of the same id and state, that goes its own way."""
    other = await stack.enter_async_context(anvil())
    await other.rpc("anvil_loadState", await chain.rpc("anvil_dumpState"))
    return other


@pytest.mark.parametrize("kind", ["safe", "multisig"])
async def test_a_payment_on_a_private_fork_is_none_and_its_absence_there_hides_none(chain: Anvil, kind: str) -> None:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        hands = Hands(chain)
        token = await deploy_token(hands, FUNDER)
        deployment = await deploy_safe(hands, BOT)

        def seen(nodes: Nodes) -> Wallets:
            reader = WalletReader(nodes, {}, DEPTH)
            return Safes(reader, deployment, BOT.address) if kind == "safe" else MultiSigs(reader, BOT.address)

        alone = Nodes(session, [chain.url], chain.chain_id)
        bench = Bench(chain, hands, alone, seen(alone), token, token)
        await bench.make()
        await bench.fund()
        proposal = await bench.propose(stranger())
        agreed = await bench.agree(proposal)
        liar = await forked(chain, stack)
        second = await stack.enter_async_context(ChainProxy(chain.url))
        confirmation = await bench.wallets.confirmation(proposal, agreed, OTHER.address)

        # On the fork it is paid, and that deep.
        paid_there = await Hands(liar).send(OTHER, confirmation)
        await liar.mine(3 * DEPTH)
        nodes = Nodes(session, [liar.url, chain.url, second.url], chain.chain_id, reorg_blocks=2)
        told = await seen(nodes).outcome(proposal, agreed, [paid_there])
        assert told.end is End.OPEN

        # Here it is paid, and on the fork it never is.
        other = await forked(chain, stack)
        await Hands(chain).send(OTHER, confirmation)
        await chain.mine(DEPTH)
        late = Nodes(session, [other.url, chain.url, second.url], chain.chain_id)
        assert (await seen(late).outcome(proposal, agreed, [])).end is End.PAID

        # Two of two minds say nothing.
        torn = Nodes(session, [other.url, chain.url], chain.chain_id)
        with suppress(NoQuorum):
            assert (await seen(torn).outcome(proposal, agreed, [])).end is End.OPEN
        for one in (alone, nodes, late, torn):
            await one.close()
