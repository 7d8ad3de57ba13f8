"""A payout between a rail that knows the truth and a worker that may die: what its look needs, faked."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from machines.core.clock import Millis
from machines.core.errors import LeaseLost, OutcomeUnknown, Paused, Rejected, Retryable
from machines.core.facts import Fact, LostSight, Refused
from machines.core.money import Assets
from machines.core.ports import (
    Cause,
    Destination,
    Evidence,
    Failed,
    Lists,
    Payment,
    PaymentKey,
    Pending,
    Rail,
    Reversed,
    SealKind,
    Settled,
    Status,
    Trace,
    Unsent,
)
from machines.payout.acts import PayoutActs
from machines.payout.data import PayoutRecord
from machines.payout.policy import PayoutPolicy
from machines.payout.react import react
from machines.payout.risk import ProviderHistory, Thresholds
from tests.machines.payout.scenes import NOW, POLICY, carried_out


class Died(Exception):
    """The worker was killed at an await."""


@dataclass
class Knife:
    """Kills the worker at the nth await, once; 0 never."""

    at: int = 0
    awaits: int = 0

    def here(self) -> None:
        """Be an await."""
        self.awaits += 1
        if self.awaits == self.at:
            raise Died


@dataclass
class FakeRail:
    """Knows of every reference what became of it; pays it at most once, as a rail must."""

    knife: Knife = field(default_factory=Knife)
    truth: dict[str, Status] = field(default_factory=dict)
    submits: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    takes: Callable[[Payment], Status] = lambda _: Pending()
    """What becomes of a new reference."""
    refuses: Exception | None = None
    """What submitting raises instead of taking it."""
    loses: bool = False
    """Whether the answer to a submission gets lost after it was taken."""
    handle: str | None = "handle"

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> str | None:
        """Take a payment."""
        self.knife.here()
        self.asked.append(f"submit {payment.key}")
        if self.refuses is not None:
            raise self.refuses
        self.submits.append(payment.key)
        self.truth.setdefault(payment.key, self.takes(payment))
        self.knife.here()
        if self.loses:
            raise OutcomeUnknown("a time-out")
        return self.handle

    async def status(self, payment: Payment) -> Status:
        """Tell the truth."""
        self.knife.here()
        self.asked.append(f"status {payment.key}")
        found = self.truth.get(payment.key, Unsent())
        self.knife.here()
        return found


@dataclass
class FakeStep:
    """What a look is given besides the record."""

    rail: FakeRail
    now: Millis = NOW
    refuses: Exception | None = None

    async def may_send(self, *scopes: str) -> None:
        """Allow a send, or not."""
        self.rail.knife.here()
        self.rail.asked.append(f"may_send {' '.join(scopes)}")
        if self.refuses is not None:
            raise self.refuses

    async def refuse_paused(self, *scopes: str) -> None:
        """Allow what has not set out yet to set out, or not."""
        if isinstance(self.refuses, Paused):
            raise self.refuses


class Clear:
    """Opens what was never sealed."""

    def open(self, sealed: str, bound_to: str) -> Destination:
        """Give the destination."""
        return Destination("bank", (("account_number", sealed),))

    def place(self, _: Destination) -> str:
        """Name none: the payouts of these tests say nothing of theirs."""
        return ""


class Believing:
    """Takes whatever it is shown for a seal: what is tried is something else."""

    def sign(self, kind: SealKind, *_: str | int) -> str:
        """Seal nothing in particular."""
        return f"{kind}.sealed"

    def knows(self, *_: object) -> bool:
        """Believe it."""
        return True


@dataclass
class Known:
    """Knows every provider as this one."""

    known: ProviderHistory = field(default_factory=lambda: ProviderHistory(verified=True, successes=3))
    limits: Thresholds | None = None

    async def history(self, record: PayoutRecord, limits: Thresholds) -> ProviderHistory:
        """Say what is known of the owner."""
        self.limits = limits
        return self.known


@dataclass
class Opens:
    """A schedule with one opening."""

    at: int | None = None

    def next_opening(self, after: Millis) -> Millis | None:
        """Say when the batch opens."""
        return None if self.at is None else Millis(max(self.at, after))


class Unlimited:
    """Wallets of which nothing is known: each rail answers for itself."""

    async def covers(self, _: PayoutRecord, __: Millis) -> bool:
        """Leave it to the rail."""
        return True

    async def take(self, _: PayoutRecord, __: Millis) -> bool:
        """Leave it to the rail."""
        return True

    async def was_short(self, _: PayoutRecord, __: Millis) -> None:
        """Keep nothing in mind."""

    async def left(self, _: PayoutRecord) -> None:
        """Keep nothing in mind."""


@dataclass
class Listed:
    """A complete list of what the rail did."""

    traces: list[Trace]
    whole: bool = True
    asked: int = 0

    async def done_since(self, _: Millis, ours: Callable[[PaymentKey], bool], __: Assets) -> list[Trace]:
        """List what is ours."""
        self.asked += 1
        if not self.whole:
            raise OutcomeUnknown("the list ends in the middle")
        return [trace for trace in self.traces if ours(trace.key)]


def looks(
    rail: Rail,
    *,
    providers: Known | None = None,
    opens_at: int | None = None,
    two_from: int | None = None,
    lists: Lists | None = None,
) -> PayoutActs:
    """The looks of the machine, on fakes."""
    return PayoutActs(
        {"flutterwave": rail},
        providers or Known(),
        Opens(opens_at),
        Clear(),
        Believing(),
        Thresholds(),
        Unlimited(),
        two_people_from=None if two_from is None else {"NGN": two_from},
        lists={"flutterwave": lists},
    )


async def look(record: PayoutRecord, rail: FakeRail, now: int, policy: PayoutPolicy = POLICY) -> PayoutRecord:
    """One look as the engine runs it: act, react, commit. An error of the act is told as the engine tells it."""
    rail.knife.here()
    act: Callable[..., Awaitable[Fact]] = looks(rail, opens_at=0).acts()[record.state]
    try:
        fact = await act(record, FakeStep(rail, Millis(now)))
    except Rejected as error:
        fact = Refused(str(error))
    except OutcomeUnknown as error:
        fact = LostSight(str(error))
    except (Retryable, Paused, LeaseLost):
        return record
    rail.knife.here()
    decision = react(policy, record, fact, Millis(now))
    if not decision.recorded:
        return record
    return carried_out(record, decision, now)


PAID = Settled(Evidence("fake", "receipt"))
NOT_PAID = Failed("the bank said no", retryable=True)
NEVER_PAID = Failed("no such account", retryable=False, cause=Cause.DESTINATION)
EMPTY = Failed("Insufficient funds", retryable=True, cause=Cause.WALLET)
BACK = Reversed(Evidence("fake", "returned"))
UNDER_WAY = Pending()
