"""Payflow as a process of its own, as an operator starts it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from tests.waiting import PATIENCE_S

_numbers = count()
PROJECT = Path(__file__).parents[2]


@dataclass
class Process:
    """A service that runs."""

    process: asyncio.subprocess.Process
    log: Path
    address: str = ""

    async def line(self) -> dict[str, Any]:
        """Read the one line that it prints once everything runs."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self.process.stdout.readline()
        assert line, f"it ended: {self.log.read_text()}"
        said: dict[str, Any] = json.loads(line)
        return said

    async def get(self, path: str) -> tuple[int, str]:
        """Ask it over HTTP."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.address}{path}") as response:
            return response.status, await response.text()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def end(self) -> int:
        """Wait until it has ended."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    def logged(self) -> list[dict[str, Any]]:
        """Read what it logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def environment(folder: Path, **settings: str) -> Mapping[str, str]:
    """Nothing of ours but the PATH: an empty home, a data folder, a free port."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(PROJECT),
        "PAYFLOW_DATA": "data",
        "PAYFLOW_PORT": "0",
        "PAYFLOW_LEASE_S": "2",
    } | settings


@asynccontextmanager
async def running(
    folder: Path, command: str, *, module: str = "tests.service", **settings: str
) -> AsyncIterator[Process]:
    """Run a service in a folder; kill what is left of it."""
    log = folder / f"{command} {next(_numbers)}.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, command, "--json"),
            cwd=folder,
            env=environment(folder, **settings),
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
        )
    service = Process(process, log)
    try:
        service.address = (await service.line())["listening"] or ""
        yield service
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await service.end()
            except TimeoutError:
                process.kill()
                await process.wait()


async def typed(folder: Path, *words: str, module: str = "tests.service", **settings: str) -> tuple[int, str, str]:
    """Type a command in a folder; gives exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        cwd=folder,
        env=environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
