"""What the machines know of a chain: values, and the ports through which it is read, signed for and written to.

Amounts here are wei and never ledger units. Hashes and data are lower-case hex with `0x` in front; addresses are
checksummed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NewType, Protocol

from machines.core.errors import BadInput, NoQuorum

Address = NewType("Address", str)
TxHash = NewType("TxHash", str)

NO_DATA = "0x"
NO_HASH = TxHash("")
_TX_HASH = re.compile(r"0x[0-9a-f]{64}")


def tx_hash(text: str) -> TxHash:
    """Read the hash of a transaction as somebody wrote it."""
    plain = text.strip().lower()
    if not _TX_HASH.fullmatch(plain):
        raise BadInput(f"{text[:80]!r} is no transaction hash: 0x and 64 hexadecimal digits.")
    return TxHash(plain)


@dataclass(frozen=True, slots=True)
class GasFee:
    """What is offered for a unit of gas."""

    max_wei: int
    tip_wei: int | None = None
    """None makes a legacy transaction, whose one price is `max_wei`."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A transaction, ready to be signed."""

    chain_id: int
    nonce: int
    to: Address | None
    """None makes a contract."""
    value_wei: int
    data: str
    gas: int
    fee: GasFee


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """The bytes that will be sent, and the hash that they will have."""

    raw: str
    hash: TxHash


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where the chain stands, as the best of our nodes tells it."""

    number: int
    hash: str
    timestamp_s: int
    base_fee_wei: int | None
    """None on a chain without EIP-1559."""
    finalized: int | None
    """The newest block that cannot go away; None on a chain that has no such thing."""


@dataclass(frozen=True, slots=True)
class Market:
    """What others offer for gas now."""

    base_fee_wei: int | None
    tip_wei: int
    """At the percentile that was asked for."""
    gas_price_wei: int


@dataclass(frozen=True, slots=True)
class Log:
    """One event of a receipt."""

    address: Address
    topics: tuple[str, ...]
    data: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction did, in the block that carries it."""

    hash: TxHash
    block: int
    block_hash: str
    ok: bool
    gas_used: int
    gas_price_wei: int
    contract: Address | None = None
    logs: tuple[Log, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A transaction as a node shows it, whoever sent it."""

    hash: TxHash
    sender: Address
    nonce: int
    to: Address | None
    value_wei: int
    data: str
    block: int | None
    """None while it waits."""


class NodeReply(StrEnum):
    """What the nodes say to a transaction's bytes. None of it is proof of anything but itself."""

    ACCEPTED = "accepted"
    """Taken, or known already."""
    NONCE_USED = "nonce_used"
    """Its nonce is below the account's: it was mined, or another one was."""
    NONCE_GAP = "nonce_gap"
    """The node lacks an earlier one, or has no room for one out of order."""
    TOO_CHEAP = "too_cheap"
    """Another of the same nonce offers as much, or the price is below what the node takes."""
    NO_FUNDS = "no_funds"
    """The account cannot pay for it now."""
    REFUSED = "refused"
    """It can never be mined as it is."""


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """A reply, and the words of the node that gave it."""

    reply: NodeReply
    words: str = ""


class Chain(Protocol):
    """Reads a chain, and hands it bytes.

    What is asked about a block is proof: where there are several nodes, enough of them say the same, or `NoQuorum` is
    raised. What is asked about `latest` is good enough to plan with.

    Every method raises `Retryable` when no node can be asked, `RailClosed` where every node answers for another chain,
    or where the nodes are on different branches.
    """

    @property
    def chain_id(self) -> int:
        """Which chain this must be."""

    async def head(self) -> ChainHead:
        """Say where the chain stands, as enough nodes agree: where they do not, where it stood when they last did.

        Where they never did, it has no hash, and nothing is buried in it; who reads at its block takes `known_head`.
        """

    async def nonce(self, address: Address, block: int | Literal["latest", "pending"] = "latest") -> int:
        """Count what an address has sent up to a block."""

    async def balance(self, address: Address, block: int | Literal["latest"] = "latest") -> int:
        """Say how many wei an address has."""

    async def receipt(self, tx: TxHash) -> Receipt | None:
        """Find the receipt that enough nodes show alike. None proves nothing: they may lag, or not agree yet."""

    async def transaction(self, tx: TxHash) -> Seen | None:
        """Find a transaction that enough nodes show alike, mined or waiting. None proves nothing."""

    async def sent_by(self, sender: Address, nonce: int, block: int) -> Seen | None:
        """Find the transaction that used up a nonce, in blocks up to this one; None where the nonce was free then."""

    async def broadcast(self, raw: str) -> NodeAnswer:
        """Hand the same bytes to every node; the best reply counts. `OutcomeUnknown` when no node gave one."""

    async def market(self, percentile: int) -> Market:
        """Say what gas costs now."""

    async def estimate(self, sender: Address, to: Address | None, value_wei: int, data: str) -> int:
        """Say how much gas a call takes; `Rejected` where it would fail."""

    async def call(self, to: Address, data: str, block: int | Literal["latest"] = "latest") -> str:
        """Read from a contract; `Rejected` where the call fails."""

    async def code(self, address: Address, block: int | Literal["latest"] = "latest") -> str:
        """Give an address's code, `0x` for an account without."""

    async def known(self, address: Address) -> bool:
        """Say whether an account exists: it has code, money or a nonce."""

    async def logs(
        self, address: Address, topics: Sequence[str | None], first: int, last: int
    ) -> list[tuple[TxHash, Log]]:
        """List events of a contract between two blocks."""


class Signer(Protocol):
    """Signs for one address. The key never leaves it."""

    @property
    def address(self) -> Address:
        """For whom it signs."""

    async def sign(self, unsigned: Unsigned) -> SignedTransaction:
        """Sign exactly this; `Retryable` when the signer is down, `RailClosed` when it signs for somebody else."""


@dataclass(frozen=True, slots=True)
class BatchPayee:
    """One line of a batch."""

    to: Address
    units_wei: int


class PayMany(Protocol):
    """The contract that pays many in one transaction."""

    @property
    def address(self) -> Address:
        """Where it is on this chain."""

    def pay(self, batch: str, payees: Sequence[BatchPayee], token: Address | None) -> tuple[int, str, int]:
        """Give value, data and gas limit of the call that pays these; `batch` is 32 bytes in hex, used once."""

    def failed(self, receipt: Receipt, batch: str, payees: Sequence[BatchPayee]) -> frozenset[int]:
        """Read which payees, by their place, were not paid.

        `Contradiction` where the receipt does not speak of this batch.
        """


async def known_head(chain: Chain) -> ChainHead:
    """Say at which block the chain may be read: `NoQuorum` where enough nodes never agreed, as all do on the first."""
    head = await chain.head()
    if not head.hash:
        raise NoQuorum("Too few nodes have agreed yet on where the chain stands.")
    return head
