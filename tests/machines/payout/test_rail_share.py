"""What a payout has on its rail's side, whatever its rail and its people say of it."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from machines.core.clock import Millis
from machines.core.errors import PayflowError
from machines.core.facts import Override
from machines.core.ids import Owner, RecordId
from machines.core.lifecycle import Position
from machines.core.money import NGN, Money
from machines.core.ports import Evidence
from machines.core.rail_share import FINE, RailPart, changes, postings, read, written
from machines.core.record import Record
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Attempt, PayoutData, PayoutRecord
from machines.payout.policy import PayoutPolicy
from machines.payout.rail_share import rail_share
from machines.payout.react import react
from payflow.store.accounts import Posting, RailAccount

ONE, TWO = "payout-03-abcdefgh23456777-1", "payout-03-abcdefgh23456777-2"
FEE = "26.875"


def payout(state: str, *, send: int = 97_312, **data: Any) -> PayoutRecord:
    kept = PayoutData("flutterwave", "bank", "sealed", "044 ••••", send, attempts=(Attempt(ONE, "sealed", sent=True),))
    return Record(
        RecordId("payout-03-abcdefgh23456777"), "payout", state, 3, Owner("ann"), Money(100_000, NGN),
        replace(kept, **data), Millis(0), Millis(0),
    )  # fmt: skip


def proof(name: str = ONE, fee: str = FEE) -> Evidence:
    return Evidence("flutterwave", name, (("fee", fee),))


def learns(record: PayoutRecord, *facts: object) -> PayoutRecord:
    for fact in facts:
        decision = react(PayoutPolicy(), record, fact, Millis(10**9))  # type: ignore[arg-type]
        state = decision.to or (s.LIFECYCLE.target(record.state, decision.trigger).name if decision.trigger else "")
        record = replace(record, state=state or record.state, data=decision.data or record.data)
    return record


def shares(record: PayoutRecord) -> dict[str, int]:
    return read(written(rail_share(record)))[2] if written(rail_share(record)) else {}


@pytest.mark.parametrize("state", [s.REQUESTED, s.APPROVED, s.FAILED, s.CANCELLED, s.REJECTED])
def test_what_is_not_at_the_rail_has_nothing_there(state: str) -> None:
    assert shares(payout(state)) == {}


@pytest.mark.parametrize("state", [s.PROCESSING, s.UNCONFIRMED])
def test_what_was_handed_over_is_in_flight_as_it_was_asked_for(state: str) -> None:
    assert shares(payout(state)) == {"in_flight": 100_000}


def test_a_fee_that_the_payee_bears_and_one_that_we_bear() -> None:
    borne = {"settled": 97_312, "borne": 2_688, "fees": 2_687, "fees_rest": 500_000_000}
    assert shares(learns(payout(s.PROCESSING), f.Paid(ONE, proof()))) == borne
    ours = {"settled": 100_000, "fees": 2_687, "fees_rest": 500_000_000}
    assert shares(learns(payout(s.PROCESSING, send=100_000), f.Paid(ONE, proof()))) == ours


def test_what_came_back_leaves_its_fee_with_us() -> None:
    done = learns(payout(s.PROCESSING), f.Paid(ONE, proof()), f.CameBack(ONE, proof()))
    assert (done.state, shares(done)) == (s.REVERSED, {"fees": 2_687, "fees_rest": 500_000_000})


def test_a_second_payment_is_paid_twice_until_it_comes_back() -> None:
    both = learns(payout(s.PROCESSING), f.Paid(ONE, proof(), (proof(f"{ONE}_RETRY_1"),)))
    assert shares(both) == {"settled": 2 * 97_312, "borne": 2_688, "twice": 97_312, "fees": 5_375}


def test_what_is_paid_with_nobodys_yes_is_beyond_the_owners_books() -> None:
    paid = learns(payout(s.REQUESTED), f.Paid(ONE, proof()))
    assert paid.state == s.REQUESTED
    assert shares(paid) == {"settled": 97_312, "twice": 97_312, "fees": 2_687, "fees_rest": 500_000_000}


@pytest.mark.parametrize(("state", "arrives"), [(s.COMPLETED, 97_312), (s.REVERSED, 0)])
def test_a_fee_that_an_older_version_left_in_the_proof_alone_is_not_lost(state: str, arrives: int) -> None:
    assert shares(payout(state, evidence=proof())).get("settled", 0) == arrives
    assert shares(payout(state, evidence=proof()))["fees"] == 2_687
    assert "fees" not in shares(payout(s.FAILED, evidence=proof())), "what failed costs nothing"


def test_what_a_person_says_was_paid_arrived() -> None:
    assert shares(payout(s.COMPLETED)) == {"settled": 97_312, "borne": 2_688}


@pytest.mark.parametrize("fee", ["", "free", "NaN", "-5", "Infinity", "1e40"])
def test_what_is_no_fee_is_none(fee: str) -> None:
    assert "fees" not in shares(payout(s.COMPLETED, charged=((ONE, fee),)))


@pytest.mark.parametrize("seed", range(200))
def test_both_sides_agree_in_every_state_and_its_postings_sum_to_it(seed: int) -> None:
    """Settled, and what payees bear, less what was paid twice, is what the owner's account says, whatever it learns."""
    random = Random(seed)
    record, account, before = payout(s.PROCESSING), RailAccount(), ""
    made: list[object] = [
        f.Paid(ONE, proof()), f.Paid(ONE, proof(), (proof(f"{ONE}_RETRY_1", ""),)), f.Paid(TWO, proof(TWO)),
        f.CameBack(ONE, proof()), f.CameBack(TWO, proof(TWO)), f.NotPaid(ONE, "no", evidence=proof()),
        f.UnderWay(ONE), f.NotSeen(ONE), f.AllProvenUnpaid(1), f.AllProvenUnpaid(2), f.Retried("rita"),
        f.Released("rita", "back", proven=True), f.Cancelled("ann"), f.Boarded("b"),
        Override(s.COMPLETED, "paid", "rita", "olu"), Override(s.CANCELLED, "not paid", "rita", "olu"),
    ]  # fmt: skip
    for _ in range(30):
        try:
            record = learns(record, random.choice(made))
        except PayflowError:
            continue
        after = written(rail_share(record))
        for _, _, changed in changes(before, after):
            for source, target, units in postings(changed):
                assert units > 0
                account.post(Posting("", Owner("rail:flutterwave"), "NGN", source, target, units, 0, ""))
        before = after
        assert account.figures == (" ".join(after.split(" ")[2:]) if after else "")
        paid = record.amount.units if s.LIFECYCLE.state(record.state).position is Position.PAID else 0  # type: ignore[union-attr]
        parts = [account.fine(part) for part in (RailPart.SETTLED, RailPart.BORNE, RailPart.TWICE)]
        assert parts[0] + parts[1] - parts[2] == paid * FINE, record
        assert min(parts) >= 0
