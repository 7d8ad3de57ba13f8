"""What a look asks, in which order, and what a crash in the middle of it can do: nothing."""

from dataclasses import replace

import pytest

from machines.core.clock import HOUR, MINUTE, Millis
from machines.core.errors import (
    AnotherPayment,
    LeaseLost,
    OutcomeUnknown,
    Paused,
    Rejected,
    Retryable,
)
from machines.core.facts import Fact, LostSight, Nothing, Proof
from machines.core.money import ETH, NGN, Money
from machines.core.ports import (
    Destination,
    Evidence,
    Payment,
    PaymentKey,
    Pending,
    Reversed,
    Settled,
    Status,
    Trace,
    Unsent,
)
from machines.core.record import Sending
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.acts import batch_name
from machines.payout.data import PayoutRecord, reference_of
from machines.payout.risk import ProviderHistory, Thresholds, Velocity
from tests.machines.payout.scenes import FIRST, ID, NOW, ONE, SECOND, TWO, WISH, after, attempt, failed, payout
from tests.machines.payout.world import (
    BACK,
    NOT_PAID,
    PAID,
    UNDER_WAY,
    Died,
    FakeRail,
    FakeStep,
    Knife,
    Known,
    Listed,
    look,
    looks,
)

FRESH = payout(s.PROCESSING, attempts=(attempt(sent=False),))
SECOND_FRESH = payout(s.PROCESSING, attempts=(failed(), attempt(2, sent=False)), failures=1)


# ── before a send ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_questions_before_a_send_come_in_this_order() -> None:
    rail = FakeRail(truth={FIRST: NOT_PAID})
    fact = await looks(rail).pay(SECOND_FRESH, FakeStep(rail))
    assert fact == f.Submitted(SECOND, "handle")
    assert rail.asked == [f"status {SECOND}", f"status {FIRST}", "may_send rail:flutterwave", f"submit {SECOND}"]


@pytest.mark.parametrize("known", [PAID, BACK, NOT_PAID, UNDER_WAY, Pending("approval")])
async def test_what_the_rail_knows_already_is_followed_and_not_sent(known: Status) -> None:
    rail = FakeRail(truth={FIRST: known})
    await looks(rail).pay(FRESH, FakeStep(rail))
    assert rail.submits == []


@pytest.mark.parametrize("earlier", [PAID, UNDER_WAY, Unsent()])
async def test_nothing_is_sent_while_an_earlier_attempt_is_not_proven_unpaid(earlier: Status) -> None:
    """Such as when somebody clicked Retry in the gateway's own dashboard."""
    rail = FakeRail(truth={FIRST: earlier})
    fact = await looks(rail).pay(SECOND_FRESH, FakeStep(rail))
    assert rail.submits == []
    assert isinstance(fact, f.Paid | f.UnderWay | f.NotSeen)
    assert fact.reference == FIRST


async def test_what_the_rail_refused_on_the_spot_needs_no_more_proof_than_not_to_be_found() -> None:
    refused = payout(s.PROCESSING, attempts=(failed(sent=False), attempt(2, sent=False)))
    rail = FakeRail()
    await looks(rail).pay(refused, FakeStep(rail))
    assert rail.submits == [SECOND]
    again = FakeRail(truth={FIRST: UNDER_WAY})
    await looks(again).pay(refused, FakeStep(again))
    assert again.submits == []


@pytest.mark.parametrize("refusal", [LeaseLost(), Paused()])
async def test_a_worker_that_may_not_send_does_not(refusal: Exception) -> None:
    rail = FakeRail()
    with pytest.raises(type(refusal)):
        await looks(rail).pay(FRESH, FakeStep(rail, refuses=refusal))
    assert rail.submits == []


async def test_what_was_sent_and_is_not_shown_is_looked_for_before_it_is_sent_again() -> None:
    rail = FakeRail()
    fact = await looks(rail).pay(payout(s.PROCESSING, attempts=ONE), FakeStep(rail))
    assert isinstance(fact, LostSight)
    assert fact.attempt == FIRST
    assert rail.submits == []


async def test_a_send_whose_outcome_is_unknown_is_lost_sight_of() -> None:
    rail = FakeRail(loses=True)
    fact = await looks(rail).pay(FRESH, FakeStep(rail))
    assert fact == LostSight("a time-out", FIRST)


async def test_what_surely_did_nothing_and_may_pass_is_left_to_the_engine() -> None:
    rail = FakeRail(refuses=Retryable("slow down"))
    with pytest.raises(Retryable):
        await looks(rail).pay(FRESH, FakeStep(rail))


@pytest.mark.parametrize(
    ("refusal", "unknown", "proven"),
    [
        (Rejected("blacklisted"), False, True),
        (Rejected("blacklisted"), True, False),
        (Rejected("blacklisted", first=True), True, True),
        (OutcomeUnknown("a sentence that nobody knows", answered=True), False, False),
    ],
)
async def test_a_refusal_proves_something_of_the_only_send_or_where_it_is_the_first_answer(
    refusal: Exception,
    unknown: bool,  # noqa: FBT001
    proven: bool,  # noqa: FBT001
) -> None:
    rail = FakeRail(refuses=refusal)
    record = payout(s.PROCESSING, attempts=(attempt(sent=False, unknown=unknown),))
    assert await looks(rail).pay(record, FakeStep(rail)) == f.NotTaken(FIRST, str(refusal), proven=proven)


async def test_a_send_that_somebody_began_and_nobody_finished_is_looked_for_and_not_repeated() -> None:
    rail = FakeRail()
    fact = await looks(rail).pay(replace(FRESH, sending=Sending.LOST), FakeStep(rail))
    assert isinstance(fact, LostSight)
    assert rail.submits == []


async def test_what_is_not_wanted_any_more_is_not_sent() -> None:
    for unsent, learned in ((attempt(sent=False, opened_at=NOW), f.AllProvenUnpaid), (attempt(sent=False), LostSight)):
        rail = FakeRail()
        fact = await looks(rail).pay(payout(s.PROCESSING, attempts=(unsent,), wish=WISH), FakeStep(rail))
        assert isinstance(fact, learned)
        assert rail.submits == []


@pytest.mark.parametrize(
    ("ours", "named", "learned"),
    [
        (NOT_PAID, UNDER_WAY, f.UnderWay),
        (NOT_PAID, PAID, f.Paid),
        (Unsent(), NOT_PAID, f.NotPaid),
        (UNDER_WAY, NOT_PAID, f.UnderWay),
        (NOT_PAID, None, f.NotPaid),
    ],
)
async def test_a_retry_that_only_a_webhook_named_is_looked_at_as_well(
    ours: Status, named: Status | None, learned: type[Fact]
) -> None:
    class ByName(FakeRail):
        async def status(self, payment: Payment) -> Status:
            if payment.handle != "trf_9":
                return ours
            if named is None:
                raise AnotherPayment("trf_9 is somebody else's")
            return named

    rail = ByName()
    record = payout(s.UNCONFIRMED, attempts=(attempt(named=("trf_9",)),))
    assert isinstance(await looks(rail).find(record, FakeStep(rail)), learned)


@pytest.mark.parametrize(("ours", "ends"), [(NOT_PAID, False), (BACK, False), (Unsent(), False), (PAID, True)])
@pytest.mark.parametrize("state", [s.PROCESSING, s.UNCONFIRMED, s.FAILED])
async def test_a_retry_that_was_named_and_is_not_shown_keeps_a_failure_from_being_proof(
    ours: Status,
    ends: bool,  # noqa: FBT001
    state: str,
) -> None:
    """Its webhook came, and the gateway does not show it yet, or in words that nobody knows: it may yet be paid."""

    class Lagging(FakeRail):
        async def status(self, payment: Payment) -> Status:
            if payment.handle == "trf_9":
                raise OutcomeUnknown("HTTP 404")
            return ours

    rail = Lagging()
    record = payout(state, attempts=(replace(failed() if state == s.FAILED else attempt(), named=("trf_9",)),))
    act = looks(rail).acts()[state]
    if ends:
        assert isinstance(await act(record, FakeStep(rail)), f.Paid)
        return
    with pytest.raises(Retryable):
        await act(record, FakeStep(rail))
    with pytest.raises(Retryable):
        await looks(rail).prove(record)


@pytest.mark.parametrize("state", [s.REQUESTED, s.APPROVED, s.FAILED])
async def test_what_is_known_to_be_paid_is_news_to_who_wants_the_money_back(state: str) -> None:
    rail = FakeRail(truth={FIRST: PAID})
    record = payout(state, attempts=ONE, paid_by=FIRST, assessed=True, wish=WISH)
    assert isinstance(await looks(rail).acts()[state](record, FakeStep(rail)), f.Paid)


class Retried(FakeRail):
    """Names no retries: each is asked for by a name that a webhook brought."""

    def __init__(self, **retries: Status | OutcomeUnknown) -> None:
        super().__init__()
        self.retries = retries

    async def status(self, payment: Payment) -> Status:
        shown = self.retries[payment.handle]
        if isinstance(shown, OutcomeUnknown):
            raise shown
        return shown


ONE_PAID, TWO_PAID = (Settled(Evidence("flutterwave", f"{FIRST}_RETRY_{number}"), repeated=True) for number in (1, 2))


@pytest.mark.parametrize("state", [s.PROCESSING, s.UNCONFIRMED, s.FAILED, s.COMPLETED, s.CANCELLED])
async def test_of_two_retries_of_one_attempt_that_were_paid_both_are_told(state: str) -> None:
    rail = Retried(one=ONE_PAID, two=TWO_PAID)
    record = payout(state, attempts=(attempt(handle="one", named=("two",)),))
    learned = await looks(rail).acts()[state](record, FakeStep(rail))
    assert learned == f.Paid(FIRST, ONE_PAID.evidence, (TWO_PAID.evidence,), repeated=True)


async def test_a_watch_says_nothing_of_payments_that_are_known_and_the_known_one_stays_the_payouts_own() -> None:
    rail = Retried(one=ONE_PAID, two=TWO_PAID)
    names = (TWO_PAID.evidence.reference, ONE_PAID.evidence.reference)
    twice = (attempt(handle="one", named=("two",), paid_as=names),)
    record = payout(s.COMPLETED, attempts=twice, paid_by=FIRST, also_paid=names[1:])
    assert await looks(rail).watch(record, FakeStep(rail)) == Nothing()
    rail = Retried(one=BACK, two=TWO_PAID)
    assert await looks(rail).watch(record, FakeStep(rail)) == Nothing(), "of what came back it is not said which it is"
    rail = Retried(one=Reversed(ONE_PAID.evidence), two=TWO_PAID)
    back = f.Paid(FIRST, TWO_PAID.evidence, over=names[1:], repeated=True)
    assert await looks(rail).watch(record, FakeStep(rail)) == back
    once = replace(record, data=replace(record.data, attempts=(replace(twice[0], paid_as=()),), also_paid=()))
    learned = await looks(Retried(one=ONE_PAID, two=TWO_PAID)).watch(once, FakeStep(rail))
    assert isinstance(learned, f.Paid), "an older version kept no names"
    assert learned.also


@pytest.mark.parametrize("state", [s.CANCELLED, s.REJECTED, s.REVERSED])
async def test_a_name_that_the_rail_does_not_show_keeps_no_watch_going_and_is_no_return(state: str) -> None:
    """A webhook named what does not exist. A payment is not gone with its name, and a person is told no proof."""

    class Unshown(Retried):
        async def status(self, payment: Payment) -> Status:
            if payment.handle == "none":
                raise OutcomeUnknown("HTTP 404")
            return await super().status(payment)

    rail = Unshown(one=NOT_PAID)
    record = payout(state, attempts=(failed(handle="one", named=("none",)),))
    assert await looks(rail).watch(record, FakeStep(rail)) == Nothing()
    with pytest.raises(Retryable):
        await looks(rail).prove(record)
    with pytest.raises(Retryable):
        await looks(rail).watch(
            replace(record, state=s.COMPLETED, data=replace(record.data, paid_by=FIRST)), FakeStep(rail)
        )


def in_the_list(status: Status, *names: str) -> Trace:
    """What the rail lists of attempt 1."""
    return Trace(PaymentKey(FIRST), "one", Money(100_000, NGN), Destination("bank", ()), status, names)


async def test_a_list_brings_the_names_of_all_retries_before_anything_is_concluded_from_one() -> None:
    """The transfer itself failed: asked by its own name alone, the payment would have failed, and be sent once more."""
    lists, rail = Listed([in_the_list(TWO_PAID, "two")]), Retried(one=NOT_PAID, two=TWO_PAID)
    rail.retries[""] = Unsent()
    lost = payout(s.UNCONFIRMED, attempts=(attempt(unknown=True, refusal="a limit"),))
    learned = await looks(rail, lists=lists).find(lost, FakeStep(rail))
    assert learned == f.Named(FIRST, ("one", "two"))
    told = replace(lost, data=replace(lost.data, attempts=(attempt(named=("one", "two")),)))
    assert isinstance(await looks(rail, lists=lists).find(told, FakeStep(rail)), f.Paid)


@pytest.mark.parametrize("state", [s.FAILED, s.CANCELLED, s.REJECTED])
async def test_what_people_put_away_while_nobody_knew_its_name_is_looked_for_in_the_list(state: str) -> None:
    rail, open_ = FakeRail(), payout(state, attempts=(attempt(unknown=True),))
    act = looks(rail, lists=Listed([in_the_list(PAID)])).acts()[state]
    assert await act(open_, FakeStep(rail)) == f.Named(FIRST, ("one",))
    act = looks(rail, lists=Listed([])).acts()[state]
    assert await act(open_, FakeStep(rail)) == f.NotSeen(FIRST)
    assert await act(open_, FakeStep(rail, now=Millis(NOW + 2 * HOUR))) == f.Absent(FIRST)
    over = Listed([])
    act = looks(rail, lists=over).acts()[state]
    await act(payout(state, attempts=(failed(),)), FakeStep(rail))
    assert over.asked == 0


@pytest.mark.parametrize(("hours", "listed", "learned"), [(1, (), None), (3, ("two",), None), (3, (), ("two",))])
async def test_a_name_that_a_webhook_made_up_hides_for_hours_at_most_that_the_money_came_back(
    hours: int, listed: tuple[str, ...], learned: tuple[str, ...] | None
) -> None:
    """What is really a retry, told and not shown yet, is in the gateway's list by then, and is waited for."""
    rail, lists = Retried(two=OutcomeUnknown("HTTP 404")), Listed([in_the_list(NOT_PAID, *listed)])
    rail.retries["one"] = BACK
    named = replace(attempt(handle="one", named=("two",)), named_at=NOW - hours * HOUR)
    record = payout(s.COMPLETED, attempts=(named,), paid_by=FIRST)
    watched = looks(rail, lists=lists).watch(record, FakeStep(rail))
    if learned:
        assert await watched == f.Unnamed(FIRST, learned)
    else:
        with pytest.raises(Retryable):
            await watched


async def test_what_is_unknown_does_not_hide_that_an_earlier_attempt_was_brought_back_to_life() -> None:
    rail = FakeRail(truth={FIRST: PAID})
    record = payout(s.UNCONFIRMED, attempts=(failed(), attempt(2, unknown=True)))
    assert isinstance(await looks(rail).find(record, FakeStep(rail)), f.Paid)
    rail = FakeRail(truth={FIRST: NOT_PAID})
    assert isinstance(await looks(rail).find(record, FakeStep(rail)), f.NotSeen)


async def test_what_people_call_unknown_is_answered_by_what_is_known_to_be_paid() -> None:
    """Else the newest attempt would go out again, though an earlier one is paid and nobody decided to pay twice."""
    rail, attempts = FakeRail(truth={FIRST: PAID}), (attempt(sent=True), attempt(2, unknown=True))
    found = await looks(rail).find(payout(s.UNCONFIRMED, attempts=attempts, paid_by=FIRST), FakeStep(rail))
    assert isinstance(found, f.Paid)
    assert found.reference == FIRST


async def test_a_batch_that_opens_while_the_rail_is_paused_takes_nobody_along() -> None:
    rail = FakeRail()
    with pytest.raises(Paused):
        await looks(rail, opens_at=0).board(payout(s.APPROVED), FakeStep(rail, refuses=Paused()))


@pytest.mark.parametrize("state", [s.REQUESTED, s.APPROVED, s.FAILED, s.REJECTED, s.CANCELLED])
async def test_an_old_attempt_that_came_back_to_life_is_seen_in_every_state(state: str) -> None:
    """Somebody clicked Retry in the gateway's dashboard, and its webhook makes us look."""
    for found, learned in ((PAID, f.Paid), (UNDER_WAY, f.UnderWay)):
        rail = FakeRail(truth={FIRST: found})
        record = payout(state, attempts=(failed(),), assessed=True)
        assert isinstance(await looks(rail, opens_at=0).acts()[state](record, FakeStep(rail)), learned)


async def test_a_look_that_cannot_tell_is_no_send_that_was_lost() -> None:
    class Vague(FakeRail):
        async def status(self, payment: object) -> Status:
            raise OutcomeUnknown("HTTP 404")

    for state in (s.PROCESSING, s.UNCONFIRMED):
        rail = Vague()
        with pytest.raises(Retryable):
            await looks(rail).acts()[state](payout(state, attempts=ONE), FakeStep(rail))
        assert rail.submits == []


async def test_the_destination_of_each_attempt_is_its_own() -> None:
    paid_to = []

    def takes(payment: object) -> Status:
        paid_to.append(payment.to["account_number"])  # type: ignore[attr-defined]
        return UNDER_WAY

    rail = FakeRail(truth={FIRST: NOT_PAID}, takes=takes)
    corrected = (failed(), replace(attempt(2, sent=False), sealed="corrected account"))
    await looks(rail).pay(payout(s.PROCESSING, attempts=corrected), FakeStep(rail))
    assert paid_to == ["corrected account"]


# ── other looks ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [s.UNCONFIRMED, s.FAILED, s.COMPLETED, s.REVERSED, s.CANCELLED, s.CONTRADICTED])
@pytest.mark.parametrize("found", [PAID, BACK, NOT_PAID, UNDER_WAY, Unsent()])
async def test_only_a_payout_in_processing_sends(state: str, found: Status) -> None:
    rail = FakeRail(truth={FIRST: found})
    record = payout(state, attempts=ONE)
    await looks(rail).acts()[state](record, FakeStep(rail))
    assert rail.submits == []


async def test_a_look_back_gives_proof_only_of_all_attempts() -> None:
    record = payout(s.FAILED, attempts=(failed(), failed(2)))
    rail = FakeRail(truth={FIRST: NOT_PAID, SECOND: NOT_PAID})
    assert await looks(rail).look_back(record, FakeStep(rail)) == f.AllProvenUnpaid(2)
    for late in (PAID, UNDER_WAY, Unsent()):
        rail = FakeRail(truth={FIRST: late, SECOND: NOT_PAID})
        fact = await looks(rail).look_back(record, FakeStep(rail))
        assert isinstance(fact, f.Paid | f.UnderWay | f.NotSeen)


@pytest.mark.parametrize("quiet", [UNDER_WAY, Unsent()])
async def test_an_attempt_of_which_nothing_is_known_hides_no_other(quiet: Status) -> None:
    """A gateway may forget an old transfer; the reversal of the newer one must be seen all the same."""
    record = payout(s.COMPLETED, attempts=TWO, paid_by=SECOND)
    rail = FakeRail(truth={FIRST: quiet, SECOND: BACK})
    assert await looks(rail).watch(record, FakeStep(rail)) == f.CameBack(SECOND, BACK.evidence)
    rail = FakeRail(truth={FIRST: PAID, SECOND: BACK})
    assert isinstance(await looks(rail).watch(record, FakeStep(rail)), f.Paid)


async def test_a_watch_that_finds_all_as_it_was_says_nothing() -> None:
    record = payout(s.COMPLETED, attempts=TWO, paid_by=SECOND)
    rail = FakeRail(truth={FIRST: NOT_PAID, SECOND: PAID})
    assert await looks(rail).watch(record, FakeStep(rail)) == Nothing()
    reversed_ = payout(s.REVERSED, attempts=(failed(),))
    rail = FakeRail(truth={FIRST: BACK})
    assert await looks(rail).watch(reversed_, FakeStep(rail)) == Nothing()


async def test_of_two_that_were_paid_each_that_comes_back_is_seen() -> None:
    record = payout(s.COMPLETED, attempts=TWO, paid_by=SECOND, also_paid=(FIRST,))
    for back in (FIRST, SECOND):
        truth: dict[str, Status] = {FIRST: PAID, SECOND: PAID}
        rail = FakeRail(truth=truth | {back: BACK})
        assert await looks(rail).watch(record, FakeStep(rail)) == f.CameBack(back, BACK.evidence)
    rail = FakeRail(truth={FIRST: PAID, SECOND: PAID})
    assert await looks(rail).watch(record, FakeStep(rail)) == Nothing()


async def test_a_send_that_a_crash_hid_is_watched_too() -> None:
    record = payout(s.CANCELLED, attempts=(attempt(sent=False),))
    rail = FakeRail(truth={FIRST: PAID})
    assert isinstance(await looks(rail).watch(record, FakeStep(rail)), f.Paid)


@pytest.mark.parametrize(
    ("record", "truth", "proof"),
    [
        (payout(s.REQUESTED), {}, Proof.NOT_PAID),
        (payout(s.COMPLETED, attempts=ONE, paid_by=FIRST), {FIRST: PAID}, Proof.PAID),
        (payout(s.FAILED, attempts=(failed(),)), {FIRST: NOT_PAID}, Proof.NOT_PAID),
        (payout(s.FAILED, attempts=(failed(),)), {FIRST: PAID}, Proof.PAID),
        (payout(s.UNCONFIRMED, attempts=ONE), {}, Proof.NONE),
        (payout(s.PROCESSING, attempts=ONE), {FIRST: UNDER_WAY}, Proof.NONE),
        (payout(s.PROCESSING, attempts=(attempt(sent=False),)), {}, Proof.NONE),
        (payout(s.REVERSED, attempts=(failed(),)), {FIRST: BACK}, Proof.NOT_PAID),
    ],
)
async def test_what_the_rail_proves_to_a_person(record: PayoutRecord, truth: dict[str, Status], proof: Proof) -> None:
    rail = FakeRail(truth=truth)
    reading = await looks(rail).prove(record)
    assert reading.proof is proof
    assert [name for name, _ in reading.read] == [one.reference for one in record.data.attempts]


async def test_a_payout_without_an_attempt_has_nothing_to_look_at() -> None:
    rail = FakeRail()
    for state in (s.PROCESSING, s.UNCONFIRMED, s.CANCELLED):
        assert await looks(rail).acts()[state](payout(state), FakeStep(rail)) == Nothing()
    assert rail.asked == []


@pytest.mark.parametrize("state", [s.PROCESSING, s.UNCONFIRMED, s.FAILED, s.COMPLETED])
async def test_a_payout_whose_rail_was_taken_out_of_the_settings_waits_for_it(state: str) -> None:
    rail = FakeRail()
    record = payout(state, attempts=ONE, rail="paystack")
    with pytest.raises(Retryable, match="paystack is not set up"):
        await looks(rail).acts()[state](record, FakeStep(rail))
    assert rail.asked == rail.submits == []


# ── rules and batches ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_rules_are_asked_once_with_all_that_is_known() -> None:
    rail = FakeRail()
    providers = Known(ProviderHistory(verified=False, successes=1, velocity=Velocity(5, 0, 5, 0)))
    record = payout(s.REQUESTED, units=60_000_00)
    fact = await looks(rail, providers=providers, two_from=60_000_00).assess(record, FakeStep(rail))
    assert isinstance(fact, f.Assessed)
    assert [finding.code for finding in fact.findings] == ["amount", "unverified", "new", "frequency"]
    assert fact.approvals_needed == 2
    assert providers.limits == Thresholds()
    assert await looks(rail).assess(payout(s.REQUESTED, assessed=True), FakeStep(rail)) == Nothing()


async def test_below_the_amount_for_two_people_one_is_enough() -> None:
    rail = FakeRail()
    fact = await looks(rail, two_from=100_001).assess(payout(s.REQUESTED, units=100_000), FakeStep(rail))
    assert fact == f.Assessed((), seal="rules.sealed")


async def test_in_another_currency_any_amount_takes_the_two_people_that_large_ones_take() -> None:
    rail = FakeRail()
    ether = replace(payout(s.REQUESTED), amount=Money(1, ETH))
    for two_from, needed in ((100_001, 2), (None, 1)):
        fact = await looks(rail, two_from=two_from).assess(ether, FakeStep(rail))
        assert isinstance(fact, f.Assessed)
        assert (fact.approvals_needed, [finding.code for finding in fact.findings]) == (needed, ["currency"])


async def test_a_payout_waits_for_the_next_opening_and_boards_when_it_has_come() -> None:
    rail, opens_at = FakeRail(), NOW + HOUR
    waiting = looks(rail, opens_at=opens_at)
    assert await waiting.board(payout(s.APPROVED), FakeStep(rail)) == f.Waits(opens_at)
    later = looks(rail, opens_at=NOW + 3 * HOUR)
    told = payout(s.APPROVED, opens_at=opens_at)
    assert await later.board(told, FakeStep(rail, Millis(opens_at - 1))) == f.Waits(opens_at)
    assert await later.board(told, FakeStep(rail, Millis(opens_at))) == f.Boarded("20270115-090000-batch")


async def test_a_schedule_that_was_made_denser_counts_at_once() -> None:
    rail = FakeRail()
    told = payout(s.APPROVED, opens_at=NOW + 2 * HOUR)
    assert await looks(rail, opens_at=NOW + MINUTE).board(told, FakeStep(rail)) == f.Waits(NOW + MINUTE)


async def test_batches_that_open_at_once_are_one_a_day() -> None:
    rail = FakeRail()
    fact = await looks(rail, opens_at=0).board(payout(s.APPROVED), FakeStep(rail))
    assert fact == f.Boarded("20270115-000000-instant")


async def test_where_a_person_opens_batches_nothing_boards_by_itself() -> None:
    rail = FakeRail()
    for record in (payout(s.APPROVED), payout(s.APPROVED, opens_at=NOW - 1)):
        assert await looks(rail).board(record, FakeStep(rail)) == Nothing()


def test_names_of_batches_sort_by_time() -> None:
    names = [batch_name("batch", Millis(NOW + hours * HOUR)) for hours in range(50)]
    assert names == sorted(names)
    assert len(set(names)) == 50


# ── a crash anywhere ─────────────────────────────────────────────────────────────────────────────────────────────────


async def run_to_the_end(record: PayoutRecord, rail: FakeRail) -> tuple[PayoutRecord, int]:
    """Look again and again, with a new worker after each death, until nothing more will happen; count the deaths."""
    now, deaths = int(NOW), 0
    for _ in range(60):
        try:
            record = await look(record, rail, now)
        except Died:
            deaths += 1
        now += 10 * MINUTE
        if record.state == s.COMPLETED:
            break
    return record, deaths


@pytest.mark.parametrize("loses", [False, True])
@pytest.mark.parametrize("kill_at", range(40))
async def test_a_crash_at_any_await_pays_once(kill_at: int, loses: bool) -> None:  # noqa: FBT001
    rail = FakeRail(Knife(kill_at), takes=lambda _: PAID, loses=loses)
    record, deaths = await run_to_the_end(payout(s.APPROVED, assessed=True), rail)
    assert record.state == s.COMPLETED
    assert deaths == (1 if 0 < kill_at <= rail.knife.awaits else 0)
    assert [key for key, status in rail.truth.items() if isinstance(status, Settled)] == [FIRST]


@pytest.mark.parametrize("loses", [False, True])
@pytest.mark.parametrize("kill_at", range(90))
async def test_a_crash_at_any_await_of_a_retry_pays_once_and_never_before_proof(kill_at: int, loses: bool) -> None:  # noqa: FBT001
    """The first two attempts fail. No reference may be handed over while an earlier one is not proven unpaid."""
    outcomes = {FIRST: NOT_PAID, SECOND: NOT_PAID}
    rail = FakeRail(Knife(kill_at), takes=lambda payment: outcomes.get(payment.key, PAID), loses=loses)
    record, _ = await run_to_the_end(payout(s.APPROVED, assessed=True), rail)
    assert record.state == s.COMPLETED
    assert record.data.paid_by == reference_of(ID, 3)
    assert list(rail.truth) == [FIRST, SECOND, reference_of(ID, 3)]
    for place, question in enumerate(rail.asked):
        if question.startswith("submit"):
            reference = question.removeprefix("submit ")
            earlier = [one for one in rail.truth if one < reference]
            assert all(f"status {one}" in rail.asked[max(0, place - 2 - len(earlier)) : place] for one in earlier)


@pytest.mark.parametrize("kill_at", range(1, 12))
async def test_whoever_comes_after_a_crash_finds_what_was_handed_over(kill_at: int) -> None:
    rail = FakeRail(Knife(kill_at), takes=lambda _: PAID)
    await run_to_the_end(payout(s.APPROVED, assessed=True), rail)
    assert rail.submits == [FIRST]


ELSEWHERE = attempt(2, sealed="another account", sent=False, opened_at=NOW)
"""A correction was approved while nobody knew what became of the first attempt."""


async def test_an_earlier_attempt_that_was_lost_is_looked_for_in_the_list_hours_after_the_next_one_was_opened() -> None:
    rail, missing = FakeRail(), Listed([])
    record = payout(s.PROCESSING, since=NOW - HOUR, attempts=(attempt(unknown=True), ELSEWHERE))
    act = looks(rail, lists=missing).pay
    assert await act(record, FakeStep(rail, now=Millis(NOW + HOUR))) == f.NotSeen(FIRST)
    assert missing.asked == 0
    assert await act(record, FakeStep(rail, now=Millis(NOW + 2 * HOUR))) == f.Absent(FIRST)
    there = looks(rail, lists=Listed([in_the_list(PAID)])).pay
    assert await there(record, FakeStep(rail, now=Millis(NOW + 2 * HOUR))) == f.Named(FIRST, ("one",))
    unsure = looks(rail, lists=Listed([], whole=False)).pay
    assert await unsure(record, FakeStep(rail, now=Millis(NOW + 2 * HOUR))) == f.NotSeen(FIRST)
    assert rail.submits == []


@pytest.mark.parametrize("state", [s.FAILED, s.CANCELLED, s.REJECTED])
async def test_an_attempt_that_the_rail_forgot_does_not_keep_another_one_from_being_looked_for(state: str) -> None:
    """What had failed is not shown any more; what people put away since was paid, under a name that the list has."""
    record = payout(state, attempts=(failed(), attempt(2, unknown=True)))
    there = Trace(PaymentKey(SECOND), "two", Money(100_000, NGN), Destination("bank", ()), PAID)
    rail, lists = FakeRail(), Listed([there])
    act = looks(rail, lists=lists).acts()[state]
    assert await act(record, FakeStep(rail)) == f.Named(SECOND, ("two",))


@pytest.mark.parametrize("paid", [1, 2])
async def test_of_two_attempts_that_people_put_away_each_is_looked_for_in_the_list(paid: int) -> None:
    record = payout(s.CANCELLED, attempts=(attempt(unknown=True), attempt(2, unknown=True)))
    reference = reference_of(ID, paid)
    there = Trace(PaymentKey(reference), "one", Money(100_000, NGN), Destination("bank", ()), PAID)
    rail = FakeRail()
    assert await looks(rail, lists=Listed([there])).watch(record, FakeStep(rail)) == f.Named(reference, ("one",))


@pytest.mark.parametrize("state", [s.FAILED, s.CANCELLED])
async def test_what_people_know_to_be_paid_is_not_absent_where_rail_and_list_lack_it(state: str) -> None:
    record, rail = payout(state, attempts=ONE, paid_by=FIRST), FakeRail()
    act = looks(rail, lists=Listed([])).acts()[state]
    assert await act(record, FakeStep(rail, now=Millis(NOW + 9 * HOUR))) == f.NotSeen(FIRST)


async def test_what_people_ask_about_and_no_list_has_is_not_paid_a_second_time_when_the_rail_shows_it_after_all() -> (
    None
):
    """They had put it from COMPLETED to UNCONFIRMED; as long as it counted as paid, its payment was as expected."""
    record = payout(s.UNCONFIRMED, attempts=(attempt(unknown=True),), paid_by=FIRST, unseen_since=1, unknown_since=1)
    for hours in (7, 8):
        record = after(record, f.Absent(FIRST), NOW + hours * HOUR)
    record = after(record, f.Retried("olu"), NOW + 9 * HOUR)
    assert len(record.data.attempts) == len(TWO)
    rail = FakeRail(truth={FIRST: PAID})
    fact = await looks(rail).pay(record, FakeStep(rail))
    assert (isinstance(fact, f.Paid), rail.submits) == (True, [])
    assert after(record, fact, NOW + 9 * HOUR).state == s.COMPLETED
