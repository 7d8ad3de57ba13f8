"""One real HTTP server: it reads a request into a value, lets the script of faults have its way, and answers.

Handlers are plain functions from `ServedCall` to `ServedAnswer`; aiohttp is nowhere else. Doubled slashes and empty
parts of a query are tolerated, because an official SDK sends both.
"""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from adapters.sandbox.agenda import Agenda
from adapters.sandbox.faults import Fault, Faults, Kind

# Amounts leave as the numbers that they are.
ENCODER = msgspec.json.Encoder(decimal_format="number")

HUGE_BYTES = 8 * 1024 * 1024

PROXY_PAGE = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center>nginx</center></body>\r\n</html>\r\n"
)


@dataclass(frozen=True, slots=True)
class ServedCall:
    """A request, read."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By their names in small letters."""
    query: Mapping[str, str]
    raw: bytes
    params: Mapping[str, str] = field(default_factory=dict)
    """What stands in the variable parts of the path."""
    pays: bool = False

    @property
    def line(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object that came, with numbers as Decimals; empty when it was none."""
        try:
            read = json.loads(self.raw or b"{}", parse_float=Decimal)
        except ValueError:
            return {}
        return read if isinstance(read, dict) else {}

    @property
    def reference(self) -> str:
        """The payment that it speaks of, as far as that can be told before it is handled."""
        return str(self.body.get("reference") or self.query.get("reference") or self.params.get("reference") or "")


@dataclass(frozen=True, slots=True)
class ServedAnswer:
    """What is answered."""

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def encoded(self) -> bytes:
        """The body as it goes out."""
        return ENCODER.encode(self.body)


def ok(body: object) -> ServedAnswer:
    """Answer with what was asked for, as it is."""
    return ServedAnswer(HTTPStatus.OK, body)


class CallRefused(Exception):
    """The request ends here, with this answer."""

    def __init__(self, message: str, answer: ServedAnswer) -> None:
        super().__init__(message)
        self.answer = answer


Handler = Callable[[ServedCall], ServedAnswer]


@dataclass(frozen=True, slots=True)
class Route:
    """Which handler answers what; `{name}` in the path is a variable part."""

    method: str
    path: str
    handler: Handler
    pays: bool = False
    """Whether it asks for money to move, so that unaimed faults meet it."""


@dataclass(slots=True)
class CallLimit:
    """How many calls an account may make: no vendor publishes its numbers for transfers, and each has some."""

    calls_a_second: float
    burst: int
    cool_off_s: float = 1.0
    """How long whoever exceeds it gets nothing but 429."""
    announced: bool = True
    """Whether a refusal says when to come again."""
    refused: int = 0
    """How many calls were refused."""
    _saved: float | None = None
    _at: int = 0
    _closed_until: int = 0

    def lets_in(self, now: int) -> bool:
        """Count a call, and tell whether it is answered."""
        saved = float(self.burst) if self._saved is None else self._saved
        self._saved = min(float(self.burst), saved + (now - self._at) * self.calls_a_second / 1000)
        self._at = now
        if now >= self._closed_until and self._saved >= 1:
            self._saved -= 1
            return True
        self.refused += 1
        if now >= self._closed_until:
            self._closed_until = now + int(self.cool_off_s * 1000)
        return False


class Server:
    """Listens on loopback."""

    def __init__(
        self,
        agenda: Agenda,
        faults: Faults,
        routes: Sequence[Route],
        unavailable: Callable[[ServedCall], ServedAnswer],
        before_answer: Callable[[], Awaitable[None]],
    ) -> None:
        self.calls: list[str] = []
        """Every request's line, for whoever asks what was asked."""
        self.limit: CallLimit | None = None
        """Of all calls but those to the simulator's own dashboard."""
        self._agenda = agenda
        self._faults = faults
        self._routes = [
            (re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route.path))), route) for route in routes
        ]
        self._unavailable = unavailable
        self._before_answer = before_answer
        self._runner: web.ServerRunner | None = None
        self._ticker: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self, port: int = 0) -> None:
        """Begin to listen, on a free port unless one is named."""
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, bound = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}"
        self._ticker = asyncio.create_task(self._agenda.keep_running())

    async def stop(self) -> None:
        """Stop listening; who still waits for an answer gets none."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def direct(self, call: ServedCall) -> ServedAnswer:
        """Answer whoever is in this process and needs no socket; the script of faults is not asked."""
        self._agenda.run()
        self.calls.append(call.line)
        routed, handler = self._routed(call)
        return _answered(handler, routed)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        call, handler = self._routed(
            ServedCall(
                request.method,
                re.sub("/{2,}", "/", request.path),
                {name.casefold(): value for name, value in request.headers.items()},
                {name: value for name, value in request.query.items() if name},
                await request.read(),
            )
        )
        self._agenda.run()
        self.calls.append(call.line)
        if self.limit and not call.path.startswith("/_sandbox") and not self.limit.lets_in(self._agenda.now()):
            return _rate_limited(Fault(Kind.RATE_LIMITED, delay_s=self.limit.cool_off_s if self.limit.announced else 0))
        fault = self._faults.take(call)
        if fault is None:
            return _response(await self._handled(call, handler))
        answer = None
        if fault.created and fault.kind is not Kind.RATE_LIMITED:
            answer = await self._handled(call, handler)
        return await self._misbehave(fault, request, call, handler, answer)

    async def _handled(self, call: ServedCall, handler: Handler) -> ServedAnswer:
        answer = _answered(handler, call)
        await self._before_answer()
        return answer

    def _routed(self, call: ServedCall) -> tuple[ServedCall, Handler]:
        for pattern, route in self._routes:
            found = pattern.fullmatch(call.path)
            if found and route.method == call.method:
                params = {name: value for name, value in found.groupdict().items() if value is not None}
                return (
                    ServedCall(call.method, call.path, call.headers, call.query, call.raw, params, route.pays),
                    route.handler,
                )
        return call, _nobody

    async def _misbehave(
        self, fault: Fault, request: web.BaseRequest, call: ServedCall, handler: Handler, answer: ServedAnswer | None
    ) -> web.StreamResponse:
        if fault.kind is Kind.RATE_LIMITED:
            return _rate_limited(fault)
        await self._agenda.sleep(fault.delay_s)
        whole = answer or self._unavailable(call)
        match fault.kind:
            case Kind.SLOW:
                return _response(answer or await self._handled(call, handler))
            case Kind.RESET | Kind.CUT:
                return await _gone(request, whole if fault.kind is Kind.CUT else None)
            case Kind.TRUNCATED:
                encoded = whole.encoded
                body, status = encoded[: len(encoded) // 2], HTTPStatus.OK
            case Kind.HTML:
                return web.Response(status=HTTPStatus.BAD_GATEWAY, body=PROXY_PAGE, content_type="text/html")
            case Kind.HUGE:
                body, status = b'{"status":"' + b"x" * HUGE_BYTES, HTTPStatus.OK
            case Kind.EMPTY:
                body, status = b"", HTTPStatus.OK
            case Kind.UNTRUE:
                body, status = self._unavailable(call).encoded, HTTPStatus.OK
            case _:
                return _response(self._unavailable(call))
        return web.Response(status=status, body=body, content_type="application/json")


def _answered(handler: Handler, call: ServedCall) -> ServedAnswer:
    try:
        return handler(call)
    except CallRefused as refused:
        return refused.answer


def _nobody(call: ServedCall) -> ServedAnswer:
    return ServedAnswer(HTTPStatus.NOT_FOUND, {"status": "error", "message": f"Cannot {call.line}", "data": None})


def _response(answer: ServedAnswer) -> web.Response:
    return web.Response(
        status=answer.status, body=answer.encoded, headers=answer.headers, content_type="application/json"
    )


def _rate_limited(fault: Fault) -> web.Response:
    headers = {"Retry-After": str(math.ceil(fault.delay_s))} if fault.delay_s else {}
    body = b'{"status":"error","message":"Too many requests","data":null}'
    return web.Response(
        status=HTTPStatus.TOO_MANY_REQUESTS, body=body, headers=headers, content_type="application/json"
    )


async def _gone(request: web.BaseRequest, whole: ServedAnswer | None) -> web.StreamResponse:
    """Break the connection: before the answer, or in the middle of it."""
    response = web.StreamResponse(status=HTTPStatus.OK)
    if whole is not None:
        response.content_type = "application/json"
        response.content_length = len(whole.encoded)
        await response.prepare(request)
        await response.write(whole.encoded[: len(whole.encoded) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response
