"""`payflow pool run` and `payflow pool resolve`: what runs with workers, and speaks as the pool's own module did."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import typer

from machines.core.errors import BadInput, Retryable
from machines.pool.evidence import ChainOutcome
from payflow.app import installation, service
from payflow.app.installation import Payflow
from payflow.cli import desk
from payflow.cli.desk import Code, leaving, named, print_json
from payflow.cli.pool_tables import due, judged_json, pools_of
from payflow.config import Settings, load
from payflow.desk.pool.pool import Pool
from payflow.desk.pool.repairs import Judged, PoolDesk
from payflow.desk.pool.runs import Outcome as Ran
from payflow.desk.pool.runs import Say, save, serve, shown, spoken
from payflow.telemetry import logs
from payflow.telemetry.metrics import Metrics

TRUE = ("1", "t", "T", "TRUE", "true", "True")
"""What Go's strconv.ParseBool takes for yes; all else is no here, as in the pool's own module."""
LOOK_AT_FILL_S = 1.0
OPEN_AGAIN_S = 5


def speak(text: str) -> None:
    """Print a line as the pool's own modules print theirs: to stderr, with the local time."""
    typer.echo(spoken(text, datetime.now().astimezone()), err=True)


def must_resolve() -> bool:
    """Say whether the operator asks for the maintenance mode in the old way."""
    return os.environ.get("RESOLVE_PAYOUT", "") in TRUE


def run(
    context: typer.Context,
    files: list[Path] | None,
    *,
    once: bool,
    drain: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the payouts of one or more pools."""
    with leaving():
        settings = load()
        given = files or [settings.pool_config]
        if must_resolve():
            speak("Running with env RESOLVE_PAYOUT=1, now trying to resolve locked payouts")
            raise typer.Exit(
                _resolved(context, settings, given, make=True, dry_run=dry_run, fill=False, as_json=as_json)
            )
        if dry_run:
            desk.go(context, partial(due, file=given[0]), as_json=as_json)
        outcomes: list[Ran] = []
        for path in given:
            speak(f"Loading config: {path.resolve()}")

        async def runs(payflow: Payflow, stop: asyncio.Event) -> None:
            pools = pools_of(payflow)
            for pool in pools.pools.values():
                speak(f"Running with {pool.config.threads} threads")
            outcomes.extend(await serve(pools, speak, stop, once=once, drain=drain))
            stop.set()

        parts = context.obj or installation.assemble
        _work(partial(service.work, settings, parts, _silent, given, runs), patient=not (once or drain))
        if as_json:
            print_json([ran_json(one) for one in outcomes])
        unpaid = any(one.refused or (one.fault and not one.paid) for one in outcomes)
        raise typer.Exit(Code.REFUSED if unpaid else Code.OK)


def _silent(_says: str, _address: str) -> None:
    """Announce nothing: the pool's own lines are what its operator reads."""


def _work(work: Callable[[], Coroutine[Any, Any, None]], *, patient: bool) -> None:
    """Let workers and runs work; a service waits for a node or a signer that does not answer yet."""
    while True:
        try:
            service.run(work())
        except Retryable as error:
            if not patient:
                raise
            speak(f"Unable to start payouts, trying again in {OPEN_AGAIN_S} seconds: {error}")
            time.sleep(OPEN_AGAIN_S)  # nothing is open: any signal may end the process here
        else:
            return


def ran_json(one: Ran) -> dict[str, object]:
    """Write a run for machines."""
    return {
        "paid": one.paid,
        "due": one.must_pay,
        "total_shannon": str(one.total),
        "refused": one.refused,
        "waits": one.waits,
        "short": one.short,
        "records": list(one.records),
    }


def resolve(context: typer.Context, file: Path | None, *, dry_run: bool, fill: bool, as_json: bool) -> None:
    """Resolve what is pending."""
    with leaving():
        settings = load()
        given = [file or settings.pool_config]
        raise typer.Exit(_resolved(context, settings, given, make=False, dry_run=dry_run, fill=fill, as_json=as_json))


def _resolved(
    context: typer.Context,
    settings: Settings,
    files: list[Path],
    *,
    make: bool,
    dry_run: bool,
    fill: bool,
    as_json: bool,
) -> Code:
    """Resolve every pool; only filling nonces sends anything, so that only then workers run beside it."""
    codes: list[Code] = []

    typing = desk.Desk(settings, context.obj or installation.assemble, as_json)

    async def resolving(payflow: Payflow, stop: asyncio.Event) -> None:
        pools = pools_of(payflow)
        who = "" if dry_run else await named(typing, pools.own.store)
        for pool in pools.pools.values():
            at = PoolDesk(pools, pool, Metrics(), who)
            async with pools.own.store.audit.doing(who, "resolve pool", pool.coin) if not dry_run else nullcontext():
                codes.append(await _resolve_one(at, pool, speak, stop, dry_run=dry_run, fill=fill, as_json=as_json))
        stop.set()

    parts = context.obj or installation.assemble

    async def alone() -> None:
        logs.configure("error", "text")
        async with installation.opened(settings, parts, pool_files=files, make=make) as payflow:
            installation.refuse_unfit(payflow.store)
            await resolving(payflow, asyncio.Event())

    sends = fill and not dry_run
    service.run(service.work(settings, parts, _silent, files, resolving) if sends else alone())
    return max(codes, default=Code.OK)


async def _resolve_one(
    desk: PoolDesk, pool: Pool, say: Say, stop: asyncio.Event, *, dry_run: bool, fill: bool, as_json: bool
) -> Code:
    found = await desk.pending()
    if fill and not dry_run and any(one.verdict.fill for one in found):
        found = await _filled(desk, found, say, stop)
    if as_json:
        print_json({"coin": pool.coin, "dry_run": dry_run, "pending": [judged_json(one) for one in found]})
    left = [one for one in found if one.verdict.outcome is ChainOutcome.UNKNOWN]
    _say_what(found, left, say)
    if dry_run:
        say("This was a dry run: nothing was changed")
        return Code.REFUSED if left else Code.OK
    for one in found:
        await _apply(desk, one, say)
    if pool.config.bgsave:
        await save(pool, say)
    if left:
        say(f"{len(left)} payments are left as they are, and payouts stay locked until they are resolved")
        return Code.REFUSED
    await _unlock(desk, pool)
    say("Payouts unlocked")
    say("Now you have to restart payouts module with RESOLVE_PAYOUT=0 for normal run")
    return Code.OK


def _say_what(found: list[Judged], left: list[Judged], say: Say) -> None:
    if not found:
        say("No pending payments to resolve")
    paid = [one for one in found if one.verdict.outcome is ChainOutcome.PAID]
    unpaid = [one for one in found if one.verdict.outcome is ChainOutcome.UNPAID]
    for title, some in (
        ("Already paid, will book them with their transactions:", paid),
        ("Will credit back following balances:", unpaid),
        ("Not proven either way, will leave them:", left),
    ):
        if some:
            say("\n".join((title, *(_listed(one) for one in some))))


def _listed(one: Judged) -> str:
    return f"{shown(one.row.login, one.row.shannon, one.row.at_s)} ({one.verdict.why})"


async def _apply(desk: PoolDesk, one: Judged, say: Say) -> None:
    try:
        done = await desk.book(one)
    except BadInput as error:
        say(f"Failed to credit {one.row.shannon} Shannon back to {one.row.login}, error is: {error}")
        raise
    if not done:
        return
    tx = one.verdict.evidence.reference if one.verdict.evidence else ""
    if one.verdict.outcome is ChainOutcome.PAID:
        say(f"Paid {one.row.shannon} Shannon to {one.row.login}, TxHash: {tx}")
    else:
        say(f"Credited {one.row.shannon} Shannon back to {one.row.login}")


async def _unlock(desk: PoolDesk, pool: Pool) -> None:
    """Take away a lock that nothing pending holds: its payer died before it took anything."""
    if await pool.books.lock() and not await pool.books.pending():
        await desk.unlock(dry_run=False)


async def _filled(desk: PoolDesk, found: list[Judged], say: Say, stop: asyncio.Event) -> list[Judged]:
    """Use up the nonces, wait until that is deep in the chain, and judge again."""
    payments = await desk.fill(found)
    say(f"{len(payments)} transactions that pay nobody use up the nonces which old transactions might still come with")
    begun = time.monotonic()
    while not stop.is_set() and not await desk.filled(payments):
        with anyio.move_on_after(LOOK_AT_FILL_S):
            await stop.wait()
    say(f"They are in the chain, after {time.monotonic() - begun:.0f} seconds")
    return await desk.pending()
