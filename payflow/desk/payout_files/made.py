"""How the rows of a file become payouts, and what became of each."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from machines.core.clock import Millis
from machines.core.decision import New
from machines.core.errors import NotFound, Unapproved
from machines.core.ids import RecordId
from machines.core.machine import AnyMachine
from machines.core.money import Money
from machines.core.record import Record
from machines.disbursement import lifecycle as s
from machines.disbursement.acts import DisbursementActs
from machines.disbursement.data import FileApproval, FileRecord, PortionRecord, portion_id
from machines.disbursement.react import disbursement, portion
from machines.payout.data import Approval, PayoutData, PayoutRecord, row_of
from machines.payout.lifecycle import LIFECYCLE, REQUESTED
from machines.payout.permit import by_file
from payflow.desk.payouts import MACHINE
from payflow.desk.requests import two_people_from
from payflow.shown import harmless
from payflow.store.registers.payout_files import FileRow, PayoutFileRows, digest_of
from payflow.store.store import Store

GONE = "archived"
"""What a payout is called that was put away: it is over."""


def named_row(file: str, number: int) -> str:
    """Say in a payout which row of which file it is."""
    return f"{file} row {number}"


def file_machines(store: Store) -> tuple[AnyMachine, AnyMachine]:
    """Give the machine of files, and that of their portions."""
    looks = DisbursementActs(MadeRows(store), store.permit_keys, two_people_from(store.settings, store))
    return disbursement(looks.acts()), portion()


class MadeRows:
    """Reads rows, makes payouts of them, and counts what became of these."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = PayoutFileRows(store.link, store.records)
        self._bands = two_people_from(store.settings, store)

    async def portion(self, record: FileRecord, place: int) -> PortionRecord:
        """Read what holds the sum of a portion."""
        return (await self._store.records.read(portion_id(record.id, place))).record

    async def approved(self, record: FileRecord, place: int) -> list[FileRow]:
        """Read the rows of a portion, as they were approved."""
        rows = await self._rows.read(record.id, place)
        if rows is None:
            raise NotFound(
                f"The rows of portion {place + 1} of {record.id} are not there any more: send the same file again, "
                f"then `payflow retry {record.id}`."
            )
        if digest_of(rows) != record.data.portions[place].digest:
            raise Unapproved(f"The rows of portion {place + 1} were changed beside Payflow: nothing is made of them.")
        return [row for row in rows if not record.data.leaves_out(row.number)]

    async def payouts(
        self, record: FileRecord, place: int, approvals: Sequence[FileApproval]
    ) -> tuple[tuple[New[Any], ...], int]:
        """Make payouts of a portion's rows, each with the yes of everybody who approved the file."""
        rows = await self.approved(record, place)
        await self._rows.remember(record.id)
        there = await self._rows.existing([row.payout for row in rows])
        now = await self._store.records.now()
        made = [self._payout(record, row, approvals, now) for row in rows if row.payout not in there]
        return tuple(made), len(rows) - len(made)

    def _payout(
        self, record: FileRecord, row: FileRow, approvals: Sequence[FileApproval], now: Millis
    ) -> New[PayoutData]:
        signer, amount = self._store.permit_keys, Money(row.units, self._store.records.assets[row.asset])
        file = named_row(record.id, row.number)
        two = self._bands is not None and row.units >= self._bands.get(row.asset, 0)
        data = PayoutData(
            rail=row.rail,
            method=row.method,
            sealed=row.sealed,
            shown=row.shown,
            send_units=row.units,
            note=row.note,
            requested_by=record.data.uploaded_by,
            installation=self._store.installation,
            fingerprint=row.fingerprint,
            findings=(row_of(file),),
            approvals_needed=2 if two else 1,
            place=row.place,
            file=file,
        )
        new: PayoutRecord = Record(row.payout, MACHINE, REQUESTED, 1, record.owner, amount, data, now, now)
        said_yes = tuple(
            Approval(one.by, one.at, row.fingerprint, by_file(signer, new, row.place, one.by, one.at))
            for one in approvals
        )
        made = replace(data, approvals=said_yes)
        # Of two files with a row of one key the second must notice, and not count what is not its own.
        return New(row.payout, MACHINE, record.owner, amount, made, fingerprint=file)

    async def states(self, record: FileRecord, place: int) -> tuple[Mapping[str, int], bool]:
        """Count the payouts of a portion by state, and say whether all of them are over."""
        rows = await self.approved(record, place)
        await self._rows.remember(record.id)
        found = await self._read([row.payout for row in rows])
        ours = [one for row in rows if (one := found.get(row.payout)) is None or is_row(one, record, row)]
        states = Counter(GONE if one is None else one.state for one in ours)
        return states, all(name == GONE or LIFECYCLE.state(name).final for name in states)

    async def _read(self, payouts: Sequence[RecordId]) -> Mapping[RecordId, PayoutRecord]:
        return {one.record.id: one.record for one in await self._store.records.readable(payouts)}

    # ── what became of each row ──────────────────────────────────────────────────────────────────────────────────────

    async def results(self, record: FileRecord) -> AsyncIterator["RowResult"]:
        """Say of every row what became of it, in the order of portions; the red ones last."""
        for place, one in enumerate(record.data.portions):
            rows, made = await self._rows.read(record.id, place) or [], one.made >= 0
            found = await self._read([row.payout for row in rows]) if made else {}
            for row in rows:
                yield self._result(record, row, found.get(row.payout), made=made)
        async for red in self._rows.red(record.id):
            why = f"{red.cell}: {red.why}" if red.cell else red.why
            yield RowResult(red.number, red.reference, "", None, "refused", why, "", "")

    def _result(self, record: FileRecord, row: FileRow, payout: PayoutRecord | None, *, made: bool) -> "RowResult":
        amount = Money(row.units, self._store.records.assets[row.asset])
        status, why, name, proof = self._status(record, row, payout, made=made)
        return RowResult(row.number, row.reference, row.shown, amount, status, why, name, proof)

    def _status(
        self, record: FileRecord, row: FileRow, payout: PayoutRecord | None, *, made: bool
    ) -> tuple[str, str, str, str]:
        if record.data.leaves_out(row.number):
            return "left out", "a reviewer left it out", "", ""
        if not made:
            over = record.state in (s.REJECTED, s.CANCELLED)
            return ("not paid", record.data.reason, "", "") if over else ("waiting", "", "", "")
        if payout is None:
            return GONE, "", row.payout, ""
        if not is_row(payout, record, row):
            return "refused", f"its reference is that of {payout.id}", payout.id, ""
        data = payout.data
        return LIFECYCLE.state(payout.state).public, data.reason, payout.id, data.paid_by


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of a row."""

    row: int
    reference: str
    to: str
    """Where it goes, as people may see it."""
    amount: Money | None
    status: str
    """As its owner is told of a payout; `refused` for one that is none."""
    reason: str
    payout: str
    paid_as: str
    """The reference under which the rail paid it."""

    @property
    def cells(self) -> tuple[str, ...]:
        """Give it as a row of a table, of which no cell is a formula."""
        amount = (self.amount.decimal, self.amount.asset.code) if self.amount else ("", "")
        said = (str(self.row), self.reference, self.to, *amount, self.status, self.reason, self.payout, self.paid_as)
        return tuple(map(harmless, said))


RESULT_COLUMNS = ("row", "reference", "to", "amount", "currency", "status", "reason", "payout", "paid_as")


def is_row(payout: PayoutRecord, record: FileRecord, row: FileRow) -> bool:
    """Whether a payout was made of this row, and not of one with the same reference."""
    return payout.data.file == named_row(record.id, row.number)
