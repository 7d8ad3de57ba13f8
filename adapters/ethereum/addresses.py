"""Hashes and addresses: the little of Ethereum's arithmetic that reading it needs."""

from functools import lru_cache

from eth_hash.auto import keccak

from machines.core.chain import Address
from machines.core.errors import BadInput

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


def typed(text: str) -> Address:
    """Read an address that a person gave; one that is none, mistyped or nobody's is refused."""
    try:
        address = checksummed(text)
    except ValueError:
        raise BadInput(f"{text[:60]!r} is no address: 0x and 40 hexadecimal digits.") from None
    digits = text[2:]
    if not int(digits, 16):
        raise BadInput("The zero address is nobody's: what is sent there is lost.")
    if digits not in {digits.lower(), digits.upper(), address[2:]}:
        raise BadInput(f"The address {text} has a wrong checksum: one of its characters is mistyped.")
    return address
