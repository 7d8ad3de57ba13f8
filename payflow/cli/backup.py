"""Saving the embedded store, and setting it back."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from machines.core.errors import BadInput
from payflow.cli.terminal import Commands, Terminal
from payflow.desk import archive as archives
from payflow.shown import utc
from payflow.store.seals import KEY_FILE

command = Commands()


@command("payflow backup /backups/payflow-2027-01-15.tar.zst")
async def backup(
    terminal: Terminal,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file, such as payflow-2027-01-15.tar.zst.")],
) -> None:
    settings = terminal.settings
    _refuse_elsewhere(terminal, "copy", "back-up")
    async with terminal.open() as payflow:
        size = await archives.back_up(payflow.store, Path(file), (await terminal.person(payflow)).name)
    key = settings.data / KEY_FILE
    terminal.tell(
        {"file": file, "bytes": size, "key": None if settings.seal_keys else str(key)},
        f"{size:,} bytes of the store are in {file}.",
        *([] if settings.seal_keys else [f"The key that opens its destinations is not: keep {key} elsewhere."]),
    )


@command("payflow restore /backups/payflow-2027-01-15.tar.zst")
async def restore(
    terminal: Terminal,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `payflow backup` wrote.")],
) -> None:
    settings = terminal.settings
    _refuse_elsewhere(terminal, "replace", "restore")
    saved_at = await asyncio.to_thread(archives.restore, Path(file), settings.data)
    key = settings.data / KEY_FILE
    missing = not settings.seal_keys and not key.exists()
    terminal.tell(
        {"file": file, "saved_at": saved_at, "key_missing": missing},
        f"The store in {settings.data} is as it was at {utc(saved_at)} UTC. Nothing is sent from it yet.",
        *([f"Put its key into {key}, or no destination can be read."] if missing else []),
        f"Next: `payflow reconcile --since {utc(saved_at).replace(' ', 'T')}`.",
    )


def _refuse_elsewhere(terminal: Terminal, act: str, page: str) -> None:
    if not terminal.settings.embedded:
        raise BadInput(
            f"The store is not the embedded one, so its files are not ours to {act}: "
            f"do it with the server's own means, as deploy/operations/{page}.md says."
        )
