"""Signing a command line in: whoever is signed in here compares the code that it shows, and says yes or no."""

from aiohttp import web

from payflow.desk.login import answer_login, find_login
from payflow.desk.person import STAFF
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.frame import FormDone, Frame

LONGEST = 40


class LoginPage:
    """The page, and the two answers."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def routes(self) -> list[web.RouteDef]:
        return [
            self._frame.shows("/login", self.show),
            self._frame.does("/login/confirm", self.confirm, STAFF, proven=True),
            self._frame.does("/login/decline", self.decline, STAFF),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Show which command line waits with a code, or ask for one."""
        code = visit.request.query.get("code", "")[:LONGEST]
        login = await find_login(self._frame.store, code, visit.caller) if code else None
        return await self._frame.page(
            visit, "login.html", title="Sign a command line in", here="sign-in", code=code, login=login
        )

    async def confirm(self, visit: Visit, form: Form) -> FormDone:
        """Let it act as the visitor."""
        login = await answer_login(self._frame.store, _code(form), visit.caller.person, visit.session)
        return FormDone(f"{login.account} acts as {visit.caller.who} now, for 8 hours.", self._frame.place)

    async def decline(self, visit: Visit, form: Form) -> FormDone:
        """Let it act as nobody."""
        login = await answer_login(self._frame.store, _code(form), visit.caller.person, None)
        return FormDone(f"{login.account} was refused; it acts as nobody.", self._frame.place)


def _code(form: Form) -> str:
    return str(form.get("code", ""))[:LONGEST]
