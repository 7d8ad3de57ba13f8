"""Passkeys: whoever works here adds theirs, sees them and removes them."""

from aiohttp import web

from payflow.desk.passkeys import add_passkey, ask_to_add, passkeys_of, remove_passkey
from payflow.desk.person import STAFF
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.frame import FormDone, Frame


class PasskeysPage:
    """The page, and what is done from it."""

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
