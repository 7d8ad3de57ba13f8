"""A provider may change where his money goes; whoever was told things so far hears of it."""

import asyncio
from dataclasses import replace

import pytest

from machines.core.clock import Millis
from machines.core.ports import Destination
from machines.core.saved_address import SavedAddress
from payflow.desk.providers import change
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role
from tests.waiting import wait_until
from tests.web.api.front import ANN, BOB, GOOD, SHOP, SHOPS, Front

OLD, NEW = "mailto:ann@example.com", "mailto:thief@example.com"
HERE = {"method": "bank", "destination": {"bank_code": "044", "account_number": GOOD}}
THERE = {"method": "bank", "destination": {"bank_code": "058", "account_number": "0123456789"}}
PROFILE = "/api/provider/profile"


async def test_a_profile_that_nobody_wrote_is_empty(front: Front) -> None:
    assert (await front.ann("GET", PROFILE)).body == {
        "owner": ANN,
        "platform": "",
        "verified": False,
        "notify": [],
        "method": None,
        "destination": None,
        "details_changed_at": None,
        "version": 0,
    }


async def test_a_provider_changes_what_he_names_and_the_rest_stays(front: Front) -> None:
    assert (await front.ann("PUT", PROFILE, HERE | {"notify": [OLD]})).status == 200
    assert (await front.ann("PUT", PROFILE, {"notify": [NEW]})).body["destination"] == "044 ••••0031"
    told = (await front.ann("PUT", PROFILE, {"destination": None})).body
    assert (told["destination"], told["notify"], told["version"]) == (None, [NEW], 3)


async def test_who_takes_over_an_account_is_told_on_to_the_old_contact_and_to_the_platform(front: Front) -> None:
    await front.earn("1000")
    await front.ann("PUT", PROFILE, HERE | {"notify": [OLD]})
    async with front.working():
        await front.ann("PUT", PROFILE, THERE | {"notify": [NEW]})
        await wait_until(lambda: len(front.told) == 2, "both warnings are delivered")
    warned = {post.kind: dict(post.body) for post in front.told}
    warned["notify"]["to"] = front.store.profiles.opened_contacts(SHOPS[ANN], warned["notify"]["to"])
    changed = "where your money goes and where you are told things"
    assert warned["notify"] == {"event": "profile_changed", "owner": SHOPS[ANN], "changed": changed, "to": (OLD,)}
    assert warned["webhook"] == {"event": "profile_changed", "owner": SHOPS[ANN], "changed": changed, "platform": SHOP}


async def test_the_first_destination_warns_nobody_and_starts_no_cool_off(front: Front) -> None:
    told = (await front.ann("PUT", PROFILE, HERE | {"notify": [OLD]})).body
    assert told["details_changed_at"] is None
    assert await front.store.outbox.waiting() == 0


@pytest.mark.parametrize("detour", [[], [{"destination": None}]], ids=["at once", "by way of none"])
async def test_another_destination_starts_the_cool_off_whichever_way_it_came(
    front: Front, detour: list[dict[str, object]]
) -> None:
    await front.ann("PUT", PROFILE, HERE)
    for step in detour:
        await front.ann("PUT", PROFILE, step)
    told = (await front.ann("PUT", PROFILE, THERE)).body
    assert told["details_changed_at"] is not None
    again = (await front.ann("PUT", PROFILE, THERE)).body
    assert again == told


async def test_whoever_writes_over_a_profile_takes_no_address_away_that_was_proven_there(front: Front) -> None:
    """Earlier versions kept it in the profile: a thief who changed that first would then be the first who signed."""
    owner = SHOPS[ANN]
    where = Destination("ethereum", (("address", "0xann"), ("proven", "yes")))
    await front.store.profiles.write(Profile(owner), Profile(owner, destination=where), Millis(1))
    assert (await front.ann("PUT", PROFILE, THERE)).status == 200
    assert (await front.store.contributors.read(owner)).saved == SavedAddress("0xann", proven=True)


async def test_of_two_changes_of_one_version_one_is_refused(front: Front) -> None:
    await front.ann("PUT", PROFILE, HERE)
    first, second = await asyncio.gather(
        front.ann("PUT", PROFILE, THERE | {"version": 1}), front.ann("PUT", PROFILE, {"notify": [OLD], "version": 1})
    )
    assert sorted((first.status, second.status)) == [200, 409]
    assert {first.status: first, second.status: second}[409].code == "conflict"


async def test_changes_of_different_things_at_the_same_time_are_all_kept(front: Front) -> None:
    await asyncio.gather(
        front.ann("PUT", PROFILE, HERE),
        front.ann("PUT", PROFILE, {"notify": [OLD]}),
        front.shop("PUT", f"/api/providers/{ANN}", {"verified": True}),
    )
    profile = await front.store.profiles.read(SHOPS[ANN])
    assert profile.destination is not None
    assert profile.notify == (OLD,)


async def test_a_provider_cannot_verify_himself(front: Front) -> None:
    refused = await front.ann("PUT", PROFILE, {"verified": True})
    assert (refused.status, refused.code, refused.field) == (400, "unknown_field", "verified")


async def test_a_platform_brings_a_provider_and_another_one_brings_another_by_that_name(front: Front) -> None:
    told = await front.shop("PUT", f"/api/providers/{ANN}", HERE | {"verified": True, "notify": [OLD]})
    assert (told.status, told.body["platform"], told.body["verified"]) == (200, SHOP, True)
    assert (await front.rival("GET", f"{PROFILE}?owner={ANN}")).status == 404
    other = await front.rival("PUT", f"/api/providers/{ANN}", THERE)
    assert (other.status, other.body["owner"], other.body["version"]) == (200, ANN, 1)
    assert (await front.shop("GET", f"{PROFILE}?owner={ANN}")).body["destination"] == "044 ••••0031"


async def test_a_provider_for_whom_nobody_speaks_is_their_own_whoever_credits_them(front: Front) -> None:
    await front.bob("PUT", PROFILE, HERE)
    await change(front.store, SHOPS[BOB], lambda before: replace(before, platform=""), "otto")
    await front.shop("POST", "/api/earnings", {"id": "o1", "owner": BOB, "amount": "10", "currency": "NGN"})
    assert (await front.bob("GET", PROFILE)).body["platform"] == ""
    assert (await front.shop("PUT", f"/api/providers/{BOB}", THERE)).code == "foreign_owner"


@pytest.mark.parametrize(
    "inward",
    [
        "http://169.254.169.254/latest", "json://10.0.0.7", "mailto://user:pass@10.0.0.7", "file:///etc/passwd",
        "x", "", "slack://T1/B2/C3/?template=http://169.254.169.254/latest", "discord://1/2?rto=60",
        "mailto:a@b.example?cc=c@d.e",
    ],
)  # fmt: skip
async def test_nobody_makes_our_servers_call_a_host_of_his_choice(front: Front, inward: str) -> None:
    refused = await front.ann("PUT", PROFILE, {"notify": [inward]})
    assert (refused.status, refused.code, refused.field) == (400, "bad_field", "notify.0")


async def test_the_secrets_in_a_contact_are_not_shown(front: Front) -> None:
    told = await front.ann("PUT", PROFILE, {"notify": [OLD, "tgram://123456:ABCDEF/99"]})
    assert told.body["notify"] == [OLD, "tgram://…"]


async def test_an_owner_with_a_slash_in_his_name_is_one_owner(front: Front) -> None:
    told = await front.shop("PUT", "/api/providers/club%2Fann", {"verified": True})
    assert (told.status, told.body["owner"]) == (200, "club/ann")
    assert (await front.shop("PUT", "/api/providers/%00", {"verified": True})).status == 400
    viewer = await front.token(Role.VIEWER, name="vera")
    seen = await front.call("GET", f"{PROFILE}?owner=club/ann", token=viewer)
    assert seen.body["verified"] is True


async def test_where_somebody_is_told_things_is_nowhere_in_the_store(front: Front) -> None:
    """A token of a chat is a secret, and an address of somebody is theirs: neither is in a copy of the store."""
    telegram = "tgram://123456:ABCDEF/99"
    await front.ann("PUT", PROFILE, HERE | {"notify": [OLD, telegram]})
    await front.ann("PUT", PROFILE, {"notify": [NEW]})
    assert await front.store.outbox.waiting() == 2, "the old contacts are to be warned, and the platform"
    client = front.store.link.client
    async for key in client.scan_iter():
        content = await client.dump(key)
        assert not [one for one in (b"ann@example.com", b"thief@example.com", b"ABCDEF") if one in content], key
    assert (await front.store.profiles.read(SHOPS[ANN])).notify == (NEW,)
