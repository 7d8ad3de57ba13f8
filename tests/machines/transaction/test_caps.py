"""Caps count what is signed for in an hour and in a day, hold what has no room, and never what closes a nonce."""

from dataclasses import replace

import pytest

from machines.core.chain import GasFee
from machines.core.clock import DAY, HOUR, Millis
from machines.core.decision import Decision
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.caps import EMPTY_GAS, FEES, Cap, Charge, cost_wei, counted, fitting, set_aside
from machines.transaction.data import ETHER, LaneData, SignedAttempt, Spent
from machines.transaction.react import react
from machines.transaction.react_lane import react as react_lane
from tests.machines.transaction.scenes import GWEI, NOW, TOKEN, hash_of, lane, payment, signing, transaction

CAP = Cap(100, 250, "100 an hour and 250 a day")
NOON = Millis(20_000 * DAY + 12 * HOUR)


def spent(*charges: tuple[int, int], what: str = ETHER) -> tuple[Spent, ...]:
    """What stands after charges, each at so many hours past noon."""
    known: tuple[Spent, ...] = ()
    for hours, units in charges:
        after = counted(known, [Charge(what, CAP, units)], Millis(NOON + hours * HOUR))
        assert after is not None
        known = after
    return known


@pytest.mark.parametrize(
    ("before", "hours", "left"),
    [
        ((), 0, 100),
        (((0, 30),), 0, 70),
        (((0, 30), (0, 70)), 0, 0),
        (((0, 100),), 1, 100),
        (((0, 100), (1, 100)), 2, 50),
        (((0, 100), (1, 100), (2, 50)), 3, 0),
        (((0, 100), (1, 100), (2, 50)), 12, 100),
    ],
)
def test_an_hour_and_a_day_each_have_their_room(before: tuple[tuple[int, int], ...], hours: int, left: int) -> None:
    assert CAP.left(ETHER, spent(*before), Millis(NOON + hours * HOUR)) == left
    assert CAP.left(TOKEN, spent(*before), Millis(NOON + hours * HOUR)) == 100, "of other money nothing was spent"


def test_what_has_no_room_is_refused_and_what_closes_a_nonce_is_counted_all_the_same() -> None:
    full = spent((0, 100))
    assert counted(full, [Charge(ETHER, CAP, 1)], NOON) is None
    assert counted((), [Charge(ETHER, CAP, 60), Charge(ETHER, CAP, 60)], NOON) is None, "in one commit too"
    after = counted(full, [Charge(ETHER, CAP, 30, closes=30)], NOON)
    assert after is not None
    assert CAP.left(ETHER, after, NOON) == -30
    assert counted(after, [Charge(ETHER, CAP, 31, closes=30)], NOON) is None


def test_payments_go_out_in_their_order_as_far_as_there_is_room() -> None:
    """All of one money wait behind the first that has to; who alone asks for too much holds up nobody."""
    queued = [
        payment(1, value_wei="60"),
        payment(2, value_wei="101"),
        payment(3, value_wei="50"),
        payment(4, value_wei="1"),
        payment(5, value_wei="900", token=TOKEN),
    ]
    fit, held = fitting(queued, {ETHER: CAP}, (), NOON)
    assert [one.data.key for one in fit] == ["p-1", "p-5"]
    assert held == "room under its cap of 100 an hour and 250 a day"
    fit, held = fitting(queued[:2], {ETHER: CAP}, (), NOON)
    assert [one.data.key for one in fit] == ["p-1"]
    assert held == f"somebody: {queued[1].id} alone is more than its cap of 100 an hour and 250 a day allows"
    assert fitting(queued, {}, (), NOON) == (queued, "")


def test_a_nonce_costs_what_its_dearest_attempt_does_and_has_set_aside_what_closing_it_takes() -> None:
    sent = transaction(gas=50_000).data
    assert cost_wei(sent) == 50_000 * 20 * GWEI
    empty = SignedAttempt(hash_of(8), "0x", GasFee(60 * GWEI), empty=True)
    assert cost_wei(replace(sent, attempts=(*sent.attempts, empty))) == EMPTY_GAS * 60 * GWEI
    assert set_aside(0, 100 * GWEI) == EMPTY_GAS * 100 * GWEI
    assert set_aside(cost_wei(sent), 100 * GWEI) == (EMPTY_GAS * 100 - 50_000 * 20) * GWEI
    assert set_aside(cost_wei(sent), 20 * GWEI) == 0


def test_what_was_signed_against_room_that_is_gone_is_written_by_no_commit() -> None:
    """The look saw room; by the time of its commit another one had used it up."""
    looked = f.Looked(8, (signing(7, payment()),), charges=(Charge(ETHER, CAP, 50),))
    written: Decision[LaneData] = react_lane(lane(), looked, NOON)
    assert written.data is not None
    assert CAP.left(ETHER, written.data.spent, NOON) == 50
    refused = react_lane(lane(spent=spent((0, 60))), looked, NOON)
    assert (refused.recorded, refused.creates, refused.group) == (False, (), ())


@pytest.mark.parametrize("state", [s.SIGNED, s.SENT])
def test_a_better_offer_is_counted_in_the_commit_that_writes_it_or_not_written(state: str) -> None:
    attempt = SignedAttempt(hash_of(8), "0x", GasFee(30 * GWEI))
    offered = f.Bumped(attempt, "late", lane(), (Charge(FEES, CAP, 50),))
    decision = react(transaction(state), offered, NOW)
    ((_, counted_in),) = decision.group
    assert counted_in.data is not None
    assert CAP.left(FEES, counted_in.data.spent, NOW) == 50
    full = replace(offered, charges=(Charge(FEES, CAP, 101),))
    assert react(transaction(state), full, NOW).recorded is False
    closing = replace(offered, charges=(Charge(FEES, CAP, 101, closes=101),))
    assert react(transaction(state), closing, NOW).data is not None
