"""What a look at a finding does: it asks whether the difference is still there."""

from typing import Protocol

from machines.core.facts import Fact, Nothing
from machines.core.ports import Act, Step
from machines.finding import facts as f
from machines.finding import lifecycle as s
from machines.finding.data import Finding, FindingRecord


class BothBooks(Protocol):
    """Our books, and what was read of the rail's."""

    async def explained(self, finding: Finding) -> str:
        """Say why the two differ no more; empty as long as they do."""


class FindingActs:
    """The looks at findings."""

    def __init__(self, books: BothBooks) -> None:
        self._books = books

    def acts(self) -> dict[str, Act[Finding]]:
        """Give the look of each state."""
        return {s.OPEN: self.look}

    async def look(self, record: FindingRecord, _: Step) -> Fact:
        """Learn whether the difference has gone."""
        why = await self._books.explained(record.data)
        return f.Explained(why) if why else Nothing()
