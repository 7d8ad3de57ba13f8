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


# In Nigeria an account has ten digits (NUBAN), and so has a phone number without its zero. Of South Africa only banks
# are paid, whose accounts may begin with the digits of its code: nothing is taken off them.
_COUNTRIES: Mapping[str, tuple[_Country, ...]] = {
    "NGN": (_Country("234", 10),),
    "GHS": (_Country("233", 9),),
    "KES": (_Country("254", 9),),
    "UGX": (_Country("256", 9),),
    "TZS": (_Country("255", 9),),
    "RWF": (_Country("250", 9),),
    "ZMW": (_Country("260", 9),),
    "XAF": (_Country("237", 9),),
    "XOF": (_Country("225", 10), _Country("221", 9)),
}


def phone_pattern(currency: str) -> str:
    """Give what phone numbers look like where a currency is paid: with the country's code, without the plus."""
    return "|".join(f"{one.code}[0-9]{{{one.national_digits}}}" for one in _COUNTRIES[currency])


def normal_account(number: str, asset: Asset) -> str:
    """Give the normal form of an account or phone number in the country of a currency."""
    bare = _NOISE.sub("", number).upper().removeprefix("+").lstrip("0")
    for country in _COUNTRIES.get(asset.code, ()):
        # An account may begin with the digits of the code by itself: then it is no longer than an account.
        if bare.startswith(country.code) and len(bare) > country.national_digits:
            return bare.removeprefix(country.code).lstrip("0")
    return bare


def same_account(one: str, other: str, asset: Asset) -> bool:
    return normal_account(one, asset) == normal_account(other, asset)
