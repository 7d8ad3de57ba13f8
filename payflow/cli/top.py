"""The installation at a glance, live: records by state, how fast they move, what is late, paused or closed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from machines.core.clock import SECOND, Millis
from machines.core.lifecycle import State
from payflow.app.installation import Payflow
from payflow.cli.desk import Code, Desk
from payflow.cli.words import clean, console, rows, table
from payflow.shown import iso, span, utc
from payflow.store import servers
from payflow.store.ledger import LedgerCheck
from payflow.store.listing import StateCount
from payflow.store.pauses import Pause

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class View:
    """What one look saw."""

    at: Millis
    crowds: Sequence[StateCount]
    states: Mapping[Place, State]
    pauses: Sequence[Pause]
    parked: int
    waiting: int
    connections: int
    verdict: LedgerCheck | None
    faults: Sequence[str]


async def top(desk: Desk, *, every_s: float, once: bool) -> Code:
    """Look again and again until interrupted."""
    async with desk.open() as payflow:
        view = await look(payflow)
        if once or desk.as_json or not console().is_terminal:
            desk.tell(_json(view, None), _drawn(view, None))
            while not once:
                await asyncio.sleep(every_s)
                before, view = view, await look(payflow)
                desk.tell(_json(view, before), _drawn(view, before))
            return Code.OK
        with Live(_drawn(view, None), console=console(), screen=True, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(every_s)
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
        [crowd for crowd in await store.listing.counts_by_state() if crowd.count],
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
        rows(
            table("machine", "state", "records>", "change>", "oldest>", "due>", "late>", ""),
            (_line(view, crowd, before) for crowd in view.crowds),
        )
        if view.crowds
        else Text("There are no records."),
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
    drawn = Table.grid(padding=(0, 2))
    parked = Text(f"{view.parked:,} set aside", "bold red" if view.parked else "dim")
    drawn.add_row(
        Text(f"{utc(view.at)} UTC", "bold"),
        _books(view),
        parked,
        Text(f"{view.waiting:,} messages wait", "dim"),
        Text(f"{view.connections} connections", "dim"),
    )
    return drawn


def _books(view: View) -> Text:
    if view.verdict is None:
        return Text("books not checked yet", "yellow")
    ago = span(view.at - view.verdict.at)
    return Text(f"books true {ago} ago", "green") if view.verdict.conserved else Text("BOOKS NOT TRUE", "bold red")


def _line(view: View, crowd: StateCount, before: View | None) -> tuple[str | Text, ...]:
    oldest_s = 0 if crowd.oldest is None else (view.at - crowd.oldest) / SECOND
    state = view.states[crowd.machine, crowd.state]
    stuck = state.stuck_after_s is not None and oldest_s > state.stuck_after_s
    return (
        crowd.machine,
        Text(crowd.state, "bold" if not state.final else "dim"),
        f"{crowd.count:,}",
        _change(crowd, before),
        "" if crowd.oldest is None else span(int(oldest_s * SECOND)),
        f"{crowd.due:,}" if crowd.due else "",
        "" if crowd.late_since is None else span(max(0, view.at - crowd.late_since)),
        Text("stuck" if stuck else "", "red"),
    )


def _change(crowd: StateCount, before: View | None) -> str:
    """Say by how many its records became more or fewer since the last look."""
    if before is None:
        return ""
    was = next((one.count for one in before.crowds if _place(one) == _place(crowd)), 0)
    return f"{crowd.count - was:+,}" if crowd.count != was else ""


def _place(crowd: StateCount) -> Place:
    return crowd.machine, crowd.state


def _json(view: View, before: View | None) -> dict[str, Any]:
    return {
        "at": iso(view.at),
        "states": [
            {
                "machine": crowd.machine,
                "state": crowd.state,
                "count": crowd.count,
                "change": int(_change(crowd, before).replace(",", "") or 0),
                "due": crowd.due,
                "oldest_s": None if crowd.oldest is None else (view.at - crowd.oldest) / SECOND,
            }
            for crowd in view.crowds
        ],
        "paused": [one.scope for one in view.pauses],
        "parked": view.parked,
        "messages": view.waiting,
        "connections": view.connections,
        "books_true": None if view.verdict is None else view.verdict.conserved,
        "closed": list(view.faults),
    }
