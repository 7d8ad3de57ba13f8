"""No platform names an owner that Payflow names itself, in any field, however it is spelt; old claims grant nothing."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from machines.bounty.data import owner_of_repository
from machines.core.clock import Millis
from machines.core.ids import Owner
from machines.core.ports import Destination
from machines.pool.data import owner_of_login
from machines.transaction.data import owner_of_lane
from payflow.desk.bounties.finding import account_of
from payflow.store.registers import tokens
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role
from tests.web.api.front import COIN, SHOP, Front, asking, ngn

PREFIXES = ("github", "repository", "lane", COIN)
WHERE = {"method": "ethereum", "destination": {"address": "0x" + "dE" * 20}}
ADDRESS = Destination("ethereum", (("address", "0x" + "dE" * 20),))
EARNING = {"id": "e1", "amount": "5", "currency": "NGN"}
# A body for each shape of the document in which an owner may stand, but for the owner.
BODIES: dict[str, Any] = {
    "EarningGiven": lambda owner: EARNING | {"owner": owner},
    "EarningsGiven": lambda owner: {"earnings": [EARNING | {"owner": "bob", "id": "e2"}, EARNING | {"owner": owner}]},
    "PayoutGiven": lambda owner: asking("5") | {"owner": owner},
    "ProviderGiven": lambda _: WHERE | {"verified": True, "notify": ["mailto:thief@example.com"]},
}


def spelt(prefix: str) -> Iterator[str]:
    """The ways to write an owner that one might take for another."""
    for name in (prefix, prefix.upper(), prefix.title(), prefix[:-1] + prefix[-1].upper()):
        yield f"{name}:5"
        yield f"{name}::5"
    yield f"{prefix}:5/6"
    for name in (f" {prefix}:5", f"{prefix}:5 ", f"\t{prefix}:5", f"{prefix} :5", f"{prefix}:5\x00", f"{prefix}:5\n"):
        yield name
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in prefix)
    for name in (f"{wide}:5", f"{prefix}\uff1a5", f"\u200b{prefix}:5", f"{prefix}\u00ad:5", f"\u202e{prefix}:5"):
        yield name
    yield f"{prefix.translate({ord('e'): 0x435, ord('i'): 0x456})}:5"
    yield f"%{ord(prefix[0]):02x}{prefix[1:]}:5"
    yield f"{prefix}%3A5"
    yield f"%25{ord(prefix[0]):02x}{prefix[1:]}%3A5"


async def places(front: Front) -> list[tuple[str, str, str, str]]:
    """Every place of the document that a platform may use and where an owner can be named: method, path, how, shape."""
    document = (await front.call("GET", "/api/openapi.json")).body
    shapes = document["components"]["schemas"]
    named = {name for name, shape in shapes.items() if "owner" in shape.get("properties", {})}
    named |= {name for name, shape in shapes.items() if any(f"/{one}'" in str(shape) for one in named)}
    found = []
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            if Role.PLATFORM not in re.split(r"\W+", told.get("description", "")):
                continue
            content = told.get("requestBody", {}).get("content", {}).values()
            shape = next((one["schema"].get("$ref", "").rpartition("/")[2] for one in content), "")
            named_in = [one["in"] for one in told.get("parameters", ()) if one["name"] == "owner"]
            found += [(method.upper(), path, how, shape) for how in named_in]
            if shape in named:
                found.append((method.upper(), path, "body", shape))
    return found


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_no_place_takes_a_reserved_owner_from_a_platform(front: Front, prefix: str) -> None:
    found = await places(front)
    assert {how for _, _, how, _ in found} == {"path", "query", "body"}
    token = await front.token(Role.PLATFORM, SHOP)
    for owner in spelt(prefix):
        for method, path, how, shape in found:
            body = BODIES[shape](owner if how == "body" else "bob") if shape else None
            at = path.replace("{owner}", _quoted(owner)).replace("{id}", "none")
            query = {"month": "2026-01"} if path.endswith("/statement") else {}
            at += "?" + "&".join(f"{name}={value}" for name, value in query.items())
            at += f"&owner={_quoted(owner)}" if how == "query" else ""
            answer = await front.call(method, at, body, token=token)
            told = f"{method} {path} {how} {owner!r}: {answer.status} {answer.raw!r}"
            if shape == "EarningsGiven":
                results = answer.body.get("results", [{}, answer.body])
                assert (results[1].get("result", "refused"), bool(results[1]["error"])) == ("refused", True), told
            else:
                assert answer.status in (400, 403), told
            if re.fullmatch(r"[A-Za-z]+:[0-9:/]+", owner):
                code = answer.body["results"][1]["error"]["code"] if shape == "EarningsGiven" else answer.code
                assert code == "foreign_owner", told
    for owner in {Owner(one.strip()) for one in spelt(prefix)}:
        assert (await front.store.profiles.read(owner)).version == 0
        assert await front.store.ledger.account(owner) == {}
        assert await front.store.listing.owned_by(owner) == []


def _quoted(owner: str) -> str:
    """What is escaped already stays so: the server takes the escapes off once."""
    return owner if "%" in owner else quote(owner, safe=":")


async def test_every_owner_that_payflow_makes_up_is_reserved(front: Front) -> None:
    for owner in (account_of(5), owner_of_repository(5), owner_of_lane("main"), owner_of_login(COIN, "0x" + "ab" * 20)):
        refused = await front.shop("PUT", f"/api/providers/{owner}", WHERE)
        assert (refused.status, refused.code, refused.field) == (403, "foreign_owner", "owner")


async def test_names_that_only_resemble_a_reserved_one_are_a_platforms_as_before(front: Front) -> None:
    for owner in ("github", "githubber:5", "my-github:5", "lane5", f"{COIN}2:5", "user:5", "shop/github:5"):
        assert (await front.shop("PUT", f"/api/providers/{owner.replace('/', '%2F')}", WHERE)).status == 200


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_claim_from_before_the_rule_grants_nothing(
    front: Front, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    owner, profiles = Owner(f"{prefix}:5"), front.store.profiles
    with monkeypatch.context() as before:
        before.setattr(profiles, "refuse_reserved", lambda _: None, raising=False)
        claim = Profile(owner, SHOP, verified=True, notify=("mailto:thief@example.com",), destination=ADDRESS)
        await profiles.write(Profile(owner), claim, Millis(1))
    await front.store.records.fund(owner, ngn("1000"), "before the rule")
    with monkeypatch.context() as before:
        before.setattr(tokens, "somebody", Owner)
        own = await front.token(Role.PROVIDER, owner, name="themselves")
    made = await front.call("POST", "/api/payouts", asking("500"), token=own)
    assert made.status == 201

    place = f"/api/payouts/{made.body['id']}"
    assert (await front.shop("GET", place)).status == 404
    assert (await front.shop("POST", f"{place}/cancel")).status == 404
    assert (await front.shop("GET", f"/api/payouts?owner={owner}")).code == "foreign_owner"
    assert (await front.shop("PUT", f"/api/providers/{owner}", WHERE)).code == "foreign_owner"
    # Nor does what it wrote count: neither its word that it checked them, nor its address, nor its contact.
    seen = (await front.call("GET", "/api/provider/profile", token=own)).body
    assert (seen["platform"], seen["verified"], seen["destination"], seen["notify"]) == ("", False, None, [])
    # Who the owner really is writes the profile as if nobody ever had.
    mine = {"method": "ethereum", "destination": {"address": "0x" + "aA" * 20}}
    assert (await front.call("PUT", "/api/provider/profile", mine, token=own)).status == 200
    assert (await profiles.read(owner)).destination == Destination("ethereum", (("address", "0x" + "aA" * 20),))
