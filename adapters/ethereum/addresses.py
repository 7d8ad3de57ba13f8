"""Hashes and addresses: the little of Ethereum's arithmetic that reading it needs."""

from functools import lru_cache

from eth_hash.auto import keccak

from machines.core.chain import Address

_DIGITS = 40
_LETTER = 8  # an upper-case letter where the hash's digit is at least this


def keccak_hex(data: bytes) -> str:
    """Hash bytes as Ethereum does."""
    return "0x" + bytes(keccak(data)).hex()


@lru_cache(maxsize=65_536)
def checksummed(address: str) -> Address:
    """Write an address with the upper-case letters that prove it was not mistyped (EIP-55)."""
    digits = address[2:].lower()
    if len(digits) != _DIGITS or not address.startswith(("0x", "0X")):
        raise ValueError("an address is 0x and 40 hexadecimal digits")
    int(digits, 16)
    digest = bytes(keccak(digits.encode())).hex()
    pairs = zip(digits, digest, strict=False)
    return Address("0x" + "".join(d.upper() if int(h, 16) >= _LETTER else d for d, h in pairs))
