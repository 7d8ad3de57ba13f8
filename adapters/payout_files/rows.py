"""The rows of a file, one at a time, within bounds: what no honest file has is refused before it costs anything.

Nothing is evaluated: a formula of a workbook is read as the value that was last worked out, and in a table it is text.
"""

import csv
import json
import zipfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from adapters.payout_files.columns import ColumnMap, placed
from machines.core.errors import BadInput

MOST_BYTES = 64 * 2**20
MOST_ROWS = 100_000
MOST_COLUMNS = 100
LONGEST_CELL = 500
LONGEST_LINE = 60_000
# A workbook is a zip file, of which a few kilobytes can become gigabytes.
MOST_UNPACKED = 256 * 2**20
MOST_TEXTS = 48 * 2**20
MOST_PARTS = 500
_BEGINS = 2_048
_TEXTS = "xl/sharedStrings.xml"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
_SEPARATORS = ",;\t|"


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in the file."""

    number: int
    """As a spreadsheet counts, its headings being row 1; in JSON lines the line."""
    said: Mapping[str, str]
    """What it says, by our names."""
    numbers: frozenset[str] = frozenset()
    """What of it a spreadsheet keeps as numbers, which have no zeros in front."""
    problem: str = ""
    """Why it cannot be read at all."""


def rows_of(file: Path, columns: ColumnMap, known: Mapping[str, str]) -> Generator[RawRow]:
    """Read a file, whatever of the three it is."""
    size = file.stat().st_size
    if not size:
        raise BadInput("The file is empty.")
    if size > MOST_BYTES:
        raise BadInput(f"The file is larger than {MOST_BYTES // 2**20} MB: split it.")
    with file.open("rb") as opened:
        begins = opened.read(_BEGINS)
    if begins.startswith(_OLD_WORKBOOK):
        raise BadInput("This is a workbook of the old form, or an encrypted one: save it as .xlsx without a password.")
    if begins.startswith(b"PK"):
        found = _table(_sheet(file), columns, known)
    elif begins.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"{", b"[")):
        found = _json_lines(file, columns, known)
    else:
        found = _table(_csv(file), columns, known)
    return _at_most(found)


def _at_most(rows: Iterable[RawRow]) -> Generator[RawRow]:
    for count, row in enumerate(rows):
        if count >= MOST_ROWS:
            raise _too_many()
        yield row


def _too_many() -> BadInput:
    return BadInput(f"The file has more than {MOST_ROWS:,} rows: split it.")


def _table(lines: Iterator[Sequence[Any]], columns: ColumnMap, known: Mapping[str, str]) -> Iterator[RawRow]:
    """Read a table, the first row of which that says anything are its headings."""
    number = 0
    for headings in lines:
        number += 1
        if any(_text(one) for one in headings):
            break
        if number > MOST_COLUMNS:
            raise BadInput("The first rows of the file are empty: put the headings into the first row.")
    else:
        raise BadInput("The file has no row.")
    if len(headings) > MOST_COLUMNS and any(_text(one) for one in headings[MOST_COLUMNS:]):
        raise BadInput(f"The file has more than {MOST_COLUMNS} columns.")
    places = placed([_text(one) for one in headings], columns, known)
    width = len(headings)
    for begin, cells in enumerate(lines, number + 1):
        if begin > MOST_ROWS * 2:
            raise _too_many()  # of which most are empty
        if not any(one not in (None, "") for one in cells):
            continue
        yield _row(begin, cells, places, columns, width)


def _row(number: int, cells: Sequence[Any], places: Mapping[str, int], columns: ColumnMap, width: int) -> RawRow:
    said, numbers = dict(columns.constants), set()
    for name, place in places.items():
        cell = cells[place] if place < len(cells) else None
        text = _text(cell)
        if len(text) > LONGEST_CELL:
            return RawRow(number, {}, problem=f"{name} is longer than {LONGEST_CELL} characters")
        said[name] = text
        if isinstance(cell, int | float):
            numbers.add(name)
    if any(_text(one) for one in cells[width:]):
        return RawRow(number, said, problem="it has more cells than there are headings, so what is what is not sure")
    return RawRow(number, said, frozenset(numbers))


def _text(cell: object) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case float():
            return str(int(cell)) if cell.is_integer() and abs(cell) < 10**15 else repr(cell)
        case _:
            return str(cell).strip()


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _lines(opened: TextIO) -> Iterator[str]:
    while line := opened.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise BadInput(f"A line of the file is longer than {LONGEST_LINE:,} characters.")
        if "\0" in line:
            raise BadInput("The file is no text in UTF-8: save it as CSV UTF-8.")
        yield line


def _csv(file: Path) -> Iterator[Sequence[str]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        try:
            lines = _lines(opened)
            first = next(lines, "")
            separator = max(_SEPARATORS, key=first.count)
            yield from csv.reader(chain([first], lines), delimiter=separator, strict=True)
        except UnicodeDecodeError:
            raise BadInput("The file is no text in UTF-8: save it as CSV UTF-8, or names would be misread.") from None
        except csv.Error as error:
            raise BadInput(f"The file is no table: {error}.") from None


# ── XLSX ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _sheet(file: Path) -> Iterator[Sequence[Any]]:
    """Read the first sheet of a workbook, a row at a time."""
    from openpyxl import load_workbook  # noqa: PLC0415  (only where somebody sends a workbook)

    _refuse_bombs(file)
    try:
        with file.open("rb") as opened:
            book = load_workbook(opened, read_only=True, data_only=True, keep_links=False)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()
            # What is said of its size is not believed, nor that a row has the number that it says.
            lines = sheet.iter_rows(max_row=2 * MOST_ROWS + 2, max_col=MOST_COLUMNS + 1, values_only=True)
            yield from islice(lines, 2 * MOST_ROWS + 1)
            book.close()
    except BadInput:
        raise
    except Exception as error:  # whatever a broken workbook makes of the library
        raise BadInput(f"The workbook cannot be read ({type(error).__name__}): save it anew as .xlsx.") from error


def _refuse_bombs(file: Path) -> None:
    """Raise where a workbook would become much more than it is, or names things outside of it."""
    try:
        with zipfile.ZipFile(file) as packed:
            parts = packed.infolist()
            if len(parts) > MOST_PARTS or sum(one.file_size for one in parts) > MOST_UNPACKED:
                raise BadInput(f"Unpacked, the workbook would be larger than {MOST_UNPACKED // 2**20} MB: split it.")
            if any(one.file_size > MOST_TEXTS for one in parts if one.filename == _TEXTS):
                raise BadInput(f"The workbook has more than {MOST_TEXTS // 2**20} MB of texts: save it as CSV UTF-8.")
            for one in parts:
                if one.flag_bits & 1:
                    raise BadInput("The workbook has a password: save it without one.")
                with packed.open(one) as opened:
                    if b"<!DOCTYPE" in opened.read(_BEGINS).upper():
                        raise BadInput("The workbook has a document type, which no spreadsheet writes: save it anew.")
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise BadInput("The file begins as a workbook and is none, or is cut off: save it anew as .xlsx.") from error


# ── JSON lines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _json_lines(file: Path, columns: ColumnMap, known: Mapping[str, str]) -> Iterator[RawRow]:
    names = {name: columns.columns.get(name, name) for name in known}
    with file.open(encoding="utf-8-sig", newline="\n") as opened:
        try:
            for number, line in enumerate(_lines(opened), 1):
                if line.strip():
                    yield _object(number, line, names, columns.constants)
        except UnicodeDecodeError:
            raise BadInput("The file is no text in UTF-8.") from None


def _object(number: int, line: str, names: Mapping[str, str], constants: Mapping[str, str]) -> RawRow:
    try:
        found = json.loads(line, parse_float=str, parse_int=str, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        if number == 1:
            raise BadInput("The first line is no JSON object: write one object a line, each name in it once.")
        return RawRow(number, {}, problem="the line is no JSON object in which each name stands once")
    said = dict(constants)
    for name, key in names.items():
        value = found.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or len(value) > LONGEST_CELL:
            return RawRow(number, {}, problem=f"{name} is no text or number of at most {LONGEST_CELL} characters")
        said[name] = value.strip()
    return RawRow(number, said)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found
