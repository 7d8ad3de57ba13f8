"""An operator's word is a fact like any other: with a reason, and with a second person where money may have left."""

from dataclasses import replace
from itertools import product

import pytest

from machines.core.clock import Millis
from machines.core.errors import BadInput
from machines.core.facts import Override, Proof, override
from machines.core.ids import Owner, RecordId
from machines.core.lifecycle import OVERRIDE, Position, UnknownState
from machines.core.money import NGN, Money
from machines.core.record import Record
from tests.errand import LIFECYCLE, ErrandData

STATES = tuple(LIFECYCLE.states)
PAIRS = [(source, target) for source, target in product(STATES, STATES) if source != target]
GONE = {name for name, facts in LIFECYCLE.states.items() if facts.may_have_left or facts.position is Position.PAID}


def record(state: str) -> Record[ErrandData]:
    return Record(
        id=RecordId("errand-01-abcdefgh23456777"),
        machine="errand",
        state=state,
        version=3,
        owner=Owner("ann"),
        amount=Money(100, NGN),
        data=ErrandData(),
        created_at=Millis(1),
        since=Millis(2),
    )


def word(to: str, **parts: str) -> Override:
    return Override(**({"to": to, "reason": "the bank called", "by": "olu"} | parts))  # type: ignore[arg-type]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_two_people_may_put_a_record_into_any_state(source: str, target: str) -> None:
    decision = override(LIFECYCLE, record(source), word(target, second="eve"))
    assert (decision.trigger, decision.to) == (OVERRIDE, target)
    assert "the bank called" in decision.why
    assert "olu" in decision.why
    assert "eve" in decision.why


@pytest.mark.parametrize("reason", ["", " ", "\n\t"])
def test_without_a_reason_it_is_refused(reason: str) -> None:
    with pytest.raises(BadInput, match="needs a reason"):
        override(LIFECYCLE, record("ASKED"), word("CANCELLED", reason=reason, second="eve"))


@pytest.mark.parametrize("state", STATES)
def test_into_the_state_where_it_is_it_is_refused(state: str) -> None:
    with pytest.raises(BadInput, match="already"):
        override(LIFECYCLE, record(state), word(state, second="eve"))


def test_into_a_state_that_is_not_there_it_is_refused() -> None:
    with pytest.raises(UnknownState):
        override(LIFECYCLE, record("ASKED"), word("NOWHERE"))


@pytest.mark.parametrize("second", ["olu", " olu", "OLU", "olu "])
def test_the_second_person_must_be_another_one(second: str) -> None:
    with pytest.raises(BadInput, match="another"):
        override(LIFECYCLE, record("SENDING"), word("CANCELLED", second=second))


def test_a_blank_is_no_second_person() -> None:
    with pytest.raises(BadInput, match="second person"):
        override(LIFECYCLE, record("SENDING"), word("CANCELLED", second=" "))


def test_where_nothing_left_one_person_is_enough() -> None:
    assert override(LIFECYCLE, record("READY"), word("CANCELLED")).to == "CANCELLED"


def test_where_money_may_have_left_it_is_not_given_back_on_one_persons_word() -> None:
    with pytest.raises(BadInput, match="may have left"):
        override(LIFECYCLE, record("SENDING"), word("CANCELLED"))


@pytest.mark.parametrize("source", [name for name in STATES if LIFECYCLE.states[name].position is Position.PAID])
def test_what_was_paid_is_not_given_back_on_one_persons_word(source: str) -> None:
    with pytest.raises(BadInput, match="second person"):
        override(LIFECYCLE, record(source), word("CANCELLED"))


def test_with_the_rails_proof_that_nothing_was_paid_one_person_is_enough() -> None:
    fact = replace(word("CANCELLED"), proof=Proof.NOT_PAID)
    assert override(LIFECYCLE, record("SENDING"), fact).to == "CANCELLED"


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_against_the_rails_proof_one_persons_word_is_not_enough(source: str, target: str) -> None:
    paid = LIFECYCLE.states[target].position is Position.PAID
    fact = replace(word(target), proof=Proof.NOT_PAID if paid else Proof.PAID)
    with pytest.raises(BadInput, match=r"The rail says|may have left"):
        override(LIFECYCLE, record(source), fact)


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] in GONE and pair[1] not in GONE])
def test_no_chain_of_one_persons_words_gives_back_what_may_have_left(source: str, target: str) -> None:
    """From where money may have left, one person reaches only states that say so too."""
    with pytest.raises(BadInput, match="second person"):
        override(LIFECYCLE, record(source), word(target))
