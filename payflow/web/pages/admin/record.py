"""One record: its story, where it is and its money, what happens next, and what may be done about it."""

from typing import Any

from aiohttp import web

from machines.core.errors import BadInput, NotFound
from machines.core.ids import RecordId
from machines.core.lifecycle import By
from machines.core.record import Record
from payflow.desk.actions import ActionRequest, Actions, money_line
from payflow.desk.person import OPERATES
from payflow.desk.receipts.content import kinds as receipt_kinds
from payflow.desk.receipts.receipts import Receipts
from payflow.desk.records import lane_of, stopping, what_next
from payflow.desk.steering import Steering
from payflow.desk.values import LedgerAccount
from payflow.shown import decimal, utc
from payflow.store.registers.tokens import Role
from payflow.store.stored import Stored
from payflow.web.api.receipts import page_reply
from payflow.web.http.auth import Form, Visit
from payflow.web.http.endpoints import written
from payflow.web.pages.admin import story
from payflow.web.pages.admin.diagram import Marks, pictures
from payflow.web.pages.admin.frame import DashboardExtensions, Do, FormDone, Frame
from payflow.web.pages.admin.proposals import shown

MOST_CHAPTERS = 200


class RecordPage:
    """The page, and what is done from it."""

    def __init__(
        self, frame: Frame, board: DashboardExtensions, steering: Steering, actions: Actions, receipts: Receipts
    ) -> None:
        self._frame = frame
        self._board = board
        self._steering = steering
        self._actions = actions
        self._receipts = receipts

    def routes(self) -> list[web.RouteDef]:
        shows, does = self._frame.shows, self._frame.does
        routes = [
            shows("/records/{id}", self.show),
            shows("/records/{id}/do/{action}", self.ask),
            shows("/records/{id}/receipt", self.receipt),
            does("/records/{id}/take-up", self.take_up, OPERATES),
            shows("/records/{id}/override", self.ask_override, OPERATES),
            does("/records/{id}/override", self.override, OPERATES, proven=True),
            does("/records/{id}/override/propose", self.propose, OPERATES, proven=True),
        ]
        # A place for each action, so that who may come in there is settled before anything is read.
        return routes + [
            does(f"/records/{{id}}/do/{name}", self._doing(name), roles, proven=name != "reject")
            for name, roles in self._actions.roles().items()
        ]

    # ── shown ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Tell its story."""
        stored = await read(self._frame, visit)
        record, store = stored.record, self._frame.store
        machine = store.records.machines[record.machine]
        events = await store.records.history(record.id)
        state, outlook = machine.lifecycle.state(record.state), await store.listing.outlook(record)
        explorers = story.explorers_of(record, self._board)
        chapters, data = story.chapters(events[-MOST_CHAPTERS:], record.amount, explorers), story.stored_data(record)
        marks = Marks(record.state, story.went(events))
        proposals = await shown(self._steering.two, await self._steering.two.of(record.id), visit.caller)
        return await self._frame.page(
            visit, "record.html", title=record.id, here="records", record=record, state=state,
            picture=pictures(machine.lifecycle, None, marks, links=f"{self._frame.place}/records"),
            next=what_next(machine.lifecycle, record, outlook, stored.at, "An operator takes it up again."),
            stopped=stopping(record, (await store.pauses.all()).values()),
            chapters=chapters, earlier=max(0, len(events) - MOST_CHAPTERS),
            fault=await store.integrity.history_fault(record.id), facts=story.pairs(data), tables=story.tables(data),
            proof=story.proof(data.get("evidence"), explorers),
            money=story.money(record), pays=story.pays(record),
            hashes=story.hashes(record, self._board), related=await self._related(record),
            account=await self._account(stored), offers=self._actions.offers(stored, visit.caller),
            overrides=visit.caller.role is Role.OPERATOR, proposals=proposals,
            has_receipt=record.machine in receipt_kinds(),
            can_take_up=visit.caller.role is Role.OPERATOR and (bool(record.parked) or state.by is By.POLLER),
        )  # fmt: skip

    async def receipt(self, visit: Visit) -> web.StreamResponse:
        """Give its receipt as a page of its own, which prints."""
        name = RecordId(visit.request.match_info["id"])
        return written(page_reply(name, await self._receipts.page(name, staff=True)))

    async def _related(self, record: Record[Any]) -> list[tuple[str, RecordId, str]]:
        """Give the records that belong to it, as far as they exist, each with its state."""
        found = story.related(record, self._board, self._frame.store.records.shards)
        read = await self._frame.store.records.readable(one for _, one in found)
        there = {one.record.id: one.record.state for one in read}
        return [(what, one, there[one]) for what, one in found if one in there]

    async def _account(self, stored: Stored) -> dict[str, str]:
        record = stored.record
        if record.amount is None or not self._frame.store.records.machines[record.machine].money:
            return {}
        asset, assets = record.amount.asset.code, self._frame.store.records.assets
        account = (await self._frame.store.ledger.account(record.owner)).get(asset, LedgerAccount())
        parts = ("available", "held", "paid") + (("owed",) if account.owed else ())
        return {part: f"{asset} {decimal(getattr(account, part), asset, assets)}" for part in parts}

    # ── done ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, visit: Visit) -> web.StreamResponse:
        """Show what an action would do, and ask whether it is meant."""
        stored = await read(self._frame, visit)
        found = self._actions.offer(visit.request.match_info["action"], stored, visit.caller)
        return await self._frame.page(
            visit, "act.html", title=f"{found.action.label}: {stored.record.id}", here="records",
            record=stored.record, offer=found, pays=story.pays(stored.record),
            explorer=self._board.explorers.get(lane_of(stored.record, self._board.coins, self._board.bounty_lane), ""),
        )  # fmt: skip

    def _doing(self, name: str) -> Do:
        async def do(visit: Visit, form: Form) -> FormDone:
            stored = await read(self._frame, visit)
            before, picked = stored.record, [str(one) for one in form.getall("pick", ())]
            word = ActionRequest(visit.caller.person, _field(form, "reason"), str(form.get("seen", "")), picked)
            label = self._actions.offer(name, stored, visit.caller).action.label
            after = await self._actions.do(name, stored, visit.caller, word)
            if after is None:
                waits = f"Nothing has changed yet: to {label.lower()} waits for another operator, on Proposals."
                return FormDone(waits, f"{self._frame.place}/records/{before.id}")
            back = self._frame.local(str(form.get("back", "")))
            to = f"{self._frame.place}/records/{before.id}" if back == self._frame.place else back
            where = f"is in {after.state} now" if after.state != before.state else f"stays in {after.state}"
            return FormDone(f"Done: {label.lower()} {before.id}. It {where}.", to)

        return do

    async def take_up(self, visit: Visit, _: Form) -> FormDone:
        """Have it looked at now."""
        record = (await read(self._frame, visit)).record
        again = await self._steering.take_up(record.id, visit.caller.who)
        return FormDone(again.said, f"{self._frame.place}/records/{record.id}")

    # ── overridden ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask_override(self, visit: Visit) -> web.StreamResponse:
        """Ask which state, then show what that would change."""
        record = (await read(self._frame, visit)).record
        states = self._frame.store.records.machines[record.machine].lifecycle.states
        to = visit.request.query.get("to", "")
        preview = await self._steering.preview(record.id, to, visit.caller.who) if to else None
        money = money_line(record, preview.source.position, preview.target.position) if preview else ""
        return await self._frame.page(
            visit, "override.html", title=f"Override {record.id}", here="records", record=record, states=states,
            to=to, preview=preview, money=money,
        )  # fmt: skip

    async def override(self, visit: Visit, form: Form) -> FormDone:
        """Do it by one person's word."""
        record = (await read(self._frame, visit)).record
        applied = await self._steering.override(
            record.id, _field(form, "to"), _field(form, "reason"), visit.caller.person, _version(form)
        )
        return self._done(applied.after.id, f"Done: {record.id} is in {applied.after.state} now.")

    async def propose(self, visit: Visit, form: Form) -> FormDone:
        """Ask a second person."""
        record = (await read(self._frame, visit)).record
        to = _field(form, "to")
        reason, version = _field(form, "reason"), _version(form)
        proposal = await self._steering.propose_override(record.id, to, reason, visit.caller.person, version)
        second = "a reviewer" if proposal.role == Role.REVIEWER else "another operator"
        return self._done(record.id, f"Nothing has changed yet: {to} waits for {second} to confirm it here.")

    def _done(self, record_id: str, said: str) -> FormDone:
        return FormDone(said, f"{self._frame.place}/records/{record_id}")


def _field(form: Form, name: str) -> str:
    return str(form.get(name, "")).strip()


def _version(form: Form) -> int:
    text = _field(form, "version")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1  # noqa: PLR2004


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
