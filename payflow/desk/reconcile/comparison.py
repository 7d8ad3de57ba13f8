"""What a person must see, and what is put right, before rails open that the sequence guard closed.

The store was set back: to a backup, to a replica that lagged, to nothing. The world was not. Each part of Payflow that
moves money reads what the world did since then, takes into the books what it can prove, and names what a person must
decide. As long as one finding is open, nothing opens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from machines.core.clock import Millis
from machines.core.errors import BadInput
from machines.core.ids import Owner
from machines.finding.data import Finding
from payflow.desk.reconcile.findings import FindingFilter, Findings
from payflow.store.store import Store


@dataclass(frozen=True, slots=True)
class Word:
    """What a person says about what cannot be proven."""

    who: str
    reason: str = ""
    owners: Mapping[str, Owner] = field(default_factory=dict)
    """Whose a record is that the store has forgotten, by the record's id."""
    dismissed: frozenset[str] = frozenset()
    """Subjects of findings that he has dealt with by hand."""

    def __post_init__(self) -> None:
        if (self.owners or self.dismissed) and not self.reason.strip():
            raise BadInput("Say why with --reason: it is kept for whoever asks later.")


class Reconciles(Protocol):
    """A part of Payflow that moves money, and can tell what it did."""

    async def reconcile(self, since: Millis, word: Word) -> Sequence[Finding]:
        """Compare with the world what was done since a time, put right what is proven, and tell all that was found.

        It sends nothing. It may be repeated: what was settled once is not found again, or found settled.
        """


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a reconciliation came to."""

    findings: tuple[Finding, ...]
    closed: tuple[str, ...]
    """What the sequence guard holds closed."""

    @property
    def clear(self) -> bool:
        """Whether the rails may open."""
        return not any(finding.open for finding in self.findings)


async def compare(
    store: Store, parts: Sequence[Reconciles], since: Millis, word: Word, register: Findings | None = None
) -> Comparison:
    """Let every part compare itself with the world; what is left to do is written down as findings."""
    if since > await store.records.now():
        raise BadInput("That time is still to come.")
    await store.audit.note(word.who, "reconcile", "rails", word.reason)
    findings: list[Finding] = []
    for part in parts:
        for finding in await part.reconcile(since, word):
            dealt_with = finding.open and finding.subject in word.dismissed
            said = f"{finding.says} {word.who} has dealt with it: {word.reason}"
            findings.append(replace(finding, says=said, settled=True) if dealt_with else finding)
    if register is not None:
        await _write_down(register, findings, word)
    return Comparison(tuple(findings), await closed(store))


async def _write_down(register: Findings, findings: Sequence[Finding], word: Word) -> None:
    """Make what is open findings, and end those that the comparison before had named and this one does not."""
    there = {(await register.make(one)).id for one in findings if one.open}
    for record in await register.all(FindingFilter()):
        if not record.data.advised or record.id in there:
            continue
        if record.data.subject in word.dismissed:
            await register.dismiss(record.id, word.reason, word.who)
        else:
            await register.explained(record.id, "the next reconciliation found it no more", word.who)


async def closed(store: Store) -> tuple[str, ...]:
    """Name the shards that the sequence guard holds closed."""
    await store.settle_alarms()
    return tuple(sorted(scope for scope in await store.pauses.all() if scope.startswith("shard:")))


async def open_rails(store: Store, outcome: Comparison, word: Word) -> None:
    """Take the store as it is for the truth, and open what the guard closed."""
    if not outcome.clear:
        raise BadInput("Something is not settled yet: the rails stay closed.")
    for finding in outcome.findings:
        await store.audit.note(word.who, "reconciled", finding.subject, finding.says)
    await store.adopt()
