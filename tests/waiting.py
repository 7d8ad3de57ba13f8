"""Waiting in tests: for something, with a limit, and with a word on what did not come."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE_S = 90.0
"""Only what never comes is waited for so long: a machine that does much else at the time may need most of it."""
_PAUSE_S = 0.002


async def wait_until(
    true: Callable[[], bool | Awaitable[bool]], description: str, limit_s: float = PATIENCE_S, pause_s: float = _PAUSE_S
) -> None:
    """Wait until it is true; fail with the description when it does not become so in time."""
    deadline = time.monotonic() + limit_s
    while True:
        answer = true()
        if answer if isinstance(answer, bool) else await answer:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:g} s: {description}")
        await asyncio.sleep(pause_s)


def block_until(true: Callable[[], bool], description: str, limit_s: float = PATIENCE_S) -> None:
    """Do the same where there is no event loop."""
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:g} s: {description}")
        time.sleep(_PAUSE_S)
