"""The history is append-only and hash-chained; looking over everything finds what should not be."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from machines.bounty import lifecycle as bounty
from machines.core.clock import Millis
from machines.core.decision import Decision, New, keep
from machines.core.facts import Fact
from machines.core.ids import RecordId, derived_id
from machines.core.lifecycle import Lifecycle
from machines.core.machine import Machine
from machines.core.record import Record
from machines.payout import lifecycle as payout
from machines.pool import lifecycle as pool
from machines.transaction import lifecycle as transaction
from payflow.store import keys
from payflow.store.codec import GENESIS, UnreadableRecord, chain, chain_fault, encode, event_bytes, read_event
from payflow.store.integrity import NOT_SIGNED
from payflow.store.store import Store
from tests.desk import ANN, ask, claim_one, faults, fund, ngn, owner_in, tell
from tests.errand import Approved, Cancelled, Done, ErrandData, Sent

P = keys.prefix(3)


async def story(store: Store) -> RecordId:
    """An errand with four events."""
    await fund(store)
    record_id = await ask(store)
    for fact in (Approved(), Sent(), Done("receipt")):
        await tell(store, record_id, fact)
    return record_id


async def test_each_event_holds_the_hash_of_the_one_before_and_the_record_the_newest(store: Store) -> None:
    record_id = await story(store)
    raw = await store.link.ask("LRANGE", keys.history(record_id), 0, -1)
    before = GENESIS
    for event in raw:
        assert event[:32] == before
        before = chain(event)
    assert (await store.records.read(record_id)).chain == before
    assert [read_event(event).version for event in raw] == [1, 2, 3, 4]


async def change_an_event(store: Store, record_id: RecordId) -> None:
    key = keys.history(record_id)
    second = await store.link.ask("LINDEX", key, 1)
    await store.link.ask("LSET", key, 1, second.replace(b"auto", b"olu!"))


async def cut_the_newest(store: Store, record_id: RecordId) -> None:
    await store.link.ask("RPOP", keys.history(record_id))


async def cut_the_oldest(store: Store, record_id: RecordId) -> None:
    await store.link.ask("LPOP", keys.history(record_id))


async def cut_the_middle(store: Store, record_id: RecordId) -> None:
    key = keys.history(record_id)
    await store.link.ask("LREM", key, 1, await store.link.ask("LINDEX", key, 1))


async def swap_two(store: Store, record_id: RecordId) -> None:
    key = keys.history(record_id)
    one, two = await store.link.ask("LRANGE", key, 1, 2)
    await store.link.ask("LSET", key, 1, two)
    await store.link.ask("LSET", key, 2, one)


async def add_a_false_one(store: Store, record_id: RecordId) -> None:
    newest = (await store.records.read(record_id)).chain
    event = event_bytes(newest, 1, 5, "override", "CANCELLED", "nobody", "", "Override", None)
    await store.link.ask("RPUSH", keys.history(record_id), event)


async def repeat_the_newest(store: Store, record_id: RecordId) -> None:
    key = keys.history(record_id)
    await store.link.ask("RPUSH", key, await store.link.ask("LINDEX", key, -1))


async def lose_it_all(store: Store, record_id: RecordId) -> None:
    await store.link.ask("DEL", keys.history(record_id))


TAMPERING = [
    change_an_event,
    cut_the_newest,
    cut_the_oldest,
    cut_the_middle,
    swap_two,
    add_a_false_one,
    repeat_the_newest,
    lose_it_all,
]


@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda tamper: tamper.__name__)
async def test_a_history_that_was_changed_is_found(
    store: Store, tamper: Callable[[Store, RecordId], Awaitable[None]]
) -> None:
    record_id = await story(store)
    assert await faults(store) == []
    await tamper(store, record_id)
    (fault,) = await faults(store)
    assert record_id in fault
    assert "history is not whole" in fault


def test_an_empty_history_is_whole_only_for_what_was_never_made() -> None:
    assert chain_fault([], GENESIS) == ""
    assert chain_fault([], b"x" * 32) != ""


@pytest.mark.parametrize("event", [b"", b"x" * 32, b"x" * 32 + b"\xc1", b"x" * 32 + b"\x01", b"x" * 32 + b"\x93\1\2\3"])
def test_an_event_that_cannot_be_read_says_so(event: bytes) -> None:
    with pytest.raises(UnreadableRecord, match="cannot be read"):
        read_event(event)


async def another_note(store: Store, record_id: RecordId) -> None:
    await store.link.ask("HSET", keys.record(record_id), "data", encode(ErrandData("another note")))


async def another_owner(store: Store, record_id: RecordId) -> None:
    await store.link.ask("HSET", keys.record(record_id), "owner", "mallory")


async def the_data_of_another_record(store: Store, record_id: RecordId) -> None:
    other = await ask(store, key="other")
    await tell(store, other, Approved())
    data = await store.link.ask("HGET", keys.record(other), "data")
    assert data != await store.link.ask("HGET", keys.record(record_id), "data")
    await store.link.ask("HSET", keys.record(record_id), "data", data)


async def what_it_kept_before(store: Store, record_id: RecordId) -> None:
    await store.link.ask("HSET", keys.record(record_id), "data", encode(ErrandData("test")))


@pytest.mark.parametrize(
    "change",
    [another_note, another_owner, the_data_of_another_record, what_it_kept_before],
    ids=lambda one: one.__name__,
)
async def test_what_was_changed_beside_the_history_is_found(
    store: Store, change: Callable[[Store, RecordId], Awaitable[None]]
) -> None:
    """Every byte of it can be read, and no index is wrong: only its history says that it was another."""
    record_id = await story(store)
    await change(store, record_id)
    (fault,) = [fault for fault in await faults(store) if record_id in fault]
    assert "its data, or its owner, are not what event 4 left" in fault


async def test_a_commit_that_leaves_the_data_as_they_are_says_so(store: Store) -> None:
    await fund(store)
    record_id = await ask(store)
    await tell(store, record_id, Approved())
    assert [event.left for event in await store.records.history(record_id)][1:] == [b""]
    await another_note(store, record_id)
    (fault,) = await faults(store)
    assert "are not what event 1 left" in fault


async def test_an_older_version_reads_past_what_an_event_says_of_the_data(store: Store) -> None:
    """It takes the first pair behind the details for the amount, of the event that made the record."""
    for event in await store.link.ask("LRANGE", keys.history(await story(store)), 0, -1):
        *_, details, first = msgspec.msgpack.decode(event[32:])[:9]
        assert len(first) == 2
        assert details is None or first != ["NGN", "100"] or read_event(event).version == 1
    assert (await store.records.history(await story(store)))[0].amount == ("NGN", "100")


async def test_of_what_an_older_version_wrote_last_nothing_is_known(store: Store) -> None:
    """It said nothing of the data, so that a worker of that version beside ours raises no false alarm of forgery."""
    record_id = await story(store)
    stored = await store.records.read(record_id)
    event = stored.chain + encode((1, 5, "", "DONE", "an older worker", "", "Noted", None))
    await store.link.ask("RPUSH", keys.history(record_id), event)
    await store.link.ask("HSET", keys.record(record_id), "ver", 5, "hash", chain(event), "data", encode(ErrandData()))
    assert await faults(store) == [f"{record_id}: {NOT_SIGNED}"]


# ── indexes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def put_into_two(store: Store, record_id: RecordId) -> None:
    await store.link.ask("ZADD", keys.members(3, "errand", "READY"), 1, record_id)


async def take_out_of_all(store: Store, record_id: RecordId) -> None:
    await store.link.ask("ZREM", keys.members(3, "errand", "ASKED"), record_id)


async def make_nobody_look(store: Store, record_id: RecordId) -> None:
    await store.link.ask("ZREM", keys.due(3, "errand", "ASKED"), record_id)


async def lose_the_record(store: Store, record_id: RecordId) -> None:
    await store.link.ask("DEL", keys.record(record_id))


async def forget_the_state(store: Store, record_id: RecordId) -> None:
    await store.link.ask("HDEL", keys.record(record_id), "state")


async def put_into_a_state_of_another_version(store: Store, record_id: RecordId) -> None:
    await store.link.ask("HSET", keys.record(record_id), "state", "NEWER")
    await store.link.ask("ZREM", keys.members(3, "errand", "ASKED"), record_id)
    await store.link.ask("ZADD", keys.members(3, "errand", "NEWER"), 1, record_id)


async def break_the_data(store: Store, record_id: RecordId) -> None:
    await store.link.ask("HSET", keys.record(record_id), "data", b"\xc1")


@pytest.mark.parametrize(
    "spoil",
    [
        put_into_two,
        take_out_of_all,
        make_nobody_look,
        lose_the_record,
        forget_the_state,
        put_into_a_state_of_another_version,
        break_the_data,
    ],
    ids=lambda spoil: spoil.__name__,
)
async def test_a_record_that_is_not_as_its_indexes_say_is_found(
    store: Store, spoil: Callable[[Store, RecordId], Awaitable[None]]
) -> None:
    await fund(store)
    good, bad = await ask(store), await ask(store, key="2")
    assert await faults(store) == []
    await spoil(store, bad)
    found = [fault async for fault in store.integrity.verify()]
    assert {fault.place for fault in found} == {bad}
    assert good not in {fault.place for fault in found}


async def test_a_record_of_a_machine_that_this_process_does_not_run_is_no_fault(store: Store) -> None:
    record_id = RecordId("payout-03-aaaaaaaaaaaaaaaa")
    event = event_bytes(GENESIS, 1, 1, "", "REQUESTED", "api", "", "Created", None)
    await store.link.ask("HSET", keys.record(record_id), "state", "REQUESTED", "ver", 1, "hash", chain(event))
    await store.link.ask("RPUSH", keys.history(record_id), event)
    await store.link.ask("ZADD", keys.members(3, "payout", "REQUESTED"), 1, record_id)
    assert await faults(store) == []


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_crowds_count_every_state(store: Store) -> None:
    for shard in range(4):
        await fund(store, owner_in(shard))
        await ask(store, owner_in(shard))
        await tell(store, await ask(store, owner_in(shard), key="2"), Cancelled())
    crowds = {crowd.state: crowd for crowd in await store.listing.counts_by_state()}
    assert {state: crowd.count for state, crowd in crowds.items() if crowd.count} == {"ASKED": 4, "CANCELLED": 4}
    assert crowds["ASKED"].due == 4
    assert crowds["CANCELLED"].due == 0
    assert crowds["READY"].oldest is None


async def test_an_owners_records_are_listed_the_newest_first(store: Store) -> None:
    await fund(store)
    ids = [await ask(store, key=str(number)) for number in range(3)]
    assert {one.record.id for one in await store.listing.owned_by(ANN)} == set(ids)
    assert await store.listing.owned_by(owner_in(1)) == []


async def test_a_record_that_cannot_be_read_does_not_hide_the_others(store: Store) -> None:
    await fund(store)
    good, bad = await ask(store), await ask(store, key="2")
    await store.link.ask("HSET", keys.record(bad), "data", b"\xc1")
    assert [one.record.id for one in await store.listing.owned_by(ANN)] == [good]
    assert [one.record.id for one in await store.listing.in_state("errand", "ASKED")] == [good]


async def test_nothing_is_found_wrong_while_records_move(store: Store) -> None:
    """What is read in two steps can differ because of a commit between them: that is no fault."""
    await fund(store)
    await asyncio.gather(*(ask(store, key=str(number)) for number in range(100)))

    async def move_on() -> None:
        for listed in await store.listing.owned_by(ANN):
            for fact in (Approved(), Sent(), Done("receipt")):
                await tell(store, listed.record.id, fact)

    moving = asyncio.create_task(move_on())
    while not moving.done():
        assert await faults(store) == []
    await moving
    assert await faults(store) == []


async def test_the_first_look_finds_what_the_creation_left(store: Store) -> None:
    await fund(store)
    await ask(store)
    assert (await claim_one(store)).record.version == 1


LIFECYCLES = [
    payout.LIFECYCLE, pool.LIFECYCLE, bounty.LIFECYCLE, bounty.REPOSITORY,
    transaction.LANE, transaction.PAYMENT, transaction.TRANSACTION,
]  # fmt: skip
SHARD = 3


def unthinking(_record: Record[ErrandData], _fact: Fact, _now: Millis) -> Decision[ErrandData]:
    return keep("it does not think")


@pytest.mark.parametrize("lifecycle", LIFECYCLES, ids=lambda one: one.machine)
async def test_in_each_state_of_each_machine_state_amount_owner_data_and_place_are_what_the_history_says(
    store: Store, lifecycle: Lifecycle
) -> None:
    share = (lambda _: None) if any(state.at_rail for state in lifecycle.states.values()) else None
    machine = Machine(lifecycle=lifecycle, data=ErrandData, react=unthinking, rail_share=share)
    store.serve([machine])
    await store.records.fund(ANN, ngn(1_000_000), "earned")
    names = list(lifecycle.states)
    for number, state in enumerate(names):
        record_id = derived_id(lifecycle.machine, SHARD, "one of each", state)
        new_one = New(
            id=record_id, machine=lifecycle.machine, owner=ANN, amount=ngn(100) if machine.money else None,
            data=ErrandData(state), fingerprint="",
        )  # fmt: skip
        await store.records.recreate(new_one, state, "test", "to be changed")
        assert await store.integrity.faults_of(record_id) in ([], [FORGOTTEN.format(state)])
        other, record = names[number - 1], keys.record(record_id)
        members = keys.members(SHARD, lifecycle.machine, state)
        dumps = {key: await store.link.ask("DUMP", key) for key in (record, members)}
        changes: dict[str, list[tuple[str | bytes, ...]]] = {
            "owner": [("HSET", record, "owner", "mallory")],
            "data": [("HSET", record, "data", encode(ErrandData("other")))],
            "place": [("ZREM", members, record_id)],
        }
        if other != state:
            there = keys.members(SHARD, lifecycle.machine, other)
            moved = [("ZREM", members, record_id), ("ZADD", there, "1", record_id)]
            changes["state"] = [("HSET", record, "state", other), *moved]
        if machine.money:
            changes["units"] = [("HSET", record, "units", "101")]
            changes["asset"] = [("HSET", record, "asset", "ETH")]
        for what, commands in changes.items():
            for command in commands:
                await store.link.ask(*command)
            found = set(await store.integrity.faults_of(record_id)) - {FORGOTTEN.format(state)}
            assert found, f"{what} in {state}"
            if what == "state":
                await store.link.ask("ZREM", keys.members(SHARD, lifecycle.machine, other), record_id)
            for key, dump in dumps.items():
                await store.link.ask("RESTORE", key, 0, dump, "REPLACE")


FORGOTTEN = "nobody will ever look at it in {}"
"""What is made anew by hand in a state that is polled has a time by itself; one that is not has none."""
