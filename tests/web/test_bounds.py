"""Bounds of payouts are set by currency, checked once at the start, and never applied to another currency."""

import pytest

from machines.core.currencies import CURRENCIES, assets_with
from machines.core.errors import BadAmount, BadSettings, ShortBalance
from machines.core.methods import PayMethod
from machines.core.money import ETH, NGN, Asset, Assets, Money
from payflow.config import load
from payflow.desk.requests import Bounds


def bounds(**changes: str) -> Bounds:
    return Bounds(load({}, **changes), Assets())


@pytest.mark.parametrize("text", ["100", "5000000"])
def test_the_bounds_themselves_are_allowed(text: str) -> None:
    assert bounds().check(Money.parse(text, NGN)) == Money.parse(text, NGN)


@pytest.mark.parametrize("text", ["99.99", "5000000.01"])
def test_what_is_beyond_them_is_not(text: str) -> None:
    with pytest.raises(BadAmount, match=r"est payout, NGN (100\.00|5000000\.00)"):
        bounds().check(Money.parse(text, NGN))


@pytest.mark.parametrize("gwei", [1, 10**17])
def test_a_bound_in_naira_says_nothing_of_ether(gwei: int) -> None:
    assert bounds().check(Money(gwei, ETH)) == Money(gwei, ETH)


def test_each_currency_may_have_bounds_of_its_own() -> None:
    both = bounds(payout_minimum="100, 0.01 ETH", payout_maximum="2 ETH")
    assert both.check(Money.parse("0.01", ETH)).units
    assert both.check(Money.parse("9000000", NGN)).units, "no largest amount in naira is set"
    for text in ("0.009999999", "2.000000001"):
        with pytest.raises(BadAmount, match="est payout, ETH"):
            both.check(Money.parse(text, ETH))


FIAT = Assets(one.asset for one in CURRENCIES.values())


@pytest.mark.parametrize("code", [code for code in CURRENCIES if code != "NGN"])
def test_a_currency_of_the_table_has_its_bounds_until_a_setting_names_others(code: str) -> None:
    one = CURRENCIES[code]
    least, most = Money.parse(one.minimum, one.asset), Money.parse(one.maximum, one.asset)
    usual, own = Bounds(load({}), FIAT), Bounds(load({}, payout_maximum=f"5000000, 2 {code}"), FIAT)
    assert usual.of(code) == (least, most)
    for beyond in (Money(least.units - 1, one.asset), Money(most.units + 1, one.asset)):
        with pytest.raises(BadAmount, match="est payout"):
            usual.check(beyond)
    assert own.of(code) == (least, Money.parse("2", one.asset))


def test_whoever_set_amounts_without_naira_has_no_bound_in_naira_as_ever() -> None:
    assert Bounds(load({}, payout_maximum="10 GHS"), FIAT).of("NGN") == (Money.parse("100", NGN), None)


def test_a_rail_of_a_row_may_take_less_than_the_settings_and_more() -> None:
    row = PayMethod("KES", "mobile_money", (), "", minimum="50", maximum="250000")
    least, most = Bounds(load({}), FIAT).of("KES", row)
    assert (str(least), str(most)) == ("KES 50.00", "KES 250000.00")
    wide = PayMethod("KES", "mobile_money", (), "", minimum="1", maximum="9000000")
    assert Bounds(load({}), FIAT).of("KES", wide) == Bounds(load({}), FIAT).of("KES")


def test_a_token_that_an_operator_called_like_a_currency_keeps_its_decimals_and_has_no_bounds() -> None:
    mine = Asset("USD", 6)
    books = Assets(assets_with([mine]))
    assert books["USD"] == mine
    assert Bounds(load({}), books).of("USD") == (None, None)


def test_all_of_nothing_is_nothing_to_ask_for() -> None:
    with pytest.raises(ShortBalance, match="There is no ETH to ask for"):
        bounds().check(Money(0, ETH))


@pytest.mark.parametrize("text", ["many", "", "100,", "100.001", "1 XYZ", "0.01ETH", "-1"])
def test_a_bound_that_is_none_is_told_at_the_start_with_the_name_of_its_setting(text: str) -> None:
    with pytest.raises(BadSettings, match=r"^PAYFLOW_PAYOUT_MINIMUM: "):
        bounds(payout_minimum=text)
