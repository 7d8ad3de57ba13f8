"""How several nodes are asked as one: in order of their health, all of them where one may know more than another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from adapters.ethereum import refusals, wire
from adapters.ethereum.endpoint import Busy, Endpoint, Limits, NodeFailed, WrongChain
from adapters.ethereum.envelope import Call, Fault, Raw, Unreadable
from adapters.ethereum.heights import Heights
from adapters.ethereum.refusals import Means
from machines.core.errors import RailClosed, Rejected, Retryable

T = TypeVar("T")


class NoNode(Retryable):
    """No node can be asked."""


class TooMuch(Retryable):
    """A node wants to be asked for less at once."""


class Asking:
    """Asks nodes, and gives up in the words of the house."""

    def __init__(self, ends: Sequence[Endpoint], heights: Heights, limits: Limits, rail: str) -> None:
        self.ends = ends
        self._heights = heights
        self._limits = limits
        self._rail = rail

    def order(self) -> list[Endpoint]:
        """Whoever failed or lags is asked last."""
        return sorted(self.ends, key=lambda end: (end.figures.refused, end.rests, end.figures.lag_blocks))

    async def one(
        self,
        calls: Sequence[Call],
        read: Callable[..., T],
        *,
        fresh: bool = False,
        beside: Call | None = None,
        rounds: int | None = None,
    ) -> T:
        """Ask one node after the other, until one gives results to all calls that can be read.

        `fresh` questions are about the present: the node must have reached the best block that we know of. `beside` is
        a question that a node may refuse: its result is left out then.
        """
        again = AsyncRetrying(
            stop=stop_after_attempt(rounds or self._limits.rounds),
            wait=wait_random_exponential(multiplier=self._limits.pause_s, max=2.0),
            retry=retry_if_exception_type(NoNode),
            reraise=True,
        )

        async def results(end: Endpoint) -> T:
            return read(*await self._results(end, calls, beside, fresh=fresh))

        return await again(self._round, results)

    async def anywhere(self, call: Call, read: Callable[[Raw], T | None]) -> tuple[Endpoint, T] | None:
        """Ask the best node, and then all the others at once, for something that one of them may have."""

        async def find(end: Endpoint) -> T | None:
            said = await end.ask(call)
            if isinstance(said, Fault):
                raise failure(end, said)
            return read(said)

        failures: list[NodeFailed] = []
        best, *others = self.order()
        for group in ([best], others):
            for end, found in zip(group, await self.each(group, find), strict=True):
                if isinstance(found, NodeFailed):
                    failures.append(found)
                elif found is not None:
                    return end, found
        if len(failures) == len(self.ends):
            self.give_up(failures)
        return None

    async def each(self, ends: Sequence[Endpoint], look: Callable[[Endpoint], Awaitable[T]]) -> list[T | NodeFailed]:
        """Ask several nodes at once; what fails is part of the answer."""
        return await asyncio.gather(*(_tried(end, look) for end in ends))

    def give_up(self, failures: Sequence[NodeFailed]) -> NoReturn:
        """Say that no node could be asked, and when it may be tried again."""
        words = "; ".join(dict.fromkeys(str(failure) for failure in failures))
        waits = [failure.after_s for failure in failures if failure.after_s is not None]
        after_s = min(waits, default=None)
        if failures and all(isinstance(failure, WrongChain) for failure in failures):
            raise RailClosed(f"Every node answers for another chain: {words}.", rail=self._rail, after_s=after_s)
        raise NoNode(f"No node can be asked: {words}.", after_s=after_s)

    async def _round(self, results: Callable[[Endpoint], Awaitable[T]]) -> T:
        failures: list[NodeFailed] = []
        for end in self.order():
            found = await _tried(end, results)
            if not isinstance(found, NodeFailed):
                return found
            failures.append(found)
        return self.give_up(failures)

    async def _results(self, end: Endpoint, calls: Sequence[Call], beside: Call | None, *, fresh: bool) -> list[Raw]:
        height = [wire.HEIGHT] if fresh else []  # asked first, so that what follows is at least as new
        optional = [] if beside is None else [beside]
        said = await asyncio.gather(*(end.ask(call) for call in [*height, *calls, *optional]))
        results: list[Raw] = []
        for place, one in enumerate(said):
            if not isinstance(one, Fault):
                results.append(one)
            elif place < len(height) + len(calls):
                raise failure(end, one)
        if fresh:
            self._reached(end, wire.number(results.pop(0)))
        return results

    def _reached(self, end: Endpoint, height: int) -> None:
        told = self._heights.told
        behind = 0 if told is None else told.number - height
        end.figures.lag_blocks = max(0, behind)
        if behind > self._limits.lag_blocks:
            raise NodeFailed(f"{end.name} is {behind} blocks behind")


async def _tried(end: Endpoint, look: Callable[[Endpoint], Awaitable[T]]) -> T | NodeFailed:
    try:
        return await look(end)
    except NodeFailed as error:
        return error
    except Unreadable as error:
        end.failed("unreadable")
        return NodeFailed(f"{end.name}: {error}")


def failure(end: Endpoint, fault: Fault) -> NodeFailed:
    """Say what a node's error to a question means; raises where no other node would say anything else."""
    words = f"{end.name}: {fault.words or 'an error without words'} ({fault.code})"
    match refusals.means(fault):
        case Means.FAILS:
            raise Rejected(f"The call would fail. {words}")
        case Means.NO_FUNDS:
            raise Retryable(f"The account cannot pay for it now. {words}")
        case Means.TOO_MUCH:
            raise TooMuch(words)
        case Means.BUSY:
            end.failed(Busy.kind)
            return Busy(words)
        case Means.NO_STATE | Means.TROUBLE:
            end.figures.errors["error"] += 1
            return NodeFailed(words)
