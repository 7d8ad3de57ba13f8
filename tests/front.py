"""An address that stays while the server behind it changes: what a failover looks like to a client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.servers import Server
from tests.waiting import wait_until


class Front:
    """Hands every connection on to the server of the moment."""

    def __init__(self, target: Server) -> None:
        self.target = target
        self.port = 0
        self.swallowing = b""
        """What a request must contain for its reply to be lost on the way, and the connection with it."""
        self.connected = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead to it."""
        return {"REDIS_URL": f"redis://127.0.0.1:{self.port}"}

    def nodes(self) -> list[Server]:
        """The servers that keep the data."""
        return [self.target]

    async def lead_to(self, target: Server) -> None:
        """Lead to another server from now on; who is connected has to come again."""
        self.target = target
        await self.cut()

    async def cut(self) -> None:
        """Cut all connections."""
        for writer in list(self._writers):
            writer.transport.abort()
        await wait_until(lambda: not self.connected, "all connections are cut")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand one connection on, until either side ends it."""
        self.connected += 1
        self._writers.add(writer)
        try:
            with suppress(OSError):
                behind_reader, behind_writer = await asyncio.open_unix_connection(str(self.target.socket))
                self._writers.add(behind_writer)
                lost = asyncio.Event()
                await asyncio.gather(
                    self._pass_on(reader, behind_writer, lost, replies=False),
                    self._pass_on(behind_reader, writer, lost, replies=True),
                )
                self._writers.discard(behind_writer)
        finally:
            self._writers.discard(writer)
            writer.close()
            self.connected -= 1

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event, *, replies: bool
    ) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(1 << 16):
                    if not replies and self.swallowing and self.swallowing in data:
                        lost.set()
                    elif replies and lost.is_set():
                        break
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.transport.abort()


@asynccontextmanager
async def fronted(target: Server) -> AsyncIterator[Front]:
    """Open an address that leads to a server."""
    front = Front(target)
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        await front.cut()
        await server.wait_closed()
