"""Where two people operate, it takes both to use up a nonce with nothing, or to say what others have paid."""

import pytest

from machines.core.errors import Conflict, NotAllowed
from machines.transaction import lifecycle as s
from payflow.desk.lane_steering import LaneSteering
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.store.registers.tokens import Role, Tokens
from tests.chain import GWEI, Anvil
from tests.lanes import Station, steal

OLU, OTTO = (Person(name, Role.OPERATOR, "shell:root@host") for name in ("olu", "otto"))
AMOUNT = 1_000_000 * GWEI


@pytest.fixture
async def two(station: Station) -> Steering:
    """Two who operate, of whom neither made the other."""
    for name in ("olu", "otto"):
        await Tokens(station.store.link).create(name, Role.OPERATOR, "", "shell:root@host")
    return Steering(station.store, station.metrics)


async def test_a_nonce_is_used_up_by_two(station: Station, two: Steering) -> None:
    payment = station.payment("p-1")
    lanes = LaneSteering(station.store, station.metrics, two.two)
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        proposal = await lanes.cancel(sent.id, OLU, "the wrong recipient")
        assert proposal is not None
        assert (await station.transaction(0)).data.cancel == "", "nothing has changed yet"
        with pytest.raises(NotAllowed):
            await two.two.confirm(proposal.digest, OLU)
        # More is offered meanwhile: that is not what was seen.
        await lanes.bump(sent.id, "olu", "slow")
        await station.until_attempts(0, 2)
        with pytest.raises(Conflict, match="not what it was"):
            await two.two.confirm(proposal.digest, OTTO)
        again = await lanes.cancel(sent.id, OLU, "the wrong recipient")
        assert again is not None
        assert "used up by nothing" in await two.two.confirm(again.digest, OTTO)
        assert (await station.transaction(0)).data.cancel == "the wrong recipient"


async def test_what_others_paid_is_said_by_two(station: Station, two: Steering, chain: Anvil) -> None:
    station.set_policy(in_flight=1)
    first, second = station.payment("p-1"), station.payment("p-2")
    lanes, lane_id = LaneSteering(station.store, station.metrics, two.two), station.lanes.books.lane_id("ethereum")
    async with station.worker():
        await station.pay(first)
        await station.until_nonce(0, s.SENT)
        await station.pay(second)
        await steal(station, chain, nonce=0, to=second.to["address"], wei=AMOUNT)
        await chain.mine(4)
        await station.poke()
        await station.until_lane(s.HALTED)
        paid = [(await station.record(second)).id]
        proposal = await lanes.adopt(await lanes.adoption(lane_id, paid), OLU, "paid by hand")
        assert proposal is not None
        assert await station.lanes.books.lane("ethereum")
        with pytest.raises(NotAllowed):
            await two.two.confirm(proposal.digest, OLU)
        with pytest.raises(Conflict):  # what took its place would pay the second one twice
            await lanes.adopt(await lanes.adoption(lane_id, []), OTTO, "paid by hand")
        assert "goes on" in await two.two.confirm(proposal.digest, OTTO)
        await station.until_lane(s.OPEN)
        await station.until(second, s.SETTLED)
        await station.until_settled([first])


async def test_one_alone_does_it_where_nobody_else_operates(station: Station) -> None:
    payment = station.payment("p-1")
    lanes = LaneSteering(station.store, station.metrics, Steering(station.store, station.metrics).two)
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        assert await lanes.cancel(sent.id, OLU, "the wrong recipient") is None
        await station.until_attempts(0, 2)
