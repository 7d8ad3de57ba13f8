"""What machines need from the outside world, as small protocols. Adapters and the engine implement them."""

from dataclasses import dataclass, field
from typing import NewType, Protocol, TypeAlias, TypeVar

from machines.core.clock import Millis
from machines.core.facts import Fact
from machines.core.money import Money
from machines.core.record import Record

D = TypeVar("D")
D_contra = TypeVar("D_contra", contravariant=True)

PaymentKey = NewType("PaymentKey", str)


class Step(Protocol):
    """What an act is given besides the record."""

    @property
    def now(self) -> Millis:
        """The store's time when the record was claimed."""

    async def may_send(self, *scopes: str) -> None:
        """Must be awaited right before anything irreversible leaves.

        Raises `LeaseLost`, `Paused` or `NotDurable`. Scopes name what is used, such as `rail:flutterwave`.
        """


class Act(Protocol[D_contra]):
    """Does the I/O of one look and returns what was learned."""

    async def __call__(self, record: Record[D_contra], step: Step, /) -> Fact:
        """Look, or send, and say what was learned."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a payment goes: a kind such as `bank`, and the fields that this kind needs."""

    kind: str
    fields: tuple[tuple[str, str], ...]

    def __getitem__(self, name: str) -> str:
        return dict(self.fields)[name]


@dataclass(frozen=True, slots=True)
class Payment:
    """What a rail is asked to pay."""

    key: PaymentKey
    """The idempotency key, for ever."""
    to: Destination
    amount: Money
    note: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What proves an outcome: a receipt, a block, a gateway object."""

    source: str
    reference: str
    details: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Unsent:
    """The rail knows nothing of the key. That alone is no reason to give money back."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The rail has it and has not finished."""

    waiting_for: str = ""
    """Such as `approval` at the gateway; empty when it is simply under way."""
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """Paid, with proof."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Failed:
    """Proven not paid."""

    reason: str
    retryable: bool
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Reversed:
    """Was paid, and came back."""

    evidence: Evidence


Status: TypeAlias = Unsent | Pending | Settled | Failed | Reversed


class Rail(Protocol):
    """A way for money to leave. The same key pays at most once, whatever is repeated, crashed or timed out."""

    async def submit(self, payment: Payment) -> None:
        """Hand over; safe to repeat with the same key. Raises `Retryable`, `Rejected` or `OutcomeUnknown`."""

    async def status(self, key: PaymentKey) -> Status:
        """Say what became of a key. Never `Failed` without proof; raises `OutcomeUnknown` when it cannot tell."""
