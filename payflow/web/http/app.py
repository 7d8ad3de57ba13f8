"""The HTTP side of a process: its routes, its limits, and what it says when something is wrong."""

import asyncio
import logging
import resource
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import hdrs, web, web_response, web_urldispatcher
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger
from aiohttp.typedefs import Handler

from machines.core.errors import BadSettings
from payflow.web.http import problems

MOST_BODY_BYTES = 64 * 1024
LARGER = {"/webhook-app": 1024 * 1024}
"""Places where others decide how much they have to say."""
IDLE_S = 65.0
"""Between two requests, and until a header is whole: longer than proxies keep a connection for the next request."""
MOST_CONNECTIONS = 20_000
MOST_WATCHING = 100
"""Connections at a port for machines that watch: few have business there, and it must answer when the other is full."""
_SHARE = 4
# Longer than a stopping client needs to read its answer, shorter than a grace time.
LAST_ANSWERS_S = 5.0
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set when the process stops: who would answer for ever ends then."""
_NAMES = web.AppKey("names", list[str])
_PROXIES = web.AppKey("proxies", list[IPv4Network | IPv6Network])
HSTS = "max-age=31536000"
_OF_THE_CALLER = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
"""What is no HTTP; a body, read to its end after the answer, that is not encoded as it says; a caller who left."""
_BACKGROUND = web.AppKey("background", set[asyncio.Task[None]])


def application(*rooms: Iterable[web.RouteDef], names: Collection[str] = ()) -> web.Application:
    """Serve the routes of several rooms, to who comes by one of these names where any are given."""
    # aiohttp asks this before any middleware, of places that there are none too, and breaks on bytes that are no text.
    web_urldispatcher._default_expect_handler = _expected  # type: ignore[assignment]  # noqa: SLF001
    app = web.Application(middlewares=[_answered], client_max_size=MOST_BODY_BYTES)
    app.on_response_prepare.append(_headers)
    app[STOPPING] = asyncio.Event()
    app[_BACKGROUND] = set()
    app[_PROXIES] = []
    app[_NAMES] = list(names)
    app.on_shutdown.append(_stop)
    for routes in rooms:
        app.add_routes(routes)
    return app


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    proxies: Sequence[IPv4Network | IPv6Network] = (),
    most: int = MOST_CONNECTIONS,
) -> AsyncIterator[str]:
    """Serve at most so many connections for as long as the block runs; gives the address."""
    # What is no HTTP is answered before any middleware, with a header that names the versions of Python and aiohttp.
    web_response.SERVER_SOFTWARE = "payflow"  # type: ignore[attr-defined]
    server_logger.addFilter(_worth_a_line)
    app[_PROXIES].extend(proxies)
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=LAST_ANSWERS_S, keepalive_timeout=IDLE_S
    )
    await runner.setup()
    try:
        serve = cast("web.Server", runner.server)
        connections = Connections(proxies, resource.getrlimit(resource.RLIMIT_NOFILE)[0], most)
        listener = await _listen(connections.guarding(serve), host, port)
        try:
            bound_host, bound_port, *_ = listener.sockets[0].getsockname()
            shown = f"[{bound_host}]" if ":" in bound_host else bound_host
            yield f"http://{shown}:{bound_port}"
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def _listen(serve: Callable[[], asyncio.Protocol], host: str, port: int) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(serve, host, port)
    except OSError as error:
        raise BadSettings(
            f"Payflow cannot listen on {host}:{port} ({error.strerror or error}): set another address or port."
        ) from error


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what is not for us, or too large before it is read; whatever a handler raises is answered here."""
    # Not `request.host`, which looks the name of this machine up where the caller gave none.
    names: list[str] = request.app[_NAMES]
    if not is_name_of_ours(request.headers.get(hdrs.HOST, ""), names):
        return problems.Problem(
            problems.MISDIRECTED, "Nobody answers here to the name that you asked for: PAYFLOW_HOSTS lists our names."
        ).answer()
    most = LARGER.get(request.path, MOST_BODY_BYTES)
    if (request.content_length or 0) > most:
        return problems.Problem(problems.TOO_LARGE, f"A request may have {most} bytes.").answer()
    return await problems.answered(handler, request)


async def _expected(request: web.Request) -> web.StreamResponse | None:
    """Let come what waits for a sign to go on; whatever else is expected of us is refused."""
    if request.version < HttpVersion11:
        return None
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        return problems.Problem(problems.EXPECTATION, "All that may be expected here is 100-continue.").answer()
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # else the answer counts as begun, and no other could take its place
    return None


def in_background(app: web.Application, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run something in the background of the requests; it ends when the process stops."""
    task = asyncio.create_task(work)
    app[_BACKGROUND].add(task)
    task.add_done_callback(app[_BACKGROUND].discard)
    return task


async def _stop(app: web.Application) -> None:
    app[STOPPING].set()
    running: set[asyncio.Task[None]] = app[_BACKGROUND]
    tasks = list(running)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Whether the server failed; what a caller did wrong was answered, and must not fill our log with tracebacks."""
    return not (record.exc_info and isinstance(record.exc_info[1], _OF_THE_CALLER))


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if _came_by_https(request):
        response.headers.setdefault("Strict-Transport-Security", HSTS)


def _came_by_https(request: web.Request) -> bool:
    """Whether the browser spoke https, to us or to a proxy of ours: a browser holds to that for a year."""
    if request.secure:
        return True
    proxies: list[IPv4Network | IPv6Network] = request.app[_PROXIES]
    said = request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
    return said and bool(request.remote) and among(str(request.remote), proxies)


# ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Connections:
    """Counts who is connected; half of what the process may open stays free for the process itself.

    Each connection costs a file descriptor. Whoever opened enough of them and said nothing would leave none for health
    checks, and none for asking gateways and nodes. How long one may say nothing is the server's own limit (`IDLE_S`);
    when there are too many, the oldest that has asked nothing yet makes room: a proxy of ours brings everybody from one
    address, and there, too, who asks must come in.
    """

    def __init__(
        self,
        proxies: Sequence[IPv4Network | IPv6Network] = (),
        files: int = resource.RLIM_INFINITY,
        most: int = MOST_CONNECTIONS,
    ) -> None:
        self._proxies = proxies
        self.most = most if files == resource.RLIM_INFINITY else min(most, files // 2)
        self.most_of_one = self.most // _SHARE
        """From one address; a proxy of ours, which brings everybody, may have all."""
        self._open: Counter[str] = Counter()
        self._unasked: dict[str, dict[_Guarded, None]] = {"": {}}
        """Those that have not asked anything yet, the oldest first, by address and all (""): they give way."""

    def guarding(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Put the limits before what serves a connection."""
        return lambda: _Guarded(self, make())

    def admit(self, connection: "_Guarded", address: str) -> bool:
        """Count a connection in, unless there are too many that have asked something."""
        if self._open[address] >= self.most_of_one and not among(address, self._proxies):
            if not self._one_gives_way(address):
                return False
        elif self._open.total() >= self.most and not self._one_gives_way():
            return False
        self._open[address] += 1
        for place in ("", address):
            self._unasked.setdefault(place, {})[connection] = None
        return True

    def _one_gives_way(self, address: str = "") -> bool:
        """End the oldest connection that has not asked anything; of one address, where that has too many."""
        oldest = next(iter(self._unasked.get(address, ())), None)
        if oldest is not None:
            oldest.end()
        return oldest is not None

    def asked(self, connection: "_Guarded", address: str) -> None:
        """Know that a connection is there for something."""
        for place in ("", address):
            self._unasked.get(place, {}).pop(connection, None)
        if not self._unasked.get(address, True):
            del self._unasked[address]

    def forget(self, connection: "_Guarded", address: str) -> None:
        """Count a connection out."""
        self.asked(connection, address)
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


_END_OF_HEADER = b"\r\n\r\n"


class _Guarded(asyncio.Protocol):
    """One connection, served only when it was admitted."""

    def __init__(self, connections: Connections, served: asyncio.Protocol) -> None:
        self._connections = connections
        self._served = served
        self._transport: asyncio.Transport | None = None
        """None for one that was not admitted."""
        self._address: str | None = None
        """None for one that does not count, or not any more."""
        self._tail: bytes | None = b""
        """The end of what came before the first header was whole; None when it is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        if self._connections.admit(self, address):
            self._address, self._transport = address, cast("asyncio.Transport", transport)
            self._served.connection_made(transport)
        else:
            cast("asyncio.Transport", transport).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._uncounted()
            self._served.connection_lost(exc)

    def end(self) -> None:
        """Make room at once; the loop tells whoever serves it in its next turn."""
        self._uncounted()
        if self._transport is not None:
            self._transport.abort()

    def _uncounted(self) -> None:
        if self._address is not None:
            self._connections.forget(self, self._address)
            self._address = None

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._tail is not None:
            seen = self._tail + data
            self._tail = None if _END_OF_HEADER in seen else seen[-len(_END_OF_HEADER) + 1 :]
            if self._tail is None and self._address is not None:
                self._connections.asked(self, self._address)
        self._served.data_received(data)

    def eof_received(self) -> bool | None:
        return self._served.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        self._served.pause_writing()

    def resume_writing(self) -> None:
        self._served.resume_writing()


def is_name_of_ours(host: str, names: Collection[str]) -> bool:
    """Whether somebody came by one of our names, where we have any: anybody can let a name of theirs lead here.

    An address, and localhost, is nobody's name.
    """
    try:
        bare = urlsplit(f"//{host.casefold()}").hostname or ""
    except ValueError:  # such as `[x`
        return not names
    return not names or not host or _is_literal(bare) or host.casefold() in names


def _is_literal(bare: str) -> bool:
    try:
        return bare == "localhost" or bool(ip_address(bare))
    except ValueError:
        return False


def among(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether an address lies in one of some networks."""
    found = ip_address(address)
    return any(found in network for network in networks)
