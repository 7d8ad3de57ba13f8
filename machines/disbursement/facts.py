"""What a file of payouts can learn."""

from dataclasses import dataclass
from typing import Any

from machines.core.decision import New
from machines.core.facts import Fact, PersonFact
from machines.disbursement.data import Portion, PortionRecord


@dataclass(frozen=True, slots=True)
class FileApproved(PersonFact):
    """A reviewer said yes to exactly what is named."""

    fingerprint: str
    at: int
    seal: str
    reserves: tuple[New[Any], ...] = ()
    """What holds the sums of all portions, from the moment on in which enough said yes."""

    def recorded(self) -> object:
        """Leave out what comes into being with it, which has histories of its own."""
        return {"by": self.by, "fingerprint": self.fingerprint, "at": self.at, "reserves": len(self.reserves)}


@dataclass(frozen=True, slots=True)
class RowsLeftOut(PersonFact):
    """A reviewer leaves rows out, before anybody's yes."""

    left_out: tuple[tuple[int, int], ...]
    portions: tuple[Portion, ...]
    """All portions, as they come to without them."""
    approvals_needed: int

    def recorded(self) -> object:
        """Say which rows."""
        return {"by": self.by, "left_out": self.left_out}


@dataclass(frozen=True, slots=True)
class FileRejected(PersonFact):
    """A reviewer says no."""

    reason: str


@dataclass(frozen=True, slots=True)
class FileCancelled(PersonFact):
    """It is not wanted any more."""

    reason: str
    reserved: tuple[PortionRecord, ...] = ()
    """Its portions that are not payouts yet."""

    def recorded(self) -> object:
        """Say how many portions were given back."""
        return {"by": self.by, "reason": self.reason, "given_back": len(self.reserved)}


@dataclass(frozen=True, slots=True)
class PortionRead(Fact):
    """The rows of a portion are as they were approved, and can become payouts."""

    place: int
    portion: PortionRecord
    payouts: tuple[New[Any], ...]
    refused: int = 0
    """Rows whose reference was used by another payout meanwhile."""

    def recorded(self) -> object:
        """Say how many; each payout has a history of its own."""
        return {"portion": self.place, "payouts": len(self.payouts), "refused": self.refused}


@dataclass(frozen=True, slots=True)
class PortionGone(Fact):
    """What was held for a portion was given back by hand: its rows are not paid."""

    place: int
    state: str


@dataclass(frozen=True, slots=True)
class RowsFollowed(Fact):
    """How far payouts of some portions are: by place, how many in which state, and whether all are over."""

    found: tuple[tuple[int, tuple[tuple[str, int], ...], bool], ...]
