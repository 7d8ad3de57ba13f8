"""What a payout can learn. A fact about an attempt names its reference."""

from dataclasses import dataclass

from machines.core.facts import Fact
from machines.core.ports import Cause, Evidence
from machines.payout.data import Attempt, Finding


@dataclass(frozen=True, slots=True)
class Assessed(Fact):
    """The risk rules looked at the request."""

    findings: tuple[Finding, ...]
    approvals_needed: int = 1


@dataclass(frozen=True, slots=True)
class Approved(Fact):
    """A reviewer said yes to what he saw."""

    by: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Rejected(Fact):
    """A reviewer said no."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled(Fact):
    """It is not wanted any more."""

    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Waits(Fact):
    """The next batch opens later."""

    until: int


@dataclass(frozen=True, slots=True)
class Boarded(Fact):
    """Its batch opened."""

    batch: str


@dataclass(frozen=True, slots=True)
class Submitted(Fact):
    """The rail took an attempt."""

    reference: str
    handle: str = ""


@dataclass(frozen=True, slots=True)
class UnderWay(Fact):
    """The rail has an attempt and has not finished."""

    reference: str
    waiting_for: str = ""
    again_s: float | None = None
    """When the rail thinks that there is news."""


@dataclass(frozen=True, slots=True)
class NotSeen(Fact):
    """The rail cannot find an attempt, which proves nothing."""

    reference: str


@dataclass(frozen=True, slots=True)
class Paid(Fact):
    """The rail proves that an attempt was paid."""

    reference: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class NotPaid(Fact):
    """The rail proves that an attempt was not paid."""

    reference: str
    reason: str
    retryable: bool = True
    cause: Cause = Cause.UNKNOWN


@dataclass(frozen=True, slots=True)
class Deferred(Fact):
    """The rail surely did not take an attempt, and will not before something changes that concerns it alone."""

    reference: str
    reason: str


@dataclass(frozen=True, slots=True)
class PassedOver(Fact):
    """Our wallet at the rail is still too low for it, or has to be kept for older ones."""


@dataclass(frozen=True, slots=True)
class CameBack(Fact):
    """An attempt was paid, and the money came back."""

    reference: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class AllProvenUnpaid(Fact):
    """Every attempt so far was looked up, and each is proven unpaid."""

    attempts: int


@dataclass(frozen=True, slots=True)
class Retried(Fact):
    """A person says: once more."""

    by: str


@dataclass(frozen=True, slots=True)
class Released(Fact):
    """A person gives the money back; `proven` when every attempt was looked up and is unpaid."""

    by: str
    reason: str
    proven: bool


@dataclass(frozen=True, slots=True)
class Corrected(Fact):
    """The provider names another destination for a failed payout."""

    by: str
    sealed: str
    shown: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Rediscovered(Fact):
    """The store was set back: these are the attempts that the rail has of the payout."""

    attempts: tuple[Attempt, ...]
    by: str


FACTS: tuple[type[Fact], ...] = (
    Assessed,
    Approved,
    Rejected,
    Cancelled,
    Waits,
    Boarded,
    Submitted,
    UnderWay,
    NotSeen,
    Paid,
    NotPaid,
    Deferred,
    PassedOver,
    CameBack,
    AllProvenUnpaid,
    Retried,
    Released,
    Corrected,
    Rediscovered,
)
