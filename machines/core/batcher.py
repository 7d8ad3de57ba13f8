"""Gathers what is asked for in one turn of the event loop into one call.

What comes while calls are under way waits and goes together as soon as one returns: no timer, so a lone request pays
one round trip, and under load the batch grows with it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Reply = TypeVar("Reply")

MOST_IN_A_CALL = 128
CALLS_IN_FLIGHT = 2


class Batcher(Generic[Ask, Reply]):
    """Turns many single requests into few calls. What gave up waiting before its call began is not asked for."""

    def __init__(
        self,
        call: Callable[[list[Ask]], Awaitable[Sequence[Reply]]],
        *,
        most: int = MOST_IN_A_CALL,
        in_flight: int = CALLS_IN_FLIGHT,
        alone: Callable[[Ask], bool] | None = None,
    ) -> None:
        self.most = most
        self._call = call
        self._most_in_flight = in_flight
        self._alone = alone
        """Whether a request shares a call with nothing."""
        self._waiting: deque[tuple[Ask, asyncio.Future[Reply]]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def ask(self, question: Ask) -> asyncio.Future[Reply]:
        """Put a request into the next call."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((question, answer))
        if not self._scheduled and len(self._in_flight) < self._most_in_flight:
            self._scheduled = True
            loop.call_soon(self._send)
        return answer

    def fail_waiting(self, error: Exception) -> None:
        """Tell all who still wait for their call that it would fail as well."""
        waiting, self._waiting = self._waiting, deque()
        _tell(waiting, error)

    async def close(self) -> None:
        """Give up what is under way, and what waits."""
        for _, answer in self._waiting:
            answer.cancel()
        self._waiting.clear()
        tasks = list(self._in_flight)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _send(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._in_flight) < self._most_in_flight:
            batch = self._next()
            if not batch:
                return
            task = asyncio.get_running_loop().create_task(self._exchange(batch))
            self._in_flight.add(task)
            task.add_done_callback(self._returned)

    def _next(self) -> list[tuple[Ask, asyncio.Future[Reply]]]:
        batch: list[tuple[Ask, asyncio.Future[Reply]]] = []
        while self._waiting and len(batch) < self.most:
            question, answer = self._waiting[0]
            alone = self._alone is not None and self._alone(question)
            if alone and batch:
                break
            self._waiting.popleft()
            if not answer.done():
                batch.append((question, answer))
                if alone:
                    break
        return batch

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
            _tell(batch, error)
            return
        for (_, answer), reply in zip(batch, replies, strict=True):
            if not answer.done():
                answer.set_result(reply)


def _tell(batch: Iterable[tuple[Ask, asyncio.Future[Reply]]], error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)
