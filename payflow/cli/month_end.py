"""A month for accountants, as tables."""

from pathlib import Path
from typing import Annotated

import typer

from payflow.app.installation import Payflow
from payflow.cli.terminal import Commands, Terminal, known
from payflow.desk.month_end import MonthEnd, month_of
from payflow.desk.platforms import names

command = Commands()


@command("payflow month-end 2027-01 books-2027-01", "month-end")
async def month_end(
    terminal: Terminal,
    payflow: Payflow,
    month: Annotated[str, typer.Argument(help="Such as 2027-01, in UTC.")],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where the tables are written.")],
    *,
    platform: Annotated[str | None, typer.Option(help="Only what is of the providers of this platform.")] = None,
    xlsx: Annotated[bool, typer.Option("--xlsx", help="One file with three sheets, instead of three tables.")] = False,
    archive: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where archives are; by default `archive` in PAYFLOW_DATA.")
    ] = None,
) -> None:
    if platform is not None:
        known("platform", platform, await names(payflow.store))
    who = await terminal.person(payflow)
    books = MonthEnd(payflow.store, month_of(month), platform or "", Path(archive) if archive else None)
    done = await books.write(Path(folder), who.name, xlsx=xlsx)
    terminal.tell(
        {
            "files": [str(one) for one in done.files],
            "payouts": done.payouts,
            "postings": done.postings,
            "figures": done.figures,
        },
        f"{done.payouts:,} payouts, {done.postings:,} postings and {done.figures:,} figures of accounts are in "
        f"{', '.join(str(one) for one in done.files)}.",
    )
