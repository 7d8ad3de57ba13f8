"""What a broadcast proves: nothing but what a node said, and never that a transaction failed."""

import asyncio

import aiohttp
import pytest

from adapters.ethereum.node import Nodes
from adapters.ethereum.signers import LocalKey
from machines.core.chain import GasFee, NodeReply, SignedTransaction
from machines.core.clock import FixedClock
from machines.core.errors import OutcomeUnknown, RailClosed, Retryable
from tests.adapters.ethereum.conftest import IMPATIENT, payment
from tests.chain import CHAIN_ID, ETHER, GWEI, LANE, Anvil
from tests.chainproxy import ChainProxy, Kind
from tests.servers import free_port
from tests.waiting import wait_until

SEND = "eth_sendRawTransaction"


async def test_bytes_that_are_taken_are_accepted(lone: Nodes, chain: Anvil, signed: SignedTransaction) -> None:
    assert (await lone.broadcast(signed.raw)).reply is NodeReply.ACCEPTED
    assert await chain.waiting() == [signed.hash]


async def test_the_same_bytes_again_are_accepted(lone: Nodes, chain: Anvil, signed: SignedTransaction) -> None:
    await lone.broadcast(signed.raw)
    again = await lone.broadcast(signed.raw)
    assert again.reply is NodeReply.ACCEPTED
    assert "already imported" in again.words
    assert await chain.waiting() == [signed.hash]


async def test_a_mined_nonce_is_used(lone: Nodes, chain: Anvil, signed: SignedTransaction) -> None:
    await lone.broadcast(signed.raw)
    await chain.mine()
    assert (await lone.broadcast(signed.raw)).reply is NodeReply.NONCE_USED


async def test_a_replacement_that_offers_too_little_is_too_cheap(
    lone: Nodes, key: LocalKey, signed: SignedTransaction
) -> None:
    await lone.broadcast(signed.raw)
    other = await key.sign(payment())
    assert (await lone.broadcast(other.raw)).reply is NodeReply.TOO_CHEAP


async def test_a_fee_below_the_base_fee_is_too_cheap_or_waits(lone: Nodes, chain: Anvil, key: LocalKey) -> None:
    await chain.next_base_fee(50 * GWEI)
    await chain.mine()
    cheap = await key.sign(payment(fee=GasFee(GWEI, GWEI)))
    assert (await lone.broadcast(cheap.raw)).reply in {NodeReply.TOO_CHEAP, NodeReply.ACCEPTED}


async def test_a_poor_account_has_no_funds(lone: Nodes, chain: Anvil, signed: SignedTransaction) -> None:
    await chain.set_balance(LANE.address, 1000)
    assert (await lone.broadcast(signed.raw)).reply is NodeReply.NO_FUNDS


async def test_too_little_gas_is_refused_for_good(lone: Nodes, key: LocalKey) -> None:
    starved = await key.sign(payment(gas=20_000))
    assert (await lone.broadcast(starved.raw)).reply is NodeReply.REFUSED


@pytest.mark.parametrize(
    "kind",
    [
        Kind.TIMEOUT_AFTER,
        Kind.TIMEOUT_BEFORE,
        Kind.RESET_AFTER,
        Kind.RESET_BEFORE,
        Kind.HTML_502,
        Kind.HTML_502_AFTER,
        Kind.TRUNCATED,
        Kind.ERROR,
        Kind.ERROR_AFTER,
        Kind.NULL,
    ],
)
async def test_an_answer_that_says_nothing_leaves_the_outcome_unknown(
    lone: Nodes, proxy: ChainProxy, signed: SignedTransaction, kind: Kind
) -> None:
    proxy.fail(kind, SEND, words="the upstream is confused")
    with pytest.raises(OutcomeUnknown):
        await lone.broadcast(signed.raw)


@pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER, Kind.RESET_AFTER, Kind.HTML_502_AFTER, Kind.TRUNCATED])
async def test_what_was_taken_though_the_answer_was_lost_is_known_afterwards(
    lone: Nodes, proxy: ChainProxy, chain: Anvil, signed: SignedTransaction, kind: Kind
) -> None:
    proxy.fail(kind, SEND)
    with pytest.raises(OutcomeUnknown):
        await lone.broadcast(signed.raw)
    await wait_until(lambda: _waits(chain, signed), "the chain has it")
    assert (await lone.broadcast(signed.raw)).reply is NodeReply.ACCEPTED


async def _waits(chain: Anvil, signed: SignedTransaction) -> bool:
    return await chain.waiting() == [signed.hash]


async def test_a_huge_answer_is_not_read_to_its_end(lone: Nodes, proxy: ChainProxy, signed: SignedTransaction) -> None:
    proxy.fail(Kind.HUGE, SEND, size=IMPATIENT.body_bytes + 1)
    with pytest.raises(OutcomeUnknown):
        await lone.broadcast(signed.raw)


async def test_a_node_that_is_asked_too_often_took_nothing_and_names_the_delay(
    lone: Nodes, proxy: ChainProxy, chain: Anvil, signed: SignedTransaction
) -> None:
    proxy.fail(Kind.TOO_MANY, SEND, retry_after_s=11)
    with pytest.raises(Retryable) as told:
        await lone.broadcast(signed.raw)
    assert told.value.after_s == 11
    assert await chain.waiting() == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32005, "daily request count exceeded, request rate limited"),
        (-32601, "the method does not exist"),
        (-32000, "node is syncing"),
    ],
)
async def test_a_node_that_cannot_take_anything_took_nothing(
    lone: Nodes, proxy: ChainProxy, signed: SignedTransaction, code: int, words: str
) -> None:
    proxy.fail(Kind.ERROR, SEND, code=code, words=words)
    with pytest.raises(Retryable):
        await lone.broadcast(signed.raw)


async def test_where_nobody_listens_nothing_left(
    session: aiohttp.ClientSession, clock: FixedClock, signed: SignedTransaction
) -> None:
    nodes = Nodes(session, [f"http://127.0.0.1:{free_port()}"], CHAIN_ID, clock, IMPATIENT)
    with pytest.raises(Retryable):
        await nodes.broadcast(signed.raw)
    await nodes.close()


async def test_the_same_bytes_go_to_all_nodes(
    nodes: Nodes, proxy: ChainProxy, second: ChainProxy, signed: SignedTransaction
) -> None:
    await nodes.broadcast(signed.raw)
    await wait_until(lambda: proxy.count(SEND) == 1 and second.count(SEND) == 1, "both have it")
    assert proxy.calls[-1] == second.calls[-1] == (SEND, [signed.raw])


async def test_one_node_that_takes_it_is_enough(
    nodes: Nodes, proxy: ChainProxy, second: ChainProxy, signed: SignedTransaction
) -> None:
    proxy.fail(Kind.ERROR, SEND, words="insufficient funds for gas * price + value")
    assert (await nodes.broadcast(signed.raw)).reply is NodeReply.ACCEPTED
    proxy.fail(Kind.TIMEOUT_BEFORE, SEND)
    assert (await nodes.broadcast(signed.raw)).reply is NodeReply.ACCEPTED


@pytest.mark.parametrize(
    ("one", "other", "best"),
    [
        ("nonce too low", "nonce too high", NodeReply.NONCE_USED),
        ("nonce too high", "replacement transaction underpriced", NodeReply.TOO_CHEAP),
        ("insufficient funds", "nonce too high", NodeReply.NONCE_GAP),
        ("invalid sender", "insufficient funds", NodeReply.NO_FUNDS),
        ("invalid sender", "intrinsic gas too low", NodeReply.REFUSED),
    ],
)
async def test_the_best_reply_counts(
    nodes: Nodes,
    proxy: ChainProxy,
    second: ChainProxy,
    signed: SignedTransaction,
    one: str,
    other: str,
    best: NodeReply,
) -> None:
    proxy.fail(Kind.ERROR, SEND, words=one)
    second.fail(Kind.ERROR, SEND, words=other)
    assert (await nodes.broadcast(signed.raw)).reply is best


async def test_a_refusal_is_not_believed_while_another_node_may_have_taken_it(
    nodes: Nodes, proxy: ChainProxy, second: ChainProxy, signed: SignedTransaction
) -> None:
    proxy.fail(Kind.ERROR, SEND, words="exceeds block gas limit")
    second.fail(Kind.TIMEOUT_AFTER, SEND)
    with pytest.raises(OutcomeUnknown):
        await nodes.broadcast(signed.raw)


async def test_a_node_of_another_chain_is_not_given_the_bytes(
    nodes: Nodes, proxy: ChainProxy, second: ChainProxy, signed: SignedTransaction
) -> None:
    proxy.chain_id = 1
    assert (await nodes.broadcast(signed.raw)).reply is NodeReply.ACCEPTED
    await wait_until(lambda: proxy.count("eth_chainId") == 1, "the first was asked for its chain")
    assert proxy.count(SEND) == 0
    assert [one.refused for one in nodes.figures()] == [True, False]


async def test_where_all_are_of_another_chain_the_rail_is_closed(
    nodes: Nodes, proxy: ChainProxy, second: ChainProxy, chain: Anvil, signed: SignedTransaction
) -> None:
    proxy.chain_id = second.chain_id = 1
    with pytest.raises(RailClosed) as told:
        await nodes.broadcast(signed.raw)
    assert told.value.rail == "ethereum"
    assert await chain.waiting() == []


async def test_after_a_failure_the_chain_is_checked_again(
    lone: Nodes, proxy: ChainProxy, signed: SignedTransaction
) -> None:
    await lone.head()
    proxy.fail(Kind.RESET_BEFORE)
    with pytest.raises(OutcomeUnknown):
        await lone.broadcast(signed.raw)
    proxy.chain_id = 1  # such as a load balancer that now leads elsewhere
    with pytest.raises(RailClosed):
        await lone.broadcast(signed.raw)
    assert proxy.count(SEND) == 1


async def test_a_node_that_came_back_to_its_chain_is_believed_again(
    lone: Nodes, proxy: ChainProxy, clock: FixedClock, signed: SignedTransaction
) -> None:
    proxy.chain_id = 1
    with pytest.raises(RailClosed):
        await lone.broadcast(signed.raw)
    proxy.chain_id = None
    clock.advance(IMPATIENT.rest_s + 1)
    assert (await lone.broadcast(signed.raw)).reply is NodeReply.ACCEPTED


async def test_a_dropped_transaction_looks_accepted_and_is_nowhere(
    lone: Nodes, proxy: ChainProxy, signed: SignedTransaction
) -> None:
    proxy.fail(Kind.DROPPED, SEND)
    assert (await lone.broadcast(signed.raw)).reply is NodeReply.ACCEPTED
    assert await lone.transaction(signed.hash) is None
    assert (await lone.broadcast(signed.raw)).reply is NodeReply.ACCEPTED
    assert await lone.transaction(signed.hash) is not None


async def test_a_hundred_that_are_sent_at_once_share_few_requests(
    lone: Nodes, proxy: ChainProxy, chain: Anvil, key: LocalKey
) -> None:
    await lone.head()
    proxy.forget()
    raws = [(await key.sign(payment(nonce))).raw for nonce in range(150)]
    answers = await asyncio.gather(*map(lone.broadcast, raws))
    assert {answer.reply for answer in answers} == {NodeReply.ACCEPTED}
    assert proxy.batches == [100, 50]
    await chain.mine()
    assert await chain.nonce(LANE.address) == 150


async def test_a_node_that_refuses_batches_gets_single_calls(
    lone: Nodes, proxy: ChainProxy, chain: Anvil, key: LocalKey
) -> None:
    proxy.refuses_batches = True
    raws = [(await key.sign(payment(nonce))).raw for nonce in range(20)]
    answers = await asyncio.gather(*map(lone.broadcast, raws))
    assert {answer.reply for answer in answers} == {NodeReply.ACCEPTED}
    assert len(await chain.waiting()) == 20


async def test_a_broken_batch_leaves_each_of_its_outcomes_unknown_and_all_may_be_sent_again(
    lone: Nodes, proxy: ChainProxy, chain: Anvil, key: LocalKey
) -> None:
    await lone.head()
    proxy.fail(Kind.TRUNCATED, SEND)
    raws = [(await key.sign(payment(nonce))).raw for nonce in range(10)]
    outcomes = await asyncio.gather(*map(lone.broadcast, raws), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {OutcomeUnknown}
    again = await asyncio.gather(*map(lone.broadcast, raws))
    assert {answer.reply for answer in again} == {NodeReply.ACCEPTED}
    await chain.mine()
    assert await chain.nonce(LANE.address) == 10
    assert await chain.balance(LANE.address) < 10_000 * ETHER


async def test_a_password_in_a_url_is_sent_and_not_shown(
    session: aiohttp.ClientSession, proxy: ChainProxy, clock: FixedClock, signed: SignedTransaction
) -> None:
    url = proxy.url.replace("http://", "http://payer:hunter2@") + "/v3/secret-project"
    nodes = Nodes(session, [url], CHAIN_ID, clock, IMPATIENT)
    proxy.fail(Kind.HTML_502, SEND)
    with pytest.raises(OutcomeUnknown) as told:
        await nodes.broadcast(signed.raw)
    assert proxy.authorizations[-1].startswith("Basic ")
    shown = f"{told.value} {told.value!r} {nodes.figures()} {told.value.__cause__}"
    assert "hunter2" not in shown
    assert "secret-project" not in shown
    await nodes.close()
