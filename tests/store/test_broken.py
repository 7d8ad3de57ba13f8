"""A key of the wrong type, which nothing of ours writes: who meets it is refused, the others go on, and it is seen."""

import asyncio

import pytest

from machines.core.decision import move
from machines.core.errors import StoreError, StoreUnavailable
from machines.core.ids import Owner, RecordId
from payflow.store import keys
from payflow.store.store import Store
from tests.desk import ask, claims, faults, fund, messages, new, ngn, owner_in
from tests.errand import Approved
from tests.servers import EVERY, Deployment, dump

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)

BAD, GOOD = owner_in(1), owner_in(1, nth=1)
P = keys.prefix(1)


async def plant(store: Store, key: str) -> None:
    """Put a value of a wrong type where a script expects another."""
    kind = await store.link.ask("TYPE", key)
    if kind != b"none":
        await store.link.ask("RENAME", key, f"{P}uniq:aside")
    await store.link.ask("SADD", key, "planted")


async def lift(store: Store, key: str) -> None:
    """Take it away again."""
    await store.link.ask("DEL", key)
    if await store.link.ask("TYPE", f"{P}uniq:aside") != b"none":
        await store.link.ask("RENAME", f"{P}uniq:aside", key)


BEFORE_THE_FIRST_WRITE = [f"{P}acct:{BAD}", f"{P}uniq:planted", keys.record(new(BAD).id)]


@pytest.mark.parametrize("key", BEFORE_THE_FIRST_WRITE, ids=["account", "claims", "record"])
async def test_an_error_while_a_group_is_checked_leaves_every_byte_as_it_was(
    store: Store, server: Deployment, key: str
) -> None:
    await fund(store, BAD)
    await plant(store, key)
    before = dump(server, without=("seq", "writers"))
    with pytest.raises(StoreUnavailable):
        await ask(store, BAD, claims=claims(("planted", "1")), messages=messages("told"))
    assert dump(server, without=("seq", "writers")) == before
    await lift(store, key)
    await ask(store, BAD, claims=claims(("planted", "1")), messages=messages("told"))
    assert await faults(store) == []


@pytest.mark.parametrize("key", BEFORE_THE_FIRST_WRITE, ids=["account", "claims", "record"])
async def test_an_error_in_the_middle_of_a_batch_is_that_groups_alone(store: Store, key: str) -> None:
    await fund(store, BAD)
    await fund(store, GOOD)
    await plant(store, key)
    before = len(store.records.batches)
    done = await asyncio.gather(
        *(ask(store, GOOD, key=str(n)) for n in range(5)),
        ask(store, BAD, claims=claims(("planted", "1"))),
        *(ask(store, GOOD, key=str(n)) for n in range(5, 10)),
        return_exceptions=True,
    )
    assert len(store.records.batches) <= before + 2
    assert [type(one).__name__ for one in done if not isinstance(one, str)] == ["StoreUnavailable"]
    await lift(store, key)
    assert (await store.ledger.account(GOOD))["NGN"].held == 1000
    assert await faults(store) == []


@pytest.mark.parametrize(
    "key",
    [f"{P}own:{BAD}", f"{P}journal", f"{P}outbox", f"{P}message", keys.history(new(BAD).id)],
    ids=["owned", "journal", "outbox", "message", "history"],
)
async def test_an_error_after_the_first_write_is_never_an_answer_of_success(store: Store, key: str) -> None:
    """The outcome is unknown, the caller reads again; whatever was written, the check of everything finds it."""
    await fund(store, BAD)
    await fund(store, GOOD)
    await plant(store, key)
    with pytest.raises(StoreError):
        await ask(store, BAD, messages=messages("told"))
    await lift(store, key)
    try:
        await store.records.read(new(BAD).id)
    except StoreError:
        await ask(store, BAD)
        assert await faults(store) == []
    else:
        assert await faults(store) != []


@pytest.mark.parametrize("place", ["in", "due"])
async def test_an_index_of_the_wrong_type_is_never_an_answer_of_success(store: Store, place: str) -> None:
    await fund(store, BAD)
    record_id = await ask(store, BAD)
    key = f"{P}{place}:errand:READY"
    await plant(store, key)
    stored = await store.records.read(record_id)
    with pytest.raises(StoreError):
        await store.records.commit(stored, move("approve"), Approved(), "test")
    assert any(record_id in fault for fault in await whole_check(store, key))


async def whole_check(store: Store, key: str) -> list[str]:
    await lift(store, key)
    return await faults(store)


async def test_after_an_error_the_running_balances_are_read_again(store: Store) -> None:
    await fund(store, BAD, 100)
    await plant(store, f"{P}uniq:planted")
    done = await asyncio.gather(
        ask(store, BAD, 60, "1", claims=claims(("planted", "1"))), ask(store, BAD, 60, "2"), return_exceptions=True
    )
    assert [isinstance(one, str) for one in done] == [False, True], "what the broken one would have held is free"
    await lift(store, f"{P}uniq:planted")
    assert await faults(store) == []


async def test_with_less_than_nothing_nobody_reckons(store: Store) -> None:
    """Figures are compared by their length: a small one below zero would pass for more than was asked for."""
    await fund(store, BAD, 5_000)
    account = keys.account(1, BAD)
    await store.link.ask("HSET", account, "NGN.available", "-500", "NGN.held", "5500")
    for units in (40, 400, 4_000):
        with pytest.raises(StoreError):
            await ask(store, BAD, units, str(units))
    assert await store.link.ask("HMGET", account, "NGN.available", "NGN.held") == [b"-500", b"5500"]
    books = await store.ledger.check()
    assert any("less than nothing" in fault for fault in books.faults)


async def test_a_poison_account_does_not_keep_others_from_funding(store: Store) -> None:
    await store.link.ask("HSET", keys.account(1, BAD), "NGN.available", "not a number")
    done = await asyncio.gather(
        *(store.records.fund(owner, ngn(5), f"for {owner}") for owner in (GOOD, BAD, Owner(f"{GOOD}"))),
        return_exceptions=True,
    )
    assert [type(one).__name__ for one in done] == ["bool", "StoreUnavailable", "bool"]


async def test_a_record_whose_id_is_of_another_shard_is_not_found_there(store: Store) -> None:
    await fund(store, BAD)
    with pytest.raises(StoreError):
        await store.records.read(RecordId(new(BAD).id.replace("-01-", "-02-")))
