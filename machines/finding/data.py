"""What a finding keeps: what differs, between what, how bad that is, and the one act that is proposed for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from machines.core.ids import Owner, RecordId, derived_id, shard_for
from machines.core.money import Money
from machines.core.rail_share import FINE
from machines.core.record import Record

MACHINE = "finding"
POOL = "pool:"
"""Stands before the coin of a pool whose database is the statement: its miners have no accounts in our ledger."""


class FindingKind(StrEnum):
    """How two books differ."""

    MISSING_THERE = "missing there"
    """We say that it was paid, and the rail's statement does not."""
    MISSING_HERE = "missing here"
    """The rail paid under our reference what is not paid in our books."""
    AMOUNT_DIFFERS = "amount differs"
    FEE_DIFFERS = "fee differs"
    TWICE = "twice"
    """The rail paid the same thing more than once."""
    RETURNED = "returned"
    """The rail took a payment back that is paid in our books."""
    NOT_OURS = "not ours"
    """The rail moved money of which no record of ours says why."""
    BALANCE_DIFFERS = "balance differs"
    """The rail's own balances are not what its lines come to."""
    STATEMENT_GAP = "statement gap"
    """A stretch of the statement is missing, or the rail could not be asked."""
    WRONG_DESTINATION = "wrong destination"
    WRONG_CURRENCY = "wrong currency"
    LATE = "late"
    """It takes longer than the rail's own time."""


class Severity(StrEnum):
    """How bad a finding is."""

    SEVERE = "severe"
    """What is concerned stops sending until a person has looked."""
    PLAIN = "plain"
    """Somebody should look in the next days."""


class ProposedAct(StrEnum):
    """The one thing that is proposed for a finding."""

    ASK = "ask the gateway"
    """Have the rail asked once more, and the record learn what it says."""
    ADOPT = "adopt"
    """Take into our books what the rail did; where they have forgotten it, somebody says whose it was."""
    GIVE_BACK = "give back"
    """Have the record learn that the money came back, so that it is available again."""
    BOOK = "book"
    """Take it for what it is on the rail's side: it is nobody's of ours."""
    CORRECT = "correct"
    """Post the difference to the owner's account, which takes two people."""


class _Of(NamedTuple):
    severity: Severity
    act: ProposedAct
    advice: str


# fmt: off
_KINDS: Mapping[FindingKind, _Of] = MappingProxyType({
    FindingKind.MISSING_THERE:     _Of(Severity.SEVERE, ProposedAct.ASK,       "Have the record ask the rail."),
    FindingKind.MISSING_HERE:      _Of(Severity.SEVERE, ProposedAct.ADOPT,     "Take it into our books."),
    FindingKind.AMOUNT_DIFFERS:    _Of(Severity.SEVERE, ProposedAct.CORRECT,   "Post it to the owner's account."),
    FindingKind.FEE_DIFFERS:       _Of(Severity.PLAIN,  ProposedAct.BOOK,      "Take the rail's word for it."),
    FindingKind.TWICE:             _Of(Severity.SEVERE, ProposedAct.CORRECT,   "Take one off the owner's account."),
    FindingKind.RETURNED:          _Of(Severity.PLAIN,  ProposedAct.GIVE_BACK, "Let the record learn of it."),
    FindingKind.NOT_OURS:          _Of(Severity.PLAIN,  ProposedAct.BOOK,      "Say who moved it."),
    FindingKind.BALANCE_DIFFERS:   _Of(Severity.SEVERE, ProposedAct.ASK,       "Read the statement once more."),
    FindingKind.STATEMENT_GAP:     _Of(Severity.PLAIN,  ProposedAct.ASK,       "Read the statement once more."),
    FindingKind.WRONG_DESTINATION: _Of(Severity.SEVERE, ProposedAct.CORRECT,   "Post it to the owner's account."),
    FindingKind.WRONG_CURRENCY:    _Of(Severity.SEVERE, ProposedAct.CORRECT,   "Post it to the owner's account."),
    FindingKind.LATE:              _Of(Severity.PLAIN,  ProposedAct.ASK,       "Ask the rail what it waits for."),
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference between our books and what a rail shows, with what a person does about it."""

    rail: str
    kind: FindingKind
    subject: str
    """What it is about: a record's id, a line of a statement, a day, or `rail:<name>`."""
    says: str
    line: str = ""
    """The line of the statement, by the rail's own id; empty where there is none."""
    record: str = ""
    """The record that it is about; empty where none is known."""
    owner: str = ""
    """Whose the record is."""
    units: int = 0
    """The sum that the books differ by, towards the owner: less than nothing where they got too much."""
    asset: str = ""
    at: int = 0
    """When it happened at the rail."""
    stopped: str = ""
    """What was paused because of it."""
    taken_by: str = ""
    """Who works on it."""
    settled: bool = False
    """Whether it was put right as soon as it was found, so that nothing is left to do."""
    advised: str = ""
    """What a person does about it, where that is another thing than for all of its kind."""
    rest: int = 0
    """What of the sum is less than a unit, in parts of one: wei of a gwei."""

    @property
    def fine(self) -> int:
        """The sum, in parts of a unit."""
        return self.units * FINE + self.rest

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return not self.settled

    @property
    def severity(self) -> Severity:
        return _KINDS[self.kind].severity

    @property
    def act(self) -> ProposedAct:
        """What is proposed; where nobody has an account here, nothing can be posted to it."""
        act = _KINDS[self.kind].act
        if act is not ProposedAct.CORRECT or (self.owner and not self.rail.startswith(POOL)):
            return act
        booked = self.kind in (FindingKind.AMOUNT_DIFFERS, FindingKind.TWICE) and not self.owner
        return ProposedAct.BOOK if booked else ProposedAct.ASK

    @property
    def advice(self) -> str:
        """What a person does about it; empty for what is settled."""
        if not self.open or self.advised:
            return self.advised * self.open
        kind = _KINDS[self.kind]
        if self.act is kind.act:
            return kind.advice
        if self.rail.startswith(POOL):
            return "Put it right in the pool's database (`payflow pool audit`)."
        return "Nobody's account is concerned: take the rail's word for it, or settle it with the rail."

    @property
    def scope(self) -> str:
        """What stops sending because of it; empty where nothing does.

        What is found after the store lost writes stops nothing more: what it concerns is closed already.
        """
        if self.severity is not Severity.SEVERE or self.advised:
            return ""
        return f"owner:{self.owner}" if self.owner else f"rail:{self.rail}"


FindingRecord = Record[Finding]


def finding_owner(rail: str) -> Owner:
    """Name whose the findings of a rail are: nobody's of those who are paid."""
    return Owner(f"{MACHINE}:{rail}")


def finding_id(finding: Finding, shards: int) -> RecordId:
    """Give the one id of a difference, however often it is found."""
    shard = shard_for(finding_owner(finding.rail), shards)
    return derived_id(MACHINE, shard, finding.rail, finding.kind, finding.subject)


def sum_of(record: FindingRecord) -> Money | None:
    """Say how much a finding is about; None where that is no sum of money."""
    return record.amount
