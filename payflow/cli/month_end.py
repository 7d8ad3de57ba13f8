"""For accountants: a month as tables, and what is owed beside what there is to pay it from."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from payflow.app.installation import Payflow
from payflow.cli.terminal import Column, Commands, Format, Terminal, as_it_is, known
from payflow.desk.coverage import Coverage
from payflow.desk.coverage import coverage as covered
from payflow.desk.month_end import MonthEnd, month_of
from payflow.desk.platforms import names
from payflow.shown import exact

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


@command("payflow coverage")
async def coverage(terminal: Terminal, payflow: Payflow) -> None:
    assets = payflow.store.records.assets

    def money(title: str, of: Callable[[Coverage], int]) -> Column:
        name = title.replace(" ", "_")
        return Column(name, f"{title}>", lambda one: exact(of(one), one.asset, assets))

    columns = (
        Column("asset", "asset"),
        money("available", lambda one: one.available),
        money("held", lambda one: one.held),
        money("in flight", lambda one: one.in_flight),
        money("in wallets", lambda one: one.in_wallets),
        Column(
            "wallets", None, lambda one: {rail: exact(units, one.asset, assets) for rail, units in one.wallets.items()}
        ),
        money("lacks", lambda one: one.missing),
        money("paid in 30 days", lambda one: one.paid),
        Column("days", "lasts for days>", form=Format(as_it_is, lambda days: "" if days is None else f"{days:.1f}")),
    )
    terminal.tell_list(columns, await covered(payflow.store), "Nobody has anything, and no wallet was asked yet.")
