"""Sees, in what a server asks of its kernel, whether what it wrote was on disk when it answered.

A counter or an answer proves nothing here: some engines answer `WAITAOF` at once. `python -m tests.store.disk PROGRAM`
tells what was seen of a program; what it says is what `machines/core/redis.py` may list.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from machines.core.redis import engine_of
from tests.servers import Server
from tests.waiting import block_until

ROUNDS = 8
_SYNC_BEGINS = re.compile(r"^(\d+) +(?:fdatasync|fsync)\(")
_SYNC_ENDS = re.compile(r"^(\d+) +(?:(?:fdatasync|fsync)\(|<\.\.\. (?:fdatasync|fsync) resumed).*= 0$")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one server."""

    knows_waitaof: bool
    rounds: int = 0
    waited: int = 0
    """In how many rounds a sync that began after the write had ended before the answer."""

    @property
    def waits(self) -> bool:
        """Whether it may be believed."""
        return self.knows_waitaof and self.rounds > 0 and self.waited == self.rounds


class Trace:
    """What a server asks of its kernel, line by line."""

    def __init__(self, server: Server, log: Path) -> None:
        self._server = server
        self._log = log
        self._asked = 0

    def lines(self) -> list[str]:
        """All so far: whatever was answered to anybody before this call is in it."""
        self._asked += 1
        word = f"the {self._asked}th end"
        self._server.ask("ECHO", word)
        block_until(lambda: any(word in line for line in self._read()), "strace has written down what was answered")
        lines = self._read()
        return lines[: next(n for n, line in enumerate(lines) if word in line)]

    def _read(self) -> list[str]:
        return self._log.read_text("utf-8", "replace").splitlines() if self._log.exists() else []


@contextmanager
def traced(server: Server) -> Iterator[Trace]:
    """Follow a server's calls for as long as the context lasts; skips the test where nothing can."""
    if shutil.which("strace") is None:
        pytest.skip("no strace on this machine")
    assert server.process is not None
    log = server.folder / "calls"
    calls = "trace=fdatasync,fsync,write,writev,sendto,sendmsg"
    command = ["strace", "-f", "-qq", "-s", "65536", "-e", calls, "-o", str(log), "-p", str(server.process.pid)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as strace:
        try:
            block_until(lambda: strace.poll() is not None or _attached(server), "strace follows every thread")
            if strace.poll() is not None:
                pytest.skip("strace may not follow other programs here")
            yield Trace(server, log)
        finally:
            strace.terminate()


def _attached(server: Server) -> bool:
    assert server.process is not None
    threads = Path(f"/proc/{server.process.pid}/task").glob("*/status")
    return all("TracerPid:\t0\n" not in thread.read_text() for thread in threads)


def synced(lines: list[str], written: str) -> bool:
    """Whether a sync that began after the last line with these words has ended."""
    since = max((n for n, line in enumerate(lines) if written in line), default=None)
    assert since is not None, f"{written!r} was never written"
    fresh: set[str] = set()
    """Threads in a sync that began after it."""
    for line in lines[since + 1 :]:
        if begins := _SYNC_BEGINS.match(line):
            fresh.add(begins[1])
        if (ends := _SYNC_ENDS.match(line)) and ends[1] in fresh:
            return True
    return False


def observe(server: Server, *, rounds: int = ROUNDS) -> Seen:
    """Write and ask `WAITAOF`, again and again, and compare with when the kernel was asked to sync."""
    waited = 0
    with traced(server) as trace, server.client() as client:
        for number in range(rounds):
            if number % 2:
                server.ask("SET", "other", number)  # somebody else's write, right before ours
            value = f"observed-{number:04d}"
            client.execute_command("SET", "observed", value)  # type: ignore[no-untyped-call]
            try:
                answer = client.execute_command("WAITAOF", 1, 0, 5000)  # type: ignore[no-untyped-call]
            except ResponseError:
                return Seen(knows_waitaof=False)
            assert answer == [1, 0], f"it reached no disk: {answer}"
            waited += synced(_before_the_answer(trace.lines()), value)
    return Seen(knows_waitaof=True, rounds=rounds, waited=waited)


def _before_the_answer(lines: list[str]) -> list[str]:
    """Drop what came after the server answered `WAITAOF`."""
    answered = max(n for n, line in enumerate(lines) if r'"*2\r\n:1\r\n:0\r\n"' in line)
    return lines[:answered]


def main() -> None:
    """Say what was seen of each program."""
    for program in map(Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory(prefix="pf") as folder:
            server = Server(program, Path(folder), ("--appendfsync", "everysec"))
            server.start()
            try:
                seen = observe(server)
                print(f"{engine_of(server.info('server'))}: waits={seen.waits} {seen}")  # noqa: T201  (it is a command)
            finally:
                server.stop()


if __name__ == "__main__":
    main()
