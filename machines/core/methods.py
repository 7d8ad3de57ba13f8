"""What a rail can pay: one row for each currency and method, with the fields that a destination needs.

Each rail's adapter has its own table of these rows, and nobody else writes them down: requests are checked against it,
forms are made of it, and what `GET /api/methods` says is it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from machines.core.errors import BadInput
from machines.core.ports import Destination

BANK, MOBILE_MONEY, WALLET = "bank", "mobile_money", "wallet"

# One line that looks like what it is: no control characters, no line ends, nothing that turns the direction of writing.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
SEEN = f"^{_UNSEEN}"
SOMETHING = rf"^[{SEEN}]*[^\s{_UNSEEN}][{SEEN}]*$"
LONGEST_LINE = 100

ACCOUNT, ADDRESS = "account_number", "address"
"""The field that says where exactly: shown by its last digits, or, on a chain, whole."""
BANK_CODE, HOLDER = "bank_code", "account_name"


class BadDestination(BadInput):
    """A field of a destination is missing, or cannot be what it says it is."""

    def __init__(self, field: str, text: str, *, missing: bool = False) -> None:
        super().__init__(text)
        self.field = field
        self.missing = missing


@dataclass(frozen=True, slots=True)
class MethodField:
    """One thing that must, or may, be known of a destination."""

    name: str
    label: str
    says: str
    """What it must look like, in words."""
    pattern: str
    example: str
    needed: bool = True
    choices: tuple[tuple[str, str], ...] = ()
    """Where only these will do: what is sent for each, and what people call it."""
    listed: bool = False
    """Whether the gateway lists what may stand here: its banks."""

    def fault(self, text: str) -> str:
        """Say what is wrong with a text; nothing where it will do."""
        if not text:
            return f"{self.label} is needed: {self.says}." if self.needed else ""
        if self.choices:
            fits = text in dict(self.choices)
        else:
            fits = len(text) <= LONGEST_LINE and re.fullmatch(self.pattern, text) is not None
        return "" if fits else f"{self.label}: {self.says}, such as {self.example}."


@dataclass(frozen=True, slots=True)
class FeeStep:
    """What a rail takes for amounts up to one: a sum, and a part of a hundred."""

    up_to: str
    """In the currency's usual unit; empty for any amount."""
    fixed: str
    percent: str = "0"

    def of(self, amount: Decimal) -> Decimal:
        return Decimal(self.fixed) + amount * Decimal(self.percent) / 100


@dataclass(frozen=True, slots=True)
class PayMethod:
    """A row: how money in one currency gets to one kind of destination."""

    currency: str
    method: str
    fields: tuple[MethodField, ...]
    test_ends: str
    """How a test is made to end, in words."""
    minimum: str = ""
    """The rail's own, beside those of the settings; empty where it names none."""
    maximum: str = ""
    fees: tuple[FeeStep, ...] = ()
    """As the vendor publishes them, for whoever wants to know before; what is booked is what it charged."""
    resolves: bool = False
    """Whether it can be asked whose account it is."""
    kind: str = ""
    """What destinations of it are called where they are kept; the method itself, but for further chains."""

    @property
    def name(self) -> str:
        return f"{self.currency} {self.method}"

    @property
    def destination_kind(self) -> str:
        return self.kind or self.method

    def faults(self, to: Destination) -> Iterator[BadDestination]:
        """Find all that is wrong with a destination."""
        given = dict(to.fields)
        known = {field.name for field in self.fields}
        for field in self.fields:
            if text := field.fault(given.get(field.name, "")):
                yield BadDestination(field.name, text, missing=not given.get(field.name))
        for name in given:
            if name not in known:
                yield BadDestination(name, f"{self.currency} by {self.method} takes no {name}: leave it out.")

    def check(self, to: Destination) -> None:
        """Refuse a destination that this row cannot pay, in words that say what to mend."""
        for fault in self.faults(to):
            raise fault

    def fee(self, amount: Decimal) -> Decimal:
        """Say what the vendor publishes that it takes; nothing where it publishes nothing."""
        for step in self.fees:
            if not step.up_to or amount <= Decimal(step.up_to):
                return step.of(amount)
        return Decimal(0)
