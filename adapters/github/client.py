"""The client of a GitHub App: signs in as the app and as each of its installations, and repeats nothing that writes."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import gidgethub
import jwt
import msgspec
from gidgethub import apps
from gidgethub.abc import GitHubAPI
from yarl import URL

from adapters.github import wire
from adapters.http import LONGEST_WAIT_S, SYSTEM, HttpLimits, HttpReply, NoReply, delay_s, exchange
from machines.core.errors import BadSettings, Rejected, Retryable, TooLong
from machines.core.forge import ForgeAccount, ForgeIssue, Place, PullRequest, RepositoryNews, concerns

T = TypeVar("T")

REQUESTER = "payflow"
PER_PAGE = 100
MOST_PAGES = 10
MOST_EVENT_PAGES = 100
"""The oldest come first and the newest decide, so that they are all read, or none counts."""
MOST_REPOSITORY_PAGES = 1_000
"""Who is not listed counts as taken away, so that this list is read to its end."""
TOKEN_S = 50 * 60.0
"""How long an installation's token is used; GitHub gives it for an hour."""
RESERVE = 50
"""So many requests are left to others when a rate limit comes near."""
LIMITS = HttpLimits(body_bytes=32 * 1024 * 1024)
"""A page of a hundred pull requests has a few megabytes."""
MOVED = frozenset({301, 302, 307, 308})
NEEDS = MappingProxyType({"issues": "write", "pull_requests": "read", "metadata": "read"})
EVENTS = ("issues", "pull_request", "repository")
MAINTAINERS = frozenset({"admin", "maintain"})


@dataclass(frozen=True, slots=True)
class App:
    """Who we are at GitHub."""

    id: str
    private_key: str = field(repr=False)
    label: str = "bounty"
    url: str = "https://api.github.com"


class Gone(Rejected):
    """What was asked for is not there, or not for us to see."""


class NotInstalled(Rejected):
    """The GitHub App is not installed there any more."""


class _Installation(msgspec.Struct):
    id: int
    suspended_at: str | None = None


class AppAtGitHub(msgspec.Struct):
    """What GitHub says of the app that we are."""

    slug: str
    permissions: dict[str, str] = {}
    events: list[str] = []

    def lacks(self) -> list[str]:
        """List what it needs to pay bounties, and was not given."""
        few = [f"the permission {name} ({one})" for name, one in NEEDS.items() if not self._may(name, one)]
        return few + [f"the event {name}" for name in EVENTS if name not in self.events]

    def _may(self, name: str, wanted: str) -> bool:
        levels = ("", "read", "write", "admin")
        return levels.index(self.permissions.get(name, "")) >= levels.index(wanted)


class _Comment(msgspec.Struct):
    id: int
    body: str | None = ""
    performed_via_github_app: wire.Ref | None = None


class _Permission(msgspec.Struct):
    user: wire.User | None
    permission: str = ""
    role_name: str = ""


class _Requests(GitHubAPI):
    """Makes gidgethub's requests."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, limits: HttpLimits) -> None:
        super().__init__(REQUESTER, base_url=base_url)
        self._session = session
        self._limits = limits

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        reply = await self._exchange(method, URL(url), headers, body)
        moved = URL(url).join(URL(reply.headers.get("Location", "")))
        if reply.status in MOVED and moved.origin() == URL(url).origin():
            # A repository that was renamed is asked for at its new place; nobody else ever sees the token.
            reply = await self._exchange(method, moved, headers, body)
        return reply.status, reply.headers, reply.body

    async def _exchange(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> HttpReply:
        limits = self._limits
        return await exchange(
            self._session, method, url, headers=headers, total_s=limits.read_s, limits=limits, body=body
        )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class _Session:
    """What one installation is asked with."""

    api: GitHubAPI
    token: str = ""
    until: float = 0.0


class GitHub:
    """The forge, and what else is asked of GitHub."""

    def __init__(self, session: aiohttp.ClientSession, app: App, limits: HttpLimits = LIMITS) -> None:
        self._session = session
        self._app = app
        self._limits = limits
        self._sessions: dict[int, _Session] = {}

    # ── the forge ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def issue(self, place: Place) -> ForgeIssue | None:
        """Read an issue; None where it is gone."""
        try:
            raw = await self._get(place.installation, f"/repos/{place.name}/issues/{place.number}")
            found = wire.issue(_read(raw, wire.RawIssue), self._app.label)
            path = f"/repos/{place.name}/issues/{place.number}/events?"
            pages = self._pages(place.installation, path, most=MOST_EVENT_PAGES + 1)
            events = [_read(one, wire.RawEvent) async for one in pages]
            if len(events) > MOST_EVENT_PAGES * PER_PAGE:
                raise TooLong(
                    f"{place.path} has more than {MOST_EVENT_PAGES * PER_PAGE} events: nobody can tell whether it was "
                    "opened again. Delete it at GitHub, or transfer it: then its bounty goes on without it."
                )
            return wire.with_events(found, events, self._app.label)
        except Gone:
            return None

    async def pulls(self, place: Place) -> tuple[PullRequest, ...]:
        """List pull requests that say to close an issue or to take others back, of the thousand that changed last."""
        return tuple(pull for pull in await self.all_pulls(place) if concerns(pull, place.number))

    async def comment(self, place: Place, known: int, marker: str, text: str) -> int:
        """See to it that the issue has this one comment of ours."""
        own = known or await self._find(place, marker)
        if own:
            try:
                await self._send("PATCH", place.installation, f"/repos/{place.name}/issues/comments/{own}", text)
            except Gone:
                if not known:
                    raise
                return await self.comment(place, 0, marker, text)  # somebody deleted it, or there is another one
            return own
        made = await self._send("POST", place.installation, f"/repos/{place.name}/issues/{place.number}/comments", text)
        return _read(made, _Comment).id

    async def _find(self, place: Place, marker: str) -> int:
        """Find a comment that an earlier call made, whose answer was lost."""
        path = f"/repos/{place.name}/issues/{place.number}/comments?sort=created"
        async for raw in self._pages(place.installation, path):
            found = _read(raw, _Comment)
            maker = found.performed_via_github_app
            if maker is not None and str(maker.id) == self._app.id and marker in (found.body or ""):
                return found.id
        return 0

    async def maintains(self, place: Place, person: int) -> ForgeAccount | None:
        """Give the account if it maintains the repository. Accounts are asked for by number: names change hands."""
        try:
            account = await self.person(place.installation, person)
            path = f"/repos/{place.name}/collaborators/{account.login}/permission"
            found = _read(await self._get(place.installation, path), _Permission)
        except Gone:
            return None
        if found.user is None or found.user.id != person:
            return None
        may = found.role_name in MAINTAINERS or found.permission == "admin"
        return account if may else None

    # ── what else is asked ───────────────────────────────────────────────────────────────────────────────────────────

    async def app(self) -> AppAtGitHub:
        """Ask who we are here, and what we may do."""
        return _read(await self._get(0, "/app"), AppAtGitHub)

    async def person(self, installation: int, person: int) -> ForgeAccount:
        """Read an account by its number."""
        found = _read(await self._get(installation, f"/user/{person}"), wire.User)
        return ForgeAccount(found.id, found.login)

    async def repositories(self) -> AsyncIterator[RepositoryNews]:
        """List every repository that the app is installed in."""
        async for raw in self._pages(0, "/app/installations?", most=MOST_REPOSITORY_PAGES):
            found = _read(raw, _Installation)
            if found.suspended_at:  # it is there, and closed to us
                continue
            try:
                async for news in self._repositories_of(found.id):
                    yield news
            except NotInstalled:
                continue  # taken away since it was listed: no reason to pass over all the others

    async def _repositories_of(self, installation: int) -> AsyncIterator[RepositoryNews]:
        path = "/installation/repositories?"
        async for raw in self._pages(installation, path, inside="repositories", most=MOST_REPOSITORY_PAGES):
            found = _read(raw, wire.GitHubRepository)
            yield RepositoryNews(installation, found.id, found.full_name, enabled=True, private=found.private)

    async def all_pulls(self, place: Place) -> tuple[PullRequest, ...]:
        """List the thousand pull requests of a repository that changed last."""
        path = f"/repos/{place.name}/pulls?state=all&sort=updated&direction=desc"
        return tuple([wire.pull(_read(raw, wire.RawPull)) async for raw in self._pages(place.installation, path)])

    async def labelled(self, place: Place) -> AsyncIterator[ForgeIssue]:
        """List the open issues of a repository that carry the label."""
        path = f"/repos/{place.name}/issues?state=open&labels={quote(self._app.label, safe='')}"
        async for raw in self._pages(place.installation, path):
            found = _read(raw, wire.RawIssue)
            if found.pull_request is msgspec.UNSET:
                yield wire.issue(found, self._app.label)

    # ── exchanges ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _get(self, installation: int, path: str) -> Any:  # noqa: ANN401  (JSON, read by who asked for it)
        return await self._ask("GET", installation, path, b"")

    async def _send(self, method: str, installation: int, path: str, text: str) -> Any:  # noqa: ANN401  (as above)
        return await self._ask(method, installation, path, {"body": text})

    async def _pages(
        self, installation: int, path: str, inside: str = "", most: int = MOST_PAGES
    ) -> AsyncIterator[Any]:
        for page in range(1, most + 1):
            found = await self._get(installation, f"{path}&per_page={PER_PAGE}&page={page}")
            listed = found.get(inside, []) if inside else found
            for one in listed:
                yield one
            if len(listed) < PER_PAGE:
                return

    async def _ask(self, method: str, installation: int, path: str, data: Any) -> Any:  # noqa: ANN401  (as above)
        session = self._sessions.setdefault(
            installation, _Session(_Requests(self._session, self._app.url, self._limits))
        )
        _respect(session.api)
        url = self._app.url.rstrip("/") + path
        try:
            if not installation:
                return await session.api.getitem(url, jwt=self._jwt())
            token = await self._token(installation, session)
            match method:
                case "POST":
                    return await session.api.post(url, data=data, oauth_token=token)
                case "PATCH":
                    return await session.api.patch(url, data=data, oauth_token=token)
                case _:
                    return await session.api.getitem(url, oauth_token=token)
        except Exception as error:
            if isinstance(error, gidgethub.BadRequest) and error.status_code == HTTPStatus.UNAUTHORIZED:
                session.until = 0.0
            raise _meaning(error, method, path) from error

    def _jwt(self) -> str:
        try:
            return apps.get_jwt(app_id=self._app.id, private_key=self._app.private_key, expiration=9 * 60)
        except (ValueError, jwt.PyJWTError) as error:
            raise BadSettings("The private key of the GitHub App cannot be read: it should be a PEM file.") from error

    async def _token(self, installation: int, session: _Session) -> str:
        if time.monotonic() >= session.until:
            path = f"{self._app.url.rstrip('/')}/app/installations/{installation}/access_tokens"
            try:
                given = await session.api.post(path, data=b"", jwt=self._jwt())
            except gidgethub.BadRequest as error:
                if error.status_code == HTTPStatus.NOT_FOUND:  # that proves nothing of what was to be asked
                    raise NotInstalled from error
                raise
            session.token, session.until = str(given["token"]), time.monotonic() + TOKEN_S
        return session.token


def _respect(api: GitHubAPI) -> None:
    """Ask nothing more shortly before a rate limit ends what others may ask."""
    limit = api.rate_limit
    if limit is None or limit.remaining > min(RESERVE, limit.limit // 10):
        return
    wait_s = limit.reset_datetime.timestamp() - time.time()
    if wait_s > 0:
        raise Retryable("GitHub's rate limit is nearly used up.", after_s=min(wait_s, LONGEST_WAIT_S))


def _meaning(error: Exception, method: str, path: str) -> Exception:
    """Say what may be done after an exchange that failed."""
    what = f"GitHub: {method} {path.partition('?')[0]}"
    match error:
        case gidgethub.RateLimitExceeded():
            wait_s = error.rate_limit.reset_datetime.timestamp() - time.time()
            return Retryable(f"{what}: rate limit", after_s=min(max(wait_s, 1.0), LONGEST_WAIT_S))
        case gidgethub.HTTPException() if error.status_code in _LATER or _asked_to_wait(error):
            return Retryable(f"{what}: {error.status_code.value}", after_s=_asked_to_wait(error))
        case gidgethub.HTTPException():
            gone = error.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
            return (Gone if gone else Rejected)(f"{what}: {error.status_code.value}")
        case NoReply() | ValueError() | KeyError():
            return Retryable(f"{what}: {type(error).__name__}")
        case _:
            return error


_LATER = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,  # a token that ended early: the next look takes a new one
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


def _asked_to_wait(error: gidgethub.HTTPException) -> float | None:
    headers = getattr(error, "headers", None) or {}
    return delay_s(str(headers.get("retry-after", "")), SYSTEM.now())


def _read(found: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(found, kind)
    except msgspec.MsgspecError as error:
        raise Retryable(f"GitHub's answer cannot be read: {error}.") from error
