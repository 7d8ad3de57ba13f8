"""Where the money of a record is that pays over a chain, what belongs to it, and where that is looked at. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from machines.bounty import lifecycle as b
from machines.bounty.data import approval_key, deploy_key
from machines.core.ids import RecordId
from machines.core.ports import PaymentKey
from machines.core.record import Record
from machines.pool import lifecycle as p
from machines.transaction import lifecycle as t
from machines.transaction.data import owner_of_lane, payment_id
from payflow.shown import thousands
from payflow.web.pages.admin.frame import DashboardExtensions

CHAIN = "ethereum"
"""What evidence from a chain calls its source, whichever lane it is about."""
MOST_LINKS = 50
ETHER_DIGITS = 18

_ID = re.compile(r"[a-z][a-z_]{1,31}-[0-9]{2}-[a-z2-7]{16}")
_LANE = owner_of_lane("")

Line = Callable[[Any], str]

_POOL: Mapping[str, Line] = {
    p.DUE: lambda _: "On the miner's balance, in the pool's books.",
    p.DEBITED: lambda _: "Pending in the pool's books: off the miner's balance, and not sent as far as is known.",
    p.SENT: lambda data: f"Pending in the pool's books, and on its way to {data.to}.",
    p.PAID: lambda data: f"With the miner, at {data.to}.",
    p.SKIPPED: lambda _: "On the miner's balance, in the pool's books: nothing was taken.",
    p.CREDITED: lambda _: "Back on the miner's balance, in the pool's books.",
    p.HALTED: lambda _: "Not known: chain, lane and the pool's books contradict each other.",
}
_PAYMENT: Mapping[str, Line] = {
    t.QUEUED: lambda _: "With the lane: nothing is signed for it.",
    t.SENDING: lambda data: (
        f"On its way to {data.to or 'a new contract'}; until its block is deep, it may be in either place."
    ),
    t.SETTLED: lambda data: f"With {data.to or 'the new contract'}.",
    t.SHORT: lambda data: f"In part with {data.to}: the token kept the rest.",
    t.FAILED: lambda _: "With the lane: it is proven that it did not go out.",
}
_TRANSACTION: Mapping[str, Line] = {
    t.SIGNED: lambda data: f"With the sender {data.sender}, until it is mined.",
    t.SENT: lambda data: f"With the sender {data.sender}, until it is mined.",
    t.MINED: lambda data: f"Where it was sent, if block {data.block} stays.",
    t.FINAL: lambda _: "Where it was sent.",
    t.REVERTED: lambda data: f"With the sender {data.sender}, less the fee.",
    t.DISPLACED: lambda data: f"Not moved by this: {data.hash or 'another transaction'} used nonce {data.nonce}.",
}
_BOUNTY: Mapping[str, Line] = {
    b.PAID: lambda data: f"With {data.winner_login}, at {data.payout_address}.",
    b.REFUNDED: lambda data: f"Given back to {data.refund_to}.",
}
_WHERE: Mapping[str, Mapping[str, Line]] = {
    "pool": _POOL,
    "payment": _PAYMENT,
    "transaction": _TRANSACTION,
    "bounty": _BOUNTY,
}


@dataclass(frozen=True, slots=True)
class Hash:
    """A transaction of a record."""

    hash: str
    link: str
    """Where people look at it; empty where nobody said."""


def lane_of(record: Record[Any], board: DashboardExtensions) -> str:
    """Name the lane that a record's transactions are in; empty where there is none."""
    if record.owner.startswith(_LANE):
        return record.owner.removeprefix(_LANE)
    if record.machine == "pool":
        return board.coins.get(record.data.coin, "")
    if record.machine == "bounty":
        return board.bounty_lane
    rail = getattr(record.data, "rail", "")
    return rail if isinstance(rail, str) else ""


def explorers_of(record: Record[Any], board: DashboardExtensions) -> Mapping[str, str]:
    """Say for each source of evidence where this record's is looked at: lanes are on different chains."""
    return {**board.explorers, CHAIN: board.explorers.get(lane_of(record, board), "")}


def link_to(reference: str, explorer: str) -> str:
    """Write the address where a reference is looked at."""
    return explorer.replace("{reference}", quote(reference, safe=""))


def ether(wei: str) -> str:
    """Write wei as ether."""
    digits = wei.rjust(ETHER_DIGITS + 1, "0")
    fraction = digits[-ETHER_DIGITS:].rstrip("0")
    return thousands(f"{digits[:-ETHER_DIGITS]}.{fraction}" if fraction else digits[:-ETHER_DIGITS])


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
    explorer = board.explorers.get(lane_of(record, board), "")
    return [Hash(one, link_to(one, explorer)) for one in dict.fromkeys(found) if one]


def related(record: Record[Any], board: DashboardExtensions, shards: int) -> list[tuple[str, RecordId]]:
    """List records that belong to it, each with what it is to it; some may not exist yet."""
    return list(dict.fromkeys(_related(record, lane_of(record, board), shards)))[:MOST_LINKS]


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
