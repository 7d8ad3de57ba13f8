"""What operators see of lanes, and do to them: offer more for a nonce, take a payment back, say what others paid."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from machines.core.chain import TxHash
from machines.core.clock import HOUR
from machines.core.errors import BadInput, Conflict, NotFound
from machines.core.facts import Fact
from machines.core.ids import RecordId, parse_id
from machines.core.money import ETH, MAX_UNITS, Asset, Money
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.calldata import balance_of, number
from machines.transaction.data import LaneRecord, PaymentRecord, Suspect, lane_id, owner_of_lane
from machines.transaction.ports import Lane
from payflow.config import Settings
from payflow.desk.dual_control import DualControl, Verb
from payflow.desk.person import Person, because
from payflow.desk.records import revived, tell
from payflow.store.registers.proposals import Proposal
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from adapters.ethereum.endpoint import NodeStatistics

LANE, PAYMENT, TRANSACTION = "lane", "payment", "transaction"
TRUSTING = "lane trust"
MOST_HOURS = 24

Word: TypeAlias = Fact | Callable[[LaneRecord], Awaitable[Fact]]
"""What somebody says, or what is made of it right before it is said."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What would be said of the transactions from outside that stopped a lane."""

    lane: LaneRecord
    paid: Sequence[tuple[PaymentRecord, TxHash]]
    unpaid: Sequence[Suspect]
    """The lane pays these itself."""


class LaneSteering:
    """The same for dashboard and command line; each act has its reason, in the audit log."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    async def bump(self, transaction: RecordId, who: str, reason: str) -> None:
        """Offer more for a transaction that waits, at the same nonce and up to the lane's ceiling."""
        await self._tell(TRANSACTION, transaction, f.BumpAsked(who), "bump", who, reason)

    async def cancel(self, transaction: RecordId, who: str, reason: str) -> None:
        """Use up the nonce of a transaction with nothing; which one wins, the chain says."""
        await self._tell(TRANSACTION, transaction, f.CancelAsked(who, reason), "cancel", who, reason)

    async def withdraw(self, payment: RecordId, who: str, reason: str, lane: str = "") -> None:
        """Take back a payment that nothing is signed for; of a certain lane, where one is named."""
        if lane and parse_id(payment)[0] == PAYMENT:
            record: PaymentRecord = (await self._store.records.read(payment)).record
            if record.owner != owner_of_lane(lane):
                raise BadInput(f"{payment} is no payment of the lane {lane}.")
        await self._tell(PAYMENT, payment, f.Withdrawn(who, reason), "withdraw", who, reason)

    async def adoption(self, lane: RecordId, paid: Iterable[str]) -> Adoption:
        """Say what adopting would mean; `paid` names suspects by their payments, with the hash where it takes one."""
        record: LaneRecord = (await self._store.records.read(lane)).record
        if record.state != s.HALTED and not record.data.suspects:
            raise BadInput(f"The lane {record.data.name} has no suspects: there is nothing to adopt.")
        chosen = [_suspect(record, name) for name in dict.fromkeys(paid)]
        if len({one.payment for one in chosen}) < len(chosen):
            raise BadInput("One payment is named twice: say which of the transactions paid it.")
        payments = [await revived(self._store, one.payment, "somebody else paid it") for one in chosen]
        for payment in payments:
            if payment.state == s.SENDING:
                raise BadInput(
                    f"{payment.id} is under way at nonce {payment.data.nonce}, and would be paid twice. First: "
                    f"payflow lane cancel {record.data.name} {payment.data.nonce} --reason …; adopt it when it waits "
                    "again."
                )
        named = {one.payment for one in chosen}
        return Adoption(
            record,
            list(zip(payments, [one.hash for one in chosen], strict=True)),
            [one for one in record.data.suspects if one.payment not in named],
        )

    async def adopt(self, meant: Adoption, who: str, reason: str) -> None:
        """Say it, unless the lane changed since, and let the lane go on: it pays all others."""

        async def unless_changed(lane: LaneRecord) -> Fact:
            if lane.version != meant.lane.version:
                raise Conflict(f"{lane.id} changed while you were looking at it: look again.")
            return f.Adopted(who, reason, tuple(meant.paid))

        await self._tell(LANE, meant.lane.id, unless_changed, "adopt", who, reason)

    async def _tell(self, machine: str, record_id: RecordId, word: Word, act: str, who: str, reason: str) -> None:
        if parse_id(record_id)[0] != machine:
            raise BadInput(f"{record_id} is no {machine}.")
        why = because(reason, "Say why (--reason): it is kept for whoever asks later.")
        async with self._store.audit.doing(who, act, record_id, why):
            await tell(self._store, self._metrics, record_id, word, who)


def suspect_name(one: Suspect) -> str:
    """Name a suspect so that it is no other, even where several transactions may have paid one payment."""
    return f"{one.payment} {one.hash}"


def _suspect(lane: LaneRecord, name: str) -> Suspect:
    payment, _, tx = name.strip().partition(" ")
    found = [one for one in lane.data.suspects if one.payment == payment and tx in ("", one.hash)]
    if not found:
        raise BadInput(f"{name[:120]!r} is no suspect of the lane {lane.data.name} any more: look again.")
    if len(found) > 1:
        names = " or ".join(repr(suspect_name(one)) for one in found)
        raise BadInput(f"More than one transaction may have paid {payment}: name the one that did, as {names}.")
    return found[0]


# ── one node's word, which takes two people ──────────────────────────────────────────────────────────────────────────


def trust(store: Store, metrics: Metrics) -> Verb:
    """Give the act that lets the word of one node count alone for a time: where too few others can say the same."""

    def says(one: Proposal) -> list[str]:
        node, hours = one.seen["node"], one.seen["hours"]
        return [
            f"For {hours} hours from then on the word of the node {node} counts alone in the lane {one.subject}.",
            "What it says of the chain is taken for proof, unless enough of the others say something else.",
        ]

    async def do(one: Proposal, second: Person) -> str:
        until = await store.records.now() + int(one.seen["hours"]) * HOUR
        fact = f.Trusted(one.seen["node"], until, f"{one.by} and {second.name}", one.reason)
        await tell(store, metrics, lane_id(one.subject, store.records.shards), fact, second.name)
        return f"For {one.seen['hours']} hours the word of {one.seen['node']} counts alone in the lane {one.subject}."

    return Verb(TRUSTING, says, do)


async def propose_trust(two: DualControl, lane: str, node: str, hours: int, reason: str, person: Person) -> Proposal:
    """Put it before a second person."""
    if not 0 < hours <= MOST_HOURS:
        raise BadInput(f"A node's word may count alone for 1 to {MOST_HOURS} hours: by then bring back the others.")
    return await two.propose(TRUSTING, lane, {"node": node, "hours": str(hours)}, reason, person)


def lane_with_node(nodes: Mapping[str, Sequence[str]], node: str) -> str:
    """Tell which lane has a node; it is named where several have it."""
    having = [lane for lane, names in nodes.items() if node in names]
    if not having:
        known = dict.fromkeys(name for names in nodes.values() for name in names)
        raise NotFound(f"No lane has a node {node[:100]}; there is {', '.join(known)}.")
    if len(having) > 1:
        raise BadInput(f"More than one lane has the node {node}: {', '.join(having)}. Name one with --lane.")
    return having[0]


# ── how a lane does ───────────────────────────────────────────────────────────────────────────────────────────────────


WEI_PER_GWEI = 10**9


@dataclass(frozen=True, slots=True)
class LaneNode:
    """One node of a lane."""

    name: str
    lag_blocks: int
    """How far it is behind the best."""
    rests: bool = False
    """Whether it did not answer when it was asked last."""


@dataclass(frozen=True, slots=True)
class LaneSheet:
    """What the chain says about a lane."""

    holds: Sequence[Money]
    nodes: Sequence[LaneNode]


def ledger_of(settings: Settings, lane: str) -> dict[str, Asset]:
    """Give the assets of a lane's tokens, as the ledger counts them."""
    given = settings.lanes.get(lane)
    return {code: Asset(code, one.ledger_decimals) for code, one in given.tokens.items()} if given else {}


async def lane_sheet(lane: Lane, assets: dict[str, Asset]) -> LaneSheet:
    """Ask every node of a lane where the chain stands, and one of them what the lane has."""
    before = {node.name: sum(node.errors.values()) for node in node_figures(lane)}
    await lane.chain.head()
    holds = await lane_holds(lane, assets)
    nodes = [
        LaneNode(one.name, one.lag_blocks, sum(one.errors.values()) > before[one.name]) for one in node_figures(lane)
    ]
    return LaneSheet(holds, nodes)


def node_figures(lane: Lane) -> "Sequence[NodeStatistics]":
    from adapters.ethereum.node import Nodes  # noqa: PLC0415  (slow to import, and only where there is a lane)

    return lane.chain.figures() if isinstance(lane.chain, Nodes) else ()


async def lane_holds(lane: Lane, assets: dict[str, Asset]) -> Sequence[Money]:
    """Say what a lane has, rounded down to what the ledger counts."""
    wei = await lane.chain.balance(lane.signer.address)
    held = [Money(min(wei // WEI_PER_GWEI, MAX_UNITS), ETH)]
    for code, token in lane.tokens.items():
        if code in assets:
            units = number(await lane.chain.call(token.address, balance_of(lane.signer.address)))
            held.append(Money(min(units * 10 ** assets[code].decimals // 10**token.decimals, MAX_UNITS), assets[code]))
    return held
