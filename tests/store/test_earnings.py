"""Earnings come in once, whoever sends them again; no more of one is taken back than it was."""

import asyncio
from dataclasses import replace

import pytest

from machines.core.decision import Message
from machines.core.errors import BadInput, Conflict, KeyReused, NotFound
from machines.core.ids import Owner
from machines.core.ports import Destination
from payflow.store.store import Store
from tests.desk import ANN, BOB, account, ask, faults, ngn, owner_in, tell
from tests.errand import Approved, Done, Sent
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)


async def credit(store: Store, name: str, units: int = 100) -> bool:
    return await store.earnings.credit("shop", name, ANN, ngn(units))


async def claw_back(store: Store, name: str, units: int, reference: str) -> None:
    await store.earnings.claw_back("shop", name, ngn(units), reference)


async def placed(store: Store) -> list[tuple[str, int, int, int, int]]:
    """Where the units of each earning are: available, allocated, paid out, taken back."""
    return [
        (one.id, one.available, one.allocated, one.paid_out, one.clawed_back)
        for one in await store.earnings.of(ANN, "NGN")
    ]


async def test_an_earning_is_booked_once(store: Store) -> None:
    assert sum(await asyncio.gather(*(credit(store, "1") for _ in range(20)))) == 1
    assert (await account(store)).funded == 100
    assert await placed(store) == [("shop/1", 100, 0, 0, 0)]


@pytest.mark.parametrize("other", [BOB, owner_in(2), owner_in(3, 2)])
async def test_the_same_earning_is_not_anothers(store: Store, other: Owner) -> None:
    await credit(store, "1")
    with pytest.raises(KeyReused):
        await store.earnings.credit("shop", "1", other, ngn(100))
    with pytest.raises(KeyReused):
        await credit(store, "1", 101)
    assert (await store.ledger.check()).totals["NGN"].funded == 100


async def test_earnings_are_used_in_the_order_in_which_they_came(store: Store) -> None:
    for name in "123":
        await credit(store, name)
    paid = await ask(store, units=150, key="paid")
    for fact in (Approved(), Sent(), Done("receipt")):
        await tell(store, paid, fact)
    await ask(store, units=100, key="held")
    assert await placed(store) == [("shop/1", 0, 0, 100, 0), ("shop/2", 0, 50, 50, 0), ("shop/3", 50, 50, 0, 0)]


async def test_no_more_of_an_earning_is_taken_back_than_it_was_whoever_asks_at_once(store: Store) -> None:
    await credit(store, "1")
    await credit(store, "2", 1000)
    done = await asyncio.gather(*(claw_back(store, "1", 30, f"{n}") for n in range(10)), return_exceptions=True)
    assert [type(one).__name__ for one in done].count("BadInput") == 7
    assert (await account(store)).funded == 1010
    await claw_back(store, "1", 10, "the rest")
    with pytest.raises(BadInput, match="less than"):
        await claw_back(store, "1", 1, "one more")
    assert await faults(store) == []


async def test_the_same_claw_back_is_booked_once(store: Store) -> None:
    await credit(store, "1")
    await asyncio.gather(*(claw_back(store, "1", 60, "same") for _ in range(10)))
    assert (await account(store)).funded == 40
    assert await placed(store) == [("shop/1", 40, 0, 0, 60)]


async def test_what_was_never_earned_cannot_be_taken_back(store: Store) -> None:
    with pytest.raises(NotFound):
        await claw_back(store, "1", 1, "x")
    await credit(store, "1")
    with pytest.raises(BadInput, match="more than"):
        await claw_back(store, "1", 101, "x")


async def test_what_was_spent_already_is_owed_when_it_is_taken_back(store: Store) -> None:
    await credit(store, "1")
    await ask(store, units=100)
    await claw_back(store, "1", 100, "x")
    assert (await account(store)).owed == 100
    assert await faults(store) == []


async def test_a_profile_that_somebody_changed_meanwhile_is_not_overwritten(store: Store) -> None:
    before = await store.profiles.read(ANN)
    assert (before.version, before.verified) == (0, False)
    account_one = Destination("bank", (("account", "1"),))
    now = await store.records.now()
    changes = [
        store.profiles.write(
            before, replace(before, verified=True, destination=account_one), now, (Message("told", {"n": n}),)
        )
        for n in range(20)
    ]
    done = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(one).__name__ for one in done].count("Conflict") == 19
    after = await store.profiles.read(ANN)
    assert (after.version, after.verified, after.destination) == (1, True, account_one)
    (post,) = await store.outbox.take(10, 1000)
    assert post.kind == "told", "who was refused told nothing"
    with pytest.raises(Conflict):
        await store.profiles.write(before, before, now)
