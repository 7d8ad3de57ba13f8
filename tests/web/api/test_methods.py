"""What may be asked before a payout: what can be paid, with which fields; which banks; and whose an account is."""

import pytest

from payflow.store.registers.tokens import Role
from tests.web.api.front import GOOD, MUTE, NOBODYS, SHOP, Front

HERE = {"bank_code": "044", "account_number": GOOD}


async def test_what_can_be_paid_is_listed_with_its_fields(front: Front) -> None:
    (naira, wallet) = (await front.ann("GET", "/api/methods")).body["methods"]
    assert (naira["currency"], naira["method"], naira["decimals"], naira["resolves"]) == ("NGN", "bank", 2, True)
    assert (naira["minimum"], naira["maximum"]) == ("100.00", "5000000.00")
    assert [(field["name"], field["needed"]) for field in naira["fields"]] == [
        ("bank_code", True), ("account_number", True), ("account_name", False), ("branch_code", False),
    ]  # fmt: skip
    assert naira["fees"][0] == {"up_to": "5000", "fixed": "10.75", "percent": "0"}
    assert (wallet["method"], wallet["rail"]) == ("wallet", "flutterwave")


@pytest.mark.parametrize(("named", "score"), [("Ann", 100), ("Ann Bello", 50), ("Bob Eze", 0), (None, None)])
async def test_whose_an_account_is_and_how_far_the_name_fits(
    front: Front, named: str | None, score: int | None
) -> None:
    where = HERE | ({"account_name": named} if named else {})
    asked = {"currency": "NGN", "method": "bank", "destination": where}
    answer = await front.ann("POST", "/api/accounts/resolve", asked)
    assert answer.status == 200, answer.body
    assert (answer.body["holder"], answer.body["resolves"]) == ("ANN A.", True)
    assert answer.body["name_score"] == score


async def test_what_cannot_be_said_is_said(front: Front) -> None:
    wallet = {"currency": "NGN", "method": "wallet", "destination": {"account_number": "99993068"}}
    answer = await front.ann("POST", "/api/accounts/resolve", wallet)
    assert answer.body == {"resolves": False, "holder": None, "name_score": None}
    for account, status, code in ((NOBODYS, 400, "bad_destination"), (MUTE, 503, "gateway_unavailable")):
        asked = {"currency": "NGN", "destination": HERE | {"account_number": account}}
        answer = await front.ann("POST", "/api/accounts/resolve", asked)
        assert (answer.status, answer.code) == (status, code)
    answer = await front.ann(
        "POST", "/api/accounts/resolve", {"currency": "NGN", "destination": {"account_number": GOOD}}
    )
    assert (answer.status, answer.code, answer.field) == (400, "missing_field", "destination.bank_code")


async def test_who_only_looks_asks_for_nobodys_name(front: Front) -> None:
    asked = {"currency": "NGN", "destination": HERE}
    viewer = await front.token(Role.VIEWER)
    assert (await front.call("POST", "/api/accounts/resolve", asked, token=viewer)).status == 403
    shop = await front.token(Role.PLATFORM, SHOP)
    assert (await front.call("POST", "/api/accounts/resolve", asked, token=shop)).status == 200
    assert (await front.call("GET", "/api/banks?currency=NGN", token=viewer)).body == {"currency": "NGN", "banks": []}
    assert (await front.call("GET", "/api/banks?currency=ETH", token=viewer)).status == 400


async def test_who_asked_for_it_reads_whose_account_the_bank_says_that_it_is(open_for_business: Front) -> None:
    front = open_for_business
    asked = {"amount": "100", "currency": "NGN", "method": "bank", "destination": HERE | {"account_name": "Ann A"}}
    made = (await front.ann("POST", "/api/payouts", asked)).body
    await front.until(made["id"], "COMPLETED")
    seen = (await front.ann("GET", f"/api/payouts/{made['id']}")).body
    assert (made["holder"], seen["holder"], seen["name_score"]) == (None, "ANN A.", 100)
