"""The table: a row for each thing that is measured, with what it stands beside and whether it meets its target."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 168
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    figure: float
    unit: str
    target: str
    meets: bool | None
    """None where there is nothing to meet."""
    beside: str = ""
    """The other side, measured in the same run."""
    other: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The figure divided by the other side's."""
        return self.figure / self.other if self.other else None


def number(value: float) -> str:
    """Write a number with three digits that matter, or all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def show(rows: Iterable[Row], conditions: Iterable[str]) -> None:
    """Print the table for people."""
    console = Console(width=WIDTH, highlight=False)
    for condition in conditions:
        console.print(condition)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("what", ratio=5)
    table.add_column("Payflow", justify="right", no_wrap=True)
    table.add_column("beside it", ratio=4)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("target", ratio=3)
    table.add_column("", no_wrap=True)
    table.add_column("note", ratio=6)
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)


def _cells(row: Row) -> tuple[str, ...]:
    beside = f"{row.beside} {number(row.other)}" if row.other is not None else row.beside
    ratio = f"{number(row.ratio)} {TIMES}" if row.ratio is not None else ""
    verdict = {True: "met", False: "MISSED", None: ""}[row.meets]
    return row.what, f"{number(row.figure)} {row.unit}", beside, ratio, row.target, verdict, row.note


def as_json(rows: Iterable[Row], conditions: Iterable[str]) -> str:
    """Write the table for machines."""
    listed = [{**asdict(row), "ratio": row.ratio} for row in rows]
    return json.dumps({"conditions": list(conditions), "rows": listed}, indent=2, ensure_ascii=False)
