"""The composition root: the one room that knows every other. What is opened here is closed here, in the other order."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from machines.core.clock import SystemClock
from machines.core.errors import PayflowError, StoreUnfit
from machines.core.machine import AnyMachine
from machines.core.money import ETH, NGN, Asset, Assets
from payflow.config import PollerSettings, Settings
from payflow.desk.books import Bookkeeper
from payflow.engine.dispatcher import Dispatcher, Handler
from payflow.engine.worker import Worker
from payflow.store import checkup, durability
from payflow.store.store import Store, open_store, refuse_missing
from payflow.telemetry import logs
from payflow.telemetry.health import Work, work_of
from payflow.telemetry.metrics import Metrics
from payflow.web.http.readiness import Readiness

if TYPE_CHECKING:
    from aiohttp import web

    from payflow.app.bounties import Bounties
    from payflow.desk.gateways import Probe
    from payflow.desk.lanes import Lanes
    from payflow.desk.payouts import Desk
    from payflow.desk.reconcile.comparison import Reconciles

log = structlog.get_logger()

DEEPEST = 15_000
"""Calls within calls that fit into a thread's stack; an in-process EVM needs 12,288."""

Announce = Callable[[str, str], None]
"""Is told, once everything runs, what runs and at which address (empty without a port)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an installation adds to the engine."""

    machines: tuple[AnyMachine, ...] = ()
    assets: Assets = field(default_factory=Assets)
    """What the ledger keeps books in."""
    open: Callable[[Store], None] = lambda _: None
    """Binds what the machines need of the store, once it is open."""
    scopes: tuple[str, ...] = ()
    """What it sends through, as `payflow pause` names it: rails and lanes."""
    deliver: Mapping[str, Handler] = field(default_factory=dict)
    """For each kind of message, who delivers it."""
    probes: "Mapping[str, Probe]" = field(default_factory=dict)
    """What tells of each rail that closed itself whether it lets us in again."""
    pollers: Mapping[str, PollerSettings] = field(default_factory=dict)
    """How pollers work where PAYFLOW_POLLERS does not say."""
    routes: "Callable[[Store, Metrics], Iterable[web.RouteDef]]" = lambda _store, _metrics: ()
    """The routes beside the probes."""
    watch: Callable[[Metrics], None] = lambda _: None
    """Tells the adapters where to count what they do."""
    reconciles: "Callable[[Store, Metrics], Sequence[Reconciles]]" = lambda _store, _metrics: ()
    """What compares itself with the world before rails open that the sequence guard closed."""
    beside: Callable[[asyncio.Event], Coroutine[Any, Any, None]] | None = None
    """What runs beside the workers until the event is set, such as a pool's runs; it may set it, when all is done."""
    desk: "Callable[[Store, Metrics], Desk] | None" = None
    """Opens the desk of the payouts, for the command line; None where none are paid."""
    lanes: "Lanes | None" = None
    """The addresses that pay over a chain; None where there is none."""
    coins: tuple[str, ...] = ()
    """Of the pools that are known here: what their miners are called by is no platform's to name."""
    bounties: "Bounties | None" = None
    """The bounties of a GitHub organisation; None where they are not set up."""


Assemble = Callable[[Settings], AbstractAsyncContextManager[Parts]]
"""Opens the adapters that the machines need, and puts all of it together."""


@asynccontextmanager
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    """Put together what ships with Payflow."""
    from machines.pool.react import pool  # noqa: PLC0415  (tests of the engine need none of it)
    from payflow.app import dashboard as boards  # noqa: PLC0415  (as above)
    from payflow.app import gateways, metering, notifications, payouts  # noqa: PLC0415  (as above)
    from payflow.web.api.bounty_document import described  # noqa: PLC0415  (as above)

    async with AsyncExitStack() as stack:
        clock = SystemClock()
        meter = metering.Meter()
        doors = dict(await gateways.open_doors(settings, clock, stack))
        chains = None
        if settings.lanes:
            from payflow.app.lanes import doors_of, open_lanes  # noqa: PLC0415  (two seconds, only where a chain is used)

            chains = await open_lanes(settings, clock, stack, meter)
            doors |= doors_of(chains)
        paid_work = beside = None
        if settings.github_app_id or settings.bounty_lane:
            from payflow.app.bounties import open_bounties  # noqa: PLC0415  (as above)

            paid_work = await open_bounties(settings, chains, stack)
            beside = paid_work.keep_swept
        rooms = boards.pools_of(settings, stack)
        own = payouts.Payouts(settings, meter.around(doors))
        world = await notifications.open_telling(settings, clock, stack)

        def bind(store: Store) -> None:
            for one in (own, world, chains, paid_work, rooms):
                if one is not None:
                    one.open(store)

        def routes(store: Store, metrics: Metrics) -> "list[web.RouteDef]":
            board = boards.board_of(settings, metrics, chains, rooms, paid_work)
            more = paid_work.routes(store, metrics) if paid_work else []
            return [*own.routes(store, metrics, board, described(more)), *more]

        def reconciles(store: Store, metrics: Metrics) -> "Sequence[Reconciles]":
            if chains is None:
                return own.reconciles(store, metrics)
            from payflow.desk.reconcile.lanes import LanesReconcile  # noqa: PLC0415  (as above)

            nonces = LanesReconcile(store, chains.lanes, chains.books)
            return [*own.reconciles(store, metrics, chains.lanes), nonces]

        yield Parts(
            (
                own.machine,
                pool({}, rooms.prove if rooms else None),
                *(chains.machines if chains else _shown_lanes()),
                *(paid_work.machines if paid_work else ()),
            ),
            assets=Assets((NGN, ETH, *tokens_of(settings))),
            open=bind,
            scopes=scopes_of(doors, chains.lanes if chains else ()),
            watch=meter.bind,
            beside=beside,
            deliver=world.handlers,
            probes={name: door.probe for name, door in doors.items() if door.probe},
            pollers=payouts.pollers(settings),
            routes=routes,
            reconciles=reconciles,
            desk=own.desk,
            lanes=chains,
            coins=tuple(room.coin for room in rooms.rooms) if rooms else (),
            bounties=paid_work,
        )


def scopes_of(rails: Iterable[str], lanes: Iterable[str]) -> tuple[str, ...]:
    """Name what can be paused of rails and lanes; a lane is a rail too."""
    lanes = list(lanes)
    return tuple(f"rail:{name}" for name in dict.fromkeys((*rails, *lanes))) + tuple(f"lane:{name}" for name in lanes)


def tokens_of(settings: Settings) -> list[Asset]:
    """List the assets that lanes pay beside those of every ledger."""
    declared = {
        (code, token.ledger_decimals) for lane in settings.lanes.values() for code, token in lane.tokens.items()
    }
    return [Asset(code, decimals) for code, decimals in sorted(declared)]


def _shown_lanes() -> tuple[AnyMachine, ...]:
    """Give the machines of lanes that another process works for, such as a pool's: they are shown, and left alone."""
    from machines.transaction.react import transaction  # noqa: PLC0415
    from machines.transaction.react_lane import lane  # noqa: PLC0415  (as above)
    from machines.transaction.react_payment import payment  # noqa: PLC0415

    return lane({}), payment(), transaction({})


@dataclass(frozen=True, slots=True)
class Payflow:
    """An open installation."""

    settings: Settings
    parts: Parts
    metrics: Metrics
    store: Store


@asynccontextmanager
async def opened(settings: Settings, assemble: Assemble = parts, *, make: bool = True) -> AsyncIterator[Payflow]:
    """Open an installation for as long as the block runs; its store must be there, unless it may be made."""
    if not make and settings.embedded:
        refuse_missing(settings)
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(assemble(settings))
        # A library for keys lets Python recurse 100,000 deep: nested JSON would then overflow the stack of the process.
        sys.setrecursionlimit(min(sys.getrecursionlimit(), DEEPEST))
        store = await stack.enter_async_context(
            open_store(settings, own.machines, assets=own.assets, coins=own.coins, make=make)
        )
        metrics = Metrics()
        store.records.on_commit = metrics.committed
        for machine in own.machines:
            metrics.noted.labels(machine.name)  # Prometheus sees no increase in a series born with its first event
        await store.pauses.name(own.scopes, await store.records.now())
        own.watch(metrics)
        own.open(store)
        yield Payflow(settings, own, metrics, store)


def refuse_unfit(store: Store) -> None:
    """Raise where records must not be touched at all, whatever the operator has accepted."""
    faults = durability.faults(store.servers, accepted=True)
    if faults:
        raise StoreUnfit(" ".join(faults))


# ── the service ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def serve(settings: Settings, assemble: Assemble, announce: Announce) -> None:
    """Run the API, and workers unless the settings say otherwise, until a signal comes."""
    await _run(settings, assemble, announce, port=settings.port, workers=settings.enable_workers, api=True)


async def work(settings: Settings, assemble: Assemble, announce: Announce) -> None:
    """Run workers without the API, until a signal comes."""
    await _run(settings, assemble, announce, port=settings.worker_port, workers=True, api=False)


async def _run(
    settings: Settings, assemble: Assemble, announce: Announce, *, port: int | None, workers: bool, api: bool
) -> None:
    logs.configure(settings.log_level, settings.log_format)
    async with AsyncExitStack() as stack:
        stop = await stack.enter_async_context(_stopped_by_signals())
        payflow = await stack.enter_async_context(opened(settings, assemble))
        refuse_unfit(payflow.store)
        readiness = Readiness(payflow.store)
        worker = _worker(payflow) if workers else None
        address = ""
        if port is not None:
            address = await stack.enter_async_context(_listening(payflow, readiness, port, api=api))
        announce(_said(payflow, address, workers=workers), address)
        async with anyio.create_task_group() as group:
            group.start_soon(_tell_health, payflow)
            if workers:
                group.start_soon(Bookkeeper(payflow.store, settings.books_watch_s, settings.books_check_s).run)
                if payflow.parts.probes:
                    from payflow.app.probing import keep_closed_rails_probed  # noqa: PLC0415  (as above)

                    group.start_soon(keep_closed_rails_probed, payflow.store, payflow.parts.probes)
            group.start_soon(_stop_when_told, stop, readiness, worker)
            if payflow.parts.beside:
                group.start_soon(payflow.parts.beside, stop)
            await (worker.run() if worker else stop.wait())
            group.cancel_scope.cancel()


def _worker(payflow: Payflow) -> Worker:
    dispatcher = Dispatcher(payflow.store.outbox, payflow.metrics, payflow.parts.deliver, payflow.store.pauses)
    pollers = {**payflow.parts.pollers, **payflow.settings.pollers}
    settings = payflow.settings.model_copy(update={"pollers": pollers})
    return Worker(payflow.store, settings, payflow.metrics, dispatcher)


@asynccontextmanager
async def _listening(payflow: Payflow, readiness: Readiness, port: int, *, api: bool) -> AsyncIterator[str]:
    from payflow.web.http import app, probes  # noqa: PLC0415  (a worker without a port starts faster without aiohttp)

    watched = probes.Probes(payflow.store, payflow.metrics, readiness).routes()
    own = payflow.parts.routes(payflow.store, payflow.metrics) if api else ()
    settings = payflow.settings
    async with app.listening(app.application(watched, own), settings.host, port, settings.trusted_proxies) as address:
        yield address


def _said(payflow: Payflow, address: str, *, workers: bool) -> str:
    names = ", ".join(machine.name for machine in payflow.parts.machines) or "no machine yet"
    store = f"embedded in {payflow.settings.data}" if payflow.settings.embedded else f"at {payflow.store.link.place}"
    where = f"listens on {address}" if address else "works without a port"
    return f"Payflow {where}, {'with' if workers else 'without'} workers; machines: {names}; store {store}."


async def _stop_when_told(stop: asyncio.Event, readiness: Readiness, worker: Worker | None) -> None:
    await stop.wait()
    readiness.stopping = True
    log.info("Payflow finishes what it has begun, and stops.", action="stopping")
    if worker:
        worker.stop()


@asynccontextmanager
async def _stopped_by_signals() -> AsyncIterator[asyncio.Event]:
    """Turn the first SIGTERM or SIGINT into an event; the second ends the process on the spot."""
    stop = asyncio.Event()

    def heard(number: signal.Signals) -> None:
        if stop.is_set():
            # Leases run out, the embedded store is adopted by the next process: nothing is lost by leaving like this.
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard, number)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


# ── the health line ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _tell_health(payflow: Payflow) -> None:
    before = work_of(payflow.metrics)
    while True:
        await anyio.sleep(payflow.settings.health_line_s)
        done = work_of(payflow.metrics)
        try:
            await tell_health(payflow, done.since(before))
        except PayflowError as error:
            log.warning("The store's health is unknown.", action="health", error=str(error))
        before = done


async def tell_health(payflow: Payflow, done: Work) -> None:
    """Log how the store, this process and the queues are."""
    crowds = [crowd for crowd in await payflow.store.listing.crowds() if crowd.count]
    final = {
        (machine.name, state.name)
        for machine in payflow.parts.machines
        for state in machine.lifecycle.states.values()
        if state.final
    }
    open_ones = [crowd for crowd in crowds if (crowd.machine, crowd.state) not in final]
    connections = await checkup.connections(payflow.store.link)
    sentence = (
        f"{sum(crowd.count for crowd in open_ones)} records are open, {sum(crowd.due for crowd in open_ones)} due; "
        f"{done.looks} looks, {done.moves} moves and {done.errors} errors since the last line; "
        f"{connections} connections to the store."
    )
    log.info(
        sentence,
        action="health",
        worker=payflow.settings.worker_name,
        store_connections=connections,
        looks=done.looks,
        moves=done.moves,
        errors=done.errors,
        queues={f"{crowd.machine}.{crowd.state}": {"count": crowd.count, "due": crowd.due} for crowd in crowds},
    )


# ── the loop ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def run(service: Coroutine[Any, Any, None]) -> None:
    """Run the service on the fastest event loop there is."""
    try:
        import uvloop  # noqa: PLC0415  (not on every platform)
    except ImportError:
        asyncio.run(service)
    else:
        uvloop.run(service)
