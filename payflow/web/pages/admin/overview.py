"""The first page: where everything is, what needs a person, whether money may leave, and how much of it there is."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from machines.core.clock import SECOND, Millis
from machines.core.machine import AnyMachine
from payflow.desk.person import OPERATES
from payflow.desk.steering import Steering, called
from payflow.desk.values import EVERYTHING, LedgerAccount, Pause
from payflow.shown import decimal, grouped, span
from payflow.store.listing import StateCount
from payflow.store.store import Store
from payflow.web.api.review import ReviewsApi
from payflow.web.http.sessions import Form, Visit
from payflow.web.pages.admin.cached import CachedValue
from payflow.web.pages.admin.drawing import StateFigures, pictures
from payflow.web.pages.admin.extensions import DashboardExtensions
from payflow.web.pages.admin.frame import FormDone, Frame
from payflow.web.pages.admin.lanes import FRESH_S as LANE_FRESH_S
from payflow.web.pages.admin.lanes import WITHIN_S as LANE_WITHIN_S
from payflow.web.pages.admin.lanes import LaneShown, LanesPanel, PauseSwitch, health_of

PATIENCE_S = 1.0
REVIEWS_FRESH_S = 2.0
TOTALS_FRESH_S, TOTALS_WITHIN_S = 30.0, 60.0
RAIL_FRESH_S, RAIL_WITHIN_S = 30.0, 8.0
MOST_SHOWN = 99
PROPOSALS = 5


@dataclass(frozen=True, slots=True)
class Need:
    """Something that waits for a person."""

    count: str
    what: str
    place: str


class Overview:
    """The page and its switches."""

    def __init__(self, frame: Frame, board: DashboardExtensions, steering: Steering, review: ReviewsApi) -> None:
        self._frame = frame
        self._store: Store = frame.store
        self._board = board
        self._steering = steering
        self._reviews = CachedValue(lambda: review.waiting(MOST_SHOWN), fresh_s=REVIEWS_FRESH_S, within_s=RAIL_WITHIN_S)
        self._totals = CachedValue(self._store.ledger.totals, fresh_s=TOTALS_FRESH_S, within_s=TOTALS_WITHIN_S)
        self._wallets = {
            name: CachedValue(wallet, fresh_s=RAIL_FRESH_S, within_s=RAIL_WITHIN_S)
            for name, wallet in board.rails.items()
            if wallet is not None
        }
        looks = {
            name: CachedValue(look, fresh_s=LANE_FRESH_S, within_s=LANE_WITHIN_S) if look else None
            for name, look in board.lanes.items()
        }
        self._lanes = LanesPanel(self._store, looks)

    def routes(self) -> list[web.RouteDef]:
        place = self._frame.place
        return [
            web.get(place, self._frame.shows(self.show)),
            web.post(f"{place}/pause", self._frame.does(self.pause, OPERATES)),
            web.post(f"{place}/resume", self._frame.does(self.resume, OPERATES)),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        now = await self._store.records.now()
        counts = await self._store.listing.counts_by_state()
        stuck = await self._store.listing.stuck()
        totals = await self._totals.get(visit.request.app, PATIENCE_S)
        machines = [self._machine(one, counts, stuck, now) for one in self._store.records.machines.values()]
        pauses = await self._store.pauses.all()
        lanes = await self._lanes.shown(visit.request.app, pauses, now, PATIENCE_S)
        known = {lane.switch.scope for lane in lanes}
        return await self._frame.page(
            visit, "overview.html", title="Overview", here="", machines=machines, lanes=lanes,
            needs=await self._needs(visit.request.app, stuck, lanes),
            switches=await self._switches(visit.request.app, now, pauses, known),
            money=self._money(totals or {}), totals_at=self._totals.at, totals_error=self._totals.error,
            books=await self._store.ledger.last_check(), waiting=await self._store.outbox.waiting(),
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

    async def _needs(
        self, app: web.Application, stuck: Mapping[tuple[str, str], int], lanes: Sequence[LaneShown]
    ) -> list[Need]:
        place = self._frame.place
        reviews = await self._reviews.get(app, PATIENCE_S)
        count = len(reviews.reviews) if reviews else 0
        found = [(count, f"{count}{'+' if reviews and reviews.more else ''}", "to review", "/review")]
        found += [
            (
                count,
                f"{count:,}",
                f"stuck in {state} ({machine})",
                f"/records?machine={machine}&state={state}&order=oldest",
            )
            for (machine, state), count in stuck.items()
        ]
        parked = await self._store.listing.count_parked()
        given_up = await self._store.outbox.given_up()
        found += [(parked, f"{parked:,}", "set aside after an error that nobody foresaw", "/records?parked=1")]
        found += [(given_up, f"{given_up:,}", "messages given up", "/outbox")]
        found += [
            (
                lane.suspects,
                str(lane.suspects),
                f"from outside may have paid what {lane.switch.called.lower()} has not",
                f"/records/{lane.record}",
            )
            for lane in lanes
        ]
        needs = [Need(shown, what, f"{place}{where}") for count, shown, what, where in found if count]
        waiting = (await self._steering.two.waiting())[:PROPOSALS]
        return needs + [
            Need("1", f"{one.kind} waits for a second person: {one.subject}", f"{place}/proposals") for one in waiting
        ]

    async def _switches(
        self, app: web.Application, now: Millis, pauses: Mapping[str, Pause], elsewhere: Collection[str]
    ) -> list[PauseSwitch]:
        shown = [PauseSwitch(EVERYTHING, "Everything", "all sends of this installation", pauses.get(EVERYTHING))]
        for name, machine in self._store.records.machines.items():
            # What never sends cannot be stopped from sending.
            if any(state.sends for state in machine.lifecycle.states.values()):
                scope = f"machine:{name}"
                shown.append(PauseSwitch(scope, f"Machine {name}", f"every send of a {name}", pauses.get(scope)))
        shown += await asyncio.gather(
            *(self._rail(app, name, pauses.get(f"rail:{name}"), now) for name in self._board.rails)
        )
        known = {switch.scope for switch in shown} | set(elsewhere)
        shown += [
            PauseSwitch(scope, called(scope).capitalize(), "", pause)
            for scope, pause in sorted(pauses.items())
            if scope not in known
        ]
        return shown

    async def _rail(self, app: web.Application, name: str, pause: Pause | None, now: Millis) -> PauseSwitch:
        cached = self._wallets.get(name)
        held = await cached.get(app, PATIENCE_S) if cached else None
        wallet = ", ".join(grouped(one) for one in held or ())
        health = health_of(cached, now, unknown="cannot tell its balance", silent="does not answer", well="answered")
        well = not (cached and cached.error)
        return PauseSwitch(
            f"rail:{name}", f"Rail {name}", f"every send through {name}", pause, wallet, health, well=well
        )

    def _money(self, totals: Mapping[str, LedgerAccount]) -> list[dict[str, str]]:
        assets = self._store.records.assets
        parts = ("available", "held", "paid", "owed")
        return [
            {"asset": asset} | {part: decimal(getattr(account, part), asset, assets) for part in parts}
            for asset, account in sorted(totals.items())
        ]

    async def pause(self, visit: Visit, form: Form) -> FormDone:
        """Stop sends."""
        said = await self._steering.pause(str(form.get("scope", "")), visit.caller.who, str(form.get("reason", "")))
        return FormDone(said, f"{self._frame.place}#switches")

    async def resume(self, visit: Visit, form: Form) -> FormDone:
        """Let sends go on."""
        said = await self._steering.resume(str(form.get("scope", "")), visit.caller.who, str(form.get("reason", "")))
        return FormDone(said, f"{self._frame.place}#switches")


def _age(oldest: Millis | None, now: Millis) -> str:
    return "" if oldest is None or now - oldest < SECOND else span(now - oldest)
