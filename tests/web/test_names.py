"""Two hundred pairs of names, of one person and of two, as Nigerians, Ghanaians and Kenyans and their banks write them.

`python -m tests.web.test_names` tells precision and recall, and which pairs it is wrong about.
"""

import csv
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from payflow.config import Settings
from payflow.desk.names import name_score

REVIEW_BELOW = Settings.model_fields["name_review_below"].default
HOLD_BELOW = Settings.model_fields["name_hold_below"].default
PRECISION, RECALL = 0.98, 0.97


@dataclass(frozen=True)
class Pair:
    same: bool
    kind: str
    given: str
    bank: str

    @property
    def score(self) -> int:
        return name_score(self.given, self.bank)

    @property
    def taken(self) -> bool:
        """Whether nobody is asked about it."""
        return bool(self.score >= REVIEW_BELOW)


def pairs() -> list[Pair]:
    with Path(__file__).with_name("names.csv").open(encoding="utf-8", newline="") as file:
        return [Pair(row["same"] == "yes", row["kind"], row["given"], row["bank"]) for row in csv.DictReader(file)]


PAIRS = pairs()


def figures() -> tuple[float, float]:
    """Precision: of the pairs that are let through, how many are of one person. Recall: how many of these are let."""
    taken = [pair for pair in PAIRS if pair.taken]
    right = sum(pair.same for pair in taken)
    return right / len(taken), right / sum(pair.same for pair in PAIRS)


def test_there_are_a_hundred_of_each() -> None:
    assert Counter(pair.same for pair in PAIRS) == {True: 100, False: 100}
    assert len({(pair.given, pair.bank) for pair in PAIRS}) == 200


def test_precision_and_recall_are_what_is_promised() -> None:
    precision, recall = figures()
    wrong = [f"{pair.given} / {pair.bank}: {pair.score}" for pair in PAIRS if pair.taken is not pair.same]
    assert precision >= PRECISION, wrong
    assert recall >= RECALL, wrong


def test_somebody_else_altogether_is_held() -> None:
    held = [pair for pair in PAIRS if pair.score < HOLD_BELOW]
    assert {pair for pair in PAIRS if pair.kind == "another"} <= set(held)
    assert not any(pair.same for pair in held), "nobody is held under their own name"


@given(st.sampled_from(PAIRS))
def test_it_does_not_matter_which_of_two_names_comes_first(pair: Pair) -> None:
    assert name_score(pair.given, pair.bank) == name_score(pair.bank, pair.given)


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_written_gets_a_score(one: str, other: str) -> None:
    assert 0 <= name_score(one, other) <= 100
    assert name_score("", other) == 0


if __name__ == "__main__":
    sys.stdout.write("precision {:.3f}, recall {:.3f}\n".format(*figures()))
    for pair in PAIRS:
        if pair.taken is not pair.same:
            sys.stdout.write(f"  {pair.score:3} {pair.kind:16} {pair.given} / {pair.bank}\n")
