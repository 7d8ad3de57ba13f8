"""What lanes, payments and transactions keep. Wei are kept as decimal text: they do not fit into 64 bits."""

from dataclasses import dataclass
from typing import TypeAlias

from machines.core.chain import NO_DATA, NO_HASH, Address, GasFee, TxHash
from machines.core.decision import Claim
from machines.core.ids import Owner, RecordId, derived_id, shard_for
from machines.core.ports import Cause, Evidence, PaymentKey
from machines.core.record import Record

ETHER = "ether"
"""What a lane lacks where it is the chain's own money."""

HASHES = "hash"
"""The space of unique claims in which the hash of each attempt names its transaction."""


@dataclass(frozen=True, slots=True)
class LaneData:
    """The sequence of nonces of one address on one chain."""

    name: str
    chain_id: int
    address: Address
    next_nonce: int
    noticed: int = 0
    """How many transactions from outside were noticed."""
    suspects: tuple["Suspect", ...] = ()
    """Transactions from outside that may have paid payments that are not paid yet."""
    waits_for: str = ""
    """What keeps the lane from signing more, in words; empty when nothing does."""
    lacks: str = ""
    """Which money is missing: `ETHER`, or the address of a token; empty where it is not money that it waits for."""
    trusted: str = ""
    """The node whose word counts alone for a time, by its host and port."""
    trusted_until: int = 0
    spent: tuple["Spent", ...] = ()
    """What was signed for under each of its caps."""
    capped: bool = False
    """Whether a cap holds what is queued, or what would be offered."""


@dataclass(frozen=True, slots=True)
class Spent:
    """How much was signed for in an hour and in a day; of another hour or day it says nothing."""

    what: str
    """`ETHER`, the address of a token, or `fees`."""
    hour: int = 0
    in_hour: str = "0"
    day: int = 0
    in_day: str = "0"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A transaction from outside, and the payment whose work it may have done."""

    hash: TxHash
    nonce: int
    payment: RecordId


@dataclass(frozen=True, slots=True)
class PaymentData:
    """What is to be done, for whom, and what came of it."""

    key: PaymentKey
    to: Address | None
    """None makes a contract."""
    value_wei: str
    data: str = NO_DATA
    token: Address | None = None
    """The ERC-20 contract whose units are paid; `value_wei` counts these then."""
    batchable: bool = False
    """Whether it may be paid together with others: a plain payment, not a call."""
    most_together: int = 0
    """With how many others at most it may be paid in one transaction, itself included; 0 for no limit."""
    transaction: RecordId | None = None
    place: int = 0
    nonce: int = -1
    hash: TxHash = NO_HASH
    """The attempt that went out last, or the one that was mined."""
    evidence: Evidence | None = None
    reason: str = ""
    cause: Cause = Cause.UNKNOWN
    retryable: bool = False
    permit: str = ""
    """Over which payment this is, to whom, and of how much; empty where an older version queued it."""
    turn: int = 0
    """The version in which it waits again, which its permit names; 0 while it waits for the first time."""


@dataclass(frozen=True, slots=True)
class SignedAttempt:
    """One set of signed bytes for a nonce."""

    hash: TxHash
    raw: str
    fee: GasFee
    empty: bool = False
    """Whether it only uses up the nonce."""
    sent: bool = False
    """Whether it was, or may have been, given to a node."""


@dataclass(frozen=True, slots=True)
class TransactionData:
    """One nonce of a lane, with every attempt to use it."""

    lane: str
    chain_id: int
    sender: Address
    nonce: int
    to: Address | None
    value_wei: str
    data: str
    gas: int
    attempts: tuple[SignedAttempt, ...]
    members: tuple[RecordId, ...] = ()
    batch: str = ""
    """The id of the batch on chain; empty for a transaction that pays one, or nobody."""
    token: Address | None = None
    token_units: str = "0"  # noqa: S105  (a token on a chain)
    cancel: str = ""
    """Why it is to be replaced by nothing; empty when it is not."""
    asked_bump: bool = False
    sent_at: int = 0
    """When the newest attempt went out for the first time."""
    repeated_at: int = 0
    """When its bytes went out last."""
    reply: str = ""
    """What the nodes said last, in their words, where it was not simply yes."""
    reply_code: str = ""
    """The same as one of `NodeReply`: what is decided about it, is decided by this."""
    hash: TxHash = NO_HASH
    """Which attempt was mined, or what took its nonce."""
    block: int = 0
    block_hash: str = ""
    fee_wei: str = ""
    permit: str = ""
    """Over what was signed for the nonce first; empty where an older version signed it."""

    @property
    def newest(self) -> SignedAttempt:
        """The attempt that offers most."""
        return self.attempts[-1]


LaneRecord: TypeAlias = Record[LaneData]
PaymentRecord: TypeAlias = Record[PaymentData]
TransactionRecord: TypeAlias = Record[TransactionData]


def hash_claim(tx: TxHash) -> Claim:
    """Name what leads from the hash of an attempt to its transaction."""
    return Claim(HASHES, tx)


def owner_of_lane(name: str) -> Owner:
    """Name the owner of everything in a lane, so that all of it is in one shard."""
    return Owner(f"lane:{name}")


def lane_of(owner: Owner) -> str:
    """Give the name of the lane that owns a record."""
    return owner.partition(":")[2]


def lane_id(name: str, shards: int) -> RecordId:
    return derived_id("lane", shard_for(owner_of_lane(name), shards), name)


def payment_id(lane: str, key: PaymentKey, shards: int) -> RecordId:
    """Give the id of a payment in a lane: the same key is the same payment, for ever."""
    return derived_id("payment", shard_for(owner_of_lane(lane), shards), lane, key)


def transaction_id(lane: str, nonce: int, shards: int) -> RecordId:
    return derived_id("transaction", shard_for(owner_of_lane(lane), shards), lane, str(nonce))
