"""Looking at records: how many are where, the story of one, their moves as they happen, what they can be and do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import anyio
import msgspec
import typer
from rich.table import Table
from rich.text import Text

from machines.core.clock import SECOND, Millis
from machines.core.errors import NotFound
from machines.core.ids import RecordId
from machines.core.lifecycle import Lifecycle, State
from machines.core.machine import AnyMachine
from machines.core.record import Record
from payflow.app.installation import Payflow, lifecycles
from payflow.cli.terminal import (
    COUNT,
    MONEY,
    TIME,
    Code,
    Column,
    Commands,
    Format,
    RecordName,
    Terminal,
    ago,
    as_it_is,
    clean,
    drawn,
    grid,
    json_of,
    known,
    machine_of,
    owner_named,
    record_of,
)
from payflow.desk.archive import Found, find, folder_of
from payflow.desk.records import Moves, News, is_stuck, stopping, what_next
from payflow.desk.values import LedgerAccount
from payflow.shown import amount, exact, span, utc
from payflow.store.codec import HistoryEvent
from payflow.store.link import PAGE
from payflow.telemetry.logs import redacted

Place = tuple[AnyMachine, State]

LOOK_EVERY_S = 1.0

command = Commands()


def _what(event: HistoryEvent) -> str:
    if event.version == 1:
        return f"made in {event.state}"
    return f"{event.trigger} → {event.state}" if event.trigger else f"stays in {event.state}"


RECORD = (
    Column("id", "id"),
    Column("machine", None),
    Column("state", "state"),
    Column("version", None),
    Column("owner", "owner"),
    Column("amount", "amount>", form=MONEY),
    Column("created_at", None, form=TIME),
    Column("since", None, form=TIME),
    Column("tries", None),
    Column("parked", None),
)
IN_A_STATE = 3
"""Behind so many of them stands how long a record is in its state."""
EVENT = (
    Column("at", "when (UTC)", form=TIME),
    Column("version", None),
    Column("trigger", None),
    Column("state", None),
    Column("who", "who"),
    Column("", "what", _what),
    Column("why", None),
    Column("", "why", lambda event: event.why or event.fact),
    Column("fact", None),
    Column("details", None, lambda event: redacted(dict(event.details))),
)

# ── ls ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@command("payflow ls --stuck")
async def ls(
    terminal: Terminal,
    payflow: Payflow,
    *,
    machine: Annotated[str | None, typer.Option(help="Only records of this machine.")] = None,
    state: Annotated[str | None, typer.Option(help="Only records in this state, finished ones too.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only records of this owner, newest first.")] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only those set aside or too long in their state.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many records to list.")] = 50,
) -> None:
    places = _places(payflow, machine, state)
    now = await payflow.store.records.now()
    wanted = {(machine.name, state.name) for machine, state in places}
    counts = [one for one in await payflow.store.listing.counts_by_state() if (one.machine, one.state) in wanted]
    if owner is not None:
        name = await owner_named(payflow, owner)
        owned = [one.record for one in await payflow.store.listing.owned_by(name, PAGE)]
        found = [record for record in owned if (record.machine, record.state) in wanted]
    else:
        found = await _in_states(payflow, places, limit, finished=state is not None)
    if stuck:
        found = [record for record in found if record.parked or _is_stuck(payflow, record, now)]
        found += await _parked(payflow, wanted, {record.id for record in found})
    found = found[:limit]
    of_states = (
        Column("machine", "machine"),
        Column("state", "state"),
        Column("count", "records>", form=COUNT),
        Column("due", "due>", form=COUNT),
        Column(
            "oldest_s",
            "oldest>",
            "oldest",
            Format(lambda at: None if at is None else max(0, now - at) / SECOND, ago(now).text),
        ),
    )
    of_records = (
        *RECORD[:IN_A_STATE],
        Column("", "for>", "since", ago(now)),
        *RECORD[IN_A_STATE:],
        Column("", "", lambda record: _remark(payflow, record, now)),
    )
    terminal.tell(
        {"states": [json_of(of_states, one) for one in counts], "records": [json_of(of_records, one) for one in found]},
        drawn(of_states, [one for one in counts if one.count]),
        "",
        drawn(of_records, found) if found else "No such record.",
        *([Text(f"These are the first {limit}; --limit shows more.", "dim")] if len(found) == limit else []),
    )


def _places(payflow: Payflow, machine: str | None, state: str | None) -> list[Place]:
    machines = [machine_of(payflow, machine)] if machine else list(payflow.store.records.machines.values())
    places = [(one, facts) for one in machines for facts in one.lifecycle.states.values()]
    if state is not None:
        known("state", state, (facts.name for _, facts in places))
    return [place for place in places if state in (None, place[1].name)]


async def _in_states(payflow: Payflow, places: list[Place], limit: int, *, finished: bool) -> list[Record[Any]]:
    """Find those that have been longest in their state; finished ones only where they were asked for."""
    found: list[Record[Any]] = []
    for machine, state in places:
        if finished or not state.final:
            found += [one.record for one in await payflow.store.listing.in_state(machine.name, state.name, limit)]
    return sorted(found, key=lambda record: record.since)


async def _parked(payflow: Payflow, wanted: set[tuple[str, str]], seen: set[RecordId]) -> list[Record[Any]]:
    parked = [record_id for record_id, _ in await payflow.store.listing.parked() if record_id not in seen]
    found = [(await payflow.store.records.read(record_id)).record for record_id in parked]
    return [record for record in found if (record.machine, record.state) in wanted]


def _is_stuck(payflow: Payflow, record: Record[Any], now: Millis) -> bool:
    return is_stuck(payflow.store.records.machines[record.machine].lifecycle, record, now)


def _remark(payflow: Payflow, record: Record[Any], now: Millis) -> Text:
    if record.parked:
        return Text(clean(f"set aside: {record.parked}"), "red")
    if _is_stuck(payflow, record, now):
        return Text("stuck", "yellow")
    return Text(f"{record.tries} looks failed" if record.tries else "", "yellow")


# ── show ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@command("payflow show payout-03-abcdefgh23456777")
async def show(
    terminal: Terminal,
    payflow: Payflow,
    record_id: RecordName,
    *,
    folder: Annotated[str | None, typer.Option("--archive", metavar="FOLDER", help="Where archives are.")] = None,
) -> Code:
    store, name = payflow.store, record_of(payflow, record_id)
    try:
        stored = await store.records.read(name)
    except NotFound:
        found = await find(store, name, Path(folder) if folder else folder_of(store))
        if found is None:
            raise
        return _archived(terminal, found)
    record, now = stored.record, stored.at
    lifecycle = store.records.machines[record.machine].lifecycle
    state, events = lifecycle.state(record.state), await store.records.history(name)
    outlook = await store.listing.outlook(record)
    coming = what_next(lifecycle, record, outlook, now, f"`payflow retry {name}` takes it up again.")
    pauses = [
        f"Sends are paused ({pause.scope}, by {pause.who}): {pause.why}"
        for pause in stopping(record, (await store.pauses.all()).values())
    ]
    accounts = await store.ledger.account(record.owner) if record.amount else {}
    account = accounts.get(record.amount.asset.code, LedgerAccount()) if record.amount else None
    return _story(
        terminal,
        record,
        {
            "means": state.means,
            "position": state.position,
            "next": coming,
            "paused": pauses,
        },
        events,
        await store.integrity.history_fault(name),
        _head(payflow, record, account, now),
        "",
        Text.assemble(("next  ", "dim"), clean(coming)),
        *(Text(f"      {clean(pause)}", "yellow") for pause in pauses),
    )


def _archived(terminal: Terminal, found: Found) -> Code:
    """Tell the story of a record that was put into an archive."""
    record = found.record
    return _story(
        terminal,
        record,
        {"archive": str(found.file)},
        found.events,
        found.fault,
        f"{record.id}, {record.state}, {amount(record.amount)} of {record.owner}",
        f"Made {utc(record.created_at)} UTC, in {record.state} since {utc(record.since)} UTC.",
        Text(f"It is in {found.file}.", "dim"),
    )


def _story(
    terminal: Terminal,
    record: Record[Any],
    more: dict[str, Any],
    events: Sequence[HistoryEvent],
    fault: str,
    *head: object,
) -> Code:
    data = {"data": redacted(msgspec.to_builtins(record.data)), "history": [json_of(EVENT, one) for one in events]}
    terminal.tell(
        json_of(RECORD, record) | more | data | {"history_fault": fault},
        *head,
        "",
        drawn(EVENT, events),
        Text(f"The history is not whole: {fault}.", "bold red")
        if fault
        else Text(f"{len(events)} events; the hash chain is whole.", "dim"),
    )
    return Code.REFUSED if fault else Code.OK


def _head(payflow: Payflow, record: Record[Any], account: LedgerAccount | None, now: Millis) -> Table:
    state = payflow.store.records.machines[record.machine].lifecycle.state(record.state)
    lines = {
        "record": record.id,
        "state": f"{state.name}, for {span(now - record.since)}. {state.means}",
        "owner": record.owner,
    }
    if record.amount and account and state.position:
        asset, assets = record.amount.asset.code, payflow.store.records.assets
        parts = ("available", "held", "paid") + (("owed",) if account.owed else ())
        books = ", ".join(f"{part} {exact(getattr(account, part), asset, assets)}" for part in parts)
        lines |= {"amount": f"{amount(record.amount)}, {state.position}", "account": f"{asset}: {books}"}
    made = f"{utc(record.created_at)} UTC, {span(now - record.created_at)} ago"
    lines["made"] = f"{made}; now version {record.version}"
    data = redacted(msgspec.to_builtins(record.data))
    if isinstance(data, dict):
        lines |= {f"  {name}": str(value) for name, value in data.items() if value not in ("", None, 0, [], {})}
    return grid(lines)


# ── tail ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

NEWS = (
    Column("at", None, "event.at", TIME),
    Column("id", None, "record"),
    Column("version", None, "event.version"),
    Column("from", None, "source"),
    Column("to", None, "event.state"),
    Column("trigger", None, "event.trigger"),
    Column("who", None, "event.who"),
    Column("why", None, "event.why"),
)


@command("payflow tail --json")
async def tail(terminal: Terminal, payflow: Payflow) -> None:
    moves = Moves(payflow.store, await payflow.store.records.now())
    while True:
        for news in await moves.news():
            terminal.tell(json_of(NEWS, news), _line(news))
        await anyio.sleep(LOOK_EVERY_S)


def _line(news: News) -> Text:
    event = news.event
    what = f"{news.source} → {event.state}" if news.source else event.state
    return Text.assemble(
        (f"{utc(event.at)}  ", "dim"), f"{news.record}  ", (what, "bold"), f"  {clean(event.why or event.fact)}  ",
        (event.who, "dim"),
    )  # fmt: skip


# ── lifecycle ────────────────────────────────────────────────────────────────────────────────────────────────────────

LASTS = Format(as_it_is, lambda seconds: "" if seconds is None else span(seconds * SECOND))
MOVES = (
    Column("trigger", "move"),
    Column("from", "from", "sources", Format(list, ", ".join)),
    Column("to", "to", "target"),
    Column("cause", "because"),
)


@command("payflow lifecycle payout --mermaid")
def lifecycle(
    terminal: Terminal,
    machine: Annotated[str, typer.Argument(help="Which machine.")],
    *,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Draw it as a mermaid diagram.")] = False,
) -> None:
    tables = lifecycles()
    shown = tables[known("machine", machine, tables)]
    if mermaid and not terminal.as_json:
        typer.echo(shown.mermaid())
        return
    states, columns = shown.states.values(), _states(shown)
    terminal.tell(
        {
            "machine": shown.machine,
            "initial": shown.initial,
            "states": [json_of(columns, one) for one in states],
            "moves": [json_of(MOVES, one) for one in shown.moves],
            "mermaid": shown.mermaid(),
        },
        drawn(columns, states),
        "",
        drawn(MOVES, shown.moves),
    )


def _states(shown: Lifecycle) -> tuple[Column, ...]:
    return (
        Column(
            "name", "state", form=Format(as_it_is, lambda name: Text(name, "bold" if name == shown.initial else ""))
        ),
        Column("position", "money"),
        Column("by", None),
        Column(
            "",
            "moved on by",
            lambda one: "final" if one.final else f"{one.by}, which sends" if one.sends else one.by,
        ),
        Column("every_s", "looks every", form=LASTS),
        Column("stuck_after_s", "stuck after", form=LASTS),
        Column("means", "means"),
        Column("sends", None),
        Column("may_have_left", None),
        Column("final", None),
    )
