"""What operators do to lanes, as the command line does it: offer more, use up a nonce, take back, adopt."""

from collections.abc import Sequence
from typing import Any

from machines.core.chain import TxHash
from machines.core.errors import BadInput
from machines.core.facts import Fact
from machines.core.ids import RecordId
from machines.core.record import Record
from machines.transaction import facts as f
from machines.transaction.data import PaymentRecord
from payflow.engine.step import take_in
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web.pages.admin.extensions import Action, Pick, Word

OPERATES = frozenset({Role.OPERATOR})
LANE, PAYMENT, TRANSACTION = "lane", "payment", "transaction"


def of_lanes(store: Store, metrics: Metrics) -> Sequence[Action]:
    """List what people do to a lane, to what waits in it and to what it sent."""

    async def tell(record_id: RecordId, fact: Fact, act: str, word: Word) -> None:
        async with store.audit.doing(word.who, act, record_id, word.reason):
            await take_in(store.records, metrics, record_id, fact, word.who)

    async def bump(record_id: RecordId, word: Word) -> None:
        await tell(record_id, f.BumpAsked(word.who), "bump", word)

    async def cancel(record_id: RecordId, word: Word) -> None:
        await tell(record_id, f.CancelAsked(word.who, word.reason), "cancel", word)

    async def withdraw(record_id: RecordId, word: Word) -> None:
        await tell(record_id, f.Withdrawn(word.who, word.reason), "withdraw", word)

    async def adopt(record_id: RecordId, word: Word) -> None:
        await tell(record_id, await _adopted(store, record_id, word), "adopt", word)

    return (
        Action(
            "bump", "Offer more", "Ask for a better price at the same nonce, up to the lane's ceiling.", TRANSACTION,
            OPERATES, lambda _, who, __: f.BumpAsked(who), bump, asks="Why?",
            foresees="The lane signs a new attempt at this nonce. Only one of all its attempts can ever be mined.",
        ),
        Action(
            "cancel", "Replace by nothing", "Use up its nonce with a transaction that pays nobody.", TRANSACTION,
            OPERATES, lambda _, who, why: f.CancelAsked(who, why), cancel, asks="Why?", danger=True,
            foresees="The chain decides which one wins: if what was sent first is mined, it stays paid. "
            "If the empty one wins, what it carried has failed, and may be paid anew.",
        ),
        Action(
            "withdraw", "Take back", "Take back a payment that nothing is signed for.", PAYMENT, OPERATES,
            lambda _, who, why: f.Withdrawn(who, why), withdraw, asks="Why?", danger=True,
            foresees="Whoever asked for it learns that it has failed, unpaid.",
        ),
        Action(
            "adopt", "Open the lane", "Say which transactions from outside paid our payments.", LANE, OPERATES,
            lambda _, who, why: f.Adopted(who, why), adopt, asks="How do you know?", danger=True, picks=_suspects,
            of_picks="Which of these are paid? Look at each. What you do not tick, the lane pays.",
            foresees="What is wrongly left out is paid twice; what is wrongly ticked is never paid.",
        ),
    )  # fmt: skip


def _suspects(record: Record[Any]) -> Sequence[Pick]:
    return [
        Pick(f"{one.payment} {one.hash}", f"{one.payment} was paid at nonce {one.nonce} by", one.hash)
        for one in record.data.suspects
    ]


async def _adopted(store: Store, record_id: RecordId, word: Word) -> f.Adopted:
    """Make of what was ticked the fact that names it; two transactions cannot both have paid one payment."""
    known = {pick.name for pick in _suspects((await store.records.read(record_id)).record)}
    paid: list[tuple[PaymentRecord, TxHash]] = []
    for name in dict.fromkeys(word.picked):
        if name not in known:
            raise BadInput(f"{name[:120]!r} is no suspect of this lane any more: look again.")
        payment, _, tx = name.partition(" ")
        paid.append(((await store.records.read(RecordId(payment))).record, TxHash(tx)))
    if len({record.id for record, _ in paid}) < len(paid):
        raise BadInput("One payment is ticked twice: say which of the two transactions paid it.")
    return f.Adopted(word.who, word.reason, tuple(paid))
