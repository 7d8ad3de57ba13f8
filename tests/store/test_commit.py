"""A commit writes a decision whole or not at all, on the version that it was made on, once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from machines.core.clock import FixedClock
from machines.core.decision import Decision, move, wait
from machines.core.errors import (
    BadInput,
    ClaimTaken,
    Conflict,
    IllegalMove,
    LeaseLost,
    NotFound,
    PayflowError,
    ShortBalance,
)
from machines.core.facts import Nothing, Override
from machines.core.ids import RecordId
from machines.core.record import Record
from payflow.store import keys
from payflow.store.store import Store
from payflow.store.stored import Stored
from tests.desk import (
    ANN,
    account,
    ask,
    claim,
    claim_one,
    claims,
    faults,
    fund,
    messages,
    new,
    ngn,
    owner_in,
    stay,
    tell,
    think,
)
from tests.errand import Approved, Cancelled, ErrandData, Sent
from tests.servers import EVERY, Deployment, dump

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)

FACT = Approved("somebody")


async def errand(store: Store, key: str = "1", **parts: Any) -> Stored:
    """Make an errand of Ann, who has the money."""
    await fund(store)
    return await store.records.read(await ask(store, key=key, **parts))


async def commit(store: Store, stored: Stored, decision: Decision[Any]) -> Record[Any]:
    return await store.records.commit(stored, decision, FACT, "test")


async def sending(store: Store) -> Stored:
    """Bring an errand to where money may have left."""
    stored = await errand(store)
    await tell(store, stored.record.id, Approved())
    await tell(store, stored.record.id, Sent())
    return await store.records.read(stored.record.id)


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_commit_gives_the_record_that_a_read_gives(store: Store, clock: FixedClock) -> None:
    stored = await errand(store)
    clock.advance(5)
    again = await store.records.read(stored.record.id)
    after = await commit(store, again, move("approve", data=ErrandData("new note", asked=3)))
    assert after == (await store.records.read(stored.record.id)).record
    assert (after.state, after.version, after.data.asked) == ("READY", 2, 3)
    assert after.since == clock.now() == after.created_at + 5000


async def test_a_commit_that_stays_keeps_the_time_in_the_state(store: Store, clock: FixedClock) -> None:
    stored = await errand(store)
    clock.advance(5)
    after = await commit(store, await store.records.read(stored.record.id), stay(data=ErrandData("seen")))
    assert after == (await store.records.read(stored.record.id)).record
    assert (after.state, after.version, after.since) == ("ASKED", 2, stored.record.since)


async def test_a_look_that_learned_nothing_writes_the_next_look_and_nothing_else(
    store: Store, server: Deployment, clock: FixedClock
) -> None:
    stored = await errand(store)
    before = dump(server, without=("seq", "writers"))
    await claim_one(store)
    held = (await store.records.read(stored.record.id)).record
    await store.records.commit(replace(stored, fence=1), wait(30), Nothing(), "test")
    after = dump(server, without=("seq", "writers"))
    due = keys.due(3, "errand", "ASKED")
    assert after.pop(due) == [(stored.record.id.encode(), clock.now() + 30_000)]
    before.pop(due)
    assert after.pop(keys.record(held.id)) == before.pop(keys.record(held.id)) | {b"fence": b"2"}  # type: ignore[operator]
    assert after == before


@pytest.mark.parametrize(
    "parts",
    [
        {"trigger": "approve"},
        {"data": ErrandData()},
        {"alarm": "help"},
        {"messages": messages("told")},
        {"claims": claims(("a", "b"))},
        {"releases": claims(("a", "b"))},
        {"creates": (new(key="2"),)},
    ],
    ids=lambda parts: next(iter(parts)),
)
async def test_a_look_that_learned_nothing_cannot_bring_anything_else(store: Store, parts: dict[str, Any]) -> None:
    stored = await errand(store)
    with pytest.raises(IllegalMove, match="learned nothing"):
        await commit(store, stored, wait().but(**parts))


async def test_a_move_is_due_at_once_where_a_poller_looks_after_it(store: Store) -> None:
    stored = await errand(store)
    await commit(store, stored, move("approve"))
    assert (await claim_one(store, "READY")).record.id == stored.record.id


async def test_a_move_may_say_when_to_look_next(store: Store, clock: FixedClock) -> None:
    stored = await errand(store)
    await commit(store, stored, move("approve", again_s=7.5))
    clock.advance(7.499)
    assert await claim(store, "READY") == []
    clock.advance(0.001)
    await claim_one(store, "READY")


async def test_a_look_that_stays_is_repeated_at_the_pace_of_its_state(store: Store, clock: FixedClock) -> None:
    stored = await sending(store)
    await store.records.commit(await claim_one(store, "SENDING"), wait(), Nothing(), "test")
    clock.advance(0.999)
    assert await claim(store, "SENDING") == []
    clock.advance(0.001)
    assert (await claim_one(store, "SENDING")).record.id == stored.record.id


@pytest.mark.parametrize("again_s", [None, 0, 5])
async def test_where_nobody_looks_nothing_is_due_whatever_was_decided(
    store: Store, clock: FixedClock, again_s: float | None
) -> None:
    stored = await errand(store)
    await commit(store, stored, move("cancel", again_s=again_s))
    clock.advance(10**6)
    assert await store.link.ask("ZCARD", keys.due(3, "errand", "CANCELLED")) == 0
    assert await claim(store) == []
    assert await faults(store) == []


async def test_failed_looks_are_counted_until_one_succeeds(store: Store) -> None:
    stored = await errand(store)
    for tries in (1, 2, 3):
        await store.records.commit(await claim_one(store), wait(0), Nothing(), "test", tries=tries)
        assert (await store.records.read(stored.record.id)).record.tries == tries
    await commit(store, await claim_one(store), stay(again_s=0))
    assert (await store.records.read(stored.record.id)).record.tries == 0


async def test_an_alarm_and_messages_leave_with_the_commit(store: Store) -> None:
    stored = await errand(store)
    await commit(store, stored, move("approve", messages=messages("told"), alarm="look at this"))
    posts = {post.kind: post for post in await store.outbox.take(10, 1000)}
    assert posts.keys() == {"told", "alarm"}
    assert posts["alarm"].body == {"why": "look at this"}
    assert posts["told"].id.startswith(f"{stored.record.id}/2/")


async def test_every_commit_is_in_the_history_with_who_and_why(store: Store, clock: FixedClock) -> None:
    stored = await errand(store)
    await store.records.commit(stored, move("approve", "she asked twice"), Approved("eve"), "olu")
    clock.advance(1)
    await tell(store, stored.record.id, Sent(), "worker 7")
    first, second, third = await store.records.history(stored.record.id)
    assert (second.who, second.why, second.trigger, second.state) == ("olu", "she asked twice", "approve", "READY")
    assert (second.fact, second.details) == ("Approved", {"by": "eve"})
    assert (third.who, third.at - second.at, third.version) == ("worker 7", 1000, 3)
    assert first.before == bytes(32) != second.before != third.before


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


async def refuse_conflict(store: Store) -> None:
    stored = await errand(store)
    await commit(store, stored, stay())
    await commit(store, stored, move("approve"))


async def refuse_state(store: Store) -> None:
    stored = await errand(store)
    await store.link.ask("HSET", keys.record(stored.record.id), "state", "READY")
    try:
        await commit(store, stored, move("approve"))
    finally:
        await store.link.ask("HSET", keys.record(stored.record.id), "state", "ASKED")


async def refuse_fenced(store: Store) -> None:
    stored = await errand(store)
    await commit(store, replace(stored, fence=7), move("approve"))


async def refuse_fenced_stay(store: Store) -> None:
    stored = await errand(store)
    await store.records.commit(replace(stored, fence=7), wait(), Nothing(), "test")


async def refuse_conflict_stay(store: Store) -> None:
    stored = await errand(store)
    await commit(store, stored, stay())
    await store.records.commit(stored, wait(), Nothing(), "test")


async def refuse_missing(store: Store) -> None:
    stored = await errand(store)
    gone = replace(stored.record, id=RecordId("errand-03-aaaaaaaaaaaaaaaa"))
    await commit(store, replace(stored, record=gone), move("approve"))


async def refuse_missing_stay(store: Store) -> None:
    stored = await errand(store)
    gone = replace(stored.record, id=RecordId("errand-03-aaaaaaaaaaaaaaaa"))
    await store.records.commit(replace(stored, record=gone), wait(), Nothing(), "test")


async def refuse_taken(store: Store) -> None:
    await errand(store, "holder", claims=claims(("nonce", "7")))
    stored = await errand(store)
    decision = move(
        "cancel",
        claims=claims(("nonce", "8"), ("nonce", "7")),
        messages=messages("told"),
        data=ErrandData("changed"),
    )
    await commit(store, stored, decision)


async def refuse_short(store: Store) -> None:
    stored = await errand(store)
    await tell(store, stored.record.id, Cancelled())
    await store.records.fund(ANN, ngn(1_000_000), "back", out=True)
    await tell(store, stored.record.id, Override(to="READY", reason="again", by="olu", second="eve"))


async def refuse_group_short(store: Store) -> None:
    stored = await errand(store)
    await commit(store, stored, move("approve", creates=(new(key="2", units=1), new(key="3", units=10**9))))


async def refuse_group_member(store: Store) -> None:
    stored, member = await errand(store), await errand(store, "2")
    stale = move("approve", group=((replace(member.record, version=9), move("approve")),))
    await commit(store, stored, stale)


async def refuse_group_twice(store: Store) -> None:
    stored = await errand(store)
    await commit(store, stored, move("approve", group=((stored.record, move("cancel")),)))


async def refuse_group_key(store: Store) -> None:
    stored = await errand(store)
    await errand(store, "2")
    await commit(store, stored, move("approve", creates=(new(key="3"), new(key="2", fingerprint="other"))))


Attempt = Callable[[Store], Awaitable[None]]
REFUSALS: list[tuple[Attempt, type[PayflowError]]] = [
    (refuse_conflict, Conflict),
    (refuse_state, Conflict),
    (refuse_fenced, LeaseLost),
    (refuse_fenced_stay, LeaseLost),
    (refuse_conflict_stay, Conflict),
    (refuse_missing, NotFound),
    (refuse_missing_stay, NotFound),
    (refuse_taken, ClaimTaken),
    (refuse_short, ShortBalance),
    (refuse_group_short, ShortBalance),
    (refuse_group_member, Conflict),
    (refuse_group_twice, Conflict),
    (refuse_group_key, PayflowError),
]


@pytest.mark.parametrize(("attempt", "error"), REFUSALS, ids=lambda value: getattr(value, "__name__", ""))
async def test_what_is_refused_leaves_every_byte_as_it_was(
    store: Store, server: Deployment, attempt: Attempt, error: type[PayflowError], monkeypatch: pytest.MonkeyPatch
) -> None:
    before: dict[str, object] = {}
    send = store.records.link.run

    async def watched(*args: Any) -> object:
        before.clear()
        before.update(dump(server, without=("seq", "writers")))
        return await send(*args)

    monkeypatch.setattr(store.records.link, "run", watched)
    with pytest.raises(error):
        await attempt(store)
    if attempt is refuse_state:
        before[keys.record((await store.listing.owned_by(ANN))[0].record.id)] = dump(server)[
            keys.record((await store.listing.owned_by(ANN))[0].record.id)
        ]
    assert before == dump(server, without=("seq", "writers"))
    assert await faults(store) == []


async def test_a_move_that_the_table_does_not_have_never_reaches_the_store(store: Store) -> None:
    stored = await errand(store)
    with pytest.raises(IllegalMove):
        await commit(store, stored, move("finish"))


# ── races and repeats ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_commit_whose_reply_was_lost_is_written_once(store: Store) -> None:
    stored = await sending(store)
    decision = move("finish", messages=messages("told"), claims=claims(("receipt", "7")))
    first = await commit(store, stored, decision)
    again = await commit(store, stored, decision)
    assert first == again
    assert (await account(store)).paid == 100
    assert len(await store.outbox.take(10, 1000)) == 1
    assert len(await store.records.history(stored.record.id)) == 4
    assert await faults(store) == []


async def test_a_leased_commit_whose_reply_was_lost_is_written_once(store: Store) -> None:
    await errand(store)
    stored = await claim_one(store)
    await commit(store, stored, move("approve"))
    await commit(store, stored, move("approve"))
    assert (await claim_one(store, "READY")).record.version == 2
    assert await faults(store) == []


async def test_a_group_whose_reply_was_lost_is_written_once(store: Store) -> None:
    stored, member = await errand(store), await errand(store, "2")
    decision = move("approve", group=((member.record, move("cancel")),), creates=(new(key="3"),))
    await commit(store, stored, decision)
    with pytest.raises(Conflict):
        await commit(store, stored, decision)  # the member cannot be read as it was: nothing is written
    assert (await account(store)).held == 200
    assert await faults(store) == []


async def test_a_repeat_after_another_commit_is_a_conflict(store: Store) -> None:
    stored = await errand(store)
    await commit(store, stored, move("approve"))
    await tell(store, stored.record.id, Sent())
    with pytest.raises(Conflict):
        await commit(store, stored, move("approve"))


async def test_fifty_different_facts_at_once_have_one_winner(store: Store) -> None:
    stored = await errand(store)
    decisions = [move("approve" if n % 2 else "cancel", f"by {n}") for n in range(50)]
    done = await asyncio.gather(*(commit(store, stored, one) for one in decisions), return_exceptions=True)
    winners = [one for one in done if isinstance(one, Record)]
    assert len(winners) == 1
    assert sum(isinstance(one, Conflict) for one in done) == 49
    assert (await store.records.read(stored.record.id)).record == winners[0]
    assert await faults(store) == []


async def test_fifty_givings_back_of_one_lease_have_one_winner(store: Store) -> None:
    await errand(store)
    stored = await claim_one(store)
    done = await asyncio.gather(
        *(store.records.commit(stored, wait(5), Nothing(), f"w{n}") for n in range(50)), return_exceptions=True
    )
    assert sum(isinstance(one, Record) for one in done) == 1
    assert sum(isinstance(one, LeaseLost | Conflict) for one in done) == 49


@pytest.mark.parametrize("first", ["worker", "outside"])
async def test_a_look_and_a_fact_from_outside_in_one_call_leave_one_place_in_the_indexes(
    store: Store, first: str
) -> None:
    """The holder gives the record back unchanged while an operator moves it: both go in the same call."""
    await errand(store)
    held = await claim_one(store)
    seen = await store.records.read(held.record.id)
    calls = [
        store.records.commit(held, wait(60), Nothing(), "worker"),
        store.records.commit(seen, move("approve"), Approved(), "outside"),
    ]
    done = await asyncio.gather(*(calls if first == "worker" else reversed(calls)), return_exceptions=True)
    assert any(isinstance(one, Conflict) for one in done), "who comes second does not know what the first wrote"
    places = [
        state
        for state in ("ASKED", "READY")
        if await store.link.ask("ZSCORE", keys.due(3, "errand", state), held.record.id) is not None
    ]
    assert places == [(await store.records.read(held.record.id)).record.state]
    assert await faults(store) == []


async def test_records_in_many_shards_are_committed_together(store: Store) -> None:
    owners = [owner_in(shard) for shard in range(store.records.shards)]
    for owner in owners:
        await fund(store, owner)
    ids = await asyncio.gather(*(ask(store, owner, key=str(n)) for owner in owners for n in range(10)))
    found = await claim(store)
    assert sorted(one.record.id for one in found) == sorted(ids)
    await asyncio.gather(*(think(store, one, Approved()) for one in found))
    assert len(await claim(store, "READY")) == 40
    assert await faults(store) == []


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_group_moves_together(store: Store) -> None:
    stored, member = await errand(store), await errand(store, "2")
    await commit(store, stored, move("approve", group=((member.record, move("cancel", "with it")),)))
    states = [(await store.records.read(one.record.id)).record.state for one in (stored, member)]
    assert states == ["READY", "CANCELLED"]
    assert (await account(store)).held == 100
    assert await faults(store) == []


async def test_a_group_whose_member_changed_is_not_written(store: Store) -> None:
    stored, member = await errand(store), await errand(store, "2")
    await tell(store, member.record.id, Approved())
    with pytest.raises(Conflict):
        await commit(store, stored, move("approve", group=((member.record, move("cancel")),)))
    assert (await store.records.read(stored.record.id)).record.version == 1


async def test_what_a_decision_creates_comes_into_being_with_it(store: Store) -> None:
    stored = await errand(store)
    await commit(store, stored, move("approve", creates=(new(key="2"), new(key="3"))))
    assert (await account(store)).held == 300
    assert len(await claim(store)) == 2
    assert await faults(store) == []


async def test_what_a_decision_creates_may_be_there_already(store: Store) -> None:
    stored, there = await errand(store), await errand(store, "2")
    await commit(store, stored, move("approve", creates=(new(key="2"), new(key="3"), new(key="4"))))
    assert (await account(store)).held == 400
    lines = await store.link.ask("LRANGE", keys.asked(store.records.owner_shard(ANN), ANN), 0, -1)
    assert [line.split(b" ")[0] for line in lines] == [b"1", b"2", b"3", b"4", b"5"], "no line is missing"
    assert (await store.records.read(there.record.id)).record == there.record
    assert (await store.records.read(stored.record.id)).record.state == "READY"
    assert await faults(store) == []


@pytest.mark.parametrize("how", ["creates", "group"])
async def test_records_of_two_shards_are_not_put_into_one_group(store: Store, how: str) -> None:
    stored = await errand(store)
    other = owner_in(1)
    await fund(store, other)
    stranger = await store.records.read(await ask(store, other))
    decision = (
        move("approve", creates=(new(other, key="9"),))
        if how == "creates"
        else move("approve", group=((stranger.record, move("approve")),))
    )
    with pytest.raises(BadInput, match="shard"):
        await commit(store, stored, decision)
    assert await faults(store) == []


async def test_two_creations_of_one_group_see_each_others_money(store: Store) -> None:
    stored = await errand(store)
    twins = (new(key="2", units=600_000), new(key="3", units=600_000))
    with pytest.raises(ShortBalance):
        await commit(store, stored, move("approve", creates=twins))
    small = (new(key="2", units=100), new(key="3", units=200))
    await commit(store, stored, move("approve", creates=small))
    assert (await account(store)).held == 400


async def test_a_claim_may_be_handed_over_within_a_group(store: Store) -> None:
    stored = await errand(store, claims=claims(("login", "ann")))
    heir = new(key="2", claims=claims(("login", "ann")))
    await commit(store, stored, move("cancel", releases=claims(("login", "ann")), creates=(heir,)))
    with pytest.raises(ClaimTaken):
        await ask(store, key="3", claims=claims(("login", "ann")))
    heir_now = await store.records.read(heir.id)
    await commit(store, heir_now, move("cancel", releases=claims(("login", "ann"))))
    await ask(store, key="4", claims=claims(("login", "ann")))


async def test_a_claim_can_be_let_go_and_taken_again_in_one_commit(store: Store) -> None:
    stored = await errand(store, claims=claims(("nonce", "7")))
    again = stay(releases=claims(("nonce", "7")), claims=claims(("nonce", "7")))
    await commit(store, stored, again)
    with pytest.raises(ClaimTaken):
        await ask(store, key="2", claims=claims(("nonce", "7")))


async def test_nobody_lets_go_of_anothers_claim(store: Store) -> None:
    await errand(store, "holder", claims=claims(("nonce", "7")))
    stored = await errand(store)
    await commit(store, stored, stay(releases=claims(("nonce", "7"), ("nonce", "8"))))
    with pytest.raises(ClaimTaken):
        await ask(store, key="2", claims=claims(("nonce", "7")))


async def test_two_of_one_group_cannot_take_the_same_claim(store: Store) -> None:
    stored = await errand(store)
    rivals = tuple(new(key=key, claims=claims(("nonce", "7"))) for key in "23")
    with pytest.raises(ClaimTaken):
        await commit(store, stored, move("approve", creates=rivals))
    assert (await account(store)).held == 100


async def test_a_refused_group_of_a_call_leaves_the_others_alone(store: Store) -> None:
    stored = [await errand(store, str(n)) for n in range(20)]
    await tell(store, stored[7].record.id, Cancelled())
    done = await asyncio.gather(
        *(commit(store, one, move("approve", creates=(new(key=f"with {one.record.id}"),))) for one in stored),
        return_exceptions=True,
    )
    assert [isinstance(one, Conflict) for one in done] == [n == 7 for n in range(20)]
    assert (await account(store)).held == 19 * 200
    assert await faults(store) == []
