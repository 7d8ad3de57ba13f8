"""A sandbox as somebody starts it: a real process, in a folder and a home of its own."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from adapters.sandbox.chain.chain import ChainKind
from tests.cli.processes import environment
from tests.waiting import wait_until

Json = Any
"""What was answered; its shape is what the tests are about."""

READY_S = 30.0
PLAYED_S = 60.0
GLANCE_S = 0.1


@dataclass
class Sandbox:
    """One that runs."""

    process: asyncio.subprocess.Process
    folder: Path
    session: aiohttp.ClientSession
    took_s: float = 0.0
    """Until it was ready, by the clock on the wall."""
    cpu_s: float = 0.0
    """And how much of that it worked."""
    world: Json = None
    lines: list[str] = field(default_factory=list)

    async def ask(
        self, url: str, *, who: str = "", body: Json = None, method: str = "", key: str = ""
    ) -> tuple[int, Json]:
        """Ask something over HTTP, as somebody."""
        headers = {"Authorization": f"Bearer {self.world['people'][who]['token']}"} if who else {}
        headers |= {"Idempotency-Key": key} if key else {}
        method = method or ("GET" if body is None else "POST")
        place = url if url.startswith("http") else self.world["payflow"] + url
        async with self.session.request(method, place, json=body, headers=headers) as answer:
            text = await answer.text()
            with suppress(ValueError):
                return answer.status, json.loads(text)
            return answer.status, text

    async def until(self, true: Callable[[], Awaitable[bool]], description: str) -> None:
        """Wait until it is true, and ask no faster than the API takes questions."""

        async def seen() -> bool:
            await asyncio.sleep(GLANCE_S)
            return await true()

        await wait_until(seen, description, PLAYED_S)

    async def rpc(self, method: str, *params: object) -> Json:
        """Ask the chain."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return (await self.ask(self.world["chain"]["rpc"], body=body))[1]["result"]

    async def until_said(self, words: str) -> str:
        """Wait until a line of the story has these words in it."""
        await wait_until(lambda: any(words in line for line in self.lines), f"it says {words!r}", PLAYED_S)
        return next(line for line in self.lines if words in line)

    async def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it, and wait until it has ended."""
        self.process.send_signal(number)
        async with asyncio.timeout(READY_S):
            return await self.process.wait()

    async def until_nothing_is_left(self) -> None:
        """Wait until no process has anything to do with the folder."""
        await wait_until(lambda: not processes(self.folder), "no process is left", READY_S)


def processes(folder: Path) -> list[str]:
    """List the processes that work in a folder, or were told of it."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal() and place.name != str(os.getpid()):
            with suppress(OSError):
                words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if str(folder) in words or str(folder) in str((place / "cwd").readlink()):
                    found.append(words)
    return found


@asynccontextmanager
async def sandbox(
    folder: Path, *words: str, as_json: bool = True, kind: ChainKind | None = None
) -> AsyncIterator[Sandbox]:
    """Run one; whatever is left of it is killed. `kind` has the folder keep that chain from the start."""
    if kind is not None:
        (folder / "data/sandbox/chain").mkdir(parents=True, exist_ok=True)
        (folder / "data/sandbox/chain/kind").write_text(kind)
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  (nothing else runs yet)
    command = [sys.executable, "-m", "payflow", "sandbox", "--port", "0", *words, *(["--json"] if as_json else [])]
    started = time.monotonic()
    with (folder / "err").open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=environment(folder, PAYFLOW_LOG_LEVEL="warning"),
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=1024 * 1024,
        )
    async with aiohttp.ClientSession() as session:
        one = Sandbox(process, folder, session)
        reading: asyncio.Task[None] | None = None
        try:
            if as_json:
                one.world = await _announced(one)
                one.cpu_s = _worked(process.pid)
            else:
                reading = asyncio.create_task(_read(one))
            one.took_s = time.monotonic() - started
            yield one
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            if reading is not None:
                await reading


def _worked(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _announced(one: Sandbox) -> Json:
    assert one.process.stdout is not None
    async with asyncio.timeout(READY_S):
        line = await one.process.stdout.readline()
    assert line, f"it ended: {(one.folder / 'err').read_text()}"
    return json.loads(line)


async def _read(one: Sandbox) -> None:
    assert one.process.stdout is not None
    async for line in one.process.stdout:
        one.lines.append(line.decode().rstrip())
