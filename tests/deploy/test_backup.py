"""The embedded store is saved while it works and set back; what was set back sends nothing before it was reconciled."""

import asyncio
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from structlog.testing import capture_logs

from machines.core.errors import BadInput, UnprovenFile
from machines.core.ids import RecordId
from payflow.config import Settings, load
from payflow.desk.reconcile.comparison import Word, compare, open_rails
from payflow.store.backup import save, set_back
from payflow.store.sealed_file import FileKeys
from payflow.store.seals import new_key
from payflow.store.store import Store
from tests.cli.processes import typed
from tests.desk import ANN, ask, claim_one, faults, fund, opened, tell
from tests.errand import Approved, Sent

KEY = new_key()
KEYS = FileKeys([KEY])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log off the screen."""
    with capture_logs():
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A store in a folder."""
    return load({"PAYFLOW_DATA": str(tmp_path / "data"), "PAYFLOW_SHARDS": "4"})


async def saved(store: Store, path: Path) -> Path:
    """Save the store."""
    await save(store.link, store.settings.data, path, await store.records.now(), KEYS)
    return path


async def lose(settings: Settings) -> None:
    """Lose the store's files, and nothing else of the folder."""
    shutil.rmtree(settings.data / "appendonlydir")


async def test_a_backup_brings_back_every_record_and_the_books(settings: Settings, tmp_path: Path) -> None:
    async with opened(settings) as store:
        await fund(store)
        for number in range(50):
            await ask(store, key=str(number))
        path = await saved(store, tmp_path / "backup.tar.zst")
        late = await ask(store, key="late")
    await lose(settings)
    set_back(path, settings.data, KEYS)
    async with opened(settings) as store:
        assert len(await store.listing.owned_by(ANN)) == 50
        assert late not in [one.record.id for one in await store.listing.owned_by(ANN)]
        assert await faults(store) == []


async def test_a_backup_that_is_made_while_payments_go_on_is_whole(settings: Settings, tmp_path: Path) -> None:
    async with opened(settings) as store:
        await fund(store, units=10**9)
        stop = asyncio.Event()

        async def work() -> None:
            number = 0
            while not stop.is_set():
                await asyncio.gather(*(ask(store, key=f"{number}-{each}") for each in range(20)))
                number += 1

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            await asyncio.sleep(0.2)
            sure = len(await store.listing.owned_by(ANN, 100_000))
            path = await saved(store, tmp_path / "backup.tar.zst")
            stop.set()
    await lose(settings)
    set_back(path, settings.data, KEYS)
    async with opened(settings) as store:
        assert len(await store.listing.owned_by(ANN, 100_000)) >= sure > 0
        assert await faults(store) == []


async def test_what_was_set_back_is_closed_even_if_nothing_was_lost(settings: Settings, tmp_path: Path) -> None:
    """The folder's own memory may have come from the same backup: it must not vouch for it."""
    async with opened(settings) as store:
        await fund(store)
        await ask(store)
        path = await saved(store, tmp_path / "backup.tar.zst")
    await lose(settings)
    set_back(path, settings.data, KEYS)
    async with opened(settings) as store:
        assert set(store.guard.alarms) == {0, 1, 2, 3}
        word = Word("otto")
        outcome = await compare(store, (), await store.records.now(), word)
        assert outcome.clear
        await open_rails(store, outcome, word)
        assert store.guard.alarms == {}
    async with opened(settings) as store:
        assert store.guard.alarms == {}
        assert [line.act for line in await store.audit.page(None, 9)] == ["reconcile"]


async def test_a_record_that_was_being_sent_may_not_be_sent_before_it_was_reconciled(
    settings: Settings, tmp_path: Path
) -> None:
    async with opened(settings) as store:
        await fund(store)
        record_id: RecordId = await ask(store)
        for fact in (Approved(), Sent()):
            await tell(store, record_id, fact)
        path = await saved(store, tmp_path / "backup.tar.zst")
    await lose(settings)
    set_back(path, settings.data, KEYS)
    async with opened(settings) as store:
        stored = await claim_one(store, "SENDING")
        with pytest.raises(Exception, match="is paused"):
            await store.may_send(stored, 10_000)


def test_a_store_in_use_is_not_replaced(settings: Settings, tmp_path: Path) -> None:
    async def tried() -> None:
        async with opened(settings) as store:
            path = await saved(store, tmp_path / "backup.tar.zst")
            with pytest.raises(BadInput, match="in use"):
                set_back(path, settings.data, KEYS)
        with pytest.raises(BadInput, match="already"):
            set_back(path, settings.data, KEYS)
        with pytest.raises(BadInput, match="another file"):
            async with opened(settings) as store:
                await saved(store, path)

    asyncio.run(tried())


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty", "missing"])
async def test_a_file_that_is_no_whole_backup_is_refused(settings: Settings, tmp_path: Path, damage: str) -> None:
    async with opened(settings) as store:
        await fund(store)
        path = await saved(store, tmp_path / "backup.tar.zst")
    content = bytearray(path.read_bytes())
    match damage:
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "flipped":
            content[len(content) // 2] ^= 0xFF
            path.write_bytes(content)
        case "foreign":
            (tmp_path / "passwd").write_text("root")
            with (
                path.open("wb") as file,
                zstandard.ZstdCompressor().stream_writer(file) as packed,
                tarfile.open(fileobj=packed, mode="w|") as tar,
            ):
                tar.add(tmp_path / "passwd", "../passwd")
        case "empty":
            path.write_bytes(b"")
        case _:
            path.unlink()
    target = tmp_path / "elsewhere"
    with pytest.raises(BadInput):
        set_back(path, target, KEYS)
    assert not (target / "appendonlydir").exists(), "half a store must not be taken for one"
    assert not (tmp_path / "passwd").exists() or (tmp_path / "passwd").read_text() == "root"


def repacked(path: Path, keys: FileKeys) -> bytes:
    """A backup as somebody rewrote it who needs no key: with another owner, and checksums that are right again."""
    with (
        keys.reading(path, clear=True) as file,
        zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as packed,
    ):
        content = packed.read()
    assert b"earned by ann" in content
    return zstandard.ZstdCompressor(write_checksum=True).compress(content.replace(b"ann", b"eve"))


async def test_a_backup_that_somebody_rewrote_is_refused(settings: Settings, tmp_path: Path) -> None:
    async with opened(settings) as store:
        await fund(store)
        path = await saved(store, tmp_path / "backup.tar.zst")
    assert b"earned by" not in path.read_bytes()
    path.write_bytes(repacked(path, KEYS))
    await lose(settings)
    with pytest.raises(UnprovenFile, match="nothing proves"):
        set_back(path, settings.data, KEYS)
    assert not list(settings.data.glob("appendonlydir*"))


async def test_a_backup_of_somebody_elses_key_is_refused_and_one_of_an_older_key_of_ours_is_not(
    settings: Settings, tmp_path: Path
) -> None:
    async with opened(settings) as store:
        await fund(store)
        path = await saved(store, tmp_path / "backup.tar.zst")
    await lose(settings)
    with pytest.raises(BadInput, match="not in PAYFLOW_BACKUP_KEYS"):
        set_back(path, settings.data, FileKeys([new_key()]), clear=True)
    set_back(path, settings.data, FileKeys([new_key(), KEY]))
    async with opened(settings) as store:
        assert await faults(store) == []


async def test_a_backup_in_clear_is_set_back_only_where_somebody_says_so(settings: Settings, tmp_path: Path) -> None:
    async with opened(settings) as store:
        await fund(store)
        path = tmp_path / "backup.tar.zst"
        await save(store.link, settings.data, path, await store.records.now(), FileKeys([]))
    await lose(settings)
    with pytest.raises(UnprovenFile):
        set_back(path, settings.data, KEYS)
    set_back(path, settings.data, KEYS, clear=True)
    async with opened(settings) as store:
        assert await faults(store) == []


@pytest.mark.parametrize("left", [0.1, 0.5, 0.99])
async def test_a_backup_that_was_cut_leaves_nothing_behind(settings: Settings, tmp_path: Path, left: float) -> None:
    async with opened(settings) as store:
        await fund(store)
        for number in range(50):
            await ask(store, key=str(number))
        path = await saved(store, tmp_path / "backup.tar.zst")
    await lose(settings)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(BadInput, match="changed or cut"):
        set_back(path, settings.data, KEYS)
    assert not list(settings.data.glob("appendonlydir*"))


async def test_the_command_line_says_what_is_in_clear_and_takes_it_only_when_told_to(tmp_path: Path) -> None:
    async def say(*words: str, key: str = "") -> tuple[int, str]:
        given = {"PAYFLOW_BACKUP_KEYS": key} if key else {}
        code, out, err = await typed(tmp_path, *words, **given)
        return code, out + err

    assert (await say("init"))[0] == 0
    assert "It is NOT encrypted" in (await say("backup", "clear.tar.zst"))[1]
    assert "without which it cannot be restored" in (await say("backup", "sealed", key=KEY))[1]
    assert (await say("unseal", "sealed", "opened.tar.zst", key=KEY))[0] == 0
    assert (tmp_path / "opened.tar.zst").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    code, said = await say("unseal", "sealed", "stolen.tar.zst", key=new_key())
    assert (code, "not in PAYFLOW_BACKUP_KEYS" in said) == (1, True)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("stolen")]  # noqa: PTH208
    shutil.rmtree(tmp_path / "data" / "appendonlydir")
    code, said = await say("restore", "clear.tar.zst", key=KEY)
    assert (code, "add --unencrypted" in said) == (1, True)
    assert (await say("restore", "clear.tar.zst", "--unencrypted"))[0] == 0
