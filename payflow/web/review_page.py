"""A plain page for reviewers: what waits for them, why, and two buttons. It works without a script."""

import hashlib
import hmac
from collections.abc import Collection
from http import HTTPStatus
from importlib import resources
from typing import Any

import jinja2
from aiohttp import web

from machines.core.errors import PayflowError
from payflow.store.tokens import Role
from payflow.web.auth import STAFF, Caller, Gate
from payflow.web.desk import Desk
from payflow.web.problems import FORBIDDEN, UNAUTHENTICATED, Problem, answer_to, deciding
from payflow.web.review import Review

PLACE = "/review"
COOKIE = "payflow_review"
SHOWN = 100
SESSION_S = 8 * 3600
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


class ReviewPage:
    """Signs reviewers in by their token, and lets them decide."""

    def __init__(self, desk: Desk, gate: Gate, review: Review) -> None:
        self._desk = desk
        self._gate = gate
        self._review = review
        loader = jinja2.PackageLoader("payflow.web")
        self._page = jinja2.Environment(loader=loader, autoescape=True).get_template("review.html")
        self._style = (resources.files("payflow.web") / "static" / "review.css").read_text("utf-8")

    def routes(self) -> list[web.RouteDef]:
        """List the places of the page."""
        return [
            web.get(PLACE, self.show),
            web.get(f"{PLACE}/style.css", self.style),
            web.post(f"{PLACE}/sign-in", self.sign_in),
            web.post(f"{PLACE}/sign-out", self.sign_out),
            web.post(PLACE + "/{id}/approve", self.approve),
            web.post(PLACE + "/{id}/reject", self.reject),
        ]

    async def style(self, _: web.Request) -> web.Response:
        """Give the style sheet."""
        return web.Response(text=self._style, content_type="text/css")

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show what waits, or ask who is there."""
        try:
            caller = await self._caller(request, STAFF)
        except Problem as problem:
            return self._asked_to_sign_in(problem)
        return await self._shown(request, caller)

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Keep the token where no script can read it."""
        token = str((await request.post()).get("token", "")).strip()
        try:
            await self._gate.admit(request, STAFF, secret=token)
        except Problem as problem:
            return self._asked_to_sign_in(problem, said=problem.message)
        answer = _see(PLACE)
        answer.set_cookie(
            COOKIE, token, max_age=SESSION_S, path=PLACE, httponly=True, samesite="Strict", secure=request.secure
        )
        return answer

    async def sign_out(self, _: web.Request) -> web.StreamResponse:
        """Forget the token."""
        answer = _see(PLACE)
        answer.del_cookie(COOKIE, path=PLACE)
        return answer

    async def approve(self, request: web.Request) -> web.StreamResponse:
        """Say yes to what was shown."""
        return await self._decide(request, "approve", "approved")

    async def reject(self, request: web.Request) -> web.StreamResponse:
        """Say no."""
        return await self._decide(request, "reject", "rejected")

    async def _decide(self, request: web.Request, verb: str, done: str) -> web.StreamResponse:
        payout_id = request.match_info["id"]
        try:
            caller = await self._caller(request, {Role.REVIEWER})
            form = await request.post()
            if not hmac.compare_digest(str(form.get("csrf", "")), _csrf(request)):
                raise Problem(FORBIDDEN, "This form is not from this page: open the page again.")  # noqa: TRY301
        except Problem as problem:
            return answer_to(problem, request.path)
        try:
            with deciding():
                if verb == "approve":
                    await self._desk.approve(payout_id, caller.who, str(form.get("fingerprint", "")))
                else:
                    await self._desk.reject(payout_id, caller.who, str(form.get("reason", "")))
        except (PayflowError, Problem) as error:
            return await self._shown(request, caller, said=str(error), refused=True)
        return await self._shown(request, caller, said=f"You {done} {payout_id}.")

    async def _caller(self, request: web.Request, roles: Collection[Role]) -> Caller:
        return await self._gate.admit(request, roles, secret=request.cookies.get(COOKIE, ""))

    async def _shown(
        self, request: web.Request, caller: Caller, *, said: str = "", refused: bool = False
    ) -> web.StreamResponse:
        waiting = await self._review.waiting(SHOWN)
        return self._answer(
            HTTPStatus.CONFLICT if refused else HTTPStatus.OK,
            caller=caller,
            csrf=_csrf(request),
            may_decide=caller.role is Role.REVIEWER,
            reviews=waiting.reviews,
            more=waiting.more,
            said=said,
            refused=refused,
        )

    def _asked_to_sign_in(self, problem: Problem, said: str = "") -> web.StreamResponse:
        if (problem.status, problem.code) not in (UNAUTHENTICATED, FORBIDDEN):
            return answer_to(problem, PLACE)
        return self._answer(HTTPStatus.UNAUTHORIZED, caller=None, said=said, refused=True)

    def _answer(self, status: HTTPStatus, **shown: Any) -> web.Response:
        text = self._page.render(**shown)
        headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
        return web.Response(text=text, content_type="text/html", status=status, headers=headers)


def _see(place: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": place})


def _csrf(request: web.Request) -> str:
    """Bind forms to the session without keeping anything."""
    return hashlib.sha256(b"review form " + request.cookies.get(COOKIE, "").encode()).hexdigest()
