"""Faults of every kind in any order: only our own errors come out, and afterwards all is as it should be."""

import asyncio
import random
from collections.abc import Awaitable

import pytest

from adapters.ethereum.node import Nodes
from adapters.ethereum.signers import LocalKey
from machines.core.clock import FixedClock
from machines.core.errors import OutcomeUnknown, Retryable
from tests.adapters.ethereum.conftest import payment
from tests.chain import LANE, Anvil, stranger
from tests.chainproxy import ChainProxy, Kind

QUICK = [kind for kind in Kind if kind not in {Kind.TIMEOUT_BEFORE, Kind.TIMEOUT_AFTER}]
PAYMENTS = 60


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_all_is_paid_once_whatever_the_nodes_do(
    nodes: Nodes, proxy: ChainProxy, second: ChainProxy, chain: Anvil, key: LocalKey, clock: FixedClock, seed: int
) -> None:
    luck = random.Random(seed)
    payees = [stranger() for _ in range(PAYMENTS)]
    signed = [await key.sign(payment(nonce, to)) for nonce, to in enumerate(payees)]
    open_ones = dict(enumerate(signed))
    for _ in range(400):
        if not open_ones:
            break
        for node in (proxy, second):
            if luck.random() < 0.3:
                node.fail(luck.choice(QUICK), times=luck.randint(1, 3))
            node.outage = luck.random() < 0.1
            node.lag = luck.choice([0, 0, 0, 1, 5])
            node.chain_id = luck.choice([None, None, None, 1])
        some = luck.sample(sorted(open_ones), min(7, len(open_ones)))
        await asyncio.gather(*(ours(nodes.broadcast(open_ones[nonce].raw)) for nonce in some))
        if luck.random() < 0.3:
            await chain.mine()
        found = await asyncio.gather(*(ours(nodes.receipt(open_ones[nonce].hash)) for nonce in some))
        for nonce, receipt in zip(some, found, strict=True):
            if receipt is not None:
                del open_ones[nonce]
        await asyncio.gather(ours(nodes.head()), ours(nodes.nonce(LANE.address)), ours(nodes.market(60)))
        clock.advance(5)
    for node in (proxy, second):
        node.heal()
    clock.advance(60)
    await asyncio.gather(*(nodes.broadcast(one.raw) for one in open_ones.values()))
    await chain.mine()
    assert await nodes.nonce(LANE.address) == PAYMENTS
    assert [await chain.balance(payee) for payee in payees] == [1] * PAYMENTS
    assert all([await nodes.receipt(one.hash) for one in signed])


async def ours(asked: Awaitable[object]) -> object:
    """Ask; nothing but "later" and "not known" may be raised."""
    try:
        return await asked
    except (Retryable, OutcomeUnknown):
        return None
