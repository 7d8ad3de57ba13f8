"""What only a terminal has: tables, and texts that must not steer it."""

import sys
from collections.abc import Iterable, Sequence
from functools import cache

from rich.console import Console
from rich.table import Table
from rich.text import Text

from payflow.telemetry.health import Level

WIDE = 200
LEVEL_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


@cache
def console() -> Console:
    """Where people read. A pipe gets wide lines, so that nothing is cut off."""
    return Console(
        markup=False, highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE
    )


def table(*columns: str, title: str = "") -> Table:
    """Draw a table; a column that ends in `>` is a number's."""
    drawn = Table(box=None, pad_edge=False, title=title or None, title_justify="left", header_style="dim")
    for place, column in enumerate(columns):
        drawn.add_column(
            column.rstrip(">"),
            justify="right" if column.endswith(">") else "left",
            overflow="fold",
            no_wrap=place == 0,  # what comes first is copied and typed again
        )
    return drawn


def rows(drawn: Table, lines: Iterable[Sequence[str | Text]]) -> Table:
    """Fill a table."""
    for line in lines:
        drawn.add_row(*(clean(cell) if isinstance(cell, str) else cell for cell in line))
    return drawn


def clean(text: str) -> str:
    """Show what came from outside without the power to steer the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
