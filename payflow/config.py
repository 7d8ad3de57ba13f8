"""All settings, read once from the environment and `.env`, checked together, never changed afterwards."""

import difflib
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from machines.core.errors import BadSettings

_PREFIX = "PAYFLOW_"
MOST_PORT = 65535
LEAST_SECRET = 24
"""Characters of a secret that proves webhooks: each of a list must have them; of a single one the doctor says so."""

# No gateway says how late a bank may send money back. Other networks see it after weeks, and a recall or a dispute of a
# transfer reaches back a quarter of a year. What a lane has paid is final on its chain, so rails of lanes need nothing.
RETURNS_DAYS = {"flutterwave": 90.0, "paystack": 90.0}

_HOST = r"^[a-z0-9_.-]+(:[0-9]{1,5})?$"
_Wait = Annotated[float, Field(ge=0, le=30 * 86_400)]  # less than nothing would mean never


class PollerSettings(BaseModel, frozen=True, extra="forbid"):
    """How one poller works."""

    concurrency: int = Field(default=64, ge=1, le=4096)
    """Records it works on at a time, in each worker process."""
    rate: float | None = Field(default=None, gt=0, le=100_000)
    """Looks a second over all workers together; none for no limit."""


class TokenSettings(BaseModel, frozen=True, extra="forbid"):
    """An ERC-20 token that a bounty may hold."""

    address: str
    """Its contract."""
    decimals: int = Field(ge=0, le=77)
    """How many decimals its contract counts."""
    ledger_decimals: int = Field(default=6, ge=0, le=9)
    """How many of them the ledger keeps."""


class LaneTokenSettings(BaseModel, frozen=True, extra="forbid"):
    """An ERC-20 token that a lane pays; of USDC and USDT the name is enough on chains where they are known."""

    address: str = ""
    """Its contract."""
    decimals: int | None = Field(default=None, ge=0, le=77)
    """How many decimals its contract counts."""
    ledger_decimals: int = Field(default=6, ge=0, le=9)
    """How many of them the ledger keeps."""


class CapSettings(BaseModel, frozen=True, extra="forbid"):
    """How much may be signed for, as a plain decimal such as 2.5."""

    hour: str | None = None
    """In an hour of the clock (UTC)."""
    day: str | None = None
    """In a day."""


class LaneSettings(BaseModel, frozen=True, extra="forbid"):
    """One sending address on one chain."""

    rpc: tuple[SecretStr, ...] = Field(min_length=1, max_length=8)
    """URLs of nodes, best first."""
    quorum: int = Field(default=0, ge=0, le=8)
    """How many of the nodes must say the same before it counts; 0 for a majority."""
    chain_id: int = Field(ge=1)
    """The chain that they must answer for."""
    keystore: Path | None = None
    """An encrypted key file; its password is in `password_file`."""
    password_file: Path | None = None
    """The file with the keystore's password."""
    key_file: Path | None = None
    """A file with a raw key, read where PAYFLOW_DEVELOPMENT says that nothing of worth is at stake."""
    signer: SecretStr | None = None
    """URL of a remote signer, or of a node, that signs by eth_signTransaction for `address`."""
    address: str | None = None
    """The address that the signer must sign for."""
    legacy: bool = False
    """Whether transactions have one price, for chains without EIP-1559."""
    gas_price_wei: int | None = Field(default=None, ge=1)
    """A fixed price for legacy transactions."""
    gas_limit: int | None = Field(default=None, ge=21_000)
    """A fixed gas limit for plain payments."""
    fee_percentile: int = Field(default=60, ge=1, le=99)
    """Of the tips of the last blocks."""
    tip_floor_wei: int = Field(default=100_000_000, ge=0)
    """Least tip."""
    tip_ceiling_wei: int = Field(default=20_000_000_000, ge=0)
    """Largest tip."""
    max_fee_ceiling_wei: int = Field(default=300_000_000_000, ge=1)
    """Largest price for a unit of gas, whatever happens."""
    depth: int = Field(default=12, ge=1, le=10_000)
    """Blocks, its own included, that bury a transaction before it counts."""
    finalized: bool = False
    """Whether only the chain's own finality counts."""
    in_flight: int = Field(default=64, ge=1, le=4096)
    """Transactions that may wait to be mined at a time."""
    bump_after_s: float = Field(default=90, gt=0)
    """After how long a transaction that is next in line is offered more for."""
    rebroadcast_s: float = Field(default=30, gt=0)
    """After how long bytes that no node shows are sent again."""
    pay_many: str | None = None
    """The contract that pays many in one transaction; none pays one by one."""
    batch_size: int = Field(default=100, ge=2, le=200)
    """Payments in one transaction at most."""
    batch_wait_s: float = Field(default=0, ge=0, le=86_400)
    """How long payments wait for company."""
    tokens: Mapping[str, LaneTokenSettings] = Field(default_factory=dict)
    """ERC-20 tokens by asset code, such as {"USDC": {}, "ABC": {"address": "0x…", "decimals": 18}}."""
    caps: Mapping[str, CapSettings] = Field(default_factory=dict)
    """How much it may pay, by asset, such as {"ETH": {"hour": "2", "day": "10"}}; of what is not named, anything."""
    fee_cap: CapSettings | None = None
    """How much ether it may offer for gas, better offers and what it sends for itself included."""
    explorer: str = ""
    """Where people look at a transaction: a URL to which its hash is added."""


class Settings(BaseModel):
    """What an operator can set. The names are the environment's."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)

    # The store
    redis_url: SecretStr | None = Field(default=None, alias="REDIS_URL")
    """A Redis or Valkey: redis://, rediss:// or unix://. Without it and REDIS_HOST the embedded store is used."""
    redis_host: str | None = Field(default=None, alias="REDIS_HOST")
    """Host of the Redis or Valkey, when REDIS_URL is not set."""
    redis_port: int = Field(default=6379, ge=1, le=65535, alias="REDIS_PORT")
    """Its port."""
    redis_username: str | None = Field(default=None, alias="REDIS_USERNAME")
    """Its user; `default` where it has only a password."""
    redis_password: SecretStr | None = Field(default=None, alias="REDIS_PASSWORD")
    """Its password."""
    redis_db: int = Field(default=0, ge=0, alias="REDIS_DB")
    """Its database number; a cluster has only 0."""
    redis_tls: bool = Field(default=False, alias="REDIS_TLS")
    """Whether to speak TLS to REDIS_HOST, or to the sentinels and what they watch; in REDIS_URL, rediss:// says so."""
    redis_ca_file: Path | None = Field(default=None, alias="REDIS_CA_FILE")
    """Certificates (PEM) by which the server's is checked; those of the machine when not set."""
    redis_pool_size: int = Field(default=10, ge=2, le=10_000, alias="REDIS_POOL_SIZE")
    """Most connections that one process opens."""
    redis_max_clients: int = Field(default=50, ge=2, alias="REDIS_MAX_CLIENTS")
    """Most clients that the whole installation should have; `payflow doctor` compares it with the server."""
    redis_cluster: bool = Field(default=False, alias="REDIS_CLUSTER")
    """Whether the address is a node of a cluster."""
    redis_sentinels: tuple[str, ...] = Field(default=(), alias="REDIS_SENTINELS")
    """host:port of each sentinel, separated by commas."""
    redis_sentinel_master: str = Field(default="mymaster", alias="REDIS_SENTINEL_MASTER")
    """Name that the sentinels know the primary by."""
    shards: int = Field(default=8, ge=1, le=100, alias="PAYFLOW_SHARDS")
    """Number of shards, fixed at the first start of a store."""
    fsync: Literal["always", "everysec"] = Field(default="always", alias="PAYFLOW_FSYNC")
    """How the embedded store writes to disk; with `everysec` no money leaves, its engine does not say when it did."""
    accept_weak_durability: bool = Field(default=False, alias="PAYFLOW_ACCEPT_WEAK_DURABILITY")
    """Set to true to send money although the store may forget the last second: payments may then be made twice."""
    installation: str | None = Field(default=None, pattern="^[a-z][a-z2-7]{3}$", alias="PAYFLOW_INSTALLATION")
    """Name that references carry, made at first start; to be set only where a lost store must have its old one."""
    replicas: int | None = Field(default=None, ge=0, le=8, alias="PAYFLOW_REPLICAS")
    """Replicas that must have an intent before money leaves; by default one, where any was ever seen."""
    data: Path = Field(default=Path("data"), alias="PAYFLOW_DATA")
    """Folder of the embedded store and of the sequence guard's high-water mark."""
    anchors: Path | None = Field(default=None, alias="PAYFLOW_ANCHORS")
    """File, best on another machine, that says how far the audit log is; by default it lies in PAYFLOW_DATA."""

    # Workers
    enable_workers: bool = Field(default=True, alias="ENABLE_WORKERS")
    """Whether `payflow serve` also runs workers."""
    worker_name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        min_length=1,
        max_length=64,
        alias="PAYFLOW_WORKER",
    )
    """What this worker is called in the history."""
    pollers: Mapping[str, PollerSettings] = Field(default_factory=dict, alias="PAYFLOW_POLLERS")
    """JSON: settings of single pollers, such as {"payout.PROCESSING": {"concurrency": 5, "rate": 10}}."""
    lease_s: float = Field(default=10.0, ge=1, le=600, alias="PAYFLOW_LEASE_S")
    """How long a worker may hold a record without renewing; also how long a dead worker's records wait."""
    look_limit_s: float = Field(default=300.0, ge=1, le=86_400, alias="PAYFLOW_LOOK_LIMIT_S")
    """How long one look may take; what it sent is unknown then, and is looked for."""
    grace_s: float = Field(default=20.0, ge=0, le=600, alias="PAYFLOW_GRACE_S")
    """How long a stopping worker may finish what it has begun."""
    health_line_s: float = Field(default=300.0, ge=1, alias="PAYFLOW_HEALTH_LINE_S")
    """How often the health line is logged."""
    books_check_s: float = Field(default=3600.0, ge=1, alias="PAYFLOW_BOOKS_CHECK_S")
    """How often the whole journal is read anew; one worker of all does it."""
    books_watch_s: float = Field(default=30.0, ge=1, alias="PAYFLOW_BOOKS_WATCH_S")
    """How often all accounts are compared with what was posted since, and with the records; a false one stops sends."""
    reconcile_s: float = Field(default=3600.0, ge=10, alias="PAYFLOW_RECONCILE_S")
    """How often what rails say they did is compared with our books; one worker of all does it."""

    # Payouts
    payout_worker_concurrency: int = Field(default=5, ge=1, le=4096, alias="PAYOUT_WORKER_CONCURRENCY")
    """Payouts that a worker sends or follows at a time."""
    payout_worker_rate_limit: float = Field(default=10, gt=0, alias="PAYOUT_WORKER_RATE_LIMIT")
    """Looks a second at payouts that are with a gateway, over all workers."""
    gateway_calls: float = Field(default=20, ge=0.1, le=100_000, alias="PAYFLOW_GATEWAY_CALLS")
    """Calls a second that one gateway gets from all processes and for all purposes together."""
    batch_worker_concurrency: int = Field(default=1, ge=1, le=4096, alias="BATCH_WORKER_CONCURRENCY")
    """Batch runs at a time. A run takes every payout that waits for it, so that one is enough."""
    batch_worker_rate_limit: float | None = Field(default=None, gt=0, alias="BATCH_WORKER_RATE_LIMIT")
    """Batch runs a second; with `instant`, what is approved in between opens as one batch. It slows no payout down."""
    batch_schedule: str = Field(default="0 */2 * * *", alias="PAYFLOW_BATCH_SCHEDULE")
    """When batches open: a cron expression in UTC, `instant`, or `manual`."""
    payout_rail: Literal["flutterwave", "paystack"] = Field(default="flutterwave", alias="PAYFLOW_PAYOUT_RAIL")
    """Which rail pays banks, phones and wallets where PAYFLOW_PAYOUT_RAILS says nothing; else whichever can."""
    payout_rails: Mapping[str, str] = Field(default_factory=dict, alias="PAYFLOW_PAYOUT_RAILS")
    """JSON: which rail pays a currency, or one of its methods, for all or for one platform, where another one would:
    {"GHS": "paystack", "KES bank": "flutterwave", "shop~NGN bank": "paystack"}. A payout stays with its rail."""
    payout_minimum: str = Field(default="100", alias="PAYFLOW_PAYOUT_MINIMUM")
    """Least amount of a payout in naira; other currencies as `100, 2 GHS, 0.01 ETH`; else those of the table."""
    payout_maximum: str = Field(default="5000000", alias="PAYFLOW_PAYOUT_MAXIMUM")
    """Largest amount of a payout in naira; other currencies as `5000000, 2 ETH`; else those of the table."""
    payout_caps: Mapping[str, str] = Field(default_factory=dict, alias="PAYFLOW_PAYOUT_CAPS")
    """JSON: what may leave in a day (UTC), by rail and in `all`, such as {"all": "20000000, 5 ETH"}; the rest waits."""
    payout_fee_bearer: Literal["platform", "provider"] = Field(default="platform", alias="PAYFLOW_PAYOUT_FEE_BEARER")
    """Who bears the gateway's fee; the provider's is taken off what arrives."""
    payout_most_open: int = Field(default=20, ge=0, le=100_000, alias="PAYFLOW_PAYOUT_MOST_OPEN")
    """Open payouts that one provider may have at a time; 0 for no limit."""
    payout_most_daily: int = Field(default=100, ge=0, le=100_000, alias="PAYFLOW_PAYOUT_MOST_DAILY")
    """Payouts that one provider may ask for in any 24 hours, those taken back included; 0 for no limit."""
    two_people_from: str | None = Field(default=None, alias="PAYFLOW_TWO_PEOPLE_FROM")
    """From which amounts two reviewers must approve, and any in currencies not named; `none` for never. By default
    `1000000, 0.5 ETH` and as much in other currencies, and never where an older version made the store."""
    risk: Mapping[str, int | Mapping[str, int]] = Field(default_factory=dict, alias="PAYFLOW_RISK")
    """JSON: thresholds of the risk rules that differ from their defaults, in kobo, such as {"most_units": 5000000}; of
    another currency under its code: {"GHS": {"most_units": 50000, "most_units_an_hour": 100000, "most_units_a_day":
    300000}}, in its smallest units."""
    name_review_below: int = Field(default=80, ge=0, le=100, alias="PAYFLOW_NAME_REVIEW_BELOW")
    """How far the name that a bank gives must fit the one in a request, from 0 to 100, for nobody to look at it."""
    name_hold_below: int = Field(default=40, ge=0, le=100, alias="PAYFLOW_NAME_HOLD_BELOW")
    """Below this it is somebody else's account: two people must say yes, whatever the amount."""
    retry_after_s: tuple[_Wait, ...] = Field(default=(600, 3600, 21600), max_length=10, alias="PAYFLOW_RETRY_AFTER_S")
    """Seconds before each retry that happens by itself, separated by commas."""
    settle_window_s: _Wait = Field(default=120, alias="PAYFLOW_SETTLE_WINDOW_S")
    """How long a gateway may take to show what it accepted."""
    watch_days: float = Field(default=7, ge=0, le=3650, alias="PAYFLOW_WATCH_DAYS")
    """How long finished payouts are watched for reversals, at least; longer where `PAYFLOW_RETURNS_DAYS` says so."""
    returns_days: Mapping[str, float] = Field(default_factory=lambda: dict(RETURNS_DAYS), alias="PAYFLOW_RETURNS_DAYS")
    """JSON: for each rail, how many days after its end a payout may still come back; until then it is not archived."""
    seal_keys: SecretStr | None = Field(default=None, alias="PAYFLOW_SEAL_KEYS")
    """Keys that encrypt destinations, the newest first, separated by commas; the embedded store has one of its own."""
    approval_keys: SecretStr | None = Field(default=None, alias="PAYFLOW_APPROVAL_KEYS")
    """Keys that seal what people approve, the newest first, for every process; by default made of PAYFLOW_SEAL_KEYS."""
    permit_keys: SecretStr | None = Field(default=None, alias="PAYFLOW_PERMIT_KEYS")
    """Keys that permit what is sent, the newest first, for workers and `payflow pool run` alone, and never the API."""
    backup_keys: SecretStr | None = Field(default=None, alias="PAYFLOW_BACKUP_KEYS")
    """Keys that encrypt backups and archives and prove them ours, the newest first; none leaves them in clear."""
    receipt_keys: SecretStr | None = Field(default=None, alias="PAYFLOW_RECEIPT_KEYS")
    """Keys that sign receipts, the newest first, separated by commas; by default they come from the seal keys. Of a
    retired one leave `public:` and the 64 digits that /.well-known/payflow-keys.json says."""
    fingerprint_key: SecretStr | None = Field(default=None, alias="PAYFLOW_FINGERPRINT_KEY")
    """The key by which requests and destinations are compared; by default it comes from the oldest of the seal keys."""

    # Gateways
    flutterwave_version: Literal["v3", "v4"] = Field(default="v3", alias="FLUTTERWAVE_VERSION")
    """Which API of Flutterwave the account is switched to."""
    flutterwave_url: str = Field(default="https://api.flutterwave.com/v3", alias="FLUTTERWAVE_URL")
    """Where its API is; v4 has other hosts, see its pages."""
    flutterwave_secret_key: SecretStr | None = Field(default=None, alias="FLUTTERWAVE_SECRET_KEY")
    """The secret key of v3. With it, or the client of v4, payouts through Flutterwave are set up."""
    flutterwave_test_marker: str = Field(default="", pattern=r"^(_PMCK[A-Z_0-9]*)?$", alias="FLUTTERWAVE_TEST_MARKER")
    """At the end of each reference, such as `_PMCKDU_1`: how transfers of v3's test mode end. Never with a live key."""
    flutterwave_client_id: str | None = Field(default=None, alias="FLUTTERWAVE_CLIENT_ID")
    """The client of v4."""
    flutterwave_client_secret: SecretStr | None = Field(default=None, alias="FLUTTERWAVE_CLIENT_SECRET")
    """Its secret."""
    flutterwave_token_url: str = Field(
        default="https://idp.flutterwave.com/realms/flutterwave/protocol/openid-connect/token",
        alias="FLUTTERWAVE_TOKEN_URL",
    )
    """Where v4 gives tokens."""
    flutterwave_webhook_hash: SecretStr | None = Field(default=None, alias="FLUTTERWAVE_WEBHOOK_HASH")
    """The secret hash of its dashboard, or several, newest first; without one payouts are finished by polling."""
    paystack_url: str = Field(default="https://api.paystack.co", alias="PAYSTACK_URL")
    """Where Paystack's API is."""
    paystack_secret_key: SecretStr | None = Field(default=None, alias="PAYSTACK_SECRET_KEY")
    """Its secret key, which signs its webhooks too, with an old one behind a comma. With it Paystack is set up."""

    # Chains
    lanes: Mapping[str, LaneSettings] = Field(default_factory=dict, alias="PAYFLOW_LANES")
    """JSON: the sending addresses by name; the one called `ethereum` pays providers. See deploy/operations/lanes.md."""
    pool_config: Path = Field(default=Path("payouts.json"), alias="PAYFLOW_POOL_CONFIG")
    """The configuration file of a mining pool, for `payflow pool` where none is named."""
    pools: tuple[Path, ...] = Field(default=(), alias="PAYFLOW_POOLS")
    """Configuration files of the mining pools that the dashboard shows, separated by commas; it runs none of them."""

    # Bounties
    github_app_id: str | None = Field(default=None, alias="GITHUB_APP_ID")
    """The number of the GitHub App. With it, its key and PAYFLOW_BOUNTY_LANE bounties are set up."""
    github_private_key: SecretStr | None = Field(default=None, alias="GITHUB_PRIVATE_KEY")
    """Its private key, as PEM; best given as GITHUB_PRIVATE_KEY_FILE."""
    github_webhook_secret: SecretStr | None = Field(default=None, alias="GITHUB_WEBHOOK_SECRET")
    """The secret that signs its deliveries, or several, newest first; without it they are refused."""
    github_webhook_sha1: bool = Field(default=False, alias="GITHUB_WEBHOOK_SHA1")
    """Whether a delivery that carries only the old SHA-1 signature is taken, as from an old GitHub Enterprise."""
    github_url: str = Field(default="https://api.github.com", alias="GITHUB_URL")
    """Where GitHub's API is."""
    github_client_id: str | None = Field(default=None, alias="GITHUB_CLIENT_ID")
    """The app's client id: with it and its secret people may sign in with GitHub at /bounties."""
    github_client_secret: SecretStr | None = Field(default=None, alias="GITHUB_CLIENT_SECRET")
    """Its secret."""
    github_web_url: str = Field(default="https://github.com", alias="GITHUB_WEB_URL")
    """Where people sign in at GitHub."""
    bounty_lane: str = Field(default="", alias="PAYFLOW_BOUNTY_LANE")
    """The lane of the bot, by its name in PAYFLOW_LANES; its address is an owner of every wallet."""
    bounty_server: str = Field(default="http://127.0.0.1:8080", alias="PAYFLOW_BOUNTY_SERVER")
    """Where people reach Payflow, as comments and signed messages name it."""
    bounty_label: str = Field(default="bounty", min_length=1, max_length=50, alias="PAYFLOW_BOUNTY_LABEL")
    """The label that makes an issue a bounty."""
    bounty_wallet: Literal["safe", "multisig"] = Field(default="safe", alias="PAYFLOW_BOUNTY_WALLET")
    """Which kind of wallet is made for a bounty."""
    bounty_depth: int = Field(default=12, ge=1, le=10_000, alias="PAYFLOW_BOUNTY_DEPTH")
    """Blocks, its own included, that bury a maintainer's transaction before it counts."""
    bounty_threshold: int = Field(default=2, ge=2, le=9, alias="PAYFLOW_BOUNTY_THRESHOLD")
    """How many owners of a wallet must agree; the bot is one of them."""
    bounty_recovery: str = Field(default="", alias="PAYFLOW_BOUNTY_RECOVERY")
    """Address of one more owner of every wallet, kept offline, so that one lost key freezes nothing."""
    bounty_tokens: Mapping[str, TokenSettings] = Field(default_factory=dict, alias="PAYFLOW_BOUNTY_TOKENS")
    """JSON: the tokens that count as money of a bounty, by symbol, each with `address` and `decimals`."""
    bounty_address_days: float = Field(default=30, gt=0, alias="PAYFLOW_BOUNTY_ADDRESS_DAYS")
    """How long a winner may take to save an address before a maintainer may name another winner."""
    bounty_cool_off_days: float = Field(default=7, ge=1, alias="PAYFLOW_BOUNTY_COOL_OFF_DAYS")
    """After how long an address counts that a contributor saved without a signature; a first signed one at once."""
    bounty_replace_days: float = Field(default=3, ge=1, alias="PAYFLOW_BOUNTY_REPLACE_DAYS")
    """After how long a signed address takes the place of a signed one, unless that one signs that it gives way."""
    bounty_remind_days: float = Field(default=3, gt=0, alias="PAYFLOW_BOUNTY_REMIND_DAYS")
    """How often a winner without an address is reminded."""
    bounty_sweep_hours: float = Field(default=6, gt=0, alias="PAYFLOW_BOUNTY_SWEEP_HOURS")
    """How often an unfinished bounty's issue and pull requests are read, because deliveries get lost."""
    bounty_most_open: int = Field(default=100, ge=1, le=500, alias="PAYFLOW_BOUNTY_MOST_OPEN")
    """Unfinished bounties that one repository may have."""
    bounty_explorer: str = Field(default="https://etherscan.io", alias="PAYFLOW_BOUNTY_EXPLORER")
    """Where people look at addresses and transactions."""
    # The canonical addresses of safe-deployments, v1.4.1.
    safe_factory: str = Field(default="0x4e1DCf7AD4e460CfD30791CCC4F9c8a4f820ec67", alias="PAYFLOW_SAFE_FACTORY")
    """Safe's proxy factory, of version 1.4 or later; the default is 1.4.1's, at one address on most chains."""
    safe_singleton: str = Field(default="0x41675C099F32341bf84BFc5382aF534df5C7461a", alias="PAYFLOW_SAFE_SINGLETON")
    """Safe's singleton, as above; SafeL2, which tells indexers more, does as well."""
    safe_multi_send: str = Field(default="0x9641d764fc13c8B624c04430C7356C1C7C8102e2", alias="PAYFLOW_SAFE_MULTI_SEND")
    """Safe's MultiSendCallOnly, as above."""

    # Trying things out
    development: bool = Field(default=False, alias="PAYFLOW_DEVELOPMENT")
    """Whether this installation is for trying things out: keys of lanes may lie unencrypted in a `key_file` then."""

    # Telling people
    reviewers: tuple[str, ...] = Field(default=(), alias="PAYFLOW_REVIEWERS")
    """Where reviewers are told that something waits: apprise URLs (mail, push, chat), separated by commas."""
    review_digest_s: float = Field(default=300, ge=0, le=86_400, alias="PAYFLOW_REVIEW_DIGEST_S")
    """Reviewers get one letter for what came within so many seconds after the last one; 0 for one each."""
    platform_webhooks: Mapping[str, Mapping[str, str]] = Field(default_factory=dict, alias="PAYFLOW_PLATFORM_WEBHOOKS")
    """JSON: for each platform the `url` that hears of its payouts and the `secret` that signs what it hears."""

    mail: SecretStr | None = Field(default=None, alias="PAYFLOW_MAIL")
    """Our mail server as an Apprise URL, such as mailtos://user:password@smtp.example.com?from=pay@example.com."""
    webhook_networks: tuple[IPvAnyNetwork, ...] = Field(default=(), alias="PAYFLOW_WEBHOOK_NETWORKS")
    """Networks of your own that platforms' webhooks may go to, separated by commas; else to public addresses alone."""
    webhooks_to_loopback: bool = Field(default=False, alias="PAYFLOW_WEBHOOKS_TO_LOOPBACK")
    """Whether a platform's webhook may go to http:// on this machine, for trying things out."""

    # The API
    host: str = Field(default="127.0.0.1", alias="PAYFLOW_HOST")
    """Address to listen on."""
    port: int = Field(default=8080, ge=0, le=65535, alias="PAYFLOW_PORT")
    """Port to listen on; 0 picks a free one."""
    public_url: str = Field(default="", pattern=r"^(https?://[a-z0-9.-]+(:[0-9]{1,5})?)?$", alias="PAYFLOW_PUBLIC_URL")
    """Where people reach the pages, such as https://pay.example.com; by default http://localhost and the port."""
    hosts: tuple[Annotated[str, Field(pattern=_HOST)], ...] = Field(default=(), alias="PAYFLOW_HOSTS")
    """Names that callers may know us by, as name or name:port, behind commas; by default only pages look at it."""
    probe_port: int | None = Field(default=None, ge=0, le=65535, alias="PAYFLOW_PROBE_PORT")
    """A port for machines that watch: /metrics, /healthz, all of /readyz. Without it PAYFLOW_PORT shows them too."""
    worker_port: int | None = Field(default=None, ge=0, le=65535, alias="PAYFLOW_WORKER_PORT")
    """The former name of PAYFLOW_PROBE_PORT, which `payflow worker` still reads."""
    security_contact: str = Field(default="", pattern=r"^((mailto:|https://)\S+)?$", alias="PAYFLOW_SECURITY_CONTACT")
    """Whom people tell of a hole, as mailto: or https:// address: shown at /.well-known/security.txt."""
    session_idle_s: int = Field(default=3600, ge=60, le=28_800, alias="PAYFLOW_SESSION_IDLE_S")
    """After so many seconds in which nobody did anything a session of the pages ends; after 8 hours each one does."""
    api_rate: float = Field(default=50, gt=0, le=100_000, alias="PAYFLOW_API_RATE")
    """Requests a second that one API token may make, over all processes."""
    api_address_rate: float = Field(default=100, gt=0, le=100_000, alias="PAYFLOW_API_ADDRESS_RATE")
    """Requests a second from one address of those who show no token or session that holds, over all processes."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(default=(), alias="PAYFLOW_TRUSTED_PROXIES")
    """Networks of the proxies whose X-Forwarded-For is believed, separated by commas; by default nobody's is."""

    # Signing in by an identity provider (OpenID Connect)
    oidc_issuer: str = Field(default="", pattern=r"^(https?://[^\s?#]+)?$", alias="PAYFLOW_OIDC_ISSUER")
    """The provider's own name for itself, such as https://login.example.com/realms/staff, exactly as it writes it."""
    oidc_client_id: str = Field(default="", alias="PAYFLOW_OIDC_CLIENT_ID")
    """Who we are to it; it must lead people back to /admin/sign-in/issuer/back at PAYFLOW_PUBLIC_URL."""
    oidc_client_secret: SecretStr | None = Field(default=None, alias="PAYFLOW_OIDC_CLIENT_SECRET")
    """By which we prove that; better in a file, named by PAYFLOW_OIDC_CLIENT_SECRET_FILE."""
    oidc_scopes: str = Field(default="openid email profile", alias="PAYFLOW_OIDC_SCOPES")
    """What we ask it for; some name the groups of people only to who asks for `groups` as well."""
    oidc_roles: Mapping[str, Literal["viewer", "reviewer", "operator"]] = Field(
        default_factory=dict, alias="PAYFLOW_OIDC_ROLES"
    )
    """JSON: group -> role. With it, groups say at each sign-in what people may be, and who is new becomes a person."""
    oidc_limits: Mapping[str, str] = Field(default_factory=dict, alias="PAYFLOW_OIDC_LIMITS")
    """JSON: asset -> the most that one approval of somebody who became a person like that may be about."""
    oidc_groups_claim: str = Field(default="groups", min_length=1, alias="PAYFLOW_OIDC_GROUPS_CLAIM")
    """The claim that names the groups, or its path, such as realm_access.roles."""
    oidc_name_claim: str = Field(default="email", min_length=1, alias="PAYFLOW_OIDC_NAME_CLAIM")
    """The claim that names who becomes a person; `email` counts only where the provider has checked it."""

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", alias="PAYFLOW_LOG_LEVEL")
    """Least level that is written."""
    log_format: Literal["json", "text"] = Field(default="json", alias="PAYFLOW_LOG_FORMAT")
    """JSON for machines, text for a terminal."""

    # The command line
    token: SecretStr | None = Field(default=None, alias="PAYFLOW_TOKEN")
    """The token of the person who types commands here; better in a file, named by PAYFLOW_TOKEN_FILE."""

    @field_validator("redis_url")
    @classmethod
    def _is_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("redis", "rediss", "unix"):
                raise ValueError("write redis://host:port/db, rediss://… for TLS, or unix:///path")
            _ = parts.port  # raises ValueError for a port that is none
        return value

    @field_validator("oidc_client_secret")
    @classmethod
    def _goes_with_an_issuer(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        given = (info.data.get("oidc_issuer"), info.data.get("oidc_client_id"), value)
        if any(given) and not all(given):
            raise ValueError("PAYFLOW_OIDC_ISSUER, PAYFLOW_OIDC_CLIENT_ID and a secret go together: set all, or none")
        return value

    @field_validator("oidc_scopes")
    @classmethod
    def _asks_who_it_is(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("without `openid` the provider says of nobody who they are: put it first")
        return value

    @field_validator("redis_tls")
    @classmethod
    def _agrees_with_the_address(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001  (pydantic calls it)
        url = info.data.get("redis_url")
        if value and url is not None and not _says_tls(url):
            raise ValueError("REDIS_URL speaks no TLS: write rediss:// there")
        return value

    @field_validator("redis_ca_file")
    @classmethod
    def _checks_something(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}")
        if value is not None and not (info.data.get("redis_tls") or _says_tls(info.data.get("redis_url"))):
            raise ValueError("nothing is checked by it without TLS: set REDIS_TLS, or write rediss:// in REDIS_URL")
        return value

    @field_validator("redis_sentinels")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for address in value:
            host, _, port = address.partition(":")
            if not host or (port and not (port.isdigit() and 0 < int(port) <= MOST_PORT)):
                raise ValueError(f"{address!r} is no host:port")
        if value and _says_tls(info.data.get("redis_url")) and not info.data.get("redis_tls"):
            raise ValueError("REDIS_URL is not read behind sentinels, nor its rediss://: set REDIS_TLS")
        return value

    @field_validator(
        "redis_sentinels", "retry_after_s", "trusted_proxies", "webhook_networks", "reviewers", "pools", "hosts",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator(
        "pollers",
        "risk",
        "lanes",
        "bounty_tokens",
        "platform_webhooks",
        "returns_days",
        "payout_caps",
        "payout_rails",
        "oidc_roles",
        "oidc_limits",
        mode="before",
    )
    @classmethod
    def _parse(cls, value: object) -> object:
        return json.loads(value or "{}") if isinstance(value, str) else value

    _files: tuple[Path, ...] = PrivateAttr(())

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold settings: `.env`, and each that a name with _FILE gave."""
        return self._files

    @property
    def embedded(self) -> bool:
        """Whether Payflow runs its own store."""
        return not (self.redis_url or self.redis_host or self.redis_sentinels)

    @property
    def url(self) -> str:
        """Where the store is, with its password: never to be shown."""
        if self.redis_url:
            return self.redis_url.get_secret_value()
        user = quote(self.redis_username or "", safe="")
        password = self.redis_password.get_secret_value() if self.redis_password else ""
        login = f"{user}:{quote(password, safe='')}@" if password else ""
        scheme = "rediss" if self.redis_tls else "redis"
        return f"{scheme}://{login}{self.redis_host}:{self.redis_port}/{self.redis_db}"

    @property
    def pages_at(self) -> str:
        """Where people reach the pages."""
        return self.public_url or f"http://localhost:{self.port}"

    @property
    def names(self) -> frozenset[str]:
        """The names that all of us answers to, the pages' own among them; none where any name will do."""
        own = (urlsplit(url).netloc for url in (self.public_url, self.bounty_server))
        return frozenset({*self.hosts, *filter(None, own)} if self.hosts else ())

    @property
    def store_tls(self) -> bool:
        """Whether the store is spoken to over TLS."""
        return self.redis_tls or _says_tls(self.redis_url)


def _says_tls(url: SecretStr | None) -> bool:
    return url is not None and url.get_secret_value().startswith("rediss://")


def live_secrets(value: SecretStr | None) -> tuple[str, ...]:
    """Give the secrets that a setting names, the newest first: several while one takes the place of another.

    Whatever is no list of long ones is one secret, commas and all: what was set before there were lists goes on.
    """
    text = value.get_secret_value() if value else ""
    parts = tuple(part.strip() for part in text.split(","))
    return parts if all(len(part) >= LEAST_SECRET for part in parts) else (text,) if text else ()


NAMES: Mapping[str, str] = {field.alias or name: name for name, field in Settings.model_fields.items()}


def load(environ: Mapping[str, str] | None = None, **changes: Any) -> Settings:
    """Read the settings from the environment, then from `.env`; every problem is reported at once."""
    files = [Path(".env")] if environ is None else []
    if environ is None:
        from_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
        environ = from_file | dict(os.environ)
    problems = [_unknown(name) for name in environ if name.startswith(_PREFIX) and _known(name) is None]
    given: dict[str, Any] = {name: value for name, value in environ.items() if name in NAMES and value != ""}
    problems += _take_files(environ, given)
    given |= {Settings.model_fields[name].alias or name: value for name, value in changes.items()}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems += [_sentence(dict(detail)) for detail in error.errors(include_url=False, include_input=False)]
        raise BadSettings(_listed(problems)) from None
    if problems:
        raise BadSettings(_listed(problems))
    files += [Path(environ[f"{alias}_FILE"]) for alias in NAMES if f"{alias}_FILE" in environ]
    settings._files = tuple(file for file in files if file.exists())  # noqa: SLF001  (they are no setting)
    return settings


def _known(name: str) -> str | None:
    return NAMES.get(name.removesuffix("_FILE")) or NAMES.get(name)


def _take_files(environ: Mapping[str, str], given: dict[str, Any]) -> list[str]:
    """Read each setting that is given as `<NAME>_FILE`; list what cannot be read."""
    problems = []
    for alias in NAMES:
        path = environ.get(f"{alias}_FILE")
        if path is None:
            continue
        if alias in given:
            problems.append(f"{alias} and {alias}_FILE are both set: keep one.")
        try:
            given[alias] = Path(path).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{alias}_FILE: {path} cannot be read ({type(error).__name__}): put the value there.")
    return problems


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else "remove it, or see .env.example for all names."
    return f"{name} is not a setting: {hint}"


def _sentence(detail: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    return f"{name}: {detail['msg'].removeprefix('Value error, ').rstrip('.')}."


def _listed(problems: list[str]) -> str:
    return "The settings cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems)
