"""One act over many records: what it would do is shown first, and asked about; what became of each is told."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from machines.core.ids import RecordId
from payflow.app.installation import Payflow
from payflow.cli.payouts import desk_of
from payflow.cli.steering import steering_of
from payflow.cli.terminal import (
    MONEY,
    Code,
    Column,
    Commands,
    Reason,
    Terminal,
    Usage,
    Yes,
    bar,
    because,
    clean,
    drawn,
    json_of,
    known,
    record_of,
    typed,
)
from payflow.desk.actions import actions_of
from payflow.desk.bulk import RESYNC, VERBS, Bulk
from payflow.desk.query import EXAMPLE, FIELDS, RecordQuery
from payflow.store.registers.bulk_runs import BulkEntry, BulkStage, counted

SHOWN = 20
LINE = (
    Column("id", "id"),
    Column("state", "state"),
    Column("amount", "amount>", form=MONEY),
    Column("becomes", "then"),
    Column("refused", "left alone, because"),
)

Records = Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="The records; or say which with --where.")]
Where = Annotated[
    str, typer.Option("--where", help=f"Which records, such as {EXAMPLE!r}. Asks for {', '.join(FIELDS)}.")
]

command = Commands()


@command("payflow do retry --where 'state=FAILED and cause~bank and age>1h' --reason \"the bank is back\"")
async def do(
    terminal: Terminal,
    payflow: Payflow,
    verb: Annotated[str, typer.Argument(metavar="VERB", help=f"One of {', '.join(VERBS)}.")] = "",
    records: Records = None,
    *,
    where: Where = "",
    reason: Reason = "",
    go_on: Annotated[str, typer.Option("--go-on", metavar="NAME", help="Go on with what was interrupted.")] = "",
    yes: Yes = False,
) -> Code:
    if go_on:
        if verb or records or where:
            raise Usage("--go-on goes on with exactly what was shown then: name nothing else.")
        return await _went_on(terminal, payflow, _bulk(payflow), go_on, yes=yes)
    return await _do(terminal, payflow, known("act", verb, VERBS), records or [], where, reason, yes=yes)


@command('payflow resync payout-03-abcdefgh23456777 --reason "the bank\'s letter says otherwise"')
async def resync(
    terminal: Terminal,
    payflow: Payflow,
    records: Records = None,
    *,
    where: Where = "",
    reason: Reason = "",
    yes: Yes = False,
) -> Code:
    return await _do(terminal, payflow, RESYNC, records or [], where, reason, yes=yes)


def _bulk(payflow: Payflow) -> Bulk:
    steering = steering_of(payflow)
    return Bulk(payflow.store, actions_of(payflow.store, desk_of(payflow), steering), steering)


async def _do(
    terminal: Terminal, payflow: Payflow, verb: str, records: Sequence[str], where: str, reason: str, *, yes: bool
) -> Code:
    if bool(records) == bool(where):
        raise Usage(f"Name records, or say which with --where, such as --where {EXAMPLE!r}; one of the two.")
    because(reason)
    with typed():
        wanted: RecordQuery | list[RecordId] = (
            RecordQuery.parse(where) if where else [record_of(payflow, one) for one in records]
        )
    who, bulk = await terminal.acting(payflow, VERBS[verb]), _bulk(payflow)
    with bar("looked at", 0, quiet=terminal.as_json) as progress:
        preview = await bulk.preview(verb, wanted, who, reason, progress)
    if not preview.meant:
        terminal.tell([json_of(LINE, one) for one in preview.lines], *preview.says(), "Nothing was done.")
        return Code.REFUSED
    if not yes:
        few = preview.lines if len(preview.lines) <= SHOWN else ()
        terminal.tell([], *([drawn(LINE, few)] if few else []))
        terminal.confirm([*preview.says(), f"Reason: {reason}"])
    return await _went_on(terminal, payflow, bulk, await bulk.begin(preview, who, reason), yes=True)


async def _went_on(terminal: Terminal, payflow: Payflow, bulk: Bulk, name: str, *, yes: bool) -> Code:
    plan, entries = await bulk.read(name)
    who = await terminal.acting(payflow, VERBS[known("act", plan.verb, VERBS)])
    left = [one for one in entries.values() if one.stage in (BulkStage.WAITING, BulkStage.BEGUN)]
    if not yes:
        terminal.confirm(
            [f"{plan.by} began to {plan.verb} {len(entries):,} records ({plan.where}); {len(left):,} are left.",
             f"Reason: {plan.reason}"]
        )  # fmt: skip
    if not terminal.as_json:
        typer.echo(f"If this is interrupted, go on with it: payflow do --go-on {name}", err=True)
    with bar(plan.verb, len(left), quiet=terminal.as_json) as progress:
        entries = dict(await bulk.go_on(name, who, progress))
    counts = counted(entries.values())
    refused = {one: entry for one, entry in entries.items() if entry.stage is BulkStage.REFUSED}
    terminal.tell(
        {"name": name, "verb": plan.verb, "counts": counts, "records": [_json(*one) for one in entries.items()]},
        Text(f"Done: {counts[BulkStage.DONE]:,} of {len(entries):,}.", "yellow" if refused else "green"),
        *(clean(f"{one} was left alone: {entry.why}") for one, entry in refused.items()),
    )
    return Code.REFUSED if refused else Code.OK


def _json(record_id: RecordId, entry: BulkEntry) -> dict[str, str]:
    return {"id": record_id, "from": entry.state, "becomes": entry.becomes, "stage": entry.stage, "why": entry.why}
