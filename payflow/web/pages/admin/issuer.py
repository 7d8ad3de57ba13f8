"""Signing in by the identity provider, and proving there that it is still oneself: the way there, and the way back."""

from html import escape
from urllib.parse import urlencode

import structlog
from aiohttp import web

from machines.core.errors import IssuerUnavailable, PayflowError
from machines.core.issuer import Issuer
from payflow.desk.issuer import come_from_issuer, prove_vouched, send_to_issuer, session_of_vouched
from payflow.store.registers.subjects import ASKED_S
from payflow.web.http import problems
from payflow.web.http.auth import Visit, cookie_of, is_https, see
from payflow.web.pages.admin.frame import Frame

log = structlog.get_logger()

PLACE = "/sign-in/issuer"
COOKIE = "payflow_issuer"
SAID = ("state", "code", "iss", "error")
"""What people bring back with them."""


class IssuerPages:
    """Both ways."""

    def __init__(self, frame: Frame, issuer: Issuer) -> None:
        self._frame = frame
        self._issuer = issuer
        self.name = issuer.host
        self.place = f"{frame.place}{PLACE}"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(self.place, self.go),
            self._frame.shows("/prove", self.prove),
            web.get(f"{self.place}/back", self.back),
            web.get(f"{self.place}/done", self.done),
        ]

    # ── there ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def go(self, request: web.Request) -> web.StreamResponse:
        """Send somebody who is not known yet."""
        try:
            await self._frame.sessions.rate_limit_sign_in(request)
            return await self._sent(request, None)
        except (PayflowError, problems.Problem) as error:
            return await self._refused(request, error)

    async def prove(self, visit: Visit) -> web.StreamResponse:
        """Send somebody who is signed in."""
        return await self._sent(visit.request, visit)

    async def _sent(self, request: web.Request, visit: Visit | None) -> web.StreamResponse:
        to = self._frame.local(request.query.get("to", ""))
        proves = visit.signed_in if visit else None
        url, browser = await send_to_issuer(self._frame.store, self._issuer, self._back_of(request), to, proves)
        answer = see(url)
        name, path = cookie_of(request, COOKIE, self._frame.place)
        answer.set_cookie(
            name, browser, max_age=ASKED_S, path=path, httponly=True, samesite="Strict", secure=is_https(request)
        )
        return answer

    def _back_of(self, request: web.Request) -> str:
        """Say where people come back to: where pages are, and nowhere else."""
        return f"{self._frame.sessions.relying_party_of(request).origin}{self.place}/back"

    # ── back ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def back(self, request: web.Request) -> web.StreamResponse:
        """Lead on from a page of our own: on a way that began at another site a browser shows us no cookie."""
        try:
            await self._frame.sessions.rate_limit_sign_in(request)
        except problems.Problem as problem:
            return await self._refused(request, problem)
        said = urlencode({name: request.query[name] for name in SAID if name in request.query})
        place = escape(f"{self.place}/done?{said}")
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={place}">'
            f'<title>One moment</title><p>One moment. <a href="{place}">Go on</a></p></html>'
        )
        headers = {
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer",
        }  # fmt: skip
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def done(self, request: web.Request) -> web.StreamResponse:
        """Let in who comes back, or take it that it is still them."""
        frame = self._frame
        name, path = cookie_of(request, COOKIE, frame.place)
        try:
            await frame.sessions.rate_limit_sign_in(request)
            answer = await self._done(request, request.cookies.get(name, ""))
        except (PayflowError, problems.Problem) as error:
            answer = await self._refused(request, error)
        answer.del_cookie(name, path=path, httponly=True, samesite="Strict", secure=is_https(request))
        return answer

    async def _done(self, request: web.Request, browser: str) -> web.Response:
        store, sessions = self._frame.store, self._frame.sessions
        said = {name: request.query[name] for name in SAID if name in request.query}
        begun, who = await come_from_issuer(store, self._issuer, self._back_of(request), browser, said)
        if not begun.session:
            session = await session_of_vouched(store, who)
            return await sessions.let_in_noted(request, session, self._frame.local(begun.to), f"by {self.name}")
        visit = await sessions.visit(request)
        proven = await prove_vouched(store, who, begun, visit.signed_in)
        if proven.proven_at is not None:
            await sessions.prove(visit, proven.proven_at)
        await sessions.say(visit, "It is you. Now do what you wanted to: for five minutes you are not asked again.")
        return see(self._frame.local(begun.to))

    async def _refused(self, request: web.Request, error: PayflowError | problems.Problem) -> web.Response:
        problem = problems.of(error) if isinstance(error, PayflowError) else error
        if isinstance(error, IssuerUnavailable):
            log.warning("Nobody signs in by the identity provider.", action="issuer_unavailable", error=str(error))
        elif problem.code != problems.TOO_MANY[1]:
            await self._frame.sessions.note_refused(request, problem.message)
        return self._frame.sign_in(problem.status, self._frame.place, problem.message)
