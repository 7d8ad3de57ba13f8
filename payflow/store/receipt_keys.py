"""Keys under which receipts are signed: whoever was paid shows one to anybody, who needs only the public half.

They come from settings, so that who can write to the store cannot make a receipt.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b, sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from machines.core.errors import BadSettings
from payflow.config import LEAST_SECRET

_RETIRED = re.compile(r"public:([0-9a-f]{64})")
_PURPOSE = b"payflow receipt 1\n"
"""What is signed begins with it, so that a signature means nothing elsewhere."""


class ReceiptKeys:
    """Signs with the first key; the others are still known, so that what they signed can be checked."""

    def __init__(self, given: Sequence[str]) -> None:
        self._signs: Ed25519PrivateKey | None = None
        self.known: list[bytes] = []
        """The public halves, the newest first."""
        for one in given:
            retired = _RETIRED.fullmatch(one)
            if retired:
                self.known.append(bytes.fromhex(retired[1]))
                continue
            if len(one) < LEAST_SECRET:
                raise BadSettings(
                    f"PAYFLOW_RECEIPT_KEYS holds a key of less than {LEAST_SECRET} characters: make each with "
                    "`payflow seal-key`; of one that is retired leave `public:` and its 64 hexadecimal digits."
                )
            key = Ed25519PrivateKey.from_private_bytes(
                blake2b(one.encode(), digest_size=32, person=b"payflow receipt").digest()
            )
            self._signs = self._signs or key
            self.known.append(key.public_key().public_bytes_raw())
        if given and self._signs is None:
            raise BadSettings("PAYFLOW_RECEIPT_KEYS holds only retired keys: put one in front that signs.")

    def sign(self, content: bytes) -> tuple[bytes, bytes]:
        """Give the public half of the newest key, and what it signs."""
        if self._signs is None:
            raise BadSettings("There is no key for receipts: set PAYFLOW_SEAL_KEYS, or PAYFLOW_RECEIPT_KEYS.")
        return self._signs.public_key().public_bytes_raw(), self._signs.sign(_PURPOSE + content)


def key_id(public: bytes) -> str:
    """Name a key as receipts and the published list do."""
    return sha256(public).hexdigest()[:16]


def is_signed(public: bytes, signature: bytes, content: bytes) -> bool:
    """Tell whether the owner of a key signed it as a receipt."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _PURPOSE + content)
    except (InvalidSignature, ValueError):
        return False
    return True
