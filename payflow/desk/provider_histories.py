"""What the risk rules are told of a provider: his profile, and what became of his payouts so far."""

from collections.abc import Iterable

from machines.core.clock import Millis
from machines.core.ports import Destination
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import COMPLETED, REVERSED
from machines.payout.risk import ProviderHistory
from payflow.store.registers.profiles import Profile
from payflow.store.store import Store

LATEST = 100


class ProviderHistories:
    """Reads the store; the newest payouts stand for all."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def history(self, record: PayoutRecord, failures_within_ms: int) -> ProviderHistory:
        """Say what is known of a payout's owner, without the payout itself."""
        profile = await self._store.profiles.read(record.owner)
        tallies = await self._store.listing.tallies(record.owner)
        latest = [one.record for one in await self._store.listing.owned_by(record.owner, LATEST)]
        payouts: list[PayoutRecord] = [one for one in latest if one.machine == record.machine and one.id != record.id]
        paid = [one for one in payouts if one.state == COMPLETED]
        since = record.created_at - failures_within_ms
        return ProviderHistory(
            verified=profile.verified,
            successes=tallies.get(f"{record.machine}:{COMPLETED}", 0) - tallies.get(f"{record.machine}:{REVERSED}", 0),
            recent_failures=sum(1 for one in payouts if _went_wrong(one) and one.created_at >= since),
            details_changed_at=self._details_changed_at(record, profile, paid),
            average_units=_average(record, paid),
        )

    def _details_changed_at(
        self, record: PayoutRecord, profile: Profile, paid: Iterable[PayoutRecord]
    ) -> Millis | None:
        """Say since when the money goes where this payout goes.

        A destination that was never paid before is a change of this moment, whether it was named in the request or
        has just been written into a profile that had none: a thief with a token would do either.
        """
        where = self._place(record)
        if any(self._place(one) == where for one in paid):
            return profile.details_changed_at
        usual = profile.destination is not None and _place(profile.destination) == where
        return profile.details_changed_at if usual and profile.details_changed_at is not None else record.created_at

    def _place(self, record: PayoutRecord) -> tuple[str, ...]:
        return _place(self._store.seals.open(record.data.sealed))


def _place(destination: Destination) -> tuple[str, ...]:
    """Tell an account from others; how its holder's name was spelt does not."""
    named = (f"{name}={value}" for name, value in destination.fields if name != "account_name")
    return (destination.kind, *sorted(named))


def _went_wrong(record: PayoutRecord) -> bool:
    return bool(record.data.failures) or record.state == REVERSED


def _average(record: PayoutRecord, paid: Iterable[PayoutRecord]) -> int:
    """Give the average of what was paid in the currency of a payout."""
    asset = record.amount.asset if record.amount else None
    units = [one.amount.units for one in paid if one.amount and one.amount.asset == asset]
    return sum(units) // len(units) if units else 0
