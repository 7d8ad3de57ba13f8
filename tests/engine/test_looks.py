"""One look at one record: what every way of ending it leaves in the store. Time moves only when a test says so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from machines.core.clock import FixedClock, Millis
from machines.core.decision import Claim, Decision, keep, move, wait
from machines.core.errors import (
    Conflict,
    IllegalMove,
    LeaseLost,
    NotDurable,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Retryable,
    ShortBalance,
    StoreUnavailable,
    StoreUnfit,
)
from machines.core.facts import Fact, Nothing, Override, Proof
from machines.core.ids import RecordId
from machines.core.ports import Step
from machines.core.record import Record
from payflow.engine.step import MOST_CONFLICTS
from payflow.store import keys
from payflow.store.stored import Stored
from tests.engine.office import Gate, Look, Office, open_office
from tests.errand import Approved, Cancelled, Done, ErrandData, NotDone, Sent, react

Thinking = Callable[[Record[ErrandData], Fact, Millis], Decision[ErrandData]]


def failing(error: BaseException) -> Look:
    """Make an act that only raises."""

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        raise error

    return act


def after(office: Office, *facts: Fact, then: Fact | Exception) -> Look:
    """Make an act during which facts come from outside, each once."""
    coming = list(facts)

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        while coming:
            await office.learn(record.id, coming.pop(0))
        if isinstance(then, Exception):
            raise then
        return then

    return act


# ── errors of an act ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_retryable_backs_off_twice_as_long_each_time_and_the_tries_are_kept(
    still_office: Office, clock: FixedClock
) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    office.acts["SENDING"] = failing(Retryable("busy"))
    waits = []
    for tries in range(1, 8):
        await office.steps().look(await office.claim("SENDING"))
        assert (await office.record(record_id)).tries == tries
        wait_ms = await office.due_in_ms(record_id, "SENDING")
        assert wait_ms is not None
        assert await office.claim_all("SENDING") == []
        waits.append(wait_ms)
        clock.advance(wait_ms / 1000)
    assert waits == [100, 200, 400, 800, 1000, 1000, 1000]
    assert office.errors("SENDING", "retryable") == 7
    assert (await office.events(record_id))[-1] == ("send", "SENDING", "Sent"), "a try is no event"


@pytest.mark.parametrize(("asked_s", "wait_ms"), [(30.0, 30_000), (0.01, 100)])
async def test_the_other_side_may_ask_for_a_longer_wait_and_not_for_a_shorter_one(
    still_office: Office, asked_s: float, wait_ms: int
) -> None:
    record_id = await still_office.one_in("SENDING")
    still_office.acts["SENDING"] = failing(Retryable("slow down", after_s=asked_s))
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert await still_office.due_in_ms(record_id, "SENDING") == wait_ms


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
async def test_jitter_spreads_the_tries_and_never_makes_them_run_hot(still_office: Office, jitter: float) -> None:
    record_id = await still_office.one_in("SENDING")
    still_office.acts["SENDING"] = failing(Retryable("busy"))
    await still_office.steps(jitter=jitter).look(await still_office.claim("SENDING"))
    assert await still_office.due_in_ms(record_id, "SENDING") == max(25, 100 * jitter)


async def test_why_the_last_look_failed_is_known_until_one_learns_something(
    still_office: Office, clock: FixedClock
) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    began = clock.now()
    for says in ("busy", "x" * 400):
        office.acts["SENDING"] = failing(Retryable(says))
        await office.steps().look(await office.claim("SENDING"))
        outlook = await office.store.listing.outlook(await office.record(record_id))
        assert outlook.error == says[:300]
        count, (found,) = await office.store.listing.failing(clock.now())
        assert (count, found.record.id, found.since, found.error) == (1, record_id, began, says[:300])
        clock.advance(2)
    assert (await office.store.listing.failing(Millis(began - 1)))[0] == 0

    # Who is held up keeps what failed before, and says what holds it up now.
    office.acts["SENDING"] = failing(NotDurable("the store is weak"))
    await office.steps().look(await office.claim("SENDING"))
    assert (await office.store.listing.outlook(await office.record(record_id))).error == "the store is weak"
    clock.advance(60)

    office.acts["SENDING"] = after(office, then=Nothing())
    await office.steps().look(await office.claim("SENDING"))
    assert (await office.store.listing.outlook(await office.record(record_id))).error == ""
    assert await office.store.listing.failing(clock.now()) == (0, [])
    assert await office.store.link.ask("HMGET", keys.record(record_id), "tries", "error") == [None, None]


async def test_tries_begin_anew_with_a_move(still_office: Office, clock: FixedClock) -> None:
    record_id = await still_office.one_in("READY")
    act, still_office.acts["READY"] = still_office.acts["READY"], failing(Retryable("busy"))
    await still_office.steps().look(await still_office.claim("READY"))
    assert (await still_office.record(record_id)).tries == 1
    clock.advance(1)
    still_office.acts["READY"] = act
    await still_office.steps().look(await still_office.claim("READY"))
    moved = await still_office.record(record_id)
    assert (moved.state, moved.tries) == ("SENDING", 0)
    assert await still_office.due_in_ms(record_id, "SENDING") == 0


async def test_tries_begin_anew_with_a_look_that_went_well(still_office: Office, clock: FixedClock) -> None:
    record_id = await still_office.one_in("SENDING")
    for act, tries in ((failing(Retryable("busy")), 1), (after(still_office, then=Nothing()), 0)):
        still_office.acts["SENDING"] = act
        await still_office.steps().look(await still_office.claim("SENDING"))
        assert (await still_office.record(record_id)).tries == tries
        clock.advance(2)


async def test_a_try_that_failed_while_the_record_moved_on_costs_the_new_state_nothing(still_office: Office) -> None:
    (record_id,) = await still_office.ask()
    still_office.acts["ASKED"] = after(still_office, Approved("boss"), then=Retryable("busy"))
    await still_office.steps().look(await still_office.claim("ASKED"))
    moved = await still_office.record(record_id)
    assert (moved.state, moved.tries) == ("READY", 0)
    assert await still_office.due_in_ms(record_id, "READY") == 0
    assert await still_office.leased([record_id]) == []


async def test_rejected_becomes_the_fact_refused(still_office: Office) -> None:
    record_id = await still_office.one_in("SENDING")
    still_office.acts["SENDING"] = failing(Rejected("no such account"))
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert (await still_office.events(record_id))[-1] == ("fail", "FAILED", "Refused")
    assert (await still_office.whys(record_id))[-1] == "no such account"
    assert still_office.errors("SENDING", "rejected") == 1


async def test_an_unknown_outcome_becomes_the_fact_lost_sight(still_office: Office) -> None:
    record_id = await still_office.one_in("SENDING")
    still_office.acts["SENDING"] = failing(OutcomeUnknown("timed out"))
    await still_office.steps().look(await still_office.claim("SENDING"))
    record = await still_office.record(record_id)
    assert (record.state, record.data.asked) == ("SENDING", 1)
    assert (await still_office.events(record_id))[-1] == ("", "SENDING", "LostSight")
    assert await still_office.due_in_ms(record_id, "SENDING") == 1000
    assert still_office.errors("SENDING", "unknown") == 1


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("a bug"),
        TimeoutError(),
        NotFound("of another record"),
        ShortBalance(),
        asyncio.CancelledError("not by us"),
        ExceptionGroup("two", [ValueError("a"), ValueError("b")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_any_other_error_of_an_act_parks_the_record(still_office: Office, error: BaseException) -> None:
    record_id = await still_office.one_in("SENDING")
    still_office.acts["SENDING"] = failing(error)
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert type(error).__name__ in (await still_office.record(record_id)).parked
    await assert_parked(still_office, record_id, "SENDING")


async def assert_parked(office: Office, record_id: RecordId, state: str) -> None:
    """It is out of sight of the pollers, in sight of the operators, and somebody was told."""
    ((parked, why),) = await office.store.listing.parked()
    assert parked == record_id
    assert why
    assert await office.due_in_ms(parked, state) is None
    assert await office.leased([parked]) == []
    posts = await office.store.outbox.take(10, 1000)
    assert [(post.kind, post.record) for post in posts] == [("alarm", record_id)]
    assert office.errors(state, "bug") == 1
    assert office.sample("payflow_parkings_total", machine="errand") == 1


async def test_a_cancelled_look_is_cancelled(still_office: Office) -> None:
    record_id = await still_office.one_in("SENDING")
    begun = asyncio.Event()

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    still_office.acts["SENDING"] = act
    look = asyncio.create_task(still_office.steps().look(await still_office.claim("SENDING")))
    await begun.wait()
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    assert (await still_office.record(record_id)).parked == ""


def react_raising(error: Exception) -> Thinking:
    def broken(record: Record[ErrandData], fact: Fact, now: Millis) -> Decision[ErrandData]:
        raise error

    return broken


@pytest.mark.parametrize(
    "thinking",
    [
        react_raising(KeyError("a bug")),
        react_raising(IllegalMove("cannot")),
        lambda record, fact, now: move("finish"),
        lambda record, fact, now: Decision(trigger="override", to="NOWHERE"),
        lambda record, fact, now: Decision(recorded=False, trigger="send"),
        lambda record, fact, now: keep("what nobody can write down", data=object()),
        lambda record, fact, now: None,
    ],
    ids=["raises", "refuses", "no such move", "no such state", "moves unrecorded", "unwritable", "nothing"],
)
async def test_a_bug_in_react_parks_the_record(still_office: Office, thinking: Thinking) -> None:
    record_id = await still_office.one_in("READY")
    still_office.react = thinking
    await still_office.steps().look(await still_office.claim("READY"))
    await assert_parked(still_office, record_id, "READY")


async def test_a_state_without_an_act_parks_the_record(still_office: Office) -> None:
    (record_id,) = await still_office.ask()
    del still_office.acts["ASKED"]
    await still_office.steps().look(await still_office.claim("ASKED"))
    await assert_parked(still_office, record_id, "ASKED")


# ── the store fails ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StoreUnfit("out of memory"), Conflict("elsewhere")])
async def test_trouble_of_the_store_inside_an_act_is_not_the_records_fault(
    still_office: Office, clock: FixedClock, error: Exception
) -> None:
    record_id = await still_office.one_in("SENDING")
    before = await still_office.events(record_id)
    still_office.acts["SENDING"] = failing(error)
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert (await still_office.record(record_id)).parked == ""
    assert await still_office.events(record_id) == before
    clock.advance(10)
    assert (await still_office.claim("SENDING")).record.id == record_id, "it comes back when the lease has run out"


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StoreUnfit("out of memory")])
@pytest.mark.parametrize("method", ["commit", "reread"])
async def test_trouble_of_the_store_at_the_commit_is_not_the_records_fault(
    still_office: Office, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str
) -> None:
    record_id = await still_office.one_in("READY")
    stored = await still_office.claim("READY")
    if method == "reread":
        await still_office.learn(record_id, Done("?"))  # so that the first commit conflicts

    async def fail(*parts: object, **more: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(still_office.store.records, method, fail)
        await still_office.steps().look(stored)
    record = await still_office.record(record_id)
    assert (record.state, record.parked) == ("READY", "")
    clock.advance(10)
    await still_office.steps().look(await still_office.claim("READY"))
    assert await still_office.state(record_id) == "SENDING"


async def test_a_try_that_cannot_be_written_comes_back(
    still_office: Office, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id = await still_office.one_in("SENDING")
    stored = await still_office.claim("SENDING")
    still_office.acts["SENDING"] = after(still_office, Approved(), then=Retryable("busy"))

    async def fail(*parts: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(still_office.store.records, "reread", fail)
        await still_office.steps().look(stored)
    clock.advance(10)
    assert (await still_office.claim("SENDING")).record.id == record_id


async def test_a_commit_whose_answer_was_lost_is_not_written_twice(
    still_office: Office, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id = await still_office.one_in("READY")
    commit = still_office.store.records.commit

    async def written_but_unheard(
        stored: Stored, decision: Decision[ErrandData], fact: Fact, who: str, *, tries: int = 0
    ) -> None:
        await commit(stored, decision, fact, who, tries=tries)
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(still_office.store.records, "commit", written_but_unheard)
        await still_office.steps().look(await still_office.claim("READY"))
    assert await still_office.state(record_id) == "SENDING"
    assert [event[0] for event in await still_office.events(record_id)] == ["", "approve", "send"]
    assert await still_office.claim_all("READY") == []
    await still_office.steps().look(await still_office.claim("SENDING"))


# ── races ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_conflict_reacts_again_to_the_same_fact_on_the_fresh_record(still_office: Office) -> None:
    record_id = await still_office.one_in("READY")
    thoughts: list[tuple[int, Fact]] = []
    acted = []

    def thinking(record: Record[ErrandData], fact: Fact, now: Millis) -> Decision[ErrandData]:
        if isinstance(fact, Sent):
            thoughts.append((record.version, fact))
        return react(record, fact, now)

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        acted.append(record.version)
        await still_office.learn(record_id, Done("early"))  # noted, and a new version
        return Sent()

    still_office.react, still_office.acts["READY"] = thinking, act
    stored = await still_office.claim("READY")
    await still_office.steps().look(stored)
    version = stored.record.version
    assert acted == [version]
    assert [seen for seen, _ in thoughts] == [version, version + 1]
    assert thoughts[0][1] is thoughts[1][1]
    assert await still_office.events(record_id) == [
        ("", "ASKED", "Created"),
        ("approve", "READY", "Approved"),
        ("", "READY", "Done"),
        ("send", "SENDING", "Sent"),
    ]


async def test_a_record_that_was_moved_during_a_look_is_not_moved_back(still_office: Office) -> None:
    record_id = await still_office.one_in("READY")
    still_office.acts["READY"] = after(still_office, Cancelled(), then=Sent())
    await still_office.steps().look(await still_office.claim("READY"))
    assert await still_office.state(record_id) == "CANCELLED"
    assert (await still_office.whys(record_id))[-1] == "noted: Sent means nothing in CANCELLED"
    assert await still_office.leased([record_id]) == []


async def test_a_record_that_always_changes_is_not_fought_over_for_ever(
    still_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id = await still_office.one_in("READY")
    conflicts = 0
    commit = still_office.store.records.commit

    async def contested(
        stored: Stored, decision: Decision[ErrandData], fact: Fact, who: str, *, tries: int = 0
    ) -> object:
        nonlocal conflicts
        conflicts += 1
        await commit(await still_office.store.records.read(record_id), keep("again"), Nothing(), "somebody")
        return await commit(stored, decision, fact, who, tries=tries)

    with monkeypatch.context() as patch:
        patch.setattr(still_office.store.records, "commit", contested)
        await still_office.steps().look(await still_office.claim("READY"))
    assert conflicts == MOST_CONFLICTS
    assert await still_office.state(record_id) == "READY"


async def test_a_conflict_about_another_record_of_the_group_goes_back_to_act(still_office: Office) -> None:
    office = still_office
    (other_id,) = await office.ask()
    first_id = await office_one_in_ready(office, other_id)
    seen: list[int] = []

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        other = await office.record(other_id)
        seen.append(other.version)
        if len(seen) == 1:
            await office.learn(other_id, Done("?"))
        return Grouped(other)

    def thinking(record: Record[ErrandData], fact: Fact, now: Millis) -> Decision[ErrandData]:
        if isinstance(fact, Grouped):
            return move("send", group=((fact.other, keep("with the other")),))
        return react(record, fact, now)

    office.acts["READY"], office.react = act, thinking
    await office.steps().look(await office.claim("READY"))
    assert await office.state(first_id) == "READY"
    assert (await office.record(first_id)).parked == ""
    await office.steps().look(await office.claim("READY"))
    assert await office.state(first_id) == "SENDING"
    assert seen == [1, 2]


@dataclass(frozen=True, slots=True)
class Grouped(Fact):
    """Learned about two records at once."""

    other: Record[ErrandData]


async def office_one_in_ready(office: Office, but: RecordId) -> RecordId:
    """Bring another record than this one into READY."""
    (record_id,) = await office.ask()
    await office.learn(record_id, Approved())
    assert await office.state(record_id) == "READY"
    assert record_id != but
    return record_id


async def test_a_claim_that_is_taken_goes_back_to_act(still_office: Office, clock: FixedClock) -> None:
    office = still_office
    first, second = await office.ask(2)
    nonces = iter((7, 7, 7, 8))
    used: list[tuple[str, int]] = []

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        nonce = next(nonces)
        used.append((record.id, nonce))
        return Done(str(nonce))

    def thinking(record: Record[ErrandData], fact: Fact, now: Millis) -> Decision[ErrandData]:
        if isinstance(fact, Done) and record.state == "READY":
            return move("send", claims=(Claim("lane-one", fact.evidence),))
        return react(record, fact, now)

    for record_id in (first, second):
        await office.learn(record_id, Approved())
    office.acts["READY"], office.react = act, thinking
    winner, loser = await office.claim_all("READY")
    assert isinstance(winner, Stored)
    assert isinstance(loser, Stored)
    await office.steps().look(winner)
    await office.steps().look(loser)
    assert await office.state(loser.record.id) == "READY"
    assert await office.due_in_ms(loser.record.id, "READY") == 0, "the first time, it may try again at once"
    again = await office.claim("READY")
    await office.steps().look(again)
    wait_ms = await office.due_in_ms(loser.record.id, "READY")
    assert wait_ms, "but it does not run hot"
    clock.advance(wait_ms / 1000)
    await office.steps().look(await office.claim("READY"))
    assert await office.state(loser.record.id) == "SENDING"
    assert [nonce for record_id, nonce in used if record_id == loser.record.id] == [7, 7, 8]


async def test_a_fact_about_a_claimed_record_comes_late_and_is_dropped(still_office: Office, clock: FixedClock) -> None:
    record_id = await still_office.one_in("READY")
    late = await still_office.claim("READY")
    clock.advance(10.001)
    ours = await still_office.claim("READY")
    await still_office.steps(who="late").look(late)
    assert await still_office.state(record_id) == "READY"
    assert still_office.leases_lost() == 1
    await still_office.steps(who="ours").look(ours)
    assert await still_office.state(record_id) == "SENDING"
    events = await still_office.store.records.history(record_id)
    assert [event.who for event in events if event.trigger == "send"] == ["ours"]


@pytest.mark.parametrize(
    "error", [Retryable("busy"), Rejected("no"), OutcomeUnknown("?"), ZeroDivisionError("a bug"), LeaseLost()]
)
async def test_nothing_is_written_by_who_lost_the_lease(
    still_office: Office, clock: FixedClock, error: Exception
) -> None:
    record_id = await still_office.one_in("SENDING")
    late = await still_office.claim("SENDING")
    clock.advance(10.001)
    await still_office.claim("SENDING")
    before = await still_office.fields(record_id)
    still_office.acts["SENDING"] = failing(error)
    await still_office.steps().look(late)
    assert await still_office.fields(record_id) == before
    assert len(await still_office.events(record_id)) == 3
    assert await still_office.due_in_ms(record_id, "SENDING") == 10_000


async def test_a_lease_that_was_lost_during_a_conflict_is_lost(still_office: Office, clock: FixedClock) -> None:
    record_id = await still_office.one_in("READY")

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        await still_office.learn(record_id, Done("?"))
        clock.advance(10.001)
        await still_office.claim("READY")
        return Sent()

    still_office.acts["READY"] = act
    await still_office.steps().look(await still_office.claim("READY"))
    assert await still_office.state(record_id) == "READY"
    assert still_office.leases_lost() == 1


async def test_a_poke_during_a_lease_lets_nobody_in_and_is_not_forgotten(still_office: Office) -> None:
    record_id = await still_office.one_in("SENDING")
    still_office.rail.submits[record_id] = 0  # known to the rail
    stored = await still_office.claim("SENDING")
    assert await still_office.store.records.poke(record_id) == ["leased"]
    assert await still_office.claim_all("SENDING") == []
    still_office.acts["SENDING"] = after(still_office, then=Nothing())
    await still_office.steps().look(stored)
    assert await still_office.due_in_ms(record_id, "SENDING") == 0
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert await still_office.due_in_ms(record_id, "SENDING") == 1000, "one poke is one look"


async def test_a_fact_from_outside_during_a_lease_lets_nobody_in(still_office: Office) -> None:
    record_id = await still_office.one_in("ASKED")
    stored = await still_office.claim("ASKED")
    await still_office.learn(record_id, Approved("boss"))
    assert await still_office.state(record_id) == "READY"
    assert await still_office.claim_all("READY") == []
    assert await still_office.claim_all("ASKED") == []
    await still_office.steps().look(stored)
    assert await still_office.due_in_ms(record_id, "READY") == 0


# ── before a send ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_record_that_was_overridden_during_a_look_is_not_sent(still_office: Office) -> None:
    """The money was given back between the question to the rail and the send."""
    office = still_office
    record_id = await office.one_in("SENDING")
    pursue = office.acts["SENDING"]

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        await office.learn(record.id, Override("CANCELLED", "lost interest", "eve", proof=Proof.NOT_PAID))
        return await pursue(record, step)

    office.acts["SENDING"] = act
    await office.steps().look(await office.claim("SENDING"))
    assert office.rail.submits == {}
    assert await office.state(record_id) == "CANCELLED"


async def test_a_record_that_changed_during_a_look_is_looked_at_again_before_it_is_sent(still_office: Office) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    pursue, changes = office.acts["SENDING"], [Cancelled()]

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        while changes:
            await office.learn(record.id, changes.pop())
        return await pursue(record, step)

    office.acts["SENDING"] = act
    await office.steps().look(await office.claim("SENDING"))
    assert office.rail.submits == {}
    assert await office.due_in_ms(record_id, "SENDING") == 0
    await office.steps().look(await office.claim("SENDING"))
    assert office.rail.submits == {record_id: 1}


async def test_who_slept_past_his_lease_does_not_send(still_office: Office, clock: FixedClock) -> None:
    record_id = await still_office.one_in("SENDING")
    stored = await still_office.claim("SENDING")
    clock.advance(10)
    await still_office.steps().look(stored)
    assert still_office.rail.submits == {}
    assert still_office.leases_lost() == 1
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert still_office.rail.submits == {record_id: 1}


async def test_an_act_of_several_sends_asks_before_each(still_office: Office, clock: FixedClock) -> None:
    record_id = await still_office.one_in("SENDING")

    async def act(record: Record[ErrandData], step: Step) -> Fact:
        for part in range(3):
            await step.may_send("rail:test")
            still_office.rail.submits[f"{record.id}/{part}"] += 1
            clock.advance(9 if part == 0 else 11)
        return Sent()

    still_office.acts["SENDING"] = act
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert set(still_office.rail.submits) == {f"{record_id}/0", f"{record_id}/1"}


async def test_the_end_of_a_look_is_committed_however_it_raced(still_office: Office) -> None:
    """A proof that came while the record was given back is not lost: the money went out, and the books say so."""
    office = still_office
    record_id = await office.one_in("SENDING")
    override = Override("CANCELLED", "lost interest", "eve", second="adam")
    office.acts["SENDING"] = after(office, override, then=Done("receipt"))
    await office.steps().look(await office.claim("SENDING"))
    assert await office.state(record_id) == "CONTRADICTED"
    account = (await office.store.ledger.account(office.owner))["NGN"]
    assert (account.held, account.paid) == (0, 100)


# ── the money goes where the state says, whichever came first ────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", ["poll", "webhook"])
async def test_a_webhook_and_a_poll_end_the_same_whichever_comes_first(still_office: Office, first: str) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    stored = await office.claim("SENDING")
    if first == "webhook":
        office.acts["SENDING"] = after(office, Done("receipt"), then=Done("receipt"))
    else:
        office.acts["SENDING"] = after(office, then=Done("receipt"))
    await office.steps().look(stored)
    if first == "poll":
        await office.learn(record_id, Done("receipt"))
    record = await office.record(record_id)
    assert (record.state, record.data.evidence) == ("DONE", "receipt")
    assert [event for event in await office.events(record_id) if event[0]] == [
        ("approve", "READY", "Approved"),
        ("send", "SENDING", "Sent"),
        ("finish", "DONE", "Done"),
    ]
    account = (await office.store.ledger.account(office.owner))["NGN"]
    assert (account.held, account.paid) == (0, 100)
    assert [post.kind for post in await office.store.outbox.take(10, 1000)] == ["told"]
    assert await office.leased([record_id]) == []


@pytest.mark.parametrize("first", ["poll", "operator"])
async def test_an_override_races_a_poll(still_office: Office, first: str) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    stored = await office.claim("SENDING")
    override = Override("FAILED", "the bank says no", "eve", second="adam")
    if first == "operator":
        office.acts["SENDING"] = after(office, override, then=NotDone("no such account"))
        await office.steps().look(stored)
        assert (await office.events(record_id))[-2:] == [("override", "FAILED", "Override"), ("", "FAILED", "NotDone")]
    else:
        office.acts["SENDING"] = after(office, then=NotDone("no such account"))
        await office.steps().look(stored)
        assert (await office.events(record_id))[-1] == ("fail", "FAILED", "NotDone")
    assert await office.state(record_id) == "FAILED"


async def test_many_facts_from_outside_settle_among_themselves(still_office: Office) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    before = (await office.record(record_id)).version
    facts = [Done(f"receipt {number}") for number in range(12)]
    applied = await asyncio.gather(*(office.learn(record_id, fact) for fact in facts))
    assert sum(one.decision.trigger == "finish" for one in applied) == 1
    assert (await office.record(record_id)).version == before + 12
    assert len({one.after.version for one in applied}) == 12
    assert [event[0] for event in await office.events(record_id)].count("finish") == 1


async def test_a_fact_that_must_be_learned_anew_is_learned_on_the_fresh_record(still_office: Office) -> None:
    office = still_office
    record_id = await office.one_in("SENDING")
    versions = []

    async def learn(record: Record[ErrandData]) -> Fact:
        versions.append(record.version)
        if len(versions) == 1:
            await office.learn(record_id, Cancelled())
        return Done("receipt")

    applied = await office.learn(record_id, learn)
    assert versions == [3, 4]
    assert applied.after.state == "DONE"


@pytest.mark.parametrize("first", ["look", "operator"])
async def test_a_look_and_an_override_in_the_same_call_leave_the_record_in_one_index(
    still_office: Office, first: str
) -> None:
    """In one process both travel to the store together, and the look, which learned nothing, changes no version."""
    office = still_office
    record_id = await office.one_in("SENDING")
    held = await office.claim("SENDING")
    seen = await office.store.records.read(record_id)
    override = Override("FAILED", "lost interest", "eve", second="adam")
    look = office.store.records.commit(held, wait(0), Nothing(), "worker")
    steer = office.store.records.commit(seen, react(seen.record, override, seen.at), override, "eve")
    both = (look, steer) if first == "look" else (steer, look)
    for result in await asyncio.gather(*both, return_exceptions=True):
        assert isinstance(result, Record | Conflict)
    if await office.state(record_id) == "SENDING":
        await office.learn(record_id, override)
    assert await office.state(record_id) == "FAILED"
    for state in ("SENDING", "FAILED"):
        assert await office.due_in_ms(record_id, state) is None


async def test_a_look_that_never_ends_is_given_up_and_what_it_did_is_unknown(tmp_path: Path) -> None:
    async with open_office(tmp_path / "data", look_limit_s=1) as office:
        gate = Gate()

        async def hang(record: Record[ErrandData], step: Step) -> Fact:
            await gate.pass_through()
            return Sent()

        pursue, office.acts["SENDING"] = office.acts["SENDING"], hang
        async with office.worker():
            (record_id,) = await office.ask()
            await office.learn(record_id, Approved())
            await gate.reached(2)
            office.acts["SENDING"] = pursue
            await office.until(record_id, "DONE")
        assert "lost sight: The look took longer than 1 s." in await office.whys(record_id)
        gate.open()
