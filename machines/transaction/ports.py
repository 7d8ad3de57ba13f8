"""What a lane needs around it: its chain and signer, and a way to its records."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from machines.core.chain import Address, Chain, PayMany, Signer, TxHash
from machines.core.decision import New
from machines.core.errors import RailClosed
from machines.core.ids import RecordId
from machines.core.ports import PaymentKey, PermitSigner
from machines.transaction import lifecycle as s
from machines.transaction.data import LaneRecord, PaymentData, PaymentRecord, TransactionRecord
from machines.transaction.policy import LanePolicy

MOST_UNPAID = 100_000
Announce = Callable[[PaymentKey, TxHash, int], Awaitable[str]]
"""Is told of every attempt, with its nonce, before its bytes leave; says why they must not any more, or nothing."""


@dataclass(frozen=True, slots=True)
class LaneToken:
    """An ERC-20 token that a lane pays."""

    address: Address
    decimals: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One sending address on one chain."""

    name: str
    chain: Chain
    signer: Signer
    policy: LanePolicy
    pay_many: PayMany | None = None
    tokens: Mapping[str, LaneToken] = field(default_factory=dict)
    """By the asset's code."""
    announce: Announce | None = None
    watch: "Watch | None" = None

    @property
    def scopes(self) -> tuple[str, str]:
        """What an operator may pause to stop it."""
        return f"rail:{self.name}", f"lane:{self.name}"

    def refuse_other(self, chain_id: int, address: Address) -> None:
        """See that it still sends from where its records say: another address has other nonces."""
        if (chain_id, address) != (self.chain.chain_id, self.signer.address):
            raise RailClosed(
                f"The lane {self.name} was made for {address} on chain {chain_id}; its settings now say "
                f"{self.signer.address} on chain {self.chain.chain_id}. Give the new address a lane of another name.",
                rail=self.name,
            )


@dataclass(frozen=True, slots=True)
class LaneView:
    """What a look at a lane saw."""

    lane: str
    now: int
    next_nonce: int
    in_flight: int
    oldest_unmined_at: int | None
    """When the oldest transaction that waits was made; None when none waits."""
    balance_wei: int
    lacks_money: bool
    """Whether it waits for money."""
    capped: bool
    """Whether one of its caps holds something."""


class Watch(Protocol):
    """Is told what is worth measuring."""

    def looked(self, view: LaneView) -> None:
        """A look at the lane saw this."""

    def bumped(self, lane: str) -> None:
        """More was offered for a transaction."""

    def finished(self, lane: str, fee_wei: int) -> None:
        """A transaction was buried, and cost this."""


class LaneBooks(Protocol):
    """The lane's records in the store."""

    @property
    def permits(self) -> PermitSigner:
        """What makes and checks permits."""

    def distrust(self, record_id: RecordId) -> None:
        """Tell people of a record that says something else than was permitted; nothing is signed for it."""

    async def lane(self, name: str) -> LaneRecord | None:
        """Find a lane's record; None before its first payment."""

    async def queued(self, lane: str, limit: int) -> list[PaymentRecord]:
        """List payments that wait for a signature, the oldest first."""

    async def unsettled(self, lane: str) -> list[TransactionRecord]:
        """List the lane's transactions that are not over, by nonce."""

    async def transaction(self, lane: str, nonce: int) -> TransactionRecord | None:
        """Find what the lane did with a nonce."""

    async def payments(self, ids: Sequence[RecordId]) -> tuple[PaymentRecord, ...]:
        """Read payments, in the order of their ids."""

    def transaction_id(self, lane: str, nonce: int) -> RecordId:
        """Give the id of what a lane does with a nonce."""

    def payment_id(self, lane: str, key: PaymentKey) -> RecordId:
        """Give the id of a payment."""

    async def payment(self, lane: str, key: PaymentKey) -> PaymentRecord | None:
        """Find a payment by its key."""

    async def queue(self, lane: Lane, new: New[PaymentData]) -> None:
        """Make a payment unless it exists, and wake the lane. `KeyReused` when its id asked for something else."""


async def unpaid(books: LaneBooks, lane: str, unsettled: Sequence[TransactionRecord] = ()) -> list[PaymentRecord]:
    """List all that waits in a lane, and all that transactions carry which are not over."""
    carried = await books.payments([member for transaction in unsettled for member in transaction.data.members])
    return [*await books.queued(lane, MOST_UNPAID), *(one for one in carried if one.state == s.SENDING)]
