"""For machines that watch Payflow: is it alive, is it ready, and its figures, of the store too."""

import asyncio
import math
from collections.abc import Iterable
from time import monotonic

import anyio
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from machines.core.clock import SECOND, Millis
from machines.core.errors import PayflowError
from machines.core.machine import AnyMachine
from payflow.desk import outside
from payflow.desk.caps import daily_caps
from payflow.desk.readiness import ANSWER_S, Readiness
from payflow.desk.reconcile.findings import open_findings
from payflow.desk.trouble import FAILS_AFTER_MS
from payflow.desk.values import scope_of_shard
from payflow.store import servers
from payflow.store.store import Store
from payflow.telemetry.health import healthy
from payflow.telemetry.metrics import Metrics, StoreGauges

BARE_S = 1.0
"""How long a bare yes or no is taken for true: anybody may ask for it, and to find it out the store is asked much."""


class Probes:
    """The three addresses that every process with a port has."""

    def __init__(self, store: Store, metrics: Metrics, readiness: Readiness) -> None:
        self._store = store
        self._metrics = metrics
        self._readiness = readiness
        self._asking = asyncio.Lock()
        self._is_ready = False
        self._asked_at = -math.inf

    def routes(self) -> list[web.RouteDef]:
        """List them."""
        return [web.get("/healthz", self._alive), web.get("/readyz", self._ready), web.get("/metrics", self._figures)]

    def public_routes(self) -> list[web.RouteDef]:
        """List what a port that anybody may reach has of them, where they have one of their own: yes or no."""
        return [web.get("/healthz", self._alive), web.get("/readyz", self._bare)]

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        checks = await self._readiness.checks()
        ready = healthy(checks)
        listed = [{"name": check.name, "level": check.level, "finding": check.finding} for check in checks]
        return web.json_response({"ready": ready, "checks": listed}, status=200 if ready else 503)

    async def _bare(self, _request: web.Request) -> web.Response:
        async with self._asking:
            if monotonic() - self._asked_at >= BARE_S:
                self._is_ready = healthy(await self._readiness.checks())
                self._asked_at = monotonic()
        ready = self._is_ready and not self._readiness.stopping
        return web.json_response({"ready": ready}, status=200 if ready else 503)

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
                return await read_gauges(self._store)
        except (PayflowError, TimeoutError):
            return None


# ── figures of the store ──────────────────────────────────────────────────────────────────────────────────────────────

OLDEST_LOOKED_AT = 50
"""Of a state's records so many are read for the age of each rail's oldest one: a scrape must stay cheap."""


async def read_gauges(store: Store) -> StoreGauges:
    """Ask the store for everything that does not belong to one process."""
    gauges = StoreGauges()
    now = await store.records.now()
    _states(gauges, store.records.machines.values())
    await _counts(gauges, store, now)
    await _rails(gauges, store, now)
    await _pauses(gauges, store, now)
    await _wallets(gauges, store, now)
    for cap in await daily_caps(store):
        where = (cap.of, cap.most.asset.code)
        gauges.cap_used.labels(*where).set(cap.used.units / cap.most.units if cap.most.units else 1)
        gauges.cap_reached.labels(*where).set(cap.reached)
    verdict = await store.ledger.last_check()
    gauges.conserved.set(verdict is None or verdict.conserved)
    gauges.books_age.set(_age_s(now, verdict.at if verdict else None))
    for rail, mark in (await store.statements.marks()).items():
        gauges.statement_age.labels(rail).set(_age_s(now, mark.read))
    for named, count in (await open_findings(store)).items():
        gauges.findings.labels(*named).set(count)
    await store.look_at_servers()
    gauges.durable.set(not store.faults())
    gauges.clients.set(await servers.connections(store.link))
    gauges.parked.set(await store.listing.count_parked())
    gauges.failing.set((await store.listing.failing(Millis(now - FAILS_AFTER_MS), 1))[0])
    gauges.unfit_outside.set(len(await outside.failed_last(store)))
    gauges.outbox.set(await store.outbox.waiting())
    gauges.outbox_lag.set(_age_s(now, await store.outbox.oldest_due()))
    gauges.given_up.set(await store.outbox.given_up())
    return gauges


def _states(gauges: StoreGauges, machines: Iterable[AnyMachine]) -> None:
    """Tell the facts of each state, so that a rule can be about all machines and name none."""
    for machine in machines:
        for state in machine.lifecycle.states.values():
            flags = ("yes" if flag else "no" for flag in (state.sends, state.final))
            gauges.state.labels(machine.name, state.name, str(state.by), *flags).set(1)
            if state.stuck_after_s is not None:
                gauges.stuck_after.labels(machine.name, state.name).set(state.stuck_after_s)


async def _counts(gauges: StoreGauges, store: Store, now: Millis) -> None:
    for place in await store.listing.counts_by_state():
        where = (place.machine, place.state)
        gauges.records.labels(*where).set(place.count)
        gauges.oldest.labels(*where).set(_age_s(now, place.oldest))
        gauges.due.labels(*where).set(place.due)
        gauges.due_lag.labels(*where).set(_age_s(now, place.late_since))


async def _rails(gauges: StoreGauges, store: Store, now: Millis) -> None:
    """Tell for each rail how long its oldest record has been in a state from which money may have left."""
    places = [
        (machine.name, state)
        for machine in store.records.machines.values()
        for state in machine.lifecycle.states.values()
        if state.may_have_left and not state.final
    ]
    found = await asyncio.gather(
        *(store.listing.in_state(machine, state.name, OLDEST_LOOKED_AT) for machine, state in places)
    )
    for (machine, state), records in zip(places, found, strict=True):
        for stored in reversed(records):  # so that the oldest of a rail has the last word
            rail = getattr(stored.record.data, "rail", "")
            if rail:
                age_s = _age_s(now, stored.record.since)
                gauges.oldest_at_rail.labels(rail, machine, state.name).set(age_s)


async def _pauses(gauges: StoreGauges, store: Store, now: Millis) -> None:
    paused = await store.pauses.all()
    for scope in await store.pauses.known():
        if scope.startswith("rail:"):  # a rail that closes for the first time must not begin at one
            gauges.rail_closed.labels(scope.removeprefix("rail:")).set(0)
    for scope, pause in paused.items():
        gauges.paused.labels(scope).set(1)
        gauges.pause_age.labels(scope).set(_age_s(now, pause.at))
        if pause.code:
            gauges.rail_closed.labels(scope.removeprefix("rail:")).set(1)
    for shard in range(store.records.shards):
        closed = shard in store.guard.alarms or scope_of_shard(shard) in paused
        gauges.sequence_alarm.labels(f"{shard:02d}").set(closed)


async def _wallets(gauges: StoreGauges, store: Store, now: Millis) -> None:
    """Tell what our wallets held, and who waits for more; a wallet that once was short says when nobody waits."""
    for place, units in (await store.shortfalls.held()).items():
        gauges.wallet_held.labels(*place).set(units)
        gauges.wallet_waiting.labels(*place).set(0)
    for one in await store.shortfalls.all(now):
        gauges.wallet_waiting.labels(one.rail, one.asset).set(one.payouts)
        gauges.wallet_missing.labels(one.rail, one.asset).set(one.units)


def _age_s(now: Millis, since: Millis | None) -> float:
    return 0.0 if since is None else max(0.0, (now - since) / SECOND)
