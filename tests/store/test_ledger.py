"""The books: money comes from outside, moves between positions, goes back outside, and never appears or vanishes."""

import asyncio
from dataclasses import asdict

import pytest

from machines.core.errors import BadInput, KeyReused, ShortBalance
from machines.core.facts import Override
from machines.core.ids import Owner, RecordId
from machines.core.money import ETH, MAX_UNITS, Money
from payflow.store import keys
from payflow.store.accounts import Posting
from payflow.store.store import Store
from tests.desk import ANN, BOB, account, ask, faults, fund, ngn, owner_in, tell
from tests.errand import Approved, Cancelled, Done, NotDone, Sent
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)


async def books(store: Store, owner: Owner = ANN) -> dict[str, int]:
    """What is in an account, without what is zero; the whole ledger must be in order."""
    assert await faults(store) == []
    return {name: units for name, units in asdict(await account(store, owner)).items() if units}


async def journal(store: Store, owner: Owner = ANN) -> list[Posting]:
    return [entry async for entry in store.ledger.journal(store.records.owner_shard(owner)) if entry.owner == owner]


async def fund_out(store: Store, units: int, reference: str) -> bool:
    return await store.records.fund(ANN, ngn(units), reference, out=True)


async def cancelled(store: Store, units: int) -> RecordId:
    """An errand whose money was given back."""
    record_id = await ask(store, units=units)
    await tell(store, record_id, Cancelled())
    return record_id


# ── in and out ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_money_from_outside_is_available(store: Store) -> None:
    assert await store.records.fund(ANN, ngn(500), "earning 1")
    assert await books(store) == {"available": 500, "funded": 500}
    (entry,) = await journal(store)
    assert (entry.source, entry.target, entry.units, entry.owed, entry.cause) == (
        "outside",
        "available",
        500,
        0,
        "earning 1",
    )


async def test_the_same_reference_is_booked_once(store: Store) -> None:
    assert await store.records.fund(ANN, ngn(500), "earning 1")
    assert not await store.records.fund(ANN, ngn(500), "earning 1")
    assert await books(store) == {"available": 500, "funded": 500}


async def test_fifty_repeats_at_once_are_booked_once(store: Store) -> None:
    booked = await asyncio.gather(*(store.records.fund(ANN, ngn(500), "earning 1") for _ in range(50)))
    assert sum(booked) == 1
    assert await books(store) == {"available": 500, "funded": 500}


@pytest.mark.parametrize(
    ("owner", "amount", "out"),
    [(ANN, ngn(501), False), (ANN, Money(500, ETH), False), (ANN, ngn(500), True), (owner_in(3, 1), ngn(500), False)],
    ids=["amount", "asset", "direction", "owner"],
)
async def test_the_same_reference_with_another_content_is_refused(
    store: Store, owner: Owner, amount: Money, *, out: bool
) -> None:
    await store.records.fund(ANN, ngn(500), "earning 1")
    with pytest.raises(KeyReused):
        await store.records.fund(owner, amount, "earning 1", out=out)
    assert await books(store) == {"available": 500, "funded": 500}


async def test_a_refused_funding_is_not_bound_to_its_reference(store: Store) -> None:
    with pytest.raises(ShortBalance):
        await fund_out(store, 500, "clawback")
    await fund(store, units=500)
    assert await fund_out(store, 500, "clawback")
    assert await books(store) == {}


async def test_money_can_go_back_outside(store: Store) -> None:
    await fund(store, units=500)
    assert await fund_out(store, 200, "clawback")
    assert not await fund_out(store, 200, "clawback")
    assert await books(store) == {"available": 300, "funded": 300}


async def test_no_more_goes_back_than_ever_came_in(store: Store) -> None:
    await fund(store, units=500)
    with pytest.raises(ShortBalance):
        await fund_out(store, 501, "clawback")


async def test_what_is_taken_back_after_it_was_used_is_owed(store: Store) -> None:
    await fund(store, units=500)
    await ask(store, units=400)
    await fund_out(store, 300, "clawback")
    assert await books(store) == {"held": 400, "funded": 200, "owed": 200}
    assert [entry.owed for entry in await journal(store)] == [0, 0, 200]


async def test_what_is_owed_is_settled_by_the_next_money(store: Store) -> None:
    await fund(store, units=500)
    await ask(store, units=500)
    await fund_out(store, 500, "clawback")
    assert await books(store) == {"held": 500, "owed": 500}
    await fund(store, units=100, reference="a little")
    assert await books(store) == {"held": 500, "funded": 100, "owed": 400}
    await fund(store, units=1000, reference="a lot")
    assert await books(store) == {"available": 600, "held": 500, "funded": 1100}
    assert [entry.owed for entry in await journal(store)] == [0, 0, 500, -100, -400]


async def test_who_owes_cannot_spend_what_is_given_back_to_him(store: Store) -> None:
    await fund(store, units=500)
    record_id = await ask(store, units=500)
    await fund_out(store, 300, "clawback")
    await tell(store, record_id, Cancelled())
    assert await books(store) == {"available": 200, "funded": 200}


# ── through the states ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_payment_goes_from_available_to_held_to_paid(store: Store) -> None:
    await fund(store, units=500)
    record_id = await ask(store, units=200)
    for fact in (Approved(), Sent(), Done("receipt")):
        assert await books(store) == {"available": 300, "held": 200, "funded": 500}
        await tell(store, record_id, fact)
    assert await books(store) == {"available": 300, "paid": 200, "funded": 500}
    assert [(entry.source, entry.target) for entry in await journal(store)] == [
        ("outside", "available"),
        ("available", "held"),
        ("held", "paid"),
    ]


async def test_a_failed_payment_stays_held_until_a_person_decides(store: Store) -> None:
    await fund(store, units=500)
    record_id = await ask(store, units=200)
    for fact in (Approved(), Sent(), NotDone("bounced")):
        await tell(store, record_id, fact)
    assert await books(store) == {"available": 300, "held": 200, "funded": 500}
    await tell(store, record_id, Cancelled())
    assert await books(store) == {"available": 500, "funded": 500}


async def test_a_success_after_the_money_was_given_back_takes_it_again(store: Store) -> None:
    await fund(store, units=500)
    record_id = await cancelled(store, 200)
    await tell(store, record_id, Done("receipt"))
    assert await books(store) == {"available": 300, "paid": 200, "funded": 500}
    assert [post.kind for post in await store.outbox.take(10, 1000)] == ["alarm"]


async def test_a_success_after_the_money_was_given_back_and_spent_is_owed(store: Store) -> None:
    await fund(store, units=500)
    record_id = await cancelled(store, 200)
    await ask(store, units=450, key="2")
    await tell(store, record_id, Done("receipt"))
    assert await books(store) == {"held": 450, "paid": 200, "funded": 500, "owed": 150}


async def test_what_comes_back_settles_what_is_owed(store: Store) -> None:
    await fund(store, units=500)
    record_id = await cancelled(store, 200)
    await ask(store, units=500, key="2")
    await tell(store, record_id, Done("receipt"))
    assert (await books(store))["owed"] == 200
    await tell(store, record_id, Override(to="CANCELLED", reason="it bounced", by="olu", second="eve"))
    assert await books(store) == {"held": 500, "funded": 500}


async def test_an_override_puts_the_money_where_the_new_state_says(store: Store) -> None:
    await fund(store, units=500)
    record_id = await ask(store, units=200)
    for target, position in (("DONE", "paid"), ("READY", "held"), ("CONTRADICTED", "paid"), ("FAILED", "held")):
        await tell(store, record_id, Override(to=target, reason="as the bank says", by="olu", second="eve"))
        assert await books(store) == {"available": 300, position: 200, "funded": 500}


async def test_an_override_cannot_hold_what_is_no_longer_there(store: Store) -> None:
    await fund(store, units=500)
    record_id = await cancelled(store, 200)
    await ask(store, units=400, key="2")
    with pytest.raises(ShortBalance):
        await tell(store, record_id, Override(to="READY", reason="again", by="olu", second="eve"))
    assert await books(store) == {"available": 100, "held": 400, "funded": 500}


async def test_two_givings_back_and_a_spending_in_one_call_are_counted_in_order(store: Store) -> None:
    await fund(store, units=500)
    first, second = await ask(store, units=250, key="1"), await ask(store, units=250, key="2")
    one, two = await store.records.read(first), await store.records.read(second)
    cancel = store.records.machines["errand"].react(one.record, Cancelled(), one.at)
    before = len(store.records.batches)

    async def at_once(_: int) -> None:
        """Ask the guard nothing, so that all four are in one call."""

    store.records.before_giving_back = at_once
    done = await asyncio.gather(
        store.records.commit(one, cancel, Cancelled(), "test"),
        ask(store, units=400, key="3"),
        store.records.commit(two, cancel, Cancelled(), "test"),
        ask(store, units=100, key="4"),
        return_exceptions=True,
    )
    assert len(store.records.batches) <= before + 2
    assert [isinstance(one, ShortBalance) for one in done].count(True) <= 1
    assert await faults(store) == []


# ── edges of numbers ─────────────────────────────────────────────────────────────────────────────────────────────────

EDGES = (1, 2**31, 2**53 - 1, 2**53, 2**53 + 1, 10**9 - 1, 10**9, 10**9 + 1, 10**17, MAX_UNITS - 1, MAX_UNITS)


@pytest.mark.parametrize("units", EDGES)
async def test_a_balance_that_no_double_can_hold_is_kept_to_the_unit(store: Store, units: int) -> None:
    await fund(store, units=units)
    assert await books(store) == {"available": units, "funded": units}
    record_id = await ask(store, units=units)
    assert await books(store) == {"held": units, "funded": units}
    for fact in (Approved(), Sent(), Done("receipt")):
        await tell(store, record_id, fact)
    assert await books(store) == {"paid": units, "funded": units}
    await fund_out(store, units, "clawback")
    assert await books(store) == {"paid": units, "owed": units}
    await fund(store, units=units, reference="again")
    assert await books(store) == {"paid": units, "funded": units}


@pytest.mark.parametrize("units", EDGES)
async def test_one_unit_more_than_there_is_is_too_much(store: Store, units: int) -> None:
    await fund(store, units=units - 1, reference="most of it")
    with pytest.raises(ShortBalance):
        await ask(store, units=units)
    await fund(store, units=1, reference="the last one")
    await ask(store, units=units)
    assert await books(store) == {"held": units, "funded": units}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (2**53, 1),
        (2**53 - 1, 2),
        (10**9 - 1, 1),
        (999_999_999_999_999_998, 1),
        (5 * 10**17, 5 * 10**17 - 1),
        (10**17 + 999_999_999, 10**17 + 1),
        (123_456_789_999_999_999, 876_543_210_000_000_000),
    ],
)
async def test_sums_and_differences_are_exact(store: Store, first: int, second: int) -> None:
    await fund(store, units=first, reference="1")
    await fund(store, units=second, reference="2")
    assert await books(store) == {"available": first + second, "funded": first + second}
    await ask(store, units=second)
    assert await books(store) == {"available": first, "held": second, "funded": first + second}


@pytest.mark.parametrize(("first", "second"), [(MAX_UNITS, 1), (MAX_UNITS, MAX_UNITS), (5 * 10**17, 5 * 10**17)])
async def test_a_balance_above_the_largest_is_refused_before_anything_is_written(
    store: Store, first: int, second: int
) -> None:
    await fund(store, units=first, reference="1")
    with pytest.raises(BadInput):
        await fund(store, units=second, reference="2")
    assert await books(store) == {"available": first, "funded": first}
    await fund_out(store, first, "back")
    await fund(store, units=second, reference="2")  # the refused reference was not bound


async def test_a_held_balance_above_the_largest_is_refused(store: Store) -> None:
    await fund(store, units=MAX_UNITS)
    record_id = await ask(store, units=MAX_UNITS)
    await fund_out(store, MAX_UNITS, "back")
    await fund(store, units=MAX_UNITS, reference="again")
    assert await books(store) == {"held": MAX_UNITS, "funded": MAX_UNITS}, "it settled the debt"
    await tell(store, record_id, Cancelled())
    assert await books(store) == {"available": MAX_UNITS, "funded": MAX_UNITS}


async def test_a_debt_above_the_largest_is_refused(store: Store) -> None:
    await fund(store, units=MAX_UNITS)
    record_id = await cancelled(store, MAX_UNITS)
    await ask(store, units=MAX_UNITS, key="2")
    await tell(store, record_id, Done("receipt"))
    assert await books(store) == {"held": MAX_UNITS, "paid": MAX_UNITS, "funded": MAX_UNITS, "owed": MAX_UNITS}
    with pytest.raises(BadInput):
        await fund_out(store, 1, "clawback")
    assert (await books(store))["owed"] == MAX_UNITS


async def test_an_overflow_of_one_in_a_call_leaves_the_running_balances_of_the_others_right(store: Store) -> None:
    await fund(store, units=MAX_UNITS - 5)
    done = await asyncio.gather(
        *(store.records.fund(ANN, ngn(units), f"{n}") for n, units in enumerate((3, 10, 2, 1))), return_exceptions=True
    )
    assert [one if isinstance(one, bool) else type(one).__name__ for one in done] == [
        True,
        "BadInput",
        True,
        "BadInput",
    ]
    assert await books(store) == {"available": MAX_UNITS, "funded": MAX_UNITS}


# ── the check ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_totals_are_given_by_asset_over_all_shards(store: Store) -> None:
    for shard in range(store.records.shards):
        await fund(store, owner_in(shard), 100)
    await store.records.fund(BOB, Money(7, ETH), "eth")
    found = await store.ledger.check()
    assert {asset: total.funded for asset, total in found.totals.items()} == {"NGN": 400, "ETH": 7}
    assert found.accounts == 5
    assert found.conserved


@pytest.mark.parametrize("part", ["available", "held", "paid", "funded", "owed"])
async def test_a_unit_that_appears_from_nowhere_is_found(store: Store, part: str) -> None:
    await fund(store, units=500)
    await ask(store, units=200)
    await store.link.ask("HINCRBY", keys.account(3, ANN), f"NGN.{part}", 1)
    assert (await store.ledger.check()).faults


async def test_a_record_that_holds_what_the_account_does_not_is_found(store: Store) -> None:
    await fund(store, units=500)
    record_id = await ask(store, units=200)
    await store.link.ask("HSET", keys.record(record_id), "units", "201")
    assert any("200" in fault and "201" in fault for fault in (await store.ledger.check()).faults)


async def test_a_posting_that_vanished_is_found(store: Store) -> None:
    await fund(store, units=500)
    await ask(store, units=200)
    (first, _) = await journal(store)
    await store.link.ask("XDEL", keys.journal(3), first.id)
    assert (await store.ledger.check()).faults


async def test_a_long_journal_is_read_to_its_end(store: Store) -> None:
    await asyncio.gather(*(store.records.fund(ANN, ngn(1), f"{n}") for n in range(1101)))
    assert len(await journal(store)) == 1101
    assert await books(store) == {"available": 1101, "funded": 1101}
