"""What is believed of what nodes say: from whom, how much of it, and what their silence proves."""

import asyncio

import aiohttp
import pytest

from adapters.ethereum.node import Nodes
from adapters.ethereum.signers import LocalKey
from machines.core.chain import NO_DATA, GasFee, SignedTransaction, TxHash
from machines.core.clock import FixedClock
from machines.core.errors import BadSettings, NoQuorum, RailClosed, Rejected, Retryable
from tests.adapters.ethereum.conftest import IMPATIENT, payment
from tests.chain import CHAIN_ID, ETHER, GWEI, LANE, OTHER, Anvil, anvil, stranger
from tests.chainproxy import FOR_EVER, ChainProxy, Kind

RECEIPT = "eth_getTransactionReceipt"
NONCE = "eth_getTransactionCount"
NOWHERE = TxHash("0x" + "ab" * 32)


async def mined(nodes: Nodes, chain: Anvil, signed: SignedTransaction) -> TxHash:
    await nodes.broadcast(signed.raw)
    await chain.mine()
    return signed.hash


# The head.


async def test_the_head_is_the_highest_that_enough_nodes_have_reached(
    three: Nodes, proxy: ChainProxy, chain: Anvil
) -> None:
    await chain.mine(10)
    proxy.lag = 4
    head = await three.head()
    assert head.number == 10
    assert [one.lag_blocks for one in three.figures()] == [4, 0, 0]
    assert [one.height for one in three.figures()] == [6, 10, 10]


async def test_of_two_nodes_the_slower_one_says_where_the_head_is(
    nodes: Nodes, proxy: ChainProxy, chain: Anvil
) -> None:
    await chain.mine(10)
    proxy.lag = 4
    assert (await nodes.head()).number == 6


async def test_the_head_never_goes_behind_what_was_told(
    three: Nodes, proxy: ChainProxy, second: ChainProxy, chain: Anvil
) -> None:
    told = await three.head()
    for _ in range(6):
        await chain.mine()
        told = await three.head()
    second.outage = True
    proxy.lag = 3
    assert await three.head() == told


async def test_what_was_told_is_taken_back_where_the_nodes_stay_behind_it(
    lone: Nodes, proxy: ChainProxy, chain: Anvil, clock: FixedClock
) -> None:
    await chain.mine(20)
    told = await lone.head()
    proxy.lag = 9
    assert await lone.head() == told
    clock.advance(IMPATIENT.taken_back_s - 1)
    assert await lone.head() == told
    clock.advance(2)
    assert (await lone.head()).number == 11


async def test_the_head_follows_a_reorg_that_made_the_chain_shorter(lone: Nodes, chain: Anvil) -> None:
    for _ in range(6):
        await chain.mine()
        await lone.head()
    await chain.rollback(3)
    await chain.rpc("evm_increaseTime", "0x64")
    await chain.mine()
    assert (await lone.head()).number == 4
    await chain.mine()
    assert (await lone.head()).number == 5


async def test_the_head_follows_a_reorg_of_the_same_height(lone: Nodes, chain: Anvil) -> None:
    await chain.mine(5)
    before = await lone.head()
    await chain.reorg(2)
    after = await lone.head()
    assert (before.number, after.number) == (5, 5)
    assert before.hash != after.hash


async def test_what_is_final_never_goes_back(session: aiohttp.ClientSession, clock: FixedClock) -> None:
    async with anvil(mining=False, slots_in_an_epoch=1) as chain, ChainProxy(chain.url) as proxy:
        nodes = Nodes(session, [proxy.url], CHAIN_ID, clock, IMPATIENT)
        await chain.mine(10)
        assert (await nodes.head()).finalized == 8
        proxy.no_finality = True  # such as a node that has just started
        assert (await nodes.head()).finalized == 8
        await nodes.close()


async def test_a_chain_without_finality_has_no_final_block(lone: Nodes, proxy: ChainProxy, chain: Anvil) -> None:
    proxy.no_finality = True
    await chain.mine()
    assert (await lone.head()).finalized is None


async def test_where_no_node_answers_the_head_is_asked_for_later(
    nodes: Nodes, proxy: ChainProxy, second: ChainProxy
) -> None:
    proxy.outage = second.outage = True
    with pytest.raises(Retryable) as told:
        await nodes.head()
    assert not isinstance(told.value, RailClosed)


async def test_where_every_node_is_of_another_chain_the_rail_is_closed(
    nodes: Nodes, proxy: ChainProxy, second: ChainProxy
) -> None:
    proxy.chain_id = second.chain_id = 1
    with pytest.raises(RailClosed, match="answers for chain 1"):
        await nodes.head()


async def test_a_node_that_changes_its_chain_in_passing_is_noticed(lone: Nodes, proxy: ChainProxy) -> None:
    await lone.head()
    proxy.chain_id = 1
    with pytest.raises(RailClosed):
        await lone.head()


# Reads.


@pytest.mark.parametrize(
    "kind",
    [
        Kind.TIMEOUT_BEFORE,
        Kind.RESET_BEFORE,
        Kind.HTML_502,
        Kind.TOO_MANY,
        Kind.TRUNCATED,
        Kind.ERROR,
        Kind.NULL,
    ],
)
async def test_a_read_goes_to_the_next_node(nodes: Nodes, proxy: ChainProxy, second: ChainProxy, kind: Kind) -> None:
    proxy.fail(kind, "eth_getBalance", times=FOR_EVER)
    assert await nodes.balance(LANE.address) == 10_000 * ETHER
    assert second.count("eth_getBalance") == 1


async def test_a_huge_answer_is_not_read_to_its_end(nodes: Nodes, proxy: ChainProxy) -> None:
    proxy.fail(Kind.HUGE, "eth_getBalance", times=FOR_EVER, size=IMPATIENT.body_bytes + 1)
    assert await nodes.balance(LANE.address) == 10_000 * ETHER


async def test_a_node_that_failed_is_asked_last_for_a_while(three: Nodes, proxy: ChainProxy, clock: FixedClock) -> None:
    proxy.fail(Kind.RESET_BEFORE, "eth_getBalance")
    await three.balance(LANE.address)
    proxy.forget()
    await three.balance(LANE.address)
    assert proxy.calls == []
    clock.advance(IMPATIENT.rest_s + 1)
    await three.balance(LANE.address)
    assert proxy.count("eth_getBalance") == 1


async def test_one_node_alone_is_asked_again(lone: Nodes, proxy: ChainProxy) -> None:
    proxy.fail(Kind.RESET_BEFORE, "eth_getBalance")
    assert await lone.balance(LANE.address) == 10_000 * ETHER


async def test_fifteen_minutes_of_outage_lose_nothing(
    nodes: Nodes, proxy: ChainProxy, second: ChainProxy, clock: FixedClock, signed: SignedTransaction, chain: Anvil
) -> None:
    tx = await mined(nodes, chain, signed)
    proxy.outage = second.outage = True
    for _ in range(15):
        clock.advance(60)
        with pytest.raises(Retryable):
            await nodes.receipt(tx)
        with pytest.raises(Retryable):
            await nodes.nonce(LANE.address)
    proxy.outage = second.outage = False
    found = await nodes.receipt(tx)
    assert found is not None
    assert await nodes.nonce(LANE.address) == 1


async def test_too_many_requests_name_the_delay(lone: Nodes, proxy: ChainProxy) -> None:
    proxy.fail(Kind.TOO_MANY, times=FOR_EVER, retry_after_s=13)
    with pytest.raises(Retryable) as told:
        await lone.balance(LANE.address)
    assert told.value.after_s == 13


async def test_the_present_is_not_believed_from_a_node_that_lags(
    nodes: Nodes, proxy: ChainProxy, chain: Anvil, signed: SignedTransaction
) -> None:
    await mined(nodes, chain, signed)
    await chain.mine(9)
    await nodes.head()
    proxy.lag = 10
    assert await nodes.nonce(LANE.address) == 1
    assert nodes.figures()[0].lag_blocks == 10
    assert await nodes.balance(LANE.address) < 10_000 * ETHER


async def test_where_all_lag_the_present_is_not_known(lone: Nodes, proxy: ChainProxy, chain: Anvil) -> None:
    await chain.mine(10)
    await lone.head()
    proxy.lag = 5
    with pytest.raises(Retryable, match="5 blocks behind"):
        await lone.nonce(LANE.address)


async def test_calls_of_one_turn_leave_as_one_request(lone: Nodes, proxy: ChainProxy) -> None:
    await lone.head()
    proxy.forget()
    await asyncio.gather(*(lone.balance(account) for account in (LANE.address, OTHER.address)), lone.market(60))
    assert len(proxy.batches) == 1


async def test_a_node_that_refuses_batches_is_asked_one_by_one(lone: Nodes, proxy: ChainProxy) -> None:
    proxy.refuses_batches = True
    balances = await asyncio.gather(*(lone.balance(account) for account in (LANE.address, OTHER.address)))
    assert balances == [10_000 * ETHER] * 2


async def test_a_caller_who_gives_up_does_not_spoil_the_batch_of_others(lone: Nodes) -> None:
    first = asyncio.ensure_future(lone.balance(LANE.address))
    other = asyncio.ensure_future(lone.balance(OTHER.address))
    await asyncio.sleep(0)
    first.cancel()
    assert await other == 10_000 * ETHER


# Receipts and transactions.


async def test_a_receipt_tells_what_happened(lone: Nodes, chain: Anvil, signed: SignedTransaction) -> None:
    tx = await mined(lone, chain, signed)
    found = await lone.receipt(tx)
    assert found is not None
    assert (found.hash, found.block, found.ok, found.gas_used, found.contract) == (tx, 1, True, 21_000, None)
    assert GWEI < found.gas_price_wei <= 10 * GWEI
    assert found.block_hash == (await chain.block(1))["hash"]


async def test_a_receipt_that_enough_nodes_show_is_found(
    three: Nodes, proxy: ChainProxy, second: ChainProxy, chain: Anvil, signed: SignedTransaction
) -> None:
    tx = await mined(three, chain, signed)
    proxy.lag = 1
    assert await three.receipt(tx) is not None
    second.lag = 1
    assert await three.receipt(tx) is None, "one node alone decides nothing"


async def test_a_receipt_that_comes_and_goes_is_found_on_the_others(
    three: Nodes, proxy: ChainProxy, second: ChainProxy, chain: Anvil, signed: SignedTransaction
) -> None:
    tx = await mined(three, chain, signed)
    proxy.flap(RECEIPT, "+-+")
    second.flap(RECEIPT, "+-+")
    seen = [await three.receipt(tx) for _ in range(3)]
    assert [found is not None for found in seen] == [True, False, True]


async def test_a_receipt_that_nobody_shows_is_none(nodes: Nodes) -> None:
    assert await nodes.receipt(NOWHERE) is None


async def test_a_receipt_is_none_though_one_node_fails(nodes: Nodes, proxy: ChainProxy) -> None:
    proxy.outage = True
    assert await nodes.receipt(NOWHERE) is None


async def test_a_receipt_on_a_branch_of_one_node_alone_is_not_believed(
    session: aiohttp.ClientSession, clock: FixedClock, signed: SignedTransaction
) -> None:
    async with anvil(mining=False) as long, anvil(mining=False) as short, ChainProxy(long.url) as third:
        nodes = Nodes(session, [short.url, long.url, third.url], CHAIN_ID, clock, IMPATIENT)
        await short.rpc("eth_sendRawTransaction", signed.raw)
        await short.mine()
        await nodes.head()
        assert await nodes.receipt(signed.hash) is None
        await long.rpc("evm_increaseTime", "0x64")
        await long.mine(5)
        await nodes.head()
        assert await nodes.receipt(signed.hash) is None
        await nodes.close()


async def test_a_receipt_of_a_node_that_hides_its_price_has_the_price_of_the_transaction(
    session: aiohttp.ClientSession, clock: FixedClock, key: LocalKey
) -> None:
    async with anvil(hardfork="istanbul", mining=False) as chain:
        nodes = Nodes(session, [chain.url], CHAIN_ID, clock, IMPATIENT)
        done = await key.sign(payment(fee=GasFee(7 * GWEI)))
        found = await nodes.receipt(await mined(nodes, chain, done))
        assert found is not None
        assert found.gas_price_wei == 7 * GWEI
        await nodes.close()


async def test_a_transaction_is_seen_waiting_and_mined(lone: Nodes, chain: Anvil, key: LocalKey) -> None:
    to = stranger()
    done = await key.sign(payment(to=to, value_wei=5))
    await lone.broadcast(done.raw)
    waiting = await lone.transaction(done.hash)
    await chain.mine()
    found = await lone.transaction(done.hash)
    assert waiting is not None
    assert found is not None
    assert (waiting.block, found.block) == (None, 1)
    assert (found.hash, found.sender, found.nonce) == (done.hash, LANE.address, 0)
    assert (found.to, found.value_wei, found.data) == (to, 5, NO_DATA)


# Who used a nonce.


@pytest.mark.parametrize("used_at", [1, 2, 50, 99, 100])
async def test_the_transaction_that_used_a_nonce_is_found(
    lone: Nodes, proxy: ChainProxy, chain: Anvil, signed: SignedTransaction, used_at: int
) -> None:
    await chain.mine(used_at - 1)
    await lone.broadcast(signed.raw)
    await chain.mine(101 - used_at)
    found = await lone.sent_by(LANE.address, 0, 100)
    assert found is not None
    assert (found.hash, found.block) == (signed.hash, used_at)
    assert len(proxy.batches) < 12


async def test_a_free_nonce_was_used_by_nobody(lone: Nodes, chain: Anvil, signed: SignedTransaction) -> None:
    await chain.mine(10)
    await mined(lone, chain, signed)
    assert await lone.sent_by(LANE.address, 0, 10) is None
    assert await lone.sent_by(LANE.address, 1, 11) is None


async def test_each_of_many_nonces_in_one_block_is_found(lone: Nodes, chain: Anvil, key: LocalKey) -> None:
    done = [await key.sign(payment(nonce)) for nonce in range(5)]
    await asyncio.gather(*(lone.broadcast(one.raw) for one in done))
    await chain.mine(30)
    found = [await lone.sent_by(LANE.address, nonce, 30) for nonce in range(5)]
    assert [one.hash for one in found if one] == [one.hash for one in done]


async def test_where_the_state_is_pruned_blocks_are_read(
    lone: Nodes, proxy: ChainProxy, chain: Anvil, signed: SignedTransaction
) -> None:
    await chain.mine(20)
    await lone.broadcast(signed.raw)
    await chain.mine(60)
    proxy.pruned_below = 60
    found = await lone.sent_by(LANE.address, 0, 80)
    assert found is not None
    assert found.hash == signed.hash


async def test_where_the_state_is_pruned_too_far_it_is_not_guessed(
    lone: Nodes, proxy: ChainProxy, chain: Anvil, signed: SignedTransaction
) -> None:
    await mined(lone, chain, signed)
    await chain.mine(400)
    proxy.pruned_below = 399
    with pytest.raises(Retryable):
        await lone.sent_by(LANE.address, 0, 401)


async def test_nodes_that_have_the_state_are_found_among_those_that_prune(
    three: Nodes, proxy: ChainProxy, chain: Anvil, signed: SignedTransaction
) -> None:
    await mined(three, chain, signed)
    await chain.mine(400)
    proxy.pruned_below = 399
    found = await three.sent_by(LANE.address, 0, 401)
    assert found is not None
    assert found.block == 1


# Prices, accounts and contracts.


async def test_the_market_has_the_next_base_fee_and_the_tips_of_others(
    lone: Nodes, chain: Anvil, key: LocalKey
) -> None:
    assert (await lone.market(60)).tip_wei == 0
    for nonce, tip in enumerate((1, 2, 3)):
        done = await key.sign(payment(nonce, fee=GasFee(100 * GWEI, tip * GWEI)))
        await mined(lone, chain, done)
    await chain.mine(3)  # empty blocks say nothing of tips
    market = await lone.market(60)
    history = await chain.rpc("eth_feeHistory", "0x1", "latest", [])
    assert market.tip_wei == 2 * GWEI
    assert market.base_fee_wei == int(history["baseFeePerGas"][-1], 16)


async def test_the_market_of_a_chain_without_eip_1559_has_one_price(
    session: aiohttp.ClientSession, clock: FixedClock
) -> None:
    async with anvil(hardfork="istanbul") as chain:
        nodes = Nodes(session, [chain.url], CHAIN_ID, clock, IMPATIENT)
        market = await nodes.market(60)
        assert (market.base_fee_wei, market.tip_wei) == (None, 0)
        assert market.gas_price_wei > 0
        assert (await nodes.head()).base_fee_wei is None
        await nodes.close()


async def test_a_node_without_fee_history_still_has_a_market(lone: Nodes, proxy: ChainProxy) -> None:
    proxy.unknown_methods = frozenset({"eth_feeHistory"})
    market = await lone.market(60)
    assert market.base_fee_wei == GWEI
    assert market.tip_wei == 0


async def test_an_account_is_known_by_money_nonce_or_code(lone: Nodes, chain: Anvil) -> None:
    nobody, rich, contract = stranger(), stranger(), stranger()
    await chain.set_balance(rich, 1)
    await chain.set_code(contract, "0x00")
    assert [await lone.known(one) for one in (nobody, rich, contract)] == [False, True, True]
    assert await lone.code(contract) == "0x00"
    assert await lone.code(nobody) == NO_DATA


async def test_a_call_that_would_fail_is_rejected(lone: Nodes, chain: Anvil) -> None:
    thrower, eater = stranger(), stranger()
    await chain.set_code(thrower, "0x60006000fd")
    await chain.set_code(eater, "0xfe")
    for contract in (thrower, eater):
        with pytest.raises(Rejected):
            await lone.estimate(LANE.address, contract, 0, NO_DATA)
    with pytest.raises(Rejected):
        await lone.call(thrower, NO_DATA)


async def test_an_estimate_beyond_the_balance_waits_for_money(lone: Nodes, proxy: ChainProxy) -> None:
    # anvil itself lends the money to an estimate; other nodes do not.
    proxy.fail(Kind.ERROR, "eth_estimateGas", words="insufficient funds for transfer")
    with pytest.raises(Retryable) as told:
        await lone.estimate(LANE.address, OTHER.address, 20_000 * ETHER, NO_DATA)
    assert "cannot pay" in str(told.value)


async def test_gas_is_estimated_and_contracts_are_read(lone: Nodes, chain: Anvil) -> None:
    constant = stranger()
    await chain.set_code(constant, "0x602a60005260206000f3")
    assert await lone.estimate(LANE.address, stranger(), 1, NO_DATA) >= 21_000
    assert int(await lone.call(constant, NO_DATA), 16) == 42


async def test_events_are_listed_with_their_transactions(lone: Nodes, chain: Anvil) -> None:
    crier = stranger()
    await chain.set_code(crier, "0x602a60006000a100")  # one event without data, and 42 for its topic
    tx = await chain.send(LANE, crier, 0)
    await chain.mine()
    [(found, event)] = await lone.logs(crier, [None], 0, 1)
    assert found == tx
    assert (event.address, int(event.topics[0], 16)) == (crier, 42)
    assert await lone.logs(crier, ["0x" + "0" * 64], 0, 1) == []


async def test_events_of_more_blocks_than_a_node_answers_for_are_asked_for_in_parts(
    lone: Nodes, proxy: ChainProxy, chain: Anvil
) -> None:
    crier = stranger()
    await chain.set_code(crier, "0x602a60006000a100")
    sent = []
    for _ in range(3):
        sent.append(await chain.send(LANE, crier, 0))
        await chain.mine()
    words = {"code": -32602, "words": "range 4 exceeds limit of 2"}
    proxy.fail(Kind.ERROR, "eth_getLogs", times=2, **words)
    assert [tx for tx, _ in await lone.logs(crier, [None], 0, 3)] == sent
    assert proxy.count("eth_getLogs") == 5
    proxy.fail(Kind.ERROR, "eth_getLogs", times=100, **words)
    with pytest.raises(Retryable, match="exceeds limit"):
        await lone.logs(crier, [None], 0, 3)


async def test_events_are_not_taken_from_nodes_that_have_not_reached_them(
    three: Nodes, proxy: ChainProxy, second: ChainProxy, chain: Anvil
) -> None:
    await chain.mine(3)
    await three.head()
    proxy.lag = 1
    assert await three.logs(stranger(), [None], 0, 3) == []
    with pytest.raises(Retryable):
        await three.logs(stranger(), [None], 0, 4)
    second.lag = 1
    with pytest.raises(NoQuorum):
        await three.logs(stranger(), [None], 0, 3)


async def test_a_lane_without_a_node_is_a_setting_to_mend(session: aiohttp.ClientSession) -> None:
    with pytest.raises(BadSettings):
        Nodes(session, [], CHAIN_ID)
    with pytest.raises(BadSettings):
        Nodes(session, ["ftp://127.0.0.1"], CHAIN_ID)
