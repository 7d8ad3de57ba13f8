"""A platform sees all of its providers at once, page by page, and what they have comes to; and nobody else's."""

import pytest

from machines.core.clock import FixedClock
from machines.core.ids import Owner
from payflow.config import Settings
from payflow.store import keys
from payflow.store.registers.profiles import INDEXED, Profile
from tests.web.api.front import ANN, BOB, GOOD, RIVAL, Front, open_front

MONEY = "/api/platform/balances"


async def business(front: Front, clock: FixedClock) -> list[str]:
    """Ann and Bob of the shop, Ann of a rival: payouts one after the other; gives those of the shop, newest first."""
    made = []
    await front.earn("5000")
    await front.earn("5000", BOB)
    body = {"id": "theirs", "owner": ANN, "amount": "9000", "currency": "NGN"}
    assert (await front.rival("POST", "/api/earnings", body)).status == 201
    for number in range(7):
        clock.advance(60)
        asked = {"amount": f"{100 + number}", "currency": "NGN", "method": "bank"}
        where = {"destination": {"bank_code": "044", "account_number": GOOD}, "owner": (ANN, BOB)[number % 2]}
        answer = await front.shop("POST", "/api/payouts", asked | where)
        assert answer.status == 201, answer.body
        made.append(answer.body["id"])
        theirs = await front.rival("POST", "/api/payouts", asked | where | {"owner": ANN})
        assert theirs.status == 201, theirs.body
    return made[::-1]


async def test_a_platform_lists_all_payouts_of_its_providers_page_by_page_with_filters_and_totals(
    settings: Settings, clock: FixedClock
) -> None:
    async with open_front(settings, clock=clock) as front:
        made = await business(front, clock)
        page = (await front.shop("GET", "/api/platform/payouts?limit=2")).body
        seen, pages = [one["id"] for one in page["payouts"]], 1
        while page["next"]:
            page = (await front.shop("GET", f"/api/platform/payouts?limit=2&cursor={page['next']}")).body
            seen += [one["id"] for one in page["payouts"]]
            pages += 1
        assert (seen, pages) == (made, 4)
        await front.shop("POST", f"/api/payouts/{made[0]}/cancel", {})

        async def listed(query: str) -> list[str]:
            answer = await front.shop("GET", f"/api/platform/payouts?{query}")
            assert answer.status == 200, answer.body
            return [one["id"] for one in answer.body["payouts"]]

        assert await listed("status=cancelled") == made[:1]
        assert await listed(f"owner={BOB}") == made[1::2]
        assert await listed("currency=ETH") == []
        at = [one["created_at"] for one in (await front.shop("GET", "/api/platform/payouts")).body["payouts"]]
        assert await listed(f"from={at[3]}&to={at[1]}") == made[2:4]
        totals = (await front.shop("GET", "/api/platform/payouts/totals")).body
        assert totals["complete"] is True
        assert [(one["status"], one["count"], one["amount"]) for one in totals["totals"]] == [
            ("cancelled", 1, "106.00"),
            ("requested", 6, "615.00"),
        ]
        (one,) = (await front.shop("GET", f"/api/platform/payouts/totals?owner={BOB}")).body["totals"]
        assert (one["count"], one["amount"]) == (3, "309.00")
        seen_by_staff = (await front.reviewer("GET", f"/api/platform/payouts?platform={RIVAL}")).body["payouts"]
        assert {one["owner"] for one in seen_by_staff} == {f"{RIVAL}~{ANN}"}
        assert len(seen_by_staff) == 7


async def test_a_platform_lists_its_providers_and_what_they_have_and_what_that_comes_to(
    settings: Settings, clock: FixedClock
) -> None:
    async with open_front(settings, clock=clock) as front:
        await business(front, clock)
        first = (await front.shop("GET", "/api/platform/providers?limit=1")).body
        second = (await front.shop("GET", f"/api/platform/providers?limit=1&cursor={first['next']}")).body
        assert [one["owner"] for one in first["providers"] + second["providers"]] == [ANN, BOB]
        assert (first["count"], second["next"]) == (2, None)
        page = (await front.shop("GET", MONEY)).body
        naira = [one["balances"][0] for one in page["providers"]]
        assert [one["held"] for one in naira] == ["412.00", "309.00"]
        assert (page["totals"][0]["availableBalance"], page["totals"][0]["held"]) == ("9279.00", "721.00")
        theirs = (await front.rival("GET", MONEY)).body
        assert [one["owner"] for one in theirs["providers"]] == [ANN]
        assert theirs["totals"][0]["held"] == "721.00"


async def test_who_is_filed_in_no_room_is_listed_as_long_as_the_platform_speaks_for_them(
    settings: Settings, clock: FixedClock
) -> None:
    """A store of a version before there was an index, and before there were rooms."""
    async with open_front(settings, clock=clock) as front:
        old, link = Owner("eve"), front.store.link
        profile = await front.store.profiles.write(Profile(old), Profile(old, "shop"), clock.now())
        for shard in range(front.store.records.shards):
            await link.ask("DEL", keys.providers(shard, "shop"))
        await link.ask("HDEL", keys.META, INDEXED)
        found = (await front.shop("GET", "/api/platform/providers")).body
        assert [one["owner"] for one in found["providers"]] == ["eve"]
        await front.store.profiles.write(profile, Profile(old, "rival"), clock.now())
        assert (await front.shop("GET", "/api/platform/providers")).body["count"] == 0
        assert (await front.rival("GET", "/api/platform/providers")).body["count"] == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("payouts?cursor=x", 400),
        ("payouts?limit=101", 400),
        ("payouts?status=imagined", 400),
        ("payouts?owner=nobody", 404),
        ("providers?cursor=%00", 400),
        ("providers?platform=rival", 400),
        ("payouts?platform=a%20b", 400),
    ],
)
async def test_what_is_asked_wrongly_is_refused(front: Front, query: str, status: int) -> None:
    assert (await front.shop("GET", f"/api/platform/{query}")).status == status


async def test_staff_say_whose_and_a_name_that_no_platform_has_is_refused(front: Front) -> None:
    for place in ("payouts", "payouts/totals", "providers", "balances"):
        assert (await front.reviewer("GET", f"/api/platform/{place}")).status == 400
        assert (await front.reviewer("GET", f"/api/platform/{place}?platform=nobody")).status == 400


async def test_pages_over_more_providers_than_a_page_has_payouts_lose_none_and_give_none_twice(
    settings: Settings, clock: FixedClock
) -> None:
    """Many providers, all of whose payouts were asked for in the same moment, or in two."""
    async with open_front(settings, clock=clock) as front:
        made = []
        for number in range(14):
            clock.advance(0.001 * (number == 7))
            await front.earn("1000", f"seller-{number}")
            asked = {"amount": "100", "currency": "NGN", "method": "bank", "owner": f"seller-{number}"}
            where = {"destination": {"bank_code": "044", "account_number": GOOD}}
            answers = [await front.shop("POST", "/api/payouts", asked | where) for _ in range(1 + number % 2)]
            made += [one.body["id"] for one in answers]
        for limit in (1, 3, 5):
            page = (await front.shop("GET", f"/api/platform/payouts?limit={limit}")).body
            seen = [one["id"] for one in page["payouts"]]
            while page["next"]:
                page = (await front.shop("GET", f"/api/platform/payouts?limit={limit}&cursor={page['next']}")).body
                seen += [one["id"] for one in page["payouts"]]
            assert sorted(seen) == sorted(made), limit
            assert len(set(seen)) == len(seen)
