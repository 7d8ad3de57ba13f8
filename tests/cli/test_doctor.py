"""The doctor: fit when it is fit, and for each thing that may be wrong, what to do about it."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from machines.core import redis
from machines.core.currencies import CURRENCIES
from machines.core.errors import PayflowError
from payflow.app.installation import Payflow
from payflow.cli.examine.doctor import _in_clear
from payflow.config import load
from payflow.desk.readiness import files_open_to_all
from payflow.desk.requests import two_people_from
from payflow.store import keys, servers
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.seals import KEY_FILE, new_key
from payflow.telemetry.health import Level
from tests.cli.till import Till
from tests.issuer import SECRET, US, running
from tests.servers import SINGLE, Deployment, Farm, Kind


def levels(till: Till, code: int = 0) -> dict[str, tuple[str, str]]:
    """What the doctor finds in a store that a service has opened, by name; of two findings of a name, the last."""
    # A folder for each store: whose marks of another one it holds is asked for in other tests.
    url, data = os.environ.get("REDIS_URL", ""), os.environ["PAYFLOW_DATA"]
    folder = f"data {re.sub('[^a-z0-9]', '', url)}" if data == "data" else data
    with patch.dict(os.environ, PAYFLOW_DATA=folder):
        with suppress(PayflowError, OSError):
            till.made()
        found = till.json("doctor", code=code)["checks"]
    return {check["name"]: (check["level"], check["finding"]) for check in found}


def test_the_embedded_store_is_fit(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("PAYFLOW_DATA", "embedded")
    level, said = levels(till)["signatures"]
    assert (level, "is in the folder of the store, embedded" in said) == ("warn", True)
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", (Path("embedded") / KEY_FILE).read_text("ascii"))
    found = levels(till)
    assert found["files"][0] == "warn"
    assert "written in clear" in found["files"][1]
    assert found["payout caps"] == (
        "warn",
        "Nothing limits what payouts may take in a day: set PAYFLOW_PAYOUT_CAPS.",
    )
    monkeypatch.setenv("PAYFLOW_BACKUP_KEYS", new_key())
    monkeypatch.setenv("PAYFLOW_PAYOUT_CAPS", '{"all": "20000000"}')
    found = levels(till)
    assert {level for level, _ in found.values()} == {"ok"}, found
    assert till("doctor").out.endswith("Fit to send money.\n")


def test_a_token_that_ends_soon_is_told_of_until_another_one_takes_its_place(till: Till) -> None:
    till.made()
    till.json("token", "create", "olu", "--role", "operator", "--days", "15")
    till.json("token", "create", "shop", "--role", "platform", "--platform", "shop")
    assert levels(till)["tokens"][0] == "ok"
    till.json("token", "create", "rita", "--role", "reviewer", "--days", "13")
    level, said = levels(till)["tokens"]
    assert (level, said.startswith("Ending within two weeks: rita. `payflow token rotate")) == ("warn", True)
    till.json("token", "rotate", "rita", "--overlap", "1d", "--days", "90")
    assert levels(till)["tokens"][0] == "ok"


def test_the_identity_provider_is_asked_who_it_is_and_what_it_can_do_here_is_said(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "identity provider" not in levels(till)
    given = {"PAYFLOW_OIDC_CLIENT_ID": US, "PAYFLOW_OIDC_CLIENT_SECRET": SECRET}
    with running() as address:
        for name, value in (given | {"PAYFLOW_OIDC_ISSUER": address}).items():
            monkeypatch.setenv(name, value)
        assert levels(till)["identity provider"] == ("ok", f"{address} says who it is, and publishes 1 keys.")
        monkeypatch.setenv("PAYFLOW_OIDC_ROLES", '{"staff": "viewer"}')
        assert levels(till)["identity provider"][0] == "ok"
        monkeypatch.setenv("PAYFLOW_OIDC_ROLES", '{"staff": "viewer", "money": "operator"}')
        level, said = levels(till)["identity provider"]
        assert (level, f"whoever runs {address} can make a new operator alone" in said) == ("warn", True)
        monkeypatch.setenv("PAYFLOW_OIDC_ISSUER", f"{address}/")
        level, said = levels(till)["identity provider"]
        assert (level, "PAYFLOW_OIDC_ISSUER must be exactly that" in said) == ("warn", True)
    monkeypatch.setenv("PAYFLOW_OIDC_ISSUER", address)
    level, said = levels(till)["identity provider"]
    assert (level, "did not answer" in said) == ("warn", True)


def test_a_webhook_that_leads_to_what_is_not_public_is_told_of(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = {"url": "https://127.0.0.1/hooks", "secret": "whsec_c2hvcnQ="}
    monkeypatch.setenv("PAYFLOW_PLATFORM_WEBHOOKS", json.dumps({"shop": hook}))
    said = "Not reached: shop: 127.0.0.1 is no public address: if it is yours, name its network in"
    level, finding = levels(till)["webhook places"]
    assert (level, finding.startswith(said)) == ("warn", True)
    monkeypatch.setenv("PAYFLOW_WEBHOOK_NETWORKS", "127.0.0.0/8")
    assert levels(till)["webhook places"][0] == "ok"


def test_metrics_on_the_port_of_the_api_are_told_of_where_others_reach_it(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert levels(till)["probes"] == ("ok", "Metrics and what /readyz finds are for this machine only.")
    monkeypatch.setenv("PAYFLOW_TRUSTED_PROXIES", "127.0.0.1")
    level, finding = levels(till)["probes"]
    assert (level, finding.split(": ")[1].startswith("set PAYFLOW_PROBE_PORT")) == ("warn", True)
    monkeypatch.setenv("PAYFLOW_PROBE_PORT", "8081")
    assert levels(till)["probes"] == ("ok", "Metrics and what /readyz finds have a port of their own.")


def test_links_and_passkeys_that_lead_nowhere_behind_a_proxy_are_told_of(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert levels(till)["pages"][0] == "ok"
    monkeypatch.setenv("PAYFLOW_TRUSTED_PROXIES", "127.0.0.1")
    level, finding = levels(till)["pages"]
    assert (level, "say in PAYFLOW_PUBLIC_URL" in finding) == ("warn", True)
    monkeypatch.setenv("PAYFLOW_PUBLIC_URL", "https://pay.example")
    found = ("ok", "People reach the pages at https://pay.example, as links and passkeys say.")
    assert levels(till)["pages"] == found


def test_a_proxy_that_must_be_there_and_is_not_named_is_told_of(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Payflow speaks no https itself."""
    assert levels(till)["proxies"][0] == "ok"
    monkeypatch.setenv("PAYFLOW_BOUNTY_SERVER", "https://pay.example")
    level, finding = levels(till)["proxies"]
    assert (level, finding.endswith("name the network of your proxy in PAYFLOW_TRUSTED_PROXIES.")) == ("warn", True)
    monkeypatch.setenv("PAYFLOW_TRUSTED_PROXIES", "127.0.0.1")
    assert levels(till)["proxies"][0] == "ok"


def test_who_is_reached_in_clear_beyond_this_machine_is_named_without_their_address(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_URL", "http://github.example/hush")
    assert levels(till)["outside"] == ("warn", "Reached by http://, in clear: GITHUB_URL. Use https://.")
    for own in ("https://gateway.example", "http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost"):
        assert _in_clear(load({"PAYSTACK_URL": own})).level == "ok"
    beyond = _in_clear(load({"PAYSTACK_URL": "http://gateway.example/hush"}))
    assert (beyond.level, "PAYSTACK_URL" in beyond.finding, "hush" in beyond.finding) == ("warn", True, False)
    lane = {"rpc": ["https://ok.example", "http://node.example/hush"], "chain_id": 1, "signer": "http://10.0.0.1/hush"}
    found = _in_clear(load({"PAYFLOW_LANES": json.dumps({"main": lane})})).finding
    assert "a node of the lane main (2), the signer of the lane main" in found
    assert "hush" not in found


def test_a_key_that_everybody_on_the_machine_may_read_is_found(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("PAYFLOW_DATA", "embedded")
    assert levels(till)["secret files"][0] == "ok"
    Path("embedded/seal.key").chmod(0o644)
    level, finding = levels(till, 3)["secret files"]
    assert level == "fail"
    assert "chmod 600 embedded/seal.key" in finding


def test_a_file_that_a_setting_is_in_and_everybody_may_read_is_found(
    till: Till, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup_keys"
    file.write_text(new_key())
    file.chmod(0o640)
    monkeypatch.setenv("PAYFLOW_BACKUP_KEYS_FILE", str(file))
    assert levels(till)["secret files"][0] == "ok"
    file.chmod(0o644)
    assert levels(till, 3)["secret files"] == ("fail", f"Everybody on this machine can read {file}: chmod 600 {file}")
    Path(".env").write_text("PAYFLOW_LOG_LEVEL=error")
    Path(".env").chmod(0o604)
    assert files_open_to_all(load()) == [Path(".env"), file]


@pytest.mark.parametrize("kind", [*SINGLE, Kind.CLUSTER], indirect=True)
def test_every_server_that_is_supported_can_be_examined(till: Till, server: Deployment) -> None:
    found = levels(till)
    assert found["durability"][0] == found["version"][0] == found["sequence"][0] == "ok"
    assert found["compact records"] == (
        "warn",
        "Records take about three times the memory they need: set `hash-max-listpack-value 2048` (it is 64).",
    )


def test_a_weak_disk_fails_and_what_was_accepted_warns(till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    server = own.server(Kind.VALKEY, "--appendonly", "no")
    monkeypatch.setenv("REDIS_URL", server.url)
    assert levels(till, 3)["durability"] == ("fail", "The store keeps no append-only file: set `appendonly yes`.")
    monkeypatch.setenv("PAYFLOW_ACCEPT_WEAK_DURABILITY", "true")
    level, finding = levels(till)["durability"]
    assert level == "warn"
    assert finding.endswith("You have accepted this.")


def test_fsync_every_second_is_not_enough_where_the_engine_answers_before_its_disk(
    till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, name in ((Kind.VALKEY, "Valkey 9.1.2"), (Kind.REDIS_6, "Redis 6.2.14")):
        monkeypatch.setenv("REDIS_URL", own.server(kind, "--appendfsync", "everysec").url)
        monkeypatch.setenv("PAYFLOW_DATA", kind.name)
        level, finding = levels(till, 3)["durability"]
        assert level == "fail"
        assert f"{name} was never seen" in finding
        assert "set `appendfsync always`" in finding


def test_fsync_every_second_is_enough_for_an_engine_that_was_seen_to_wait(
    till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "SEEN_TO_WAIT", {"valkey": frozenset({"9.1.2"})})
    monkeypatch.setenv("REDIS_URL", own.server(Kind.VALKEY, "--appendfsync", "everysec").url)
    assert levels(till)["durability"][0] == "ok"


def test_replicas_that_are_asked_for_must_be_there(till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    primary, replica = own.server(tcp=True), own.server(tcp=True)
    monkeypatch.setenv("REDIS_URL", primary.url)
    assert levels(till)["replicas"][0] == "warn"
    monkeypatch.setenv("PAYFLOW_REPLICAS", "1")
    level, finding = levels(till, 3)["replicas"]
    assert (level, finding.partition(",")[0]) == ("fail", "An intent must reach 1 replicas and 0 are connected")
    replica.follow(primary)
    assert levels(till)["replicas"] == ("ok", "1 connected.")


def test_an_open_door_is_found(till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    server = own.server(Kind.VALKEY, "--bind", "*", "--protected-mode", "no", tcp=True)
    monkeypatch.setenv("REDIS_URL", server.url)
    found = levels(till, 3)
    assert found["address"][0] == "fail"
    assert found["password"][0] == "warn", "reached from the same machine, but open to others"
    server.ask("CONFIG", "SET", "protected-mode", "yes")
    assert levels(till)["address"][0] == "ok"
    server.ask("CONFIG", "SET", "requirepass", "hush")
    monkeypatch.setenv("REDIS_URL", server.url.replace("://", "://:hush@"))
    found = levels(till)
    assert (found["password"][0], found["address"][0]) == ("ok", "warn")


def test_more_clients_than_were_planned_for(till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    server = own.server(Kind.VALKEY, "--maxclients", "40")
    monkeypatch.setenv("REDIS_URL", server.url)
    assert levels(till)["clients"] == ("warn", "REDIS_MAX_CLIENTS is 50, the store allows 40: raise its maxclients.")
    monkeypatch.setenv("REDIS_MAX_CLIENTS", "2")
    with server.client() as one, server.client() as two, server.client() as three:
        for client in (one, two, three):
            client.ping()
        level, finding = levels(till)["clients"]
    assert level == "warn"
    assert "clients are connected, REDIS_MAX_CLIENTS plans for 2" in finding


def test_a_store_that_is_nearly_full_warns(till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    server = own.server()
    monkeypatch.setenv("REDIS_URL", server.url)
    server.ask("SET", "filler", "x" * 50_000_000)
    server.ask("CONFIG", "SET", "maxmemory", int(server.info("memory")["used_memory"] * 1.08))
    assert levels(till)["memory"][0] == "warn"


def test_an_api_that_is_open_to_the_network_warns(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYFLOW_HOST", "192.0.2.1")
    assert levels(till)["API address"] == (
        "warn",
        "The API listens on 192.0.2.1 without TLS: put a proxy with TLS before it.",
    )


def test_what_waits_for_a_person_is_told(till: Till) -> None:
    till.parked()
    till("pause", "rail:test", "--why", "x")
    found = levels(till)
    assert found["parked"][1].startswith("1 records are set aside")
    assert found["paused"][1].startswith("Sends are paused: rail:test.")


def test_a_store_out_of_reach_is_the_only_thing_that_is_told_of_it(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    found = levels(till, 3)
    assert list(found) == [
        "settings",
        "API address",
        "probes",
        "pages",
        "webhook secrets",
        "secret files",
        "lane keys",
        "lane caps",
        "payout caps",
        "files",
        "outside",
        "webhook places",
        "store",
    ]
    assert found["store"][0] == "fail"
    assert "1 failed" in till("doctor").out


def test_a_data_folder_that_cannot_be_used(till: Till, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("PAYFLOW_DATA", "file")
    assert "cannot be used: " in levels(till, 3)["store"][1]


def test_a_managed_server_that_tells_little_can_be_examined(
    till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own.server()
    server.ask("ACL", "SETUSER", "default", "-config", "-acl")
    monkeypatch.setenv("REDIS_URL", server.url)
    found = levels(till, 3)
    assert found["compact records"] == ("ok", "The server does not tell its hash-max-listpack-value.")
    assert found["durability"][0] == "fail", "what cannot be seen is not promised"


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("redis://127.0.0.1:6379", Level.OK),
        ("redis://[::1]:6379", Level.OK),
        ("unix:///run/store", Level.OK),
        ("rediss://store.example:6379", Level.OK),
        ("redis://store.example:6379", Level.WARN),
        ("redis://10.0.0.7:6379", Level.WARN),
    ],
)
def test_a_way_over_the_network_should_be_encrypted(url: str, level: Level) -> None:
    server = servers.StoreServer({}, passwordless=False)
    assert servers.encryption(server, load({"REDIS_URL": url})).level is level


def test_a_password_is_needed_where_others_could_come_in() -> None:
    server = servers.StoreServer({}, passwordless=True)
    assert servers.password(server, load({"REDIS_URL": "redis://store.example"})).level is Level.FAIL
    assert servers.password(server, load({"REDIS_URL": "unix:///run/store"})).level is Level.OK


@pytest.mark.parametrize(("off_s", "level"), [(0.2, Level.OK), (-0.9, Level.OK), (1.1, Level.WARN), (-60, Level.WARN)])
def test_clocks_that_disagree_are_found(off_s: float, level: Level) -> None:
    server = servers.StoreServer({}, clock_off_s=off_s)
    assert servers.clock(server, load({})).level is level


def test_a_disk_that_could_not_be_written_is_found() -> None:
    server = servers.StoreServer({"aof_last_write_status": "err"})
    assert servers.log_written(server, load({})).level is Level.FAIL


@pytest.mark.parametrize(
    ("info", "level"),
    [
        ({"redis_version": "6.0.16"}, Level.FAIL),
        ({"redis_version": "6.2.0"}, Level.OK),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, Level.OK),
    ],
)
def test_a_server_that_is_too_old_is_found(info: dict[str, str], level: Level) -> None:
    server = servers.StoreServer(info)
    assert servers.version(server, load({})).level is level


def test_the_token_of_a_provider_whom_no_platform_ever_named_is_named(till: Till) -> None:
    async def made_before_there_were_rooms(payflow: Payflow) -> None:
        await Tokens(payflow.store.link).create("old-ann", Role.PROVIDER, "ann", "boss")
        await Tokens(payflow.store.link).create("mia", Role.PROVIDER, "github:5", "boss")

    till.do(made_before_there_were_rooms)
    level, said = levels(till)["providers"]
    assert (level, "The tokens old-ann are of providers" in said) == ("warn", True)


def test_a_new_installation_asks_two_reviewers_from_some_amounts_on_and_an_old_one_keeps_what_it_had(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bands() -> Mapping[str, int] | None:
        async def asked(payflow: Payflow) -> Mapping[str, int] | None:
            return two_people_from(payflow.settings, payflow.store)

        return till.do(asked)

    assert levels(till)["two reviewers"] == ("ok", "Two reviewers approve from 1000000, 0.5 ETH on.")
    fiat = {code: one.units(one.two_people_from) for code, one in CURRENCIES.items()}
    assert bands() == fiat | {"NGN": 100_000_000, "ETH": 500_000_000}
    monkeypatch.setenv("PAYFLOW_TWO_PEOPLE_FROM", "500")
    assert bands() == {"NGN": 50_000}
    monkeypatch.setenv("PAYFLOW_TWO_PEOPLE_FROM", "none")
    assert bands() is None
    monkeypatch.delenv("PAYFLOW_TWO_PEOPLE_FROM")

    async def as_before(payflow: Payflow) -> None:
        await payflow.store.link.ask("HDEL", keys.META, "two_people")

    till.do(as_before)
    assert bands() is None
    assert levels(till)["two reviewers"][0] == "warn"
