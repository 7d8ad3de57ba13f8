"""Whoever lowers what was used of a day's limit gains nothing: what was signed says what was used."""

from collections.abc import Awaitable, Callable

import pytest

from machines.core.clock import DAY, FixedClock
from machines.core.errors import OverDailyLimit
from machines.core.ids import Owner
from payflow.desk.books import Bookkeeper, faults_of
from payflow.desk.platforms import reserve_earning
from payflow.store import keys
from payflow.store.registers.platforms import PlatformGrant
from payflow.store.store import Store
from tests.desk import ANN, ngn
from tests.servers import EVERY

SHOP = "shop"


def place(store: Store, clock: FixedClock) -> str:
    return keys.credited(SHOP, clock.now() // DAY)


async def credited(store: Store, name: str, units: int, owner: Owner = ANN) -> None:
    """Credit as the shop does."""
    await reserve_earning(store, SHOP, name, ngn(units))
    assert await store.earnings.credit(SHOP, name, owner, ngn(units))


async def lowered(store: Store, key: str) -> None:
    await store.link.ask("HSET", key, "NGN", 1)


async def taken_away(store: Store, key: str) -> None:
    await store.link.ask("DEL", key)


async def without_one(store: Store, key: str) -> None:
    """One earning is taken out of it, and off the sum."""
    await store.link.ask("HDEL", key, "for:one NGN 60")
    await store.link.ask("HINCRBY", key, "NGN", -60)


async def for_less(store: Store, key: str) -> None:
    """One earning is another one, of less."""
    await store.link.ask("HDEL", key, "for:one NGN 60")
    await store.link.ask("HSET", key, "for:one NGN 6", "0|NGN", "NGN", 26)


Attack = Callable[[Store, str], Awaitable[None]]
ATTACKS = [lowered, taken_away, without_one, for_less]


@pytest.mark.parametrize("kind", EVERY, indirect=True)
@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_a_platform_credited_counts_whatever_somebody_wrote(
    store: Store, clock: FixedClock, attack: Attack
) -> None:
    await store.platforms.grant(SHOP, PlatformGrant({"NGN": 100}))
    await credited(store, "one", 60)
    await credited(store, "two", 20)
    assert [fault async for fault in faults_of(store)] == []
    await attack(store, place(store, clock))
    (fault,) = [fault async for fault in faults_of(store)]
    assert fault.place == f"{place(store, clock)} NGN"
    await Bookkeeper(store, 1, 3600).check_in_turn()
    assert await store.platforms.used(SHOP, "NGN", clock.now()) == 80
    assert [fault async for fault in faults_of(store)] == []
    with pytest.raises(OverDailyLimit):
        await credited(store, "three", 30)
    assert await store.pauses.all() == {}, "no more was credited than may be"
    await credited(store, "four", 20)


async def test_where_more_was_credited_than_may_be_whoever_got_it_waits(store: Store, clock: FixedClock) -> None:
    await store.platforms.grant(SHOP, PlatformGrant({"NGN": 100}))
    walker = Bookkeeper(store, 1, 3600)
    await credited(store, "one", 60)
    await taken_away(store, place(store, clock))
    await credited(store, "two", 60)
    await walker.check_in_turn()
    assert list(await store.pauses.all()) == [f"owner:{ANN}"]
    with pytest.raises(OverDailyLimit):
        await credited(store, "three", 1)


async def test_an_earning_that_is_said_to_be_booked_takes_of_the_day_all_the_same(
    store: Store, clock: FixedClock
) -> None:
    """Somebody wrote by hand that it is booked, so that nothing is reserved for it."""
    await store.platforms.grant(SHOP, PlatformGrant({"NGN": 100}))
    for name in ("one", "two"):
        assert await store.earnings.credit(SHOP, name, ANN, ngn(60))
    await Bookkeeper(store, 1, 3600).check_in_turn()
    assert list(await store.pauses.all()) == [f"owner:{ANN}"]


async def test_a_limit_that_is_set_at_noon_is_for_the_whole_day(store: Store, clock: FixedClock) -> None:
    await store.platforms.grant(SHOP, PlatformGrant())
    await credited(store, "one", 60)
    await store.platforms.grant(SHOP, PlatformGrant({"NGN": 50}))
    assert [fault async for fault in faults_of(store)] == []
    with pytest.raises(OverDailyLimit):
        await credited(store, "two", 1)
    await Bookkeeper(store, 1, 3600).check_in_turn()
    assert await store.pauses.all() == {}, "what was credited was within what was granted then"


async def test_another_day_begins_with_nothing(store: Store, clock: FixedClock) -> None:
    await store.platforms.grant(SHOP, PlatformGrant({"NGN": 100}))
    await credited(store, "one", 60)
    clock.at += DAY
    await credited(store, "two", 60)
    assert [fault async for fault in faults_of(store)] == []
    await taken_away(store, place(store, clock))
    await Bookkeeper(store, 1, 3600).check_in_turn()
    assert await store.platforms.used(SHOP, "NGN", clock.now()) == 60
