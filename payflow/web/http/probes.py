"""For machines that watch Payflow: is it alive, is it ready, and its figures."""

import anyio
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from machines.core.errors import PayflowError
from payflow.desk.readiness import ANSWER_S, Readiness
from payflow.store.store import Store
from payflow.telemetry.health import healthy
from payflow.telemetry.metrics import Metrics, StoreGauges
from payflow.web.http import gauges


class Probes:
    """The three addresses that every process with a port has."""

    def __init__(self, store: Store, metrics: Metrics, readiness: Readiness) -> None:
        self._store = store
        self._metrics = metrics
        self._readiness = readiness

    def routes(self) -> list[web.RouteDef]:
        """List them."""
        return [web.get("/healthz", self._alive), web.get("/readyz", self._ready), web.get("/metrics", self._figures)]

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        checks = await self._readiness.checks()
        ready = healthy(checks)
        listed = [{"name": check.name, "level": check.level, "finding": check.finding} for check in checks]
        return web.json_response({"ready": ready, "checks": listed}, status=200 if ready else 503)

    async def _figures(self, _request: web.Request) -> web.Response:
        read = await self._read()
        self._metrics.store_up.set(read is not None)
        text = generate_latest(self._metrics.registry)
        if read is not None:
            text += generate_latest(read.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _read(self) -> StoreGauges | None:
        """Read the gauges; without the store, what belongs to this process is told all the same."""
        try:
            with anyio.fail_after(ANSWER_S):
                return await gauges.read(self._store)
        except (PayflowError, TimeoutError):
            return None
