"""An address that stays while the server behind it changes: what a failover looks like to a client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.servers import Server


class Front:
    """Hands every connection on to the server of the moment."""

    def __init__(self, target: Server) -> None:
        self.target = target
        self.port = 0
        self.swallowing = False
        """Whether replies are lost on the way, and the connection with them."""
        self._handlers: set[asyncio.Task[None]] = set()

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
        for task in list(self._handlers):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            with suppress(OSError):
                behind_reader, behind_writer = await asyncio.open_unix_connection(str(self.target.socket))
                await self._join(reader, writer, behind_reader, behind_writer)
        except asyncio.CancelledError:
            pass  # we were cut; the server of asyncio would print it
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        behind_reader: asyncio.StreamReader,
        behind_writer: asyncio.StreamWriter,
    ) -> None:
        ways = [
            asyncio.ensure_future(self._pass_on(reader, behind_writer, replies=False)),
            asyncio.ensure_future(self._pass_on(behind_reader, writer, replies=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            behind_writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool) -> None:
        while data := await reader.read(1 << 16):
            if replies and self.swallowing:
                return
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def fronted(target: Server) -> AsyncIterator[Front]:
    """Open an address that leads to a server."""
    front = Front(target)
    server = await asyncio.start_server(front._serve, "127.0.0.1", 0)  # noqa: SLF001
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        await front.cut()
        await server.wait_closed()
