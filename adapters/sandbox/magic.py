"""All magic of the simulated gateways: what an account number, or the end of a reference, makes a transfer do.

The same accounts work over Flutterwave v3 and v4 and over Paystack, in any bank. Faults of the exchange meet the first
request of each reference only: who asks again, or looks, gets through.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import StrEnum

from adapters.sandbox.faults import Fault, Kind


class Ends(StrEnum):
    """How a transfer ends."""

    PAID = "paid"
    FAILED = "failed"
    NEVER = "never"


class FatedRefusal(StrEnum):
    """Why it is not even taken in."""

    NONE = ""
    BLACKLISTED = "blacklisted"
    UNRESOLVED = "unresolved"
    SHORT = "short"
    LIMIT = "limit"
    """A limit of the account is used up."""
    CLOSED = "closed"
    """The bank takes nothing just now."""


class Spelling(StrEnum):
    """How the gateway writes the account number that it was given."""

    AS_GIVEN = ""
    NUMBER = "number"
    """As a number, so without the zero that it begins with."""
    ABROAD = "abroad"
    """With Nigeria's code, as a phone number from abroad."""
    SPACED = "spaced"
    """In groups of four."""


class Webhook(StrEnum):
    """How the news of its end travels."""

    ONCE = "once"
    NEVER = "never"
    TWICE = "twice"
    LATE = "late"
    """After half an hour."""
    FIRST = "first"
    """Before the answer to the request that caused it."""
    FORGED = "forged"
    """With a wrong hash or signature."""
    LYING = "lying"
    """With another amount and the opposite status."""
    OVERTAKEN = "overtaken"
    """After the next one that is sent, or after ten minutes."""
    MISNAMED = "misnamed"
    """With the id of another transfer."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What will become of a transfer."""

    ends: Ends
    after_s: float = 5.0
    message: str = ""
    refusal: FatedRefusal = FatedRefusal.NONE
    approval: bool = False
    """Whether a person in the gateway's dashboard must approve it first."""
    failures_first: int = 0
    """How many transfers to the account fail before one is paid, over and over."""
    reversed_after_s: float | None = None
    hidden_s: float = 0.0
    """For how long a look-up by reference does not find it."""
    unlisted_s: float | None = None
    """For how long the list of all transfers does not show it; as long as a look-up when None."""
    fault: Fault | None = None
    webhook: Webhook = Webhook.ONCE
    again: FatedRefusal = FatedRefusal.NONE
    """What a repeat is refused with, before anybody looks whether the reference is there already."""
    spelling: Spelling = Spelling.AS_GIVEN
    returned_as_failure: bool = False
    """Whether a success that is taken back is shown as a failure, with no word of a reversal."""
    clicked_after_s: float | None = None
    """How long after it failed somebody clicks Retry in the dashboard; that retry is paid."""


PAYS = Fate(Ends.PAID)
STAYS = Fate(Ends.NEVER)

_FUNDS = "DISBURSE FAILED: Insufficient funds in customer wallet"
_NOBODY = "Account resolve failed"
_LIMIT = "DISBURSE FAILED: You can only spend NGN 1000000.00 at once"
_DAILY = "DISBURSE FAILED: you have exceeded your daily limit/frequency for this product"
_VAGUE = "DISBURSE FAILED: A fatal error occured while proccesing your request."
_LOCKED = "DISBURSE FAILED: wallet currently restricted. please contact administrator"

ACCOUNTS: Mapping[str, Fate] = {
    # account     what becomes of it
    "0690000031": STAYS,  # the vendor's test accounts: a marker in the reference decides, without one they stay
    "0690000032": STAYS,
    "0690000033": STAYS,
    "0690000034": STAYS,
    "0690000035": STAYS,
    "0690000036": Fate(Ends.NEVER, refusal=FatedRefusal.BLACKLISTED),  # refused at once
    "0690000037": STAYS,
    "0690000038": STAYS,
    "0690000039": STAYS,
    "0690000040": STAYS,
    "0690000041": STAYS,
    # ours, by how they end
    "0100000001": PAYS,  # paid after 5 seconds
    "0100000002": Fate(Ends.FAILED, message=_NOBODY),  # fails: the account cannot be resolved
    "0100000003": Fate(Ends.FAILED, message=_FUNDS),  # fails: our wallet is short, it says
    "0100000004": Fate(Ends.FAILED, message=_LIMIT),  # fails: above what may be spent at once
    "0100000005": Fate(Ends.FAILED, message=_DAILY),  # fails: above a daily limit
    "0100000006": Fate(Ends.FAILED, message=_VAGUE),  # fails, and nobody says why
    "0100000007": Fate(Ends.FAILED, message=_LOCKED),  # fails: our wallet is locked
    "0100000008": Fate(Ends.PAID, message=_VAGUE, failures_first=1),  # fails once, then it is paid
    "0100000009": Fate(Ends.PAID, message=_VAGUE, failures_first=3),  # fails three times, then it is paid
    "0100000010": STAYS,  # pending for ever
    "0100000011": Fate(Ends.PAID, approval=True),  # waits for approval, then it is paid
    "0100000012": Fate(Ends.PAID, reversed_after_s=60),  # paid, and taken back after a minute
    "0100000013": Fate(Ends.PAID, after_s=600),  # paid after ten minutes
    # ours, refused at once
    "0100000021": Fate(Ends.NEVER, refusal=FatedRefusal.UNRESOLVED),  # the account cannot be resolved
    "0100000022": Fate(Ends.NEVER, refusal=FatedRefusal.SHORT),  # our wallet is short
    # ours, paid though the answer to the first request is lost
    "0100000031": Fate(Ends.PAID, fault=Fault(Kind.UNAVAILABLE, created=True)),  # 503, and it was created
    "0100000032": Fate(Ends.PAID, fault=Fault(Kind.UNAVAILABLE)),  # 503, and it was not
    "0100000033": Fate(Ends.PAID, fault=Fault(Kind.RESET, created=True)),  # connection reset, created
    "0100000034": Fate(Ends.PAID, fault=Fault(Kind.RESET)),  # connection reset, not created
    "0100000035": Fate(Ends.PAID, fault=Fault(Kind.HTML, created=True)),  # a page instead of JSON, created
    "0100000036": Fate(Ends.PAID, fault=Fault(Kind.TRUNCATED, created=True)),  # half an answer, created
    "0100000037": Fate(Ends.PAID, fault=Fault(Kind.CUT, created=True)),  # cut off in the answer, created
    "0100000038": Fate(Ends.PAID, fault=Fault(Kind.SLOW, created=True, delay_s=40)),  # answered after 40 s, created
    "0100000039": Fate(Ends.PAID, fault=Fault(Kind.UNAVAILABLE, created=True, delay_s=28)),  # 503 after 28 s, created
    "0100000040": Fate(Ends.PAID, fault=Fault(Kind.RATE_LIMITED, delay_s=3)),  # asked to slow down first
    "0100000041": Fate(Ends.PAID, fault=Fault(Kind.RESET, created=True), hidden_s=30),  # reset, and not found for 30 s
    "0100000042": Fate(Ends.PAID, hidden_s=30),  # not found by its reference for 30 s
    "0100000043": Fate(  # reset, created, found after an hour; till then a repeat is refused before that is noticed
        Ends.PAID, fault=Fault(Kind.RESET, created=True), hidden_s=3600, after_s=3600, again=FatedRefusal.UNRESOLVED
    ),
    "0100000044": Fate(Ends.PAID, fault=Fault(Kind.RESET), again=FatedRefusal.UNRESOLVED),  # reset, never created
    # ours, paid and shown in another way than it was asked for
    "0100000045": Fate(Ends.PAID, spelling=Spelling.NUMBER),  # the account without its first zero
    "0100000046": Fate(Ends.PAID, spelling=Spelling.ABROAD),  # the account with the code of its country
    "0100000047": Fate(Ends.PAID, spelling=Spelling.SPACED),  # the account in groups of four
    "0100000048": Fate(Ends.PAID, reversed_after_s=60, returned_as_failure=True),  # taken back, shown as FAILED
    "0100000049": Fate(Ends.FAILED, message=_LOCKED, clicked_after_s=900),  # fails; Retry is clicked after 15 minutes
    # ours, paid though the webhook goes astray
    "0100000051": Fate(Ends.PAID, webhook=Webhook.NEVER),  # never comes
    "0100000052": Fate(Ends.PAID, webhook=Webhook.TWICE),  # comes twice
    "0100000053": Fate(Ends.PAID, webhook=Webhook.LATE),  # comes after half an hour
    "0100000054": Fate(Ends.PAID, after_s=0, webhook=Webhook.FIRST),  # comes before our own request is answered
    "0100000055": Fate(Ends.PAID, webhook=Webhook.FORGED),  # comes with a wrong hash
    "0100000056": Fate(Ends.PAID, webhook=Webhook.LYING),  # says that it failed, and another amount
    "0100000057": Fate(Ends.PAID, webhook=Webhook.OVERTAKEN),  # comes after the next one
}

# The vendor's own markers at the end of a reference; a retry's `_RETRY_<n>` comes after them. Minutes, ten by default.
_MARKERS = (
    (re.compile(r"_PMCK_ST_FDU_(\d{1,4})$"), Ends.FAILED),
    (re.compile(r"_PMCK_ST_F()$"), Ends.FAILED),
    (re.compile(r"_PMCKDU_(\d{1,4})$"), Ends.PAID),
    (re.compile(r"_PMCK()$"), Ends.PAID),
)
_RETRY = re.compile(r"(?:_RETRY_\d+)+$")


def fate(reference: str, account: str, otherwise: Fate) -> Fate:
    """Foretell a transfer: a marker decides first, then the account."""
    for pattern, ends in _MARKERS:
        found = pattern.search(_RETRY.sub("", reference))
        if found:
            message = _VAGUE if ends is Ends.FAILED else ""
            return Fate(ends, after_s=60.0 * int(found[1] or 10), message=message)
    return ACCOUNTS.get(account, otherwise)


_FIRST = ("Ada", "Bola", "Chidi", "Dele", "Efe", "Femi", "Gozie", "Hauwa", "Ifeoma", "Jide")
_LAST = ("Adeyemi", "Bello", "Chukwu", "Danjuma", "Eze", "Falana", "Garba", "Hassan", "Igwe", "Johnson")


def is_somebodys(account: str, bank: str, banks: Container[str], digits: str = "[0-9]{10}") -> bool:
    """Tell whether an account in one of these banks is somebody's; ten digits are a NUBAN."""
    known = ACCOUNTS.get(account)
    return (
        bank in banks
        and bool(re.fullmatch(digits, account))
        and (known is None or known.refusal is not FatedRefusal.UNRESOLVED)
    )


def name_of(account: str) -> str:
    """Make up the holder of an account, always the same one."""
    digits = [int(letter) for letter in account if letter.isdecimal()] or [0]
    return f"{_FIRST[sum(digits) % 10]} {_LAST[digits[-1]]}"
