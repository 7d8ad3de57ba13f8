"""Every answer of v4 that the facts know of, and what it proves."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from adapters.flutterwave import wire_v4
from adapters.flutterwave.transfer import verdict
from adapters.http import HttpReply
from adapters.sandbox.flutterwave.v4 import SCENARIO_ERRORS
from machines.core.errors import Deferred, OutcomeUnknown, RailClosed, Rejected, Retryable, StepError
from machines.core.ports import Destination, Failed, Payment, PaymentKey, Reversed, Settled
from tests.adapters.conftest import payment

OURS = payment("0690000031", "1322.71", key="payout-03-abcdefgh-1")

DATA: dict[str, Any] = {
    "id": "trf_1",
    "type": "bank",
    "action": "instant",
    "reference": OURS.key,
    "status": "NEW",
    "source_currency": "NGN",
    "destination_currency": "NGN",
    "amount": {"value": 1322.71, "applies_to": "destination_currency"},
    "recipient": {"type": "bank", "bank": {"account_number": "0690000031", "code": "044"}},
    "meta": {},
    "created_datetime": "2026-01-20T16:22:51.000Z",
}
CREATED = {"status": "success", "message": "Transfer created", "data": DATA}


def reply(status: int, body: object) -> HttpReply:
    return HttpReply(status, body if isinstance(body, bytes) else json.dumps(body).encode())


def fault(kind: str, code: str = "10400", message: str = "") -> dict[str, object]:
    return {
        "status": "failed",
        "error": {"type": kind, "code": code, "message": message, "validation_errors": []},
    }


REFUSALS: list[tuple[int, object, type[StepError]]] = [
    (409, fault("REFERENCE_ALREADY_EXISTS", "201409", "Transfer with reference already exists"), OutcomeUnknown),
    (409, fault("RESOURCE_CONFLICT", "10409"), OutcomeUnknown),
    (400, fault("TRANSFER_AMOUNT_LIMIT", "228400"), Rejected),
    (400, fault("REQUEST_NOT_VALID", "10400"), Rejected),
    (422, fault("UNPROCESSABLE", "10422"), Rejected),
    (401, fault("UNAUTHORIZED", "10401"), RailClosed),
    (403, fault("FORBIDDEN", "10403"), RailClosed),
    (404, fault("TRANSFER_NOT_FOUND", "301404"), OutcomeUnknown),
    (500, fault("INTERNAL_SERVER_ERROR", "10500"), OutcomeUnknown),
    (503, fault("INTERNAL_SERVER_ERROR", "10500"), OutcomeUnknown),
    (429, b"", Retryable),
    (400, fault("SOMETHING_NEW", "999400", "Nobody knows this"), OutcomeUnknown),
    (400, fault("SOMETHING_NEW", "999400", "Transfers are disabled, authorization is insufficient"), OutcomeUnknown),
    (400, fault("INSUFFICIENT_BALANCE"), Deferred),
    (400, {"status": "failed"}, OutcomeUnknown),
    (400, b"<html></html>", OutcomeUnknown),
    (302, b"", OutcomeUnknown),
    (201, CREATED | {"data": None}, OutcomeUnknown),
    (200, fault("INTERNAL_SERVER_ERROR", "10500"), OutcomeUnknown),
    (201, json.dumps(CREATED).encode()[:-30], OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "body", "error"), REFUSALS)
def test_an_answer_to_a_transfer_proves_what_the_table_says(status: int, body: object, error: type[StepError]) -> None:
    with pytest.raises(error) as raised:
        wire_v4.read_transfer(reply(status, body))
    assert type(raised.value) is error


@pytest.mark.parametrize("scenario", sorted(SCENARIO_ERRORS - {"duplicate_reference"}))
def test_every_documented_scenario_is_a_refusal_that_proves_something_or_nothing(scenario: str) -> None:
    waits = {"insufficient_balance", "disabled_transfer", "unavailable_transfer_option", "blocked_bank"}
    limits = {"day_limit_error", "day_transfer_limit_exceeded", "month_limit_error", "month_transfer_limit_exceeded"}
    vague = scenario in {"file_too_large", "payout_creation_error"}
    error = Deferred if scenario in waits | limits else OutcomeUnknown if vague else Rejected
    with pytest.raises(error) as raised:
        wire_v4.read_transfer(reply(400, fault(scenario.upper(), message=scenario.replace("_", " "))))
    assert type(raised.value) is error


@pytest.mark.parametrize("status", [200, 201])
def test_a_transfer_that_was_taken_in_is_read_to_the_digit(status: int) -> None:
    transfer = wire_v4.read_transfer(reply(status, CREATED))
    assert (transfer.id, transfer.reference, transfer.currency) == ("trf_1", OURS.key, "NGN")
    assert (transfer.amount, transfer.account) == (Decimal("1322.71"), "0690000031")


@pytest.mark.parametrize("first_again", [False, True])
def test_only_a_refusal_that_the_gateway_calls_its_first_answer_speaks_of_every_send(first_again: bool) -> None:  # noqa: FBT001
    headers = {wire_v4.FIRST_AGAIN_HEADER: "true"} if first_again else {}
    refused = replace(reply(400, fault("ACCOUNT_RESOLVED_FAILED")), headers=headers)
    with pytest.raises(Rejected) as raised:
        wire_v4.read_transfer(refused)
    assert raised.value.first is first_again


def test_a_transfer_that_was_there_cannot_cease_to_be() -> None:
    with pytest.raises(OutcomeUnknown):
        wire_v4.read_by_id(reply(404, fault("TRANSFER_NOT_FOUND", "301404")))
    for status in (500, 503, 429):
        with pytest.raises(Retryable):
            wire_v4.read_by_id(reply(status, b""))
    with pytest.raises(RailClosed):
        wire_v4.read_by_id(reply(401, fault("UNAUTHORIZED", "10401")))


def test_a_reversal_is_told_by_its_own_words_and_by_nothing_less() -> None:
    def read(status: str, reversal: object) -> object:
        data = DATA | {"status": status, "reversal": reversal}
        return verdict([wire_v4.read_by_id(reply(200, CREATED | {"data": data}))])

    reversed_ = {"reversal_datetime": "2026-01-25", "initial_status": "SUCCESSFUL", "reconciliation_status": "REVERSED"}
    assert isinstance(read("FAILED", reversed_), Reversed)
    assert isinstance(read("SUCCESSFUL", reversed_), Reversed)
    for nothing in (None, {}, {"reconciliation_status": "PENDING"}):
        assert isinstance(read("SUCCESSFUL", nothing), Settled)
        assert isinstance(read("FAILED", nothing), Failed)


def test_the_same_payment_gives_the_same_bytes_and_key_for_ever() -> None:
    request = wire_v4.transfer(OURS)
    assert request == wire_v4.transfer(OURS)
    assert request.headers == (("X-Idempotency-Key", wire_v4.idempotency_key(OURS.key)),)
    key = wire_v4.idempotency_key(OURS.key)
    assert key.isalnum()
    assert 12 <= len(key) <= 255
    assert json.loads(request.body, parse_float=Decimal)["payment_instruction"]["amount"] == {
        "value": Decimal("1322.71"),
        "applies_to": "destination_currency",
    }


def test_mobile_money_has_its_own_recipient() -> None:
    to = Destination("mobile_money", (("bank_code", "MPS"), ("account_number", "254700000000")))
    body = json.loads(wire_v4.transfer(replace(OURS, to=to)).body)
    assert body["type"] == "mobile_money"
    assert body["payment_instruction"]["recipient"] == {
        "mobile_money": {"network": "MPS", "phone_number": "254700000000"}
    }


@pytest.mark.parametrize("key", ["short", "x" * 43])
def test_a_reference_outside_6_to_42_characters_is_never_sent(key: str) -> None:
    wrong: Payment = replace(OURS, key=PaymentKey(key))
    with pytest.raises(Rejected):
        wire_v4.transfer(wrong)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"{}", RailClosed),
        (400, b'{"error":"invalid_client"}', RailClosed),
        (500, b"", Retryable),
        (429, b"", Retryable),
        (200, b"<html>", Retryable),
        (200, b'{"access_token":null,"expires_in":600}', Retryable),
    ],
)
def test_without_a_token_nothing_was_sent(status: int, body: bytes, error: type[StepError]) -> None:
    with pytest.raises(error) as raised:
        wire_v4.read_token(reply(status, body))
    assert type(raised.value) is error
