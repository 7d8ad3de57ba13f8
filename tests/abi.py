"""Calls and answers of contracts: a signature, and the values that go in or come out."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError

from adapters.addresses import checksummed, keccak_hex
from machines.core.chain import Address
from machines.core.errors import Retryable

_SELECTOR_CHARS = 10
_WORD_CHARS = 64


@lru_cache(maxsize=256)
def selector(signature: str) -> str:
    """Give the four bytes that name a function."""
    return keccak_hex(signature.encode())[:_SELECTOR_CHARS]


@lru_cache(maxsize=256)
def topic(signature: str) -> str:
    """Give the word that names an event."""
    return keccak_hex(signature.encode())


def call_data(signature: str, *values: object) -> str:
    """Write a call."""
    return selector(signature) + encoded(_types(signature), values)[2:]


def encoded(types: list[str], values: Sequence[object]) -> str:
    """Write values as contracts do."""
    return "0x" + abi_encode(types, [_plain(value) for value in values]).hex()


def decoded(types: list[str], data: str) -> tuple[Any, ...]:
    """Read what a contract answered; an answer that is none is a node's mistake."""
    try:
        return tuple(abi_decode(types, bytes.fromhex(data[2:])))
    except (DecodingError, ValueError) as error:
        raise Retryable(f"A contract's answer cannot be read: {type(error).__name__}.") from error


def number(data: str) -> int:
    """Read a whole number."""
    return int(decoded(["uint256"], data)[0])


def address_in(word: str) -> Address:
    """Read an address out of a word, such as a topic."""
    return checksummed("0x" + word[-40:])


def word_of(value: int | str) -> str:
    """Write a number, or an address, as a word."""
    digits = value[2:].lower() if isinstance(value, str) else f"{value:x}"
    return "0x" + digits.rjust(_WORD_CHARS, "0")


def raw(data: str) -> bytes:
    """Give the bytes that hex stands for."""
    return bytes.fromhex(data[2:])


def _types(signature: str) -> list[str]:
    inside = signature[signature.index("(") + 1 : -1]
    return inside.split(",") if inside else []


def _plain(value: object) -> object:
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value
