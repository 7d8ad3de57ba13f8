"""Hashes and addresses: the little of Ethereum's arithmetic that reading it needs."""

import re
from functools import lru_cache

from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from machines.core.chain import Address
from machines.core.errors import BadInput

_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")


def keccak_hex(data: bytes) -> str:
    """Hash bytes as Ethereum does."""
    return "0x" + bytes(keccak(data)).hex()


@lru_cache(maxsize=65_536)
def checksummed(address: str) -> Address:
    """Write an address with the upper-case letters that prove it was not mistyped (EIP-55)."""
    if not _ADDRESS.fullmatch(address):
        raise ValueError("an address is 0x and 40 hexadecimal digits")
    return Address(to_checksum_address(address.lower()))


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
