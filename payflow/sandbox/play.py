"""Payflow with its world simulated: bank, chain, pool, GitHub and mail on loopback, that the real adapters talk to.

All of it is one tree of processes, and one folder. What is slow to start starts first and at once; nothing outlives
this process, however it ends.
"""

import asyncio
import importlib
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp

from adapters.sandbox.chain import accounts
from adapters.sandbox.chain.chain import SandboxChain
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.github.simulator import GitHubSimulator
from adapters.sandbox.leashed import NotStarted
from adapters.sandbox.magic import PAYS
from adapters.sandbox.mail import MailSink
from adapters.sandbox.server import CallLimit
from machines.core.clock import SystemClock
from machines.core.errors import PayflowError, StoreUnavailable
from payflow.app.installation import Assemble, Parts, Payflow, assemble
from payflow.app.service import serve
from payflow.config import Settings
from payflow.sandbox import home as sandbox_home
from payflow.sandbox.people import HOME, Cast
from payflow.sandbox.pool import SandboxPool
from payflow.sandbox.stage import Stage
from payflow.sandbox.tokens import MAINTAINER, WINNER, sign_in_links, tokens
from payflow.sandbox.world import ON_ANVIL, Options, SandboxWorld, settings_for, write_settings
from payflow.store.store import Store, open_store
from payflow.telemetry import logs
from payflow.telemetry.metrics import Metrics

KEEP_EVERY_S = 1.0
CALLS_A_SECOND = 50
"""More than PAYFLOW_GATEWAY_CALLS: whoever raises that meets a gateway that asks for fewer calls."""
# Read in while the chain starts: each takes its time.
_HEAVY = ("payflow.app.pools", "payflow.app.bounties", "payflow.web.routes", "payflow.sandbox.scenarios")


async def play(settings: Settings, options: Options, stage: Stage, announce: Callable[[SandboxWorld], None]) -> None:
    """Run the sandbox until a signal comes."""
    folder = settings.data.resolve()
    with sandbox_home.claimed(folder) as lock:
        anvil_for = options.scenario if options.scenario in ON_ANVIL else ""
        await sandbox_home.closed(folder, fresh=options.fresh)
        kind, notices = sandbox_home.prepared(folder, fresh=options.fresh, anvil_for=anvil_for)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(sandbox_home.store_watch(folder, lock.fileno()).stop)
            chain = SandboxChain(folder / "chain", kind, keep=(lock.fileno(),))
            stack.push_async_callback(chain.stop)
            pool = SandboxPool(folder / "pool", lock.fileno())
            stack.push_async_callback(pool.close)
            world = await _open_world(stack, folder, options, chain, pool, stage)
            stack.callback(lambda: sandbox_home.write_town(world.town, world.github.town))
            world.notices = notices
            await _run(world, settings_for(settings, world), announce)


async def _open_world(
    stack: AsyncExitStack, folder: Path, options: Options, chain: SandboxChain, pool: SandboxPool, stage: Stage
) -> SandboxWorld:
    """Open everything around Payflow, while its own modules are read in."""
    bank = await stack.enter_async_context(FlutterwaveSimulator(SystemClock(), otherwise=PAYS))
    bank.server.limit = CallLimit(CALLS_A_SECOND, burst=2 * CALLS_A_SECOND)
    mails = await stack.enter_async_context(MailSink())
    github = await stack.enter_async_context(GitHubSimulator(SystemClock()))
    bank.control.mails = mails.mails
    for name in _HEAVY:
        importlib.import_module(name)
    try:
        await chain.start()
        await pool.open()
    except NotStarted as error:
        raise StoreUnavailable(f"{error}\nWhere it cannot be mended, --fresh begins anew.") from error
    world = SandboxWorld(folder, options, bank, mails, github, chain, pool, stage)
    sandbox_home.read_town(world.town, github.town)
    pool.write_config(world.pool_config, chain.url)
    return world


async def _run(world: SandboxWorld, settings: Settings, announce: Callable[[SandboxWorld], None]) -> None:
    """Run the service in its world, with the scenario beside it."""
    playing: list[asyncio.Task[None]] = []

    def announced(_: str, address: str) -> None:
        world.bank.courier.url = f"{address}/api/webhooks/flutterwave/payout_status"
        world.github.courier.url = f"{address}/webhook-app"
        world.address = address
        playing.append(asyncio.create_task(_play(world)))
        playing.append(asyncio.create_task(_keep_town(world)))
        announce(world)

    # Before the store is opened: what it has to say is a line of the log, and no part of what is printed.
    logs.configure(settings.log_level, settings.log_format)
    # Nothing needs a machine for this; and while this is open the embedded store keeps running.
    async with open_store(settings) as store:
        world.tokens = await tokens(store, world.tokens_file, world.github.town, {"MAILS": world.read_mails})
        world.links = await sign_in_links(store, world.tokens, settings.pages_at)
        write_settings(world, settings)
        try:
            await serve(settings, _assembled(world), announced, [world.pool_config], _run_pools)
        finally:
            for task in playing:
                task.cancel()
            await asyncio.gather(*playing, return_exceptions=True)


async def _run_pools(payflow: Payflow, stop: asyncio.Event) -> None:
    from payflow.desk.pool.runs import serve as run_pools  # noqa: PLC0415  (slow to import, and read in by now)

    if payflow.parts.pools is not None:
        await run_pools(payflow.parts.pools, lambda _: None, stop, once=False)


def _assembled(world: SandboxWorld) -> Assemble:
    """Add a stand-in for browsers' wallets to what ships, and an ear for the store."""
    from adapters.sandbox.github.wallet import StandInWallet  # noqa: PLC0415  (slow to import, and read in by now)

    async def parts(settings: Settings, store: Store, metrics: Metrics, stack: AsyncExitStack) -> Parts:
        own = await assemble(settings, store, metrics, stack)
        if own.bounties is not None:
            own.bounties.standin = StandInWallet(world.chain.url, accounts.MAINTAINER.key)
        world.store, world.bounties, world.reconciler = store, own.bounties, own.reconciler
        return own

    return parts


# ── beside the service ───────────────────────────────────────────────────────────────────────────────────────────────


async def _play(world: SandboxWorld) -> None:
    """Play the scenario, once the service has its store."""
    from payflow.desk.bounties.bounties import sweep_forge  # noqa: PLC0415  (as above)
    from payflow.sandbox import scenarios as sandbox_scenarios  # noqa: PLC0415  (as above)

    if world.store is None or world.bounties is None:
        raise RuntimeError("The service announced itself without a store.")
    home = world.github.town.repository(HOME) or world.github.install(HOME, **{MAINTAINER: "admin", WINNER: "read"})
    with suppress(PayflowError):  # what GitHub told while nobody listened is lost, as it would be: it is read instead
        await sweep_forge(world.bounties.desk)
    async with aiohttp.ClientSession() as session:
        await sandbox_scenarios.play(world.options.scenario, Cast(world, world.store, home, session))


async def _keep_town(world: SandboxWorld) -> None:
    """Write down what GitHub has, so that a kill forgets little of it."""
    while True:
        await asyncio.sleep(KEEP_EVERY_S)
        sandbox_home.write_town(world.town, world.github.town)
