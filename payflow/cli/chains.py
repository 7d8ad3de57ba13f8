"""What the commands about lanes do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from machines.core.errors import BadInput, NotFound, PayflowError, Retryable
from machines.core.ids import RecordId
from machines.transaction import lifecycle as s
from machines.transaction.data import LaneRecord, PaymentRecord, Suspect, TransactionRecord
from payflow.app.installation import Payflow, opened, refuse_unfit
from payflow.cli.desk import Code, Desk, confirm, named, person
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.words import clean, rows, table
from payflow.desk.lane_steering import LaneSteering, lane_with_node, propose_trust
from payflow.shown import iso, span

if TYPE_CHECKING:
    from machines.transaction.ports import Lane
    from payflow.desk.lanes import Lanes

Json = dict[str, Any]
ETHER = 18


@asynccontextmanager
async def _opened(desk: Desk) -> AsyncIterator[Payflow]:
    """Open the installation with its pools' lanes too: a pool without PAYFLOW_LANES has one over its own node."""
    async with AsyncExitStack() as stack:
        files = _pool_files(desk)
        with_pools = await _with_pools(desk, files, stack) if files else None
        yield await stack.enter_async_context(desk.open()) if with_pools is None else with_pools


async def _with_pools(desk: Desk, files: Sequence[Path], stack: AsyncExitStack) -> Payflow | None:
    try:
        return await stack.enter_async_context(opened(desk.settings, desk.assemble, pool_files=files))
    except Retryable as error:
        # The other lanes are shown all the same.
        typer.echo(f"payflow: the lanes of the pools are not shown: {error}", err=True)
        return None


def _pool_files(desk: Desk) -> list[Path]:
    """Name the files of the pools that are set up here."""
    own = desk.settings.pool_config
    named = (*desk.settings.pools, *([own] if own.exists() else []))
    return list({path.resolve(): path for path in named}.values())


# ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def ls(desk: Desk) -> Code:
    """List the lanes."""
    async with _opened(desk) as payflow:
        lanes = _lanes(payflow)
        told = await asyncio.gather(*(_summary(lanes, lane) for lane in lanes.lanes.values()))
        drawn = rows(
            table(
                "lane", "state", "address", "chain>", "next nonce>", "in flight>", "queued>", "balance>", "waits for"
            ),
            (
                (
                    one["lane"],
                    one["state"],
                    one["address"],
                    str(one["chain_id"]),
                    str(one["next_nonce"]) if one["next_nonce"] is not None else "",
                    str(one["in_flight"]),
                    str(one["queued"]),
                    one["balance"] or "unknown",
                    one["waits_for"] or one["trouble"],
                )
                for one in told
            ),
        )
        desk.tell(list(told), drawn)
    return Code.OK


async def show(desk: Desk, *, name: str, limit: int) -> Code:
    """Show one lane."""
    async with _opened(desk) as payflow:
        lanes = _lanes(payflow)
        lane = _lane(lanes, name)
        now = await payflow.store.records.now()
        summary = await _summary(lanes, lane)
        unsettled = await lanes.books.unsettled(name)
        queued = await lanes.books.queued(name, limit)
        record = await lanes.books.lane(name)
        desk.tell(
            summary
            | {
                "transactions": [_transaction_json(one) for one in unsettled],
                "payments": [_payment_json(one) for one in queued],
                "suspects": [_suspect_json(one) for one in (record.data.suspects if record else ())],
            },
            Text(clean(f"{name}: {summary['state']}, {summary['address']} on chain {summary['chain_id']}")),
            Text(clean(f"balance {summary['balance'] or 'unknown: ' + summary['trouble']}"), "dim"),
            *([Text(clean(f"waits for: {summary['waits_for']}"), "yellow")] if summary["waits_for"] else []),
            *([Text(clean(f"the word of {summary['trusted']} counts alone"), "red")] if summary["trusted"] else []),
            *_suspects_drawn(record),
            "",
            _transactions_drawn(unsettled, now),
            "",
            _payments_drawn(queued, now),
        )
    return Code.OK


async def _summary(lanes: "Lanes", lane: "Lane") -> Json:
    record = await lanes.books.lane(lane.name)
    unsettled = await lanes.books.unsettled(lane.name)
    count = Counter(one.state for one in unsettled)
    balance, trouble = await _balance(lane)
    return {
        "lane": lane.name,
        "state": record.state if record else "not used yet",
        "address": lane.signer.address,
        "chain_id": lane.chain.chain_id,
        "next_nonce": record.data.next_nonce if record and record.data.next_nonce >= 0 else None,
        "in_flight": count[s.SIGNED] + count[s.SENT],
        "mined": count[s.MINED],
        "queued": len(await lanes.books.queued(lane.name, 10_000)),
        "balance": balance,
        "trouble": trouble,
        "waits_for": record.data.waits_for if record else "",
        "noticed": record.data.noticed if record else 0,
        "trusted": await lanes.books.trusted(lane.name),
    }


async def _balance(lane: "Lane") -> tuple[str, str]:
    """Ask the chain; a lane is shown all the same when no node answers, with what they say."""
    try:
        wei = await lane.chain.balance(lane.signer.address)
    except PayflowError as error:
        return "", str(error)
    digits = str(wei).rjust(ETHER + 1, "0")
    return f"{digits[:-ETHER]}.{digits[-ETHER:].rstrip('0') or '0'}", ""


def _transactions_drawn(unsettled: Sequence[TransactionRecord], now: int) -> object:
    lines = (
        (
            str(one.data.nonce),
            one.state,
            one.data.newest.hash,
            str(len(one.data.members)),
            str(len(one.data.attempts)),
            span(now - one.created_at),
            one.data.cancel or one.data.reply,
        )
        for one in unsettled
    )
    drawn = rows(table("nonce>", "state", "newest hash", "payments>", "attempts>", "age>", "remark"), lines)
    return drawn if unsettled else Text("No transaction is under way.")


def _payments_drawn(queued: Sequence[PaymentRecord], now: int) -> object:
    lines = (
        (one.id, one.data.to or "a new contract", one.data.value_wei, one.data.token or "", span(now - one.since))
        for one in queued
    )
    drawn = rows(table("queued payment", "to", "units>", "token", "waits>"), lines)
    return drawn if queued else Text("No payment waits for a signature.")


def _suspects_drawn(record: LaneRecord | None) -> list[object]:
    suspects = record.data.suspects if record else ()
    if not suspects:
        return []
    return [
        Text("Transactions from outside that may have paid payments of ours:", "bold red"),
        rows(table("payment", "nonce>", "hash"), ((one.payment, str(one.nonce), one.hash) for one in suspects)),
        Text("Look at them, then say which paid: payflow lane adopt LANE --paid PAYMENT --reason …"),
    ]


def _transaction_json(one: TransactionRecord) -> Json:
    data = one.data
    return {
        "id": one.id,
        "nonce": data.nonce,
        "state": one.state,
        "hashes": [attempt.hash for attempt in data.attempts],
        "payments": list(data.members),
        "since": iso(one.since),
        "cancel": data.cancel,
        "reply": data.reply,
    }


def _payment_json(one: PaymentRecord) -> Json:
    data = one.data
    return {"id": one.id, "key": data.key, "to": data.to, "units": data.value_wei, "token": data.token}


def _suspect_json(one: Suspect) -> Json:
    return {"payment": one.payment, "nonce": one.nonce, "hash": one.hash}


# ── steer ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def bump(desk: Desk, *, name: str, nonce: int, reason: str) -> Code:
    """Ask for a better price."""
    async with _opened(desk) as payflow:
        refuse_unfit(payflow.store)
        record = await _transaction(payflow, name, nonce)
        await _steering(payflow).bump(record.id, await named(desk, payflow.store), reason)
        said = f"Nonce {nonce} will be offered more for as soon as it is next in line, up to the lane's ceiling."
        desk.tell({"id": record.id, "asked": "bump"}, Text(said))
    return Code.OK


async def cancel(desk: Desk, *, name: str, what: str, reason: str) -> Code:
    """Take back what waits, or use up a nonce with nothing."""
    async with _opened(desk) as payflow:
        refuse_unfit(payflow.store)
        who, steering = await named(desk, payflow.store), _steering(payflow)
        if what.isdecimal():
            record_id = (await _transaction(payflow, name, int(what))).id
            await steering.cancel(record_id, who, reason)
            said = f"Nonce {what} will be used up by nothing; if the payment was quicker, it stays paid."
        else:
            _lane(_lanes(payflow), name)
            record_id = RecordId(what)
            await steering.withdraw(record_id, who, reason, name)
            said = f"{what} is withdrawn: nothing was ever signed for it."
        desk.tell({"id": record_id, "asked": "cancel"}, Text(clean(said)))
    return Code.OK


async def adopt(desk: Desk, *, name: str, paid: Sequence[str], reason: str, yes: bool) -> Code:
    """Say what transactions from outside were, and let the lane go on."""
    async with _opened(desk) as payflow:
        refuse_unfit(payflow.store)
        who, lanes, steering = await named(desk, payflow.store), _lanes(payflow), _steering(payflow)
        _lane(lanes, name)
        meant = await steering.adoption(lanes.books.lane_id(name), paid)
        if not yes:
            counts = [f"counts as paid: {one.id} by {tx}" for one, tx in meant.paid]
            confirm(desk, counts + [f"will be paid: {one.payment}" for one in meant.unpaid])
        await steering.adopt(meant, who, reason)
        told = {"lane": name, "paid": list(paid), "unpaid": [one.payment for one in meant.unpaid]}
        desk.tell(told, Text(f"The lane {name} is open."))
    return Code.OK


async def trust(desk: Desk, *, node: str, hours: int, lane: str | None, reason: str) -> Code:
    """Propose that the word of one node counts alone for a time."""
    async with _opened(desk) as payflow:
        refuse_unfit(payflow.store)
        from payflow.desk.lanes import nodes_of  # noqa: PLC0415  (two seconds, only where a chain is used)

        lanes = _lanes(payflow)
        if lane:
            _lane(lanes, lane)
        chosen = lane_with_node({name: nodes_of(one) for name, one in lanes.lanes.items()}, node, lane)
        await lanes.books.ensure(lanes.lanes[chosen])
        who, two = await person(desk, payflow.store), steering_of(payflow).two
        proposal = await propose_trust(two, chosen, node, hours, reason, who)
        lines = [*two.says(proposal)[1:-1], *who_confirms(proposal.role, proposal.digest)]
        desk.tell(
            {"lane": chosen, "node": node, "hours": hours, "proposal": proposal.digest},
            *(Text(clean(line)) for line in lines),
        )
    return Code.OK


def _steering(payflow: Payflow) -> LaneSteering:
    return LaneSteering(payflow.store, payflow.metrics)


async def _transaction(payflow: Payflow, name: str, nonce: int) -> TransactionRecord:
    lanes = _lanes(payflow)
    _lane(lanes, name)
    record = await lanes.books.transaction(name, nonce)
    if record is None:
        raise NotFound(f"The lane {name} has done nothing with nonce {nonce}.")
    return record


def _lanes(payflow: Payflow) -> "Lanes":
    if payflow.parts.lanes is None:
        raise BadInput(
            "No lane is set up: see PAYFLOW_LANES and deploy/operations/lanes.md, or go to the folder with the pool's "
            "payouts.json (PAYFLOW_POOL_CONFIG)."
        )
    return payflow.parts.lanes


def _lane(lanes: "Lanes", name: str) -> "Lane":
    try:
        return lanes.lanes[name]
    except KeyError:
        raise NotFound(f"There is no lane {name}; there are {', '.join(lanes.lanes)}.") from None
