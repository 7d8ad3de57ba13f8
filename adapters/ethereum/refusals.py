"""What a node's error proves: one table of sentences for all vendors. What does not stand in it proves nothing."""

from enum import Enum, auto

from adapters.ethereum.envelope import Fault
from machines.core.chain import Reply

SENDING: tuple[tuple[str, Reply, str], ...] = (
    # the message contains, in lower case; what it means; who says it. The first line that fits counts.
    #
    # It has been taken before.
    ("already known", Reply.ACCEPTED, "geth, core-geth, reth, nethermind, erigon (ALREADY_EXISTS: already known)"),
    ("alreadyknown", Reply.ACCEPTED, "nethermind before 2026"),
    ("already imported", Reply.ACCEPTED, "openethereum, parity, anvil"),
    ("known transaction", Reply.ACCEPTED, "besu; geth before 1.9"),
    ("existing tx with same hash", Reply.ACCEPTED, "erigon"),
    ("already in mempool", Reply.ACCEPTED, "some gateways"),
    #
    # Its nonce is behind the account's.
    ("nonce too low", Reply.NONCE_USED, "geth, core-geth, reth, erigon, nethermind, besu, anvil"),
    ("nonce is too low", Reply.NONCE_USED, "openethereum, parity"),
    ("oldnonce", Reply.NONCE_USED, "nethermind before 2026"),
    #
    # Another one of its nonce offers as much, or its price is below what the node takes.
    ("replacement transaction underpriced", Reply.TOO_CHEAP, "geth, core-geth, reth, erigon, nethermind, besu"),
    ("insufficient gas price to replace existing", Reply.TOO_CHEAP, "anvil"),
    ("there is another transaction with same nonce", Reply.TOO_CHEAP, "openethereum, parity"),
    ("replacementnotallowed", Reply.TOO_CHEAP, "nethermind before 2026"),
    ("ownnoncealreadyused", Reply.TOO_CHEAP, "nethermind before 2022"),
    ("could not replace existing tx", Reply.TOO_CHEAP, "erigon"),
    ("underpriced", Reply.TOO_CHEAP, "geth, core-geth, reth, erigon, nethermind, anvil"),
    ("fee per gas less than block base fee", Reply.TOO_CHEAP, "geth, reth, anvil"),
    ("fee cap less than block base fee", Reply.TOO_CHEAP, "geth before 1.10.9"),
    ("gas price below", Reply.TOO_CHEAP, "besu (configured minimum, current base fee), geth (minimum)"),
    ("gas price is too low", Reply.TOO_CHEAP, "openethereum, parity"),
    ("gas price too low", Reply.TOO_CHEAP, "geth and descendants"),
    ("max gas price is lower th", Reply.TOO_CHEAP, "openethereum"),
    ("feetoolow", Reply.TOO_CHEAP, "nethermind before 2026 (FeeTooLow, FeeTooLowToCompete)"),
    ("fee too low", Reply.TOO_CHEAP, "erigon"),
    ("dropped due to limit. try increasing the fee", Reply.TOO_CHEAP, "openethereum, parity"),
    #
    # It lacks an earlier one, or there is no room for one that cannot be mined next.
    ("nonce too high", Reply.NONCE_GAP, "geth, core-geth, reth, nethermind, besu, anvil"),
    ("noncegap", Reply.NONCE_GAP, "nethermind before 2026"),
    ("noncetoofarinfuture", Reply.NONCE_GAP, "nethermind before 2026"),
    ("nonce too far in future", Reply.NONCE_GAP, "nethermind"),
    ("too distant from current sender nonce", Reply.NONCE_GAP, "besu"),
    ("transaction with a lower nonce exists", Reply.NONCE_GAP, "besu"),
    ("future transaction tries to replace pending", Reply.NONCE_GAP, "geth, core-geth"),
    ("gapped-nonce", Reply.NONCE_GAP, "geth, for accounts with delegated code"),
    ("in-flight transaction limit reached", Reply.NONCE_GAP, "geth, for accounts with delegated code"),
    ("already reserved", Reply.NONCE_GAP, "geth: the account has transactions of another kind in the pool"),
    ("account limit exceeded", Reply.NONCE_GAP, "geth"),
    ("txpool is full", Reply.NONCE_GAP, "geth, core-geth, reth"),
    ("sub-pool is full", Reply.NONCE_GAP, "erigon"),
    ("spammer", Reply.NONCE_GAP, "erigon: too many of one account"),
    #
    # The account is too poor now.
    ("insufficient funds", Reply.NO_FUNDS, "geth, core-geth, reth, erigon, nethermind, anvil, openethereum, parity"),
    ("insufficientfunds", Reply.NO_FUNDS, "nethermind before 2026"),
    ("insufficient balance", Reply.NO_FUNDS, "geth, parity"),
    ("upfront cost exceeds account balance", Reply.NO_FUNDS, "besu"),
    ("would cause overdraft", Reply.NO_FUNDS, "geth"),
    #
    # It is wrong in itself.
    ("gas limit reached", Reply.REFUSED, "nethermind"),
    ("gaslimitexceeded", Reply.REFUSED, "nethermind before 2026"),
    ("exceeds block gas limit", Reply.REFUSED, "geth, core-geth, reth, erigon, besu"),
    ("cost exceeds current gas limit", Reply.REFUSED, "openethereum, parity"),
    ("supplied gas is beyond limit", Reply.REFUSED, "openethereum, parity"),
    ("gas limit too high", Reply.REFUSED, "geth, reth: above what one transaction may have since Osaka"),
    ("gas limit is greater than", Reply.REFUSED, "anvil"),
    ("intrinsic gas too", Reply.REFUSED, "geth, core-geth, reth, anvil"),
    ("intrinsicgas", Reply.REFUSED, "erigon"),
    ("intrinsic gas exceeds gas limit", Reply.REFUSED, "besu"),
    ("transaction gas is too low", Reply.REFUSED, "openethereum, parity"),
    ("floor data gas", Reply.REFUSED, "geth, reth"),
    ("exceeds the configured cap", Reply.REFUSED, "geth: the fee is above the node's own limit, --rpc.txfeecap"),
    ("transaction fee cap exceeded", Reply.REFUSED, "besu"),
    ("gas uint64 overflow", Reply.REFUSED, "geth, reth, anvil"),
    ("gasuintoverflow", Reply.REFUSED, "erigon"),
    ("int256overflow", Reply.REFUSED, "nethermind before 2026"),
    ("transaction cost overflow", Reply.REFUSED, "nethermind"),
    ("priority fee per gas higher than max fee", Reply.REFUSED, "geth, reth, anvil"),
    ("priority fee per gas exceeds max fee", Reply.REFUSED, "besu"),
    ("negative value", Reply.REFUSED, "geth, reth, erigon"),
    ("oversized data", Reply.REFUSED, "geth, reth, erigon"),
    ("rlptoolong", Reply.REFUSED, "erigon"),
    ("transaction is too big", Reply.REFUSED, "openethereum, parity"),
    ("maxtxsizeexceeded", Reply.REFUSED, "nethermind before 2026"),
    ("initcode", Reply.REFUSED, "geth, reth, erigon, anvil"),
    ("invalid sender", Reply.REFUSED, "geth, core-geth, reth, erigon"),
    ("recover sender", Reply.REFUSED, "nethermind"),
    ("failedtoresolvesender", Reply.REFUSED, "nethermind before 2026"),
    ("invalid signature", Reply.REFUSED, "besu, openethereum, parity"),
    ("invalid transaction signature", Reply.REFUSED, "reth"),
    ("not an eoa", Reply.REFUSED, "geth, reth, nethermind, anvil: the account has code"),
    ("senderiscontract", Reply.REFUSED, "nethermind before 2026"),
    ("nonce has max value", Reply.REFUSED, "geth, reth, anvil"),
    ("invalid chain id", Reply.REFUSED, "geth, reth, anvil, openethereum"),
    ("wrong chainid", Reply.REFUSED, "besu"),
    ("chainid is required", Reply.REFUSED, "besu"),
    ("chainid not supported", Reply.REFUSED, "besu"),
    ("signed for another chain", Reply.REFUSED, "anvil"),
    ("only replay-protected", Reply.REFUSED, "geth"),
    ("transaction type not supported", Reply.REFUSED, "geth, core-geth, reth"),
    ("invalid transaction type", Reply.REFUSED, "besu"),
    ("transaction type is not enabled", Reply.REFUSED, "openethereum"),
    ("fork supporting this transaction type", Reply.REFUSED, "erigon"),
    ("not supported by the current hardfork", Reply.REFUSED, "anvil"),
    ("notsupportedtxtype", Reply.REFUSED, "nethermind before 2026"),
    ("banned in local queue", Reply.REFUSED, "openethereum, parity"),
    ("transaction is not permitted", Reply.REFUSED, "openethereum, parity"),
    ("not authorized to send transactions", Reply.REFUSED, "besu"),
    ("invalid rlp", Reply.REFUSED, "openethereum, parity"),
    ("rlp: ", Reply.REFUSED, "geth, core-geth, erigon"),
    ("failed to decode", Reply.REFUSED, "reth, anvil"),
    ("transaction invalid", Reply.REFUSED, "nethermind"),
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


def reply(fault: Fault) -> Reply | None:
    """Say what an error to a broadcast means; None for one that is not known."""
    words = fault.words.lower()
    return next((means for part, means, _ in SENDING if part in words), None)


def not_taken(fault: Fault) -> bool:
    """Say whether the node cannot have taken the transaction, though it does not say why."""
    return fault.code in METHOD_CODES or any(part in fault.words.lower() for part in NOT_TAKEN) or busy(fault)


def busy(fault: Fault) -> bool:
    """Say whether the node was asked too often."""
    return fault.code in BUSY_CODES or any(part in fault.words.lower() for part in BUSY)


def knows_no_tag(fault: Fault) -> bool:
    """Say whether a node that was asked for the block with a tag says that there is none: all else is trouble."""
    words = fault.words.lower()
    return not busy(fault) and (fault.code in UNKNOWN_TAG_CODES or any(part in words for part in UNKNOWN_TAG))


def too_many(fault: Fault) -> bool:
    """Say whether a node turned a whole batch away because of its size."""
    return any(part in fault.words.lower() for part in BATCHES)


def means(fault: Fault) -> Means:
    """Say what an error to a question means."""
    words = f"{fault.words} {fault.data}".lower()
    if fault.code == REVERTED or any(part in words for part in REVERTS):
        return Means.FAILS
    if any(part in words for part in NO_FUNDS):
        return Means.NO_FUNDS
    if any(part in words for part in TOO_MUCH):
        return Means.TOO_MUCH
    if any(part in words for part in NO_STATE):
        return Means.NO_STATE
    return Means.BUSY if busy(fault) else Means.TROUBLE
