"""Four eyes: who may say yes, to what, and how long a yes counts."""

from dataclasses import replace
from typing import Any

import pytest

from machines.core.errors import BadInput
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Approval, Attempt, PayoutRecord, RiskFinding, Wish
from tests.machines.payout.scenes import (
    FIRST,
    ID,
    NOW,
    PRINT,
    REVIEW,
    SECOND,
    after,
    answer,
    attempt,
    decide,
    failed,
    payout,
    told,
)

OTHER = f.Corrected("ann", "sealed other account", "058 ••••9999", "other print")


def in_review(needed: int = 1, **parts: Any) -> PayoutRecord:
    given: dict[str, Any] = {"assessed": True, "findings": REVIEW, "approvals_needed": needed}
    return payout(s.REQUESTED, **(given | parts))


def corrected(**parts: Any) -> PayoutRecord:
    given: dict[str, Any] = {"attempts": (failed(),), "failures": 4, "assessed": True}
    return after(payout(s.FAILED, **(given | parts)), OTHER)


# ── the rules' word ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_low_risk_is_approved_at_once() -> None:
    decision = decide(payout(s.REQUESTED), f.Assessed(()))
    assert decision.trigger == "approve"
    assert told(decision) == ["approved"]


def test_what_the_rules_found_is_kept_and_reviewers_are_called() -> None:
    decision = decide(payout(s.REQUESTED), f.Assessed(REVIEW))
    assert decision.trigger is None
    assert decision.data is not None
    assert decision.data.findings == REVIEW
    assert told(decision) == ["received", "review_needed"]
    assert decision.messages[-1].body["why"] == REVIEW[0].text


def test_an_amount_that_asks_for_two_people_is_not_approved_by_rules() -> None:
    decision = decide(payout(s.REQUESTED), f.Assessed((), approvals_needed=2))
    assert decision.trigger is None
    assert told(decision) == ["received", "review_needed"]


def test_the_rules_are_asked_once() -> None:
    assert not decide(in_review(), f.Assessed(())).recorded


# ── people's word ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_another_persons_yes_approves() -> None:
    decision = decide(in_review(), f.Approved("olu", PRINT))
    assert decision.trigger == "approve"
    assert decision.data is not None
    assert [approval.by for approval in decision.data.approvals] == ["olu"]


def test_nobody_approves_his_own_request() -> None:
    for name in ("ann", "Ann", " ann "):
        with pytest.raises(BadInput, match=r"asked for .* another person must"):
            decide(in_review(), f.Approved(name, PRINT))


def test_two_people_are_two_people() -> None:
    once = after(in_review(2), f.Approved("olu", PRINT))
    assert once.state == s.REQUESTED
    with pytest.raises(BadInput, match=r"olu approved .* already: a second person must"):
        decide(once, f.Approved("olu", PRINT))
    assert after(once, f.Approved("eve", PRINT)).state == s.APPROVED


def test_a_yes_to_something_else_is_refused() -> None:
    with pytest.raises(BadInput, match="changed since you looked at it"):
        decide(in_review(), f.Approved("olu", "what it was before"))


def test_nobody_approves_before_the_rules_have_looked() -> None:
    with pytest.raises(BadInput, match="still being assessed"):
        decide(payout(s.REQUESTED), f.Approved("olu", PRINT))


def test_a_no_gives_the_money_back_and_says_why() -> None:
    decision = decide(in_review(), f.Declined("olu", "no invoice"))
    assert decision.trigger == "reject"
    assert told(decision) == ["rejected"]
    assert decision.messages[0].body["reason"] == "no invoice"


@pytest.mark.parametrize("state", [s.APPROVED, s.PROCESSING, s.UNCONFIRMED, s.COMPLETED, s.REJECTED, s.FAILED])
def test_a_yes_that_comes_too_late_is_refused(state: str) -> None:
    assert isinstance(answer(payout(state, assessed=True, attempts=(failed(),)), f.Approved("olu", PRINT)), str)


@pytest.mark.parametrize("state", [s.FAILED, s.COMPLETED, s.REVERSED, s.REJECTED, s.CANCELLED])
def test_what_is_over_cannot_be_cancelled(state: str) -> None:
    assert isinstance(answer(payout(state, attempts=(failed(),)), f.Cancelled("ann")), str)


@pytest.mark.parametrize("state", [s.PROCESSING, s.UNCONFIRMED])
def test_of_what_is_with_the_rail_the_wish_to_cancel_is_taken(state: str) -> None:
    record = after(payout(state, attempts=(attempt(),)), f.Cancelled("ann", "a mistake"))
    assert (record.state, record.data.wish) == (state, Wish("cancel", "ann", "a mistake", NOW))
    assert not decide(record, f.Cancelled("ann", "a mistake")).recorded


def test_a_yes_that_counts_no_more_holds_what_has_not_left_and_nothing_else() -> None:
    said = (Approval("rita", NOW, PRINT), Approval("rob", NOW, PRINT))
    lapse = f.ApprovalsLapsed(FIRST, ("rita",), "rita was disabled")
    begun = payout(s.PROCESSING, approvals=said, attempts=(attempt(sent=False, opened_at=NOW),))
    decision = decide(begun, lapse)
    assert (decision.trigger, decision.unsent, told(decision)) == ("doubt", True, ["review_needed"])
    assert after(begun, lapse).data.approvals == said[1:]
    for parts in ({"sent": True}, {"unknown": True}, {"failed": "no"}):
        open_ = payout(s.PROCESSING, approvals=said, attempts=(attempt(**({"sent": False, "opened_at": NOW} | parts)),))
        assert not decide(open_, lapse).recorded
    assert not decide(begun, replace(lapse, reference=SECOND)).recorded


# ── another destination ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_corrected_destination_calls_reviewers_and_sends_nothing() -> None:
    record = payout(s.FAILED, attempts=(failed(),), failures=1, assessed=True)
    decision = decide(record, OTHER)
    assert decision.trigger is None
    assert told(decision) == ["review_needed"]
    assert "058 ••••9999" in str(decision.messages[0].body["why"])
    waiting = after(record, OTHER)
    assert waiting.data.sealed == "sealed account"
    assert waiting.data.proposal.shown == "058 ••••9999"


def test_no_retry_goes_to_a_destination_that_nobody_approved() -> None:
    """Neither by itself nor by an operator's word: the account may be a thief's."""
    record = corrected(failures=1)
    assert decide(record, f.AllProvenUnpaid(1), NOW + 10**9).trigger is None
    with pytest.raises(BadInput, match="waits for reviewers"):
        decide(record, f.Retried("olu"))


def test_a_corrected_destination_is_paid_after_a_yes_under_a_new_reference() -> None:
    record = after(corrected(), f.Approved("olu", "other print"))
    assert record.state == s.PROCESSING
    assert record.data.current == Attempt(SECOND, "sealed other account")
    assert (record.data.sealed, record.data.shown) == ("sealed other account", "058 ••••9999")
    assert record.data.correction is None


def test_who_names_the_destination_does_not_approve_it() -> None:
    with pytest.raises(BadInput, match="cannot approve it"):
        decide(corrected(), f.Approved("ann", "other print"))


def test_whose_money_it_is_does_not_approve_it_whoever_asked_for_them() -> None:
    """Their platform asked; they are a reviewer as well, under the same name."""
    asked_for = payout(s.REQUESTED, assessed=True, requested_by="shop", fingerprint=PRINT)
    for owner in ("ann", "Ann "):
        with pytest.raises(BadInput, match="cannot approve it"):
            decide(asked_for, f.Approved(owner, PRINT))
    assert after(asked_for, f.Approved("olu", PRINT)).state == s.APPROVED


def test_a_yes_to_the_old_destination_is_no_yes_to_the_new_one() -> None:
    with pytest.raises(BadInput, match="changed since you looked at it"):
        decide(corrected(), f.Approved("olu", PRINT))


def test_a_second_correction_voids_the_first_yes() -> None:
    record = after(corrected(approvals_needed=2), f.Approved("olu", "other print"))
    assert len(record.data.approvals) == 1
    record = after(record, f.Corrected("ann", "sealed third account", "011 ••••7777", "third print"))
    assert record.data.approvals == ()
    with pytest.raises(BadInput, match="changed since you looked at it"):
        decide(record, f.Approved("eve", "other print"))


def test_a_yes_from_before_the_change_does_not_count() -> None:
    record = in_review(2, approvals=(Approval("eve", NOW, "what it was before"),))
    assert after(record, f.Approved("olu", PRINT)).state == s.REQUESTED


def test_an_open_attempt_keeps_its_destination_whatever_is_corrected() -> None:
    """An operator put it into FAILED; its attempt may still be paid, and a reference never changes its account."""
    record = after(payout(s.FAILED, attempts=(attempt(),), assessed=True), OTHER)
    record = after(record, f.Approved("olu", "other print"))
    assert record.data.attempts == (attempt(), Attempt(SECOND, "sealed other account"))


def test_an_open_attempt_goes_on_under_its_reference_though_its_destination_was_sealed_anew() -> None:
    """Else the same money would go to the same account under a second reference, while the first may be paid."""
    sealed_anew = payout(
        s.FAILED, attempts=(attempt(place="home"),), assessed=True, sealed="anew", place="home", ruled_place="home"
    )
    assert after(sealed_anew, f.Retried("olu")).data.attempts == sealed_anew.data.attempts
    forced = replace(sealed_anew.data, findings=(RiskFinding("new", "It is new."),), approvals_needed=2)
    elsewhere = replace(forced, place="elsewhere", sealed=attempt().sealed)
    assert elsewhere.approvals_missing() == 2
    assert len(elsewhere.next_attempt(ID, NOW).attempts) == 2


def test_the_place_of_a_correction_goes_with_its_yes_into_the_attempt() -> None:
    there = payout(s.FAILED, attempts=(failed(place="home"),), failures=4, assessed=True, place="home")
    record = after(there, f.Corrected("ann", "sealed other account", "058 ••••9999", "other print", place="other"))
    assert (record.data.place, record.data.proposal.place) == ("home", "other")
    with pytest.raises(BadInput, match="still being assessed"):
        decide(record, f.Approved("olu", "other print"))
    record = after(record, f.Assessed(REVIEW, place="other", seal="rules.sealed"))
    assert (record.state, record.data.place, record.data.findings) == (s.FAILED, "home", REVIEW)
    record = after(record, f.Approved("olu", "other print"))
    assert (record.data.place, record.data.attempts[-1].place) == ("other", "other")


def test_what_the_gateway_says_can_never_be_paid_is_no_new_destination() -> None:
    record = after(corrected(), f.Unpayable("no such account"))
    assert (record.state, record.data.correction) == (s.FAILED, None)
    assert not decide(record, f.Unpayable("no such account")).recorded


def test_a_no_to_the_new_destination_leaves_the_old_one() -> None:
    decision = decide(corrected(), f.Declined("olu", "the name does not match"))
    assert told(decision) == ["failed"]
    record = after(corrected(), f.Declined("olu", "the name does not match"))
    assert record.state == s.FAILED
    assert record.data.correction is None
    assert after(record, f.Retried("olu")).data.current == Attempt(SECOND, "sealed account")


def test_without_a_correction_there_is_nothing_to_approve_about_a_failed_payout() -> None:
    record = payout(s.FAILED, attempts=(failed(),), failures=4, assessed=True)
    for fact in (f.Approved("olu", PRINT), f.Declined("olu", "no")):
        assert isinstance(answer(record, fact), str)


def test_findings_are_named_in_the_history() -> None:
    found = (RiskFinding("amount", "much"), RiskFinding("new", "1 successful payout"))
    assert decide(payout(s.REQUESTED), f.Assessed(found)).why == "needs review: amount, new"
