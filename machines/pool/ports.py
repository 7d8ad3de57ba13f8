"""What a pool payment needs from the outside world beside a rail."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from machines.core.chain import Address, Seen, TxHash
from machines.core.ports import PaymentKey
from machines.pool.data import PoolLine


class Booked(StrEnum):
    """What the pool's books answer to a change. Where it is neither DONE nor ALREADY, nothing was changed."""

    DONE = "done"
    ALREADY = "already"
    """This very change was made before; `found` is the step that the payment has reached."""
    LOCKED = "locked"
    """The lock names another payment: `found`."""
    PENDING = "pending"
    """Another payment of the login is pending: `found`."""
    SHORT = "short"
    """The balance, `found`, is less than the amount."""
    ROW_GONE = "row_gone"
    """The pending row is gone, and not by us."""
    BOOKED = "booked"
    """The pending row is gone, and the miner's history has the amount with another transaction: `found`."""
    CONTRADICTS = "contradicts"
    """The books have it the other way round: `found`."""
    BROKEN = "broken"
    """A key has another type, or a field is no number that fits: `found` names it."""


class BookedAnswer(Protocol):
    """An answer of the books."""

    @property
    def code(self) -> str:
        """One of `Booked`."""

    @property
    def found(self) -> str:
        """What was found, in words or as the books have it."""


class BookedPayment(Protocol):
    """How the books have one payment."""

    @property
    def step(self) -> str:
        """How far it came: empty, `debited`, `paid`, `credited` or `skipped`."""

    @property
    def row_s(self) -> int | None:
        """The second that a pending row over its amount was written with; None where there is none."""

    @property
    def pending(self) -> bool:
        """Whether a row over its amount is in the list of pending payments."""


class PaymentBooks(Protocol):
    """The pool's own books. Every change is one atomic step that changes nothing when it is repeated.

    Every method raises `Retryable` where the pool's Redis does not answer, or answers with an error.
    """

    async def book_state(self, line: PoolLine) -> BookedPayment:
        """Say how far a payment came."""

    async def debit(self, line: PoolLine, lock: str = "", *, again: bool = False) -> BookedAnswer:
        """Lock, take it off the balance and log it as pending.

        `lock` is what the lock may name already. `again` books what a restored Redis has forgotten, whoever locks.
        """

    async def skip(self, line: PoolLine) -> BookedAnswer:
        """Call it off: it can never be debited after this."""

    async def announce(self, line: PoolLine, tx: TxHash, nonce: int) -> BookedAnswer:
        """Write down nonce and hash where the pool's own module would look for them."""

    async def write_payment(self, line: PoolLine, tx: TxHash, *, again: bool = False) -> BookedAnswer:
        """Book it as paid, and unlock with the last pending row.

        A history that has this transaction with this amount is the booking: no sum moves twice. `again` also books what
        the books have as given back, or whose row somebody took away.
        """

    async def rollback(self, line: PoolLine) -> BookedAnswer:
        """Give it back, and unlock with the last pending row."""

    async def keep(self) -> None:
        """Return when all that was written is on disk; raises `NotDurable` where that cannot be."""


class Ours(Protocol):
    """What our own store knows."""

    async def names(self, coin: str, row: str) -> bool:
        """Say whether one of our payments is this row of the books."""


class Checks(Protocol):
    """What must hold before a payment."""

    async def fault(self, needed_wei: int, key: PaymentKey) -> str:
        """Say why nothing can be paid now; empty where all is well."""

    async def paid_outside(self, login: str) -> str:
        """Say which transaction that nothing accounts for may have paid a miner already; empty where there is none."""


class Trail(Protocol):
    """What a chain's blocks say of one address."""

    async def sent(self, sender: Address, first: int, last: int) -> Sequence[Seen]:
        """List what an address sent in some blocks, oldest first; `Retryable` where the node lacks one of them."""

    async def block_before(self, second: int) -> int:
        """Find the newest block that is older than a time."""

    async def time_of(self, block: int) -> int:
        """Say in which second a block was made."""
