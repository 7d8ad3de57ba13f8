"""Finds the block in which a nonce was used up, with few questions."""

import asyncio
from collections.abc import Awaitable, Callable

from machines.core.chain import Seen
from machines.core.errors import Retryable

ARMS = 15
"""How many heights are asked for at once: they share one request."""
WALK_BLOCKS = 256
"""How many blocks are read one by one where no node keeps the state of their time."""

Count = Callable[[int], Awaitable[int | None]]
"""Gives a nonce at a height; None where no node has the state of it any more."""
Look = Callable[[int], Awaitable[Seen | None]]
"""Looks for the transaction in a block."""


async def find_sent(count: Count, look: Look, nonce: int, block: int) -> Seen | None:
    """Find what used up a nonce in blocks up to this one; None where the nonce was free then."""
    at_end = await count(block)
    if at_end is None:
        raise Retryable(f"No node tells a nonce at block {block}.")
    if at_end <= nonce:
        return None
    free, used = await _gallop(count, nonce, block)
    while free is not None and used - free > 1:
        free, used = await _narrow(count, nonce, free, used)
    if free is not None or used == 0:
        found = await look(used)
        if found is None:
            raise Retryable(f"Block {used} used up nonce {nonce} and does not show how.")
        return found
    return await _walk(look, nonce, used)


async def _gallop(count: Count, nonce: int, block: int) -> tuple[int | None, int]:
    """Look back further and further: most are found near the end. `free` is None where the state ends before it."""
    steps = [1 << power for power in range(block.bit_length()) if 1 << power <= block]
    heights = sorted({block - step for step in steps} | ({0} if block else set()), reverse=True)
    used = block
    for group in (heights[:8], heights[8:]):
        for height, found in zip(group, await asyncio.gather(*map(count, group)), strict=True):
            if found is None:
                continue
            if found <= nonce:
                return height, used
            used = height
    return None, used


async def _narrow(count: Count, nonce: int, free: int, used: int) -> tuple[int, int]:
    width = used - free
    heights = sorted({free + width * arm // (ARMS + 1) for arm in range(1, ARMS + 1)} - {free, used})
    for height, found in zip(heights, await asyncio.gather(*map(count, heights)), strict=True):
        if found is None:
            raise Retryable(f"No node tells a nonce at block {height} now.")
        if found > nonce:
            return free, height
        free = height
    return free, used


async def _walk(look: Look, nonce: int, last: int) -> Seen | None:
    for height in range(last, max(-1, last - WALK_BLOCKS), -1):
        found = await look(height)
        if found is not None:
            return found
    raise Retryable(f"Nonce {nonce} was used more than {WALK_BLOCKS} blocks before block {last}; no node keeps that.")
