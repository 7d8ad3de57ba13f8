"""The lanes on the first page: what each holds, where its nonces stand, what it waits for, how its nodes keep up."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from machines.core.clock import Millis
from machines.core.ids import RecordId
from machines.transaction import lifecycle as s
from machines.transaction.data import LaneRecord, owner_of_lane
from payflow.desk.lane_steering import LaneNode, LaneSheet
from payflow.desk.values import Pause
from payflow.shown import grouped, span
from payflow.store.store import Store
from payflow.web.pages.admin.cached import CachedValue

FRESH_S, WITHIN_S = 10.0, 8.0
COUNTED = 200
"""So much of what is in a lane is counted, no more."""
MOST_LANES = 100
LANE = "lane"


@dataclass(frozen=True, slots=True)
class PauseSwitch:
    """One thing that can be paused."""

    scope: str
    called: str
    stops: str
    pause: Pause | None
    wallet: str = ""
    """What the rail's wallets hold; empty where it has none."""
    health: str = ""
    """How the rail answered; empty for what is no rail."""
    well: bool = True
    stopped: bool = False
    """Whether it sends nothing though nobody paused it."""


@dataclass(frozen=True, slots=True)
class LaneShown:
    """One lane, as the page shows it."""

    switch: PauseSwitch
    record: RecordId | None = None
    """None before its first payment."""
    state: str = ""
    address: str = ""
    chain_id: int = 0
    next_nonce: int | None = None
    in_flight: str = "0"
    queued: str = "0"
    waits_for: str = ""
    suspects: int = 0
    """Transactions from outside that a person must tell about."""
    noticed: int = 0
    nodes: tuple[LaneNode, ...] = field(default=())


class LanesPanel:
    """All lanes that this process knows, and those that others work in the same store."""

    def __init__(self, store: Store, looks: Mapping[str, CachedValue[LaneSheet] | None]) -> None:
        self._store = store
        self._looks = looks

    async def shown(
        self, app: web.Application, pauses: Mapping[str, Pause], now: Millis, patience_s: float
    ) -> list[LaneShown]:
        records = await self._records()
        names = [*self._looks, *sorted(set(records) - set(self._looks))]
        return list(
            await asyncio.gather(
                *(
                    self._one(app, name, records.get(name), pauses.get(f"lane:{name}"), now, patience_s)
                    for name in names
                )
            )
        )

    async def _records(self) -> dict[str, LaneRecord]:
        if LANE not in self._store.records.machines:
            return {}
        found = [await self._store.listing.in_state(LANE, state, MOST_LANES) for state in (s.OPEN, s.HALTED)]
        return {one.record.data.name: one.record for part in found for one in part}

    async def _one(
        self,
        app: web.Application,
        name: str,
        record: LaneRecord | None,
        pause: Pause | None,
        now: Millis,
        patience_s: float,
    ) -> LaneShown:
        cached = self._looks.get(name)
        sheet = await cached.get(app, patience_s) if cached else None
        switch = PauseSwitch(
            f"lane:{name}", f"Lane {name}", f"every transaction of the lane {name}", pause,
            wallet=", ".join(grouped(one) for one in sheet.holds) if sheet else "",
            health=health_of(
                cached, now, unknown="no node of it is known to this process", silent="its nodes do not answer",
                well="its nodes answered",
            ), well=not (cached and cached.error),
            stopped=record is not None and record.state == s.HALTED,
        )  # fmt: skip
        nodes = tuple(sheet.nodes) if sheet else ()
        if record is None:
            return LaneShown(switch, nodes=nodes)
        data = record.data
        return LaneShown(
            switch, record.id, record.state, data.address, data.chain_id,
            data.next_nonce if data.next_nonce >= 0 else None,
            in_flight=await self._count("transaction", name, s.SIGNED, s.SENT),
            queued=await self._count("payment", name, s.QUEUED),
            waits_for=data.waits_for, suspects=len(data.suspects), noticed=data.noticed, nodes=nodes,
        )  # fmt: skip

    async def _count(self, machine: str, lane: str, *states: str) -> str:
        owner, listing = owner_of_lane(lane), self._store.listing
        found = [len(await listing.of_owner(machine, state, owner, COUNTED)) for state in states]
        return f"{COUNTED}+" if COUNTED in found else str(sum(found))


def health_of(cached: CachedValue[Any] | None, now: Millis, *, unknown: str, silent: str, well: str) -> str:
    """Say when something was last asked, and how that went."""
    if cached is None:
        return unknown
    if cached.error:
        return f"{silent}: {cached.error}"
    return "not asked yet" if cached.at is None else f"{well} {span(max(0, now - cached.at))} ago"
