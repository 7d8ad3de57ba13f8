"""Addresses as a pool has them: small letters in its books, anything in its configuration file."""

import re

from machines.core.chain import Address
from machines.core.errors import BadInput

_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")
NOBODY = "0x" + "0" * 40


def parse(text: str) -> Address:
    """Give an address with its checksum; one that carries a wrong one is refused."""
    from eth_utils.address import is_checksum_address, to_checksum_address  # noqa: PLC0415  (slow to import)

    if not _ADDRESS.fullmatch(text):
        raise BadInput(f"{text[:60]!r} is no address: 0x and 40 hexadecimal digits.")
    plain = "0x" + text[2:]
    if plain.lower() == NOBODY:
        raise BadInput("the zero address is nobody's: what is sent there is lost.")
    digits = plain[2:]
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(plain):
        raise BadInput(f"{text} has a wrong checksum: copy it again, one of its characters is wrong.")
    return Address(to_checksum_address(plain))


def of_login(login: str) -> Address:
    """Give the address that a login of the pool's books is, or say why it is none."""
    if login != login.lower():
        raise BadInput(f"{login[:60]!r} is not in small letters, as every login of a pool is.")
    return parse(login)
