"""Batches: opened by hand, listed, shown."""

from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text

from machines.core.errors import NotFound
from machines.core.money import Assets
from machines.core.record import Record
from machines.payout.lifecycle import LIFECYCLE
from payflow.app.installation import Payflow
from payflow.cli.payouts import desk_of
from payflow.cli.records import RECORD
from payflow.cli.terminal import COUNT, TIME, Code, Column, Commands, Terminal, Yes, ago, bar, clean, drawn, json_of
from payflow.desk.batches import approved, open_batch, sum_of
from payflow.shown import exact, utc
from payflow.store.registers.batches import Batch, Batches, Summary

command = Commands()

# ── run ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@command("payflow batch run --limit 100")
async def run(
    terminal: Terminal,
    payflow: Payflow,
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many payouts at most, the oldest first.")
    ] = 10_000,
    yes: Yes = False,
) -> Code:
    """Open a batch now: every approved payout is handed to its rail, whatever the schedule says."""
    who, store = await terminal.acting(payflow), desk_of(payflow).store
    waiting = await approved(store, limit)
    if not waiting:
        terminal.tell({"batch": None, "boarded": 0, "refused": []}, "No payout waits for a batch.")
        return Code.OK
    if not yes:
        terminal.confirm([f"{len(waiting)} payouts go out now: {sum_of(waiting)}."])
    with bar("Boarding", len(waiting), quiet=terminal.as_json) as count:
        done = await open_batch(store, payflow.metrics, waiting, who.name, lambda: count(1))
    terminal.tell(
        {
            "batch": done.batch if done.boarded else None,
            "boarded": done.boarded,
            "refused": [{"id": name, "why": why} for name, why in done.refused.items()],
        },
        *(Text(clean(f"{name}: {why}"), "yellow") for name, why in done.refused.items()),
        f"{done.boarded} payouts boarded {done.batch}.",
    )
    return Code.REFUSED if done.refused else Code.OK


# ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class BatchSummary(NamedTuple):
    """A batch with what became of it."""

    batch: Batch
    summary: Summary

    @property
    def states(self) -> list[tuple[str, int]]:
        """The counts in the order of a payout's life."""
        counts = self.summary.counts
        return [(state, counts[state]) for state in LIFECYCLE.states if counts[state]]

    @property
    def in_short(self) -> str:
        """Where they are, on one line."""
        parts = [f"{count:,} {state}" for state, count in self.states]
        again = self.summary.boarded_again
        return ", ".join(parts + ([f"{again:,} in a later batch"] if again else []))


def _columns(assets: Assets) -> tuple[Column, ...]:
    def states(view: BatchSummary) -> dict[str, object]:
        return {
            state: {
                "count": count,
                "amounts": {code: exact(units, code, assets) for code, units in view.summary.sums[state].items()},
            }
            for state, count in view.states
        }

    return (
        Column("batch", "batch", "batch.id"),
        Column("opened_at", "opened (UTC)", "batch.opened_at", TIME),
        Column("payouts", None, "batch.size"),
        Column("boarded_again", None, "summary.boarded_again"),
        Column("states", None, states),
    )


@command("payflow batch ls")
async def ls(
    terminal: Terminal,
    payflow: Payflow,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many batches.")] = 20,
) -> None:
    """List batches, the newest first, each with what became of it."""
    batches, now = _batches(payflow), await payflow.store.records.now()
    columns = (
        *_columns(payflow.store.records.assets),
        Column("", "ago>", "batch.opened_at", ago(now)),
        Column("", "payouts>", "batch.size", COUNT),
        Column("", "where they are", "in_short"),
    )
    found = [BatchSummary(batch, await batches.summary(batch.id)) for batch in await batches.latest(limit)]
    terminal.tell_list(columns, found, "No batch has opened yet.")


@command("payflow batch show 20270115-080000-batch")
async def show(
    terminal: Terminal,
    payflow: Payflow,
    name: Annotated[str, typer.Argument(metavar="BATCH", help="A batch, such as 20270115-080000-batch.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of its payouts to list.")] = 50,
) -> None:
    """Show one batch: how many payouts and how much money are where, and which they are."""
    batches, assets = _batches(payflow), payflow.store.records.assets
    batch = await batches.find(name)
    if batch is None:
        raise NotFound(f"There is no batch {name}: `payflow batch ls` lists them.")
    view = BatchSummary(batch, await batches.summary(name))
    members: list[Record[Any]] = []
    async for record in batches.records(name):
        if len(members) == limit:
            break
        members.append(record)

    def money(state: str) -> str:
        return ", ".join(f"{code} {exact(units, code, assets)}" for code, units in view.summary.sums[state].items())

    by_state = (
        Column("", "state", lambda one: one[0]),
        Column("", "payouts>", lambda one: one[1], COUNT),
        Column("", "money>", lambda one: money(one[0])),
    )
    terminal.tell(
        json_of(_columns(assets), view) | {"payouts": [json_of(RECORD, one) for one in members]},
        f"{batch.id}, opened at {utc(batch.opened_at)} UTC, {batch.size:,} payouts",
        "",
        drawn(by_state, view.states),
        "",
        drawn((*RECORD, Column("", "why", "data.reason")), members),
        *([Text(f"These are the first {limit} of them; --limit shows more.", "dim")] if batch.size > limit else []),
    )


def _batches(payflow: Payflow) -> Batches:
    return Batches(payflow.store.link, payflow.store.records)
