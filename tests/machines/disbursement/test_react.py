"""What each fact means to a file of payouts, and to a portion of it."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from machines.core.clock import Millis
from machines.core.decision import Decision, New
from machines.core.errors import BadInput, Unapproved
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused
from machines.core.ids import Owner, RecordId
from machines.core.money import NGN, Money
from machines.core.ports import SealKind
from machines.core.record import Record
from machines.disbursement import facts as f
from machines.disbursement import lifecycle as s
from machines.disbursement.data import (
    FileApproval,
    FileData,
    FileRecord,
    Portion,
    PortionData,
    PortionRecord,
    portion_id,
    ranges_of,
)
from machines.disbursement.permit import file_approvers, people_needed, sealed_yes
from machines.disbursement.react import react, react_portion
from tests.facts import facts_of

NOW = Millis(1_800_000_000_000)
FILE = RecordId("disbursement-03-abcdefgh23456777")
ANN = Owner("shop~payroll")
TWO = Portion("NGN", "flutterwave", 700_00, 2, "ab", 2, 3)
DATA = FileData("pay.csv", "cd" * 32, "uma", rows=4, portions=(TWO, replace(TWO, digest="ef", first=4, last=5)))


def file(state: str, data: FileData = DATA) -> FileRecord:
    return Record(FILE, "disbursement", state, 3, ANN, None, data, NOW, NOW)


def held(place: int) -> PortionRecord:
    data = PortionData(FILE, place)
    return Record(portion_id(FILE, place), "portion", s.RESERVED, 1, ANN, Money(700_00, NGN), data, NOW, NOW)


def reserve(place: int) -> New[Any]:
    return New(portion_id(FILE, place), "portion", ANN, Money(700_00, NGN), PortionData(FILE, place))


def yes(by: str, data: FileData = DATA) -> f.FileApproved:
    return f.FileApproved(by, data.fingerprint, NOW, "seal", (reserve(0), reserve(1)))


LEARNED: tuple[Fact, ...] = (
    Nothing(),
    Refused("no"),
    LostSight("gone"),
    Override(s.REJECTED, "said so", "otto", "olga"),
    yes("rita"),
    f.RowsLeftOut("rita", ((3, 3),), (replace(TWO, rows=1, units=300_00), TWO), 1),
    f.FileRejected("rita", "not this month"),
    f.FileCancelled("uma", "sent twice", (held(0), held(1))),
    f.PortionRead(0, held(0), (reserve(0),)),
    f.PortionGone(0, s.RETURNED),
    f.RowsFollowed(((0, (("COMPLETED", 2),), True),)),
)


def decided(record: FileRecord, fact: Fact) -> Decision[FileData] | None:
    try:
        return react(record, fact, NOW)
    except BadInput:
        return None


def test_every_fact_is_tried() -> None:
    assert {type(one) for one in LEARNED} >= set(facts_of(f))


def test_each_fact_means_something_legal_in_each_state() -> None:
    for state, fact in product(s.LIFECYCLE.states, LEARNED):
        decision = decided(file(state), fact)
        if decision is not None and decision.trigger not in (None, "override"):
            s.LIFECYCLE.target(state, str(decision.trigger))


@pytest.mark.parametrize("state", [one for one in s.LIFECYCLE.states if one != s.MAKING])
def test_payouts_are_made_in_making_alone(state: str) -> None:
    decision = decided(file(state), f.PortionRead(0, held(0), (reserve(0),)))
    assert decision is not None
    assert (decision.creates, decision.group) == ((), ())


def test_whoever_sent_it_cannot_approve_it() -> None:
    for by in ("uma", "Uma", "payroll"):
        with pytest.raises(BadInput, match="another person"):
            react(file(s.CHECKED), yes(by), NOW)


def test_a_yes_is_to_exactly_what_was_seen() -> None:
    without = replace(DATA, left_out=((3, 3),))
    with pytest.raises(BadInput, match="changed since"):
        react(file(s.CHECKED, without), yes("rita"), NOW)


def test_two_people_are_two_people() -> None:
    data = replace(DATA, approvals_needed=2)
    once = react(file(s.CHECKED, data), yes("rita", data), NOW)
    assert (once.trigger, once.creates) == (None, ())
    assert once.data is not None
    with pytest.raises(BadInput, match="second person"):
        react(file(s.CHECKED, once.data), yes("RITA", once.data), NOW)
    twice = react(file(s.CHECKED, once.data), yes("rudi", once.data), NOW)
    assert (twice.trigger, len(twice.creates)) == ("approve", 2)


def test_a_portion_lets_go_in_the_commit_that_makes_its_payouts() -> None:
    decision = react(file(s.MAKING), f.PortionRead(0, held(0), (reserve(0), reserve(1))), NOW)
    ((portion, its),) = decision.group
    assert (portion.id, its.trigger, len(decision.creates)) == (held(0).id, "split", 2)
    assert decision.data is not None
    assert (decision.data.made, decision.data.next_portion) == (2, 1)
    again = react(file(s.MAKING, decision.data), f.PortionRead(0, held(0), (reserve(0),)), NOW)
    assert (again.creates, again.group) == ((), ())


def test_the_last_portion_ends_the_making() -> None:
    first = react(file(s.MAKING), f.PortionRead(0, held(0), (reserve(0),)), NOW)
    assert first.data is not None
    last = react(file(s.MAKING, first.data), f.PortionGone(1, s.RETURNED), NOW)
    assert (last.trigger, last.data and last.data.made) == ("follow", 1)


def test_what_is_cancelled_gives_back_all_that_is_held_for_it() -> None:
    decision = react(file(s.MAKING), f.FileCancelled("uma", "no", (held(0), held(1))), NOW)
    assert [(one.id, its.trigger) for one, its in decision.group] == [
        (held(0).id, "give_back"),
        (held(1).id, "give_back"),
    ]


def test_it_is_done_when_every_portion_is() -> None:
    half = react(file(s.PAYING), f.RowsFollowed(((0, (("COMPLETED", 2),), True),)), NOW)
    assert (half.trigger, half.data and half.data.states()) == (None, {"COMPLETED": 2})
    assert half.data is not None
    both = react(file(s.PAYING, half.data), f.RowsFollowed(((1, (("REJECTED", 2),), True),)), NOW)
    assert both.trigger == "finish"


def test_a_portion_moves_with_its_file_alone() -> None:
    assert all(react_portion(held(0), fact, NOW).trigger is None for fact in LEARNED if not isinstance(fact, Override))


class Signer:
    """Signs with what is signed."""

    def sign(self, kind: SealKind, *parts: str | int) -> str:
        return f"{kind} {parts!r}"

    def knows(self, seal: str, kinds: Any, *parts: str | int) -> bool:  # noqa: ANN401  (as the port has it)
        return any(seal == self.sign(kind, *parts) for kind in kinds)


def approved(*by: str, data: FileData = DATA) -> FileRecord:
    record = file(s.MAKING, data)
    said = tuple(FileApproval(one, NOW, sealed_yes(Signer(), record, one, NOW)) for one in by)
    return file(s.MAKING, replace(data, approvals=said))


def test_nothing_is_made_of_a_file_that_says_something_else_than_was_approved() -> None:
    record = approved("rita")
    assert [one.by for one in file_approvers(Signer(), record, None)] == ["rita"]
    for changed in (
        replace(record.data, portions=(TWO,)),
        replace(record.data, portions=(replace(TWO, digest="00"), record.data.portions[1])),
        replace(record.data, left_out=((2, 2),)),
        replace(record.data, uploaded_by="olga"),
        replace(record.data, approvals=(replace(record.data.approvals[0], by="rudi"),)),
    ):
        with pytest.raises(Unapproved):
            file_approvers(Signer(), replace(record, data=changed), None)


def test_a_large_sum_takes_two_whatever_the_record_says_that_it_needs() -> None:
    with pytest.raises(Unapproved, match="1 of 2"):
        file_approvers(Signer(), approved("rita"), {"NGN": 1_000_00})
    with pytest.raises(Unapproved, match="1 of 2"):
        file_approvers(Signer(), approved("rita", "uma"), {"NGN": 1_000_00})
    assert len(file_approvers(Signer(), approved("rita", "rudi"), {"NGN": 1_000_00})) == 2
    assert [people_needed({"NGN": 999_99}, {"NGN": 1_000_00}), people_needed({"ETH": 1}, {"NGN": 1})] == [1, 2]


def test_what_was_made_or_counted_since_changes_no_fingerprint() -> None:
    counted = DATA.with_portion(0, replace(TWO, made=2, states=(("COMPLETED", 2),), over=True))
    assert counted.fingerprint == DATA.fingerprint


def test_rows_that_follow_one_another_are_one_range() -> None:
    assert list(ranges_of([5, 3, 4, 9, 3])) == [(3, 5), (9, 9)]
