"""An override obeys the record: nothing is sent that has not every yes that it asks for, whoever puts it wherever."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from machines.core.errors import BadInput
from machines.core.facts import Fact, Override, Proof
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Approval, PayoutRecord, RiskFinding
from tests.machines.payout.scenes import NOW, after, attempt, data, decide, failed, payout

STATES = tuple(s.LIFECYCLE.states)
SENDS_BY_ITSELF = {s.APPROVED, s.PROCESSING, s.UNCONFIRMED, s.FAILED}
"""From here it goes out with nobody's further yes, or on one operator's; written down here again, on purpose."""
FINGERPRINT = data().fingerprint
FOUND = (RiskFinding("new", "the provider is new"),)


@dataclass(frozen=True)
class Asks:
    """What a record asks for: how it was assessed, and who said yes already."""

    assessed: bool
    found: bool
    needed: int
    given: tuple[str, ...]

    @property
    def missing(self) -> int:
        if not self.assessed:
            needed = 2
        elif not self.found and self.needed == 1:
            needed = 0
        else:
            needed = self.needed
        return needed - len(self.given)


ASKS = [
    Asks(assessed, found, needed, given)
    for assessed, found, needed, given in product(
        (True, False), (True, False), (1, 2), ((), ("rita",), ("rita", "rob"))
    )
    if len(given) <= (needed if assessed else 0)
]
PEOPLE: dict[str, dict[str, Any]] = {
    "one operator": {"second": ""},
    "two operators": {"second": "olga"},
    "an operator and a reviewer": {"second": "rhoda", "second_approves": True},
}


def record_of(state: str, asks: Asks) -> PayoutRecord:
    return payout(
        state,
        assessed=asks.assessed,
        findings=FOUND if asks.found else (),
        approvals_needed=asks.needed,
        approvals=tuple(Approval(who, NOW, FINGERPRINT) for who in asks.given),
        requested_by="ann",
    )


def word(to: str, **parts: Any) -> Override:
    return replace(Override(to, "the bank called", "otto"), **parts)


@pytest.mark.parametrize("people", PEOPLE)
@pytest.mark.parametrize("proof", Proof)
def test_no_override_makes_up_for_a_yes_that_the_record_asks_for(people: str, proof: Proof) -> None:
    """Every state, into every state, by every number of people, for everything that a record may ask for."""
    went = refused = 0
    for source, target, asks in product(STATES, STATES, ASKS):
        if source == target:
            continue
        missing = asks.missing - (1 if people == "an operator and a reviewer" else 0)
        try:
            found = after(record_of(source, asks), word(target, proof=proof, **PEOPLE[people]))
        except BadInput:
            refused += target in SENDS_BY_ITSELF and missing > 0
            continue
        went += target in SENDS_BY_ITSELF
        assert target not in SENDS_BY_ITSELF or missing <= 0, (source, target, asks)
        assert found.state == target
    assert went or (people, proof) == ("one operator", Proof.PAID), "what has every yes is not refused everywhere"
    assert refused, "and what has not is looked at"


def test_what_was_not_assessed_yet_asks_for_two_whatever_it_will_ask_for() -> None:
    record = payout(s.REQUESTED, assessed=False, approvals_needed=1)
    for people in PEOPLE.values():
        with pytest.raises(BadInput):
            decide(record, word(s.APPROVED, **people))


@pytest.mark.parametrize("first", [s.FAILED, s.COMPLETED, s.REJECTED, s.CANCELLED, s.CONTRADICTED, s.REVERSED])
@pytest.mark.parametrize("then", [f.Retried("otto"), word(s.PROCESSING), word(s.APPROVED), word(s.UNCONFIRMED)])
def test_no_way_round_through_another_state_sends_what_nobody_approved(first: str, then: Fact) -> None:
    record = record_of(s.REQUESTED, Asks(assessed=True, found=True, needed=2, given=()))
    with pytest.raises(BadInput):  # noqa: PT012  (either word of the two may be the refused one)
        on_the_way = after(record, word(first))
        decide(on_the_way, then)


def test_the_last_yes_may_be_the_second_persons_who_confirms_the_override_and_is_kept() -> None:
    record = record_of(s.REQUESTED, Asks(assessed=True, found=True, needed=2, given=("rita",)))
    with pytest.raises(BadInput):
        decide(record, word(s.APPROVED, second="olga"))
    found = after(record, word(s.APPROVED, second="rhoda", second_approves=True))
    assert (found.state, [one.by for one in found.data.approvals]) == (s.APPROVED, ["rita", "rhoda"])
    assert after(found, word(s.PROCESSING)).state == s.PROCESSING


def test_who_said_yes_already_is_not_two() -> None:
    record = record_of(s.REQUESTED, Asks(assessed=True, found=True, needed=2, given=("rita",)))
    with pytest.raises(BadInput, match="the yes of 1 more"):
        decide(record, word(s.APPROVED, second="Rita", second_approves=True))


@pytest.mark.parametrize("second", ["ann", "Ann ", "shop"])
def test_who_asked_for_the_money_or_gets_it_is_never_the_second_person(second: str) -> None:
    record = payout(s.PROCESSING, assessed=True, attempts=(attempt(),), requested_by="shop")
    for approves in (True, False):
        with pytest.raises(BadInput, match="asked for"):
            decide(record, word(s.CANCELLED, second=second, second_approves=approves))


def test_a_yes_to_another_destination_does_not_count_for_this_one() -> None:
    other = (Approval("rita", NOW, "of another account"), Approval("rob", NOW, "of another account"))
    record = payout(s.REQUESTED, assessed=True, findings=FOUND, approvals_needed=2, approvals=other)
    with pytest.raises(BadInput, match="the yes of 2 more"):
        decide(record, word(s.PROCESSING, second="olga"))


def test_that_something_was_sent_to_this_destination_before_does_not_say_that_it_was_approved() -> None:
    record = payout(s.FAILED, assessed=True, findings=FOUND, approvals_needed=2, attempts=(failed(),))
    with pytest.raises(BadInput, match="the yes of 2 more"):
        decide(record, word(s.PROCESSING, second="olga"))
    both = (Approval("rita", NOW, FINGERPRINT), Approval("rob", NOW, FINGERPRINT))
    approved = replace(record, data=replace(record.data, approvals=both, fingerprint=FINGERPRINT))
    assert after(approved, word(s.PROCESSING)).state == s.PROCESSING


def test_a_payout_that_is_over_begins_again_only_by_two() -> None:
    record = payout(s.CANCELLED, assessed=True, attempts=(failed(),))
    with pytest.raises(BadInput, match="would begin again"):
        decide(record, word(s.PROCESSING))
    assert after(record, word(s.PROCESSING, second="olga")).state == s.PROCESSING
