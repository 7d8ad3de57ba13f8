"""Where everything of a sandbox is, and the settings that lead Payflow there."""

import json
from collections.abc import Sequence
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
    from payflow.desk.reconcile.reconciler import Reconciler

SCENARIO_NAMES = ("default", "none", "gateway-outage", "fraud-spike", "discrepancies", "reorg", "stuck-nonce")
"""Named here as well as where they are played, which takes the chain's libraries: `--help` must be quick."""
ON_ANVIL = ("reorg", "stuck-nonce")

CHAIN_ID = 31337
ADDRESSES = {
    "ethereum lane": accounts.PROVIDERS.address,
    "pool lane": accounts.POOL.address,
    "bot lane": accounts.BOT.address,
    "maintainer": accounts.MAINTAINER.address,
    "contributor": accounts.CONTRIBUTOR.address,
    "funder": accounts.FUNDER.address,
}
DEPTH = 2
DEEPER = 6
"""Where blocks are played with, there must be time to see it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox is started."""

    fresh: bool = False
    scenario: str = "default"


@dataclass
class SandboxWorld:
    """What runs around Payflow, and where everything is."""

    folder: Path
    options: Options
    bank: FlutterwaveSimulator
    mails: MailSink
    github: GitHubSimulator
    chain: SandboxChain
    pool: SandboxPool
    stage: Stage
    address: str = ""
    """Where Payflow is, once it serves."""
    notices: Sequence[str] = ()
    """What a person should know of how it started."""
    store: Store | None = None
    """The store of the service, once it is open."""
    bounties: "Bounties | None" = None
    """Its bounties, as well."""
    reconciler: "Reconciler | None" = None
    """What compares its books with what rails say."""
    tokens: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """For everybody who works here, an address that signs them in once."""

    @property
    def people(self) -> dict[str, tuple[Role, str]]:
        """Everybody who has a token, each with role and token."""
        return {name: (role, self.tokens[name.upper()]) for name, role, _ in holders(self.github.town)}

    @property
    def tokens_file(self) -> Path:
        """The tokens, for shells."""
        return self.folder / TOKENS_FILE

    @property
    def settings_file(self) -> Path:
        """The settings, for shells."""
        return self.folder / SETTINGS_FILE

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


def settings_for(settings: Settings, world: SandboxWorld) -> Settings:
    """Lead Payflow into the simulated world."""
    bank, github = world.bank, world.github
    port = settings.port or free_port()  # comments and signed messages name it, so it must be known before
    return settings.model_copy(
        update={
            "data": world.folder,
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
            "mail": SecretStr(world.mails.url),
            "reviewers": ("mailto:reviewers@sandbox.example",),
            "webhooks_to_loopback": True,
            "development": True,
            "lanes": _lanes(world),
            "pool_config": world.pool_config,
            "pools": (world.pool_config,),
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


def _lanes(world: SandboxWorld) -> dict[str, LaneSettings]:
    named = {"ethereum": accounts.PROVIDERS, "pool": accounts.POOL, "bot": accounts.BOT}
    played = world.options.scenario
    return {
        name: LaneSettings(
            rpc=(SecretStr(world.chain.url),),
            chain_id=CHAIN_ID,
            key_file=home.key_file(world.folder, name, account),
            address=account.address,
            depth=DEEPER if played in ON_ANVIL and name == "ethereum" else DEPTH,
            bump_after_s=3 if played == "stuck-nonce" else 60,
            rebroadcast_s=2 if played == "reorg" else 10,
        )
        for name, account in named.items()
    }


def write_settings(world: SandboxWorld, settings: Settings) -> None:
    """Write the settings for shells, so that every command works on the sandbox while it runs."""
    key = world.folder / "keys" / "github.pem"
    home.write_secret(key, world.github.private_key)
    lanes = {
        name: {
            "rpc": [url.get_secret_value() for url in lane.rpc],
            "chain_id": lane.chain_id,
            "key_file": str(lane.key_file),
            "address": lane.address,
            "depth": lane.depth,
        }
        for name, lane in settings.lanes.items()
    }
    home.write_lines(
        world.settings_file,
        {
            "PAYFLOW_DATA": str(world.folder),
            "PAYFLOW_PUBLIC_URL": settings.pages_at,
            "PAYFLOW_DEVELOPMENT": "true",
            "PAYFLOW_BATCH_SCHEDULE": settings.batch_schedule,
            "PAYFLOW_LANES": json.dumps(lanes, separators=(",", ":")),
            "PAYFLOW_POOL_CONFIG": str(world.pool_config),
            "PAYFLOW_POOLS": str(world.pool_config),
            "FLUTTERWAVE_URL": settings.flutterwave_url,
            "FLUTTERWAVE_SECRET_KEY": world.bank.keys.secret_key,
            "GITHUB_APP_ID": APP_ID,
            "GITHUB_PRIVATE_KEY_FILE": str(key),
            "GITHUB_URL": settings.github_url,
            "PAYFLOW_BOUNTY_LANE": settings.bounty_lane,
            "PAYFLOW_BOUNTY_WALLET": settings.bounty_wallet,
            "PAYFLOW_BOUNTY_DEPTH": str(settings.bounty_depth),
            "PAYFLOW_BOUNTY_SERVER": settings.bounty_server,
        },
    )
