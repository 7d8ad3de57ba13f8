"""Batches: opened by hand, listed, shown."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from machines.core.errors import NotFound, PayflowError, StoreUnavailable
from machines.core.money import Assets
from machines.core.record import Record
from machines.payout.acts import batch_name
from machines.payout.data import PayoutRecord
from machines.payout.facts import Boarded
from machines.payout.lifecycle import APPROVED, LIFECYCLE, PROCESSING
from payflow.app.installation import Payflow, refuse_unfit
from payflow.cli.desk import Code, Desk, confirm, named
from payflow.cli.records import record_json
from payflow.cli.words import clean, console, rows, table
from payflow.desk.payouts import MACHINE
from payflow.engine.step import take_in
from payflow.shown import amount, exact, iso, span, utc
from payflow.store.registers.batches import Batch, Batches, Summary

AT_A_TIME = 64

Json = dict[str, Any]

# ── run ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def run(desk: Desk, *, limit: int, yes: bool) -> Code:
    """Let all approved payouts board a batch that opens now."""
    async with desk.open() as payflow:
        who = await named(desk, payflow.store)
        refuse_unfit(payflow.store)
        waiting = [one.record for one in await payflow.store.listing.in_state(MACHINE, APPROVED, limit)]
        name = batch_name("manual", await payflow.store.records.now())
        if waiting and not yes:
            confirm(desk, [f"{len(waiting)} payouts go out now: {_sum_of(waiting)}."])
        refused: list[Json] = []
        if waiting:
            async with payflow.store.audit.doing(
                who, "open batch", name, f"{len(waiting)} payouts: {_sum_of(waiting)}"
            ):
                refused = await _board(payflow, waiting, name, who, bar=not desk.as_json)
        boarded = len(waiting) - len(refused)
        desk.tell(
            {"batch": name if boarded else None, "boarded": boarded, "refused": refused},
            *(Text(clean(f"{one['id']}: {one['why']}"), "yellow") for one in refused),
            Text(f"{boarded} payouts boarded {name}." if waiting else "No payout waits for a batch."),
        )
    return Code.REFUSED if refused else Code.OK


async def _board(payflow: Payflow, waiting: Sequence[PayoutRecord], name: str, who: str, *, bar: bool) -> list[Json]:
    """Board them, so many at a time; one that cannot board does not hold up the others."""
    refused: list[Json] = []
    turn = asyncio.Semaphore(AT_A_TIME)
    with _progress(len(waiting), shown=bar) as step:

        async def board(record: PayoutRecord) -> None:
            async with turn:
                try:
                    applied = await take_in(payflow.store.records, payflow.metrics, record.id, Boarded(name), who)
                except StoreUnavailable:
                    raise
                except PayflowError as error:
                    refused.append({"id": record.id, "why": str(error)})
                else:
                    if applied.after.state != PROCESSING:
                        refused.append({"id": record.id, "why": f"it is {applied.after.state} by now"})
                step()

        async with asyncio.TaskGroup() as group:
            for record in waiting:
                group.create_task(board(record))
    return sorted(refused, key=lambda one: str(one["id"]))


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Any]:
    columns = TextColumn("boarding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(), disable=not shown or not total, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _sum_of(records: Sequence[PayoutRecord]) -> str:
    sums: dict[str, Any] = {}
    for record in records:
        if record.amount:
            code = record.amount.asset.code
            sums[code] = sums[code] + record.amount if code in sums else record.amount
    return ", ".join(str(one) for one in sums.values()) or "nothing"


# ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def ls(desk: Desk, *, limit: int) -> Code:
    """List batches with what became of them."""
    async with desk.open() as payflow:
        batches, now = _batches(payflow), await payflow.store.records.now()
        found = [(batch, await batches.summary(batch.id)) for batch in await batches.latest(limit)]
        assets = payflow.store.records.assets
        drawn = rows(
            table("batch", "opened (UTC)", "ago>", "payouts>", "where they are"),
            (
                (batch.id, utc(batch.opened_at), span(now - batch.opened_at), f"{batch.size:,}", _in_short(summary))
                for batch, summary in found
            ),
        )
        told = [_json(batch, summary, assets) for batch, summary in found]
        desk.tell(told, drawn if found else Text("No batch has opened yet."))
    return Code.OK


async def show(desk: Desk, *, name: str, limit: int) -> Code:
    """Show one batch."""
    async with desk.open() as payflow:
        batches, assets = _batches(payflow), payflow.store.records.assets
        batch = await batches.find(name)
        if batch is None:
            raise NotFound(f"There is no batch {name}: `payflow batch ls` lists them.")
        summary = await batches.summary(name)
        members = [record async for record in _first(batches, name, limit)]
        more = batch.size - len(members)
        desk.tell(
            _json(batch, summary, assets) | {"payouts": [record_json(record) for record in members]},
            Text(f"{batch.id}, opened at {utc(batch.opened_at)} UTC, {batch.size:,} payouts"),
            "",
            rows(
                table("state", "payouts>", "money>"),
                ((state, f"{count:,}", _money(summary, state, assets)) for state, count in _ordered(summary)),
            ),
            "",
            rows(
                table("id", "state", "owner", "amount>", "why"),
                ((one.id, one.state, one.owner, amount(one.amount), one.data.reason) for one in members),
            ),
            *([Text(f"These are the first {limit} of them; --limit shows more.", "dim")] if more > 0 else []),
        )
    return Code.OK


def _batches(payflow: Payflow) -> Batches:
    return Batches(payflow.store.link, payflow.store.records)


async def _first(batches: Batches, name: str, limit: int) -> AsyncIterator[Record[Any]]:
    async for record in batches.records(name):
        if limit <= 0:
            return
        limit -= 1
        yield record


def _ordered(summary: Summary) -> list[tuple[str, int]]:
    """Give the counts in the order of a payout's life."""
    return [(state, summary.counts[state]) for state in LIFECYCLE.states if summary.counts[state]]


def _in_short(summary: Summary) -> str:
    parts = [f"{count:,} {state}" for state, count in _ordered(summary)]
    again = [f"{summary.boarded_again:,} in a later batch"] if summary.boarded_again else []
    return ", ".join(parts + again)


def _money(summary: Summary, state: str, assets: Assets) -> str:
    return ", ".join(f"{code} {exact(units, code, assets)}" for code, units in summary.sums[state].items())


def _json(batch: Batch, summary: Summary, assets: Assets) -> Json:
    return {
        "batch": batch.id,
        "opened_at": iso(batch.opened_at),
        "payouts": batch.size,
        "boarded_again": summary.boarded_again,
        "states": {
            state: {
                "count": count,
                "amounts": {code: exact(units, code, assets) for code, units in summary.sums[state].items()},
            }
            for state, count in _ordered(summary)
        },
    }
