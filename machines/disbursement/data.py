"""What a file of payouts keeps: what it says in sums, who said yes to that, and how far its rows are.

The rows themselves are beside the record, in portions; a digest of each portion is here, so that no row can be another
one than was approved.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from machines.core.ids import RecordId, called, derived_id, folded, parse_id
from machines.core.record import Record

MACHINE = "disbursement"
PORTION_MACHINE = "portion"
MOST_RANGES = 1_000
TWO_PEOPLE = 2


@dataclass(frozen=True, slots=True)
class Portion:
    """Some rows of one currency, which become payouts in one moment."""

    asset: str
    rail: str
    units: int
    """What the rows come to that are to be paid."""
    rows: int
    """How many of them are to be paid."""
    digest: str
    """Of all its rows, each with its payee, amount and payout."""
    first: int = 0
    last: int = 0
    """The numbers of its first and its last row."""
    made: int = -1
    """How many of its rows are payouts; less than nothing before it was split."""
    states: tuple[tuple[str, int], ...] = ()
    """How many of those were in which state, when they were looked at last."""
    over: bool = False
    """Whether every one of them is over."""


@dataclass(frozen=True, slots=True)
class FileApproval:
    """One reviewer's yes to a file."""

    by: str
    at: int
    seal: str = ""
    """Over exactly what the file pays."""


@dataclass(frozen=True, slots=True)
class FileData:
    """What is known of a file of payouts."""

    name: str
    """What whoever sent it calls it."""
    sha256: str
    """Of the file, byte for byte."""
    uploaded_by: str
    columns: str = ""
    """Which of its columns is what."""
    rows: int = 0
    """How many rows it has, red ones too."""
    red: int = 0
    """How many of them are not to be paid, and why stands beside each."""
    doubtful: int = 0
    """How many have the payee and the amount of a row of another file, of the last days."""
    fees: tuple[tuple[str, int], ...] = ()
    """By currency, what the rails will take for it, as far as they say so before."""
    left_out: tuple[tuple[int, int], ...] = ()
    """Rows that reviewers left out, from one number to another."""
    portions: tuple[Portion, ...] = ()
    approvals_needed: int = 1
    approvals: tuple[FileApproval, ...] = ()
    reason: str = ""
    """Why it was rejected or taken back."""

    @property
    def payable(self) -> int:
        """How many rows are to be paid."""
        return sum(one.rows for one in self.portions)

    @property
    def made(self) -> int:
        """How many rows are payouts by now."""
        return sum(max(0, one.made) for one in self.portions)

    @property
    def next_portion(self) -> int | None:
        """Which portion becomes payouts next; None where all did."""
        return next((place for place, one in enumerate(self.portions) if one.made < 0), None)

    def totals(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """By currency and rail, how many rows are to be paid, and what they come to."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for one in self.portions:
            rows, units = found.get((one.asset, one.rail), (0, 0))
            found[one.asset, one.rail] = rows + one.rows, units + one.units
        return dict(sorted(found.items()))

    def sums(self) -> Mapping[str, int]:
        """By currency, what is to be paid."""
        found: Counter[str] = Counter()
        for one in self.portions:
            found[one.asset] += one.units
        return dict(sorted(found.items()))

    def states(self) -> Mapping[str, int]:
        """How many of its payouts are in which state, as far as they were looked at."""
        found: Counter[str] = Counter()
        for one in self.portions:
            found.update(dict(one.states))
        return dict(sorted(found.items()))

    @property
    def fingerprint(self) -> str:
        """Name exactly what is paid, to which payees: what a reviewer's yes is bound to."""
        portions = ((one.asset, one.rail, one.units, one.rows, one.digest) for one in self.portions)
        said = repr((self.sha256, self.rows, self.red, self.left_out, self.approvals_needed, tuple(portions)))
        return hashlib.sha256(said.encode()).hexdigest()

    def leaves_out(self, row: int) -> bool:
        """Whether reviewers left a row out."""
        return any(first <= row <= last for first, last in self.left_out)

    def with_portion(self, place: int, changed: Portion) -> "FileData":
        portions = (*self.portions[:place], changed, *self.portions[place + 1 :])
        return replace(self, portions=portions)


@dataclass(frozen=True, slots=True)
class PortionData:
    """Whose portion it is, and which."""

    file: str
    """The id of the file's record."""
    place: int


FileRecord = Record[FileData]
PortionRecord = Record[PortionData]


def file_id(shard: int, owner: str, sha256: str) -> RecordId:
    """Give the one id of a file of an owner, however often it is sent."""
    return derived_id(MACHINE, shard, owner, sha256)


def portion_id(file: RecordId, place: int) -> RecordId:
    """Give the id of a portion of a file."""
    return derived_id(PORTION_MACHINE, parse_id(file)[1], file, str(place))


def same_name(one: str, other: str) -> bool:
    """Whether two names are of one person, or of one owner."""
    return folded(called(one)) == folded(called(other))


def ranges_of(rows: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Put row numbers together into ranges."""
    first = last = 0
    for row in sorted(set(rows)):
        if first and row == last + 1:
            last = row
            continue
        if first:
            yield first, last
        first = last = row
    if first:
        yield first, last
