"""Paystack without I/O: requests as values, replies as values or as typed errors.

A transfer takes two calls: a recipient (moves nothing, may be made again and again) and the transfer itself.

POST /transfer answers                   what it proves                          what comes of it
200 with a transfer                      taken in, or here already               a Transfer
duplicate_transfer_reference             an earlier call landed                  None: look it up
401, 403                                 the key is wrong or revoked             RailClosed
400 a row of `REFUSALS`                  not created, or not now                 Rejected, Deferred
429                                      not looked at                           Retryable, after the gateway's delay
5xx, HTML, 3xx, anything else            nothing                                 OutcomeUnknown

The status says by itself whether it is conclusive; only a conclusive one is an outcome. Amounts are whole kobo.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

from adapters.http import ACCESS_DENIED, HttpReply, HttpRequest, check_answers, check_rate_limit, plain, webhook
from adapters.paystack.methods import PHONES, RECIPIENTS
from machines.core.accounts import same_account
from machines.core.currencies import CURRENCIES
from machines.core.errors import (
    BadAmount,
    BadInput,
    Contradiction,
    Deferred,
    OtherPayee,
    OutcomeUnknown,
    RailClosed,
    Rejected,
    Retryable,
    StepError,
)
from machines.core.methods import BANK, MOBILE_MONEY
from machines.core.money import Assets, Money
from machines.core.ports import (
    Cause,
    Destination,
    Evidence,
    Failed,
    Notice,
    Payment,
    PaymentKey,
    Pending,
    Reversed,
    Settled,
    Status,
    Trace,
)

RAIL = "paystack"

UNDER_WAY: Mapping[str, str] = {
    # status      what it waits for
    "pending": "",
    "received": "approval",  # by the merchant's own approval URL
    "otp": "approval",  # a code that a person must enter; on by default, to be switched off in the dashboard
}
PAID = "success"  # "does not equal instant credit": it can still become
TAKEN_BACK = "reversed"
NOT_PAID: Mapping[str, bool] = {
    # status       may the same be tried again?
    "failed": True,
    "abandoned": True,  # nobody entered the code within half an hour
    "blocked": False,  # by the merchant's approval URL, which did not answer
    "rejected": False,  # by the merchant's approval URL
}

LANDED_CODE = "duplicate_transfer_reference"
LANDED_SENTENCE = "already exists"
SHORT, NEVER, NOBODY = "short", "never", "nobody"
REFUSALS: tuple[tuple[str, str], ...] = (
    # the whole sentence of a 400 in small letters, `*` for a name; whether this payment is never taken in, or none is
    ("your balance is not enough to fulfil this request", SHORT),  # told by many integrations
    (
        "you cannot initiate third party payouts at this time",
        NOBODY,
    ),  # no probe can tell: looks are let in
    ("* is required", NEVER),
    ("* is invalid", NEVER),
    ("recipient and amount must be valid", NEVER),
    ("recipient is not valid", NEVER),
    ("cannot resolve account", NEVER),
    ("could not resolve account name. check parameters or try again", NEVER),
)
NOT_FOUND_SENTENCE = "not found"

HUNDRED = 100
NO_BANKS = frozenset({"mobile_money", "mobile_money_business"})
"""Kinds of rows in its list of banks that are networks of phones."""

REFERENCE = re.compile(r"[a-z0-9_-]{16,100}")
REASON_CHARS = 100
SIGNATURE_HEADER = "x-paystack-signature"
PAGE = 100

T = TypeVar("T")


class PaystackRefusal(Struct):
    """The sentence and code of an answer without success."""

    message: str = ""
    code: str = ""


class PaystackAnswer(Struct, Generic[T]):
    """What every answer is wrapped in."""

    data: T


class RecipientData(Struct):
    """A recipient that may be paid."""

    recipient_code: str


class Details(Struct):
    """Where a recipient's money goes."""

    account_number: str | int | None = None
    bank_code: str | int | None = None


class PaystackRecipient(Struct):
    """A recipient, as a look at a transfer shows it."""

    details: Details | None = None


class PaystackTransfer(Struct):
    """A transfer. Its first answer names the recipient by a number, a look shows it whole."""

    reference: str
    status: str
    amount: int
    currency: str
    transfer_code: str
    recipient: PaystackRecipient | int | str | None = None
    fee_charged: int | None = None
    created_at: str | None = field(default=None, name="createdAt")
    transferred_at: str | None = None


class ListMeta(Struct):
    """How long a list is."""

    pages: int | str = field(name="pageCount")


class ListAnswer(PaystackAnswer[list[dict[str, Any]]]):
    """The answer about all transfers."""

    status: bool
    meta: ListMeta


class TransferAnswer(PaystackAnswer[PaystackTransfer]):
    """The answer to a transfer or to a look at one."""

    status: bool


class BalanceData(Struct):
    """What is left in one currency, in hundredths."""

    currency: str
    balance: int


class BankRow(Struct):
    """A bank, or a network."""

    code: str | int
    name: str
    type: str = ""


class HolderData(Struct):
    """Whose account it is."""

    account_name: str


def recipient(payment: Payment) -> HttpRequest:
    """Ask for a recipient; the same account again is the same recipient."""
    _check_payable(payment)
    fields = dict(payment.to.fields)
    body = {
        "type": RECIPIENTS[payment.amount.asset.code, payment.to.kind],
        "name": fields.get("account_name") or fields["account_number"],
        "account_number": fields["account_number"],
        "bank_code": fields["bank_code"],
        "currency": payment.amount.asset.code,
    }
    return HttpRequest("POST", "/transferrecipient", body=msgspec.json.encode(body))


def read_recipient(reply: HttpReply) -> str:
    """Read a recipient's code. Nothing was paid whatever this says, so nothing is unknown."""
    check_rate_limit(reply, "Paystack")
    try:
        if reply.status in {HTTPStatus.OK, HTTPStatus.CREATED}:
            return _decoded(reply, PaystackAnswer[RecipientData]).data.recipient_code
        raise _refusal(reply)
    except OutcomeUnknown as error:
        raise Retryable(str(error)) from error


def transfer(payment: Payment) -> HttpRequest:
    """Ask for the transfer; the reference is the idempotency key, and what was prepared is the recipient."""
    if not payment.prepared:
        raise ValueError(f"{payment.key} was not prepared: it has no recipient.")
    body = {
        "source": "balance",
        "amount": _minor_units(payment),
        "currency": payment.amount.asset.code,
        "recipient": payment.prepared,
        "reference": payment.key,
        "reason": payment.note[:REASON_CHARS],
    }
    return HttpRequest("POST", "/transfer", body=msgspec.json.encode(body))


def read_transfer(reply: HttpReply, payment: Payment) -> PaystackTransfer | None:
    """Read the answer to a transfer; None says that the reference exists already, so an earlier call landed."""
    check_rate_limit(reply, "Paystack")
    if reply.status == HTTPStatus.OK:
        return _ours(reply, payment)
    if HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        refusal = _decoded(reply, PaystackRefusal)
        if refusal.code == LANDED_CODE or LANDED_SENTENCE in refusal.message.casefold():
            return None
    raise _refusal(reply)


def by_reference(key: PaymentKey) -> HttpRequest:
    """Look a transfer up by our reference."""
    return HttpRequest("GET", f"/transfer/verify/{quote(key, safe='')}")


def by_code(transfer_code: str) -> HttpRequest:
    """Look at a transfer whose code we were told."""
    return HttpRequest("GET", f"/transfer/{quote(transfer_code, safe='')}")


def read_by_code(reply: HttpReply, payment: Payment) -> PaystackTransfer | None:
    """Read a transfer; None where there is none with this code, or it is another one: neither says anything of ours."""
    check_rate_limit(reply, "Paystack")
    if reply.status != HTTPStatus.OK or _decoded(reply, TransferAnswer).data.reference != payment.key:
        return None
    return _ours(reply, payment)


def listed_since(day: str, page: int) -> HttpRequest:
    """Ask for a page of all transfers since a day, such as 2027-01-15."""
    return HttpRequest("GET", f"/transfer?from={day}&perPage={PAGE}&page={page}")


def read_page(reply: HttpReply) -> tuple[Sequence[Mapping[str, Any]], int]:
    """Read a page as it is, because others' transfers may lack what ours have, and how many pages there are."""
    check_rate_limit(reply, "Paystack")
    if reply.status != HTTPStatus.OK:
        refusal = _refusal(reply)
        raise refusal if isinstance(refusal, RailClosed) else OutcomeUnknown(str(refusal))
    page = _decoded(reply, ListAnswer)
    if not page.status:
        raise OutcomeUnknown("Paystack lists no transfers.")
    return page.data, int(page.meta.pages)


def listed_on(day: str, page: int) -> HttpRequest:
    """Ask for a page of all transfers of one day."""
    query = (("from", day), ("to", day), ("perPage", str(PAGE)), ("page", str(page)))
    return HttpRequest("GET", "/transfer", query=query)


class ListedTransfer(NamedTuple):
    """A transfer in the list, with the number that the ledger knows it by."""

    id: str
    transfer: PaystackTransfer


def read_transfers(reply: HttpReply) -> tuple[list[ListedTransfer], int]:
    """Read a page of transfers, whoever asked for them, and how many pages there are."""
    items, pages = read_page(reply)
    return [ListedTransfer(str(item.get("id")), read_listed(item)) for item in items], pages


class LedgerEntry(Struct):
    """One entry of the ledger: what the balance moved by, what it was then, and what it is about."""

    id: int
    balance: int
    currency: str
    difference: int
    model_responsible: str = ""
    model_row: int | str = ""
    reason: str | None = None
    created_at: str = field(default="", name="createdAt")

    @property
    def about(self) -> str:
        """The number of what moved it."""
        return str(self.model_row)

    @property
    def of_transfer(self) -> bool:
        """Whether a transfer moved it."""
        return self.model_responsible == "Transfer"


def ledger(day: str, page: int) -> HttpRequest:
    """Ask for a page of what moved the balance on one day."""
    query = (("from", day), ("to", day), ("perPage", str(PAGE)), ("page", str(page)))
    return HttpRequest("GET", "/balance/ledger", query=query)


def read_ledger(reply: HttpReply) -> tuple[list[LedgerEntry], int]:
    """Read a page of it, and how many pages there are."""
    items, pages = read_page(reply)
    try:
        return [msgspec.convert(dict(item), LedgerEntry) for item in items], pages
    except msgspec.ValidationError as error:
        raise OutcomeUnknown(f"An entry of Paystack's ledger cannot be read: {error}.") from error


def read_named(reply: HttpReply) -> PaystackTransfer | None:
    """Read a transfer, whoever asked for it; None where there is none."""
    read_probe(reply)
    if reply.status == HTTPStatus.NOT_FOUND:
        return None
    if reply.status != HTTPStatus.OK:
        raise OutcomeUnknown(f"Paystack answered a look with HTTP {reply.status}.")
    return _decoded(reply, TransferAnswer).data


def read_listed(item: Mapping[str, Any]) -> PaystackTransfer:
    """Read one transfer of a page."""
    try:
        return msgspec.convert(item, PaystackTransfer)
    except msgspec.ValidationError as error:
        raise OutcomeUnknown(f"Paystack lists a transfer of ours that cannot be read: {error}.") from error


def trace(family: Sequence[PaystackTransfer], assets: Assets) -> Trace:
    """Say what became of a payment that we may not remember; a reference should have one transfer."""
    found = family[0]
    details = (found.recipient.details if isinstance(found.recipient, PaystackRecipient) else None) or Details()
    fields = (("bank_code", str(details.bank_code or "")), ("account_number", str(details.account_number or "")))
    asset = assets[found.currency.upper()]
    amount = Money.parse(f"{Decimal(found.amount).scaleb(-2):f}", asset)
    names = tuple(one.transfer_code for one in family[1:])
    kind = MOBILE_MONEY if str(details.bank_code) in PHONES else BANK
    key, to = PaymentKey(found.reference), Destination(kind, fields)
    return Trace(key, found.transfer_code, amount, to, _of_all(family), names)


def _of_all(family: Sequence[PaystackTransfer]) -> Status:
    """Say what became of all transfers under one reference: what is paid, or may yet be, before what is over."""
    try:
        found = [verdict(one) for one in family]
    except OutcomeUnknown as error:
        return Pending(str(error))  # nobody can tell of this one; the others stand
    paid = [one.evidence for one in found if isinstance(one, Settled)]
    if paid:
        return Settled(paid[0], tuple(paid[1:]), repeated=True)
    return next((one for one in found if isinstance(one, Pending)), found[0])


def read_by_reference(reply: HttpReply, payment: Payment) -> PaystackTransfer | None:
    """Read a transfer; None when the gateway says that it has none."""
    if reply.status == HTTPStatus.OK:
        return _ours(reply, payment)
    check_answers(reply, "Paystack")
    if reply.status not in ACCESS_DENIED and NOT_FOUND_SENTENCE in _decoded(reply, PaystackRefusal).message.casefold():
        return None
    refusal = _refusal(reply)
    # A look that was refused says nothing about the payment, however the refusal reads.
    raise refusal if isinstance(refusal, RailClosed) else OutcomeUnknown(str(refusal))


def balance() -> HttpRequest:
    """Ask what is left to pay from."""
    return HttpRequest("GET", "/balance")


def read_balances(reply: HttpReply) -> list[Money]:
    """Read what is left, in hundredths, in each currency that we know."""
    listed = _answered(reply, list[BalanceData], "balance")
    assets = {code: one.asset for code, one in CURRENCIES.items()}
    try:
        return [
            Money(max(0, one.balance) * 10 ** assets[one.currency].decimals // HUNDRED, assets[one.currency])
            for one in listed
            if one.currency in assets
        ]
    except BadAmount as error:
        raise Retryable("Paystack's balance cannot be read.") from error


def banks(currency: str) -> HttpRequest:
    """Ask for the banks of a currency's country."""
    return HttpRequest("GET", "/bank", query=(("currency", currency), ("perPage", str(PAGE))))


def read_banks(reply: HttpReply) -> list[tuple[str, str]]:
    """Read them, each code with its name; what is no bank is left out."""
    listed = _answered(reply, list[BankRow], "list of banks")
    return [(str(one.code), plain(one.name)) for one in listed if one.type not in NO_BANKS]


def resolve(to: Destination) -> HttpRequest:
    """Ask whose account it is."""
    query = (("account_number", to["account_number"]), ("bank_code", to["bank_code"]))
    return HttpRequest("GET", "/bank/resolve", query=query)


def read_holder(reply: HttpReply) -> str:
    """Read whose account it is; `Rejected` where there is no such account."""
    read_probe(reply)
    if reply.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
        refusal = _refusal(reply)
        if isinstance(refusal, Rejected):
            raise refusal
        raise Retryable(f"Paystack does not say whose account it is: {refusal}")
    return plain(_answered(reply, HolderData, "answer").account_name)


def _answered(reply: HttpReply, shape: type[T], what: str) -> T:
    """Read an answer on which nothing hangs; one that cannot be used is asked for again."""
    read_probe(reply)
    if reply.status != HTTPStatus.OK:
        raise Retryable(f"Paystack answered with HTTP {reply.status}.")
    try:
        return _decoded(reply, PaystackAnswer[shape]).data  # type: ignore[valid-type]
    except OutcomeUnknown as error:
        raise Retryable(f"Paystack's {what} cannot be read.") from error


def read_probe(reply: HttpReply) -> None:
    """Tell whether we are let in, whatever the answer."""
    if reply.status in ACCESS_DENIED:
        raise _refusal(reply)
    check_answers(reply, "Paystack")


def verdict(found: PaystackTransfer) -> Status:
    """Say what became of a payment, from its transfer."""
    status = found.status.casefold()
    if status in UNDER_WAY:
        return Pending(UNDER_WAY[status], _evidence(found))
    if status == PAID:
        return Settled(_evidence(found), repeated=True)  # a Retry in its dashboard keeps the reference
    if status == TAKEN_BACK:
        return Reversed(_evidence(found))
    if status in NOT_PAID:
        # Why, is not documented as a field; its dashboard knows.
        return Failed(f"Paystack says: {status}.", NOT_PAID[status], _evidence(found), Cause.UNKNOWN)
    raise OutcomeUnknown(f"{found.reference} is {plain(found.status)!r} at Paystack, a state that nobody documented.")


def _check_payable(payment: Payment) -> None:
    fields = dict(payment.to.fields)
    if payment.to.kind not in {BANK, MOBILE_MONEY}:
        raise Rejected(f"Paystack cannot pay to {payment.to.kind}: only to a bank account or mobile money.")
    if (payment.amount.asset.code, payment.to.kind) not in RECIPIENTS:
        raise Rejected(f"Paystack does not pay {payment.amount.asset.code} by {payment.to.kind}.")
    if not fields.get("account_number") or not fields.get("bank_code"):
        raise Rejected("The destination needs bank_code and account_number.")
    if not REFERENCE.fullmatch(payment.key):
        raise Rejected(f"{payment.key[:60]!r} is no reference: 16 to 100 small letters, digits, _ and -.")
    _minor_units(payment)


def _minor_units(payment: Payment) -> int:
    minor = Decimal(payment.amount.decimal).scaleb(2)
    if minor != minor.to_integral_value():
        raise Rejected(f"{payment.amount} is too precise: the gateway counts hundredths.")
    if minor == 0:
        raise Rejected("There is nothing to pay.")
    return int(minor)


def _ours(reply: HttpReply, payment: Payment) -> PaystackTransfer:
    """Read a transfer and make sure that it is the one that we meant; anything else is for a person to see."""
    answer = _decoded(reply, TransferAnswer)
    found = answer.data
    if not answer.status:
        raise OutcomeUnknown("Paystack answered with HTTP 200 and without success.")
    expected = (payment.key, Decimal(payment.amount.decimal), payment.amount.asset.code)
    if (found.reference, Decimal(found.amount).scaleb(-2), found.currency.upper()) != expected:
        raise Contradiction(
            f"Paystack has {plain(found.reference)} with {found.amount} {plain(found.currency)} in hundredths, "
            f"and we meant {payment.key} with {payment.amount}.",
            rail=RAIL,
        )
    details = found.recipient.details if isinstance(found.recipient, PaystackRecipient) else None
    number = details.account_number if details else None
    ours = dict(payment.to.fields).get("account_number", "")
    if number is not None and not same_account(str(number), ours, payment.amount.asset):
        raise OtherPayee(f"Paystack has {payment.key} to another account than we meant.", rail=RAIL)
    return found


def _evidence(found: PaystackTransfer) -> Evidence:
    details = {
        "id": found.transfer_code,
        "reference": found.reference,
        "status": found.status,
        "amount": f"{Decimal(found.amount).scaleb(-2):f}",
        "currency": found.currency,
        "fee": "" if found.fee_charged is None else f"{Decimal(found.fee_charged).scaleb(-2):f}",
        "created_at": found.created_at or "",
        "completed_at": found.transferred_at or "",
    }
    return Evidence(RAIL, found.reference, tuple((name, value) for name, value in details.items() if value))


def _refusal(reply: HttpReply) -> StepError:
    text = f"Paystack answered with HTTP {reply.status}."
    if reply.status in ACCESS_DENIED:
        return RailClosed(text, rail=RAIL, code=f"HTTP {reply.status}")
    if not HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return OutcomeUnknown(text)
    message = _decoded(reply, PaystackRefusal).message
    says = " ".join(message.casefold().split()).rstrip(".")
    text = f"Paystack (HTTP {reply.status}): {plain(message)}"
    meaning = next((proves for row, proves in REFUSALS if fnmatchcase(says, row)), "")
    if reply.status != HTTPStatus.BAD_REQUEST or not meaning:
        return OutcomeUnknown(text, answered=True)
    if meaning == NOBODY:
        return RailClosed(text, rail=RAIL)
    return Deferred(text, short=True) if meaning == SHORT else Rejected(text)


def _decoded(reply: HttpReply, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(reply.body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise OutcomeUnknown(f"Paystack answered HTTP {reply.status} with a body that is not its JSON.") from error


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def signed(body: bytes, secret_key: str) -> Mapping[str, str]:
    """Give the header that a genuine webhook has: hex of an HMAC-SHA512 over its bytes, with the secret key."""
    return {SIGNATURE_HEADER: hmac.digest(secret_key.encode(), body, "sha512").hex()}


def verify(headers: Mapping[str, str], body: bytes, secret_key: str) -> bool:
    """Tell whether a webhook is signed, over the bytes as they came."""
    shown = next((value for name, value in headers.items() if name.casefold() == SIGNATURE_HEADER), "")
    expected = signed(body, secret_key)[SIGNATURE_HEADER]
    return bool(secret_key) and hmac.compare_digest(shown.encode(errors="surrogateescape"), expected.encode())


class PaystackEvent(Struct):
    """A webhook."""

    event: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def read_webhook(body: bytes) -> Notice | None:
    """Read what a webhook speaks of; None when it is about no transfer. Its status is a claim, to be read back."""
    event = webhook(body, PaystackEvent, "Paystack")
    if not event.event.startswith("transfer."):
        return None
    reference, handle = (str(event.data.get(part) or "") for part in ("reference", "transfer_code"))
    if not reference:
        raise BadInput("The webhook names no reference.")
    said = str(event.data.get("status") or event.event.rpartition(".")[2]).casefold()
    return Notice((reference,), handle, said, f"{event.event}:{handle or reference}:{said}")
