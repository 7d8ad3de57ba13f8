"""API v3 without I/O: requests as values, replies as values or as typed errors, webhooks checked and read.

POST /v3/transfers answers          what it proves                               what comes of it
200 "Transfer Queued Successfully"  taken in, not paid                           a Transfer
200 and anything else               nothing                                      OutcomeUnknown
400 "…ref already exists"           an earlier call with the reference landed    None: look it up
400 a row of `refusals`             not created, not now, or none of ours passes Rejected, Deferred, RailClosed
401, 403                            the key is wrong or revoked                  RailClosed
429                                 not looked at                                Retryable, after the gateway's delay
503 after 28 s, any 5xx, HTML, 3xx  nothing: "may still be processing"           OutcomeUnknown

Statuses go NEW → PENDING → SUCCESSFUL | FAILED. There is no idempotency header: the unique `reference` is all there is,
and a repeat is answered by a refusal, not by the first answer.
"""

import hmac
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from msgspec import Struct, field

from adapters.flutterwave.codec import FlutterwaveAnswer, NotJson, decoded, encoded, major_units, text_of, understood
from adapters.flutterwave.refusals import Proves, proves_v3, refusal
from adapters.flutterwave.transfer import FlutterwaveTransfer, account_of, check_payable, root, unmarked
from adapters.http import HttpReply, HttpRequest, check_answers, check_rate_limit, plain, webhook
from machines.core.errors import BadInput, OutcomeUnknown
from machines.core.ports import Notice, Payment, PaymentKey

SIGNATURE_HEADER = "verif-hash"

# The official SDK refuses longer ones; the API's own limits are not documented.
REFERENCE_CHARS = (1, 100)
NARRATION_CHARS = 100

SUCCESS = "success"
FOREIGN = "FOREIGN-ACCOUNT"
"""What it shows in the place of an account abroad."""


class DataV3(Struct):
    """A transfer as v3 shows it. Webhooks say `fullname` where the API says `full_name`; we need neither."""

    id: int | str
    amount: Decimal
    status: str
    reference: str
    currency: str
    account_number: str | int | None = None
    bank_code: str | int | None = None
    fee: Decimal | None = None
    complete_message: str | None = None
    requires_approval: int | bool | None = None
    is_approved: int | bool | None = None
    created_at: str | None = None
    meta: Any = None


NOT_READ = frozenset(
    {"full_name", "fullname", "bank_name", "debit_currency", "meta", "narration", "approver", "is_deleted"}
)
"""What its pages show of a transfer besides, and nobody needs."""


class EnvelopeV3(Struct):
    """What every answer is wrapped in; `data` is read once it is known that there is any."""

    status: str
    message: str = ""
    data: Any = None


class PageInfo(Struct):
    """Where a list goes on. Not found is zeros."""

    total_pages: int = 0


class Meta(Struct):
    """What lists add."""

    page_info: PageInfo = field(default_factory=PageInfo)


class ListedV3(Struct):
    """The answer to a look-up."""

    status: str
    data: list[DataV3] | None = None
    meta: Meta | None = None


def transfer(payment: Payment, marker: str = "") -> HttpRequest:
    """Ask for a transfer. The marker tells the test mode how it is to end: without one it stays pending there."""
    check_payable(payment, *REFERENCE_CHARS)
    to = account_of(payment)
    body: dict[str, object] = {} if to.abroad else {"account_bank": to.bank, "account_number": to.number}
    body |= {
        "amount": major_units(payment.amount),
        "currency": payment.amount.asset.code,
        "reference": payment.key + marker,
    }
    optional = {
        "narration": payment.note[:NARRATION_CHARS],
        "beneficiary_name": to.name[:NARRATION_CHARS],
        "destination_branch_code": to.branch,
    }
    body |= {name: value for name, value in optional.items() if value}
    if to.meta:
        body["meta"] = [dict(to.meta)] if to.abroad else dict(to.meta)
    return HttpRequest("POST", "/transfers", body=encoded(body))


def read_queued(reply: HttpReply) -> FlutterwaveTransfer | None:
    """Read the answer to a transfer; None says that the reference exists already, so an earlier call landed."""
    check_rate_limit(reply, "Flutterwave")
    if reply.status == HTTPStatus.OK:
        queued = understood(reply, FlutterwaveAnswer[DataV3], "A transfer")
        if queued.status != SUCCESS:
            raise OutcomeUnknown("A transfer was answered with HTTP 200 and without success.")
        return _transfer(queued.data)
    if not HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise OutcomeUnknown(f"A transfer was answered with HTTP {reply.status}.")
    message = understood(reply, EnvelopeV3, "A transfer").message
    meaning = proves_v3(reply.status, message)
    if meaning is Proves.LANDED:
        return None
    raise refusal(reply.status, message, meaning)


def by_reference(key: PaymentKey, marker: str = "") -> HttpRequest:
    """Look a transfer up by our reference."""
    return HttpRequest("GET", "/transfers", query=(("reference", key + marker),))


def read_by_reference(reply: HttpReply, key: PaymentKey) -> list[FlutterwaveTransfer]:
    """Read the transfers with exactly this reference. None of them is an answer only where all matches were seen."""
    listed = understood(_readable(reply), ListedV3, "A look-up")
    if listed.status != SUCCESS:
        raise OutcomeUnknown("A look-up was answered without success.")
    found = [_transfer(data) for data in listed.data or () if unmarked(data.reference) == key]
    # The query may match more than the exact reference, or may be ignored one day; then our transfer can be on a page
    # that we did not see.
    if not found and listed.meta is not None and listed.meta.page_info.total_pages > 1:
        raise OutcomeUnknown("A look-up was answered with the transfers of others, and there are more.")
    return found


def by_id(transfer_id: str) -> HttpRequest:
    """Look at a transfer whose id we were told."""
    return HttpRequest("GET", f"/transfers/{quote(transfer_id, safe='')}")


def read_by_id(reply: HttpReply) -> FlutterwaveTransfer | None:
    """Read a transfer; None where there is none with this id, which says nothing of ours."""
    if checked(reply).status != HTTPStatus.OK:
        return None
    return _transfer(understood(reply, FlutterwaveAnswer[DataV3], "A look at a transfer").data)


def listed_since(day: str, page: int) -> HttpRequest:
    """Ask for a page of all transfers since a day, such as 2027-01-15; the newest come first."""
    return HttpRequest("GET", "/transfers", query=(("from", day), ("page", str(page))))


def read_page(reply: HttpReply) -> tuple[list[FlutterwaveTransfer], int]:
    """Read a page, and how many pages there are."""
    listed = understood(_readable(reply), ListedV3, "A list of transfers")
    if listed.status != SUCCESS or listed.meta is None:
        raise OutcomeUnknown("A list of transfers does not say where it ends.")
    return [_transfer(data) for data in listed.data or ()], listed.meta.page_info.total_pages


def listed_on(day: str, page: int) -> HttpRequest:
    """Ask for a page of all transfers of one day."""
    return HttpRequest("GET", "/transfers", query=(("from", day), ("to", day), ("page", str(page))))


class WalletRowV3(Struct):
    """One row of a wallet's history. It has no id; what the wallet held before and after makes it the one it is."""

    type: str
    """C for what came in, D for what left."""
    amount: Decimal
    currency: str
    balance_before: Decimal
    balance_after: Decimal
    date: str
    reference: str | None = None
    remarks: str | None = None


class WalletRowsV3(Struct):
    """A page of them."""

    page_info: PageInfo = field(default_factory=PageInfo)
    transactions: list[WalletRowV3] = field(default_factory=list)


def wallet_rows(currency: str, day: str, page: int) -> HttpRequest:
    """Ask for a page of what moved a wallet on one day."""
    query = (("currency", currency), ("from", day), ("to", day), ("page", str(page)))
    return HttpRequest("GET", "/wallet/statement", query=query)


def read_wallet_rows(reply: HttpReply) -> tuple[list[WalletRowV3], int]:
    """Read a page of them, and how many pages there are."""
    listed = understood(_readable(reply), FlutterwaveAnswer[WalletRowsV3], "The history of a wallet")
    if listed.status != SUCCESS:
        raise OutcomeUnknown("The history of a wallet was answered without success.")
    return listed.data.transactions, listed.data.page_info.total_pages


def retries(transfer_id: str) -> HttpRequest:
    """Ask for the retries of a transfer: somebody may have clicked Retry in the dashboard."""
    return HttpRequest("GET", f"/transfers/{transfer_id}/retries")


def read_retries(reply: HttpReply) -> list[FlutterwaveTransfer]:
    """Read the retries of a transfer; that there are none must be said, not guessed."""
    if reply.status == HTTPStatus.NOT_FOUND:
        # Undocumented; in the gateway's own envelope it says of a transfer that we just saw that it has no retries.
        understood(reply, EnvelopeV3, "The retries of a transfer")
        return []
    listed = understood(_readable(reply), ListedV3, "The retries of a transfer")
    if listed.status != SUCCESS:
        raise OutcomeUnknown("The retries of a transfer were answered without success.")
    return [_transfer(data) for data in listed.data or ()]


def checked(reply: HttpReply) -> HttpReply:
    """Let a reply to an enquiry through if it can hold an answer."""
    check_answers(reply, "Flutterwave")
    meaning = None if reply.status == HTTPStatus.OK else proves_v3(reply.status, _message(reply))
    if meaning is Proves.CLOSED:
        raise refusal(reply.status, _message(reply), meaning)
    return reply


def signed(_body: bytes, secret_hash: str) -> Mapping[str, str]:
    """Give the header that a genuine webhook has."""
    return {SIGNATURE_HEADER: secret_hash}


def verify(headers: Mapping[str, str], secret_hash: str) -> bool:
    """Tell whether a webhook shows the secret hash. It does not cover the body: it proves the sender, not the news."""
    shown = next((value for name, value in headers.items() if name.casefold() == SIGNATURE_HEADER), "")
    # Without a configured hash the gateway sends none, and nothing can be told from a delivery.
    return bool(secret_hash) and hmac.compare_digest(shown.encode(errors="surrogateescape"), secret_hash.encode())


class EventV3(Struct):
    """A webhook: v3 has `data`, v2 had `transfer`; the seed's `transfer.success` and `transfer.failed` fit as well."""

    event: str = ""
    event_type: str = field(default="", name="event.type")
    data: dict[str, Any] | None = None
    transfer: dict[str, Any] | None = None


def read_webhook(body: bytes) -> Notice | None:
    """Read what a webhook speaks of; None when it is about no transfer. Its status is a claim, to be read back."""
    event = webhook(body, EventV3, "Flutterwave")
    name = (event.event or event.event_type).casefold()
    news = event.data or event.transfer
    if not name.startswith("transfer"):
        return None
    reference, handle, status = (text_of(news, part) for part in ("reference", "id", "status"))
    if not reference:
        raise BadInput("The webhook names no reference.")
    said = (status or name.rpartition(".")[2]).upper()
    # v3 numbers neither events nor deliveries: the same transfer in the same state is the same news.
    return Notice((root(unmarked(reference)),), handle, said, f"{name}:{handle}:{reference}:{said}")


def _transfer(data: DataV3) -> FlutterwaveTransfer:
    return FlutterwaveTransfer(
        id=str(data.id),
        reference=unmarked(data.reference),
        status=data.status.upper(),
        amount=data.amount,
        currency=data.currency.upper(),
        account=_account(data),
        bank="" if data.bank_code is None else str(data.bank_code),
        fee="" if data.fee is None else str(data.fee)[:40],
        message=data.complete_message or "",
        waits_for_approval=bool(data.requires_approval) and not data.is_approved,
        created_at=(data.created_at or "")[:40],
    )


def _account(data: DataV3) -> str | None:
    """Find the account: of one abroad it says nothing but among what it was told besides, with names of its own."""
    if str(data.account_number) != FOREIGN:
        return None if data.account_number is None else str(data.account_number)
    meta = data.meta[0] if isinstance(data.meta, list) and data.meta else data.meta
    return text_of(meta, "AccountNumber") or text_of(meta, "account_number") or None


def _readable(reply: HttpReply) -> HttpReply:
    if checked(reply).status != HTTPStatus.OK:
        raise OutcomeUnknown(f"Flutterwave answered a look-up with HTTP {reply.status}: {plain(_message(reply))}")
    return reply


def _message(reply: HttpReply) -> str:
    try:
        return decoded(reply.body, EnvelopeV3).message
    except NotJson:
        return ""
