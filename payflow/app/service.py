"""Runs an opened installation: the API, workers, what runs beside them, until a signal comes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import structlog

from machines.core.errors import PayflowError
from payflow.app.installation import Assemble, Payflow, opened, refuse_unfit
from payflow.config import Settings
from payflow.desk.books import Bookkeeper
from payflow.desk.readiness import Readiness, files_open_to_all, keep_telling, refuse_wrong_keys
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.worker import Worker
from payflow.store import servers
from payflow.telemetry import logs
from payflow.telemetry.health import Work, freeze_what_is_loaded, work_of

log = structlog.get_logger()

Announce = Callable[[str, str], None]
"""Is told, once everything runs, what runs and at which address (empty without a port)."""

Task = Callable[[Payflow, asyncio.Event], Coroutine[Any, Any, None]]
"""What runs beside the workers until the event is set; it may set it, when all is done."""


# ── the service ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def serve(
    settings: Settings,
    parts: Assemble,
    announce: Announce,
    pool_files: Sequence[Path] = (),
    task: Task | None = None,
) -> None:
    """Run the API, and workers unless the settings say otherwise, until a signal comes."""
    ports = Ports(settings.port, settings.probe_port)
    await _run(settings, parts, announce, pool_files, task, ports=ports, workers=settings.enable_workers)


async def work(
    settings: Settings,
    parts: Assemble,
    announce: Announce,
    pool_files: Sequence[Path] = (),
    task: Task | None = None,
) -> None:
    """Run workers without the API, until a signal comes."""
    ports = Ports(None, settings.worker_port if settings.probe_port is None else settings.probe_port)
    await _run(settings, parts, announce, pool_files, task, ports=ports, workers=True)


async def _run(
    settings: Settings,
    parts: Assemble,
    announce: Announce,
    pool_files: Sequence[Path],
    task: Task | None,
    *,
    ports: "Ports",
    workers: bool,
) -> None:
    refuse_wrong_keys(settings, workers=workers)
    logs.configure(settings.log_level, settings.log_format)
    settings = settings.model_copy(update={"enable_workers": workers})
    for file in files_open_to_all(settings):
        log.error("Everybody here can read a file with secrets: chmod 600.", action="open_file", file=str(file))
    async with AsyncExitStack() as stack:
        stop = await stack.enter_async_context(_stopped_by_signals())
        payflow = await stack.enter_async_context(opened(settings, parts, pool_files=pool_files))
        refuse_unfit(payflow.store)
        payflow.store.records.heads.shorten()
        readiness = Readiness(payflow.store)
        worker = _worker(payflow) if workers else None
        address, watched = await stack.enter_async_context(_listening(payflow, readiness, ports))
        await _anchor(payflow)
        announce(_said(payflow, address, watched, workers=workers), address or watched)
        freeze_what_is_loaded()
        async with anyio.create_task_group() as group:
            group.start_soon(_tell_health, payflow)
            group.start_soon(partial(keep_telling, works=workers), payflow.store, settings.worker_name)
            if workers:
                group.start_soon(Bookkeeper(payflow.store, settings.books_watch_s, settings.books_check_s).run)
                if payflow.parts.reconciler:
                    group.start_soon(payflow.parts.reconciler.run, settings.reconcile_s)
                if payflow.parts.probes:
                    from payflow.desk.gateways import keep_closed_rails_probed  # noqa: PLC0415  (as above)

                    group.start_soon(keep_closed_rails_probed, payflow.store, payflow.parts.probes)
            group.start_soon(_stop_on, stop, readiness, worker)
            if payflow.parts.task:
                group.start_soon(payflow.parts.task, stop)
            if task:
                group.start_soon(task, payflow, stop)
            await (worker.run() if worker else stop.wait())
            group.cancel_scope.cancel()


def _worker(payflow: Payflow) -> Worker:
    dispatcher = Dispatcher(payflow.store.outbox, payflow.metrics, payflow.parts.deliver, payflow.store.pauses)
    pollers = {**payflow.parts.pollers, **payflow.settings.pollers}
    settings = payflow.settings.model_copy(update={"pollers": pollers})
    return Worker(payflow.store, settings, payflow.metrics, dispatcher)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a process listens."""

    api: int | None
    """None for a process without the API."""
    probes: int | None
    """For machines that watch; None for none of their own."""


@asynccontextmanager
async def _listening(payflow: Payflow, readiness: Readiness, ports: Ports) -> AsyncIterator[tuple[str, str]]:
    """Serve what a process has ports for; gives the address of the API and that of the probes, empty for none."""
    if ports == Ports(None, None):
        yield "", ""
        return
    from payflow.web.http import app, probes  # noqa: PLC0415  (a worker without a port starts faster without aiohttp)

    settings, watching = payflow.settings, probes.Probes(payflow.store, payflow.metrics, readiness)
    address = watched = ""
    async with AsyncExitStack() as stack:
        if ports.probes is not None:
            served = app.application(watching.routes(), names=settings.names)
            listening = app.listening(served, settings.host, ports.probes, most=app.MOST_WATCHING)
            watched = await stack.enter_async_context(listening)
        if ports.api is not None:
            own = watching.public_routes() if watched else watching.routes()
            served = app.application(own, payflow.parts.routes(), names=settings.names)
            listening = app.listening(served, settings.host, ports.api, settings.trusted_proxies)
            address = await stack.enter_async_context(listening)
        yield address, watched


def _said(payflow: Payflow, address: str, watched: str, *, workers: bool) -> str:
    names = ", ".join(machine.name for machine in payflow.parts.machines) or "no machine yet"
    store = f"embedded in {payflow.settings.data}" if payflow.settings.embedded else f"at {payflow.store.link.place}"
    where = f"listens on {address or watched}" if address or watched else "works without a port"
    probes = f", probes on {watched}" if address and watched else ""
    return f"Payflow {where}{probes}, {'with' if workers else 'without'} workers; machines: {names}; store {store}."


async def _stop_on(stop: asyncio.Event, readiness: Readiness, worker: Worker | None) -> None:
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
        await _anchor(payflow)
        try:
            await tell_health(payflow, done.since(before))
        except PayflowError as error:
            log.warning("The store's health is unknown.", action="health", error=str(error))
        before = done


async def _anchor(payflow: Payflow) -> None:
    """Write down outside the store, and in the log, how far the audit log is."""
    try:
        anchor = await payflow.store.audit.anchor()
        records = await payflow.store.write_down()
    except PayflowError as error:
        log.warning("How far the audit log is was not written down.", action="anchor", error=str(error))
    else:
        what = "How far the audit log and the records are was written down outside."
        log.info(what, action="anchor", lines=anchor.lines, head=anchor.head, records=records)


async def tell_health(payflow: Payflow, done: Work) -> None:
    """Log how the store, this process and the queues are."""
    queues = [queue for queue in await payflow.store.listing.counts_by_state() if queue.count]
    final = {
        (machine.name, state.name)
        for machine in payflow.parts.machines
        for state in machine.lifecycle.states.values()
        if state.final
    }
    open_ones = [queue for queue in queues if (queue.machine, queue.state) not in final]
    connections = await servers.connections(payflow.store.link)
    sentence = (
        f"{sum(queue.count for queue in open_ones)} records are open, {sum(queue.due for queue in open_ones)} due; "
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
        queues={f"{queue.machine}.{queue.state}": {"count": queue.count, "due": queue.due} for queue in queues},
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
