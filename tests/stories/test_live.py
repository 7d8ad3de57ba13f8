"""First contact: those outside are asked what can be asked without money, and a trial transfer goes all the way."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from adapters.flutterwave.expected import differences
from adapters.http import HttpReply
from adapters.sandbox.github.api import APP_ID, app_key
from adapters.sandbox.github.simulator import GitHubSimulator
from machines.core.clock import FixedClock, SystemClock
from machines.core.errors import BadInput, BadSettings
from payflow.app.gateways import setups
from payflow.app.installation import Parts, Payflow, assemble
from payflow.cli.examine import live
from payflow.cli.examine import trial as trials
from payflow.cli.terminal import Code, Terminal
from payflow.config import Settings, load
from payflow.desk import outside
from payflow.desk.trial import BEGINS
from payflow.telemetry.health import Check
from tests.stories import banks
from tests.stories.banks import Choice
from tests.stories.town import Town, open_town


async def examined(town: Town, **changes: Any) -> dict[str, Check]:
    given = load({}, **(town.settings.model_dump() | {"public_url": town.address} | changes))
    payflow = Payflow(given, Parts(), town.metrics, town.store)
    return {check.name: check for check in await live.examine_live(payflow)}


@pytest.mark.parametrize("choice", [banks.v3, banks.v4, banks.paystack])
async def test_a_gateway_lets_us_in_and_its_webhooks_arrive(choice: Choice, settings: Settings) -> None:
    async with open_town(settings, choice) as town:
        found = await examined(town)
        name = "paystack" if choice is banks.paystack else "flutterwave"
        assert {check.level for check in found.values()} == {"ok"}, found
        assert set(found) == {name, f"{name} clock", f"{name} webhook", "mail"}
        assert "its wallet holds NGN " in found[name].finding
        assert found[f"{name} webhook"].finding.startswith("What is signed with our secret arrives at http://")
        assert not any(call.startswith("POST /v3/transfers") for call in town.bank.server.calls)


async def test_each_thing_that_is_wrong_is_said_and_remembered(sunday_town: Town) -> None:
    town = sunday_town
    assert (await outside.as_asked_last(town.store)).finding.startswith("Nobody outside was asked yet")
    found = await examined(town, flutterwave_webhook_hash="another secret of sixteen")
    assert "answered a delivery with our secret by HTTP 401" in found["flutterwave webhook"].finding
    said = await outside.as_asked_last(town.store)
    assert (said.level, said.finding[:47]) == ("warn", "flutterwave webhook: not as it should be when t")

    town.bank.transfers.switches.address_listed = False
    found = await examined(town, public_url="http://127.0.0.1:9", mail="mailto://127.0.0.1:9?from=pay@example.com")
    assert found["flutterwave"].level == "fail"
    assert "IP Whitelisting" in found["flutterwave"].finding
    assert "cannot be reached from here" in found["flutterwave webhook"].finding
    assert found["mail"].level == "fail"
    town.bank.transfers.switches.address_listed = True

    found = await examined(town, flutterwave_secret_key="FLWSECK-wrong-X")
    assert "HTTP 401" in found["flutterwave"].finding


async def test_a_clock_that_is_wrong_is_said(sunday_town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async def behind(*_: object) -> float:
        return -90.0

    monkeypatch.setattr(live, "skew_s", behind)
    found = await examined(sunday_town)
    assert found["flutterwave clock"].finding.startswith("Our clock is 90 s behind its")


async def test_github_says_what_the_app_lacks(sunday_town: Town) -> None:
    pem = app_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    async with GitHubSimulator(FixedClock(SystemClock().now())) as github:
        given = {"github_app_id": APP_ID, "github_private_key": pem.decode(), "github_url": github.url}
        found = await examined(sunday_town, **given)
        assert found["github"].finding == "We are its app payflow, with all that bounties need."
        github.api.permissions["issues"] = "read"
        found = await examined(sunday_town, **given)
        assert found["github"].level == "fail"
        assert "has not the permission issues (write)" in found["github"].finding
        found = await examined(sunday_town, **(given | {"github_app_id": "7"}))
        assert found["github"].level == "fail"


# ── a trial ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def tried(
    town: Town, capsys: pytest.CaptureFixture[str], end: trials.End, **changes: Any
) -> tuple[Code, dict[str, Any]]:
    given = load({}, **(town.settings.model_dump() | changes))
    payflow = Payflow(given, Parts(), town.metrics, town.store)
    code = await trials.trial(Terminal(lambda: given, assemble, as_json=True), payflow, "flutterwave", end=end, wait=9)
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "ENDS", {"paid": "_PMCKDU_0", "failed": "_PMCK_ST_FDU_0"})
    monkeypatch.setattr(trials, "LOOK_S", 0.1)
    monkeypatch.setattr(trials, "WEBHOOK_S", 5.0)


@pytest.mark.parametrize(("end", "came"), [("paid", "it was paid"), ("failed", "it failed: ")])
@pytest.mark.usefixtures("at_once")
async def test_a_trial_goes_all_the_way_with_its_webhook(
    sunday_town: Town, capsys: pytest.CaptureFixture[str], end: trials.End, came: str
) -> None:
    code, told = await tried(sunday_town, capsys, end)
    assert (code, told["ended"], told["webhook"] is not None) == (Code.OK, True, True), told
    assert told["outcome"].startswith(came)
    assert told["reference"].startswith(BEGINS)
    assert told["exchanges"][0]["path"] == "/transfers"
    assert not any(one["differs"] for one in told["exchanges"])
    (transfer,) = sunday_town.bank.transfers.all
    assert transfer.reference == told["reference"] + trials.ENDS[end]
    sunday_town.forged = True  # what a trial paid is in no book of ours


@pytest.mark.parametrize("changes", [{"flutterwave_secret_key": "FLWSECK-live-X"}, {"flutterwave_version": "v4"}])
async def test_a_trial_is_for_keys_of_the_test_mode(
    sunday_town: Town, capsys: pytest.CaptureFixture[str], changes: dict[str, str]
) -> None:
    with pytest.raises(BadInput, match="A trial moves no money"):
        await tried(sunday_town, capsys, "paid", **changes)
    assert sunday_town.sent() == 0


@pytest.mark.usefixtures("at_once")
async def test_a_trial_that_is_refused_says_why(sunday_town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    sunday_town.bank.transfers.switches.address_listed = False
    code, told = await tried(sunday_town, capsys, "paid")
    assert (code, told["ended"], told["webhook"]) == (Code.REFUSED, False, None)
    assert "IP Whitelisting" in told["outcome"]


@pytest.mark.parametrize(
    ("path", "status", "body", "says"),
    [
        ("/transfers", 200, b"<html>", "a body that is not the gateway's JSON"),
        ("/transfers", 400, b'{"status":"error","message":"We are closed"}', "stands in no table: 'We are closed'"),
        (
            "/transfers",
            200,
            b'{"status":"success","data":{"id":1}}',
            "a transfer without amount, status, reference",
        ),
        (
            "/transfers",
            200,
            b'{"status":"success","data":[{"id":1,"amount":1,"status":"HELD","reference":"a","currency":"NGN","eta":3}]}',
            "a transfer with eta, which its pages do not show",
        ),
        ("/transfers/1", 200, b'{"status":"success","data":3}', "a transfer that is int"),
    ],
)
def test_what_nobody_expected_is_named(path: str, status: int, body: bytes, says: str) -> None:
    assert any(says in one for one in differences(path, HttpReply(status, body)))


@pytest.mark.parametrize(
    "body", [b'{"status":"error","message":"Account resolve failed"}', b'{"status":"error","message":"x is required"}']
)
def test_what_is_in_the_tables_is_expected(body: bytes) -> None:
    assert list(differences("/transfers", HttpReply(400, body))) == []


# ── a whole installation in the test mode ────────────────────────────────────────────────────────────────────────────


async def test_with_a_marker_payouts_of_the_test_mode_end_as_it_says(settings: Settings) -> None:
    async with open_town(settings, flutterwave_test_marker="_PMCKDU_1") as town, town.worker():
        await town.ann_earns("1000")
        payout = await town.ann_asks("1000")
        await town.approve(payout)
        await town.until_queued(payout)
        await town.time_passes(hours=6)
        await town.until_with_gateway(payout)
        (transfer,) = town.bank.transfers.all
        assert transfer.reference == town.reference(payout) + "_PMCKDU_1"
        await town.time_passes(minutes=2)
        await town.until_in(payout, "COMPLETED")
        await town.gateway_says_again(0)  # its webhook bears the marker too
        assert (await town.record(payout)).state == "COMPLETED"


async def test_a_marker_is_refused_with_a_key_that_moves_money(sunday_town: Town) -> None:
    given = {"flutterwave_test_marker": "_PMCK", "flutterwave_secret_key": "FLWSECK-live-X"}
    wrong = load({}, **(sunday_town.settings.model_dump() | given))
    with pytest.raises(BadSettings, match="FLUTTERWAVE_TEST_MARKER is for a key of the test mode"):
        setups(wrong, sunday_town.store, sunday_town.clock, sunday_town.session)
