"""Mining pools: paying their miners, and putting right what was left in the middle; --dry-run writes nothing."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from machines.core.chain import tx_hash
from machines.core.errors import Retryable
from machines.pool.evidence import ChainOutcome
from payflow.app import service
from payflow.app.installation import Payflow, refuse_unfit
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.terminal import (
    Code,
    Column,
    Commands,
    Format,
    Reason,
    Terminal,
    Usage,
    Yes,
    as_it_is,
    because,
    drawn,
    json_of,
    print_json,
)
from payflow.desk.pool import audit as auditing
from payflow.desk.pool import not_a_payment
from payflow.desk.pool.due import dues
from payflow.desk.pool.evidence import Judged
from payflow.desk.pool.lines import shown, spoken
from payflow.desk.pool.pool import Pools
from payflow.desk.pool.repairs import PoolDesk
from payflow.desk.pool.resolving import resolve_all
from payflow.desk.pool.runs import RunOutcome, serve

TRUE = ("1", "t", "T", "TRUE", "true", "True")
"""What Go's strconv.ParseBool takes for yes; all else is no here, as in the pool's own module."""
OPEN_AGAIN_S = 5

Config = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The pool's own configuration; payouts.json.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Look at the evidence and say what would be done; change nothing.")
]
Login = Annotated[str, typer.Argument(help="The miner's address, in small letters.")]
Amount = Annotated[
    int, typer.Argument(min=1, metavar="SHANNON", help="The amount in Shannon, as the pool's books have it.")
]
Tx = Annotated[str, typer.Argument(metavar="TX", help="The hash of the transaction.")]

command = Commands()

FOUND = {
    ChainOutcome.PAID: "paid: book it",
    ChainOutcome.UNPAID: "unpaid: credit it back",
    ChainOutcome.UNKNOWN: "not proven: leave it",
}
AS_TEXT = Format(str, str)


def _added(drift: auditing.Drift) -> str:
    return f"{drift.added:+d}" if drift.repairable else "none"


RAN = (
    Column("paid", None),
    Column("due", None, "must_pay"),
    Column("total_shannon", None, "total", AS_TEXT),
    Column("refused", None),
    Column("waits", None),
    Column("short", None),
    Column("records", None, form=Format(list, str)),
)
PAYEE = (Column("login", "login"), Column("shannon", "Shannon>", form=AS_TEXT))
JUDGED = (
    Column("", "row", lambda one: shown(one.row)),
    Column("", "of", lambda one: one.record_id or "another payer"),
    Column("login", None, "row.login"),
    Column("shannon", None, "row.shannon", AS_TEXT),
    Column("at_s", None, "row.at_s"),
    Column("record", None, "record_id"),
    Column("found", "found", "verdict.outcome", Format(as_it_is, FOUND.__getitem__)),
    Column("why", "because", "verdict.why"),
    Column("tx", None, lambda one: one.tx or None),
)
DRIFT = (
    Column("key", "key"),
    Column("field", "field"),
    Column("has", "has>", form=Format(as_it_is, lambda has: has or "nothing")),
    Column("should", "should have>", form=AS_TEXT),
    Column("", "repair", _added),
    Column("why", "because"),
)


@asynccontextmanager
async def _opened(
    terminal: Terminal, config: Path | None, *, acts: bool = False
) -> AsyncIterator[tuple[Payflow, PoolDesk]]:
    """Open one pool for one command; nobody acts where nothing is done."""
    async with terminal.open([config or terminal.settings.pool_config]) as payflow:
        refuse_unfit(payflow.store)
        pools = _pools(payflow)
        (pool,) = pools.pools.values()
        who = (await terminal.person(payflow)).name if acts else ""
        yield payflow, PoolDesk(pools, pool, who)


def _pools(payflow: Payflow) -> Pools:
    if payflow.parts.pools is None:
        raise Usage("No pool is set up here: name the file of one.")
    return payflow.parts.pools


# ── run and resolve: with workers, in the words of the pool's own module ─────────────────────────────────────────────


def speak(text: str) -> None:
    """Print a line as the pool's own modules print theirs: to stderr, with the local time."""
    typer.echo(spoken(text, datetime.now().astimezone()), err=True)


def must_resolve() -> bool:
    """Say whether the operator asks for the maintenance mode in the old way."""
    return os.environ.get("RESOLVE_PAYOUT", "") in TRUE


@command("payflow pool run payouts.json --once --dry-run")
def run(
    terminal: Terminal,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PAYOUTS.JSON", help="The pool's own configuration; one file for each coin."),
    ] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Run over all miners once, and leave.")] = False,
    drain: Annotated[bool, typer.Option("--drain", help="Finish what is pending, begin nothing, and leave.")] = False,
    dry_run: DryRun = False,
) -> Code | None:
    """Pay all miners who have reached their threshold, now and after each interval, as the pool's own module did.

    With RESOLVE_PAYOUT=1 it resolves what is pending instead, on evidence, and leaves.
    """
    given = files or [terminal.settings.pool_config]
    if must_resolve():
        speak("Running with env RESOLVE_PAYOUT=1, now trying to resolve locked payouts")
        return _resolved(terminal, given, "RESOLVE_PAYOUT is set", make=True, dry_run=dry_run, fill=False)
    if dry_run:
        return terminal.run(due(terminal, config=given[0]))
    outcomes: list[RunOutcome] = []
    for path in given:
        speak(f"Loading config: {path.resolve()}")

    async def runs(payflow: Payflow, stop: asyncio.Event) -> None:
        pools = _pools(payflow)
        for pool in pools.pools.values():
            speak(f"Running with {pool.config.threads} threads")
        outcomes.extend(await serve(pools, speak, stop, once=once, drain=drain))
        stop.set()

    _work(lambda: service.work(terminal.settings, terminal.assemble, _silent, given, runs), patient=not (once or drain))
    if terminal.as_json:
        print_json([json_of(RAN, one) for one in outcomes])
    unpaid = any(one.refused or (one.fault and not one.paid) for one in outcomes)
    return Code.REFUSED if unpaid else Code.OK


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


@command('payflow pool resolve --config payouts.json --reason "the old module died"')
def resolve(
    terminal: Terminal,
    *,
    config: Config = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    fill: Annotated[
        bool, typer.Option("--fill", help="Use up the nonces of old transactions that may still come, then resolve.")
    ] = False,
) -> Code:
    """Resolve what is pending, on evidence: paid is booked, proven unpaid is credited back, the rest is left."""
    why = reason if dry_run else because(reason)
    return _resolved(terminal, [config or terminal.settings.pool_config], why, make=False, dry_run=dry_run, fill=fill)


def _resolved(terminal: Terminal, files: list[Path], reason: str, *, make: bool, dry_run: bool, fill: bool) -> Code:
    """Resolve every pool; only filling nonces sends anything, so that only then workers run beside it."""
    done: list[tuple[str, list[Judged], bool]] = []
    sends = fill and not dry_run

    async def resolving_all(payflow: Payflow, stop: asyncio.Event) -> None:
        who = "" if dry_run else (await terminal.person(payflow)).name
        done.extend(await resolve_all(_pools(payflow), who, reason, speak, stop, fill=fill, dry_run=dry_run))
        stop.set()

    async def alone() -> None:
        async with terminal.open(files, make=make) as payflow:
            refuse_unfit(payflow.store)
            await resolving_all(payflow, asyncio.Event())

    if sends:
        service.run(service.work(terminal.settings, terminal.assemble, _silent, files, resolving_all))
    else:
        terminal.run(alone())
    for coin, found, _ in done if terminal.as_json else ():
        print_json({"coin": coin, "dry_run": dry_run, "pending": [json_of(JUDGED, one) for one in found]})
    return Code.OK if all(resolved for *_, resolved in done) else Code.REFUSED


# ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@command("payflow pool due --config payouts.json")
async def due(terminal: Terminal, *, config: Config = None) -> None:
    """Show who would be paid now, how much it would cost, and what batches would save."""
    async with _opened(terminal, config) as (_, desk):
        found = await dues(desk.pool)
    cost = found.cost
    terminal.tell(
        {
            "payees": [json_of(PAYEE, payee) for payee in found.payees],
            "total_shannon": str(found.total),
            "fee_wei": str(cost.fee_wei),
            "gas_saved_by_batching": cost.gas_saved,
            "fee_saved_by_batching_wei": str(cost.saved_wei),
            "skipped": found.skipped,
        },
        drawn(PAYEE, found.payees),
        "",
        *found.says(batches=desk.pool.lane.pay_many is not None),
    )


@command("payflow pool pending --config payouts.json")
async def pending(terminal: Terminal, *, config: Config = None) -> None:
    """List what is pending, whose it is, and what the chain proves about it."""
    async with _opened(terminal, config) as (_, desk):
        found, lock = await desk.pending(), await desk.pool.books.lock()
    _show(terminal, found, f"Payouts are locked by {lock}." if lock else "Payouts are not locked.")


def _show(terminal: Terminal, found: list[Judged], said: str) -> None:
    """Show pending rows with what is proven."""
    terminal.tell({"pending": [json_of(JUDGED, one) for one in found], "says": [said]}, drawn(JUDGED, found), said)


# ── repair ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@command("payflow pool adopt --config payouts.json --dry-run")
async def adopt(terminal: Terminal, *, config: Config = None, dry_run: DryRun = False) -> Code:
    """Take over what the old module left in the middle: paid is booked, proven unpaid is paid by the next run."""
    async with _opened(terminal, config, acts=not dry_run) as (_, desk):
        found, taken = await desk.adopt_all(dry_run=dry_run)
    left = sum(judged.verdict.outcome is ChainOutcome.UNKNOWN for judged in found)
    _show(terminal, found, f"{len(found)} rows of another payer; {taken} were taken over, {left} cannot be told yet.")
    return Code.REFUSED if left else Code.OK


@command("payflow pool mark-paid 0xb85150eb365e7df0941f0cf08235f987ba91506a 52500000 0xabc… --dry-run")
async def mark_paid(
    terminal: Terminal, login: Login, amount: Amount, tx: Tx, *, config: Config = None, dry_run: DryRun = False
) -> None:
    """Book a pending payment as paid, once the chain proves sender, recipient, value and success."""
    await _repaired(
        terminal, config, lambda desk: desk.mark_paid(login, amount, tx_hash(tx), dry_run=dry_run), dry_run=dry_run
    )


@command("payflow pool credit 0xb85150eb365e7df0941f0cf08235f987ba91506a 52500000 --config payouts.json")
async def credit(
    terminal: Terminal, login: Login, amount: Amount, *, config: Config = None, dry_run: DryRun = False
) -> None:
    """Give a pending payment back to the miner's balance, once it is proven unpaid."""
    await _repaired(terminal, config, lambda desk: desk.credit(login, amount, dry_run=dry_run), dry_run=dry_run)


@command("payflow pool unlock --config payouts.json --dry-run")
async def unlock(terminal: Terminal, *, config: Config = None, dry_run: DryRun = False) -> None:
    """Take the payouts' lock away, where nothing is pending."""
    await _repaired(terminal, config, lambda desk: desk.unlock(dry_run=dry_run), dry_run=dry_run)


@command("payflow pool add-missing 0xb85150eb365e7df0941f0cf08235f987ba91506a 52500000 0xabc… --dry-run")
async def add_missing(
    terminal: Terminal, login: Login, amount: Amount, tx: Tx, *, config: Config = None, dry_run: DryRun = False
) -> None:
    """Add the history of a payment that the chain proves and the pool did not log."""
    await _repaired(
        terminal, config, lambda desk: desk.add_missing(login, amount, tx_hash(tx), dry_run=dry_run), dry_run=dry_run
    )


@command("payflow pool repeat 0xb85150eb365e7df0941f0cf08235f987ba91506a 52500000 0xabc… --dry-run")
async def repeat(
    terminal: Terminal,
    login: Login,
    amount: Annotated[
        int | None, typer.Argument(min=1, metavar="[SHANNON]", help="Of a booked payment that never came.")
    ] = None,
    tx: Annotated[str | None, typer.Argument(metavar="[TX]", help="The hash that it is booked with.")] = None,
    *,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Pay once more what never confirmed, only on proof that the old transaction is dead."""
    if (amount is None) != (tx is None):
        raise Usage("Name both the amount and the transaction that it is booked with, or neither.")
    booked = (amount, tx_hash(tx)) if amount is not None and tx is not None else None
    await _repaired(terminal, config, lambda desk: desk.repeat(login, booked, dry_run=dry_run), dry_run=dry_run)


async def _repaired(
    terminal: Terminal, config: Path | None, repair: Callable[[PoolDesk], Awaitable[str]], *, dry_run: bool
) -> None:
    """Let the desk repair one thing, or say what it would do, and print that."""
    async with _opened(terminal, config, acts=not dry_run) as (_, desk):
        said = await repair(desk)
    terminal.tell({"says": said, "dry_run": dry_run}, f"Would be done: {said}" if dry_run else said)


@command("payflow pool rebook --config payouts.json --dry-run")
async def rebook(
    terminal: Terminal,
    *,
    other: Annotated[
        list[str] | None,
        typer.Option("--other", metavar="TX", help="It was no miner's payment: proposed, another operator confirms."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why --other was no payment; the second person reads it.")] = "",
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """After a restored backup: book again what the pool's Redis, or Payflow too, has forgotten, after showing it."""
    hashes = [tx_hash(one) for one in other or ()]
    async with _opened(terminal, config, acts=not dry_run) as (payflow, desk):
        found, strays = await desk.forgotten()
        disowned = not_a_payment.chosen(strays, hashes)
        said = [
            *found.says(),
            *(stray.says for stray in strays if stray not in disowned),
            *(f"{stray.seen.hash} to {stray.login} is proposed as no payment" for stray in disowned),
        ]
        if not said:
            all_there = "The books have every payment of Payflow's, and all that the address has sent."
            terminal.tell({"lines": []}, all_there)
            return
        if not dry_run:
            if not yes:
                terminal.confirm(said)
            said = []
            if disowned:
                # Before anything is booked: whoever may not propose it has nothing else done either.
                two, who = steering_of(payflow).two, await terminal.person(payflow)
                for stray in disowned:
                    proposal = await not_a_payment.propose(two, desk.pool.coin, stray, reason, who)
                    said += [*two.says(proposal), *who_confirms(proposal)]
            said += await desk.rebook(found, [stray for stray in strays if stray not in disowned])
    terminal.tell({"lines": said, "dry_run": dry_run}, *said)


@command("payflow pool audit --config payouts.json")
async def audit(
    terminal: Terminal,
    *,
    config: Config = None,
    repair: Annotated[bool, typer.Option("--repair", help="Put right what the rows prove, after showing it.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Code:
    """Compare every miner's sums, and the pool's, with the rows; show what drifted, and put it right if asked."""
    repairs = repair and not dry_run
    async with _opened(terminal, config, acts=repairs) as (_, desk):
        found = await auditing.audit(desk.pool.books)
        said = f"{len(found)} sums drifted." if found else "Every sum agrees with its rows."
        if found and repairs:
            if not yes:
                terminal.confirm(f"{one.key} {one.field} {_added(one)}" for one in found if one.repairable)
            await desk.repair_sums(found)
            said = f"{said} What could be proven was put right."
    terminal.tell({"drift": [json_of(DRIFT, drift) for drift in found], "repaired": repairs}, drawn(DRIFT, found), said)
    return Code.OK if all(drift.repairable and repairs for drift in found) else Code.REFUSED
