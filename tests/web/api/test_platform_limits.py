"""A platform's word is worth what an operator granted it: what it credits in a day, and whom it calls verified."""

import asyncio
from collections import Counter
from dataclasses import replace

from machines.core.money import NGN, Money
from machines.payout.risk import ProviderHistory, Thresholds
from payflow.desk.person import Person
from payflow.desk.platforms import grant
from payflow.desk.providers import ProviderHistories, change
from payflow.store import keys
from payflow.store.registers.tokens import Role
from tests.web.api.front import ANN, SHOP, SHOPS, Front

OTTO = Person("otto", Role.OPERATOR)


def naira(text: str) -> Money:
    return Money.parse(text, NGN)


def earning(number: int, amount: str = "1000") -> dict[str, str]:
    return {"id": f"earning-{number}", "owner": ANN, "amount": amount, "currency": "NGN"}


async def granted(front: Front, daily: str | None = None, verified: str | None = None) -> None:
    await front.token(Role.PLATFORM, SHOP)
    await grant(
        front.store, SHOP, {NGN: naira(daily)} if daily else {}, {NGN: naira(verified)} if verified else {}, OTTO
    )


async def test_a_platform_that_nobody_granted_more_cannot_credit_any_amount(front: Front) -> None:
    answer = await front.shop("POST", "/api/earnings", earning(1, "2000000000"))
    assert (answer.status, answer.body["error"]["code"]) == (429, "over_daily_limit")
    assert int(answer.headers["Retry-After"]) > 0


async def test_of_thirty_earnings_at_once_no_more_than_the_days_limit_is_credited(front: Front) -> None:
    await granted(front, daily="5000")
    sent = [front.shop("POST", "/api/earnings", earning(number)) for number in range(30)]
    assert Counter(one.status for one in await asyncio.gather(*sent)) == {201: 5, 429: 25}
    assert (await front.money())["availableBalance"] == "5000.00"


async def test_what_is_sent_again_is_answered_as_before_and_takes_nothing_of_the_day(front: Front) -> None:
    await granted(front, daily="2000")
    assert (await front.shop("POST", "/api/earnings", earning(1))).status == 201
    assert [(await front.shop("POST", "/api/earnings", earning(1))).status for _ in range(5)] == [200] * 5
    assert (await front.shop("POST", "/api/earnings", earning(2))).status == 201
    assert (await front.shop("POST", "/api/earnings", earning(3))).status == 429
    assert (await front.shop("POST", "/api/earnings", earning(1))).status == 200


async def test_one_that_died_between_reserving_and_booking_is_booked_once_and_reserved_once(front: Front) -> None:
    await granted(front, daily="1000")
    now = await front.store.records.now()
    most = naira("1000")
    assert await front.store.platforms.reserve(SHOP, "earning-1", most, most.units, now)
    assert (await front.shop("POST", "/api/earnings", earning(1))).status == 201
    assert (await front.shop("POST", "/api/earnings", earning(2))).status == 429


async def test_in_a_batch_what_is_over_the_limit_is_refused_by_itself(front: Front) -> None:
    await granted(front, daily="3000")
    answer = await front.shop("POST", "/api/earnings/batch", {"earnings": [earning(number) for number in range(9)]})
    assert Counter(one["result"] for one in answer.body["results"]) == {"credited": 3, "refused": 6}


async def test_a_store_of_before_has_no_limit_until_one_is_set(front: Front) -> None:
    await front.store.link.ask("HDEL", keys.META, "platforms_limited")
    assert (await front.shop("POST", "/api/earnings", earning(1, "20000000"))).status == 201
    await granted(front, daily="1000")
    assert (await front.shop("POST", "/api/earnings", earning(2, "1001"))).status == 429


async def history(front: Front, payout_id: str) -> ProviderHistory:
    return await ProviderHistories(front.store).history(await front.record(payout_id), Thresholds())


async def test_a_platform_that_calls_a_provider_verified_is_believed_up_to_what_it_was_granted(front: Front) -> None:
    await granted(front, verified="1000")
    await front.earn("100000")
    assert (await front.shop("PUT", f"/api/providers/{ANN}", {"verified": True})).status == 200
    first = await front.requested("600")
    second = await front.requested("600")
    assert (await history(front, first["id"])).verified
    assert not (await history(front, second["id"])).verified, "together they are more than it was granted"

    await change(front.store, SHOPS[ANN], lambda before: replace(before, checked_by_us=True), "otto")
    assert (await history(front, second["id"])).verified, "an operator's word has no limit"
