"""What a payout keeps."""

from dataclasses import dataclass, replace

from machines.core.ids import RecordId
from machines.core.ports import Evidence
from machines.core.record import Record


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a risk rule saw."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Approval:
    """One reviewer's yes, bound to what he saw."""

    by: str
    at: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to pay. Its reference is never used for another one."""

    reference: str
    sealed: str
    """The destination that it was sent to."""
    handle: str = ""
    """The rail's own name for it."""
    sent: bool = False
    """Whether the rail was ever asked to pay it."""
    failed: str = ""
    """Why it failed; empty while it has not."""

    @property
    def may_have_left(self) -> bool:
        """Whether the rail may have it. A crash can hide a send, so only a refusal on the spot rules it out."""
        return self.sent or not self.failed


@dataclass(frozen=True, slots=True)
class PayoutData:
    """The facts about a payout that its machine needs again."""

    rail: str
    method: str
    sealed: str
    """The destination, encrypted."""
    shown: str
    """The destination as people may see it, masked."""
    send_units: int
    """What arrives: the amount, less the fee where the provider bears it."""
    fee_units: int = 0
    note: str = ""
    requested_by: str = ""
    fingerprint: str = ""
    """Of amount and destination: what a reviewer's yes is bound to."""
    findings: tuple[Finding, ...] = ()
    assessed: bool = False
    approvals_needed: int = 1
    approvals: tuple[Approval, ...] = ()
    batch: str = ""
    opens_at: int = 0
    attempts: tuple[Attempt, ...] = ()
    failures: int = 0
    """Proven failures that used up a retry."""
    unseen: int = 0
    """Looks in a row that did not find the current attempt."""
    unseen_since: int = 0
    waiting_for: str = ""
    """What the rail waits for, such as `approval`."""
    reason: str = ""
    """Why it failed, in words for people."""
    evidence: Evidence | None = None
    paid_by: str = ""
    """The reference of the attempt that is proven paid."""
    watch_until: int = 0

    @property
    def current(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    def with_current(self, **changes: str | bool) -> "PayoutData":
        """Change the newest attempt."""
        return replace(self, attempts=(*self.attempts[:-1], replace(self.attempts[-1], **changes)))  # type: ignore[arg-type]


PayoutRecord = Record[PayoutData]


def reference_of(record_id: RecordId, attempt: int) -> str:
    """Name an attempt, for ever: 28 characters that every gateway accepts."""
    return f"{record_id}-{attempt}"


def record_of(reference: str) -> RecordId:
    """Tell which payout a reference belongs to."""
    return RecordId(reference.rpartition("-")[0])
