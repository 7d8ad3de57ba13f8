"""A letter box, and a platform that listens."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from adapters.sandbox.mail import MailSink


@dataclass
class Heard:
    """One delivery as it arrived."""

    headers: dict[str, str]
    raw: bytes


@dataclass
class Shop:
    """A platform on loopback: keeps what it hears, and answers as it is told to."""

    url: str = ""
    status: int = 200
    answer: bytes = b"thanks"
    heard: list[Heard] = field(default_factory=list)

    async def hear(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take a delivery."""
        self.heard.append(Heard({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=self.status, body=self.answer, headers={"Location": self.url})


@pytest.fixture
async def sink() -> AsyncIterator[MailSink]:
    async with MailSink() as sink:
        yield sink


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    runner = web.ServerRunner(web.Server(shop.hear), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    shop.url = f"http://{host}:{port}/hooks"
    yield shop
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
