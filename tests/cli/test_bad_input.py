"""Whatever is wrong around Payflow: one clear sentence that says what to do, an exit code, and no record is touched."""

from pathlib import Path

import pytest

from payflow.store import keys
from tests.cli.till import Till
from tests.servers import Deployment, Farm, dump, flush, free_port

# Every command that opens the store; those that change something, with all that they need.
ID = "errand-01-abcdefgh23456777"
WRITING = (
    ("override", ID, "DONE", "--reason", "x", "--yes"),
    ("retry", ID),
)
READING = (("ls",), ("show", ID), ("paused",), ("ledger",), ("verify",))
STEERING = (("pause", "everything", "--why", "x"), ("resume", "everything"))
RUNNING = (("serve",), ("worker",))
ALL = (*READING, *WRITING, *STEERING, *RUNNING)


# --- settings


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PAYFLOW_PROT", "8080", "PAYFLOW_PROT is not a setting: did you mean PAYFLOW_PORT?"),
        (
            "PAYFLOW_QQQQQQQQQQQQQQQQQQ",
            "1",
            " is not a setting: remove it, or see .env.example for all names.",
        ),
        ("PAYFLOW_PORT", "http", "PAYFLOW_PORT: Input should be a valid integer"),
        ("PAYFLOW_PORT", "70000", "PAYFLOW_PORT: Input should be less than or equal to 65535."),
        ("REDIS_POOL_SIZE", "0", "REDIS_POOL_SIZE: Input should be greater than or equal to 2."),
        ("ENABLE_WORKERS", "perhaps", "ENABLE_WORKERS: Input should be a valid boolean"),
        ("PAYFLOW_FSYNC", "never", "PAYFLOW_FSYNC: Input should be 'always' or 'everysec'."),
        ("PAYFLOW_POLLERS", "{", "PAYFLOW_POLLERS: "),
        ("REDIS_URL", "http://store", "REDIS_URL: write redis://host:port/db"),
        ("REDIS_PASSWORD_FILE", "/no/such/file", "REDIS_PASSWORD_FILE: /no/such/file cannot be read"),
    ],
)
@pytest.mark.parametrize("words", [("ls",), ("serve",), ("doctor",)])
def test_a_setting_that_cannot_be_used(
    till: Till, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv(name, value)
    assert sentence in till.refused(*words, code=2)


def test_all_problems_with_settings_are_told_at_once(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAYFLOW_PORT", "REDIS_POOL_SIZE", "PAYFLOW_PROT"):
        monkeypatch.setenv(name, "x")
    told = till.refused("ls", code=2)
    assert told.count("\n  - ") == 3


@pytest.mark.parametrize("words", [("lss",), ("ls", "--limit", "0"), ("ls", "--limt", "1"), ("show",)])
def test_a_command_line_that_cannot_be_used(till: Till, words: tuple[str, ...]) -> None:
    result = till(*words)
    assert (result.code, result.out) == (2, "")
    assert "Usage: " in result.err


# --- the store


@pytest.mark.parametrize("words", ALL)
def test_a_store_that_cannot_be_reached(till: Till, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:hush@127.0.0.1:{free_port()}")
    sentence = till.refused(*words, code=3)
    assert sentence.startswith("The store at 127.0.0.1:")
    assert sentence.endswith("see that it runs and that the settings lead to it.")
    assert "hush" not in sentence


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize("words", [("ls",), ("serve",), WRITING[0]])
def test_a_wrong_or_missing_password(
    till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch, password: str, words: tuple[str, ...]
) -> None:
    server = own.server(tcp=True, password="right")
    monkeypatch.setenv("REDIS_URL", server.url)
    if password:
        monkeypatch.delenv("REDIS_URL")
        monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
        monkeypatch.setenv("REDIS_PORT", str(server.port))
        monkeypatch.setenv("REDIS_PASSWORD", password)
    sentence = till.refused(*words, code=3)
    assert sentence.endswith("refuses user or password: check REDIS_USERNAME, REDIS_PASSWORD.")
    assert "wrong" not in sentence
    assert server.ask("DBSIZE") == 0


@pytest.mark.parametrize("words", ALL)
def test_a_read_only_replica(
    till: Till, replica: Deployment, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("REDIS_URL", replica.environment["REDIS_URL"])
    assert till.refused(*words, code=3).endswith("is a read-only replica: point Payflow at the primary.")


@pytest.fixture(scope="module")
def replica(farm: Farm) -> Deployment:
    primary, replica = farm.server(tcp=True), farm.server(tcp=True)
    replica.follow(primary)
    return replica


@pytest.mark.parametrize("words", [*WRITING, *RUNNING])
def test_a_store_that_may_drop_records_is_not_written_to(
    till: Till, server: Deployment, words: tuple[str, ...]
) -> None:
    record_id = till.errand("FAILED")
    before = dump(server)
    server.nodes()[0].ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        told = till.refused(*(record_id if word == ID else word for word in words), code=3)
        assert told == "The store may drop records (allkeys-lru): set `maxmemory-policy noeviction`."
        assert till.json("ls")["records"][0]["id"] == record_id, "it can still be looked at"
    finally:
        server.nodes()[0].ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert dump(server) == before


@pytest.mark.parametrize("words", ALL)
def test_a_store_of_a_newer_version(till: Till, server: Deployment, tmp_path: Path, words: tuple[str, ...]) -> None:
    till.errand("READY")
    server.nodes()[0].ask("HSET", keys.META, "schema", keys.SCHEMA + 1)
    before = dump(server)
    told = till.refused(*words, code=3)
    assert told.endswith(f"has schema {keys.SCHEMA + 1}, this Payflow knows {keys.SCHEMA}: run the newer version.")
    assert dump(server) == before


def test_a_record_in_a_state_that_this_version_does_not_know(till: Till, server: Deployment) -> None:
    record_id = till.errand("READY")
    shard = int(record_id.split("-")[1])
    till.store_ask("HSET", keys.record(record_id), "state", "LIMBO")
    till.store_ask("ZREM", keys.members(shard, "errand", "READY"), record_id)
    till.store_ask("ZREM", keys.due(shard, "errand", "READY"), record_id)
    till.store_ask("ZADD", keys.members(shard, "errand", "LIMBO"), 1, record_id)
    before = dump(server)
    sentence = "This version does not know the errand state 'LIMBO'. Run the version that wrote it."
    assert till.refused("show", record_id) == sentence
    assert till.refused("retry", record_id) == sentence
    assert till.refused("override", record_id, "CANCELLED", "--reason", "x", "--yes") == sentence
    assert {"record": record_id, "problem": sentence} in till.json("verify", code=1)["faults"]
    checks = {check["name"]: check for check in till.json("doctor", code=3)["checks"]}
    assert checks["states"]["finding"] == (
        "This version does not know what to do with 1 errand in LIMBO: run the version that wrote them."
    )
    assert dump(server) == before


def test_a_store_that_forbids_a_command_says_which(till: Till, own: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    server = own.server()
    server.ask("ACL", "SETUSER", "default", "-hsetnx")
    monkeypatch.setenv("REDIS_URL", server.url)
    sentence = till.refused("ls", code=3)
    assert "forbids a command" in sentence
    assert "hsetnx" in sentence


def test_a_store_that_is_full_says_so(till: Till, server: Deployment) -> None:
    record_id = till.errand("FAILED")
    node = server.nodes()[0]
    node.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        told = till.refused("override", record_id, "DONE", "--reason", "x", "--yes", code=3)
    finally:
        node.ask("CONFIG", "SET", "maxmemory", "0")
    assert told.endswith("is out of memory: raise maxmemory; nothing was written.")
    assert till.record(record_id).state == "FAILED"


def test_a_wiped_store_closes_its_rails_and_the_doctor_says_so(till: Till, server: Deployment) -> None:
    till.errand("DONE")
    flush(server)
    checks = {check["name"]: check for check in till.json("doctor", code=3)["checks"]}
    assert "belongs to another store" in checks["sequence"]["finding"]
    assert "run `payflow reconcile`" in checks["sequence"]["finding"]
