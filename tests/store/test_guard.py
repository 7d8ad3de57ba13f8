"""The memory of what was acknowledged: it notices what a store forgot, and is never alarmed by a store that did not."""

import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from payflow.store.guard import KEPT_MARKS, Guard, Identity

SERVER: Identity = ("run 1", "replication 1")
RESTARTED: Identity = ("run 2", "replication 1")
STORE = "0123456789abcdef"


class Shard:
    """What a server keeps of one shard: how many calls wrote, and the tags of the last."""

    def __init__(self) -> None:
        self.count = 0
        self.tags: list[bytes] = []

    def write(self, times: int = 1) -> bytes:
        for _ in range(times):
            self.count += 1
            self.tags.insert(0, secrets.token_bytes(8))
        self.tags = self.tags[:KEPT_MARKS]
        return self.tags[0]

    def backup(self) -> "Shard":
        copy = Shard()
        copy.count, copy.tags = self.count, list(self.tags)
        return copy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "high-water"


@pytest.fixture
def guard(path: Path) -> Iterator[Guard]:
    guard = Guard(2, path)
    guard.recall(STORE, 0)
    for shard in (0, 1):
        compare(guard, Shard(), SERVER, shard)
    yield guard
    guard.close()


def acknowledged(guard: Guard, shard: Shard, times: int = 1, server: Identity = SERVER) -> None:
    """Write, and let the guard see the reply."""
    for _ in range(times):
        before = guard.counts()
        tag = shard.write()
        guard.saw_write(server, {0: shard.count}, tag, before)


def compare(guard: Guard, shard: Shard, server: Identity, place: int = 0) -> None:
    """Ask a server where it stands, and compare."""
    guard.compare(place, server, shard.count, shard.tags, guard.acknowledged(place))


def started_again(path: Path, shard: Shard, server: Identity = RESTARTED, adopted: int = 0) -> Guard:
    """Open the file as a new process does."""
    guard = Guard(2, path)
    guard.recall(STORE, adopted)
    compare(guard, shard, server)
    guard.close()
    return guard


def test_a_server_that_only_grows_raises_nothing(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 1000)
    assert not guard.alarms
    assert guard.counts() == (1000, 0)


def test_a_known_server_whose_count_goes_back_raises_an_alarm(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    wiped = Shard()
    acknowledged(guard, wiped)
    assert "counts 1 where 5 was acknowledged" in guard.alarms[0]
    assert 1 not in guard.alarms


def test_a_known_server_that_answers_a_question_with_less_raises_an_alarm(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    guard.saw_read(SERVER, {0: 5}, guard.counts())
    assert not guard.alarms
    guard.saw_read(SERVER, {0: 4}, guard.counts())
    assert 0 in guard.alarms


def test_replies_that_come_in_another_order_raise_nothing(guard: Guard) -> None:
    shard = Shard()
    before = guard.counts()
    calls = [(shard.write(), shard.count) for _ in range(20)]
    random.Random(7).shuffle(calls)
    for tag, count in calls:
        guard.saw_write(SERVER, {0: count}, tag, before)
        guard.saw_read(SERVER, {0: count}, before)
    assert not guard.alarms
    assert guard.counts()[0] == 20


def test_an_unknown_server_is_doubted_until_it_is_compared(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    acknowledged(guard, shard, 1, RESTARTED)
    assert guard.doubted == {0}
    compare(guard, shard, RESTARTED)
    assert guard.doubted == set()
    assert not guard.alarms


def test_the_list_of_servers_casts_doubt_on_those_that_are_gone(guard: Guard) -> None:
    guard.doubt_all_but([SERVER, RESTARTED])
    assert guard.doubted == set()
    guard.doubt_all_but([RESTARTED])
    assert guard.doubted == {0, 1}


def test_a_server_that_does_not_know_the_newest_write_raises_an_alarm(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    behind = shard.backup()
    acknowledged(guard, shard)
    compare(guard, behind, RESTARTED)
    assert "does not know write 6" in guard.alarms[0]


@pytest.mark.parametrize("since", [1, 5, KEPT_MARKS - 1])
def test_a_server_that_lost_a_write_and_then_counted_on_raises_an_alarm(guard: Guard, since: int) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    promoted = shard.backup()
    acknowledged(guard, shard)
    promoted.write(since)
    compare(guard, promoted, RESTARTED)
    assert 0 in guard.alarms


def test_a_count_that_went_back_raises_an_alarm_even_where_the_newest_tag_is_known(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    guard.compare(0, RESTARTED, 4, shard.tags, guard.acknowledged(0))
    assert 0 in guard.alarms


@pytest.mark.parametrize("others", [0, 1, KEPT_MARKS - 1, KEPT_MARKS, KEPT_MARKS + 1, 10 * KEPT_MARKS])
def test_a_server_on_which_others_wrote_meanwhile_raises_nothing(guard: Guard, path: Path, others: int) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    shard.write(others)
    compare(guard, shard, RESTARTED)
    assert not guard.alarms
    assert not started_again(path, shard).alarms


def test_what_was_acknowledged_while_in_doubt_is_remembered(guard: Guard) -> None:
    """Between the reply of an unknown server and the comparison, writes are acknowledged too."""
    shard = Shard()
    acknowledged(guard, shard, 5)
    promoted = shard.backup()
    acknowledged(guard, shard, 3, RESTARTED)
    compare(guard, shard, RESTARTED)
    promoted.write()
    compare(guard, promoted, ("run 3", ""))
    assert 0 in guard.alarms


def test_what_two_servers_acknowledged_in_doubt_must_both_be_known(guard: Guard) -> None:
    """The first of two servers in doubt was ahead; the second counted on from where it was."""
    shard = Shard()
    acknowledged(guard, shard, 5)
    second = shard.backup()
    acknowledged(guard, shard, 3, RESTARTED)
    acknowledged(guard, second, 10, ("run 3", ""))
    compare(guard, second, ("run 3", ""))
    assert 0 in guard.alarms


def test_what_is_acknowledged_after_the_question_does_not_look_forgotten(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5, RESTARTED)
    asked, answer = guard.acknowledged(0), shard.backup()
    acknowledged(guard, shard, 2, RESTARTED)
    guard.compare(0, RESTARTED, answer.count, answer.tags, asked)
    assert not guard.alarms
    assert guard.doubted == set()
    behind = shard.backup()
    acknowledged(guard, shard, 1, RESTARTED)
    compare(guard, behind, SERVER)
    assert 0 in guard.alarms


def test_what_another_server_acknowledges_after_the_question_stays_in_doubt(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    promoted = shard.backup()
    asked = guard.acknowledged(0)
    acknowledged(guard, shard, 1, ("run 3", ""))
    guard.compare(0, RESTARTED, promoted.count, promoted.tags, asked)
    assert guard.doubted == {0}
    compare(guard, promoted, RESTARTED)
    assert 0 in guard.alarms


def test_who_never_wrote_still_knows_what_was_there_when_he_came(tmp_path: Path) -> None:
    shard = Shard()
    shard.write(9)
    fresh = Guard(2, tmp_path / "elsewhere")
    fresh.recall(STORE, 0)
    compare(fresh, shard, SERVER)
    assert not fresh.alarms
    wiped = Shard()
    fresh.saw_read(SERVER, {0: wiped.count}, fresh.counts())
    assert 0 in fresh.alarms
    fresh.close()


def test_after_an_alarm_the_mark_stays_so_that_a_restart_finds_the_same(guard: Guard, path: Path) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    promoted = shard.backup()
    acknowledged(guard, shard)
    promoted.write()
    compare(guard, promoted, RESTARTED)
    acknowledged(guard, promoted, 20, RESTARTED)
    assert 0 in started_again(path, promoted).alarms


def test_the_first_reason_stays(guard: Guard) -> None:
    guard.raise_alarm(0, "first")
    guard.raise_alarm(0, "second")
    guard.raise_all("third")
    assert guard.alarms == {0: "first", 1: "third"}


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_process_remembers_what_was_acknowledged_to_the_old(guard: Guard, path: Path) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    behind = shard.backup()
    acknowledged(guard, shard)
    assert 0 in started_again(path, behind).alarms
    assert not started_again(path, shard).alarms


def test_a_file_of_another_store_closes_everything(guard: Guard, path: Path) -> None:
    other = Guard(2, path)
    other.recall("another store", 0)
    assert set(other.alarms) == {0, 1}
    assert "wiped or replaced" in other.alarms[0]
    other.close()


@pytest.mark.parametrize("content", [b"x", b"payflow0" + bytes(24), secrets.token_bytes(200)], ids=len)
def test_a_damaged_file_never_opens_what_it_should_close(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    guard = Guard(2, path)
    guard.recall(STORE, 0)
    if len(content) >= 32:
        assert set(guard.alarms) == {0, 1}
    guard.close()


def test_a_file_that_was_cut_off_keeps_what_is_left_of_it(guard: Guard, path: Path) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    os.truncate(path, 32 + 16)
    again = started_again(path, shard)
    assert not again.alarms
    assert again.counts() == (5, 0)


def test_two_processes_share_one_file_and_the_higher_mark_wins(guard: Guard, path: Path) -> None:
    shard = Shard()
    other = Guard(2, path)
    other.recall(STORE, 0)
    for place in (0, 1):
        compare(other, Shard(), SERVER, place)
    for number in range(100):
        acknowledged((guard, other)[number % 3 == 0], shard)
    behind = shard.backup()
    acknowledged(other, shard)
    acknowledged(guard, shard)
    acknowledged(other, shard)
    assert not guard.alarms
    assert not other.alarms
    assert 0 in started_again(path, behind).alarms
    assert started_again(path, shard).counts()[0] == shard.count
    other.close()


def test_a_process_with_no_file_still_guards_what_it_saw() -> None:
    guard = Guard(1, None)
    guard.recall(STORE, 0)
    compare(guard, Shard(), SERVER)
    shard = Shard()
    acknowledged(guard, shard, 5)
    acknowledged(guard, Shard())
    assert 0 in guard.alarms
    guard.adopt(STORE, 1, [(1, b"x" * 8)])
    guard.close()


def test_the_file_is_nobody_elses_business(guard: Guard, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0


# ── adopting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def lost(guard: Guard) -> Shard:
    """Let the guard find that the store lost a write."""
    shard = Shard()
    acknowledged(guard, shard, 5)
    promoted = shard.backup()
    acknowledged(guard, shard)
    promoted.write()
    compare(guard, promoted, RESTARTED)
    assert 0 in guard.alarms
    return promoted


def test_a_store_that_was_reconciled_is_guarded_from_there(guard: Guard, path: Path) -> None:
    promoted = lost(guard)
    guard.adopt(STORE, 1000, [(promoted.count, promoted.tags[0]), (0, b"")])
    assert not guard.alarms
    behind = promoted.backup()
    acknowledged(guard, promoted, 3, RESTARTED)
    assert not guard.alarms
    assert not started_again(path, promoted, adopted=1000).alarms
    assert 0 in started_again(path, behind, adopted=1000).alarms


def test_what_another_process_reconciled_opens_here_too(guard: Guard, path: Path) -> None:
    promoted = lost(guard)
    elsewhere = Guard(2, path)
    elsewhere.recall(STORE, 0)
    elsewhere.adopt(STORE, 1000, [(promoted.count, promoted.tags[0]), (0, b"")])
    elsewhere.close()
    guard.recall(STORE, 1000)
    assert guard.doubted == {0, 1}
    compare(guard, promoted, RESTARTED)
    assert not guard.alarms
    behind = promoted.backup()
    acknowledged(guard, promoted, 1, RESTARTED)
    compare(guard, behind, SERVER)
    assert 0 in guard.alarms, "and it guards again"


def test_what_a_machine_far_away_reconciled_makes_the_file_here_void(guard: Guard, path: Path) -> None:
    promoted = lost(guard)
    assert not started_again(path, promoted, adopted=1000).alarms
    assert 0 in started_again(path, promoted, adopted=0).alarms, "the file knows of it now; the store does not"


def test_a_store_that_forgot_its_reconciliation_raises_an_alarm(guard: Guard, path: Path) -> None:
    guard.recall(STORE, 1000)
    for shard in (0, 1):
        compare(guard, Shard(), SERVER, shard)
    assert not guard.alarms
    guard.recall(STORE, 500)
    assert set(guard.alarms) == {0, 1}
    assert set(started_again(path, Shard(), adopted=500).alarms) == {0, 1}
