"""Any sequence of what people, workers, rails and bad luck do leaves the store as a simple model says that it must be.

Checked after every step, with the numbers of payflow/RULES.md:

5   Debits equal credits; HELD equals the records that hold; no balance below zero; nothing rounded.
6   A final state is final: a late worker or webhook cannot overwrite it.
7   A replayed idempotency key gives the first answer; with another body it is refused.
8   History is append-only and hash-chained.
9   Every record that is not final, not parked and not a person's is due at some time.
10  No record is in two state indexes, or in none.

A failure prints the steps and the seed; `--hypothesis-seed=` with that number brings the same run back.
"""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, event, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from machines.core.clock import FixedClock, Millis
from machines.core.decision import Decision
from machines.core.errors import BadInput, Conflict, KeyReused, LeaseLost, PayflowError, ShortBalance
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused
from machines.core.ids import Owner, RecordId
from machines.core.lifecycle import OVERRIDE, REOPENING, By, Position, State
from machines.core.record import Record
from payflow.store import keys
from payflow.store.accounts import LedgerAccount
from payflow.store.codec import chain_fault, digest, encode, event_bytes, left_by
from payflow.store.marks import PARKED
from payflow.store.store import Store
from payflow.store.stored import Made, Stored
from tests.desk import account, claim, faults, new, ngn, opened, owner_in, settings_for
from tests.errand import LIFECYCLE, Approved, Cancelled, Done, ErrandData, NotDone, Sent, react
from tests.keycheck import unlisted
from tests.servers import Deployment, Farm, Kind, dump, flush, types

OWNERS = (owner_in(1), owner_in(1, nth=1), owner_in(3))
FACTS: tuple[Fact, ...] = (
    Approved(),
    Cancelled(),
    Sent(),
    Done("receipt"),
    NotDone("bounced"),
    LostSight("a time-out"),
    Refused("no such account"),
    Nothing(),
)
POLLED = [name for name, state in LIFECYCLE.states.items() if state.by is By.POLLER]
AMOUNTS = st.sampled_from([0, 1, 50, 99, 100, 101, 10**9 - 1, 10**9, 2**53 + 1])
OWNER = st.sampled_from(OWNERS)
YES, NO = True, False
T = TypeVar("T")
LEASES = st.sampled_from([1_000, 10_000])


@dataclass
class Expected:
    """What the model knows of one record."""

    record: Record[ErrandData]
    first: Record[ErrandData]
    body: int
    due: int | None
    fence: int = 0
    """As the store has it: odd while it is leased."""
    poked: bool = False
    events: list[bytes] = field(default_factory=list)

    @property
    def state(self) -> State:
        return LIFECYCLE.state(self.record.state)

    def leased(self, now: int) -> bool:
        return self.fence % 2 == 1 and self.due is not None and self.due > now


class Payments(RuleBasedStateMachine):
    """People and workers at the store, beside a model of what must come of it."""

    deployment: ClassVar[Deployment]
    folder: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        flush(self.deployment)
        for left in self.folder.glob("*"):
            left.unlink()
        self.clock = FixedClock()
        self.loop = asyncio.Runner()
        self.stack = AsyncExitStack()
        where = settings_for(self.deployment, self.folder)
        self.store: Store = self.run(self.stack.enter_async_context(opened(where, clock=self.clock)))
        self.accounts = {owner: LedgerAccount() for owner in OWNERS}
        self.records: dict[RecordId, Expected] = {}
        self.bodies: dict[tuple[Owner, str], RecordId] = {}
        self.references: dict[tuple[int, str], tuple[Owner, int, bool]] = {}
        self.held: list[Stored] = []
        self.last: tuple[Stored, Decision[Any], Fact] | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    def teardown(self) -> None:
        try:
            assert self.run(faults(self.store)) == []
        finally:
            self.run(self.stack.aclose())
            self.loop.close()

    # ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(owner=OWNER, units=AMOUNTS, reference=st.sampled_from("xyz"), out=st.booleans())
    def fund(self, owner: Owner, units: int, reference: str, *, out: bool) -> None:
        place = (self.store.records.owner_shard(owner), reference)
        known = self.references.get(place)
        books = self.accounts[owner]
        answer = self.attempt(self.store.records.fund(owner, ngn(units), reference, out=out))
        if known is not None:
            expect(answer, NO if known == (owner, units, out) else KeyReused)
        elif out and books.funded < units:
            expect(answer, ShortBalance)
        else:
            expect(answer, YES)
            self.references[place] = (owner, units, out)
            if out:
                self._take_or_owe(books, units)
                books.funded -= units
            else:
                self._put(books, units)
                books.funded += units

    def _put(self, books: LedgerAccount, units: int) -> None:
        settled = min(books.owed, units)
        books.owed -= settled
        books.available += units - settled

    def _take_or_owe(self, books: LedgerAccount, units: int) -> None:
        taken = min(books.available, units)
        books.available -= taken
        books.owed += units - taken

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(owner=OWNER, key=st.sampled_from("abcd"), units=AMOUNTS)
    def request(self, owner: Owner, key: str, units: int) -> None:
        answer = self.attempt(self.store.records.create(new(owner, units, key), "app"))
        known = self.bodies.get((owner, key))
        if known is not None:
            there = self.records[known]
            expect(answer, Made(there.first, fresh=False) if there.body == units else KeyReused)  # 7
        elif self.accounts[owner].available < units:
            expect(answer, ShortBalance)
        else:
            assert isinstance(answer, Made)
            assert answer.fresh
            self.accounts[owner].available -= units
            self.accounts[owner].held += units
            self.bodies[owner, key] = answer.record.id
            record = answer.record
            self.records[record.id] = Expected(record, answer.record, units, due=self.clock.at)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(state=st.sampled_from(POLLED), limit=st.integers(1, 3), lease_ms=LEASES)
    def lease(self, state: str, limit: int, lease_ms: int) -> None:
        now = self.clock.at
        due = {
            one.record.id: one.due
            for one in self.records.values()
            if one.record.state == state and one.due is not None and one.due <= now
        }
        found = self.run(claim(self.store, state, limit, lease_ms))
        assert len(found) == min(limit, len(due)), "9: what is due is found"
        latest = max((due[one.record.id] for one in found), default=0)
        assert all(at >= latest for record_id, at in due.items() if record_id not in [one.record.id for one in found])
        for one in found:
            there = self.records[one.record.id]
            there.fence += 1 if there.fence % 2 == 0 else 2
            there.due = now + lease_ms
            assert (one.record, one.fence) == (there.record, there.fence)
            self.held.append(one)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), lease_ms=LEASES)
    def renew(self, data: st.DataObject, lease_ms: int) -> None:
        one = data.draw(st.sampled_from(self.held))
        there = self.records[one.record.id]
        holds = there.fence == one.fence and there.leased(self.clock.at)
        assert self.run(self.store.records.hold(one, lease_ms)) == holds
        if holds:
            there.due = self.clock.at + lease_ms

    @precondition(lambda self: self.held)
    @rule(data=st.data(), fact=st.sampled_from(FACTS), tries=st.integers(0, 3))
    def look(self, data: st.DataObject, fact: Fact, tries: int) -> None:
        """A worker commits what it learned, in time or late."""
        one = data.draw(st.sampled_from(self.held))
        self.commit(one, fact, "worker", tries)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), fact=st.sampled_from(FACTS))
    def look_again(self, data: st.DataObject, fact: Fact) -> None:
        """A worker met a conflict, reads again and reacts again."""
        one = data.draw(st.sampled_from(self.held))
        self.commit(self.run(self.store.records.reread(one)), fact, "worker", 0)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.held))
        there = self.records[one.record.id]
        answer = self.attempt(self.store.records.park(one, "a bug", "worker"))
        moment = (one.at, one.record.version + 1, "", one.record.state)
        if event_bytes(one.chain, *moment, "worker", "a bug", PARKED, None, left_by(b"")) == there.events[-1]:
            expect(answer, None)
        elif there.fence != one.fence:
            expect(answer, LeaseLost)
        elif there.record.version != one.record.version:
            expect(answer, Conflict)
        else:
            expect(answer, None)
            event("parked")
            there.record = replace(there.record, version=there.record.version + 1, parked="a bug", tries=0)
            there.due, there.poked = None, False
            there.fence += 1

    # ── people and webhooks ──────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.records)
    @rule(data=st.data(), fact=st.sampled_from(FACTS))
    def hear(self, data: st.DataObject, fact: Fact) -> None:
        self.commit(self.read(data), fact, "webhook", 0)

    @precondition(lambda self: self.records)
    @rule(data=st.data(), to=st.sampled_from(list(LIFECYCLE.states)), second=st.sampled_from(["", "eve"]))
    def override(self, data: st.DataObject, to: str, second: str) -> None:
        one = self.read(data)
        try:
            self.commit(one, Override(to=to, reason="the bank called", by="olu", second=second), "olu", 0)
        except BadInput:
            assert to == one.record.state or not second

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def poke(self, data: st.DataObject) -> None:
        there = self.records[data.draw(st.sampled_from(sorted(self.records)))]
        (answer,) = self.run(self.store.records.poke(there.record.id))
        if there.due is None:
            assert answer == "asleep"
        elif there.leased(self.clock.at):
            assert answer == "leased"
            there.poked = True
        else:
            assert answer == "due"
            there.due = self.clock.at

    @precondition(lambda self: any(there.record.parked for there in self.records.values()))
    @rule(data=st.data())
    def take_up_again(self, data: st.DataObject) -> None:
        there = data.draw(st.sampled_from([one for one in self.records.values() if one.record.parked]))
        self.run(self.store.records.unpark(self.run(self.store.records.read(there.record.id)), "mended", "olu"))
        there.record = replace(there.record, version=there.record.version + 1, parked="", tries=0)
        there.due = self.clock.at

    # ── time and bad luck ────────────────────────────────────────────────────────────────────────────────────────────

    @rule(seconds=st.sampled_from([0.001, 0.999, 1.0, 10.0, 60.0, 3600.0, 86400.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.last)
    @rule()
    def lose_the_reply(self) -> None:
        """The last commit was written and its reply was lost: the same is sent again."""
        assert self.last is not None
        stored, decision, fact = self.last
        before = dump(self.deployment, without=("seq", "writers"))
        there = self.records[stored.record.id]
        answer = self.attempt(self.store.records.commit(stored, decision, fact, "worker"))
        if there.record.version == stored.record.version + 1 and decision.recorded:
            assert isinstance(answer, Record)
        else:
            assert isinstance(answer, Conflict | LeaseLost)
        assert dump(self.deployment, without=("seq", "writers")) == before

    @rule()
    def restart_the_worker(self) -> None:
        """What a process knew is gone; the store and the high-water mark are all that is left."""
        self.run(self.stack.aclose())
        where = settings_for(self.deployment, self.folder)
        self.store = self.run(self.stack.enter_async_context(opened(where, clock=self.clock)))
        assert not self.store.guard.alarms

    # ── the model ────────────────────────────────────────────────────────────────────────────────────────────────────

    def attempt(self, work: Coroutine[Any, Any, T]) -> T | PayflowError:
        try:
            return self.run(work)
        except PayflowError as error:
            return error

    def read(self, data: st.DataObject) -> Stored:
        record_id = data.draw(st.sampled_from(sorted(self.records)))
        stored: Stored = self.run(self.store.records.read(record_id))
        assert stored.record == self.records[record_id].record
        return stored

    def commit(self, one: Stored, fact: Fact, who: str, tries: int) -> None:
        there = self.records[one.record.id]
        decision = react(one.record, fact, one.at)
        if not decision.recorded and not one.fence:
            tries = 0
        note(f"{one.record.id} in {one.record.state} hears {fact}: {decision.trigger or 'stays'}")
        answer = self.attempt(self.store.records.commit(one, decision, fact, who, tries=tries))
        books = replace(self.accounts[one.record.owner])
        event(f"the store answers {type(answer).__name__}")
        if self._repeats(there, one, decision, fact, who):
            assert isinstance(answer, Record), answer
        elif one.fence and there.fence != one.fence:
            expect(answer, LeaseLost)
        elif there.record.version != one.record.version:
            expect(answer, Conflict)
        elif not self._move_money(books, there, decision):
            expect(answer, ShortBalance)
        else:
            assert isinstance(answer, Record), answer
            self.accounts[one.record.owner] = books
            self._follow(there, decision, one, tries)
            # What a worker gets back says when it came into its state by the clock of its claim.
            assert replace(answer, since=there.record.since) == there.record or not decision.recorded
            self.last = (one, decision, fact) if who == "worker" else None
            event(f"{decision.trigger or 'stays'}" + (f" to {there.record.state}" if decision.trigger else ""))

    def _repeats(self, there: Expected, one: Stored, decision: Decision[Any], fact: Fact, who: str) -> bool:
        """Whether the same commit is the newest that is written: then it is told so, and nothing more is written."""
        state = self._target(one.record, decision).name
        moment = (one.at, one.record.version + 1, decision.trigger or "", state)
        left = left_by(b"" if decision.data is None else digest(one.record.owner, encode(decision.data)))
        written = event_bytes(one.chain, *moment, who, decision.why, type(fact).__name__, fact, left)
        return decision.recorded and written == there.events[-1]

    def _target(self, record: Record[ErrandData], decision: Decision[Any]) -> State:
        if decision.trigger == OVERRIDE:
            return LIFECYCLE.state(decision.to or "")
        return LIFECYCLE.target(record.state, decision.trigger) if decision.trigger else LIFECYCLE.state(record.state)

    def _move_money(self, books: LedgerAccount, there: Expected, decision: Decision[Any]) -> bool:
        """Move the amount as the positions say; False where it is not there."""
        source, target = there.state.position, self._target(there.record, decision).position
        units = there.record.amount.units if there.record.amount else 0
        if source is target:
            return True
        if source is Position.AVAILABLE and target is Position.PAID:
            self._take_or_owe(books, units)
            books.paid += units
            return True
        assert source is not None
        assert target is not None
        if getattr(books, source) < units:
            return False
        setattr(books, source, getattr(books, source) - units)
        if target is Position.AVAILABLE:
            self._put(books, units)
        else:
            setattr(books, target, getattr(books, target) + units)
        return True

    def _follow(self, there: Expected, decision: Decision[Any], one: Stored, tries: int) -> None:
        """Write into the model what the commit must have written."""
        now, before = self.clock.at, there.record
        target = self._target(before, decision)
        moved = target.name != before.state
        if there.state.final and moved:
            assert decision.trigger in REOPENING, "6: a final state is final"
        kept = not one.fence and not moved
        if decision.recorded:
            there.record = replace(
                before,
                state=target.name,
                version=before.version + 1,
                data=before.data if decision.data is None else decision.data,
                since=Millis(now) if moved else before.since,
                tries=before.tries if kept else tries,
                parked=before.parked if kept else "",
            )
        else:
            there.record = replace(before, tries=before.tries if kept else tries)
        again = decision.again_s
        if again is None:
            again = 0 if moved and target.by is By.POLLER else target.every_s
        due = None if again is None or target.by is not By.POLLER or there.record.parked else now + int(again * 1000)
        if one.fence:
            if there.poked:
                due = due and now
            there.poked = False
            there.fence += 1
        elif due is not None and there.leased(now):
            due, there.poked = there.due, True
        elif due is not None and there.due is not None and not moved:
            due = min(due, there.due)
        there.due = due

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        content: dict[str, Any] = dump(self.deployment)
        self.check_books()
        self.check_records(content)
        assert unlisted(types(self.deployment)) == []

    def check_books(self) -> None:
        for owner, books in self.accounts.items():
            found = self.run(account(self.store, owner))
            assert found == books, "5"
            assert found.imbalance == 0, "5: debits equal credits"
            assert min(found.available, found.held, found.paid, found.funded, found.owed) >= 0, "5: nothing below zero"
            holding = sum(
                there.record.amount.units
                for there in self.records.values()
                if there.record.owner == owner and there.state.position is Position.HELD and there.record.amount
            )
            assert found.held == holding, "5: HELD equals the records that hold"

    def check_records(self, content: dict[str, Any]) -> None:
        indexes, due = _places(content, "in"), _places(content, "due")
        assert indexes.keys() == self.records.keys(), "10: no record without an index, no index without its record"
        for record_id, there in self.records.items():
            raw = content[keys.record(record_id)]
            assert (raw[b"state"].decode(), int(raw[b"ver"])) == (there.record.state, there.record.version), "6"
            assert [state for state, _ in indexes[record_id]] == [there.record.state], "10: in one index, its own"
            expected = [] if there.due is None else [(there.record.state, float(there.due))]
            assert due.get(record_id, []) == expected, "9, 10: looked at when and where it should be"
            events = content[keys.history(record_id)]
            assert events[: len(there.events)] == there.events, "8: append-only"
            assert len(events) == there.record.version, "8: one event a version"
            assert chain_fault(events, raw[b"hash"]) == "", "8: hash-chained"
            there.events = events


def _places(content: dict[str, Any], kind: str) -> dict[str, list[tuple[str, float]]]:
    """For each record, the states in whose indexes it stands, and the scores there."""
    found: dict[str, list[tuple[str, float]]] = {}
    for key, members in content.items():
        if key[8:].startswith(f"{kind}:errand:"):
            for member, score in members:
                found.setdefault(member.decode(), []).append((key.rpartition(":")[2], score))
    return found


def expect(answer: object, wanted: object) -> None:
    """Compare an answer, or the kind of an error, with what the model says."""
    if isinstance(wanted, type):
        assert type(answer) is wanted, answer
    else:
        assert answer is wanted or answer == wanted, answer


@pytest.mark.timeout(300)
def test_the_store_follows_the_model_whatever_happens(
    farm: Farm, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    class Here(Payments):
        deployment = farm.shared(Kind.VALKEY)
        folder = tmp_path

    given = request.config.getoption("--hypothesis-seed")
    number = int(given) if given else random.getrandbits(32)
    print(f"seed {number}")  # noqa: T201  (shown with a failure)
    run_state_machine_as_test(
        seed(number)(Here),
        settings=settings(
            max_examples=100,
            stateful_step_count=50,
            deadline=None,
            print_blob=True,
            database=None,
            derandomize=False,
            phases=[Phase.generate],  # add Phase.shrink to look for a shorter story: that takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
    flush(Here.deployment)
