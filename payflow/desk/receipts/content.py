"""What a receipt says of a record. Pure: the same record, history and proof give the same words.

It never says that something is paid without the rail's own evidence, and whoever is paid sees no name of those who work
here, and nothing that they said to each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from machines.bounty import lifecycle as b
from machines.core.clock import Millis
from machines.core.ids import called
from machines.core.lifecycle import OVERRIDE, Lifecycle
from machines.core.money import Money
from machines.core.ports import Evidence
from machines.core.record import Record
from machines.payout import lifecycle as s
from machines.payout.data import Attempt
from machines.pool import lifecycle as p
from machines.pool.data import sent_of
from machines.transaction import lifecycle as t
from payflow.shown import iso
from payflow.store.codec import HistoryEvent
from payflow.telemetry.logs import redacted

if TYPE_CHECKING:
    from adapters.ethereum.inclusion import Inclusion

PAID, REVERSED, UNPAID, UNDER_WAY = "PAID", "REVERSED", "NOT PAID", "NOT KNOWN YET"
IN_PART, REFUNDED = "PAID IN PART", "GIVEN BACK TO WHO FUNDED IT"
UNPROVEN = "SAID TO BE PAID, WITHOUT PROOF"
UNSEEN = "NOT SEEN DEEP IN THE CHAIN NOW"

CHAIN = "ethereum"
"""What evidence from a chain calls its source, whichever lane it is about."""

_SAYS: Mapping[str, Mapping[str, str]] = {
    "payout": {
        s.COMPLETED: PAID, s.CONTRADICTED: PAID, s.REVERSED: REVERSED,
        s.FAILED: UNPAID, s.REJECTED: UNPAID, s.CANCELLED: UNPAID,
    },
    "pool": {p.PAID: PAID, p.SKIPPED: UNPAID, p.CREDITED: UNPAID},
    "payment": {t.SETTLED: PAID, t.SHORT: IN_PART, t.FAILED: UNPAID},
    "bounty": {b.PAID: PAID, b.REFUNDED: REFUNDED},
}  # fmt: skip
_PROVEN = frozenset({PAID, IN_PART, REVERSED, REFUNDED})


@dataclass(frozen=True, slots=True)
class OnChain:
    """How a payment is shown to be in a chain, to whoever has no node."""

    chain_id: int
    block: int
    depth: int
    """Blocks that bury it, its own included, when this was written."""
    pays: Mapping[str, str]
    """What in the transaction pays: its `how`, and what that needs."""
    proof: "Inclusion | None"
    """None on a chain whose blocks cannot be written down as it hashes them."""


@dataclass(frozen=True, slots=True)
class ReceiptSource:
    """What a receipt is made of."""

    record: Record[Any]
    lifecycle: Lifecycle
    events: Sequence[HistoryEvent]
    head: bytes
    """The hash of the newest event."""
    evidence: Evidence | None
    chain: OnChain | None
    unseen: bool = False
    """Whether the chain does not show now, or not deep enough, what the record holds for proven."""


def kinds() -> Iterable[str]:
    """Name the machines whose records have receipts."""
    return _SAYS.keys()


def needs_proof(record: Record[Any]) -> bool:
    """Whether its state says that something was paid."""
    return _said(record) in _PROVEN


def _said(record: Record[Any]) -> str:
    return _SAYS[record.machine].get(record.state, UNDER_WAY)


def says(seen: ReceiptSource) -> str:
    """Say in a word or two what became of it."""
    said = _said(seen.record)
    if said in _PROVEN and seen.evidence is None:
        return UNPROVEN if said == PAID else UNDER_WAY
    return UNSEEN if said in _PROVEN and seen.unseen else said


def body(seen: ReceiptSource, installation: str, status: str, at: Millis, *, staff: bool) -> dict[str, Any]:
    """Write all of it down: texts, numbers that are whole, lists and maps."""
    record = seen.record
    found: dict[str, Any] = {
        "format": "payflow receipt 1",
        "installation": installation,
        "id": record.id,
        "kind": record.machine,
        "says": says(seen),
        "state": record.state,
        "made_at": iso(at),
        "asked_at": iso(record.created_at),
        "owner": record.owner if staff else called(record.owner),
        **_amounts(record),
        **_parties(record),
        "events": [_event(one, seen, staff=staff) for one in seen.events if staff or one.trigger or one.version == 1],
        "history": {"version": record.version, "hashes": [one.hex() for one in _hashes(seen)]},
    }
    if status:
        found["status"] = status
    if record.machine == "payout":
        found |= _payout(record, staff=staff)
    if seen.evidence is not None:
        details = dict(seen.evidence.details)
        found["evidence"] = {"source": seen.evidence.source, "reference": seen.evidence.reference, "details": details}
    if seen.chain is not None:
        found["chain"] = _chain(seen.chain)
    return found


def _hashes(seen: ReceiptSource) -> list[bytes]:
    """Give the chain over the history: the hash of each event, up to the newest."""
    return [*(one.before for one in seen.events[1:]), seen.head]


def _event(event: HistoryEvent, seen: ReceiptSource, *, staff: bool) -> dict[str, Any]:
    state = seen.lifecycle.states.get(event.state)
    public = state.public if state is not None and state.public else event.state
    found: dict[str, Any] = {"at": iso(event.at), "version": event.version, "state": event.state if staff else public}
    if event.trigger:
        found["move"] = event.trigger
    if staff:
        return found | {"who": event.who, "why": str(redacted(event.why or event.fact))}
    if event.trigger == OVERRIDE:
        found["by"] = "an operator, by hand"
    return found


def _amounts(record: Record[Any]) -> dict[str, Any]:
    if record.amount is None:
        return {}
    amount, data = record.amount, record.data
    found = {"amount": _money(amount)}
    if record.machine == "pool":
        return found | {"arrives": _money(sent_of(record))}
    if record.machine == "payout" and (data.assessed or record.state != s.REQUESTED):
        found |= {
            "fee": _money(Money(data.fee_units, amount.asset)),
            "arrives": _money(Money(data.send_units, amount.asset)),
        }
    return found


def _money(money: Money) -> dict[str, str]:
    return {"asset": money.asset.code, "amount": money.decimal}


def _parties(record: Record[Any]) -> dict[str, str]:
    """Say to whom it goes, as far as a page shows it."""
    data = record.data
    match record.machine:
        case "payout":
            return {"to": data.shown, "method": data.method, **({"note": data.note} if data.note else {})}
        case "bounty":
            return {"to": data.payout_address, "winner": data.winner_login, "for": f"{data.place.path}: {data.title}"}
        case _:
            return {"to": str(data.to or "a new contract")}


def _payout(record: Record[Any], *, staff: bool) -> dict[str, Any]:
    data = record.data
    approvals = [one for one in data.approvals if one.fingerprint == data.fingerprint]
    found: dict[str, Any] = {
        "rail": data.rail,
        "approvals": [
            {"at": iso(one.at), "by": one.by if staff else f"reviewer {number}"}
            for number, one in enumerate(approvals, 1)
        ],
        "attempts": [_attempt(one, data, staff=staff) for one in data.attempts],
    }
    if not approvals and record.data.assessed and record.data.attempts:
        found["approved_by"] = "rules"
    if staff:
        found |= {"asked_by": data.requested_by, "findings": [one.code for one in data.findings]}
    if data.also_paid:
        found["also_paid"] = list(data.also_paid)
    return found


def _attempt(one: Attempt, data: Any, *, staff: bool) -> dict[str, str]:  # noqa: ANN401  (PayoutData)
    # Why is told to those who work here: that our wallet was empty is nobody else's to read.
    why = f": {redacted(one.failed)}" if staff else ""
    outcome = "paid" if data.is_paid(one.reference) else f"failed{why}" if one.failed else "open"
    found = {"reference": one.reference, "outcome": outcome}
    return found | ({"opened_at": iso(one.opened_at)} if one.opened_at else {})


def _chain(on: OnChain) -> dict[str, Any]:
    found: dict[str, Any] = {
        "chain_id": on.chain_id,
        "block": on.block,
        "depth": on.depth,
        "pays": dict(on.pays),
    }
    if on.proof is not None:
        found["proof"] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(on.proof).items()
        }
    return found
