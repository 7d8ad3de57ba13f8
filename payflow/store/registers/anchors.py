"""How far the audit log was, written down outside the store: who writes to the store alone cannot cut or rewrite it.

Each line of the file is signed with the key that names destinations, which is not in the store either. Where a person
takes a store that was set back for the truth, a line says so, and what was written down of the lost end is void.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from machines.core.clock import Millis
from machines.core.errors import BadSettings
from payflow.store.seals import Seals

ANCHORS = "anchors"
"""The file in the data folder, where the settings name no other."""
_UNSIGNED = "-"
_ANEW = "anew"


@dataclass(frozen=True, slots=True)
class Anchor:
    """The newest line of the audit log at some time."""

    at: Millis
    lines: int
    head: str
    """The hash of that line; the same for a log without any."""
    anew: bool = False
    """Whether a person took the store for the truth as it was then, whatever had been written down before."""


class AnchorFile:
    """Appends anchors to a file, and reads them."""

    def __init__(self, path: Path, seals: Seals) -> None:
        self._path = path
        self._seals = seals
        self._newest = ""

    def write(self, anchor: Anchor) -> None:
        """Append an anchor, unless this process wrote the same one last."""
        if anchor.head == self._newest and not anchor.anew:
            return
        words = _words(anchor)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "a", encoding="ascii") as file:
                file.write(f"{' '.join((*words, self._signature(words)))}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise BadSettings(
                f"How far the audit log is cannot be written down in {self._path} ({error.strerror or error}): "
                "set PAYFLOW_ANCHORS to a file that this process may append to."
            ) from error
        self._newest = anchor.head

    def read(self) -> tuple[list[Anchor], str]:
        """Give the anchors that hold, and what is wrong with the file; empty where nothing is."""
        try:
            lines = self._path.read_text("ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return [], ""
        found: list[Anchor] = []
        for number, line in enumerate(lines, 1):
            *words, signature = line.split(" ")
            if len(words) != len(_FIELDS) or signature != self._signature(words):
                return found, f"line {number} of {self._path} was changed, or signed with a key that is gone"
            anchor = Anchor(Millis(int(words[0])), int(words[1]), words[2], words[3] == _ANEW)
            if anchor.anew:
                found = [one for one in found if one.lines <= anchor.lines]
            found.append(anchor)
        return found, ""

    def _signature(self, words: Iterable[str]) -> str:
        return self._seals.fingerprint("anchor", *words) if self._seals.ready else _UNSIGNED


_FIELDS = ("at", "lines", "head", "anew")


def _words(anchor: Anchor) -> tuple[str, ...]:
    return str(anchor.at), str(anchor.lines), anchor.head, _ANEW if anchor.anew else _UNSIGNED
