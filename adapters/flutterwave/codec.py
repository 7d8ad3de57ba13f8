"""How the gateway's JSON is written and read, without ever losing a digit."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

from adapters.http import HttpReply
from machines.core.errors import OutcomeUnknown
from machines.core.money import Asset, Money

RAIL = "flutterwave"

T = TypeVar("T")

# A Decimal is written as the number that it is; msgspec reads numbers into Decimals digit by digit.
_ENCODER = msgspec.json.Encoder(decimal_format="number")

_LONGEST_TEXT = 200


class FlutterwaveAnswer(msgspec.Struct, Generic[T]):
    """What either version wraps an answer in."""

    status: str
    data: T


class NotJson(Exception):
    """The bytes are not the JSON that was expected."""


def encoded(body: Mapping[str, Any]) -> bytes:
    """Write a JSON body; the same values always give the same bytes."""
    return _ENCODER.encode(body)


def decoded(body: bytes, shape: type[T]) -> T:
    """Read JSON into a shape, or raise `NotJson`."""
    try:
        return msgspec.json.decode(body, type=shape, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(str(error)[:_LONGEST_TEXT]) from error


def understood(reply: HttpReply, shape: type[T], what: str) -> T:
    """Read a reply's body; one that cannot be read proves nothing."""
    try:
        return decoded(reply.body, shape)
    except NotJson as error:
        raise OutcomeUnknown(f"{what}: HTTP {reply.status} with a body that is not the gateway's JSON.") from error


def text_of(news: object, part: str) -> str:
    """Read a part of a webhook's data that should be a name or a number; empty when it is anything else."""
    value = news.get(part) if isinstance(news, dict) else None
    return str(value)[:_LONGEST_TEXT] if isinstance(value, str | int) else ""


def major_units(money: Money) -> Decimal:
    """Give an amount as the gateway counts it; whole amounts without a fraction, because its page says int32."""
    value = Decimal(money.decimal)
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value


def ledger_units(value: Decimal, asset: Asset, *, up: bool = False) -> Money:
    """Put a gateway's number that is not a payment's (a balance, a fee) into ledger units.

    Such numbers have more digits than the ledger (a fee of 26.875): rounded down, or up where less would be a promise.
    A wallet in debt has nothing to give: zero.
    """
    if not value.is_finite() or abs(value.adjusted()) > 18:  # noqa: PLR2004  (no ledger amount is that long)
        raise NotJson(f"{value} is no amount of money.")
    shifted = value.scaleb(asset.decimals)
    units = int(shifted)
    if up and shifted > units:
        units += 1
    return Money(max(units, 0), asset)
