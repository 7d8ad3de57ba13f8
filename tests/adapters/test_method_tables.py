"""What the simulated gateways know of countries is what the adapters' tables say, though each was written by itself."""

from decimal import Decimal

import pytest

from adapters.flutterwave import methods as flutterwave
from adapters.flutterwave.codec import ledger_units, major_units
from adapters.flutterwave.transfer import check_payable
from adapters.paystack import methods as paystack
from adapters.sandbox.flutterwave import countries as sandbox_flutterwave
from adapters.sandbox.paystack import countries as sandbox_paystack
from machines.core.currencies import CURRENCIES
from machines.core.errors import BadAmount, Rejected
from machines.core.methods import BANK_CODE, MOBILE_MONEY, PayMethod
from machines.core.money import Asset, Money
from machines.core.ports import Destination, Payment, PaymentKey


def networks(row: PayMethod) -> set[str]:
    (field,) = (field for field in row.fields if field.name == BANK_CODE)
    return {code for code, _ in field.choices}


def test_both_know_the_same_currencies_and_which_have_no_decimals() -> None:
    assert {row.currency for row in flutterwave.V3} == sandbox_flutterwave.PAID_IN == CURRENCIES.keys()
    whole = {code for code, one in CURRENCIES.items() if not one.asset.decimals}
    assert whole == sandbox_flutterwave.NO_DECIMALS
    assert {row.currency for row in paystack.METHODS} == sandbox_paystack.RECIPIENTS.keys()


def test_both_know_the_same_networks() -> None:
    for row in (row for row in flutterwave.V3 if row.method == MOBILE_MONEY):
        assert networks(row) == set(sandbox_flutterwave.NETWORKS[row.currency]), row.name
    for row in (row for row in paystack.METHODS if row.method == MOBILE_MONEY):
        assert networks(row) == sandbox_paystack.NETWORKS[row.currency].keys(), row.name


@pytest.mark.parametrize("amount", ["10", "5000", "5001", "1500", "1501", "50001", "900000"])
def test_both_have_the_same_fees(amount: str) -> None:
    for row in flutterwave.V3:
        taken = sandbox_flutterwave.fee_of(Decimal(amount), row.currency, row.method)
        assert row.fee(Decimal(amount)) == taken, row.name
    for row in (row for row in paystack.METHODS if row.currency != "NGN"):  # whose simulator takes the tax as well
        assert row.fee(Decimal(amount)) == sandbox_paystack.fee_of(Decimal(amount), row.currency, row.method), row.name


def test_what_the_gateway_wants_is_a_field_that_the_table_needs() -> None:
    """Each thing that the simulator refuses a transfer without is there because the row asks for it."""
    plain = {"beneficiary_name": "account_name", "destination_branch_code": "branch_code"}
    for row in flutterwave.V3:
        theirs = {name: ours for ours, name in flutterwave.META.get((row.currency, row.method), {}).items()}
        needed = {field.name for field in row.fields if field.needed}
        for name in sandbox_flutterwave.WANTED.get((row.currency, row.method), ()):
            assert plain.get(name) or theirs.get(name.removeprefix("meta.")), (row.name, name)
            assert (plain.get(name) or theirs[name.removeprefix("meta.")]) in needed, (row.name, name)


@pytest.mark.parametrize(("decimals", "text"), [(0, "1235"), (2, "1234.56"), (3, "1234.560"), (3, "0.010")])
def test_amounts_of_any_number_of_decimals_go_to_a_gateway_and_back_unchanged(decimals: int, text: str) -> None:
    amount = Money.parse(text, Asset("XYZ", decimals))
    assert ledger_units(major_units(amount), amount.asset) == amount
    check_payable(Payment(PaymentKey("payout-03-abcdefgh23456777-1"), Destination("bank", ()), amount), 1, 100)


def test_what_is_finer_than_a_gateway_counts_is_refused_in_words() -> None:
    amount = Money.parse("1234.567", Asset("TND", 3))
    with pytest.raises(Rejected, match=r"TND 1234\.567 is too precise: the gateway counts hundredths"):
        check_payable(Payment(PaymentKey("payout-03-abcdefgh23456777-1"), Destination("bank", ()), amount), 1, 100)
    with pytest.raises(BadAmount, match="UGX has 0 decimals"):
        Money.parse("100.50", CURRENCIES["UGX"].asset)


def test_banks_of_all_countries_are_known() -> None:
    for code, countries in flutterwave.COUNTRIES.items():
        assert all(len(sandbox_flutterwave.BANKS[country]) >= 6 for country in countries), code
    assert len(sandbox_flutterwave.BANKS["NG"]) >= 45
    assert {"999992", "090267", "090405", "035"} <= sandbox_flutterwave.BANKS["NG"].keys()
    assert all(len(banks) >= 10 for banks in sandbox_paystack.BANKS.values())
