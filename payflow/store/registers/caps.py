"""How much may leave in a day, by rail and in all: reserved under the id of what leaves, once for all shards."""

from collections.abc import Mapping
from typing import NamedTuple

from machines.core.clock import DAY, Millis
from machines.core.ids import RecordId
from machines.core.money import Money
from payflow.store import keys
from payflow.store.link import OverLink
from payflow.store.registers.reservations import Miscount, recount, reserve
from payflow.store.scripts import GIVE_BACK


class CapUsed(NamedTuple):
    """What of a cap is used today."""

    units: int
    refused_at: Millis | None
    """When something last found too little left of it; None where nothing did today."""


class DailyCaps(OverLink):
    """What was reserved of each day's caps. A cap is named by what it is on, and the asset."""

    async def reserve(
        self, record: RecordId, version: int, amount: Money, caps: Mapping[str, int], now: Millis
    ) -> str | None:
        """Take an amount off all of these caps of the day, once for each record; else name one with too little left."""
        place = keys.capped(now // DAY)
        return await reserve(self._link, place, _name(record, amount), amount.units, version, now, caps) or None

    async def give_back(self, record: RecordId, version: int, amount: Money, now: Millis) -> bool:
        """Give back what a record reserved today, unless a newer version of it asked for it again."""
        words = (_name(record, amount), amount.units, version)
        return bool(await self._link.run(GIVE_BACK, [keys.capped(now // DAY)], *words))

    async def recount(self, least: Mapping[str, int], now: Millis, *, put_right: bool) -> list[Miscount]:
        """Compare what is used today with what has left today at least."""
        return await recount(self._link, keys.capped(now // DAY), least, now, put_right=put_right)

    async def used(self, caps: list[str], now: Millis) -> list[CapUsed]:
        """Say how much of each cap is used today."""
        if not caps:
            return []
        fields = [*caps, *(f"full:{cap}" for cap in caps)]
        found = await self._link.ask("HMGET", keys.capped(now // DAY), *fields)
        return [
            CapUsed(int(units or 0), Millis(int(at)) if at else None)
            for units, at in zip(found[: len(caps)], found[len(caps) :], strict=True)
        ]


def _name(record: RecordId, amount: Money) -> str:
    return f"{record} {amount.asset.code} {amount.units}"
