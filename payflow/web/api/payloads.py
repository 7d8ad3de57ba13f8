"""What the API takes: read without a float, checked field by field before anything is done with it."""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, NoReturn, Self, TypeAlias, TypeVar

from multidict import MultiMapping
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from machines.core.ports import Destination
from payflow.desk.requests import PARTS
from payflow.web.http import problems
from payflow.web.http.fields import (
    Amount,
    AmountOrAll,
    ChainAddress,
    Contact,
    Currency,
    ExternalId,
    Fingerprint,
    Line,
    Method,
    Note,
    Number,
    Owner,
    Whole,
    Words,
)
from payflow.web.http.problems import Problem

MOST_EARNINGS = 500
MOST_ADDRESSES = 5

_KINDS: Mapping[str, tuple[HTTPStatus, str]] = {
    "missing": problems.MISSING_FIELD,
    "extra_forbidden": problems.UNKNOWN_FIELD,
    "bad_amount": problems.BAD_AMOUNT,
}
_NO_OBJECT = frozenset({"model_type", "model_attributes_type"})
# Tell the shapes of a destination apart; no name of a field, so that they can be taken out of what the caller reads.
_ACCOUNT, _ADDRESS = _TAGS = ("<account>", "<address>")


# ── bodies ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class RequestBody(BaseModel):
    """Something that the API is given."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class NoBody(RequestBody):
    """Nothing at all."""


class BankAccount(RequestBody):
    """An account at a bank, or at a provider of mobile money."""

    bank_code: Annotated[str, Field(pattern=PARTS["bank_code"], examples=["044"])]
    """The gateway's code of the bank, or of the mobile network."""
    account_number: Annotated[str, Field(pattern=PARTS["account_number"], examples=["0690000031"])]
    """Its number there. It is kept encrypted, and shown by its last digits only."""
    account_name: Line | None = None
    """The name on the account."""
    branch_code: Annotated[str, Field(pattern=PARTS["branch_code"], examples=["GH280103"])] | None = None
    """The branch, in countries where transfers need it."""


class ChainDestination(RequestBody):
    """An address on a chain."""

    address: ChainAddress


def _kind(value: object) -> str:
    if isinstance(value, BankAccount | ChainDestination):
        return _ADDRESS if isinstance(value, ChainDestination) else _ACCOUNT
    return _ADDRESS if isinstance(value, dict) and "address" in value else _ACCOUNT


Where: TypeAlias = Annotated[
    Annotated[BankAccount, Tag(_ACCOUNT)] | Annotated[ChainDestination, Tag(_ADDRESS)], Discriminator(_kind)
]


def destination(method: str, where: BankAccount | ChainDestination) -> Destination:
    """Make a destination of what was given, or refuse what does not fit the method."""
    if isinstance(where, ChainDestination) != (method == "ethereum"):
        needed = "an address" if method == "ethereum" else "bank_code and account_number"
        raise Problem(problems.BAD_FIELD, f"destination: {method} needs {needed}.", field="destination")
    return Destination(method, tuple(where.model_dump(exclude_none=True).items()))


class PayoutGiven(RequestBody):
    """A request for a payout."""

    owner: Owner | None = None
    """Whose money it is; needed with a platform's token, a provider's own by default."""
    amount: AmountOrAll
    currency: Currency
    method: Method
    destination: Where | None = None
    """Where it goes; without it, where the profile says."""
    note: Note = ""
    """What the receiver's bank shows."""


class ReasonGiven(RequestBody):
    """Why."""

    reason: Words


class CancelGiven(RequestBody):
    """Why it is not wanted any more."""

    reason: Words | None = None


class CorrectionGiven(RequestBody):
    """Where a failed payout should go instead."""

    destination: Where


class ApprovalGiven(RequestBody):
    """A yes to what was seen."""

    fingerprint: Fingerprint
    """Of the review, as it was listed: it names amount and destination, so a yes to something else is refused."""


class EarningGiven(RequestBody):
    """What a provider earned."""

    id: ExternalId
    """The platform's own id: the same id is booked once, whatever is repeated."""
    owner: Owner
    amount: Amount
    currency: Currency


class EarningsGiven(RequestBody):
    """What many providers earned."""

    earnings: Annotated[list[EarningGiven], Field(min_length=1, max_length=MOST_EARNINGS)]


class ClawbackGiven(RequestBody):
    """How much of an earning is taken back."""

    reference: ExternalId
    """The platform's own name for this: the same reference takes back once, whatever is repeated."""
    amount: Amount | None = None
    """Null for the whole earning."""
    currency: Currency | None = None
    """Needed with an amount."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.amount is None) != (self.currency is None):
            raise PydanticCustomError("no_currency", "amount and currency go together")
        return self


class ProfileGiven(RequestBody):
    """What to change in a profile; what is left out stays as it is."""

    notify: Annotated[list[Contact], Field(max_length=MOST_ADDRESSES)] | None = None
    """Where to tell them things; an empty list for nowhere."""
    method: Method | None = None
    """How they are usually paid; needed with a destination."""
    destination: Where | None = None
    """Where their money usually goes; null for nowhere."""
    version: Whole | None = None
    """The version that was looked at: a profile that changed since is not written over."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.destination is not None and self.method is None:
            raise PydanticCustomError("no_method", "method is needed with a destination")
        return self


class ProviderGiven(ProfileGiven):
    """What a platform may change in the profile of a provider that it brought."""

    verified: bool | None = None
    """Whether the platform has checked who they are."""


# ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Query(BaseModel):
    """What stands behind the question mark."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NoQuery(Query):
    """Nothing at all."""


class OwnerAsked(Query):
    """Whose it is."""

    owner: Owner | None = None
    """Whose; needed unless the token is a provider's own."""


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

M = TypeVar("M", bound=BaseModel)


def read_body(shape: type[M], raw: bytes) -> M:
    """Read a body, or say what is wrong with it; an empty one will do where nothing is needed."""
    return _checked(shape, _json(raw) if raw.strip() else {})


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
