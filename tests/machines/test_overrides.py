"""In every machine: one person's word puts nothing into a state from which it is sent, and nothing that is over."""

import pytest

from machines.bounty.lifecycle import LIFECYCLE as BOUNTY
from machines.core.clock import Millis
from machines.core.errors import BadInput
from machines.core.facts import Override, override
from machines.core.ids import Owner, RecordId
from machines.core.lifecycle import Lifecycle
from machines.core.record import Record
from machines.disbursement.lifecycle import LIFECYCLE as DISBURSEMENT
from machines.pool.lifecycle import LIFECYCLE as POOL
from machines.transaction.lifecycle import LANE, PAYMENT, TRANSACTION
from tests.machines.readme import lifecycles

# Written down here again: from these something goes out with nobody's further yes, or on one person's.
SENDING = {
    POOL: {"DUE", "DEBITED", "SENT"},
    BOUNTY: {"OPENING", "MERGED", "AWAITING_ADDRESS", "EXECUTED", "REVOKING"},
    LANE: {"OPEN"},
    PAYMENT: {"QUEUED", "SENDING"},
    TRANSACTION: {"SIGNED", "SENT"},
    DISBURSEMENT: {"MAKING"},
}
ELSEWHERE = {
    "payout": "tests/machines/payout/test_overrides.py",
    "repository": "holds no money and sends nothing",
    "finding": "holds no money and sends nothing",
    "portion": "sends nothing: what it lets go of is its owner's, and its rows are made by its file alone",
}
PAIRS = [
    pytest.param(lifecycle, source, target, id=f"{lifecycle.machine}-{source}-{target}")
    for lifecycle in SENDING
    for source in lifecycle.states
    for target in lifecycle.states
    if source != target
]


def test_every_machine_is_tried() -> None:
    tried = {one.machine for one in SENDING} | ELSEWHERE.keys()
    assert {one.machine for one in lifecycles()} == tried, "write its sending states down in SENDING, once more by hand"


def record(lifecycle: Lifecycle, state: str) -> Record[None]:
    name = RecordId(f"{lifecycle.machine}-01-abcdefgh23456777")
    return Record(name, lifecycle.machine, state, 3, Owner("ann"), None, None, Millis(1), Millis(2))


@pytest.mark.parametrize(("lifecycle", "source", "target"), PAIRS)
def test_one_person_sends_nothing_by_an_override(lifecycle: Lifecycle, source: str, target: str) -> None:
    begins_again = lifecycle.state(source).final and not lifecycle.state(target).final
    word = Override(target, "the bank called", "otto")
    if target in SENDING[lifecycle] or begins_again:
        with pytest.raises(BadInput, match="second person"):
            override(lifecycle, record(lifecycle, source), word)
    two = Override(target, "the bank called", "otto", "olga")
    assert override(lifecycle, record(lifecycle, source), two).to == target
