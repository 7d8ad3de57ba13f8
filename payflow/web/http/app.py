"""The HTTP side of a process: its routes, its limits, and what it says when something is wrong."""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import Any, cast

from aiohttp import web, web_response
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger
from aiohttp.typedefs import Handler

from machines.core.errors import BadSettings
from payflow.web.http import problems
from payflow.web.http.connections import IDLE_S, Connections

MOST_BODY_BYTES = 64 * 1024
LARGER = {"/webhook-app": 1024 * 1024}
"""Places where others decide how much they have to say."""
# Longer than a stopping client needs to read its answer, shorter than a grace time.
LAST_ANSWERS_S = 5.0
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set when the process stops: who would answer for ever ends then."""
_BACKGROUND = web.AppKey("background", set[asyncio.Task[None]])


def application(*rooms: Iterable[web.RouteDef]) -> web.Application:
    """Serve the routes of several rooms."""
    app = web.Application(middlewares=[_answered], client_max_size=MOST_BODY_BYTES)
    app.on_response_prepare.append(_headers)
    app[STOPPING] = asyncio.Event()
    app[_BACKGROUND] = set()
    app.on_shutdown.append(_stop)
    for routes in rooms:
        app.add_routes(routes)
    return app


@asynccontextmanager
async def listening(
    app: web.Application, host: str, port: int, proxies: Sequence[IPv4Network | IPv6Network] = ()
) -> AsyncIterator[str]:
    """Serve for as long as the block runs; gives the address."""
    # What is no HTTP is answered before any middleware, with a header that names the versions of Python and aiohttp.
    web_response.SERVER_SOFTWARE = "payflow"  # type: ignore[attr-defined]
    server_logger.addFilter(_worth_a_line)
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=LAST_ANSWERS_S, keepalive_timeout=IDLE_S
    )
    await runner.setup()
    try:
        serve = cast("web.Server", runner.server)
        connections = Connections(proxies, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
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
    """Refuse what is too large before it is read; whatever a handler raises is answered here."""
    most = LARGER.get(request.path, MOST_BODY_BYTES)
    if (request.content_length or 0) > most:
        return problems.Problem(problems.TOO_LARGE, f"A request may have {most} bytes.").answer()
    return await problems.answered(handler, request)


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
    """What is no HTTP is the caller's mistake: it was answered, and must not fill our log with tracebacks."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def _headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
