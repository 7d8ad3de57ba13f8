"""What can be asked besides paying."""

import json
from decimal import Decimal

import pytest

from adapters.flutterwave.codec import NotJson, ledger_units
from adapters.flutterwave.enquiries import EnquiriesV3, EnquiriesV4
from adapters.http import GatewayClient, HttpReply
from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from machines.core.errors import RailClosed, Rejected, Retryable
from machines.core.money import NGN, Money
from machines.core.ports import Destination
from tests.adapters.conftest import payment


def naira(text: str) -> Money:
    return Money.parse(text, NGN)


def account(number: str) -> Destination:
    return payment(number).to


async def test_a_balance_is_rounded_down_because_a_fraction_cannot_be_paid_out(
    client: GatewayClient, gateway: FlutterwaveSimulator
) -> None:
    gateway.transfers.wallets["NGN"] = Decimal("1000.125")
    balance = await EnquiriesV3(client).balance(NGN)
    assert (balance.available, balance.ledger) == (naira("1000.12"), naira("1000.12"))


async def test_a_wallet_in_debt_has_nothing(client: GatewayClient, gateway: FlutterwaveSimulator) -> None:
    gateway.transfers.wallets["NGN"] = Decimal("-5.5")
    assert (await EnquiriesV3(client).balance(NGN)).available == naira("0")


@pytest.mark.parametrize(
    ("amount", "fee"), [("5000", "10.75"), ("5000.01", "26.88"), ("50000", "26.88"), ("50000.01", "53.75")]
)
async def test_a_fee_is_rounded_up_so_that_it_promises_nothing(client: GatewayClient, amount: str, fee: str) -> None:
    assert await EnquiriesV3(client).fee(naira(amount)) == naira(fee)


async def test_an_account_has_a_name_or_is_rejected(client: GatewayClient, client_v4: GatewayClient) -> None:
    for ask in (EnquiriesV3(client), EnquiriesV4(client_v4)):
        assert await ask.account_name(account("0123456789"))
        with pytest.raises(Rejected):
            await ask.account_name(account("123"))


@pytest.mark.parametrize("says", ["Merchant is not enabled for account resolution", ""])
async def test_a_refusal_that_may_speak_of_us_ends_nobodys_payout(
    client: GatewayClient, client_v4: GatewayClient, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    body = {"status": "error", "message": says, "error": {"type": "MERCHANT_NOT_ENABLED", "message": says}}

    async def refused(*_: object, **__: object) -> HttpReply:
        return HttpReply(400, json.dumps(body).encode())

    monkeypatch.setattr(GatewayClient, "read", refused)
    for ask in (EnquiriesV3(client), EnquiriesV4(client_v4)):
        with pytest.raises(Retryable):
            await ask.account_name(account("0123456789"))


@pytest.mark.parametrize("kind", [Kind.HTML, Kind.TRUNCATED, Kind.EMPTY, Kind.UNTRUE])
async def test_an_answer_that_cannot_be_used_is_asked_for_again_later(
    client: GatewayClient, gateway: FlutterwaveSimulator, kind: Kind
) -> None:
    ask = EnquiriesV3(client)
    for question in (
        lambda: ask.balance(NGN),
        lambda: ask.fee(naira("1")),
        lambda: ask.account_name(account("0123456789")),
    ):
        gateway.faults.add(Fault(kind, created=True, where="* /v3/*", times=2))
        with pytest.raises(Retryable):
            await question()
        gateway.faults.clear()


async def test_a_revoked_key_closes_the_rail(client: GatewayClient, gateway: FlutterwaveSimulator) -> None:
    gateway.transfers.switches.key_revoked = True
    with pytest.raises(RailClosed):
        await EnquiriesV3(client).balance(NGN)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+999", "1E-999"])
def test_a_number_that_is_no_amount_is_refused(value: str) -> None:
    with pytest.raises(NotJson):
        ledger_units(Decimal(value), NGN)
