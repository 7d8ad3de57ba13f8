"""A provider asks for his money, looks after it, and takes it back."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from machines.core.errors import BadInput, Rejected
from machines.core.ports import Destination
from machines.payout.reasons import NO_ACCOUNT, plain
from payflow.config import Settings
from payflow.desk.identity import TokenWish, make_token, rotate_token
from payflow.desk.payouts import Desk
from payflow.desk.person import Person
from payflow.store.registers.tokens import Role, Tokens
from tests.web.api.front import (
    ANN,
    BOB,
    BOUNCES,
    GOOD,
    MUTE,
    NOBODYS,
    SHOP,
    SHOPS,
    WAITS,
    Front,
    SmallRail,
    asking,
    open_front,
)

HERE = ("/api/provider/payouts", "/api/payouts")


@pytest.mark.parametrize("place", HERE)
async def test_a_request_is_answered_with_what_will_happen_and_holds_the_money(front: Front, place: str) -> None:
    await front.earn("1000")
    answer = await front.ann("POST", place, asking("250.50", note="for August"))
    assert answer.status == 201
    told = answer.body
    assert told.pop("id").startswith("payout-")
    assert told.pop("created_at") == told.pop("expected_at")
    assert told == {
        "owner": ANN,
        "status": "requested",
        "amount": "250.50",
        "currency": "NGN",
        "fee": None,
        "arrives": None,
        "method": "bank",
        "destination": "044 ••••0031",
        "holder": None,
        "name_score": None,
        "note": "for August",
        "reason": "",
        "reason_code": "",
        "version": 1,
    }
    assert await front.money() == {"availableBalance": "749.50", "held": "250.50", "paid": "0.00", "owed": "0.00"}


async def test_an_approved_payout_is_paid_and_its_provider_sees_it(open_for_business: Front) -> None:
    front = open_for_business
    made = await front.requested("400")
    await front.until(made["id"], "COMPLETED")
    seen = (await front.ann("GET", f"/api/provider/payouts/{made['id']}")).body
    asked = {"fee": "10.75", "arrives": "400.00"}
    after = {"created_at": "", "status": "paid", "expected_at": None, "version": seen["version"]}
    after |= {"holder": seen["holder"], "name_score": seen["name_score"]}
    assert {**seen, "created_at": ""} == {**made, **asked, **after}
    assert seen["version"] > made["version"]
    assert (await front.money())["paid"] == "400.00"
    assert list(front.rail.submits.values()) == [1]


# ── the same key ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_same_key_gets_the_first_answer_even_after_the_payout_moved_on(open_for_business: Front) -> None:
    front = open_for_business
    first = await front.ann("POST", "/api/payouts", asking("400"), Idempotency_Key="august")
    assert first.status == 201
    await front.until(first.body["id"], "COMPLETED")
    again = await front.ann("POST", "/api/provider/payouts", asking("400"), Idempotency_Key="august")
    assert (again.status, again.raw) == (200, first.raw)
    assert again.body["status"] == "requested"
    assert list(front.rail.submits.values()) == [1]


@pytest.mark.parametrize("amount", ["400", "400.00", 400, "0400.0"], ids=repr)
async def test_the_same_amount_written_otherwise_is_the_same_request(front: Front, amount: object) -> None:
    await front.earn("1000")
    first = await front.ann("POST", "/api/payouts", asking("400.0"), Idempotency_Key="august")
    again = await front.ann("POST", "/api/payouts", asking(amount), Idempotency_Key="august")
    assert (again.status, again.raw) == (200, first.raw)


@pytest.mark.parametrize(
    "other",
    [{"amount": "400.01"}, {"note": "another"}, {"account": "0690000032"}, {"amount": None}, {"destination": None}],
    ids=repr,
)
async def test_a_key_that_was_used_for_another_request_is_refused(front: Front, other: dict[str, Any]) -> None:
    await front.earn("1000")
    await front.ann("POST", "/api/payouts", asking("400"), Idempotency_Key="august")
    refused = await front.ann("POST", "/api/payouts", asking(**({"amount": "400"} | other)), Idempotency_Key="august")
    assert (refused.status, refused.code) == (422, "key_reused")
    assert (await front.money())["held"] == "400.00"


async def test_a_key_belongs_to_its_provider_and_a_platforms_keys_are_its_own(front: Front) -> None:
    await front.earn("1000")
    await front.earn("1000", owner=BOB)
    asked = asking("100")
    by_ann = await front.ann("POST", "/api/payouts", asked, Idempotency_Key="one")
    by_bob = await front.bob("POST", "/api/payouts", asked, Idempotency_Key="one")
    by_shop = await front.shop("POST", "/api/payouts", asked | {"owner": ANN}, Idempotency_Key="one")
    assert [by_ann.status, by_bob.status, by_shop.status] == [201, 201, 201]
    assert len({by_ann.body["id"], by_bob.body["id"], by_shop.body["id"]}) == 3


async def test_requests_with_one_key_sent_at_once_make_one_payout(front: Front) -> None:
    await front.earn("1000")
    sent = (front.ann("POST", "/api/payouts", asking("100"), Idempotency_Key="once") for _ in range(20))
    answers = await asyncio.gather(*sent)
    assert sorted(answer.status for answer in answers) == [200] * 19 + [201]
    assert len({answer.raw for answer in answers}) == 1
    assert (await front.money())["held"] == "100.00"


async def test_without_a_key_every_request_is_a_new_payout(front: Front) -> None:
    await front.earn("1000")
    assert (await front.requested("100"))["id"] != (await front.requested("100"))["id"]


@pytest.mark.parametrize("role", [Role.PROVIDER, Role.PLATFORM])
async def test_a_token_that_is_made_from_now_on_moves_money_under_a_key_alone_and_an_older_one_as_before(
    front: Front, role: Role
) -> None:
    """A client that repeats what timed out pays twice without a key: one POST and a repeat of it, as such a client."""
    await front.earn("5000")
    boss, wish = Person("boss", Role.OPERATOR), TokenWish("till", role, SHOP if role is Role.PLATFORM else SHOPS[ANN])
    new = (await make_token(front.store, wish, boss)).secret
    for path in ("/api/payouts", "/api/provider/payouts"):
        refused = await front.call("POST", path, asking("100", owner=ANN), token=new)
        assert (refused.status, refused.code) == (400, "bad_input")
        assert "Idempotency-Key" in refused.body["error"]["message"]
        keyed = await front.call("POST", path, asking("100", owner=ANN), token=new, Idempotency_Key="one")
        assert keyed.status in (200, 201)
    assert len(await front.store.listing.owned_by(SHOPS[ANN], 9)) == 1
    older = await Tokens(front.store.link).create("older", role, wish.of, "boss")
    rotated = await rotate_token(front.store, "older", 0, None, boss)
    for secret in (older, rotated):
        answer = await front.call("POST", "/api/payouts", asking("100", owner=ANN), token=secret)
        assert answer.status == (401 if secret == older else 201), "one from before keys, and what takes its place"
    without = (await make_token(front.store, replace(wish, name="old-till", keyed=False), boss)).secret
    assert (await front.call("POST", "/api/payouts", asking("100", owner=ANN), token=without)).status == 201


# ── how much ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_of_a_hundred_requests_at_once_against_a_balance_for_ten_exactly_ten_are_held(front: Front) -> None:
    await front.earn("1000")
    answers = await asyncio.gather(*(front.ann("POST", "/api/payouts", asking("100")) for _ in range(100)))
    made = [answer for answer in answers if answer.status == 201]
    refused = [answer for answer in answers if answer.status != 201]
    assert len(made) == 10
    assert {(answer.status, answer.code) for answer in refused} == {(400, "short_balance")}
    assert await front.money() == {"availableBalance": "0.00", "held": "1000.00", "paid": "0.00", "owed": "0.00"}


async def test_a_balance_that_is_short_is_told_with_what_there_is(front: Front) -> None:
    await front.earn("1000")
    refused = await front.ann("POST", "/api/payouts", asking("1000.01"))
    assert (refused.status, refused.code) == (400, "short_balance")
    message = "NGN 1000.01 was asked for, NGN 1000.00 is available."
    assert refused.body["error"] == {"code": "short_balance", "message": message, "field": "amount"}


@pytest.mark.parametrize("all_of_it", [None, "all"])
async def test_all_that_is_available_may_be_asked_for(front: Front, all_of_it: str | None) -> None:
    await front.earn("1000.01")
    assert (await front.requested(all_of_it))["amount"] == "1000.01"
    assert (await front.money())["availableBalance"] == "0.00"


@pytest.mark.parametrize("amount", ["99.99", "5000000.01"])
async def test_amounts_outside_the_limits_are_refused(front: Front, amount: str) -> None:
    await front.earn("9000000")
    refused = await front.ann("POST", "/api/payouts", asking(amount))
    assert (refused.status, refused.code, refused.body["error"]["field"]) == (400, "bad_amount", "amount")
    assert (await front.money())["held"] == "0.00"


async def test_what_arrives_is_told_once_the_gateway_was_asked_for_its_fee(settings: Settings) -> None:
    async with open_front(settings, payout_fee_bearer="provider") as front, front.working():
        await front.earn("1000")
        told = await front.requested("500")
        assert (told["amount"], told["fee"], told["arrives"]) == ("500.00", None, None)
        await front.until(told["id"], "COMPLETED")
        seen = (await front.ann("GET", f"/api/provider/payouts/{told['id']}")).body
        assert (seen["amount"], seen["fee"], seen["arrives"]) == ("500.00", "10.75", "489.25")


# ── where to ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_a_destination_the_money_goes_where_the_profile_says(front: Front) -> None:
    await front.earn("1000")
    asked = asking("100", destination=None)
    assert (await front.ann("POST", "/api/payouts", asked)).status == 400
    where = {"method": "bank", "destination": {"bank_code": "044", "account_number": GOOD}}
    assert (await front.ann("PUT", "/api/provider/profile", where)).status == 200
    assert (await front.ann("POST", "/api/payouts", asked)).body["destination"] == "044 ••••0031"


async def test_an_account_that_does_not_exist_is_refused_by_the_first_look_with_a_reason(front: Front) -> None:
    async with front.working():
        await front.earn("1000")
        made = await front.requested("100", account=NOBODYS)
        await front.until(made["id"], "REJECTED")
        seen = (await front.ann("GET", f"/api/provider/payouts/{made['id']}")).body
        assert (seen["status"], seen["reason"]) == ("rejected", plain(NO_ACCOUNT).text)
        assert (await front.money())["held"] == "0.00"


async def test_a_gateway_that_does_not_answer_keeps_nobody_from_asking_and_its_words_stay_with_us(
    front: Front,
) -> None:
    async with front.working():
        await front.earn("1000")
        taken = await front.ann("POST", "/api/payouts", asking("100", MUTE))
        assert taken.status == 201
        assert (await front.money())["held"] == "100.00"
        seen = await front.ann("GET", f"/api/provider/payouts/{taken.body['id']}")
        assert (seen.body["status"], seen.body["reason"]) == ("requested", "")
        assert b"10.0.0.7" not in seen.raw


async def test_an_account_number_is_nowhere_in_the_store_and_in_no_answer(front: Front) -> None:
    await front.earn("1000")
    made = await front.requested("100")
    profile = {"method": "bank", "destination": {"bank_code": "044", "account_number": GOOD}}
    told = (await front.ann("PUT", "/api/provider/profile", profile)).raw
    assert GOOD.encode() not in told
    assert GOOD not in str(made)
    client = front.store.link.client
    async for key in client.scan_iter():
        assert GOOD.encode() not in await client.dump(key), key


# ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_list_goes_page_by_page_from_the_newest_and_shows_each_payout_once(front: Front) -> None:
    await front.earn("10000")
    made = [(await front.requested("100"))["id"] for _ in range(7)]
    seen, cursor = list[str](), ""
    for expected in (3, 3, 1):
        page = (await front.ann("GET", f"/api/provider/payouts?limit=3&cursor={cursor}")).body
        assert len(page["payouts"]) == expected
        seen += [one["id"] for one in page["payouts"]]
        cursor = page["next"] or ""
    assert cursor == ""
    assert sorted(seen) == sorted(made)
    assert seen[-1] in made[:2]  # of the same millisecond, perhaps


async def test_payouts_made_while_one_pages_neither_repeat_nor_hide_any(front: Front) -> None:
    await front.earn("10000")
    made = [(await front.requested("100"))["id"] for _ in range(4)]
    first = (await front.ann("GET", "/api/payouts?limit=2")).body
    await front.requested("100")
    second = (await front.ann("GET", f"/api/payouts?limit=2&cursor={first['next']}")).body
    assert sorted(one["id"] for one in first["payouts"] + second["payouts"]) == sorted(made)


async def test_the_list_can_be_narrowed_by_status_and_by_time(front: Front) -> None:
    await front.earn("10000")
    kept, gone = (await front.requested("100")), (await front.requested("100"))
    await front.ann("POST", f"/api/payouts/{gone['id']}/cancel", {})

    async def found(query: str) -> list[str]:
        return [one["id"] for one in (await front.ann("GET", f"/api/payouts?{query}")).body["payouts"]]

    assert await found("status=requested") == [kept["id"]]
    assert await found("status=cancelled") == [gone["id"]]
    assert await found("status=paid") == []
    assert await found("from=2020-01-01&to=2020-12-31") == []
    assert len(await found("from=2020-01-01")) == 2
    assert kept["id"] in await found(f"from={kept['created_at']}")
    assert await found(f"to={kept['created_at']}") == []


async def test_a_provider_does_not_see_what_is_anothers(front: Front) -> None:
    await front.earn("1000")
    made = await front.requested("100")
    for method, path, body in (
        ("GET", "", None),
        ("POST", "/cancel", {}),
        ("POST", "/destination", {"destination": {"bank_code": "044", "account_number": GOOD}}),
    ):
        refused = await front.bob(method, f"/api/provider/payouts/{made['id']}{path}", body)
        assert (refused.status, refused.code) == (404, "not_found")
    assert (await front.bob("GET", "/api/provider/payouts")).body["payouts"] == []
    assert (await front.bob("GET", f"/api/payouts?owner={ANN}")).code == "foreign_owner"
    assert (await front.record(made["id"])).state == "REQUESTED"


async def test_another_platform_does_not_see_it_either_and_its_own_may_ask_for_it(front: Front) -> None:
    await front.earn("1000")
    made = await front.requested("100")
    assert (await front.shop("GET", f"/api/payouts/{made['id']}")).body["id"] == made["id"]
    assert (await front.rival("GET", f"/api/payouts/{made['id']}")).status == 404
    assert (await front.rival("GET", f"/api/payouts?owner={ANN}")).status == 404
    assert (await front.rival("POST", "/api/payouts", asking("100") | {"owner": ANN})).status == 404
    assert (await front.shop("POST", "/api/payouts", asking("100"))).code == "missing_field"
    by_shop = await front.shop("POST", "/api/payouts", asking("100") | {"owner": ANN})
    assert by_shop.status == 201
    assert (await front.record(by_shop.body["id"])).data.requested_by == f"platform-{SHOP}"


@pytest.mark.parametrize(
    "nothing",
    ["payout-03-aaaaaaaaaaaaaaaa", "payout-99-aaaaaaaaaaaaaaaa", "nonsense", "%00", "errand-01-aaaaaaaaaaaaaaaa"],
)
async def test_what_is_not_there_is_not_found_however_it_is_written(front: Front, nothing: str) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel")):
        missing = await front.ann(method, f"/api/payouts/{nothing}{path}", {} if method == "POST" else None)
        assert (missing.status, missing.code) == (404, "not_found")


# ── taking back, and mending ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_payout_can_be_taken_back_before_it_is_paid_and_then_no_more(front: Front) -> None:
    await front.earn("1000")
    made = await front.requested("100")
    told = await front.ann("POST", f"/api/payouts/{made['id']}/cancel", {"reason": "changed my mind"})
    assert (told.status, told.body["status"], told.body["expected_at"]) == (200, "cancelled", None)
    assert (await front.money())["availableBalance"] == "1000.00"
    again = await front.ann("POST", f"/api/payouts/{made['id']}/cancel")
    assert (again.status, again.code) == (409, "not_possible")


async def test_of_a_payout_that_the_rail_has_the_wish_to_cancel_is_taken(open_for_business: Front) -> None:
    front = open_for_business
    made = await front.requested("100", account=WAITS)
    await front.until(made["id"], "PROCESSING")
    taken = await front.ann("POST", f"/api/payouts/{made['id']}/cancel", {})
    assert taken.status == 200
    assert (taken.body["status"], taken.body["reason"][:10]) == ("processing", "cancelling")
    assert (await front.ann("GET", f"/api/payouts/{made['id']}")).body["status"] == "processing"


async def test_a_failed_payout_goes_to_another_account_once_a_reviewer_has_seen_it(open_for_business: Front) -> None:
    front = open_for_business
    made = await front.requested("100", account=BOUNCES)
    await front.until(made["id"], "FAILED")
    failed = (await front.ann("GET", f"/api/payouts/{made['id']}")).body
    assert (failed["status"], failed["reason"]) == ("failed", plain("").text)
    there = {"destination": {"bank_code": "058", "account_number": GOOD}}
    corrected = await front.ann("POST", f"/api/provider/payouts/{made['id']}/destination", there)
    assert corrected.status == 200
    review = await front.in_review(made["id"])
    assert (review["destination"], review["asked_by"]) == ("058 ••••0031", SHOPS[ANN])
    yes = await front.reviewer("POST", f"/api/reviews/{made['id']}/approve", {"fingerprint": review["fingerprint"]})
    assert yes.status == 200
    await front.until(made["id"], "COMPLETED")
    assert sorted(front.rail.submits.values()) == [1, 1]


async def test_a_correction_must_fit_the_method_and_the_state(open_for_business: Front) -> None:
    front = open_for_business
    made = await front.requested("100", account=BOUNCES)
    await front.until(made["id"], "FAILED")
    path = f"/api/payouts/{made['id']}/destination"
    address = {"destination": {"address": "0x" + "5" * 40}}
    assert (await front.ann("POST", path, address)).code == "bad_field"
    assert (await front.ann("POST", path, {"destination": {"bank_code": "044", "account_number": NOBODYS}})).code == (
        "bad_destination"
    )
    paid = await front.requested("100")
    await front.until(paid["id"], "COMPLETED")
    there = {"destination": {"bank_code": "044", "account_number": GOOD}}
    assert (await front.ann("POST", f"/api/payouts/{paid['id']}/destination", there)).code == "not_possible"


async def test_a_corrected_account_is_looked_up_at_the_rail_of_the_payout_whatever_the_settings_say_by_now(
    open_for_business: Front,
) -> None:
    front = open_for_business
    made = await front.requested("100", account=BOUNCES)
    await front.until(made["id"], "FAILED")
    moved = front.settings.model_copy(update={"payout_rail": "paystack"})
    nobodys = Destination("bank", (("bank_code", "044"), ("account_number", NOBODYS)))
    schedule = front.desk.schedule
    desk = Desk(
        front.store, moved, front.metrics, {"paystack": SmallRail().told, "flutterwave": front.rail.told}, schedule
    )
    with pytest.raises(Rejected):
        await desk.correct(made["id"], ANN, nobodys)
    without = Desk(front.store, moved, front.metrics, {"paystack": SmallRail().told}, schedule)
    with pytest.raises(BadInput, match="flutterwave is not set up"):
        await without.correct(made["id"], ANN, nobodys)


async def test_an_operator_may_take_a_payout_back_as_well(front: Front) -> None:
    await front.earn("1000")
    made = await front.requested("100")
    told = await front.operator("POST", f"/api/payouts/{made['id']}/cancel", {"reason": "the provider called"})
    assert told.body["status"] == "cancelled"
    history = await front.store.records.history((await front.record(made["id"])).id)
    assert [event.who for event in history] == [SHOPS[ANN], "otto"]


async def test_staff_must_say_whose_payouts_they_want_to_see(front: Front) -> None:
    viewer = await front.token(Role.VIEWER, name="vera")
    assert (await front.call("GET", "/api/payouts", token=viewer)).code == "missing_field"
    await front.earn("1000")
    made = await front.requested("100")
    seen = await front.call("GET", f"/api/payouts?owner={ANN}", token=viewer)
    assert [one["id"] for one in seen.body["payouts"]] == [made["id"]]


async def test_of_thirty_requests_at_once_twenty_are_open_and_the_others_hear_when_to_ask_again(front: Front) -> None:
    await front.earn("100000")
    asked = await asyncio.gather(*(front.ann("POST", "/api/payouts", asking("100")) for _ in range(30)))
    assert Counter(one.status for one in asked) == {201: 20, 429: 10}
    refused = next(one for one in asked if one.status == 429)
    assert refused.body["error"]["code"] == "too_many_open"
    assert int(refused.headers["Retry-After"]) > 0
    assert (await front.money())["held"] == "2000.00"


async def test_who_asks_and_takes_back_all_day_is_stopped_and_a_replay_is_still_answered(front: Front) -> None:
    await front.earn("100000")
    made = []
    for number in range(100):
        answer = await front.ann("POST", "/api/payouts", asking("100"), Idempotency_Key=f"cycle-{number}")
        made.append(answer.body["id"])
        assert (await front.ann("POST", f"/api/payouts/{made[-1]}/cancel", {})).status == 200
    refused = await front.ann("POST", "/api/payouts", asking("100"), Idempotency_Key="cycle-100")
    assert (refused.status, refused.body["error"]["code"]) == (429, "too_many_today")
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_401
    again = await front.ann("POST", "/api/payouts", asking("100"), Idempotency_Key="cycle-0")
    assert (again.status, again.body["id"]) == (200, made[0])
