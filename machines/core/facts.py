"""Facts that every machine knows, and how each of them takes an operator's word."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from machines.core.decision import Decision
from machines.core.errors import BadInput
from machines.core.ids import folded
from machines.core.lifecycle import OVERRIDE, Lifecycle, Position
from machines.core.record import Record


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was learned."""

    def recorded(self) -> object:
        """Say what the history keeps of it: all, unless it carries what is written down elsewhere."""
        return self


@dataclass(frozen=True, slots=True)
class PersonFact(Fact):
    """What a person says, by name."""

    by: str


@dataclass(frozen=True, slots=True)
class Nothing(Fact):
    """A look that learned nothing new."""


@dataclass(frozen=True, slots=True)
class Refused(Fact):
    """The act was rejected: surely not done, and not to be repeated as it is."""

    reason: str
    attempt: str = ""


@dataclass(frozen=True, slots=True)
class LostSight(Fact):
    """The act may or may not have happened."""

    reason: str
    attempt: str = ""


class Proof(StrEnum):
    """What the rail says about a record whose money may have left."""

    NONE = "none"
    """The rail was not asked, or cannot tell."""
    NOT_PAID = "not_paid"
    """The rail proves that nothing was paid."""
    PAID = "paid"
    """The rail proves that it was paid."""


Read: TypeAlias = tuple[tuple[str, str], ...]
"""What was read outside, by what it was read of, such as a reference or a hash; kept in the history as it was."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the world outside said of a record's money when it was asked, and what that proves."""

    proof: Proof = Proof.NONE
    read: Read = ()


@dataclass(frozen=True, slots=True)
class Override(Fact):
    """An operator's word: put the record into a state."""

    to: str
    reason: str
    by: str
    second: str = ""
    """The second person, where one is not enough; never one who is only named by the first."""
    proof: Proof = Proof.NONE
    read: Read = ()
    second_approves: bool = False
    """Whether the second person is one of those who may approve payments."""
    at: int = 0
    """When the second person approved, as their seal has it; 0 without one."""
    seal: str = ""


def override(
    lifecycle: Lifecycle, record: Record[Any], fact: Override, *, approved: bool = False
) -> Decision[Any]:  # fmt: skip
    """Decide on an operator's word; the same rule for every machine.

    `approved` says that the record has every approval that it asks for; a machine that keeps none never says so.
    """
    target = lifecycle.state(fact.to)
    if not fact.reason.strip():
        raise BadInput("An override needs a reason: it is written into the history for whoever asks later.")
    if fact.to == record.state:
        raise BadInput(f"{record.id} is in {record.state} already.")
    second = fact.second.strip()
    if folded(second) == folded(fact.by):
        raise BadInput("The second person must be another one.")
    needs = second_person_needed(lifecycle, record, target.name, fact.proof, approved=approved)
    if needs and not second:
        raise BadInput(f"{needs} Let a second person confirm, or bring proof from the rail.")
    who = f"{fact.by} and {second}" if second else fact.by
    return Decision(trigger=OVERRIDE, to=target.name, why=f"{fact.reason} ({who})")


def second_person_needed(
    lifecycle: Lifecycle, record: Record[Any], to: str, proof: Proof, *, approved: bool = False
) -> str:  # fmt: skip
    """Say why one person's word is not enough; empty when it is."""
    source, target = lifecycle.state(record.state), lifecycle.state(to)
    # A state that forgets that money may have left is refused as well: from there one more word would give it back.
    given_back = target.position is Position.AVAILABLE or not target.gone
    if source.gone and given_back and proof is not Proof.NOT_PAID:
        return f"Money of {record.id} may have left in {record.state}."
    if proof is Proof.PAID and not target.says_gone:
        return f"The rail says that {record.id} was paid."
    if proof is Proof.NOT_PAID and target.says_gone:
        return f"The rail says that {record.id} was not paid."
    # What is over may have been settled in other books than ours: one word more would pay it a second time.
    if source.final and not target.final:
        return f"{record.id} is over in {record.state}, and would begin again."
    if target.cleared and not approved:
        return f"In {to} {record.id} is sent, or tried again, with nobody's further yes."
    return ""
