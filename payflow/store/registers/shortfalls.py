"""Which payouts wait until our wallet at a rail holds enough for them, and what it held when it was last asked."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import msgspec

from machines.core.clock import HOUR, Millis
from machines.core.ids import RecordId
from machines.core.money import Money
from payflow.store import keys
from payflow.store.link import OverLink

FORGOTTEN_AFTER_MS = 2 * HOUR
"""A payout that waits is looked at every few minutes: one that nobody looked at for so long waits no more."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A payout that the wallet is too low for."""

    payout: RecordId
    rail: str
    asset: str
    units: int
    """What leaves the wallet for it, the gateway's fee included."""
    asked_at: Millis
    """When it was asked for: the oldest goes first."""
    since: Millis
    """Since when it has been passed over."""
    seen_at: Millis


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What the wallet of one rail and asset is short of."""

    rail: str
    asset: str
    payouts: int
    units: int
    since: Millis
    held: int | None
    """What it held when it was last asked; None where it never told."""


class Shortfalls(OverLink):
    """The wallets that are too low, of the whole installation."""

    async def waiting(self, now: Millis) -> list[Waiting]:
        """List the payouts that wait for money, the oldest first."""
        fields = await self._link.ask("HGETALL", keys.WAITING_FOR_MONEY)
        found = [_read(name.decode(), value) for name, value in fields.items()]
        gone = [one.payout for one in found if now - one.seen_at > FORGOTTEN_AFTER_MS]
        await self.leave(gone)
        return sorted((one for one in found if one.payout not in gone), key=lambda one: (one.asked_at, one.payout))

    async def wait(self, one: Waiting) -> None:
        """Write down that a payout waits, or still does."""
        value = msgspec.msgpack.encode((one.rail, one.asset, one.units, one.asked_at, one.since, one.seen_at))
        await self._link.ask("HSET", keys.WAITING_FOR_MONEY, one.payout, value)

    async def leave(self, payouts: Collection[RecordId]) -> None:
        """Write down that payouts wait no more."""
        if payouts:
            await self._link.ask("HDEL", keys.WAITING_FOR_MONEY, *payouts)

    async def remember(self, rail: str, held: Money, now: Millis) -> None:
        """Keep what a wallet holds, for whoever looks at figures."""
        await self._link.ask(
            "HSET", keys.WALLETS, f"{rail} {held.asset.code}", msgspec.msgpack.encode((held.units, now))
        )

    async def held(self) -> dict[tuple[str, str], int]:
        """Say for each rail and asset what its wallet held when it was last asked."""
        fields = await self._link.ask("HGETALL", keys.WALLETS)
        return {_place(name.decode()): msgspec.msgpack.decode(value)[0] for name, value in fields.items()}

    async def all(self, now: Millis) -> list[Shortfall]:
        """Sum up what waits, a line for each rail and asset."""
        held = await self.held()
        sums: dict[tuple[str, str], Shortfall] = {}
        for one in await self.waiting(now):
            place = (one.rail, one.asset)
            known = sums.get(place, Shortfall(*place, 0, 0, one.since, held.get(place)))
            sums[place] = replace(
                known,
                payouts=known.payouts + 1,
                units=known.units + one.units,
                since=Millis(min(known.since, one.since)),
            )
        return list(sums.values())


def _read(payout: str, value: bytes) -> Waiting:
    rail, asset, units, asked_at, since, seen_at = msgspec.msgpack.decode(value)
    return Waiting(RecordId(payout), rail, asset, units, Millis(asked_at), Millis(since), Millis(seen_at))


def _place(name: str) -> tuple[str, str]:
    rail, _, asset = name.partition(" ")
    return rail, asset
