"""A few banks and the names of account holders, for both faces."""

from collections.abc import Mapping
from types import MappingProxyType

BANKS: Mapping[str, str] = MappingProxyType(
    {
        "044": "ACCESS BANK NIGERIA",
        "058": "GUARANTY TRUST BANK",
        "011": "FIRST BANK OF NIGERIA",
        "057": "ZENITH BANK",
        "033": "UNITED BANK FOR AFRICA",
        "MPS": "MPESA",
    }
)

_FIRST = ("Ada", "Bola", "Chidi", "Dele", "Efe", "Femi", "Gozie", "Hauwa", "Ifeoma", "Jide")
_LAST = ("Adeyemi", "Bello", "Chukwu", "Danjuma", "Eze", "Falana", "Garba", "Hassan", "Igwe", "Johnson")


def name_of(account: str) -> str:
    """Make up the holder of an account, always the same one."""
    digits = [int(letter) for letter in account if letter.isdecimal()] or [0]
    return f"{_FIRST[sum(digits) % 10]} {_LAST[digits[-1]]}"
