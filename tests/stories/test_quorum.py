"""Several nodes: too few answer, two people let one node's word count for a time, and then it does so no more."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from machines.core.clock import FixedClock
from machines.core.errors import NotAllowed
from machines.core.ports import Pending, Settled
from machines.transaction import lifecycle as s
from payflow.config import Settings
from payflow.desk.lane_steering import propose_trust
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.store.registers.tokens import Role
from tests.chain import LANE, Anvil, anvil
from tests.chainproxy import ChainProxy
from tests.lanes import Station, open_station
from tests.stories.test_ethereum_payout import House

ADA, EVE = Person("ada", Role.OPERATOR, "boss"), Person("eve", Role.OPERATOR, "boss")


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines when it is told to."""
    async with anvil(mining=False) as chain:
        yield chain


@pytest.fixture
async def good(chain: Anvil) -> AsyncIterator[ChainProxy]:
    """A node that always answers."""
    async with ChainProxy(chain.url) as proxy:
        yield proxy


@pytest.fixture
async def bad(chain: Anvil) -> AsyncIterator[ChainProxy]:
    """A node that a test makes ill."""
    async with ChainProxy(chain.url) as proxy:
        yield proxy


@pytest.fixture
async def station(
    settings: Settings, chain: Anvil, clock: FixedClock, good: ChainProxy, bad: ChainProxy
) -> AsyncIterator[Station]:
    """A lane with both."""
    async with open_station(settings, chain, urls=[good.url, bad.url], clock=clock) as station:
        yield station


def name_of(proxy: ChainProxy) -> str:
    return proxy.url.removeprefix("http://")


async def mined(station: Station, chain: Anvil, tick: Callable[[], None]) -> None:
    """Let blocks come, and everything be looked at."""
    for _ in range(4):
        await chain.mine(2)
        tick()
        await station.settle_down()


async def test_trust_in_one_node_takes_two_people_and_ends_by_itself(
    station: Station, chain: Anvil, clock: FixedClock, good: ChainProxy, bad: ChainProxy
) -> None:
    steering = Steering(station.store, station.metrics)
    first, second = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(first)
        await station.until_nonce(0, s.SENT)
        bad.outage = True
        await mined(station, chain, lambda: clock.advance(5))
        assert isinstance(await station.status(first), Pending), "one of two decides nothing"
        assert station.nodes.without_quorum

        proposal = await propose_trust(steering.two, "ethereum", name_of(good), 6, "the other is down", ADA)
        with pytest.raises(NotAllowed):
            await steering.two.confirm(proposal.digest, ADA)
        await mined(station, chain, lambda: clock.advance(5))
        assert isinstance(await station.status(first), Pending), "one person decides nothing either"
        await steering.two.confirm(proposal.digest, EVE)
        await station.until_all([first], s.SETTLED, each=lambda: clock.advance(5))

        clock.advance(6 * 3600)
        await station.pay(second)
        await station.until_nonce(1, s.SENT)
        await mined(station, chain, lambda: clock.advance(5))
        assert isinstance(await station.status(second), Pending), "the trust has ended"
        bad.outage = False
        await station.until_all([second], s.SETTLED, each=lambda: clock.advance(5))
    assert isinstance(await station.status(first), Settled)
    (said,) = [why for why in await station.whys(station.lanes.books.lane_id("ethereum")) if "counts alone" in why]
    assert "ada and eve" in said
    assert "the other is down" in said


async def test_the_command_line_proposes_and_confirms_it_and_the_doctor_says_how_many_agree(
    tmp_path: Path, good: ChainProxy, bad: ChainProxy
) -> None:
    key = tmp_path / "lane.key"
    key.write_text(LANE.key)
    key.chmod(0o600)
    lane = {"rpc": [good.url, bad.url], "chain_id": 31337, "key_file": str(key), "address": LANE.address}
    settings = {"PAYFLOW_LANES": json.dumps({"ethereum": lane}), "PAYFLOW_DEVELOPMENT": "true"}
    house = House(tmp_path, settings)
    await house.run("init")
    checks = (await house.run("doctor"))["checks"]
    (found,) = [one["finding"] for one in checks if one["name"] == "lane ethereum"]
    assert "2 of its 2 nodes must agree, and do" in found
    assert "held against the headers" in found

    ada, eve = await house.token("ada", "--role", "operator"), await house.token("eve", "--role", "operator")
    trust = ("lane", "trust", name_of(good), "--for", "6h", "--reason", "the other is down")
    told = await House(tmp_path, {**house.settings, "PAYFLOW_TOKEN": ada}).run(*trust)
    assert (told["lane"], told["hours"]) == ("ethereum", 6)
    await House(tmp_path, {**house.settings, "PAYFLOW_TOKEN": eve}).run("confirm", told["proposal"], "--yes")
    story = json.dumps(await house.run("lane", "show", "ethereum"))
    assert name_of(good) in story
