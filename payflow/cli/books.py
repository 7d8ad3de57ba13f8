"""The books: accounts, the trial balance, and the walk that proves that nothing was lost or made."""

from typing import Annotated, cast

import typer
from rich.text import Text

from machines.core.ids import owner_of
from machines.core.money import Assets
from payflow.app.installation import Payflow
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.tables import Column, clean, drawn, json_of
from payflow.cli.terminal import Code, Commands, Terminal, Usage, typed
from payflow.desk.books import Believed, check
from payflow.shown import exact

COLUMNS = ("available", "held", "paid", "funded", "owed")

command = Commands()

FAULT = (Column("record", "record", "place"), Column("problem", "problem"))


@command("payflow ledger ann")
async def ledger(
    terminal: Terminal,
    payflow: Payflow,
    owner: Annotated[str | None, typer.Argument(help="Whose account; without it, the trial balance of all.")] = None,
    *,
    correct: Annotated[
        str | None, typer.Option(metavar="ASSET", help="Propose the one posting that puts a false account right.")
    ] = None,
    believe: Annotated[
        str | None, typer.Option(help="What is believed where both could be right: account or journal.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why the correction is right, for the second person.")] = "",
) -> Code:
    if correct is not None:
        return await _correct(terminal, payflow, owner or "", correct, believe, reason)
    return await (_all(terminal, payflow) if owner is None else _of(terminal, payflow, owner))


async def _of(terminal: Terminal, payflow: Payflow, owner: str) -> Code:
    with typed():
        name = owner_of(owner)
    accounts, columns = await payflow.store.ledger.account(name), _columns(payflow.store.records.assets, "asset")
    off = {asset: account.imbalance for asset, account in accounts.items() if account.imbalance}
    terminal.tell(
        {"owner": name, "accounts": [json_of(columns, one) for one in sorted(accounts.items())], "balanced": not off},
        drawn(columns, sorted(accounts.items())) if accounts else f"{name} has no account.",
        *(
            Text(f"{asset}: funded + owed and available + held + paid differ by {units} units.", "bold red")
            for asset, units in off.items()
        ),
    )
    return Code.REFUSED if off else Code.OK


async def _all(terminal: Terminal, payflow: Payflow) -> Code:
    books, _ = await check(payflow.store)
    columns, totals = _columns(payflow.store.records.assets, "all owners"), sorted(books.totals.items())
    terminal.tell(
        {
            "accounts": books.accounts,
            "totals": [json_of(columns, one) for one in totals],
            "conserved": books.conserved,
            "faults": books.faults,
        },
        drawn(columns, totals),
        "",
        *(Text(clean(fault), "bold red") for fault in books.faults),
        Text(f"{books.accounts:,} accounts. Conserved: nothing was lost, nothing was made.", "green")
        if books.conserved
        else Text(
            "NOT conserved. Workers pause what it concerns; find out what wrote this (runbook LedgerNotConserved).",
            "bold red",
        ),
    )
    return Code.OK if books.conserved else Code.REFUSED


async def _correct(
    terminal: Terminal, payflow: Payflow, owner: str, asset: str, believe: str | None, reason: str
) -> Code:
    """Propose to a second person the posting that puts a false account right."""
    with typed():
        name = owner_of(owner)
    if believe not in (None, "account", "journal"):
        raise Usage("--believe is account or journal.")
    who, steering = await terminal.person(payflow), steering_of(payflow)
    proposal = await steering.propose_correction(name, asset, cast("Believed | None", believe), reason, who)
    answer = {"proposal": proposal.digest, "seen": dict(proposal.seen), "who": who.name}
    terminal.tell(answer, *steering.two.says(proposal), *who_confirms(proposal))
    return Code.OK


def _columns(assets: Assets, title: str) -> list[Column]:
    def of(part: str) -> Column:
        return Column(part, f"{part}>", lambda one: exact(getattr(one[1], part), one[0], assets))

    return [Column("asset", title, lambda one: one[0]), *map(of, COLUMNS)]


@command("payflow verify")
async def verify(terminal: Terminal, payflow: Payflow) -> Code:
    faults = [fault async for fault in payflow.store.integrity.verify()]
    count = sum(one.count for one in await payflow.store.listing.counts_by_state())
    terminal.tell(
        {"records": count, "faults": [json_of(FAULT, one) for one in faults]},
        *([drawn(FAULT, faults)] if faults else []),
        Text(f"{len(faults)} faults in {count:,} records.", "bold red")
        if faults
        else Text(f"{count:,} records: every history whole, every index true, none forgotten.", "green"),
    )
    return Code.REFUSED if faults else Code.OK
