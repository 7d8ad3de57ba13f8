"""A session, a credential and a clock. It moves bytes, says what a broken exchange proves, and repeats only reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import aiohttp
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, retry_if_result, stop_after_attempt
from tenacity.wait import wait_random_exponential
from yarl import URL

from adapters.flutterwave.exchange import Reply, Request, delay_s
from adapters.flutterwave.refusals import TOO_MANY, WAIT_WHEN_UNTOLD_S
from machines.core.clock import Clock
from machines.core.errors import OutcomeUnknown, Retryable
from machines.core.ports import NO_BUDGET, CallBudget, CallKind

log = structlog.get_logger()

# Raised before a byte of the request was written: nothing can have arrived.
FIRST_AGAIN = "X-Idempotency-Cache-Hit"
"""How v4 says that a key was seen before, and is answered as it was then."""

NEVER_LEFT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an exchange may take and how much it may bring."""

    connect_s: float = 5.0
    send_s: float = 25.0
    """Less than the 28 s after which the gateway gives up by itself."""
    read_s: float = 10.0
    reads: int = 3
    read_pause_s: float = 0.2
    body_bytes: int = 1024 * 1024


class Broken(Exception):
    """The exchange began and came to no end that can be used."""


class Credential(Protocol):
    """What goes into the Authorization header."""

    async def bearer(self) -> str:
        """Give the token to show."""

    def renew(self, refused: str) -> bool:
        """Drop a token that was refused; say whether another one may be had."""


async def exchange(
    session: aiohttp.ClientSession,
    request: Request,
    url: URL,
    headers: Mapping[str, str],
    limits: Limits,
    total_s: float,
    clock: Clock,
) -> Reply:
    """Make one call. Raises `Retryable` when nothing left, and `Broken` when something may have."""
    try:
        async with session.request(
            request.method,
            url,
            params=request.query,
            data=request.body or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=total_s, connect=limits.connect_s),
            allow_redirects=False,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > limits.body_bytes:
                    raise Broken(f"more than {limits.body_bytes} bytes")
            after_s = delay_s(response.headers.get("Retry-After", ""), clock.now())
            first_again = response.headers.get(FIRST_AGAIN, "").casefold() == "true"
            return Reply(response.status, bytes(body), after_s, first_again)
    except NEVER_LEFT as error:
        raise Retryable(f"Flutterwave cannot be reached: {type(error).__name__}.") from error
    except (aiohttp.ClientError, OSError) as error:  # OSError has TimeoutError in it
        raise Broken(type(error).__name__) from error


class Client:
    """Makes calls to one API of the gateway."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        credential: Credential,
        clock: Clock,
        limits: Limits = Limits(),
        budget: CallBudget = NO_BUDGET,
        reads: CallKind = CallKind.LOOK,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._credential = credential
        self._clock = clock
        self._limits = limits
        self._budget = budget
        self._reads = reads

    async def send(self, request: Request) -> Reply:
        """Make a call that may move money: once, and whatever breaks on the way leaves the outcome unknown."""
        try:
            return await self._call(request, self._limits.send_s, CallKind.SEND)
        except Broken as error:
            log.warning("A call broke off; its outcome is unknown.", action="gateway_lost", path=request.path)
            raise OutcomeUnknown(f"Flutterwave did not answer {request.method} {request.path}: {error}.") from error

    async def read(self, request: Request) -> Reply:
        """Make a call that changes nothing, a few times if it must be."""
        again = AsyncRetrying(
            stop=stop_after_attempt(self._limits.reads),
            wait=wait_random_exponential(multiplier=self._limits.read_pause_s, max=2.0),
            retry=retry_if_exception_type(Broken) | retry_if_result(_is_broken),
            retry_error_callback=_last,
        )
        try:
            return await again(self._call, request, self._limits.read_s, self._reads)
        except Broken as error:
            raise Retryable(f"Flutterwave did not answer {request.method} {request.path}: {error}.") from error

    async def _call(self, request: Request, total_s: float, kind: CallKind) -> Reply:
        token = await self._credential.bearer()
        reply = await self._exchange(request, token, total_s, kind)
        if reply.status == HTTPStatus.UNAUTHORIZED and self._credential.renew(token):
            # Turned away at the door: nothing was done, so that even a payment may be sent once more.
            reply = await self._exchange(request, await self._credential.bearer(), total_s, kind)
        return reply

    async def _exchange(self, request: Request, token: str, total_s: float, kind: CallKind) -> Reply:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **dict(request.headers)}
        url = URL(self._base_url + request.path, encoded=True)
        await self._budget.permit(kind)
        reply = await exchange(self._session, request, url, headers, self._limits, total_s, self._clock)
        if reply.status == TOO_MANY:
            await self._budget.rest(reply.retry_after_s or WAIT_WHEN_UNTOLD_S)
        return reply


def _is_broken(reply: Reply) -> bool:
    return reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _last(state: RetryCallState) -> Reply:
    """Hand out what the last try gave, be it an error or an answer that somebody else will judge."""
    assert state.outcome is not None  # noqa: S101
    reply: Reply = state.outcome.result()
    return reply
