"""The gateway's own book: every naira that really reached somebody, and every one that came back."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from machines.core.clock import Millis


@dataclass(frozen=True, slots=True)
class Entry:
    """Money that arrived at an account; negative where it was taken back."""

    reference: str
    """Of the transfer that moved it."""
    asked: str
    """The reference that the caller gave; another one than the transfer's own for a retry."""
    bank: str
    account: str
    amount: Decimal
    currency: str
    at: Millis


class Book:
    """Only ever grows."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def write(self, entry: Entry) -> None:
        """Add what happened."""
        self._entries.append(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def times_paid(self, asked: str) -> int:
        """Count how often a caller's reference was paid, whatever came back afterwards."""
        return sum(entry.amount > 0 for entry in self._entries if entry.asked == asked)

    def paid(self, asked: str) -> Decimal:
        """Sum up what a caller's reference brought to its account, less what came back."""
        return sum((entry.amount for entry in self._entries if entry.asked == asked), Decimal(0))

    def total(self, currency: str) -> Decimal:
        """Sum up all that was paid in a currency, less what came back."""
        return sum((entry.amount for entry in self._entries if entry.currency == currency), Decimal(0))
