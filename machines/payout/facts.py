"""What a payout can learn. A fact about an attempt names its reference."""

from dataclasses import dataclass, replace

from machines.core.facts import Fact, Override, PersonFact, Proof, Read
from machines.core.ports import Cause, Evidence
from machines.payout.data import Attempt, ProposedDestination, RiskFinding


@dataclass(frozen=True, slots=True)
class Enquired:
    """What the rail's gateway said of a payment before anybody approved it."""

    holder: str
    """Whose account it says that it is; empty where it has no word for that, or could not be asked."""
    fee_units: int
    send_units: int
    """What arrives: fixed now, whatever the fee is when it leaves."""
    fingerprint: str
    """Of all that a reviewer's yes is bound to."""
    given_up: bool = False
    """Whether it could not be asked for so long that people must do without."""
    other_name: bool = False
    """Whether the request named another holder."""
    name_score: int | None = None
    """How far the name that the gateway says fits the one in the request, of 100; None where one of them is missing."""
    own_score: int | None = None
    """The same with the name that the provider is usually paid under."""
    held: bool = False
    """Whether it fits so little that it takes two people."""


@dataclass(frozen=True, slots=True)
class AttemptFact(Fact):
    """What was learned of one attempt."""

    reference: str


@dataclass(frozen=True, slots=True)
class Assessed(Fact):
    """The risk rules looked at the request, and at what the gateway said of it."""

    findings: tuple[RiskFinding, ...]
    approvals_needed: int = 1
    enquired: Enquired | None = None
    """None where the rail has nobody to ask."""
    place: str = ""
    """Names the destination that they looked at."""
    seal: str = ""
    """Over all of it, by a worker."""


@dataclass(frozen=True, slots=True)
class Unpayable(Fact):
    """The gateway says that this can never be paid as it was asked for."""

    reason: str


@dataclass(frozen=True, slots=True)
class Approved(PersonFact):
    """A reviewer said yes to what he saw."""

    fingerprint: str
    at: int = 0
    """When they said so, as their seal has it; 0 without one."""
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Declined(PersonFact):
    """A reviewer said no."""

    reason: str
    proof: Proof = Proof.NONE
    """What the rail proves of the attempts, where there were any."""
    read: Read = ()


@dataclass(frozen=True, slots=True)
class Cancelled(PersonFact):
    """It is not wanted any more."""

    reason: str = ""
    proof: Proof = Proof.NONE
    """As for `Declined`."""
    read: Read = ()


@dataclass(frozen=True, slots=True)
class Waits(Fact):
    """The next batch opens later."""

    until: int


@dataclass(frozen=True, slots=True)
class Boarded(Fact):
    """Its batch opened."""

    batch: str


@dataclass(frozen=True, slots=True)
class Capped(Fact):
    """Its batch opened, and too little is left of what may leave today."""

    why: str


@dataclass(frozen=True, slots=True)
class ApprovalsLapsed(AttemptFact):
    """Of those who said yes too many may not any more: an attempt of which nothing has left does not leave."""

    by: tuple[str, ...]
    """Whose yes counts no more."""
    why: str


@dataclass(frozen=True, slots=True)
class Submitted(AttemptFact):
    """The rail took an attempt."""

    handle: str = ""


@dataclass(frozen=True, slots=True)
class Named(AttemptFact):
    """Names of the rail's own for an attempt and for retries of it: from a webhook, they may be anybody's."""

    handles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unnamed(AttemptFact):
    """Names that were told of an attempt are nobody's: the rail neither shows nor lists them."""

    handles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnderWay(AttemptFact):
    """The rail has an attempt and has not finished."""

    waiting_for: str = ""
    again_s: float | None = None
    """When the rail thinks that there is news."""


@dataclass(frozen=True, slots=True)
class NotSeen(AttemptFact):
    """The rail cannot find an attempt, which proves nothing."""

    listed: bool = False
    """Whether the rail can tell all that it did, so that what is unknown has an end."""


@dataclass(frozen=True, slots=True)
class Absent(AttemptFact):
    """The rail neither finds an attempt nor has it in the complete list of what it did since before its first send."""


@dataclass(frozen=True, slots=True)
class NotTaken(AttemptFact):
    """The rail refused to take an attempt, for good or with an answer that nobody knows."""

    reason: str
    proven: bool = False
    """Whether it proves that the rail never took it: it answers the only send, or is the first answer again."""


@dataclass(frozen=True, slots=True)
class Paid(AttemptFact):
    """The rail proves that an attempt was paid."""

    evidence: Evidence
    also: tuple[Evidence, ...] = ()
    """Proof of further payments of the same attempt, which somebody asked for in the rail's dashboard."""
    over: tuple[str, ...] = ()
    """What the rail calls those of them that are proven unpaid, or came back."""
    repeated: bool = False
    """Whether somebody may have asked for it there after it had failed."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the rail calls the payments."""
        return (self.evidence.reference, *(proof.reference for proof in self.also))

    def beyond(self, attempt: Attempt) -> tuple[str, ...]:
        """Name the payments that are news of an attempt which is known to be paid; older versions kept no names."""
        known = attempt.paid_as or self.names[:1]
        return tuple(name for name in self.names if name not in known)

    def gone(self, attempt: Attempt) -> tuple[str, ...]:
        """Name the payments that were known, and are over."""
        return tuple(name for name in attempt.paid_as if name in self.over)


@dataclass(frozen=True, slots=True)
class NotPaid(AttemptFact):
    """The rail proves that an attempt was not paid."""

    reason: str
    retryable: bool = True
    cause: Cause = Cause.UNKNOWN
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class TurnedAway(AttemptFact):
    """The rail surely did not take an attempt, and will not before something changes that concerns it alone."""

    reason: str


@dataclass(frozen=True, slots=True)
class PassedOver(Fact):
    """Our wallet at the rail is still too low for it, or has to be kept for older ones."""


@dataclass(frozen=True, slots=True)
class CameBack(AttemptFact):
    """An attempt was paid, and the money came back."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class AllProvenUnpaid(Fact):
    """Every attempt so far was looked up, and each is proven unpaid."""

    attempts: int


@dataclass(frozen=True, slots=True)
class Retried(PersonFact):
    """A person says: once more."""


@dataclass(frozen=True, slots=True)
class Released(PersonFact):
    """A person gives the money back; `proven` when every attempt was looked up and is unpaid."""

    reason: str
    proven: bool
    read: Read = ()


@dataclass(frozen=True, slots=True)
class Corrected(Fact, ProposedDestination):
    """The provider names another destination for a failed payout."""

    def recorded(self) -> object:
        """Leave out what is sealed: no other key could ever take the place of the one that sealed it."""
        return replace(self, sealed="")


@dataclass(frozen=True, slots=True)
class Rediscovered(Fact):
    """The store was set back: these are the attempts that the rail has of the payout."""

    attempts: tuple[Attempt, ...]
    by: str

    def recorded(self) -> object:
        """Leave out what is sealed, as above."""
        return replace(self, attempts=tuple(replace(one, sealed="") for one in self.attempts))


@dataclass(frozen=True, slots=True)
class FeeNamed(AttemptFact):
    """The rail's statement names what it charged for a payment whose proof did not."""

    fee: str
    """As decimal text, in the payout's currency."""


PEOPLE: tuple[type[Fact], ...] = (Approved, Declined, Cancelled, Retried, Released, Corrected, Override)
"""What only people say."""
