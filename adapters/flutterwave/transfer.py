"""A transfer as both API versions know it: whether it is ours, what proves it, and what its state means to a rail."""

import re
from dataclasses import dataclass
from decimal import Decimal

from adapters.flutterwave.codec import RAIL, ledger_units
from adapters.flutterwave.methods import ITSELF, META, kind_of
from adapters.http import plain
from machines.core.accounts import same_account
from machines.core.errors import Contradiction, OtherPayee, OutcomeUnknown, Rejected
from machines.core.methods import ACCOUNT, BANK, BANK_CODE, HOLDER, MOBILE_MONEY, WALLET
from machines.core.money import Assets
from machines.core.ports import (
    Cause,
    Destination,
    Evidence,
    Failed,
    Payment,
    PaymentKey,
    Pending,
    Reversed,
    Settled,
    Status,
    Trace,
)

# Statuses of both versions. NEW with `requires_approval` and not yet `is_approved` waits for a person in the dashboard.
UNDER_WAY = frozenset({"NEW", "PENDING"})
PAID = "SUCCESSFUL"
NOT_PAID = "FAILED"
# v3 documents no reversal. If it ever says this word, it can mean nothing else.
TAKEN_BACK = "REVERSED"

# `complete_message` is free text: whether money moved is never read from it. After a *proven* failure it tells whom
# the failure is about, and so whether to wait, to try again or to ask for another destination.
FAILURES: tuple[tuple[str, Cause, bool], ...] = (
    # the text contains, the failure is about, may the same be tried again?
    ("insufficient", Cause.WALLET, True),
    ("wallet currently restricted", Cause.WALLET, True),
    ("you can only spend", Cause.LIMIT, False),
    ("exceeded your daily limit", Cause.LIMIT, True),
    ("limit", Cause.LIMIT, True),
    ("account resolve", Cause.DESTINATION, False),
    ("resolve failed", Cause.DESTINATION, False),
    ("blacklisted", Cause.DESTINATION, False),
    ("beneficiary_name is required", Cause.DESTINATION, False),
    ("invalid account", Cause.DESTINATION, False),
    ("account number is invalid", Cause.DESTINATION, False),
    # All else ("A fatal error occured", "Transfer failed. Please contact support", "currently unavailable", …)
    # blames nobody and passes, or does not.
)

# A retry clicked in the dashboard, or asked for over the API, is a new transfer with this at the end of our reference.
_RETRY = re.compile(r"(?:_RETRY_[0-9]{1,6})+$")

# What the vendor's test mode wants at the end of a reference; the name of a retry comes after it.
MARKER = re.compile(r"_PMCK(?:DU_[0-9]{1,4}|_ST_F(?:DU_[0-9]{1,4})?)?")
_MARKED = re.compile(rf"{MARKER.pattern}(?=(?:_RETRY_[0-9]{{1,6}})*$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlutterwaveTransfer:
    """What the gateway says about one transfer."""

    id: str
    reference: str
    status: str
    amount: Decimal
    currency: str
    account: str | None
    """None where the gateway did not repeat it."""
    bank: str = ""
    fee: str = ""
    message: str = ""
    waits_for_approval: bool = False
    taken_back: bool = False
    """Whether it says that a success was undone."""
    parent: str = ""
    """The id of the transfer that this one repeats, where the gateway tells it."""
    parent_reference: str = ""
    created_at: str = ""
    taken_back_at: str = ""


@dataclass(frozen=True, slots=True)
class FlutterwaveAccount:
    """A destination as the gateway takes it: bank account or mobile money wallet."""

    bank: str
    number: str
    name: str
    branch: str
    kind: str
    meta: tuple[tuple[str, str], ...] = ()
    """What else it wants to know, as it calls it."""
    abroad: bool = False
    """Whether account and bank stand among that alone."""


def account_of(payment: Payment) -> FlutterwaveAccount:
    """Read the destination of a payment, or say why this rail cannot pay there."""
    fields, kind, currency = dict(payment.to.fields), payment.to.kind, payment.amount.asset.code
    bank, number = fields.get(BANK_CODE, ITSELF if kind == WALLET else ""), fields.get(ACCOUNT, "")
    if kind not in {BANK, MOBILE_MONEY, WALLET}:
        raise Rejected(
            f"Flutterwave cannot pay to {kind}: only to a bank account, mobile money or a wallet of its own."
        )
    wanted = META.get((currency, kind), {})
    abroad = ACCOUNT in wanted
    if not number or not (bank or abroad):
        raise Rejected(f"The destination needs {BANK_CODE} and {ACCOUNT}.")
    missing = [name for name in wanted if not fields.get(name)]
    if missing:
        raise Rejected(f"{currency} by {kind} needs {', '.join(missing)}.")
    meta = tuple((theirs, fields[ours]) for ours, theirs in wanted.items())
    return FlutterwaveAccount(bank, number, fields.get(HOLDER, ""), fields.get("branch_code", ""), kind, meta, abroad)


def check_payable(payment: Payment, least: int, most: int) -> None:
    """Refuse a payment that the gateway could take for another one, or not at all."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", payment.key) or not least <= len(payment.key) <= most:
        raise Rejected(f"{payment.key[:60]!r} is no reference: {least} to {most} letters, digits, _ and -.")
    if root(unmarked(payment.key)) != payment.key:
        raise Rejected(f"{payment.key!r} ends like a retry that the gateway names; it would be taken for one.")
    if payment.amount.units == 0:
        raise Rejected("There is nothing to pay.")
    if Decimal(payment.amount.decimal) % Decimal("0.01"):
        raise Rejected(f"{payment.amount} is too precise: the gateway counts hundredths.")


def root(reference: str) -> PaymentKey:
    """Find our own reference in one that the gateway may have prolonged."""
    return PaymentKey(_RETRY.sub("", reference))


def unmarked(reference: str) -> str:
    """Leave out of a reference what told the test mode how to end."""
    return _MARKED.sub("", reference)


def check_ours(transfer: FlutterwaveTransfer, payment: Payment) -> FlutterwaveTransfer:
    """Make sure that a transfer under our reference is the one that we meant; anything else is for a person to see."""
    expected = Decimal(payment.amount.decimal)
    if not transfer.amount.is_finite() or transfer.amount != expected or transfer.currency != payment.amount.asset.code:
        raise Contradiction(
            f"Flutterwave has {transfer.reference} with {transfer.currency} {transfer.amount}, "
            f"and we meant {payment.amount}.",
            rail=RAIL,
        )
    # Bank codes are not compared: one bank answers to several.
    ours = dict(payment.to.fields).get(ACCOUNT, "")
    if transfer.account is not None and not same_account(transfer.account, ours, payment.amount.asset):
        raise OtherPayee(f"Flutterwave has {transfer.reference} to another account than we meant.", rail=RAIL)
    return transfer


def evidence(transfer: FlutterwaveTransfer) -> Evidence:
    """Keep what proves an outcome. The same transfer in the same state always gives the same evidence.

    Neither version tells when a transfer was completed: the time of the look that found it so is in our history.
    """
    details = {
        "id": transfer.id,
        "reference": transfer.reference,
        "status": transfer.status,
        "amount": f"{transfer.amount:f}",
        "currency": transfer.currency,
        "fee": transfer.fee,
        "message": plain(transfer.message),
        "created_at": transfer.created_at,
        "reversed_at": transfer.taken_back_at,
    }
    return Evidence(RAIL, transfer.reference, tuple((name, value) for name, value in details.items() if value))


def verdict(family: list[FlutterwaveTransfer]) -> Status:
    """Say what became of a payment, from the transfer with its reference and that one's retries, in order."""
    for transfer in family:
        if transfer.status not in UNDER_WAY | {PAID, NOT_PAID, TAKEN_BACK}:
            raise OutcomeUnknown(f"{transfer.reference} is {plain(transfer.status)!r}, a state that nobody documented.")
    paid = [transfer for transfer in family if transfer.status == PAID and not transfer.taken_back]
    if paid:
        over = tuple(one.reference for one in family if one.status == NOT_PAID or _is_taken_back(one))
        first, *more = paid
        return Settled(evidence(first), tuple(map(evidence, more)), over, repeated=first is not family[0])
    for transfer in family:
        if transfer.status in UNDER_WAY:
            return Pending("approval" if transfer.waits_for_approval else "", evidence(transfer))
    last = family[-1]
    if any(_is_taken_back(transfer) for transfer in family):
        return Reversed(evidence(next(filter(_is_taken_back, family))))
    return failure(last)


def trace(key: PaymentKey, family: list[FlutterwaveTransfer], assets: Assets) -> Trace:
    """Say what became of a payment that we may not remember, from its transfer and the retries of it."""
    family = sorted(family, key=lambda transfer: (transfer.reference != key, transfer.id))
    first = family[0]
    fields = ((BANK_CODE, first.bank), (ACCOUNT, first.account or ""))
    amount = ledger_units(first.amount, assets[first.currency])
    try:
        status = verdict(family)
    except OutcomeUnknown as error:
        status = Pending(str(error))  # nobody can tell of this one; the others stand
    names = tuple(transfer.id for transfer in sorted(family[1:], key=lambda one: one.status != NOT_PAID))
    return Trace(key, first.id, amount, Destination(kind_of(first.currency, first.bank), fields), status, names)


def failure(transfer: FlutterwaveTransfer) -> Failed:
    """Say whom a proven failure is about."""
    text = transfer.message.casefold()
    for words, cause, again in FAILURES:
        if words in text:
            return Failed(plain(transfer.message), again, evidence(transfer), cause)
    return Failed(plain(transfer.message) or "The gateway gave no reason.", retryable=True, evidence=evidence(transfer))


def _is_taken_back(transfer: FlutterwaveTransfer) -> bool:
    return transfer.taken_back or transfer.status == TAKEN_BACK
