"""Override: any state to any other. First what it would change, then a person's word, and a second one where needed."""

from aiohttp import web

from machines.core.errors import BadInput
from payflow.desk.steering import Steering
from payflow.store.registers.tokens import Role
from payflow.web.http.sessions import Form, Visit
from payflow.web.pages.admin.actions import money_line
from payflow.web.pages.admin.frame import Done, Frame
from payflow.web.pages.admin.record import read

OPERATES = frozenset({Role.OPERATOR})


class OverridePages:
    """The steps of an override."""

    def __init__(self, frame: Frame, steering: Steering) -> None:
        self._frame = frame
        self._store = frame.store
        self._steering = steering

    def routes(self) -> list[web.RouteDef]:
        """List the places."""
        one = f"{self._frame.place}/records/{{id}}/override"
        does = self._frame.does
        return [
            web.get(one, self._frame.shows(self.ask, OPERATES)),
            web.post(one, does(self.override, OPERATES)),
            web.post(f"{one}/propose", does(self.propose, OPERATES)),
        ]

    async def ask(self, visit: Visit) -> web.StreamResponse:
        """Ask which state, then show what that would change."""
        record = (await read(self._frame, visit)).record
        states = self._store.records.machines[record.machine].lifecycle.states
        to = visit.request.query.get("to", "")
        preview, money = None, ""
        if to:
            if to not in states or to == record.state:
                raise BadInput(f"{record.id} cannot be put into {to[:40]!r}.")
            preview = await self._steering.preview(record.id, to, visit.caller.who)
            money = money_line(record, preview.source.position, preview.target.position)
        return await self._frame.page(
            visit, "override.html", title=f"Override {record.id}", here="records", record=record, states=states,
            to=to, preview=preview, money=money,
        )  # fmt: skip

    async def override(self, visit: Visit, form: Form) -> Done:
        """Do it by one person's word."""
        record = (await read(self._frame, visit)).record
        applied = await self._steering.override(
            record.id, _field(form, "to"), _field(form, "reason"), visit.caller.who, _version(form)
        )
        return self._done(applied.after.id, f"Done: {record.id} is in {applied.after.state} now.")

    async def propose(self, visit: Visit, form: Form) -> Done:
        """Ask a second person."""
        record = (await read(self._frame, visit)).record
        to = _field(form, "to")
        reason, version = _field(form, "reason"), _version(form)
        proposal = await self._steering.propose_override(record.id, to, reason, visit.caller.person, version)
        second = "a reviewer" if proposal.role == Role.REVIEWER else "another operator"
        return self._done(record.id, f"Nothing has changed yet: {to} waits for {second} to confirm it here.")

    def _done(self, record_id: str, said: str) -> Done:
        return Done(said, f"{self._frame.place}/records/{record_id}")


def _field(form: Form, name: str) -> str:
    return str(form.get(name, "")).strip()


def _version(form: Form) -> int:
    text = _field(form, "version")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1  # noqa: PLR2004
