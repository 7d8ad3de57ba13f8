"""A record that was set back, or taken away, with all that names it, is missed: how far it was is written outside."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from machines.core.clock import FixedClock
from machines.core.errors import Conflict
from machines.core.ids import RecordId
from payflow.desk.books import Bookkeeper, faults_of
from payflow.store import heads, keys
from payflow.store.heads import Heads
from payflow.store.macs import Forged
from payflow.store.pauses import EVERYTHING
from payflow.store.registers.platforms import PlatformGrant
from payflow.store.store import Store
from tests.desk import LEASE_MS, ask, claim_one, fund, opened, settings_for, tell
from tests.errand import Approved, Cancelled, Done, Sent
from tests.servers import Deployment

SHARD = 3
FILE = "anchors.heads"


async def copy(store: Store, record_id: RecordId) -> dict[str, bytes]:
    """Copy a record with its history and all that names it."""
    found: dict[str, bytes] = {}
    for key in [one async for one in store.link.keys("{pf:03}:*")]:
        if any(part in key for part in (record_id, ":in:", ":due:", ":own:", ":acct:", ":rails", ":journal")):
            found[key] = await store.link.ask("DUMP", key)
    return found


async def set_back(store: Store, copied: dict[str, bytes], record_id: RecordId) -> None:
    """Make everything of it as it was."""
    for key in [one async for one in store.link.keys("{pf:03}:*")]:
        if record_id in key or any(part in key for part in (":in:", ":due:", ":rails")):
            await store.link.ask("DEL", key)
    for key, dump in copied.items():
        await store.link.ask("RESTORE", key, 0, dump, "REPLACE")


async def sending(store: Store) -> RecordId:
    await fund(store)
    record_id = await ask(store)
    await tell(store, record_id, Approved())
    return record_id


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{FILE}*"))


async def faults(store: Store) -> dict[str, str]:
    return {place: why async for place, why in store.records.heads.faults(store.link)}


async def test_what_is_sound_is_as_it_was_written_down(store: Store) -> None:
    record_id = await sending(store)
    for fact in (Sent(), Done("receipt")):
        await tell(store, record_id, fact)
        await store.write_down()
    cancelled = await ask(store, key="2")
    await tell(store, cancelled, Cancelled())
    await store.write_down()
    raw = await store.archive.read(cancelled)
    assert raw is not None
    assert await store.archive.remove(raw, "file", await store.records.now())
    assert await faults(store) == {}
    assert await store.archive.bring_back(cancelled, "ola", "to see")
    assert await faults(store) == {}
    assert [fault async for fault in faults_of(store)] == []


async def test_a_record_that_was_set_back_with_everything_is_found_and_its_machine_stops(store: Store) -> None:
    record_id = await sending(store)
    before = await copy(store, record_id)
    await tell(store, record_id, Sent())
    await store.write_down()
    await set_back(store, before, record_id)
    assert (await store.ledger.check()).conserved
    assert "it was set back to version 2" in (await faults(store))[record_id]
    await Bookkeeper(store, 30, 3600).check_in_turn()
    assert "machine:errand" in await store.pauses.all()


async def test_a_record_that_was_taken_away_with_everything_is_found(store: Store) -> None:
    await fund(store)
    before = await copy(store, RecordId("errand-03-aaaaaaaaaaaaaaaa"))
    record_id = await ask(store)
    await store.write_down()
    await set_back(store, before, record_id)
    assert (await store.ledger.check()).conserved
    assert "is not there any more" in (await faults(store))[record_id]


async def test_a_history_that_went_another_way_is_found(store: Store) -> None:
    record_id = await sending(store)
    before = await copy(store, record_id)
    await tell(store, record_id, Sent())
    await store.write_down()
    await set_back(store, before, record_id)
    store.records.heads._newest.clear()  # noqa: SLF001  (another process takes it on)
    await tell(store, record_id, Cancelled())
    assert "its history is not the one" in (await faults(store))[record_id]


async def test_an_archived_record_that_was_forgotten_is_found(store: Store) -> None:
    cancelled = await sending(store)
    await tell(store, cancelled, Cancelled())
    await store.write_down()
    raw = await store.archive.read(cancelled)
    assert raw is not None
    assert await store.archive.remove(raw, "file", await store.records.now())
    for key in (keys.tombs(SHARD), keys.gone(SHARD)):
        await store.link.ask("HDEL", key, cancelled)
    assert "is not there any more" in (await faults(store))[cancelled]


async def test_the_process_that_took_it_further_sends_nothing_and_gives_nothing_back(store: Store) -> None:
    record_id = await sending(store)
    before = await copy(store, record_id)
    await tell(store, record_id, Sent())
    await set_back(store, before, record_id)
    held = await claim_one(store, "SENDING" if await _state(store, record_id) == "SENDING" else "READY")
    with pytest.raises(Forged, match="was set back"):
        await store.may_send(held, LEASE_MS)
    with pytest.raises(Forged, match="was set back"):
        await tell(store, record_id, Cancelled())


async def _state(store: Store, record_id: RecordId) -> str:
    return (await store.records.read(record_id)).record.state


async def test_what_moved_since_it_was_read_is_no_forgery(store: Store) -> None:
    record_id = await sending(store)
    before = await store.records.read(record_id)
    await tell(store, record_id, Sent())
    with pytest.raises(Conflict):
        await store.records.refuse_set_back(before)


@pytest.fixture
async def two(server: Deployment, tmp_path: Path, clock: FixedClock) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes on one folder."""
    settings = settings_for(server, tmp_path)
    async with opened(settings, clock=clock) as one, opened(settings, clock=clock) as other:
        yield one, other


async def test_each_process_has_a_file_and_each_compares_all(two: tuple[Store, Store], tmp_path: Path) -> None:
    one, other = two
    record_id = await sending(one)
    before = await copy(one, record_id)
    await tell(other, record_id, Sent())
    await other.write_down()
    await set_back(one, before, record_id)
    for store in two:
        assert record_id in await faults(store)
    assert {path.name for path in files(tmp_path)} == {FILE, f"{FILE}.1"}


async def test_what_a_person_took_for_the_truth_is_compared_with_nothing_from_before(
    two: tuple[Store, Store],
) -> None:
    one, other = two
    record_id = await sending(one)
    before = await copy(one, record_id)
    await tell(other, record_id, Sent())
    await other.write_down()
    await set_back(one, before, record_id)
    await one.adopt()
    for store in two:
        await store.compare()
        assert await faults(one) == {}
    await tell(other, record_id, Sent())
    await other.write_down()
    await set_back(one, before, record_id)
    assert record_id in await faults(one)


async def test_that_a_store_was_taken_for_the_truth_is_not_said_by_who_writes_to_it_alone(
    server: Deployment, tmp_path: Path, clock: FixedClock
) -> None:
    settings = settings_for(server, tmp_path)
    async with opened(settings, clock=clock) as store:
        await sending(store)
        before = {key: await store.link.ask("DUMP", key) for key in [one async for one in store.link.keys("*")]}
        await ask(store, key="2")
        await store.adopt()
        await ask(store, key="3")
    async with opened(settings, clock=clock) as store:
        for key in [one async for one in store.link.keys("*")]:
            await store.link.ask("DEL", key)
        for key, dump in before.items():
            await store.link.ask("RESTORE", key, 0, dump)
        for shard in range(store.records.shards):
            await store.link.ask("HSET", keys.writers(shard), "adopted", clock.now() * 2)
        await store.link.ask("HSET", keys.META, "adopted", clock.now() * 2)
    for path in files(tmp_path):
        path.unlink()
    async with opened(settings, clock=clock) as store:
        assert {"shard:00", "shard:03"} <= set(await store.pauses.all()) or EVERYTHING in await store.pauses.all()
        assert store.guard.alarms


async def test_a_list_of_rows_that_was_put_back_is_found_by_who_starts_afterwards(
    server: Deployment, tmp_path: Path, clock: FixedClock
) -> None:
    settings = settings_for(server, tmp_path)
    async with opened(settings, clock=clock) as store:
        await store.platforms.grant("shop", PlatformGrant({"NGN": 10**9}))
        names = [one async for one in store.link.keys("pf:rows:*")] + [keys.PLATFORMS]
        before = {key: await store.link.ask("DUMP", key) for key in names}
        await store.platforms.grant("shop", PlatformGrant({"NGN": 5}))
    async with opened(settings, clock=clock) as store:
        for key, dump in before.items():
            await store.link.ask("RESTORE", key, 0, dump, "REPLACE")
    async with opened(settings, clock=clock) as store:
        with pytest.raises(Forged, match="put back"):
            await store.platforms.granted("shop")
        await Bookkeeper(store, 30, 3600).check_in_turn()
        assert EVERYTHING in await store.pauses.all()
        await store.adopt()
        assert (await store.platforms.granted("shop")).daily == {"NGN": 10**9}


def lines(number: int) -> list[tuple[RecordId, int, bytes]]:
    return [
        (RecordId(f"errand-03-{'a' * 14}{chr(97 + place)}a"), 1 + number, bytes([place] * 32)) for place in range(5)
    ]


def test_a_file_that_was_changed_is_told_and_one_that_was_cut_off_in_the_middle_of_a_block_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / FILE
    mine = Heads(path, b"key")
    mine.open(0)
    for number in range(3):
        for line in lines(number):
            mine.committed(*line)
        mine.write_down()
    sound = path.read_bytes()
    assert len(list(mine.all())) == 15
    path.write_bytes(sound.replace(b" 2 ", b" 1 ", 1))
    with pytest.raises(heads.Broken):
        list(mine.all())
    path.write_bytes(sound[:-60])
    for line in lines(7):
        mine.committed(*line)
    mine.write_down()
    assert [one.version for one in mine.all()] == ["1"] * 5 + ["2"] * 5 + ["8"] * 5
    mine.close()


def test_a_long_file_is_shortened_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / FILE
    mine = Heads(path, b"key")
    mine.open(0)
    for number in (0, 5, 2):
        for line in lines(number):
            mine._newest.clear()  # noqa: SLF001  (as another process would)
            mine.committed(*line)
        mine.write_down()
    mine.close()
    before = path.stat().st_size
    again = Heads(path, b"key", longest=10)
    again.open(0)
    again.shorten()
    shorter = path.stat().st_size
    assert shorter < before
    again.shorten()
    again.committed(*lines(6)[0])
    again.shorten()
    assert path.stat().st_size > shorter, "it is not shortened for a line"
    again.committed(*lines(0)[0])
    assert {(one.id, one.version) for one in again.all()} >= {(name, "6") for name, _, _ in lines(0)}
    assert {path.name for path in tmp_path.iterdir()} == {FILE}
    again.close()


def test_memory_for_what_waits_and_what_is_known_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MOST_WAITING", 3)
    monkeypatch.setattr(heads, "MOST_REMEMBERED", 4)
    mine = Heads(tmp_path / FILE, b"key")
    mine.open(0)
    for line in lines(0):
        mine.committed(*line)
    assert len(list(mine.all())) == 3
    assert [mine.passed(name, 0) for name, _, _ in lines(0)] == [False, True, True, True, True]
    mine.close()


async def test_a_key_of_an_archived_record_pays_no_second_time_though_it_was_forgotten(store: Store) -> None:
    record_id = await sending(store)
    await tell(store, record_id, Cancelled())
    raw = await store.archive.read(record_id)
    assert raw is not None
    assert await store.archive.remove(raw, "file", await store.records.now())
    await store.link.ask("HDEL", keys.gone(SHARD), record_id)
    assert await ask(store) == record_id
    await tell(store, record_id, Approved())
    held = await claim_one(store, "READY")
    with pytest.raises(Forged, match="was archived"):
        await store.may_send(held, LEASE_MS)
    assert "it is there, and archived as well" in {fault.problem async for fault in store.integrity.verify()}
