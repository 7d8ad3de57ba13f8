"""Gathers what is asked for in one turn of the event loop into one call.

What comes while calls are under way waits and goes together as soon as one returns: no timer, so a lone request pays
one round trip, and under load the batch grows with it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Reply = TypeVar("Reply")

MOST_IN_A_CALL = 128
CALLS_IN_FLIGHT = 2


class Batcher(Generic[Ask, Reply]):
    """Turns many single requests into few calls."""

    def __init__(self, call: Callable[[list[Ask]], Awaitable[Sequence[Reply]]]) -> None:
        self._call = call
        self._waiting: deque[tuple[Ask, asyncio.Future[Reply]]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def ask(self, question: Ask) -> asyncio.Future[Reply]:
        """Put a request into the next call."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((question, answer))
        if not self._scheduled and len(self._in_flight) < CALLS_IN_FLIGHT:
            self._scheduled = True
            loop.call_soon(self._send)
        return answer

    def _send(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._in_flight) < CALLS_IN_FLIGHT:
            batch = [self._waiting.popleft() for _ in range(min(MOST_IN_A_CALL, len(self._waiting)))]
            task = asyncio.get_running_loop().create_task(self._exchange(batch))
            self._in_flight.add(task)
            task.add_done_callback(self._returned)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._send()

    async def _exchange(self, batch: list[tuple[Ask, asyncio.Future[Reply]]]) -> None:
        try:
            replies = await self._call([question for question, _ in batch])
        except asyncio.CancelledError:
            for _, answer in batch:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001  (whatever it was, the askers must learn it)
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), reply in zip(batch, replies, strict=True):
            if not answer.done():
                answer.set_result(reply)
