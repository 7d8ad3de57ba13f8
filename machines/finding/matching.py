"""How a line of a statement and a record of ours are one payment, and in what they differ. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from machines.core.clock import DAY, HOUR, Millis
from machines.core.ids import Owner, RecordId
from machines.core.money import Money
from machines.core.ports import LineKind, StatementLine
from machines.finding.data import FindingKind


@dataclass(frozen=True, slots=True)
class OurPayment:
    """What our books say of one payment."""

    record: RecordId
    owner: Owner
    references: tuple[str, ...]
    """Every key that it was asked for under."""
    handles: tuple[str, ...]
    """What the rail calls it."""
    amount: Money
    """What should arrive."""
    fee: int | None
    """What the rail took, as our evidence has it; None where it does not say."""
    account: str
    """The fingerprint of where it should go; empty where none can be compared."""
    paid: bool
    """Whether it is paid in our books."""
    open: bool
    """Whether it may be paid any time: nothing can be said yet."""
    at: Millis
    """Since when it is so."""
    fee_rest: int = 0
    """By how much less than a unit the fee is rounded up, in parts of one: nothing, or less than nothing."""


@dataclass(frozen=True, slots=True)
class BooksDiffer:
    """One way in which a line and a record differ."""

    kind: FindingKind
    units: int
    """Towards the owner; less than nothing where they got too much."""
    says: str
    rest: int = 0
    """What of that is less than a unit, in parts of one."""


def payment_differs(line: StatementLine, ours: OurPayment, before: Sequence[str], back: int) -> list[BooksDiffer]:
    """Say in what a line that pays and its record differ.

    `before` are other lines that paid the same, of all of which, this one included, so many came `back`.
    """
    whole = ours.amount.units
    if ours.open or (not ours.paid and back > len(before)):
        return []
    if not ours.paid:
        says = f"{line.amount} was paid, and is not paid in our books"
        return [BooksDiffer(FindingKind.MISSING_HERE, -line.amount.units, says)]
    if line.amount.asset != ours.amount.asset:
        return [BooksDiffer(FindingKind.WRONG_CURRENCY, whole, f"{line.amount} was paid instead of {ours.amount}")]
    if len(before) > back:
        says = f"{line.amount} was paid by {line.id}, and by {', '.join(before)}"
        return [BooksDiffer(FindingKind.TWICE, -line.amount.units, says)]
    found = []
    if line.account and ours.account and line.account != ours.account:
        says = f"{line.amount} went to another account than it should"
        found.append(BooksDiffer(FindingKind.WRONG_DESTINATION, whole, says))
    elif line.amount != ours.amount:  # else all of it is posted already
        says = f"{line.amount} was paid instead of {ours.amount}"
        found.append(BooksDiffer(FindingKind.AMOUNT_DIFFERS, whole - line.amount.units, says))
    if line.fee is not None and ours.fee is not None and line.fee != ours.fee:
        fees = [Money(units, line.amount.asset) for units in (line.fee, ours.fee)]
        says = f"the rail took {fees[0]} for it, and our books say {fees[1]}"
        rest = line.fee_rest - ours.fee_rest
        found.append(BooksDiffer(FindingKind.FEE_DIFFERS, line.fee - ours.fee, says, rest))
    return found


def late_fee_differs(line: StatementLine, ours: OurPayment, paid: Sequence[StatementLine]) -> list[BooksDiffer]:
    """Say whether what the rail took later is in our books; `paid` are the payments with all that they cost."""
    if not ours.paid or ours.open:
        return []
    took = sum(one.fee or 0 for one in paid)
    if took == ours.fee:
        return []
    said = "nothing" if ours.fee is None else str(Money(ours.fee, line.amount.asset))
    says = (
        f"the rail took {line.amount} more for it later, {Money(took, line.amount.asset)} in all; our books say {said}"
    )
    return [BooksDiffer(FindingKind.FEE_DIFFERS, line.amount.units, says, line.rest)]


def return_differs(line: StatementLine, ours: OurPayment, left: int) -> list[BooksDiffer]:
    """Say whether money that came back is still paid in our books; `left` payments of it did not come back."""
    if not ours.paid or ours.open or left > 0:
        return []
    says = f"{line.amount} came back, and {ours.amount} is paid in our books"
    return [BooksDiffer(FindingKind.RETURNED, ours.amount.units, says)]


LEAST = 3
"""So many points make a match: the amount alone, with a day between, is none."""


def points(line: StatementLine, ours: OurPayment) -> int:
    """Say how well a line that names none of our references fits a record that no line has named."""
    if line.kind is not LineKind.PAYMENT or line.amount != ours.amount:
        return 0
    if line.account and ours.account and line.account != ours.account:
        return 0
    apart = abs(line.at - ours.at)
    near = 2 if apart <= HOUR else 1 if apart <= DAY else 0
    return (2 + near if near else 0) + (2 if line.account and line.account == ours.account else 0)


def best(line: StatementLine, candidates: Iterable[OurPayment]) -> OurPayment | None:
    """Choose the record that a line must be about; None where none fits well, or two do equally."""
    rated = sorted(((points(line, one), one) for one in candidates), key=lambda pair: -pair[0])[:2]
    if not rated or rated[0][0] < LEAST or (len(rated) > 1 and rated[1][0] == rated[0][0]):
        return None
    return rated[0][1]
