"""Resolving what is pending, on evidence, as the pool's own maintenance mode did, and with its words."""

import asyncio
import time

import anyio

from machines.core.errors import BadInput
from machines.pool.evidence import ChainOutcome
from payflow.desk.pool.repairs import Judged, PoolDesk
from payflow.desk.pool.runs import Say, save, shown

LOOK_AT_FILL_S = 1.0


async def judged(desk: PoolDesk, say: Say, stop: asyncio.Event, *, fill: bool) -> list[Judged]:
    """Judge what is pending; with `fill`, after using up the nonces of old transactions that might still come."""
    found = await desk.pending()
    if not fill or not any(one.verdict.fill for one in found):
        return found
    payments = await desk.fill(found)
    say(f"{len(payments)} transactions that pay nobody use up the nonces which old transactions might still come with")
    begun = time.monotonic()
    while not stop.is_set() and not await desk.filled(payments):
        with anyio.move_on_after(LOOK_AT_FILL_S):
            await stop.wait()
    say(f"They are in the chain, after {time.monotonic() - begun:.0f} seconds")
    return await desk.pending()


async def resolve(desk: PoolDesk, found: list[Judged], say: Say, *, dry_run: bool) -> bool:
    """Book what is proven, and unlock when nothing is left; say whether all is resolved, or would be."""
    left = [one for one in found if one.verdict.outcome is ChainOutcome.UNKNOWN]
    if not found:
        say("No pending payments to resolve")
    for title, outcome in (
        ("Already paid, will book them with their transactions:", ChainOutcome.PAID),
        ("Will credit back following balances:", ChainOutcome.UNPAID),
        ("Not proven either way, will leave them:", ChainOutcome.UNKNOWN),
    ):
        if some := [one for one in found if one.verdict.outcome is outcome]:
            say("\n".join((title, *(_listed(one) for one in some))))
    if dry_run:
        say("This was a dry run: nothing was changed")
        return not left
    for one in found:
        await _book(desk, one, say)
    if desk.pool.config.bgsave:
        await save(desk.pool, say)
    if left:
        say(f"{len(left)} payments are left as they are, and payouts stay locked until they are resolved")
        return False
    books = desk.pool.books
    if await books.lock() and not await books.pending():
        # Nothing pending holds it: its payer died before it took anything.
        await desk.unlock(dry_run=False)
    say("Payouts unlocked")
    say("Now you have to restart payouts module with RESOLVE_PAYOUT=0 for normal run")
    return True


def _listed(one: Judged) -> str:
    return f"{shown(one.row.login, one.row.shannon, one.row.at_s)} ({one.verdict.why})"


async def _book(desk: PoolDesk, one: Judged, say: Say) -> None:
    try:
        done = await desk.book(one)
    except BadInput as error:
        say(f"Failed to credit {one.row.shannon} Shannon back to {one.row.login}, error is: {error}")
        raise
    if not done:
        return
    if one.verdict.outcome is ChainOutcome.PAID:
        tx = one.verdict.evidence.reference if one.verdict.evidence else ""
        say(f"Paid {one.row.shannon} Shannon to {one.row.login}, TxHash: {tx}")
    else:
        say(f"Credited {one.row.shannon} Shannon back to {one.row.login}")
