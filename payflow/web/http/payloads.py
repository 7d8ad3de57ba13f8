"""What the API takes: the kinds of fields, each with what may stand in it; bodies and queries, checked field by field.

Bodies are read without a float. Nothing is done with a request before all of it was checked.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar

from multidict import MultiMapping
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from adapters.notify.contacts import LONGEST, PATTERN
from machines.core.clock import SECOND, Millis
from machines.core.errors import BadAmount
from machines.core.ids import RecordId
from machines.core.methods import LONGEST_LINE, SEEN, SOMETHING
from machines.core.money import Asset, Assets, Money
from payflow.desk.requests import PARTS
from payflow.store.listing import ListCursor
from payflow.web.http import problems
from payflow.web.http.problems import Problem

ALL = "all"

_AMOUNT = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
_WHOLE = re.compile(r"[0-9]{1,9}")
# GitHub's ids have 64 bits.
_ISSUE = re.compile(r"[1-9][0-9]{0,18}")
MOST_DIGITS = 19
_PLACE = re.compile(r"([0-9]{1,15}):([a-z][a-z_]{1,31}-[0-9]{2}-[a-z2-7]{16})")

_KINDS: Mapping[str, tuple[HTTPStatus, str]] = {
    "missing": problems.MISSING_FIELD,
    "extra_forbidden": problems.UNKNOWN_FIELD,
    "bad_amount": problems.BAD_AMOUNT,
}
# Tell the shapes of a destination apart; no name of a field, so that they can be taken out of what the caller reads.
ACCOUNT, ADDRESS = _TAGS = ("<account>", "<address>")
_NO_OBJECT = frozenset({"model_type", "model_attributes_type"})


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
    # One shape for all texts: what makes clients of the document cannot tell a constant from other text.
    "anyOf": [
        {"type": "string", "pattern": rf"^([0-9]{{1,18}}(\.[0-9]{{1,18}})?|{ALL})$"},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "null"},
    ],
    "description": "In the currency's usual unit, best as text; null or `all` for all that is available.",
}

Amount: TypeAlias = Annotated[str, BeforeValidator(_amount), WithJsonSchema(_AMOUNT_SCHEMA)]
AmountOrAll: TypeAlias = Annotated[str | None, BeforeValidator(_amount_or_all), WithJsonSchema(_ALL_SCHEMA)]
Currency: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,11}$", examples=["NGN"])]
OwnerName: TypeAlias = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@+/-]{0,127}$", examples=["provider-17"])
]
AnyOwner: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,63}~)?[A-Za-z0-9][A-Za-z0-9_.:@+/-]{0,127}$", examples=["provider-17"]
    ),
]
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
Method: TypeAlias = Literal["bank", "mobile_money", "wallet", "ethereum"]
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


def asset_of(currency: str, assets: Assets) -> Asset:
    """Find a currency, refusing one that is unknown."""
    try:
        return assets[currency]
    except BadAmount as error:
        raise Problem(problems.UNKNOWN_CURRENCY, f"currency: {error}", field="currency") from error


def money(text: str, currency: str, assets: Assets) -> Money:
    """Read an amount in a currency, refusing what the currency does not have."""
    asset = asset_of(currency, assets)
    try:
        return Money.parse(text, asset)
    except BadAmount as error:
        raise Problem(problems.BAD_AMOUNT, f"amount: {error}", field="amount") from error


# ── bodies and queries ───────────────────────────────────────────────────────────────────────────────────────────────


class RequestBody(BaseModel):
    """Something that the API is given."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class NoBody(RequestBody):
    """Nothing at all."""


class Query(BaseModel):
    """What stands behind the question mark."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NoQuery(Query):
    """Nothing at all."""


class OwnerAsked(Query):
    """Whose it is."""

    owner: AnyOwner | None = None
    """Whose; needed unless the token is a provider's own. Staff put the platform before: `shop~provider-17`."""


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

M = TypeVar("M", bound=BaseModel)


def read_body(shape: type[M], raw: bytes) -> M:
    """Read a body, or say what is wrong with it; an empty one will do where nothing is needed."""
    return _checked(shape, _json(raw) if raw else {})


def read_query(shape: type[M], query: MultiMapping[str]) -> M:
    """Read a query, or say what is wrong with it."""
    for name in query:
        if len(query.getall(name)) > 1:
            raise Problem(problems.BAD_FIELD, f"{_short(name)} is given twice.", field=_short(name))
    return _checked(shape, dict(query))


def _checked(shape: type[M], value: object) -> M:
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(_short(str(part)) for part in first["loc"] if part not in _TAGS)
    said = "write an object here" if first["type"] in _NO_OBJECT else first["msg"]
    raise Problem(
        _KINDS.get(first["type"], problems.BAD_FIELD), f"{field}: {said}." if field else f"{said}.", field=field
    )


def _short(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:60])


def _json(raw: bytes) -> object:
    try:
        return json.loads(
            raw.decode(),
            parse_float=Number,
            parse_int=Number,
            parse_constant=_no_number,
            object_pairs_hook=_once,
        )
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, _NotSo) else "The body is no JSON in UTF-8."
    raise Problem(problems.BAD_JSON, why)


class _NotSo(ValueError):
    """JSON that Python would take and we do not."""


def _no_number(text: str) -> NoReturn:
    raise _NotSo(f"{text} is no number in JSON.")


def _once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise _NotSo(f"{_short(name)} is given twice.")
        found[name] = value
    return found


# ── further pages ────────────────────────────────────────────────────────────────────────────────────────────────────


def cursor_of(*parts: object) -> str:
    """Write the place after which the next page begins."""
    return base64.urlsafe_b64encode(":".join(map(str, parts)).encode()).decode()


def read_cursor(cursor: str, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """Read such a place; None for the first page."""
    if not cursor:
        return None
    try:
        match = pattern.fullmatch(base64.b64decode(cursor, altchars=b"-_", validate=True).decode())
    except ValueError:
        match = None
    if match is None:
        raise Problem(problems.BAD_FIELD, "cursor: give the `next` of the page before, unchanged.", field="cursor")
    return match


def list_cursor(cursor: str) -> ListCursor | None:
    """Read a place in a list of records."""
    match = read_cursor(cursor, _PLACE)
    return ListCursor(Millis(int(match[1])), RecordId(match[2])) if match else None
