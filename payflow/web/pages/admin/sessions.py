"""Sessions: who is signed in, from where and since when; everybody ends their own, an operator anybody's."""

from aiohttp import web

from payflow.desk.identity import end_session, open_sessions
from payflow.desk.person import A_ROLE, STAFF
from payflow.store.registers.tokens import Role, digest_of, use_name
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.frame import FormDone, Frame


class SessionsPage:
    """The page."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def routes(self) -> list[web.RouteDef]:
        return [
            self._frame.shows("/sessions", self.show),
            self._frame.does("/sessions/end", self.end, STAFF),
            self._frame.does("/sessions/role", self.act_as, STAFF),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        return await self._frame.page(
            visit, "sessions.html", title="Sessions", here="sessions",
            sessions=await open_sessions(self._frame.store, visit.caller.person),
            this_one=use_name(digest_of(visit.secret)),
        )  # fmt: skip

    async def act_as(self, visit: Visit, form: Form) -> FormDone:
        """Be another one of what one may be, in this session."""
        role = Role(form.get("role", "")) if form.get("role", "") in STAFF else visit.caller.role
        await self._frame.sessions.act_as(visit, role)
        return FormDone(f"You are {A_ROLE[role]} now.", self._frame.place)

    async def end(self, visit: Visit, form: Form) -> FormDone:
        """End one at once."""
        one = await end_session(self._frame.store, str(form.get("session", "")), visit.caller.person)
        return FormDone(f"{one.who} is signed out there.", f"{self._frame.place}/sessions")
