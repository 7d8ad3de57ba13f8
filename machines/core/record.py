"""A record is one payout, pool payment, bounty or transaction. It never changes; a commit makes the next version."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from machines.core.clock import Millis
from machines.core.ids import Owner, RecordId
from machines.core.money import Money

D_co = TypeVar("D_co", covariant=True)


class Sending(StrEnum):
    """Whether a send of a record was begun of which nothing is written yet. It is marked right before it leaves."""

    NO = ""
    UNDER_WAY = "under_way"
    """Whoever began it still holds the record, and will say what came of it."""
    LOST = "lost"
    """Whoever began it lost the record first: it may have left."""


@dataclass(frozen=True, slots=True)
class Record(Generic[D_co]):
    """One version of a record."""

    id: RecordId
    machine: str
    state: str
    version: int
    owner: Owner
    amount: Money | None
    data: D_co
    created_at: Millis
    since: Millis
    """When it came into its state."""
    tries: int = 0
    """Looks in this state that ended in an error, for the back-off."""
    parked: str = ""
    """Why it was set aside; empty for a record that is looked at."""
    sending: Sending = Sending.NO
