"""API v4 without I/O: requests as values, replies as values or as typed errors, webhooks checked and read.

POST /direct-transfers answers       what it proves                              what comes of it
201, 200 with a transfer             taken in now, or then and replayed now      a Transfer
200, 201 and anything else           nothing                                     OutcomeUnknown
REFERENCE_ALREADY_EXISTS 201409      landed, under an id that we do not know     OutcomeUnknown
RESOURCE_CONFLICT 10409              a call with the key is under way            OutcomeUnknown
UNAUTHORIZED 10401, 401, 403         the credentials are wrong or revoked        RailClosed
a type in the table of `refusals`    not created, or not now                     Rejected, Deferred
other types                          nothing                                     OutcomeUnknown
429                                  not looked at                               Retryable, after the gateway's delay
INTERNAL_SERVER_ERROR 10500, 5xx     nothing                                     OutcomeUnknown

There is no look-up by reference. The same idempotency key with the same body is answered by the first answer again, so
whoever lost an answer submits once more; and whoever has the id asks by the id.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from msgspec import Struct, field

from adapters.flutterwave.codec import (
    RAIL,
    FlutterwaveAnswer,
    NotJson,
    decoded,
    encoded,
    major_units,
    text_of,
    understood,
)
from adapters.flutterwave.refusals import Proves, proves_v4, refusal
from adapters.flutterwave.transfer import TAKEN_BACK, FlutterwaveTransfer, account_of, check_payable, root
from adapters.http import ACCESS_DENIED, HttpReply, HttpRequest, check_answers, check_rate_limit, webhook
from machines.core.errors import BadInput, OutcomeUnknown, RailClosed, Rejected, Retryable, StepError
from machines.core.money import NGN
from machines.core.ports import Notice, Payment, PaymentKey

SIGNATURE_HEADER = "flutterwave-signature"
FIRST_AGAIN_HEADER = "X-Idempotency-Cache-Hit"
"""How it says that a key was seen before, and is answered as it was then."""

REFERENCE_CHARS = (6, 42)
NARRATION_CHARS = 180

PAGE = 50


class Amount(Struct):
    """How much, and on which side it is counted."""

    value: Decimal


class BankV4(Struct):
    """An account in a bank."""

    account_number: str | int | None = None


class Wallet(Struct):
    """A mobile money wallet."""

    phone_number: str | int | None = None


class MerchantWallet(Struct):
    """A wallet of another merchant of the gateway's own."""

    identifier: str | int | None = None


class RecipientV4(Struct):
    """Who is paid."""

    bank: BankV4 | None = None
    mobile_money: Wallet | None = None
    wallet: MerchantWallet | None = None


class Fee(Struct):
    """What the gateway took."""

    value: Decimal | None = None


class Reversal(Struct):
    """How a success was undone."""

    reconciliation_status: str | None = None
    reversal_datetime: str | None = None


class Retry(Struct):
    """Which transfer this one repeats."""

    parent_id: str | None = None
    parent_reference: str | None = None


class Response(Struct):
    """What the bank said."""

    type: str | None = None
    message: str | None = None


class DataV4(Struct):
    """A transfer as v4 shows it."""

    id: str
    reference: str
    status: str
    amount: Amount
    destination_currency: str | None = None
    source_currency: str | None = None
    recipient: RecipientV4 | None = None
    fee: Fee | None = None
    provider_response: Response | None = None
    reversal: Reversal | None = None
    retry: Retry | None = None
    created_datetime: str | None = None


class FaultV4(Struct):
    """What was wrong."""

    type: str = ""
    code: str | int = ""
    message: str = ""


class RefusalV4(Struct):
    """The wrapping of what was wrong."""

    error: FaultV4
    status: str = ""


class TokenV4(Struct):
    """What the identity server hands out."""

    access_token: str
    expires_in: int


def token(client_id: str, client_secret: str) -> bytes:
    """Write the form that asks for a token."""
    form = {"client_id": client_id, "client_secret": client_secret, "grant_type": "client_credentials"}
    return urlencode(form).encode()


def read_token(reply: HttpReply) -> TokenV4:
    """Read a token. Nothing has been sent yet whatever comes back, so nothing is unknown."""
    if reply.status in {HTTPStatus.BAD_REQUEST, *ACCESS_DENIED}:
        text = f"Flutterwave does not accept the client's credentials (HTTP {reply.status})."
        raise RailClosed(text, rail=RAIL, code=f"HTTP {reply.status}")
    try:
        if reply.status == HTTPStatus.OK:
            return decoded(reply.body, TokenV4)
    except NotJson as error:
        raise Retryable("Flutterwave's token cannot be read.") from error
    raise Retryable(f"Flutterwave gives no token (HTTP {reply.status}).", after_s=reply.retry_after_s)


def idempotency_key(key: PaymentKey) -> str:
    """Make the header's value. One page allows letters and digits only, another recommends hyphens: hex fits both."""
    return hashlib.sha256(key.encode()).hexdigest()


def transfer(payment: Payment) -> HttpRequest:
    """Ask for a transfer. The same payment gives the same bytes for ever, as a replay needs them."""
    check_payable(payment, *REFERENCE_CHARS)
    currency = payment.amount.asset.code
    body: dict[str, object] = {
        "action": "instant",
        "type": payment.to.kind,
        "reference": payment.key,
        "payment_instruction": {
            "source_currency": currency,
            "destination_currency": currency,
            "amount": {"value": major_units(payment.amount), "applies_to": "destination_currency"},
            "recipient": _recipient(payment),
        },
    }
    to = account_of(payment)
    if to.meta:
        body["meta"] = dict(to.meta)
    if payment.note:
        body["narration"] = payment.note[:NARRATION_CHARS]
    return HttpRequest(
        "POST",
        "/direct-transfers",
        body=encoded(body),
        headers=(("X-Idempotency-Key", idempotency_key(payment.key)),),
    )


def read_transfer(reply: HttpReply) -> FlutterwaveTransfer:
    """Read the answer to a transfer."""
    check_rate_limit(reply, "Flutterwave")
    if reply.status in {HTTPStatus.OK, HTTPStatus.CREATED}:
        return _transfer(understood(reply, FlutterwaveAnswer[DataV4], "A transfer").data)
    if not HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise OutcomeUnknown(f"A transfer was answered with HTTP {reply.status}.")
    error = _refusal(reply.status, understood(reply, RefusalV4, "A transfer").error)
    first_again = reply.headers.get(FIRST_AGAIN_HEADER, "").casefold() == "true"
    raise Rejected(str(error), first=True) if isinstance(error, Rejected) and first_again else error


def by_id(transfer_id: str) -> HttpRequest:
    """Look at a transfer whose id we have."""
    return HttpRequest("GET", f"/transfers/{quote(transfer_id, safe='')}")


def read_by_id(reply: HttpReply) -> FlutterwaveTransfer:
    """Read a transfer. One that was there does not cease to be: not found proves nothing."""
    if checked(reply).status != HTTPStatus.OK:
        raise OutcomeUnknown(f"Flutterwave does not show a transfer that it has (HTTP {reply.status}).")
    return _transfer(understood(reply, FlutterwaveAnswer[DataV4], "A look at a transfer").data)


def listed(page: int) -> HttpRequest:
    """Ask for a page of all transfers."""
    return HttpRequest("GET", "/transfers", query=(("page", str(page)), ("size", str(PAGE))))


def read_page(reply: HttpReply) -> list[FlutterwaveTransfer]:
    """Read a page; one that is empty ends the list."""
    if checked(reply).status != HTTPStatus.OK:
        raise OutcomeUnknown(f"Flutterwave lists no transfers (HTTP {reply.status}).")
    # What it says of its pages is not documented, and not needed.
    return [_transfer(data) for data in understood(reply, FlutterwaveAnswer[list[DataV4]], "A list of transfers").data]


def checked(reply: HttpReply) -> HttpReply:
    """Let a reply to an enquiry through if it can hold an answer."""
    check_answers(reply, "Flutterwave")
    if reply.status in ACCESS_DENIED:
        raise refusal(reply.status, _fault(reply).message, Proves.CLOSED)
    return reply


def signed(body: bytes, secret_hash: str) -> Mapping[str, str]:
    """Give the header that a genuine webhook has."""
    return {SIGNATURE_HEADER: base64.b64encode(hmac.digest(secret_hash.encode(), body, "sha256")).decode()}


def verify(headers: Mapping[str, str], body: bytes, secret_hash: str, *, verbatim: bool = False) -> bool:
    """Tell whether a webhook is signed with the secret hash: base64 of an HMAC-SHA256 over the bytes as they came.

    The vendor's own page compares the header with the secret itself. `verbatim` allows that as well, for an account
    where deliveries really come so: such a header can be seen once and used for anything.
    """
    header = next((value for name, value in headers.items() if name.casefold() == SIGNATURE_HEADER), "")
    shown = header.encode(errors="surrogateescape")
    genuine = hmac.compare_digest(shown, signed(body, secret_hash)[SIGNATURE_HEADER].encode())
    the_secret_itself = hmac.compare_digest(shown, secret_hash.encode())
    return bool(secret_hash) and (genuine or (verbatim and the_secret_itself))


class EventV4(Struct):
    """A webhook."""

    type: str = ""
    webhook_id: str = ""
    id: str = ""
    """What some samples call the `webhook_id`."""
    data: dict[str, Any] = field(default_factory=dict)


def read_webhook(body: bytes) -> Notice | None:
    """Read what a webhook speaks of; None when it is about no transfer. Its status is a claim, to be read back."""
    event = webhook(body, EventV4, "Flutterwave")
    if not event.type.startswith("transfer"):
        return None
    reference, handle, status = (text_of(event.data, part) for part in ("reference", "id", "status"))
    parent_reference = text_of(event.data.get("retry"), "parent_reference")
    references = tuple(dict.fromkeys(root(name) for name in (reference, parent_reference) if name))
    if not references:
        raise BadInput("The webhook names no reference.")
    delivery = event.webhook_id or event.id or f"{event.type}:{handle or reference}:{status}"
    return Notice(references, handle, status.upper(), delivery)


def _recipient(payment: Payment) -> dict[str, object]:
    to = account_of(payment)
    if to.kind == "wallet":
        return {"wallet": {"provider": to.bank, "identifier": to.number}}
    first, _, last = to.name.partition(" ")
    # In naira what an older version sent, to the byte: one of these may be under way while we are upgraded.
    more = bool(first) and payment.amount.asset != NGN
    named: dict[str, object] = {"name": {"first": first, "last": last or first}} if more else {}
    if to.kind == "mobile_money":
        return named | {"mobile_money": {"network": to.bank, "phone_number": to.number}}
    bank = {"account_number": to.number, "code": to.bank} | ({"branch": to.branch} if more and to.branch else {})
    return named | {"bank": bank}


def _refusal(status: int, fault: FaultV4) -> StepError:
    text = f"{fault.type} {fault.message}"
    meaning = proves_v4(status, fault.type)
    if meaning is Proves.LANDED:
        return OutcomeUnknown(f"Flutterwave has the reference already and does not say under which id: {text}")
    return refusal(status, text.replace("_", " "), meaning)


def proves(reply: HttpReply) -> Proves | None:
    """Look up what a refusal proves."""
    return proves_v4(reply.status, _fault(reply).type)


def _fault(reply: HttpReply) -> FaultV4:
    try:
        return decoded(reply.body, RefusalV4).error
    except NotJson:
        return FaultV4()


def _transfer(data: DataV4) -> FlutterwaveTransfer:
    reversal = data.reversal or Reversal()
    return FlutterwaveTransfer(
        id=data.id,
        reference=data.reference,
        status=data.status.upper(),
        amount=data.amount.value,
        currency=(data.destination_currency or data.source_currency or "").upper(),
        account=_account(data.recipient),
        fee="" if data.fee is None or data.fee.value is None else str(data.fee.value)[:40],
        message=(data.provider_response.message or "") if data.provider_response else "",
        # Only the word itself counts: an empty `reversal` may stand in every transfer.
        taken_back=(reversal.reconciliation_status or "").upper() == TAKEN_BACK,
        parent=(data.retry.parent_id or "") if data.retry else "",
        parent_reference=(data.retry.parent_reference or "") if data.retry else "",
        created_at=(data.created_datetime or "")[:40],
        taken_back_at=(reversal.reversal_datetime or "")[:40],
    )


def _account(recipient: RecipientV4 | None) -> str | None:
    shown: str | int | None = None
    if recipient is not None and recipient.mobile_money is not None:
        shown = recipient.mobile_money.phone_number
    elif recipient is not None and recipient.bank is not None:
        shown = recipient.bank.account_number
    elif recipient is not None and recipient.wallet is not None:
        shown = recipient.wallet.identifier
    return None if shown is None else str(shown)
