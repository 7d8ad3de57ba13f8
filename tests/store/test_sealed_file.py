"""A file that leaves the machine shows nothing, and opens only whole, unchanged, and with the key that wrote it."""

import tracemalloc
from pathlib import Path

import pytest

from machines.core.errors import BadInput, BadSettings, UnprovenFile
from payflow.store.sealed_file import FileKeys
from payflow.store.seals import new_key

KEYS = FileKeys([new_key()])
PART = 1 << 20
HEADING = len("payflow sealed file 1\n") + 8 + 32
STORED = PART + 16


def written(path: Path, content: bytes, keys: FileKeys = KEYS) -> Path:
    """Write a sealed file."""
    with path.open("wb") as file, keys.writing(file) as sealed:
        sealed.write(content)
    return path


def read(path: Path, keys: FileKeys = KEYS, *, clear: bool = False) -> bytes:
    """Read it whole."""
    with keys.reading(path, clear=clear) as file:
        return file.read()


@pytest.mark.parametrize("size", [0, 1, 100, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7])
def test_what_was_written_is_read_and_nothing_of_it_is_seen(tmp_path: Path, size: int) -> None:
    content = (b"account 0690000031 " * (size // 19 + 1))[:size]
    path = written(tmp_path / "file", content)
    assert b"0690000031" not in path.read_bytes()
    assert read(path) == content


@pytest.mark.parametrize("place", [0, 25, 40, HEADING, HEADING + 5, HEADING + STORED - 1, HEADING + STORED + 3, -1])
def test_one_byte_that_was_changed_anywhere_is_noticed(tmp_path: Path, place: int) -> None:
    path = written(tmp_path / "file", b"x" * (2 * PART + 9))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput):
        read(path)


@pytest.mark.parametrize(
    "left", [HEADING - 1, HEADING, HEADING + 9, HEADING + STORED, HEADING + 2 * STORED, HEADING + 2 * STORED + 3]
)
def test_one_that_was_cut_is_noticed_also_between_two_parts(tmp_path: Path, left: int) -> None:
    path = written(tmp_path / "file", b"x" * (3 * PART))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(BadInput):
        read(path)


def test_parts_that_were_moved_left_out_repeated_or_taken_from_another_file_are_noticed(tmp_path: Path) -> None:
    whole, other = (written(tmp_path / name, b"x" * (3 * PART)).read_bytes() for name in ("one", "two"))
    heading, parts = whole[:HEADING], [whole[HEADING + n * STORED : HEADING + (n + 1) * STORED] for n in range(3)]
    strange = other[HEADING : HEADING + STORED]
    path = tmp_path / "file"
    for order in (
        [parts[1], parts[0], parts[2]],
        [parts[0], parts[2]],
        [parts[0], parts[0], parts[1], parts[2]],
        [*parts, parts[2]],
        [*parts, b"more"],
        [strange, *parts[1:]],
    ):
        path.write_bytes(heading + b"".join(order))
        with pytest.raises(BadInput, match="changed or cut"):
            read(path)
    path.write_bytes(heading + b"".join(parts))
    assert read(path) == b"x" * (3 * PART)


def test_one_of_a_key_that_is_not_listed_is_refused_by_name_and_an_old_one_opens_as_long_as_it_is(
    tmp_path: Path,
) -> None:
    old, new = new_key(), new_key()
    path = written(tmp_path / "file", b"content", FileKeys([old]))
    assert read(path, FileKeys([new, old])) == b"content"
    for keys in (FileKeys([new]), FileKeys([])):
        with pytest.raises(BadInput, match="which is not in PAYFLOW_BACKUP_KEYS"):
            read(path, keys, clear=True)


def test_one_in_clear_is_read_only_where_somebody_says_so(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"written by an older version")
    with pytest.raises(UnprovenFile, match="nothing proves"):
        read(path)
    assert read(path, clear=True) == b"written by an older version"


def test_one_whose_writing_broke_off_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(RuntimeError), path.open("wb") as file, KEYS.writing(file) as sealed:  # noqa: PT012
        sealed.write(b"x" * (2 * PART))
        raise RuntimeError
    with pytest.raises(BadInput, match="changed or cut"):
        read(path)


def test_a_large_file_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    path, block = tmp_path / "file", b"x" * 65_536
    tracemalloc.start()
    with path.open("wb") as file, KEYS.writing(file) as sealed:
        for _ in range(1024):
            sealed.write(block)
    size = 0
    with KEYS.reading(path) as opened:
        while part := opened.read(65_536):
            size += len(part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 64 * PART
    assert peak < 16 * PART


def test_what_is_no_key_is_refused() -> None:
    for key in ("short", "ä" * 44):
        with pytest.raises(BadSettings, match="payflow seal-key"):
            FileKeys([key])
