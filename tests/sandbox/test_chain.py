"""The sandbox's chains, asked as Payflow asks a node: the one inside a process answers as anvil does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from adapters.ethereum.contracts import artifact
from adapters.ethereum.endpoint import NodeLimits, chain_of
from adapters.ethereum.node import Nodes
from adapters.sandbox.chain.accounts import BOT, FUNDER, MAINTAINER, PROVIDERS, RICH_WEI, RichAccount
from adapters.sandbox.chain.chain import ChainKind, ChainRefused, SandboxChain
from machines.core.chain import Address, GasFee, NodeReply, SignedTransaction, Unsigned
from machines.core.errors import Rejected
from tests import abi
from tests.chain import raw_key
from tests.waiting import wait_until

CHAIN_ID = 31337
GWEI = 10**9
SOMEBODY = Address("0x00000000000000000000000000000000DeaDBeef")
USUAL = GasFee(10 * GWEI, GWEI)


@dataclass
class Bench:
    """A chain, and how Payflow sees it."""

    chain: SandboxChain
    nodes: Nodes

    async def signed(
        self, nonce: int, wei: int = 1, fee: GasFee = USUAL, account: RichAccount = PROVIDERS
    ) -> SignedTransaction:
        """Sign a plain payment."""
        return await raw_key(account.key).sign(Unsigned(CHAIN_ID, nonce, SOMEBODY, wei, "0x", 21_000, fee))

    async def replies(self, *, nonce: int, wei: int = 1, fee: GasFee = USUAL) -> NodeReply:
        """Send a plain payment, and hear what the node says."""
        return (await self.nodes.broadcast((await self.signed(nonce, wei, fee)).raw)).reply


@asynccontextmanager
async def open_bench(folder: Path, kind: ChainKind) -> AsyncIterator[Bench]:
    """Open a chain in which blocks come only when they are made."""
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(SandboxChain(folder, kind))
        chain.ticking = False
        session = await stack.enter_async_context(aiohttp.ClientSession())
        nodes = Nodes(session, [chain.url], CHAIN_ID)
        stack.push_async_callback(nodes.close)
        yield Bench(chain, nodes)


@pytest.fixture(params=list(ChainKind))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Each chain in turn."""
    async with open_bench(tmp_path / "chain", request.param) as bench:
        yield bench


async def test_a_payment_is_mined_at_once_and_read_back(bench: Bench) -> None:
    nodes, signed = bench.nodes, await bench.signed(0, wei=5 * GWEI)
    before = await nodes.head()
    assert (await nodes.broadcast(signed.raw)).reply is NodeReply.ACCEPTED

    async def mined() -> bool:
        return await nodes.receipt(signed.hash) is not None

    await wait_until(mined, "it is mined")
    receipt, seen, after = await nodes.receipt(signed.hash), await nodes.transaction(signed.hash), await nodes.head()
    assert receipt is not None
    assert seen is not None
    assert (receipt.ok, receipt.block, receipt.gas_used, receipt.contract) == (True, before.number + 1, 21_000, None)
    assert receipt.block_hash == after.hash
    assert GWEI <= receipt.gas_price_wei <= USUAL.max_wei
    assert (seen.sender, seen.to, seen.value_wei, seen.nonce) == (PROVIDERS.address, SOMEBODY, 5 * GWEI, 0)
    assert await nodes.sent_by(Address(PROVIDERS.address), 0, after.number) == seen
    assert [await nodes.nonce(Address(PROVIDERS.address), at) for at in (before.number, "latest", "pending")] == [
        0,
        1,
        1,
    ]
    assert await nodes.balance(SOMEBODY) == 5 * GWEI
    spent = 5 * GWEI + 21_000 * receipt.gas_price_wei
    assert await nodes.balance(Address(PROVIDERS.address)) == RICH_WEI - spent


async def test_what_cannot_be_mined_is_refused_in_words_that_are_understood(bench: Bench) -> None:
    assert await bench.replies(nonce=0) is NodeReply.ACCEPTED
    await wait_until_nonce(bench, 1)
    assert await bench.replies(nonce=0, wei=2) is NodeReply.NONCE_USED
    assert await bench.replies(nonce=1, wei=2 * RICH_WEI) is NodeReply.NO_FUNDS
    assert await bench.replies(nonce=1, fee=GasFee(GWEI // 1000, 1)) is NodeReply.TOO_CHEAP
    assert (await bench.nodes.broadcast((await bench.signed(1)).raw)).reply is NodeReply.ACCEPTED


async def wait_until_nonce(bench: Bench, nonce: int) -> None:
    """Wait until so many transactions are mined."""

    async def there() -> bool:
        return await bench.nodes.nonce(Address(PROVIDERS.address)) == nonce

    await wait_until(there, f"{nonce} are mined")


async def test_contracts_are_made_asked_and_speak(bench: Bench) -> None:
    nodes, chain = bench.nodes, bench.chain
    arguments = abi.encoded(["address[]", "uint256"], ([BOT.address, MAINTAINER.address], 2))
    code = artifact("MultiSigWallet")["bytecode"] + arguments[2:]
    gas = await nodes.estimate(Address(FUNDER.address), None, 0, code)
    assert 500_000 < gas < 5_000_000
    sender = raw_key(BOT.key)
    made = await sender.sign(Unsigned(CHAIN_ID, 0, None, 0, code, gas, USUAL))
    assert (await nodes.broadcast(made.raw)).reply is NodeReply.ACCEPTED

    async def mined() -> bool:
        return await nodes.receipt(made.hash) is not None

    await wait_until(mined, "it is made")
    receipt = await nodes.receipt(made.hash)
    assert receipt is not None
    assert receipt.ok
    assert receipt.contract is not None
    wallet = receipt.contract
    assert len(await nodes.code(wallet)) > 1000
    assert int(await nodes.call(wallet, abi.call_data("required()")), 16) == 2
    with pytest.raises(Rejected):
        await nodes.call(wallet, abi.call_data("confirmTransaction(uint256)", 7))
    with pytest.raises(Rejected):
        await nodes.estimate(Address(MAINTAINER.address), wallet, 0, abi.call_data("confirmTransaction(uint256)", 7))
    submit = abi.call_data("submitTransaction(address,uint256,bytes)", SOMEBODY, 0, b"")
    tx = await chain.send(BOT.address, wallet, data=submit)
    head = await nodes.head()
    topics = (abi.topic("Confirmation(address,uint256)"), abi.word_of(Address(BOT.address)))
    ((found, log),) = await nodes.logs(wallet, topics, 0, head.number)
    assert found == tx
    assert log.address == wallet
    assert await nodes.logs(wallet, (abi.topic("Execution(uint256)"),), 0, head.number) == []


async def test_prices_heights_and_finality_are_told(bench: Bench) -> None:
    await bench.chain.mine(70)
    head = await bench.nodes.head()
    assert head.number == 70
    assert head.finalized is not None
    assert 0 < head.finalized < 70
    assert head.base_fee_wei is not None
    await bench.chain.send(FUNDER.address, SOMEBODY, 1)
    market = await bench.nodes.market(60)
    assert market.base_fee_wei is not None
    assert 0 < market.base_fee_wei < GWEI
    assert market.tip_wei > 0
    assert market.gas_price_wei >= market.base_fee_wei


async def test_a_pool_reads_it_as_its_own_node(bench: Bench) -> None:
    await bench.chain.send(FUNDER.address, SOMEBODY, 7)
    async with aiohttp.ClientSession() as session:
        assert await chain_of(session, bench.chain.url, NodeLimits()) == CHAIN_ID
    (seen,) = await bench.nodes.sent(Address(FUNDER.address), 0, 1)
    assert (seen.to, seen.value_wei, seen.block) == (SOMEBODY, 7, 1)
    assert await bench.nodes.block_before(await bench.nodes.time_of(1) + 1) == 1


async def test_what_is_asked_badly_is_answered_with_an_error(bench: Bench) -> None:
    for method, params in (("eth_nothing", ()), ("eth_getBalance", ("nobody",)), ("eth_getBalance", ())):
        with pytest.raises(ChainRefused, match=method):
            await bench.chain.ask(method, *params)
    assert await bench.chain.ask("eth_getTransactionReceipt", "0x" + "ab" * 32) is None
    assert await bench.chain.ask("eth_getBlockByNumber", "0xffff", False) is None  # noqa: FBT003  (the wire's)


@pytest.mark.parametrize("kind", list(ChainKind))
async def test_it_is_the_same_chain_after_a_restart(tmp_path: Path, kind: ChainKind) -> None:
    async with open_bench(tmp_path / "chain", kind) as bench:
        tx = await bench.chain.send(FUNDER.address, SOMEBODY, 7)
        await bench.chain.mine(3)
        before = await bench.chain.ask("eth_getTransactionReceipt", tx)
    async with open_bench(tmp_path / "chain", kind) as bench:
        assert await bench.chain.ask("eth_getTransactionReceipt", tx) == before
        assert await bench.nodes.balance(SOMEBODY) == 7
        assert await bench.nodes.nonce(Address(FUNDER.address), 0) == 0
        assert await bench.nodes.nonce(Address(FUNDER.address)) == 1
        assert (await bench.nodes.head()).number == 4
        again = await bench.chain.send(FUNDER.address, SOMEBODY, 1)
        assert (await bench.chain.ask("eth_getTransactionByHash", again))["nonce"] == "0x1"


async def test_blocks_follow_a_transaction_for_a_while_and_then_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.sandbox.chain.chain.BLOCK_S", 0.01)
    monkeypatch.setattr("adapters.sandbox.chain.chain.QUIET_BLOCKS", 4)
    bench.chain.ticking = True
    await bench.chain.send(FUNDER.address, SOMEBODY, 1)

    async def height() -> int:
        return int(await bench.chain.ask("eth_blockNumber"), 16)

    async def buried() -> bool:
        return await height() >= 4

    await wait_until(buried, "the transaction is buried")
    low = await height()

    async def rests() -> bool:
        nonlocal low
        before, low = low, await height()
        return bench.chain.quiet and before == low

    await wait_until(rests, "no block follows any more")
    await bench.chain.send(FUNDER.address, SOMEBODY, 1)

    async def again() -> bool:
        return await height() >= low + 3

    await wait_until(again, "blocks follow again")
