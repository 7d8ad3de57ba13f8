"""The first page: where everything is, what needs a person, whether money may leave, and how much of it there is."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from machines.core.clock import SECOND, Millis
from machines.core.machine import AnyMachine
from machines.transaction import lifecycle as s
from machines.transaction.data import LaneRecord, owner_of_lane
from payflow.desk.lane_steering import LANE, LaneNode
from payflow.desk.payouts import Desk
from payflow.desk.person import OPERATES
from payflow.desk.steering import Steering, in_words
from payflow.desk.trouble import troubles
from payflow.desk.values import EVERYTHING, Pause
from payflow.shown import grouped, span
from payflow.store.listing import StateCount
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.books import account_rows
from payflow.web.pages.admin.cached import CachedValue
from payflow.web.pages.admin.diagram import StateFigures, pictures
from payflow.web.pages.admin.frame import DashboardExtensions, FormDone, Frame

PATIENCE_S = 1.0
REVIEWS_FRESH_S = 2.0
TOTALS_FRESH_S, TOTALS_WITHIN_S = 30.0, 60.0
RAIL_FRESH_S, RAIL_WITHIN_S = 30.0, 8.0
LANE_FRESH_S, LANE_WITHIN_S = 10.0, 8.0
MOST_SHOWN = 99
MOST_LANES = 100
COUNTED = 200
"""So much of what is in a lane is counted, no more."""
PROPOSALS = 5


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
    record: LaneRecord | None
    """None before its first payment."""
    nodes: Sequence[LaneNode]
    in_flight: str
    queued: str


class Overview:
    """The page and its switches."""

    def __init__(self, frame: Frame, board: DashboardExtensions, steering: Steering, desk: Desk) -> None:
        self._frame = frame
        self._board = board
        self._steering = steering
        self._reviews = CachedValue(lambda: desk.waiting(MOST_SHOWN), fresh_s=REVIEWS_FRESH_S, within_s=RAIL_WITHIN_S)
        self._totals = CachedValue(self._frame.store.ledger.totals, fresh_s=TOTALS_FRESH_S, within_s=TOTALS_WITHIN_S)
        self._wallets = {
            name: CachedValue(wallet, fresh_s=RAIL_FRESH_S, within_s=RAIL_WITHIN_S)
            for name, wallet in board.rails.items()
            if wallet is not None
        }
        self._lanes = {
            name: CachedValue(look, fresh_s=LANE_FRESH_S, within_s=LANE_WITHIN_S) if look else None
            for name, look in board.lanes.items()
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            self._frame.shows("", self.show),
            self._frame.does("/pause", self.pause, OPERATES),
            self._frame.does("/resume", self.resume, OPERATES, proven=True),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        now = await self._frame.store.records.now()
        counts = await self._frame.store.listing.counts_by_state()
        stuck = await self._frame.store.listing.stuck()
        wrong = await troubles(self._frame.store)
        totals = await self._totals.get(visit.request.app, PATIENCE_S)
        machines = [self._machine(one, counts, stuck, now) for one in self._frame.store.records.machines.values()]
        pauses = await self._frame.store.pauses.all()
        lanes = await self._lanes_shown(visit.request.app, pauses, now)
        return await self._frame.page(
            visit, "overview.html", title="Overview", here="", machines=machines, lanes=lanes,
            wrong=wrong, needs=await self._needs(visit.request.app),
            switches=await self._switches(visit.request.app, now, pauses, {lane.switch.scope for lane in lanes}),
            money=account_rows(totals or {}, self._frame.store.records.assets),
            totals_at=self._totals.at, totals_error=self._totals.error,
            books=await self._frame.store.ledger.last_check(), waiting=await self._frame.store.outbox.waiting(),
        )  # fmt: skip

    def _machine(
        self, machine: AnyMachine, counts: list[StateCount], stuck: Mapping[tuple[str, str], int], now: Millis
    ) -> dict[str, Any]:
        mine = {count.state: count for count in counts if count.machine == machine.name}
        figures = {
            state.name: StateFigures(
                mine[state.name].count,
                "" if state.final else _age(mine[state.name].oldest, now),
                stuck.get((machine.name, state.name), 0),
            )
            for state in machine.lifecycle.states.values()
        }
        states = machine.lifecycle.states.values()
        return {
            "name": machine.name,
            "picture": pictures(machine.lifecycle, figures, links=f"{self._frame.place}/records"),
            "open": sum(figures[state.name].count for state in states if not state.final),
            "money": machine.money,
            "moves": machine.lifecycle.moves,
        }

    async def _needs(self, app: web.Application) -> list[tuple[str, str, str]]:
        """List what waits for a person: how much, of what, and where."""
        place = self._frame.place
        reviews = await self._reviews.get(app, PATIENCE_S)
        count, more = (len(reviews[0]), reviews[1]) if reviews else (0, False)
        alone, glass = await self._frame.store.alone.read(), await self._frame.store.glass.all()
        proposals = (await self._steering.two.waiting())[:PROPOSALS]
        found = [
            (count, f"{count}{'+' if more else ''}", "to review", "/review"),
            (len(glass), str(len(glass)), "done without the service, to be signed off", "/proposals"),
            (alone.on, "1", "person is enough for what takes two", "/proposals"),
            *((1, "1", f"{one.kind} waits for a second person: {one.subject}", "/proposals") for one in proposals),
        ]
        return [(shown, what, f"{place}{where}") for count, shown, what, where in found if count]

    async def _switches(
        self, app: web.Application, now: Millis, pauses: Mapping[str, Pause], elsewhere: Collection[str]
    ) -> list[PauseSwitch]:
        shown = [PauseSwitch(EVERYTHING, "Everything", "all sends of this installation", pauses.get(EVERYTHING))]
        for name, machine in self._frame.store.records.machines.items():
            # What never sends cannot be stopped from sending.
            if any(state.sends for state in machine.lifecycle.states.values()):
                scope = f"machine:{name}"
                shown.append(PauseSwitch(scope, f"Machine {name}", f"every send of a {name}", pauses.get(scope)))
        shown += await asyncio.gather(
            *(self._rail(app, name, pauses.get(f"rail:{name}"), now) for name in self._board.rails)
        )
        known = {switch.scope for switch in shown} | set(elsewhere)
        shown += [
            PauseSwitch(scope, in_words(scope).capitalize(), "", pause)
            for scope, pause in sorted(pauses.items())
            if scope not in known
        ]
        return shown

    async def _rail(self, app: web.Application, name: str, pause: Pause | None, now: Millis) -> PauseSwitch:
        cached = self._wallets.get(name)
        held = await cached.get(app, PATIENCE_S) if cached else None
        wallet = ", ".join(grouped(one) for one in held or ())
        health = _health_of(cached, now, unknown="cannot tell its balance", silent="does not answer", well="answered")
        well = not (cached and cached.error)
        return PauseSwitch(
            f"rail:{name}", f"Rail {name}", f"every send through {name}", pause, wallet, health, well=well
        )

    async def _lanes_shown(self, app: web.Application, pauses: Mapping[str, Pause], now: Millis) -> list[LaneShown]:
        """Show all lanes that this process knows, and those that others work in the same store."""
        records: dict[str, LaneRecord] = {}
        if LANE in self._frame.store.records.machines:
            for state in (s.OPEN, s.HALTED):
                found = await self._frame.store.listing.in_state(LANE, state, MOST_LANES)
                records |= {one.record.data.name: one.record for one in found}
        names = [*self._lanes, *sorted(set(records) - set(self._lanes))]
        shown = (self._lane(app, name, records.get(name), pauses.get(f"lane:{name}"), now) for name in names)
        return await asyncio.gather(*shown)

    async def _lane(
        self, app: web.Application, name: str, record: LaneRecord | None, pause: Pause | None, now: Millis
    ) -> LaneShown:
        cached = self._lanes.get(name)
        sheet = await cached.get(app, PATIENCE_S) if cached else None
        switch = PauseSwitch(
            f"lane:{name}", f"Lane {name}", f"every transaction of the lane {name}", pause,
            wallet=", ".join(grouped(one) for one in sheet.holds) if sheet else "",
            health=_health_of(
                cached, now, unknown="no node of it is known to this process", silent="its nodes do not answer",
                well="its nodes answered",
            ), well=not (cached and cached.error),
            stopped=record is not None and record.state == s.HALTED,
        )  # fmt: skip
        return LaneShown(
            switch, record, sheet.nodes if sheet else (),
            in_flight=await self._count("transaction", name, s.SIGNED, s.SENT) if record else "0",
            queued=await self._count("payment", name, s.QUEUED) if record else "0",
        )  # fmt: skip

    async def _count(self, machine: str, lane: str, *states: str) -> str:
        owner, listing = owner_of_lane(lane), self._frame.store.listing
        found = [len(await listing.of_owner(machine, state, owner, COUNTED)) for state in states]
        return f"{COUNTED}+" if COUNTED in found else str(sum(found))

    async def pause(self, visit: Visit, form: Form) -> FormDone:
        """Stop sends."""
        said = await self._steering.pause(str(form.get("scope", "")), visit.caller.who, str(form.get("reason", "")))
        return FormDone(said, f"{self._frame.place}#switches")

    async def resume(self, visit: Visit, form: Form) -> FormDone:
        """Let sends go on."""
        said = await self._steering.resume(str(form.get("scope", "")), visit.caller.person, str(form.get("reason", "")))
        return FormDone(said, f"{self._frame.place}#switches")


def _age(oldest: Millis | None, now: Millis) -> str:
    return "" if oldest is None or now - oldest < SECOND else span(now - oldest)


def _health_of(cached: CachedValue[Any] | None, now: Millis, *, unknown: str, silent: str, well: str) -> str:
    """Say when something was last asked, and how that went."""
    if cached is None:
        return unknown
    if cached.error:
        return f"{silent}: {cached.error}"
    return "not asked yet" if cached.at is None else f"{well} {span(max(0, now - cached.at))} ago"
