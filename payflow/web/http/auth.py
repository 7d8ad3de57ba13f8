"""Who is asking, and how often they may: programs show a token, people sign in with theirs.

At our pages a cookie that no script and no other site can use keeps people in. What the browser shows is a secret of
the session, never the token. Each request asks whether the token still holds, so that a revoked one ends its sessions
at once.
"""

import hashlib
import hmac
import math
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from ipaddress import IPv6Address, IPv6Network, ip_address
from time import monotonic
from urllib.parse import urlsplit

import structlog
from aiohttp import BodyPartReader, hdrs, web
from multidict import MultiDict, MultiMapping

from machines.core.clock import SECOND, Millis
from machines.core.errors import NotAllowed, NotPossible
from payflow.config import Settings
from payflow.desk.passkeys import (
    RelyingParty,
    SignedIn,
    ask_for_proof,
    ask_who,
    needs_proof,
    prove,
    refuse_another,
    sign_in,
)
from payflow.desk.person import STAFF, Caller, identified, note_refused_sign_in, note_sign_in, refuse_reading_only
from payflow.desk.readiness import note_unnamed_proxy
from payflow.store.registers.sign_ins import SignInLink, SignInLinks
from payflow.store.registers.tokens import ApiToken, Role, Session, Sessions, Tokens, digest_of
from payflow.store.store import Store
from payflow.web.http.app import among, is_name_of_ours
from payflow.web.http.endpoints import SentFile, received_file, received_form
from payflow.web.http.problems import BAD_REQUEST, FORBIDDEN, MISDIRECTED, TOO_MANY, UNAUTHENTICATED, Problem

# One customer of a provider of addresses has all of these.
_SITE_BITS = 64
_MOST_HOPS = 32
_MOST_REFUSED = 10_000
_MOST_PARTS, _LONGEST_FIELD = 10, 4_000
"""Of a form with a file."""
_LOOKS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


class Gate:
    """Lets in who may come in. Rates are counted in the store, so all processes share them.

    Whoever proves who they are is counted by their token, strangers by their address: many people may share one (an
    office, a proxy that nobody named), and what strangers ask from there must not shut them out.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._tokens = Tokens(store.link)
        self._records = store.records
        self._token_rate = settings.api_rate
        self._address_rate = settings.api_address_rate
        self._proxies = settings.trusted_proxies
        self._idle_s = settings.session_idle_s
        self.pages_at, self.public = settings.pages_at, bool(settings.public_url)
        self._refused: dict[str, float] = {}
        self._warned = False
        self._name = urlsplit(settings.public_url).netloc

    async def admit(self, request: web.Request, roles: Collection[Role]) -> Caller:
        """Tell who asks, or refuse them. Guessing uses up the rate of the address."""
        kind, _, shown = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        caller = await self._known(request, await self._tokens.find(shown.strip() if kind.lower() == "bearer" else ""))
        if caller is None:
            await self.rate_limit(request)
        admitted = await self._admitted(caller, roles)
        if request.method not in _LOOKS:
            refuse_reading_only(admitted.scope)
        return admitted

    async def recognise(self, request: web.Request, secret: str, roles: Collection[Role]) -> Caller:
        """Tell whose token this is, for a page where it was typed and that has slowed its visitor down."""
        return await self._admitted(await self._known(request, await self._tokens.find(secret)), roles)

    async def readmit(self, request: web.Request, session: Session, roles: Collection[Role]) -> Caller:
        """Tell who signed in, as long as their token opens anything."""
        caller = await self._known(request, await self._tokens.signed_in(session))
        if caller is None:
            await self.rate_limit(request)
        return await self._admitted(caller, roles)

    async def holder(self, request: web.Request, session: Session, roles: Collection[Role]) -> Caller:
        """Tell who would sign in with a session, for a page that has slowed its visitor down."""
        return await self._admitted(await self._known(request, await self._tokens.signed_in(session)), roles)

    async def _known(self, request: web.Request, token: ApiToken | None) -> Caller | None:
        try:
            return await identified(self._store, token, self._client(request))
        except NotAllowed as error:
            raise Problem(FORBIDDEN, str(error)) from error

    async def _admitted(self, caller: Caller | None, roles: Collection[Role]) -> Caller:
        if caller is None:
            raise Problem(
                UNAUTHENTICATED,
                "Show an API token: `Authorization: Bearer payflow_…`. One that is unknown, expired or revoked opens "
                "nothing.",
                headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
            )
        await self._take(f"token:{caller.token or caller.name}", self._token_rate)
        if caller.role not in roles:
            needed = " or ".join(sorted(roles))
            raise Problem(FORBIDDEN, f"This takes a token with the role {needed}; the one shown has {caller.role}.")
        return caller

    async def rate_limit(self, request: web.Request) -> None:
        """Count a request against the address that it comes from."""
        await self._note_proxy(request)
        await self._take(f"address:{self.address(request)}", self._address_rate)

    async def rate_limit_sign_in(self, request: web.Request, place: str) -> None:
        """Count a visit to the sign-in of some pages, which what else comes from the address does not use up."""
        await self._take(f"sign-in:{place}:{self.address(request)}", self._address_rate)

    async def _take(self, name: str, rate: float) -> None:
        # Each question to the store is a write, and one to disk: until the time that it named the answer is known here.
        wait_s = self._refused.get(name, 0.0) - monotonic()
        if wait_s <= 0:
            granted, wait_ms = await self._records.rate_tokens(name, rate, 1)
            if granted:
                self._refused.pop(name, None)
                return
            if len(self._refused) >= _MOST_REFUSED:
                self._refused.clear()
            wait_s = wait_ms / SECOND
            self._refused[name] = monotonic() + wait_s
        raise Problem(
            TOO_MANY,
            f"More than {rate:g} requests a second: wait, then go on slower.",
            headers={hdrs.RETRY_AFTER: str(max(1, math.ceil(wait_s)))},
        )

    def refuse_other_names(self, request: web.Request) -> None:
        """Refuse a page to who came by a name that is not ours, where ours is known: anybody's name can lead here."""
        if not is_name_of_ours(request.headers.get(hdrs.HOST, ""), [self._name] if self._name else ()):
            raise Problem(MISDIRECTED, f"These pages are at {self._name}, and nowhere else.")

    async def _note_proxy(self, request: web.Request) -> None:
        """Tell of a proxy that nobody named, once: anybody can send its header, but not from an address of ours."""
        peer = request.remote or ""
        if self._warned or "X-Forwarded-For" not in request.headers or not peer or among(peer, self._proxies):
            return
        if ip_address(peer).is_global and self._proxies:
            return
        self._warned = True
        log.warning(
            "A request came through a proxy that is not named, so all who come through it share one rate: "
            "name its network in PAYFLOW_TRUSTED_PROXIES, if it is yours.",
            action="unnamed_proxy",
            peer=peer,
        )
        if not ip_address(peer).is_global:
            await note_unnamed_proxy(self._store, peer)

    def address(self, request: web.Request) -> str:
        """Tell where the client is, for a rate: an address, or the network that one customer of a provider has."""
        return _site(self._client(request)) or "unknown"

    @property
    def idle_s(self) -> int:
        """After how long a session ends in which nobody does anything."""
        return self._idle_s

    def _client(self, request: web.Request) -> str:
        """Tell the address of the client: the last hop that is none of our proxies."""
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        hops = [*forwarded.split(",")[-_MOST_HOPS:], request.remote or ""] if self._proxies else [request.remote or ""]
        found = ""
        for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
            if _site(hop) is None:
                break  # what a proxy of ours did not write, anybody may have
            found = hop
            if not among(hop, self._proxies):
                break
        return found


def _plain_name(name: str) -> str:
    """Take the name of a file for what it is: a name, and no path."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in last if char.isprintable())[:100] or "payouts"


def _site(address: str) -> str | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Network((found, _SITE_BITS), strict=False).network_address)
    return str(found)


# ── people at our pages ───────────────────────────────────────────────────────────────────────────────────────────────

log = structlog.get_logger()

LASTS_S = 8 * 3600
LIVE = "X-Live"
"""What a page sends that asks by itself whether something changed: nobody does anything by that."""
_USE_WRITTEN_EVERY_S = 60.0
CSRF, CSRF_HEADER = "csrf", "X-CSRF"

Form = MultiMapping[str]


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is signed in."""

    request: web.Request
    caller: Caller
    secret: str
    session: Session

    @property
    def signed_in(self) -> SignedIn:
        """Who it is, and in which session, where a passkey is asked for."""
        return SignedIn(self.caller, self.session, digest_of(self.secret))

    @property
    def said(self) -> str:
        """What they must be told: how the form went that they sent before."""
        return self.session.said

    @property
    def csrf(self) -> str:
        """What each of their forms must show: only a page of ours can know it."""
        return hashlib.sha256(b"form of " + self.secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SiblingPages:
    """Other pages of ours, which one sign-in opens too."""

    cookie: str
    place: str
    roles: frozenset[Role]
    """Who may come in there."""


class PageSessions:
    """The sessions of one set of pages, for some roles."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        cookie: str,
        place: str,
        roles: Collection[Role],
        also_opens: SiblingPages | None = None,
    ) -> None:
        self._store = store
        self._sessions = Sessions(store.link)
        self._links = SignInLinks(store.link)
        self._gate = gate
        self._cookie = cookie
        self._place = place
        self._roles = frozenset(roles)
        self._also_opens = also_opens
        self._used: dict[str, float] = {}
        """When a session was last written down as used, by this process: once a minute will do."""

    async def visit(self, request: web.Request, roles: Collection[Role] | None = None) -> Visit:
        """Tell who is there, or refuse them; `roles` narrows down who may come in here."""
        self._gate.refuse_other_names(request)
        secret = request.cookies.get(cookie_of(request, self._cookie, self._place)[0], "")
        session = await self._sessions.find(secret)
        if session is None:
            await self._gate.rate_limit(request)
            raise Problem(UNAUTHENTICATED, "Sign in first.")
        caller = await self._gate.readmit(request, session, self._roles if roles is None else roles)
        await self._use(request, secret)
        return Visit(request, caller, secret, session)

    async def _use(self, request: web.Request, secret: str) -> None:
        """Keep a session from ending, unless its page asks by itself for what is new."""
        if LIVE in request.headers or request.headers.get(hdrs.ACCEPT) == "text/event-stream":
            return
        if monotonic() < self._used.get(secret, 0.0):
            return
        if len(self._used) >= _MOST_REFUSED:
            self._used.clear()
        self._used[secret] = monotonic() + _USE_WRITTEN_EVERY_S
        now = await self._store.records.now()
        address = self._gate.address(request)
        await self._sessions.use(secret, address, now, idle_s=self._gate.idle_s, lasts_s=LASTS_S)

    async def admit(self, request: web.Request, roles: Collection[Role]) -> Caller:
        """Tell who asks: a program by its token, a page's script by the session and a word that only the page knows."""
        if hdrs.AUTHORIZATION in request.headers:
            return await self._gate.admit(request, roles)
        visit = await self.visit(request, roles)
        if request.method == hdrs.METH_POST:
            _refuse_unless(visit, request.headers.get(CSRF_HEADER, ""), "This was not asked from our page")
            refuse_reading_only(visit.caller.scope)
            if await needs_proof(self._store, visit.signed_in):
                raise Problem(FORBIDDEN, "Whether it is you, the page asks: do this by its button, without the script.")
        return visit.caller

    async def rate_limit(self, request: web.Request) -> None:
        """Count the request of somebody who is not known yet."""
        await self._gate.rate_limit(request)

    def address(self, request: web.Request) -> str:
        """Tell the address of a client."""
        return self._gate.address(request)

    async def rate_limit_sign_in(self, request: web.Request) -> None:
        """Count a visit to the sign-in."""
        self._gate.refuse_other_names(request)
        await self._gate.rate_limit_sign_in(request, self._place)

    async def form(self, visit: Visit, *, leaving: bool = False) -> Form:
        """Read a form that was sent from one of our pages, and refuse any other; who only looks may leave as well."""
        _refuse_other_sites(visit.request)
        if not leaving:
            refuse_reading_only(visit.caller.scope)
        form = await received_form(visit.request)
        _refuse_unless(visit, form.get(CSRF, ""), "This form is not from this page, or from an earlier visit")
        return form

    @asynccontextmanager
    async def form_with_file(self, visit: Visit) -> AsyncIterator[tuple[Form, SentFile]]:
        """Read a form with a file, which comes last; the rest says first that it was sent from one of our pages."""
        _refuse_other_sites(visit.request)
        refuse_reading_only(visit.caller.scope)
        if not visit.request.content_type.startswith("multipart/"):
            raise Problem(BAD_REQUEST, "Choose a file.")
        fields: MultiDict[str] = MultiDict()
        reader = await visit.request.multipart()
        for _ in range(_MOST_PARTS):
            part = await reader.next()
            if not isinstance(part, BodyPartReader):
                break
            if part.filename is None:
                fields.add(part.name or "", (await part.read_chunk(_LONGEST_FIELD)).decode(errors="replace"))
                await part.release()
                continue
            _refuse_unless(visit, fields.get(CSRF, ""), "This form is not from this page, or from an earlier visit")
            async with received_file(part.read_chunk, visit.request, _plain_name(part.filename)) as sent:
                yield fields, sent
            return
        raise Problem(BAD_REQUEST, "Choose a file.")

    async def sign_in_form(self, request: web.Request) -> Form:
        """Read what somebody shows who is not known yet; they are slowed down before any of it is read."""
        await self.rate_limit_sign_in(request)
        _refuse_other_sites(request)
        return await received_form(request)

    async def sign_in(self, request: web.Request, token: str, to: str) -> web.Response:
        """Let in who shows a token, and lead them to a page."""
        token = token.strip()
        try:
            caller = await self._gate.recognise(request, token, self._roles)
        except Problem as problem:
            # Written down where people work, without what they showed; of a flood only some.
            if self._roles & STAFF and (problem.status, problem.code) in (UNAUTHENTICATED, FORBIDDEN):
                await self.note_refused(request, problem.message)
            raise
        if caller.role in STAFF:
            await note_sign_in(self._store, caller.who, self._place, self._gate.address(request))
        return await self.let_in(request, Session(digest_of(token)), see(to), caller.role)

    async def whose_link(self, request: web.Request, secret: str) -> Caller:
        """Tell who would be signed in by a link, which stays as good as it was."""
        link = await self._links.find(secret)
        return await self._gate.holder(request, _session_of(link), self._roles)

    async def sign_in_by_link(self, request: web.Request, secret: str, to: str) -> web.Response:
        """Let in who shows what a link says, which is good for nothing then."""
        link = await self._links.take(secret)
        if link is None:
            raise Problem(UNAUTHENTICATED, "This link was used before.")
        by = f"by a link that {link.made_by} made" if link.made_by else ""
        return await self.let_in_noted(request, _session_of(link), to, by)

    # ── passkeys ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def pages_at(self) -> str:
        """Where people reach the pages."""
        return self._gate.pages_at

    def relying_party(self, request: web.Request) -> RelyingParty | None:
        """Tell who passkeys are for; None where a page was opened by another name of ours, at which none work."""
        wanted = urlsplit(self._gate.pages_at)
        asked = f"{wanted.scheme}://{request.host.casefold()}"
        # Unless it was said where people reach us, it is this machine, at whatever port.
        here = asked == self._gate.pages_at or (not self._gate.public and _name(asked) == wanted.hostname)
        return RelyingParty(str(wanted.hostname), asked) if here else None

    def relying_party_of(self, request: web.Request) -> RelyingParty:
        """Tell who passkeys are for, or refuse a page that was opened by another name of ours."""
        at = self.relying_party(request)
        if at is None:
            raise NotPossible(f"Passkeys and the identity provider are for {self._gate.pages_at}: open it there.")
        return at

    async def ask_who(self, request: web.Request) -> str:
        """Write what somebody signs in by, with a passkey."""
        await self.rate_limit_sign_in(request)
        _refuse_other_sites(request)
        return await ask_who(self._store, self.relying_party_of(request))

    async def sign_in_by_passkey(self, request: web.Request, shown: str, to: str) -> web.Response:
        """Let in who signed with a passkey what they were asked."""
        passkey, session = await sign_in(self._store, self.relying_party_of(request), shown)
        await refuse_another(self._store, passkey, await self._gate.holder(request, session, self._roles))
        return await self.let_in_noted(request, session, to, f"by the passkey {passkey.label}")

    async def ask_for_proof(self, visit: Visit) -> str:
        """Write what somebody proves by that it is them; nothing where passkeys do not work."""
        at = self.relying_party(visit.request)
        return await ask_for_proof(self._store, at, visit.signed_in) if at else ""

    async def is_proven(self, visit: Visit, shown: str) -> bool:
        """Whether somebody may move money: they have no passkey, or used it just now, or do by what they show."""
        if not await needs_proof(self._store, visit.signed_in):
            return True
        if not shown:
            return False
        await self.prove(visit, await prove(self._store, self.relying_party_of(visit.request), visit.signed_in, shown))
        return True

    async def prove(self, visit: Visit, at: Millis) -> None:
        """Write down that they proved that it is them."""
        await self._sessions.change(visit.secret, replace(visit.session, proven_at=at))

    async def act_as(self, visit: Visit, role: Role) -> None:
        """Let somebody who may be several things be another one of them from now on."""
        may = visit.session.roles
        if role not in may:
            raise Problem(FORBIDDEN, "You may not be that, as you signed in.")
        roles = (role, *(one for one in may if one is not role))
        await self._sessions.change(visit.secret, replace(visit.session, roles=roles))

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def let_in_noted(self, request: web.Request, session: Session, to: str, how: str) -> web.Response:
        """Open a session, if its holder may come in here, write down that they came, and lead them to a page."""
        caller = await self._gate.holder(request, session, self._roles)
        await note_sign_in(self._store, caller.who, self._place, self._gate.address(request), how)
        return await self.let_in(request, session, see(to), caller.role)

    async def note_refused(self, request: web.Request, why: str) -> None:
        """Write down that somebody was refused at the sign-in; of a flood only some."""
        why = f"{why} From {self._gate.address(request)}."
        log.warning("Somebody was refused at the sign-in.", action="sign_in_refused", place=self._place, why=why)
        await note_refused_sign_in(self._store, self._place, why)

    async def let_in(
        self, request: web.Request, session: Session, answer: web.Response, role: Role | None = None
    ) -> web.Response:
        """Open a session with this answer; the sibling pages too."""
        secret = await self._sessions.open(session, LASTS_S)
        await self._use(request, secret)
        cookies = [(self._cookie, self._place)]
        if self._also_opens is not None and role in self._also_opens.roles:
            cookies.append((self._also_opens.cookie, self._also_opens.place))
        for cookie, place in cookies:
            name, path = cookie_of(request, cookie, place)
            answer.set_cookie(
                name, secret, max_age=LASTS_S, path=path, httponly=True, samesite="Strict", secure=is_https(request)
            )
        return answer

    async def sign_out(self, visit: Visit, to: str) -> web.Response:
        """End a session, here and in the store."""
        await self._sessions.close(visit.secret)
        answer = see(to)
        name, path = cookie_of(visit.request, self._cookie, self._place)
        answer.del_cookie(name, path=path, httponly=True, samesite="Strict", secure=is_https(visit.request))
        return answer

    async def say(self, visit: Visit, said: str) -> None:
        """Tell them something at the next page."""
        await self._sessions.say(visit.secret, said)

    async def heard(self, visit: Visit) -> None:
        """Forget what they were told."""
        if visit.said:
            await self._sessions.heard(visit.secret)


def _session_of(link: SignInLink | None) -> Session:
    return Session(link.token, link.made_by, person=link.person, roles=link.roles) if link else Session("")


def _refuse_unless(visit: Visit, word: str, why: str) -> None:
    if not hmac.compare_digest(word.encode(), visit.csrf.encode()):
        raise Problem(FORBIDDEN, f"{why}: open the page again.")


def cookie_of(request: web.Request, name: str, place: str) -> tuple[str, str]:
    """Name a cookie, and say where it is shown: behind https no other site of our domain can have set it."""
    return (f"__Host-{name}", "/") if is_https(request) else (name, place)


def see(place: str) -> web.Response:
    """Lead to another page, so that going back or reloading sends no form twice."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: place})


def _refuse_other_sites(request: web.Request) -> None:
    """Refuse a form that a browser says was sent from elsewhere, the sign-in included, which has no secret yet."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and _host(origin) != request.host.casefold():
        raise Problem(FORBIDDEN, "This form was sent from another site.")


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.casefold()
    except ValueError:  # such as `http://[x`
        return ""


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def is_https(request: web.Request) -> bool:
    """Whether the browser speaks https, to us or to a proxy before us. Who lies about it only harms themselves."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
