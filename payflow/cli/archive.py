"""What leaves the store as files: records exported or archived, with a bar that shows how far it is; backups."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from machines.core.clock import Millis
from machines.core.errors import BadInput, UnprovenFile
from payflow.app.installation import Payflow
from payflow.cli.terminal import Commands, Terminal, Yes, bar, known, machine_of, moment, owner_named
from payflow.desk import archive as archives
from payflow.desk.person import shell
from payflow.shown import utc
from payflow.store.seals import KEY_FILE

command = Commands()


@command("payflow export ann.jsonl --owner ann --since 30d")
async def export(
    terminal: Terminal,
    payflow: Payflow,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file; .zst compresses it, .sealed encrypts it.")],
    *,
    machine: Annotated[str | None, typer.Option(help="Only records of this machine.")] = None,
    state: Annotated[str | None, typer.Option(help="Only records in this state.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only records of this owner.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only what came into its state since then.")] = None,
) -> None:
    now, machines = await payflow.store.records.now(), payflow.store.records.machines
    whose = await owner_named(payflow, owner) if owner else None
    if machine is not None:
        machine_of(payflow, machine)
    if state is not None:
        known("state", state, (name for one in machines.values() for name in one.lifecycle.states))
    start = moment(since, now) if since else Millis(0)
    who = await terminal.person(payflow)
    wanted = archives.selection(machine=machine, state=state, owner=whose, since=start)
    with bar("Exporting", await _count(payflow), quiet=terminal.as_json) as count:
        number = await archives.export(payflow.store, Path(file), wanted, who.name, count)
    terminal.tell({"file": file, "records": number}, f"{number:,} records are in {file}.")


@command("payflow archive --before 180d")
async def archive(
    terminal: Terminal,
    payflow: Payflow,
    *,
    before: Annotated[str, typer.Option(metavar="TIME", help="What ended before: 2027-01-15T08:00, or 90d ago.")],
    to: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where to; by default `archive` in PAYFLOW_DATA.")
    ] = None,
    yes: Yes = False,
) -> None:
    store, who = payflow.store, await terminal.acting(payflow)
    at = moment(before, await store.records.now())
    folder = Path(to) if to else archives.folder_of(store)
    if not yes:
        terminal.confirm([f"Finished records from before {before} go into a file in {folder}, and leave the store."])
    with bar("Archiving", await _count(payflow, finished=True), quiet=terminal.as_json) as count:
        done = await archives.archive(store, folder, at, who.name, count)
    stayed = f" {done.skipped:,} changed meanwhile and stayed." if done.skipped else ""
    said = f"{done.records:,} records and {done.postings:,} postings are in {done.file}.{stayed}"
    terminal.tell(
        {"file": str(done.file or ""), "records": done.records, "postings": done.postings, "kept": done.skipped},
        said if done.file else "There is nothing to archive.",
    )


async def _count(payflow: Payflow, *, finished: bool = False) -> int:
    machines = payflow.store.records.machines
    return sum(
        one.count
        for one in await payflow.store.listing.counts_by_state()
        if not finished or machines[one.machine].lifecycle.state(one.state).final
    )


# ── backup ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@command("payflow backup /backups/payflow-2027-01-15.tar.zst")
async def backup(
    terminal: Terminal,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file, such as payflow-2027-01-15.tar.zst.")],
) -> None:
    settings = terminal.settings
    _refuse_elsewhere(terminal, "copy", "back-up")
    async with terminal.open() as payflow:
        size = await archives.back_up(payflow.store, Path(file), (await terminal.person(payflow)).name)
    key, encrypted = settings.data / KEY_FILE, archives.keys_of(settings).ready
    how = (
        "It is encrypted with the first of PAYFLOW_BACKUP_KEYS, without which it cannot be restored."
        if encrypted
        else "It is NOT encrypted, and nothing will prove that it was not changed: set PAYFLOW_BACKUP_KEYS."
    )
    terminal.tell(
        {"file": file, "bytes": size, "encrypted": encrypted, "key": None if settings.seal_keys else str(key)},
        f"{size:,} bytes of the store are in {file}.",
        how,
        *([] if settings.seal_keys else [f"The key that opens its destinations is not: keep {key} elsewhere."]),
    )


@command("payflow restore /backups/payflow-2027-01-15.tar.zst")
async def restore(
    terminal: Terminal,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `payflow backup` wrote.")],
    *,
    unencrypted: Annotated[
        bool, typer.Option("--unencrypted", help="Take one in clear, which nothing proves to be ours and unchanged.")
    ] = False,
) -> None:
    settings = terminal.settings
    _refuse_elsewhere(terminal, "replace", "restore")
    try:
        saved_at = await asyncio.to_thread(archives.restore, Path(file), settings, shell().name, clear=unencrypted)
    except UnprovenFile as error:
        raise BadInput(f"{error} If you know where it was since, add --unencrypted.") from error
    key = settings.data / KEY_FILE
    missing = not settings.seal_keys and not key.exists()
    terminal.tell(
        {"file": file, "saved_at": saved_at, "key_missing": missing},
        f"The store in {settings.data} is as it was at {utc(saved_at)} UTC. Nothing is sent from it yet.",
        *([f"Put its key into {key}, or no destination can be read."] if missing else []),
        f"Next: `payflow reconcile --since {utc(saved_at).replace(' ', 'T')}`.",
    )


@command("payflow unseal 20270115T080000-000.jsonl.zst.sealed archive.jsonl.zst")
async def unseal(
    terminal: Terminal,
    file: Annotated[str, typer.Argument(metavar="FILE", help="An encrypted backup, archive or export.")],
    to: Annotated[str, typer.Argument(metavar="NEW", help="A new file, which gets what is in it.")],
) -> None:
    size = await asyncio.to_thread(archives.unseal, Path(file), Path(to), terminal.settings)
    terminal.tell({"file": to, "bytes": size}, f"{size:,} bytes are in {to}, in clear.")


def _refuse_elsewhere(terminal: Terminal, act: str, page: str) -> None:
    if not terminal.settings.embedded:
        raise BadInput(
            f"The store is not the embedded one, so its files are not ours to {act}: "
            f"do it with the server's own means, as deploy/operations/{page}.md says."
        )
