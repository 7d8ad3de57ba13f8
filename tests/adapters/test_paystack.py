"""Paystack: what its answers prove, its statuses, its wire."""

import hmac
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from adapters.http import HttpReply
from adapters.paystack import statement, wire
from machines.core.errors import (
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
from machines.core.money import ETH, NGN, Asset, Assets, Money
from machines.core.ports import Destination, Failed, Payment, PaymentKey, Pending, Reversed, Settled
from tests.adapters.conftest import payment

KEY = "sk_test_secret"
OURS = payment("0690000031", "1322.71", key="payout-03-abcdefgh-1")

DATA: dict[str, Any] = {
    "reference": OURS.key,
    "status": "pending",
    "amount": 132271,
    "currency": "NGN",
    "transfer_code": "TRF_1",
    "recipient": 17,
    "createdAt": "2026-01-20T16:22:51.000Z",
}
QUEUED = {"status": True, "message": "Transfer has been queued", "data": DATA}
PAGE = b"<html></html>"


def reply(status: int, body: object) -> HttpReply:
    return HttpReply(status, body if isinstance(body, bytes) else json.dumps(body).encode())


def refused(message: str, code: str = "") -> dict[str, object]:
    return {"status": False, "message": message, "code": code}


REFUSALS: list[tuple[int, object, type[StepError]]] = [
    (401, refused("Invalid key"), RailClosed),
    (403, refused("No"), RailClosed),
    (400, refused("Your balance is not enough to fulfil this request"), Deferred),
    (400, refused("The balance of your customer is insufficient, and the key invalid for it"), OutcomeUnknown),
    (400, refused("You cannot initiate third party payouts at this time"), RailClosed),
    (400, refused("Amount is required"), Rejected),
    (400, refused("Recipient specified is invalid"), Rejected),
    (400, refused("A sentence that nobody has seen before"), OutcomeUnknown),
    (404, PAGE, OutcomeUnknown),
    (429, PAGE, Retryable),
    (500, refused("Amount is required"), OutcomeUnknown),
    (502, PAGE, OutcomeUnknown),
    (302, b"", OutcomeUnknown),
    (200, QUEUED | {"status": False}, OutcomeUnknown),
    (200, QUEUED | {"data": None}, OutcomeUnknown),
    (200, json.dumps(QUEUED).encode()[:-9], OutcomeUnknown),
    (200, PAGE, OutcomeUnknown),
    (200, QUEUED | {"data": DATA | {"amount": 132272}}, Contradiction),
    (200, QUEUED | {"data": DATA | {"amount": 1322.71}}, OutcomeUnknown),
    (200, QUEUED | {"data": DATA | {"currency": "GHS"}}, Contradiction),
    (200, QUEUED | {"data": DATA | {"reference": "payout-03-another0-1"}}, Contradiction),
    (200, QUEUED | {"data": DATA | {"recipient": {"details": {"account_number": "1"}}}}, OtherPayee),
]


@pytest.mark.parametrize(("status", "body", "error"), REFUSALS)
def test_an_answer_to_a_transfer_proves_what_the_table_says(status: int, body: object, error: type[StepError]) -> None:
    with pytest.raises(error) as raised:
        wire.read_transfer(reply(status, body), OURS)
    assert type(raised.value) is error


def test_a_reference_that_exists_means_that_an_earlier_call_landed() -> None:
    sentence = "Please provide a unique reference. Reference already exists on a transfer"
    assert wire.read_transfer(reply(400, refused(sentence)), OURS) is None
    assert wire.read_transfer(reply(400, refused("?", "duplicate_transfer_reference")), OURS) is None


def test_a_recipient_moves_nothing_so_that_nothing_is_unknown_about_it() -> None:
    assert wire.read_recipient(reply(201, {"data": {"recipient_code": "RCP_1"}})) == "RCP_1"
    for status, body in ((500, PAGE), (200, PAGE), (400, refused("Who knows")), (302, b""), (429, b"")):
        with pytest.raises(Retryable):
            wire.read_recipient(reply(status, body))
    with pytest.raises(Rejected):
        wire.read_recipient(reply(400, refused("Account number is invalid")))
    with pytest.raises(RailClosed):
        wire.read_recipient(reply(401, refused("Invalid key")))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, PAGE, Retryable),
        (429, b"", Retryable),
        (401, refused("Invalid key"), RailClosed),
        (404, PAGE, OutcomeUnknown),
        (400, refused("Reference is invalid"), OutcomeUnknown),
        (200, PAGE, OutcomeUnknown),
    ],
)
def test_a_look_that_failed_never_reads_as_absence(status: int, body: object, error: type[StepError]) -> None:
    with pytest.raises(error) as raised:
        wire.read_by_reference(reply(status, body), OURS)
    assert type(raised.value) is error


def test_not_found_must_be_said() -> None:
    assert wire.read_by_reference(reply(404, refused("Transfer not found")), OURS) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("pending", Pending),
        ("received", Pending),
        ("otp", Pending),
        ("success", Settled),
        ("reversed", Reversed),
        ("failed", Failed),
        ("abandoned", Failed),
        ("blocked", Failed),
        ("rejected", Failed),
    ],
)
def test_statuses_say_what_the_table_says(status: str, kind: type) -> None:
    found = wire.read_transfer(reply(200, QUEUED | {"data": DATA | {"status": status}}), OURS)
    assert found is not None
    assert isinstance(wire.verdict(found), kind)


def test_an_undocumented_status_is_no_outcome() -> None:
    found = wire.read_transfer(reply(200, QUEUED | {"data": DATA | {"status": "done"}}), OURS)
    assert found is not None
    with pytest.raises(OutcomeUnknown):
        wire.verdict(found)


def test_a_code_to_be_entered_is_approval_that_is_waited_for() -> None:
    found = wire.read_transfer(reply(200, QUEUED | {"data": DATA | {"status": "otp"}}), OURS)
    assert found is not None
    status = wire.verdict(found)
    assert isinstance(status, Pending)
    assert status.waiting_for == "approval"


@pytest.mark.parametrize(("amount", "kobo"), [("0.01", 1), ("1322.71", 132271), ("9999999999999999.99", 10**18 - 1)])
def test_an_amount_is_whole_kobo(amount: str, kobo: int) -> None:
    body = msgspec.json.decode(wire.transfer(replace(payment(amount=amount), prepared="RCP_1")).body)
    assert body["amount"] == kobo


@pytest.mark.parametrize(
    "wrong",
    [
        replace(OURS, key=PaymentKey("short")),
        replace(OURS, key=PaymentKey("PAYOUT-03-ABCDEFGH-1")),
        replace(OURS, to=Destination("ethereum", ())),
        replace(OURS, to=Destination("bank", (("bank_code", "044"),))),
        replace(OURS, amount=Money(0, OURS.amount.asset)),
        replace(OURS, amount=Money(1, ETH)),
    ],
)
def test_what_the_gateway_could_misunderstand_is_never_sent(wrong: Payment) -> None:
    with pytest.raises(Rejected):
        wire.recipient(wrong)


# --- webhooks --------------------------------------------------------------------------------------------------------


def signed(body: bytes, key: str = KEY) -> dict[str, str]:
    return {"X-Paystack-Signature": hmac.digest(key.encode(), body, "sha512").hex()}


def test_a_signature_over_the_very_bytes_is_accepted_and_nothing_else() -> None:
    body = b'{"event":"transfer.success"}'
    assert wire.verify(signed(body), body, KEY)
    assert not wire.verify(signed(body), body + b" ", KEY)
    assert not wire.verify(signed(body, "other"), body, KEY)
    assert not wire.verify({}, body, KEY)
    assert not wire.verify({"x-paystack-signature": "ä" * 10_000}, body, KEY)
    assert not wire.verify({"x-paystack-signature": signed(body, "")["X-Paystack-Signature"]}, body, "")


@pytest.mark.parametrize("event", ["transfer.success", "transfer.failed", "transfer.reversed"])
def test_a_webhook_names_the_reference_and_only_claims_a_status(event: str) -> None:
    notice = wire.read_webhook(json.dumps({"event": event, "data": DATA}).encode())
    assert notice is not None
    assert (notice.references, notice.handle, notice.said) == ((OURS.key,), "TRF_1", "pending")


def test_other_news_is_none_of_ours_and_nonsense_is_bad_input() -> None:
    assert wire.read_webhook(b'{"event":"charge.success","data":{}}') is None
    for body in (b"", b"[]", b"\xff", b'{"event":"transfer.success","data":{}}', b" " * 70_000, b"[" * 60_000):
        with pytest.raises(BadInput):
            wire.read_webhook(body)


@pytest.mark.parametrize(("asset", "units"), [(NGN, 132271), (Asset("XOF", 0), 1322), (ETH, 1322710000000)])
def test_its_statement_counts_hundredths_of_every_currency(asset: Asset, units: int) -> None:
    one = msgspec.convert({**DATA, "currency": asset.code}, wire.PaystackTransfer, strict=False)
    assert statement._paid(one, None, Assets([asset])).amount.units == units  # noqa: SLF001
