"""Files that leave the machine: encrypted, and proven to be ours and whole by a key, a part at a time as they are read.

A file is a heading and parts. The heading names the key, holds a salt, and goes into the proof of each part. A part is
proven with its number, and with whether it is the last: what was changed, moved, left out or cut off does not open.
"""

import base64
import binascii
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from machines.core.errors import BadInput, BadSettings, UnprovenFile

SUFFIX = ".sealed"
"""What the name of such a file ends with where the name is ours to choose."""
_MAGIC = b"payflow sealed file 1\n"
_ID, _SALT, _TAG, _KEY = 8, 32, 16, 32
_HEADING = len(_MAGIC) + _ID + _SALT
_PART = 1 << 20


class FileKeys:
    """Seals with the first key, opens with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {_id_of(key): key for key in map(_decoded, keys)}

    @property
    def ready(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    @contextmanager
    def writing(self, file: IO[bytes], *, sealed: bool = True) -> Iterator[IO[bytes]]:
        """Give what to write into so that it comes sealed into a file; the file itself where it shall not."""
        if not sealed:
            yield file
            return
        if not self._keys:
            raise BadInput("Set PAYFLOW_BACKUP_KEYS to encrypt a file: `payflow seal-key` makes a key.")
        name = next(iter(self._keys))
        heading = _MAGIC + name + os.urandom(_SALT)
        file.write(heading)
        sealing = _Sealing(file, _Box(self._keys[name], heading))
        yield cast("IO[bytes]", sealing)
        sealing.finish()

    @contextmanager
    def reading(self, path: Path, *, clear: bool = False) -> Iterator[IO[bytes]]:
        """Give what to read a file from; it is proven whole when the block ends. One in clear only where it may be."""
        with path.open("rb") as file:
            heading = file.read(_HEADING)
            if heading.startswith(_MAGIC):
                name = heading[len(_MAGIC) : -_SALT]
                if len(heading) < _HEADING or name not in self._keys:
                    raise BadInput(
                        f"{path} is encrypted with the key {name.hex()}, which is not in PAYFLOW_BACKUP_KEYS: "
                        "somebody else wrote it, or its key was taken off the list."
                    )
                opening = _Opening(path, file, _Box(self._keys[name], heading))
                with io.BufferedReader(opening, _PART) as reader:
                    yield reader
                    while reader.read(_PART):
                        pass
            elif not clear:
                raise UnprovenFile(f"{path} is not encrypted: nothing proves that it is ours and was not changed.")
            else:
                file.seek(0)
                yield file


class _Box:
    """Seals and opens the parts of one file."""

    def __init__(self, key: bytes, heading: bytes) -> None:
        salt = heading[-_SALT:]
        self._box = AESGCM(HKDF(SHA256(), _KEY, salt, b"payflow sealed file").derive(key))
        self._heading = heading
        self._number = 0

    def seal(self, part: bytes, *, last: bool) -> bytes:
        return self._box.encrypt(self._next(last=last), part, self._heading)

    def open(self, part: bytes, *, last: bool) -> bytes:
        return self._box.decrypt(self._next(last=last), part, self._heading)

    def _next(self, *, last: bool) -> bytes:
        self._number += 1
        return self._number.to_bytes(11, "big") + bytes([last])


class _Sealing(io.RawIOBase):
    """Seals what is written into it; it never holds more than a part."""

    def __init__(self, file: IO[bytes], box: _Box) -> None:
        self._file, self._box, self._held = file, box, bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        for first in range(0, len(view), _PART):
            self._held += view[first : first + _PART]
            while len(self._held) > _PART:  # what may be the last part waits for what comes
                self._file.write(self._box.seal(bytes(self._held[:_PART]), last=False))
                del self._held[:_PART]
        return len(view)

    def finish(self) -> None:
        """Write the last part: without it the file does not open."""
        self._file.write(self._box.seal(bytes(self._held), last=True))


class _Opening(io.RawIOBase):
    """Gives what is in a sealed file, each part once it is proven."""

    def __init__(self, path: Path, file: IO[bytes], box: _Box) -> None:
        self._path, self._file, self._box = path, file, box
        self._next = file.read(_PART + _TAG)
        self._held = memoryview(b"")
        self._over = False

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._held and not self._over:
            part, self._next = self._next, self._file.read(_PART + _TAG)
            self._over = not self._next
            try:
                self._held = memoryview(self._box.open(part, last=self._over))
            except InvalidTag:
                raise BadInput(f"{self._path} was changed or cut since it was written: use another copy.") from None
        size = min(len(into), len(self._held))
        into[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


def _decoded(key: str) -> bytes:
    try:
        found = base64.urlsafe_b64decode(key)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != _KEY:
        raise BadSettings("PAYFLOW_BACKUP_KEYS holds something that is no key: make one with `payflow seal-key`.")
    return found


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(b"payflow sealed file key " + key).digest()[:_ID]
