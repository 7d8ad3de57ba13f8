"""What an installation gives to its dashboard: rails that can tell their balance, more pages, actions and searches."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from machines.core.facts import Fact
from machines.core.ids import RecordId
from machines.core.money import Money
from machines.core.record import Record
from payflow.store.tokens import Role
from payflow.web.admin.frame import Page

Wallet = Callable[[], Awaitable[Sequence[Money]]]
"""Asks a rail what its wallets hold."""


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
    run: Callable[[RecordId, str, str, str], Awaitable[object]]
    """Does it: for the record, by a name, for a reason, having seen what `sees` gave."""
    sees: Callable[[Record[Any]], str] = lambda record: str(record.version)
    """What the person's word is bound to: when this changes, he must look again."""
    asks: str = ""
    """The question whose answer is the reason; empty where none is needed."""
    danger: bool = False
    """Whether it takes or gives back money, or refuses somebody."""
    foresees: str = ""
    """What has to hold besides, and is found out only when it is done."""


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
    lanes: Sequence[str] = ()
    """Names of lanes, which can be paused."""
    pages: Sequence[Page] = ()
    """Pages beside those of the dashboard itself."""
    actions: Sequence[Action] = ()
    searches: Sequence[Search] = ()
    explorers: Mapping[str, str] = field(default_factory=dict)
    """For a source of evidence, where its reference can be looked at: an address with `{reference}` in it."""
