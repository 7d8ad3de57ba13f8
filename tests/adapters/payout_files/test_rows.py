"""Files of payouts as honest people write them, and as others do: read row by row, or refused in words."""

import csv
import json
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from openpyxl import Workbook

from adapters.payout_files import rows
from adapters.payout_files.columns import payout_columns
from adapters.payout_files.rows import MOST_ROWS, RawRow, rows_of
from machines.core.errors import BadInput

KNOWN = {"amount": "", "currency": "", "account_number": "", "bank_code": "", "note": ""}
HEAD = "amount,currency,account_number,bank_code,note"


def read(path: Path, columns: str = "") -> list[RawRow]:
    return list(rows_of(path, payout_columns(columns, KNOWN), KNOWN))


def refused(path: Path, columns: str = "") -> str:
    """Read a file that must be refused; gives the sentence."""
    with pytest.raises(BadInput) as found:
        for _ in rows_of(path, payout_columns(columns, KNOWN), KNOWN):
            pass
    return str(found.value)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "pay"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def workbook(path: Path, lines: Iterable[Iterable[object]]) -> Path:
    book = Workbook(write_only=True)
    sheet = book.create_sheet("pay")
    for line in lines:
        sheet.append(list(line))
    book.save(path)
    return path


Write = Callable[[str | bytes], Path]


def test_three_kinds_of_files_say_the_same(file: Write, tmp_path: Path) -> None:
    said = {"amount": "1250.5", "currency": "NGN", "account_number": "0690000031", "bank_code": "044", "note": "May"}
    line = ",".join(said.values())
    book = workbook(tmp_path / "pay.xlsx", [HEAD.split(","), [1250.5, *list(said.values())[1:]]])
    assert [one.said for one in read(book)] == [said]
    assert [one.said for one in read(file(f"\ufeff{HEAD}\r\n{line}\r\n"))] == [said]
    assert [one.said for one in read(file(f"{HEAD}\n{line}".replace(",", ";")))] == [said]
    (found,) = read(file(json.dumps(said | {"amount": 1250.5}) + "\n\n"))
    assert found.said == said


def test_a_map_says_which_column_is_what_and_what_all_rows_have(file: Write) -> None:
    path = file("Name,Net pay,Account,Bank\nChidi,100,0690000031,044\n")
    (found,) = read(path, "amount=Net pay,account_number=Account,bank_code=Bank,currency:NGN")
    assert found.said == {"amount": "100", "account_number": "0690000031", "bank_code": "044", "currency": "NGN"}
    assert found.number == 2
    assert "no column 'Sum'; it has Name, Net pay" in refused(path, "amount=Sum")
    assert "No heading of the file is known" in refused(path)
    with pytest.raises(BadInput, match="no part of a map"):
        payout_columns("amont=Net pay", KNOWN)
    with pytest.raises(BadInput, match="says twice"):
        payout_columns("amount=Net,amount=Gross", KNOWN)


def test_a_number_that_lost_its_zeros_is_pointed_out(tmp_path: Path) -> None:
    book = workbook(tmp_path / "pay.xlsx", [HEAD.split(","), [100, "NGN", 690000031, "044", ""]])
    (found,) = read(book)
    assert found.numbers == {"amount", "account_number"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\xd0\xcf\x11\xe0 an old workbook", "save it as .xlsx"),
        (b"PK\x03\x04 and nothing more", "is none, or is cut off"),
        (HEAD.encode("utf-16"), "UTF-8"),
        (f"{HEAD}\n1,NGN,1,1,Ngozi \xd1".encode("latin-1"), "UTF-8"),
        (f"{HEAD}\n1,NGN,1\x00,1,".encode(), "UTF-8"),
        (b"amount,Amount,currency\n1,2,NGN\n", "Two columns of the file are called 'amount'"),
        (f'{HEAD}\n1,NGN,1,1,"never closed'.encode(), "no table"),
        (b"x" * 70_000, "longer than 60,000"),
        (b",,,\n" * 200, "put the headings into the first row"),
        (b"[1, 2]", "one object a line"),
        (b'{"amount": 1, "amount": 2}', "each name in it once"),
        (b"{" * 50_000, "one object a line"),
    ],
)
def test_what_is_no_such_file_is_refused_in_words(file: Write, content: bytes, says: str) -> None:
    assert says in refused(file(content))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"1,NGN,1,1,{'x' * 600}", "note is longer than 500"),
        ("1,000,NGN,0690000031,044,May", "more cells than there are headings"),
    ],
)
def test_a_row_that_is_not_sure_is_red_and_the_others_go_on(file: Write, line: str, says: str) -> None:
    found = read(file(f"{HEAD}\n{line}\n1,NGN,1,1,ok\n"))
    assert [bool(one.problem) for one in found] == [True, False]
    assert says in found[0].problem


def test_a_json_line_that_is_none_is_red(file: Write) -> None:
    found = read(file('{"amount": "1"}\n{"amount": {"of": 1}}\nno json\n{"amount": true}\n'))
    assert [bool(one.problem) for one in found] == [False, True, True, True]


def test_what_is_too_large_is_refused_before_it_is_read(file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_BYTES", 1000)
    assert "larger than" in refused(file("x" * 1001))


def test_more_rows_than_may_be_are_refused_and_none_is_in_memory(file: Write) -> None:
    path = file(f"{HEAD}\n" + "1,NGN,0690000031,044,\n" * (MOST_ROWS + 1))
    tracemalloc.start()
    try:
        assert "more than 100,000 rows" in refused(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_empty_rows_without_end_are_refused(file: Write) -> None:
    assert "more than 100,000 rows" in refused(file(f"{HEAD}\n" + "\n" * (2 * MOST_ROWS + 2)))


# ── workbooks that are none ──────────────────────────────────────────────────────────────────────────────────────────


def packed(path: Path, parts: dict[str, bytes], sheet: bytes = b"") -> Path:
    """Write a workbook, and then something else into it."""
    honest = workbook(path.with_suffix(".honest"), [HEAD.split(","), ["1", "NGN", "1", "1", ""]])
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for one in source.namelist():
            content = sheet if sheet and one.startswith("xl/worksheets/") else source.read(one)
            if one not in parts:
                target.writestr(one, content)
        for name, content in parts.items():
            target.writestr(name, content)
    return path


def sheet_of(rows: str) -> bytes:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'.encode()


def test_a_zip_bomb_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    packed(path, {"xl/media/bomb.bin": b"\0" * (rows.MOST_UNPACKED + 1)})
    assert path.stat().st_size < 2**20
    assert "larger than 256 MB" in refused(path)
    packed(path, {"xl/sharedStrings.xml": b" " * (rows.MOST_TEXTS + 1)})
    assert "MB of texts" in refused(path)
    packed(path, {f"xl/part{number}": b"" for number in range(600)})
    assert "larger than" in refused(path)


def test_entities_that_grow_are_refused(tmp_path: Path) -> None:
    laughs = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><sst>&b;</sst>'
    assert "document type" in refused(packed(tmp_path / "laughs.xlsx", {"xl/sharedStrings.xml": laughs}))


def test_a_row_that_says_that_it_is_the_billionth_is_refused(tmp_path: Path) -> None:
    line = '<c t="inlineStr"><is><t>amount</t></is></c>'
    sheet = sheet_of(f'<row r="1">{line}</row><row r="1000000000">{line}</row>')
    found = refused(packed(tmp_path / "far.xlsx", {}, sheet))
    assert "more than 100,000 rows" in found


def test_a_broken_workbook_is_refused_in_words(tmp_path: Path) -> None:
    assert "cannot be read" in refused(packed(tmp_path / "broken.xlsx", {}, b"<worksheet><sheetData><row"))


def test_a_formula_is_never_worked_out(tmp_path: Path, file: Write) -> None:
    book = workbook(tmp_path / "pay.xlsx", [HEAD.split(","), ["=1+1", "NGN", "1", "1", "=HYPERLINK(1)"]])
    assert [one.said["amount"] for one in read(book)] == [""]
    (found,) = read(file(f"{HEAD}\n=1+1,NGN,1,1,\n"))
    assert found.said["amount"] == "=1+1"
    assert csv.field_size_limit() <= 131_072
