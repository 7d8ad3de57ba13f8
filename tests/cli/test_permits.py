"""What nobody of us signed is listed, and taken over by two people exactly as they saw it."""

import pytest

from machines.core.ids import RecordId
from payflow.store import keys
from payflow.store.seals import new_key
from tests.cli.till import Till, showing


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())


def unsigned(till: Till, record_id: RecordId) -> None:
    """Leave a record as an older version would."""
    till.store_ask("HDEL", keys.record(record_id), "mac")


def test_two_people_take_over_what_an_older_version_left(till: Till) -> None:
    asked, failed = till.errand(key="1"), till.errand("FAILED", key="2")
    assert (
        till("permit", "ls").out
        == "Every record, every posting and every row is signed as it is, and what was approved is sealed.\n"
    )
    unsigned(till, asked)
    unsigned(till, failed)
    told = till.json("permit", "ls", code=1)["records"]
    assert {one["record"] for one in told} == {asked, failed}
    assert not any(one["changed_after_it_was_signed"] or one["problem"] for one in told)
    assert "nothing back" in till.refused("override", failed, "CANCELLED", "--reason", "the bank called", "--yes")
    words = ("permit", "adopt", "--reason", "they are those of the version before")
    assert "a shell without a token is nobody" in till.refused(*words)
    with showing(till, "ada"):
        told = till.json(*words)
        assert (told["seen"]["records"], told["seen"]["amounts"]) == ("2", "NGN 24.00")
        assert "the second person must be another one" in till.refused("confirm", told["proposal"], "--yes")
    with showing(till, "bo"):
        assert "2 records are signed" in till("confirm", told["proposal"], "--yes").out
    assert till.json("permit", "ls") == {"records": [], "unsealed": [], "postings": [], "rows": []}
    assert till.json("override", failed, "CANCELLED", "--reason", "the bank called", "--yes")["to"] == "CANCELLED"


def test_what_moved_since_it_was_proposed_is_not_taken_over(till: Till) -> None:
    first = till.errand(key="1")
    unsigned(till, first)
    with showing(till, "ada"):
        told = till.json("permit", "adopt", "--reason", "the version before")
    second = till.errand(key="2")
    unsigned(till, second)
    with showing(till, "bo"):
        assert "is not what it was" in till.refused("confirm", told["proposal"], "--yes")
    assert {one["record"] for one in till.json("permit", "ls", code=1)["records"]} == {first, second}


def test_one_record_is_taken_over_alone_and_what_its_history_denies_never(till: Till) -> None:
    sound, broken = till.errand(key="1"), till.errand(key="2")
    unsigned(till, sound)
    till.store_ask("HSET", keys.record(broken), "units", 5)
    told = {one["record"]: one for one in till.json("permit", "ls", code=1)["records"]}
    assert told[broken]["changed_after_it_was_signed"]
    assert "its history begins with NGN 1200" in told[broken]["problem"]
    with showing(till, "ada"):
        assert "cannot be taken over" in till.refused("permit", "adopt", broken, "--reason", "why not")
        told = till.json("permit", "adopt", sound, "--reason", "the version before")
    with showing(till, "bo"):
        assert "1 records are signed" in till("confirm", told["proposal"], "--yes").out
    assert [one["record"] for one in till.json("permit", "ls", code=1)["records"]] == [broken]


def test_two_people_believe_a_row_that_an_older_process_wrote(till: Till) -> None:
    with showing(till, "ada"):
        till("pause", "everything", "--why", "a bad feeling")
    before = {name: till.store_ask("HGET", keys.PAUSE, name) for name in ("#signature", "everything")}
    till("resume", "everything", "--why", "it is over")
    for name, value in before.items():
        till.store_ask("HSET", keys.PAUSE, name, value)
    assert till.json("permit", "ls", code=1)["rows"] == [keys.PAUSE, f"{keys.PAUSE} #signature"]
    with showing(till, "ada"):
        told = till.json("permit", "adopt", "--reason", "an old process paused it")
    with showing(till, "bo"):
        assert "2 rows are believed as they were seen" in till("confirm", told["proposal"], "--yes").out
    assert till.json("permit", "ls")["rows"] == []
