"""The one exchange: where it goes, what it brings, and what of a vendor's words may be kept."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from adapters.http import (
    BrokenOff,
    GatewayClient,
    HttpLimits,
    HttpRequest,
    Overlong,
    SecretKey,
    Unreached,
    exchange,
    plain,
)
from machines.core.clock import FixedClock
from machines.core.errors import OutcomeUnknown

FEW = HttpLimits(body_bytes=1000)


@pytest.fixture
async def server() -> AsyncIterator[URL]:
    """A server that sends elsewhere, answers in pieces, or with much."""

    async def pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(5):
            await response.write(b"x" * 100)
        return response

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("/pieces")

    async def much(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1001)

    app = web.Application()
    app.add_routes([web.get("/pieces", pieces), web.get("/elsewhere", elsewhere), web.get("/much", much)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield URL(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def test_a_reply_is_whole_and_no_redirect_is_followed(session: aiohttp.ClientSession, server: URL) -> None:
    reply = await exchange(session, "GET", server / "pieces", headers={}, total_s=5, limits=FEW)
    assert reply.body == b"x" * 500
    reply = await exchange(session, "GET", server / "elsewhere", headers={}, total_s=5, limits=FEW)
    assert (reply.status, reply.headers["Location"]) == (302, "/pieces")


async def test_a_reply_that_is_too_long_is_given_up(session: aiohttp.ClientSession, server: URL) -> None:
    with pytest.raises(Overlong):
        await exchange(session, "GET", server / "much", headers={}, total_s=5, limits=FEW)
    assert issubclass(Overlong, BrokenOff), "perhaps done"


async def test_nobody_there_is_surely_not_done(session: aiohttp.ClientSession) -> None:
    with pytest.raises(Unreached):
        await exchange(session, "GET", URL("http://127.0.0.1:1"), headers={}, total_s=5)
    assert not issubclass(Unreached, BrokenOff)


async def test_what_may_move_money_goes_once_where_the_connection_breaks(session: aiohttp.ClientSession) -> None:
    """On a connection that was used before aiohttp asks again by itself what it takes for idempotent."""
    met: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        met.append(request.method)
        if len(met) > 1:
            assert request.transport is not None
            request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/slip", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = GatewayClient(session, "Box", f"http://127.0.0.1:{runner.addresses[0][1]}", SecretKey("k"), FixedClock())
    await client.send(HttpRequest("POST", "/slip"))
    with pytest.raises(OutcomeUnknown):
        await client.send(HttpRequest("POST", "/slip"))
    assert met == ["POST", "POST"]
    for method in ("PUT", "GET", "DELETE"):
        with pytest.raises(ValueError, match="Send by POST"):
            await client.send(HttpRequest(method, "/slip"))
    await runner.cleanup()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Account 0123456789 is closed.", "Account ***6789 is closed."),
        ("It was sent to 0123456789.", "It was sent to ***6789."),
        ("No.0123456789", "No.***6789"),
        ("to 012345678901234567890123", "to ***0123"),
        ("you can only spend NGN 1000000000.00 a day", "you can only spend NGN 1000000000.00 a day"),
        ("one\nline\u2028only\u202e", "one line only"),
        ("x" * 500, "x" * 200),
    ],
)
def test_what_a_vendor_says_is_kept_without_account_numbers(said: str, kept: str) -> None:
    assert plain(said) == kept
