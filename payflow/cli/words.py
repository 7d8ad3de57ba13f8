"""How times, amounts and texts look to a person and to a machine."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache

from rich.console import Console
from rich.table import Table
from rich.text import Text

from machines.core.clock import DAY, HOUR, MINUTE, SECOND, Millis
from machines.core.errors import BadAmount
from machines.core.money import Assets, Money
from payflow.telemetry.health import Level

WIDE = 200
_SIZES = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
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


def iso(at: Millis | None) -> str | None:
    """Write a time for machines."""
    return None if at is None else _moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(at: Millis) -> str:
    """Write a time for people, in UTC as in the logs."""
    return _moment(at).strftime("%Y-%m-%d %H:%M:%S")


def _moment(at: Millis) -> datetime:
    return datetime.fromtimestamp(at / SECOND, UTC)


def span(millis: int) -> str:
    """Write a duration as people say it."""
    for size, name in _SIZES:
        if millis >= size:
            return f"{millis // size} {name}"
    return "less than 1 s"


def amount(money: Money | None) -> str:
    """Write an amount for people."""
    return "" if money is None else str(money)


def decimal(units: int, asset: str, assets: Assets) -> str:
    """Write units in the asset's usual unit; what can be no amount is shown as it is kept."""
    try:
        return Money(units, assets[asset]).decimal
    except BadAmount:
        return f"{units} units"


def amount_json(money: Money | None) -> dict[str, str] | None:
    """Write an amount for machines: as text, because numbers in JSON are not exact."""
    return None if money is None else {"asset": money.asset.code, "amount": money.decimal}
