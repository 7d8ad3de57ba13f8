"""Resolving what is pending, on evidence: booked where it is proven paid, credited back where it is proven unpaid.

One function for the page and for the terminal, which tells of it in the words of the pool's own maintenance mode.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from machines.core.errors import BadInput
from machines.pool.evidence import ChainOutcome
from payflow.desk.person import because
from payflow.desk.pool.evidence import Judged
from payflow.desk.pool.lines import Say, save, shown
from payflow.desk.pool.pool import Pools
from payflow.desk.pool.repairs import PoolDesk

LOOK_AT_FILL_S = 1.0


@dataclass(slots=True)
class Resolution:
    """What became of what was pending."""

    booked: list[Judged] = field(default_factory=list)
    left: list[Judged] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    """What was proven and could not be booked, and why; it is left, too."""
    saved: list[str] = field(default_factory=list)
    """How the pool's Redis was saved, where its file asks for that."""
    locked: bool = True
    lock: str = ""
    """What became of the lock, as a sentence."""

    def says(self) -> list[str]:
        """Tell of it, for a page."""
        paid = sum(one.verdict.outcome is ChainOutcome.PAID for one in self.booked)
        counted = f"{paid} booked as paid, {len(self.booked) - paid} credited back, {len(self.left)} left as they are."
        return [counted, *self.trouble, *self.saved, self.lock]


def evidence_digest(lock: str, found: Sequence[Judged]) -> str:
    """Give what changes when there is something else to decide; not the words, which grow with the chain."""
    return hashlib.sha256(repr((lock, [one.identity for one in found])).encode()).hexdigest()[:32]


async def resolve(desk: PoolDesk, seen: Sequence[Judged], reason: str) -> Resolution:
    """Do what somebody has seen, where books and evidence still say so, and unlock where nothing is left."""
    why, done, agreed = because(reason), Resolution(), {one.identity for one in seen}
    async with desk.noted("resolve pool", desk.pool.coin, why):
        for one in await desk.pending():
            try:
                # What was not shown, or is judged otherwise by now, nobody has agreed to.
                booked = one.identity in agreed and await desk.book(one)
            except BadInput as error:
                done.trouble.append(f"Failed to resolve {one.row.member}, error is: {error}")
                booked = False
            (done.booked if booked else done.left).append(one)
        if desk.pool.config.bgsave and done.booked:
            await save(desk.pool, done.saved.append)
        done.locked, done.lock = await desk.release()
    await desk.note_resolved(done.booked)
    return done


# ── in the words of the pool's own maintenance mode ──────────────────────────────────────────────────────────────────


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


async def resolve_all(
    pools: Pools, who: str, reason: str, say: Say, stop: asyncio.Event, *, fill: bool, dry_run: bool
) -> list[tuple[str, list[Judged], bool]]:
    """Resolve every pool; give for each its coin, what was pending, and whether all of it is resolved, or would be."""
    done = []
    for pool in pools.pools.values():
        desk = PoolDesk(pools, pool, who)
        found = await judged(desk, say, stop, fill=fill and not dry_run)
        done.append((pool.coin, found, await resolve_aloud(desk, found, say, reason, dry_run=dry_run)))
    return done


async def resolve_aloud(desk: PoolDesk, found: list[Judged], say: Say, reason: str, *, dry_run: bool) -> bool:
    """Say what is proven, and resolve it unless this is a dry run; say whether all is resolved, or would be."""
    _say_what_is_proven(found, say)
    if dry_run:
        say("This was a dry run: nothing was changed")
        return not any(one.verdict.outcome is ChainOutcome.UNKNOWN for one in found)
    done = await resolve(desk, found, reason)
    for line in (*map(_booked, done.booked), *done.trouble, *done.saved):
        say(line)
    if done.left:
        say(f"{len(done.left)} payments are left as they are, and payouts stay locked until they are resolved")
    elif done.locked:
        say(done.lock)
    else:
        say("Payouts unlocked")
        say("Now you have to restart payouts module with RESOLVE_PAYOUT=0 for normal run")
    return not done.left and not done.locked


def _booked(one: Judged) -> str:
    if one.verdict.outcome is ChainOutcome.PAID:
        return f"Paid {one.row.shannon} Shannon to {one.row.login}, TxHash: {one.tx}"
    return f"Credited {one.row.shannon} Shannon back to {one.row.login}"


def _say_what_is_proven(found: list[Judged], say: Say) -> None:
    if not found:
        say("No pending payments to resolve")
    for title, outcome in (
        ("Already paid, will book them with their transactions:", ChainOutcome.PAID),
        ("Will credit back following balances:", ChainOutcome.UNPAID),
        ("Not proven either way, will leave them:", ChainOutcome.UNKNOWN),
    ):
        if some := [one for one in found if one.verdict.outcome is outcome]:
            say("\n".join((title, *(f"{shown(one.row)} ({one.verdict.why})" for one in some))))
