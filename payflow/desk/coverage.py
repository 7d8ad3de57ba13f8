"""What is owed and what there is to pay it from, in each asset, and for how many days that lasts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from machines.core.clock import DAY
from machines.core.lifecycle import Position
from machines.core.rail_share import FINE, RailPart
from payflow.store.store import Store

LOOKED_BACK_DAYS = 30


@dataclass(frozen=True, slots=True)
class Coverage:
    """One asset, in ledger units."""

    asset: str
    available: int
    """What owners may ask for at any time."""
    held: int
    """What they asked for, and is not proven paid."""
    in_flight: int
    """Of that, what is handed to a rail."""
    wallets: Mapping[str, int]
    """What each rail's wallet held when it was last asked."""
    paid: int
    """What was paid in the last days."""

    @property
    def in_wallets(self) -> int:
        """What all wallets hold."""
        return sum(self.wallets.values())

    @property
    def missing(self) -> int:
        """What all wallets lack of what is held and not handed over yet; 0 where they have it."""
        return max(0, self.held - self.in_flight - self.in_wallets)

    @property
    def days(self) -> float | None:
        """For how many days the wallets last, at what was paid a day; None where nothing was paid, or none is known."""
        return self.in_wallets * LOOKED_BACK_DAYS / self.paid if self.paid and self.wallets else None


async def coverage(store: Store) -> list[Coverage]:
    """Work it out for every asset in which somebody has something, or a wallet does."""
    owners, rails = await store.ledger.totals(), await store.ledger.rails()
    held = await store.shortfalls.held()
    in_flight: Counter[str] = Counter()
    for (_, asset), on_rail in rails.items():
        in_flight[asset] += on_rail.fine(RailPart.IN_FLIGHT) // FINE
    paid = await _paid(store)
    found = []
    for asset in sorted(owners.keys() | {code for _, code in held}):
        account = owners.get(asset)
        wallets = {rail: units for (rail, code), units in sorted(held.items()) if code == asset}
        available, asked = (account.available, account.held) if account else (0, 0)
        found.append(Coverage(asset, available, asked, in_flight[asset], wallets, paid[asset]))
    return found


async def _paid(store: Store) -> Counter[str]:
    since = f"{await store.records.now() - LOOKED_BACK_DAYS * DAY}-0"
    paid: Counter[str] = Counter()
    for shard in range(store.records.shards):
        async for one in store.ledger.journal(shard, since):
            if one.target == Position.PAID:
                paid[one.asset] += one.units
            elif one.source == Position.PAID:
                paid[one.asset] -= one.units
    return paid
