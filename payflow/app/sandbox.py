"""Payflow with its world simulated: bank, chain, pool, GitHub and mail on loopback, that the real adapters talk to.

All of it is one tree of processes, and one folder. What is slow to start starts first and at once; nothing outlives this
process, however it ends.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from pydantic import SecretStr

from adapters.sandbox.chain import accounts
from adapters.sandbox.chain.chain import SandboxChain
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.github.api import APP_ID
from adapters.sandbox.github.simulator import GitHubSimulator
from adapters.sandbox.github.town import Repository
from adapters.sandbox.leashed import NotStarted
from adapters.sandbox.magic import PAYS
from adapters.sandbox.mail import MailSink
from machines.core.clock import SystemClock
from machines.core.errors import StoreUnavailable
from payflow.app import Assemble, Parts, parts, sandbox_home, serve
from payflow.app.sandbox_home import SETTINGS_FILE, TOKENS_FILE
from payflow.app.sandbox_people import ACCOUNTS_AT_GITHUB, HOME, MAINTAINER, PEOPLE, WINNER, Cast
from payflow.app.sandbox_pool import SandboxPool, free_port
from payflow.app.sandbox_stage import Stage
from payflow.config import LaneSettings, Settings
from payflow.store.store import Store, open_store
from payflow.store.tokens import Role, Tokens

if TYPE_CHECKING:
    from payflow.app.pools import Pools

# By name, without importing what plays them: that takes the chain's libraries, and `--help` needs the names alone.
SCENARIO_NAMES = ("default", "none", "gateway-outage", "fraud-spike", "reorg", "stuck-nonce")
ON_ANVIL = ("reorg", "stuck-nonce")

CHAIN_ID = 31337
DEPTH = 2
KEEP_EVERY_S = 1.0
Holders = Sequence[tuple[str, Role, str]]
_HEAVY = ("payflow.app.pools", "payflow.app.bounties", "payflow.web.api", "payflow.app.sandbox_scenarios")


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox is started."""

    fresh: bool = False
    scenario: str = "default"


@dataclass(frozen=True, slots=True)
class World:
    """Where everything is, once it runs."""

    payflow: str
    flutterwave: str
    github: str
    mail: str
    """The mail server."""
    mails: str
    """Where its mails can be read."""
    rpc: str
    """The chain."""
    chain: str
    """Which node it is."""
    pool_redis: str
    pool_config: Path
    webhook_hash: str
    github_secret: str
    people: Mapping[str, tuple[Role, str]]
    """Each with role and token."""
    addresses: Mapping[str, str]
    tokens_file: Path
    settings_file: Path
    data: Path
    scenario: str
    told: tuple[str, ...] = ()
    """What a person should know of how it started."""


@dataclass
class _Grounds:
    """What runs around Payflow."""

    folder: Path
    options: Options
    bank: FlutterwaveSimulator
    mails: MailSink
    github: GitHubSimulator
    chain: SandboxChain
    pool: SandboxPool
    stage: Stage
    told: list[str]
    store: Store | None = None
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def read_mails(self) -> str:
        return f"{self.bank.url}/_sandbox/mails"

    @property
    def pool_config(self) -> Path:
        return self.folder / "payouts.json"

    @property
    def town(self) -> Path:
        return self.folder / "github.json"


async def play(settings: Settings, options: Options, stage: Stage, announce: Callable[[World], None]) -> None:
    """Run the sandbox until a signal comes."""
    folder = settings.data.resolve()
    with sandbox_home.claimed(folder) as lock:
        anvil_for = options.scenario if options.scenario in ON_ANVIL else ""
        kind, told = sandbox_home.prepared(folder, fresh=options.fresh, anvil_for=anvil_for)
        async with AsyncExitStack() as stack:
            watch = sandbox_home.store_watch(folder, lock.fileno())
            stack.push_async_callback(watch.stop)
            chain = SandboxChain(folder / "chain", kind, keep=(lock.fileno(),))
            pool = SandboxPool(folder / "pool", lock.fileno())
            grounds = await _grounds(stack, folder, options, chain, pool, stage, told)
            stack.callback(lambda: sandbox_home.write_town(grounds.town, grounds.github.town))
            await _run(grounds, _settings(settings, grounds), announce)


async def _grounds(
    stack: AsyncExitStack,
    folder: Path,
    options: Options,
    chain: SandboxChain,
    pool: SandboxPool,
    stage: Stage,
    told: list[str],
) -> _Grounds:
    """Open everything around Payflow, while its own modules are read in."""
    bank = await stack.enter_async_context(FlutterwaveSimulator(SystemClock(), otherwise=PAYS))
    mails = await stack.enter_async_context(MailSink())
    github = await stack.enter_async_context(GitHubSimulator(SystemClock()))
    bank.control.mails = mails.mails
    for name in _HEAVY:
        importlib.import_module(name)
    try:
        await stack.enter_async_context(chain)
        await stack.enter_async_context(pool)
    except NotStarted as error:
        raise StoreUnavailable(f"{error}\nWhere it cannot be mended, --fresh begins anew.") from error
    grounds = _Grounds(folder, options, bank, mails, github, chain, pool, stage, told)
    sandbox_home.read_town(grounds.town, github.town)
    pool.write_config(grounds.pool_config, chain.url)
    return grounds


def _settings(settings: Settings, grounds: _Grounds) -> Settings:
    """Lead Payflow into the simulated world."""
    bank, github = grounds.bank, grounds.github
    port = settings.port or free_port()  # comments and signed messages name it, so it must be known before
    return settings.model_copy(
        update={
            "data": grounds.folder,
            "port": port,
            "redis_url": None,
            "redis_host": None,
            "redis_sentinels": (),
            "flutterwave_version": "v3",
            "flutterwave_url": bank.v3_url,
            "flutterwave_secret_key": SecretStr(bank.keys.secret_key),
            "flutterwave_webhook_hash": SecretStr(bank.keys.secret_hash),
            "batch_schedule": "instant",
            "payout_minimum": "100, 0.01 ETH",
            "payout_maximum": "5000000, 100 ETH",
            "retry_after_s": (5.0, 10.0, 20.0),
            "settle_window_s": 5.0,
            "mail": SecretStr(grounds.mails.url),
            "reviewers": ("mailto:reviewers@sandbox.example",),
            "webhooks_to_loopback": True,
            "lanes": _lanes(grounds),
            "pool_config": grounds.pool_config,
            "github_app_id": APP_ID,
            "github_private_key": SecretStr(github.private_key),
            "github_webhook_secret": SecretStr(github.secret),
            "github_url": github.url,
            "bounty_lane": "bot",
            "bounty_wallet": "multisig",
            "bounty_depth": DEPTH,
            "bounty_server": f"http://{settings.host}:{port}",
        }
    )


def _lanes(grounds: _Grounds) -> dict[str, LaneSettings]:
    named = {"ethereum": accounts.PROVIDERS, "pool": accounts.POOL, "bot": accounts.BOT}
    played = grounds.options.scenario
    return {
        name: LaneSettings(
            rpc=(SecretStr(grounds.chain.url),),
            chain_id=CHAIN_ID,
            key_file=sandbox_home.key_file(grounds.folder, name, account),
            address=account.address,
            depth=6 if played in ON_ANVIL and name == "ethereum" else DEPTH,
            bump_after_s=3 if played == "stuck-nonce" else 60,
            rebroadcast_s=2 if played == "reorg" else 10,
        )
        for name, account in named.items()
    }


async def _run(grounds: _Grounds, settings: Settings, announce: Callable[[World], None]) -> None:
    """Run the service in its world, with the scenario beside it."""
    playing: list[asyncio.Task[None]] = []

    def announced(_: str, address: str) -> None:
        grounds.bank.courier.url = f"{address}/api/webhooks/flutterwave/payout_status"
        grounds.github.courier.url = f"{address}/webhook-app"
        world = _world(grounds, address)
        playing.append(asyncio.create_task(_play(grounds, address)))
        playing.append(asyncio.create_task(_keep_town(grounds)))
        announce(world)

    # Nothing needs a machine for this; and while this is open the embedded store keeps running.
    async with open_store(settings, ()) as store:
        grounds.tokens = await _tokens(store, grounds)
        _write_settings(grounds, settings)
        try:
            await serve(settings, _assembled(grounds), announced)
        finally:
            for task in playing:
                task.cancel()
            await asyncio.gather(*playing, return_exceptions=True)


def _assembled(grounds: _Grounds) -> Assemble:
    """Add the pool's runs to what ships, a stand-in for browsers' wallets, and an ear for the store."""
    from adapters.sandbox.github.wallet import StandInWallet  # noqa: PLC0415  (slow to import, and read in by now)
    from payflow.app.pool_runs import serve as run_pools  # noqa: PLC0415  (as above)
    from payflow.app.pools import assemble_for  # noqa: PLC0415  (as above)

    async def runs(pools: "Pools", stop: asyncio.Event) -> None:
        await run_pools(pools, lambda _: None, stop, once=False)

    whole = assemble_for(parts, [grounds.pool_config], lambda _: None, runs)

    @asynccontextmanager
    async def assemble(settings: Settings) -> AsyncIterator[Parts]:
        async with whole(settings) as own:
            if own.bounties is not None:
                own.bounties.standin = StandInWallet(grounds.chain.url, accounts.MAINTAINER.key)

            def bind(store: Store) -> None:
                own.open(store)
                grounds.store = store

            yield replace(own, open=bind)

    return assemble


# ── who and where ────────────────────────────────────────────────────────────────────────────────────────────────────


def _home(github: GitHubSimulator) -> Repository:
    """Find the repository of the scenarios, or have Mia make it."""
    return github.town.repository(HOME) or github.install(HOME, **{MAINTAINER: "admin", WINNER: "read"})


def _holders(github: GitHubSimulator) -> list[tuple[str, Role, str]]:
    at_github = ((name, Role.PROVIDER, f"github:{github.town.person(name).id}") for name in ACCOUNTS_AT_GITHUB)
    return [*PEOPLE, *at_github]


async def _tokens(store: Store, grounds: _Grounds) -> dict[str, str]:
    """Read the demo tokens, or make them. They are kept in a file for shells, which also says where mails are read."""
    path, tokens, holders = grounds.folder / TOKENS_FILE, Tokens(store.link), _holders(grounds.github)
    made = await _kept(tokens, sandbox_home.read_lines(path), holders) or await _made(tokens, holders)
    sandbox_home.write_lines(path, {**made, "MAILS": grounds.read_mails})
    return made


async def _kept(tokens: Tokens, written: Mapping[str, str], holders: Holders) -> dict[str, str]:
    """Take the tokens of an earlier sandbox; none where one of them opens nothing any more, or something else."""
    found = {}
    for name, role, of in holders:
        token = await tokens.find(written.get(name.upper(), ""))
        if token is None or (token.role, token.of) != (role, of):
            return {}
        found[name.upper()] = written[name.upper()]
    return found


async def _made(tokens: Tokens, holders: Holders) -> dict[str, str]:
    """Make the tokens anew."""
    in_use = {token.name for token in await tokens.all() if token.revoked_at is None}
    made = {}
    for name, role, of in holders:
        if name in in_use:
            await tokens.revoke(name, "sandbox")
        made[name.upper()] = await tokens.create(name, role, of, "sandbox")
    return made


def _write_settings(grounds: _Grounds, settings: Settings) -> None:
    """Write the settings for shells, so that every command works on the sandbox while it runs."""
    key = grounds.folder / "keys" / "github.pem"
    sandbox_home.write_secret(key, grounds.github.private_key)
    lanes = {name: _plain(lane) for name, lane in settings.lanes.items()}
    sandbox_home.write_lines(
        grounds.folder / SETTINGS_FILE,
        {
            "PAYFLOW_DATA": str(grounds.folder),
            "PAYFLOW_BATCH_SCHEDULE": settings.batch_schedule,
            "PAYFLOW_LANES": sandbox_home.as_json(lanes),
            "PAYFLOW_POOL_CONFIG": str(grounds.pool_config),
            "FLUTTERWAVE_URL": settings.flutterwave_url,
            "FLUTTERWAVE_SECRET_KEY": grounds.bank.keys.secret_key,
            "GITHUB_APP_ID": APP_ID,
            "GITHUB_PRIVATE_KEY_FILE": str(key),
            "GITHUB_URL": settings.github_url,
            "PAYFLOW_BOUNTY_LANE": settings.bounty_lane,
            "PAYFLOW_BOUNTY_WALLET": settings.bounty_wallet,
            "PAYFLOW_BOUNTY_DEPTH": str(settings.bounty_depth),
            "PAYFLOW_BOUNTY_SERVER": settings.bounty_server,
        },
    )


def _plain(lane: LaneSettings) -> dict[str, object]:
    return {
        "rpc": [url.get_secret_value() for url in lane.rpc],
        "chain_id": lane.chain_id,
        "key_file": str(lane.key_file),
        "address": lane.address,
        "depth": lane.depth,
    }


def _world(grounds: _Grounds, address: str) -> World:
    roles = {name: role for name, role, _ in _holders(grounds.github)}
    return World(
        payflow=address,
        flutterwave=grounds.bank.url,
        github=grounds.github.url,
        mail=grounds.mails.url,
        mails=grounds.read_mails,
        rpc=grounds.chain.url,
        chain=grounds.chain.kind,
        pool_redis=grounds.pool.endpoint,
        pool_config=grounds.pool_config,
        webhook_hash=grounds.bank.keys.secret_hash,
        github_secret=grounds.github.secret,
        people={name: (role, grounds.tokens[name.upper()]) for name, role in roles.items()},
        addresses={
            "ethereum lane": accounts.PROVIDERS.address,
            "pool lane": accounts.POOL.address,
            "bot lane": accounts.BOT.address,
            "maintainer": accounts.MAINTAINER.address,
            "contributor": accounts.CONTRIBUTOR.address,
            "funder": accounts.FUNDER.address,
        },
        tokens_file=grounds.folder / TOKENS_FILE,
        settings_file=grounds.folder / SETTINGS_FILE,
        data=grounds.folder,
        scenario=grounds.options.scenario,
        told=tuple(grounds.told),
    )


# ── beside the service ───────────────────────────────────────────────────────────────────────────────────────────────


async def _play(grounds: _Grounds, address: str) -> None:
    """Play the scenario, once the service has its store."""
    from payflow.app import sandbox_scenarios  # noqa: PLC0415  (as above)

    if grounds.store is None:
        raise RuntimeError("The service announced itself without a store.")
    async with aiohttp.ClientSession() as session:
        cast = Cast(
            address,
            grounds.tokens,
            grounds.store,
            grounds.bank,
            grounds.chain,
            grounds.pool,
            grounds.github,
            _home(grounds.github),
            grounds.stage,
            session,
        )
        await sandbox_scenarios.play(grounds.options.scenario, cast)


async def _keep_town(grounds: _Grounds) -> None:
    """Write down what GitHub has, so that a kill forgets little of it."""
    while True:
        await asyncio.sleep(KEEP_EVERY_S)
        sandbox_home.write_town(grounds.town, grounds.github.town)
