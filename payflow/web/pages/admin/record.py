"""One record: its story, where it is and its money, what happens next, and what may be done about it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from machines.core.errors import BadInput, Conflict, NotFound
from machines.core.ids import RecordId
from machines.core.lifecycle import By
from machines.core.machine import AnyMachine
from machines.core.record import Record
from payflow.desk.records import stopping, what_next
from payflow.desk.steering import Steering
from payflow.shown import decimal, utc
from payflow.store.ledger import LedgerAccount
from payflow.store.registers.tokens import Role
from payflow.store.stored import Stored
from payflow.web.http.problems import FORBIDDEN, NOT_POSSIBLE, Problem
from payflow.web.http.sessions import Form, Visit
from payflow.web.pages.admin import story, whereabouts
from payflow.web.pages.admin.actions import Offer, offer, offers
from payflow.web.pages.admin.drawing import Marks, pictures
from payflow.web.pages.admin.extensions import Action, Board, Word
from payflow.web.pages.admin.frame import Done, Frame
from payflow.web.pages.admin.proposals import shown

OPERATES = frozenset({Role.OPERATOR})
MOST_CHAPTERS = 200


class RecordPage:
    """The page, and what is done from it."""

    def __init__(self, frame: Frame, board: Board, steering: Steering, actions: Sequence[Action]) -> None:
        self._frame = frame
        self._store = frame.store
        self._board = board
        self._steering = steering
        self._actions = actions

    def routes(self) -> list[web.RouteDef]:
        """List the places."""
        one, shows = f"{self._frame.place}/records/{{id}}", self._frame.shows
        routes = [
            web.get(one, shows(self.show)),
            web.get(f"{one}/do/{{action}}", shows(self.ask)),
            web.post(f"{one}/take-up", self._frame.does(self.take_up, OPERATES)),
        ]
        # A place for each action, so that who may come in there is settled before anything is read.
        named: dict[str, frozenset[Role]] = {}
        for action in self._actions:
            named[action.name] = named.get(action.name, frozenset()) | action.roles
        return routes + [
            web.post(f"{one}/do/{name}", self._frame.does(self._doing(name), roles)) for name, roles in named.items()
        ]

    async def stored(self, visit: Visit) -> Stored:
        """Read the record that a page is about."""
        return await read(self._frame, visit)

    # ── shown ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Tell its story."""
        stored = await self.stored(visit)
        record, store = stored.record, self._store
        machine = store.records.machines[record.machine]
        events = await store.records.history(record.id)
        state, outlook = machine.lifecycle.state(record.state), await store.listing.outlook(record)
        explorers = whereabouts.explorers_of(record, self._board)
        told, data = story.chapters(events[-MOST_CHAPTERS:], record.amount, explorers), story.kept(record)
        marks = Marks(record.state, story.went(events))
        proposals = shown(self._steering.two, await self._steering.two.of(record.id), visit.caller)
        return await self._frame.page(
            visit, "record.html", title=record.id, here="records", record=record, state=state,
            picture=pictures(machine.lifecycle, None, marks, links=f"{self._frame.place}/records"),
            next=what_next(machine.lifecycle, record, outlook, stored.at, "An operator takes it up again."),
            stopped=stopping(record, (await store.pauses.all()).values()),
            chapters=told, earlier=max(0, len(events) - MOST_CHAPTERS),
            fault=await store.integrity.history_fault(record.id), facts=story.pairs(data), tables=story.tables(data),
            proof=story.proof(data.get("evidence"), explorers), **await self._around(record),
            account=await self._account(stored), offers=offers(self._actions, machine, stored, visit.caller),
            overrides=visit.caller.role is Role.OPERATOR, proposals=proposals,
            can_take_up=visit.caller.role is Role.OPERATOR and (bool(record.parked) or state.by is By.POLLER),
        )  # fmt: skip

    async def _around(self, record: Record[Any]) -> dict[str, Any]:
        """Give where its money is, its transactions, and the records that belong to it, as far as they exist."""
        found = whereabouts.of(record, self._board, self._store.records.shards)
        there = await asyncio.gather(*(self._state_of(one) for _, one in found.related))
        related = [(what, one, state) for (what, one), state in zip(found.related, there, strict=True) if state]
        return {"money": found.money, "pays": found.pays, "hashes": found.hashes, "related": related}

    async def _state_of(self, record_id: RecordId) -> str:
        try:
            return (await self._store.records.read(record_id)).record.state
        except (NotFound, BadInput):
            return ""

    async def _account(self, stored: Stored) -> dict[str, str]:
        record = stored.record
        if record.amount is None or not self._store.records.machines[record.machine].money:
            return {}
        asset, assets = record.amount.asset.code, self._store.records.assets
        account = (await self._store.ledger.account(record.owner)).get(asset, LedgerAccount())
        parts = ("available", "held", "paid") + (("owed",) if account.owed else ())
        return {part: f"{asset} {decimal(getattr(account, part), asset, assets)}" for part in parts}

    # ── done ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, visit: Visit) -> web.StreamResponse:
        """Show what an action would do, and ask whether it is meant."""
        stored = await self.stored(visit)
        found = self._offer(visit.request.match_info["action"], stored, visit)
        return await self._frame.page(
            visit, "act.html", title=f"{found.action.label}: {stored.record.id}", here="records",
            record=stored.record, offer=found, pays=whereabouts.of(stored.record, self._board, 1).pays,
            explorer=self._board.explorers.get(whereabouts.lane_of(stored.record, self._board), ""),
        )  # fmt: skip

    def _offer(self, name: str, stored: Stored, visit: Visit) -> Offer:
        """Try an action for somebody, or say why he cannot do it."""
        machine: AnyMachine = self._store.records.machines[stored.record.machine]
        action = next((one for one in self._actions if one.name == name and one.machine == machine.name), None)
        if action is None:
            raise NotFound(f"A {machine.name} knows no {name[:40]!r}.")
        if visit.caller.role not in action.roles:
            raise Problem(FORBIDDEN, f"{action.label}: this takes a token of a {' or '.join(sorted(action.roles))}.")
        found = offer(action, machine, stored, visit.caller)
        if isinstance(found, str):
            raise Problem(NOT_POSSIBLE, found)
        return found

    def _doing(self, name: str) -> Any:  # noqa: ANN401  (a `Do` of the frame, which mypy infers)
        async def do(visit: Visit, form: Form) -> Done:
            stored = await self.stored(visit)
            record, caller = stored.record, visit.caller
            found = self._offer(name, stored, visit)
            seen, reason = str(form.get("seen", "")), str(form.get("reason", "")).strip()
            if found.seen != seen:
                raise Conflict(f"{record.id} changed since you looked at it: look again.")
            if found.action.asks and not reason:
                raise BadInput("Say why: it is written into the history, and whoever is concerned reads it.")
            picked = [str(one) for one in form.getall("pick", ())]
            await found.action.run(record.id, Word(caller.who, reason, seen, picked))
            after = (await self._store.records.read(record.id)).record
            back = self._frame.local(str(form.get("back", "")))
            to = f"{self._frame.place}/records/{record.id}" if back == self._frame.place else back
            where = f"is in {after.state} now" if after.state != record.state else f"stays in {after.state}"
            return Done(f"Done: {found.action.label.lower()} {record.id}. It {where}.", to)

        return do

    async def take_up(self, visit: Visit, _: Form) -> Done:
        """Have it looked at now."""
        record = (await self.stored(visit)).record
        again = await self._steering.take_up(record.id, visit.caller.who)
        return Done(again.said, f"{self._frame.place}/records/{record.id}")


async def read(frame: Frame, visit: Visit) -> Stored:
    """Read the record that an address names; of one that was put away, say where it is."""
    name = RecordId(visit.request.match_info["id"])
    try:
        frame.store.records.shard_of(name)
    except BadInput as error:
        raise NotFound(f"There is no record {name[:60]}.") from error
    try:
        return await frame.store.records.read(name)
    except NotFound:
        tomb = await frame.store.archive.stub(name)
        if tomb is None:
            raise
        raise NotFound(
            f"{name} was {tomb.state} when it was archived on {utc(tomb.at)} UTC, into {tomb.file}: "
            f"`payflow show {name}` reads it there."
        ) from None
