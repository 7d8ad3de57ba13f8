"""What stops sends, and only sends: a person's pause, a rail that refuses us, a store that may forget."""

import asyncio
from pathlib import Path

import pytest

from machines.core import redis
from machines.core.clock import FixedClock
from machines.core.errors import BadInput, Contradiction, Paused, RailClosed, StoreUnavailable
from machines.core.facts import Fact
from machines.core.ids import RecordId
from machines.core.ports import Payment, Step
from machines.core.record import Record
from payflow.engine import worker as worker_module
from payflow.engine.step import take_in
from payflow.store import keys
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from tests.engine.office import Gate, Look, Office, open_office
from tests.errand import Cancelled, ErrandData, Sent
from tests.waiting import wait_until

SCOPES = ("everything", "machine:errand", "rail:test", "lane:one")


def through(office: Office, *scopes: str) -> Look:
    """Make an act that sends through these."""

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        if record.id in office.rail.submits:
            return Sent()
        await step.may_send(*scopes)
        office.rail.submits[record.id] += 1
        return Sent()

    return act


async def pause(office: Office, scope: str, store: Store | None = None) -> None:
    store = store or office.store
    assert await store.pauses.pause(scope, "eve", "a test", await store.records.now())


# ── one look ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scope", [*SCOPES, "shard"])
async def test_a_pause_stops_the_send_and_nothing_else(still_office: Office, clock: FixedClock, scope: str) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    office.acts["SENDING"] = through(office, "rail:test", "lane:one")
    if scope == "shard":
        scope = f"shard:{office.store.records.shard_of(record_id):02d}"
    await pause(office, scope)
    before = await office.events(record_id)
    for _ in range(3):
        await office.steps().look(await office.claim("SENDING"))
        wait_ms = await office.due_in_ms(record_id, "SENDING")
        assert wait_ms == 7500, "looks go on"
        clock.advance(7.5)
    assert office.rail.submits == {}
    record = await office.record(record_id)
    assert (record.tries, record.parked) == (0, ""), "to wait is no failure"
    assert await office.events(record_id) == before
    assert office.errors("SENDING", "paused") == 3
    await office.store.pauses.resume(scope, reconciled=True)
    await office.steps().look(await office.claim("SENDING"))
    assert office.rail.submits == {record_id: 1}


@pytest.mark.parametrize("scope", ["machine:other", "rail:other", "lane:two", "rail:tes", "shard:99"])
async def test_a_pause_of_something_else_stops_nothing(still_office: Office, scope: str) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    office.acts["SENDING"] = through(office, "rail:test", "lane:one")
    await pause(office, scope)
    await office.steps().look(await office.claim("SENDING"))
    assert office.rail.submits == {record_id: 1}


async def test_states_that_send_nothing_go_on_while_everything_is_paused(still_office: Office) -> None:
    (record_id,) = await still_office.ask()
    await pause(still_office, "everything")
    for state in ("ASKED", "READY"):
        await still_office.steps().look(await still_office.claim(state))
    assert await still_office.state(record_id) == "SENDING"


async def test_what_was_sent_before_is_followed_while_everything_is_paused(still_office: Office) -> None:
    record_id = await still_office.one_in("SENDING")
    await still_office.steps().look(await still_office.claim("SENDING"))
    await pause(still_office, "everything")
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert await still_office.state(record_id) == "DONE"


async def test_the_first_reason_stays(still_office: Office) -> None:
    pauses, now = still_office.store.pauses, await still_office.store.records.now()
    assert await pauses.pause("rail:test", "eve", "first", now)
    assert not await pauses.pause("rail:test", "adam", "second", now)
    assert (await pauses.all())["rail:test"].why == "first"
    assert await pauses.resume("rail:test")
    assert not await pauses.resume("rail:test")


async def test_what_the_guard_closed_no_resume_opens(still_office: Office) -> None:
    await pause(still_office, "shard:00")
    with pytest.raises(BadInput, match="payflow reconcile"):
        await still_office.store.pauses.resume("shard:00")
    assert "shard:00" in await still_office.store.pauses.all()


async def test_an_alarm_of_the_sequence_guard_closes_sends_for_everybody(still_office: Office) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    office.store.guard.raise_alarm(office.store.records.shard_of(record_id), "it forgot something")
    await office.steps().look(await office.claim("SENDING"))
    assert office.rail.submits == {}
    async with office.another_store() as elsewhere:
        (paused,) = await elsewhere.pauses.all()
        assert paused == f"shard:{office.store.records.shard_of(record_id):02d}"


@pytest.mark.parametrize("asked_by", ["a person", "a look"])
async def test_what_lost_writes_gives_nothing_back_until_it_is_reconciled(still_office: Office, asked_by: str) -> None:
    """Of what the store forgot something may have left; the money stays held, and is given back afterwards."""
    office = still_office
    record_id = await office.one_in("READY")
    shard = office.store.records.shard_of(record_id)

    async def unwanted(record: Record[ErrandData], step: Step) -> Fact:
        return Cancelled()

    async def give_back() -> None:
        if asked_by == "a person":
            await take_in(office.store.records, office.metrics, record_id, Cancelled(), "eve")
        else:
            await office.steps().look(await office.claim("READY"))

    office.acts["READY"] = unwanted
    await office.store.link.ask("HSET", keys.writers(shard), "lost", "7 of somebody")
    if asked_by == "a person":
        with pytest.raises(Paused, match=f"shard:{shard:02d} is closed.*payflow reconcile"):
            await give_back()
    else:
        await give_back()
        assert await office.due_in_ms(record_id, "READY") == 7500, "the look is made again"
    record = await office.record(record_id)
    assert (record.state, record.parked) == ("READY", "")
    assert (await office.store.ledger.account(office.owner))["NGN"].held == 100
    await office.store.adopt()
    assert isinstance(office.clock, FixedClock)
    office.clock.advance(7.5)
    await give_back()
    assert await office.state(record_id) == "CANCELLED"


async def test_what_people_paused_is_given_back_all_the_same(still_office: Office) -> None:
    (record_id,) = await still_office.ask()
    for scope in SCOPES:
        await pause(still_office, scope)
    await take_in(still_office.store.records, still_office.metrics, record_id, Cancelled(), "eve")
    assert await still_office.state(record_id) == "CANCELLED"


async def test_an_alarm_that_could_not_be_passed_on_is_passed_on_later(
    still_office: Office, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store forgot something and flaps: nothing is sent before everybody knows."""
    office = still_office
    record_id = await office.one_in("SENDING")
    office.store.guard.raise_alarm(office.store.records.shard_of(record_id), "it forgot something")

    async def fail(*parts: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(office.store.pauses, "pause", fail)
        await office.steps().look(await office.claim("SENDING"))
    assert await office.store.pauses.all() == {}
    clock.advance(10)
    await office.steps().look(await office.claim("SENDING"))
    assert office.rail.submits == {}
    assert len(await office.store.pauses.all()) == 1


async def test_sends_that_compare_a_restarted_server_at_the_same_time_raise_no_false_alarm(
    still_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answer lies there while another one is believed and writes go on: it is old, and no proof of a loss."""
    office, gate = still_office, Gate()
    (record_id,) = await office.ask()
    shard = office.store.records.shard_of(record_id)
    shard_state = office.store.records.shard_state

    async def slow_the_first_time(shard: int) -> object:
        answer = await shard_state(shard)
        if not gate.came:
            await gate.pass_through()
        return answer

    monkeypatch.setattr(office.store.records, "shard_state", slow_the_first_time)
    office.store.guard.doubted.add(shard)
    first = asyncio.create_task(office.store.compare())
    await gate.reached()
    others = [asyncio.create_task(office.store.compare()), *(asyncio.create_task(office.ask()) for _ in range(5))]
    for _ in range(20):
        await office.store.records.now()  # the others may overtake
    gate.open()
    await asyncio.gather(first, *others)
    await office.ask()
    await office.store.compare()
    assert office.store.guard.alarms == {}
    assert office.store.guard.doubted == set()


# ── a rail that refuses us, and one that contradicts the books ───────────────────────────────────────────────────────


def raising(error: Exception) -> Look:
    async def act(record: Record[ErrandData], step: Step) -> Fact:
        raise error

    return act


async def test_a_rail_that_refuses_us_is_paused_and_the_record_waits(still_office: Office) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    pursue, office.acts["SENDING"] = office.acts["SENDING"], raising(RailClosed("key revoked", rail="test"))
    await office.steps(who="worker-7").look(await office.claim("SENDING"))
    paused = (await office.store.pauses.all())["rail:test"]
    assert (paused.who, "key revoked" in paused.why) == ("worker-7", True)
    record = await office.record(record_id)
    assert (record.state, record.tries, record.parked) == ("SENDING", 0, "")
    assert office.errors("SENDING", "rail_closed") == 1
    office.acts["SENDING"] = pursue
    (other,) = await office.ask()
    for state in ("ASKED", "READY", "SENDING"):
        await office.steps().look(await office.claim(state))
    assert office.rail.submits == {}
    assert await office.state(other) == "SENDING"


async def test_a_rail_that_contradicts_the_books_is_paused_and_the_record_set_aside(still_office: Office) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    office.acts["SENDING"] = raising(Contradiction("paid to somebody else", rail="test"))
    await office.steps().look(await office.claim("SENDING"))
    assert "paid to somebody else" in (await office.store.pauses.all())["rail:test"].why
    assert [aside for aside, _ in await office.store.listing.parked()] == [record_id]
    assert [post.kind for post in await office.store.outbox.take(10, 1000)] == ["alarm"]


@pytest.mark.parametrize("error", [RailClosed("key revoked", rail=""), Contradiction("paid to somebody else", rail="")])
async def test_an_error_that_names_no_rail_is_a_bug_and_the_record_is_set_aside(
    still_office: Office, error: Exception
) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    office.acts["SENDING"] = raising(error)
    await office.steps().look(await office.claim("SENDING"))
    assert await office.store.pauses.all() == {}
    ((aside, why),) = await office.store.listing.parked()
    assert (aside, str(error) in why) == (record_id, True)


# ── the whole fleet ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_worker_begins_a_send_after_the_pause(office: Office, impatient: None) -> None:
    """Whoever asks after the pause was written is refused, on every worker: there is no cache to wait for."""
    story: list[tuple[str, str]] = []

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        if record.id in office.rail.submits:
            return Sent()
        story.append(("asks", record.id))
        await step.may_send("rail:test")
        story.append(("sends", record.id))
        office.rail.submits[record.id] += 1
        return Sent()

    office.acts["SENDING"] = act
    ids = await office.ask(120)
    few = {"errand.SENDING": {"concurrency": 4}}
    first, second = Metrics(), Metrics()
    async with (
        office.another_store() as store,
        office.worker("first", metrics=first, pollers=few),
        office.worker("second", metrics=second, store=store, pollers=few),
    ):
        await wait_until(lambda: len(office.rail.submits) >= 20, description="20 are sent")
        await pause(office, "rail:test")
        story.append(("paused", ""))
        await held_up(office, first, second)
        cut = story.index(("paused", ""))
        asked_before = {record_id for word, record_id in story[:cut] if word == "asks"}
        sent_after = {record_id for word, record_id in story[cut:] if word == "sends"}
        assert sent_after <= asked_before, "only what had asked before is drained"
        assert len(office.rail.submits) < len(ids)
        await office.store.pauses.resume("rail:test")
        await wait_until(lambda: len(office.rail.submits) == len(ids), description="all are sent")
    assert set(office.rail.submits.values()) == {1}


async def held_up(office: Office, *metrics: Metrics) -> None:
    """Wait until every worker was refused a few times."""
    await wait_until(
        lambda: all(office.errors("SENDING", "paused", one) >= 5 for one in metrics),
        description="all workers are held up, and look on",
    )


async def test_a_send_that_is_on_its_way_is_finished(office: Office) -> None:
    gate = Gate()
    submit = office.rail.submit

    async def slow(payment: Payment) -> None:
        await gate.pass_through()
        await submit(payment)

    office.rail.submit = slow  # type: ignore[method-assign]
    (record_id,) = await office.ask()
    async with office.worker():
        await gate.reached()
        await pause(office, "everything")
        gate.open()
        await office.until(record_id, "DONE")


async def test_a_pause_survives_a_restart_of_workers_and_store(tmp_path: Path, impatient: None) -> None:
    async with open_office(tmp_path / "data") as office:
        ids = await office.ask(3)
        await pause(office, "machine:errand")
        async with office.worker():
            await wait_until(lambda: office.errors("SENDING", "paused") >= 6, description="looks go on")
    async with open_office(tmp_path / "data") as office, office.worker():
        await wait_until(lambda: office.errors("SENDING", "paused") >= 6, description="and on")
        assert office.rail.submits == {}
        await office.store.pauses.resume("machine:errand")
        await office.until_all(ids, "DONE")


# ── a store that may forget ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "weak", "strong"), [("appendonly", "no", "yes"), ("maxmemory-policy", "allkeys-lru", "noeviction")]
)
async def test_a_store_that_may_forget_gets_no_sends(still_office: Office, name: str, weak: str, strong: str) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    await office.store.link.ask("CONFIG", "SET", name, weak)
    await office.store.look_at_servers()
    await office.steps().look(await office.claim("SENDING"))
    assert office.rail.submits == {}
    assert office.errors("SENDING", "not_durable") == 1
    assert (await office.record(record_id)).tries == 0
    await office.store.link.ask("CONFIG", "SET", name, strong)
    await office.store.look_at_servers()


async def test_a_disk_that_is_synced_every_second_is_waited_for_before_a_send(
    still_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = still_office
    monkeypatch.setattr(redis, "SEEN_TO_WAIT", {"valkey": frozenset({"9.1.2"})})
    record_id = await office.one_in("SENDING")
    await office.store.link.ask("CONFIG", "SET", "appendfsync", "everysec")
    await office.store.look_at_servers()
    before = await waits(office)
    await office.steps().look(await office.claim("SENDING"))
    assert office.rail.submits == {record_id: 1}
    assert await waits(office) == before + 1


async def waits(office: Office) -> int:
    """Count how often the server was asked to reach its disk."""
    stats = await office.store.link.ask("INFO", "commandstats")
    return int(stats.get("cmdstat_waitaof", {}).get("calls", 0))


async def test_a_store_that_grew_weak_is_noticed_and_forgiven_by_the_worker(
    office: Office, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "SERVER_CHECK_S", 0.02)
    async with office.worker():
        await office.store.link.ask("CONFIG", "SET", "appendonly", "no")
        await wait_until(lambda: bool(office.store.faults()), description="the worker sees it")
        ids = await office.ask(2)
        await wait_until(lambda: office.errors("SENDING", "not_durable") >= 4, description="sends are refused")
        assert office.rail.submits == {}
        await office.store.link.ask("CONFIG", "SET", "appendonly", "yes")
        await office.until_all(ids, "DONE")


async def test_a_contradiction_that_everybody_finds_at_once_pauses_once(still_office: Office) -> None:
    office = still_office
    ids: list[RecordId] = await office.ask(5)
    office.acts["ASKED"] = raising(Contradiction("no", rail="test"))
    claimed = await office.claim_all("ASKED")
    await asyncio.gather(*(office.steps().look(stored) for stored in claimed))  # type: ignore[arg-type]
    assert set(await office.store.pauses.all()) == {"rail:test"}
    assert {aside for aside, _ in await office.store.listing.parked()} == set(ids)
