"""The frame of every page: who may come in, what stands around it, how forms are taken, what a refusal looks like.

A page module names itself with a `Page` and makes its routes of `Frame.shows` and `Frame.does`; it needs nothing else.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import resources
from operator import attrgetter
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import jinja2
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from machines.core.errors import (
    BadInput,
    Conflict,
    NotAllowed,
    PayflowError,
    StoreError,
    StoreUnavailable,
    StoreUnfit,
    TooSoon,
)
from machines.core.ids import RecordId, parse_id
from machines.core.issuer import Issuer
from payflow import shown as words
from payflow.desk.actions import Action
from payflow.desk.dual_control import Verb
from payflow.desk.gateways import Wallet
from payflow.desk.lane_steering import LaneSheet
from payflow.desk.passkeys import has_passkey
from payflow.desk.person import STAFF
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.web.http import problems
from payflow.web.http.auth import CSRF, Form, PageSessions, SiblingPages, Visit, see
from payflow.web.http.endpoints import SentFile
from payflow.web.http.problems import UNAUTHENTICATED, Problem

log = structlog.get_logger()

PLACE = "/admin"
PROOF = "proof"
"""The field of a form that has what a passkey signed, where somebody proves that it is them."""
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
_NOT_OPENED = "This token opens nothing here: it is unknown or expired, or it was revoked."
_NO_LINK = "This link signs nobody in: it was used, or is older than 15 minutes, or its token was revoked."
_LOCAL = re.compile(r"/[A-Za-z0-9/._~%?&=:+-]*")


@dataclass(frozen=True, slots=True)
class Page:
    """One entry of the navigation, and the places behind it."""

    name: str
    """The first word of its places under /admin, such as `records`; empty for the first page."""
    title: str
    routes: Callable[["Frame"], Iterable[web.RouteDef]]
    templates: str = ""
    """The package whose folder `templates` has its templates; empty for those of the dashboard."""
    at: str = ""
    """Where it is, for one that stands by itself, with a sign-in of its own; empty for one under /admin."""


@dataclass(frozen=True, slots=True)
class FormDone:
    """What a form did, and where to go on."""

    said: str
    to: str


Show = Callable[[Visit], Awaitable[web.StreamResponse]]
Do = Callable[[Visit, Form], Awaitable[FormDone]]
DoWithFile = Callable[[Visit, Form, SentFile], Awaitable[FormDone]]


@dataclass(slots=True)
class Frame:
    """What all pages share."""

    store: Store
    sessions: PageSessions
    pages: Sequence[Page]
    place: str = PLACE
    home: str = "Payflow"
    staff: frozenset[Role] = STAFF
    templates: tuple[str, ...] = ()
    """Packages with templates beside those of the pages."""
    inside: bool = True
    """Whether these pages are for people who work here, who are told what is paused."""
    other_sign_in: tuple[str, str] = ("", "")
    """Another way to sign in: what it is called, and where it is."""
    _env: jinja2.Environment = field(init=False)

    def __post_init__(self) -> None:
        of_pages = (page.templates for page in self.pages if page.templates)
        packages = dict.fromkeys(["payflow.web.pages.admin", *self.templates, *of_pages])
        loader = jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages])
        self._env = jinja2.Environment(
            loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
        )
        self._env.filters |= {
            # No line ends between a number and its unit.
            "span": lambda millis: words.span(millis).replace(" ", "\N{NO-BREAK SPACE}"),
            "utc": words.utc, "iso": words.iso, "money": words.grouped, "words": words.plain,
            "path": lambda text: quote(str(text), safe=""), "query": urlencode, "units": self._units,
        }  # fmt: skip
        self._env.globals["asset"] = ASSETS.url

    def _units(self, units: int, asset: str) -> str:
        """Write units of an asset with its name."""
        return f"{words.decimal(units, asset, self.store.records.assets)} {asset}"

    # ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def shows(self, path: str, show: Show, roles: Collection[Role] | None = None) -> web.RouteDef:
        """Serve a page at a path under the first one to those who may see it; a stranger is asked to sign in first."""

        async def serve(request: web.Request) -> web.StreamResponse:
            return await show(await self.sessions.visit(request, self.staff if roles is None else roles))

        return web.get(f"{self.place}{path}", self._answering(serve))

    def does(self, path: str, do: Do, roles: Collection[Role], *, proven: bool = False) -> web.RouteDef:
        """Take a form from those who may send it; then lead on, so that a reload does nothing twice.

        What takes somebody who is `proven` is held back until they use a passkey, if they have one.
        """

        async def serve(request: web.Request) -> web.StreamResponse:
            visit = await self.sessions.visit(request, roles)
            form = await self.sessions.form(visit)
            if proven and not await self.sessions.is_proven(visit, form.get(PROOF, "")):
                return await self._held_back(visit, form)
            done = await do(visit, form)
            await self.sessions.say(visit, done.said)
            return see(done.to)

        return web.post(f"{self.place}{path}", self._answering(serve))

    def takes_file(self, path: str, do: DoWithFile, roles: Collection[Role]) -> web.RouteDef:
        """Take a form with a file from those who may send it; then lead on."""

        async def serve(request: web.Request) -> web.StreamResponse:
            visit = await self.sessions.visit(request, roles)
            async with self.sessions.form_with_file(visit) as (form, sent):
                done = await do(visit, form, sent)
            await self.sessions.say(visit, done.said)
            return see(done.to)

        return web.post(f"{self.place}{path}", self._answering(serve))

    async def _held_back(self, visit: Visit, form: Form) -> web.StreamResponse:
        """Ask whether it is them; the form is sent once more, as it stands, with what a passkey answers.

        Who has none proves it at the identity provider, and does then what they wanted to.
        """
        fields = [(name, value) for name, value in form.items() if name not in (CSRF, PROOF)]
        elsewhere = visit.session.vouched and not await has_passkey(self.store, visit.caller.who)
        return await self.page(
            visit, "prove.html", title="Is it you?", here="passkeys", fields=fields, action=visit.request.path,
            options="" if elsewhere else await self.sessions.ask_for_proof(visit), address=self.sessions.pages_at,
            elsewhere=elsewhere, proof=PROOF, back=self.local(_path_of(visit.request.headers.get(hdrs.REFERER, ""))),
        )  # fmt: skip

    def _answering(self, handler: Handler) -> Handler:
        """Turn every error into a page that says so."""

        async def serve(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Exception as error:  # noqa: BLE001  (whatever it was, a person gets a page and the log the rest)
                return await self.refusal(request, error)

        return serve

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def page(
        self, visit: Visit, template: str, *, title: str, here: str = "", status: int = HTTPStatus.OK, **shown: Any
    ) -> web.Response:
        """Answer with a page."""
        common = {
            "visit": visit, "caller": visit.caller, "csrf_name": CSRF, "csrf": visit.csrf, "said": visit.said,
            "now": await self.store.records.now(), **await self._warnings(),
            "operates": visit.caller.role is Role.OPERATOR, "reviews": visit.caller.role is Role.REVIEWER,
        }  # fmt: skip
        answer = self._answer(template, status, title=title, here=here, **common, **shown)
        await self.sessions.heard(visit)
        return answer

    async def _warnings(self) -> dict[str, Any]:
        """Say what is paused, and which wallets are too low, for everybody inside to see."""
        if not self.inside:
            return {"pauses": (), "shortfalls": ()}
        pauses = (await self.store.pauses.all()).values()
        shortfalls = await self.store.shortfalls.all(await self.store.records.now())
        return {"pauses": sorted(pauses, key=attrgetter("at")), "shortfalls": shortfalls}

    def sign_in(self, status: int, to: str, said: str = "") -> web.Response:
        """Ask who is there, and remember where they wanted to go."""
        return self._answer("sign_in.html", status, title="Sign in", visit=None, to=self.local(to), said=said,
            passkeys_of=urlsplit(self.sessions.pages_at).hostname if self.inside else "",
        )  # fmt: skip

    async def refusal(self, request: web.Request, error: Exception) -> web.StreamResponse:
        """Say on a page why something was not shown or not done."""
        asked = request.method == hdrs.METH_POST
        problem = _problem_of(error, request.path, asked=asked)
        if (problem.status, problem.code) == UNAUTHENTICATED:
            if asked:
                return self.sign_in(problem.status, self.place, "Nothing was done: sign in, then send it again.")
            return see(f"{self.place}/sign-in?{urlencode({'to': self.local(request.path_qs)})}")
        back = self.local(_path_of(request.headers.get(hdrs.REFERER, "")))
        return self._answer(
            "refused.html", problem.status, title="Not done" if asked else "Not shown", here="",
            message=problem.message, back=back,
            nothing_done=asked and problem.status < HTTPStatus.INTERNAL_SERVER_ERROR,
            **await self._around(request),
        )  # fmt: skip

    async def _around(self, request: web.Request) -> dict[str, Any]:
        """Give what stands around a refusal: the navigation for who is signed in, nothing for anybody else."""
        try:
            visit = await self.sessions.visit(request, self.staff)
        except Exception:  # noqa: BLE001  (they are no longer known, or the store is gone: a bare page will do)
            return {"visit": None, "said": ""}
        return {
            "visit": visit, "caller": visit.caller, "csrf_name": CSRF, "csrf": visit.csrf, "said": "", "pauses": (),
            "shortfalls": (), "now": 0, "operates": False, "reviews": False,
        }  # fmt: skip

    def local(self, place: str) -> str:
        """Give a place only if it is one of these pages; whatever else, the first page."""
        inside = place == self.place or place.startswith((f"{self.place}/", f"{self.place}?"))
        return place if inside and _LOCAL.fullmatch(place) else self.place

    def _answer(self, template: str, status: int, **shown: Any) -> web.Response:
        shown |= {"pages": self.pages, "place": self.place, "home": self.home, "other_sign_in": self.other_sign_in}
        shown["inside"] = self.inside
        text = self._env.get_template(template).render(**shown)
        headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"}
        return web.Response(text=text, content_type="text/html", status=status, headers=headers)

    # ── signing in and out ───────────────────────────────────────────────────────────────────────────────────────────

    def sign_in_routes(self) -> list[web.RouteDef]:
        """List the places where people come in and go."""
        return [
            web.get(f"{self.place}/sign-in", self._ask),
            web.post(f"{self.place}/sign-in", self._come_in),
            *([web.post(f"{self.place}/sign-in/challenge", self._ask_who)] if self.inside else []),
            web.post(f"{self.place}/sign-out", self._answering(self._go)),
        ]

    async def _come_in(self, request: web.Request) -> web.StreamResponse:
        to, link = self.place, False
        try:
            form = await self.sessions.sign_in_form(request)
            to, link = self.local(form.get("to", "")), "link" in form
            if link:
                return await self.sessions.sign_in_by_link(request, form["link"], to)
            if "credential" in form:
                return await self.sessions.sign_in_by_passkey(request, form["credential"], to)
            return await self.sessions.sign_in(request, form.get("token", ""), to)
        except Problem as problem:
            return self._not_let_in(problem, to, link=link)
        except (BadInput, Conflict) as error:
            return self._not_let_in(problems.of(error), to, link=link)

    async def _ask_who(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=await self.sessions.ask_who(request), content_type="application/json")

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        to, link = request.query.get("to", ""), request.query.get("link", "")
        try:
            await self.sessions.rate_limit_sign_in(request)
            if not link:
                return self.sign_in(HTTPStatus.OK, to)
            who = await self.sessions.whose_link(request, link)
        except Problem as problem:
            return self._not_let_in(problem, self.place, link=True)
        # They are asked: what looks at links by itself, such as a mail filter, uses none of them up.
        now = (await self._around(request))["visit"]
        return self._answer(
            "sign_in_link.html", HTTPStatus.OK, title="Sign in", visit=None, said="", who=who, now=now,
            to=self.local(to), link=link,
        )  # fmt: skip

    def _not_let_in(self, problem: Problem, to: str, *, link: bool) -> web.Response:
        said = problem.message
        if (problem.status, problem.code) == UNAUTHENTICATED:
            said = _NO_LINK if link else _NOT_OPENED
        return self.sign_in(problem.status, to, said)

    async def _go(self, request: web.Request) -> web.StreamResponse:
        visit = await self.sessions.visit(request)
        await self.sessions.form(visit, leaving=True)
        return await self.sessions.sign_out(visit, self.place)


def _path_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def is_record(text: str) -> bool:
    """Whether a text is the id of a record, so that a page may lead there."""
    try:
        parse_id(text)
    except BadInput:
        return False
    return True


# What the API says of a store that is gone is for programs.
_STORE_GONE = {
    False: "The store does not answer. Nothing was changed; reload in a moment.",
    True: "The store did not answer, so it is not known whether this was done. Look before you try it again.",
}


def _problem_of(error: Exception, path: str, *, asked: bool) -> Problem:
    match error:
        case Problem():
            return error
        case StoreUnavailable() | StoreUnfit():
            problem = Problem(problems.TABLE[StoreError], _STORE_GONE[asked])
        case BadInput() if asked and not isinstance(error, NotAllowed | TooSoon):
            return Problem(problems.NOT_POSSIBLE, str(error))  # the page gave the form: it is the record that refuses
        case PayflowError():
            problem = problems.of(error)
        case _:
            problem = Problem(problems.INTERNAL, "Payflow failed on this page; its log says why.")
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("A page was not served.", action="page_refused", path=path, exc_info=error)
    return problem


# ── what does not change ─────────────────────────────────────────────────────────────────────────────────────────────

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class StaticFiles:
    """Style, script and icon of some pages; their addresses change with them, so a browser may keep them."""

    def __init__(self, place: str, package: str) -> None:
        self._place = f"{place}/static"
        files = (resources.files(package) / "static").iterdir()
        self._files = {file.name: file.read_bytes() for file in files if file.name.rpartition(".")[2] in _TYPES}

    def url(self, name: str) -> str:
        """Give the address of a file."""
        return f"{self._place}/{name}?{hashlib.sha256(self._files[name]).hexdigest()[:12]}"

    def route(self) -> web.RouteDef:
        """Serve them."""
        return web.get(f"{self._place}/{{name}}", self._give)

    async def _give(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        kind, caching = _TYPES[name.rpartition(".")[2]], {"Cache-Control": "public, max-age=86400"}
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8", headers=caching)


ASSETS = StaticFiles(PLACE, "payflow.web.pages.admin")


# ── what an installation gives to its dashboard ───────────────────────────────────────────────────────────────────────

LaneLook = Callable[[], Awaitable[LaneSheet]]
"""Asks the nodes of a lane."""


@dataclass(frozen=True, slots=True)
class Search:
    """A way to find records by something that is written on them."""

    by: str
    """What one types, such as `transaction hash`."""
    find: Callable[[str], Awaitable[Sequence[RecordId]]]
    """Gives the records, or nothing where the text is no such thing. Must not walk over records."""


@dataclass(frozen=True, slots=True)
class DashboardExtensions:
    """Rails and lanes that can tell what they have; more pages, actions and searches."""

    rails: Mapping[str, Wallet | None] = field(default_factory=dict)
    """By name; None where a rail cannot tell its balance."""
    lanes: Mapping[str, LaneLook | None] = field(default_factory=dict)
    """Lanes by name, which can be paused; None where this process has no node to ask."""
    coins: Mapping[str, str] = field(default_factory=dict)
    """For the coin of each pool, the lane that pays its miners."""
    bounty_lane: str = ""
    """The lane that bounties use."""
    pages: Sequence[Page] = ()
    """Pages beside those of the dashboard itself."""
    actions: Sequence[Action] = ()
    searches: Sequence[Search] = ()
    verbs: Sequence[Verb] = ()
    """What takes two people, beside what does in every installation."""
    issuer: Issuer | None = None
    """The identity provider by which people may sign in."""
    also_opens: SiblingPages | None = None
    """Pages with a cookie of their own that the same sign-in opens."""
    explorers: Mapping[str, str] = field(default_factory=dict)
    """For a lane, or a source of evidence that is no chain, where a reference can be looked at: an address with
    `{reference}` in it."""
