"""A platform on loopback that keeps what it hears, and answers as it is told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Heard:
    """One delivery as it arrived."""

    headers: dict[str, str]
    raw: bytes


@dataclass
class Shop:
    """The platform."""

    url: str = ""
    status: int = 200
    answer: bytes = b"thanks"
    heard: list[Heard] = field(default_factory=list)

    async def hear(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take a delivery."""
        self.heard.append(Heard({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=self.status, body=self.answer, headers={"Location": self.url})


@asynccontextmanager
async def open_shop() -> AsyncIterator[Shop]:
    """Listen for as long as the block runs."""
    shop = Shop()
    runner = web.ServerRunner(web.Server(shop.hear), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        shop.url = f"http://{host}:{port}/hooks"
        yield shop
    finally:
        await runner.cleanup()
