"""Saves the embedded store while it works, and sets it back. What was set back stays closed until it was reconciled."""

import fcntl
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

import anyio
import zstandard

from machines.core.clock import Millis
from machines.core.errors import BadInput, StoreUnavailable
from payflow.store.guard import HIGH_WATER, never_seen
from payflow.store.link import Link
from payflow.store.sealed_file import FileKeys

AOF = "appendonlydir"
ABOUT = "about.json"
PATIENCE_S = 60.0
PAUSE_S = 0.1
_GROWTH = "auto-aof-rewrite-percentage"


async def save(link: Link, data: Path, path: Path, now: Millis, keys: FileKeys) -> int:
    """Save the append-only files of the store in a folder; gives how many bytes they have."""
    async with _files_stand_still(link):
        return await anyio.to_thread.run_sync(_write, data, path, now, keys)


@asynccontextmanager
async def _files_stand_still(link: Link) -> AsyncIterator[None]:
    """Keep the server from replacing its files; it goes on appending to the last of them, which does no harm."""
    before = (await link.ask("CONFIG GET", _GROWTH))[_GROWTH]
    await link.ask("CONFIG SET", _GROWTH, 0)
    try:
        for _ in range(int(PATIENCE_S / PAUSE_S)):
            if not await _rewrites(link):
                break
            await anyio.sleep(PAUSE_S)
        else:
            raise StoreUnavailable("The store is rewriting its files for a long time: try again later.")
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await link.ask("CONFIG SET", _GROWTH, before)


async def _rewrites(link: Link) -> bool:
    (info,) = await link.primaries("INFO")
    return bool(int(info["aof_rewrite_in_progress"]) or int(info["aof_rewrite_scheduled"]))


def _write(data: Path, path: Path, now: Millis, keys: FileKeys) -> int:
    if path.exists():
        raise BadInput(f"{path} is there already: name another file.")
    unfinished = path.with_name(path.name + ".part")
    about = json.dumps({"payflow": version("payflow"), "saved_at": now}).encode()
    # The manifest names the others, and is read first: a file that it does not name is not missed.
    files = sorted((data / AOF).iterdir(), key=lambda file: (not file.name.endswith(".manifest"), file.name))
    size = 0
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with (
            keys.writing(file, sealed=keys.ready) as sealed,
            zstandard.ZstdCompressor(level=6, write_checksum=True).stream_writer(sealed, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="w|") as tar,
        ):
            _add(tar, ABOUT, len(about), io.BytesIO(about))
            for one in files:
                with one.open("rb") as source:
                    length = os.fstat(source.fileno()).st_size  # what is appended from now on is not part of it
                    _add(tar, f"{AOF}/{one.name}", length, source)
                    size += length
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return size


def _add(tar: tarfile.TarFile, name: str, length: int, source: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = length, 0o600, int(time.time())
    tar.addfile(entry, source)


def set_back(path: Path, data: Path, keys: FileKeys, *, clear: bool = False) -> Millis:
    """Put a saved store into a folder that has none; gives when it was saved. Its rails stay closed.

    One that nothing proves to be ours, because it is in clear, is taken only where somebody says so.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data / "users.lock").open("wb") as lock, (data / "server.lock").open("wb") as server:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"The store in {data} is in use: stop every Payflow process first.") from None
        if (data / AOF).exists():
            raise BadInput(f"There is a store in {data} already: move {data / AOF} away first, and keep it.")
        # First of all: whatever happens from now on, nothing is sent before somebody has reconciled.
        (data / HIGH_WATER).write_bytes(never_seen())
        return _unpack(path, data, keys, clear=clear)


def _unpack(path: Path, data: Path, keys: FileKeys, *, clear: bool) -> Millis:
    unfinished = data / f"{AOF}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    try:
        saved_at = _unpacked(path, unfinished, keys, clear=clear)
        if not saved_at or not any(unfinished.glob("*.manifest")):
            raise BadInput(f"{path} is no backup of Payflow, or only a part of one.")
        unfinished.replace(data / AOF)
    except (OSError, zstandard.ZstdError, tarfile.TarError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return saved_at


def _unpacked(path: Path, unfinished: Path, keys: FileKeys, *, clear: bool) -> Millis:
    """Unpack a backup, which is proven whole, as far as it can be, when this is done; give when it was saved."""
    saved_at = Millis(0)
    with (
        keys.reading(path, clear=clear) as file,
        zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="r|") as tar,
    ):
        for entry in tar:
            content = tar.extractfile(entry)
            if content is None or (entry.name != ABOUT and Path(entry.name).parent != Path(AOF)):
                raise BadInput(f"{path} is no backup of Payflow: it has {entry.name[:80]!r} in it.")
            if entry.name == ABOUT:
                saved_at = Millis(json.loads(content.read())["saved_at"])
                continue
            _copy(content, unfinished / Path(entry.name).name)
    return saved_at


def _copy(source: IO[bytes], target: Path) -> None:
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while part := source.read(1 << 20):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
