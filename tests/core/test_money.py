"""Money is a whole number of units: nothing is rounded, nothing is negative, nothing is too large."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.core.errors import BadAmount
from machines.core.money import ETH, MAX_UNITS, NGN, Asset, Assets, Money

YEN = Asset("JPY", 0)


@pytest.mark.parametrize(
    ("text", "asset", "units"),
    [
        ("0", NGN, 0),
        ("0.00", NGN, 0),
        ("1", NGN, 100),
        ("1.5", NGN, 150),
        ("1250.50", NGN, 125_050),
        ("007", NGN, 700),
        ("0.01", NGN, 1),
        ("1.500000000000000000", NGN, 150),
        ("0.000000001", ETH, 1),
        ("1.0", YEN, 1),
        ("9007199254740993", YEN, 2**53 + 1),
        ("90071992547409.93", NGN, 2**53 + 1),
        ("9999999999999999.99", NGN, MAX_UNITS),
        ("999999999999999999", YEN, MAX_UNITS),
        ("999999999.999999999", ETH, MAX_UNITS),
    ],
)
def test_a_plain_decimal_is_read_exactly(text: str, asset: Asset, units: int) -> None:
    assert Money.parse(text, asset) == Money(units, asset)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 ",
        " 1",
        "1\n",
        "+1",
        "-1",
        "-0",
        "1e3",
        "1E3",
        "1_000",
        "1,000",
        "1,5",
        ".5",
        "5.",
        "1.2.3",
        "0x10",
        "NaN",
        "nan",
        "Infinity",
        "inf",
        "\u0661\u0662",  # Arabic digits, which `int` would read
        "\uff11\uff12",  # and full-width ones
        "1\u00b2",
        "1.\u0665",
        "NGN 1",
        "1" * 19,
        "1" * 100_000,
        "0." + "0" * 19,
    ],
)
def test_anything_but_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(BadAmount):
        Money.parse(text, NGN)


@pytest.mark.parametrize(
    ("text", "asset"), [("0.001", NGN), ("1.999", NGN), ("1.1", YEN), ("0.0000000001", ETH), ("1.000000000000001", NGN)]
)
def test_more_precision_than_the_asset_has_is_refused_and_never_rounded(text: str, asset: Asset) -> None:
    with pytest.raises(BadAmount, match="too precise"):
        Money.parse(text, asset)


@pytest.mark.parametrize(("text", "asset"), [("10000000000000000", NGN), ("1000000000", ETH), ("9" * 18, ETH)])
def test_an_amount_above_the_largest_is_refused(text: str, asset: Asset) -> None:
    with pytest.raises(BadAmount, match="outside"):
        Money.parse(text, asset)


@pytest.mark.parametrize("units", [-1, MAX_UNITS + 1, 2**63, 10**30])
def test_units_outside_the_bounds_are_refused(units: int) -> None:
    with pytest.raises(BadAmount, match="outside"):
        Money(units, NGN)


@pytest.mark.parametrize("units", [1.0, True, "1", None, float("nan")])
def test_units_that_are_no_whole_number_are_refused(units: object) -> None:
    with pytest.raises(BadAmount, match="not a whole number"):
        Money(units, NGN)  # type: ignore[arg-type]


@given(units=st.integers(0, MAX_UNITS), decimals=st.integers(0, 9))
def test_what_is_printed_is_read_back_as_the_same(units: int, decimals: int) -> None:
    money = Money(units, Asset("XYZ", decimals))
    assert Money.parse(money.decimal, money.asset) == money


@pytest.mark.parametrize(
    ("money", "shown"),
    [
        (Money(0, NGN), "NGN 0.00"),
        (Money(5, NGN), "NGN 0.05"),
        (Money(125_050, NGN), "NGN 1250.50"),
        (Money(7, YEN), "JPY 7"),
        (Money(1, ETH), "ETH 0.000000001"),
        (Money(MAX_UNITS, NGN), "NGN 9999999999999999.99"),
    ],
)
def test_money_is_printed_with_all_its_decimals(money: Money, shown: str) -> None:
    assert str(money) == shown


def test_the_sum_of_two_amounts_may_not_exceed_the_largest() -> None:
    assert Money(MAX_UNITS - 1, NGN) + Money(1, NGN) == Money(MAX_UNITS, NGN)
    with pytest.raises(BadAmount):
        Money(MAX_UNITS, NGN) + Money(1, NGN)


def test_a_difference_may_not_be_negative() -> None:
    assert Money(5, NGN) - Money(5, NGN) == Money(0, NGN)
    with pytest.raises(BadAmount):
        Money(5, NGN) - Money(6, NGN)


@pytest.mark.parametrize("operate", ["__add__", "__sub__", "__lt__", "__le__"])
def test_two_assets_are_never_put_together(operate: str) -> None:
    with pytest.raises(BadAmount, match="NGN and ETH"):
        getattr(Money(5, NGN), operate)(Money(1, ETH))


def test_the_same_code_with_other_decimals_is_another_asset() -> None:
    with pytest.raises(BadAmount):
        Money(5, NGN) + Money(1, Asset("NGN", 3))


def test_amounts_are_compared_by_their_units() -> None:
    assert Money(99, NGN) < Money(100, NGN) <= Money(100, NGN)
    assert not Money(100, NGN) < Money(99, NGN)


@pytest.mark.parametrize("code", ["", "N", "ngn", "NGN ", "1NG", "N.N", "A" * 13, "NGN\n", "ÄB"])
def test_an_asset_code_that_a_key_or_a_page_could_trip_over_is_refused(code: str) -> None:
    with pytest.raises(BadAmount):
        Asset(code, 2)


@pytest.mark.parametrize("decimals", [-1, 10, 18])
def test_an_asset_has_at_most_nine_decimals(decimals: int) -> None:
    with pytest.raises(BadAmount):
        Asset("ABC", decimals)


def test_an_unknown_asset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadAmount, match="ETH, NGN"):
        Assets()["BTC"]


def test_an_asset_declared_twice_must_be_the_same() -> None:
    assert list(Assets([NGN, NGN])) == [NGN]
    with pytest.raises(BadAmount, match="twice"):
        Assets([NGN, Asset("NGN", 3)])
