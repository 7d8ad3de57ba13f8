"""Where the in-process chain keeps what it knows: one file, written whole with each block."""

import sqlite3
from pathlib import Path

from eth.db.backends.base import BaseDB


class KeptDB(BaseDB):
    """Keys and values in SQLite. What is written counts from `commit` on, so that a kill leaves whole blocks."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("CREATE TABLE IF NOT EXISTS kept (name BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def commit(self) -> None:
        """Keep all that was written since."""
        self._file.commit()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __getitem__(self, key: bytes) -> bytes:
        row = self._file.execute("SELECT value FROM kept WHERE name = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._file.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        if not self._file.execute("DELETE FROM kept WHERE name = ?", (key,)).rowcount:
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        return self._file.execute("SELECT 1 FROM kept WHERE name = ?", (key,)).fetchone() is not None
