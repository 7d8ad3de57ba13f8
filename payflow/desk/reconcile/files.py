"""A statement that comes as a file: read, shown first, and taken in only when somebody says so."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.statement_files import camt, columns
from adapters.statement_files.parts import MOST_BYTES, by_day
from machines.core.clock import DAY
from machines.core.errors import BadInput
from machines.core.money import Assets, Money
from machines.core.ports import StatementLine, StatementPart
from payflow.desk.person import Person
from payflow.desk.reconcile.reconciler import ReconciledRail, Reconciler
from payflow.shown import utc
from payflow.store.store import Store

SHOWN = 5
ENCODINGS = ("utf-8-sig", "cp1252")


@dataclass(frozen=True, slots=True)
class StatementFile:
    """What a file says."""

    name: str
    parts: tuple[StatementPart, ...]
    new: int
    """Lines that nobody has taken in yet."""

    @property
    def lines(self) -> list[StatementLine]:
        """All lines, by day."""
        return [line for part in self.parts for line in part.lines]

    def says(self) -> list[str]:
        """Say what would be taken in."""
        lines = self.lines
        sums: Counter[tuple[str, bool]] = Counter()
        assets = {line.amount.asset.code: line.amount.asset for line in lines}
        for line in lines:
            sums[line.amount.asset.code, line.out] += line.amount.units
        moved = [
            f"{Money(units, assets[code])} {'left' if out else 'came in'}"
            for (code, out), units in sorted(sums.items())
        ]
        times = [line.at for line in lines]
        return [
            f"{self.name}: {len(lines):,} lines, {self.new:,} of them new.",
            f"From {utc(min(times))} to {utc(max(times))}.",
            f"{', '.join(moved)}.",
            *(f"{utc(one.at)} {'out' if one.out else 'in'} {one.amount} {one.reference}" for one in lines[:SHOWN]),
        ]


async def read_statement(
    store: Store, reconciler: Reconciler, rail: str, file: Path, given: str, currency: str
) -> StatementFile:
    """Read a file: camt.053 by its first bytes, else a table with the columns that are given, or were the last time."""
    if rail not in reconciler.rails:
        known = ", ".join(sorted(reconciler.rails)) or "none"
        raise BadInput(f"There is no rail {rail[:40]!r}; there is {known}.")
    columns_ = given or await store.statements.columns(rail)
    parts = _parts(file, columns_, currency, store.records.assets)
    await _refuse_to_come(store, file.name, parts)
    lines = [line.id for part in parts for line in part.lines]
    return StatementFile(file.name, tuple(parts), await store.statements.count_new(rail, lines))


async def _refuse_to_come(store: Store, name: str, parts: Sequence[StatementPart]) -> None:
    """Raise where something is of a time to come: no balance that is read later would count any more."""
    latest = max([one.begins for one in parts] + [line.at for one in parts for line in one.lines])
    if latest > await store.records.now() + DAY:
        raise BadInput(
            f"{name} says something of {utc(latest)}, which is still to come: look at its dates, a month may stand "
            "where the day is meant. Nothing was taken in."
        )


def _parts(file: Path, text: str, currency: str, assets: Assets) -> list[StatementPart]:
    if not file.is_file():
        raise BadInput(f"There is no file {file}.")
    if file.stat().st_size > MOST_BYTES:
        raise BadInput(f"{file.name} is larger than {MOST_BYTES // 2**20} MB: split it, by month or by day.")
    if _is_xml(file):
        with file.open("rb") as opened:
            found = camt.read(opened, assets)
        parts = by_day(found.lines, found.balances)
    else:
        if not text:
            names = "; ".join(f"{name}: {means}" for name, means in columns.KNOWN.items())
            ready = ", ".join(columns.READY)
            raise BadInput(
                "Say which column is what: --columns at=Date,amount=Amount,reference=Narration, or one that is ready: "
                f"{ready}. {names}."
            )
        parts = by_day(columns.lines_of(_rows(file), columns.column_map(text), currency, assets))
    if not parts:
        raise BadInput(f"{file.name} has no line.")
    return parts


async def take_in_statement(
    store: Store, reconciler: Reconciler, rail: str, read: StatementFile, given: str, by: Person
) -> ReconciledRail:
    """Take a file in that somebody has seen, and compare it with our books."""
    async with store.audit.doing(by.name, "import", f"statement:{rail}", f"{read.name}: {len(read.lines)} lines"):
        if given:
            await store.statements.keep_columns(rail, given)
        return await reconciler.take_in_file(rail, read.parts, read.name)


def _is_xml(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(200).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<")


def _rows(file: Path) -> Iterator[str]:
    """Read a table a line at a time, in the encoding that it is in."""
    for encoding in ENCODINGS:
        try:
            with file.open(encoding=encoding, newline="") as opened:
                for _line in opened:
                    pass
        except UnicodeDecodeError:
            continue
        with file.open(encoding=encoding, newline="") as opened:
            yield from opened
        return
