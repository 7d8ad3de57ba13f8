"""Statements as files: tables with a map of columns, and camt.053; each line once, and nothing that is not one."""

import io
from pathlib import Path

import pytest

from adapters.statement_files import camt, columns
from adapters.statement_files.parts import by_day
from machines.core.clock import DAY
from machines.core.errors import BadInput
from machines.core.money import NGN, Assets, Money
from machines.core.ports import LineKind, StatementBalance

ASSETS = Assets()
TABLE = """Date, Narration ,Debit,Credit,Fee,Ref
15/01/2027,payout-03-abcdefgh23456777-1,"1,250.50",,10.75,B1
2027-01-15T10:00:00+01:00,top-up,,"5,000.00",,B2
16-01-2027,came back,,1250.50,,B3
,,,,,
"""
MAP = "at=Date,amount=Credit,debit=Debit,reference=Narration,fee=Fee,id=Ref"
CAMT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Id>1</Id>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="NGN">1000.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="NGN">900.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
<Ntry><NtryRef>1</NtryRef><Amt Ccy="NGN">150.00</Amt><CdtDbtInd>DBIT</CdtDbtInd>
  <BookgDt><Dt>2027-01-15</Dt></BookgDt><AcctSvcrRef>A1</AcctSvcrRef>
  <NtryDtls><TxDtls><Refs><EndToEndId>payout-03-abcdefgh23456777-1</EndToEndId></Refs>
    <RltdPties><CdtrAcct><Id><Othr><Id>0123456789</Id></Othr></Id></CdtrAcct></RltdPties></TxDtls></NtryDtls></Ntry>
<Ntry><NtryRef>2</NtryRef><Amt Ccy="NGN">50.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><RvslInd>true</RvslInd>
  <BookgDt><DtTm>2027-01-16T09:00:00Z</DtTm></BookgDt></Ntry>
</Stmt></BkToCstmrStmt></Document>"""
BOMB = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Document><Ntry><Amt Ccy="NGN">&b;</Amt></Ntry></Document>"""


def test_a_table_is_read_by_its_map_of_columns() -> None:
    lines = list(columns.lines_of(io.StringIO(TABLE), columns.column_map(MAP), "NGN", ASSETS))
    assert [(one.id, one.kind, one.out, str(one.amount)) for one in lines] == [
        ("B1", LineKind.PAYMENT, True, "NGN 1250.50"),
        ("B2", LineKind.OTHER, False, "NGN 5000.00"),
        ("B3", LineKind.OTHER, False, "NGN 1250.50"),
    ]
    assert lines[0].fee == 1_075
    assert lines[0].reference == "payout-03-abcdefgh23456777-1"
    assert lines[1].at % DAY == 9 * 3_600_000, "a time with a zone is in that zone"
    assert [len(part.lines) for part in by_day(lines)] == [2, 1]


def test_a_line_without_an_id_is_named_by_all_that_it_says() -> None:
    bare = columns.column_map("at=Date,amount=Credit,debit=Debit")
    once, twice = (list(columns.lines_of(io.StringIO(TABLE), bare, "NGN", ASSETS)) for _ in range(2))
    assert [one.id for one in once] == [one.id for one in twice]
    assert len({one.id for one in once}) == 3


TRANSFERS = """ID,Account_Number,Amount,Fee,Currency,Status,Reference,Created_At
1,0123456789,1250.5,10.75,NGN,SUCCESSFUL,payout-03-abcdefgh23456777-1,2027-01-15T08:00:00.000Z
2,0123456789,99,10.75,NGN,FAILED,payout-03-abcdefgh23456777-2,2027-01-15T08:01:00.000Z
"""
WALLET = """type,amount,currency,balance_before,balance_after,reference,date
D,1250.5,NGN,5000,3749.5,payout-03-abcdefgh23456777-1,2027-01-15T08:00:00.000Z
C,200,NGN,3749.5,3949.5,,2027-01-15T09:00:00.000Z
"""
SETTLED = """id,transaction date,due date,status,currency,gross amount,app fee,net amount
41748,2027-01-14T04:00:00.000Z,2027-01-15T04:00:00.000Z,completed,NGN,202.8,2.8,200
"""


@pytest.mark.parametrize(
    ("name", "table", "expected"),
    [
        ("flutterwave-transfers", TRANSFERS, [(True, "NGN 1250.50", 1_075)]),
        ("flutterwave-wallet", WALLET, [(True, "NGN 1250.50", None), (False, "NGN 200.00", None)]),
        ("flutterwave-settlement", SETTLED, [(False, "NGN 200.00", None)]),
    ],
)
def test_what_flutterwave_exports_is_read_by_a_map_that_is_ready(
    name: str, table: str, expected: list[tuple[bool, str, int | None]]
) -> None:
    lines = list(columns.lines_of(io.StringIO(table), columns.column_map(name), "NGN", ASSETS))
    assert [(one.out, str(one.amount), one.fee) for one in lines] == expected
    assert all(one.at // DAY == lines[0].at // DAY for one in lines), "of the day when it came in"


@pytest.mark.parametrize(
    ("text", "table", "says"),
    [
        ("amount=Credit", TABLE, "no column for at"),
        ("at=Date,amount=Credit,colour=Red", TABLE, "'colour=Red'"),
        ("at=Date,amount=Paid", TABLE, "no column 'Paid'; it has Date, Narration"),
        ("at=Date,amount=Amount", "Date,Amount\nyesterday,1\n", "'yesterday' is no time"),
        ("at=Date,amount=Amount", "Date,Amount\n2027-01-15,much\n", "'much' is no amount"),
        ("at=Date,amount=Amount", "Date,Amount\n2027-01-15,NaN\n", "is no amount"),
        ("at=Date,amount=Amount", "Date,Amount\n2027-01-15,1.005\n", "more exact than NGN"),
        ("at=Date,amount=Amount", f"Date,Amount\n2027-01-15,1{'0' * 30}\n", "outside"),
    ],
)
def test_what_is_no_table_or_no_map_is_refused_with_what_to_do(text: str, table: str, says: str) -> None:
    with pytest.raises(BadInput, match=says.replace("(", ".")):
        list(columns.lines_of(io.StringIO(table), columns.column_map(text), "NGN", ASSETS))


def test_a_camt_053_is_read_with_its_balances() -> None:
    found = camt.read(io.BytesIO(CAMT.encode()), ASSETS)
    first, second = found.lines
    told = (first.id, first.kind, first.amount, first.reference, first.account)
    assert told == ("A1", LineKind.PAYMENT, Money(15_000, NGN), "payout-03-abcdefgh23456777-1", "0123456789")
    assert (second.id, second.kind, second.out) == ("2", LineKind.RETURN, False)
    assert found.balances == {"NGN": StatementBalance(100_000, 90_000, -10_000)}
    (one, two) = by_day(found.lines, found.balances)
    assert (one.balances, two.balances) == (found.balances, {})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (BOMB, "document type"),
        ("<Document><Ntry>", "is no XML"),
        ("<a>" * 50 + "<Ntry>" + "<b>" * 50, "nests deeper"),
        ("<D><Ntry><CdtDbtInd>DBIT</CdtDbtInd></Ntry></D>", "no amount"),
        ('<D><Ntry><Amt Ccy="NGN">1e99</Amt><BookgDt><Dt>2027-01-15</Dt></BookgDt></Ntry></D>', "is no amount"),
        ('<D><Ntry><Amt Ccy="NGN">1</Amt></Ntry></D>', "says not when"),
    ],
)
def test_what_is_no_statement_is_refused(content: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        camt.read(io.BytesIO(content.encode()), ASSETS)


def test_a_doctype_is_refused_in_any_encoding(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="document type"):
        camt.read(io.BytesIO(BOMB.replace('"1.0"', '"1.0" encoding="UTF-16"').encode("utf-16")), ASSETS)
