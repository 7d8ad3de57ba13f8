"""Opens an installation: its store first, then what its settings name, over that store."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machines.core.clock import SystemClock
from machines.core.currencies import assets_with
from machines.core.errors import StoreUnfit
from machines.core.lifecycle import Lifecycle
from machines.core.machine import AnyMachine
from machines.core.money import ETH, NGN, Asset, Assets
from payflow.config import PollerSettings, Settings
from payflow.engine.dispatcher import Handler
from payflow.store import servers
from payflow.store.store import Store, open_store
from payflow.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aiohttp import web

    from payflow.app.bounties import Bounties
    from payflow.desk.gateways import Probe
    from payflow.desk.lanes import Lanes
    from payflow.desk.payouts import Desk
    from payflow.desk.pool.pool import Pools
    from payflow.desk.reconcile.comparison import Reconciles
    from payflow.desk.reconcile.reconciler import Reconciler

DEEPEST = 15_000
"""Calls within calls that fit into a thread's stack; an in-process EVM needs 12,288."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an installation adds to the engine."""

    machines: tuple[AnyMachine, ...] = ()
    scopes: tuple[str, ...] = ()
    """What it sends through, as `payflow pause` names it: rails and lanes."""
    deliver: Mapping[str, Handler] = field(default_factory=dict)
    """For each kind of message, who delivers it."""
    probes: "Mapping[str, Probe]" = field(default_factory=dict)
    """What tells of each rail that closed itself whether it lets us in again."""
    pollers: Mapping[str, PollerSettings] = field(default_factory=dict)
    """How pollers work where PAYFLOW_POLLERS does not say."""
    routes: "Callable[[], Iterable[web.RouteDef]]" = tuple
    """The routes beside the probes; made only where they are served."""
    reconciles: "Sequence[Reconciles]" = ()
    """What compares itself with the world before rails open that the sequence guard closed."""
    reconciler: "Reconciler | None" = None
    """What compares our books with the statements of rails; None where there is nothing to compare."""
    task: Callable[[asyncio.Event], Coroutine[Any, Any, None]] | None = None
    """What runs beside the workers until the event is set."""
    desk: "Desk | None" = None
    """What may be done with payouts; None where none are paid."""
    lanes: "Lanes | None" = None
    """The addresses that pay over a chain; None where there is none."""
    bounties: "Bounties | None" = None
    """The bounties of a GitHub organisation; None where they are not set up."""
    pools: "Pools | None" = None
    """The mining pools that this process pays for; None where it pays for none."""


Assemble = Callable[[Settings, Store, Metrics, AsyncExitStack], Awaitable[Parts]]
"""Opens the adapters that the machines need, over an open store, and puts all of it together."""


@dataclass(frozen=True, slots=True)
class Payflow:
    """An open installation."""

    settings: Settings
    parts: Parts
    metrics: Metrics
    store: Store


async def assemble(settings: Settings, store: Store, metrics: Metrics, stack: AsyncExitStack) -> Parts:
    """Put together what ships with Payflow."""
    from machines.finding.react import finding  # noqa: PLC0415  (tests of the engine need none of it)
    from machines.pool.react import pool  # noqa: PLC0415  (tests of the engine need none of it)
    from payflow.app import dashboard, gateways, notifications, payouts  # noqa: PLC0415  (as above)
    from payflow.desk.metering import metered  # noqa: PLC0415  (as above)
    from payflow.desk.receipts.receipts import Receipts  # noqa: PLC0415  (as above)
    from payflow.desk.reconcile.lane_payments import compared_lanes  # noqa: PLC0415  (as above)
    from payflow.desk.reconcile.reconciler import reconciler_of  # noqa: PLC0415  (as above)
    from payflow.desk.requests import payout_pollers  # noqa: PLC0415  (as above)

    clock = SystemClock()
    setups = dict(await gateways.open_gateways(settings, store, clock, stack))
    lanes = bounties = None
    reconciles: list[Reconciles] = []
    if settings.lanes:
        from payflow.app.lanes import open_lanes, setups_of  # noqa: PLC0415  (two seconds, only where a chain is used)
        from payflow.desk.reconcile.lanes import LanesReconcile  # noqa: PLC0415  (as above)

        lanes = await open_lanes(settings, store, clock, stack, metrics)
        setups |= setups_of(lanes)
        reconciles.append(LanesReconcile(store, lanes.lanes, lanes.books))
    if settings.github_app_id or settings.bounty_lane:
        from payflow.app.bounties import open_bounties  # noqa: PLC0415  (as above)

        bounties = await open_bounties(settings, store, metrics, lanes, stack)
    issuer = await dashboard.issuer_of(settings, stack)
    rooms = dashboard.pools_of(settings, store, metrics, stack)
    paid = payouts.Payouts(settings, store, metrics, metered(metrics, setups), Receipts(store, lanes, rooms))
    of_payouts = paid.reconcile(lanes.lanes if lanes else ())
    compared = compared_lanes(store, lanes) if lanes else {}
    if rooms:
        from payflow.desk.reconcile.pool_payments import compared_pools  # noqa: PLC0415  (only where there is a pool)

        compared |= compared_pools(store, rooms.rooms.values(), compared)
    reconciler = reconciler_of(store, metrics, setups, of_payouts, compared)

    def routes() -> "list[web.RouteDef]":
        from payflow.web.api.findings import FindingsApi  # noqa: PLC0415  (only where the API is served)
        from payflow.web.pages.admin import reconciliation  # noqa: PLC0415  (only where pages are served)

        board = dashboard.board_of(settings, lanes, rooms, bounties)
        board = replace(board, issuer=issuer, pages=[reconciliation.page(reconciler, metrics), *board.pages])
        found = list(FindingsApi(store, reconciler, metrics).endpoints())
        if bounties is None:
            return paid.routes(board, also=found)
        return [*paid.routes(board, (bounties.endpoints(), [bounties.deliveries()]), found), *bounties.routes()]

    return Parts(
        (
            *paid.machines,
            finding(reconciler.acts()),
            pool({}, rooms.prove if rooms else None),
            *(lanes.machines if lanes else _shown_lanes()),
            *(bounties.machines if bounties else ()),
        ),
        scopes=scopes_of(setups, lanes.lanes if lanes else ()),
        task=bounties.keep_swept if bounties else None,
        deliver=await notifications.open_handlers(settings, store, clock, stack),
        probes={name: setup.probe for name, setup in setups.items() if setup.probe},
        pollers=payout_pollers(settings),
        routes=routes,
        reconciler=reconciler,
        reconciles=[of_payouts, *reconciles],
        desk=paid.desk,
        lanes=lanes,
        bounties=bounties,
    )


def lifecycles() -> Mapping[str, Lifecycle]:
    """Name what the records of each machine can be and do; no store is needed for that."""
    from machines.bounty import lifecycle as bounty  # noqa: PLC0415  (only one command asks)
    from machines.disbursement import lifecycle as disbursement  # noqa: PLC0415  (as above)
    from machines.finding import lifecycle as finding  # noqa: PLC0415  (as above)
    from machines.payout import lifecycle as payout  # noqa: PLC0415  (as above)
    from machines.pool import lifecycle as pool  # noqa: PLC0415  (as above)

    tables = (payout.LIFECYCLE, pool.LIFECYCLE, *(one.lifecycle for one in _shown_lanes()), bounty.LIFECYCLE)
    files = (disbursement.LIFECYCLE, disbursement.PORTION)
    return {one.machine: one for one in (*tables, bounty.REPOSITORY, finding.LIFECYCLE, *files)}


def scopes_of(rails: Iterable[str], lanes: Iterable[str]) -> tuple[str, ...]:
    """Name what can be paused of rails and lanes; a lane is a rail too."""
    lanes = list(lanes)
    return tuple(f"rail:{name}" for name in dict.fromkeys((*rails, *lanes))) + tuple(f"lane:{name}" for name in lanes)


def assets_of(settings: Settings) -> Assets:
    """Name what the ledger keeps books in: ether, the currencies of the table, the tokens of lanes."""
    declared = {
        (code, token.ledger_decimals) for lane in settings.lanes.values() for code, token in lane.tokens.items()
    }
    return Assets((NGN, ETH, *assets_with(Asset(code, decimals) for code, decimals in sorted(declared))))


def _coins(files: Sequence[Path]) -> list[str]:
    """Name the coins of pools: what their miners are called by is no platform's to name."""
    if not files:
        return []
    from adapters.open_ethereum_pool import config  # noqa: PLC0415  (only where there is a pool)

    return [config.load(file).coin for file in files]


def _shown_lanes() -> tuple[AnyMachine, ...]:
    """Give the machines of lanes that another process works for, such as a pool's: they are shown, and left alone."""
    from machines.transaction.react import transaction  # noqa: PLC0415  (as above)
    from machines.transaction.react_lane import lane  # noqa: PLC0415
    from machines.transaction.react_payment import payment  # noqa: PLC0415

    return lane({}), payment(), transaction({})


@asynccontextmanager
async def opened(
    settings: Settings, parts: Assemble = assemble, *, pool_files: Sequence[Path] = (), make: bool = True
) -> AsyncIterator[Payflow]:
    """Open an installation for as long as the block runs; its store must be there, unless it may be made.

    It also pays for the pools of `pool_files`; all else stays as it is: a store may be shared with payouts.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(settings, assets=assets_of(settings), coins=_coins([*settings.pools, *pool_files]), make=make)
        )
        metrics = Metrics()
        own = await parts(settings, store, metrics, stack)
        if pool_files:
            own = await _with_pools(own, settings, pool_files, store, metrics, stack)
        # A library for keys lets Python recurse 100,000 deep: nested JSON would then overflow the stack of the process.
        sys.setrecursionlimit(min(sys.getrecursionlimit(), DEEPEST))
        store.serve(own.machines)
        store.records.on_commit = metrics.committed
        store.link.macs.on_forged = lambda _: metrics.forged.inc()
        for machine in own.machines:
            metrics.noted.labels(machine.name)  # Prometheus sees no increase in a series born with its first event
        await store.pauses.name(own.scopes, await store.records.now())
        yield Payflow(settings, own, metrics, store)


async def _with_pools(
    own: Parts, settings: Settings, files: Sequence[Path], store: Store, metrics: Metrics, stack: AsyncExitStack
) -> Parts:
    """Add the pools of these files to an installation."""
    from payflow.app.pools import open_pools  # noqa: PLC0415  (two seconds, only where a pool is paid for)

    pools = await open_pools(settings, files, store, metrics, SystemClock(), stack)
    mine = (pools.machine, *pools.lanes.machines)
    names = {machine.name for machine in mine}
    sent = (scope for pool in pools.pools.values() for scope in pool.lane.scopes)
    return replace(
        own,
        machines=(*(machine for machine in own.machines if machine.name not in names), *mine),
        lanes=pools.lanes,
        pools=pools,
        scopes=tuple(dict.fromkeys((*own.scopes, *sent))),
    )


def refuse_unfit(store: Store) -> None:
    """Raise where records must not be touched at all, whatever the operator has accepted."""
    faults = servers.faults(store.servers, accepted=True)
    if faults:
        raise StoreUnfit(" ".join(fault.text for fault in faults))
