"""What the API answers: times in UTC, amounts as text, destinations by their last digits."""

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from machines.core.clock import Millis
from machines.core.money import Asset, Money
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import APPROVED, LIFECYCLE, REQUESTED
from machines.payout.reasons import reason_of
from payflow.desk.batches import Schedule
from payflow.desk.payouts import shown
from payflow.desk.values import LedgerAccount
from payflow.shown import iso
from payflow.store.registers.earnings import Earning
from payflow.store.registers.profiles import Profile

_WORDS = {state.name: state.public or state.name.lower() for state in LIFECYCLE.states.values()}
STATES = {word: tuple(state for state, said in _WORDS.items() if said == word) for word in _WORDS.values()}
"""For each word that the public reads, the states that it stands for."""

CANCELLING = "cancelling: waits for proof that nothing was paid"


def status_of(state: str) -> str:
    """Say in the public's word where a payout is."""
    return _WORDS[state]


def _known(word: str) -> str:
    if word not in STATES:
        raise ValueError(f"use one of {', '.join(STATES)}")
    return word


_AMOUNT: dict[str, Any] = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "examples": ["1250.50"]}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00.000Z"]}

Status: TypeAlias = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(STATES), "examples": ["requested"]})
]
Decimal: TypeAlias = Annotated[str, WithJsonSchema(_AMOUNT)]
Time: TypeAlias = Annotated[str, WithJsonSchema(_TIME)]


class ApiResponse(BaseModel):
    """Something that the API answers."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


# ── payouts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Payout(ApiResponse):
    """A payout."""

    id: Annotated[str, Field(examples=["payout-03-abcdefgh23456777"])]
    owner: str
    status: Status
    amount: Decimal
    """What it takes from the balance."""
    currency: str
    fee: Decimal | None
    """What the gateway takes; null until it was asked."""
    arrives: Decimal | None
    """What reaches the destination: less than the amount where the provider bears the fee. Null until it is fixed."""
    method: str
    destination: str
    """Where it goes, by its last digits."""
    holder: str | None
    """Whose account the gateway says that it is; null until it was asked, and where it cannot say."""
    name_score: int | None
    """How far that fits the name that was given, of 100; below some of it people look. Null where one is missing."""
    note: str
    reason: str
    """Why it failed, or was rejected or cancelled, or that it is being cancelled; empty otherwise."""
    reason_code: str
    """The same for programs; empty where a person says it in words of their own."""
    expected_at: Time | None
    """When its batch opens, if no review holds it up; null once it left, and where batches are opened by hand."""
    created_at: Time
    version: int
    """It grows with each change: the same that events of it say."""


class PayoutsPage(ApiResponse):
    """One page of payouts, the newest first."""

    payouts: list[Payout]
    next: str | None
    """The `cursor` of the next page; null on the last one."""


def payout(record: PayoutRecord, expected_at: Millis | None, owner: str) -> Payout:
    """Show a payout, its owner by the name that whoever reads it knows."""
    data, amount = record.data, money_of(record)
    asked, (code, words) = data.assessed or record.state != REQUESTED, reason_of(record)
    return Payout(
        id=record.id,
        owner=owner,
        status=status_of(record.state),
        amount=amount.decimal,
        currency=amount.asset.code,
        fee=Money(data.fee_units, amount.asset).decimal if asked else None,
        arrives=Money(data.send_units, amount.asset).decimal if asked else None,
        method=data.method,
        destination=data.shown,
        holder=data.holder or None,
        name_score=data.name_score,
        note=data.note,
        reason=CANCELLING if data.wish else words,
        reason_code="" if data.wish else code,
        expected_at=iso(expected_at) if expected_at is not None else None,
        created_at=iso(record.created_at),
        version=record.version,
    )


def expected_at(record: PayoutRecord, schedule: Schedule, now: Millis) -> Millis | None:
    """Say when the batch of a payout opens, as far as that is known now."""
    if record.state not in (REQUESTED, APPROVED):
        return None
    opens_at = Millis(record.data.opens_at)
    return opens_at if opens_at > now else schedule.next_opening(now)


def money_of(record: PayoutRecord) -> Money:
    """Give the amount of a payout: every payout has one, because its states have positions."""
    if record.amount is None:
        raise TypeError(f"{record.id} has no amount.")
    return record.amount


class FindingShown(ApiResponse):
    """Something that a risk rule saw."""

    code: str
    text: str


class ApprovalShown(ApiResponse):
    """One reviewer's yes."""

    by: str
    at: Time


class ReviewShown(Payout):
    """A payout that waits for people."""

    holder: str
    """Whose account the bank says that it is; empty where it did not say."""
    own_score: int | None
    """How far that fits the name that the provider is usually paid under, of 100; null where one is missing."""
    fingerprint: str
    """Of amount and destination: an approval must show it."""
    asked_by: str
    """Who named the amount and the destination, and so cannot approve them."""
    rail_says: str
    """Why it failed, in the rail's own words."""
    findings: list[FindingShown]
    """What the risk rules saw."""
    approvals: list[ApprovalShown]
    approvals_needed: int


class ReviewsShown(ApiResponse):
    """What waits for people, the oldest first."""

    reviews: list[ReviewShown]
    more: bool
    """Whether more wait than are shown."""


def review(record: PayoutRecord, expected_at: Millis | None) -> ReviewShown:
    """Show a payout to a reviewer."""
    data, proposal = record.data, record.data.proposal
    seen = payout(record, expected_at, record.owner).model_dump() | {
        "destination": proposal.shown,
        "holder": proposal.holder,
    }
    return ReviewShown(
        **seen,
        own_score=data.own_score,
        fingerprint=proposal.fingerprint,
        asked_by=proposal.by,
        rail_says=data.reason if data.cause else "",
        findings=[FindingShown(code=finding.code, text=finding.text) for finding in data.findings],
        approvals=[
            ApprovalShown(by=approval.by, at=iso(Millis(approval.at)))
            for approval in data.approvals
            if approval.fingerprint == proposal.fingerprint
        ],
        approvals_needed=data.approvals_needed,
    )


# ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class CurrencyBalance(ApiResponse):
    """A provider's money in one currency."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    currency: str
    available: Annotated[Decimal, Field(serialization_alias="availableBalance")]
    """What may be asked for."""
    held: Decimal
    """What was asked for and is not paid yet."""
    paid: Decimal
    """What was paid so far."""
    owed: Decimal
    """What the next earnings will settle first."""


class Balances(ApiResponse):
    """A provider's money."""

    owner: str
    balances: list[CurrencyBalance]


def balance(asset: Asset, account: LedgerAccount) -> CurrencyBalance:
    return CurrencyBalance(
        currency=asset.code,
        available=Money(account.available, asset).decimal,
        held=Money(account.held, asset).decimal,
        paid=Money(account.paid, asset).decimal,
        owed=Money(account.owed, asset).decimal,
    )


class Earned(ApiResponse):
    """An earning, and where each part of it is."""

    platform: str
    id: str
    currency: str
    amount: Decimal
    status: Annotated[
        str, WithJsonSchema({"type": "string", "enum": ["AVAILABLE", "ALLOCATED", "PAID_OUT", "CLAWED_BACK"]})
    ]
    available: Decimal
    allocated: Decimal
    paid_out: Decimal
    clawed_back: Decimal
    earned_at: Time


class EarningsPage(ApiResponse):
    """One page of earnings, the oldest first: in this order they are paid out."""

    owner: str
    earnings: list[Earned]
    next: str | None
    """The `cursor` of the next page; null on the last one."""


def earned(earning: Earning, asset: Asset) -> Earned:
    platform, _, external_id = earning.id.partition("/")
    return Earned(
        platform=platform,
        id=external_id,
        currency=asset.code,
        amount=Money(earning.units, asset).decimal,
        status=earning.status,
        available=Money(earning.available, asset).decimal,
        allocated=Money(earning.allocated, asset).decimal,
        paid_out=Money(earning.paid_out, asset).decimal,
        clawed_back=Money(earning.clawed_back, asset).decimal,
        earned_at=iso(earning.at),
    )


class Credited(ApiResponse):
    """An earning that is in the books."""

    id: str
    owner: str
    amount: Decimal
    currency: str


class ErrorDetail(ApiResponse):
    """Why something was not done."""

    code: str
    """For programs; it never changes."""
    message: str
    """For people."""
    field: str | None = None
    """What to mend, where it is one field."""


class BatchItem(ApiResponse):
    """What became of one earning of a batch."""

    id: str
    result: Annotated[str, WithJsonSchema({"type": "string", "enum": ["credited", "known", "refused"]})]
    """`known` where it was in the books already."""
    error: ErrorDetail | None = None


class BatchResult(ApiResponse):
    """What became of a batch, item by item and in its order."""

    results: list[BatchItem]


class ClawedBack(Credited):
    """What was taken back of an earning; what is gone already is owed."""

    reference: str


# ── providers ────────────────────────────────────────────────────────────────────────────────────────────────────────


class ProviderShown(ApiResponse):
    """What is known of a provider."""

    owner: str
    platform: str
    verified: bool
    notify: list[str]
    """Where they are told things, without the secrets in it."""
    method: str | None
    destination: str | None
    """Where their money usually goes, by its last digits."""
    details_changed_at: Time | None
    """When a destination of theirs was last given up; for some days after, people look at their requests."""
    version: int


def provider(profile: Profile, owner: str) -> ProviderShown:
    changed, where = profile.details_changed_at, profile.destination
    return ProviderShown(
        owner=owner,
        platform=profile.platform,
        verified=profile.verified,
        notify=[contact(one) for one in profile.notify],
        method=where.kind if where else None,
        destination=shown(where) if where else None,
        details_changed_at=iso(changed) if changed is not None else None,
        version=profile.version,
    )


def contact(url: str) -> str:
    """Show where somebody is told things: a mail address as it is, of anything else only what kind it is."""
    return url if url.startswith("mailto:") and "//" not in url else f"{url.partition('://')[0]}://…"


class ErrorResponse(ApiResponse):
    """Why a request was refused."""

    error: ErrorDetail
