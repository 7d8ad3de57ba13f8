"""Settings are read once and checked together; a mistake is named, a secret is not shown."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from machines.core.errors import BadSettings
from payflow.config import NAMES, Settings, live_secrets, load


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(BadSettings) as refused:
        load(environ)
    first, *rest = str(refused.value).splitlines()
    assert first == "The settings cannot be used:"
    return [line.removeprefix("  - ") for line in rest]


def test_without_any_setting_there_is_an_embedded_store_on_this_machine() -> None:
    settings = load({})
    assert settings.embedded
    assert (settings.host, settings.fsync, settings.shards) == ("127.0.0.1", "always", 8)
    assert not settings.accept_weak_durability


def test_an_unknown_setting_is_refused_with_the_nearest_known_one() -> None:
    assert problems({"PAYFLOW_SHARD": "4"}) == ["PAYFLOW_SHARD is not a setting: did you mean PAYFLOW_SHARDS?"]


def test_an_unknown_setting_with_nothing_near_is_refused_with_where_to_look() -> None:
    assert problems({"PAYFLOW_XYZZY_QUUX": "4"}) == [
        "PAYFLOW_XYZZY_QUUX is not a setting: remove it, or see .env.example for all names."
    ]


def test_every_setting_that_is_a_table_is_written_as_json() -> None:
    tables = [name for name, key in NAMES.items() if isinstance(getattr(load({}), key), Mapping)]
    assert len(tables) > 4
    for name in tables:
        load({name: "{}"})


def test_other_programs_variables_are_none_of_our_business() -> None:
    assert load({"PATH": "/bin", "REDISCLI_AUTH": "x", "HOME": "/"}).embedded


def test_every_problem_is_reported_at_once() -> None:
    found = problems({
        "PAYFLOW_SHARDS": "many",
        "PAYFLOW_FSYNC": "never",
        "REDIS_PORT": "70000",
        "PAYFLOW_LEASE": "1",
        "PAYFLOW_POLLERS": "{",
        "REDIS_PASSWORD_FILE": "/nowhere",
    })  # fmt: skip
    for name in ("PAYFLOW_SHARDS", "PAYFLOW_FSYNC", "REDIS_PORT", "PAYFLOW_LEASE ", "PAYFLOW_POLLERS", "/nowhere"):
        assert sum(name in line for line in found) == 1, name
    assert len(found) == 6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAYFLOW_SHARDS", "0"),
        ("PAYFLOW_SHARDS", "101"),
        ("PAYFLOW_SHARDS", "4.5"),
        ("PAYFLOW_LEASE_S", "0"),
        ("PAYFLOW_LEASE_S", "nan"),
        ("PAYFLOW_LEASE_S", "inf"),
        ("REDIS_POOL_SIZE", "1"),
        ("REDIS_DB", "-1"),
        ("PAYFLOW_REPLICAS", "9"),
        ("ENABLE_WORKERS", "perhaps"),
        ("PAYFLOW_ACCEPT_WEAK_DURABILITY", "yes please"),
        ("PAYFLOW_POLLERS", "[]"),
        ("PAYFLOW_POLLERS", '{"payout.PROCESSING": {"concurrency": 0}}'),
        ("PAYFLOW_POLLERS", '{"payout.PROCESSING": {"rate": 0}}'),
        ("PAYFLOW_POLLERS", '{"payout.PROCESSING": {"speed": 1}}'),
        ("PAYFLOW_LOG_LEVEL", "loud"),
        ("PAYFLOW_WORKER", "w" * 65),
        ("REDIS_URL", "http://127.0.0.1"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "redis://127.0.0.1:port"),
        ("REDIS_SENTINELS", "one:port"),
        ("REDIS_SENTINELS", "one:70000"),
    ],
)
def test_a_malformed_value_is_refused_in_one_sentence_that_names_it(name: str, value: str) -> None:
    (sentence,) = problems({name: value})
    assert name in sentence


def test_an_empty_value_is_as_good_as_none() -> None:
    assert load({"REDIS_URL": "", "PAYFLOW_SHARDS": "", "REDIS_SENTINELS": ""}).embedded


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"REDIS_URL": "redis://h:1/2"}, "redis://h:1/2"),
        ({"REDIS_URL": "rediss://u:p@h:1"}, "rediss://u:p@h:1"),
        ({"REDIS_URL": "unix:///run/redis.sock"}, "unix:///run/redis.sock"),
        ({"REDIS_HOST": "h"}, "redis://h:6379/0"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "7000", "REDIS_DB": "3"}, "redis://h:7000/3"),
        ({"REDIS_HOST": "h", "REDIS_PASSWORD": "p"}, "redis://:p@h:6379/0"),
        ({"REDIS_HOST": "h", "REDIS_USERNAME": "u", "REDIS_PASSWORD": "p"}, "redis://u:p@h:6379/0"),
        (
            {"REDIS_HOST": "h", "REDIS_USERNAME": "u/@:", "REDIS_PASSWORD": "p@ss:/#?%"},
            "redis://u%2F%40%3A:p%40ss%3A%2F%23%3F%25@h:6379/0",
        ),
    ],
)
def test_a_server_can_be_named_by_its_parts_or_by_one_url(environ: dict[str, str], url: str) -> None:
    settings = load(environ)
    assert settings.url == url
    assert not settings.embedded


def test_the_whole_url_wins_over_its_parts() -> None:
    assert load({"REDIS_URL": "redis://a", "REDIS_HOST": "b", "REDIS_PASSWORD": "p"}).url == "redis://a"


def test_sentinels_are_separated_by_commas() -> None:
    settings = load({"REDIS_SENTINELS": " a:1, b:2 ,,c"})
    assert settings.redis_sentinels == ("a:1", "b:2", "c")
    assert not settings.embedded


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_can_be_in_a_file_as_containers_bring_them(tmp_path: Path, ending: str) -> None:
    (tmp_path / "secret").write_bytes(f"pass word{ending}".encode())
    settings = load({"REDIS_HOST": "h", "REDIS_PASSWORD_FILE": str(tmp_path / "secret")})
    assert settings.url == "redis://:pass%20word@h:6379/0"


def test_a_setting_given_both_ways_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one")
    (sentence,) = problems({"REDIS_PASSWORD": "two", "REDIS_PASSWORD_FILE": str(tmp_path / "secret")})
    assert "both set" in sentence
    assert "one" not in sentence.split()
    assert "two" not in sentence.split()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    assert "IsADirectoryError" in problems({"REDIS_PASSWORD_FILE": str(tmp_path)})[0]
    assert "UnicodeDecodeError" in problems({"REDIS_PASSWORD_FILE": str(tmp_path / "binary")})[0]


def test_an_unknown_setting_in_a_file_is_refused_too() -> None:
    assert "did you mean" in problems({"PAYFLOW_DATE_FILE": "/tmp/x"})[0]


def test_no_secret_is_in_what_is_printed() -> None:
    settings = load({"REDIS_URL": "redis://user:hush@h", "REDIS_PASSWORD": "quiet"})
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "hush" not in text
        assert "quiet" not in text


def test_no_secret_is_in_a_refusal() -> None:
    with pytest.raises(BadSettings) as refused:
        load({"REDIS_URL": "http://user:hush@h", "REDIS_PASSWORD": "quiet", "REDIS_PORT": "x"})
    assert "hush" not in str(refused.value)
    assert "quiet" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_settings_do_not_change_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load({}).shards = 3  # type: ignore[misc]


def test_the_environment_wins_over_the_file_and_a_change_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("PAYFLOW_SHARDS=3\nPAYFLOW_PORT=81\nPAYFLOW_HOST=0.0.0.0\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.removesuffix("_FILE") in NAMES]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PAYFLOW_PORT", "82")
    settings = load(host="127.0.0.2")
    assert (settings.shards, settings.port, settings.host) == (3, 82, "127.0.0.2")


def test_every_setting_has_a_name_in_the_environment_and_a_sentence() -> None:
    source = Path(load.__code__.co_filename).read_text("utf-8")
    for name, field in Settings.model_fields.items():
        assert field.alias == field.alias.upper() if field.alias else False, name
        after = source.split(f'alias="{field.alias}"')[1]
        assert after.split('"""')[0].strip(" ),\n") == "", f"{name} has no sentence right below it"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAYFLOW_RETRY_AFTER_S", "600,-1"),
        ("PAYFLOW_RETRY_AFTER_S", "inf"),
        ("PAYFLOW_RETRY_AFTER_S", "nan"),
        ("PAYFLOW_SETTLE_WINDOW_S", "-1"),
        ("PAYFLOW_SETTLE_WINDOW_S", "inf"),
        ("PAYFLOW_WATCH_DAYS", "inf"),
        ("PAYFLOW_PAYOUT_RAIL", "stripe"),
    ],
)
def test_a_wait_that_would_never_end_and_a_rail_that_is_none_are_refused(name: str, value: str) -> None:
    (problem,) = problems({name: value})
    assert problem.startswith(name)


NEWEST, OLDER = "the newest of two secrets", "the older of the two ones"


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("", ()),
        ("short", ("short",)),
        ("old, with a comma", ("old, with a comma",)),
        (f"{NEWEST},{OLDER}", (NEWEST, OLDER)),
        (f"{NEWEST},short", (f"{NEWEST},short",)),
        (f"{NEWEST},", (f"{NEWEST},",)),
    ],
)
def test_several_secrets_are_live_where_each_is_long_and_one_of_before_is_taken_as_it_is(
    text: str, secrets: tuple[str, ...]
) -> None:
    assert live_secrets(SecretStr(text)) == secrets


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"PAYFLOW_OIDC_ISSUER": "https://id.example"}, "go together"),
        ({"PAYFLOW_OIDC_CLIENT_SECRET": "x"}, "go together"),
        ({"PAYFLOW_OIDC_CLIENT_ID": "x"}, "go together"),
        ({"PAYFLOW_OIDC_ISSUER": "id.example"}, "PAYFLOW_OIDC_ISSUER"),
        ({"PAYFLOW_OIDC_ISSUER": "https://id.example/?x=1"}, "PAYFLOW_OIDC_ISSUER"),
        ({"PAYFLOW_OIDC_SCOPES": "email"}, "`openid`"),
        ({"PAYFLOW_OIDC_ROLES": '{"staff": "boss"}'}, "PAYFLOW_OIDC_ROLES"),
    ],
)
def test_an_identity_provider_is_set_up_whole_or_not_at_all(given: dict[str, str], why: str) -> None:
    with pytest.raises(BadSettings, match=why):
        load(given)
