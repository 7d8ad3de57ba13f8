"""The installation at a glance, live: records by state, how fast they move, what is late, paused or closed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from machines.core.clock import SECOND, Millis
from machines.core.lifecycle import State
from payflow.app.installation import Payflow
from payflow.cli.terminal import (
    COUNT,
    Column,
    Commands,
    Format,
    Terminal,
    ago,
    as_it_is,
    clean,
    console,
    drawn,
    grid,
    json_of,
)
from payflow.desk.values import LedgerCheck, Pause
from payflow.shown import iso, span, utc
from payflow.store import servers
from payflow.store.listing import StateCount

command = Commands()


@dataclass(frozen=True, slots=True)
class View:
    """What one look saw."""

    at: Millis
    counts: Sequence[StateCount]
    states: Mapping[tuple[str, str], State]
    pauses: Sequence[Pause]
    parked: int
    waiting: int
    connections: int
    verdict: LedgerCheck | None
    faults: Sequence[str]


@command("payflow top --every 5")
async def top(
    terminal: Terminal,
    payflow: Payflow,
    *,
    every: Annotated[float, typer.Option(min=0.2, metavar="SECONDS", help="How often to look.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
) -> None:
    view = await look(payflow)
    if once or terminal.as_json or not console().is_terminal:
        terminal.tell(_json(view, None), _drawn(view, None))
        while not once:
            await asyncio.sleep(every)
            before, view = view, await look(payflow)
            terminal.tell(_json(view, before), _drawn(view, before))
        return
    with Live(_drawn(view, None), console=console(), screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(every)
            before, view = view, await look(payflow)
            live.update(_drawn(view, before), refresh=True)


async def look(payflow: Payflow) -> View:
    """See how everything is."""
    store = payflow.store
    await store.look_at_servers()
    states = {
        (machine.name, state.name): state
        for machine in store.records.machines.values()
        for state in machine.lifecycle.states.values()
    }
    return View(
        await store.records.now(),
        [one for one in await store.listing.counts_by_state() if one.count],
        states,
        sorted((await store.pauses.all()).values(), key=lambda pause: pause.at),
        await store.listing.count_parked(),
        await store.outbox.waiting(),
        await servers.connections(store.link),
        await store.ledger.last_check(),
        [fault.text for fault in store.faults()],
    )


def _drawn(view: View, before: View | None) -> Group:
    return Group(
        _head(view),
        "",
        drawn(_columns(view, before), view.counts) if view.counts else "There are no records.",
        *([""] if view.pauses else []),
        *(
            Text(
                f"paused  {clean(one.scope)}, for {span(view.at - one.at)}, by {clean(one.who)}: {clean(one.why)}",
                "yellow",
            )
            for one in view.pauses
        ),
        *(Text(f"closed  {fault}", "bold red") for fault in view.faults),
    )


def _head(view: View) -> Table:
    parked = Text(f"{view.parked:,} set aside", "bold red" if view.parked else "dim")
    now, waiting = Text(f"{utc(view.at)} UTC", "bold"), Text(f"{view.waiting:,} messages wait", "dim")
    return grid([(now, _books(view), parked, waiting, Text(f"{view.connections} connections", "dim"))])


def _books(view: View) -> Text:
    if view.verdict is None:
        return Text("books not checked yet", "yellow")
    ago = span(view.at - view.verdict.at)
    return Text(f"books true {ago} ago", "green") if view.verdict.conserved else Text("BOOKS NOT TRUE", "bold red")


def _columns(view: View, before: View | None) -> tuple[Column, ...]:
    def change(one: StateCount) -> int:
        """Say by how many its records became more or fewer since the last look."""
        then = before.counts if before else [one]
        was = next((other.count for other in then if (other.machine, other.state) == (one.machine, one.state)), 0)
        return one.count - was

    def state(one: StateCount) -> Text:
        return Text(one.state, "dim" if view.states[one.machine, one.state].final else "bold")

    def stuck(one: StateCount) -> Text:
        after_s = view.states[one.machine, one.state].stuck_after_s
        late = after_s is not None and one.oldest is not None and view.at - one.oldest > after_s * SECOND
        return Text("stuck" if late else "", "red")

    oldest_s = Format(lambda at: None if at is None else (view.at - at) / SECOND, ago(view.at).text)
    return (
        Column("machine", "machine"),
        Column("state", None),
        Column("", "state", state),
        Column("count", "records>", form=COUNT),
        Column("change", "change>", change, Format(as_it_is, lambda count: f"{count:+,}" if count else "")),
        Column("oldest_s", "oldest>", "oldest", oldest_s),
        Column("due", "due>", form=Format(as_it_is, lambda count: f"{count:,}" if count else "")),
        Column(
            "", "late>", "late_since", Format(as_it_is, lambda at: "" if at is None else span(max(0, view.at - at)))
        ),
        Column("", "", stuck),
    )


def _json(view: View, before: View | None) -> dict[str, Any]:
    columns = _columns(view, before)
    return {
        "at": iso(view.at),
        "states": [json_of(columns, one) for one in view.counts],
        "paused": [one.scope for one in view.pauses],
        "parked": view.parked,
        "messages": view.waiting,
        "connections": view.connections,
        "books_true": None if view.verdict is None else view.verdict.conserved,
        "closed": list(view.faults),
    }
