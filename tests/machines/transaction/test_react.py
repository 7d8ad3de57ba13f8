"""Every state against every fact, for the three machines: a legal decision, or a sentence for whoever asked."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from machines.core.chain import NodeAnswer, NodeReply
from machines.core.clock import SECOND, Millis
from machines.core.decision import Decision
from machines.core.errors import BadInput
from machines.core.facts import Fact, Nothing, Refused
from machines.core.lifecycle import OVERRIDE, By, Lifecycle
from machines.core.record import Record
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.data import ETHER, Suspect
from machines.transaction.react_lane import lane as lane_machine
from machines.transaction.react_payment import payment as payment_machine
from tests.machines.transaction.scenes import (
    GWEI,
    NOW,
    REACT,
    React,
    carried,
    facts_for,
    hash_of,
    lane,
    payment,
    receipt,
    seen,
    transaction,
)

TABLES = {table.machine: table for table in (s.LANE, s.PAYMENT, s.TRANSACTION)}
MACHINES: dict[str, React] = {"lane": lane_machine({}).react, "payment": payment_machine().react, "transaction": REACT}


def scenes() -> Iterable[Record[Any]]:
    """Give a record in every state of every machine, with what may be special about it."""
    for state in s.LANE.states:
        yield lane(state)
        yield lane(state, suspects=(Suspect(hash_of(99), 7, payment(2).id),), waits_for="money")
    for state in s.PAYMENT.states:
        yield payment(state=state)
    for state in s.TRANSACTION.states:
        yield transaction(state)
        yield transaction(state, hash=hash_of(7), cancel="wrong", asked_bump=True)
        empty = replace(transaction().data.newest, empty=True)
        yield transaction(state, hash=hash_of(7), attempts=(empty,), members=())
        yield transaction(state, hash=hash_of(7), attempts=(empty,), batch="0x77")


def check(table: Lifecycle, record: Record[Any], decision: Decision[Any]) -> None:
    """See that a commit would take a decision, and those of its group."""
    if decision.trigger == OVERRIDE:
        table.state(decision.to or "")
    elif decision.trigger:
        table.target(record.state, decision.trigger)
    if not decision.recorded:
        written = decision.data, decision.trigger, decision.alarm, decision.messages, decision.group
        assert not any(written)
    assert decision.recorded is False or decision.why
    ids = [member.id for member, _ in decision.group]
    assert len(set(ids)) == len(ids), "a record is in a group once"
    for member, its_decision in decision.group:
        check(TABLES[member.machine], member, its_decision)


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_fact_in_every_state_gives_a_decision_that_can_be_written(table: Lifecycle) -> None:
    for record in scenes():
        for fact in facts_for(transaction()) if record.machine == table.machine else ():
            _decided(record, fact)


def _decided(record: Record[Any], fact: Fact) -> None:
    try:
        decision = MACHINES[record.machine](record, fact, NOW)
    except BadInput as refusal:
        assert str(refusal)  # noqa: PT017  (a refusal is one of the two good answers)
        return
    check(TABLES[record.machine], record, decision)


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_a_look_that_learned_nothing_writes_nothing(table: Lifecycle) -> None:
    for record in scenes():
        if record.machine == table.machine and table.state(record.state).by is By.POLLER:
            assert not MACHINES[table.machine](record, Nothing(), NOW).recorded


# ── a payment and the transactions that carried it ───────────────────────────────────────────────────────────────────


def test_a_transaction_never_takes_a_payment_out_of_another_one() -> None:
    first, second = transaction(s.MINED, 7, hash=hash_of(7)), transaction(s.SENT, 8)
    moved_on = carried(second)
    for fact in (
        f.Finished(receipt(hash_of(7), ok=False), (moved_on, carried(second, 2))),
        f.Finished(receipt(hash_of(7), ok=False), (moved_on,)),
    ):
        for _, decision in REACT(first, fact, NOW).group:
            assert decision.trigger is None


def test_a_success_of_a_payment_that_is_under_way_again_stops_the_rail() -> None:
    first, second = transaction(s.MINED, 7, hash=hash_of(7)), transaction(s.SENT, 8)
    ((_, decision),) = REACT(first, f.Finished(receipt(hash_of(7)), (carried(second),)), NOW).group
    assert decision.trigger is None
    assert decision.stops == "rail:one"
    assert decision.alarm


def test_a_second_success_of_a_settled_payment_stops_the_rail_and_the_same_one_does_not() -> None:
    about = transaction(s.MINED, 7, hash=hash_of(7))
    before = payment(state=s.SETTLED, transaction=about.id, hash=hash_of(3))
    ((_, twice),) = REACT(about, f.Finished(receipt(hash_of(7)), (before,)), NOW).group
    assert twice.stops == "rail:one"
    same = payment(state=s.SETTLED, transaction=about.id, hash=hash_of(7))
    ((_, again),) = REACT(about, f.Finished(receipt(hash_of(7)), (same,)), NOW).group
    assert not again.stops


def test_a_settlement_says_what_proves_it() -> None:
    about = transaction(s.MINED, 7, hash=hash_of(7))
    ((_, decision),) = REACT(about, f.Finished(receipt(hash_of(7)), (carried(about),)), NOW).group
    assert decision.trigger == "settle"
    assert decision.data.evidence.reference == hash_of(7)
    assert dict(decision.data.evidence.details)["block"] == "50"


def test_a_receipt_that_is_not_of_the_block_that_was_counted_decides_nothing() -> None:
    about = transaction(s.MINED, 7, hash=hash_of(7))
    assert REACT(about, f.Finished(receipt(hash_of(1)), (carried(about),)), NOW).trigger is None


@pytest.mark.parametrize("state", [s.FINAL, s.REVERTED, s.DISPLACED])
def test_what_was_given_up_on_the_word_of_a_block_that_is_gone_is_not_sent_again(state: str) -> None:
    about = transaction(state, 7, hash=hash_of(7))
    failed = payment(1, s.FAILED, transaction=about.id)
    queued, moved_on = payment(2), carried(transaction(s.SENT, 8), 3)
    for members in ((failed,), (queued, moved_on), (moved_on,)):
        decision = REACT(about, f.Unmined(members, deep=False), NOW)
        assert (decision.trigger, bool(decision.data.cancel)) == ("reverse", True)
        assert not any(one.trigger for _, one in decision.group)


def test_what_was_paid_in_a_block_that_is_gone_is_sent_again() -> None:
    about = transaction(s.FINAL, 7, hash=hash_of(7))
    settled, failed = payment(1, s.SETTLED, transaction=about.id), payment(2, s.FAILED, transaction=about.id)
    for members in ((settled,), (settled, failed), ()):
        assert REACT(about, f.Unmined(members, deep=False), NOW).data.cancel == ""


@pytest.mark.parametrize(("count", "together"), [(2, 1), (3, 1), (8, 4), (9, 4)])
def test_a_reverted_batch_is_tried_in_halves(count: int, together: int) -> None:
    about = transaction(s.MINED, 7, hash=hash_of(7), batch="0x77")
    members = tuple(carried(about, number) for number in range(count))
    group = REACT(about, f.Finished(receipt(hash_of(7), ok=False), members), NOW).group
    assert [(one.trigger, one.data.most_together) for _, one in group] == [("requeue", together)] * count


def test_a_batch_that_no_node_takes_is_tried_in_halves_and_a_cancelled_one_fails() -> None:
    empty = replace(transaction().data.newest, empty=True)
    for cancel, trigger in (("", "requeue"), ("wrong list", "fail")):
        about = transaction(s.MINED, 7, hash=hash_of(7), attempts=(empty,), cancel=cancel, batch="0x77")
        members = tuple(carried(about, number) for number in range(4))
        decision = REACT(about, f.Finished(receipt(hash_of(7)), members), NOW)
        assert decision.trigger == "displace"
        assert {one.trigger for _, one in decision.group} == {trigger}


def test_bytes_that_go_out_again_do_not_start_the_wait_for_a_better_price_anew() -> None:
    about = transaction(s.SIGNED)
    first = REACT(about, f.Broadcast(hash_of(7), NodeAnswer(NodeReply.ACCEPTED), 1000), NOW).data
    again = REACT(
        transaction(s.SENT, **_fields(first)), f.Broadcast(hash_of(7), NodeAnswer(NodeReply.ACCEPTED), 9000), NOW
    ).data
    assert (again.sent_at, again.repeated_at) == (1000, 9000)


def _fields(data: Any) -> dict[str, Any]:  # noqa: ANN401
    return {name: getattr(data, name) for name in ("attempts", "sent_at", "repeated_at")}


@pytest.mark.parametrize(("age_s", "again_s"), [(0, 2), (16, 2), (40, 5), (120, 15), (86_400, 15)])
@pytest.mark.parametrize("state", [s.SENT, s.MINED])
def test_what_waits_for_blocks_is_looked_at_the_more_rarely_the_longer_it_waits(
    state: str, age_s: int, again_s: float
) -> None:
    now = Millis(NOW + age_s * SECOND)
    assert REACT(transaction(state), Nothing(), now).again_s == again_s


# ── a lane ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_chain_refuses_is_said_once() -> None:
    react = MACHINES["lane"]
    first = react(lane(), Refused("reverted"), NOW)
    assert first.recorded
    assert first.messages
    assert not react(lane(waits_for=first.data.waits_for), Refused("reverted"), NOW).recorded


def test_a_lane_that_stops_for_a_second_suspect_remembers_the_first() -> None:
    suspects = (Suspect(hash_of(98), 6, payment(3).id),)
    fact = f.FoundOutside(8, (seen(),), (Suspect(hash_of(99), 7, payment(2).id),))
    decision = MACHINES["lane"](lane(suspects=suspects), fact, NOW)
    assert decision.trigger == "halt"
    assert len(decision.data.suspects) == 2


@pytest.mark.parametrize(("state", "trigger"), [(s.QUEUED, "recognize"), (s.FAILED, "contradict")])
def test_a_person_may_say_that_a_suspect_paid(state: str, trigger: str) -> None:
    halted = lane(s.HALTED, suspects=(Suspect(hash_of(99), 7, payment(2).id),))
    decision = MACHINES["lane"](halted, f.Adopted("ada", "looked", ((payment(2, state), hash_of(99)),)), NOW)
    assert decision.trigger == "adopt"
    assert decision.group[0][1].trigger == trigger
    assert decision.group[0][1].data.evidence.reference == hash_of(99)


@pytest.mark.parametrize("state", [s.SENDING, s.SETTLED])
def test_nobody_may_say_that_of_a_payment_under_way_or_paid(state: str) -> None:
    halted = lane(s.HALTED, suspects=(Suspect(hash_of(99), 7, payment(2).id),))
    with pytest.raises(BadInput, match=r"cancel|already"):
        MACHINES["lane"](halted, f.Adopted("ada", "looked", ((payment(2, state), hash_of(99)),)), NOW)


def test_an_opened_lane_with_suspects_can_still_be_told_what_they_were() -> None:
    opened = lane(suspects=(Suspect(hash_of(99), 7, payment(2).id),))
    decision = MACHINES["lane"](opened, f.Adopted("ada", "nothing of ours"), NOW)
    assert decision.data.suspects == ()


def test_a_lane_writes_nothing_while_it_waits_for_the_same() -> None:
    waits = lane(waits_for="0.2 ETH more at 0x1")
    assert not MACHINES["lane"](waits, f.Looked(7, waits_for="0.2 ETH more at 0x1"), NOW).recorded
    assert not MACHINES["lane"](lane(), f.Looked(7, again_s=60.0), NOW).recorded
    assert MACHINES["lane"](lane(), f.Looked(7, again_s=60.0), NOW).again_s == 60
    assert int(payment().data.value_wei) == GWEI


def test_a_person_is_told_once_that_a_lane_lacks_money_however_much_it_is() -> None:
    react = MACHINES["lane"]
    assert react(lane(), f.Looked(7, waits_for="0.2 ETH more at 0x1", lacks=ETHER), NOW).messages
    waits = lane(waits_for="0.2 ETH more at 0x1", lacks=ETHER)
    more = react(waits, f.Looked(7, waits_for="0.5 ETH more at 0x1", lacks=ETHER), NOW)
    assert (more.data.waits_for, more.messages) == ("0.5 ETH more at 0x1", ())
    assert react(waits, f.Looked(7, waits_for="2 units more at 0x1", lacks="0x70"), NOW).messages
    other = react(waits, f.Looked(7, waits_for="transactions from outside"), NOW)
    assert other.data.lacks == ""
    assert other.messages
