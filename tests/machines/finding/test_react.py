"""What each fact means to a finding, and how a line and a record are held against each other."""

from dataclasses import replace
from itertools import product

import pytest

from machines.core.clock import DAY, HOUR, Millis
from machines.core.decision import Decision
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused
from machines.core.ids import Owner, RecordId, owner_of
from machines.core.money import NGN, Asset, Money
from machines.core.ports import LineKind, StatementLine
from machines.core.record import Record
from machines.finding import facts as f
from machines.finding import lifecycle as s
from machines.finding.data import Finding, FindingKind, FindingRecord, ProposedAct, Severity, finding_id, finding_owner
from machines.finding.matching import OurPayment, best, payment_differs, return_differs
from machines.finding.react import react
from tests.facts import facts_of

NOW = Millis(1_800_000_000_000)
FOUND = Finding("flutterwave", FindingKind.MISSING_THERE, "payout-03-abcdefgh23456777", "it is on no line", owner="ann")
LEARNED: tuple[Fact, ...] = (
    Nothing(),
    Refused("no"),
    LostSight("gone"),
    Override(s.RESOLVED, "said so", "otto"),
    f.Noticed(FOUND),
    f.Explained("it came"),
    f.Resolved("otto", "asked"),
    f.Waived("otto", "a letter"),
    f.TakenUp("otto"),
    f.Stopped("owner:ann"),
)
MOVES = {
    (s.OPEN, f.Explained): s.EXPLAINED,
    (s.OPEN, f.Resolved): s.RESOLVED,
    (s.OPEN, f.Waived): s.WAIVED,
    (s.EXPLAINED, f.Noticed): s.OPEN,
    (s.RESOLVED, f.Noticed): s.OPEN,
}
REFUSED = {(state, fact) for state in (s.EXPLAINED, s.RESOLVED, s.WAIVED) for fact in (f.Resolved, f.Waived, f.TakenUp)}


def record(state: str = s.OPEN, data: Finding = FOUND) -> FindingRecord:
    return Record(
        RecordId("finding-03-abcdefgh23456777"), "finding", state, 1, Owner("finding:x"), None, data, NOW, NOW
    )


def test_every_fact_is_tried() -> None:
    assert {type(fact) for fact in LEARNED} == facts_of(f)


@pytest.mark.parametrize(("state", "fact"), list(product(s.LIFECYCLE.states, LEARNED)), ids=lambda one: str(one)[:40])
def test_a_fact_moves_as_the_table_says_or_not_at_all(state: str, fact: Fact) -> None:
    if isinstance(fact, Override):
        return  # tests/machines/test_overrides.py
    if (state, type(fact)) in REFUSED:
        with pytest.raises(BadInput, match="is over"):
            react(record(state), fact, NOW)
        return
    decision: Decision[Finding] = react(record(state), fact, NOW)
    target = MOVES.get((state, type(fact)))
    moved = s.LIFECYCLE.target(state, decision.trigger).name if decision.trigger else None
    assert moved == target


def test_what_people_did_stays_when_the_same_is_found_again_and_begins_anew_after_it_was_over() -> None:
    mine = replace(FOUND, taken_by="otto", stopped="owner:ann")
    told = replace(FOUND, says="it is on no line, for days")
    again = react(record(data=mine), f.Noticed(told), NOW).data
    assert again == replace(told, taken_by="otto", stopped="owner:ann")
    assert not react(record(data=mine), f.Noticed(FOUND), NOW).recorded
    assert react(record(s.RESOLVED, mine), f.Noticed(FOUND), NOW).data == FOUND


def test_each_kind_proposes_one_act_and_severe_ones_stop_what_they_concern() -> None:
    for kind in FindingKind:
        finding = replace(FOUND, kind=kind)
        assert isinstance(finding.act, ProposedAct)
        assert finding.advice
        assert bool(finding.scope) == (finding.severity is Severity.SEVERE)
    assert replace(FOUND, owner="").scope == "rail:flutterwave"
    assert replace(FOUND, settled=True).advice == ""


def test_the_same_difference_has_the_same_id_and_another_has_another() -> None:
    names = {finding_id(one, 8) for one in (FOUND, replace(FOUND, says="otherwise said", units=5))}
    assert len(names) == 1
    others = [replace(FOUND, kind=FindingKind.LATE), replace(FOUND, subject="x"), replace(FOUND, rail="paystack")]
    assert len(names | {finding_id(one, 8) for one in others}) == 4
    assert owner_of(finding_owner("flutterwave")) == "finding:flutterwave"


# ── a line and a record ──────────────────────────────────────────────────────────────────────────────────────────────

OURS = OurPayment(
    RecordId("payout-03-abcdefgh23456777"), Owner("ann"), ("ref-1",), ("77",), Money(100_000, NGN), 1_075, "home",
    paid=True, open=False, at=NOW,
)  # fmt: skip
LINE = StatementLine("77", LineKind.PAYMENT, Money(100_000, NGN), True, NOW, "ref-1", "77", 1_075, "home")  # noqa: FBT003
KES = Money(100_000, Asset("KES", 2))


@pytest.mark.parametrize(
    ("line", "ours", "before", "back", "found"),
    [
        (LINE, OURS, [], 0, []),
        (replace(LINE, account="", fee=None), OURS, [], 0, []),
        (replace(LINE, amount=Money(99_900, NGN)), OURS, [], 0, [(FindingKind.AMOUNT_DIFFERS, 100)]),
        (replace(LINE, fee=2_688), OURS, [], 0, [(FindingKind.FEE_DIFFERS, 1_613)]),
        (replace(LINE, account="away"), OURS, [], 0, [(FindingKind.WRONG_DESTINATION, 100_000)]),
        (
            replace(LINE, amount=Money(60_000, NGN), account="away"),
            OURS,
            [],
            0,
            [(FindingKind.WRONG_DESTINATION, 100_000)],
        ),
        (replace(LINE, amount=KES, account="away"), OURS, [], 0, [(FindingKind.WRONG_CURRENCY, 100_000)]),
        (LINE, OURS, ["76"], 0, [(FindingKind.TWICE, -100_000)]),
        (LINE, OURS, ["76"], 1, []),
        (LINE, replace(OURS, paid=False), [], 0, [(FindingKind.MISSING_HERE, -100_000)]),
        (LINE, replace(OURS, paid=False), [], 1, []),
        (LINE, replace(OURS, paid=False, open=True), [], 0, []),
    ],
)
def test_in_what_a_line_differs_from_its_record(
    line: StatementLine, ours: OurPayment, before: list[str], back: int, found: list[tuple[FindingKind, int]]
) -> None:
    assert [(one.kind, one.units) for one in payment_differs(line, ours, before, back)] == found


def test_what_came_back_differs_as_long_as_it_is_paid_here_and_by_nothing_else() -> None:
    back = replace(LINE, kind=LineKind.RETURN, out=False)
    assert [one.kind for one in return_differs(back, OURS, 0)] == [FindingKind.RETURNED]
    assert return_differs(back, OURS, 1) == []
    assert return_differs(back, replace(OURS, paid=False), 0) == []


def test_a_line_without_our_reference_is_matched_by_amount_time_and_account_or_not_at_all() -> None:
    bare = replace(LINE, reference="", account="")
    near, far = replace(OURS, at=Millis(NOW + HOUR)), replace(OURS, record=RecordId("b"), at=Millis(NOW + DAY))
    assert best(bare, [near]) == near
    assert best(bare, [near, far]) == near, "the nearer one"
    assert best(bare, [near, replace(near, record=RecordId("c"))]) is None, "either could be meant"
    assert best(bare, [replace(near, at=Millis(NOW + 2 * DAY))]) is None, "the amount alone is no match"
    assert best(replace(bare, account="home"), [near, far]) == near
    assert best(replace(bare, account="away"), [near]) is None, "it went elsewhere"
    assert best(replace(bare, amount=Money(1, NGN)), [near]) is None
