"""A client that waits in place for each answer, with no event loop in between: some ten times cheaper a call.

For a process in which nothing else could go on meanwhile, as in a simulation that runs one thing at a time.
"""

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import hiredis
from redis import exceptions as redis_errors

from payflow.store.link import Link

RECEIVED_BYTES = 65536


class BlockingClient:
    """Speaks to a server on a unix socket; it has those parts of redis-py's client that a `Link` calls."""

    def __init__(self, path: Path, callbacks: Mapping[str, Callable[..., Any]]) -> None:
        self._callbacks = callbacks
        self._reader = hiredis.Reader()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))

    async def execute_command(self, *command: Any) -> Any:
        return self.exchange([command])[0]

    async def evalsha(self, *arguments: Any) -> Any:
        return self.exchange([("EVALSHA", *arguments)])[0]

    def pipeline(self, *, transaction: bool) -> "BlockingPipeline":
        if transaction:
            raise NotImplementedError
        return BlockingPipeline(self)

    async def aclose(self) -> None:
        self._socket.close()

    def exchange(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send commands, and wait for all their answers; raises the first error among them."""
        sent = [(*str(name).split(), *map(_plain, rest)) for name, *rest in commands]
        self._socket.sendall(b"".join(map(hiredis.pack_command, sent)))
        answers = [self._read() for _ in commands]
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError):
                kind = redis_errors.NoScriptError if str(answer).startswith("NOSCRIPT") else redis_errors.ResponseError
                raise kind(str(answer))
        called = [self._callbacks.get(str(name)) for name, *_ in commands]
        return [call(answer) if call else answer for call, answer in zip(called, answers, strict=True)]

    def _read(self) -> Any:
        while (answer := self._reader.gets()) is False:
            received = self._socket.recv(RECEIVED_BYTES)
            if not received:
                raise redis_errors.ConnectionError("The server closed the connection.")
            self._reader.feed(received)
        return answer


@dataclass(slots=True)
class BlockingPipeline:
    """Commands that go out together."""

    client: BlockingClient
    commands: list[tuple[Any, ...]] = field(default_factory=list)

    def execute_command(self, *command: Any) -> Self:
        self.commands.append(command)
        return self

    async def execute(self) -> list[Any]:
        return self.client.exchange(self.commands)


@asynccontextmanager
async def blocking(link: Link, path: Path) -> AsyncIterator[Link]:
    """Give a link to the same server that waits in place, and signs as the other one does."""
    client: Any = BlockingClient(path, link.client.response_callbacks)
    waiting = Link(client, cluster=False, place=link.place)
    waiting.macs, waiting.rows = link.macs, link.rows
    try:
        yield waiting
    finally:
        await client.aclose()


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bytes | int | float) else str(value)
