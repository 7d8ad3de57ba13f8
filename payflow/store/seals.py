"""Destinations at rest: encrypted, so that a copy of the store tells nobody's account number."""

import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from machines.core.errors import BadSettings
from machines.core.ports import Destination

KEY_FILE = "seal.key"


class Seals:
    """Seals with the first key, opens with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._box = MultiFernet([Fernet(key) for key in keys])
        except (ValueError, TypeError) as error:
            raise BadSettings(
                "PAYFLOW_SEAL_KEYS holds something that is no key: make one with `payflow seal-key`."
            ) from error
        self._print_key = hashlib.sha256(b"payflow fingerprint " + keys[-1].encode()).digest()

    def seal(self, destination: Destination) -> str:
        """Encrypt a destination."""
        return self._box.encrypt(msgspec.msgpack.encode(destination)).decode()

    def open(self, sealed: str) -> Destination:
        """Give a destination in clear."""
        try:
            return msgspec.msgpack.decode(self._box.decrypt(sealed.encode()), type=Destination)
        except InvalidToken as error:
            raise BadSettings(
                "A destination was sealed with a key that is not in PAYFLOW_SEAL_KEYS: add the old key behind the new."
            ) from error

    def fingerprint(self, *parts: str) -> str:
        """Name some text so that it can be compared, and not guessed, without the key."""
        return hmac.new(self._print_key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()[:24]


def keys_from(given: str | None, folder: Path) -> list[str]:
    """Take the keys of the settings, or keep one in the data folder."""
    if given:
        return [key.strip() for key in given.split(",") if key.strip()]
    path = folder / KEY_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return [path.read_text("ascii").strip()]
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(Fernet.generate_key().decode())
        file.flush()
        os.fsync(file.fileno())
    return [path.read_text("ascii").strip()]
