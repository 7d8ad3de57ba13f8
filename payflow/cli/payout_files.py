"""Many payouts at once: a file is sent, looked at, approved as one, and gives back a result for each row."""

import csv
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from machines.disbursement import lifecycle as s
from machines.disbursement.data import MACHINE, FileRecord
from payflow.app.installation import Payflow
from payflow.cli.payouts import desk_of
from payflow.cli.terminal import (
    TIME,
    Code,
    Column,
    Commands,
    Reason,
    RecordName,
    Terminal,
    Usage,
    Yes,
    bar,
    because,
    drawn,
    json_of,
    owner_named,
    record_of,
    typed,
)
from payflow.desk.payout_files.files import FileCover, PayoutFiles
from payflow.desk.payout_files.made import RESULT_COLUMNS, MadeRows
from payflow.desk.person import OPERATES, REVIEWS
from payflow.shown import decimal

FILE = (
    Column("id", "file"),
    Column("name", "name", lambda one: one.data.name),
    Column("owner", "owner"),
    Column("state", "state"),
    Column("rows", "rows>", lambda one: one.data.rows),
    Column("red", "red>", lambda one: one.data.red),
    Column("payable", "to be paid>", lambda one: one.data.payable),
    Column("made", "made>", lambda one: one.data.made),
    Column("created_at", "sent", form=TIME),
)

Columns = Annotated[
    str, typer.Option("--columns", metavar="MAP", help="Which column is what; it is kept for the owner's next file.")
]

command = Commands()


@command("payflow payouts upload may.csv --owner shop~payroll --columns amount=Net,account_number=Account,currency:NGN")
async def upload(
    terminal: Terminal,
    payflow: Payflow,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV in UTF-8, XLSX or JSON lines; 100,000 rows at most.")
    ],
    *,
    owner: Annotated[
        str, typer.Option(metavar="OWNER", help="Whose money it is, such as a platform's prefunded account.")
    ],
    columns: Columns = "",
) -> Code:
    """Check a file of payouts row by row, and put it before reviewers. The same file again is the one that is there."""
    if not file.is_file():
        raise Usage(f"There is no file {file}.")
    who, files = await terminal.acting(payflow), _files(payflow)
    whose = await owner_named(payflow, owner)
    with typed(), bar("checked", 0, quiet=terminal.as_json) as progress:
        seen = 0

        def on(rows: int) -> None:
            nonlocal seen
            progress(rows - seen)
            seen = rows

        record = await files.upload(whose, file, file.name, columns, who, on)
    await _tell(terminal, payflow, record)
    return Code.REFUSED if record.data.red else Code.OK


@command("payflow payouts files")
async def files(
    terminal: Terminal,
    payflow: Payflow,
    *,
    over: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
) -> None:
    """List files of payouts, the newest first."""
    states = [state.name for state in s.LIFECYCLE.states.values() if over or not state.final]
    terminal.tell_list(FILE, await _files(payflow).all(states), "No file is open.")


@command("payflow payouts show disbursement-03-abcdefgh23456777")
async def show(terminal: Terminal, payflow: Payflow, file: RecordName) -> None:
    """Show what a file comes to, its first red rows, and how far its payouts are."""
    await _tell(terminal, payflow, await _named(payflow, file))


@command("payflow payouts approve disbursement-03-abcdefgh23456777")
async def approve(terminal: Terminal, payflow: Payflow, file: RecordName, *, yes: Yes = False) -> None:
    """Say yes to exactly what is shown; with the last yes that is needed its sums are held, and its rows are made."""
    who, record = await terminal.acting(payflow, REVIEWS), await _named(payflow, file)
    if not yes:
        terminal.confirm(await _says(payflow, record))
    await _tell(terminal, payflow, await _files(payflow).approve(record.id, who, record.data.fingerprint))


@command("payflow payouts leave-out disbursement-03-abcdefgh23456777 3,17,20-40", "leave-out")
async def leave_out(
    terminal: Terminal,
    payflow: Payflow,
    file: RecordName,
    rows: Annotated[str, typer.Argument(metavar="ROWS", help="Such as 3,17,20-40; empty to leave none out.")],
) -> None:
    """Leave rows out before it is approved: what is left is approved anew."""
    who, record = await terminal.acting(payflow, REVIEWS), await _named(payflow, file)
    with typed():
        after = await _files(payflow).leave_out(record.id, rows, who)
    await _tell(terminal, payflow, after)


@command('payflow payouts reject disbursement-03-abcdefgh23456777 --reason "last month\'s"')
async def reject(terminal: Terminal, payflow: Payflow, file: RecordName, *, reason: Reason = "") -> None:
    """Say no to all of a file."""
    why, who, record = because(reason), await terminal.acting(payflow, REVIEWS), await _named(payflow, file)
    await _tell(terminal, payflow, await _files(payflow).reject(record.id, who, why))


@command('payflow payouts cancel disbursement-03-abcdefgh23456777 --reason "sent twice"')
async def cancel(terminal: Terminal, payflow: Payflow, file: RecordName, *, reason: Reason = "") -> None:
    """Take a file back: no further row becomes a payout; those that are, stay so."""
    why, who, record = because(reason), await terminal.acting(payflow, OPERATES), await _named(payflow, file)
    await _tell(terminal, payflow, await _files(payflow).cancel(record.id, who, why))


@command("payflow payouts results disbursement-03-abcdefgh23456777 --to may-results.csv")
async def results(
    terminal: Terminal,
    payflow: Payflow,
    file: RecordName,
    *,
    to: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it; it must not be there yet.")],
) -> None:
    """Write what became of each row into a table, by row number and your own reference."""
    record = await _named(payflow, file)
    if to.exists():
        raise Usage(f"{to} is there already: name another file.")
    count = 0
    with to.open("x", newline="", encoding="utf-8-sig") as opened:
        writer = csv.writer(opened)
        writer.writerow(RESULT_COLUMNS)
        async for one in MadeRows(payflow.store).results(record):
            writer.writerow(one.cells)
            count += 1
    terminal.tell({"file": record.id, "rows": count, "to": str(to)}, f"{count:,} rows are in {to}.")


@command("payflow payouts columns shop~payroll amount=Net,account_number=Account,bank_code=Bank,currency:NGN")
async def columns(
    terminal: Terminal,
    payflow: Payflow,
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="Whose files.")],
    map_: Annotated[str, typer.Argument(metavar="[MAP]", help="Which column is what.")] = "",
) -> None:
    """Show which column of an owner's files is what, or say so for the next ones."""
    whose, known = await owner_named(payflow, owner), _files(payflow)
    if map_:
        await terminal.acting(payflow)
        with typed():
            await known.keep_columns(whose, map_)
    found = await known.columns(whose)
    terminal.tell({"owner": whose, "columns": found}, found or "The headings of the file say it.")


def _files(payflow: Payflow) -> PayoutFiles:
    return PayoutFiles(desk_of(payflow))


async def _named(payflow: Payflow, text: str) -> FileRecord:
    name = record_of(payflow, text)
    if not name.startswith(f"{MACHINE}-"):
        raise Usage(f"{text} is no file of payouts: `payflow payouts files` lists them.")
    return await _files(payflow).read(name)


COVER = (
    Column("asset", "currency"),
    Column("rail", "rail"),
    Column("rows", "rows>"),
    Column("units", None),
    Column("available", None),
    Column("short", None),
)


async def _says(payflow: Payflow, record: FileRecord) -> list[str]:
    data = record.data
    waits = data.approvals_needed - len(data.approvals)
    lines = [
        f"{data.name} ({record.id}) of {record.owner}, sent by {data.uploaded_by}: {record.state}.",
        f"{data.rows:,} rows, {data.red:,} red, {data.payable:,} to be paid, {data.made:,} payouts by now.",
        *[_sum(payflow, one) for one in await _files(payflow).cover(record)],
    ]
    assets = payflow.store.records.assets
    lines += [
        f"{code} {decimal(units, code, assets)} are what rails publish as fees." for code, units in data.fees if units
    ]
    if data.doubtful:
        lines.append(f"{data.doubtful:,} rows pay what another file of the last days pays to the same payee.")
    if data.left_out:
        lines.append(f"Left out: {', '.join(f'{a}-{b}' if a != b else str(a) for a, b in data.left_out)}.")
    if record.state == s.CHECKED and data.payable:
        lines.append(f"{waits} of {data.approvals_needed} reviewers must still say yes.")
    lines += [f"Approved by {one.by}." for one in data.approvals]
    if states := data.states():
        lines.append(", ".join(f"{count:,} {state}" for state, count in states.items()) + ".")
    return lines + ([f"Reason: {data.reason}"] if data.reason else [])


def _sum(payflow: Payflow, one: FileCover) -> str:
    assets = payflow.store.records.assets
    says = f"{one.asset} {decimal(one.units, one.asset, assets)} in {one.rows:,} rows by {one.rail}"
    lacks = f"; {decimal(one.short, one.asset, assets)} are missing" if one.short else ""
    return f"{says}; {decimal(one.available, one.asset, assets)} are available{lacks}."


async def _tell(terminal: Terminal, payflow: Payflow, record: FileRecord) -> None:
    known, red = _files(payflow), []
    async for row in known.rows.red(record.id):
        red.append(row)
        if len(red) == SHOWN:
            break
    cells = (Column("number", "row>"), Column("cell", "cell"), Column("why", "red, because"))
    terminal.tell(
        json_of(FILE, record)
        | {
            "fingerprint": record.data.fingerprint,
            "sums": [json_of(COVER, one) for one in await known.cover(record)],
            "states": dict(record.data.states()),
            "red_rows": [json_of(cells, one) for one in red],
        },
        *await _says(payflow, record),
        *([drawn(cells, red)] if red else []),
        *([Text(f"… and {record.data.red - len(red):,} more.", "dim")] if record.data.red > len(red) else []),
    )


SHOWN = 20
