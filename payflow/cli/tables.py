"""What a terminal shows: lists, whose columns make the table and the JSON, and texts that cannot steer it."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from machines.core.clock import Millis
from payflow.shown import amount, amount_json, iso, span, utc
from payflow.telemetry.health import Level

WIDE = 200
LEVEL_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


@cache
def console() -> Console:
    """Where people read. A pipe gets wide lines, so that nothing is cut off."""
    return Console(
        markup=False, highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE
    )


def clean(text: str) -> str:
    """Show what came from outside without the power to steer the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


# ── how far it is ───────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def bar(what: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show how far it is, on the error output: what a command tells may be read by a program."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda number: progress.advance(task, number)


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Format(NamedTuple):
    """How a value is written, for machines and for people."""

    json: Callable[[Any], object]
    text: Callable[[Any], str | Text]


def as_it_is(value: Any) -> Any:  # noqa: ANN401  (whatever a list is made of)
    """Write a value as it is."""
    return value


def _plain(value: object) -> str | Text:
    return value if isinstance(value, Text) else "" if value is None else str(value)


PLAIN = Format(as_it_is, _plain)
COUNT = Format(as_it_is, "{:,}".format)
MONEY = Format(amount_json, amount)
TIME = Format(lambda at: None if at is None else iso(at), lambda at: "" if at is None else utc(at))


def ago(now: Millis) -> Format:
    """Write since when something is, and for people how long that is."""
    return Format(TIME.json, lambda at: "" if at is None else span(now - at))


class Column(NamedTuple):
    """One thing that a list tells of each of its items."""

    key: str
    """Its name for machines; empty for what only people are told."""
    title: str | None
    """Its head for people; ends in `>` where there are numbers; None for what only machines are told."""
    of: str | Callable[[Any], Any] = ""
    """Where it is: a path of attributes, by default its key, or a function."""
    form: Format = PLAIN

    def value(self, item: object) -> Any:  # noqa: ANN401  (whatever it is)
        """Find it."""
        return self.of(item) if callable(self.of) else attrgetter(self.of or self.key)(item)


def json_of(columns: Iterable[Column], item: object) -> dict[str, Any]:
    """Write an item for machines."""
    return {one.key: one.form.json(one.value(item)) for one in columns if one.key}


def drawn(columns: Iterable[Column], items: Iterable[object]) -> Table:
    """Draw a table."""
    shown = [one for one in columns if one.title is not None]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(shown):
        head = column.title or ""
        table.add_column(
            head.rstrip(">"),
            justify="right" if head.endswith(">") else "left",
            overflow="fold",
            no_wrap=place == 0,  # what comes first is copied and typed again
        )
    for item in items:
        table.add_row(*(_cell(one.form.text(one.value(item))) for one in shown))
    return table


def grid(lines: Mapping[str, str | Text] | Iterable[Sequence[str | Text]]) -> Table:
    """Draw lines without heads: names before what is told of them."""
    table = Table.grid(padding=(0, 2))
    if isinstance(lines, Mapping):
        lines = [(Text(clean(name), "dim"), value) for name, value in lines.items()]
    for line in lines:
        table.add_row(*map(_cell, line))
    return table


def _cell(value: str | Text) -> str | Text:
    return clean(value) if isinstance(value, str) else value
