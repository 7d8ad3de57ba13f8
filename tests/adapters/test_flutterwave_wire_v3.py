"""Every answer that the facts know of, and what it proves."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.flutterwave import wire_v3
from adapters.flutterwave.refusals import V3, Proves
from adapters.flutterwave.transfer import FlutterwaveTransfer, check_ours, failure, root, verdict
from adapters.http import HttpReply, delay_s
from machines.core.clock import Millis
from machines.core.errors import Contradiction, Deferred, OutcomeUnknown, RailClosed, Rejected, Retryable, StepError
from machines.core.money import ETH, NGN, Money
from machines.core.ports import Cause, Destination, Failed, Payment, PaymentKey, Pending, Reversed, Settled
from tests.adapters.conftest import payment

DATA: dict[str, Any] = {
    "id": 190626,
    "account_number": "0690000031",
    "bank_code": "044",
    "full_name": "Ade Bond",
    "created_at": "2026-01-20T16:22:51.000Z",
    "currency": "NGN",
    "debit_currency": "NGN",
    "amount": 1000,
    "fee": 10.75,
    "status": "NEW",
    "reference": "payout-1",
    "meta": None,
    "narration": "for work",
    "complete_message": "",
    "requires_approval": 0,
    "is_approved": 1,
    "bank_name": "ACCESS BANK NIGERIA",
}
QUEUED = {"status": "success", "message": "Transfer Queued Successfully", "data": DATA}
PAGE = b"<html><head><title>503 Service Temporarily Unavailable</title></head><body>nginx</body></html>"


def reply(status: int, body: object, retry_after_s: float | None = None) -> HttpReply:
    return HttpReply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), retry_after_s)


def refused(message: str) -> dict[str, object]:
    return {"status": "error", "message": message, "data": None}


def listed(*found: dict[str, Any], pages: int = 1) -> HttpReply:
    info = {"total": len(found), "current_page": 1, "total_pages": pages if found else 0}
    body = {"status": "success", "message": "Transfers fetched", "meta": {"page_info": info}, "data": list(found)}
    return reply(200, body)


# --- the answer to POST /v3/transfers --------------------------------------------------------------------------------

REFUSALS: list[tuple[int, object, type[StepError]]] = [
    (401, refused("Authorization required"), RailClosed),
    (401, refused("Invalid authorization key"), RailClosed),
    (401, refused("merchant secret key required"), RailClosed),
    (401, refused(""), RailClosed),
    (403, refused("Forbidden"), RailClosed),
    (400, refused("Please enable IP Whitelisting to access this service"), RailClosed),
    (400, refused("please enable IP Whitelisting  to access this service."), RailClosed),
    (403, refused("Please enable IP Whitelisting to access this service"), RailClosed),
    (400, refused("Insufficient funds in customer wallet"), Deferred),
    # words that speak of money, keys or switches close nothing: only a whole sentence that is known does
    (400, refused("This request cannot be processed, please contact support"), OutcomeUnknown),
    (400, refused("Transfers via API is not enabled on this account"), OutcomeUnknown),
    (400, refused("Transfers to WEMA BANK are currently disabled"), OutcomeUnknown),
    (400, refused("Authorization of this payment is insufficient, invalid or above its limit"), OutcomeUnknown),
    (400, refused("account_bank is required"), Rejected),
    (400, refused("amount is required"), Rejected),
    (400, refused("Account resolve failed"), Rejected),
    (400, refused("Account Resolve Error"), Rejected),
    (400, refused("Payout was made to a blacklisted account number"), Rejected),
    (400, refused("Sorry, that account number is invalid, please check and try again"), OutcomeUnknown),
    (429, refused("Too many requests"), Retryable),
    (429, PAGE, Retryable),
    (400, refused("A sentence that nobody has seen before"), OutcomeUnknown),
    (400, PAGE, OutcomeUnknown),
    (404, refused("Cannot POST /v3/transfers"), OutcomeUnknown),
    (408, refused("Request timeout"), OutcomeUnknown),
    (301, b"", OutcomeUnknown),
    (500, refused("Account resolve failed"), OutcomeUnknown),
    (502, PAGE, OutcomeUnknown),
    (503, refused("An error occurred. Please contact support"), OutcomeUnknown),
    (503, PAGE, OutcomeUnknown),
    (200, refused("An error occurred. Please contact support"), OutcomeUnknown),
    (200, QUEUED | {"status": "error"}, OutcomeUnknown),
    (200, QUEUED | {"data": None}, OutcomeUnknown),
    (200, QUEUED | {"data": []}, OutcomeUnknown),
    (200, QUEUED | {"data": {key: DATA[key] for key in DATA if key != "id"}}, OutcomeUnknown),
    (200, json.dumps(QUEUED).encode()[:-40], OutcomeUnknown),
    (200, b"", OutcomeUnknown),
    (200, b"\xff\xfe", OutcomeUnknown),
    (200, b'{"data":' + b"[" * 100_000, OutcomeUnknown),
    (200, PAGE, OutcomeUnknown),
    (201, QUEUED, OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "body", "error"), REFUSALS)
def test_an_answer_to_a_transfer_proves_what_the_table_says(status: int, body: object, error: type[StepError]) -> None:
    with pytest.raises(error) as raised:
        wire_v3.read_queued(reply(status, body))
    assert type(raised.value) is error


@pytest.mark.parametrize("message", ["Payout with this ref already exists", "Transfer with reference already exists"])
def test_a_reference_that_exists_means_that_an_earlier_call_landed(message: str) -> None:
    assert wire_v3.read_queued(reply(400, refused(message))) is None


def test_a_transfer_that_was_taken_in_is_read_to_the_digit() -> None:
    queued = wire_v3.read_queued(reply(200, QUEUED))
    assert queued is not None
    assert (queued.id, queued.reference, queued.status) == ("190626", "payout-1", "NEW")
    assert (queued.amount, queued.fee) == (Decimal(1000), "10.75")


def test_the_gateways_delay_is_kept_and_one_is_made_up_where_it_names_none() -> None:
    for told, waited in ((7.0, 7.0), (None, 30.0)):
        with pytest.raises(Retryable) as raised:
            wire_v3.read_queued(reply(429, b"", told))
        assert raised.value.after_s == waited


ERRORS: dict[Proves, type[StepError]] = {
    Proves.CLOSED: RailClosed,
    Proves.DEFERRED: Deferred,
    Proves.SHORT: Deferred,
    Proves.NOT_CREATED: Rejected,
}


def test_every_row_of_the_table_is_found_by_its_whole_sentence_and_by_no_other() -> None:
    for row in V3:
        says = row.says.replace("*", "amount")
        if row.proves is Proves.LANDED:
            assert wire_v3.read_queued(reply(row.status, refused(says))) is None
        else:
            with pytest.raises(ERRORS[row.proves]):
                wire_v3.read_queued(reply(row.status, refused(says.upper())))
        with pytest.raises(OutcomeUnknown):
            wire_v3.read_queued(reply(row.status, refused(f"{says}, and more")))


def test_a_reason_carries_no_account_number_and_no_second_line() -> None:
    with pytest.raises(Rejected) as raised:
        wire_v3.read_queued(reply(400, refused("account\n0690000031 " + "x" * 100 + " is required")))
    assert "0690000031" not in str(raised.value)
    assert "***0031" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


# --- the look-up -----------------------------------------------------------------------------------------------------


def test_a_reference_that_is_not_found_is_an_empty_list() -> None:
    assert wire_v3.read_by_reference(listed(), PaymentKey("payout-1")) == []


def test_transfers_with_other_references_are_not_ours() -> None:
    assert wire_v3.read_by_reference(listed(DATA | {"reference": "payout-10"}), PaymentKey("payout-1")) == []


def test_an_ignored_filter_proves_no_absence() -> None:
    others = [DATA | {"reference": f"other-{number}"} for number in range(10)]
    with pytest.raises(OutcomeUnknown):
        wire_v3.read_by_reference(listed(*others, pages=5), PaymentKey("payout-1"))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, refused(""), Retryable),
        (503, PAGE, Retryable),
        (429, b"", Retryable),
        (401, refused("Invalid authorization key"), RailClosed),
        (400, refused("Please enable IP Whitelisting to access this service"), RailClosed),
        (400, refused("amount is required"), OutcomeUnknown),
        (404, refused("not found"), OutcomeUnknown),
        (200, refused(""), OutcomeUnknown),
        (200, PAGE, OutcomeUnknown),
        (302, b"", OutcomeUnknown),
    ],
)
def test_a_look_that_failed_never_reads_as_absence(status: int, body: object, error: type[StepError]) -> None:
    with pytest.raises(error) as raised:
        wire_v3.read_by_reference(reply(status, body), PaymentKey("payout-1"))
    assert type(raised.value) is error


def test_no_retries_must_be_said() -> None:
    none = {"status": "success", "message": "Transfer retry attempts retrieved.", "data": []}
    assert wire_v3.read_retries(reply(200, none)) == []
    assert wire_v3.read_retries(reply(404, refused("No retries found"))) == []
    for status, body in ((404, PAGE), (400, refused("What?")), (200, refused("What?"))):
        with pytest.raises(OutcomeUnknown):
            wire_v3.read_retries(reply(status, body))


# --- statuses --------------------------------------------------------------------------------------------------------


def known(
    status: str = "SUCCESSFUL", reference: str = "payout-1", message: str = "", **parts: Any
) -> FlutterwaveTransfer:
    transfer = FlutterwaveTransfer(
        id=reference,
        reference=reference,
        status=status,
        amount=Decimal(1000),
        currency="NGN",
        account="0690000031",
        message=message,
    )
    return replace(transfer, **parts)


def test_statuses_say_what_the_table_says() -> None:
    assert isinstance(verdict([known("SUCCESSFUL")]), Settled)
    assert isinstance(verdict([known("FAILED")]), Failed)
    assert isinstance(verdict([known("REVERSED")]), Reversed)
    assert isinstance(verdict([known("SUCCESSFUL", taken_back=True)]), Reversed)
    assert isinstance(verdict([known("FAILED", taken_back=True)]), Reversed)
    assert verdict([known("NEW")]) == verdict([known("NEW")])
    for status in ("NEW", "PENDING"):
        pending = verdict([known(status)])
        assert isinstance(pending, Pending)
        assert pending.waiting_for == ""


def test_a_transfer_that_waits_for_approval_says_so() -> None:
    data = DATA | {"requires_approval": 1, "is_approved": 0}
    (found,) = wire_v3.read_by_reference(listed(data), PaymentKey("payout-1"))
    pending = verdict([found])
    assert isinstance(pending, Pending)
    assert pending.waiting_for == "approval"


@pytest.mark.parametrize("status", ["", "successful?", "CANCELLED", "PROCESSED", "SUCCESS"])
def test_a_status_that_nobody_documented_is_no_outcome(status: str) -> None:
    with pytest.raises(OutcomeUnknown):
        verdict([known(status)])


def test_the_mixed_case_of_v2_is_understood() -> None:
    (found,) = wire_v3.read_by_reference(listed(DATA | {"status": "Failed"}), PaymentKey("payout-1"))
    assert isinstance(verdict([found]), Failed)


def test_a_retry_decides_together_with_its_original() -> None:
    failed, retry = known("FAILED"), "payout-1_RETRY_1"
    settled = verdict([failed, known("SUCCESSFUL", retry)])
    assert isinstance(settled, Settled)
    assert settled.evidence.reference == retry
    assert isinstance(verdict([failed, known("PENDING", retry)]), Pending)
    last = verdict([failed, known("FAILED", retry, "Account resolve failed")])
    assert isinstance(last, Failed)
    assert last.cause is Cause.DESTINATION


def test_of_two_successes_of_one_payment_our_own_comes_first() -> None:
    status = verdict([known("SUCCESSFUL"), known("SUCCESSFUL", "payout-1_RETRY_1")])
    assert isinstance(status, Settled)
    assert (status.evidence.reference, status.repeated) == ("payout-1", False)
    assert [proof.reference for proof in status.also] == ["payout-1_RETRY_1"]


@pytest.mark.parametrize(
    ("message", "cause", "again"),
    [
        ("DISBURSE FAILED: Insufficient funds", Cause.WALLET, True),
        ("DISBURSE FAILED: Insufficient funds in customer wallet", Cause.WALLET, True),
        ("DISBURSE FAILED: wallet currently restricted. please contact administrator", Cause.WALLET, True),
        ("DISBURSE FAILED: You can only spend NGN 1000000.00 at once", Cause.LIMIT, False),
        ("you have exceeded your daily limit/frequency for this product", Cause.LIMIT, True),
        ("Account resolve failed", Cause.DESTINATION, False),
        ("beneficiary_name is required", Cause.DESTINATION, False),
        ("DISBURSE FAILED: A fatal error occured while proccesing your request.", Cause.UNKNOWN, True),
        ("DISBURSE FAILED: Unable to obtain user details", Cause.UNKNOWN, True),
        ("DISBURSE FAILED: Transfers to this currency is currently unavailable", Cause.UNKNOWN, True),
        ("DISBURSE FAILED: Transfer failed. Please contact support", Cause.UNKNOWN, True),
        ("", Cause.UNKNOWN, True),
    ],
)
def test_a_proven_failure_says_whom_it_is_about(message: str, cause: Cause, again: object) -> None:
    failed = failure(known("FAILED", message=message))
    assert (failed.cause, failed.retryable) == (cause, again)
    assert failed.reason


@pytest.mark.parametrize("message", ["", "Transaction is currently being processed", "Insufficient funds", "FAILED"])
def test_the_free_text_never_decides_whether_it_was_paid(message: str) -> None:
    assert isinstance(verdict([known("SUCCESSFUL", message=message)]), Settled)
    assert isinstance(verdict([known("PENDING", message=message)]), Pending)
    assert isinstance(verdict([known("FAILED", message="Approved Or Completed Successfully")]), Failed)


# --- ours or not -----------------------------------------------------------------------------------------------------

OURS = payment("0690000031", "1000", key="payout-1")


@pytest.mark.parametrize("amount", ["1000", "1000.00", "1E+3", "1000.000000"])
def test_the_same_amount_however_it_is_written_is_ours(amount: str) -> None:
    assert check_ours(known(amount=Decimal(amount)), OURS).amount == 1000


@pytest.mark.parametrize(
    "amount", ["999.99", "1000.01", "1000.0000000001", "100000", "-1000", "0", "1E+999999", "NaN", "Infinity"]
)
def test_another_amount_is_a_contradiction(amount: str) -> None:
    with pytest.raises(Contradiction):
        check_ours(known(amount=Decimal(amount)), OURS)


def test_another_currency_or_account_is_a_contradiction_that_shows_no_account() -> None:
    with pytest.raises(Contradiction):
        check_ours(known(currency="GHS"), OURS)
    with pytest.raises(Contradiction) as raised:
        check_ours(known(account="0690000032"), OURS)
    assert "06900000" not in str(raised.value)


def test_an_account_that_is_not_repeated_cannot_contradict() -> None:
    assert check_ours(known(account=None), OURS).account is None


def test_retries_lead_back_to_our_reference() -> None:
    assert root("payout-1_RETRY_1") == "payout-1"
    assert root("payout-1_RETRY_12") == "payout-1"
    assert root("payout-1_RETRY_1_RETRY_2") == "payout-1"
    assert root("payout-1_PMCK_RETRY_1") == "payout-1_PMCK"
    assert root("payout-1") == "payout-1"
    assert root("payout_RETRY_x") == "payout_RETRY_x"


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "literal"),
    [
        ("0.01", "0.01"),
        ("0.10", "0.10"),
        ("1", "1"),
        ("1000.00", "1000"),
        ("1322.71", "1322.71"),
        ("999999999.99", "999999999.99"),
        ("70368744177.67", "70368744177.67"),  # not a double
        ("9999999999999999.99", "9999999999999999.99"),
    ],
)
def test_an_amount_is_written_as_the_number_that_it_is(amount: str, literal: str) -> None:
    body = wire_v3.transfer(payment(amount=amount)).body
    assert f'"amount":{literal},'.encode() in body


@given(st.integers(min_value=1, max_value=10**18 - 1))
def test_any_amount_comes_back_as_it_was_sent(units: int) -> None:
    sent = replace(OURS, amount=Money(units, NGN))
    body = json.loads(wire_v3.transfer(sent).body, parse_float=Decimal)
    assert Decimal(body["amount"]) == Decimal(units) / 100
    literal = json.dumps(DATA | {"amount": "@"}).replace('"@"', sent.amount.decimal)
    queued = wire_v3.read_queued(reply(200, f'{{"status":"success","data":{literal}}}'.encode()))
    assert queued is not None
    assert check_ours(queued, sent) is queued


def test_a_request_holds_what_the_gateway_asks_for_and_nothing_empty() -> None:
    body = json.loads(wire_v3.transfer(replace(OURS, note="n" * 300)).body)
    assert body == {
        "account_bank": "044",
        "account_number": "0690000031",
        "amount": 1000,
        "currency": "NGN",
        "reference": "payout-1",
        "narration": "n" * 100,
        "beneficiary_name": "Ada Bello",
    }
    assert wire_v3.transfer(OURS) == wire_v3.transfer(OURS)


def test_mobile_money_goes_the_same_way() -> None:
    to = Destination("mobile_money", (("bank_code", "MPS"), ("account_number", "254700000000")))
    body = json.loads(wire_v3.transfer(replace(OURS, to=to)).body)
    assert (body["account_bank"], body["account_number"]) == ("MPS", "254700000000")


@pytest.mark.parametrize(
    "wrong",
    [
        replace(OURS, to=Destination("ethereum", (("address", "0x0"),))),
        replace(OURS, to=Destination("bank", (("bank_code", "044"),))),
        replace(OURS, to=Destination("bank", (("account_number", "0690000031"),))),
        replace(OURS, key=PaymentKey("")),
        replace(OURS, key=PaymentKey("x" * 101)),
        replace(OURS, key=PaymentKey("a b")),
        replace(OURS, key=PaymentKey("payout-1\n")),
        replace(OURS, key=PaymentKey("payout-1_RETRY_1")),
        replace(OURS, amount=Money(0, NGN)),
        replace(OURS, amount=Money(1, ETH)),
    ],
)
def test_what_the_gateway_could_misunderstand_is_never_sent(wrong: Payment) -> None:
    with pytest.raises(Rejected):
        wire_v3.transfer(wrong)


def test_the_delay_is_read_from_seconds_or_a_date_and_bounded() -> None:
    now = Millis(1_800_000_000_000)  # Fri, 15 Jan 2027 08:00:00 GMT
    assert delay_s("120", now) == 120
    assert delay_s("99999999", now) == 3600
    assert delay_s("Fri, 15 Jan 2027 08:01:00 GMT", now) == 60
    assert delay_s("Fri, 15 Jan 2027 07:00:00 GMT", now) == 0
    for nonsense in ("", "soon", "-5", "1.5"):
        assert delay_s(nonsense, now) is None
