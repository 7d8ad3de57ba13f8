"""Decides which payouts may leave while a gateway's wallet is too low for all: the oldest first among what fits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from machines.core.clock import DAY, SECOND, Millis
from machines.core.errors import PayflowError, RailClosed
from machines.core.ids import RecordId
from machines.payout.data import PayoutRecord
from payflow.desk.gateways import Wallet
from payflow.store.registers.shortfalls import Waiting
from payflow.store.store import Store

ASKED_AGAIN_MS = 30 * SECOND
RESERVED_AFTER_MS = DAY
"""After so long the wallet's money is kept for a payout that it is too low for, until it has come together."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Held:
    """What a wallet holds, less what has left since it was asked."""

    units: int | None
    at: Millis


class WalletQueue:
    """The payouts that wait for money. While none waits nothing is asked, and everything may leave."""

    def __init__(self, store: Store, wallets: Mapping[str, Wallet]) -> None:
        self._shortfalls = store.shortfalls
        self._wallets = wallets
        self._held: dict[tuple[str, str], _Held] = {}

    async def covers(self, record: PayoutRecord, now: Millis) -> bool:
        """Tell whether the wallet has money for a payout, after all older ones that it has money for as well."""
        return await self._covers(record, now) is not None

    async def take(self, record: PayoutRecord, now: Millis) -> bool:
        """Tell the same, and count it as gone where it has."""
        held = await self._covers(record, now)
        if held is not None and held.units is not None:
            held.units -= _waiting(record, now).units
        return held is not None

    async def _covers(self, record: PayoutRecord, now: Millis) -> _Held | None:
        """Give what is held where it is enough; None where a payout has to wait, which is written down."""
        mine = _waiting(record, now)
        queue = [one for one in await self._shortfalls.waiting(now) if (one.rail, one.asset) == (mine.rail, mine.asset)]
        if not queue:
            return _Held(None, now)
        held = await self._ask(mine.rail, mine.asset, now)
        if held.units is None:
            return held  # it does not say: the gateway's own answer decides, ever more seldom asked for
        others = [one for one in queue if one.payout != mine.payout]
        if mine.payout in fitting([*others, mine], held.units, now):
            return held
        await self._shortfalls.wait(mine)
        return None

    async def was_short(self, record: PayoutRecord, now: Millis) -> None:
        """Keep in mind that the rail had too little for a payout."""
        await self._shortfalls.wait(_waiting(record, now))
        self._held.pop((record.data.rail, _asset(record)), None)

    async def left(self, record: PayoutRecord) -> None:
        """Keep in mind that a payout has left."""
        if record.data.deferred_since:
            await self._shortfalls.leave([record.id])

    async def _ask(self, rail: str, asset: str, now: Millis) -> _Held:
        known = self._held.get((rail, asset))
        if known is None or now - known.at >= ASKED_AGAIN_MS:
            known = _Held(await self._read(rail, asset, now), now)
            self._held[rail, asset] = known
        return known

    async def _read(self, rail: str, asset: str, now: Millis) -> int | None:
        wallet = self._wallets.get(rail)
        try:
            held = [one for one in await wallet() if one.asset.code == asset] if wallet else []
        except RailClosed:
            raise
        except PayflowError as error:
            log.info("A wallet does not say what it holds.", action="wallet", rail=rail, error=str(error))
            return None
        for one in held:
            await self._shortfalls.remember(rail, one, now)
        return held[0].units if held else None


def fitting(queue: Iterable[Waiting], held: int, now: Millis) -> set[RecordId]:
    """Choose who may leave: the oldest first among what fits, with what is kept back for those who waited for long."""
    chosen, left = set(), held
    for one in sorted(queue, key=lambda one: (one.asked_at, one.payout)):
        if one.units <= left:
            chosen.add(one.payout)
            left -= one.units
        elif now - one.since >= RESERVED_AFTER_MS:
            left -= one.units
    return chosen


def _waiting(record: PayoutRecord, now: Millis) -> Waiting:
    data = record.data
    since = Millis(data.deferred_since or now)
    units = data.send_units + data.fee_units
    return Waiting(record.id, data.rail, _asset(record), units, record.created_at, since, now)


def _asset(record: PayoutRecord) -> str:
    return record.amount.asset.code if record.amount else ""
