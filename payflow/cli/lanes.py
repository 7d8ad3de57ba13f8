"""Lanes: the sending addresses, what waits in them, and what an operator may do about it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.text import Text

from machines.core.clock import Millis
from machines.core.errors import BadInput, NotFound, PayflowError, Retryable
from machines.core.ids import RecordId
from machines.transaction import lifecycle as s
from machines.transaction.data import LaneRecord, TransactionRecord
from payflow.app.installation import Payflow
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.terminal import (
    TIME,
    Column,
    Commands,
    Format,
    Reason,
    Terminal,
    Yes,
    ago,
    as_it_is,
    clean,
    drawn,
    json_of,
)
from payflow.desk.lane_steering import LaneSteering, lane_with_node, propose_trust
from payflow.shown import ether

if TYPE_CHECKING:
    from machines.transaction.ports import Lane
    from payflow.desk.lanes import Lanes

MOST_QUEUED = 10_000

Name = Annotated[
    str,
    typer.Argument(
        metavar="LANE", help="A lane of PAYFLOW_LANES, such as ethereum, or a pool's own, such as pool-etc."
    ),
]

command = Commands()


@asynccontextmanager
async def _opened(terminal: Terminal) -> AsyncIterator[tuple[Payflow, "Lanes"]]:
    """Open the installation with its pools' lanes too: a pool without PAYFLOW_LANES has one over its own node."""
    own, named = terminal.settings.pool_config, terminal.settings.pools
    files = list({path.resolve(): path for path in (*named, *([own] if own.exists() else []))}.values())
    async with AsyncExitStack() as stack:
        try:
            payflow = await stack.enter_async_context(terminal.open(files))
        except Retryable as error:
            if not files:
                raise
            # The other lanes are shown all the same.
            typer.echo(f"payflow: the lanes of the pools are not shown: {error}", err=True)
            payflow = await stack.enter_async_context(terminal.open())
        if payflow.parts.lanes is None:
            raise BadInput(
                "No lane is set up: see PAYFLOW_LANES and deploy/operations/lanes.md, or go to the folder with the "
                "pool's payouts.json (PAYFLOW_POOL_CONFIG)."
            )
        yield payflow, payflow.parts.lanes


def _lane(lanes: "Lanes", name: str) -> "Lane":
    if name not in lanes.lanes:
        raise NotFound(f"There is no lane {name}; there are {', '.join(lanes.lanes)}.")
    return lanes.lanes[name]


# ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class LaneSummary(NamedTuple):
    """How a lane stands."""

    lane: "Lane"
    record: LaneRecord | None
    states: Counter[str]
    queued: int
    balance: str
    trouble: str
    trusted: str

    @property
    def state(self) -> str:
        """Where it is, as far as it was used."""
        return self.record.state if self.record else "not used yet"

    @property
    def waits_for(self) -> str:
        """What it waits for."""
        return self.record.data.waits_for if self.record else ""


def _next_nonce(summary: LaneSummary) -> int | None:
    return summary.record.data.next_nonce if summary.record and summary.record.data.next_nonce >= 0 else None


LANE = (
    Column("lane", "lane", "lane.name"),
    Column("state", "state"),
    Column("address", "address", "lane.signer.address"),
    Column("chain_id", "chain>", "lane.chain.chain_id"),
    Column("next_nonce", "next nonce>", _next_nonce),
    Column("in_flight", "in flight>", lambda summary: summary.states[s.SIGNED] + summary.states[s.SENT]),
    Column("mined", None, lambda summary: summary.states[s.MINED]),
    Column("queued", "queued>"),
    Column("balance", "balance>", form=Format(as_it_is, lambda balance: balance or "unknown")),
    Column("trouble", None),
    Column("waits_for", None),
    Column("", "waits for", lambda summary: summary.waits_for or summary.trouble),
    Column("noticed", None, lambda summary: summary.record.data.noticed if summary.record else 0),
    Column("trusted", None),
)
SUSPECT = (Column("payment", "payment"), Column("nonce", "nonce>"), Column("hash", "hash"))


def _transaction_columns(now: Millis) -> tuple[Column, ...]:
    return (
        Column("id", None),
        Column("nonce", "nonce>", "data.nonce"),
        Column("state", "state"),
        Column("", "newest hash", "data.newest.hash"),
        Column("hashes", None, lambda one: [attempt.hash for attempt in one.data.attempts]),
        Column("payments", "payments>", "data.members", Format(list, lambda members: str(len(members)))),
        Column("", "attempts>", lambda one: len(one.data.attempts)),
        Column("since", None, form=TIME),
        Column("", "age>", "created_at", ago(now)),
        Column("cancel", None, "data.cancel"),
        Column("reply", None, "data.reply"),
        Column("", "remark", lambda one: one.data.cancel or one.data.reply),
    )


def _payment_columns(now: Millis) -> tuple[Column, ...]:
    return (
        Column("id", "queued payment"),
        Column("key", None, "data.key"),
        Column("to", "to", "data.to", Format(as_it_is, lambda to: to or "a new contract")),
        Column("units", "units>", "data.value_wei"),
        Column("token", "token", "data.token"),
        Column("", "waits>", "since", ago(now)),
    )


@command("payflow lane ls")
async def ls(terminal: Terminal) -> None:
    """List the lanes: where they stand, what they hold, what they wait for."""
    async with _opened(terminal) as (_, lanes):
        terminal.tell_list(LANE, await asyncio.gather(*(_summary(lanes, lane) for lane in lanes.lanes.values())), "")


@command("payflow lane show ethereum")
async def show(
    terminal: Terminal,
    name: Name,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Payments shown at most.")] = 50,
) -> None:
    """Show what a lane has under way, nonce by nonce, and what waits for a signature."""
    async with _opened(terminal) as (payflow, lanes):
        summary = await _summary(lanes, _lane(lanes, name))
        now, lane = await payflow.store.records.now(), summary.lane
        transactions, payments = _transaction_columns(now), _payment_columns(now)
        unsettled, queued = await lanes.books.unsettled(name), await lanes.books.queued(name, limit)
        suspects = summary.record.data.suspects if summary.record else ()
        terminal.tell(
            json_of(LANE, summary)
            | {
                "transactions": [json_of(transactions, one) for one in unsettled],
                "payments": [json_of(payments, one) for one in queued],
                "suspects": [json_of(SUSPECT, one) for one in suspects],
            },
            f"{name}: {summary.state}, {lane.signer.address} on chain {lane.chain.chain_id}",
            Text(clean(f"balance {summary.balance or 'unknown: ' + summary.trouble}"), "dim"),
            *([Text(clean(f"waits for: {summary.waits_for}"), "yellow")] if summary.waits_for else []),
            *([Text(clean(f"the word of {summary.trusted} counts alone"), "red")] if summary.trusted else []),
            *(_suspected(suspects) if suspects else []),
            "",
            drawn(transactions, unsettled) if unsettled else "No transaction is under way.",
            "",
            drawn(payments, queued) if queued else "No payment waits for a signature.",
        )


def _suspected(suspects: Sequence[object]) -> list[object]:
    return [
        Text("Transactions from outside that may have paid payments of ours:", "bold red"),
        drawn(SUSPECT, suspects),
        "Look at them, then say which paid: payflow lane adopt LANE --paid PAYMENT --reason …",
    ]


async def _summary(lanes: "Lanes", lane: "Lane") -> LaneSummary:
    books = lanes.books
    unsettled = await books.unsettled(lane.name)
    queued = await books.queued(lane.name, MOST_QUEUED)
    balance = trouble = ""
    try:
        balance = ether(await lane.chain.balance(lane.signer.address))
    except PayflowError as error:
        trouble = str(error)  # a lane is shown all the same when no node answers, with what they say
    states = Counter(one.state for one in unsettled)
    return LaneSummary(
        lane, await books.lane(lane.name), states, len(queued), balance, trouble, await books.trusted(lane.name)
    )


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@command("payflow lane encrypt lane.key --password-file lane.password > lane.json")
def encrypt(
    terminal: Terminal,
    key_file: Annotated[Path, typer.Argument(metavar="KEY", help="A file with a raw key.")],
    *,
    password_file: Annotated[Path, typer.Option("--password-file", help="A file with the password to be.")],
) -> None:
    """Make a keystore of a raw key, as wallets and nodes read it: what a lane signs with where money is of worth."""
    from adapters.ethereum.signers import encrypted  # noqa: PLC0415  (two seconds, only where a key is used)

    keystore = encrypted(key_file, password_file)
    terminal.tell({"keystore": keystore}, keystore)


# ── steer ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@command('payflow lane bump ethereum 17 --reason "it waits for an hour"')
async def bump(
    terminal: Terminal,
    name: Name,
    nonce: Annotated[int, typer.Argument(min=0, help="Which of its transactions.")],
    *,
    reason: Reason = "",
) -> None:
    """Offer more for a transaction that waits, at the same nonce and up to the ceiling."""
    async with _opened(terminal) as (payflow, lanes):
        who, record = await terminal.acting(payflow), await _transaction(lanes, name, nonce)
        await _steering(payflow).bump(record.id, who.name, reason)
    said = f"Nonce {nonce} will be offered more for as soon as it is next in line, up to the lane's ceiling."
    terminal.tell({"id": record.id, "asked": "bump"}, said)


@command('payflow lane cancel ethereum 17 --reason "wrong recipient"')
async def cancel(
    terminal: Terminal,
    name: Name,
    what: Annotated[str, typer.Argument(metavar="NONCE|PAYMENT", help="A nonce, or a payment that has none yet.")],
    *,
    reason: Reason = "",
) -> None:
    """Take back a payment that waits, or use up a nonce with nothing; which one wins, the chain says."""
    async with _opened(terminal) as (payflow, lanes):
        who, steering = await terminal.acting(payflow), _steering(payflow)
        if what.isdecimal():
            record_id = (await _transaction(lanes, name, int(what))).id
            waits = await steering.cancel(record_id, who, reason)
            if waits:
                terminal.tell({"id": record_id, "proposal": waits.digest}, *who_confirms(waits))
                return
            said = f"Nonce {what} will be used up by nothing; if the payment was quicker, it stays paid."
        else:
            record_id, lane = RecordId(what), _lane(lanes, name)
            await steering.withdraw(record_id, who.name, reason, lane.name)
            said = f"{what} is withdrawn: nothing was ever signed for it."
    terminal.tell({"id": record_id, "asked": "cancel"}, said)


@command('payflow lane adopt ethereum --paid payment-03-abcdefgh23456777 --reason "paid by hand on Monday"')
async def adopt(
    terminal: Terminal,
    name: Name,
    *,
    paid: Annotated[
        list[str] | None,
        typer.Option("--paid", metavar="PAYMENT", help="A payment that the transaction from outside has paid."),
    ] = None,
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Open a lane that stopped because somebody else sent from its address, and say what those transactions were.

    Every suspect that is not named with --paid is paid by the lane afterwards.
    """
    async with _opened(terminal) as (payflow, lanes):
        who, steering, lane = await terminal.acting(payflow), _steering(payflow), _lane(lanes, name)
        meant = await steering.adoption(lanes.books.lane_id(lane.name), paid or ())
        if not yes:
            counts = [f"counts as paid: {one.id} by {tx}" for one, tx in meant.paid]
            terminal.confirm(counts + [f"will be paid: {one.payment}" for one in meant.unpaid])
        waits = await steering.adopt(meant, who, reason)
        if waits:
            terminal.tell({"lane": name, "proposal": waits.digest}, *who_confirms(waits))
            return
    answer: dict[str, Any] = {"lane": name, "paid": paid or [], "unpaid": [one.payment for one in meant.unpaid]}
    terminal.tell(answer, f"The lane {name} is open.")


def _hours(text: str) -> int:
    digits = text.removesuffix("h")
    if not digits.isdecimal():
        raise typer.BadParameter(f"{text!r} is no number of hours: write 6h.")
    return int(digits)


@command('payflow lane trust node-1.example:8545 --for 6h --reason "the other provider is down"')
async def trust(
    terminal: Terminal,
    node: Annotated[str, typer.Argument(metavar="NODE", help="A node of the lane, by host and port.")],
    *,
    hours: Annotated[
        int, typer.Option("--for", metavar="HOURS", parser=_hours, help="For how long, such as 6h; 24h at most.")
    ],
    lane: Annotated[str | None, typer.Option("--lane", help="Which lane, where several have the node.")] = None,
    reason: Reason = "",
) -> None:
    """Propose that one node's word counts alone for a time, while too few others answer; another operator confirms."""
    async with _opened(terminal) as (payflow, lanes):
        who, two = await terminal.acting(payflow), steering_of(payflow).two
        among = lanes.nodes() if lane is None else {lane: lanes.nodes()[_lane(lanes, lane).name]}
        chosen = lane_with_node(among, node)
        await lanes.books.ensure(lanes.lanes[chosen])
        proposal = await propose_trust(two, chosen, node, hours, reason, who)
        terminal.tell(
            {"lane": chosen, "node": node, "hours": hours, "proposal": proposal.digest},
            *two.says(proposal)[1:-1],
            *who_confirms(proposal),
        )


def _steering(payflow: Payflow) -> LaneSteering:
    return LaneSteering(payflow.store, payflow.metrics, steering_of(payflow).two)


async def _transaction(lanes: "Lanes", name: str, nonce: int) -> TransactionRecord:
    record = await lanes.books.transaction(_lane(lanes, name).name, nonce)
    if record is None:
        raise NotFound(f"The lane {name} has done nothing with nonce {nonce}.")
    return record
