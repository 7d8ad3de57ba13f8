"""What a page offers to do to lanes; the desk does it, as it does for the command line."""

from collections.abc import Sequence

from machines.core.ids import RecordId
from machines.transaction import facts as f
from machines.transaction.data import LaneRecord
from payflow.desk.actions import Action, ActionRequest, Pick
from payflow.desk.lane_steering import LANE, PAYMENT, TRANSACTION, LaneSteering, suspect_name
from payflow.store.registers.tokens import Role

OPERATES = frozenset({Role.OPERATOR})


def of_lanes(steering: LaneSteering) -> Sequence[Action]:
    """List what people do to a lane, to what waits in it and to what it sent."""

    async def bump(record_id: RecordId, word: ActionRequest) -> None:
        await steering.bump(record_id, word.who, word.reason)

    async def cancel(record_id: RecordId, word: ActionRequest) -> None:
        await steering.cancel(record_id, word.who, word.reason)

    async def withdraw(record_id: RecordId, word: ActionRequest) -> None:
        await steering.withdraw(record_id, word.who, word.reason)

    async def adopt(record_id: RecordId, word: ActionRequest) -> None:
        await steering.adopt(await steering.adoption(record_id, word.picked), word.who, word.reason)

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


def _suspects(record: LaneRecord) -> Sequence[Pick]:
    return [
        Pick(suspect_name(one), f"{one.payment} was paid at nonce {one.nonce} by", one.hash)
        for one in record.data.suspects
    ]
