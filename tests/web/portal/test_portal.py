"""A provider's own page: what is his and nothing else, in honest words, and nothing that the API would not do."""

import pytest
from playwright.async_api import expect

from payflow.store.registers.tokens import Role
from payflow.web.api.answers import STATES
from payflow.web.pages import portal
from tests.web.admin.chromium import Chromium
from tests.web.admin.visitor import Visitor
from tests.web.api.front import ANN, BOB, BOUNCES, GOOD, WAITS, Front, asking

ASK = {"amount": "250.5", "currency": "NGN", "method": "bank", "bank_code": "044", "account_number": GOOD}


async def at_the_portal(front: Front, owner: str = ANN) -> Visitor:
    return await Visitor(front, "/portal").come(owner, Role.PROVIDER, owner)


def test_every_word_that_the_public_reads_is_explained() -> None:
    assert set(portal.MEANS) == set(STATES)


async def test_only_a_provider_comes_in(front: Front) -> None:
    visitor = Visitor(front, "/portal")
    assert await visitor.get() == 303
    for role, of in ((Role.OPERATOR, ""), (Role.PLATFORM, "shop"), (Role.VIEWER, "")):
        assert await visitor.sign_in(await front.token(role, of)) == 403
    assert not visitor.cookie


async def test_he_sees_his_balance_and_what_became_of_each_payout_in_honest_words(open_for_business: Front) -> None:
    front = open_for_business
    for account, state in ((GOOD, "COMPLETED"), (BOUNCES, "FAILED"), (WAITS, "PROCESSING")):
        made = (await front.ann("POST", "/api/payouts", asking("100", account))).body
        await front.until(made["id"], state)
    text = await (await at_the_portal(front)).see()
    for words in (
        "NGN 700.00 available", "200.00 asked for and not paid yet · 100.00 paid so far", "Confirmed as paid.",
        "It was not paid. The money is still kept for it. The bank did not pay it, and did not say why.",
        "We call it paid only when the bank or the chain has confirmed it.",
    ):  # fmt: skip
        assert words in text, words
    assert GOOD not in text


async def test_the_same_form_sent_twice_makes_one_payout(open_for_business: Front) -> None:
    visitor = await at_the_portal(open_for_business)
    key = visitor.field("key")
    csrf = visitor.field("csrf")
    for _ in range(2):
        assert await visitor.post("payouts", csrf=csrf, key=key, **ASK) == 303
    page = await visitor.see()
    assert "You asked for NGN 250.50." in page
    listed = (await open_for_business.ann("GET", "/api/payouts")).body["payouts"]
    assert [one["amount"] for one in listed] == ["250.50"]
    assert await visitor.post("payouts", csrf=csrf, key=key, **ASK | {"amount": "251"}) == 422


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"amount": "1000.01"}, 400, "NGN 1000.00 is available"),
        ({"amount": "nothing"}, 400, "write an amount as 1250.50"),
        ({"amount": ""}, 400, "amount"),
        ({"account_number": "x"}, 400, "account_number"),
        ({"method": "pigeon"}, 400, "method"),
        ({"method": "usual"}, 400, "You have no usual account"),
        ({"method": "ethereum", "address": "0x12"}, 400, "address"),
        ({"currency": "XXX"}, 400, "XXX"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_in_words_and_nothing_is_held(
    front: Front, change: dict[str, str], status: int, said: str
) -> None:
    await front.earn("1000")
    visitor = await at_the_portal(front)
    assert await visitor.post("payouts", csrf=visitor.field("csrf"), key="k", **ASK | change) == status
    assert said in visitor.text
    assert (await front.money())["held"] == "0.00"


async def test_the_usual_account_is_offered_by_its_last_digits(front: Front) -> None:
    await front.earn("1000")
    where = {"bank_code": "044", "account_number": GOOD}
    answer = await front.ann("PUT", "/api/provider/profile", {"method": "bank", "destination": where})
    assert answer.status == 200, answer.body
    visitor = await at_the_portal(front)
    assert "as usual: 044 ••••0031 (bank)" in visitor.text
    given = {"amount": "all", "currency": "NGN", "method": "usual"}
    assert await visitor.send("payouts", key=visitor.field("key"), **given) == 200
    assert "You asked for NGN 1,000.00." in visitor.text


async def test_another_provider_s_payout_does_not_exist_and_cannot_be_taken_back(front: Front) -> None:
    await front.earn("1000", BOB)
    his = (await front.bob("POST", "/api/payouts", asking("500"))).body["id"]
    visitor = await at_the_portal(front)
    assert his not in visitor.page
    assert await visitor.send(f"payouts/{his}/cancel") == 404
    assert (await front.record(his)).state == "REQUESTED"


async def test_a_month_s_statement_is_a_table_of_his_own(open_for_business: Front) -> None:
    visitor = await at_the_portal(open_for_business)
    month = visitor.page.partition("/portal/statement?month=")[2][:7]
    assert await visitor.get(f"statement?month={month}") == 200
    assert visitor.headers["Content-Type"].startswith("text/csv")
    assert "earning" in visitor.page
    assert await visitor.get("statement?month=yesterday") == 400
    assert await visitor.get(f"statement?month={month}&owner=bob") == 403


async def test_he_is_not_told_what_is_paused_inside(front: Front) -> None:
    now = await front.store.records.now()
    await front.store.pauses.pause("everything", "otto", "the books do not balance", now)
    assert "paused" not in (await (await at_the_portal(front)).see())


async def test_he_asks_for_money_and_takes_it_back_in_a_real_browser(flagged: Front, browser: Chromium) -> None:
    page = await browser.window(390, "dark")
    await browser.sign_in(page, await flagged.token(Role.PROVIDER, ANN), "/portal")
    await page.get_by_label("Amount").fill("300")
    await page.get_by_label("Account number").fill(GOOD)
    await page.get_by_label("Bank", exact=True).fill("044")
    await page.get_by_role("button", name="Ask for this payout").click()
    await expect(page.get_by_role("status")).to_contain_text("You asked for NGN 300.00. We are checking it.")
    await expect(page.get_by_text("700.00")).to_be_visible()
    await page.get_by_role("button", name="Take NGN 300.00 back").click()
    await expect(page.get_by_role("status")).to_contain_text("You took NGN 300.00 back.")
    assert (await flagged.money())["availableBalance"] == "1000.00"


async def test_the_form_is_made_from_the_table(front: Front) -> None:
    visitor = await at_the_portal(front)
    assert await visitor.get("/portal?currency=NGN&method=wallet") == 200
    assert "NGN to wallet at Flutterwave" in visitor.text
    assert "Merchant id" in visitor.text
    assert await visitor.get("/portal?currency=XYZ&method=pigeon") == 200
    assert "NGN to bank account" in visitor.text
