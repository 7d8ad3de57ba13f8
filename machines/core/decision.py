"""What one commit writes. `react` returns a decision; only the store carries it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from machines.core.ids import Owner, RecordId
from machines.core.money import Money
from machines.core.record import Record

D = TypeVar("D")

NEVER_S = -1.0
"""When to look again at what nobody looks at any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A value that at most one record may hold in its space, such as the nonce of a lane."""

    space: str
    value: str


@dataclass(frozen=True, slots=True)
class Message:
    """Something to tell the world after the commit: delivered at least once."""

    kind: str
    """Which handler delivers it, such as `notify`, `webhook` or `alarm`."""
    body: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How many requests an owner may make: held by the script that creates one, so none slips through."""

    most_open: int
    """Whose money is held at a time; 0 for no limit."""
    most_daily: int
    """In any 24 hours, whatever became of them; 0 for no limit."""


@dataclass(frozen=True, slots=True)
class New(Generic[D]):
    """A record to be created."""

    id: RecordId
    machine: str
    owner: Owner
    amount: Money | None
    data: D
    fingerprint: str = ""
    """Of the request: the same id with another fingerprint is refused."""
    limits: RequestLimits = RequestLimits(0, 0)
    """Of the owner; a replay never counts."""
    due_in_s: float | None = 0.0
    """When its first look is due; None where no worker looks."""
    messages: tuple[Message, ...] = ()
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision(Generic[D]):
    """A move, or staying; and what is written with it."""

    trigger: str | None = None
    """The move; None to stay."""
    to: str | None = None
    """Where an override leads; every other trigger's target stands in the table."""
    data: D | None = None
    """The record's new data; None leaves it as it is."""
    again_s: float | None = None
    """When to look next; None takes the pace of the state."""
    why: str = ""
    """One sentence for the history."""
    recorded: bool = True
    """False where a look learned nothing: only the next due time is written."""
    moot: bool = False
    """Whether the fact is only written down: it means nothing in this state, or contradicts the record."""
    alarm: str = ""
    """What a person must be told now, because the fact contradicts the record."""
    stops: str = ""
    """What sends nothing any more until a person resumes it, as a scope such as `rail:flutterwave`."""
    unsent: bool = False
    """Whether it stands on nothing having left: it is not written where a send of the record was begun meanwhile."""
    messages: tuple[Message, ...] = ()
    claims: tuple[Claim, ...] = ()
    releases: tuple[Claim, ...] = ()
    creates: tuple[New[Any], ...] = ()
    """Records of the same shard that come into being with this commit, unless they exist."""
    group: tuple[tuple[Record[Any], "Decision[Any]"], ...] = ()
    """Other records of the same shard that are decided with this one: all or none."""

    def but(self, **changes: Any) -> "Decision[D]":
        return replace(self, **changes)


def move(trigger: str, why: str = "", **parts: Any) -> Decision[Any]:
    return Decision(trigger=trigger, why=why, **parts)


def wait(again_s: float | None = None) -> Decision[Any]:
    """Decide that nothing was learned: look again later."""
    return Decision(recorded=False, again_s=again_s)


def keep(why: str, **parts: Any) -> Decision[Any]:
    """Decide to stay, with something worth writing down."""
    return Decision(why=why, **parts)


def noted(why: str) -> Decision[Any]:
    """Write down a fact that means nothing in this state."""
    return Decision(why=f"noted: {why}", moot=True)


def alarm(why: str) -> Message:
    """Tell operators what needs somebody's hand, although it contradicts nothing."""
    return Message("alarm", {"why": why})


def contradiction(why: str, stops: str = "") -> Decision[Any]:
    """Write down a fact that contradicts the record, tell a person, and stop what cannot be trusted now."""
    return Decision(why=f"contradicts: {why}", alarm=why, stops=stops, moot=True)
