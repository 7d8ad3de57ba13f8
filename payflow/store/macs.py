"""Signatures of what the store keeps, by keys that are not in it: who writes to the store alone cannot forge a row.

The keys come from those that encrypt destinations, so every process on a store has them, the newest first. A signature
names its key, so that a process with an older list knows what it cannot judge from what was forged.
"""

import hmac
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from machines.core.errors import PayflowError, StoreUnfit
from payflow.store.codec import encode

_ID_BYTES = 4
_TAG_BYTES = 16


class Forged(PayflowError):
    """It is not what Payflow wrote: somebody changed the store beside it."""


class UnknownKey(StoreUnfit):
    """It was signed with a key that this process does not have."""


class Body(NamedTuple):
    """What a record is besides its state, version and history."""

    owner: str
    asset: str
    """Empty, and so are the units, where it has no amount."""
    units: str
    digest: bytes
    """Of the owner's data."""
    signed: bool
    """Whether its newest commit was signed, as far as it was asked."""


class Macs:
    """Signs with the first key, and knows what was signed with any; without a key nothing is signed or asked for."""

    def __init__(self, secrets: Sequence[str]) -> None:
        made = [blake2b(secret.encode(), digest_size=32, person=b"payflow mac").digest() for secret in secrets]
        self._keys = {blake2b(key, digest_size=_ID_BYTES).digest(): key for key in made}
        self._newest = next(iter(self._keys), b"")

    @property
    def ready(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def sign(self, *parts: str | int | bytes) -> bytes:
        """Sign parts, in this order; empty without a key."""
        return self._newest + self._tag(self._newest, parts) if self._keys else b""

    def check(self, signature: bytes, *parts: str | int | bytes) -> None:
        """Raise `Forged` unless one of our keys signed exactly these parts."""
        name, tag = signature[:_ID_BYTES], signature[_ID_BYTES:]
        if name not in self._keys:
            raise UnknownKey(
                f"It was signed with the key {name.hex()}, which comes from none of PAYFLOW_SEAL_KEYS of this process: "
                "give it the list that the others have."
            )
        if not hmac.compare_digest(tag, self._tag(name, parts)):
            raise Forged(str(Forged.__doc__))

    def is_current(self, signature: bytes) -> bool:
        """Tell whether it needs no other key than the newest."""
        return signature[:_ID_BYTES] == self._newest

    def _tag(self, name: bytes, parts: tuple[str | int | bytes, ...]) -> bytes:
        return blake2b(encode(parts), key=self._keys[name], digest_size=_TAG_BYTES).digest()

    # ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def sign_record(self, record_id: str, state: str, version: int, newest: bytes, body: Body) -> bytes:
        """Sign a record as a commit leaves it; empty where the commit goes on what was not signed."""
        if not (self._keys and body.signed):
            return b""
        return b"%d:%b" % (version, self.sign(record_id, state, version, newest, *body[:4]))

    def knows_record(
        self, mac: bytes | None, record_id: str, state: str, version: int, newest: bytes, body: Body
    ) -> bool:
        """Tell a record that was signed from one that never was, or not since an older version wrote to it."""
        at, signature = parts_of(mac or b"")
        if not self._keys or at != b"%d" % version:
            return False
        self.check(signature, record_id, state, version, newest, *body[:4])
        return True


def parts_of(mac: bytes) -> tuple[bytes, bytes]:
    """Give the version of a record that was signed, and the signature."""
    at, _, signature = mac.partition(b":")
    return at, signature


NO_MACS = Macs(())
