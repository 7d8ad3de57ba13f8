"""What can be asked besides paying: what a wallet holds, whose an account is, what it costs."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import TypeVar

from msgspec import Struct

from adapters.flutterwave import wire_v3, wire_v4
from adapters.flutterwave.codec import FlutterwaveAnswer, NotJson, decoded, encoded, ledger_units, major_units
from adapters.flutterwave.methods import COUNTRIES
from adapters.flutterwave.refusals import V3_ENQUIRY, Proves, proves_v3
from adapters.http import GatewayClient, HttpReply, HttpRequest, plain
from machines.core.currencies import CURRENCIES
from machines.core.errors import BadAmount, Rejected, Retryable
from machines.core.money import Asset, Money
from machines.core.ports import Destination

T = TypeVar("T")

_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})


class MessageV3(Struct):
    """The sentence of any v3 answer."""

    message: str = ""


class WalletData(Struct):
    """A wallet."""

    currency: str
    available_balance: Decimal
    ledger_balance: Decimal


class WalletV4(Struct):
    """A wallet of v4."""

    currency: str
    available_balance: Decimal


class BankData(Struct):
    """A bank."""

    code: str | int
    name: str


class AccountData(Struct):
    """Whose account it is."""

    account_name: str


class FeeData(Struct):
    """What a transfer costs."""

    fee: Decimal
    fee_type: str = "value"


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """What is in the wallet, in whole ledger units: fees of 26.875 leave fractions that nobody can pay out."""

    available: Money
    ledger: Money


class EnquiriesV3:
    """Asks over API v3."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def balance(self, asset: Asset) -> WalletBalance:
        """Tell what the wallet of a currency holds."""
        reply = await self._client.read(HttpRequest("GET", f"/balances/{asset.code}"))
        wallet = _answer(wire_v3.checked(reply), FlutterwaveAnswer[WalletData]).data
        return WalletBalance(_money(wallet.available_balance, asset), _money(wallet.ledger_balance, asset))

    async def balances(self) -> list[Money]:
        """Tell what all wallets hold, in the currencies that we know."""
        reply = await self._client.read(HttpRequest("GET", "/balances"))
        return _known(_answer(wire_v3.checked(reply), FlutterwaveAnswer[list[WalletV4]]).data)

    async def banks(self, currency: str) -> list[tuple[str, str]]:
        """List the banks of the countries that a currency is paid in, each code with its name."""
        found: list[tuple[str, str]] = []
        for country in COUNTRIES.get(currency, ()):
            reply = wire_v3.checked(await self._client.read(HttpRequest("GET", f"/banks/{country}")))
            found += _banks(_answer(reply, FlutterwaveAnswer[list[BankData]]).data)
        return found

    async def account_name(self, to: Destination, _: str = "NGN") -> str:
        """Tell whose account it is; `Rejected` when there is no such account."""
        body = encoded({"account_number": to["account_number"], "account_bank": to["bank_code"]})
        reply = wire_v3.checked(await self._client.read(HttpRequest("POST", "/accounts/resolve", body=body)))
        if reply.status in _REFUSED:
            says = _answer(reply, MessageV3, refused=True).message
            raise _no_name(plain(says), proves_v3(reply.status, says, V3_ENQUIRY))
        return plain(_answer(reply, FlutterwaveAnswer[AccountData]).data.account_name)

    async def fee(self, amount: Money, kind: str = "account") -> Money:
        """Tell what a transfer costs, rounded up to a whole unit."""
        query = (("amount", f"{major_units(amount)}"), ("currency", amount.asset.code), ("type", kind))
        reply = await self._client.read(HttpRequest("GET", "/transfers/fee", query=query))
        fees = _answer(wire_v3.checked(reply), FlutterwaveAnswer[list[FeeData]]).data
        if not fees:
            raise Retryable("Flutterwave names no fee.")
        value = fees[0].fee
        if fees[0].fee_type == "percentage":
            value = Decimal(amount.decimal) * value / 100
        return _money(value, amount.asset, up=True)


class EnquiriesV4:
    """Asks over API v4, whose pages show no fees."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def balance(self, asset: Asset) -> WalletBalance:
        """Tell what the wallet of a currency holds; a currency that is not listed has none."""
        reply = await self._client.read(HttpRequest("GET", "/wallets/balances"))
        wallets = _answer(wire_v4.checked(reply), FlutterwaveAnswer[list[WalletV4]]).data
        held = next((one.available_balance for one in wallets if one.currency == asset.code), Decimal(0))
        return WalletBalance(_money(held, asset), _money(held, asset))

    async def balances(self) -> list[Money]:
        """Tell what all wallets hold, in the currencies that we know."""
        reply = await self._client.read(HttpRequest("GET", "/wallets/balances"))
        return _known(_answer(wire_v4.checked(reply), FlutterwaveAnswer[list[WalletV4]]).data)

    async def banks(self, currency: str) -> list[tuple[str, str]]:
        """List the banks of the countries that a currency is paid in, each code with its name."""
        found: list[tuple[str, str]] = []
        for country in COUNTRIES.get(currency, ()):
            query = (("country", country),)
            reply = wire_v4.checked(await self._client.read(HttpRequest("GET", "/banks", query=query)))
            found += _banks(_answer(reply, FlutterwaveAnswer[list[BankData]]).data)
        return found

    async def account_name(self, to: Destination, currency: str = "NGN") -> str:
        """Tell whose account it is; `Rejected` when there is no such account."""
        body = encoded({"account": {"code": to["bank_code"], "number": to["account_number"]}, "currency": currency})
        reply = wire_v4.checked(await self._client.read(HttpRequest("POST", "/banks/account-resolve", body=body)))
        if reply.status in _REFUSED:
            raise _no_name("There is no such account.", wire_v4.proves(reply))
        return plain(_answer(reply, FlutterwaveAnswer[AccountData]).data.account_name)


def _known(wallets: Iterable[WalletV4]) -> list[Money]:
    assets = {code: one.asset for code, one in CURRENCIES.items()}
    return [_money(one.available_balance, assets[one.currency]) for one in wallets if one.currency in assets]


def _banks(listed: Iterable[BankData]) -> list[tuple[str, str]]:
    return [(str(one.code), plain(one.name)) for one in listed]


def _no_name(says: str, meaning: Proves | None) -> Rejected | Retryable:
    """Tell an account that there is not from a refusal that may speak of us, which must end nobody's payout."""
    if meaning is Proves.NOT_CREATED:
        return Rejected(says)
    return Retryable(f"Flutterwave does not say whose account it is: {says or 'no reason given'}")


def _answer(reply: HttpReply, shape: type[T], *, refused: bool = False) -> T:
    """Read an answer; one that cannot be used is asked for again, since nothing hangs on it."""
    try:
        if refused or reply.status == HTTPStatus.OK:
            return decoded(reply.body, shape)
    except NotJson as error:
        raise Retryable("Flutterwave's answer cannot be read.") from error
    raise Retryable(f"Flutterwave answered with HTTP {reply.status}.")


def _money(value: Decimal, asset: Asset, *, up: bool = False) -> Money:
    try:
        return ledger_units(value, asset, up=up)
    except (NotJson, BadAmount) as error:
        raise Retryable("Flutterwave's amount cannot be read.") from error
