"""What real nodes say, and what it means: never that a payment failed."""

import pytest

from adapters.ethereum import refusals
from adapters.ethereum.envelope import RpcFault
from adapters.ethereum.refusals import SENDING, Means
from machines.core.chain import NodeReply

NO_TAG = (
    RpcFault(-32000, "finalized block not found"),  # geth
    RpcFault(-39001, "Unknown block"),  # erigon, besu
    RpcFault(-32000, "block not found: finalized"),  # reth
    RpcFault(-32602, "invalid argument 0: hex string without 0x prefix"),  # geth before 1.10.17
    RpcFault(-32602, "Invalid params: Invalid block number: invalid digit found in string."),  # openethereum
    RpcFault(-32000, "Unsupported block tag: finalized"),
)
NO_WORD_ON_A_TAG = (
    RpcFault(-32000, "header not found"),
    RpcFault(-32603, "Internal error"),
    RpcFault(-32002, "request timed out"),
    RpcFault(-32000, "missing trie node 00112233 (path ) state is not available"),
    RpcFault(-32005, "daily request count exceeded, request rate limited"),
    RpcFault(-32601, "the method eth_getBlockByNumber does not exist/is not available"),
    RpcFault(-32000, "context deadline exceeded"),
    RpcFault(429, "unknown block: too many requests"),
    RpcFault(0, ""),
)


@pytest.mark.parametrize(
    ("fault", "known"), [*((one, True) for one in NO_TAG), *((one, False) for one in NO_WORD_ON_A_TAG)]
)
def test_only_a_nodes_own_word_says_that_a_tag_names_nothing(*, fault: RpcFault, known: bool) -> None:
    assert refusals.knows_no_tag(fault) is known


# The whole sentence, as the node writes it; what it means.
SAID = (
    ("already known", NodeReply.ACCEPTED),  # geth
    ("ALREADY_EXISTS: already known", NodeReply.ACCEPTED),  # erigon
    ("INTERNAL_ERROR: existing tx with same hash", NodeReply.ACCEPTED),  # erigon
    ("AlreadyKnown", NodeReply.ACCEPTED),  # nethermind
    ("Known transaction", NodeReply.ACCEPTED),  # besu
    ("known transaction: 0f3c", NodeReply.ACCEPTED),  # geth before 1.9
    ("Transaction with the same hash was already imported.", NodeReply.ACCEPTED),  # openethereum
    ("Tx: [0xab] already Imported", NodeReply.ACCEPTED),  # anvil
    ("nonce too low: next nonce 5, tx nonce 3", NodeReply.NONCE_USED),  # geth, reth
    ("INTERNAL_ERROR: nonce too low", NodeReply.NONCE_USED),  # erigon
    ("OldNonce, Current nonce: 22, nonce of rejected tx: 17", NodeReply.NONCE_USED),  # nethermind
    ("Nonce too low", NodeReply.NONCE_USED),  # besu
    ("Transaction nonce is too low. Try incrementing the nonce.", NodeReply.NONCE_USED),  # openethereum
    ("replacement transaction underpriced", NodeReply.TOO_CHEAP),  # geth, reth, nethermind
    ("replacement transaction underpriced: new tx gas fee cap 1, gas tip cap 1", NodeReply.TOO_CHEAP),
    ("Replacement transaction underpriced", NodeReply.TOO_CHEAP),  # besu
    ("ReplacementNotAllowed", NodeReply.TOO_CHEAP),  # nethermind
    ("could not replace existing tx", NodeReply.TOO_CHEAP),  # erigon
    ("Tx: [0xab] insufficient gas price to replace existing transaction", NodeReply.TOO_CHEAP),  # anvil
    (
        "Transaction gas price 1wei is too low. There is another transaction with same nonce in the queue.",
        NodeReply.TOO_CHEAP,
    ),
    (
        "Transaction gas price is too low. It does not satisfy your node's minimal gas price (minimal: 2, got: 1).",
        NodeReply.TOO_CHEAP,
    ),
    ("transaction underpriced: tip needed 2, tip permitted 1", NodeReply.TOO_CHEAP),  # geth
    ("transaction gas price below minimum: gas tip cap 1, minimum needed 1000", NodeReply.TOO_CHEAP),  # geth
    ("max fee per gas less than block base fee: address 0xab, maxFeePerGas: 1, baseFee: 7", NodeReply.TOO_CHEAP),
    ("FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 7", NodeReply.TOO_CHEAP),  # nethermind
    ("FeeTooLowToCompete", NodeReply.TOO_CHEAP),  # nethermind
    ("Gas price below configured minimum gas price", NodeReply.TOO_CHEAP),  # besu
    ("Gas price below current base fee", NodeReply.TOO_CHEAP),  # besu
    ("UNDERPRICED: underpriced", NodeReply.TOO_CHEAP),  # erigon
    ("fee too low", NodeReply.TOO_CHEAP),  # erigon
    ("nonce too high: tx nonce 9, gapped nonce 5", NodeReply.NONCE_GAP),  # geth
    ("NonceGap, Future nonce. Expected nonce: 7", NodeReply.NONCE_GAP),  # nethermind
    ("Transaction nonce is too distant from current sender nonce", NodeReply.NONCE_GAP),  # besu
    ("An invalid transaction with a lower nonce exists", NodeReply.NONCE_GAP),  # besu
    ("future transaction tries to replace pending", NodeReply.NONCE_GAP),  # geth
    ("txpool is full", NodeReply.NONCE_GAP),  # geth, reth
    ("queued sub-pool is full", NodeReply.NONCE_GAP),  # erigon
    ("address already reserved", NodeReply.NONCE_GAP),  # geth
    ("account limit exceeded: pooled 16 txs", NodeReply.NONCE_GAP),  # geth
    ("insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1", NodeReply.NO_FUNDS),  # geth
    ("Insufficient funds for gas * price + value", NodeReply.NO_FUNDS),  # anvil
    ("InsufficientFunds, Account balance: 1, cumulative cost: 2", NodeReply.NO_FUNDS),  # nethermind
    ("Upfront cost exceeds account balance", NodeReply.NO_FUNDS),  # besu
    (
        "Insufficient funds. The account you tried to send transaction from does not have enough funds.",
        NodeReply.NO_FUNDS,
    ),
    ("exceeds block gas limit", NodeReply.REFUSED),  # geth
    ("Transaction gas limit exceeds block gas limit", NodeReply.REFUSED),  # besu
    ("intrinsic gas too low: gas 20000, minimum needed 21000", NodeReply.REFUSED),  # geth
    ("Intrinsic gas exceeds gas limit", NodeReply.REFUSED),  # besu
    ("tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", NodeReply.REFUSED),  # geth
    ("invalid sender", NodeReply.REFUSED),  # geth
    ("transaction type not supported", NodeReply.REFUSED),  # geth
    ("only replay-protected (EIP-155) transactions allowed over RPC", NodeReply.REFUSED),  # geth
    ("invalid chain id for signer: have 1 want 61", NodeReply.REFUSED),  # geth
    ("Wrong chainId", NodeReply.REFUSED),  # besu
    ("rlp: expected input list for types.LegacyTx", NodeReply.REFUSED),  # geth
)


@pytest.mark.parametrize(("words", "means"), SAID)
def test_what_nodes_say_to_a_transaction_is_understood(words: str, means: NodeReply) -> None:
    assert refusals.reply(RpcFault(-32000, words)) is means


@pytest.mark.parametrize(
    "words",
    [
        "",
        "internal error",
        "INTERNAL_ERROR: mined",
        "timeout",
        "context deadline exceeded",
        "<html>502</html>",
        "invalid",
    ],
)
def test_what_is_not_known_means_nothing(words: str) -> None:
    fault = RpcFault(-32603, words)
    assert refusals.reply(fault) is None
    assert not refusals.not_taken(fault)


def test_every_line_of_the_table_is_in_lower_case_and_names_who_says_it() -> None:
    for part, _, vendors in SENDING:
        assert part == part.lower()
        assert vendors


def test_no_line_hides_one_of_another_meaning() -> None:
    for part, meaning, _ in SENDING:
        assert refusals.reply(RpcFault(0, part)) is meaning


@pytest.mark.parametrize(
    ("code", "words", "means"),
    [
        (3, "execution reverted: used", Means.FAILS),  # geth
        (-32000, "Execution reverted", Means.FAILS),  # besu
        (-32015, "VM execution error.", Means.FAILS),  # nethermind, openethereum
        (-32000, "gas required exceeds allowance (30000000)", Means.FAILS),  # geth
        (-32603, "EVM error InvalidFEOpcode", Means.FAILS),  # anvil
        (-32000, "insufficient funds for transfer", Means.NO_FUNDS),  # geth
        (-32000, "missing trie node 00aa (path ) state 0xff is not available", Means.NO_STATE),  # geth
        (4444, "pruned history unavailable", Means.NO_STATE),  # reth
        (-32000, "World state unavailable", Means.NO_STATE),  # besu
        (-32001, "block not found: 0x10", Means.NO_STATE),  # reth
        (-32000, "BlockOutOfRangeError: block height is 1 but requested was 5", Means.NO_STATE),  # anvil
        (-32602, "range 1000000 exceeds limit of 10000", Means.TOO_MUCH),  # infura
        (-32000, "query block range exceeds server limit, narrow your filter: 1000", Means.TOO_MUCH),  # erigon
        (-32005, "query returned more than 10000 results", Means.TOO_MUCH),  # a gateway
        (-32005, "daily request count exceeded, request rate limited", Means.BUSY),  # a gateway
        (429, "Your app has exceeded its compute units per second capacity", Means.BUSY),  # a gateway
        (-32601, "the method eth_feeHistory does not exist/is not available", Means.TROUBLE),  # geth
        (-32603, "Internal error", Means.TROUBLE),  # besu
    ],
)
def test_what_nodes_say_to_a_question_is_understood(code: int, words: str, means: Means) -> None:
    assert refusals.means(RpcFault(code, words)) is means
