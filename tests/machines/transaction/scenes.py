"""Records and facts that tests of lanes think with. No I/O and no clock."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from machines.core.chain import Address, GasFee, Log, NodeAnswer, NodeReply, Receipt, Seen, TxHash
from machines.core.clock import Millis
from machines.core.decision import New
from machines.core.facts import Fact, LostSight, Nothing, Refused
from machines.core.ids import RecordId
from machines.core.ports import PaymentKey
from machines.core.record import Record
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.data import (
    ETHER,
    LaneData,
    LaneRecord,
    PaymentData,
    PaymentRecord,
    SignedAttempt,
    Suspect,
    TransactionData,
    TransactionRecord,
    owner_of_lane,
    payment_id,
    transaction_id,
)
from machines.transaction.react import transaction as transaction_machine

React = Callable[[Any, Fact, Millis], Any]

NOW = Millis(1_800_000_000_000)
GWEI = 10**9
US = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
ADA = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
TOKEN = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
FEE = GasFee(20 * GWEI, GWEI)


def hash_of(number: int) -> TxHash:
    """Make up a hash."""
    return TxHash(f"0x{number:064x}")


def record(machine: str, record_id: RecordId, state: str, data: Any) -> Record[Any]:  # noqa: ANN401
    """Make a record of any machine."""
    return Record(record_id, machine, state, 3, owner_of_lane("one"), None, data, NOW, NOW)


def lane(state: str = s.OPEN, **changes: Any) -> LaneRecord:
    """Make a lane."""
    return record("lane", RecordId("lane-01-aaaaaaaaaaaaaaaa"), state, replace(LaneData("one", 1, US, 7), **changes))


def payment(number: int = 1, state: str = s.QUEUED, **changes: Any) -> PaymentRecord:
    """Make a payment of 1 gwei to Ada."""
    key = PaymentKey(f"p-{number}")
    data = replace(PaymentData(key, ADA, str(GWEI), batchable=True), **changes)
    return record("payment", payment_id("one", key, 4), state, data)


def transaction(state: str = s.SENT, nonce: int = 7, **changes: Any) -> TransactionRecord:
    """Make a transaction with one attempt and one payment."""
    attempt = SignedAttempt(hash_of(nonce), "0x02", FEE, sent=state != s.SIGNED)
    data = TransactionData("one", 1, US, nonce, ADA, str(GWEI), "0x", 21_000, (attempt,), (payment().id,))
    return record("transaction", transaction_id("one", nonce, 4), state, replace(data, **changes))


def carried(by: TransactionRecord, number: int = 1, **changes: Any) -> PaymentRecord:
    """Make a payment that a transaction carries."""
    return payment(number, s.SENDING, transaction=by.id, nonce=by.data.nonce, **changes)


def receipt(tx: TxHash, *, ok: bool = True, block: int = 50, logs: tuple[Log, ...] = ()) -> Receipt:
    """Make a receipt."""
    return Receipt(tx, block, hash_of(block), ok, 21_000, GWEI, None, logs)


def seen(tx: TxHash = hash_of(99), *, nonce: int = 7, to: Address | None = ADA, wei: int = 5, data: str = "0x") -> Seen:  # noqa: B008
    """Show a transaction that is not ours."""
    return Seen(tx, US, nonce, to, wei, data, 50)


def signing(nonce: int = 7, *members: PaymentRecord) -> f.Signing:
    """Sign for some payments."""
    made = transaction(s.SIGNED, nonce, members=tuple(one.id for one in members))
    return f.Signing(New(made.id, "transaction", made.owner, None, made.data), members)


def facts_for(about: TransactionRecord) -> list[Fact]:
    """List one fact at least of every kind, true and false ones, of this attempt and of another."""
    member, ours, other = carried(about), about.data.newest.hash, hash_of(1234)
    suspects = (Suspect(hash_of(99), 7, payment(2).id),)
    return [
        Nothing(),
        Refused("no"),
        LostSight("perhaps"),
        f.Broadcast(ours, NodeAnswer(NodeReply.ACCEPTED), NOW),
        f.Broadcast(other, NodeAnswer(NodeReply.REFUSED, "no"), NOW),
        f.Bumped(SignedAttempt(hash_of(8), "0x", GasFee(30 * GWEI, 2 * GWEI)), "late"),
        f.Mined(ours, 50, hash_of(50)),
        f.Unmined((member,), deep=False),
        f.Unmined((member,), deep=True),
        f.Rooted(),
        f.Finished(receipt(ours), (member,)),
        f.Finished(receipt(ours, ok=False), (member,)),
        f.Finished(receipt(other), (member,)),
        f.Finished(receipt(ours), (payment(state=s.SETTLED, transaction=about.id),), frozenset({0})),
        f.Displaced(seen(), receipt(hash_of(99)), (member,)),
        f.Displaced(seen(), receipt(hash_of(99)), (member,), frozenset({0})),
        f.Displaced(seen(), receipt(hash_of(99)), (member,), lane=lane(), suspects=suspects),
        f.Displaced(seen(), receipt(hash_of(99)), (member,), lane=lane(s.HALTED), suspects=suspects),
        f.BumpAsked("ada"),
        f.CancelAsked("ada", "wrong"),
        f.Looked(8, (signing(7, payment()),), (f.UnpayablePayment(payment(2), "it throws"),), "money", ETHER, 0.0),
        f.Looked(7),
        f.FoundOutside(8, (seen(),), ()),
        f.FoundOutside(8, (seen(),), suspects),
        f.Adopted("ada", "looked", ((payment(2), hash_of(99)),)),
        f.Adopted("ada", "looked"),
        f.Withdrawn("ada", "wrong"),
    ]


REACT: React = transaction_machine({}).react
