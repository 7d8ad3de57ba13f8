"""Messages wait where the commit left them until somebody delivered them, or a person took them up."""

import asyncio

import pytest

from machines.core.clock import FixedClock, Millis
from machines.core.errors import NotFound
from machines.core.ids import RecordId
from payflow.config import Settings
from payflow.store import keys
from payflow.store.outbox import Post
from payflow.store.store import Store
from tests.desk import ask, fund, messages, opened, owner_in
from tests.servers import EVERY, Deployment, dump

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)

LEASE_MS = 60_000


async def message(store: Store, *kinds: str, shard: int = 1) -> RecordId:
    """Make a record that has something to say."""
    owner = owner_in(shard)
    await fund(store, owner)
    return await ask(store, owner, messages=messages(*(kinds or ("told",))))


async def take(store: Store, limit: int = 10) -> list[Post]:
    return await store.outbox.take(limit, LEASE_MS)


async def test_a_message_says_what_it_was_given(store: Store, clock: FixedClock) -> None:
    record_id = await message(store)
    (post,) = await take(store)
    assert post == Post(f"{record_id}/1/1", "told", record_id, clock.now(), {"n": 0}, 0)


async def test_a_taken_message_is_nobody_elses_until_its_lease_ends(
    store: Store, settings: Settings, clock: FixedClock
) -> None:
    await message(store)
    async with opened(settings, clock=clock) as other:
        (first,) = await take(store)
        clock.advance(LEASE_MS / 1000 - 0.001)
        assert await take(other) == []
        clock.advance(0.001)
        assert await take(other) == [first]


async def test_racing_dispatchers_take_each_message_once(store: Store, settings: Settings, clock: FixedClock) -> None:
    for shard in range(4):
        await message(store, *["told"] * 10, shard=shard)
    async with opened(settings, clock=clock) as other:
        taken = await asyncio.gather(*(take(one, 2) for _ in range(10) for one in (store, other)))
    ids = [post.id for posts in taken for post in posts]
    assert len(ids) == len(set(ids)) == 40


async def test_a_delivered_message_is_forgotten(store: Store, server: Deployment, clock: FixedClock) -> None:
    await message(store)
    (post,) = await take(store)
    await store.outbox.done(post)
    clock.advance(10**6)
    assert await take(store) == []
    assert await store.outbox.waiting() == 0
    assert not [key for key in dump(server) if key.endswith((":outbox", ":message", ":undelivered"))]


async def test_a_failed_message_comes_again_when_it_was_said_to(store: Store, clock: FixedClock) -> None:
    await message(store)
    for tries in range(3):
        (post,) = await take(store)
        assert post.tries == tries
        await store.outbox.later(post, 30)
        clock.advance(29.999)
        assert await take(store) == []
        clock.advance(0.001)


async def test_a_message_that_was_given_up_waits_for_a_person(store: Store, clock: FixedClock) -> None:
    record_id = await message(store)
    (post,) = await take(store)
    await store.outbox.later(post, 0)
    (post,) = await take(store)
    await store.outbox.give_up(post)
    clock.advance(10**6)
    assert await take(store) == []
    (aside,) = await store.outbox.undelivered()
    assert (aside.id, aside.kind, aside.body, aside.record) == (post.id, "told", {"n": 0}, record_id)


async def test_a_person_takes_a_message_up_again_with_a_clean_slate(store: Store) -> None:
    await message(store)
    (post,) = await take(store)
    await store.outbox.later(post, 0)
    (post,) = await take(store)
    await store.outbox.give_up(post)
    await store.outbox.replay(post.id)
    (again,) = await take(store)
    assert (again.id, again.tries) == (post.id, 0)
    assert await store.outbox.undelivered() == []


async def test_a_message_that_was_not_set_aside_is_not_taken_up(store: Store) -> None:
    await message(store)
    (post,) = await take(store)
    with pytest.raises(NotFound):
        await store.outbox.replay(post.id)
    with pytest.raises(NotFound):
        await store.outbox.replay("errand-01-aaaaaaaaaaaaaaaa/1/1")


@pytest.mark.parametrize("late", ["later", "give_up", "done"])
async def test_who_was_slow_does_not_undo_what_another_delivered(
    store: Store, server: Deployment, clock: FixedClock, late: str
) -> None:
    await message(store)
    (slow,) = await take(store)
    clock.advance(LEASE_MS / 1000)
    (quick,) = await take(store)
    await store.outbox.done(quick)
    await (store.outbox.later(slow, 1) if late == "later" else getattr(store.outbox, late)(slow))
    clock.advance(10**6)
    assert await take(store) == []
    assert await store.outbox.undelivered() == []
    assert not [key for key in dump(server) if key.endswith((":outbox", ":message", ":undelivered"))]


async def test_what_was_delivered_after_all_is_no_longer_set_aside(
    store: Store, server: Deployment, clock: FixedClock
) -> None:
    await message(store)
    (slow,) = await take(store)
    clock.advance(LEASE_MS / 1000)
    (quick,) = await take(store)
    await store.outbox.give_up(quick)
    await store.outbox.done(slow)
    assert await store.outbox.undelivered() == []
    assert not [key for key in dump(server) if key.endswith((":outbox", ":message", ":undelivered"))]


async def test_messages_are_counted_and_the_oldest_is_known(store: Store, clock: FixedClock) -> None:
    assert await store.outbox.oldest_due() is None
    first = clock.now()
    await message(store, shard=2)
    clock.advance(5)
    await message(store, "a", "b", shard=3)
    assert await store.outbox.waiting() == 3
    assert await store.outbox.oldest_due() == first


async def test_so_many_of_a_shard_are_taken_at_a_time_the_oldest_first(store: Store, clock: FixedClock) -> None:
    ids = []
    owner = owner_in(1)
    await fund(store, owner)
    for number in range(5):
        ids.append(await ask(store, owner, key=str(number), messages=messages("told")))
        clock.advance(1)
    assert [post.record for post in await take(store, 2)] == ids[:2]
    assert [post.record for post in await take(store, 9)] == ids[2:]


async def test_a_message_whose_content_is_lost_does_not_stop_the_others(store: Store, clock: FixedClock) -> None:
    lost, kept = await message(store, shard=1), await message(store, shard=2)
    await store.link.ask("HDEL", keys.messages(1), f"{lost}/1/1")
    assert [post.record for post in await take(store)] == [kept]
    clock.advance(LEASE_MS / 1000)
    assert [post.record for post in await take(store)] == [kept]


# ── what platforms hear ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_of_what_a_platform_hears_of_one_record_nothing_goes_before_what_came_earlier(
    store: Store, clock: FixedClock
) -> None:
    """It fails, its turn comes and goes, others are taken meanwhile: the second of a record waits for its first."""
    first, other = await message(store, *["webhook"] * 12), await message(store, "webhook", shard=2)
    assert {post.id for post in await take(store)} == {f"{first}/1/1", f"{other}/1/1"}
    assert await take(store) == []
    clock.advance(LEASE_MS / 1000)
    taken = await take(store)
    assert {post.id for post in taken} == {f"{first}/1/1", f"{other}/1/1"}, "and the first again, when its lease ended"
    await store.outbox.later(next(post for post in taken if post.record == first), 3600)
    assert await take(store) == []
    clock.advance(3600)
    for number in range(1, 12):
        (post,) = [one for one in await take(store) if one.record == first]
        assert post.id == f"{first}/1/{number}", "by number, not by how it is spelt"
        await (store.outbox.give_up(post) if number == 3 else store.outbox.done(post))


async def test_each_endpoint_has_an_order_of_its_own(store: Store, clock: FixedClock) -> None:
    record = await message(store, "webhook", "webhook")
    for _ in range(2):
        (post,) = await store.outbox.take(9, LEASE_MS, "outbox:webhook")
        await store.outbox.spread(post, {"event": post.id}, ["shop.a", "shop.b"])
    posts = {post.id: post for post in await take(store)}
    assert set(posts) == {f"{record}/1/1@shop.a", f"{record}/1/1@shop.b"}
    assert posts[f"{record}/1/1@shop.a"].body == {"event": f"{record}/1/1"}
    await store.outbox.later(posts[f"{record}/1/1@shop.a"], 3600)
    await store.outbox.done(posts[f"{record}/1/1@shop.b"])
    assert [post.id for post in await take(store)] == [f"{record}/1/2@shop.b"]
    clock.advance(3600)
    assert f"{record}/1/1@shop.a" in [post.id for post in await take(store)]


async def test_what_is_delivered_once_more_comes_in_its_turn_as_well(store: Store) -> None:
    record = await message(store, "webhook", "webhook")
    for number in (1, 2):
        await store.outbox.again(f"{record}/1/{number}@shop.a", record, Millis(5), {"event": "old"})
    (first,) = await store.outbox.take(9, LEASE_MS, "outbox:delivery")
    assert (first.id, first.body, first.tries) == (f"{record}/1/1@shop.a", {"event": "old"}, 0)
    await store.outbox.done(first)
    assert [one.id for one in await store.outbox.take(9, LEASE_MS, "outbox:delivery")] == [f"{record}/1/2@shop.a"]


async def test_what_an_older_version_wrote_or_delivered_holds_nothing_up(store: Store) -> None:
    """It knows nothing of the order: neither does it write it down, nor does it take out what it delivered."""
    record = await message(store, "webhook", "webhook", "webhook")
    order, line = keys.in_order(1), keys.outbox_line(1, "webhook")
    (first, second, _) = await store.link.ask("ZRANGE", order, 0, -1)
    await store.link.ask("ZREM", line, f"{record}/1/1")
    await store.link.ask("ZREM", order, second)
    assert {post.id for post in await take(store)} == {f"{record}/1/2", f"{record}/1/3"}
    assert await store.link.ask("ZSCORE", order, first) is None
