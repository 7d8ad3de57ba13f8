"""What operators see of lanes, and do to them: offer more for a nonce, take a payment back, say what others paid."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from machines.core.chain import TxHash
from machines.core.clock import HOUR
from machines.core.errors import BadInput, Conflict, NotFound
from machines.core.facts import Fact, Proof
from machines.core.ids import RecordId, parse_id
from machines.core.money import ETH, MAX_UNITS, Asset, Money
from machines.core.record import Record
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.calldata import balance_of, number
from machines.transaction.data import LaneRecord, PaymentRecord, Suspect, TransactionRecord, lane_id, owner_of_lane
from machines.transaction.ports import Lane
from payflow.config import Settings
from payflow.desk.dual_control import DualControl, Verb, both
from payflow.desk.identity import takes_two
from payflow.desk.person import Person, because
from payflow.desk.records import reading_of, revived, tell
from payflow.store.registers.proposals import Proposal
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from adapters.ethereum.endpoint import NodeStatistics

LANE, PAYMENT, TRANSACTION = "lane", "payment", "transaction"
TRUSTING, CANCELLING, ADOPTING = "lane trust", "lane cancel", "lane adopt"
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

    @property
    def seen(self) -> dict[str, str]:
        """What a second person must find as it was."""
        paid = [f"{one.id} {tx}" for one, tx in self.paid]
        return {
            "version": str(self.lane.version),
            "paid": "\n".join(paid),
            "unpaid": "\n".join(suspect_name(one) for one in self.unpaid),
        }


class LaneSteering:
    """The same for dashboard and command line; each act has its reason, in the audit log."""

    def __init__(self, store: Store, metrics: Metrics, two: DualControl) -> None:
        self._store = store
        self._metrics = metrics
        self._two = two

    async def bump(self, transaction: RecordId, who: str, reason: str) -> None:
        """Offer more for a transaction that waits, at the same nonce and up to the lane's ceiling."""
        await self._tell(TRANSACTION, transaction, f.BumpAsked(who), "bump", who, reason)

    async def cancel(self, transaction: RecordId, who: Person, reason: str) -> Proposal | None:
        """Use up the nonce of a transaction with nothing; proposes it where two operate."""
        _refuse_other(transaction, TRANSACTION)
        if not await self.takes_two():
            await cancelled(self._store, self._metrics, transaction, who.name, reason)
            return None
        record: TransactionRecord = (await self._store.records.read(transaction)).record
        return await self._two.propose(CANCELLING, transaction, _of_transaction(record), because(reason, WHY), who)

    async def takes_two(self) -> bool:
        """Whether what uses up a nonce, or opens a lane, is put before a second person."""
        return await takes_two(self._store)

    async def withdraw(self, payment: RecordId, who: str, reason: str, lane: str = "") -> None:
        """Take back a payment that nothing is signed for; of a certain lane, where one is named."""
        if lane and parse_id(payment)[0] == PAYMENT:
            record: PaymentRecord = (await self._store.records.read(payment)).record
            if record.owner != owner_of_lane(lane):
                raise BadInput(f"{payment} is no payment of the lane {lane}.")
        await self._tell(PAYMENT, payment, f.Withdrawn(who, reason), "withdraw", who, reason)

    async def adoption(self, lane: RecordId, paid: Iterable[str]) -> Adoption:
        """Say what adopting would mean; `paid` names suspects by their payments, with the hash where it takes one."""
        return await adoption_of(self._store, lane, paid)

    async def adopt(self, meant: Adoption, who: Person, reason: str) -> Proposal | None:
        """Say it, and let the lane go on: it pays all others; proposes it where two operate."""
        if not await self.takes_two():
            await adopted(self._store, self._metrics, meant, who.name, reason)
            return None
        return await self._two.propose(ADOPTING, meant.lane.id, meant.seen, because(reason, WHY), who)

    async def _tell(self, machine: str, record_id: RecordId, word: Word, act: str, who: str, reason: str) -> None:
        _refuse_other(record_id, machine)
        await _said(self._store, self._metrics, record_id, word, act, who, reason)


WHY = "Say why (--reason): it is kept for whoever asks later."


def _refuse_other(record_id: RecordId, machine: str) -> None:
    if parse_id(record_id)[0] != machine:
        raise BadInput(f"{record_id} is no {machine}.")


async def _said(
    store: Store, metrics: Metrics, record_id: RecordId, word: Word, act: str, who: str, reason: str
) -> None:
    async def read_first(record: Record[Any]) -> Fact:
        fact = word if isinstance(word, Fact) else await word(record)
        if not isinstance(fact, f.Withdrawn | f.CancelAsked | f.Adopted):
            return fact
        reading = await reading_of(store, record)
        if (
            reading.proof is Proof.PAID
            and not store.records.machines[record.machine].lifecycle.state(record.state).final
        ):
            said = "; ".join(f"{name}: {text}" for name, text in reading.read)
            raise BadInput(f"The chain shows that {record.id} paid already ({said}): its next look will find it.")
        return replace(fact, read=reading.read)

    async with store.audit.doing(who, act, record_id, because(reason, WHY)):
        await tell(store, metrics, record_id, read_first, who)


async def cancelled(store: Store, metrics: Metrics, transaction: RecordId, who: str, reason: str) -> None:
    """Have a nonce used up by nothing."""
    await _said(store, metrics, transaction, f.CancelAsked(who, reason), "cancel", who, reason)


async def adopted(store: Store, metrics: Metrics, meant: Adoption, who: str, reason: str) -> None:
    """Say which transactions from outside paid what, unless the lane changed since."""

    async def unless_changed(lane: LaneRecord) -> Fact:
        if lane.version != meant.lane.version:
            raise Conflict(f"{lane.id} changed while you were looking at it: look again.")
        return f.Adopted(who, reason, tuple(meant.paid))

    await _said(store, metrics, meant.lane.id, unless_changed, "adopt", who, reason)


async def adoption_of(store: Store, lane: RecordId, paid: Iterable[str]) -> Adoption:
    """Say what adopting would mean."""
    record: LaneRecord = (await store.records.read(lane)).record
    if record.state != s.HALTED and not record.data.suspects:
        raise BadInput(f"The lane {record.data.name} has no suspects: there is nothing to adopt.")
    chosen = [_suspect(record, name) for name in dict.fromkeys(paid)]
    if len({one.payment for one in chosen}) < len(chosen):
        raise BadInput("One payment is named twice: say which of the transactions paid it.")
    payments = [await revived(store, one.payment, "somebody else paid it") for one in chosen]
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


def _of_transaction(record: TransactionRecord) -> dict[str, str]:
    data = record.data
    carries = str(len(data.members))
    return {"lane": data.lane, "nonce": str(data.nonce), "hash": data.newest.hash, "payments": carries}


def cancelling(store: Store, metrics: Metrics) -> Verb:
    """Give the act that uses up a nonce with nothing: what it carried may be paid anew."""

    def says(one: Proposal) -> list[str]:
        seen = one.seen
        return [
            f"Nonce {seen['nonce']} of the lane {seen['lane']}, {seen['hash']}, is used up by nothing.",
            f"It carries {seen['payments']} payments. The chain decides which of the two wins:",
            "if the empty one does, what it carried has failed, and may be paid anew.",
        ]

    async def do(one: Proposal, second: Person) -> str:
        transaction = RecordId(one.subject)
        if _of_transaction((await store.records.read(transaction)).record) != one.seen:
            raise Conflict(f"{transaction} is not what it was when this was proposed: look again.")
        await cancelled(store, metrics, transaction, both(one, second), one.reason)
        return f"Nonce {one.seen['nonce']} will be used up by nothing; if the payment was quicker, it stays paid."

    return Verb(CANCELLING, says, do)


def adopting(store: Store, metrics: Metrics) -> Verb:
    """Give the act that says what transactions from outside paid: what is wrongly left out is paid twice."""

    def says(one: Proposal) -> list[str]:
        counts = [f"Counts as paid: {name}" for name in one.seen["paid"].split("\n") if name]
        pays = [f"The lane pays: {name}" for name in one.seen["unpaid"].split("\n") if name]
        return [*counts, *pays, "What is wrongly left out is paid twice; what is wrongly named is never paid."]

    async def do(one: Proposal, second: Person) -> str:
        meant = await adoption_of(store, RecordId(one.subject), [name for name in one.seen["paid"].split("\n") if name])
        if meant.seen != one.seen:
            raise Conflict(f"{one.subject} is not what it was when this was proposed: look again.")
        await adopted(store, metrics, meant, both(one, second), one.reason)
        return f"The lane {meant.lane.data.name} goes on."

    return Verb(ADOPTING, says, do)


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
