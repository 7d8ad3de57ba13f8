"""Destinations at rest: encrypted, so that a copy of the store tells nobody's account number."""

import hashlib
import hmac
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from machines.core.accounts import normal_account
from machines.core.errors import BadSettings, SealedForAnother, UnknownSealKey
from machines.core.money import Asset
from machines.core.ports import Destination

KEY_FILE = "seal.key"
_CONTACTS = "contacts"
_SEALED = "sealed:"


class _Content(msgspec.Struct, rename={"bound_to": "for"}):
    """What is encrypted: a destination, and whose it is, which versions before read past."""

    kind: str
    fields: tuple[tuple[str, str], ...]
    bound_to: str = ""
    """The record or the row that it is in; empty where a version sealed it that did not say."""


class Seals:
    """Seals with the first key, opens with any; what is copied to another record or row does not open there."""

    def __init__(self, keys: Sequence[str], fingerprint_key: str = "") -> None:
        try:
            self._boxes = [Fernet(key) for key in keys]
        except (ValueError, TypeError) as error:
            raise BadSettings(
                "PAYFLOW_SEAL_KEYS holds something that is no key: make one with `payflow seal-key`."
            ) from error
        self._prints = _print_key(fingerprint_key, keys)

    @property
    def ready(self) -> bool:
        """Whether there is a key."""
        return bool(self._boxes)

    @property
    def _box(self) -> MultiFernet:
        if not self._boxes:
            raise BadSettings(
                "Set PAYFLOW_SEAL_KEYS, the same for every process on this store: `payflow seal-key` makes a key."
            )
        return MultiFernet(self._boxes)

    def seal(self, destination: Destination, bound_to: str) -> str:
        """Encrypt a destination for one record, by its id, or for one row."""
        return self._box.encrypt(
            msgspec.msgpack.encode(_Content(destination.kind, destination.fields, bound_to))
        ).decode()

    def open(self, sealed: str, bound_to: str) -> Destination:
        """Give a destination in clear."""
        try:
            found = self._content(self._box, sealed)
        except InvalidToken as error:
            raise UnknownSealKey(
                "A destination was sealed with a key that is not in PAYFLOW_SEAL_KEYS: add the old key behind the new."
            ) from error
        if found.bound_to not in ("", bound_to):
            raise SealedForAnother(f"What is sealed in {bound_to} was sealed for {found.bound_to}: somebody copied it.")
        return Destination(found.kind, found.fields)

    def is_current(self, sealed: str, bound_to: str) -> bool:
        """Tell whether it needs no other key than the newest, and says what it is for."""
        _ = self._box
        try:
            return self._content(self._boxes[0], sealed).bound_to == bound_to
        except InvalidToken:
            return False

    # ── where people are told things: one entry stands for all of them, which an older version leaves as it is ──

    def seal_contacts(self, contacts: Sequence[str], bound_to: str) -> tuple[str, ...]:
        """Encrypt contacts; in a store without a key they stay as they are."""
        if not contacts or not self.ready:
            return tuple(contacts)
        fields = tuple((str(place), contact) for place, contact in enumerate(contacts))
        return (_SEALED + self.seal(Destination(_CONTACTS, fields), bound_to),)

    def contacts(self, stored: Sequence[str], bound_to: str) -> tuple[str, ...]:
        """Give contacts in clear; those that an older version wrote are."""
        if not _is_sealed(stored):
            return tuple(stored)
        return tuple(contact for _, contact in self.open(stored[0].removeprefix(_SEALED), bound_to).fields)

    def contacts_are_current(self, stored: Sequence[str], bound_to: str) -> bool:
        """Tell whether contacts are sealed, and need no other key than the newest."""
        if not stored or not self.ready:
            return True
        return _is_sealed(stored) and self.is_current(stored[0].removeprefix(_SEALED), bound_to)

    @staticmethod
    def _content(box: Fernet | MultiFernet, sealed: str) -> _Content:
        return msgspec.msgpack.decode(box.decrypt(sealed.encode()), type=_Content)

    def place(self, destination: Destination) -> str:
        """Name a destination: the same for the same one, however it was sealed."""
        return self.fingerprint("place", destination.kind, repr(sorted(destination.fields)))

    def account(self, number: str, asset: Asset) -> str:
        """Name an account: all spellings of it alike, and so that nobody can read it; empty where there is none."""
        return self.fingerprint("account", normal_account(number, asset)) if number else ""

    def fingerprint(self, *parts: str) -> str:
        """Name some text so that it can be compared, and not guessed, without the key."""
        _ = self._box
        return hmac.new(self._prints, "\0".join(parts).encode(), hashlib.sha256).hexdigest()[:24]

    @property
    def fingerprint_key(self) -> str:
        """What PAYFLOW_FINGERPRINT_KEY must say so that no fingerprint changes, whatever becomes of the other keys."""
        _ = self._box
        return self._prints.hex()


def _is_sealed(stored: Sequence[str]) -> bool:
    return len(stored) == 1 and stored[0].startswith(_SEALED)


def _print_key(given: str, keys: Sequence[str]) -> bytes:
    """Read the key that makes fingerprints; where none is set it comes, as it always did, from the oldest seal key."""
    if not given:
        return hashlib.sha256(b"payflow fingerprint " + keys[-1].encode()).digest() if keys else b""
    if not re.fullmatch(r"[0-9a-f]{64}", given):
        raise BadSettings(
            "PAYFLOW_FINGERPRINT_KEY is no key of 64 hexadecimal digits: `payflow seal-key --fingerprints` says which."
        )
    return bytes.fromhex(given)


def keys_given(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]


def key_of_folder(folder: Path) -> list[str]:
    """Keep a key beside the embedded store: made once, whoever comes first."""
    path = folder / KEY_FILE
    if not path.exists():
        descriptor, fresh = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_key())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(fresh, path)
        Path(fresh).unlink()
    return [path.read_text("ascii").strip()]


def new_key() -> str:
    return Fernet.generate_key().decode()
