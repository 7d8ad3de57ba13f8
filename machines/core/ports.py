"""What machines need from the outside world, as small protocols. Adapters and the engine implement them."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType, Protocol, TypeAlias, TypeVar

from machines.core.clock import Millis
from machines.core.facts import Fact
from machines.core.money import Assets, Money
from machines.core.record import Record

D_contra = TypeVar("D_contra", contravariant=True)

PaymentKey = NewType("PaymentKey", str)


class Step(Protocol):
    """What an act is given besides the record."""

    @property
    def now(self) -> Millis:
        """The store's time when the record was claimed."""

    async def may_send(self, *scopes: str) -> None:
        """Must be awaited right before anything irreversible leaves.

        Raises `LeaseLost`, `Paused`, `NotDurable`, or `Conflict` when somebody changed the record during the look.
        Scopes name what is used, such as `rail:flutterwave`.
        """

    async def refuse_paused(self, *scopes: str) -> None:
        """Raise `Paused` where sends are paused: what has not set out yet stays where it can be taken back."""


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
    handle: str = ""
    """The rail's own name for it, once `submit` has told one: some rails cannot be asked by our key."""
    prepared: str = ""
    """What `prepare` found out that `submit` needs; empty where a rail needs nothing."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What proves an outcome: a receipt, a block, a gateway object."""

    source: str
    reference: str
    details: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Unsent:
    """The rail cannot find the key. Submitting the same key again is safe; it is no reason to give money back."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The rail has it and has not finished."""

    waiting_for: str = ""
    """Such as `approval` at the gateway; empty when it is simply under way."""
    evidence: Evidence | None = None
    again_s: float | None = None
    """When it is worth while to look again, where the rail knows better than the pace of a state."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Paid, with proof."""

    evidence: Evidence
    also: tuple[Evidence, ...] = ()
    """Proof of each further payment of the same key, which somebody must have asked for in the rail's dashboard."""
    over: tuple[str, ...] = ()
    """What the rail calls transfers of the same key that are proven unpaid, or came back."""
    repeated: bool = False
    """Whether somebody may have asked for it in the rail's dashboard after it had failed, which was no lie then."""


class Cause(StrEnum):
    """What a failure is about, as far as that changes what to do next."""

    WALLET = "wallet"
    """Our own wallet at the rail was empty or locked: the payment did nothing wrong; wait until it is filled."""
    LIMIT = "limit"
    """A limit of our account at the rail."""
    DESTINATION = "destination"
    """The destination cannot be paid as it is."""
    UNKNOWN = "unknown"
    """The rail did not say, or nothing that we know."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Proven not paid."""

    reason: str
    retryable: bool
    evidence: Evidence | None = None
    cause: Cause = Cause.UNKNOWN


@dataclass(frozen=True, slots=True)
class Reversed:
    """Was paid, and came back."""

    evidence: Evidence


Status: TypeAlias = Unsent | Pending | Settled | Failed | Reversed


class Rail(Protocol):
    """A way for money to leave. The same key pays at most once, whatever is repeated, crashed or timed out."""

    async def prepare(self, payment: Payment) -> Payment:
        """Do all that a payment needs before it is handed over, and moves nothing; `submit` gets what this returns.

        Between the question whether something may be sent and the one call that sends it lies no other call. Raises
        what `submit` does, but never `OutcomeUnknown`: nothing has left.
        """

    async def submit(self, payment: Payment) -> str | None:
        """Hand over; safe to repeat with the same key. Returns the rail's own name for it, where it has one.

        Raises `Retryable`, `RailClosed`, `Rejected`, `OutcomeUnknown`, `Contradiction` or `OtherPayee`.
        """

    async def status(self, payment: Payment) -> Status:
        """Say what became of a payment; a look, which never sends anything.

        Never `Failed` without proof. Raises `Retryable` or `RailClosed` when it could not ask, `OutcomeUnknown` when it
        cannot tell from the answer, `Contradiction` when the key was used for another amount, `OtherPayee` when it was
        used for another destination.
        """


class SealKind(StrEnum):
    """What a seal says; which process can make it hangs on the keys that it has."""

    PERSON = "person"
    """Somebody said yes. Made where people are: API, pages and command line have its keys, and workers check it."""
    RULES = "rules"
    """What the risk rules found. Like all below made by workers alone."""
    FILE = "file"
    """It is a row of a file that somebody said yes to as one: by the worker that compared their seal with the row."""
    ADOPTION = "adoption"
    """Two people took over what an older version had approved, which sealed nothing."""
    PERMIT = "permit"
    """It may be paid: given on by whoever saw that it was approved to who pays it."""
    OWN = "own"
    """It pays nobody: what is sent for its own sake, worth nothing or to ourselves."""


class PermitSigner(Protocol):
    """Makes approval seals and permits, and checks them, with keys that are neither in the store nor in its folder."""

    def sign(self, kind: SealKind, *parts: str | int) -> str:
        """Seal parts, in this order. Raises `BadSettings` where this process has no key for this kind of seal."""

    def knows(self, seal: str, kinds: Iterable[SealKind], *parts: str | int) -> bool:
        """Tell whether a seal is one of these kinds, and over exactly these parts.

        Raises `UnknownPermitKey` where only another process can tell.
        """


class CallKind(StrEnum):
    """What a call to a rail is for, when all of them share one budget."""

    PERSON = "person"
    """Somebody waits for the answer."""
    SEND = "send"
    """It asks for money to move."""
    LOOK = "look"
    """A payment that is not over is followed."""
    WATCH = "watch"
    """A payment that is over is looked at once more."""


class CallBudget(Protocol):
    """How many calls a rail may get, from everybody."""

    async def permit(self, kind: CallKind) -> None:
        """Wait until a call may be made; raises `PutOff` when that takes too long: nothing has left."""

    async def rest(self, seconds: float) -> None:
        """Let nobody call for so long: the rail asked for it."""


class NoBudget:
    """No limit."""

    async def permit(self, kind: CallKind) -> None:
        """Let it be made."""

    async def rest(self, seconds: float) -> None:
        """Go on."""


NO_BUDGET = NoBudget()


@dataclass(frozen=True, slots=True)
class Trace:
    """A payment that a rail lists under a reference of ours, whether or not we remember it."""

    key: PaymentKey
    handle: str
    amount: Money
    to: Destination
    status: Status
    names: tuple[str, ...] = ()
    """The rail's own names for further transfers of it, which somebody asked for in its dashboard."""


class Lists(Protocol):
    """A rail that can tell all that it did: what is left to ask after our own store forgot."""

    async def done_since(self, since: Millis, ours: Callable[[PaymentKey], bool], assets: Assets) -> list[Trace]:
        """List what was handed over since a time, one a key; others who use the account have keys that are not ours.

        Raises `Retryable`, `RailClosed` or `OutcomeUnknown` when the list is not surely whole.
        """


class LineKind(StrEnum):
    """What a line of a statement is about."""

    PAYMENT = "payment"
    """Somebody was paid, whoever asked for it."""
    RETURN = "return"
    """A payment, or the debit of one that failed, came back."""
    TOP_UP = "top-up"
    """Money came in that is nobody's return: it is booked as it is read, for it favours nobody."""
    OTHER = "other"
    """All else that moved the wallet: withdrawals, what the rail took for itself, what came in and may be anything."""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One thing that a rail says it did."""

    id: str
    """The rail's own name for it, or one made of all that it says: the same however often it is read."""
    kind: LineKind
    amount: Money
    """What arrived, came back or moved; never the fee."""
    out: bool
    """Whether it left the wallet."""
    at: Millis
    reference: str = ""
    """Our key, where it was asked for under one; a name of the rail's own otherwise."""
    handle: str = ""
    """The rail's own name for the payment, by which records know it too."""
    fee: int | None = None
    """What the rail took for it, in units of the amount's asset, rounded up; None where it does not say."""
    account: str = ""
    """Where it went, as the rail writes it; empty where it does not say."""
    open: bool = False
    """Whether the rail has not finished it: it says nothing yet, but that the payment is there."""
    rest: int = 0
    """What of the amount is less than a unit, in parts of one (see `FINE` of the rail's side)."""
    fee_rest: int = 0
    """By how much less than a unit the fee is rounded up, in such parts: nothing, or less than nothing."""


@dataclass(frozen=True, slots=True)
class StatementBalance:
    """What a wallet held before and after the lines of one span of time, as the rail says."""

    opening: int
    closing: int
    moved: int
    """The sum of all that moved it in between, line by line, as the rail lists it."""
    opening_rest: int = 0
    """What of it is less than a unit, in parts of one."""
    closing_rest: int = 0


@dataclass(frozen=True, slots=True)
class StatementPart:
    """What a rail says of one span of time: a day, or the blocks of a stretch."""

    begins: Millis
    lines: tuple[StatementLine, ...]
    balances: Mapping[str, StatementBalance] = field(default_factory=dict)
    """By asset; empty where the rail keeps no such account, or nothing moved."""
    ends: Millis | None = None
    """Up to when the statement is whole with this part; None where that is the time that was asked for."""


class RailStatement(Protocol):
    """A rail that says what it did, line by line, whoever asked it to."""

    @property
    def patience_ms(self) -> Millis:
        """How long this rail may take until what it did is on its statement: nothing is missing before."""

    @property
    def overlap_ms(self) -> Millis:
        """So far behind where it was compared to it is read once more: it may list late what it did."""

    def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        """Walk over what it did between two times, the oldest span first; a line may come more than once.

        Raises `Retryable`, `RailClosed` or `OutcomeUnknown` when a span is not surely whole.
        """


@dataclass(frozen=True, slots=True)
class Notice:
    """What a gateway's webhook speaks of: a reason to look now, and never an outcome."""

    references: tuple[str, ...]
    """Which of our keys it may mean, most likely first."""
    handle: str
    """The gateway's own name for the payment, empty when it gave none."""
    said: str
    """The status that it claims, for the log."""
    delivery: str
    """The same for every delivery of the same news."""
