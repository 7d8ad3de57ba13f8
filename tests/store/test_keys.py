"""Every key is in one list; the scripts use no other, and are as long as a person can read."""

import re
from importlib import resources

import pytest

from machines.core.ids import RecordId
from machines.core.redis import Script
from payflow.store import keys
from payflow.store.keys import KEYS
from payflow.store.scripts import ALL
from tests.keycheck import unlisted

LUA = {file.name: file.read_text("utf-8") for file in (resources.files("payflow.store") / "lua").iterdir()}
ID = RecordId("errand-03-aaaaaaaaaaaaaaaa")

# What a script puts behind the prefix of a shard, up to where a name is put in.
BUILT = re.compile(r"""P \.\. '([^']+)'""")
SUFFIX = re.compile(r"""string\.sub\((?:key|KEYS\[\w+\]), 1, -4\) \.\. '([^']+)'""")
NAMED = re.compile(r"""'(pf:[^']+)'""")


def listed_starts() -> set[str]:
    """What keys of a shard begin with, up to the first place for a name."""
    return {key.shape.removeprefix("{pf:SS}:").partition("<")[0] for key in KEYS if key.shape.startswith("{pf:SS}")}


@pytest.mark.parametrize("name", sorted(LUA))
def test_a_script_builds_only_keys_that_are_listed(name: str) -> None:
    built = set(BUILT.findall(LUA[name])) | set(SUFFIX.findall(LUA[name]))
    # `uniq:fund` and `uniq:rail:<rail>` are spaces of unique claims.
    assert built - {"uniq:fund", "uniq:rail:"} <= listed_starts()
    assert set(NAMED.findall(LUA[name])) <= {keys.WAKE_CHANNEL} | {key.shape for key in KEYS}


def test_the_search_for_keys_in_scripts_finds_some() -> None:
    found = {part for text in LUA.values() for part in BUILT.findall(text) + SUFFIX.findall(text)}
    assert {"rec:", "hist:", "due:", "in:", "acct:", "uniq:", "journal", "outbox", "writers", "parked"} <= found


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.name)
def test_a_script_opens_with_what_it_takes_and_gives(script: Script) -> None:
    header = script.text.split("\n\n")[0] + script.text.split("local ")[0]
    assert script.text.startswith("-- ")
    for word in ("KEYS", "ARGV", "gives"):
        assert word in header, f"{script.name} does not say its {word}"


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.name)
def test_a_script_includes_each_part_once_and_leaves_no_mark(script: Script) -> None:
    assert "--@include" not in script.text
    parts = re.findall(r"--@include (\w+)", LUA[f"{script.name}.lua"])
    assert len(parts) == len(set(parts))
    assert {f"{part}.lua" for part in parts} <= LUA.keys()


def test_every_file_is_a_script_or_part_of_one() -> None:
    included = {f"{part}.lua" for text in LUA.values() for part in re.findall(r"--@include (\w+)", text)}
    assert set(LUA) == included | {f"{script.name}.lua" for script in ALL}


@pytest.mark.parametrize(
    "key",
    [
        keys.sequence(3),
        keys.writers(3),
        keys.history(ID),
        keys.record(ID),
        keys.due(3, "errand", "READY"),
        keys.members(3, "errand", "READY"),
        keys.owned(3, "ann"),
        keys.account(3, "ann"),
        keys.rate("errand.SENDING"),
        keys.META,
        keys.PAUSE,
    ],
)
def test_a_key_that_python_builds_is_listed(key: str) -> None:
    assert any(unlisted({key: kind}) == [] for kind in ("string", "hash", "list", "zset", "stream"))


def test_all_that_one_commit_touches_is_in_one_slot() -> None:
    tags = {re.search(r"\{(.*?)\}", key)[1] for key in (keys.sequence(3), keys.record(ID), keys.prefix(3))}  # type: ignore[index]
    assert tags == {"pf:03"}


def test_a_key_that_is_not_listed_is_found() -> None:
    assert unlisted({"{pf:03}:extra": "hash"}) == ["{pf:03}:extra (hash)"]
    assert unlisted({"{pf:03}:seq": "hash"}) == ["{pf:03}:seq (hash)"]
    assert unlisted({"{pf:3}:seq": "string", "pf:metadata": "hash", "other": "string"})
    assert unlisted({"{pf:03}:seq": "string"}) == []


def test_no_two_kinds_of_key_can_have_the_same_name() -> None:
    """Names of owners may hold colons, so a name may not be followed by anything that another key could end in."""
    starts = sorted(key.shape.partition("<")[0] for key in KEYS)
    assert len(set(starts)) == len(starts)
    for start in starts:
        assert not [longer for longer in starts if longer != start and start[-1] == ":" and longer.startswith(start)]


def test_every_kind_of_key_says_what_it_holds_and_who_uses_it() -> None:
    assert len({key.shape for key in KEYS}) == len(KEYS)
    for key in KEYS:
        assert all((key.holds, key.written_by, key.read_by)), key.shape
