"""What a payout has in the accounts of its rail."""

from decimal import Decimal, InvalidOperation

from machines.core.lifecycle import RailPosition
from machines.core.money import MAX_UNITS, Asset
from machines.core.rail_share import FINE, RailPart, RailShare
from machines.payout import lifecycle as s
from machines.payout.data import PayoutRecord


def rail_share(record: PayoutRecord) -> RailShare | None:
    """Say what is under way, what arrived, what the payee bears of it, what it cost, and what was paid beyond it.

    What is proven paid has left the wallet, wherever people or a bank's answer put the payout: what its owner's account
    does not say, because they have the money back or it is the second payment, is paid twice.
    """
    data, amount, place = record.data, record.amount, s.LIFECYCLE.state(record.state).at_rail
    paid = data.payments if data.attempts else 0
    if amount is None or not (place or paid or data.charged or record.state == s.REVERSED):
        return None
    counts = place is RailPosition.SETTLED
    arrived = max(paid, counts)  # a person may say that it was paid where no rail does
    return RailShare(
        data.rail,
        amount.asset.code,
        {
            RailPart.IN_FLIGHT: amount.units * FINE if place is RailPosition.IN_FLIGHT else 0,
            RailPart.SETTLED: arrived * data.send_units * FINE,
            RailPart.BORNE: (amount.units - data.send_units) * FINE if counts else 0,
            RailPart.TWICE: (arrived - counts) * data.send_units * FINE,
            RailPart.FEES: sum(_fine(fee, amount.asset) for fee in _fees(record, arrived)),
        },
    )


def _fees(record: PayoutRecord, arrived: int) -> list[str]:
    """List what the rail charged; an older version left it in the proof of what was paid, or came back, alone."""
    data = record.data
    if data.charged or data.evidence is None or not (arrived or record.state == s.REVERSED):
        return [fee for _, fee in data.charged]
    return [dict(data.evidence.details).get("fee", "")]


def _fine(fee: str, asset: Asset) -> int:
    """Read what a rail wrote as its fee; what is no such number is none."""
    try:
        fine = Decimal(fee).scaleb(asset.decimals) * FINE
    except InvalidOperation:
        return 0
    return int(fine) if fine.is_finite() and 0 <= fine <= MAX_UNITS * FINE else 0
