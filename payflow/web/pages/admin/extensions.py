"""What an installation gives to its dashboard: rails that can tell their balance, more pages, actions and searches."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from machines.core.facts import Fact
from machines.core.ids import RecordId
from machines.core.record import Record
from payflow.desk.dual_control import Verb
from payflow.desk.gateways import Wallet
from payflow.desk.lane_sheet import LaneSheet
from payflow.store.registers.tokens import Role
from payflow.web.http.sessions import Beside
from payflow.web.pages.admin.frame import Page

LaneLook = Callable[[], Awaitable[LaneSheet]]
"""Asks the nodes of a lane."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a person says when he does something."""

    who: str
    reason: str
    seen: str
    """What `sees` gave when he looked."""
    picked: Sequence[str] = ()
    """Which of the picks he chose."""


@dataclass(frozen=True, slots=True)
class Pick:
    """Something that may be chosen with an action."""

    name: str
    """What is sent, such as the id of a record."""
    says: str
    reference: str = ""
    """The transaction that it is about, to look at."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a person may do to a record of a machine. What it would do is found by trying it on `react`."""

    name: str
    """The word in its address, such as `approve`."""
    label: str
    """What its button says."""
    says: str
    """What it does, in a sentence."""
    machine: str
    roles: frozenset[Role]
    fact: Callable[[Record[Any], str, str], Fact]
    """Makes, of the record, a name and a reason, the fact that `react` is tried on."""
    run: Callable[[RecordId, Word], Awaitable[object]]
    """Does it to the record, by a person's word."""
    sees: Callable[[Record[Any]], str] = lambda record: str(record.version)
    """What the person's word is bound to: when this changes, he must look again."""
    asks: str = ""
    """The question whose answer is the reason; empty where none is needed."""
    danger: bool = False
    """Whether it takes or gives back money, or refuses somebody."""
    foresees: str = ""
    """What has to hold besides, and is found out only when it is done."""
    picks: Callable[[Record[Any]], Sequence[Pick]] = lambda _: ()
    """What the person chooses among, none or more of it."""
    of_picks: str = ""
    """What choosing means, as a question; empty where there is nothing to choose."""


@dataclass(frozen=True, slots=True)
class Search:
    """A way to find records by something that is written on them."""

    by: str
    """What one types, such as `transaction hash`."""
    find: Callable[[str], Awaitable[Sequence[RecordId]]]
    """Gives the records, or nothing where the text is no such thing. Must not walk over records."""


@dataclass(frozen=True, slots=True)
class Board:
    """All of it."""

    rails: Mapping[str, Wallet | None] = field(default_factory=dict)
    """By name; None where a rail cannot tell its balance."""
    lanes: Mapping[str, LaneLook | None] = field(default_factory=dict)
    """Lanes by name, which can be paused; None where this process has no node to ask."""
    coins: Mapping[str, str] = field(default_factory=dict)
    """For the coin of each pool, the lane that pays its miners."""
    bounty_lane: str = ""
    """The lane that bounties use."""
    pages: Sequence[Page] = ()
    """Pages beside those of the dashboard itself."""
    actions: Sequence[Action] = ()
    searches: Sequence[Search] = ()
    verbs: Sequence[Verb] = ()
    """What takes two people, beside what does in every installation."""
    beside: Beside | None = None
    """Pages with a cookie of their own that the same sign-in opens."""
    explorers: Mapping[str, str] = field(default_factory=dict)
    """For a lane, or a source of evidence that is no chain, where a reference can be looked at: an address with
    `{reference}` in it."""
