"""To create a record is to hold its money, once, whatever is repeated."""

import asyncio
from dataclasses import replace

import pytest

from machines.core.clock import FixedClock
from machines.core.errors import BadInput, ClaimTaken, KeyReused, NotFound, ShortBalance
from machines.core.ids import Owner, RecordId, derived_id, fresh_id
from machines.core.money import ETH, MAX_UNITS, Money
from payflow.store.store import Store
from tests.desk import (
    ANN,
    BOB,
    account,
    ask,
    claim_one,
    claims,
    faults,
    fund,
    messages,
    new,
    ngn,
    owner_in,
    tell,
    think,
)
from tests.errand import Approved, Cancelled, ErrandData
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)


async def test_a_creation_moves_its_amount_from_available_to_held(store: Store) -> None:
    await fund(store, units=1000)
    await ask(store, units=300)
    books = await account(store)
    assert (books.available, books.held, books.paid, books.funded, books.owed) == (700, 300, 0, 1000, 0)
    assert await faults(store) == []


async def test_a_created_record_can_be_read_as_it_was_asked_for(store: Store, clock: FixedClock) -> None:
    await fund(store)
    made = await store.records.create(new(units=300), "ann's app")
    read = await store.records.read(made.record.id)
    assert made.fresh
    assert read.record == made.record
    assert (read.record.state, read.record.version, read.record.owner) == ("ASKED", 1, ANN)
    assert (read.record.amount, read.record.data) == (ngn(300), ErrandData("note 1"))
    assert read.record.created_at == read.record.since == clock.now()
    (event,) = await store.records.history(made.record.id)
    assert (event.who, event.fact, event.version, event.state) == ("ann's app", "Created", 1, "ASKED")


async def test_a_replay_gives_the_first_answer_and_takes_no_money(store: Store, clock: FixedClock) -> None:
    await fund(store, units=1000)
    first = await store.records.create(new(units=300), "test")
    await think(store, await claim_one(store), Approved())
    clock.advance(60)
    again = await store.records.create(new(units=300), "test")
    assert not again.fresh
    assert again.record == first.record
    assert (await account(store)).held == 300
    assert await faults(store) == []


async def test_fifty_replays_at_once_make_one_record(store: Store) -> None:
    await fund(store, units=1000)
    made = await asyncio.gather(*(store.records.create(new(units=300), f"app {n}") for n in range(50)))
    assert sum(one.fresh for one in made) == 1
    assert len({one.record for one in made}) == 1
    assert (await account(store)).held == 300
    assert await faults(store) == []


async def test_the_same_key_with_another_body_is_refused(store: Store) -> None:
    await fund(store)
    first = await store.records.create(new(units=300), "test")
    with pytest.raises(KeyReused):
        await store.records.create(new(units=301), "test")
    with pytest.raises(KeyReused):
        await store.records.create(new(units=300, fingerprint=""), "test")
    assert (await store.records.read(first.record.id)).record == first.record


@pytest.mark.parametrize("other", [ngn(301), Money(300, ETH)], ids=str)
async def test_the_same_key_with_another_amount_is_refused_even_without_a_fingerprint(
    store: Store, other: Money
) -> None:
    await fund(store)
    await store.records.fund(ANN, Money(1000, ETH), "eth")
    request = new(units=300, fingerprint="")
    await store.records.create(request, "test")
    with pytest.raises(KeyReused):
        await store.records.create(replace(request, amount=other), "test")


async def test_the_same_key_with_another_owner_is_refused_even_without_a_fingerprint(store: Store) -> None:
    one, other = owner_in(1), owner_in(1, nth=1)
    await fund(store, one)
    await fund(store, other)
    request = new(one, units=300, fingerprint="")
    await store.records.create(request, "test")
    with pytest.raises(KeyReused):
        await store.records.create(replace(request, owner=other), "test")


async def test_a_refused_request_is_not_bound_to_its_key(store: Store) -> None:
    with pytest.raises(ShortBalance):
        await ask(store, units=300)
    await fund(store, units=300)
    assert (await store.records.create(new(units=200, fingerprint="another"), "test")).fresh


async def test_more_than_is_available_is_refused(store: Store) -> None:
    await fund(store, units=1000)
    await ask(store, units=1000)
    with pytest.raises(ShortBalance):
        await ask(store, units=1, key="2")
    assert (await account(store)).available == 0
    assert await faults(store) == []


async def test_money_in_one_asset_does_not_pay_for_another(store: Store) -> None:
    await fund(store, units=1000)
    with pytest.raises(ShortBalance):
        await ask(store, units=1, asset=ETH)


async def test_two_creations_of_one_owner_in_one_call_do_not_both_take_the_same_money(store: Store) -> None:
    await fund(store, units=100)
    before = len(store.records.batches)
    made = await asyncio.gather(*(ask(store, units=60, key=str(n)) for n in range(2)), return_exceptions=True)
    assert len(store.records.batches) == before + 1, "both went in one call"
    assert sorted(type(one).__name__ for one in made) == ["ShortBalance", "str"]
    assert (await account(store)).held == 60
    assert await faults(store) == []


async def test_fifty_creations_in_a_race_hold_no_more_than_there_is(store: Store) -> None:
    await fund(store, units=1000)
    made = await asyncio.gather(*(ask(store, units=300, key=str(n)) for n in range(50)), return_exceptions=True)
    assert sum(isinstance(one, str) for one in made) == 3
    assert (await account(store)).available == 100
    assert await faults(store) == []


async def test_a_refused_creation_in_a_call_leaves_the_balance_to_the_next(store: Store) -> None:
    await fund(store, units=100)
    big, small = await asyncio.gather(
        ask(store, units=101, key="big"), ask(store, units=100, key="small"), return_exceptions=True
    )
    assert isinstance(big, ShortBalance)
    assert isinstance(small, str)


async def test_a_unique_claim_is_held_by_one_record(store: Store) -> None:
    await fund(store)
    await ask(store, key="1", claims=claims(("login", "ann")))
    with pytest.raises(ClaimTaken):
        await ask(store, key="2", claims=claims(("login", "ann")))
    await ask(store, key="3", claims=claims(("login", "bob"), ("nonce", "ann")))
    assert (await account(store)).held == 200, "who did not get the claim did not hold money either"
    assert await faults(store) == []


async def test_fifty_records_that_race_for_a_claim_have_one_winner(store: Store) -> None:
    await fund(store)
    made = await asyncio.gather(
        *(ask(store, key=str(n), claims=claims(("nonce", "7"))) for n in range(50)), return_exceptions=True
    )
    assert sum(isinstance(one, str) for one in made) == 1
    assert sum(isinstance(one, ClaimTaken) for one in made) == 49
    assert (await account(store)).held == 100


async def test_messages_are_committed_with_a_creation(store: Store) -> None:
    await fund(store)
    record_id = await ask(store, messages=messages("welcome", "notify"))
    posts = await store.outbox.take(10, 1000)
    assert [(post.id, post.kind, post.record, post.body) for post in posts] == [
        (f"{record_id}/1/1", "welcome", record_id, {"n": 0}),
        (f"{record_id}/1/2", "notify", record_id, {"n": 1}),
    ]


async def test_a_record_is_due_when_it_was_said_to_be(store: Store, clock: FixedClock) -> None:
    await fund(store)
    await ask(store, due_in_s=30)
    clock.advance(29.999)
    assert await store.records.claim([]) is not None
    with pytest.raises(ValueError, match="unpack"):
        await claim_one(store)
    clock.advance(0.001)
    await claim_one(store)


async def test_a_record_that_nobody_looks_at_by_himself_is_not_due(store: Store, clock: FixedClock) -> None:
    await fund(store)
    record_id = await ask(store, due_in_s=None)
    clock.advance(10**6)
    with pytest.raises(ValueError, match="unpack"):
        await claim_one(store)
    assert (await store.records.read(record_id)).record.state == "ASKED"


async def test_a_record_that_is_in_no_other_shard_than_its_owner_is_made(store: Store) -> None:
    one, other = owner_in(1), owner_in(2)
    await fund(store, other)
    with pytest.raises(BadInput, match="not in the shard"):
        await store.records.create(replace(new(one), owner=other), "test")


async def test_a_machine_that_is_not_here_makes_no_records(store: Store) -> None:
    with pytest.raises(BadInput, match="runs no machine 'payout'"):
        await store.records.create(replace(new(), id=fresh_id("payout", 3), machine="payout"), "test")
    with pytest.raises(BadInput):
        await store.records.create(replace(new(), machine="payout"), "test")


async def test_a_machine_that_moves_money_needs_an_amount(store: Store) -> None:
    with pytest.raises(BadInput, match="needs an amount"):
        await store.records.create(replace(new(), amount=None), "test")


async def test_what_counts_into_a_window_needs_an_amount(store: Store) -> None:
    with pytest.raises(BadInput, match="needs an amount"):
        await store.records.create(replace(new(), amount=None), "test")


@pytest.mark.parametrize("name", ["a b", "a\n", "", "a{b}", "-a"])
async def test_an_owner_whose_name_would_break_a_key_or_the_journal_is_refused(store: Store, name: str) -> None:
    owner = Owner(name)
    with pytest.raises(BadInput, match="no owner"):
        await store.records.create(new(owner), "test")
    with pytest.raises(BadInput, match="no owner"):
        await store.records.fund(owner, ngn(1), "x")


async def test_one_owners_keys_are_never_anothers(store: Store) -> None:
    """Names of owners may hold colons; `bob:hour` must not meet the windows of `bob`."""
    names = ("bob", "bob:hour", "bob:day", "hour:bob", "day:bob", "hour", "day")
    for name in names:
        owner = Owner(name)
        await fund(store, owner, 1000)
        for key in ("1", "2"):
            await ask(store, owner, 100, key)
    assert await faults(store) == []


async def test_a_record_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.records.read(derived_id("errand", 3, "nobody"))
    with pytest.raises(NotFound):
        await store.records.read(derived_id("errand", 99, "nobody"))
    with pytest.raises(BadInput):
        await store.records.read(RecordId("errand"))


@pytest.mark.parametrize("units", [2**53 - 1, 2**53, 2**53 + 1, MAX_UNITS - 1, MAX_UNITS])
async def test_an_amount_that_no_double_can_hold_is_kept_to_the_unit(store: Store, units: int) -> None:
    await fund(store, units=units)
    record_id = await ask(store, units=units - 1)
    books = await account(store)
    assert (books.available, books.held, books.funded) == (1, units - 1, units)
    assert (await store.records.read(record_id)).record.amount == ngn(units - 1)
    await tell(store, record_id, Cancelled())
    assert (await account(store)).available == units
    assert await faults(store) == []


async def test_an_amount_of_nothing_is_held_like_any_other(store: Store) -> None:
    await ask(store, BOB, units=0)
    assert (await account(store, BOB)).held == 0
    assert await faults(store) == []


async def test_what_a_refused_record_wanted_to_claim_is_free_for_the_next_of_the_same_call(store: Store) -> None:
    await fund(store)
    await ask(store, key="holder", claims=claims(("nonce", "8")))
    done = await asyncio.gather(
        ask(store, key="1", claims=claims(("nonce", "7"), ("nonce", "8"))),
        ask(store, key="2", claims=claims(("nonce", "7"))),
        return_exceptions=True,
    )
    assert [type(one).__name__ for one in done] == ["ClaimTaken", "str"]
