"""Each error answers one question: what may I do next?

PayflowError
├── StepError            an act could not finish its work
│   ├── Retryable        surely not done: do it again later, with the same key
│   │   ├── RailClosed   the rail refuses us, not the payment: pause it, keep the money held
│   │   ├── Deferred     the rail refuses this payment for now: hold it, the others go on
│   │   └── NoQuorum     too few nodes say the same: nothing is proven now, sends may go on
│   ├── Rejected         surely not done: do not repeat it as it is
│   │   └── TooLong      there is more of it than may be read: decide nothing on a part
│   ├── ForgeUnavailable the forge could not be asked, so nothing was done
│   ├── OutcomeUnknown   perhaps done: ask before anything else
│   │   └── AnotherPayment  what was asked for is surely not this payment: look elsewhere
│   └── Contradiction    the rail's books and ours cannot both be true: stop the rail, tell a person
│       └── OtherPayee   the rail has this payment to somebody else: set this record aside, tell a person
├── SendRefused          an act must not send now; nothing has left
│   ├── Unapproved      what would leave is not what was approved: set it aside, tell a person
│   ├── LeaseLost        another worker may hold the record: drop the work
│   ├── Paused           a person or an alarm stopped sends: wait
│   └── NotDurable       the store cannot promise that the intent survives: wait
├── StoreError           the store refused or could not be asked
│   ├── StoreUnavailable nothing is known about the last write: read again
│   ├── StoreUnfit       the store may lose or misread records: an operator must act
│   ├── Conflict         the record changed since it was read: read and react again
│   ├── NotFound         there is no such record
│   ├── ShortBalance     the account has less than the amount
│   ├── KeyReused        the idempotency key belongs to another request
│   ├── SealedForAnother what is sealed was copied from elsewhere: set it aside, tell a person
│   └── ClaimTaken       somebody else holds the unique claim: act again
└── BadInput             the caller must change what they sent
    ├── BadAmount
    ├── UnprovenFile     nothing proves that the file is ours and unchanged
    ├── ReservedOwner    the owner is one that Payflow names itself: no platform speaks for it
    ├── NotAllowed       somebody else may do it
    ├── TooSoon          ask again later
    │   ├── TooManyOpen  when one of the open requests has been paid, refused or taken back
    │   ├── OverDailyLimit  when the day is over, or an operator granted more
    │   └── TooManyToday when the oldest request of the last 24 hours is older than that
    ├── NotPossible      nothing is wrong with the request: the record does not allow it now
    │   └── IllegalMove
    └── BadSettings
        └── UnknownSealKey  what is sealed needs a key that this process has not: another one may have it
            └── UnknownPermitKey  so does what was approved
"""


class PayflowError(Exception):
    """Something that Payflow foresaw went wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or type(self).__doc__ or "")


class StepError(PayflowError):
    """An act could not finish its work."""


class Retryable(StepError):
    """Surely not done: it may be tried again later with the same key."""

    def __init__(self, message: str = "", *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s
        """How long the other side asked us to wait; None where it did not say."""


class RailClosed(Retryable):
    """The rail refuses us, not the payment (key, allow-list): this call did nothing, nor will others."""

    def __init__(self, message: str = "", *, rail: str, after_s: float | None = None, code: str = "") -> None:
        super().__init__(message, after_s=after_s)
        self.rail = rail
        """The rail to pause."""
        self.code = code
        """What the rail said, as a code that speaks of every payment; such a rail may open by itself when a probe is
        let in. Without one only people open it."""


class Deferred(Retryable):
    """The rail takes this payment not now (our wallet is short of it, its bank is out of service), and takes others."""

    def __init__(self, message: str = "", *, short: bool = False) -> None:
        super().__init__(message)
        self.short = short
        """Whether it is our wallet that is short of it."""


class NoQuorum(Retryable):
    """Too few of the nodes say the same: nothing is proven now."""


class PutOff(Retryable):
    """Our own budget of calls is used up, or the rail asked for fewer: nobody was asked anything."""


class Rejected(StepError):
    """Surely not done, and asking again would get the same answer."""

    def __init__(self, message: str = "", *, first: bool = False) -> None:
        super().__init__(message)
        self.first = first
        """Whether the other side says that this is its answer to the first call, and so to each one since."""


class TooLong(Rejected):
    """There is more of it than may be read, and a part proves nothing."""


class ForgeUnavailable(StepError):
    """The forge could not be asked, so nothing was done."""


class IssuerUnavailable(PayflowError):
    """The identity provider could not be asked, or gave no answer that can be used; nobody was let in."""


class OutcomeUnknown(StepError):
    """Perhaps done: the outcome must be looked up first."""

    def __init__(self, message: str = "", *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered
        """Whether the other side did answer, with a refusal that stands in no table."""


class AnotherPayment(OutcomeUnknown):
    """The rail shows somebody else's payment under the name that was asked for: that says nothing of ours."""


class Contradiction(StepError):
    """The rail's books and ours cannot both be true: the rail must stop and a person must look."""

    def __init__(self, message: str = "", *, rail: str) -> None:
        super().__init__(message)
        self.rail = rail
        """The rail to pause."""


class OtherPayee(Contradiction):
    """The rail shows this payment with another account than was meant: it waits for a person, and stops no other."""


class SendRefused(PayflowError):
    """Sending is not allowed now; nothing has left."""


class LeaseLost(SendRefused):
    """The lease on the record is gone; another worker may hold it."""


class Paused(SendRefused):
    """Sending is paused."""


class NotSigned(SendRefused):
    """The record's newest commit is not signed: an older version wrote it, or somebody beside Payflow."""


class Unapproved(SendRefused):
    """What would leave is not what was approved."""


class NotDurable(SendRefused):
    """The store did not confirm that the intent is durable."""


class StoreError(PayflowError):
    """The store refused."""


class StoreUnavailable(StoreError):
    """The store cannot be reached."""


class StoreUnfit(StoreError):
    """The store must not be used as it is."""


class Conflict(StoreError):
    """The record changed since it was read."""


class NotFound(StoreError):
    """There is no such record."""


class ShortBalance(StoreError):
    """The available balance is smaller than the amount."""


class KeyReused(StoreError):
    """The idempotency key was used for another request."""


class SealedForAnother(StoreError):
    """What is sealed in a record was sealed for another one."""


class ClaimTaken(StoreError):
    """A unique claim is held by another record."""


class BadInput(PayflowError):
    """The input cannot be used as it is."""


class ReservedOwner(BadInput):
    """The owner is one that Payflow names itself."""


class BadAmount(BadInput):
    """The amount cannot be used as it is."""


class UnprovenFile(BadInput):
    """Nothing proves that a file is ours and unchanged."""


class NotAllowed(BadInput):
    """Somebody asked for what another one may do."""


class TooSoon(BadInput):
    """It was asked for too often."""

    def __init__(self, message: str = "", *, after_s: int = 1) -> None:
        super().__init__(message)
        self.after_s = after_s
        """When it may be asked for again."""


class TooManyOpen(TooSoon):
    """The owner has as many open requests as may be."""


class OverDailyLimit(TooSoon):
    """It is more than may be credited today."""


class TooManyToday(TooSoon):
    """The owner made as many requests in 24 hours as may be."""


class NotPossible(BadInput):
    """The record does not allow it now."""


class IllegalMove(NotPossible):
    """The lifecycle has no such move from this state."""


class BadSettings(BadInput):
    """The settings cannot be used as they are."""


class UnknownSealKey(BadSettings):
    """What is sealed needs a key that this process has not."""


class UnknownPermitKey(UnknownSealKey):
    """What was approved was sealed with a key that this process has not."""
