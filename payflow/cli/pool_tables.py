"""What the commands about a pool show and do; none writes anything with --dry-run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from machines.core.chain import TxHash
from machines.core.errors import BadInput
from machines.pool.data import WEI, row_of, shannon_of
from machines.pool.evidence import ChainOutcome
from payflow.app.installation import Payflow, opened, refuse_unfit
from payflow.cli.desk import Code, Desk, Usage, confirm, named, person
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.words import clean, rows, table
from payflow.desk.pool import audit as auditing
from payflow.desk.pool import not_a_payment
from payflow.desk.pool.due import due as who_is_due
from payflow.desk.pool.estimate import Cost, estimate
from payflow.desk.pool.outside import Stray
from payflow.desk.pool.pool import Pool, Pools
from payflow.desk.pool.repairs import Judged, PoolDesk
from payflow.desk.pool.room import PoolRooms
from payflow.desk.pool.runs import shown

FOUND = {
    ChainOutcome.PAID: "paid: book it",
    ChainOutcome.UNPAID: "unpaid: credit it back",
    ChainOutcome.UNKNOWN: "not proven: leave it",
}


class Opened(NamedTuple):
    """One pool, open for one command."""

    payflow: Payflow
    pools: Pools
    pool: Pool
    who: str
    """Who types; nobody where nothing is done."""


@asynccontextmanager
async def opened_pool(desk: Desk, file: Path | None, *, acts: bool = False) -> AsyncIterator[Opened]:
    """Open the installation with one pool."""
    files = [file or desk.settings.pool_config]
    async with opened(desk.settings, desk.assemble, pool_files=files, make=False) as payflow:
        refuse_unfit(payflow.store)
        pools = pools_of(payflow)
        (pool,) = pools.pools.values()
        yield Opened(payflow, pools, pool, await named(desk, payflow.store) if acts else "")


def pools_of(payflow: Payflow) -> Pools:
    """Give the pools that were opened with an installation."""
    if payflow.parts.pools is None:
        raise Usage("No pool is set up here: name the file of one.")
    return payflow.parts.pools


def desk_of(one: Opened) -> PoolDesk:
    """Open the desk of a pool for whoever asks."""
    return PoolDesk(one.pools, one.pool, one.payflow.metrics, one.who)


@asynccontextmanager
async def noted(one: Opened, act: str, subject: str, *, dry_run: bool) -> AsyncIterator[None]:
    """Write into the audit log what is done to a pool's books; looking leaves no trace."""
    if dry_run:
        yield
        return
    async with one.payflow.store.audit.doing(one.who, act, subject):
        yield


async def due(desk: Desk, *, file: Path | None) -> Code:
    """Show who would be paid now."""
    skipped: list[str] = []
    async with opened_pool(desk, file) as (_, _, pool, _):
        payees = await who_is_due(pool, skipped.append)
        cost = await estimate(pool, payees)
    total = sum(one.shannon for one in payees)
    lines = [(one.login, str(one.shannon)) for one in payees]
    said = [
        f"{total} Shannon to {len(payees)} payees; the network takes about {cost.fee_wei // WEI} Shannon, one by one.",
        _saved(cost, batches=pool.lane.pay_many is not None),
        *skipped,
    ]
    desk.tell(
        {
            "payees": [{"login": one.login, "shannon": str(one.shannon)} for one in payees],
            "total_shannon": str(total),
            "fee_wei": str(cost.fee_wei),
            "gas_saved_by_batching": cost.gas_saved,
            "fee_saved_by_batching_wei": str(cost.saved_wei),
            "skipped": skipped,
        },
        rows(table("login", "Shannon>"), lines),
        "",
        *(Text(clean(line)) for line in said),
    )
    return Code.OK


def _saved(cost: Cost, *, batches: bool) -> str:
    """Say what batches would save, or why they would not."""
    if not cost.gas_saved:
        return "Batches would save nothing: they are cheaper only for several addresses that exist already."
    how = "this lane sends batches" if batches else "set pay_many for the lane"
    return f"Batches save about {cost.gas_saved} gas of it, {cost.saved_wei // WEI} Shannon: {how}."


async def pending(desk: Desk, *, file: Path | None) -> Code:
    """List what is pending."""
    async with opened_pool(desk, file) as one:
        found = await desk_of(one).pending()
        lock = await one.pool.books.lock()
    show(desk, found, [f"Payouts are locked by {lock}." if lock else "Payouts are not locked."])
    return Code.OK


def show(desk: Desk, found: list[Judged], said: list[str]) -> None:
    """Show pending rows with what is proven."""
    lines = [
        (
            shown(one.row.login, one.row.shannon, one.row.at_s),
            one.record.id if one.record else "another payer",
            FOUND[one.verdict.outcome],
            one.verdict.why,
        )
        for one in found
    ]
    desk.tell(
        {"pending": [judged_json(one) for one in found], "says": said},
        rows(table("row", "of", "found", "because"), lines),
        *(Text(clean(line)) for line in said),
    )


def judged_json(one: Judged) -> dict[str, Any]:
    """Write a judged row for machines."""
    return {
        "login": one.row.login,
        "shannon": str(one.row.shannon),
        "at_s": one.row.at_s,
        "record": one.record.id if one.record else None,
        "found": one.verdict.outcome,
        "why": one.verdict.why,
        "tx": one.verdict.evidence.reference if one.verdict.evidence else None,
    }


async def adopt(desk: Desk, *, file: Path | None, dry_run: bool) -> Code:
    """Take over what another payer left."""
    async with opened_pool(desk, file, acts=not dry_run) as one:
        mine = desk_of(one)
        found = [judged for judged in await mine.pending() if judged.record is None]
        async with noted(one, "adopt pool payments", one.pool.coin, dry_run=dry_run):
            taken = [] if dry_run else [judged for judged in found if await mine.adopt(judged)]
    left = sum(judged.verdict.outcome is ChainOutcome.UNKNOWN for judged in found)
    said = [f"{len(found)} rows of another payer; {len(taken)} were taken over, {left} cannot be told yet."]
    show(desk, found, said)
    return Code.REFUSED if left else Code.OK


async def mark_paid(desk: Desk, *, login: str, shannon: int, tx: str, file: Path | None, dry_run: bool) -> Code:
    """Book a pending payment."""
    async with (
        opened_pool(desk, file, acts=not dry_run) as one,
        noted(one, "mark pool payment paid", row_of(login, shannon), dry_run=dry_run),
    ):
        said = await desk_of(one).mark_paid(login, shannon, _hash(tx), dry_run=dry_run)
    return _told(desk, said, dry_run=dry_run)


async def credit(desk: Desk, *, login: str, shannon: int, file: Path | None, dry_run: bool) -> Code:
    """Give a pending payment back."""
    async with (
        opened_pool(desk, file, acts=not dry_run) as one,
        noted(one, "credit pool payment", row_of(login, shannon), dry_run=dry_run),
    ):
        said = await desk_of(one).credit(login, shannon, dry_run=dry_run)
    return _told(desk, said, dry_run=dry_run)


async def unlock(desk: Desk, *, file: Path | None, dry_run: bool) -> Code:
    """Take the lock away."""
    async with (
        opened_pool(desk, file, acts=not dry_run) as one,
        noted(one, "unlock pool", one.pool.coin, dry_run=dry_run),
    ):
        said = await desk_of(one).unlock(dry_run=dry_run)
    return _told(desk, said, dry_run=dry_run)


async def add_missing(desk: Desk, *, login: str, shannon: int, tx: str, file: Path | None, dry_run: bool) -> Code:
    """Add what was not logged."""
    async with (
        opened_pool(desk, file, acts=not dry_run) as one,
        noted(one, "add missing pool payment", row_of(login, shannon), dry_run=dry_run),
    ):
        said = await desk_of(one).add_missing(login, shannon, _hash(tx), dry_run=dry_run)
    return _told(desk, said, dry_run=dry_run)


async def repeat(
    desk: Desk,
    *,
    login: str,
    shannon: int | None,
    tx: str | None,
    file: Path | None,
    dry_run: bool,
) -> Code:
    """Pay once more."""
    if (shannon is None) != (tx is None):
        raise Usage("Name both the amount and the transaction that it is booked with, or neither.")
    booked = (shannon, _hash(tx)) if shannon is not None and tx is not None else None
    async with (
        opened_pool(desk, file, acts=not dry_run) as one,
        noted(one, "repeat pool payment", login, dry_run=dry_run),
    ):
        said = await desk_of(one).repeat(login, booked, dry_run=dry_run)
    return _told(desk, said, dry_run=dry_run)


async def audit(desk: Desk, *, file: Path | None, repair: bool, dry_run: bool, yes: bool) -> Code:
    """Compare sums with rows."""
    async with opened_pool(desk, file, acts=repair and not dry_run) as one:
        found = await auditing.audit(one.pool.books)
        shown_lines = [
            (drift.key, drift.field, drift.has or "nothing", str(drift.should), _repaired(drift), drift.why)
            for drift in found
        ]
        drawn = rows(table("key", "field", "has>", "should have>", "repair", "because"), shown_lines)
        said = f"{len(found)} sums drifted." if found else "Every sum agrees with its rows."
        data = {
            "drift": [
                {
                    "key": drift.key,
                    "field": drift.field,
                    "has": drift.has,
                    "should": str(drift.should),
                    "why": drift.why,
                }
                for drift in found
            ],
            "repaired": repair and not dry_run,
        }
        if not (repair and not dry_run and found):
            desk.tell(data, drawn, said)
            return Code.REFUSED if found else Code.OK
        if not yes:
            confirm(desk, [f"{drift.key} {drift.field} {_repaired(drift)}" for drift in found if drift.repairable])
        async with noted(one, "repair pool sums", one.pool.coin, dry_run=False):
            await auditing.repair(one.pool.books, found)
    desk.tell(data, drawn, f"{said} What could be proven was put right.")
    return Code.OK if all(drift.repairable for drift in found) else Code.REFUSED


async def rebook(
    desk: Desk, *, other: list[str], reason: str, file: Path | None, dry_run: bool, yes: bool
) -> Code:  # fmt: skip
    """Book what was forgotten; what somebody says was no payment is put before a second person."""
    hashes = [_hash(one) for one in other]
    async with opened_pool(desk, file, acts=not dry_run) as one:
        mine = desk_of(one)
        found, strays = await mine.forgotten()
        disowned = not_a_payment.chosen(strays, hashes)
        said = [
            f"The books lack {shannon_of(record)} Shannon for {record.data.login}: {record.state}, {record.id}"
            for record in found.records
        ]
        said += [f"The books lack {lost}" for lost in found.unreadable]
        said += [stray.says for stray in strays if stray not in disowned]
        said += [f"{stray.seen.hash} to {stray.login} is proposed as no payment" for stray in disowned]
        if not said:
            desk.tell({"lines": []}, "The books have every payment of Payflow's, and all that the address has sent.")
            return Code.OK
        if dry_run:
            desk.tell({"lines": said, "dry_run": True}, *(Text(clean(line)) for line in said))
            return Code.OK
        if not yes:
            confirm(desk, said)
        done = await _proposed(desk, one, disowned, reason)
        async with noted(one, "rebook pool payments", one.pool.coin, dry_run=False):
            done += await mine.rebook(found, [stray for stray in strays if stray not in disowned])
    desk.tell({"lines": done, "dry_run": False}, *(Text(clean(line)) for line in done))
    return Code.OK


async def _proposed(desk: Desk, one: Opened, disowned: list[Stray], reason: str) -> list[str]:
    """Put what is said to be no payment before a second person, before anything is booked."""
    if not disowned:
        return []
    two, who = steering_of(one.payflow).two, await person(desk, one.payflow.store)
    two.register(not_a_payment.verb(PoolRooms(())))
    said: list[str] = []
    for stray in disowned:
        proposal = await not_a_payment.propose(two, one.pool.coin, stray, reason, who)
        said += [*two.says(proposal), *who_confirms(proposal.role, proposal.digest)]
    return said


def _repaired(drift: auditing.Drift) -> str:
    return f"{drift.added:+d}" if drift.repairable else "none"


def _told(desk: Desk, said: str, *, dry_run: bool) -> Code:
    line = f"Would be done: {said}" if dry_run else said
    desk.tell({"says": said, "dry_run": dry_run}, Text(clean(line)))
    return Code.OK


def _hash(text: str) -> TxHash:
    plain = text.strip().lower()
    digits = plain.removeprefix("0x")
    if len(digits) != 64 or not plain.startswith("0x") or set(digits) - set("0123456789abcdef"):  # noqa: PLR2004
        raise BadInput(f"{text[:80]!r} is no transaction hash: 0x and 64 hexadecimal digits.")
    return TxHash(plain)
