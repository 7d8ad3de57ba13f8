"""What the risk rules are told of a provider: his profile, and what became of his payouts so far."""

from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import COMPLETED, REVERSED
from machines.payout.risk import Standing
from payflow.store.store import Store

LATEST = 100


class Standings:
    """Reads the store; the newest payouts stand for all."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def standing(self, record: PayoutRecord, failures_within_ms: int) -> Standing:
        """Say what is known of a payout's owner, without the payout itself."""
        profile = await self._store.profiles.read(record.owner)
        tallies = await self._store.listing.tallies(record.owner)
        latest = [one.record for one in await self._store.listing.owned_by(record.owner, LATEST)]
        payouts = [one for one in latest if one.machine == record.machine and one.id != record.id]
        paid = [
            one.amount.units
            for one in payouts
            if one.state == COMPLETED and one.amount and record.amount and one.amount.asset == record.amount.asset
        ]
        since = record.created_at - failures_within_ms
        return Standing(
            verified=profile.verified,
            successes=tallies.get(f"{record.machine}:{COMPLETED}", 0) - tallies.get(f"{record.machine}:{REVERSED}", 0),
            recent_failures=sum(1 for one in payouts if one.data.failures and one.created_at >= since),
            details_changed_at=profile.details_changed_at,
            average_units=sum(paid) // len(paid) if paid else 0,
        )
