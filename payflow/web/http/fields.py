"""The kinds of fields that the API takes, each with what may stand in it."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from adapters.notify.contacts import LONGEST, PATTERN
from machines.core.clock import SECOND, Millis
from machines.core.errors import BadAmount
from machines.core.money import Assets, Money
from payflow.desk.requests import LONGEST_LINE, PARTS, SEEN, SOMETHING
from payflow.web.http import problems
from payflow.web.http.problems import Problem

ALL = "all"

_AMOUNT = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
_WHOLE = re.compile(r"[0-9]{1,9}")
# GitHub's ids have 64 bits.
_ISSUE = re.compile(r"[1-9][0-9]{0,18}")
MOST_DIGITS = 19


class Number:
    """A number as it was written: no digit of it has gone through a float."""

    def __init__(self, text: str) -> None:
        self.text = text


def _amount(value: object) -> str:
    text = value.text if isinstance(value, Number) else value
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise PydanticCustomError("bad_amount", "write an amount as 1250.50: digits, with a point before decimals")
    if not text.strip("0."):
        raise PydanticCustomError("bad_amount", "the amount must be more than nothing")
    return text


def _amount_or_all(value: object) -> str | None:
    return None if value is None or value == ALL else _amount(value)


def _moment(value: object) -> Millis:
    try:
        moment = datetime.fromisoformat(str(value))
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return Millis(int(aware.timestamp() * SECOND))
    except (ValueError, OverflowError):
        raise PydanticCustomError("bad_time", "write a time as 2026-01-31 or 2026-01-31T12:00:00Z") from None


def _whole(value: object) -> object:
    return int(value.text) if isinstance(value, Number) and _WHOLE.fullmatch(value.text) else value


def _issue(value: object) -> object:
    return value.text if isinstance(value, Number) and _ISSUE.fullmatch(value.text) else value


_AMOUNT_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]{1,18}(\.[0-9]{1,18})?$"},
        {"type": "number", "exclusiveMinimum": 0},
    ],
    "examples": ["1250.50"],
    "description": "In the currency's usual unit, best as text. No more decimals than the currency has.",
}
_ALL_SCHEMA: dict[str, Any] = {
    **_AMOUNT_SCHEMA,
    "anyOf": [*_AMOUNT_SCHEMA["anyOf"], {"const": ALL}, {"type": "null"}],
    "description": "In the currency's usual unit, best as text; null or `all` for all that is available.",
}

Amount: TypeAlias = Annotated[str, BeforeValidator(_amount), WithJsonSchema(_AMOUNT_SCHEMA)]
AmountOrAll: TypeAlias = Annotated[str | None, BeforeValidator(_amount_or_all), WithJsonSchema(_ALL_SCHEMA)]
Currency: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,11}$", examples=["NGN"])]
Owner: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@+/-]{0,127}$", examples=["provider-17"])]
# No slash: a platform's name and a slash stand before it in the books.
ExternalId: TypeAlias = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@+=-]{0,127}$", examples=["order-2026-000123"])
]
Fingerprint: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$", examples=["9f86d081884c7d659a2feaa0"])]
Note: TypeAlias = Annotated[str, Field(max_length=140, pattern=f"^[{SEEN}]*$")]
Words: TypeAlias = Annotated[str, Field(max_length=500, pattern=SOMETHING)]
Line: TypeAlias = Annotated[str, Field(max_length=LONGEST_LINE, pattern=SOMETHING)]
# Only where the other side is no host of the caller's choice: what they name here, our own servers will connect to.
Contact: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=LONGEST),
    Field(
        pattern=PATTERN,
        examples=["mailto:ann@example.com"],
        description="mailto:, or an Apprise URL of Telegram, Slack, Discord, Pushover or Pushbullet, without a query.",
    ),
]
Method: TypeAlias = Literal["bank", "mobile_money", "ethereum"]
Moment: TypeAlias = Annotated[
    Millis, BeforeValidator(_moment), WithJsonSchema({"type": "string", "examples": ["2026-01-31T12:00:00Z"]})
]
ChainAddress: TypeAlias = Annotated[
    str, Field(pattern=PARTS["address"], examples=["0x52908400098527886E0F7030069857D2E4169EE7"])
]
TransactionHash: TypeAlias = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$")]
SignedText: TypeAlias = Annotated[str, Field(min_length=1, max_length=2_000)]
IssueId: TypeAlias = Annotated[
    str,
    BeforeValidator(_issue),
    Field(min_length=1, max_length=100),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "format": "int64", "minimum": 1}, {"type": "string"}],
            "description": "The bounty's id, or the one that GitHub gave its issue.",
        }
    ),
]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole), WithJsonSchema({"type": "integer", "minimum": 0})]


def whole(text: str, name: str) -> int:
    """Read a whole number out of an address or a form."""
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise Problem(problems.BAD_FIELD, f"{name}: a whole number.", field=name)
    return int(text)


def money(text: str, currency: str, assets: Assets) -> Money:
    """Read an amount in a currency, refusing what the currency does not have."""
    try:
        asset = assets[currency]
    except BadAmount as error:
        raise Problem(problems.UNKNOWN_CURRENCY, f"currency: {error}", field="currency") from error
    try:
        return Money.parse(text, asset)
    except BadAmount as error:
        raise Problem(problems.BAD_AMOUNT, f"amount: {error}", field="amount") from error
