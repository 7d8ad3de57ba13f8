"""One node whose chain nobody named, as a pool's is: what it answers; anything else is a reason to wait."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import encode_basic_auth, web

from adapters.ethereum.endpoint import NodeLimits, chain_of
from adapters.ethereum.node import Nodes
from machines.core.chain import Address
from machines.core.errors import Retryable
from tests.chain import LANE, OTHER, anvil

QUICK = NodeLimits(pause_s=0.001)
Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve a node that answers like this."""
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://user:pass@127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def says(body: object, status: int = 200) -> Handler:
    """Answer everything with the same."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=body if isinstance(body, str) else json.dumps(body), status=status)

    return handler


async def test_peers_are_counted_with_the_login_of_the_url(session: aiohttp.ClientSession) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response({"jsonrpc": "2.0", "id": 0, "result": "0x1a"})

    async with serving(handler) as url:
        chain_id = await chain_of(session, url, NodeLimits())
        assert await Nodes(session, [url], chain_id).peers() == 26
    assert set(seen) == {encode_basic_auth("user", "pass")}


@pytest.mark.parametrize(
    "body",
    [
        {"id": 0, "result": None},
        {"id": 0, "error": {"code": -32601, "message": "the method does not exist"}},
        {"id": 0, "error": "just words"},
        {"id": 0, "result": "lots"},
        "<html>502 Bad Gateway</html>",
        '{"id": 0, "resu',
        "[]",
        "7",
    ],
    ids=str,
)
async def test_what_is_no_answer_is_a_reason_to_wait(session: aiohttp.ClientSession, body: object) -> None:
    async with serving(says(body)) as url:
        with pytest.raises(Retryable):
            await chain_of(session, url, NodeLimits())
        with pytest.raises(Retryable):
            await Nodes(session, [url], 1, limits=QUICK).peers()


async def test_a_node_that_is_not_there_is_a_reason_to_wait(session: aiohttp.ClientSession) -> None:
    with pytest.raises(Retryable):
        await chain_of(session, "http://127.0.0.1:1", NodeLimits())


async def test_what_an_address_sent_is_found_block_by_block(session: aiohttp.ClientSession) -> None:
    async with anvil() as chain:
        node = Nodes(session, [chain.url], await chain_of(session, chain.url, NodeLimits()))
        await chain.mine(30)
        await chain.rpc("evm_increaseTime", hex(60))
        for wei in (5, 6):
            await chain.send(LANE, OTHER.address, wei)
            await chain.send(OTHER, LANE.address, 7)
            await chain.mine(15)
        height = await chain.height()
        sent = await node.sent(Address(LANE.address), 1, height)
        assert [(one.value_wei, one.nonce, one.to) for one in sent] == [(5, 0, OTHER.address), (6, 1, OTHER.address)]
        assert node.chain_id == chain.chain_id
        assert await node.hash_of(height) == (await node.head()).hash
        assert await node.hash_of(height + 1) is None
        assert await node.block_before(await node.time_of(31)) == 30
        with pytest.raises(Retryable, match="null where a block was expected"):
            await node.sent(Address(LANE.address), height, height + 5)
