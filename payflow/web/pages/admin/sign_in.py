"""How people come in: who is signed in, their passkeys, and the command lines that wait for their yes."""

from aiohttp import web

from payflow.desk.identity import end_session, open_sessions
from payflow.desk.login import answer_login, find_login
from payflow.desk.passkeys import add_passkey, ask_to_add, passkeys_of, remove_passkey
from payflow.desk.person import A_ROLE, STAFF
from payflow.store.registers.tokens import Role, digest_of, use_name
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.frame import FormDone, Frame


class SessionsPage:
    """Who is signed in, from where and since when; everybody ends their own sessions, an operator anybody's."""

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


class PasskeysPage:
    """Whoever works here adds their passkeys, sees them and removes them."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def routes(self) -> list[web.RouteDef]:
        shows, does = self._frame.shows, self._frame.does
        return [
            shows("/passkeys", self.show),
            does("/passkeys/add", self.add, STAFF, proven=True),
            does("/passkeys/remove", self.remove, STAFF, proven=True),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """List them, and let a browser make another one."""
        store, sessions = self._frame.store, self._frame.sessions
        found = await passkeys_of(store, visit.caller.who)
        at = sessions.relying_party(visit.request)
        options = await ask_to_add(store, at, visit.signed_in) if at else ""
        return await self._frame.page(
            visit, "passkeys.html", title="Passkeys", here="passkeys", passkeys=found, options=options,
            address=sessions.pages_at,
        )  # fmt: skip

    async def add(self, visit: Visit, form: Form) -> FormDone:
        """Add the one that the browser made; they have just proven that it is them."""
        sessions = self._frame.sessions
        at = sessions.relying_party_of(visit.request)
        label, made = str(form.get("label", "")), str(form.get("credential", ""))
        passkey = await add_passkey(self._frame.store, at, visit.signed_in, label, made)
        await sessions.prove(visit, passkey.made_at)
        return self._done(f"{passkey.label} is a passkey of yours. It signs you in, and what moves money asks for it.")

    async def remove(self, visit: Visit, form: Form) -> FormDone:
        """Remove one."""
        who = visit.caller.who
        passkey = await remove_passkey(self._frame.store, who, who, str(form.get("passkey_id", ""))[:1400])
        return self._done(f"{passkey.label} proves nothing any more.")

    def _done(self, said: str) -> FormDone:
        return FormDone(said, f"{self._frame.place}/passkeys")


LONGEST = 40


class LoginPage:
    """Whoever is signed in compares the code that a command line shows, and says yes or no."""

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
