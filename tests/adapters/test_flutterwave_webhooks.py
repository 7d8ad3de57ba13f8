"""Webhooks: who may speak, what is heard, and that none of it is an outcome."""

import base64
import contextlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.flutterwave import wire_v3, wire_v4
from machines.core.errors import BadInput

SECRET = "a-secret-hash"

DATA: dict[str, Any] = {
    "id": 33286,
    "account_number": "0690000033",
    "bank_name": "ACCESS BANK NIGERIA",
    "bank_code": "044",
    "fullname": "Bale Gary",
    "created_at": "2026-04-14T16:39:17.000Z",
    "currency": "NGN",
    "debit_currency": "NGN",
    "amount": 30020,
    "fee": 26.875,
    "status": "SUCCESSFUL",
    "reference": "payout-1",
    "meta": None,
    "narration": "for work",
    "approver": None,
    "complete_message": "Transaction was successful",
    "requires_approval": 0,
    "is_approved": 1,
}


def v3_body(event: str = "transfer.completed", **changes: Any) -> bytes:
    return json.dumps({"event": event, "event.type": "Transfer", "data": DATA | changes}).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


# --- v3: who may speak -----------------------------------------------------------------------------------------------


def test_the_secret_hash_is_accepted_whatever_the_case_of_the_headers_name() -> None:
    assert wire_v3.verify({"verif-hash": SECRET}, SECRET)
    assert wire_v3.verify({"Verif-Hash": SECRET}, SECRET)


@pytest.mark.parametrize(
    "shown", ["", "wrong", SECRET[:-1], SECRET + "x", SECRET.upper(), "x" * 100_000, "ä", " " + SECRET]
)
def test_any_other_hash_is_refused(shown: str) -> None:
    assert not wire_v3.verify({"verif-hash": shown}, SECRET)


def test_a_missing_hash_is_refused_and_so_is_everything_without_a_secret() -> None:
    assert not wire_v3.verify({}, SECRET)
    assert not wire_v3.verify({"flutterwave-signature": SECRET}, SECRET)
    assert not wire_v3.verify({"verif-hash": ""}, "")
    assert not wire_v3.verify({}, "")


# --- v4: who may speak -----------------------------------------------------------------------------------------------


def test_a_signature_over_the_very_bytes_is_accepted() -> None:
    body = b'{ "type":"transfer.disburse" }'
    assert wire_v4.verify({"Flutterwave-Signature": signature(body)}, body, SECRET)


def test_one_changed_byte_or_another_secret_is_refused() -> None:
    body = b'{"amount":1}'
    for altered in (b'{"amount":2}', b'{"amount": 1}', b"", body[:-1]):
        assert not wire_v4.verify({"flutterwave-signature": signature(body)}, altered, SECRET)
    assert not wire_v4.verify({"flutterwave-signature": signature(body, "other")}, body, SECRET)


@pytest.mark.parametrize("shown", ["", "x", "=" * 100_000, "ä"])
def test_nonsense_is_refused(shown: str) -> None:
    assert not wire_v4.verify({"flutterwave-signature": shown}, b"{}", SECRET)
    assert not wire_v4.verify({}, b"{}", SECRET)


def test_the_secret_itself_is_accepted_only_where_that_was_switched_on() -> None:
    headers = {"flutterwave-signature": SECRET}
    assert not wire_v4.verify(headers, b"{}", SECRET)
    assert wire_v4.verify(headers, b"{}", SECRET, verbatim=True)
    assert not wire_v4.verify({"flutterwave-signature": ""}, b"{}", "", verbatim=True)
    assert wire_v4.verify({"flutterwave-signature": signature(b"{}")}, b"{}", SECRET, verbatim=True)


# --- what is heard ---------------------------------------------------------------------------------------------------


def test_v3s_event_names_our_reference_and_only_claims_a_status() -> None:
    notice = wire_v3.read_webhook(v3_body())
    assert notice is not None
    assert (notice.references, notice.handle, notice.said) == (("payout-1",), "33286", "SUCCESSFUL")


def test_the_news_of_a_retry_leads_to_our_reference() -> None:
    notice = wire_v3.read_webhook(v3_body(reference="payout-1_RETRY_2"))
    assert notice is not None
    assert notice.references == ("payout-1",)


@pytest.mark.parametrize(("event", "said"), [("transfer.success", "SUCCESS"), ("transfer.failed", "FAILED")])
def test_the_events_that_the_seed_names_are_heard(event: str, said: str) -> None:
    for body in (v3_body(event), json.dumps({"event": event, "data": {"reference": "payout-1"}}).encode()):
        notice = wire_v3.read_webhook(body)
        assert notice is not None
        assert notice.references == ("payout-1",)
        assert notice.said == (said if b'"status"' not in body else "SUCCESSFUL")


def test_the_shape_of_v2_is_heard() -> None:
    body = {"event.type": "Transfer", "transfer": {"id": 1, "status": "Failed", "reference": "payout-1"}}
    notice = wire_v3.read_webhook(json.dumps(body).encode())
    assert notice is not None
    assert (notice.references, notice.said) == (("payout-1",), "FAILED")


def test_the_same_news_has_the_same_name_and_other_news_another() -> None:
    first = wire_v3.read_webhook(v3_body())
    again = wire_v3.read_webhook(v3_body(amount=1, fee=2))
    failed = wire_v3.read_webhook(v3_body(status="FAILED"))
    retried = wire_v3.read_webhook(v3_body(id=33287, reference="payout-1_RETRY_1"))
    assert first is not None
    assert again is not None
    assert failed is not None
    assert retried is not None
    assert first.delivery == again.delivery
    assert len({first.delivery, failed.delivery, retried.delivery}) == 3


def test_a_gateway_that_counts_its_transfers_from_the_beginning_again_still_has_news() -> None:
    """As a sandbox does that was started again: the number alone does not name the news."""
    before, after = (wire_v3.read_webhook(v3_body(reference=reference)) for reference in ("payout-1", "payout-2"))
    assert before is not None
    assert after is not None
    assert before.delivery != after.delivery


def test_news_about_something_else_is_none_of_ours() -> None:
    assert wire_v3.read_webhook(b'{"event":"charge.completed","data":{"id":1}}') is None
    assert wire_v3.read_webhook(b"{}") is None
    assert wire_v4.read_webhook(b'{"type":"charge.completed","data":{"id":"chg_1"}}') is None
    assert wire_v4.read_webhook(b"{}") is None


V4_DATA: dict[str, Any] = {"id": "trf_1", "reference": "payout-03-abc-1", "status": "SUCCESSFUL", "amount": 1322.71}


def v4_body(kind: str = "transfer.disburse", **changes: Any) -> bytes:
    return json.dumps({"webhook_id": "wbk_1", "timestamp": 1, "type": kind, "data": V4_DATA | changes}).encode()


def test_v4s_event_brings_the_id_and_its_own_number() -> None:
    notice = wire_v4.read_webhook(v4_body())
    assert notice is not None
    assert (notice.references, notice.handle) == (("payout-03-abc-1",), "trf_1")
    assert (notice.said, notice.delivery) == ("SUCCESSFUL", "wbk_1")


def test_v4s_reversal_and_retry_lead_to_our_reference() -> None:
    reversal = wire_v4.read_webhook(v4_body("transfer.reversal", status="FAILED"))
    assert reversal is not None
    assert reversal.references == ("payout-03-abc-1",)
    retry = wire_v4.read_webhook(
        v4_body(reference="again", retry={"parent_id": "trf_1", "parent_reference": "payout-03-abc-1"})
    )
    assert retry is not None
    assert retry.references == ("again", "payout-03-abc-1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        v3_body()[:-20],
        v4_body()[:-20],
        b'{"event":1,"type":2}',
        b'{"event":"transfer.completed","type":"transfer.disburse","data":[]}',
        b'{"event":"transfer.completed","type":"transfer.disburse","data":{}}',
        b'{"event":"transfer.completed","type":"transfer.disburse","data":{"reference":null}}',
        b'{"data":' + b"[" * 60_000,
        b" " * 70_000 + b"{}",
    ],
)
def test_what_cannot_be_read_is_bad_input_and_nothing_worse(body: bytes) -> None:
    for read in (wire_v3.read_webhook, wire_v4.read_webhook):
        with pytest.raises(BadInput):
            read(body)


@given(st.binary(max_size=300))
def test_no_bytes_bring_a_reader_down(body: bytes) -> None:
    for read in (wire_v3.read_webhook, wire_v4.read_webhook):
        with contextlib.suppress(BadInput):
            read(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "reference", "status", "retry"]), inner),
        max_leaves=8,
    )
)
def test_no_data_brings_a_reader_down(data: object) -> None:
    body = json.dumps({"event": "transfer.completed", "type": "transfer.disburse", "data": data}).encode()
    for read in (wire_v3.read_webhook, wire_v4.read_webhook):
        try:
            notice = read(body)
        except BadInput:
            continue
        assert notice is None or notice.references
