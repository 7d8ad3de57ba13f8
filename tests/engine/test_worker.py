"""The worker: what it claims, how much at a time, how it wakes, how long it holds on, and how it stops."""

import asyncio

import pytest

from machines.core.clock import FixedClock
from machines.core.errors import Retryable, StoreUnavailable, StoreUnfit
from machines.core.facts import Fact, Nothing
from machines.core.ids import RecordId
from machines.core.lifecycle import UnknownState
from machines.core.ports import Step
from machines.core.record import Record
from payflow.engine import worker as worker_module
from payflow.engine.step import Steps, take_in
from payflow.store import keys
from payflow.store.store import Store
from payflow.store.stored import Claimed, Queue, Stored
from payflow.telemetry.metrics import Metrics
from tests.desk import sign
from tests.engine.office import FUNDS, Gate, Look, Office
from tests.errand import Approved, ErrandData
from tests.waiting import wait_until


def gated(gate: Gate, fact: Fact) -> Look:
    """Make an act that waits at a gate."""

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        await gate.pass_through()
        return fact

    return act


@pytest.fixture
def no_idle_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody look by himself: who is not woken sleeps for an hour."""
    monkeypatch.setattr(worker_module, "IDLE_S", 3600.0)


async def listening(office: Office, ears: int = 1) -> None:
    """Wait until so many workers hear wake-ups."""

    async def heard() -> bool:
        _, count = await office.store.link.ask("PUBSUB", "NUMSUB", keys.WAKE_CHANNEL)
        return int(count) >= ears

    await wait_until(heard, description=f"{ears} workers listen")


# ── the whole way ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_workers_bring_every_record_to_its_end_once(office: Office) -> None:
    ids = await office.ask(150)
    async with office.another_store() as store, office.worker("first"), office.worker("second", store=store):
        await office.until_all(ids, "DONE")
    assert office.rail.submits == dict.fromkeys(ids, 1)
    for record_id in ids[:20]:
        assert [event[0] for event in await office.events(record_id)] == ["", "approve", "send", "finish"]
    assert await office.leased(ids) == []


async def test_records_of_many_owners_in_all_shards_are_found(office: Office) -> None:
    ids = []
    for number in range(24):
        office.owner = type(office.owner)(f"owner-{number}")
        await office.store.records.fund(office.owner, FUNDS, f"funds-{number}")
        ids += await office.ask(2)
    assert len({office.store.records.shard_of(record_id) for record_id in ids}) == office.store.records.shards
    async with office.worker():
        await office.until_all(ids, "DONE")


# ── one at a time ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_more_records_are_in_hand_than_the_settings_allow(office: Office) -> None:
    ids = await office.ask(30)
    in_hand, peak, full = 0, 0, Gate()
    pursue = office.acts["SENDING"]

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        nonlocal in_hand, peak
        in_hand += 1
        peak = max(peak, in_hand)
        if in_hand == 3:
            full.open()
        await full.pass_through()
        for _ in range(5):
            await office.store.records.now()
        in_hand -= 1
        return await pursue(record, step)

    office.acts["SENDING"] = act
    async with office.worker(pollers={"errand.SENDING": {"concurrency": 3}}):
        await office.until_all(ids, "DONE")
    assert peak == 3


async def test_a_narrow_poller_is_not_starved_by_others_that_are_stuck(office: Office, no_idle_pace: None) -> None:
    """One at a time, each as soon as the one before is done, although all other hands wait for a slow gateway."""
    stuck = await office.ask(8)
    gate = Gate()
    approve, office.acts["ASKED"] = office.acts["ASKED"], gated(gate, Approved())
    narrow = {"concurrency": 1}
    async with office.worker(
        pollers={"errand.ASKED": {"concurrency": 8}, "errand.READY": narrow, "errand.SENDING": narrow}
    ):
        await gate.reached(8)
        ids = await office.ask(10)
        await asyncio.gather(*(office.learn(record_id, Approved()) for record_id in ids))
        await office.until_all(ids, "DONE")
        office.acts["ASKED"] = approve
        gate.open()
        await office.until_all(stuck, "DONE")


async def test_a_rate_holds_over_the_whole_fleet(office: Office) -> None:
    rate, wanted = 40, 120
    looks: list[int] = []
    done = asyncio.Event()

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        looks.append(step.now)
        if len(looks) >= wanted:
            done.set()
        raise Retryable("again, as soon as you may")

    await office.ask(60)
    office.acts["ASKED"] = act
    settings = {"errand.ASKED": {"concurrency": 30, "rate": rate}}
    async with (
        office.another_store() as store,
        office.worker("first", pollers=settings),
        office.worker("second", store=store, pollers=settings),
    ):
        await asyncio.wait_for(done.wait(), 40)
    # Any window: what may be saved up, twice (permits that are in hand while the bucket fills), and the rate.
    looks.sort()
    for first in range(len(looks)):
        for last in range(first + 1, len(looks)):
            assert last - first + 1 <= 2 * rate + rate * (looks[last] - looks[first]) / 1000 + 1


async def test_a_rate_that_leaves_permits_over_does_not_make_the_worker_spin(
    office: Office, monkeypatch: pytest.MonkeyPatch, no_idle_pace: None
) -> None:
    claims = 0
    claim = office.store.records.claim

    async def counted(queues: list[Queue]) -> list[Claimed]:
        nonlocal claims
        claims += 1
        return await claim(queues)

    monkeypatch.setattr(office.store.records, "claim", counted)
    async with office.worker(pollers={"errand.ASKED": {"concurrency": 2, "rate": 1000}}):
        await wait_until(lambda: claims > 0, description="the first claim")
        for _ in range(100):
            await office.store.records.now()
        assert claims <= 3


@pytest.mark.parametrize(("rate", "pause_s"), [(0.5, 2), (0.01, 100), (1, 1), (1.5, 1), (20, 0.05)])
async def test_a_rate_gives_its_permits_however_low_it_is(
    still_office: Office, clock: FixedClock, rate: float, pause_s: float
) -> None:
    records = still_office.store.records
    granted, wait_ms = await records.rate_tokens("poller", rate, 100)
    assert granted == max(1, int(rate))
    assert 0 < wait_ms <= pause_s * 1000
    assert (await records.rate_tokens("poller", rate, 1))[0] == 0
    clock.advance(pause_s)
    assert (await records.rate_tokens("poller", rate, 1))[0] == 1


async def test_permits_that_were_not_used_are_given_back(still_office: Office) -> None:
    records = still_office.store.records
    assert (await records.rate_tokens("poller", 10, 8))[0] == 8
    await records.rate_tokens("poller", 10, -5)
    assert (await records.rate_tokens("poller", 10, 100))[0] == 7
    await records.rate_tokens("poller", 10, -1000)
    assert (await records.rate_tokens("poller", 10, 1000))[0] == 10, "never more than a second's worth"


# ── wake-ups ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_work_that_another_process_makes_is_begun_without_waiting(office: Office, no_idle_pace: None) -> None:
    async with office.another_store() as elsewhere, office.worker():
        await listening(office)
        for _ in range(3):
            ids = await office.ask(2, store=elsewhere)
            await office.until_all(ids, "DONE")


async def test_a_fact_from_outside_wakes_the_worker(office: Office, no_idle_pace: None) -> None:
    looked = Gate()

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        looked.open()
        await looked.pass_through()
        return Nothing()  # the next look is in a minute

    office.acts["ASKED"] = act
    (record_id,) = await office.ask()
    async with office.another_store() as elsewhere, office.worker():
        await listening(office)
        await looked.reached()
        await free(office, record_id)
        await take_in(elsewhere.records, Metrics(), record_id, Approved(), "somebody else")
        await office.until(record_id, "DONE")
    assert looked.came == 1


async def test_a_poke_wakes_the_worker(office: Office, no_idle_pace: None) -> None:
    looks = 0

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        nonlocal looks
        looks += 1
        return Nothing()

    office.acts["ASKED"] = act  # its pace is a minute
    (record_id,) = await office.ask()
    async with office.another_store() as elsewhere, office.worker():
        await listening(office)
        for count in range(1, 4):
            await wait_until(lambda count=count: looks == count, description=f"look {count}")  # type: ignore[misc]
            await free(office, record_id)
            assert await elsewhere.records.poke(record_id) == ["due"]
        await wait_until(lambda: looks == 4, description="the last look")


async def free(office: Office, record_id: RecordId) -> None:
    """Wait until a record is not leased."""

    async def is_free() -> bool:
        return not await office.leased([record_id])

    await wait_until(is_free, description=f"{record_id} is free")


async def test_a_look_that_comes_due_later_needs_nobody_to_wake_the_worker(office: Office, no_idle_pace: None) -> None:
    (record_id,) = await office.ask()
    tries = 0
    approve = office.acts["ASKED"]

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Retryable("busy")
        return await approve(record, step)

    office.acts["ASKED"] = act
    async with office.worker():
        await office.until(record_id, "DONE")


async def test_a_worker_whose_ears_were_cut_off_hears_again(
    office: Office, monkeypatch: pytest.MonkeyPatch, no_idle_pace: None
) -> None:
    monkeypatch.setattr(worker_module, "AFTER_TROUBLE_S", 0.01)
    async with office.another_store() as elsewhere, office.worker():
        await listening(office)
        await office.store.link.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await listening(office)
        ids = await office.ask(store=elsewhere)
        await office.until_all(ids, "DONE")


# ── leases ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_act_of_three_leases_is_never_taken_by_another_worker(office: Office) -> None:
    gate = Gate()
    office.acts["ASKED"] = gated(gate, Approved())
    (record_id,) = await office.ask()
    async with (
        office.another_store() as store,
        office.worker("first", lease_s=1.5),
        office.worker("second", store=store, lease_s=1.5),
    ):
        await gate.reached()
        begun = await office.store.records.now()

        async def three_leases_later() -> bool:
            return await office.store.records.now() > begun + 4500

        await wait_until(three_leases_later, description="three leases have passed")
        assert gate.came == 1
        gate.open()
        await office.until(record_id, "DONE")
    assert gate.came == 1
    assert (await office.store.records.history(record_id))[1].trigger == "approve"
    assert office.leases_lost() == 0


async def test_a_lease_that_could_not_be_renewed_once_is_renewed_the_next_time(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, renewals = office.store.records.hold, 0
    gate = Gate()
    office.acts["ASKED"] = gated(gate, Approved())

    async def failing_first(stored: Stored, lease_ms: int) -> bool:
        nonlocal renewals
        renewals += 1
        if renewals == 1:
            raise StoreUnavailable
        return await hold(stored, lease_ms)

    monkeypatch.setattr(office.store.records, "hold", failing_first)
    (record_id,) = await office.ask()
    async with office.worker(lease_s=2):
        await gate.reached()
        await wait_until(lambda: renewals >= 3, description="the third renewal")
        gate.open()
        await office.until(record_id, "DONE")
    assert gate.came == 1


async def test_a_record_that_waits_in_line_for_a_free_hand_keeps_its_lease(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MOST_AT_A_TIME", 1)
    gate = Gate()
    office.acts["ASKED"] = gated(gate, Approved())
    ids = await office.ask(3)
    async with office.worker(lease_s=1):
        await gate.reached()
        begun = await office.store.records.now()

        async def two_leases_later() -> bool:
            return await office.store.records.now() > begun + 2000

        await wait_until(two_leases_later, description="two leases have passed")
        gate.open()
        await office.until_all(ids, "DONE")
    assert gate.came == 3
    assert office.leases_lost() == 0


async def test_a_lease_that_a_dead_worker_left_runs_out(office: Office) -> None:
    (record_id,) = await office.ask()
    await office.claim("ASKED", lease_ms=300)
    async with office.worker():
        await office.until(record_id, "DONE")


async def test_a_record_whose_look_fell_apart_is_not_held_for_ever(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens in the worker itself: who is not working on a record any more must not renew its lease."""
    look, broken = Steps.look, 0

    async def breaking_once(steps: Steps, stored: Stored) -> None:
        nonlocal broken
        broken += 1
        if broken == 1:
            raise KeyError("a bug in the engine itself")
        await look(steps, stored)

    monkeypatch.setattr(Steps, "look", breaking_once)
    (record_id,) = await office.ask()
    async with office.worker(lease_s=1):
        await office.until(record_id, "DONE")


async def test_who_is_late_for_his_answers_before_a_send_does_not_send(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store confirmed the lease, but we were stopped before we read it, and another worker has the record."""
    record_id = await office.one_in("SENDING")
    stored = await office.claim("SENDING", lease_ms=500)
    confirm = office.store.records.confirm
    taken: list[object] = []

    async def asleep_afterwards(stored: Stored, lease_ms: int) -> None:
        await confirm(stored, lease_ms)

        async def taken_by_another() -> bool:
            taken.extend(await office.claim_all("SENDING"))
            return bool(taken)

        await wait_until(taken_by_another, description="somebody else claims the record")

    with monkeypatch.context() as patch:
        patch.setattr(office.store.records, "confirm", asleep_afterwards)
        steps = Steps(office.store, office.metrics, who="late", lease_ms=500)
        await steps.look(stored)
    assert office.rail.submits == {}
    assert office.leases_lost() == 1
    ours = taken[0]
    assert isinstance(ours, Stored)
    await office.steps().look(ours)
    assert office.rail.submits == {record_id: 1}


# ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_worker_that_stops_finishes_what_is_in_hand(office: Office) -> None:
    gate = Gate()
    office.acts["ASKED"] = gated(gate, Approved())
    ids = await office.ask(4)
    async with office.worker() as worker:
        await gate.reached(4)
        worker.stop()
        later = await office.ask(3)
        gate.open()
    assert {await office.state(record_id) for record_id in ids} == {"READY"}
    assert {await office.state(record_id) for record_id in later} == {"ASKED"}, "it claims nothing any more"
    assert await office.leased(ids + later) == []
    for record_id in ids:
        due = await office.due_in_ms(record_id, "READY")
        assert due is not None
        assert due <= 0


async def test_a_worker_that_stops_during_a_long_act_hands_the_record_back(office: Office) -> None:
    gate = Gate()
    office.acts["ASKED"] = gated(gate, Approved())
    ids = await office.ask(3)
    async with office.worker(grace_s=0.1):
        await gate.reached(3)
    assert await office.leased(ids) == []
    for record_id in ids:
        due = await office.due_in_ms(record_id, "ASKED")
        assert due is not None
        assert due <= 0, "another worker need not wait for the lease to end"
    office.acts["ASKED"] = gated(gate, Approved())
    gate.open()
    async with office.worker("second"):
        await office.until_all(ids, "DONE")


async def test_without_any_grace_the_records_are_still_handed_back(office: Office) -> None:
    gate = Gate()
    office.acts["ASKED"] = gated(gate, Approved())
    ids = await office.ask(3)
    async with office.worker(grace_s=0):
        await gate.reached(3)
    assert await office.leased(ids) == []


async def test_records_that_wait_in_line_are_handed_back(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "MOST_AT_A_TIME", 1)
    gate = Gate()
    office.acts["ASKED"] = gated(gate, Approved())
    ids = await office.ask(5)
    async with office.worker(grace_s=0.1):
        await gate.reached()
    assert gate.came == 1
    assert await office.leased(ids) == []


async def test_one_record_that_cannot_be_handed_back_does_not_keep_the_others(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    office.acts["ASKED"] = gated(gate, Approved())
    ids = await office.ask(4)
    commit = office.store.records.commit

    async def refusing(stored: Stored, *parts: object, **more: object) -> object:
        if stored.record.id == ids[1]:
            raise StoreUnfit("of all records, this one")
        return await commit(stored, *parts, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        async with office.worker(grace_s=0.1):
            await gate.reached(4)
            patch.setattr(office.store.records, "commit", refusing)
    assert await office.leased(ids) == [ids[1]]


async def test_a_worker_that_stops_while_its_commits_are_on_their_way_leaves_nothing_leased(office: Office) -> None:
    ids = await office.ask(200)
    async with office.worker(grace_s=0):
        await wait_until(lambda: bool(office.rail.submits), description="it is in the middle of it")
    assert await office.leased(ids) == []
    async with office.worker("second"):
        await office.until_all(ids, "DONE")


async def test_a_worker_may_be_stopped_before_it_runs(office: Office) -> None:
    await office.ask(2)
    async with office.worker() as worker:
        worker.stop()
    assert office.rail.submits == {}


# ── what must not stop a worker ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_bug_in_one_record_does_not_stop_the_others(office: Office) -> None:
    ids = await office.ask(30)
    pursue = office.acts["SENDING"]

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        if record.id in ids[:10]:
            raise asyncio.CancelledError if record.id in ids[:5] else ZeroDivisionError
        return await pursue(record, step)

    office.acts["SENDING"] = act
    async with office.worker(pollers={"errand.SENDING": {"concurrency": 2}}):
        await office.until_all(ids[10:], "DONE")
        await parked(office, ids[:10])
    assert {await office.state(record_id) for record_id in ids[:10]} == {"SENDING"}


async def parked(office: Office, ids: list[RecordId]) -> None:
    """Wait until just these records are set aside."""

    async def aside() -> bool:
        return {record_id for record_id, _ in await office.store.listing.parked()} == set(ids)

    await wait_until(aside, description=f"{len(ids)} records are parked")


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StoreUnfit("wrong password")])
@pytest.mark.parametrize("method", ["look_at_servers", "compare"])
async def test_a_store_that_cannot_be_examined_does_not_stop_the_worker(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str
) -> None:
    monkeypatch.setattr(worker_module, "SERVER_CHECK_S", 0.01)
    failed = 0

    async def fail(store: Store) -> None:
        nonlocal failed
        failed += 1
        office.store.guard.doubted.discard(0)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Store, method, fail)
        async with office.worker():
            if method == "compare":
                office.store.guard.doubted.add(0)
            await wait_until(lambda: failed > 0, description="it was examined")
            patch.undo()
            ids = await office.ask(2)
            await office.until_all(ids, "DONE")


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StoreUnfit("out of memory")])
async def test_a_claim_that_fails_is_tried_again(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(worker_module, "AFTER_TROUBLE_S", 0.01)
    claim, failed = office.store.records.claim, 0

    async def failing(queues: list[Queue]) -> list[Claimed]:
        nonlocal failed
        failed += 1
        if failed < 4:
            raise error
        return await claim(queues)

    monkeypatch.setattr(office.store.records, "claim", failing)
    ids = await office.ask(2)
    async with office.worker():
        await office.until_all(ids, "DONE")


# ── records that this version does not understand ────────────────────────────────────────────────────────────────────


async def test_a_record_in_a_state_that_nobody_knows_is_left_alone(office: Office) -> None:
    strange, known = await office.ask(2)
    shard = office.store.records.shard_of(strange)
    await office.store.link.ask("HSET", keys.record(strange), "state", "TELEPORTED")
    for index in (keys.due, keys.members):
        await office.store.link.ask("ZREM", index(shard, "errand", "ASKED"), strange)
        await office.store.link.ask("ZADD", index(shard, "errand", "TELEPORTED"), 0, strange)
    await sign(office.store, strange)
    before = await office.fields(strange)
    async with office.worker():
        await office.until(known, "DONE")
        with pytest.raises(UnknownState, match="Run the version that wrote it"):
            await office.learn(strange, Approved())
    assert await office.fields(strange) == before
    await office.store.link.ask("HSET", keys.record(strange), "state", "ASKED")
    for index in (keys.due, keys.members):
        await office.store.link.ask("ZREM", index(shard, "errand", "TELEPORTED"), strange)
        await office.store.link.ask("ZADD", index(shard, "errand", "ASKED"), 0, strange)
    await sign(office.store, strange)


async def test_an_index_that_names_a_missing_record_is_mended(office: Office) -> None:
    (record_id,) = await office.ask()
    shard = office.store.records.shard_of(record_id)
    ghost = RecordId(f"errand-{shard:02d}-aaaaaaaaaaaaaaaa")
    await office.store.link.ask("ZADD", keys.due(shard, "errand", "ASKED"), 1, ghost)
    await office.store.link.ask("ZADD", keys.due(shard, "errand", "READY"), 1, record_id)
    async with office.worker():
        await office.until(record_id, "DONE")
    assert await office.store.link.ask("ZSCORE", keys.due(shard, "errand", "ASKED"), ghost) is None
