"""Saving the embedded store, and setting it back."""

import asyncio
from pathlib import Path

from rich.text import Text

from machines.core.errors import BadInput
from payflow.cli.desk import Code, Desk, named
from payflow.shown import utc
from payflow.store.backup import save, set_back
from payflow.store.seals import KEY_FILE

ELSEWHERE = (
    "The store is not the embedded one, so its files are not ours to {}: "
    "do it with the server's own means, as deploy/operations/{}.md says."
)


async def backup(desk: Desk, *, file: str) -> Code:
    """Save the embedded store into a file, while it works."""
    settings = desk.settings
    if not settings.embedded:
        raise BadInput(ELSEWHERE.format("copy", "back-up"))
    async with desk.open() as payflow:
        await payflow.store.audit.note(await named(desk, payflow.store), "backup", file)
        size = await save(payflow.store.link, settings.data, Path(file), await payflow.store.records.now())
    key = settings.data / KEY_FILE
    desk.tell(
        {"file": file, "bytes": size, "key": None if settings.seal_keys else str(key)},
        Text(f"{size:,} bytes of the store are in {file}."),
        *([] if settings.seal_keys else [Text(f"The key that opens its destinations is not: keep {key} elsewhere.")]),
    )
    return Code.OK


async def restore(desk: Desk, *, file: str) -> Code:
    """Put a saved store into the data folder, which has none."""
    settings = desk.settings
    if not settings.embedded:
        raise BadInput(ELSEWHERE.format("replace", "restore"))
    saved_at = await asyncio.to_thread(set_back, Path(file), settings.data)
    missing = not settings.seal_keys and not (settings.data / KEY_FILE).exists()
    since = utc(saved_at).replace(" ", "T")
    desk.tell(
        {"file": file, "saved_at": saved_at, "key_missing": missing},
        Text(f"The store in {settings.data} is as it was at {utc(saved_at)} UTC. Nothing is sent from it yet."),
        *([Text(f"Put its key into {settings.data / KEY_FILE}, or no destination can be read.")] if missing else []),
        Text(f"Next: `payflow reconcile --since {since}`."),
    )
    return Code.OK
