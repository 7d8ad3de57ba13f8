"""The accounts of the books: an owner's, and a rail's; what a posting does to them, and how they can be false."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TypeAlias, cast

from machines.core.ids import Owner
from machines.core.lifecycle import Position
from machines.core.rail_share import FINE, OUTSIDE, REST, WENT, RailPart, postings
from payflow.store.codec import encode
from payflow.store.rail_side import RAIL

RailKey: TypeAlias = tuple[str, str]
"""A rail and an asset."""
PARTS = ("available", "held", "paid", "funded", "owed")
"""The figures of an owner's account."""
_SEAL = re.compile(r"\d+\.[A-Za-z0-9_-]{27}")


@dataclass(slots=True)
class LedgerAccount:
    """One owner's money in one asset, in ledger units."""

    available: int = 0
    held: int = 0
    paid: int = 0
    funded: int = 0
    owed: int = 0

    @property
    def imbalance(self) -> int:
        """What `funded + owed` and `available + held + paid` differ by: always zero."""
        return self.funded + self.owed - self.available - self.held - self.paid

    @property
    def named(self) -> dict[str, int]:
        """Its figures by name."""
        return {part: getattr(self, part) for part in PARTS}

    def renamed(self, figures: str) -> dict[str, int]:
        """Read other figures of such an account."""
        return LedgerAccount(*map(int, figures.split())).named

    @property
    def overdrawn(self) -> bool:
        """Whether there is less than nothing anywhere, with which nobody may reckon."""
        return min(self.available, self.held, self.paid, self.funded, self.owed) < 0

    @property
    def figures(self) -> str:
        """Its figures in turn, as a checkpoint keeps them."""
        return f"{self.available} {self.held} {self.paid} {self.funded} {self.owed}"

    def copied(self) -> "LedgerAccount":
        return replace(self)

    def add(self, other: "LedgerAccount") -> None:
        for name in PARTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def owes(self, entry: "Posting") -> int:
        """Say how a posting changes what is owed: what comes in settles it, what was not there to leave is owed."""
        if entry.target == Position.AVAILABLE:
            return -min(self.owed, entry.units)
        if entry.source == Position.AVAILABLE and entry.target != Position.HELD:
            return max(0, entry.units - self.available)
        return 0

    def post(self, entry: "Posting") -> None:
        """Add a posting."""
        self.owed += entry.owed
        for name, units in ((entry.source, -entry.units), (entry.target, entry.units)):
            if name == OUTSIDE:
                self.funded -= units
            elif name == Position.AVAILABLE:
                self.available += units + (entry.owed if entry.owed * units < 0 else 0)
            else:
                setattr(self, name, getattr(self, name) + units)


@dataclass(slots=True)
class RailAccount:
    """What is on a rail's side in one asset, in ledger units and what is less than one."""

    units: dict[str, int] = field(default_factory=dict)
    """Part, or what is less than a unit of it -> units."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RailAccount) and self.figures == other.figures

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.figures or "empty"

    def fine(self, part: RailPart) -> int:
        """Give a part to the last bit: in parts of a unit, see `FINE`."""
        return self.units.get(part, 0) * FINE + self.units.get(part + REST, 0)

    @property
    def figures(self) -> str:
        """Its figures in turn, as a checkpoint keeps them."""
        return " ".join(f"{name} {units}" for name, units in sorted(self.units.items()) if units)

    @property
    def named(self) -> dict[str, int]:
        """Its figures by name."""
        return self.units

    def renamed(self, figures: str) -> dict[str, int]:
        """Read other figures of such an account."""
        return rail_account_of(figures).units

    @property
    def overdrawn(self) -> bool:
        """Whether nobody may reckon with it: it says what the world did, which may be less than nothing anywhere."""
        return False

    @property
    def expected(self) -> int:
        """What the wallet should hold by our books."""
        return self.fine(RailPart.FUNDED) - sum(map(self.fine, WENT))

    @property
    def unexplained(self) -> int | None:
        """What the wallet has beyond that, less than nothing where it lacks it; None where no statement says."""
        return self.fine(RailPart.WALLET) - self.expected if RailPart.WALLET in self.units else None

    def copied(self) -> "RailAccount":
        return RailAccount(dict(self.units))

    def add(self, other: "RailAccount") -> None:
        for name, units in other.units.items():
            self.units[name] = self.units.get(name, 0) + units

    def owes(self, _: "Posting") -> int:
        """Say that a rail owes nothing by a posting."""
        return 0

    def post(self, entry: "Posting") -> None:
        """Add a posting."""
        for name, change in ((entry.source, -entry.units), (entry.target, entry.units)):
            if name != OUTSIDE:
                self.units[name] = self.units.get(name, 0) + change


def exact(fine: int) -> str:
    """Write units and what is less than one."""
    whole, rest = divmod(fine, FINE)
    return f"{whole}.{rest:09d}" if rest else f"{whole}"


def rail_account_of(figures: str) -> RailAccount:
    """Read figures as a checkpoint keeps them."""
    words = figures.split()
    return RailAccount({name: int(units) for name, units in zip(words[::2], words[1::2], strict=True)})


def rail_accounts_of(fields: Mapping[bytes, bytes]) -> dict[RailKey, RailAccount]:
    """Read the accounts of rails as they are kept."""
    accounts: dict[RailKey, RailAccount] = {}
    for name, units in fields.items():
        key, _, part = name.decode().rpartition(".")
        rail, _, asset = key.rpartition(" ")
        accounts.setdefault((rail, asset), RailAccount()).units[part] = int(units)
    return accounts


@dataclass(frozen=True, slots=True)
class Posting:
    """One posting of the journal."""

    id: str
    owner: Owner
    asset: str
    source: str
    target: str
    units: int
    owed: int
    """By how much the owner's debt changed."""
    cause: str
    seal: str = ""
    """The signature that its commit wrote behind the cause."""

    @property
    def number_in_seal(self) -> int:
        """The version of its record that made it; of other postings the time, none where an older version made it."""
        return int(self.seal.partition(".")[0] or 0)

    @property
    def number(self) -> int:
        """Its place among those of one millisecond."""
        return int(self.id.partition("-")[2])


AccountKey: TypeAlias = tuple[Owner, str]
"""An owner, or a rail as postings name it, and an asset."""


class Sums(dict[AccountKey, LedgerAccount | RailAccount]):
    """Accounts by whose they are; one that is not there yet is empty."""

    def __missing__(self, key: AccountKey) -> LedgerAccount | RailAccount:
        self[key] = RailAccount() if key[0].startswith(RAIL) else LedgerAccount()
        return self[key]

    def copied(self) -> "Sums":
        return Sums({key: one.copied() for key, one in self.items()})

    def owned(self, key: AccountKey) -> LedgerAccount:
        """Give an owner's."""
        return cast("LedgerAccount", self[key])

    def on_rail(self, key: AccountKey) -> RailAccount:
        """Give a rail's."""
        return cast("RailAccount", self[key])


def account_of_figures(key: AccountKey, figures: str) -> LedgerAccount | RailAccount:
    """Read figures as a checkpoint keeps them."""
    return rail_account_of(figures) if key[0].startswith(RAIL) else LedgerAccount(*map(int, figures.split()))


@dataclass(frozen=True, slots=True)
class Difference:
    """An account that is not what the journal or the records say."""

    owner: Owner
    asset: str
    account: LedgerAccount
    journal: LedgerAccount
    """What the postings sum to."""
    holding: int
    """What the records that hold sum to."""
    shard: int = 0

    @property
    def account_agrees(self) -> bool:
        """Whether the account agrees with itself and with the records."""
        return not self.account.imbalance and self.account.held == self.holding

    @property
    def journal_agrees(self) -> bool:
        """Whether the journal agrees with itself and with the records."""
        return not self.journal.imbalance and self.journal.held == self.holding

    @property
    def journal_is_false(self) -> bool:
        """Whether it is a posting that is missing, or too many, and not the account."""
        return self.account_agrees and not self.journal_agrees

    def missing_posting(self) -> str | None:
        """Give the one posting that makes the journal say what the account says; None where none does."""
        lacks = LedgerAccount(*(getattr(self.account, part) - getattr(self.journal, part) for part in PARTS))
        places = (OUTSIDE, Position.AVAILABLE, Position.HELD, Position.PAID)
        for units in sorted({abs(getattr(lacks, part)) for part in PARTS} - {0}):
            for source, target in permutations(places, 2):
                entry = Posting("", self.owner, self.asset, source, target, units, lacks.owed, "")
                sums = LedgerAccount()
                sums.post(entry)
                if sums == lacks:
                    return f"{source} {target} {units} {lacks.owed}"
        return None

    def said(self) -> list[str]:
        """Say what differs."""
        name, account = f"{self.owner} {self.asset}", self.account
        found = {
            f"{name}: funded + owed and available + held + paid differ by {account.imbalance}.": account.imbalance,
            f"{name}: the account is {account}, the journal sums to {self.journal}.": account != self.journal,
            f"{name}: {account.held} is held, the records that hold sum to {self.holding}.": account.held
            != self.holding,
            f"{name}: there is less than nothing in the account, {account}.": account.overdrawn,
        }
        return [fault for fault, is_so in found.items() if is_so]


@dataclass(frozen=True, slots=True)
class RailDifference:
    """A rail's account that is not what the journal or the records say."""

    owner: Owner
    """The rail, as postings name it."""
    asset: str
    account: RailAccount
    journal: RailAccount
    holding: int
    """What the records that are under way sum to, in parts of a unit."""
    shard: int = 0

    @property
    def account_agrees(self) -> bool:
        """Whether the account agrees with the records."""
        return self.account.fine(RailPart.IN_FLIGHT) == self.holding

    @property
    def journal_agrees(self) -> bool:
        """Whether the journal does."""
        return self.journal.fine(RailPart.IN_FLIGHT) == self.holding

    @property
    def journal_is_false(self) -> bool:
        """Whether it is a posting that is missing, or too many, and not the account."""
        return self.account_agrees and not self.journal_agrees

    def missing_posting(self) -> str | None:
        """Give the one posting that makes the journal say what the account says; None where none does."""
        lacks = RailAccount(dict(self.account.units))
        lacks.add(RailAccount({name: -units for name, units in self.journal.units.items()}))
        found = list(postings({name: units for name, units in lacks.units.items() if units}))
        return f"{found[0][0]} {found[0][1]} {found[0][2]} 0" if len(found) == 1 else None

    def said(self) -> list[str]:
        """Say what differs."""
        name = f"{self.owner} {self.asset}"
        found = {
            f"{name}: the account is {self.account}, the journal sums to {self.journal}.": self.account != self.journal,
            f"{name}: {exact(self.account.fine(RailPart.IN_FLIGHT))} is under way, the records that are sum to "
            f"{exact(self.holding)}.": not self.account_agrees,
        }
        return [fault for fault, is_so in found.items() if is_so]


@dataclass(slots=True)
class BothSides:
    """What is paid in one asset: by owners' accounts, and by the rails'; in parts of a unit."""

    paid: int = 0
    settled: int = 0
    borne: int = 0
    twice: int = 0

    @property
    def on_rails(self) -> int:
        """What owners' accounts must say."""
        return self.settled + self.borne - self.twice

    @property
    def agree(self) -> bool:
        return self.paid == self.on_rails

    def add(self, other: "BothSides") -> None:
        self.paid += other.paid
        self.settled += other.settled
        self.borne += other.borne
        self.twice += other.twice


def sides_of(sums: Sums) -> dict[str, BothSides]:
    """Put both sides beside each other, by asset."""
    found: dict[str, BothSides] = {}
    for (_, asset), one in sums.items():
        if isinstance(one, LedgerAccount):
            side = BothSides(paid=one.paid * FINE)
        else:
            parts = (one.fine(part) for part in (RailPart.SETTLED, RailPart.BORNE, RailPart.TWICE))
            side = BothSides(0, *parts)
        found.setdefault(asset, BothSides()).add(side)
    return found


AnyDifference: TypeAlias = Difference | RailDifference


def accounts_of(fields: dict[bytes, bytes]) -> dict[str, LedgerAccount]:
    """Read an owner's accounts, by asset, as they are kept."""
    accounts: dict[str, LedgerAccount] = {}
    for name, units in fields.items():
        asset, _, part = name.decode().partition(".")
        setattr(accounts.setdefault(asset, LedgerAccount()), part, int(units))
    return accounts


def posting_of(entry_id: str, fields: Mapping[bytes, bytes]) -> Posting:
    (content,) = fields.values()
    owner, asset, source, target, units, owed, rest = content.decode().split(" ", 6)
    cause, _, seal = rest.rpartition(" ~")
    if not _SEAL.fullmatch(seal):
        cause, seal = rest, ""
    return Posting(entry_id, Owner(owner), asset, source, target, int(units), int(owed), cause, seal)


def place_of(entry_id: str) -> tuple[int, int]:
    """Read where a posting is in its journal."""
    at, _, number = entry_id.partition("-")
    return int(at), int(number or 0)


def digest_of(sums: Sums) -> str:
    """Tell sums from any others; an account with nothing in it is none."""
    nothing = ("", LedgerAccount().figures)
    named = sorted((owner, asset, one.figures) for (owner, asset), one in sums.items())
    content = [line for line in named if line[2] not in nothing]
    return hashlib.sha256(encode(content)).hexdigest()
