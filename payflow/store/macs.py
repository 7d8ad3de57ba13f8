"""Signatures of what the store keeps, by keys that are not in it: who writes to the store alone cannot forge a row.

The keys come from those that encrypt destinations, so every process on a store has them, the newest first. A signature
names its key, so that a process with an older list knows what it cannot judge from what was forged.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import structlog

from machines.core.errors import StoreError, StoreUnfit
from payflow.store.codec import encode

log = structlog.get_logger()

_ID_BYTES = 4
_TAG_BYTES = 16


class Forged(StoreError):
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
        self.strict = False
        """Whether every row beside the records was signed once: then one without a signature is as false as any."""
        self.on_forged: Callable[[str], None] = lambda _: None
        """Called with the place of a row that nobody of us wrote as it is."""

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
        if len(tag) != _TAG_BYTES:
            raise Forged(str(Forged.__doc__))
        if name not in self._keys:
            raise UnknownKey(
                f"It was signed with the key {name.hex()}, which comes from none of PAYFLOW_SEAL_KEYS of this process: "
                "give it the list that the others have; an older key may go only after `payflow reseal`."
            )
        if not hmac.compare_digest(tag, self._tag(name, parts)):
            raise Forged(str(Forged.__doc__))

    def is_current(self, signature: bytes) -> bool:
        """Tell whether it needs no other key than the newest."""
        return signature[:_ID_BYTES] == self._newest

    def _tag(self, name: bytes, parts: tuple[str | int | bytes, ...]) -> bytes:
        return blake2b(encode(parts), key=self._keys[name], digest_size=_TAG_BYTES).digest()

    # ── rows beside the records ──────────────────────────────────────────────────────────────────────────────────────

    def trusts(self, place: str, signature: bytes | None, *parts: str | int | bytes) -> bool:
        """Tell whether a row is what we wrote; who reads one that is not does as if it were not there."""
        try:
            self.refuse_forged(place, signature, *parts)
        except (Forged, UnknownKey):
            return False
        return True

    def refuse_forged(self, place: str, signature: bytes | None, *parts: str | int | bytes) -> None:
        """Raise, and let it be known, unless a row is what we wrote."""
        fault = self._fault(place, signature, parts)
        if fault is not None:
            log.error("A row of the store is not what Payflow wrote.", action="forged", place=place, why=str(fault))
            self.on_forged(place)
            raise fault

    def _fault(
        self, place: str, signature: bytes | None, parts: tuple[str | int | bytes, ...]
    ) -> Forged | UnknownKey | None:
        if not signature:
            return Forged(f"{place} is not signed: somebody wrote it beside Payflow.") if self.strict else None
        try:
            if self._keys:
                self.check(signature, place, *parts)
        except (Forged, UnknownKey) as error:
            return error
        return None

    def wrap(self, place: str, content: bytes) -> bytes:
        """Put the signature before a row that is one value."""
        signature = self.sign(place, content)
        return bytes([len(signature)]) + signature + content

    def unwrap(self, place: str, row: bytes) -> bytes:
        """Give what is behind the signature; raises where nobody of us wrote it."""
        begins = 1 + row[0] if row else 0
        self.refuse_forged(place, row[1:begins], row[begins:])
        return row[begins:]

    def opened(self, place: str, row: bytes | None) -> bytes | None:
        """Give the same, and nothing where there is no row or nobody of us wrote it."""
        try:
            return self.unwrap(place, row) if row else None
        except (Forged, UnknownKey):
            return None

    def trusts_fields(self, place: str, fields: Mapping[bytes, bytes], loose: frozenset[bytes]) -> bool:
        """Tell whether a hash is what we wrote, but for the fields that may change under its signature."""
        return self.trusts(place, of_text(fields.get(b"mac", b"")), *_content(fields, loose))

    def sign_fields(self, place: str, fields: Mapping[bytes, bytes], loose: frozenset[bytes]) -> bytes:
        """Sign a hash, but for some fields: as text, because all of it is."""
        return self.sign(place, *_content(fields, loose)).hex().encode()

    def is_current_field(self, signature: bytes) -> bool:
        """Tell the same of a signature that is text."""
        return self.is_current(of_text(signature))

    # ── postings ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def seal_posting(self, posting: tuple[str, ...], number: int) -> str:
        """Sign owner, asset, source, target, units and cause as their commit writes it behind the cause.

        The number tells those of one cause apart.
        """
        if not self._keys:
            return ""
        signature = self.sign("posting", *posting, number)
        return f" ~{number}.{urlsafe_b64encode(signature).decode().rstrip('=')}"

    def knows_posting(self, posting: tuple[str, ...], seal: str) -> bool:
        """Tell whether a commit of ours wrote a posting."""
        number, _, signature = seal.partition(".")
        try:
            self.check(urlsafe_b64decode(signature + "="), "posting", *posting, int(number))
        except (Forged, ValueError):
            return False
        except UnknownKey:
            self.on_forged("a posting")  # who lacks the key says nothing of it, and somebody is told
            raise
        return True

    def is_current_posting(self, seal: str) -> bool:
        """Tell whether the seal of a posting needs no other key than the newest."""
        return self.is_current(urlsafe_b64decode(seal.partition(".")[2] + "="))

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


def of_text(signature: bytes) -> bytes:
    """Read a signature that is written as text; one that is none is nobody's."""
    try:
        return bytes.fromhex(signature.decode())
    except ValueError:
        return b"no signature"


def _content(fields: Mapping[bytes, bytes], loose: frozenset[bytes]) -> list[bytes]:
    return [part for name in sorted(fields) if name not in loose and name != b"mac" for part in (name, fields[name])]


def parts_of(mac: bytes) -> tuple[bytes, bytes]:
    """Give the version of a record that was signed, and the signature."""
    at, _, signature = mac.partition(b":")
    return at, signature


NO_MACS = Macs(())
