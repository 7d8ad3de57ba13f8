"""What a lane's payments and transactions have in its accounts: what it sent for whom, what that cost; to the wei."""

from machines.core.lifecycle import RailPosition
from machines.core.money import ETH
from machines.core.rail_share import RailPart, RailShare
from machines.transaction import lifecycle as s
from machines.transaction.data import PaymentRecord, TransactionRecord, lane_of

_FOR = {"pool": RailPart.POOLS, "bounty": RailPart.BOUNTIES}
_PAYOUT = "payout"


def payment_share(record: PaymentRecord) -> RailShare | None:
    """Say what was sent for a pool, a bounty or nobody; a payout says itself what of it is under way and arrived.

    Only payouts are paid in tokens. A wei is the part of a gwei that these accounts count.
    """
    place, machine = s.PAYMENT.state(record.state).at_rail, record.data.key.partition("-")[0]
    if place is None or machine == _PAYOUT or record.data.token is not None:
        return None
    part = RailPart.IN_FLIGHT if place is RailPosition.IN_FLIGHT else _FOR.get(machine, RailPart.CALLS)
    return RailShare(lane_of(record.owner), ETH.code, {part: int(record.data.value_wei)})


def gas_share(record: TransactionRecord) -> RailShare | None:
    """Say what a transaction cost, whatever it did: paid, made a contract, failed, or only used up its nonce."""
    if s.TRANSACTION.state(record.state).at_rail is None or not record.data.fee_wei:
        return None
    return RailShare(lane_of(record.owner), ETH.code, {RailPart.GAS: int(record.data.fee_wei)})
