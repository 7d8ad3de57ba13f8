"""Anything that may happen, in any order: a rail with a truth of its own, people, clicks in the gateway's dashboard.

1. A new reference is handed over only while every other one of the payout is over, and can be seen to be.
2. At most one success per payout, but for those that the rail brought about by itself.
3. Money is given back only while nothing of it is paid or under way, as far as the rail had told.
4. When all is quiet, the books say what happened: PAID exactly if a reference is paid.
5. No fact, however late or often it comes, breaks any of this.
"""

from collections.abc import Coroutine
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from machines.core.clock import DAY, HOUR, MINUTE, SECOND, Millis
from machines.core.errors import BadInput, Deferred, OutcomeUnknown, RailClosed, Rejected, Retryable
from machines.core.facts import Fact, LostSight, Refused
from machines.core.lifecycle import Position
from machines.core.ports import Cause, Evidence, Failed, Payment, Pending, Reversed, Settled, Status, Unsent
from machines.core.record import Sending
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import PayoutRecord, RiskFinding
from machines.payout.policy import PayoutPolicy
from machines.payout.react import react
from tests.machines.payout.scenes import NOW, carried_out, payout
from tests.machines.payout.world import looks

T = TypeVar("T")

POLICY = PayoutPolicy(watch_ms=10_000 * DAY)


class Truth(Enum):
    """What became of a reference, whatever anybody knows of it."""

    PENDING = auto()
    PAID = auto()
    FAILED = auto()
    BACK = auto()


DEAD = (Truth.FAILED, Truth.BACK)


class Answer(Enum):
    """What the rail does when it is handed a payment."""

    TAKES = auto()
    LOSES_THE_ANSWER = auto()
    LOSES_THE_REQUEST = auto()
    REJECTS = auto()
    SLOWS_DOWN = auto()
    CLOSES = auto()
    DEFERS = auto()


REFUSALS = {
    Answer.REJECTS: Rejected("blacklisted"),
    Answer.SLOWS_DOWN: Retryable("slow down"),
    Answer.CLOSES: RailClosed("the key was revoked", rail="flutterwave"),
    Answer.DEFERS: Deferred("insufficient funds"),
    Answer.LOSES_THE_REQUEST: OutcomeUnknown("a time-out"),
}


@dataclass
class MaySend:
    """A look that may always send, and remembers that it began to."""

    now: Millis
    began: bool = False

    async def may_send(self, *scopes: str) -> None:
        """Allow it."""
        self.began = True

    async def refuse_paused(self, *scopes: str) -> None:
        """Nothing is paused."""


class Gateway:
    """A rail that keeps its promise: the same reference is paid at most once. All else it may do."""

    def __init__(self) -> None:
        self.truth: dict[str, Truth] = {}
        self.hidden: set[str] = set()
        self.clicked: set[str] = set()
        """References that somebody brought back to life in the gateway's dashboard."""
        self.answer = Answer.TAKES
        self.cause = Cause.UNKNOWN
        self.retryable = True

    def open(self) -> set[str]:
        """The references that are paid or may yet be."""
        return {reference for reference, truth in self.truth.items() if truth not in DEAD}

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> str | None:
        """Take a payment, or not."""
        if payment.key not in self.truth:
            others = self.open() - {payment.key}
            assert not others, f"{payment.key} is handed over while {others} may be paid"
        refusal = REFUSALS.get(self.answer)
        if refusal is not None and not (self.answer is Answer.REJECTS and payment.key in self.truth):
            raise refusal
        self.truth.setdefault(payment.key, Truth.PENDING)
        if self.answer is Answer.LOSES_THE_ANSWER:
            raise OutcomeUnknown("a time-out")
        return "handle"

    async def status(self, payment: Payment) -> Status:
        """Tell what can be seen of a reference."""
        truth = None if payment.key in self.hidden else self.truth.get(payment.key)
        match truth:
            case None:
                return Unsent()
            case Truth.PENDING:
                return Pending()
            case Truth.PAID:
                return Settled(Evidence("fake", payment.key))
            case Truth.BACK:
                return Reversed(Evidence("fake", payment.key))
            case Truth.FAILED:
                return Failed("the bank said no", self.retryable, cause=self.cause)


class Anything(RuleBasedStateMachine):
    """One payout, and all that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = int(NOW)
        self.gateway = Gateway()
        self.record: PayoutRecord = payout(s.REQUESTED)
        self.learned: list[Fact] = []
        self.alarms: list[str] = []
        self.looks = looks(self.gateway, opens_at=0)

    # ── the worker ───────────────────────────────────────────────────────────────────────────────────────────────────

    def take_in(self, fact: Fact, sending: Sending | None = None) -> None:
        """Let the payout learn something; what a look learned takes off the mark of its send, as the store does."""
        try:
            decision = react(POLICY, self.record, fact, Millis(self.now))
        except BadInput:
            return
        mark = self.record.sending if sending is None else sending
        if decision.unsent and mark is not Sending.NO:
            return
        before = s.LIFECYCLE.states[self.record.state].position
        if decision.alarm:
            self.alarms.append(decision.alarm)
        if decision.recorded:
            self.record = replace(carried_out(self.record, decision, self.now), sending=mark)
        given_back = before is not s.LIFECYCLE.states[self.record.state].position is Position.AVAILABLE
        if given_back:
            others = self.gateway.open() - self.gateway.clicked - self.gateway.hidden
            assert not others, f"given back while {others} may be paid"

    def look(self, *, crashes: bool = False) -> None:
        """Look at it as a worker would, who may die before he writes down what he learned."""
        act = self.looks.acts().get(self.record.state)
        if act is None:
            return
        step = MaySend(Millis(self.now))
        try:
            fact = done(act(self.record, step))
        except Rejected as error:
            fact = Refused(str(error))
        except OutcomeUnknown as error:
            fact = LostSight(str(error))
        except Retryable:
            return
        if not crashes:
            self.learned.append(fact)
            self.take_in(fact, Sending.NO)
        elif step.began:
            self.record = replace(self.record, sending=Sending.LOST)

    @initialize(asked=st.sampled_from((s.REQUESTED, s.APPROVED, s.APPROVED, s.APPROVED)))
    def it_begins(self, asked: str) -> None:
        """Most payouts are approved; what can happen to the others is soon told."""
        self.record = payout(asked, assessed=asked == s.APPROVED)

    @rule(crashes=st.sampled_from((False, False, True)))
    def a_worker_looks(self, crashes: bool) -> None:  # noqa: FBT001
        """A look by itself."""
        self.now += SECOND
        self.look(crashes=crashes)

    @rule(minutes=st.sampled_from((1, 5, 30, 120, 400)), times=st.integers(2, 5))
    def time_passes(self, minutes: int, times: int) -> None:
        """And workers look meanwhile."""
        for _ in range(times):
            self.now += minutes * MINUTE
            self.look()

    @rule(which=st.integers(0, 1000))
    @precondition(lambda self: self.learned)
    def something_known_comes_again(self, which: int) -> None:
        """Late, twice, in another order; but nobody says that it was paid after it came back."""
        fact = self.learned[which % len(self.learned)]
        if isinstance(fact, f.Paid) and self.gateway.truth.get(fact.reference) is Truth.BACK:
            return
        self.take_in(fact)

    # ── the gateway ──────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(
        answer=st.sampled_from((Answer.TAKES, Answer.TAKES, Answer.TAKES, *Answer)),
        cause=st.sampled_from((Cause.UNKNOWN, Cause.UNKNOWN, *Cause)),
        retryable=st.sampled_from((True, True, False)),
    )
    def the_gateway_changes_its_mood(self, answer: Answer, cause: Cause, retryable: bool) -> None:  # noqa: FBT001
        """How it will answer from now on."""
        self.gateway.answer, self.gateway.cause, self.gateway.retryable = answer, cause, retryable

    @rule(which=st.integers(0, 1000), paid=st.booleans())
    @precondition(lambda self: Truth.PENDING in self.gateway.truth.values())
    def the_gateway_settles(self, which: int, paid: bool) -> None:  # noqa: FBT001
        """A payment that was under way is paid, or fails."""
        pending = sorted(key for key, truth in self.gateway.truth.items() if truth is Truth.PENDING)
        self.gateway.truth[pending[which % len(pending)]] = Truth.PAID if paid else Truth.FAILED

    @rule()
    @precondition(lambda self: Truth.PAID in self.gateway.truth.values())
    def a_bank_sends_it_back(self) -> None:
        """A success is undone."""
        paid = min(key for key, truth in self.gateway.truth.items() if truth is Truth.PAID)
        self.gateway.truth[paid] = Truth.BACK

    @rule(which=st.integers(0, 1000))
    @precondition(lambda self: Truth.FAILED in self.gateway.truth.values())
    def somebody_clicks_retry_in_the_dashboard(self, which: int) -> None:
        """A failed payment lives again, without our doing."""
        failed = sorted(key for key, truth in self.gateway.truth.items() if truth is Truth.FAILED)
        key = failed[which % len(failed)]
        self.gateway.truth[key] = Truth.PENDING
        self.gateway.clicked.add(key)

    @rule(which=st.integers(0, 1000))
    @precondition(lambda self: self.gateway.truth)
    def the_gateway_hides_or_shows(self, which: int) -> None:
        """A look-up lags behind, or forgets."""
        known = sorted(self.gateway.truth)
        self.gateway.hidden ^= {known[which % len(known)]}

    # ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(risky=st.booleans(), needed=st.sampled_from((1, 2)))
    def the_rules_say(self, risky: bool, needed: int) -> None:  # noqa: FBT001
        """The request is assessed."""
        self.take_in(f.Assessed((RiskFinding("amount", "much"),) if risky else (), needed, seal="rules.sealed"))

    @rule(by=st.sampled_from(("ann", "olu", "eve")))
    def somebody_approves(self, by: str) -> None:
        """A yes to what is to be seen now."""
        self.take_in(f.Approved(by, self.record.data.proposal.fingerprint))

    @rule(by=st.sampled_from(("ann", "olu")), rejects=st.booleans())
    @precondition(lambda self: self.record.data.attempts or self.record.state == s.REQUESTED)
    def somebody_says_no(self, by: str, rejects: bool) -> None:  # noqa: FBT001
        """Rejected, or cancelled."""
        self.take_in(f.Declined(by, "no") if rejects else f.Cancelled(by, "no"))

    @rule()
    def an_operator_retries(self) -> None:
        """Once more."""
        self.take_in(f.Retried("olu"))

    @rule()
    def an_operator_releases(self) -> None:
        """Give it back, if the rail proves that nothing was paid."""
        found = done(self.looks.prove(self.record))
        self.take_in(f.Released("olu", "he asked", found.proof.name == "NOT_PAID", found.read))

    @rule(number=st.integers(1, 3))
    def the_provider_corrects(self, number: int) -> None:
        """Another account."""
        self.take_in(f.Corrected("ann", f"sealed {number}", f"••{number}", f"print {number}"))

    # ── what always holds ────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def at_most_one_success(self) -> None:
        """But for the rail's own."""
        paid = {key for key, truth in self.gateway.truth.items() if truth is Truth.PAID}
        assert len(paid - self.gateway.clicked) <= 1

    @invariant()
    def references_are_never_used_twice(self) -> None:
        """Each attempt has its own."""
        references = [attempt.reference for attempt in self.record.data.attempts]
        assert len(references) == len(set(references))

    @invariant()
    def nothing_the_rail_has_is_unknown_to_us(self) -> None:
        """The intent is written down before anything leaves."""
        assert set(self.gateway.truth) <= {attempt.reference for attempt in self.record.data.attempts}

    def teardown(self) -> None:
        """Let everything come to rest: then the books must say what happened."""
        self.gateway.hidden.clear()
        for key, truth in self.gateway.truth.items():
            if truth is Truth.PENDING:
                self.gateway.truth[key] = Truth.PAID if int(key[-1]) % 2 else Truth.FAILED
        self.gateway.answer, self.gateway.cause = Answer.REJECTS, Cause.UNKNOWN
        for _ in range(12):
            self.now += 7 * HOUR
            self.look()
        data, position = self.record.data, s.LIFECYCLE.states[self.record.state].position
        paid = {key for key, truth in self.gateway.truth.items() if truth is Truth.PAID}
        assert (position is Position.PAID) == bool(paid), f"{self.record.state}, and {paid} is paid"
        assert {data.paid_by, *data.also_paid} - {""} == paid
        assert len(paid) < 2 or self.alarms, "paid twice, and nobody was told"


def done(work: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for something")


Anything.TestCase.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_anything_that_may_happen = Anything.TestCase
