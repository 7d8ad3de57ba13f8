"""Looking at records: how many are where, which they are, and the whole story of one."""

from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from machines.core.clock import SECOND, Millis
from machines.core.ids import Owner, RecordId, owner_of, parse_id
from machines.core.lifecycle import State
from machines.core.machine import AnyMachine
from machines.core.record import Record
from payflow.app.installation import Payflow
from payflow.cli.desk import Code, Desk, Usage, listed, machine_of, typed
from payflow.cli.words import clean, rows, table
from payflow.desk.records import is_stuck, stopping, what_next
from payflow.shown import amount, amount_json, exact, iso, span, utc
from payflow.store.codec import HistoryEvent
from payflow.store.ledger import LedgerAccount
from payflow.store.link import PAGE
from payflow.store.listing import StateCount
from payflow.telemetry.logs import redacted

Json = dict[str, Any]
Place = tuple[AnyMachine, State]

# ── ls ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def ls(desk: Desk, *, machine: str | None, state: str | None, owner: str | None, stuck: bool, limit: int) -> Code:
    """Count the records in each state, and list those that were asked for."""
    async with desk.open() as payflow:
        places = _places(payflow, machine, state)
        now = await payflow.store.records.now()
        wanted = {(machine.name, state.name) for machine, state in places}
        crowds = [
            crowd for crowd in await payflow.store.listing.counts_by_state() if (crowd.machine, crowd.state) in wanted
        ]
        if owner is not None:
            with typed():
                name = owner_of(owner)
            found = await _owned(payflow, name, wanted)
        else:
            found = await _in_states(payflow, places, limit, finished=state is not None)
        if stuck:
            found = [record for record in found if _stuck(payflow, record, now)]
            found += await _parked(payflow, wanted, {record.id for record in found})
        found = found[:limit]
        desk.tell(
            {"states": [_crowd_json(crowd, now) for crowd in crowds], "records": [record_json(one) for one in found]},
            _crowd_table([crowd for crowd in crowds if crowd.count], now),
            "",
            _record_table(payflow, found, now) if found else Text("No such record."),
            *([Text(f"These are the first {limit}; --limit shows more.", "dim")] if len(found) == limit else []),
        )
    return Code.OK


def _places(payflow: Payflow, machine: str | None, state: str | None) -> list[Place]:
    machines = [machine_of(payflow, machine)] if machine else list(payflow.store.records.machines.values())
    places = [(one, facts) for one in machines for facts in one.lifecycle.states.values()]
    if state is None:
        return places
    named = [place for place in places if place[1].name == state]
    if not named:
        raise Usage(f"There is no state {state!r}; {listed(dict.fromkeys(facts.name for _, facts in places))}.")
    return named


async def _owned(payflow: Payflow, owner: Owner, wanted: set[tuple[str, str]]) -> list[Record[Any]]:
    found = await payflow.store.listing.owned_by(owner, PAGE)
    return [stored.record for stored in found if (stored.record.machine, stored.record.state) in wanted]


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


def _stuck(payflow: Payflow, record: Record[Any], now: Millis) -> bool:
    return bool(record.parked) or is_stuck(payflow.store.records.machines[record.machine].lifecycle, record, now)


def _crowd_json(crowd: StateCount, now: Millis) -> Json:
    return {
        "machine": crowd.machine,
        "state": crowd.state,
        "count": crowd.count,
        "due": crowd.due,
        "oldest_s": None if crowd.oldest is None else max(0, now - crowd.oldest) / SECOND,
    }


def record_json(record: Record[Any]) -> Json:
    """Write a record for machines."""
    return {
        "id": record.id,
        "machine": record.machine,
        "state": record.state,
        "version": record.version,
        "owner": record.owner,
        "amount": amount_json(record.amount),
        "created_at": iso(record.created_at),
        "since": iso(record.since),
        "tries": record.tries,
        "parked": record.parked,
    }


def _crowd_table(crowds: list[StateCount], now: Millis) -> Table:
    return rows(
        table("machine", "state", "records>", "due>", "oldest>"),
        (
            (
                crowd.machine,
                crowd.state,
                f"{crowd.count:,}",
                f"{crowd.due:,}",
                "" if crowd.oldest is None else span(now - crowd.oldest),
            )
            for crowd in crowds
        ),
    )


def _record_table(payflow: Payflow, found: list[Record[Any]], now: Millis) -> Table:
    return rows(
        table("id", "state", "for>", "owner", "amount>", ""),
        (
            (
                record.id,
                record.state,
                span(now - record.since),
                record.owner,
                amount(record.amount),
                _remark(payflow, record, now),
            )
            for record in found
        ),
    )


def _remark(payflow: Payflow, record: Record[Any], now: Millis) -> Text:
    if record.parked:
        return Text(clean(f"set aside: {record.parked}"), "red")
    if _stuck(payflow, record, now):
        return Text("stuck", "yellow")
    return Text(f"{record.tries} looks failed" if record.tries else "", "yellow")


# ── show ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def show(desk: Desk, *, record_id: str) -> Code:
    """Tell the whole story of one record."""
    async with desk.open() as payflow:
        store = payflow.store
        name = record_of(payflow, record_id)
        stored = await store.records.read(name)
        record, now = stored.record, stored.at
        lifecycle = store.records.machines[record.machine].lifecycle
        events = await store.records.history(name)
        broken = await store.integrity.history_fault(name)
        again = f"`payflow retry {name}` takes it up again."
        coming = what_next(lifecycle, record, await store.listing.outlook(record), now, again)
        pauses = [
            f"Sends are paused ({pause.scope}, by {pause.who}): {pause.why}"
            for pause in stopping(record, (await store.pauses.all()).values())
        ]
        accounts = await store.ledger.account(record.owner) if record.amount else {}
        account = accounts.get(record.amount.asset.code, LedgerAccount()) if record.amount else None
        desk.tell(
            record_json(record)
            | {
                "means": lifecycle.state(record.state).means,
                "position": lifecycle.state(record.state).position,
                "next": coming,
                "paused": pauses,
                "velocity": msgspec.to_builtins(record.velocity),
                "data": redacted(msgspec.to_builtins(record.data)),
                "history": [event_json(event) for event in events],
                "history_fault": broken,
            },
            _head(payflow, record, account, now),
            "",
            Text.assemble(("next  ", "dim"), clean(coming)),
            *(Text(f"      {clean(pause)}", "yellow") for pause in pauses),
            "",
            history_table(events),
            Text(f"The history is not whole: {broken}.", "bold red")
            if broken
            else Text(f"{len(events)} events; the hash chain is whole.", "dim"),
        )
    return Code.REFUSED if broken else Code.OK


def record_of(payflow: Payflow, text: str) -> RecordId:
    """Accept a record's id as it was typed."""
    with typed():
        machine, _ = parse_id(text)
    machine_of(payflow, machine)
    return RecordId(text)


def _head(payflow: Payflow, record: Record[Any], account: LedgerAccount | None, now: Millis) -> Table:
    state = payflow.store.records.machines[record.machine].lifecycle.state(record.state)
    drawn = Table.grid(padding=(0, 2))
    lines = [
        ("record", record.id),
        ("state", f"{state.name}, for {span(now - record.since)}. {state.means}"),
        ("owner", record.owner),
    ]
    if record.amount and account and state.position:
        asset, assets = record.amount.asset.code, payflow.store.records.assets
        parts = ("available", "held", "paid") + (("owed",) if account.owed else ())
        books = ", ".join(f"{part} {exact(getattr(account, part), asset, assets)}" for part in parts)
        lines += [("amount", f"{amount(record.amount)}, {state.position}"), ("account", f"{asset}: {books}")]
    lines += [
        ("made", f"{utc(record.created_at)} UTC, {span(now - record.created_at)} ago; now version {record.version}")
    ]
    if record.velocity:
        seen = record.velocity
        lines += [("before it", f"{seen.hour_count} requests in an hour, {seen.day_count} in a day")]
    data = redacted(msgspec.to_builtins(record.data))
    if isinstance(data, dict):
        lines += [(f"  {name}", str(value)) for name, value in data.items() if value not in ("", None, 0, [], {})]
    for name, value in lines:
        drawn.add_row(Text(name, "dim"), clean(value))
    return drawn


def event_json(event: HistoryEvent) -> Json:
    """Write an event for machines."""
    return {
        "at": iso(event.at),
        "version": event.version,
        "trigger": event.trigger,
        "state": event.state,
        "who": event.who,
        "why": event.why,
        "fact": event.fact,
        "details": redacted(dict(event.details)),
    }


def history_table(events: list[HistoryEvent]) -> Table:
    """Draw a history."""
    return rows(
        table("when (UTC)", "who", "what", "why"),
        ((utc(event.at), event.who, _what(event), event.why or f"{event.fact}") for event in events),
    )


def _what(event: HistoryEvent) -> str:
    if event.version == 1:
        return f"made in {event.state}"
    return f"{event.trigger} → {event.state}" if event.trigger else f"stays in {event.state}"
