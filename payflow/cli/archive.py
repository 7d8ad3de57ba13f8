"""Export and archive: records as lines in files, with a bar that shows how far it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from machines.core.clock import Millis
from machines.core.errors import NotFound
from machines.core.ids import Owner, owner_of
from payflow.app.installation import Payflow, refuse_unfit
from payflow.cli import records
from payflow.cli.desk import Code, Desk, Usage, confirm, listed, machine_of, named, typed
from payflow.cli.reconcile import moment
from payflow.desk.archive import Count, Found, archive, export, find, folder_of
from payflow.shown import amount, utc
from payflow.store.archive import RawRecord
from payflow.telemetry.logs import redacted


async def export_records(
    desk: Desk, *, file: str, machine: str | None, state: str | None, owner: str | None, since: str | None
) -> Code:
    """Write records with their histories into a file."""
    async with desk.open() as payflow:
        now = await payflow.store.records.now()
        with typed():
            whose = owner_of(owner) if owner else None
        if machine is not None:
            machine_of(payflow, machine)
        _known(payflow, state)
        start = moment(since, now) if since else Millis(0)

        def wanted(kept: RawRecord) -> bool:
            return (
                (machine is None or kept.id.startswith(f"{machine}-"))
                and state in (None, kept.state)
                and _is_of(kept, whose)
                and kept.since >= start
            )

        with _bar("Exporting", await _count(payflow), quiet=desk.as_json) as count:
            number = await export(payflow.store, Path(file), wanted, count)
        desk.tell({"file": file, "records": number}, Text(f"{number:,} records are in {file}."))
    return Code.OK


async def archive_records(desk: Desk, *, before: str, to: str | None, yes: bool) -> Code:
    """Take finished records and old postings out of the store, into a file."""
    async with desk.open() as payflow:
        who = await named(desk, payflow.store)
        store = payflow.store
        refuse_unfit(store)
        at = moment(before, await store.records.now())
        folder = Path(to) if to else folder_of(store)
        if not yes:
            confirm(desk, [f"Finished records from before {before} go into a file in {folder}, and leave the store."])
        await store.audit.note(who, "archive", str(folder), f"before {before}")
        with _bar("Archiving", await _finished(payflow), quiet=desk.as_json) as count:
            done = await archive(store, folder, at, count)
        told = {"file": str(done.file or ""), "records": done.records, "postings": done.postings, "kept": done.kept}
        stayed = f" {done.kept:,} changed meanwhile and stayed." if done.kept else ""
        said = f"{done.records:,} records and {done.postings:,} postings are in {done.file}.{stayed}"
        desk.tell(told, Text(said if done.file else "There is nothing to archive."))
    return Code.OK


async def show(desk: Desk, *, record_id: str, folder: str | None) -> Code:
    """Tell the story of a record, from the store or from the archive that it was put into."""
    try:
        return await records.show(desk, record_id=record_id)
    except NotFound:
        async with desk.open() as payflow:
            name = records.record_of(payflow, record_id)
            found = await find(payflow.store, name, Path(folder) if folder else folder_of(payflow.store))
            if found is None:
                raise
            return _told(desk, found)


def _told(desk: Desk, found: Found) -> Code:
    record = found.record
    told = records.record_json(record) | {
        "archive": str(found.file),
        "data": redacted(msgspec.to_builtins(record.data)),
        "history": [records.event_json(event) for event in found.events],
        "history_fault": found.fault,
    }
    whole = Text(f"{len(found.events)} events; the hash chain is whole.", "dim")
    desk.tell(
        told,
        Text(f"{record.id}, {record.state}, {amount(record.amount)} of {record.owner}"),
        Text(f"Made {utc(record.created_at)} UTC, in {record.state} since {utc(record.since)} UTC."),
        Text(f"It is in {found.file}.", "dim"),
        "",
        records.history_table(found.events),
        Text(f"The history is not whole: {found.fault}.", "bold red") if found.fault else whole,
    )
    return Code.REFUSED if found.fault else Code.OK


def _known(payflow: Payflow, state: str | None) -> None:
    states = {name: None for machine in payflow.store.records.machines.values() for name in machine.lifecycle.states}
    if state is not None and state not in states:
        raise Usage(f"There is no state {state!r}; {listed(states)}.")


def _is_of(kept: RawRecord, owner: Owner | None) -> bool:
    return owner is None or kept.fields["owner"].decode() == owner


async def _count(payflow: Payflow) -> int:
    return sum(crowd.count for crowd in await payflow.store.listing.counts_by_state())


async def _finished(payflow: Payflow) -> int:
    machines = payflow.store.records.machines
    return sum(
        crowd.count
        for crowd in await payflow.store.listing.counts_by_state()
        if machines[crowd.machine].lifecycle.state(crowd.state).final
    )


@contextmanager
def _bar(what: str, total: int, *, quiet: bool) -> Iterator[Count]:
    """Show how far it is, on the error output: what a command tells may be read by a program."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda number: progress.advance(task, number)
