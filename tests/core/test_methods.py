"""The rails' tables: what each row takes, what it refuses and in which words, for all rows of all rails."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ethereum.methods import methods as lane_methods
from adapters.flutterwave.methods import V3, V4
from adapters.paystack import methods as paystack
from machines.core.currencies import CURRENCIES
from machines.core.methods import LONGEST_LINE, BadDestination, FeeStep, MethodField, PayMethod
from machines.core.money import NGN, Money
from machines.core.ports import Destination
from machines.payout.risk import AMOUNTS
from payflow.desk.requests import PARTS

RAILS = {"flutterwave": V3, "flutterwave v4": V4, "paystack": paystack.METHODS, "lane": lane_methods(["USDC"])}
ROWS = [row for rows in RAILS.values() for row in rows]
FIELDS = [(row, field) for row in ROWS for field in row.fields]


def example(row: PayMethod, **changes: str) -> Destination:
    """A destination as the row itself shows it; an empty change leaves a field out."""
    fields = {field.name: field.example for field in row.fields} | changes
    return Destination(row.destination_kind, tuple((name, text) for name, text in fields.items() if text))


def faults(row: PayMethod, **changes: str) -> list[tuple[str, str]]:
    return [(fault.field, str(fault)) for fault in row.faults(example(row, **changes))]


def test_what_a_row_shows_as_examples_it_takes() -> None:
    for row in ROWS:
        row.check(example(row))
        row.check(example(row, **{field.name: "" for field in row.fields if not field.needed}))


@pytest.mark.parametrize("rows", RAILS.values(), ids=RAILS)
def test_a_rail_has_one_row_for_a_currency_and_method(rows: tuple[PayMethod, ...]) -> None:
    assert len({row.name for row in rows}) == len(rows)


def test_a_field_that_is_missing_or_wrong_is_refused_in_words_that_name_it() -> None:
    for row, field in FIELDS:
        missing, wrong = faults(row, **{field.name: ""}), faults(row, **{field.name: "\u202e!"})
        assert missing == ([(field.name, f"{field.label} is needed: {field.says}.")] if field.needed else []), row.name
        assert wrong == [(field.name, f"{field.label}: {field.says}, such as {field.example}.")], row.name
        assert faults(row, **{field.name: "A" * (LONGEST_LINE + 1)}), "no field is longer than a line"


@given(st.sampled_from(FIELDS), st.text(min_size=1, max_size=20))
def test_nothing_gets_through_that_is_not_what_it_looks_like(of: tuple[PayMethod, MethodField], text: str) -> None:
    row, field = of
    refused = faults(row, **{field.name: text})
    if any(char in "\u202e\u2066\u200e\n\r\t\x00\x7f" for char in text) or not text.strip():
        assert refused
    assert all(name == field.name and said.startswith(field.label) and said.endswith(".") for name, said in refused)


@pytest.mark.parametrize("row", ROWS[:1])
def test_what_a_row_has_no_use_for_is_refused_and_not_left_out_in_silence(row: PayMethod) -> None:
    assert faults(row, colour="red") == [("colour", f"{row.currency} by {row.method} takes no colour: leave it out.")]
    with pytest.raises(BadDestination, match="takes no colour"):
        row.check(example(row, colour="red"))


def test_a_row_of_a_gateway_is_in_a_currency_of_the_table_with_limits_for_all_that_is_looked_at() -> None:
    for row in ROWS:
        assert row.test_ends, row.name
    for row in (row for row in ROWS if not row.kind):
        one = CURRENCIES[row.currency]
        amounts = [one.units(text) for text in (one.minimum, one.low_risk, one.two_people_from, one.maximum)]
        assert amounts == sorted(amounts), row.name
        assert one.asset == NGN or AMOUNTS[row.currency].most_units == one.units(one.low_risk), row.name
        for limit in filter(None, (row.minimum, row.maximum)):
            assert Money.parse(limit, one.asset).units, row.name


def test_every_field_of_a_row_is_one_that_requests_can_carry() -> None:
    assert {field.name for rows in RAILS.values() for row in rows for field in row.fields} == set(PARTS)


def test_an_example_is_no_more_than_what_requests_carry() -> None:
    for row, field in FIELDS:
        assert re.fullmatch(PARTS[field.name], field.example), (row.name, field.name)


@pytest.mark.parametrize(
    ("amount", "fee"),
    [("5000", "10.75"), ("5000.01", "26.875"), ("50000", "26.875"), ("50000.01", "53.75"), ("5000000", "53.75")],
)
def test_fees_go_by_steps(amount: str, fee: str) -> None:
    assert V3[0].fee(Decimal(amount)) == Decimal(fee)


def test_a_fee_may_be_a_part_of_a_hundred() -> None:
    assert FeeStep("", "1", "1.5").of(Decimal(200)) == Decimal(4)


def test_decimals_stand_in_one_place() -> None:
    none = {code for code, one in CURRENCIES.items() if one.asset.decimals == 0}
    assert none == {"UGX", "RWF", "XAF", "XOF"}
    assert {one.asset.decimals for code, one in CURRENCIES.items() if code not in none} == {2}
