"""A lane pays nothing but what it was permitted to pay, whatever is written into its records."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from machines.core.decision import Decision, New
from machines.core.facts import Nothing
from machines.core.ids import RecordId
from machines.core.ports import PaymentKey, SealKind, Settled
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.data import PaymentData, TransactionData, owner_of_lane
from machines.transaction.permit import as_signed, may_be_signed_again
from payflow.desk import permits
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.store.permits import PermitKeys
from payflow.store.registers.tokens import Role
from payflow.telemetry.metrics import Metrics
from tests.chain import GWEI, LANE, Anvil, stranger
from tests.lanes import Station

THIEF = stranger()
Seal = Callable[[Station, PaymentData], str]


async def written(station: Station, record_id: RecordId, **changes: Any) -> None:
    """Write what one likes into a record, signed and with an event in its history, as who has those keys can."""
    stored = await station.store.records.read(record_id)
    decision: Decision[Any] = Decision(data=replace(stored.record.data, **changes), why="by hand", again_s=0)
    await station.store.records.commit(stored, decision, Nothing(), "mallory")


def watched(station: Station) -> list[str]:
    """Collect what people are told of."""
    found: list[str] = []
    station.store.link.macs.on_forged = found.append
    return found


SEALS: dict[str, Seal] = {
    "none": lambda _, __: "",
    "of another payment": lambda _, other: other.permit,
    "of a person": lambda station, _: station.store.permit_keys.sign(SealKind.PERSON, "payment"),
    "by a key of one's own": lambda _, __: PermitKeys(["a" * 24], ["b" * 24], []).sign(SealKind.PERMIT, "payment"),
}


@pytest.mark.parametrize("seal", SEALS.values(), ids=SEALS.keys())
async def test_a_payment_that_was_written_by_hand_is_never_signed_and_holds_up_no_other(
    station: Station, chain: Anvil, seal: Seal
) -> None:
    told, before, after = watched(station), station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(before)
        await station.until_settled([before])
        key = PaymentKey("by hand")
        made = seal(station, (await station.record(before)).data)
        data = PaymentData(key, THIEF, str(10**18), batchable=True, permit=made)
        record_id = station.lanes.books.payment_id("ethereum", key)
        new = New(record_id, "payment", owner_of_lane("ethereum"), None, data, due_in_s=None)
        await station.store.records.create(new, "rail")
        await station.pay(after)
        await station.until_settled([after])
    assert await chain.balance(THIEF) == 0
    assert (await station.store.records.read(record_id)).record.state == s.QUEUED
    assert record_id in told or station.store.permit_keys.unknown


@pytest.mark.parametrize("changes", [{"to": THIEF}, {"value_wei": str(10**18)}, {"data": "0x00"}, {"token": THIEF}])
async def test_a_payment_that_was_changed_while_it_waits_is_not_signed(
    station: Station, chain: Anvil, changes: dict[str, str]
) -> None:
    told, payment, other = watched(station), station.payment("p-1", gwei=1_000), station.payment("p-2")
    await station.pay(payment)
    await written(station, (await station.record(payment)).id, **changes)
    async with station.worker():
        await station.pay(other)
        await station.until_settled([other])
    assert await chain.balance(THIEF) == 0
    assert (await station.record(payment)).state == s.QUEUED
    assert (await station.record(payment)).id in told


async def test_a_better_offer_is_one_for_what_was_signed_first(station: Station, chain: Anvil) -> None:
    told, payment = watched(station), station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        await written(station, sent.id, to=THIEF, value_wei=str(10**18))
        await station.tell(sent.id, f.BumpAsked("ada"))
        await station.settle_down()
        assert len((await station.transaction(0)).data.attempts) == 1
        assert sent.id in told
        await station.tell(sent.id, f.CancelAsked("ada", "somebody changed it"))
        await station.until_attempts(0, 2)
        await station.until_nonce(0, s.SENT)
        assert (await station.transaction(0)).data.newest.empty, "its nonce can still be closed"
        await station.until_all([payment], s.FAILED)
    assert await chain.balance(THIEF) == 0


@pytest.mark.parametrize("turn", ["as it was", "of this version", "of the next one"])
async def test_an_old_permit_pays_no_second_time(station: Station, chain: Anvil, turn: str) -> None:
    """Who signs records puts a payment back that was paid, with the permit that it had, as one that waits."""
    to = stranger()
    payment, other = station.payment("p-1", to, gwei=1_000), station.payment("p-2")
    await station.pay(payment)
    waiting = (await station.record(payment)).data
    async with station.worker():
        await station.until_settled([payment])
    told, stored = watched(station), await station.store.records.read((await station.record(payment)).id)
    version = stored.record.version
    turns = {"as it was": 0, "of this version": version + 1, "of the next one": version + 2}
    data = replace(waiting, turn=turns[turn])
    decision: Decision[Any] = Decision(trigger="override", to=s.QUEUED, data=data, why="by hand", again_s=0)
    await station.store.records.commit(stored, decision, Nothing(), "mallory")
    async with station.worker():
        await station.pay(other)
        await station.until_settled([other])
    assert await chain.balance(to) == 1_000 * GWEI
    assert stored.record.id in told


def test_what_a_lane_sends_for_its_own_sake_pays_nobody() -> None:
    signer = PermitKeys(["a" * 24], ["b" * 24], [])
    own = TransactionData("ethereum", 1, LANE.address, 7, LANE.address, "5", "0x", 21_000, ())
    assert may_be_signed_again(signer, as_signed(signer, own))
    for changes in ({"to": THIEF}, {"nonce": 8}, {"data": "0x01"}, {"members": (RecordId("payment-00-x"),)}):
        assert not may_be_signed_again(signer, replace(as_signed(signer, own), **changes))
    pays = as_signed(signer, replace(own, to=THIEF))
    assert not may_be_signed_again(signer, pays), "a permit of this kind covers no value to others"
    assert may_be_signed_again(signer, as_signed(signer, replace(own, to=THIEF, value_wei="0")))


OLGA, OMAR = Person("olga", Role.OPERATOR), Person("omar", Role.OPERATOR)


async def test_what_an_older_version_queued_waits_for_two_people_and_is_paid_once(station: Station) -> None:
    payment = station.payment("p-1")
    await station.pay(payment)
    await written(station, (await station.record(payment)).id, permit="")
    desk = Steering(station.store, Metrics())
    async with station.worker():
        await station.settle_down()
        assert (await station.record(payment)).state == s.QUEUED
        proposal = await desk.propose_adoption(permits.ALL, "they are those of before", OLGA)
        assert "1 sealed" in await desk.two.confirm(proposal.digest, OMAR)
        await station.poke()
        await station.until_settled([payment])
    assert isinstance(await station.status(payment), Settled)
