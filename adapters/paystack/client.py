"""A session and a key. It moves bytes, says what a broken exchange proves, and repeats nothing but reads."""

from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, retry_if_result, stop_after_attempt
from tenacity.wait import wait_random_exponential
from yarl import URL

from adapters.paystack.wire import WAIT_WHEN_UNTOLD_S, Reply, Request
from machines.core.errors import OutcomeUnknown, Retryable
from machines.core.ports import NO_BUDGET, CallBudget, CallKind

log = structlog.get_logger()

# Raised before a byte of the request was written: nothing can have arrived.
NEVER_LEFT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an exchange may take and how much it may bring."""

    connect_s: float = 5.0
    send_s: float = 25.0
    read_s: float = 10.0
    reads: int = 3
    read_pause_s: float = 0.2
    body_bytes: int = 1024 * 1024


class Broken(Exception):
    """The exchange began and came to no end that can be used."""


class Client:
    """Makes calls to the gateway."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        secret_key: str,
        limits: Limits = Limits(),
        budget: CallBudget = NO_BUDGET,
        reads: CallKind = CallKind.LOOK,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {secret_key}", "Content-Type": "application/json"}
        self._limits = limits
        self._budget = budget
        self._reads = reads

    async def send(self, request: Request) -> Reply:
        """Make a call that may move money: once, and whatever breaks on the way leaves the outcome unknown."""
        try:
            return await self._call(request, self._limits.send_s, CallKind.SEND)
        except Broken as error:
            log.warning("A call broke off; its outcome is unknown.", action="gateway_lost", path=request.path)
            raise OutcomeUnknown(f"Paystack did not answer {request.method} {request.path}: {error}.") from error

    async def read(self, request: Request) -> Reply:
        """Make a call that moves no money, a few times if it must be."""
        again = AsyncRetrying(
            stop=stop_after_attempt(self._limits.reads),
            wait=wait_random_exponential(multiplier=self._limits.read_pause_s, max=2.0),
            retry=retry_if_exception_type(Broken) | retry_if_result(_is_broken),
            retry_error_callback=_last,
        )
        try:
            return await again(self._call, request, self._limits.read_s, self._reads)
        except Broken as error:
            raise Retryable(f"Paystack did not answer {request.method} {request.path}: {error}.") from error

    async def _call(self, request: Request, total_s: float, kind: CallKind) -> Reply:
        await self._budget.permit(kind)
        reply = await self._exchange(request, total_s)
        if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
            await self._budget.rest(reply.retry_after_s or WAIT_WHEN_UNTOLD_S)
        return reply

    async def _exchange(self, request: Request, total_s: float) -> Reply:
        try:
            async with self._session.request(
                request.method,
                URL(self._base_url + request.path, encoded=True),
                data=request.body or None,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=total_s, connect=self._limits.connect_s),
                allow_redirects=False,
            ) as response:
                return Reply(response.status, await self._bounded(response), _delay_s(response))
        except NEVER_LEFT as error:
            raise Retryable(f"Paystack cannot be reached: {type(error).__name__}.") from error
        except (aiohttp.ClientError, OSError) as error:  # OSError has TimeoutError in it
            raise Broken(type(error).__name__) from error

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            body += chunk
            if len(body) > self._limits.body_bytes:
                raise Broken(f"more than {self._limits.body_bytes} bytes")
        return bytes(body)


def _delay_s(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value[:6]), LONGEST_WAIT_S) if value.isdecimal() else None


def _is_broken(reply: Reply) -> bool:
    return reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _last(state: RetryCallState) -> Reply:
    """Hand out what the last try gave, be it an error or an answer that somebody else will judge."""
    assert state.outcome is not None  # noqa: S101
    reply: Reply = state.outcome.result()
    return reply
