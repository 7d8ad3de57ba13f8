"""What may leave in a day, by rail and in all: a payout for which too little is left waits, and says for what."""

from collections.abc import Mapping
from dataclasses import dataclass

from machines.core.clock import MINUTE, Millis
from machines.core.errors import BadSettings
from machines.core.money import Assets, Money
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import CANCELLED, REJECTED
from payflow.config import Settings
from payflow.desk.requests import amounts_of
from payflow.store.store import Store

ALL = "all"
SETTING = "PAYFLOW_PAYOUT_CAPS"
REACHED_FOR_MS = 30 * MINUTE
"""So long after a payout found too little left a cap counts as reached: those that wait ask more often."""


@dataclass(frozen=True, slots=True)
class DailyCap:
    """A cap, and what of it is used today, as operators see it."""

    of: str
    """`all`, or the rail."""
    most: Money
    used: Money
    reached: bool
    """Whether payouts wait for it."""

    @property
    def left(self) -> Money:
        """What may still leave today."""
        return Money(max(0, self.most.units - self.used.units), self.most.asset)


class PayoutCaps:
    """Holds payouts that would pass a cap."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._most = caps_of(settings, store.records.assets)

    async def reserve(self, record: PayoutRecord, now: Millis) -> str:
        """Take a payout off what may leave today, once; else say what it has to wait for."""
        amount = record.amount
        if amount is None:
            return ""
        code = amount.asset.code
        caps = {cap_name(of, code): self._most[of, code] for of in (ALL, record.data.rail) if (of, code) in self._most}
        if not caps:
            return ""
        limits = {name: most.units for name, most in caps.items()}
        full = await self._store.caps.reserve(record.id, record.version, amount, limits, now)
        if full is None:
            return ""
        of = full.partition(" ")[0]
        through = "" if of == ALL else f" through {of}"
        return f"no more than {caps[full]} may leave in a day{through}"

    async def give_back(self, record: PayoutRecord, now: Millis) -> None:
        """Give back what a payout reserved that ended, as was just seen at its rail, without anything having left."""
        if record.amount is not None and self._most and record.state in (CANCELLED, REJECTED):
            await self._store.caps.give_back(record.id, record.version, record.amount, now)


async def daily_caps(store: Store) -> list[DailyCap]:
    """List the caps that the settings name, and what of them is used."""
    most, now = caps_of(store.settings, store.records.assets), await store.records.now()
    used = await store.caps.used([cap_name(*place) for place in most], now)
    return [
        DailyCap(
            of,
            limit,
            Money(found.units, limit.asset),
            found.refused_at is not None and now - found.refused_at < REACHED_FOR_MS,
        )
        for ((of, _), limit), found in zip(most.items(), used, strict=True)
    ]


def caps_of(settings: Settings, assets: Assets) -> Mapping[tuple[str, str], Money]:
    """Read the caps, by rail and currency; one on a rail that nobody knows would hold nothing, and is refused."""
    known = (ALL, "flutterwave", "paystack", "ethereum", *settings.lanes)
    for of in settings.payout_caps:
        if of not in known:
            raise BadSettings(f"{SETTING}: {of!r} is no rail; use {ALL} or one of {', '.join(known[1:])}.")
    return {
        (of, code): most
        for of, text in settings.payout_caps.items()
        for code, most in amounts_of(SETTING, text, assets).items()
    }


def cap_name(of: str, code: str) -> str:
    """Name a cap as its figures do."""
    return f"{of} {code}"
