"""Platforms bring in what providers earned; providers see where each part of it is."""

import asyncio
import csv
import io

import pytest

from tests.web.api.front import ANN, BOB, SHOP, Front

ORDER = {"id": "order-1", "owner": ANN, "amount": "250.50", "currency": "NGN"}


def earning(number: int, owner: str = ANN, amount: object = "10") -> dict[str, object]:
    return {"id": f"o{number}", "owner": owner, "amount": amount, "currency": "NGN"}


async def test_an_earning_is_credited_once_whatever_is_repeated(front: Front) -> None:
    first = await front.shop("POST", "/api/earnings", ORDER)
    assert (first.status, first.body) == (201, ORDER)
    again = await front.shop("POST", "/api/earnings", ORDER | {"amount": 250.5})
    assert (again.status, again.body) == (200, ORDER)
    assert (await front.money())["availableBalance"] == "250.50"


@pytest.mark.parametrize("other", [{"owner": BOB}, {"amount": "250.51"}], ids=repr)
async def test_the_id_of_an_earning_cannot_be_used_for_another_one(front: Front, other: dict[str, str]) -> None:
    await front.shop("POST", "/api/earnings", ORDER)
    refused = await front.shop("POST", "/api/earnings", ORDER | other)
    assert (refused.status, refused.code) == (422, "key_reused")
    assert (await front.money())["availableBalance"] == "250.50"


async def test_the_ids_of_another_platform_are_its_own(front: Front) -> None:
    await front.shop("POST", "/api/earnings", ORDER)
    assert (await front.rival("POST", "/api/earnings", ORDER | {"owner": BOB})).status == 201


async def test_a_platform_credits_nobody_whom_another_one_brought(front: Front) -> None:
    await front.shop("POST", "/api/earnings", ORDER)
    assert (await front.rival("POST", "/api/earnings", ORDER | {"amount": "7"})).status == 201
    assert (await front.money())["availableBalance"] == "250.50"


async def test_a_batch_has_a_result_for_every_earning(front: Front) -> None:
    await front.shop("POST", "/api/earnings", earning(2))
    batch = [
        earning(2),
        earning(3),
        earning(4, "github:5"),
        earning(5, amount="0.001"),
        earning(6) | {"currency": "XYZ"},
    ]
    told = await front.shop("POST", "/api/earnings/batch", {"earnings": [*batch, earning(2, amount="11")]})
    assert told.status == 200
    found = [(one["id"], one["result"], (one["error"] or {}).get("code")) for one in told.body["results"]]
    assert found == [
        ("o2", "known", None),
        ("o3", "credited", None),
        ("o4", "refused", "foreign_owner"),
        ("o5", "refused", "bad_amount"),
        ("o6", "refused", "unknown_currency"),
        ("o2", "refused", "key_reused"),
    ]
    assert (await front.money())["availableBalance"] == "20.00"


async def test_a_batch_of_five_hundred_is_booked_and_one_more_is_refused_whole(front: Front) -> None:
    batch = [earning(number, owner=f"p{number % 7}") for number in range(500)]
    told = await front.shop("POST", "/api/earnings/batch", {"earnings": batch})
    assert {one["result"] for one in told.body["results"]} == {"credited"}
    again = await front.shop("POST", "/api/earnings/batch", {"earnings": batch})
    assert {one["result"] for one in again.body["results"]} == {"known"}
    more = await front.shop("POST", "/api/earnings/batch", {"earnings": [*batch, earning(500)]})
    assert (more.status, more.code, more.field) == (400, "bad_field", "earnings")
    assert (await front.money("p0"))["availableBalance"] == "720.00"


async def test_an_earning_is_taken_back_once_and_what_is_gone_is_owed(open_for_business: Front) -> None:
    front = open_for_business
    await front.shop("POST", "/api/earnings", ORDER)
    made = await front.requested("1100")
    await front.until(made["id"], "COMPLETED")
    for _ in range(2):
        told = await front.shop("POST", "/api/earnings/order-1/clawback", {"reference": "refund-1"})
        assert (told.status, told.body["amount"], told.body["owner"]) == (200, "250.50", ANN)
    assert await front.money() == {"availableBalance": "0.00", "held": "0.00", "paid": "1100.00", "owed": "100.00"}
    await front.earn("150")
    assert await front.money() == {"availableBalance": "50.00", "held": "0.00", "paid": "1100.00", "owed": "0.00"}


async def test_a_part_of_an_earning_may_be_taken_back_but_no_more_than_there_was(front: Front) -> None:
    await front.shop("POST", "/api/earnings", ORDER)
    part = {"reference": "r1", "amount": "200", "currency": "NGN"}
    assert (await front.shop("POST", "/api/earnings/order-1/clawback", part)).status == 200
    more = await front.shop("POST", "/api/earnings/order-1/clawback", part | {"reference": "r2"})
    assert more.status == 400
    other = await front.shop("POST", "/api/earnings/order-1/clawback", part | {"amount": "100"})
    assert (other.status, other.code) == (422, "key_reused")
    assert (await front.money())["availableBalance"] == "50.50"


async def test_only_the_platform_that_credited_an_earning_takes_it_back(front: Front) -> None:
    await front.shop("POST", "/api/earnings", ORDER)
    refused = await front.rival("POST", "/api/earnings/order-1/clawback", {"reference": "r"})
    assert (refused.status, refused.code) == (404, "not_found")
    assert (await front.money())["availableBalance"] == "250.50"


async def test_earnings_show_where_each_part_of_them_is_first_in_first_out(open_for_business: Front) -> None:
    front = open_for_business
    await front.shop("POST", "/api/earnings", ORDER)
    made = await front.requested("1100")
    await front.until(made["id"], "COMPLETED")
    told = (await front.ann("GET", "/api/provider/earnings")).body
    assert [(one["status"], one["paid_out"], one["available"]) for one in told["earnings"]] == [
        ("PAID_OUT", "1000.00", "0.00"),
        ("AVAILABLE", "100.00", "150.50"),
    ]
    assert {one["platform"] for one in told["earnings"]} == {SHOP}
    assert told["next"] is None


async def test_earnings_go_page_by_page_from_the_oldest(front: Front) -> None:
    for number in range(5):
        await front.shop("POST", "/api/earnings", earning(number))
    seen, cursor = list[str](), ""
    for _ in range(3):
        page = (await front.ann("GET", f"/api/provider/earnings?limit=2&cursor={cursor}")).body
        seen += [one["id"] for one in page["earnings"]]
        cursor = page["next"] or ""
    assert (seen, cursor) == ([f"o{number}" for number in range(5)], "")


async def test_a_balance_is_told_in_every_currency_and_of_nobody_else(front: Front) -> None:
    await front.earn("10")
    told = (await front.ann("GET", "/api/provider/balance")).body
    assert {one["currency"] for one in told["balances"]} == {"NGN", "ETH"}
    assert (await front.ann("GET", f"/api/provider/balance?owner={BOB}")).code == "foreign_owner"
    assert (await front.rival("GET", f"/api/provider/balance?owner={ANN}")).status == 404


async def test_a_statement_lists_what_moved_the_balance_in_a_month(open_for_business: Front) -> None:
    front = open_for_business
    paid, gone = await front.requested("400"), await front.requested("100", account="0690000040")
    await front.until(paid["id"], "COMPLETED")
    await front.until(gone["id"], "FAILED")
    await front.operator("POST", f"/api/payouts/{gone['id']}/release", {"reason": "closed"})
    await front.shop("POST", "/api/earnings", ORDER)
    await front.shop("POST", "/api/earnings/income-0/clawback", {"reference": "r", "amount": "50", "currency": "NGN"})
    month = paid["created_at"][:7]
    told = await front.ann("GET", f"/api/provider/statement?month={month}")
    assert told.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(told.raw.decode())))
    assert sorted((one["kind"], one["status"], one["change"]) for one in lines) == sorted([
        ("earning", "booked", "1000.00"),
        ("earning", "booked", "250.50"),
        ("clawback", "booked", "-50.00"),
        ("payout", "requested", "-400.00"),
        ("payout", "paid", "0"),
        ("payout", "requested", "-100.00"),
        ("payout", "cancelled", "100.00"),
    ])  # fmt: skip
    assert [one["time"] for one in lines] == sorted(one["time"] for one in lines)
    empty = await front.ann("GET", "/api/provider/statement?month=2020-02")
    assert len(empty.raw.splitlines()) == 1


async def test_credits_of_one_provider_sent_at_once_are_all_booked(front: Front) -> None:
    sent = (front.shop("POST", "/api/earnings", earning(number)) for number in range(40))
    assert {answer.status for answer in await asyncio.gather(*sent)} == {201}
    assert (await front.money())["availableBalance"] == "400.00"
