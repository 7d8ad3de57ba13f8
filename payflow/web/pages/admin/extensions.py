"""What an installation gives to its dashboard: rails that can tell their balance, more pages, actions and searches."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from machines.core.ids import RecordId
from payflow.desk.actions import Action
from payflow.desk.dual_control import Verb
from payflow.desk.gateways import Wallet
from payflow.desk.lane_steering import LaneSheet
from payflow.web.http.sessions import SiblingPages
from payflow.web.pages.admin.frame import Page

LaneLook = Callable[[], Awaitable[LaneSheet]]
"""Asks the nodes of a lane."""


@dataclass(frozen=True, slots=True)
class Search:
    """A way to find records by something that is written on them."""

    by: str
    """What one types, such as `transaction hash`."""
    find: Callable[[str], Awaitable[Sequence[RecordId]]]
    """Gives the records, or nothing where the text is no such thing. Must not walk over records."""


@dataclass(frozen=True, slots=True)
class DashboardExtensions:
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
    also_opens: SiblingPages | None = None
    """Pages with a cookie of their own that the same sign-in opens."""
    explorers: Mapping[str, str] = field(default_factory=dict)
    """For a lane, or a source of evidence that is no chain, where a reference can be looked at: an address with
    `{reference}` in it."""
