"""Serves the in-process chain over HTTP: `python -m adapters.sandbox.chain.serve FILE`. It prints where it listens."""

import asyncio
import json
import signal
import sys
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from adapters.sandbox.chain.evm import Evm
from adapters.sandbox.chain.rpc import Rpc

MOST_BYTES = 8 * 1024 * 1024


async def serve(path: Path) -> None:
    """Serve until a signal comes."""
    evm = Evm(path)
    rpc = Rpc(evm)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            asked = json.loads(await request.content.read(MOST_BYTES))
        except ValueError:
            return web.json_response({"error": "This is no JSON."}, status=HTTPStatus.BAD_REQUEST)
        return web.json_response(rpc.answer(asked))

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"Listening on {':'.join(map(str, runner.addresses[0][:2]))}", flush=True)  # noqa: T201  (whoever started us reads it)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()
    evm.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1])))
