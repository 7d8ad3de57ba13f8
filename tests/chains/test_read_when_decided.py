"""Whoever decides about what a lane does is told what the chain says then, and it stays in the history."""

import pytest

from machines.core.errors import BadInput
from machines.core.facts import Proof
from machines.transaction import lifecycle as s
from payflow.desk.lane_steering import LaneSteering
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.store.registers.tokens import Role
from tests.chain import Anvil
from tests.lanes import Station

OLU, OTTO = (Person(name, Role.OPERATOR, "shell:root@host") for name in ("olu", "otto"))


async def test_what_the_chain_says_is_shown_kept_and_believed(station: Station, chain: Anvil) -> None:
    payment, steering = station.payment("p-1"), Steering(station.store, station.metrics)
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        before = await steering.preview(sent.id, s.DISPLACED, "olu")
        assert before.reading.proof is Proof.NONE
        assert dict(before.reading.read)[sent.data.newest.hash] == "which pays: no block has it"
        assert "may have left" in before.why_two
        await station.until_settled([payment])
    done, record = await station.transaction(0), await station.record(payment)
    for one, to in ((done, s.REVERTED), (record, s.FAILED)):
        preview = await steering.preview(one.id, to, "olu")
        assert preview.reading.proof is Proof.PAID
        assert (
            f"in block {done.data.block} ({done.data.block_hash}), done" in dict(preview.reading.read)[done.data.hash]
        )
    assert "may have left" in (await steering.preview(record.id, s.FAILED, "olu")).why_two
    with pytest.raises(BadInput, match="used up already"):
        await LaneSteering(station.store, station.metrics, steering.two).cancel(done.id, OLU, "not wanted")
    with pytest.raises(BadInput):
        await steering.override(record.id, s.FAILED, "it never came", OLU, record.version)
    proposal = await steering.propose_override(record.id, s.FAILED, "it never came", OLU, record.version)
    await steering.two.confirm(proposal.digest, OTTO)
    event = (await station.store.records.history(record.id))[-1]
    assert (event.trigger, event.details["proof"]) == ("override", "paid")
    assert done.data.block_hash in str(event.details["read"])


async def test_a_lane_is_told_beside_what_the_chain_has_of_it(station: Station) -> None:
    payment, steering = station.payment("p-1"), Steering(station.store, station.metrics)
    async with station.worker():
        await station.pay(payment)
        await station.until_settled([payment])
    lane = await station.lanes.books.lane("ethereum")
    assert lane is not None
    ((where, said),) = (await steering.preview(lane.id, s.HALTED, "olu")).reading.read
    assert where.startswith("ethereum at block ")
    assert f"the next nonce of {lane.data.address} is 1, the lane signs 1 next; it has " in said


async def test_nothing_is_proven_of_what_nobody_signed(station: Station) -> None:
    unsigned = station.payment("p-1")
    steering = Steering(station.store, station.metrics)
    await station.pay(unsigned)
    record = await station.record(unsigned)
    preview = await steering.preview(record.id, s.FAILED, "olu")
    assert (preview.reading.proof, preview.reading.read) == (
        Proof.NONE, ((record.id, "nothing is signed for it now"),),
    )  # fmt: skip


async def test_what_the_chain_said_stands_beside_what_somebody_asked_for(station: Station) -> None:
    payment, steering = station.payment("p-1"), Steering(station.store, station.metrics)
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        await LaneSteering(station.store, station.metrics, steering.two).cancel(sent.id, OLU, "the wrong one")
    (asked,) = [one for one in await station.store.records.history(sent.id) if one.fact == "CancelAsked"]
    assert "no block has it" in str(asked.details["read"])
