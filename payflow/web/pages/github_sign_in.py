"""Signing in with GitHub: people are sent there, come back with a code, and have a token of their own here."""

import hmac
import secrets
from typing import Protocol

from aiohttp import web

from machines.core.forge import ForgeAccount
from payflow.desk.person import token_of_account
from payflow.store.store import Store
from payflow.web.http.auth import Gate
from payflow.web.http.problems import FORBIDDEN, Problem
from payflow.web.http.sessions import PageSessions, see

SIGN_IN, BACK = "/bounties/github", "/bounties/github/back"
STATE = "payflow_bounties_state"
STATE_S = 600


class Identity(Protocol):
    """Somebody who can tell who people are."""

    def sign_in_url(self, state: str, back: str) -> str:
        """Say where somebody is sent."""

    async def who(self, code: str, back: str) -> ForgeAccount:
        """Tell who came back."""


class GitHubSignInRoutes:
    """The way to GitHub, and the way back."""

    def __init__(self, store: Store, gate: Gate, sessions: PageSessions, identity: Identity, server: str) -> None:
        self._store = store
        self._gate = gate
        self._sessions = sessions
        self._identity = identity
        self._back = server + BACK

    def routes(self) -> list[web.RouteDef]:
        """List both."""
        return [web.get(SIGN_IN, self.go), web.get(BACK, self.come)]

    async def go(self, request: web.Request) -> web.StreamResponse:
        """Send somebody to GitHub, with a word that only their browser can bring back."""
        await self._gate.rate_limit(request)
        state = secrets.token_urlsafe(32)
        answer = see(self._identity.sign_in_url(state, self._back))
        # Not Strict: they come back from another site, and the word must come with them.
        answer.set_cookie(
            STATE, state, max_age=STATE_S, path=SIGN_IN, httponly=True, samesite="Lax", secure=request.secure
        )
        return answer

    async def come(self, request: web.Request) -> web.StreamResponse:
        """Let in who comes back with that word and a code that GitHub knows."""
        await self._gate.rate_limit(request)
        sent, brought = request.cookies.get(STATE, ""), request.query.get("state", "")
        if not sent or not hmac.compare_digest(sent.encode(), brought.encode()):
            raise Problem(FORBIDDEN, "This sign-in did not begin in this browser: begin again.")
        person = await self._identity.who(request.query.get("code", "")[:200], self._back)
        token = await token_of_account(self._store, person)
        answer = await self._sessions.let_in(request, token, _onwards())
        answer.del_cookie(STATE, path=SIGN_IN)
        return answer


def _onwards() -> web.Response:
    """Lead on from a page of our own: on a way that began at another site, a browser would not show the session."""
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/bounties">'
        '<title>Signed in</title><p>You are signed in. <a href="/bounties">Go on</a></p></html>'
    )
    headers = {"Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer"}
    return web.Response(text=page, content_type="text/html", headers=headers)
