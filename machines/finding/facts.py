"""What a finding can learn."""

from dataclasses import dataclass

from machines.core.facts import Fact, PersonFact
from machines.finding.data import Finding


@dataclass(frozen=True, slots=True)
class Noticed(Fact):
    """The reconciler found the difference, maybe once more."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class Explained(Fact):
    """The difference is gone."""

    why: str


@dataclass(frozen=True, slots=True)
class Resolved(PersonFact):
    """Somebody did what was proposed."""

    did: str


@dataclass(frozen=True, slots=True)
class Waived(PersonFact):
    """Somebody lets it stay."""

    reason: str


@dataclass(frozen=True, slots=True)
class TakenUp(PersonFact):
    """Somebody works on it."""


@dataclass(frozen=True, slots=True)
class Stopped(Fact):
    """Something was paused because of it."""

    scope: str
