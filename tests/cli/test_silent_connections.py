"""A process that may open 1,024 files, and 2,000 connections from one address that say nothing: work goes on."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.cli.processes import Process, running
from tests.cli.test_service import at_the_store, counts, make
from tests.waiting import wait_until

FILES, SILENT = 1024, 2000


@contextlib.contextmanager
def of_few_files() -> Iterator[None]:
    """What starts in here may open so many files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.asynccontextmanager
async def besieged(folder: Path, module: str, **settings: str) -> AsyncIterator[Process]:
    """A process before which 2,000 connections of one address stand and say nothing."""
    async with contextlib.AsyncExitStack() as stack:
        with of_few_files():
            process = await stack.enter_async_context(running(folder, "serve", module=module, **settings))
        at = URL(process.address)
        assert at.host
        assert at.port
        for number in range(SILENT):
            line = stack.enter_context(socket.create_connection((at.host, at.port), source_address=("127.0.0.9", 0)))
            if number % 50 == 0:
                await asyncio.sleep(0)
            assert line.fileno()
        yield process


async def from_another_address(process: Process, path: str, address: str = "127.0.0.2") -> int:
    """Ask from an address of its own, over a new connection."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with (
        aiohttp.ClientSession(connector=connector, headers={"X-Forwarded-For": "8.8.8.8"}) as session,
        session.get(process.address + path) as answer,
    ):
        return answer.status


def open_files(process: Process) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{process.process.pid}/fd").iterdir()))


async def test_health_and_sign_in_answer_others(tmp_path: Path) -> None:
    async with besieged(tmp_path, "payflow") as process:
        for _ in range(40):
            assert await from_another_address(process, "/healthz") == 200
            assert await from_another_address(process, "/admin/sign-in") == 200


@pytest.mark.parametrize("proxies", ["", "127.0.0.9/32"])
async def test_who_asks_at_the_besieged_address_itself_comes_in(tmp_path: Path, proxies: str) -> None:
    """It may be a proxy of ours, through which everybody comes: those who say nothing make room, the oldest first."""
    async with besieged(tmp_path, "payflow", PAYFLOW_TRUSTED_PROXIES=proxies) as process:
        for address in ("127.0.0.9", "127.0.0.2") * 20:
            assert await from_another_address(process, "/healthz", address) == 200
            assert await from_another_address(process, "/admin/sign-in", address) == 200
        assert open_files(process) < FILES


async def test_sends_go_on_and_half_of_the_files_stays_free_for_them(tmp_path: Path) -> None:
    async with besieged(tmp_path, "tests.service") as process:
        async with at_the_store(tmp_path) as payflow:
            await make(payflow, 5)

            async def done() -> bool:
                return (await counts(payflow)).get("DONE") == 5

            await wait_until(done, "all five were sent")
        files = open_files(process)
        assert files < FILES // 2, "a quarter of half of them for one address, and what the process itself has open"
        assert await from_another_address(process, "/healthz") == 200
