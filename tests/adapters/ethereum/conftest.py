"""A chain that mines when it is told to, nodes of it with faults, and our side of them."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from adapters.ethereum.endpoint import NodeLimits
from adapters.ethereum.node import Nodes
from adapters.ethereum.signers import LocalKey
from machines.core.chain import Address, GasFee, SignedTransaction, Unsigned
from machines.core.clock import FixedClock
from tests.chain import CHAIN_ID, GWEI, LANE, Anvil, anvil, raw_key, stranger
from tests.chainproxy import ChainProxy

IMPATIENT = NodeLimits(connect_s=0.5, exchange_s=0.5, body_bytes=256 * 1024, pause_s=0.001)


def payment(nonce: int = 0, to: Address | None = None, **parts: Any) -> Unsigned:
    """Make a plain transfer of one wei."""
    fields: dict[str, Any] = {"value_wei": 1, "data": "0x", "gas": 21_000, "fee": GasFee(10 * GWEI, GWEI)} | parts
    return Unsigned(CHAIN_ID, nonce, to or stranger(), **fields)


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    async with anvil(mining=False) as started:
        yield started


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def proxy(chain: Anvil) -> AsyncIterator[ChainProxy]:
    async with ChainProxy(chain.url) as started:
        yield started


@pytest.fixture
async def second(chain: Anvil) -> AsyncIterator[ChainProxy]:
    async with ChainProxy(chain.url) as started:
        yield started


@pytest.fixture
async def third(chain: Anvil) -> AsyncIterator[ChainProxy]:
    async with ChainProxy(chain.url) as started:
        yield started


@pytest.fixture
async def lone(proxy: ChainProxy, session: aiohttp.ClientSession, clock: FixedClock) -> AsyncIterator[Nodes]:
    """Our side, with one node."""
    nodes = Nodes(session, [proxy.url], CHAIN_ID, clock, IMPATIENT)
    yield nodes
    await nodes.close()


@pytest.fixture
async def nodes(
    proxy: ChainProxy, second: ChainProxy, session: aiohttp.ClientSession, clock: FixedClock
) -> AsyncIterator[Nodes]:
    """Our side, with two nodes."""
    made = Nodes(session, [proxy.url, second.url], CHAIN_ID, clock, IMPATIENT)
    yield made
    await made.close()


@pytest.fixture
async def three(
    proxy: ChainProxy,
    second: ChainProxy,
    third: ChainProxy,
    session: aiohttp.ClientSession,
    clock: FixedClock,
) -> AsyncIterator[Nodes]:
    """Our side, with three nodes, of which two must agree."""
    made = Nodes(session, [proxy.url, second.url, third.url], CHAIN_ID, clock, IMPATIENT)
    yield made
    await made.close()


@pytest.fixture
def key() -> LocalKey:
    return raw_key(LANE.key)


@pytest.fixture
async def signed(key: LocalKey) -> SignedTransaction:
    """A payment at the lane's first nonce."""
    return await key.sign(payment())
