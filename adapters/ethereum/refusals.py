"""What a node's error proves: one table of sentences for all vendors. What does not stand in it proves nothing."""

from enum import Enum, auto

from adapters.ethereum.envelope import RpcFault
from machines.core.chain import NodeReply

SENDING: tuple[tuple[str, NodeReply, str], ...] = (
    # the message contains, in lower case; what it means; who says it. The first line that fits counts.
    #
    # It has been taken before.
    ("already known", NodeReply.ACCEPTED, "geth, core-geth, reth, nethermind, erigon (ALREADY_EXISTS: already known)"),
    ("alreadyknown", NodeReply.ACCEPTED, "nethermind before 2026"),
    ("already imported", NodeReply.ACCEPTED, "openethereum, parity, anvil"),
    ("known transaction", NodeReply.ACCEPTED, "besu; geth before 1.9"),
    ("existing tx with same hash", NodeReply.ACCEPTED, "erigon"),
    ("already in mempool", NodeReply.ACCEPTED, "some gateways"),
    #
    # Its nonce is behind the account's.
    ("nonce too low", NodeReply.NONCE_USED, "geth, core-geth, reth, erigon, nethermind, besu, anvil"),
    ("nonce is too low", NodeReply.NONCE_USED, "openethereum, parity"),
    ("oldnonce", NodeReply.NONCE_USED, "nethermind before 2026"),
    #
    # Another one of its nonce offers as much, or its price is below what the node takes.
    ("replacement transaction underpriced", NodeReply.TOO_CHEAP, "geth, core-geth, reth, erigon, nethermind, besu"),
    ("insufficient gas price to replace existing", NodeReply.TOO_CHEAP, "anvil"),
    ("there is another transaction with same nonce", NodeReply.TOO_CHEAP, "openethereum, parity"),
    ("replacementnotallowed", NodeReply.TOO_CHEAP, "nethermind before 2026"),
    ("ownnoncealreadyused", NodeReply.TOO_CHEAP, "nethermind before 2022"),
    ("could not replace existing tx", NodeReply.TOO_CHEAP, "erigon"),
    ("underpriced", NodeReply.TOO_CHEAP, "geth, core-geth, reth, erigon, nethermind, anvil"),
    ("fee per gas less than block base fee", NodeReply.TOO_CHEAP, "geth, reth, anvil"),
    ("fee cap less than block base fee", NodeReply.TOO_CHEAP, "geth before 1.10.9"),
    ("gas price below", NodeReply.TOO_CHEAP, "besu (configured minimum, current base fee), geth (minimum)"),
    ("gas price is too low", NodeReply.TOO_CHEAP, "openethereum, parity"),
    ("gas price too low", NodeReply.TOO_CHEAP, "geth and descendants"),
    ("max gas price is lower th", NodeReply.TOO_CHEAP, "openethereum"),
    ("feetoolow", NodeReply.TOO_CHEAP, "nethermind before 2026 (FeeTooLow, FeeTooLowToCompete)"),
    ("fee too low", NodeReply.TOO_CHEAP, "erigon"),
    ("dropped due to limit. try increasing the fee", NodeReply.TOO_CHEAP, "openethereum, parity"),
    #
    # It lacks an earlier one, or there is no room for one that cannot be mined next.
    ("nonce too high", NodeReply.NONCE_GAP, "geth, core-geth, reth, nethermind, besu, anvil"),
    ("noncegap", NodeReply.NONCE_GAP, "nethermind before 2026"),
    ("noncetoofarinfuture", NodeReply.NONCE_GAP, "nethermind before 2026"),
    ("nonce too far in future", NodeReply.NONCE_GAP, "nethermind"),
    ("too distant from current sender nonce", NodeReply.NONCE_GAP, "besu"),
    ("transaction with a lower nonce exists", NodeReply.NONCE_GAP, "besu"),
    ("future transaction tries to replace pending", NodeReply.NONCE_GAP, "geth, core-geth"),
    ("gapped-nonce", NodeReply.NONCE_GAP, "geth, for accounts with delegated code"),
    ("in-flight transaction limit reached", NodeReply.NONCE_GAP, "geth, for accounts with delegated code"),
    ("already reserved", NodeReply.NONCE_GAP, "geth: the account has transactions of another kind in the pool"),
    ("account limit exceeded", NodeReply.NONCE_GAP, "geth"),
    ("txpool is full", NodeReply.NONCE_GAP, "geth, core-geth, reth"),
    ("sub-pool is full", NodeReply.NONCE_GAP, "erigon"),
    ("spammer", NodeReply.NONCE_GAP, "erigon: too many of one account"),
    #
    # The account is too poor now.
    (
        "insufficient funds",
        NodeReply.NO_FUNDS,
        "geth, core-geth, reth, erigon, nethermind, anvil, openethereum, parity",
    ),
    ("insufficientfunds", NodeReply.NO_FUNDS, "nethermind before 2026"),
    ("insufficient balance", NodeReply.NO_FUNDS, "geth, parity"),
    ("upfront cost exceeds account balance", NodeReply.NO_FUNDS, "besu"),
    ("would cause overdraft", NodeReply.NO_FUNDS, "geth"),
    #
    # It is wrong in itself.
    ("gas limit reached", NodeReply.REFUSED, "nethermind"),
    ("gaslimitexceeded", NodeReply.REFUSED, "nethermind before 2026"),
    ("exceeds block gas limit", NodeReply.REFUSED, "geth, core-geth, reth, erigon, besu"),
    ("cost exceeds current gas limit", NodeReply.REFUSED, "openethereum, parity"),
    ("supplied gas is beyond limit", NodeReply.REFUSED, "openethereum, parity"),
    ("gas limit too high", NodeReply.REFUSED, "geth, reth: above what one transaction may have since Osaka"),
    ("gas limit is greater than", NodeReply.REFUSED, "anvil"),
    ("intrinsic gas too", NodeReply.REFUSED, "geth, core-geth, reth, anvil"),
    ("intrinsicgas", NodeReply.REFUSED, "erigon"),
    ("intrinsic gas exceeds gas limit", NodeReply.REFUSED, "besu"),
    ("transaction gas is too low", NodeReply.REFUSED, "openethereum, parity"),
    ("floor data gas", NodeReply.REFUSED, "geth, reth"),
    ("exceeds the configured cap", NodeReply.REFUSED, "geth: the fee is above the node's own limit, --rpc.txfeecap"),
    ("transaction fee cap exceeded", NodeReply.REFUSED, "besu"),
    ("gas uint64 overflow", NodeReply.REFUSED, "geth, reth, anvil"),
    ("gasuintoverflow", NodeReply.REFUSED, "erigon"),
    ("int256overflow", NodeReply.REFUSED, "nethermind before 2026"),
    ("transaction cost overflow", NodeReply.REFUSED, "nethermind"),
    ("priority fee per gas higher than max fee", NodeReply.REFUSED, "geth, reth, anvil"),
    ("priority fee per gas exceeds max fee", NodeReply.REFUSED, "besu"),
    ("negative value", NodeReply.REFUSED, "geth, reth, erigon"),
    ("oversized data", NodeReply.REFUSED, "geth, reth, erigon"),
    ("rlptoolong", NodeReply.REFUSED, "erigon"),
    ("transaction is too big", NodeReply.REFUSED, "openethereum, parity"),
    ("maxtxsizeexceeded", NodeReply.REFUSED, "nethermind before 2026"),
    ("initcode", NodeReply.REFUSED, "geth, reth, erigon, anvil"),
    ("invalid sender", NodeReply.REFUSED, "geth, core-geth, reth, erigon"),
    ("recover sender", NodeReply.REFUSED, "nethermind"),
    ("failedtoresolvesender", NodeReply.REFUSED, "nethermind before 2026"),
    ("invalid signature", NodeReply.REFUSED, "besu, openethereum, parity"),
    ("invalid transaction signature", NodeReply.REFUSED, "reth"),
    ("not an eoa", NodeReply.REFUSED, "geth, reth, nethermind, anvil: the account has code"),
    ("senderiscontract", NodeReply.REFUSED, "nethermind before 2026"),
    ("nonce has max value", NodeReply.REFUSED, "geth, reth, anvil"),
    ("invalid chain id", NodeReply.REFUSED, "geth, reth, anvil, openethereum"),
    ("wrong chainid", NodeReply.REFUSED, "besu"),
    ("chainid is required", NodeReply.REFUSED, "besu"),
    ("chainid not supported", NodeReply.REFUSED, "besu"),
    ("signed for another chain", NodeReply.REFUSED, "anvil"),
    ("only replay-protected", NodeReply.REFUSED, "geth"),
    ("transaction type not supported", NodeReply.REFUSED, "geth, core-geth, reth"),
    ("invalid transaction type", NodeReply.REFUSED, "besu"),
    ("transaction type is not enabled", NodeReply.REFUSED, "openethereum"),
    ("fork supporting this transaction type", NodeReply.REFUSED, "erigon"),
    ("not supported by the current hardfork", NodeReply.REFUSED, "anvil"),
    ("notsupportedtxtype", NodeReply.REFUSED, "nethermind before 2026"),
    ("banned in local queue", NodeReply.REFUSED, "openethereum, parity"),
    ("transaction is not permitted", NodeReply.REFUSED, "openethereum, parity"),
    ("not authorized to send transactions", NodeReply.REFUSED, "besu"),
    ("invalid rlp", NodeReply.REFUSED, "openethereum, parity"),
    ("rlp: ", NodeReply.REFUSED, "geth, core-geth, erigon"),
    ("failed to decode", NodeReply.REFUSED, "reth, anvil"),
    ("transaction invalid", NodeReply.REFUSED, "nethermind"),
)

NOT_TAKEN = (
    "method not found",
    "method not enabled",  # besu
    "does not exist/is not available",  # geth
    "transaction pool not enabled",  # besu
    "sync is still in progress",  # besu
    "syncing",  # nethermind, openethereum
)
"""What a node says that takes nothing from anybody now."""

METHOD_CODES = frozenset({-32601, -32604})

REVERTED = 3
"""The code for a call that reverts, with geth and its likes."""
REVERTS = (
    "revert",  # all of them
    "out of gas",
    "gas required exceeds",  # geth, anvil
    "invalid opcode",
    "evm error",  # anvil
    "invalid jump",
    "stack underflow",
    "execution error",  # openethereum, nethermind
    "due to an exception",  # openethereum, besu
    "always failing transaction",  # geth before 1.10
)

BUSY_CODES = frozenset({-32005, -32029, 429})
BUSY = ("rate limit", "too many requests", "limit exceeded", "capacity", "throughput", "quota", "compute units")

BATCHES = ("batch", "too large", "requests exceeds")
"""geth and erigon: "batch too large", besu: "exceeds max batch size", nethermind: "batch size limit exceeded"."""

NO_STATE = (
    "missing trie node",  # geth, core-geth
    "state",  # "required historical state unavailable", "World state unavailable", "node is running with state pruning"
    "pruned",  # reth, erigon, nethermind
    "old data not available",  # erigon
    "header not found",  # geth, reth
    "block not found",  # reth, besu
    "unknown block",  # besu
    "out of range",
    "outofrange",  # anvil: "BlockOutOfRangeError"
    "resource not found",  # nethermind
)

UNKNOWN_TAG_CODES = frozenset({-32602, -39001})
"""The tag cannot be read; no block has it."""
UNKNOWN_TAG = (
    "finalized block not found",  # geth and its likes, besu, where none is final (yet)
    "block not found: finalized",  # reth
    "unknown block",  # erigon, nethermind, besu
    "without 0x prefix",  # geth and core-geth from before the tag: "invalid argument 0: hex string without 0x prefix"
    "invalid block number",  # openethereum, parity
    "block tag",  # gateways: "unsupported block tag", "unknown block tag", "block tag not supported"
)
"""What a node says for which the tag `finalized` names nothing."""

TOO_MUCH = (
    "block range",  # erigon: "query block range exceeds server limit", and most gateways
    "range limit",
    "exceeds limit of",  # infura: "range 1000000 exceeds limit of 10000"
    "narrow your filter",  # erigon
    "query returned more than",  # infura, aurora
    "too many logs",
    "too many results",
    "response size exceeded",  # alchemy
    "exceeds max results",  # reth
)
"""What nodes say to a question about events in more blocks, or with more of them, than they answer at once."""

NO_FUNDS = ("insufficient funds", "insufficient balance", "upfront cost exceeds")


class Means(Enum):
    """What an error to a question means."""

    FAILS = auto()
    """The call itself would fail: no node will say anything else."""
    BUSY = auto()
    """The node was asked too often, and did nothing."""
    NO_STATE = auto()
    """The node does not keep what was asked for, or has not reached it."""
    NO_FUNDS = auto()
    """The account cannot pay."""
    TOO_MUCH = auto()
    """It wants to be asked for less at once."""
    TROUBLE = auto()
    """Anything else: another node may know better."""


QUESTIONS = (
    # what the answer contains; what it means. The first row that fits counts.
    (REVERTS, Means.FAILS),
    (NO_FUNDS, Means.NO_FUNDS),
    (TOO_MUCH, Means.TOO_MUCH),
    (NO_STATE, Means.NO_STATE),
)


def reply(fault: RpcFault) -> NodeReply | None:
    """Say what an error to a broadcast means; None for one that is not known."""
    words = fault.words.lower()
    return next((means for part, means, _ in SENDING if part in words), None)


def not_taken(fault: RpcFault) -> bool:
    """Say whether the node cannot have taken the transaction, though it does not say why."""
    return fault.code in METHOD_CODES or any(part in fault.words.lower() for part in NOT_TAKEN) or busy(fault)


def busy(fault: RpcFault) -> bool:
    """Say whether the node was asked too often."""
    return fault.code in BUSY_CODES or any(part in fault.words.lower() for part in BUSY)


def knows_no_tag(fault: RpcFault) -> bool:
    """Say whether a node that was asked for the block with a tag says that there is none: all else is trouble."""
    words = fault.words.lower()
    return not busy(fault) and (fault.code in UNKNOWN_TAG_CODES or any(part in words for part in UNKNOWN_TAG))


def too_many(fault: RpcFault) -> bool:
    """Say whether a node turned a whole batch away because of its size."""
    return any(part in fault.words.lower() for part in BATCHES)


def means(fault: RpcFault) -> Means:
    """Say what an error to a question means."""
    words = f"{fault.words} {fault.data}".lower()
    if fault.code == REVERTED:
        return Means.FAILS
    for parts, meaning in QUESTIONS:
        if any(part in words for part in parts):
            return meaning
    return Means.BUSY if busy(fault) else Means.TROUBLE
