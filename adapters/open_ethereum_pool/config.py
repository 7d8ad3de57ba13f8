"""A pool's own configuration file: what its payouts module reads, and nothing that it would not."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from adapters.open_ethereum_pool import durations, json_go
from machines.core.chain import Address
from machines.core.errors import BadInput, BadSettings

MOST_GAS = 30_000_000
MOST_GAS_PRICE_WEI = 10**14
MOST_CHARGE_WEI = 10**17
MOST_SHANNON = 10**18 - 1
LEAST_GAS = 21_000
WEI = 10**9

_SYNCS = '"always", for the time of a run, or left out, to let the pool\'s Redis sync as it does'
_COIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,31}")


class Flavour(StrEnum):
    """Which pool wrote the books: forks keep a little more in them."""

    OEP = "oep"
    """open-ethereum-pool and core-pool."""
    OETC = "oetc"
    """open-etc-pool: nonce and hash of what is pending."""
    FRIENDS = "friends"
    """open-etc-pool-friends: what was kept back for the network, a threshold for each miner."""


@dataclass(frozen=True, slots=True)
class Redis:
    """Where the pool's books are."""

    endpoint: str
    database: int
    password: str
    pool_size: int
    master_name: str = ""
    """With the sentinels: the name that they know the primary by."""
    sentinels: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Redis({self.endpoint}, {self.database})"


@dataclass(frozen=True, slots=True)
class Config:
    """What the payouts module of one coin is told."""

    place: str
    coin: str
    threads: int
    redis: Redis
    require_peers: int
    interval_ns: int
    daemon: str
    timeout_s: float
    address: Address
    gas: int | None
    """None where the node, or our fee policy, decides."""
    gas_price_wei: int | None
    threshold: int
    """In Shannon."""
    reached: bool
    """Whether a balance that just reaches the threshold is paid: the document says so, the old code did not."""
    bgsave: bool
    concurrent: int
    charge_wei: int
    """What is kept back from each payment for the network's fee."""
    flavour: Flavour
    lane: str
    """The lane that pays; empty for the one with this address."""
    confirmations: int
    syncs_runs: bool
    """Whether its Redis is to sync each write for the time of a run."""

    def __repr__(self) -> str:
        return f"Config({self.place}, {self.coin})"


def load(path: Path) -> Config:
    """Read a file, or say in one sentence what is wrong with it."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{path} is no text in UTF-8.") from None
    return read(text, str(path))


def read(text: str, place: str) -> Config:
    """Read the text of a file."""
    whole = json_go.read(text, place)
    coin, payouts, own = whole.text("coin"), whole.section("payouts"), whole.section("payflow")
    if not _COIN.fullmatch(coin):
        raise BadSettings(
            f"{place}: coin must be what the pool's keys begin with, such as eth: letters and digits, "
            f"no colon. It is {coin[:40]!r}."
        )
    if not payouts.flag("enabled"):
        raise BadSettings(f"{place}: payouts.enabled is not true, so this file asks for no payouts.")
    auto_gas, flavour = payouts.flag("autoGas"), _flavour(whole, payouts, own)
    return Config(
        place=place,
        coin=coin,
        threads=whole.whole("threads", 0, 4096),
        redis=_redis(whole.section("redis")),
        require_peers=payouts.whole("requirePeers", 0, 1_000_000),
        interval_ns=_interval(payouts, "interval"),
        daemon=_daemon(payouts),
        timeout_s=_interval(payouts, "timeout") / durations.SECOND,
        address=_address(payouts),
        gas=None if auto_gas else _gas(payouts),
        gas_price_wei=None if auto_gas else payouts.quantity("gasPrice", MOST_GAS_PRICE_WEI),
        threshold=_threshold(payouts),
        reached=own.choice("threshold", {"": False, ">": False, ">=": True, "≥": True}, '">" or ">="'),
        bgsave=payouts.flag("bgsave"),
        concurrent=payouts.whole("concurrentTx", 0, 10_000) or 1,
        charge_wei=_charge(payouts),
        flavour=flavour,
        lane=own.text("lane"),
        confirmations=own.whole("confirmations", 0, 10_000),
        syncs_runs=own.choice("appendfsync", {"": False, "always": True}, _SYNCS),
    )


def _flavour(whole: json_go.Section, payouts: json_go.Section, own: json_go.Section) -> Flavour:
    """Tell the fork by what its file has and others have not, unless it is named."""
    named = own.choice("flavour", {"": None, **{str(one): one for one in Flavour}}, f"one of {', '.join(Flavour)}")
    if named is not None:
        return named
    if payouts.has("keepNwFees", "nwTxGas", "nwTxGasPrice") or whole.section("redis").has("sentinelEnabled"):
        return Flavour.FRIENDS
    return Flavour.OETC if whole.has("network") else Flavour.OEP


def _redis(redis: json_go.Section) -> Redis:
    endpoint = redis.text("endpoint")
    sentinels = redis.texts("sentinelAddrs") if redis.flag("sentinelEnabled") else ()
    if redis.flag("sentinelEnabled") and not (sentinels and redis.text("masterName")):
        raise BadSettings(f"{redis.named('sentinelEnabled')} is true: it needs masterName and sentinelAddrs too.")
    for place in sentinels or (endpoint,):
        host_and_port(place, redis.named("sentinelAddrs" if sentinels else "endpoint"))
    return Redis(
        endpoint=endpoint,
        database=redis.whole("database", 0, 100_000),
        password=redis.text("password"),
        pool_size=redis.whole("poolSize", 0, 10_000) or 10,
        master_name=redis.text("masterName") if sentinels else "",
        sentinels=sentinels,
    )


def host_and_port(place: str, name: str) -> tuple[str, int]:
    """Take `host:port` apart."""
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise BadSettings(f"{name} must be host:port, such as 127.0.0.1:6379, and is {place[:60]!r}.")
    return host.strip("[]") or "127.0.0.1", int(port)


def _interval(payouts: json_go.Section, key: str) -> int:
    nanos = durations.parse(payouts.text(key), payouts.named(key))
    if nanos <= 0:
        raise BadSettings(f"{payouts.named(key)} must be longer than nothing, and is {payouts.text(key)!r}.")
    return nanos


def _daemon(payouts: json_go.Section) -> str:
    daemon = payouts.text("daemon")
    if not daemon.startswith(("http://", "https://")):
        raise BadSettings(f"{payouts.named('daemon')} must be the URL of a node, such as http://127.0.0.1:8545.")
    return daemon


def _address(payouts: json_go.Section) -> Address:
    from adapters.addresses import typed  # noqa: PLC0415  (a quarter of a second, which `--help` has not)

    try:
        return typed(payouts.text("address"))
    except BadInput as error:
        raise BadSettings(f"{payouts.named('address')}: {error}") from None


def _gas(payouts: json_go.Section) -> int:
    gas = payouts.quantity("gas", MOST_GAS)
    if gas < LEAST_GAS:
        raise BadSettings(f"{payouts.named('gas')} is {gas}, and no payment takes less than {LEAST_GAS}.")
    return gas


def _threshold(payouts: json_go.Section) -> int:
    if not payouts.has("threshold") and payouts.has("thresholdNormal", "thresholdInactive"):
        raise BadSettings(
            f"{payouts.named('thresholdNormal')} is of the PPS fork, which Payflow does not know: "
            "set payouts.threshold, in Shannon."
        )
    return payouts.whole("threshold", 1, MOST_SHANNON)


def _charge(payouts: json_go.Section) -> int:
    if not payouts.flag("keepNwFees"):
        return 0
    gas = payouts.quantity("nwTxGas", MOST_GAS)
    charge = gas * payouts.quantity("nwTxGasPrice", MOST_GAS_PRICE_WEI)
    if charge % WEI or not 0 < charge <= MOST_CHARGE_WEI:
        raise BadSettings(
            f"{payouts.named('keepNwFees')}: nwTxGas times nwTxGasPrice is {charge} wei; "
            f"it must be whole Shannon (10^9 wei), more than none and at most {MOST_CHARGE_WEI} wei."
        )
    return charge
