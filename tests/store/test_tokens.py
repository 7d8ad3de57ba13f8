"""How tokens begin and end: they expire by themselves, and one takes the place of another without a refused request."""

import asyncio

import pytest

from machines.core.clock import DAY, HOUR, SECOND, FixedClock
from machines.core.errors import BadInput, Conflict, NotFound
from payflow.store.registers.tokens import Role, Tokens, TokenScope
from payflow.store.store import Store


async def test_a_token_opens_until_it_expires_and_not_a_moment_longer(store: Store, clock: FixedClock) -> None:
    tokens = Tokens(store.link, clock)
    secret = await tokens.create("rita", Role.REVIEWER, "", "boss", lasts_ms=DAY)
    clock.advance((DAY - 1) / SECOND)
    assert await tokens.find(secret) is not None
    clock.advance(1 / SECOND)
    assert await tokens.find(secret) is None
    with pytest.raises(NotFound, match="opens nothing any more"):
        await tokens.rotate("rita", "boss", HOUR, DAY)
    with pytest.raises(Conflict, match="rotate it, revoke it"):
        await tokens.create("RITA", Role.REVIEWER, "", "boss")


@pytest.mark.parametrize("name", ["rail:flutterwave", "Rail:x", "lane:ethereum", "finding:paystack", "repository:7"])
async def test_nobody_gets_a_token_in_the_name_of_what_has_an_account_in_our_books(store: Store, name: str) -> None:
    tokens = Tokens(store.link)
    with pytest.raises(BadInput, match="is nobody's name"):
        await tokens.create("x", Role.PROVIDER, name, "boss")
    assert await tokens.create("x", Role.PROVIDER, "github:5", "boss")
    assert await tokens.create("y", Role.PROVIDER, "railway:x", "boss")


async def test_while_one_takes_the_place_of_another_both_open_and_then_the_new_one(
    store: Store, clock: FixedClock
) -> None:
    tokens = Tokens(store.link, clock)
    scope = TokenScope(reads_only=True, most={"ETH": 5, "NGN": 7}, networks=("10.0.0.0/8", "::1/128"))
    old = await tokens.create("rita", Role.REVIEWER, "", "boss", person="rita", lasts_ms=DAY, scope=scope)
    new = await tokens.rotate("Rita", "olu", HOUR, DAY)
    for secret in (old, new):
        found = await tokens.find(secret)
        assert found is not None
        assert (found.name, found.person, found.scope) == ("rita", "rita", scope)
    clock.advance(HOUR / SECOND)
    assert await tokens.find(old) is None
    assert await tokens.find(new) is not None


async def test_an_overlap_lets_nothing_live_longer_than_it_would_have(store: Store, clock: FixedClock) -> None:
    tokens = Tokens(store.link, clock)
    old = await tokens.create("rita", Role.REVIEWER, "", "boss", lasts_ms=HOUR)
    await tokens.rotate("rita", "olu", DAY, DAY)
    clock.advance(HOUR / SECOND)
    assert await tokens.find(old) is None


async def test_who_revokes_a_name_ends_what_it_took_the_place_of_as_well(store: Store, clock: FixedClock) -> None:
    tokens = Tokens(store.link, clock)
    secrets = [await tokens.create("shop", Role.PLATFORM, "shop", "boss")]
    secrets += [await tokens.rotate("shop", "olu", DAY, None) for _ in range(3)]
    # Two who rotate at once leave one that no name leads to.
    secrets += await asyncio.gather(*(tokens.rotate("shop", "olu", DAY, None) for _ in range(2)))
    await tokens.revoke("SHOP", "olu")
    assert [await tokens.find(secret) for secret in secrets] == [None] * 6
    assert await tokens.find(await tokens.create("shop", Role.PLATFORM, "shop", "boss")) is not None


async def test_a_token_of_an_earlier_version_goes_on_working(store: Store, clock: FixedClock) -> None:
    tokens = Tokens(store.link, clock)
    secret = await tokens.create("rita", Role.REVIEWER, "", "boss")
    found = await tokens.find(secret)
    key = next(iter([key async for key in store.link.keys("pf:token:*")]))
    written = {name.decode() for name in await store.link.ask("HKEYS", key)}
    assert written - {"mac"} == {"name", "role", "of", "made_by", "made_at", "used_at"}, "as earlier versions write it"
    assert found is not None
    assert (found.holder, found.expires_at, found.scope) == ("rita", None, TokenScope())


@pytest.mark.parametrize(
    ("networks", "address", "admitted"),
    [
        ((), "", True),
        ((), "203.0.113.9", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.0/8",), "", False),
        (("10.0.0.0/8",), "unknown", False),
        (("2001:db8::7/128", "10.0.0.0/8"), "2001:db8::7", True),
        (("2001:db8::7/128",), "2001:db8::8", False),
    ],
)
def test_a_token_for_some_networks_opens_nothing_from_elsewhere(
    networks: tuple[str, ...], address: str, *, admitted: bool
) -> None:
    assert TokenScope(networks=networks).admits(address) is admitted
