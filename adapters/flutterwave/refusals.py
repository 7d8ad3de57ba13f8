"""What a refusal proves: one table for each API version, by status and code. What stands in none proves nothing.

v3 gives no code: its whole sentence is the code, in small letters, `*` for the name of a field. A sentence that only
resembles one of these is another sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase
from http import HTTPStatus

from adapters.flutterwave.codec import RAIL
from adapters.http import ACCESS_DENIED, plain
from machines.core.errors import Deferred, OutcomeUnknown, RailClosed, Rejected, StepError


class Proves(Enum):
    """What may be concluded from a refusal in the 400s, and of whom it speaks."""

    LANDED = auto()
    """Of this payment: the reference is taken, an earlier call of ours arrived."""
    NOT_CREATED = auto()
    """Of this payment: it was looked at and not taken in, and never will be as it is."""
    DEFERRED = auto()
    """Of this payment: it was not taken in now; its bank is out of service, or a limit is reached."""
    SHORT = auto()
    """Of this payment: it was not taken in now, because our wallet is short of its amount."""
    CLOSED = auto()
    """Of every payment: none will pass until somebody changes something."""


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """One refusal of v3."""

    status: int
    says: str
    proves: Proves
    source: str


BAD = int(HTTPStatus.BAD_REQUEST)

V3: tuple[RefusalRow, ...] = (
    RefusalRow(
        BAD, "payout with this ref already exists", Proves.LANDED, "six integrations; a sample for bulk transfers"
    ),
    RefusalRow(BAD, "transfer with reference already exists", Proves.LANDED, "v4's text, which some v3 code waits for"),
    RefusalRow(BAD, "please enable ip whitelisting to access this service", Proves.CLOSED, "eight integrations"),
    RefusalRow(BAD, "insufficient funds in customer wallet", Proves.SHORT, "a FAILED transfer's text; here by analogy"),
    RefusalRow(BAD, "payout was made to a blacklisted account number", Proves.NOT_CREATED, "the page about test mode"),
    RefusalRow(BAD, "account resolve failed", Proves.NOT_CREATED, "tests of the official SDK"),
    RefusalRow(BAD, "account resolve error", Proves.NOT_CREATED, "the API's specification"),
    RefusalRow(BAD, "* is required", Proves.NOT_CREATED, "the page about errors; refused before anything is looked at"),
)

V3_ENQUIRY: tuple[RefusalRow, ...] = (
    RefusalRow(
        BAD, "sorry, that account number is invalid, please check and try again", Proves.NOT_CREATED, "integrations"
    ),
    *(row for row in V3 if row.proves is Proves.NOT_CREATED),
)
"""What an enquiry about an account is refused with; the first sentence was never seen as the answer to a transfer."""

V4: Mapping[str, Proves] = {
    # the type                        proves; all are documented, the scenarios of the sandbox by their names
    "REFERENCE_ALREADY_EXISTS": Proves.LANDED,
    "RESOURCE_CONFLICT": Proves.LANDED,
    "TRANSFER_AMOUNT_LIMIT": Proves.NOT_CREATED,
    "REQUEST_NOT_VALID": Proves.NOT_CREATED,
    "UNPROCESSABLE": Proves.NOT_CREATED,
    "AMOUNT_BELOW_LIMIT_ERROR": Proves.NOT_CREATED,
    "AMOUNT_EXCEED_LIMIT_ERROR": Proves.NOT_CREATED,
    "CURRENCY_AMOUNT_BELOW_LIMIT": Proves.NOT_CREATED,
    "CURRENCY_AMOUNT_EXCEED_LIMIT": Proves.NOT_CREATED,
    "INVALID_AMOUNT": Proves.NOT_CREATED,
    "INVALID_AMOUNT_VALIDATION": Proves.NOT_CREATED,
    "INVALID_CURRENCY": Proves.NOT_CREATED,
    "INVALID_WALLET_CURRENCY": Proves.NOT_CREATED,
    "INVALID_REFERENCE": Proves.NOT_CREATED,
    "INVALID_REFERENCE_LENGTH": Proves.NOT_CREATED,
    "INVALID_BULK_DATA": Proves.NOT_CREATED,
    "INVALID_PAYOUTS": Proves.NOT_CREATED,
    "ACCOUNT_RESOLVED_FAILED": Proves.NOT_CREATED,
    "NO_ACCOUNT_FOUND": Proves.NOT_CREATED,
    "BLOCKED_BANK": Proves.DEFERRED,
    "INSUFFICIENT_BALANCE": Proves.SHORT,
    "DAY_LIMIT_ERROR": Proves.DEFERRED,
    "DAY_TRANSFER_LIMIT_EXCEEDED": Proves.DEFERRED,
    "MONTH_LIMIT_ERROR": Proves.DEFERRED,
    "MONTH_TRANSFER_LIMIT_EXCEEDED": Proves.DEFERRED,
    "DISABLED_TRANSFER": Proves.DEFERRED,
    "UNAVAILABLE_TRANSFER_OPTION": Proves.DEFERRED,
}


def proves_v3(status: int, message: str, table: tuple[RefusalRow, ...] = V3) -> Proves | None:
    """Look a refusal of v3 up; None for one that is not known."""
    if status in ACCESS_DENIED:
        return Proves.CLOSED
    says = " ".join(message.casefold().split()).rstrip(".")
    return next((row.proves for row in table if row.status == status and fnmatchcase(says, row.says)), None)


def proves_v4(status: int, kind: str) -> Proves | None:
    """Look a refusal of v4 up; None for one that is not known."""
    return Proves.CLOSED if status in ACCESS_DENIED else V4.get(kind)


def refusal(status: int, message: str, meaning: Proves | None) -> StepError:
    """Turn a refusal in the 400s into what may be done next. `LANDED` is for the caller to see first."""
    text = f"Flutterwave (HTTP {status}): {plain(message) or 'no reason given'}"
    match meaning:
        case Proves.CLOSED:
            return RailClosed(text, rail=RAIL, code=f"HTTP {status}" if status in ACCESS_DENIED else plain(message))
        case Proves.DEFERRED | Proves.SHORT:
            return Deferred(text, short=meaning is Proves.SHORT)
        case Proves.NOT_CREATED:
            return Rejected(text)
        case _:
            return OutcomeUnknown(text, answered=True)
