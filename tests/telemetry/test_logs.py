"""Logs: a sentence for people, an action for machines, and nothing secret, whatever put it there."""

import json
import subprocess
import sys

import pytest

from payflow.telemetry.logs import redact, redacted

# In a process of its own, because loggers keep what they were first configured with.
PROGRAM = """
import logging, sys, structlog
from payflow.telemetry import logs
logs.configure(sys.argv[1], sys.argv[2])
log = structlog.get_logger()
log.debug("Too fine.", action="fine")
log.info("A record moved.", action="move", record="errand-01-abcdefgh23456777", token="hush")
try:
    raise ValueError("redis://ola:hush@store/0")
except ValueError:
    log.exception("It broke.", action="broke")
    logging.getLogger("a.library").exception("Of the library, with Bearer hush123")
logging.getLogger("a.library").info("Not worth telling.")
"""


def logged(level: str, style: str) -> list[str]:
    """What the program writes."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, level, style], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == ""
    return run.stderr.splitlines()


def test_a_line_is_a_sentence_an_action_and_its_context() -> None:
    lines = [json.loads(line) for line in logged("info", "json")]
    moved = lines[0]
    assert moved.pop("timestamp").endswith("Z")
    assert moved == {
        "event": "A record moved.",
        "level": "info",
        "action": "move",
        "record": "errand-01-abcdefgh23456777",
        "token": "***",
    }
    assert [line["level"] for line in lines] == ["info", "error", "error"]


def test_what_libraries_log_looks_the_same() -> None:
    line = json.loads(logged("info", "json")[-1])
    assert (line["event"], line["logger"]) == ("Of the library, with ***", "a.library")
    assert "Traceback" in line["exception"]


def test_the_level_is_the_least_that_is_written() -> None:
    assert "A record moved." not in "".join(logged("warning", "json"))
    assert "Too fine." in "".join(logged("debug", "json"))


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_secret_is_in_a_traceback(style: str) -> None:
    text = "\n".join(logged("info", style))
    assert "hush" not in text
    assert "redis://ola:***@store/0" in text


def test_text_is_for_a_terminal_and_has_no_colours_in_a_file() -> None:
    lines = logged("info", "text")
    assert "A record moved." in lines[0]
    assert "\x1b" not in lines[0]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "hush", "***"),
        ("REDIS_PASSWORD", "hush", "***"),
        ("api_key", "hush", "***"),
        ("Authorization", "Bearer hush", "***"),
        ("account_number", 690000040, "***"),
        ("attempts", [{"sealed": "gAAAAABr", "sent": True}], [{"sealed": "***", "sent": True}]),
        ("note", "key FLWSECK_TEST-abc123-X end", "key *** end"),
        ("note", "to 0690000040, please", "to ***, please"),
        ("note", "rediss://:hush@store:6380/0", "rediss://:***@store:6380/0"),
        ("body", {"amount": 3, "auth": [{"secret": "hush"}]}, {"amount": 3, "auth": [{"secret": "***"}]}),
        ("body", b"Bearer hush", "***"),
        ("note", "rediss://ola:hu/sh@store:6380/0", "rediss://ola:***@store:6380/0"),
        ("note", f"token payflow_{'a-B_' * 10}xyz is shown", "token *** is shown"),
        ("note", "sk_live_4f2 whsec_aGVsbG8= ghs_16C7e42F292c6912E7 github_pat_11A", "*** *** *** ***"),
        (
            "note",
            "https://mainnet.example/v3/0123456789abcdef0123456789abcdef: 403",
            "https://mainnet.example/v3/***: 403",
        ),
        ("note", "wss://node.example/ws?apikey=hush&chain=1", "wss://node.example/ws?apikey=***&chain=1"),
        ("note", "told tgram://123456:hush/789 and slack://T/B/hush", "told tgram://*** and slack://***"),
        ("note", "-----BEGIN EC PRIVATE KEY-----\nhush\n-----END EC PRIVATE KEY----- end", "*** end"),
        ("note", "-----BEGIN PRIVATE KEY-----\nhu sh", "***"),
        ("note", "to GB82WEST12345698765432.", "to ***."),
        ("note", "to GB82 WEST 1234 5698 7654 32, please", "to ***, please"),
        ("note", "to 233241234567 and 254712345678901", "to *** and ***"),
        ("note", "It went to 0690000040. And no.0690000041 did not", "It went to ***. And no.*** did not"),
        ("note", "told pover://user@hush and pbul://hush.", "told pover://*** and pbul://***"),
        ("note", "https://eth.example/v2/Ab-C1_2defGHI3jklMNO4pqrs: 403", "https://eth.example/v2/***: 403"),
        ("note", "https://hush0123@node.example/ is away", "https://***@node.example/ is away"),
        ("note", "wss://node.example/ws?dkey=hush&chain=1", "wss://node.example/ws?dkey=***&chain=1"),
        ("note", f"the key {'4f' * 32} of a lane", "the key *** of a lane"),
        ("note", "sealed gAAAAABm_abcdefghijklmnopqrstuvw== in clear", "sealed *** in clear"),
        ("note", "key made-up-For-tests-0123456789abcdefghijklmno= end", "key *** end"),
        ("note", "/enter/Qm1-x_Y2zAbCdEfGhIjKlMnOpQrStUvWxYz01234567", "/enter/***"),
        ("note", "shown eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOjEyMzQ1fQ.c2lnbmVk-here", "shown ***"),
        ("image", f"sha256:{'4f' * 32}", f"sha256:{'4f' * 32}"),
        (
            "page",
            "https://docs.example/why-a-payout-may-wait-for-its-batch",
            "https://docs.example/why-a-payout-may-wait-for-its-batch",
        ),
        ("rate", "0.1234567890123 of 1234567890.55", "0.1234567890123 of 1234567890.55"),
        ("why", "1278535988 Shannon taken off the balance", "1278535988 Shannon taken off the balance"),
        ("why", "need 705684524000000 Wei", "need 705684524000000 Wei"),
        ("gas_price_wei", "1278535988", "1278535988"),
        ("token_units", "1278535988", "1278535988"),
        ("token_units", 2278535988, 2278535988),
        ("token", f"0x{'ab' * 20}", f"0x{'ab' * 20}"),
        ("token", f"0x{'ab' * 32}", "***"),
        ("transaction", f"https://explorer.example/tx/0x{'ab' * 32}", f"https://explorer.example/tx/0x{'ab' * 32}"),
        ("metric", "payflow_webhooks_total", "payflow_webhooks_total"),
        ("record", "errand-01-abcdefgh23456777", "errand-01-abcdefgh23456777"),
        (
            "place",
            "https://pay.example/admin/records/payout-03-abcdefgh23456777",
            "https://pay.example/admin/records/payout-03-abcdefgh23456777",
        ),
        ("at", 1_800_000_000_123, 1_800_000_000_123),
        ("paid", None, None),
    ],
)
def test_secrets_and_account_numbers_are_taken_out(name: str, value: object, shown: object) -> None:
    assert redact(None, "info", {name: value}) == {name: shown}


def test_a_value_that_is_shown_is_cleaned_like_a_line() -> None:
    assert redacted({"token": "hush", "to": "0690000040"}) == {"token": "***", "to": "***"}
