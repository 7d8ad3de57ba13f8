"""The folder of a sandbox: one sandbox at a time, what is kept in it, and what is written for shells."""

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

import msgspec

from adapters.sandbox.chain import chain
from adapters.sandbox.chain.accounts import RichAccount
from adapters.sandbox.github.town import FIRST_ID, GitHubUser, SimulatedRepository, Town
from adapters.sandbox.leashed import Leashed
from machines.core.errors import BadSettings, StoreUnavailable
from payflow.store.embedded import end_orphan, locked

TOKENS_FILE = "tokens.env"
SETTINGS_FILE = "payflow.env"
PATIENCE_S = 8.0
"""A sandbox that was killed takes a moment to clean up."""
_PAUSE_S = 0.05


@contextmanager
def claimed(folder: Path) -> Iterator[IO[bytes]]:
    """Have the folder alone. The lock goes to whatever ends the sandbox's programs, should we be killed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f"{folder.name}.lock")
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as lock:
        deadline = time.monotonic() + PATIENCE_S
        while not locked(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"Another sandbox runs in {folder}: end it (Ctrl-C), or set PAYFLOW_DATA to another folder."
                )
            time.sleep(_PAUSE_S)
        yield lock


def prepared(folder: Path, *, fresh: bool, anvil_for: str = "") -> tuple[chain.ChainKind, list[str]]:
    """Make the folder ready; gives the chain that it is for, and what a person should know.

    `anvil_for` names a scenario that only anvil can play. A folder keeps its kind of chain: blocks and wallets of the
    one are unknown to the other.
    """
    if fresh and folder.exists():
        shutil.rmtree(folder)
    earlier = chain.saved_kind(folder / "chain")
    if anvil_for and chain.found(chain.ChainKind.ANVIL) is None:
        raise BadSettings(
            f"The scenario {anvil_for} takes anvil, which is not on this machine: "
            "install Foundry, or let `make .tools/npm/.ready` fetch it, which takes npm."
        )
    if anvil_for and earlier is chain.ChainKind.EVM:
        raise BadSettings(f"{folder} keeps a chain without anvil, which {anvil_for} takes: add --fresh to begin anew.")
    notices = []
    if earlier is not None and chain.found(earlier) is None:
        aside = folder.with_name(f"{folder.name}-{time.strftime('%Y%m%d-%H%M%S')}")
        folder.rename(aside)
        notices.append(
            f"{aside} was made with another chain ({earlier}), which is not on this machine any more: "
            "it is set aside, and everything begins anew."
        )
        earlier = None
    kind = chain.found(earlier)
    if kind is None:
        raise BadSettings("There is no chain for the sandbox: install anvil (Foundry), or `payflow[sandbox]`.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return kind, notices


async def closed(folder: Path, *, fresh: bool) -> None:
    """See that no server works in a folder that is given up: one whose users all died is ended."""
    if not _given_up(folder, fresh=fresh):
        return
    path = folder / "server.lock"
    if _served(path):
        await end_orphan(folder)
        if _served(path):
            raise StoreUnavailable(f"Somebody still uses the store in {folder}: end that first, such as `payflow top`.")


def _given_up(folder: Path, *, fresh: bool) -> bool:
    earlier = chain.saved_kind(folder / "chain")
    return folder.exists() and (fresh or (earlier is not None and chain.found(earlier) is None))


def _served(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as lock:
        return not locked(lock, fcntl.LOCK_EX)


def store_watch(folder: Path, lock: int) -> Leashed:
    """Have the embedded store ended, should we be killed."""
    command = [sys.executable, "-m", "payflow.store.embedded", str(folder)]
    return Leashed(command, folder / "watch.log", how="then", keep=(lock,))


def key_file(folder: Path, name: str, account: RichAccount) -> Path:
    """Write an account's key where a lane reads it."""
    place = folder / "keys"
    place.mkdir(mode=0o700, exist_ok=True)
    path = place / name
    write_secret(path, account.key)
    return path


def write_secret(path: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


# ── for shells ───────────────────────────────────────────────────────────────────────────────────────────────────────


def read_lines(path: Path) -> dict[str, str]:
    """Read a file of NAME=value lines; empty where there is none."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line)


def write_lines(path: Path, values: Mapping[str, str]) -> None:
    """Write a file of NAME=value lines that a shell takes with `.`; what has blanks or quotes is quoted."""
    plain = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,")
    quoted = (
        (name, value if set(value) <= plain else "'" + value.replace("'", "'\\''") + "'")
        for name, value in values.items()
    )
    write_secret(path, "".join(f"{name}={value}\n" for name, value in quoted))


# ── GitHub ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class _SavedTown(msgspec.Struct):
    people: list[GitHubUser]
    repositories: list[SimulatedRepository]
    next_id: int


def read_town(path: Path, town: Town) -> None:
    """Fill the simulated GitHub with what it had before."""
    if not path.exists():
        return
    saved = msgspec.json.decode(path.read_bytes(), type=_SavedTown)
    town.people = {one.id: one for one in saved.people}
    town.repositories = {one.id: one for one in saved.repositories}
    town.ids = count(max(saved.next_id, FIRST_ID))


def write_town(path: Path, town: Town) -> None:
    """Keep what the simulated GitHub has."""
    free = next(town.ids)
    town.ids = count(free)
    saved = _SavedTown(list(town.people.values()), list(town.repositories.values()), free)
    content = msgspec.json.encode(saved).decode()
    if not path.exists() or path.read_text("utf-8") != content:
        write_secret(path, content)
