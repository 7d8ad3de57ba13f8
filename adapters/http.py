"""One HTTP exchange for every adapter: it ends in time, brings only so much, and goes nowhere but where it was sent.

What an exchange without a reply proves:

Unreached      not a byte of the request was written: surely not done
BrokenOff      it began and came to no end that can be used: perhaps done
└── Overlong   the reply is longer than the bound
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Protocol, TypeVar

import aiohttp
import msgspec
import structlog
from aiohttp.client import IDEMPOTENT_METHODS
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, retry_if_result, stop_after_attempt
from tenacity.wait import wait_random_exponential
from yarl import URL

from machines.core.clock import SECOND, Clock, Millis, SystemClock
from machines.core.errors import BadInput, BadSettings, OutcomeUnknown, Retryable
from machines.core.ports import NO_BUDGET, CallBudget, CallKind

log = structlog.get_logger()

T = TypeVar("T")

UNWRITTEN = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""What aiohttp raises before it writes a byte of the request."""
ACCESS_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""Statuses whose meaning needs no body: every other request would have been turned away as well."""
MOST_WEBHOOK_BYTES = 64 * 1024
LONGEST_WAIT_S = 3600.0
WAIT_UNASKED_S = 30.0
"""How long one waits who was asked too often by somebody who did not say how long."""
JSON = MappingProxyType({"Content-Type": "application/json"})

# An account or phone number in running text; not "NGN 1000000000.00", which is what a limit's message is about.
_ACCOUNT = re.compile(r"(?<!\d)(?<!\d\.)\d{5,}(\d{4})(?!\d|\.\d)")
_LONGEST_TEXT = 200


class NoReply(Exception):
    """The exchange brought no reply."""


class Unreached(NoReply):
    """Not a byte of the request was written."""


class BrokenOff(NoReply):
    """The exchange began and came to no end that can be used."""


class Overlong(BrokenOff):
    """The reply is longer than the bound."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """How long an exchange may take and how much it may bring."""

    connect_s: float = 5.0
    send_s: float = 25.0
    """Less than the 28 s after which Flutterwave gives up by itself."""
    read_s: float = 10.0
    reads: int = 3
    read_pause_s: float = 0.2
    body_bytes: int = 1024 * 1024


LIMITS = HttpLimits()
SYSTEM = SystemClock()


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One call, ready to be made by anybody with a socket and a key."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back, before anybody believed a word of it."""

    status: int
    body: bytes
    retry_after_s: float | None = None
    """How long the other side asked us to wait."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


async def exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    *,
    headers: Mapping[str, str],
    total_s: float,
    limits: HttpLimits = LIMITS,
    body: bytes = b"",
    query: tuple[tuple[str, str], ...] = (),
    clock: Clock = SYSTEM,
) -> HttpReply:
    """Make one call. Raises `Unreached` when nothing left, and `BrokenOff` when something may have."""
    try:
        async with session.request(
            method,
            url,
            params=query,
            data=body or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=total_s, connect=limits.connect_s),
            allow_redirects=False,
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > limits.body_bytes:
                    raise Overlong(f"more than {limits.body_bytes} bytes")
            after_s = delay_s(response.headers.get("Retry-After", ""), clock.now())
            return HttpReply(response.status, bytes(content), after_s, response.headers)
    except UNWRITTEN as error:
        raise Unreached(type(error).__name__) from error
    except (aiohttp.ClientError, OSError) as error:  # OSError has TimeoutError in it
        raise BrokenOff(type(error).__name__) from error


async def skew_s(session: aiohttp.ClientSession, url: str, clock: Clock = SYSTEM) -> float | None:
    """Say by how much our clock is ahead of somebody's; None where they tell no time."""
    reply = await exchange(session, "GET", URL(url), headers={}, total_s=LIMITS.read_s)
    try:
        told = parsedate_to_datetime(reply.headers.get("Date", ""))
    except ValueError:
        return None
    return clock.now() / SECOND - told.replace(tzinfo=told.tzinfo or UTC).timestamp()


class Credential(Protocol):
    """What goes into the Authorization header."""

    async def bearer(self) -> str:
        """Give the token to show."""

    def renew(self, refused: str) -> bool:
        """Drop a token that was refused; say whether another one may be had."""


class SecretKey:
    """One key for ever."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def bearer(self) -> str:
        return self._key

    def renew(self, refused: str) -> bool:  # noqa: ARG002  (there is no other key than the refused one)
        return False


class GatewayClient:
    """Makes calls to one API of a gateway, and repeats only reads."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        gateway: str,
        base_url: str,
        credential: Credential,
        clock: Clock,
        limits: HttpLimits = LIMITS,
        budget: CallBudget = NO_BUDGET,
        reads: CallKind = CallKind.LOOK,
        heard: Callable[[HttpRequest, HttpReply], None] = lambda _request, _reply: None,
    ) -> None:
        self._session = session
        self._gateway = gateway
        self._base_url = base_url.rstrip("/")
        self._credential = credential
        self._clock = clock
        self._limits = limits
        self._budget = budget
        self._reads = reads
        self._heard = heard

    async def send(self, request: HttpRequest) -> HttpReply:
        """Make a call that may move money: once, and whatever breaks on the way leaves the outcome unknown."""
        if request.method in IDEMPOTENT_METHODS:
            raise ValueError(
                f"{request.method} {request.path}: aiohttp repeats this method by itself where a connection breaks. "
                "Send by POST, or give the adapter an exchange that does not repeat."
            )
        try:
            return await self._call(request, self._limits.send_s, CallKind.SEND)
        except BrokenOff as error:
            log.warning("A call broke off; its outcome is unknown.", action="gateway_lost", path=request.path)
            raise OutcomeUnknown(self._unanswered(request, error)) from error

    async def read(self, request: HttpRequest) -> HttpReply:
        """Make a call that moves no money, a few times if it must be."""
        again = AsyncRetrying(
            stop=stop_after_attempt(self._limits.reads),
            wait=wait_random_exponential(multiplier=self._limits.read_pause_s, max=2.0),
            retry=retry_if_exception_type(BrokenOff)
            | retry_if_result(lambda reply: reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR),
            retry_error_callback=_last,
        )
        try:
            return await again(self._call, request, self._limits.read_s, self._reads)
        except BrokenOff as error:
            raise Retryable(self._unanswered(request, error)) from error

    def _unanswered(self, request: HttpRequest, error: BrokenOff) -> str:
        return f"{self._gateway} did not answer {request.method} {request.path}: {error}."

    async def _call(self, request: HttpRequest, total_s: float, kind: CallKind) -> HttpReply:
        token = await self._credential.bearer()
        reply = await self._exchange(request, token, total_s, kind)
        if reply.status == HTTPStatus.UNAUTHORIZED and self._credential.renew(token):
            # Turned away before it was looked at: nothing was done, so that even a payment may be sent once more.
            reply = await self._exchange(request, await self._credential.bearer(), total_s, kind)
        return reply

    async def _exchange(self, request: HttpRequest, token: str, total_s: float, kind: CallKind) -> HttpReply:
        await self._budget.permit(kind)
        try:
            reply = await exchange(
                self._session,
                request.method,
                URL(self._base_url + request.path, encoded=True),
                headers={"Authorization": f"Bearer {token}", **JSON, **dict(request.headers)},
                total_s=total_s,
                limits=self._limits,
                body=request.body,
                query=request.query,
                clock=self._clock,
            )
        except Unreached as error:
            raise Retryable(f"{self._gateway} cannot be reached: {error}.") from error
        self._heard(request, reply)
        if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
            await self._budget.rest(reply.retry_after_s or WAIT_UNASKED_S)
        return reply


def check_rate_limit(reply: HttpReply, gateway: str) -> None:
    """Raise `Retryable` where a gateway was asked too often: it looked at nothing, and says when it may be asked."""
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Retryable(f"{gateway} asks for fewer calls.", after_s=reply.retry_after_s or WAIT_UNASKED_S)


def check_answers(reply: HttpReply, gateway: str) -> None:
    """Raise `Retryable` where a reply to an enquiry can hold no answer."""
    check_rate_limit(reply, gateway)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Retryable(f"{gateway} answered with HTTP {reply.status}.")


def webhook(body: bytes, shape: type[T], gateway: str) -> T:
    """Read a gateway's webhook into a shape; `BadInput` where it is none."""
    if len(body) > MOST_WEBHOOK_BYTES:
        raise BadInput(f"A webhook of more than {MOST_WEBHOOK_BYTES} bytes is none of {gateway}'s.")
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"The webhook is not {gateway}'s JSON.") from error


def delay_s(value: str, now: Millis) -> float | None:
    """Read a Retry-After header, which holds seconds or a date."""
    if value.isdecimal():
        return min(float(value[:6]), LONGEST_WAIT_S)
    try:
        date = parsedate_to_datetime(value) if value else None
    except ValueError:
        return None
    if date is None:
        return None
    until = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    return min(max(until - now / SECOND, 0.0), LONGEST_WAIT_S)


def split_login(url: str) -> tuple[URL, dict[str, str]]:
    """Take a user's name and password out of a URL, and put them into headers."""
    try:
        parsed = URL(url)
    except ValueError as error:
        raise BadSettings("A node's URL cannot be read.") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise BadSettings("A node's URL must begin with http:// or https:// and name a host.")
    headers = dict(JSON)
    if parsed.user is not None:
        headers["Authorization"] = aiohttp.encode_basic_auth(parsed.user, parsed.password or "")
    return parsed.with_user(None), headers


def plain(text: str) -> str:
    """Make a vendor's text fit for a history or a log: one line, bounded, without account numbers."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return _ACCOUNT.sub(r"***\1", printable).strip()[:_LONGEST_TEXT]


def _last(state: RetryCallState) -> HttpReply:
    """Hand out what the last try gave, be it an error or an answer that somebody else will judge."""
    assert state.outcome is not None  # noqa: S101
    reply: HttpReply = state.outcome.result()
    return reply
