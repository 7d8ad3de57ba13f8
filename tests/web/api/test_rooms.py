"""Two platforms that both say `ann` have two anns; whoever was there before there were rooms stays who they were."""

import asyncio
from dataclasses import replace
from urllib.parse import quote

import pytest

from machines.core.clock import Millis
from machines.core.errors import BadInput
from machines.core.ids import Owner, in_room
from machines.payout.risk import CALM, Thresholds
from payflow.desk.platforms import find_owner, owners_called
from payflow.desk.providers import ProviderHistories, change, claim, set_provider
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role
from tests.waiting import wait_until
from tests.web.api.front import ANN, GOOD, RIVAL, SHOP, SHOPS, Front, asking, ngn

HERE = {"method": "bank", "destination": {"bank_code": "044", "account_number": GOOD}}
THERE = {"method": "bank", "destination": {"bank_code": "058", "account_number": "0123456789"}}
ORDER = {"id": "o1", "owner": ANN, "amount": "1000", "currency": "NGN"}
PROFILE, BALANCE = "/api/provider/profile", "/api/provider/balance"
RIVALS = in_room(RIVAL, ANN)


async def there_before(front: Front, name: str = ANN, platform: str = SHOP) -> Owner:
    """Bring somebody as earlier versions did: by the name alone."""
    owner = Owner(name)
    await front.store.profiles.write(Profile(owner), Profile(owner, platform), Millis(1))
    await front.store.records.fund(owner, ngn("1000"), f"{SHOP}/before-{name}", earning=f"{SHOP}/before-{name}")
    return owner


async def test_two_platforms_that_say_the_same_name_have_two_providers(front: Front) -> None:
    both = await asyncio.gather(*(who("POST", "/api/earnings", ORDER) for who in (front.shop, front.rival) * 3))
    assert {(one.status, one.body["owner"]) for one in both} == {(201, ANN), (200, ANN)}
    assert await front.store.listing.owned_by(Owner(ANN)) == []
    assert await front.store.ledger.account(Owner(ANN)) == {}
    for owner in (SHOPS[ANN], RIVALS):
        assert (await front.store.ledger.account(owner))["NGN"].available == 100_000


async def test_a_platform_neither_reads_nor_names_nor_credits_nor_pays_anothers_provider(front: Front) -> None:
    await front.shop("PUT", f"/api/providers/{ANN}", HERE | {"verified": True, "notify": ["mailto:ann@example.com"]})
    await front.shop("POST", "/api/earnings", ORDER)
    made = (await front.ann("POST", "/api/payouts", asking("500"))).body

    async def refused(method: str, path: str, body: object = None) -> tuple[int, ...]:
        return ((await front.rival(method, path, body)).status,)

    for path in (PROFILE, BALANCE, "/api/payouts", "/api/provider/earnings", "/api/provider/statement?month=2026-01"):
        joined = "&" if "?" in path else "?"
        assert await refused("GET", f"{path}{joined}owner={ANN}") == (404,), path
        assert await refused("GET", f"{path}{joined}owner={SHOPS[ANN]}") == (400,), path
    for path, body in ((f"/api/payouts/{made['id']}", None), (f"/api/payouts/{made['id']}/cancel", {})):
        assert await refused("POST" if body is not None else "GET", path, body) == (404,), path
    assert await refused("POST", f"/api/payouts/{made['id']}/destination", {"destination": THERE["destination"]}) == (
        404,
    )
    assert await refused("POST", "/api/payouts", asking("100") | {"owner": ANN}) == (404,)
    assert await refused("POST", "/api/earnings/o1/clawback", {"reference": "r"}) == (404,)
    # What it says of its own ann, under the same ids and keys, is of its own.
    assert (await front.rival("PUT", f"/api/providers/{ANN}", THERE)).body["destination"] == "058 ••••6789"
    assert (await front.rival("POST", "/api/earnings", ORDER | {"amount": "200"})).status == 201
    asked = asking("150") | {"owner": ANN}
    theirs = await front.rival("POST", "/api/payouts", asked, Idempotency_Key="one")
    assert (theirs.status, theirs.body["owner"]) == (201, ANN)
    assert [one["id"] for one in (await front.rival("GET", f"/api/payouts?owner={ANN}")).body["payouts"]] == [
        theirs.body["id"]
    ]
    mine = await front.shop("POST", "/api/payouts", asked, Idempotency_Key="one")
    assert (mine.status, mine.body["id"] != theirs.body["id"]) == (201, True)
    assert (await front.money())["availableBalance"] == "350.00"
    profile = await front.store.profiles.read(SHOPS[ANN])
    assert (profile.destination and dict(profile.destination.fields)["account_number"], profile.verified) == (
        GOOD,
        True,
    )


@pytest.mark.parametrize("name", [SHOPS[ANN], f"{RIVAL}~{ANN}", "~ann", "ann~", f"a~{SHOP}~{ANN}", f"{SHOP}~github:5"])
async def test_a_name_with_the_separator_in_it_is_refused_wherever_a_platform_says_one(front: Front, name: str) -> None:
    await front.shop("POST", "/api/earnings", ORDER)
    for answer in (
        await front.rival("POST", "/api/earnings", ORDER | {"owner": name}),
        await front.rival("POST", "/api/earnings/batch", {"earnings": [ORDER | {"owner": name}]}),
        await front.rival("PUT", f"/api/providers/{quote(name)}", THERE),
        await front.rival("POST", "/api/payouts", asking("100") | {"owner": name}),
        await front.rival("GET", f"{BALANCE}?owner={quote(name)}"),
    ):
        assert answer.status == 400, answer.raw
    assert await front.store.ledger.account(RIVALS) == {}
    assert (await front.store.profiles.read(SHOPS[ANN])).destination is None


async def test_a_provider_reads_their_own_room_alone_and_is_called_as_ever(front: Front) -> None:
    await front.shop("POST", "/api/earnings", ORDER)
    await front.rival("POST", "/api/earnings", ORDER | {"amount": "7"})
    rivals = await front.token(Role.PROVIDER, RIVALS, name="their-ann")
    for owner in ("", f"?owner={ANN}", f"?owner={RIVALS}"):
        seen = (await front.call("GET", BALANCE + owner, token=rivals)).body
        assert (seen["owner"], seen["balances"][0]["availableBalance"]) == (ANN, "7.00")
    assert (await front.call("GET", f"{BALANCE}?owner={SHOPS[ANN]}", token=rivals)).status == 403
    assert (await front.ann("GET", BALANCE)).body["balances"][0]["availableBalance"] == "1000.00"


async def test_who_was_there_before_stays_with_the_platform_that_had_them(front: Front) -> None:
    owner = await there_before(front)
    await front.shop("POST", "/api/earnings", ORDER)
    assert (await front.money())["availableBalance"] == "2000.00"
    assert (await front.store.ledger.account(owner))["NGN"].available == 200_000
    assert (await front.store.profiles.read(SHOPS[ANN])).version == 0
    # Another platform by the same name begins with nothing, and takes nothing.
    assert (await front.rival("GET", f"{BALANCE}?owner={ANN}")).status == 404
    assert (await front.rival("POST", "/api/earnings", ORDER | {"amount": "3"})).status == 201
    assert (await front.store.ledger.account(RIVALS))["NGN"].available == 300
    assert (await front.money())["availableBalance"] == "2000.00"


async def test_who_spoke_for_themselves_is_still_credited_by_who_did_so_and_by_nobody_else(front: Front) -> None:
    owner = await there_before(front, platform="")
    assert (await front.shop("POST", "/api/earnings", ORDER)).status == 201
    assert (await front.rival("POST", "/api/earnings", ORDER)).status == 201
    assert (await front.store.ledger.account(owner))["NGN"].available == 200_000
    assert (await front.store.ledger.account(RIVALS))["NGN"].available == 100_000
    for who in (front.shop, front.rival):
        assert (await who("PUT", f"/api/providers/{ANN}", THERE)).status == (403 if who == front.shop else 200)
    assert (await front.store.profiles.read(owner)).destination is None


async def test_once_somebody_is_in_the_room_the_name_means_them_whatever_comes_later(front: Front) -> None:
    await front.shop("POST", "/api/earnings", ORDER)
    await there_before(front)
    assert (await front.money())["availableBalance"] == "1000.00"


async def test_no_other_platform_is_made_to_speak_for_somebody_in_a_room(front: Front) -> None:
    await asyncio.gather(front.token(Role.PLATFORM, SHOP), front.token(Role.PLATFORM, RIVAL))
    await front.shop("POST", "/api/earnings", ORDER)
    with pytest.raises(BadInput, match="shop's own"):
        await set_provider(front.store, SHOPS[ANN], "otto", verified=None, platform=RIVAL)
    with pytest.raises(BadInput, match="shop's own"):
        await change(front.store, SHOPS[ANN], lambda before: replace(before, platform=RIVAL))
    # Nor is one who was there before made two with the one whom the platform calls so now.
    bare = await there_before(front, platform="")
    with pytest.raises(BadInput, match="shop calls somebody else ann already: shop~ann"):
        await set_provider(front.store, bare, "otto", verified=None, platform=SHOP)
    assert (await front.store.profiles.read(SHOPS[ANN])).platform == SHOP


async def test_staff_find_an_owner_by_the_whole_name_and_by_what_a_platform_says(front: Front) -> None:
    viewer, store = await front.token(Role.VIEWER, name="vera"), front.store
    await front.shop("POST", "/api/earnings", ORDER)
    for name in (ANN, SHOPS[ANN]):
        assert (await front.call("GET", f"{BALANCE}?owner={name}", token=viewer)).body["owner"] == SHOPS[ANN]
        assert await find_owner(store, name) == SHOPS[ANN]
    await front.rival("POST", "/api/earnings", ORDER)
    assert await owners_called(store, ANN) == [RIVALS, SHOPS[ANN]]
    refused = await front.call("GET", f"{BALANCE}?owner={ANN}", token=viewer)
    assert (refused.status, "rival~ann, shop~ann" in refused.body["error"]["message"]) == (400, True)
    bare = await there_before(front)
    assert await find_owner(store, ANN) == bare


async def test_what_a_platform_hears_calls_the_provider_as_it_does(front: Front) -> None:
    await front.shop("PUT", f"/api/providers/{ANN}", HERE)
    await front.shop("POST", "/api/earnings", ORDER)
    made = await front.requested("500")
    async with front.working():
        await front.until(made["id"], "COMPLETED")
        await wait_until(lambda: any(post.kind == "webhook" for post in front.told), "the platform heard of it")
    post = next(post for post in front.told if post.kind == "webhook")
    assert post.body["owner"] == SHOPS[ANN], "by which its platform is found"


async def test_a_claim_is_made_once_by_however_many_at_once(front: Front) -> None:
    claims = await asyncio.gather(*(claim(front.store, ANN, who) for who in (SHOP, RIVAL) * 4))
    assert set(claims) == {SHOPS[ANN], RIVALS}
    assert [(await front.store.profiles.read(one)).version for one in sorted(set(claims))] == [1, 1]


async def test_what_one_asks_for_slows_no_namesake(front: Front) -> None:
    for who in (front.shop, front.rival):
        await who("POST", "/api/earnings", ORDER | {"amount": "100000"})
    asked = asking("100") | {"owner": ANN}
    statuses = [(await front.shop("POST", "/api/payouts", asked)).status for _ in range(21)]
    assert statuses == [201] * 20 + [429]
    theirs = await front.rival("POST", "/api/payouts", asked)
    assert theirs.status == 201
    record = await front.record(theirs.body["id"])
    assert (await ProviderHistories(front.store).history(record, Thresholds())).velocity == CALM
