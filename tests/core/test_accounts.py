"""One account, several spellings; and never two accounts in one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.core.accounts import normal_account, same_account
from machines.core.money import ETH, NGN

NUBAN = st.integers(0, 10**10 - 1).map(lambda number: f"{number:010d}")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("0123456789", "123456789"),  # kept as a number
        ("0123456789", "0123 456 789"),
        ("0123456789", "0123-4567-89"),
        ("08031234567", "+2348031234567"),
        ("08031234567", "2348031234567"),
        ("08031234567", "002348031234567"),
        ("8031234567", "+234 803 123 4567"),
        ("2341234567", "2341234567"),  # an account that begins as the code does
    ],
)
def test_spellings_of_one_account_are_the_same(ours: str, theirs: str) -> None:
    assert same_account(ours, theirs, NGN)
    assert same_account(theirs, ours, NGN)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("0123456789", "0123456780"),
        ("0123456789", "1234567890"),
        ("2341234567", "1234567"),
        ("0123456789", ""),
        ("GB29NWBK60161331926819", "GB29NWBK60161331926818"),
    ],
)
def test_two_accounts_are_not_one(ours: str, theirs: str) -> None:
    assert not same_account(ours, theirs, NGN)


@given(NUBAN, NUBAN)
def test_two_accounts_never_have_one_normal_form(one: str, other: str) -> None:
    assert same_account(one, other, NGN) == (one == other)


@given(NUBAN)
def test_whatever_a_gateway_does_to_an_account_it_is_found_again(number: str) -> None:
    for spelling in (str(int(number)), f"+234{number}", f"234{number.lstrip('0')}", f"{number[:4]} {number[4:]}"):
        if len(number.lstrip("0")) > 7:  # shorter ones are nobody's, and cannot be told from a code
            assert same_account(number, spelling, NGN), spelling


def test_where_no_country_is_known_only_zeros_and_spaces_go() -> None:
    assert normal_account("2348031234567", ETH) == "2348031234567"
    assert normal_account("gb29 nwbk 6016", ETH) == "GB29NWBK6016"
