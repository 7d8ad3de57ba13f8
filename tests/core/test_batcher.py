"""Requests of one turn of the event loop share a call; each gets its own answer, or the call's error."""

import asyncio
from collections.abc import Sequence

import pytest

from machines.core.batcher import CALLS_IN_FLIGHT, MOST_IN_A_CALL, Batcher


class Server:
    """Doubles numbers, in calls that end when they are told to."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.most_at_once = 0
        self._now = 0

    async def double(self, numbers: list[int]) -> Sequence[int]:
        self.calls.append(numbers)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await self.open.wait()
        self._now -= 1
        if -13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]


async def test_what_is_asked_in_one_turn_goes_in_one_call() -> None:
    server = Server()
    batcher = Batcher(server.double)
    assert await asyncio.gather(*(batcher.ask(n) for n in range(50))) == [2 * n for n in range(50)]
    assert server.calls == [list(range(50))]


async def test_a_lone_request_does_not_wait_for_others() -> None:
    server = Server()
    batcher = Batcher(server.double)
    assert await batcher.ask(1) == 2
    assert await batcher.ask(2) == 4
    assert server.calls == [[1], [2]]


async def test_what_comes_while_calls_are_under_way_goes_together_afterwards() -> None:
    server = Server()
    batcher = Batcher(server.double)
    server.open.clear()
    answers = []
    for number in range(20):
        answers.append(batcher.ask(number))
        await asyncio.sleep(0)
    server.open.set()
    assert await asyncio.gather(*answers) == [2 * n for n in range(20)]
    assert len(server.calls) <= CALLS_IN_FLIGHT + 1
    assert server.most_at_once <= CALLS_IN_FLIGHT


async def test_a_call_has_a_bound() -> None:
    server = Server()
    batcher = Batcher(server.double)
    await asyncio.gather(*(batcher.ask(n + 100) for n in range(10 * MOST_IN_A_CALL + 1)))
    assert max(map(len, server.calls)) == MOST_IN_A_CALL
    assert server.most_at_once <= CALLS_IN_FLIGHT
    assert [n for call in server.calls for n in call] == [n + 100 for n in range(10 * MOST_IN_A_CALL + 1)]


async def test_an_error_reaches_everybody_in_the_call_and_nobody_else() -> None:
    server = Server()
    batcher = Batcher(server.double)
    answers = await asyncio.gather(*(batcher.ask(n) for n in (1, -13, 2)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError] * 3
    assert await batcher.ask(4) == 8


async def test_who_gives_up_waiting_does_not_disturb_the_others() -> None:
    server = Server()
    batcher = Batcher(server.double)
    server.open.clear()
    patient, hasty = batcher.ask(1), batcher.ask(2)
    await asyncio.sleep(0)
    hasty.cancel()
    server.open.set()
    assert await patient == 2
    assert server.calls == [[1, 2]]
    assert await batcher.ask(3) == 6


async def test_an_error_after_somebody_gave_up_is_not_lost_on_the_others() -> None:
    server = Server()
    batcher = Batcher(server.double)
    server.open.clear()
    patient, hasty = batcher.ask(-13), batcher.ask(2)
    await asyncio.sleep(0)
    hasty.cancel()
    server.open.set()
    with pytest.raises(ValueError, match="13"):
        await patient


async def test_no_request_is_answered_twice_or_never_under_a_storm() -> None:
    server = Server()
    batcher = Batcher(server.double)

    async def client(start: int) -> list[int]:
        answers = []
        for number in range(start, start + 50):
            answers.append(await batcher.ask(number))
            if number % 7 == 0:
                await asyncio.sleep(0)
        return answers

    starts = range(100, 100_000, 1000)
    assert await asyncio.gather(*map(client, starts)) == [[2 * n for n in range(s, s + 50)] for s in starts]
    assert sum(map(len, server.calls)) == 50 * len(starts)
