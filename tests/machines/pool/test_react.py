"""What each fact means to a pool payment: every state against every fact, and the rules that never break."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from machines.core.chain import TxHash
from machines.core.clock import Millis
from machines.core.decision import NEVER_S
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Proof, Refused
from machines.core.ids import RecordId
from machines.core.money import ETH, Money
from machines.core.ports import Evidence
from machines.core.record import Record
from machines.pool import facts as f
from machines.pool import lifecycle as s
from machines.pool.data import PoolData, PoolRecord, claim_of
from machines.pool.react import WATCH_MS, react

LOGIN = "0xb85150eb365e7df0941f0cf08235f987ba91506a"
TX, OTHER = TxHash("0x" + "1" * 64), TxHash("0x" + "2" * 64)
PROOF = Evidence("ethereum", TX, (("nonce", "7"), ("block", "9")))
NOW = Millis(1_800_000_000_000)

LEARNED: tuple[Fact, ...] = (
    Nothing(),
    Refused("no"),
    LostSight("gone"),
    f.Debited(5),
    f.Skipped("later"),
    f.AtLane("the lane"),
    f.LaneSigned(TX, 7),
    f.ProvenPaid(PROOF, 9),
    f.TakenBack("sent again"),
    f.CreditedBack("reverted", PROOF),
    f.Contradicted("both", PROOF),
    f.Resumed("olu"),
    f.MarkedPaid("olu", PROOF, 9),
)


ALLOWED = {
    (s.HALTED, f.Resumed),
    *((state, f.MarkedPaid) for state in (s.DEBITED, s.SENT, s.HALTED, s.CREDITED, s.PAID)),
}
"""What a person may do in which state."""


def payment(state: str, **changes: Any) -> PoolRecord:
    """A payment in a state."""
    data = PoolData("eth", LOGIN, LOGIN, "run-1")
    if state in (s.SENT, s.PAID):
        data = replace(data, hash=TX, nonce=7)
    return Record(
        RecordId("pool-00-aaaaaaaaaaaaaaaa"),
        "pool",
        state,
        3,
        data.owner,
        Money(600, ETH),
        replace(data, **changes),
        NOW,
        NOW,
    )


@pytest.mark.parametrize(("state", "fact"), list(product(s.LIFECYCLE.states, LEARNED)), ids=str)
def test_every_fact_in_every_state_is_legal_or_refused_in_words(state: str, fact: Fact) -> None:
    record = payment(state)
    if isinstance(fact, f.Resumed | f.MarkedPaid) and (state, type(fact)) not in ALLOWED:
        with pytest.raises(BadInput, match=state):
            react(record, fact, NOW)
        return
    decision = react(record, fact, NOW)
    if decision.trigger:
        target = s.LIFECYCLE.target(state, decision.trigger)
        opened, closed = state in s.OPEN, target.name not in s.OPEN
        freed = claim_of("eth", LOGIN) in decision.releases
        assert freed == (opened and closed), "the login's one place is freed when its payment is over, and only then"
    elif not decision.recorded:
        assert decision.data is None


def test_nothing_is_paid_or_credited_without_a_fact_that_says_so() -> None:
    for state, fact in product((s.DUE, s.DEBITED, s.SENT, s.HALTED), LEARNED):
        if isinstance(fact, f.ProvenPaid | f.CreditedBack | f.MarkedPaid):
            continue
        try:
            decision = react(payment(state), fact, NOW)
        except BadInput:
            continue
        if decision.trigger:
            assert s.LIFECYCLE.target(state, decision.trigger).name not in (s.PAID, s.CREDITED)


def test_what_is_paid_says_by_which_transaction() -> None:
    decision = react(payment(s.SENT), f.ProvenPaid(replace(PROOF, reference=OTHER), 9), NOW)
    assert decision.data is not None
    assert (decision.data.hash, decision.data.nonce, decision.data.paid_at) == (OTHER, 7, 9)


def test_paid_twice_is_a_contradiction() -> None:
    decision = react(payment(s.PAID), f.ProvenPaid(replace(PROOF, reference=OTHER), 9), NOW)
    assert "paid twice" in decision.alarm
    assert not react(payment(s.PAID), f.ProvenPaid(PROOF, 9), NOW).recorded


def test_a_block_that_is_dropped_after_it_was_booked_is_told_once_and_watched_until_it_is_back() -> None:
    dropped = react(payment(s.PAID), f.TakenBack("sent again"), NOW)
    assert TX in dropped.alarm
    assert dropped.data is not None
    record = payment(s.PAID, taken_back=dropped.data.taken_back)
    long_ago = Millis(NOW + WATCH_MS)
    again = react(record, f.TakenBack("sent again"), long_ago)
    assert (again.recorded, again.again_s) == (False, None)
    moved_on = react(record, f.TakenBack("waiting for the lane"), NOW)
    assert (moved_on.recorded, moved_on.alarm) == (True, "")
    assert react(record, f.TakenBack("proven unpaid", unpaid=True), NOW).alarm
    back = react(record, f.ProvenPaid(PROOF, 9), NOW)
    assert back.data is not None
    assert (back.data.taken_back, back.alarm) == ("", "")
    elsewhere = react(record, f.ProvenPaid(replace(PROOF, reference=OTHER), 9), NOW)
    assert elsewhere.data is not None
    assert elsewhere.data.hash == OTHER
    assert TX in elsewhere.alarm


def test_what_is_paid_is_watched_for_a_while_and_then_left_alone() -> None:
    for fact in (Nothing(), f.ProvenPaid(PROOF, 9)):
        assert react(payment(s.PAID), fact, NOW).again_s is None
        assert react(payment(s.PAID), fact, Millis(NOW + WATCH_MS)).again_s == NEVER_S


def test_a_success_after_the_credit_is_told_and_booked_by_a_person_only() -> None:
    assert "given back" in react(payment(s.CREDITED), f.ProvenPaid(PROOF, 9), NOW).alarm
    decision = react(payment(s.CREDITED), f.MarkedPaid("olu", PROOF, 9), NOW)
    assert (decision.trigger, decision.releases) == ("contradict", ())
    assert decision.alarm


def test_a_new_attempt_of_the_lane_is_written_down() -> None:
    decision = react(payment(s.SENT), f.LaneSigned(OTHER, 7), NOW)
    assert decision.data is not None
    assert decision.data.hash == OTHER
    assert not react(payment(s.SENT), f.LaneSigned(TX, 7), NOW).recorded


def test_an_override_takes_or_frees_the_logins_one_place() -> None:
    def put(state: str, to: str) -> tuple[int, int]:
        decision = react(payment(state), Override(to, "because", "olu", "rita", Proof.NONE), NOW)
        return len(decision.claims), len(decision.releases)

    assert put(s.HALTED, s.CREDITED) == (0, 1)
    assert put(s.CREDITED, s.DEBITED) == (1, 0)
    assert put(s.HALTED, s.DEBITED) == (0, 0)


def test_one_person_alone_does_not_give_back_what_may_have_left() -> None:
    with pytest.raises(BadInput, match="may have left"):
        react(payment(s.SENT), Override(s.CREDITED, "because", "olu"), NOW)
