"""Connections that say nothing: they are bounded in number, by address and in all, and in time."""

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import aiohttp
import pytest
from aiohttp import web

from payflow.web.http import app
from payflow.web.http.app import Connections
from tests.waiting import wait_until

FILES = 80
"""What the process is said to be allowed to open: 40 connections, 10 from one address."""


@asynccontextmanager
async def served(proxies: tuple[str, ...] = ()) -> AsyncIterator[tuple[str, int]]:
    async def well(_: web.Request) -> web.Response:
        return web.Response(text="well")

    networks = [ip_network(one) for one in proxies]
    async with app.listening(app.application([web.get("/healthz", well)]), "127.0.0.1", 0, networks) as address:
        host, port = address.removeprefix("http://").split(":")
        yield host, int(port)


async def healthy(host: str, port: int, from_host: str) -> bool:
    """Ask from an address of the loopback network of its own, over a new connection."""
    connector = aiohttp.TCPConnector(local_addr=(from_host, 0))
    try:
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://{host}:{port}/healthz") as answer,
        ):
            return answer.status == 200
    except aiohttp.ClientError:
        return False


Streams = tuple[StreamReader, StreamWriter]
ASKED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.asynccontextmanager
async def held(host: str, port: int, number: int, from_host: str, said: bytes = ASKED) -> AsyncIterator[list[Streams]]:
    """Hold connections open that asked something once, or said something else, or nothing."""
    async with contextlib.AsyncExitStack() as stack:
        streams = []
        for _ in range(number):
            reader, writer = await asyncio.open_connection(host, port, local_addr=(from_host, 0))
            stack.callback(writer.close)
            streams.append((reader, writer))
            with contextlib.suppress(ConnectionError):
                writer.write(said)
                if said == ASKED:
                    await reader.readuntil(b"well")
        yield streams


@pytest.fixture(autouse=True)
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (FILES, FILES))


async def test_whoever_holds_all_that_one_address_may_have_shuts_out_nobody_else() -> None:
    async with served() as (host, port), held(host, port, 10, "127.0.0.9"):
        assert not await healthy(host, port, "127.0.0.9")
        assert await healthy(host, port, "127.0.0.1")


async def test_many_addresses_together_leave_the_process_half_of_what_it_may_open() -> None:
    async with served() as (host, port):
        async with contextlib.AsyncExitStack() as others:
            for number in range(2, 6):
                await others.enter_async_context(held(host, port, 10, f"127.0.0.{number}"))
            assert not await healthy(host, port, "127.0.0.1")
        await wait_until(lambda: healthy(host, port, "127.0.0.1"), "they are gone")


async def test_a_place_is_free_again_when_its_connection_is_gone() -> None:
    async with served() as (host, port), held(host, port, 10, "127.0.0.9") as streams:
        assert not await healthy(host, port, "127.0.0.9")
        streams[0][1].close()
        await wait_until(lambda: healthy(host, port, "127.0.0.9"), "the place is free")


async def test_a_proxy_of_ours_may_bring_everybody() -> None:
    async with served(proxies=("127.0.0.9/32",)) as (host, port), held(host, port, 30, "127.0.0.9"):
        assert await healthy(host, port, "127.0.0.9")


@pytest.mark.parametrize("said", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: \r\n"])
@pytest.mark.parametrize("proxies", [(), ("127.0.0.9/32",)])
async def test_who_asks_comes_in_before_those_who_hold_connections_and_ask_nothing(
    proxies: tuple[str, ...], said: bytes
) -> None:
    """From their own address as well, which may be that of a proxy of ours; what asks once is closed for nobody."""
    async with (
        served(proxies) as (host, port),
        held(host, port, 5, "127.0.0.9") as asked,
        held(host, port, 60, "127.0.0.9", said),
    ):
        for _ in range(12):
            assert await healthy(host, port, "127.0.0.9")
            assert await healthy(host, port, "127.0.0.1")
        for reader, writer in asked:
            writer.write(ASKED)
            assert (await reader.readuntil(b"well")).startswith(b"HTTP/1.1 200"), "it was not closed for them"


@pytest.mark.parametrize("said", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_a_connection_that_never_finishes_a_header_is_closed(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr("payflow.web.http.app.IDLE_S", 0.2)
    async with served() as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(said)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_asks_nothing_more_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payflow.web.http.app.IDLE_S", 0.2)
    async with served() as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal")
        async with asyncio.timeout(20):
            assert (await reader.read()).endswith(b"well")
        writer.close()


def test_without_a_limit_of_files_there_is_still_one_of_connections() -> None:
    assert Connections().most > Connections(files=1024).most == 512
