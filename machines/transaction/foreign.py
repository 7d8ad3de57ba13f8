"""Transactions of a lane's address that it did not sign, and what they may have paid."""

from collections import Counter
from collections.abc import Iterable, Sequence

from machines.core.chain import Address, Seen
from machines.core.errors import RailClosed
from machines.core.ids import RecordId
from machines.transaction import calldata
from machines.transaction import lifecycle as s
from machines.transaction.data import PaymentRecord, Suspect, TransactionRecord
from machines.transaction.ports import Lane, LaneBooks

MOST_UNPAID = 100_000


async def unpaid(books: LaneBooks, lane: str, unsettled: Sequence[TransactionRecord] = ()) -> list[PaymentRecord]:
    """List all that waits in a lane, and all that transactions carry which are not over."""
    carried = [member for transaction in unsettled for member in transaction.data.members]
    under_way = [one for one in await books.payments(carried) if one.state == s.SENDING]
    return [*await books.queued(lane, MOST_UNPAID), *under_way]


def suspects(seen: Iterable[Seen], payments: Sequence[PaymentRecord]) -> tuple[Suspect, ...]:
    """Say which payments each transaction may have made: of payments alike no more than it can have paid."""
    found: dict[RecordId, Suspect] = {}
    for one in seen:
        traces, matched = calldata.traces(one), Counter[tuple[str, ...]]()
        for payment in payments:
            if payment.id in found:
                continue
            alike = calldata.effect(payment.data)
            if matched[alike] < calldata.may_do(one, traces, payment.data):
                matched[alike] += 1
                found[payment.id] = Suspect(one.hash, one.nonce, payment.id)
    return tuple(found.values())


def same_address(lane: Lane, chain_id: int, address: Address) -> None:
    """See that a lane still sends from where its records say: another address has other nonces."""
    if (chain_id, address) != (lane.chain.chain_id, lane.signer.address):
        raise RailClosed(
            f"The lane {lane.name} was made for {address} on chain {chain_id}; its settings now say "
            f"{lane.signer.address} on chain {lane.chain.chain_id}. Give the new address a lane of another name.",
            rail=lane.name,
        )
