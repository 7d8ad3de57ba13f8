"""Several nodes, of which some lie: what enough of them say alike counts, and nothing else."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, cast

import pytest

from adapters.ethereum import roots
from adapters.ethereum.asking import Quorum
from adapters.ethereum.endpoint import NodeLimits
from adapters.ethereum.node import Nodes
from adapters.ethereum.wallets.reading import WalletReader
from machines.core.chain import GasFee, TxHash, Unsigned, known_head
from machines.core.clock import FixedClock
from machines.core.errors import NoQuorum, OutcomeUnknown, RailClosed, Retryable
from tests.chain import GWEI, LANE, raw_key, stranger
from tests.chains.stubs import Liar, Lie, Refused, StubChain, StubNode, StubSession

QUICK = NodeLimits(rest_s=1.0, pause_s=0.001, grace_s=0.01, rounds=1)
CHAIN_ID = 7
DEPTH = 4


@pytest.fixture
def chain() -> StubChain:
    """A chain of thirty blocks."""
    made = StubChain(LANE.address, 10**21, 0, Random(1))
    for _ in range(30):
        made.mine()
    return made


def honest(chain: StubChain, behind: int = 0) -> StubNode:
    node = StubNode(chain, CHAIN_ID)
    node.sync(behind)
    return node


def liar(chain: StubChain, *lies: Lie) -> Liar:
    node = Liar(chain, CHAIN_ID, LANE.address, frozenset(lies), Always())
    node.sync()
    return node


class Always(Random):
    """Dice that always lie, and fork early."""

    def random(self) -> float:
        return 0.0

    def choice(self, seq: Any) -> Any:  # noqa: ANN401  (of whatever it is given)
        return seq[0]

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        assert step == 1
        return 0 if stop is None else start


@asynccontextmanager
async def seen(clock: FixedClock, *nodes: StubNode, quorum: int = 0) -> AsyncIterator[Nodes]:
    """Open our side of some nodes."""
    by_name = {f"node-{number}": node for number, node in enumerate(nodes)}
    session = cast("Any", StubSession(by_name))
    urls = [f"http://{name}" for name in by_name]
    made = Nodes(session, urls, CHAIN_ID, clock, QUICK, quorum=quorum, reorg_blocks=DEPTH)
    yield made
    await made.close()


async def paid(chain: StubChain) -> TxHash:
    """Bring a payment of the lane into a block."""
    fee = GasFee(100 * GWEI, GWEI)
    nonce = chain.blocks[-1].nonces.get(LANE.address.lower(), 0)
    signed = await raw_key(LANE.key).sign(Unsigned(CHAIN_ID, nonce, stranger(), 1, "0x", 21_000, fee))
    StubNode(chain, CHAIN_ID).answer("eth_sendRawTransaction", [signed.raw])
    chain.mine()
    return signed.hash


def gone(chain: StubChain) -> StubNode:
    """A node that answers nothing."""
    node = honest(chain)
    node.gone = True
    return node


# ── the rule ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("nodes", "needed", "said", "agreed"),
    [
        (3, 0, "5 5 900", "5"),
        (3, 0, "5 5", "5"),
        (3, 0, "5", None),
        (3, 0, "5 6 7", None),
        (2, 0, "5 900", None),
        (2, 0, "5 5", "5"),
        (5, 0, "5 5 5 900 900", "5"),
        (5, 0, "5 5 900 900", None),
        (4, 2, "5 5 900 900", None),
        (3, 3, "5 5 5", "5"),
        (3, 3, "5 5", None),
        (3, 0, "", None),
    ],
)
def test_what_enough_nodes_say_alike_counts(nodes: int, needed: int, said: str, agreed: str | None) -> None:
    found = Quorum(nodes, needed).agreed([(f"n{place}", one) for place, one in enumerate(said.split())])
    assert (found.value if found else None) == agreed


@pytest.mark.parametrize(
    ("said", "agreed"), [("5 900", "900"), ("5", None), ("5 900 5", "5"), ("6 900 5", "900"), ("6 5 5", "5")]
)
def test_the_trusted_nodes_word_counts_alone_and_never_against_enough_others(said: str, agreed: str | None) -> None:
    quorum = Quorum(3)
    quorum.trusted = "n1"
    found = quorum.agreed([(f"n{place}", one) for place, one in enumerate(said.split())])
    assert (found.value if found else None) == agreed


@pytest.mark.parametrize(
    ("said", "reached"), [((5, 5, 900), 5), ((0, 5, 5), 5), ((4, 5, 6), 5), ((900,), 900), ((5, 900), 5), ((0, 5), 0)]
)
def test_what_is_planned_with_is_what_enough_have_reached(said: tuple[int, ...], reached: int) -> None:
    assert Quorum(3).reached(said, int) == reached


# ── heads ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lie", list(Lie), ids=[lie.name for lie in Lie])
async def test_no_single_node_moves_the_head_or_what_is_final(chain: StubChain, clock: FixedClock, lie: Lie) -> None:
    async with seen(clock, honest(chain), liar(chain, lie), honest(chain)) as nodes:
        head = await nodes.head()
        assert (head.number, head.hash) == (30, chain.blocks[30].hash)
        assert head.finalized in {22, 21}
        assert not nodes.without_quorum


async def test_a_node_that_is_a_block_ahead_is_no_disagreement(chain: StubChain, clock: FixedClock) -> None:
    async with seen(clock, honest(chain, 1), honest(chain), honest(chain, 1)) as nodes:
        assert (await nodes.head()).number == 29
        assert not nodes.without_quorum
        assert not any(one.forked or one.errors for one in nodes.figures())


async def test_a_node_that_has_not_followed_a_reorg_yet_is_not_on_another_branch(
    chain: StubChain, clock: FixedClock
) -> None:
    late = honest(chain)
    chain.reorg(2)
    for _ in range(3):
        chain.mine()
    async with seen(clock, honest(chain), late, honest(chain)) as nodes:
        assert (await nodes.head()).hash == chain.blocks[31].hash
        assert not any(one.forked for one in nodes.figures())


async def test_a_node_on_a_private_fork_is_named_and_asked_last(chain: StubChain, clock: FixedClock) -> None:
    forked = liar(chain, Lie.PRIVATE_FORK)
    for _ in range(3 * DEPTH):
        chain.mine()
        forked.sync()
    async with seen(clock, forked, honest(chain), honest(chain)) as nodes:
        assert (await nodes.head()).hash == chain.blocks[-1].hash
        assert [one.forked for one in nodes.figures()] == [True, False, False]
        assert nodes.figures()[0].errors["forked"] == 1


async def test_two_nodes_of_two_minds_close_the_lane(chain: StubChain, clock: FixedClock) -> None:
    forked = liar(chain, Lie.PRIVATE_FORK)
    for _ in range(3 * DEPTH):
        chain.mine()
        forked.sync()
    async with seen(clock, forked, honest(chain)) as nodes:
        with pytest.raises(RailClosed, match="blocks back"):
            await nodes.head()


async def test_where_a_silent_node_could_decide_the_lane_is_closed_only_after_a_while(
    chain: StubChain, clock: FixedClock
) -> None:
    forked, silent = liar(chain, Lie.PRIVATE_FORK), honest(chain)
    for _ in range(3 * DEPTH):
        chain.mine()
        forked.sync()
    silent.gone = True
    async with seen(clock, forked, honest(chain), silent) as nodes:
        assert (await nodes.head()).number == 0, "nothing was agreed on yet"
        assert nodes.without_quorum
        clock.advance(QUICK.taken_back_s + 1)
        with pytest.raises(RailClosed):
            await nodes.head()
        silent.gone = False
        silent.sync()
        clock.advance(2)
        assert (await nodes.head()).hash == chain.blocks[-1].hash


async def test_without_enough_nodes_the_head_stays_where_it_was_and_comes_back(
    chain: StubChain, clock: FixedClock
) -> None:
    others = [honest(chain), honest(chain)]
    async with seen(clock, honest(chain), *others) as nodes:
        before = await nodes.head()
        for one in others:
            one.gone = True
        chain.mine()
        assert await nodes.head() == before
        assert nodes.without_quorum
        with pytest.raises(NoQuorum):
            await nodes.nonce(LANE.address, 30)
        assert await nodes.balance(LANE.address) == 10**21, "what is planned with goes on"
        for one in others:
            one.gone = False
            one.sync()
        clock.advance(2)
        assert (await nodes.head()).number == 31
        assert not nodes.without_quorum


async def test_trust_ends_and_what_was_told_on_it_is_taken_back_at_once(chain: StubChain, clock: FixedClock) -> None:
    trusted = ""

    async def whom() -> str:
        return trusted

    async with seen(clock, liar(chain, Lie.NEWER_HEAD), honest(chain)) as nodes:
        nodes.trusted = whom
        honest_name = nodes.figures()[1].name
        assert (await nodes.head()).number == 30
        trusted = nodes.figures()[0].name
        await nodes.head()
        trusted = honest_name
        assert (await nodes.head()).number == 30
        trusted = ""
        assert (await nodes.head()).number == 30


async def test_who_lags_does_not_hold_back_the_node_that_people_trust(chain: StubChain, clock: FixedClock) -> None:
    async def whom() -> str:
        return "node-1:80"

    async with seen(clock, liar(chain, Lie.OLDER_HEAD), honest(chain)) as nodes:
        assert (await nodes.head()).number == 1
        nodes.trusted = whom
        assert (await nodes.head()).number == 30


# ── receipts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lie", list(Lie), ids=[lie.name for lie in Lie])
async def test_no_single_node_makes_a_receipt_or_hides_one(chain: StubChain, clock: FixedClock, lie: Lie) -> None:
    tx = await paid(chain)
    async with seen(clock, liar(chain, lie), honest(chain), honest(chain)) as nodes:
        found = await nodes.receipt(tx)
        assert found is not None
        assert (found.ok, found.block_hash) == (True, chain.blocks[31].hash)
        assert await nodes.receipt(TxHash("0x" + "77" * 32)) is None
        assert await nodes.nonce(LANE.address, 31) == 1
        assert await nodes.sent_by(LANE.address, 0, 31) is not None
        assert await nodes.sent_by(LANE.address, 1, 31) is None


@pytest.mark.parametrize("lie", [lie for lie in Lie if lie not in {Lie.LATE, Lie.TAKES_NOTHING}])
async def test_of_two_nodes_neither_makes_a_receipt(chain: StubChain, clock: FixedClock, lie: Lie) -> None:
    fake = TxHash("0x" + "77" * 32)
    async with seen(clock, liar(chain, lie), honest(chain)) as nodes:
        assert await nodes.receipt(fake) is None


async def test_a_receipt_that_no_header_commits_to_is_none_though_enough_nodes_show_it(
    chain: StubChain, clock: FixedClock
) -> None:
    tx = await paid(chain)

    def say(node: StubNode, about: Callable[[Any], Any]) -> StubNode:
        honest_answer = node.answer
        node.answer = (  # type: ignore[method-assign]
            lambda method, params: (
                about(honest_answer(method, params))
                if method == "eth_getTransactionReceipt"
                else honest_answer(method, params)
            )
        )
        return node

    def failed(receipt: Any) -> Any:  # noqa: ANN401
        return None if receipt is None else receipt | {"status": "0x0"}

    crowd = [say(honest(chain), failed), say(honest(chain), failed), honest(chain)]
    async with seen(clock, *crowd) as nodes:
        assert await nodes.receipt(tx) is None


async def test_where_a_chains_headers_cannot_be_written_down_enough_nodes_decide(
    chain: StubChain, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tx = await paid(chain)
    calls = []

    def unknown(header: bytes, receipts: bytes, block_hash: str) -> None:
        calls.append((header, receipts, block_hash))

    monkeypatch.setattr(roots, "proven", unknown)
    async with seen(clock, honest(chain), liar(chain, Lie.FALSE_FAILURE), honest(chain)) as nodes:
        for _ in range(3):
            found = await nodes.receipt(tx)
            assert found is not None
            assert found.ok
    assert len(calls) <= 3, "once a block, and not once a look"


async def test_a_block_is_proven_once_however_many_payments_it_has(
    chain: StubChain, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    txs = [await paid(chain) for _ in range(1)]
    calls: list[str] = []
    proven = roots.proven

    def counted(header: bytes, receipts: bytes, block_hash: str) -> Any:  # noqa: ANN401
        calls.append(block_hash)
        return proven(header, receipts, block_hash)

    monkeypatch.setattr(roots, "proven", counted)
    async with seen(clock, honest(chain), honest(chain), honest(chain)) as nodes:
        for _ in range(5):
            assert all([await nodes.receipt(tx) for tx in txs])
    assert calls == [chain.blocks[31].hash]


async def test_one_node_alone_is_asked_for_nothing_more(chain: StubChain, clock: FixedClock) -> None:
    tx = await paid(chain)
    node = honest(chain)
    async with seen(clock, node) as nodes:
        await nodes.head()
        before = node.calls
        assert await nodes.receipt(tx) is not None
        assert node.calls == before + 1


# ── what leaves ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_that_bytes_can_never_be_mined_is_not_believed_of_one_node(chain: StubChain, clock: FixedClock) -> None:
    gone = honest(chain)
    signed = await raw_key(LANE.key).sign(Unsigned(CHAIN_ID, 0, stranger(), 1, "0x", 21_000, GasFee(GWEI, GWEI)))
    gone.gone = True
    async with seen(clock, liar(chain, Lie.REFUSES), gone) as nodes:
        with pytest.raises(OutcomeUnknown):
            await nodes.broadcast(signed.raw)


Ask = Callable[[Nodes], Awaitable[object]]


@pytest.mark.parametrize(
    ("ask", "right"),
    [
        (lambda nodes: nodes.balance(LANE.address), 10**21),
        (lambda nodes: nodes.nonce(LANE.address), 0),
        (lambda nodes: nodes.nonce(LANE.address, "pending"), 0),
        (lambda nodes: nodes.estimate(LANE.address, LANE.address, 1, "0x"), 60_000),
        (lambda nodes: nodes.code(LANE.address), "0x"),
    ],
    ids=["balance", "nonce", "pending", "estimate", "code"],
)
async def test_no_single_node_says_what_is_planned_with(
    chain: StubChain, clock: FixedClock, ask: Ask, right: object
) -> None:
    for lie in (Lie.FALSE_STATE, Lie.HIGHER_NONCE, Lie.LOWER_NONCE):
        async with seen(clock, liar(chain, lie), honest(chain), honest(chain)) as nodes:
            assert await ask(nodes) == right


async def test_what_stands_at_the_first_block_says_nothing_where_no_head_was_ever_agreed_on(
    chain: StubChain, clock: FixedClock
) -> None:
    """Of the first block all nodes say the same, the liar too: that nobody has anything yet, and has sent nothing."""
    async with seen(clock, liar(chain, Lie.FALSE_HASH), honest(chain), gone(chain)) as nodes:
        assert not (await nodes.head()).hash
        assert await nodes.nonce(LANE.address, 0) == 0
        for asked in (
            known_head(nodes),
            nodes.block_before(10**12),
            WalletReader(nodes, {}, DEPTH).holdings(LANE.address),
        ):
            with pytest.raises(NoQuorum):
                await asked


class Hurried(StubNode):
    """A node that refuses when it is asked what is final."""

    words = "rate limit exceeded"

    def answer(self, method: str, params: Sequence[Any]) -> Any:  # noqa: ANN401
        if params and params[0] == "finalized":
            raise Refused(self.words)
        return super().answer(method, params)


@pytest.mark.parametrize(
    "words",
    [
        "rate limit exceeded",
        "internal error",
        "context deadline exceeded",
        "header not found",
        "missing trie node",
        "??",
    ],
)
async def test_a_node_that_cannot_say_what_is_final_does_not_say_that_nothing_is(
    chain: StubChain, clock: FixedClock, words: str
) -> None:
    """Without finality depth alone would prove that something was not paid."""
    hurried = Hurried(chain, CHAIN_ID)
    hurried.words = words
    hurried.sync()
    async with seen(clock, hurried) as nodes:
        with pytest.raises(Retryable, match=re.escape(words)):
            await nodes.head()
        hurried.words = "finalized block not found"
        head = await nodes.head()
        assert (head.number, head.finalized) == (len(chain.blocks) - 1, None)
    hurried.words = words
    async with seen(clock, hurried, honest(chain), honest(chain)) as nodes:
        assert (await nodes.head()).finalized is not None
