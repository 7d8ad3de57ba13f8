"""The rules of the payout machine, one a test."""

from dataclasses import replace
from typing import Any

import pytest

from machines.core.clock import DAY, HOUR, MINUTE, SECOND, Millis
from machines.core.decision import Decision
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Proof, Refused
from machines.core.ids import RecordId
from machines.core.ports import Cause, Evidence
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Attempt, PayoutRecord, Wish, record_of, reference_of
from machines.payout.policy import PayoutPolicy
from machines.payout.reasons import REASONS, reason_of
from tests.machines.payout.scenes import (
    FIRST,
    ID,
    NOW,
    ONE,
    POLICY,
    RECEIPT,
    TWO,
    WISH,
    after,
    answer,
    attempt,
    carried_out,
    data,
    decide,
    failed,
    not_paid,
    paid,
    payout,
    told,
)
from tests.machines.payout.scenes import SECOND as SECOND_REFERENCE

WATCH_S = 6 * 3600.0


def about(waits_s: float | None, expected_s: float) -> bool:
    """Tell a wait from another one, however far it is spread."""
    return waits_s is not None and 0.75 * expected_s <= waits_s <= 1.25 * expected_s


def test_payouts_of_one_batch_are_not_watched_at_the_same_moment() -> None:
    ids = [RecordId(f"payout-01-abcdefgh2345{number:04d}") for number in range(100)]
    waits = {decide(replace(completed(), id=one), Nothing()).again_s for one in ids}
    assert len(waits) > 90


def processing(**parts: Any) -> PayoutRecord:
    given: dict[str, Any] = {"attempts": ONE, "assessed": True}
    return payout(s.PROCESSING, **(given | parts))


def completed(**parts: Any) -> PayoutRecord:
    given: dict[str, Any] = {"attempts": ONE, "assessed": True, "paid_by": FIRST}
    return payout(s.COMPLETED, **(given | parts))


# ── a fact speaks of its own attempt ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [s.PROCESSING, s.UNCONFIRMED])
def test_a_repeated_failure_of_attempt_1_does_not_fail_attempt_2(state: str) -> None:
    decision = decide(payout(state, attempts=TWO, failures=1), not_paid(FIRST))
    assert decision.trigger is None
    assert decision.data is None
    assert decision.why.startswith("noted")
    assert not decision.alarm


@pytest.mark.parametrize(
    "fact",
    [
        f.UnderWay(FIRST),
        f.Submitted(FIRST, "other"),
        f.NotSeen(FIRST),
        f.CameBack(FIRST, RECEIPT),
        LostSight("time-out", FIRST),
        Refused("blacklisted", FIRST),
    ],
)
def test_no_fact_of_attempt_1_changes_attempt_2(fact: Fact) -> None:
    decision = decide(payout(s.PROCESSING, attempts=TWO), fact)
    assert decision.trigger is None
    assert decision.data is None or decision.data.attempts == TWO


@pytest.mark.parametrize("state", [s.APPROVED, s.PROCESSING, s.UNCONFIRMED, s.FAILED])
@pytest.mark.parametrize("reference", [FIRST, SECOND_REFERENCE])
def test_a_success_completes_whichever_attempt_it_was(state: str, reference: str) -> None:
    record = after(payout(state, attempts=TWO), paid(reference))
    assert record.state == s.COMPLETED
    assert record.data.paid_by == reference
    assert record.data.evidence == RECEIPT


def test_a_person_is_told_when_an_old_attempt_was_paid_while_the_new_one_may_be_under_way() -> None:
    assert decide(payout(s.PROCESSING, attempts=TWO), paid(FIRST)).alarm
    assert not decide(payout(s.PROCESSING, attempts=TWO), paid(SECOND_REFERENCE)).alarm
    never_sent = (failed(), attempt(2, sent=False))
    assert not decide(payout(s.PROCESSING, attempts=never_sent), paid(FIRST)).alarm


# ── over, and yet ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [s.CANCELLED, s.REVERSED, s.REJECTED])
def test_a_success_after_the_money_was_given_back_is_a_move_of_its_own(state: str) -> None:
    decision = decide(payout(state, attempts=ONE), paid())
    assert decision.trigger == "contradict"
    assert decision.alarm
    assert told(decision) == ["paid_after_all"]
    assert after(payout(state, attempts=ONE), paid()).data.paid_by == FIRST


@pytest.mark.parametrize("state", [s.COMPLETED, s.CONTRADICTED])
def test_a_failure_after_a_success_contradicts(state: str) -> None:
    decision = decide(payout(state, attempts=ONE, paid_by=FIRST), not_paid(FIRST))
    assert decision.trigger is None
    assert decision.alarm
    assert decision.why.startswith("contradicts")


def test_a_failure_with_proof_after_a_success_is_a_return_once_the_rail_says_so_for_a_while() -> None:
    """A gateway without a word for returns shows them as failed: that stops no rail."""
    shown = not_paid(evidence=RECEIPT)
    first = decide(completed(), shown)
    assert (first.trigger, first.alarm, first.stops, first.again_s) == (None, "", "", 600)
    record = after(completed(), shown)
    assert not decide(record, shown, NOW + MINUTE).recorded
    back = after(record, shown, NOW + 10 * MINUTE)
    assert (back.state, back.data.evidence, back.data.paid_by) == (s.REVERSED, RECEIPT, "")


def test_a_failure_that_is_gone_at_the_next_look_was_none() -> None:
    record = after(completed(), not_paid(evidence=RECEIPT))
    record = after(record, Nothing(), NOW + 10 * MINUTE)
    assert record.state == s.COMPLETED
    assert after(record, not_paid(evidence=RECEIPT), NOW + HOUR).state == s.COMPLETED


def test_what_a_webhook_calls_an_attempt_is_kept_once_and_believed_only_when_the_rail_shows_it() -> None:
    record = after(processing(), f.Named(FIRST, ("trf_9",)))
    assert record.data.current == attempt(named=("trf_9",))
    assert not decide(record, f.Named(FIRST, ("trf_9",))).recorded
    assert not decide(record, f.Named("payout-09-zzzzzzzzzzzzzzzz-1", ("trf_9",))).recorded


def test_a_name_that_is_nobodys_is_forgotten_and_the_others_stay() -> None:
    record = after(processing(), f.Named(FIRST, ("trf_8", "trf_9")))
    forgotten = after(record, f.Unnamed(FIRST, ("trf_9",)))
    assert forgotten.data.current == attempt(named=("trf_8",))
    assert not decide(forgotten, f.Unnamed(FIRST, ("trf_9",))).recorded


def test_a_late_failure_of_another_attempt_after_a_success_is_noted() -> None:
    decision = decide(completed(attempts=TWO, paid_by=SECOND_REFERENCE), not_paid(FIRST))
    assert decision.why.startswith("noted")
    assert not decision.alarm


def test_the_same_success_again_says_nothing() -> None:
    assert not decide(completed(), paid()).recorded


def test_a_second_success_is_told_once_and_kept() -> None:
    record = completed(attempts=TWO)
    decision = decide(record, paid(SECOND_REFERENCE))
    assert decision.alarm
    assert decision.trigger is None
    again = after(record, paid(SECOND_REFERENCE))
    assert again.data.also_paid == (SECOND_REFERENCE,)
    assert not decide(again, paid(SECOND_REFERENCE)).recorded


# ── one attempt, several payments: somebody clicked Retry in the rail's dashboard more than once ─────────────────────


CLICKS = tuple(Evidence("flutterwave", f"{FIRST}_RETRY_{number}") for number in (1, 2, 3))
CLICKED = tuple(proof.reference for proof in CLICKS)


def repeated(*proofs: Evidence, over: tuple[str, ...] = ()) -> f.Paid:
    """The rail proves that retries of attempt 1 were paid."""
    own, *others = proofs
    return f.Paid(FIRST, own, tuple(others), over, repeated=True)


@pytest.mark.parametrize("state", [s.APPROVED, s.PROCESSING, s.UNCONFIRMED, s.FAILED])
def test_two_payments_of_one_attempt_complete_it_tell_a_person_once_and_stop_nobody_else(state: str) -> None:
    record, both = payout(state, attempts=(failed(),)), repeated(*CLICKS[:2])
    decision = decide(record, both)
    assert (decision.trigger, decision.stops) == ("complete", "")
    assert all(name in decision.alarm for name in CLICKED[:2])
    record = after(record, both)
    assert (record.data.paid_by, record.data.evidence, record.data.also_paid) == (FIRST, CLICKS[0], CLICKED[1:2])
    assert not decide(record, both).recorded
    more = decide(record, repeated(*CLICKS))
    assert (more.trigger, more.stops) == (None, "")
    assert CLICKED[2] in more.alarm
    assert after(record, repeated(*CLICKS)).data.also_paid == CLICKED[1:]


def test_a_further_payment_that_is_seen_later_is_told_when_it_is_seen() -> None:
    record = after(payout(s.FAILED, attempts=(failed(),)), repeated(CLICKS[0]))
    assert record.data.also_paid == ()
    decision = decide(record, repeated(*CLICKS[:2]))
    assert (decision.trigger, decision.stops, bool(decision.alarm)) == (None, "", True)
    record = after(record, repeated(*CLICKS[:2]))
    assert not decide(record, repeated(*CLICKS[:2])).recorded
    assert not decide(record, repeated(CLICKS[0])).recorded, "a look from before says nothing of the second"
    assert record.data.also_paid == CLICKED[1:2]


def test_what_older_versions_completed_without_names_is_told_of_a_second_payment_only() -> None:
    assert not decide(completed(), repeated(CLICKS[0])).recorded
    record = after(completed(), repeated(*CLICKS[:2]))
    assert (record.data.paid_by, record.data.also_paid) == (FIRST, CLICKED[1:2])


@pytest.mark.parametrize("state", [s.CANCELLED, s.REJECTED, s.REVERSED])
def test_payments_after_the_money_was_given_back_are_told_together_and_a_further_one_stops_nobody_again(
    state: str,
) -> None:
    record = payout(state, attempts=(failed(),))
    decision = decide(record, repeated(*CLICKS[:2]))
    assert (decision.trigger, decision.stops) == ("contradict", "rail:flutterwave")
    assert all(name in decision.alarm for name in CLICKED[:2])
    record = after(record, repeated(*CLICKS[:2]))
    assert (record.data.paid_by, record.data.also_paid) == (FIRST, CLICKED[1:2])
    assert decide(record, repeated(*CLICKS)).stops == ""


def test_a_second_payment_after_people_put_away_the_first_is_no_old_news() -> None:
    record = after(after(payout(s.FAILED, attempts=(failed(),)), repeated(CLICKS[0])), override_to(s.CANCELLED))
    assert not decide(record, repeated(CLICKS[0])).recorded
    assert decide(record, repeated(*CLICKS[:2])).trigger == "contradict"


@pytest.mark.parametrize("clicked", [failed(), failed(sent=False), attempt()])
def test_a_rail_is_closed_where_its_own_word_was_false_and_not_for_what_people_repeated_there(clicked: Attempt) -> None:
    """Of an attempt that was never taken, or did not fail, nobody can have clicked Retry."""
    record = completed(attempts=(clicked, attempt(2)), paid_by=SECOND_REFERENCE)
    assert decide(record, repeated(CLICKS[0])).stops == ("" if clicked == failed() else "rail:flutterwave")
    assert decide(record, paid()).stops == "rail:flutterwave"


def test_of_two_payments_of_one_attempt_one_that_came_back_leaves_the_other() -> None:
    twice = after(payout(s.FAILED, attempts=(failed(),)), repeated(*CLICKS[:2]))
    left = repeated(CLICKS[1], over=(CLICKED[0],))
    first = decide(twice, left)
    assert (first.trigger, first.alarm, first.again_s) == (None, "", 600)
    record = after(twice, left)
    assert not decide(record, left, NOW + MINUTE).recorded
    record = after(record, left, NOW + 10 * MINUTE)
    assert (record.state, record.data.paid_by, record.data.also_paid) == (s.COMPLETED, FIRST, ())
    assert record.data.evidence == CLICKS[1]
    record = after(record, f.CameBack(FIRST, CLICKS[1]))
    assert (record.state, record.data.paid_by, record.data.also_paid) == (s.REVERSED, "", ())


def test_all_payments_of_an_attempt_that_came_back_leave_the_payment_of_another_attempt() -> None:
    record = after(payout(s.FAILED, attempts=(failed(), failed(2))), repeated(*CLICKS[:2]))
    record = after(record, paid(SECOND_REFERENCE))
    assert record.data.also_paid == (CLICKED[1], SECOND_REFERENCE)
    left = after(record, f.CameBack(FIRST, RECEIPT))
    assert (left.state, left.data.paid_by, left.data.also_paid) == (s.COMPLETED, SECOND_REFERENCE, ())
    left = after(record, f.CameBack(SECOND_REFERENCE, RECEIPT))
    assert (left.data.paid_by, left.data.also_paid) == (FIRST, CLICKED[1:2])


def test_that_somebody_was_paid_with_nobodys_yes_is_told_once() -> None:
    record = payout(s.REQUESTED, attempts=(failed(),))
    assert decide(record, repeated(CLICKS[0])).alarm
    record = after(record, repeated(CLICKS[0]))
    assert not decide(record, repeated(CLICKS[0])).recorded
    assert decide(record, repeated(*CLICKS[:2])).alarm
    record = after(replace(record, state=s.APPROVED), repeated(*CLICKS[:2]))
    assert (record.state, record.data.also_paid) == (s.COMPLETED, CLICKED[1:2])


# ── people put what was paid elsewhere ───────────────────────────────────────────────────────────────────────────────


def put(state: str, **parts: Any) -> PayoutRecord:
    """A payout that was paid, and that two people put elsewhere all the same."""
    return after(completed(**parts), override_to(state))


def wanted_back(state: str) -> PayoutRecord:
    """One that somebody wants the money of."""
    wish: Fact = f.Released("olu", "they asked", proven=False) if state == s.FAILED else f.Cancelled("ann")
    return after(put(state), wish)


@pytest.mark.parametrize("state", [s.APPROVED, s.FAILED])
def test_a_wish_to_have_back_what_is_still_paid_ends_in_completed_and_with_an_alarm(state: str) -> None:
    """Two people put it there; nothing could ever prove that nothing was paid, and nothing may be paid once more."""
    record = wanted_back(state)
    assert record.data.wish
    decision = decide(record, paid())
    assert (decision.trigger, decision.stops) == ("complete", "")
    assert "it cannot be given back" in decision.alarm
    record = after(record, paid())
    assert (record.state, record.data.wish, record.data.paid_by) == (s.COMPLETED, None, FIRST)
    assert not decide(record, paid()).recorded


def test_a_wish_to_have_back_what_nobody_approved_and_is_paid_is_dropped_with_an_alarm() -> None:
    record = wanted_back(s.REQUESTED)
    decision = decide(record, paid())
    assert decision.alarm
    record = after(record, paid())
    assert (record.state, record.data.wish) == (s.REQUESTED, None)
    assert not decide(record, paid()).recorded


def test_a_wish_that_the_first_proof_of_a_payment_ends_needs_no_alarm() -> None:
    record = after(processing(), f.Cancelled("ann"))
    assert record.data.wish
    decision = decide(record, paid())
    assert (decision.trigger, decision.alarm) == ("complete", "")


def test_what_may_have_left_right_before_the_wish_would_show_before_it_is_given_back() -> None:
    """Nothing was begun, says the record; but the mark by which it says so is not signed."""
    record = payout(s.PROCESSING, attempts=(attempt(sent=False, opened_at=NOW - MINUTE),))
    record = after(record, f.Cancelled("ann", "no", Proof.NOT_PAID))
    assert (record.state, record.data.wish is None) == (s.PROCESSING, False)
    early = decide(record, f.AllProvenUnpaid(1), NOW + POLICY.settle_window_ms - 1)
    assert (early.trigger, early.again_s) == (None, 0.001)
    assert after(record, f.AllProvenUnpaid(1), NOW + POLICY.settle_window_ms).state == s.CANCELLED


@pytest.mark.parametrize("shown", [f.CameBack(FIRST, RECEIPT), not_paid(evidence=RECEIPT)])
@pytest.mark.parametrize("state", [s.REQUESTED, s.APPROVED, s.FAILED, s.CANCELLED, s.REJECTED])
def test_what_comes_back_after_people_put_it_elsewhere_is_paid_no_more(state: str, shown: Fact) -> None:
    record = after(after(put(state), shown), shown, NOW + 10 * MINUTE)
    assert (record.state, record.data.paid_by, record.data.all_dead) == (state, "", True)


@pytest.mark.parametrize("state", [s.APPROVED, s.FAILED])
def test_a_wish_is_carried_out_once_what_was_paid_has_come_back(state: str) -> None:
    decision = decide(wanted_back(state), f.CameBack(FIRST, RECEIPT))
    assert (decision.trigger, decision.again_s) == (None, 0)
    record = after(wanted_back(state), f.CameBack(FIRST, RECEIPT))
    assert after(record, f.AllProvenUnpaid(1)).state == s.CANCELLED


def test_a_failure_without_proof_after_a_success_is_told_once() -> None:
    decision = decide(completed(), not_paid())
    assert (bool(decision.alarm), decision.stops) == (True, "rail:flutterwave")
    again = decide(after(completed(), not_paid()), not_paid(), NOW + 7 * DAY)
    assert (again.recorded, again.again_s) == (False, -1)


def test_a_success_that_surfaces_under_a_word_of_a_person_is_adopted() -> None:
    """An operator put it into COMPLETED; then the rail shows which attempt it was. That is nobody's double payment."""
    decision = decide(completed(paid_by=""), paid())
    assert not decision.alarm
    assert decision.data is not None
    assert decision.data.paid_by == FIRST


def test_money_that_came_back_is_the_providers_again() -> None:
    decision = decide(completed(), f.CameBack(FIRST, Evidence("bank", "returned")))
    assert decision.trigger == "reverse"
    assert told(decision) == ["reversed"]
    record = after(completed(), f.CameBack(FIRST, RECEIPT))
    assert record.state == s.REVERSED
    assert record.data.paid_by == ""
    assert record.data.all_dead


def test_of_two_payments_one_that_came_back_leaves_the_payout_paid() -> None:
    twice = completed(attempts=TWO, also_paid=(SECOND_REFERENCE,))
    first_back = after(twice, f.CameBack(FIRST, RECEIPT))
    assert (first_back.state, first_back.data.paid_by) == (s.COMPLETED, SECOND_REFERENCE)
    second_back = after(twice, f.CameBack(SECOND_REFERENCE, RECEIPT))
    assert (second_back.state, second_back.data.paid_by) == (s.COMPLETED, FIRST)
    assert after(first_back, f.CameBack(SECOND_REFERENCE, RECEIPT)).state == s.REVERSED


@pytest.mark.parametrize("state", [s.PROCESSING, s.UNCONFIRMED])
def test_what_came_back_before_we_ever_saw_it_paid_is_a_failure_for_a_person(state: str) -> None:
    record = after(payout(state, attempts=ONE), f.CameBack(FIRST, RECEIPT))
    assert record.state == s.FAILED
    assert record.data.failures > len(POLICY.retry_after_s)


@pytest.mark.parametrize("state", [s.COMPLETED, s.REVERSED, s.CANCELLED, s.CONTRADICTED])
def test_a_finished_payout_is_watched_for_days_and_then_left_alone(state: str) -> None:
    over = payout(state, attempts=ONE, paid_by=FIRST)
    pace = [decide(over, Nothing(), NOW + age).again_s or 0 for age in (0, HOUR, DAY, 2 * DAY, 6 * DAY)]
    assert pace == sorted(pace), "ever more seldom"
    assert 0.75 * WATCH_S <= pace[0] <= 1.25 * WATCH_S
    assert pace[-1] > 5 * pace[0]
    assert decide(over, Nothing(), NOW + 7 * DAY).again_s == -1


def test_a_watch_at_which_the_rail_says_each_time_that_it_failed_has_an_end_too() -> None:
    over = payout(s.CANCELLED, attempts=ONE, paid_by=FIRST)
    assert (decide(over, f.NotPaid(FIRST, "failed"), NOW + DAY).again_s or 0) > 0
    assert decide(over, f.NotPaid(FIRST, "failed"), NOW + 7 * DAY).again_s == -1


def test_a_watch_that_finds_it_in_no_list_has_an_end_too() -> None:
    over = payout(s.CANCELLED, attempts=ONE)
    assert (decide(over, f.Absent(FIRST), NOW + DAY).again_s or 0) > 0
    assert decide(over, f.Absent(FIRST), NOW + 7 * DAY).again_s == -1


def test_a_cancelled_payout_that_was_never_attempted_is_not_watched() -> None:
    assert decide(payout(s.REQUESTED), f.Cancelled("ann")).again_s == -1
    assert decide(payout(s.CANCELLED), Nothing()).again_s == -1
    proven = f.Cancelled("ann", "", Proof.NOT_PAID)
    assert about(decide(payout(s.APPROVED, attempts=(failed(),)), proven).again_s, WATCH_S)


def test_a_payout_that_a_person_put_away_while_it_may_have_left_is_watched() -> None:
    record = after(processing(attempts=(attempt(sent=False),)), override_to(s.CANCELLED))
    assert about(decide(record, Nothing(), NOW + HOUR).again_s, WATCH_S)


# ── failure and retry ────────────────────────────────────────────────────────────────────────────────────────────────


def test_three_retries_by_themselves_each_with_a_new_reference_then_a_person() -> None:
    record, now, waits = processing(), int(NOW), []
    for number in (1, 2, 3):
        now += MINUTE
        decision = decide(record, not_paid(reference_of(ID, number)), now)
        assert decision.trigger == "fail"
        assert told(decision) == [], "nobody need do anything"
        waits.append(decision.again_s)
        record = after(record, not_paid(reference_of(ID, number)), now)
        early = decide(record, f.AllProvenUnpaid(number), now + SECOND)
        assert early.trigger is None
        assert early.again_s == pytest.approx(POLICY.retry_after_s[number - 1] - 1)
        now += int(POLICY.retry_after_s[number - 1] * SECOND)
        record = after(record, f.AllProvenUnpaid(number), now)
        assert record.state == s.PROCESSING
        assert record.data.current == Attempt(reference_of(ID, number + 1), "sealed account")
    assert waits == list(POLICY.retry_after_s)
    last = decide(record, not_paid(reference_of(ID, 4)), now)
    assert told(last) == ["failed", "review_needed"]
    record = after(record, not_paid(reference_of(ID, 4)), now)
    assert decide(record, f.AllProvenUnpaid(4), now + 30 * DAY).trigger is None
    record = after(record, f.Retried("olu"), now)
    assert record.state == s.PROCESSING
    assert record.data.current == Attempt(reference_of(ID, 5), "sealed account")


def test_a_provider_hears_of_each_cause_once_and_again_where_the_money_was_to_go_elsewhere() -> None:
    record = after(processing(failures=3), not_paid(retryable=False))
    for number, cause, heard in (
        (2, Cause.UNKNOWN, False),
        (3, Cause.DESTINATION, True),
        (4, Cause.DESTINATION, False),
    ):
        record = after(record, f.Retried("olu"))
        fact = not_paid(reference_of(ID, number), retryable=False, cause=cause)
        assert told(decide(record, fact)) == ["failed"] * heard + ["review_needed"], number
        record = after(record, fact)
    assert record.data.as_proposed.cause_announced == ""


@pytest.mark.parametrize("cause", [one for one in Cause if one is not Cause.WALLET])
def test_of_the_gateways_own_words_nothing_reaches_who_waits_for_the_money(cause: Cause) -> None:
    jargon = "DISBURSE FAILED: A fatal error occured while proccesing your request."
    asked = payout(s.REQUESTED)
    for record, fact in (
        (processing(), not_paid(reason=jargon, retryable=False, cause=cause)),
        (asked, f.Unpayable(jargon)),
        (after(payout(s.FAILED, attempts=(failed(),)), f.Corrected("ann", "x", "y", "z")), f.Unpayable(jargon)),
    ):
        decision = decide(record, fact)
        bodies = [one.body for one in decision.messages if one.body.get("event") not in (None, "review_needed")]
        assert len(bodies) == 2
        for body in bodies:
            assert "DISBURSE" not in str(body)
            assert body["reason_code"] in {one.code for one in REASONS.values()}
        after_it = after(record, fact)
        assert "DISBURSE" not in " ".join(reason_of(after_it))
        if decision.trigger:
            assert after_it.data.reason == jargon, "who works here reads it"


def test_every_cause_that_an_adapter_can_name_has_plain_words() -> None:
    assert set(Cause) <= REASONS.keys()
    for one in REASONS.values():
        assert one.text[0].islower(), "it stands within a sentence"
        assert not one.text.endswith(".")


def test_a_person_who_says_no_is_quoted_and_who_gives_a_failed_one_back_too() -> None:
    record = after(payout(s.REQUESTED, assessed=True), f.Declined("olu", "the invoice is missing"))
    assert reason_of(record) == ("", "the invoice is missing")
    given_back = after(
        payout(s.FAILED, cause="destination", reason="DISBURSE", attempts=(failed(),)),
        f.Released("olu", "as asked", proven=True),
    )
    assert reason_of(given_back) == ("", "as asked")
    older = payout(s.FAILED, reason="DISBURSE FAILED", attempts=(failed(),))
    assert reason_of(older)[0] == "unknown", "what an older version wrote says no cause"


def test_the_reason_that_reviewers_read_is_that_of_this_failure() -> None:
    decision = decide(processing(failures=3, reason="an old one"), not_paid(reason="account closed"))
    (call,) = [message for message in decision.messages if message.body.get("event") == "review_needed"]
    assert "account closed" in str(call.body["why"])


def test_without_proof_of_every_attempt_there_is_no_retry() -> None:
    record = payout(s.FAILED, NOW - DAY, attempts=(failed(), failed(2)), failures=1)
    for fact in (Nothing(), f.AllProvenUnpaid(1), f.NotSeen(FIRST), f.UnderWay(FIRST), not_paid(FIRST)):
        assert decide(record, fact).trigger is None
    assert decide(record, f.AllProvenUnpaid(2)).trigger == "retry"


def test_a_failure_that_would_only_repeat_goes_to_a_person_at_once() -> None:
    record = after(processing(), not_paid(retryable=False))
    assert decide(record, f.AllProvenUnpaid(1), NOW + DAY).trigger is None


def test_a_refusal_on_the_spot_goes_to_a_person() -> None:
    record = after(processing(attempts=(attempt(sent=False),)), Refused("blacklisted"))
    assert record.state == s.FAILED
    assert record.data.attempts == (attempt(sent=False, failed="blacklisted", absent=True),)
    assert record.data.attempts[0].refused
    assert decide(record, f.AllProvenUnpaid(1), NOW + DAY).trigger is None


def test_a_proven_failure_is_remembered_as_sent_even_if_a_crash_hid_the_send() -> None:
    """Otherwise it would pass for one that the rail refused, and a look that does not find it would count as proof."""
    record = after(processing(attempts=(attempt(sent=False),)), not_paid())
    assert record.data.attempts == (failed(),)
    assert not record.data.attempts[0].refused


def test_a_failure_without_a_reason_is_a_failure_all_the_same() -> None:
    for fact in (not_paid(reason=""), Refused(""), not_paid(reason="", cause=Cause.WALLET)):
        assert after(processing(), fact).data.all_dead


def test_a_payout_that_a_person_put_into_failed_waits_for_a_person() -> None:
    record = payout(s.FAILED, NOW - DAY, attempts=(failed(),))
    for policy in (POLICY, PayoutPolicy(retry_after_s=())):
        waits = answer(record, f.AllProvenUnpaid(1), policy=policy)
        assert isinstance(waits, Decision)
        assert not waits.recorded
        assert waits.again_s is not None
        assert waits.again_s > WATCH_S, "ever more seldom"


def test_an_empty_wallet_uses_up_no_retry_and_is_no_failure() -> None:
    record = processing(failures=1, batch="20270115-080000-batch")
    empty = not_paid(cause=Cause.WALLET, reason="Insufficient funds")
    decision = decide(record, empty)
    assert decision.trigger == "defer"
    assert told(decision) == []
    assert told(decision, "alarm") == [], "the wallet has an alert of its own: one alarm a payout would be thousands"
    record = after(record, empty)
    assert (record.state, record.data.failures, record.data.deferred_since) == (s.APPROVED, 1, NOW)
    boarded = after(record, f.Boarded(record.data.batch))
    assert boarded.data.current == Attempt(SECOND_REFERENCE, "sealed account")


def test_a_payment_that_is_turned_away_for_now_is_held_alone_and_can_be_cancelled() -> None:
    unsent = (Attempt(FIRST, "sealed account"),)
    held = after(processing(attempts=unsent, batch="20270115-080000-batch"), f.TurnedAway(FIRST, "Insufficient funds"))
    assert (held.state, held.data.failures, held.data.batch) == (s.APPROVED, 0, "20270115-080000-batch")
    assert held.data.attempts[0].refused
    assert after(held, f.Cancelled("ada", "too slow", Proof.NOT_PAID)).state == s.CANCELLED


def test_a_repeat_that_is_turned_away_proves_nothing_about_an_attempt_that_may_have_arrived() -> None:
    lost = after(processing(attempts=(Attempt(FIRST, "sealed account"),)), LostSight("a time-out", FIRST))
    again = after(replace(lost, data=replace(lost.data, unseen_since=NOW - HOUR, unseen=1)), f.NotSeen(FIRST))
    assert again.state == s.PROCESSING
    turned_away = after(again, f.TurnedAway(FIRST, "Insufficient funds"))
    assert turned_away.state == s.UNCONFIRMED
    assert not turned_away.data.attempts[0].failed


def test_a_wallet_that_stays_empty_is_tried_less_and_less_often() -> None:
    waits = []
    for count in range(1, 9):
        attempts = (*(failed(number) for number in range(1, count)), attempt(count))
        waits.append(
            decide(processing(attempts=attempts), not_paid(reference_of(ID, count), cause=Cause.WALLET)).again_s
        )
    assert all(map(about, waits, (300, 600, 1200)))
    assert about(waits[-1], WATCH_S)


def test_a_released_payout_must_be_proven_unpaid() -> None:
    record = payout(s.FAILED, attempts=(failed(),), failures=4)
    waits = after(record, f.Released("olu", "they asked", proven=False))
    assert (waits.state, waits.data.wish) == (s.FAILED, Wish("cancel", "olu", "they asked", NOW))
    assert after(waits, f.AllProvenUnpaid(1)).state == s.CANCELLED
    decision = decide(record, f.Released("olu", "he asked", proven=True))
    assert decision.trigger == "release"
    assert told(decision) == ["cancelled"]


# ── not seen, not known ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_time_out_is_not_a_failure() -> None:
    record = after(processing(attempts=(attempt(sent=False),)), LostSight("a time-out", FIRST))
    assert record.state == s.UNCONFIRMED
    assert record.data.attempts == (attempt(unknown=True),)
    assert record.data.failures == 0


def test_the_same_reference_goes_out_again_after_two_unseen_looks_past_the_window() -> None:
    record = after(processing(), LostSight("a time-out", FIRST))
    window = POLICY.settle_window_ms
    for within in (5 * SECOND, MINUTE, window - 1):
        decision = decide(record, f.NotSeen(FIRST), NOW + within)
        assert (decision.trigger, decision.recorded) == (None, False)
    once = after(record, f.NotSeen(FIRST), NOW + window)
    assert once.state == s.UNCONFIRMED
    twice = after(once, f.NotSeen(FIRST), NOW + window + 30 * SECOND)
    assert twice.state == s.PROCESSING
    assert twice.data.current == attempt(sent=False, unknown=True)
    assert len(twice.data.attempts) == 1


@pytest.mark.parametrize("refused", [Refused("daily limit", FIRST), Refused("daily limit")])
def test_the_refusal_of_a_repeat_proves_nothing_of_the_send_whose_answer_was_lost(refused: Fact) -> None:
    """A gateway may check limits before duplicates: the limit may be used up by the very transfer that landed."""
    record = after(processing(attempts=(attempt(sent=False),)), LostSight("a time-out", FIRST))
    past_window = NOW + POLICY.settle_window_ms
    record = after(after(record, f.NotSeen(FIRST), past_window), f.NotSeen(FIRST), past_window + MINUTE)
    assert record.state == s.PROCESSING
    record = after(record, refused, past_window + 2 * MINUTE)
    assert record.state == s.UNCONFIRMED
    assert record.data.current == attempt(unknown=True, refusal="daily limit")
    assert not record.data.attempts[0].refused


def test_seeing_it_between_two_unseen_looks_starts_over() -> None:
    record = after(processing(), LostSight("a time-out"))
    once = after(record, f.NotSeen(FIRST), NOW + POLICY.settle_window_ms)
    found = after(once, f.UnderWay(FIRST), NOW + POLICY.settle_window_ms + SECOND)
    assert (found.state, found.data.unseen) == (s.PROCESSING, 0)
    assert found.data.current == attempt(unknown=True)


def test_a_refused_repeat_ends_when_all_that_the_rail_did_lacks_it_twice_hours_after_the_last_send() -> None:
    refused = f.NotTaken(FIRST, "daily limit")
    record = after(processing(attempts=(attempt(sent=False, unknown=True),)), refused)
    assert record.state == s.UNCONFIRMED
    for minutes in (3, 30, 119):
        now = NOW + minutes * MINUTE
        assert decide(record, f.NotSeen(FIRST, listed=True), now).trigger is None
        assert not POLICY.may_be_absent(record, record.data.attempts[0], Millis(now))
    now = NOW + POLICY.absent_after_ms
    assert POLICY.may_be_absent(record, record.data.attempts[0], Millis(now))
    record = after(record, f.Absent(FIRST), now)
    assert record.state == s.UNCONFIRMED
    assert not POLICY.may_be_absent(record, record.data.attempts[0], Millis(now + MINUTE))
    now += POLICY.absent_apart_ms
    record = after(record, f.Absent(FIRST), now)
    assert (record.state, record.data.failures, record.data.attempts[0].refused) == (s.FAILED, 1, True)
    assert record.data.attempts[0].failed == "daily limit"


@pytest.mark.parametrize("state", [s.PROCESSING, s.FAILED])
def test_an_earlier_attempt_that_all_the_rail_did_lacks_twice_is_over(state: str) -> None:
    """Otherwise what was lost, and corrected to another account meanwhile, waits for ever for a proof."""
    record = payout(state, attempts=(attempt(unknown=True), attempt(2, sent=False, opened_at=NOW)))
    once = decide(record, f.Absent(FIRST), NOW + 2 * HOUR)
    assert (once.trigger, once.again_s) == (None, 3600)
    record = carried_out(record, once, NOW + 2 * HOUR)
    assert not record.data.attempts[0].failed
    record = after(record, f.Absent(FIRST), NOW + 3 * HOUR)
    assert (record.state, record.data.attempts[0].refused, record.data.absent) == (state, True, 0)
    assert record.data.attempts[1].never_begun


def test_a_list_that_lacks_two_attempts_once_each_ends_neither() -> None:
    """The rail showed the first one as failed in between: of the second one only one list has said anything."""
    record = payout(s.FAILED, attempts=(attempt(unknown=True), attempt(2, unknown=True)))
    record = after(record, f.Absent(FIRST), NOW + 2 * HOUR)
    record = after(record, f.Absent(SECOND_REFERENCE), NOW + 3 * HOUR)
    assert [bool(one.failed) for one in record.data.attempts] == [False, False]
    record = after(record, f.Absent(SECOND_REFERENCE), NOW + 4 * HOUR)
    assert [bool(one.failed) for one in record.data.attempts] == [False, True]


@pytest.mark.parametrize("state", [s.PROCESSING, s.FAILED])
def test_an_earlier_attempt_that_was_seen_between_two_lists_is_looked_for_twice_more(state: str) -> None:
    record = payout(state, attempts=(attempt(unknown=True), attempt(2, sent=False, opened_at=NOW)))
    record = after(record, f.Absent(FIRST), NOW + 2 * HOUR)
    record = after(record, f.UnderWay(FIRST), NOW + 3 * HOUR)
    record = after(record, f.Absent(FIRST), NOW + 4 * HOUR)
    assert not record.data.attempts[0].failed


@pytest.mark.parametrize("known", [{"paid_by": FIRST}, {"also_paid": (FIRST,)}])
def test_what_people_know_to_be_paid_is_not_over_where_lists_lack_it(known: dict[str, Any]) -> None:
    """A retry would get a reference of its own, and be sent as soon as the rail shows the payment again."""
    record = payout(s.FAILED, attempts=(attempt(),), failures=1, **known)
    for hours in (2, 3, 4):
        record = after(record, f.Absent(FIRST), NOW + hours * HOUR)
    assert not record.data.attempts[0].failed
    assert len(after(record, f.Retried("olu"), NOW + 5 * HOUR).data.attempts) == 1


def test_what_the_rail_proved_unpaid_was_with_it_and_must_be_shown_from_then_on() -> None:
    """An older version did not write down that it was sent: that it is not found later proves nothing."""
    record = after(payout(s.FAILED, attempts=(attempt(sent=False),)), f.AllProvenUnpaid(1))
    assert (bool(record.data.attempts[0].failed), record.data.attempts[0].refused) == (True, False)


def test_a_list_says_nothing_of_what_may_be_sent_at_any_moment() -> None:
    record = payout(s.PROCESSING, attempts=(failed(), attempt(2, unknown=True)))
    assert not decide(record, f.Absent(SECOND_REFERENCE), NOW + 3 * HOUR).recorded


def test_what_people_put_to_failed_and_the_rail_proves_unpaid_is_over_and_is_given_back() -> None:
    """The rail failed it after people had: without a word of that the wish would wait for ever."""
    record = payout(s.FAILED, attempts=(attempt(unknown=True),), wish=WISH)
    record = after(record, f.AllProvenUnpaid(1))
    assert (record.state, bool(record.data.attempts[0].failed)) == (s.FAILED, True)
    assert after(record, f.AllProvenUnpaid(1)).state == s.CANCELLED


def test_what_people_know_to_be_paid_and_put_to_failed_is_not_proven_unpaid() -> None:
    record = payout(s.FAILED, attempts=ONE, paid_by=FIRST)
    assert not after(record, f.AllProvenUnpaid(1)).data.attempts[0].failed


@pytest.mark.parametrize("state", [s.REQUESTED, s.APPROVED])
def test_what_was_tried_before_is_not_given_back_on_one_persons_word(state: str) -> None:
    """A click in the gateway's dashboard brings back to life what had failed."""
    record = payout(state, attempts=(failed(),))
    with pytest.raises(BadInput, match="may have been sent"):
        decide(record, Override(s.CANCELLED, "tidying up", "olu"))
    assert after(record, Override(s.CANCELLED, "tidying up", "olu", proof=Proof.NOT_PAID)).state == s.CANCELLED
    assert after(record, Override(s.CANCELLED, "tidying up", "olu", "ada")).state == s.CANCELLED


def test_what_is_known_of_those_before_it_ends_no_attempt_that_may_be_sent() -> None:
    record = payout(s.PROCESSING, attempts=(attempt(unknown=True), attempt(2)), wish=WISH)
    record = after(record, f.AllProvenUnpaid(2))
    assert record.state == s.PROCESSING
    assert [bool(one.failed) for one in record.data.attempts] == [True, False]
    assert after(record, f.AllProvenUnpaid(2)).state == s.PROCESSING


def test_found_between_the_two_looks_at_all_that_the_rail_did_it_is_followed() -> None:
    record = after(processing(attempts=(attempt(sent=False, unknown=True),)), f.NotTaken(FIRST, "daily limit"))
    record = after(record, f.Absent(FIRST), NOW + 2 * HOUR)
    assert after(record, paid(), NOW + 3 * HOUR).state == s.COMPLETED


def test_where_the_rail_cannot_list_a_refused_repeat_is_asked_again_slowly_and_people_are_told_once() -> None:
    record = after(processing(attempts=(attempt(sent=False, unknown=True),)), f.NotTaken(FIRST, "daily limit"))
    assert decide(record, f.NotSeen(FIRST), NOW + 59 * MINUTE).trigger is None
    record = after(record, f.NotSeen(FIRST), NOW + 60 * MINUTE)
    assert after(record, f.NotSeen(FIRST), NOW + 61 * MINUTE).state == s.PROCESSING
    young = replace(record, data=replace(record.data, unseen_since=NOW + 7 * HOUR, unseen=0))
    late = decide(young, f.NotSeen(FIRST), NOW + 7 * HOUR + 5 * MINUTE)
    assert (told(late, "alarm") != [], told(late)) == (True, ["review_needed"])
    again = after(young, f.NotSeen(FIRST), NOW + 7 * HOUR + 5 * MINUTE)
    assert not decide(again, f.NotSeen(FIRST), NOW + 7 * HOUR + 10 * MINUTE).recorded


def test_each_answer_that_is_lost_doubles_the_time_to_the_next_send() -> None:
    record, now, waits = processing(attempts=(attempt(sent=False),)), int(NOW), []
    for _ in range(8):
        record = after(record, LostSight("a time-out", FIRST), now)
        began = now
        while record.state == s.UNCONFIRMED:
            now += MINUTE
            record = after(record, f.NotSeen(FIRST), now)
        waits.append((now - began) // MINUTE)
    assert waits == [3, 5, 9, 17, 33, 61, 61, 61]


@pytest.mark.parametrize("fact", [Nothing(), f.NotSeen(FIRST), LostSight("again"), f.AllProvenUnpaid(1)])
def test_what_is_not_known_is_never_failed_or_given_back(fact: Fact) -> None:
    record = payout(s.UNCONFIRMED, attempts=ONE, unseen=1, unseen_since=1)
    assert decide(record, fact).trigger in (None, "find")


def test_losing_sight_again_and_again_tells_a_person_once() -> None:
    alarms, record = [], processing(attempts=(attempt(sent=False),))
    for _ in range(10):
        alarms.append(told(decide(record, LostSight("a time-out")), "alarm"))
        record = after(record, LostSight("a time-out"))
        record = after(after(record, f.NotSeen(FIRST), NOW + HOUR), f.NotSeen(FIRST), NOW + HOUR)
        assert record.state == s.PROCESSING
    assert [len(told_now) for told_now in alarms] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]


def test_what_the_rail_waits_for_is_shown_and_after_a_while_told() -> None:
    record = after(processing(), f.UnderWay(FIRST, "approval"), NOW + MINUTE)
    assert record.data.waiting_for == "approval"
    assert not decide(record, f.UnderWay(FIRST, "approval"), NOW + HOUR).recorded
    late = decide(record, f.UnderWay(FIRST, "approval"), NOW + 2 * HOUR)
    assert told(late, "alarm") == ["waits at flutterwave for approval since 2 hours"]
    record = after(record, f.UnderWay(FIRST, "approval"), NOW + 2 * HOUR)
    assert not decide(record, f.UnderWay(FIRST, "approval"), NOW + 3 * HOUR).recorded
    assert after(record, f.UnderWay(FIRST), NOW + 3 * HOUR).data.waiting_for == ""


def test_an_earlier_attempt_without_proof_is_shown_as_what_it_waits_for() -> None:
    record = after(payout(s.PROCESSING, attempts=TWO), f.NotSeen(FIRST))
    assert record.data.waiting_for == f"proof that {FIRST} was not paid"
    assert told(decide(record, f.NotSeen(FIRST), NOW + 2 * HOUR), "alarm")


def test_the_rails_own_name_is_not_lost_when_the_send_is_repeated() -> None:
    record = after(processing(), f.Submitted(FIRST, "987"))
    assert after(record, f.Submitted(FIRST, "")).data.current == attempt(handle="987")


# ── a person's word ──────────────────────────────────────────────────────────────────────────────────────────────────


def override_to(state: str, second: str = "eve", proof: Proof = Proof.NONE) -> Override:
    return Override(to=state, reason="the bank called", by="olu", second=second, proof=proof)


def test_what_people_say_is_unknown_is_unknown_since_they_said_so() -> None:
    record = after(processing(), override_to(s.UNCONFIRMED))
    assert (record.state, record.data.unknown_since) == (s.UNCONFIRMED, NOW)
    assert told(decide(record, f.NotSeen(FIRST), NOW + HOUR), "alarm") == []


@pytest.mark.parametrize("through", [s.REQUESTED, s.APPROVED])
def test_an_open_attempt_is_not_forgotten_on_the_way_through_a_state_that_never_sends(through: str) -> None:
    """Two people put it back into REQUESTED; from there one word, the provider's own even, must not give it back."""
    record = after(processing(), override_to(through))
    waits = after(record, f.Cancelled("olu"))
    assert (waits.state, waits.data.wish is not None) == (through, True)
    for fact in (override_to(s.CANCELLED, second=""), override_to(s.REJECTED, second="")):
        with pytest.raises(BadInput, match="may have been sent"):
            decide(record, fact)
    assert after(record, override_to(s.CANCELLED, second="", proof=Proof.NOT_PAID)).state == s.CANCELLED
    assert after(record, override_to(s.CANCELLED)).state == s.CANCELLED


def test_an_approval_does_not_outlive_an_override_that_asks_for_it_again() -> None:
    record = payout(s.REQUESTED, assessed=True, approvals_needed=2)
    record = after(record, f.Approved("eve", record.data.fingerprint))
    record = after(record, override_to(s.REJECTED))
    assert after(record, override_to(s.REQUESTED)).data.approvals == ()


def test_an_override_back_into_processing_never_leaves_an_open_reference_behind() -> None:
    sent = after(payout(s.REQUESTED, assessed=True), override_to(s.PROCESSING))
    assert sent.data.attempts == (Attempt(FIRST, "sealed account"),)
    assert after(payout(s.UNCONFIRMED, attempts=ONE), override_to(s.PROCESSING)).data.attempts == ONE
    again = after(payout(s.FAILED, attempts=(failed(),)), override_to(s.PROCESSING)).data.current
    assert again == Attempt(SECOND_REFERENCE, "sealed account")


def test_what_was_never_sent_cannot_be_looked_for() -> None:
    with pytest.raises(BadInput, match="ever sent"):
        decide(payout(s.APPROVED, assessed=True), override_to(s.UNCONFIRMED))


def test_a_success_that_two_people_overruled_is_not_brought_up_again() -> None:
    record = after(completed(), override_to(s.CANCELLED))
    assert not decide(record, paid()).recorded
    assert after(record, paid(SECOND_REFERENCE)).state == s.CONTRADICTED


# ── what others are told ─────────────────────────────────────────────────────────────────────────────────────────────


def test_boarding_names_the_batch_to_whoever_keeps_the_list() -> None:
    decision = decide(payout(s.APPROVED), f.Boarded("20270115-080000-batch"))
    (message,) = decision.messages
    assert (message.kind, message.body) == ("batch", {"batch": "20270115-080000-batch"})


def test_news_of_a_payout_go_to_the_provider_and_to_his_platform_alike() -> None:
    decision = decide(processing(), paid())
    notify, webhook = decision.messages
    assert (notify.kind, webhook.kind) == ("notify", "webhook")
    assert notify.body == webhook.body
    assert notify.body["reference"] == FIRST
    assert (notify.body["amount"], notify.body["currency"]) == ("1000.00", "NGN")


def test_a_provider_who_bears_the_fee_reads_what_arrives() -> None:
    decision = decide(processing(send_units=97_312, fee_units=2_688), paid())
    assert decision.messages[0].body["arrives"] == "973.12"


def test_no_message_holds_the_sealed_destination() -> None:
    for decision in (
        decide(processing(), paid()),
        decide(processing(), not_paid(retryable=False)),
        decide(payout(s.FAILED), f.Corrected("ann", "sealed other", "058 ••••9999", "print")),
    ):
        assert "sealed" not in str([message.body for message in decision.messages])


def test_a_reference_tells_its_payout() -> None:
    assert record_of(reference_of(ID, 12)) == ID
    assert data().current is None


def test_a_payout_is_watched_as_long_as_its_rail_may_still_send_it_back_and_less_and_less_often() -> None:
    policy = PayoutPolicy(returns_ms={"flutterwave": 90 * DAY})
    looks, now = 0, int(NOW)
    while (again_s := decide(completed(), Nothing(), now, policy).again_s) is not None and again_s >= 0:
        now, looks = now + int(again_s * SECOND), looks + 1
    assert now - NOW >= 90 * DAY
    assert looks < 30
