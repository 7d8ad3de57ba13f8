"""Where everything of a sandbox is, and the settings that lead Payflow there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from adapters.sandbox.chain import accounts
from adapters.sandbox.chain.chain import SandboxChain
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.github.api import APP_ID, CLIENT_ID, CLIENT_SECRET
from adapters.sandbox.github.simulator import GitHubSimulator
from adapters.sandbox.mail import MailSink
from payflow.config import LaneSettings, Settings
from payflow.sandbox import home
from payflow.sandbox.home import SETTINGS_FILE, TOKENS_FILE
from payflow.sandbox.pool import SandboxPool, free_port
from payflow.sandbox.stage import Stage
from payflow.sandbox.tokens import holders
from payflow.store.registers.tokens import Role
from payflow.store.store import Store

if TYPE_CHECKING:
    from payflow.app.bounties import Bounties

SCENARIO_NAMES = ("default", "none", "gateway-outage", "fraud-spike", "reorg", "stuck-nonce")
"""Named here as well as where they are played, which takes the chain's libraries: `--help` must be quick."""
ON_ANVIL = ("reorg", "stuck-nonce")

CHAIN_ID = 31337
DEPTH = 2
DEEPER = 6
"""Where blocks are played with, there must be time to see it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox is started."""

    fresh: bool = False
    scenario: str = "default"


@dataclass(frozen=True, slots=True)
class SandboxWorld:
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
    notices: tuple[str, ...] = ()
    """What a person should know of how it started."""


@dataclass
class Grounds:
    """What runs around Payflow."""

    folder: Path
    options: Options
    bank: FlutterwaveSimulator
    mails: MailSink
    github: GitHubSimulator
    chain: SandboxChain
    pool: SandboxPool
    stage: Stage
    store: Store | None = None
    """The store of the service, once it is open."""
    bounties: "Bounties | None" = None
    """Its bounties, as well."""
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def read_mails(self) -> str:
        """Where mails are read."""
        return f"{self.bank.url}/_sandbox/mails"

    @property
    def pool_config(self) -> Path:
        """The pool's configuration file."""
        return self.folder / "payouts.json"

    @property
    def town(self) -> Path:
        """Where GitHub is kept."""
        return self.folder / "github.json"


def settings_for(settings: Settings, grounds: Grounds) -> Settings:
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
            "pools": (grounds.pool_config,),
            "github_app_id": APP_ID,
            "github_private_key": SecretStr(github.private_key),
            "github_webhook_secret": SecretStr(github.secret),
            "github_url": github.url,
            "github_web_url": github.url,
            "github_client_id": CLIENT_ID,
            "github_client_secret": SecretStr(CLIENT_SECRET),
            "bounty_lane": "bot",
            "bounty_wallet": "multisig",
            "bounty_depth": DEPTH,
            "bounty_server": f"http://{settings.host}:{port}",
        }
    )


def _lanes(grounds: Grounds) -> dict[str, LaneSettings]:
    named = {"ethereum": accounts.PROVIDERS, "pool": accounts.POOL, "bot": accounts.BOT}
    played = grounds.options.scenario
    return {
        name: LaneSettings(
            rpc=(SecretStr(grounds.chain.url),),
            chain_id=CHAIN_ID,
            key_file=home.key_file(grounds.folder, name, account),
            address=account.address,
            depth=DEEPER if played in ON_ANVIL and name == "ethereum" else DEPTH,
            bump_after_s=3 if played == "stuck-nonce" else 60,
            rebroadcast_s=2 if played == "reorg" else 10,
        )
        for name, account in named.items()
    }


def write_settings(grounds: Grounds, settings: Settings) -> None:
    """Write the settings for shells, so that every command works on the sandbox while it runs."""
    key = grounds.folder / "keys" / "github.pem"
    home.write_secret(key, grounds.github.private_key)
    lanes = {name: _plain(lane) for name, lane in settings.lanes.items()}
    home.write_lines(
        grounds.folder / SETTINGS_FILE,
        {
            "PAYFLOW_DATA": str(grounds.folder),
            "PAYFLOW_BATCH_SCHEDULE": settings.batch_schedule,
            "PAYFLOW_LANES": home.as_json(lanes),
            "PAYFLOW_POOL_CONFIG": str(grounds.pool_config),
            "PAYFLOW_POOLS": str(grounds.pool_config),
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


def world_of(grounds: Grounds, address: str) -> SandboxWorld:
    roles = {name: role for name, role, _ in holders(grounds.github.town)}
    return SandboxWorld(
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
    )
