"""What a refusal proves: one table of sentences for both API versions. What does not stand in it proves nothing."""

from enum import Enum, auto

from adapters.flutterwave.exchange import RAIL, Reply, plain
from machines.core.errors import OutcomeUnknown, RailClosed, Rejected, Retryable, StepError


class Proves(Enum):
    """What may be concluded from a refusal in the 400s."""

    LANDED = auto()
    """The reference is taken: an earlier call of ours arrived."""
    CLOSED = auto()
    """The gateway refuses us: no payment will pass until somebody changes something."""
    NOT_CREATED = auto()
    """This payment was looked at and not taken in."""


SENTENCES: tuple[tuple[str, Proves], ...] = (
    # the message contains, proves; where it comes from
    ("payout with this ref already exists", Proves.LANDED),  # v3, seen by six integrations
    ("reference already exists", Proves.LANDED),  # v4; some v3 code waits for it too
    ("enable ip whitelisting", Proves.CLOSED),  # our address is not on the allow-list, in test mode neither
    ("this request cannot be processed", Proves.CLOSED),  # listed wrongly, or the address changed
    ("transfers via api", Proves.CLOSED),  # the switch in the dashboard; its wording is not documented
    ("not enabled", Proves.CLOSED),
    ("disabled", Proves.CLOSED),
    ("unavailable transfer option", Proves.CLOSED),  # v4
    ("authorization", Proves.CLOSED),  # "Authorization required", "Invalid authorization key"
    ("merchant secret key", Proves.CLOSED),
    ("insufficient", Proves.CLOSED),  # our wallet; usually told later, by a FAILED transfer
    ("wallet currently restricted", Proves.CLOSED),
    ("blacklisted", Proves.NOT_CREATED),
    ("account resolve", Proves.NOT_CREATED),  # "Account resolve failed", "Account Resolve Error"
    ("account number is invalid", Proves.NOT_CREATED),
    ("no account found", Proves.NOT_CREATED),
    ("blocked bank", Proves.NOT_CREATED),
    (" is required", Proves.NOT_CREATED),  # "<Field> is required"
    (" must be ", Proves.NOT_CREATED),
    (" should be ", Proves.NOT_CREATED),
    ("invalid", Proves.NOT_CREATED),
    ("not valid", Proves.NOT_CREATED),
    ("not supported", Proves.NOT_CREATED),
    ("limit", Proves.NOT_CREATED),
    ("minimum", Proves.NOT_CREATED),
    ("maximum", Proves.NOT_CREATED),
)

# Statuses whose meaning needs no body: the request was turned away at the door.
UNAUTHORIZED = 401
FORBIDDEN = 403
TOO_MANY = 429
DOOR = frozenset({UNAUTHORIZED, FORBIDDEN})

WAIT_WHEN_UNTOLD_S = 30.0


def proves(message: str) -> Proves | None:
    """Look a sentence up; None for one that is not known."""
    text = message.casefold()
    return next((meaning for words, meaning in SENTENCES if words in text), None)


def refusal(status: int, message: str) -> StepError:
    """Turn a refusal in the 400s into what may be done next. `LANDED` is for the caller to see first."""
    told = f"Flutterwave (HTTP {status}): {plain(message) or 'no reason given'}"
    meaning = Proves.CLOSED if status in DOOR else proves(message)
    match meaning:
        case Proves.CLOSED:
            return RailClosed(told, rail=RAIL)
        case Proves.NOT_CREATED:
            return Rejected(told)
        case _:
            return OutcomeUnknown(told)


def slow_down(reply: Reply) -> Retryable:
    """Say how long to leave the gateway alone."""
    return Retryable("Flutterwave asks for fewer calls.", after_s=reply.retry_after_s or WAIT_WHEN_UNTOLD_S)
