"""The pool's own file: every key, as a Go program reads it; and one clear sentence for what cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.open_ethereum_pool import config, durations
from adapters.open_ethereum_pool.config import Flavour
from machines.core.errors import BadSettings

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

SAMPLE = """
// The sample of the project, with its comments.
{
  "threads": 4, /* workers
                   of the proxy */
  "coin": "eth",
  "name": "main",
  "proxy": {"enabled": false, "listen": "0.0.0.0:8888"}, // not ours
  "redis": {"endpoint": "127.0.0.1:6379", "poolSize": 10, "database": 2, "password": "a // no comment"},
  "payouts": {
    "enabled": true,
    "requirePeers": 25,
    "interval": "12h",
    "daemon": "http://user:secret@127.0.0.1:8545",
    "timeout": "10s",
    "address": "%s",
    "gas": "21000",
    "gasPrice": "50000000000",
    "autoGas": false,
    "threshold": 500000000,
    "bgsave": true
  },
  "newrelicEnabled": false
}
and what comes after the first value is not read
"""


def with_payouts(**changes: Any) -> str:
    """The sample with other payouts settings; None takes a key away."""
    whole = json.loads(config_text())
    whole["payouts"] = {key: value for key, value in (whole["payouts"] | changes).items() if value is not None}
    return json.dumps(whole)


def with_top(**changes: Any) -> str:
    """The sample with other settings at the top."""
    return json.dumps(json.loads(config_text()) | changes)


def config_text() -> str:
    """The sample without its comments."""
    text = (SAMPLE % ADDRESS).split("and what comes after")[0]
    for comment in ("// The sample of the project, with its comments.", "// not ours"):
        text = text.replace(comment, "")
    start, end = text.index("/*"), text.index("*/") + 2
    return text[:start] + text[end:]


def test_the_sample_is_read_with_its_comments() -> None:
    read = config.read(SAMPLE % ADDRESS, "payouts.json")
    assert (read.coin, read.threads, read.require_peers, read.threshold, read.bgsave) == (
        "eth",
        4,
        25,
        500_000_000,
        True,
    )
    assert (read.interval_ns, read.timeout_s) == (12 * 3600 * 10**9, 10.0)
    assert (read.address, read.gas, read.gas_price_wei) == (ADDRESS, 21_000, 50_000_000_000)
    assert (read.redis.endpoint, read.redis.database, read.redis.password) == ("127.0.0.1:6379", 2, "a // no comment")
    assert (read.concurrent, read.charge_wei, read.flavour, read.reached) == (1, 0, Flavour.OEP, False)


def test_no_secret_is_shown() -> None:
    assert "secret" not in repr(config.read(SAMPLE % ADDRESS, "payouts.json"))
    assert "comment" not in repr(config.read(SAMPLE % ADDRESS, "payouts.json").redis)


def test_keys_are_found_whatever_their_case_and_null_is_zero() -> None:
    text = config_text().replace('"requirePeers": 25', '"REQUIREPEERS": 7, "concurrentTx": null')
    read = config.read(text, "payouts.json")
    assert (read.require_peers, read.concurrent) == (7, 1)


def test_the_node_decides_about_gas_where_the_file_says_so() -> None:
    read = config.read(with_payouts(autoGas=True, gas="nonsense", gasPrice=None), "x")
    assert (read.gas, read.gas_price_wei) == (None, None)


@pytest.mark.parametrize("gas", ["21000", "0x5208", " 21000 "])
def test_gas_is_decimal_or_hexadecimal(gas: str) -> None:
    assert config.read(with_payouts(gas=gas), "x").gas == 21_000


@pytest.mark.parametrize(
    ("text", "flavour"),
    [
        (with_top(), Flavour.OEP),
        (with_top(network="classic"), Flavour.OETC),
        (with_payouts(keepNwFees=False), Flavour.FRIENDS),
        (with_top(redis={"sentinelEnabled": False, "endpoint": "127.0.0.1:6379"}), Flavour.FRIENDS),
        (with_top(network="classic", payflow={"flavour": "oep"}), Flavour.OEP),
    ],
)
def test_the_fork_is_told_by_its_keys_or_by_name(text: str, flavour: Flavour) -> None:
    assert config.read(text, "x").flavour is flavour


def test_fees_that_are_kept_back_are_counted_in_wei() -> None:
    read = config.read(with_payouts(keepNwFees=True, nwTxGas="21000", nwTxGasPrice="1000000000"), "x")
    assert read.charge_wei == 21_000 * 10**9


def test_sentinels_need_a_name_and_addresses() -> None:
    redis = {"sentinelEnabled": True, "masterName": "pool", "sentinelAddrs": ["127.0.0.1:26379"]}
    assert config.read(with_top(redis=redis), "x").redis.sentinels == ("127.0.0.1:26379",)
    with pytest.raises(BadSettings, match="masterName"):
        config.read(with_top(redis=redis | {"masterName": ""}), "x")


BAD: dict[str, tuple[str, str]] = {
    "no json": ("{", "is no JSON: .* in line 1"),
    "not an object": ("[]", "one object"),
    "nested": ("[" * 100_000, "is no JSON"),
    "no coin": (with_top(coin=""), "coin must be what the pool's keys begin with"),
    "a colon in the coin": (with_top(coin="a:b"), "no colon"),
    "not enabled": (with_payouts(enabled=False), "payouts.enabled is not true"),
    "interval": (with_payouts(interval="2 hours"), "payouts.interval: '2 hours' is no duration as Go writes it"),
    "no interval": (with_payouts(interval=None), "payouts.interval"),
    "no time between": (with_payouts(interval="0s"), "longer than nothing"),
    "backwards": (with_payouts(interval="-5m"), "longer than nothing"),
    "no timeout": (with_payouts(timeout=""), "payouts.timeout"),
    "a wrong checksum": (with_payouts(address=ADDRESS.replace("f39F", "f39f")), "wrong checksum"),
    "the sample's address": (with_payouts(address="0x0"), "no address"),
    "nobody": (with_payouts(address="0x" + "0" * 40), "nobody's"),
    "a threshold of zero": (with_payouts(threshold=0), "payouts.threshold must be from 1"),
    "a threshold below": (with_payouts(threshold=-5), "payouts.threshold must be from 1"),
    "a threshold as text": (with_payouts(threshold="5"), "whole number without quotes"),
    "half a Shannon": (with_payouts(threshold=0.5), "whole number"),
    "the PPS fork": (with_payouts(threshold=None, thresholdNormal=5), "PPS fork"),
    "true for a number": (with_payouts(requirePeers=True), "whole number"),
    "a number for true": (with_payouts(bgsave=1), "true or false"),
    "gas as a number": (with_payouts(gas=21_000), "a string in quotes"),
    "too little gas": (with_payouts(gas="20999"), "no payment takes less"),
    "a price that cannot be meant": (with_payouts(gasPrice="50000000000000000000"), "cannot be meant"),
    "no node": (with_payouts(daemon="127.0.0.1:8545"), "URL of a node"),
    "no redis": (with_top(redis={}), "host:port"),
    "redis as text": (with_top(redis="127.0.0.1"), "object in braces"),
    "kept back, but nothing": (with_payouts(keepNwFees=True, nwTxGas="0", nwTxGasPrice="5"), "keepNwFees"),
    "kept back in part": (with_payouts(keepNwFees=True, nwTxGas="21000", nwTxGasPrice="1"), "whole Shannon"),
    "kept back without a price": (with_payouts(keepNwFees=True, nwTxGas="21000"), "nwTxGasPrice"),
    "a flavour that is none": (with_top(payflow={"flavour": "vanilla"}), "must be one of"),
    "a comparison that is none": (with_top(payflow={"threshold": "=>"}), '">" or ">="'),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=list(BAD))
def test_what_cannot_be_used_is_named_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(BadSettings, match=words) as caught:
        config.read(text, "payouts.json")
    assert str(caught.value).startswith("payouts.json")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot be read"):
        config.load(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSettings, match="UTF-8"):
        config.load(tmp_path / "bytes.json")


@pytest.mark.parametrize(
    ("text", "nanos", "written"),
    [
        ("120m", 7_200 * 10**9, "2h0m0s"),
        ("12h", 43_200 * 10**9, "12h0m0s"),
        ("1h30m", 5_400 * 10**9, "1h30m0s"),
        ("1.5h", 5_400 * 10**9, "1h30m0s"),
        ("1m5.25s", 65_250 * 10**6, "1m5.25s"),
        ("300ms", 300 * 10**6, "300ms"),
        ("1us", 1_000, "1µs"),
        ("7ns", 7, "7ns"),
        ("0", 0, "0s"),
        ("-1.5s", -1_500 * 10**6, "-1.5s"),
        (".5s", 500 * 10**6, "500ms"),
    ],
)
def test_durations_are_read_and_written_as_go_does(text: str, nanos: int, written: str) -> None:
    assert durations.parse(text, "x") == nanos
    assert durations.write(nanos) == written


@pytest.mark.parametrize("text", ["", "1", "m", "1x", "1 h", "h1", "1h-2m", "٣h", "1e3s", "9999999999h", "--1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadSettings, match="no duration"):
        durations.parse(text, "x")
