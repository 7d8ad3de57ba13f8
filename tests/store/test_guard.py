"""The memory of what was acknowledged: it notices what a store forgot, and is never alarmed by a store that did not."""

import copy
import os
import random
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflow.store.guard import Guard, Identity, Mark, ShardState, WriteReply

SERVER: Identity = ("run 1", "replication 1")
RESTARTED: Identity = ("run 2", "replication 1")
STORE = "0123456789abcdef"
OTHERS = "somebody else"
NEVER = Mark()


class Shard:
    """What a server keeps of one shard, as the script of a commit does."""

    def __init__(self) -> None:
        self.count = 0
        self.numbers: dict[str, int] = {}
        self.tags: dict[str, str] = {}
        self.lost = ""

    def write(self, writer: str = OTHERS, known: Mark = NEVER, tag: str = "") -> WriteReply:
        number = self.numbers.get(writer, 0)
        if number < known.number or (0 < number == known.number and self.tags[writer] != known.tag):
            self.lost = self.lost or f"{known.number} of {writer}"
        self.count += 1
        self.numbers[writer] = number + 1
        self.tags[writer] = tag or secrets.token_hex(8)
        return WriteReply(Mark(self.count, number + 1, self.tags[writer], 0), self.lost, 0)

    def writes(self, times: int) -> None:
        for _ in range(times):
            self.write()

    def shard_state(self, server: Identity) -> ShardState:
        marks = {writer: Mark(0, number, self.tags[writer], 0) for writer, number in self.numbers.items()}
        return ShardState(server, self.count, marks, self.lost, -1)

    def backup(self) -> "Shard":
        return copy.deepcopy(self)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "high-water"


@pytest.fixture
def guard(path: Path) -> Iterator[Guard]:
    guard = new_guard(path)
    yield guard
    guard.close()


def new_guard(path: Path | None, shard: Shard | None = None, shards: int = 2) -> Guard:
    """Open the file of a process, and compare for the first time."""
    guard = Guard(shards, path)
    guard.recall(STORE, 0)
    for place in range(shards):
        compare(guard, shard or Shard(), SERVER, place)
    return guard


def acknowledged(guard: Guard, shard: Shard, times: int = 1, server: Identity = SERVER) -> None:
    """Write, and let the guard see the reply."""
    for _ in range(times):
        before = guard.acknowledged()
        guard.saw_write(server, {0: shard.write(guard.writer, before[0])}, before)


def compare(guard: Guard, shard: Shard, server: Identity, place: int = 0) -> None:
    """Ask a server where it stands, and compare."""
    guard.compare(place, shard.shard_state(server), guard.question(place))


def read(guard: Guard, shard: Shard, server: Identity = SERVER) -> None:
    """Let the guard see the reply to a question."""
    guard.saw_read(server, {0: (shard.count, shard.lost)}, guard.acknowledged())


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
    assert [mark.count for mark in guard.acknowledged()] == [1000, 0]


def test_a_known_server_whose_count_goes_back_raises_an_alarm(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    wiped = Shard()
    acknowledged(guard, wiped)
    assert "counts 1 where more was acknowledged" in guard.alarms[0]
    assert 1 not in guard.alarms


def test_a_known_server_that_answers_a_question_with_less_raises_an_alarm(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 4)
    behind = shard.backup()
    acknowledged(guard, shard)
    read(guard, shard)
    assert not guard.alarms
    read(guard, behind)
    assert 0 in guard.alarms


def test_replies_that_come_in_another_order_raise_nothing(guard: Guard) -> None:
    shard = Shard()
    before = guard.acknowledged()
    replies = [shard.write(guard.writer, before[0]) for _ in range(20)]
    random.Random(7).shuffle(replies)
    for reply in replies:
        guard.saw_write(SERVER, {0: reply}, before)
        guard.saw_read(SERVER, {0: (reply.mark.count, "")}, before)
    assert not guard.alarms
    assert guard.acknowledged()[0].count == 20


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
    assert 0 in guard.alarms


@pytest.mark.parametrize("since", [1, 5, 255, 256, 1000, 5000])
def test_a_server_that_lost_a_write_and_then_counted_on_raises_an_alarm(guard: Guard, since: int) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    promoted = shard.backup()
    acknowledged(guard, shard)
    promoted.writes(since)
    compare(guard, promoted, RESTARTED)
    assert "does not know write 6" in guard.alarms[0]


@pytest.mark.parametrize("since", [0, 1, 1000])
def test_who_lost_a_write_and_writes_on_does_not_hide_it(guard: Guard, since: int) -> None:
    """Its next call comes to the new server before anybody compared, and its reply never arrives."""
    shard = Shard()
    acknowledged(guard, shard, 5)
    promoted = shard.backup()
    acknowledged(guard, shard)
    promoted.writes(since)
    for _ in range(3):
        promoted.write(guard.writer, guard.acknowledged()[0])
    compare(guard, promoted, RESTARTED)
    assert 0 in guard.alarms


def test_what_one_process_missed_another_one_learns(guard: Guard, tmp_path: Path) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    far_away = new_guard(tmp_path / "elsewhere", shard)
    promoted = shard.backup()
    acknowledged(guard, shard)
    promoted.writes(1000)
    compare(far_away, promoted, RESTARTED)
    assert not far_away.alarms
    promoted.write(guard.writer, guard.acknowledged()[0])
    read(far_away, promoted, RESTARTED)
    assert f"write 6 of {guard.writer}" in far_away.alarms[0]
    far_away.close()


def test_who_is_gone_is_compared_for_by_the_next_in_his_folder(guard: Guard, path: Path) -> None:
    """The machine was off when the failover came; thousands of calls of others were made since."""
    shard = Shard()
    acknowledged(guard, shard, 5)
    promoted = shard.backup()
    acknowledged(guard, shard)
    guard.close()
    promoted.writes(5000)
    assert 0 in started_again(path, promoted).alarms
    assert not started_again(path, shard).alarms


def test_a_process_beside_compares_for_those_of_its_folder(guard: Guard, path: Path) -> None:
    beside = new_guard(path)
    shard = Shard()
    acknowledged(beside, shard, 2)
    acknowledged(guard, shard, 5)
    promoted = shard.backup()
    acknowledged(guard, shard)
    promoted.writes(1000)
    beside.recall(STORE, 0)
    compare(beside, promoted, RESTARTED)
    assert 0 in beside.alarms
    beside.close()


@pytest.mark.parametrize("since", [1, 3, 1000])
def test_two_servers_that_acknowledge_different_writes_went_apart(guard: Guard, since: int) -> None:
    """A reply of the old primary arrives when the new one is believed already."""
    shard = Shard()
    acknowledged(guard, shard, 5)
    promoted, before = shard.backup(), guard.acknowledged()
    late = shard.write(guard.writer, before[0])
    compare(guard, promoted, RESTARTED)
    acknowledged(guard, promoted, since, RESTARTED)
    assert not guard.alarms
    guard.saw_write(SERVER, {0: late}, before)
    assert 0 in guard.alarms


def test_a_late_reply_of_a_server_that_restarted_meanwhile_raises_nothing(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    before = guard.acknowledged()
    late = shard.write(guard.writer, before[0])
    compare(guard, shard, RESTARTED)
    acknowledged(guard, shard, 1000, RESTARTED)
    guard.saw_write(SERVER, {0: late}, before)
    compare(guard, shard, RESTARTED)
    assert not guard.alarms
    assert guard.doubted == set()


def test_a_writer_that_was_dropped_because_it_stayed_away_raises_nothing(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    del shard.numbers[guard.writer], shard.tags[guard.writer]
    shard_state = shard.shard_state(RESTARTED)
    guard.compare(0, ShardState(RESTARTED, 5, shard_state.marks, "", 0), guard.question(0))
    assert not guard.alarms


def test_a_count_that_went_back_raises_an_alarm_even_where_the_newest_tag_is_known(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    shard.count = 4
    compare(guard, shard, RESTARTED)
    assert 0 in guard.alarms


@pytest.mark.parametrize("others", [0, 1, 256, 5000])
def test_a_server_on_which_others_wrote_meanwhile_raises_nothing(guard: Guard, path: Path, others: int) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    shard.writes(others)
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
    asked, answer = guard.question(0), shard.shard_state(RESTARTED)
    acknowledged(guard, shard, 2, RESTARTED)
    guard.compare(0, answer, asked)
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
    asked = guard.question(0)
    acknowledged(guard, shard, 1, ("run 3", ""))
    guard.compare(0, promoted.shard_state(RESTARTED), asked)
    assert guard.doubted == {0}
    compare(guard, promoted, RESTARTED)
    assert 0 in guard.alarms


def test_who_never_wrote_still_knows_what_was_there_when_he_came(tmp_path: Path) -> None:
    shard = Shard()
    shard.writes(9)
    fresh = new_guard(tmp_path / "elsewhere", shard)
    assert not fresh.alarms
    read(fresh, Shard())
    assert 0 in fresh.alarms
    fresh.close()


def test_who_never_wrote_knows_which_writes_were_there_when_he_came(tmp_path: Path) -> None:
    shard = Shard()
    shard.write("gone for ever")
    behind = Shard()
    fresh = new_guard(tmp_path / "elsewhere", shard)
    behind.writes(1000)
    compare(fresh, behind, RESTARTED)
    assert "of gone for ever" in fresh.alarms[0]
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


def of_an_older_version(path: Path, count: int, store: str = STORE, adopted: int = 0) -> None:
    slots = struct.pack("<Q8s", count, b"tag 1234") + struct.pack("<Q8s", 0, b"")
    path.write_bytes(struct.pack("<8s16sQ", b"payflow1", store.encode(), adopted) + slots)


def test_what_an_older_version_counted_is_taken_over(path: Path) -> None:
    shard = Shard()
    shard.writes(5)
    of_an_older_version(path, 5)
    guard = new_guard(path, shard)
    assert not guard.alarms
    acknowledged(guard, shard)
    guard.close()
    after = new_guard(path, shard)
    assert not after.alarms
    after.close()
    assert 0 in new_guard(path, Shard()).alarms


def test_a_store_that_counts_less_than_an_older_version_did_has_lost_writes(path: Path) -> None:
    shard = Shard()
    shard.writes(4)
    of_an_older_version(path, 5)
    for _ in range(2):  # and whoever starts after that finds the same
        guard = new_guard(path, shard)
        assert set(guard.alarms) == {0}
        guard.close()


@pytest.mark.parametrize(("store", "adopted"), [("another store 00", 0), (STORE, 7)])
def test_an_older_versions_file_of_another_store_closes_everything(path: Path, store: str, adopted: int) -> None:
    of_an_older_version(path, 0, store, adopted)
    assert set(new_guard(path).alarms) == {0, 1}


@pytest.mark.parametrize("content", [b"x", b"payflow0" + bytes(40), secrets.token_bytes(200)], ids=len)
def test_a_damaged_file_never_opens_what_it_should_close(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    guard = Guard(2, path)
    guard.recall(STORE, 0)
    if len(content) >= 48:
        assert set(guard.alarms) == {0, 1}
    guard.close()


def test_a_file_that_was_cut_off_keeps_what_is_left_of_it(guard: Guard, path: Path) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    guard.close()
    os.truncate(path, 48 + 40)
    again = started_again(path, shard)
    assert not again.alarms
    assert [mark.count for mark in again.acknowledged()] == [5, 0]


def test_each_process_of_a_folder_has_a_file_and_the_next_one_goes_on_in_it(guard: Guard, path: Path) -> None:
    shard = Shard()
    other = new_guard(path)
    assert guard.writer != other.writer
    for number in range(100):
        acknowledged((guard, other)[number % 3 == 0], shard)
    behind = shard.backup()
    acknowledged(other, shard)
    acknowledged(guard, shard)
    acknowledged(other, shard)
    assert not guard.alarms
    assert not other.alarms
    other.close()
    for _ in range(5):
        again = started_again(path, shard)
        assert (again.alarms, again.writer) == ({}, other.writer)
    assert 0 in started_again(path, behind).alarms
    assert {file.name for file in path.parent.iterdir()} == {"high-water", "high-water.1"}


def test_a_process_with_no_file_still_guards_what_it_saw() -> None:
    guard = new_guard(None, shards=1)
    shard = Shard()
    acknowledged(guard, shard, 5)
    acknowledged(guard, Shard())
    assert 0 in guard.alarms
    guard.adopt(STORE, 1, [Shard().shard_state(SERVER)])
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
    guard.adopt(STORE, 1000, [promoted.shard_state(RESTARTED), Shard().shard_state(RESTARTED)])
    compare(guard, promoted, RESTARTED)
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
    elsewhere.adopt(STORE, 1000, [promoted.shard_state(RESTARTED), Shard().shard_state(RESTARTED)])
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


def test_a_call_that_comes_after_somebody_reconciled_is_no_loss_and_is_compared(guard: Guard) -> None:
    shard = Shard()
    acknowledged(guard, shard, 5)
    before = guard.acknowledged()
    guard.saw_write(SERVER, {0: WriteReply(Mark(3, 1, "x" * 16, 0), "", 1000)}, before)
    assert not guard.alarms
    assert guard.doubted == {0}


# ── whatever is lost ─────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.data())
def test_whichever_acknowledged_write_of_two_writers_is_lost_is_missed_however_many_come_after(
    data: st.DataObject,
) -> None:
    """The store loses any end of what it acknowledged, or any single write; then others write, and then they look."""
    guards = [new_guard(None, shards=1) for _ in range(2)]
    calls: list[tuple[int, Mark, str]] = []
    """Who wrote, what they brought, and under which tag."""
    shard = Shard()
    for who in data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=30), "writers"):
        before = guards[who].acknowledged()
        reply = shard.write(guards[who].writer, before[0])
        calls.append((who, before[0], reply.mark.tag))
        if data.draw(st.integers(0, 9)):  # else its reply never arrived
            guards[who].saw_write(SERVER, {0: reply}, before)
        else:
            calls[-1] = (-1 - who, *calls[-1][1:])
    at = data.draw(st.integers(0, len(calls)), "lost from")
    until = at + 1 if data.draw(st.booleans(), "a single one") else len(calls)
    lost = {who for who, _, _ in calls[at:until] if who >= 0}
    left = Shard()
    for who, brought, tag in calls[:at] + calls[until:]:
        left.write(guards[who if who >= 0 else -1 - who].writer, brought, tag)
    left.writes(data.draw(st.sampled_from([0, 1, 300, 1000]), "others"))
    for who, guard in enumerate(guards):
        for _ in range(data.draw(st.integers(0, 3), "writes before anybody looks")):
            left.write(guard.writer, guard.acknowledged()[0])
        compare(guard, left, RESTARTED)
        assert not (who in lost and not guard.alarms), "its write is lost and it does not know"
        assert lost or at < len(calls) or not guard.alarms, "nothing is lost"
