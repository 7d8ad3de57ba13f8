"""Somebody who writes to the store by hand takes away what speaks against an owner, where it holds nothing any more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest

from machines.core.clock import FixedClock
from machines.core.errors import ShortBalance
from machines.core.ids import Owner, RecordId
from machines.core.money import NGN, Money
from machines.payout import facts as f
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout
from payflow.config import Settings, load
from payflow.desk.books import faults_of
from payflow.desk.permits import unsigned
from payflow.desk.reseal import reseal
from payflow.store import keys
from payflow.store.request_lists import BEGINS, MOST_LISTED, REQUESTS_LISTED
from payflow.store.row_list import Row
from payflow.store.seals import Seals, new_key
from payflow.store.store import Store, open_store
from tests.web.test_provider_histories import ANN
from tests.web.test_rules_by_hand import DAY_S, Rules, neighbour, put_away

KEY, NEWER = new_key(), new_key()
LARGE = 70_000_00
NEXT = 40_000_00


@pytest.fixture
async def store(settings: Settings, clock: FixedClock) -> AsyncIterator[Store]:
    async with open_store(settings_with(settings, KEY), clock=clock) as store:
        store.serve([payout(PayoutPolicy(), {})])
        yield store


def settings_with(settings: Settings, *seal_keys: str) -> Settings:
    prints = Seals([KEY]).fingerprint_key
    return load({}, **(settings.model_dump() | {"seal_keys": ",".join(seal_keys), "fingerprint_key": prints}))


@pytest.fixture
async def rules(store: Store, clock: FixedClock) -> Rules:
    rules = Rules(store, clock)
    await rules.is_known()
    return rules


def asked_key(store: Store, owner: Owner = ANN) -> str:
    return keys.asked(store.records.owner_shard(owner), owner)


async def remove(rules: Rules, record_id: RecordId) -> None:
    """Take a record away, with all that names it but the list of its owner."""
    home = rules.store.records.owner_shard(ANN)
    async for key in rules.store.link.keys(f"{{pf:{home:02d}}}:*"):
        if await rules.store.link.ask("TYPE", key) == b"zset":
            await rules.by_hand("ZREM", key, record_id)
    for key in (keys.tombs(home), keys.gone(home)):
        await rules.by_hand("HDEL", key, record_id)
    await rules.by_hand("DEL", keys.record(record_id), keys.history(record_id))


async def cancelled(rules: Rules) -> RecordId:
    record_id = await rules.asked(units=LARGE)
    await rules.happened(record_id, f.Cancelled("ann"))
    return record_id


async def large_and_paid(rules: Rules) -> RecordId:
    return await rules.paid(units=LARGE)


async def large_and_archived(rules: Rules) -> RecordId:
    record_id = await rules.paid(units=LARGE)
    await put_away(rules)
    return record_id


Past = Callable[[Rules], Awaitable[RecordId]]
HIDDEN: list[Past] = [cancelled, large_and_paid, large_and_archived]


@pytest.mark.parametrize("past", HIDDEN)
async def test_what_was_taken_out_of_every_index_counts(rules: Rules, past: Past) -> None:
    hidden = await past(rules)
    rules.clock.advance(1)
    home = rules.store.records.owner_shard(ANN)
    for key in (keys.owned(home, ANN), keys.past(home, ANN)):
        await rules.by_hand("ZREM", key, hidden)
    assert "volume" in await rules.codes(units=NEXT)


@pytest.mark.parametrize("past", HIDDEN)
async def test_what_was_taken_away_whole_is_missed_before_anything_is_approved(rules: Rules, past: Past) -> None:
    await remove(rules, await past(rules))
    rules.clock.advance(1)
    assert "doubt" in await rules.codes(units=NEXT)
    rules.clock.advance(DAY_S)
    assert "doubt" in await rules.codes(), "it is missed later too"


async def cut_off(rules: Rules) -> object:
    """Make the list as it was before."""
    return await rules.by_hand("LTRIM", asked_key(rules.store), 0, -2)


async def taken_out(rules: Rules) -> object:
    """Take a line out of the middle."""
    key = asked_key(rules.store)
    return await rules.by_hand("LREM", key, 1, await rules.store.link.ask("LINDEX", key, 1))


async def first_taken_out(rules: Rules) -> object:
    return await rules.store.link.ask("LPOP", asked_key(rules.store))


async def removed(rules: Rules) -> object:
    return await rules.by_hand("DEL", asked_key(rules.store))


async def renamed(rules: Rules) -> object:
    """Put another id into the newest line."""
    key, other = asked_key(rules.store), (await rules.paid()).encode()
    number, _, signature = (await rules.store.link.ask("LINDEX", key, -2)).split(b" ", 2)
    return await rules.store.link.ask("LSET", key, -2, b" ".join((number, other, signature)))


async def of_another(rules: Rules) -> object:
    """Put the line of somebody else, of that number, in its place."""
    other, key = neighbour(rules.store), asked_key(rules.store)
    for _ in range(int(await rules.store.link.ask("LLEN", key))):
        await rules.paid(owner=other)
    return await rules.store.link.ask(
        "LSET", key, 0, await rules.store.link.ask("LINDEX", asked_key(rules.store, other), 0)
    )


async def no_line(rules: Rules) -> object:
    return await rules.store.link.ask("RPUSH", asked_key(rules.store), b"whatever")


CHANGES = [cut_off, taken_out, first_taken_out, removed, renamed, of_another, no_line]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_list_that_was_changed_by_hand_is_judged_by_nobody_and_found(
    rules: Rules, change: Callable[[Rules], Awaitable[object]]
) -> None:
    assert [fault async for fault in faults_of(rules.store)] == []
    await change(rules)
    assert "doubt" in await rules.codes()
    places = [fault.place async for fault in faults_of(rules.store)]
    assert [place for place in places if place.startswith(asked_key(rules.store))]


async def test_a_list_that_was_cut_off_with_its_record_is_missed_by_what_is_outside_where_nobody_saw_it(
    rules: Rules,
) -> None:
    """As every process finds it that was started later."""
    hidden = await cancelled(rules)
    await rules.store.write_down()
    await remove(rules, hidden)
    await cut_off(rules)
    rules.store.records.requests.forget()
    rules.clock.advance(1)
    assert await rules.codes(units=NEXT) == [], "nothing in the store tells"
    assert hidden in [fault.place async for fault in faults_of(rules.store)]


async def test_a_request_that_is_not_listed_is_for_a_person_and_two_people_list_it(rules: Rules) -> None:
    """Another process of the version before made it; or somebody cut the list off behind what is hidden."""
    made = await rules.asked()
    await cut_off(rules)
    rules.store.records.requests.forget()
    assert await rules.codes(made) == ["doubt"]
    (place,) = (await unsigned(rules.store)).rows
    assert place.startswith(asked_key(rules.store))
    await rules.store.rows.believe(rules.clock.now())
    assert await rules.codes(made) == []
    assert await rules.codes() == []
    assert (await unsigned(rules.store)).rows == []


async def older_version(store: Store) -> None:
    """Make the store as the version before left it."""
    async for key in store.link.keys("{pf:??}:asked:*"):
        await store.link.ask("DEL", key)
    async with store.link.rows.changing(store.link, Row(keys.META, REQUESTS_LISTED), None):
        await store.link.ask("HDEL", keys.META, REQUESTS_LISTED)


async def test_what_an_older_version_left_is_listed_once_at_the_first_start(
    settings: Settings, clock: FixedClock
) -> None:
    settings, numbers = settings_with(settings, KEY), count()
    async with open_store(settings, clock=clock) as store:
        store.serve([payout(PayoutPolicy(), {})])
        rules = Rules(store, clock, numbers)
        await rules.is_known()
        await put_away(rules)
        await older_version(store)
    async with open_store(settings, clock=clock) as store:
        store.serve([payout(PayoutPolicy(), {})])
        rules = Rules(store, clock, numbers)
        lines = await store.link.ask("LRANGE", asked_key(store), 0, -1)
        assert [line.split(b" ")[1] == BEGINS.encode() for line in lines] == [True, False, False, False]
        assert "new" not in await rules.codes()
        hidden = await rules.paid(units=LARGE)
        await remove(rules, hidden)
        assert "doubt" in await rules.codes()
    async with open_store(settings, clock=clock) as store:
        store.serve([payout(PayoutPolicy(), {})])
        assert "doubt" in await Rules(store, clock, numbers).codes(), (
            "what is hidden later is not listed anew by a start"
        )
        await store.link.ask("HDEL", keys.META, REQUESTS_LISTED)
        await store.link.ask("DEL", asked_key(store))
    async with open_store(settings, clock=clock) as store:
        store.serve([payout(PayoutPolicy(), {})])
        assert "doubt" in await Rules(store, clock, numbers).codes(), "nor by whoever takes the mark away"
        assert f"{keys.META} {REQUESTS_LISTED}" in [fault.place async for fault in faults_of(store)]
        await store.adopt()
        assert "doubt" not in await Rules(store, clock, numbers).codes(), "a person says that it is right"


async def test_a_store_that_was_set_back_misses_what_it_lost_until_a_person_takes_it_for_the_truth(
    rules: Rules,
) -> None:
    link, key = rules.store.link, asked_key(rules.store)
    before = await link.ask("DUMP", key)
    await remove(rules, await cancelled(rules))
    await link.ask("RESTORE", key, 0, before, "REPLACE")
    made = await rules.asked()
    assert await rules.codes(made) == ["doubt"]
    await rules.store.adopt()
    assert await rules.codes(made) == []
    assert await rules.codes() == []
    assert not [fault async for fault in faults_of(rules.store) if fault.place.startswith(key)]


async def test_a_key_that_is_retired_takes_no_list_with_it(settings: Settings, clock: FixedClock) -> None:
    numbers = count()
    for given in ((KEY,), (NEWER, KEY), (NEWER,)):
        async with open_store(settings_with(settings, *given), clock=clock) as store:
            store.serve([payout(PayoutPolicy(), {})])
            rules = Rules(store, clock, numbers)
            if given == (KEY,):
                await rules.is_known()
            else:
                assert (await reseal(store, "ola")).done
            rules.clock.advance(DAY_S)
            assert await rules.codes() == []


async def test_many_ask_at_once_and_no_line_is_missing(settings: Settings, clock: FixedClock) -> None:
    """In two processes, some of them for what is not there."""
    settings, numbers = settings_with(settings, KEY), count()
    async with open_store(settings, clock=clock) as one, open_store(settings, clock=clock) as other:
        stores = (one, other)
        for store in stores:
            store.serve([payout(PayoutPolicy(), {})])
        rules = [Rules(store, clock, numbers) for store in stores]
        await rules[0].is_known()

        async def asks(number: int) -> None:
            place = rules[number % 2]
            if number % 5 == 0:
                with pytest.raises(ShortBalance):
                    await ask_for_too_much(place)
            else:
                await place.asked(units=100 + number)

        await asyncio.gather(*map(asks, range(40)))
        for store in stores:
            assert (await store.records.owned(ANN, 100)).requests.fault == ""
        assert await one.link.ask("LLEN", asked_key(one)) == 3 + 32
        assert [fault async for fault in faults_of(one)] == []


async def ask_for_too_much(rules: Rules) -> None:
    await rules.store.records.create(rules.new(units=10**15), "test")


async def test_a_list_has_an_end(store: Store, clock: FixedClock) -> None:
    rules = Rules(store, clock)
    await rules.store.records.fund(ANN, Money(10**9, NGN), "earned much")
    await asyncio.gather(*(store_one(rules) for _ in range(MOST_LISTED + 20)))
    assert await store.link.ask("LLEN", asked_key(store)) == MOST_LISTED
    assert (await store.records.owned(ANN, 100)).requests.fault == ""
    assert [fault.place async for fault in faults_of(store)] == []


async def store_one(rules: Rules) -> None:
    await rules.store.records.create(rules.new(units=100), "test")
