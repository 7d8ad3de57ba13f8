"""What a look at a file of payouts does: it reads the next portion, or what became of the payouts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from machines.core.decision import New
from machines.core.facts import Fact, Nothing
from machines.core.ports import Act, PermitSigner, Step
from machines.disbursement import facts as f
from machines.disbursement import lifecycle as s
from machines.disbursement.data import FileApproval, FileData, FileRecord, PortionRecord
from machines.disbursement.permit import file_approvers

MOST_FOLLOWED = 20
"""So many portions are looked at in one look."""


class FileRows(Protocol):
    """The rows of files, and the payouts that they become."""

    async def portion(self, record: FileRecord, place: int) -> PortionRecord:
        """Read what holds the sum of a portion."""

    async def payouts(
        self, record: FileRecord, place: int, approvals: Sequence[FileApproval]
    ) -> tuple[tuple[New[Any], ...], int]:
        """Make payouts of a portion's rows, and say of how many another payout has the reference by now.

        Raises where the rows are not those that were approved.
        """

    async def states(self, record: FileRecord, place: int) -> tuple[Mapping[str, int], bool]:
        """Count the payouts of a portion by state, and say whether all of them are over."""


@dataclass(frozen=True, slots=True)
class DisbursementActs:
    """The looks of the machine, bound to their ports."""

    rows: FileRows
    permits: PermitSigner
    two_people_from: Mapping[str, int] | None = None

    def acts(self) -> dict[str, Act[FileData]]:
        """Give the look of each state."""
        return {s.MAKING: self.make, s.PAYING: self.follow}

    async def make(self, record: FileRecord, step: Step) -> Fact:
        """Read the next portion, unless its owner is paused, and make payouts of what was approved."""
        await step.refuse_paused()
        place = record.data.next_portion
        if place is None:
            return Nothing()
        approvals = file_approvers(self.permits, record, self.two_people_from)
        portion = await self.rows.portion(record, place)
        if portion.state != s.RESERVED:
            return f.PortionGone(place, portion.state)
        payouts, refused = await self.rows.payouts(record, place, approvals)
        return f.PortionRead(place, portion, payouts, refused)

    async def follow(self, record: FileRecord, step: Step) -> Fact:
        """Count what became of payouts that are not over; each look goes on where the one before ended."""
        open_ = [place for place, one in enumerate(record.data.portions) if not one.over]
        turn = step.now // (s.FOLLOW_S * 1000) * MOST_FOLLOWED % max(1, len(open_))
        found = []
        for place in (open_[turn:] + open_[:turn])[:MOST_FOLLOWED]:
            states, over = await self.rows.states(record, place)
            counted = tuple(sorted(states.items()))
            if over or counted != record.data.portions[place].states:
                found.append((place, counted, over))
        return f.RowsFollowed(tuple(found)) if found or not open_ else Nothing()
