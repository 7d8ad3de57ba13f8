"""The risk rules as a table: each alone, all together, and on both sides of every boundary."""

from dataclasses import replace
from itertools import chain, combinations
from typing import Any

import pytest

from machines.core.clock import DAY, HOUR, Millis
from machines.core.currencies import CURRENCIES
from machines.core.errors import BadSettings
from machines.core.money import ETH, MAX_UNITS, NGN, Asset, Money
from machines.payout.risk import (
    AMOUNTS,
    CALM,
    RULES,
    AmountLimits,
    ProviderHistory,
    RiskRequest,
    Thresholds,
    Velocity,
    assess,
)
from payflow.config import load
from payflow.desk.requests import risk_thresholds

NOW = Millis(1_800_000_000_000)
LIMITS = Thresholds()
GOOD = ProviderHistory(verified=True, successes=3, average_units=20_000_00)


def naira(text: str) -> Money:
    return Money.parse(text, NGN)


def request(amount: str = "1000.00", velocity: Velocity = CALM, **standing: Any) -> RiskRequest:
    return RiskRequest(naira(amount), replace(GOOD, velocity=velocity, **standing), NOW)


def codes(asked: RiskRequest, limits: Thresholds = LIMITS) -> list[str]:
    return [finding.code for finding in assess(asked, limits)]


BOUNDARIES = [
    # what is asked, what the rules find
    pytest.param(request("50000.00"), [], id="₦50,000.00 is low risk"),
    pytest.param(request("50000.01"), ["amount"], id="₦50,000.01 is not"),
    pytest.param(request(verified=False), ["unverified"], id="not verified"),
    pytest.param(request(successes=3), [], id="three successes are enough"),
    pytest.param(request(successes=2), ["new"], id="two are not"),
    pytest.param(request(successes=0), ["new"], id="none are not"),
    pytest.param(request(recent_failures=1), [], id="one failure happens"),
    pytest.param(request(recent_failures=2), ["failures"], id="two failures do not"),
    pytest.param(request(details_changed_at=Millis(NOW - 7 * DAY)), [], id="details a week old"),
    pytest.param(request(details_changed_at=Millis(NOW - 7 * DAY + 1)), ["details"], id="details younger"),
    pytest.param(request(details_changed_at=NOW), ["details"], id="details of this moment"),
    pytest.param(request(details_changed_at=Millis(NOW + HOUR)), ["details"], id="details of a clock ahead of ours"),
    pytest.param(request(velocity=Velocity(2, 0, 2, 0)), [], id="the third request of an hour"),
    pytest.param(request(velocity=Velocity(3, 0, 3, 0)), ["frequency"], id="the fourth of an hour"),
    pytest.param(request(velocity=Velocity(0, 0, 9, 0)), [], id="the tenth of a day"),
    pytest.param(request(velocity=Velocity(0, 0, 10, 0)), ["frequency"], id="the eleventh of a day"),
    pytest.param(request(velocity=Velocity(1, 99_000_00, 1, 99_000_00)), [], id="₦100,000.00 within an hour"),
    pytest.param(request(velocity=Velocity(1, 99_000_01, 1, 99_000_01)), ["volume"], id="₦100,000.01 within an hour"),
    pytest.param(request(velocity=Velocity(0, 0, 9, 299_000_00)), [], id="₦300,000.00 within a day"),
    pytest.param(request(velocity=Velocity(0, 0, 9, 299_000_01)), ["volume"], id="₦300,000.01 within a day"),
    pytest.param(request("5000.00", average_units=1_000_00), [], id="five times the usual"),
    pytest.param(request("5000.01", average_units=1_000_00), ["spike"], id="more than five times"),
    pytest.param(request("5000.01", average_units=0), [], id="nothing is usual yet"),
    pytest.param(request("5000.01", average_units=1_000_00, successes=2), ["new"], id="two make no average"),
]


@pytest.mark.parametrize(("asked", "found"), BOUNDARIES)
def test_each_rule_on_both_sides_of_its_boundary(asked: RiskRequest, found: list[str]) -> None:
    assert codes(asked) == found


# What makes each rule speak, all at once on one request without touching another rule.
REASONS: dict[str, dict[str, Any]] = {
    "amount": {"amount": "60000.00"},
    "unverified": {"verified": False},
    "failures": {"recent_failures": 2},
    "details": {"details_changed_at": Millis(NOW - DAY)},
    "frequency": {"count": 3},
    "volume": {"units": 100_000_00},
    "spike": {"average_units": 1_00},
    "doubt": {"doubt": "a record is not what Payflow wrote"},
    "look_alike": {"look_alike": "0x5290840009852788"},
}
COMBINATIONS = list(chain.from_iterable(combinations(REASONS, size) for size in range(len(REASONS) + 1)))


@pytest.mark.parametrize("together", COMBINATIONS, ids=" ".join)
def test_rules_neither_hide_nor_cause_each_other(together: tuple[str, ...]) -> None:
    parts = {name: value for code in together for name, value in REASONS[code].items()}
    count, units = parts.pop("count", 0), parts.pop("units", 0)
    asked = request(parts.pop("amount", "1000.00"), Velocity(count, units, count, units), **parts)
    assert set(codes(asked)) == set(together)


@pytest.mark.parametrize("together", [reasons for reasons in COMBINATIONS if "spike" not in reasons], ids=" ".join)
def test_a_newcomer_is_seen_whatever_else_is_found(together: tuple[str, ...]) -> None:
    parts = {name: value for code in together for name, value in REASONS[code].items()}
    count, units = parts.pop("count", 0), parts.pop("units", 0)
    velocity = Velocity(count, units, count, units)
    asked = request(parts.pop("amount", "1000.00"), velocity, **parts, successes=0, average_units=0)
    assert set(codes(asked)) == {*together, "new"}


def test_every_rule_is_in_the_table() -> None:
    assert len(RULES) == len(REASONS) + len(("new", "currency"))


def test_every_finding_says_in_words_what_it_saw() -> None:
    velocity = Velocity(3, 100_000_00, 3, 100_000_00)
    asked = request("60000.00", velocity, verified=False, recent_failures=2, details_changed_at=Millis(NOW - DAY))
    assert {finding.code: finding.text for finding in assess(asked, LIMITS)} == {
        "amount": "NGN 60000.00 is more than NGN 50000.00",
        "unverified": "the provider is not verified",
        "failures": "2 payouts failed in the last 30 days",
        "details": "the bank details changed 24 hours ago",
        "frequency": "4 requests within an hour, 3 are usual",
        "volume": "NGN 160000.00 asked for within an hour",
    }


def test_an_operator_may_set_every_threshold() -> None:
    strict = Thresholds(most_units=999_99, least_successes=4, failures_flag=1, most_an_hour=0)
    assert codes(request(recent_failures=1), strict) == ["amount", "new", "failures", "frequency"]
    generous = Thresholds(
        most_units=MAX_UNITS, most_units_an_hour=MAX_UNITS, most_units_a_day=MAX_UNITS, spike_times=99
    )
    assert codes(request("900000.00"), generous) == []


def test_the_largest_sums_can_be_told() -> None:
    asked = RiskRequest(Money(MAX_UNITS, NGN), replace(GOOD, velocity=Velocity(1, MAX_UNITS, 1, MAX_UNITS)), NOW)
    assert {"amount", "volume", "spike"} <= set(codes(asked))


@pytest.mark.parametrize("code", [code for code in CURRENCIES if code != "NGN"])
def test_each_currency_of_the_table_has_limits_of_its_own(code: str) -> None:
    one = CURRENCIES[code]

    def found(units: int, before: int = 0, limits: Thresholds = LIMITS) -> list[str]:
        velocity = Velocity(1, before, 1, before)
        return codes(
            RiskRequest(Money(units, one.asset), replace(GOOD, velocity=velocity, average_units=0), NOW), limits
        )

    low, hour = one.units(one.low_risk), one.units(one.an_hour)
    assert found(low) == []
    assert found(low + 1) == ["amount"]
    assert found(1, hour - 1) == []
    assert found(1, hour) == ["volume"]
    assert found(low, limits=Thresholds(amounts={})) == ["currency"]


def test_limits_of_a_currency_are_set_all_together_or_the_setting_is_refused() -> None:
    own = '{"most_units": 1, "ETH": {"most_units": 5, "most_units_an_hour": 6, "most_units_a_day": 7}}'
    limits = risk_thresholds(load({"PAYFLOW_RISK": own}))
    assert limits.of(ETH) == AmountLimits(5, 6, 7)
    assert limits.of(NGN) == AmountLimits(1, 100_000_00, 300_000_00)
    assert limits.of(CURRENCIES["GHS"].asset) == AMOUNTS["GHS"]
    for wrong in ('{"ETH": {"most_units": 5}}', '{"amounts": 5}', '{"GHS": {"most": 1}}'):
        with pytest.raises(BadSettings, match="PAYFLOW_RISK"):
            risk_thresholds(load({"PAYFLOW_RISK": wrong}))


@pytest.mark.parametrize("gwei", [1, 50_000_00, 50_000_01, MAX_UNITS])
def test_limits_in_naira_say_nothing_of_another_currency_so_people_look_at_any_amount(gwei: int) -> None:
    asked_before = Velocity(1, MAX_UNITS, 1, MAX_UNITS)
    asked = RiskRequest(Money(gwei, ETH), replace(GOOD, velocity=asked_before, average_units=gwei), NOW)
    assert codes(asked) == ["currency"]
    assert [finding.text for finding in assess(asked, LIMITS)] == ["no limits are set for amounts in ETH"]


@pytest.mark.parametrize("decimals", [0, 6, 9])
def test_what_is_only_called_like_a_currency_is_not_judged_by_its_amounts(decimals: int) -> None:
    assert Thresholds().of(Asset("USD", 2)) is not None
    assert Thresholds().of(Asset("USD", decimals)) is None
