"""The story of one record, as a page tells it: what happened, where its money is, what belongs to it. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard
from urllib.parse import quote

import msgspec

from machines.bounty import lifecycle as b
from machines.bounty.data import approval_key, deploy_key
from machines.core.clock import SECOND, Millis
from machines.core.ids import RecordId
from machines.core.money import Money
from machines.core.ports import PaymentKey
from machines.core.record import Record
from machines.pool import lifecycle as p
from machines.transaction import lifecycle as t
from machines.transaction.data import payment_id
from payflow.desk.receipts.content import CHAIN
from payflow.desk.records import lane_of
from payflow.shown import ether as decimal_of_wei
from payflow.shown import grouped, plain, thousands, utc
from payflow.store.codec import HistoryEvent
from payflow.telemetry.logs import redacted
from payflow.web.pages.admin.frame import DashboardExtensions

# Told elsewhere on the page, or of no use to people.
_UNTOLD = frozenset({"sealed", "fingerprint", "place", "evidence", "raw"})
# What is longer, such as the data of a call, is of no use to people.
LONGEST = 160
_NAMES = {"shown": "goes_to", "send_units": "sends"}
_PUBLIC = {"token": "erc20_contract", "token_units": "erc20_moved"}
PAIR = 2
# Later than this a number is a time in ms, and no small count.
SOME_TIME_AGO = 1_000_000_000_000

_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ProofShown:
    """Evidence, and where it can be looked at."""

    source: str
    reference: str
    link: str
    details: Pairs


@dataclass(frozen=True, slots=True)
class Chapter:
    """One event of a history."""

    at: Millis
    who: str
    what: str
    state: str
    moved: bool
    why: str
    details: Pairs
    proof: ProofShown | None


def chapters(events: Iterable[HistoryEvent], amount: Money | None, explorers: Mapping[str, str]) -> list[Chapter]:
    """Tell a history, the newest event first."""
    written = []
    for event in events:
        details = _clean(event.details)
        written.append(
            Chapter(
                event.at,
                event.who,
                _what(event),
                event.state,
                bool(event.trigger) or event.version == 1,
                str(redacted(event.why)),
                [*pairs(_spoken(details, amount)), *_read(details.get("read"))],
                proof(details.get("evidence"), explorers),
            )
        )
    return written[::-1]


def _read(read: object) -> Pairs:
    """Tell what was read outside when a person decided."""
    found = read if isinstance(read, list | tuple) else ()
    return [(f"read: {name}", _short(str(said))) for name, said in filter(_is_pair, found)]


def _what(event: HistoryEvent) -> str:
    if event.version == 1:
        return "made"
    # The name of a fact, such as `LostSight`, is written as words.
    return plain(event.trigger) if event.trigger else _CAPITAL.sub(" ", event.fact).lower().strip() or "noted"


def went(events: Iterable[HistoryEvent]) -> set[tuple[str, str]]:
    """List the moves that a record made, as pairs of states."""
    return {(one.state, other.state) for one, other in pairwise(events) if one.state != other.state}


def proof(evidence: object, explorers: Mapping[str, str]) -> ProofShown | None:
    """Tell evidence, with a link where its source has an explorer."""
    if not isinstance(evidence, Mapping) or not evidence.get("reference"):
        return None
    source, reference = str(evidence.get("source", "")), str(evidence["reference"])
    link = link_to(reference, explorers.get(source, ""))
    details = evidence.get("details")
    named = {str(one[0]): one[1] for one in details or () if isinstance(one, list | tuple) and len(one) > 1}
    return ProofShown(source, reference, link, pairs(details if isinstance(details, Mapping) else named))


def stored_data(record: Record[Any]) -> Mapping[str, Any]:
    """Give what a record's machine keeps, as a page may show it."""
    fields = msgspec.to_builtins(record.data).items()
    # What tokens are called on a chain is no secret, as what is called a token elsewhere is; nothing is no news.
    public = {_PUBLIC.get(name, name): value for name, value in fields if value is not None}
    return _spoken(_clean(public), record.amount)


def _clean(data: object) -> Mapping[str, Any]:
    shown = redacted(_counted("", data))
    return shown if isinstance(shown, Mapping) else {}


def _counted(name: str, value: object) -> object:
    """Give amounts of wei as numbers: as texts they look like account numbers, which no page shows."""
    if isinstance(value, Mapping):
        return {key: _counted(str(key), one) for key, one in value.items()}
    if _is_pair(value):
        return [value[0], _counted(value[0], value[1])]
    if isinstance(value, list | tuple):
        return [_counted("", one) for one in value]
    return int(value) if name.endswith("_wei") and isinstance(value, str) and value.isdecimal() else value


def _is_pair(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether this is a name with a value, as evidence keeps its details."""
    return isinstance(value, list | tuple) and len(value) == PAIR and isinstance(value[0], str)


def _spoken(data: Mapping[str, Any], amount: Money | None) -> Mapping[str, Any]:
    """Write units as amounts and times as times."""
    return {name: _value(name, value, amount) for name, value in data.items()}


def _value(name: str, value: object, amount: Money | None) -> object:
    if isinstance(value, int) and value and not isinstance(value, bool):
        if name.endswith("_units") and amount is not None:
            return grouped(Money(value, amount.asset))
        if name.endswith(("_at", "_since", "until", "at")) and value > SOME_TIME_AGO // SECOND:
            # A pool's books count in seconds.
            return f"{utc(value if value > SOME_TIME_AGO else value * SECOND)} UTC"
    if isinstance(value, list):
        return [_spoken(one, amount) if isinstance(one, Mapping) else one for one in value]
    return value


def pairs(data: Mapping[str, Any]) -> Pairs:
    """Write what is plain and says something as names and texts."""
    return [
        (plain(_NAMES.get(name, name).removesuffix("_units")), "yes" if value is True else _short(str(value)))
        for name, value in data.items()
        if name not in _UNTOLD and value not in ("", None, 0, False) and not isinstance(value, list | dict)
    ]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def tables(data: Mapping[str, Any]) -> list[tuple[str, list[Pairs]]]:
    """Give the lists among what a record keeps, such as its attempts, each entry as names and texts."""
    return [(plain(name), _rows(value)) for name, value in data.items() if isinstance(value, list) and value]


def _rows(value: Sequence[Any]) -> list[Pairs]:
    if all(map(_is_pair, value)):
        return [pairs({str(name): one for name, one in value})]
    return [pairs(one) if isinstance(one, Mapping) else [("", str(one))] for one in value]


# ── where it is ──────────────────────────────────────────────────────────────────────────────────────────────────────

MOST_LINKS = 50

_ID = re.compile(r"[a-z][a-z_]{1,31}-[0-9]{2}-[a-z2-7]{16}")

Line = Callable[[Any], str]

_WHERE: Mapping[str, Mapping[str, Line]] = {
    "pool": {
        p.DUE: lambda _: "On the miner's balance, in the pool's books.",
        p.DEBITED: lambda _: "Pending in the pool's books: off the miner's balance, and not sent as far as is known.",
        p.SENT: lambda data: f"Pending in the pool's books, and on its way to {data.to}.",
        p.PAID: lambda data: f"With the miner, at {data.to}.",
        p.SKIPPED: lambda _: "On the miner's balance, in the pool's books: nothing was taken.",
        p.CREDITED: lambda _: "Back on the miner's balance, in the pool's books.",
        p.HALTED: lambda _: "Not known: chain, lane and the pool's books contradict each other.",
    },
    "payment": {
        t.QUEUED: lambda _: "With the lane: nothing is signed for it.",
        t.SENDING: lambda data: (
            f"On its way to {data.to or 'a new contract'}; until its block is deep, it may be in either place."
        ),
        t.SETTLED: lambda data: f"With {data.to or 'the new contract'}.",
        t.SHORT: lambda data: f"In part with {data.to}: the token kept the rest.",
        t.FAILED: lambda _: "With the lane: it is proven that it did not go out.",
    },
    "transaction": {
        t.SIGNED: lambda data: f"With the sender {data.sender}, until it is mined.",
        t.SENT: lambda data: f"With the sender {data.sender}, until it is mined.",
        t.MINED: lambda data: f"Where it was sent, if block {data.block} stays.",
        t.FINAL: lambda _: "Where it was sent.",
        t.REVERTED: lambda data: f"With the sender {data.sender}, less the fee.",
        t.DISPLACED: lambda data: f"Not moved by this: {data.hash or 'another transaction'} used nonce {data.nonce}.",
    },
    "bounty": {
        b.PAID: lambda data: f"With {data.winner_login}, at {data.payout_address}.",
        b.REFUNDED: lambda data: f"Given back to {data.refund_to}.",
    },
}


@dataclass(frozen=True, slots=True)
class Hash:
    """A transaction of a record."""

    hash: str
    link: str
    """Where people look at it; empty where nobody said."""


def explorers_of(record: Record[Any], board: DashboardExtensions) -> Mapping[str, str]:
    """Say for each source of evidence where this record's is looked at: lanes are on different chains."""
    return {**board.explorers, CHAIN: board.explorers.get(lane_of(record, board.coins, board.bounty_lane), "")}


def link_to(reference: str, explorer: str) -> str:
    """Write the address where a reference is looked at."""
    return explorer.replace("{reference}", quote(reference, safe=""))


def ether(wei: str) -> str:
    """Write wei as ether."""
    return thousands(decimal_of_wei(int(wei or "0")).removesuffix(".0"))


def money(record: Record[Any]) -> str:
    """Say where its money is; empty where its account says that."""
    place = _WHERE.get(record.machine, {}).get(record.state)
    if place is not None:
        return place(record.data)
    if record.machine == "bounty":
        wallet = record.data.contract_address
        return f"In the wallet {wallet}." if wallet else "It has no wallet yet."
    return ""


def pays(record: Record[Any]) -> str:
    """Say what it moves on the chain, where it has no amount in the books."""
    data = record.data
    if record.machine == "payment":
        if data.token is not None:
            return f"{data.value_wei} units of the token {data.token} to {data.to}"
        call = " with a call" if data.data != "0x" else ""
        return f"ETH {ether(data.value_wei)} to {data.to or 'a new contract'}{call}"
    if record.machine == "transaction":
        fee = f", for a fee of ETH {ether(data.fee_wei)}" if data.fee_wei else ""
        many = f" for {len(data.members)} payments" if data.batch else ""
        return f"ETH {ether(data.value_wei)} to {data.to or 'a new contract'}{many}{fee}"
    if record.machine == "bounty":
        return f"whoever solves {data.place.path}: {data.title}"
    return ""


def hashes(record: Record[Any], board: DashboardExtensions) -> list[Hash]:
    """List the transactions that a record names, the newest first."""
    data = record.data
    match record.machine:
        case "transaction":
            found = [data.hash, *(one.hash for one in reversed(data.attempts))]
        case "payment" | "pool":
            found = [data.hash]
        case "bounty":
            found = [data.payout_hash, data.execute_hash, data.transaction_hash]
        case "lane":
            found = [one.hash for one in data.suspects]
        case _:
            found = []
    explorer = board.explorers.get(lane_of(record, board.coins, board.bounty_lane), "")
    return [Hash(one, link_to(one, explorer)) for one in dict.fromkeys(found) if one]


def related(record: Record[Any], board: DashboardExtensions, shards: int) -> list[tuple[str, RecordId]]:
    """List records that belong to it, each with what it is to it; some may not exist yet."""
    return list(dict.fromkeys(_related(record, lane_of(record, board.coins, board.bounty_lane), shards)))[:MOST_LINKS]


def _related(record: Record[Any], lane: str, shards: int) -> Iterable[tuple[str, RecordId]]:
    data = record.data
    match record.machine:
        case "payment":
            payer = _ID.match(data.key)
            if payer:
                yield "Pays for", RecordId(payer[0])
            if data.transaction:
                yield "Its transaction", data.transaction
        case "transaction":
            yield from (("Carries", one) for one in data.members)
        case "lane":
            yield from (("Suspect", one.payment) for one in data.suspects)
        case "pool" if lane:
            yield "Its payment in the lane", payment_id(lane, PaymentKey(record.id), shards)
        case "payout" if lane:
            keys = [PaymentKey(one.reference) for one in data.attempts]
            yield from (("Its payment in the lane", payment_id(lane, key, shards)) for key in keys)
        case "bounty" if lane:
            yield from _of_bounty(record, lane, shards)
        case _:
            return


def _of_bounty(record: Record[Any], lane: str, shards: int) -> Iterable[tuple[str, RecordId]]:
    for failed in range(record.data.deploys + 1):
        yield "Makes its wallet", payment_id(lane, PaymentKey(deploy_key(record.id, failed)), shards)
    for one in record.data.attempts:
        key = approval_key(record.id, one.proposal.number)
        yield "Approves it", payment_id(lane, PaymentKey(key), shards)
