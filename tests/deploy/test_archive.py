"""Finished records leave the store for a file, and nothing is forgotten that keeps them from being paid again."""

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput, KeyReused, NotFound
from machines.core.ids import RecordId
from payflow.config import Settings
from payflow.desk.archive import Done, archive, export, find, folder_of, keys_of, lines, unseal, written
from payflow.store.archive import RawRecord
from payflow.store.codec import chain
from payflow.store.sealed_file import FileKeys
from payflow.store.seals import new_key
from payflow.store.store import Store
from tests.desk import ANN, BOB, FakeRail, ask, claim_one, faults, fund, messages, new, opened, stay, tell
from tests.errand import Approved, NotDone, Sent
from tests.errand import Done as Paid
from tests.servers import EVERY

NO_KEYS = FileKeys([])


def nobody(_: int) -> None:
    """Count nothing."""


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """A store whose clock goes: the journal's times are the server's."""
    async with opened(settings, rail=FakeRail()) as store:
        yield store


async def done(store: Store, key: str = "1", units: int = 1_200) -> RecordId:
    """An errand that is paid."""
    record_id = await ask(store, units=units, key=key)
    for fact in (Approved(), Sent(), Paid("receipt")):
        await tell(store, record_id, fact)
    await all_is_told(store)
    return record_id


async def all_is_told(store: Store) -> None:
    """Every message is delivered: a record of which somebody must still hear is not put away."""
    while posts := await store.outbox.take(100, 1000):
        for post in posts:
            await store.outbox.done(post)


async def put_away(store: Store) -> Done:
    """Archive all that is finished by now."""
    begun = now = await store.records.now()
    while now == begun:  # what ended in this very millisecond did not end before it
        now = await store.records.now()
    return await archive(store, folder_of(store), now, "olu")


async def nothing_is_left(store: Store, record_id: RecordId) -> None:
    """The store has neither the record nor a place in an index."""
    with pytest.raises(NotFound):
        await store.records.read(record_id)
    assert await store.records.history(record_id) == []
    assert [fault async for fault in store.integrity.verify()] == []
    assert record_id not in [one.record.id for one in await store.listing.owned_by(ANN)]


async def test_a_finished_record_leaves_the_store_and_is_found_in_its_archive(store: Store) -> None:
    await fund(store)
    record_id = await done(store)
    before = (await store.records.read(record_id)).record
    events = await store.records.history(record_id)
    open_one = await ask(store, key="2")
    result = await put_away(store)
    assert (result.records, result.skipped) == (1, 0)
    assert result.postings >= 2
    await nothing_is_left(store, record_id)
    assert (await store.records.read(open_one)).record.state == "ASKED"
    found = await find(store, record_id, folder_of(store))
    assert found is not None
    assert (found.record.state, found.record.data, found.record.amount) == ("DONE", before.data, before.amount)
    assert found.events == events
    assert found.fault == ""


async def test_an_archived_key_gives_its_first_answer_and_pays_nothing(store: Store) -> None:
    await fund(store)
    first = await store.records.create(new(), "test")
    for fact in (Approved(), Sent(), Paid("receipt")):
        await tell(store, first.record.id, fact)
    await all_is_told(store)
    await put_away(store)
    account = (await store.ledger.account(ANN))["NGN"]
    again = await store.records.create(new(), "test")
    assert not again.fresh
    assert again.record == first.record
    with pytest.raises(KeyReused):
        await store.records.create(new(units=101), "test")
    with pytest.raises(KeyReused):
        await store.records.create(new(fingerprint="another body"), "test")
    assert (await store.ledger.account(ANN))["NGN"] == account
    await nothing_is_left(store, first.record.id)
    answer = await store.archive.first_answer(first.record.id)
    assert answer == first.record


@pytest.mark.parametrize("kind", EVERY, indirect=True)
async def test_the_books_are_still_proven_without_the_postings(store: Store) -> None:
    await fund(store)
    await fund(store, BOB, 500)
    for number in range(5):
        await done(store, str(number))
    failed = await ask(store, key="failed")
    for fact in (Approved(), Sent(), NotDone("bounced")):
        await tell(store, failed, fact)
    await put_away(store)
    assert await faults(store) == []
    for number in range(5, 9):
        await done(store, str(number))
    await put_away(store)
    await fund(store, BOB, 77, "again")
    assert await faults(store) == []
    assert sum([1 async for _ in store.ledger.journal(store.records.owner_shard(BOB))]) == 1
    # What the checkpoint says is checked as well.
    key = f"{{pf:{store.records.owner_shard(BOB):02d}}}:checkpoint"
    await store.link.ask("HSET", key, f"{BOB} NGN", "501 0 0 501 0")
    assert any("bob" in fault for fault in await faults(store))
    await store.link.ask("HSET", key, f"{BOB} NGN", "500 0 0 500 0")


async def test_what_somebody_will_look_at_or_was_not_told_of_stays(store: Store) -> None:
    await fund(store)
    told = await done(store, "told")
    stored = await store.records.read(told)
    await store.records.commit(stored, stay(messages=messages("told")), Sent(), "test")
    parked = await ask(store, key="parked")
    await store.records.park(await claim_one(store), "a bug", "worker-1")
    result = await put_away(store)
    assert result.records == 0
    for record_id in (told, parked):
        await store.records.read(record_id)


async def test_a_record_that_changes_while_it_is_archived_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await fund(store)
    record_id = await done(store)
    put = store.archive.remove

    async def late(kept: RawRecord, file: str, now: Millis) -> bool:
        stored = await store.records.read(record_id)
        await store.records.commit(stored, stay(), Sent(), "test")
        return await put(kept, file, now)

    monkeypatch.setattr(type(store.archive), "remove", lambda _self, *args: late(*args))
    result = await put_away(store)
    assert (result.records, result.skipped) == (0, 1)
    assert (await store.records.read(record_id)).record.version == 5


async def test_a_death_before_the_store_was_told_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await fund(store)
    record_id = await done(store)

    async def dies(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(store.archive), "remove", dies)
        with pytest.raises(KeyboardInterrupt):
            await put_away(store)
    assert (await store.records.read(record_id)).record.state == "DONE"
    assert await faults(store) == []
    assert (await put_away(store)).records == 1
    assert len(list(folder_of(store).glob("*.zst"))) == 2


async def test_two_who_fold_the_same_postings_count_them_once(store: Store) -> None:
    await fund(store)
    await done(store)
    shard = store.records.owner_shard(ANN)
    now = Millis(await store.records.now() + SECOND)
    entries = await store.archive.postings(shard, now)
    sums = await store.ledger.checkpoint(shard)

    async def stale(_: int) -> object:
        return sums

    assert await store.archive.fold(shard, entries)
    other = type(store.ledger)(store.link, store.records)
    other.checkpoint = stale  # type: ignore[method-assign,assignment]
    assert not await type(store.archive)(store.link, store.records, other).fold(shard, entries)
    assert await faults(store) == []


async def test_an_archive_is_lines_that_anybody_can_read(store: Store) -> None:
    await fund(store)
    record_id = await done(store)
    result = await put_away(store)
    assert result.file is not None
    told = [json.loads(line) for line in lines(result.file, NO_KEYS)]
    (record,) = [one for one in told if one["kind"] == "record"]
    assert (record["id"], record["state"], record["owner"], record["units"]) == (record_id, "DONE", "ann", "1200")
    assert [event["state"] for event in record["events"]] == ["ASKED", "READY", "SENDING", "DONE"]
    assert {one["cause"] for one in told if one["kind"] == "posting"} == {record_id, "earned by ann"}
    assert result.file.stat().st_mode & 0o077 == 0


async def test_a_changed_archive_is_noticed(store: Store) -> None:
    await fund(store)
    record_id = await done(store)
    result = await put_away(store)
    assert result.file is not None
    kept = list(lines(result.file, NO_KEYS))
    other = await done(store, "2")
    line = next(one for one in kept if b'"record"' in one)
    told = json.loads(line)
    told["raw"]["events"] = told["raw"]["events"][:-1]
    with written(result.file, NO_KEYS) as write:
        write(json.dumps(told, separators=(",", ":")).encode() + b"\n")
    found = await find(store, record_id, folder_of(store))
    assert found is not None
    assert "newest event" in found.fault
    assert await find(store, other, folder_of(store)) is None


async def test_a_history_that_was_made_up_anew_is_not_the_one_that_left_the_store(store: Store) -> None:
    """A chain proves itself to nobody who can write all of it: what stayed in the store knows how it ended."""
    await fund(store)
    record_id = await done(store)
    result = await put_away(store)
    assert result.file is not None
    (line,) = [one for one in lines(result.file, NO_KEYS) if b'"record"' in one]
    told = json.loads(line)
    events = [b64decode(event) for event in told["raw"]["events"]]
    events[-1] = events[-1].replace(b"receipt", b"nothing")
    told["raw"] |= {
        "events": [b64encode(one).decode() for one in events],
        "hash": b64encode(chain(events[-1])).decode(),
    }
    with written(result.file, NO_KEYS) as write:
        write(json.dumps(told, separators=(",", ":")).encode() + b"\n")
    found = await find(store, record_id, folder_of(store))
    assert found is not None
    assert found.fault == "it is not the one that left the store"


async def test_archives_and_exports_are_encrypted_with_the_key_for_files(settings: Settings, tmp_path: Path) -> None:
    keys = {"backup_keys": SecretStr(new_key())}
    async with opened(settings.model_copy(update=keys), rail=FakeRail()) as store:
        await fund(store)
        record_id = await done(store)
        exported = tmp_path / "all.jsonl.zst.sealed"
        assert await export(store, exported, lambda _: True, "ola", nobody) == 1
        result = await put_away(store)
        assert result.file is not None
        assert result.file.name.endswith(".jsonl.zst.sealed")
        for file in (exported, result.file):
            assert record_id.encode() not in file.read_bytes()
            assert any(record_id.encode() in line for line in lines(file, keys_of(store.settings)))
        found = await find(store, record_id, folder_of(store))
        assert found is not None
        assert (found.record.state, found.fault) == ("DONE", "")
        result.file.write_bytes(result.file.read_bytes()[:-1] + b"!")
        with pytest.raises(BadInput, match="changed or cut"):
            await find(store, record_id, folder_of(store))
        unsealed = tmp_path / "all.jsonl.zst"
        unseal(exported, unsealed, store.settings)
        assert any(record_id.encode() in line for line in lines(unsealed, NO_KEYS))
    async with opened(settings, rail=FakeRail()) as store:
        with pytest.raises(BadInput, match="Set PAYFLOW_BACKUP_KEYS"):
            await export(store, tmp_path / "another.sealed", lambda _: True, "ola", nobody)


async def test_an_archive_that_is_elsewhere_is_asked_for_by_name(store: Store, tmp_path: Path) -> None:
    await fund(store)
    record_id = await done(store)
    result = await put_away(store)
    assert result.file is not None
    with pytest.raises(BadInput, match=result.file.name):
        await find(store, record_id, tmp_path)


async def test_an_export_takes_nothing_away_and_overwrites_nothing(store: Store, tmp_path: Path) -> None:
    await fund(store)
    record_id = await done(store)
    asked = await ask(store, key="2")
    path = tmp_path / "all.jsonl"
    assert await export(store, path, lambda _: True, "ola", nobody) == 2
    assert {json.loads(line)["id"] for line in lines(path, NO_KEYS)} == {record_id, asked}
    await store.records.read(record_id)
    with pytest.raises(BadInput, match="is there already"):
        await export(store, path, lambda _: True, "ola", nobody)
    assert await export(store, tmp_path / "one.jsonl.zst", lambda kept: kept.state == "ASKED", "ola", nobody) == 1


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log off the screen."""
    with capture_logs():
        yield
