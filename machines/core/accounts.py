"""Account numbers as countries write them: one account has several spellings, and each gateway answers in its own.

A gateway may add the country's code, drop the zero that a number begins with because it keeps numbers as numbers, or
put spaces in between. Two spellings are one account when their normal forms are equal: upper case letters and digits,
without the code of the currency's country where the rest is a whole national number, and without leading zeros.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from machines.core.money import Asset

_NOISE = re.compile(r"[\s.\-/()]+")


@dataclass(frozen=True, slots=True)
class _Country:
    """How a country's numbers are written from abroad."""

    code: str
    national_digits: int
    """Of an account or a phone, without the zero that is dialled before it."""


# In Nigeria an account has ten digits (NUBAN), and so has a phone number without its zero.
_COUNTRIES: Mapping[str, _Country] = {
    "NGN": _Country("234", 10),
    "GHS": _Country("233", 9),
    "KES": _Country("254", 9),
    "UGX": _Country("256", 9),
    "TZS": _Country("255", 9),
    "RWF": _Country("250", 9),
}


def normal_account(number: str, asset: Asset) -> str:
    """Give the normal form of an account or phone number in the country of a currency."""
    bare = _NOISE.sub("", number).upper().removeprefix("+").lstrip("0")
    country = _COUNTRIES.get(asset.code)
    # An account may begin with the digits of the code by itself: then it is no longer than an account.
    if country and bare.startswith(country.code) and len(bare) > country.national_digits:
        return bare.removeprefix(country.code).lstrip("0")
    return bare


def same_account(one: str, other: str, asset: Asset) -> bool:
    return normal_account(one, asset) == normal_account(other, asset)
