"""The outbox: each message is delivered at least once, waits after a failure, and is set aside when it will not go."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from machines.core.clock import FixedClock
from machines.core.decision import Message, contradiction, keep
from machines.core.errors import NotFound, StoreUnavailable
from machines.core.facts import Nothing
from machines.core.ids import RecordId
from payflow.engine import dispatcher as dispatcher_module
from payflow.engine.dispatcher import AT_A_TIME, LEASE_MS, Dispatcher, Handler
from payflow.store import keys
from payflow.store.outbox import Post
from tests.engine.office import Gate, Office
from tests.waiting import wait_until


class Ear:
    """Hears messages, and fails as often as it is told to."""

    def __init__(self, *, failures: int = 0) -> None:
        self.heard: list[str] = []
        self.bodies: list[dict[str, object]] = []
        self.failures = failures

    async def __call__(self, post: Post) -> None:
        self.heard.append(post.id)
        self.bodies.append(dict(post.body))
        if self.failures:
            self.failures -= 1
            raise ConnectionError("nobody there")


async def say(office: Office, *kinds: str) -> RecordId:
    """Commit a record with messages; give its id."""
    (record_id,) = await office.ask()
    stored = await office.store.records.read(record_id)
    messages = tuple(Message(kind, {"number": number}) for number, kind in enumerate(kinds))
    await office.store.records.commit(stored, keep("said", messages=messages), Nothing(), "test")
    return record_id


def dispatcher(office: Office, **handlers: Callable[[Post], Awaitable[None]]) -> Dispatcher:
    return Dispatcher(office.store.outbox, office.metrics, handlers)


async def test_a_message_is_delivered_once_when_all_goes_well(still_office: Office) -> None:
    record_id = await say(still_office, "told", "told")
    ear = Ear()
    assert await dispatcher(still_office, told=ear).deliver_due()
    assert not await dispatcher(still_office, told=ear).deliver_due()
    assert sorted(ear.heard) == [f"{record_id}/2/1", f"{record_id}/2/2"]
    assert ear.bodies == [{"number": 0}, {"number": 1}]
    assert await still_office.store.outbox.waiting() == 0
    assert still_office.sample("payflow_messages_delivered_total", kind="told") == 2


async def test_a_failure_is_tried_again_later_and_ever_later(still_office: Office, clock: FixedClock) -> None:
    await say(still_office, "told")
    ear = Ear(failures=4)
    waits = []
    for tries in range(1, 5):
        assert await dispatcher(still_office, told=ear).deliver_due()
        assert len(ear.heard) == tries
        due = await still_office.store.outbox.oldest_due()
        assert due is not None
        waits.append((due - clock.now()) / 1000)
        clock.advance(waits[-1] - 0.001)
        assert not await dispatcher(still_office, told=ear).deliver_due(), "not before its time"
        clock.advance(0.001)
    assert waits == [5, 10, 20, 40]
    assert await dispatcher(still_office, told=ear).deliver_due()
    assert len(set(ear.heard)) == 1, "the same id each time, so that the other side can tell"
    assert await still_office.store.outbox.waiting() == 0


async def test_one_failure_does_not_keep_the_others(still_office: Office) -> None:
    await say(still_office, "broken", "told", "broken", "told")
    ear = Ear()
    await dispatcher(still_office, told=ear, broken=Ear(failures=2)).deliver_due()
    assert len(ear.heard) == 2
    assert await still_office.store.outbox.waiting() == 2


async def test_what_will_not_go_is_set_aside_and_can_be_replayed(
    still_office: Office, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "MOST_TRIES", 3)
    record_id = await say(still_office, "told")
    ear = Ear(failures=3)
    for _ in range(5):
        await dispatcher(still_office, told=ear).deliver_due()
        clock.advance(3600)
    assert len(ear.heard) == 3
    outbox = still_office.store.outbox
    (aside,) = await outbox.undelivered()
    assert (aside.id, aside.kind, dict(aside.body)) == (f"{record_id}/2/1", "told", {"number": 0})
    assert await outbox.waiting() == 0
    await outbox.replay(aside.id)
    assert await outbox.undelivered() == []
    with pytest.raises(NotFound):
        await outbox.replay(aside.id)
    await dispatcher(still_office, told=ear).deliver_due()
    assert len(ear.heard) == 4
    assert await outbox.waiting() == 0


async def test_a_replayed_message_has_all_its_tries_again(
    still_office: Office, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "MOST_TRIES", 2)
    await say(still_office, "told")
    ear = Ear(failures=99)
    for round_ in (1, 2):
        for _ in range(4):
            await dispatcher(still_office, told=ear).deliver_due()
            clock.advance(3600)
        assert len(ear.heard) == 2 * round_
        (aside,) = await still_office.store.outbox.undelivered()
        await still_office.store.outbox.replay(aside.id)


async def test_a_kind_that_nobody_delivers_is_set_aside_until_somebody_does(still_office: Office) -> None:
    await say(still_office, "unheard-of", "told")
    ear, late = Ear(), Ear()
    await dispatcher(still_office, told=ear).deliver_due()
    assert len(ear.heard) == 1
    (aside,) = await still_office.store.outbox.undelivered()
    assert aside.kind == "unheard-of"
    await still_office.store.outbox.replay(aside.id)
    await dispatcher(still_office, **{"told": ear, "unheard-of": late}).deliver_due()
    assert late.heard == [aside.id]


async def test_what_a_dead_process_had_taken_is_delivered_by_another(still_office: Office, clock: FixedClock) -> None:
    record_id = await say(still_office, "told")
    assert [post.id for post in await still_office.store.outbox.take(10, LEASE_MS)] == [f"{record_id}/2/1"]
    ear = Ear()
    assert not await dispatcher(still_office, told=ear).deliver_due()
    clock.advance(LEASE_MS / 1000)
    assert await dispatcher(still_office, told=ear).deliver_due()
    assert ear.heard == [f"{record_id}/2/1"]


async def test_two_dispatchers_do_not_deliver_the_same_message_at_once(still_office: Office) -> None:
    await say(still_office, *["told"] * 40)
    first, second = Ear(), Ear()
    async with still_office.another_store() as elsewhere:
        other = Dispatcher(elsewhere.outbox, still_office.metrics, {"told": second})
        while any(await asyncio.gather(dispatcher(still_office, told=first).deliver_due(), other.deliver_due())):
            pass
    assert len(first.heard + second.heard) == len(set(first.heard + second.heard)) == 40


async def test_a_handler_that_hangs_is_given_up_before_its_lease_ends(
    still_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "LEASE_MS", 100)
    await say(still_office, "told", "slow")
    ear, gate = Ear(), Gate()

    async def slow(post: Post) -> None:
        await gate.pass_through()

    await dispatcher(still_office, told=ear, slow=slow).deliver_due()
    assert len(ear.heard) == 1
    assert still_office.sample("payflow_messages_failed_total", kind="slow") == 1
    assert await still_office.store.outbox.waiting() == 1


async def test_a_delivery_that_outlives_its_lease_is_not_begun_again_beside_itself(
    still_office: Office, clock: FixedClock
) -> None:
    await say(still_office, "told")
    gate = Gate()

    async def slow(_: Post) -> None:
        await gate.pass_through()

    ours = Dispatcher(still_office.store.outbox, still_office.metrics, {"told": slow})
    delivering = asyncio.create_task(ours.run())
    await gate.reached(1)
    clock.advance(LEASE_MS / 1000)
    record_id = await say(still_office, "told")
    ours.wake()
    await gate.reached(2)
    gate.open()

    async def all_is_told() -> bool:
        return await still_office.store.outbox.waiting() == 0

    await wait_until(all_is_told, description="both are delivered")
    assert gate.came == 2, record_id
    delivering.cancel()
    with suppress(asyncio.CancelledError):
        await delivering


@pytest.mark.parametrize("method", ["done", "later", "give_up"])
async def test_a_store_that_fails_after_a_delivery_costs_a_second_delivery_and_no_more(
    still_office: Office, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    await say(still_office, "told", "broken", "unheard-of")
    ear, broken = Ear(), Ear(failures=1)

    async def fail(*parts: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(still_office.store.outbox, method, fail)
        await dispatcher(still_office, told=ear, broken=broken).deliver_due()
    assert len(ear.heard) == len(broken.heard) == 1
    clock.advance(LEASE_MS / 1000)
    await dispatcher(still_office, told=ear, broken=broken).deliver_due()
    assert len(ear.heard) == (2 if method == "done" else 1)
    assert len(broken.heard) == 2
    assert [post.kind for post in await still_office.store.outbox.undelivered()] == ["unheard-of"]
    assert await still_office.store.outbox.waiting() == 0


@pytest.mark.parametrize("content", [b"\xc1", b"", b"\x93\x01\x02\x03"])
async def test_a_message_that_cannot_be_read_is_set_aside_and_the_others_go(
    still_office: Office, content: bytes
) -> None:
    record_id = await say(still_office, "told", "told")
    key = keys.messages(still_office.store.records.shard_of(record_id))
    await still_office.store.link.ask("HSET", key, f"{record_id}/2/1", content)
    ear = Ear()
    await dispatcher(still_office, told=ear).deliver_due()
    assert ear.heard == [f"{record_id}/2/2"]
    assert [post.id for post in await still_office.store.outbox.undelivered()] == [f"{record_id}/2/1"]


async def test_more_messages_than_one_turn_takes_are_all_delivered(office: Office) -> None:
    ids = await office.ask(AT_A_TIME * 2)
    ear = Ear()
    async with office.worker(handlers={"told": ear}):
        await office.until_all(ids, "DONE")
        await wait_until(lambda: len(ear.heard) >= len(ids), description="all messages are delivered")
    assert len(set(ear.heard)) == len(ear.heard) == len(ids)


async def test_a_message_is_delivered_without_waiting_for_the_idle_pace(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "IDLE_S", 3600.0)
    ear = Ear()
    async with office.worker(handlers={"told": ear}):
        for number in range(1, 4):
            await office.until_all(await office.ask(), "DONE")
            await wait_until(lambda number=number: len(ear.heard) == number, description=f"message {number}")  # type: ignore[misc]


async def test_an_alarm_without_a_handler_reaches_the_log(still_office: Office) -> None:
    await say(still_office, "alarm")
    await dispatcher(still_office).deliver_due()
    assert await still_office.store.outbox.undelivered() == []
    assert await still_office.store.outbox.waiting() == 0


async def test_an_alarm_stops_what_it_says_must_stop_until_a_person_resumes_it(still_office: Office) -> None:
    office = still_office
    (record_id,) = await office.ask()
    stored = await office.store.records.read(record_id)
    await office.store.records.commit(stored, contradiction("paid twice", "rail:test"), Nothing(), "test")
    pauses = office.store.pauses
    assert await Dispatcher(office.store.outbox, office.metrics, {}, pauses).deliver_due()
    (pause,) = (await pauses.all()).values()
    assert (pause.scope, pause.why) == ("rail:test", f"{record_id}: paid twice")
    await pauses.resume("rail:test")


@pytest.mark.parametrize("kind", ["notify", "webhook", "told"])
async def test_an_alarm_stops_a_rail_however_many_messages_hang(still_office: Office, kind: str) -> None:
    """More messages of one kind than its line has room for, and each hangs: nobody else waits for them."""
    store = still_office.store
    for _ in range(3 * 64):
        await say(still_office, kind)
    gate, ear = Gate(), Ear()

    async def hang(_: Post) -> None:
        await gate.pass_through()

    async def stopped() -> bool:
        return "rail:test" in await store.pauses.all()

    handlers: dict[str, Handler] = {"notify": ear, "webhook": ear, "told": ear, kind: hang}
    delivering = asyncio.create_task(Dispatcher(store.outbox, still_office.metrics, handlers, store.pauses).run())
    await gate.reached(16)
    stored = await store.records.read((await still_office.ask())[0])
    await store.records.commit(stored, contradiction("paid twice", "rail:test"), Nothing(), "test")
    await wait_until(stopped, description="the rail is stopped")
    await say(still_office, "webhook" if kind == "notify" else "notify")
    await wait_until(lambda: bool(ear.heard), description="others are told meanwhile")
    assert gate.came < 3 * 64, "and the line has its bound"
    gate.open()
    await wait_until(lambda: gate.came == 3 * 64, description="all of them are delivered in the end")
    delivering.cancel()
    with suppress(asyncio.CancelledError):
        await delivering
