"""What tests of lanes stand on: a chain that mines when told, a clock that moves when told, and a lane between them."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from machines.core.clock import FixedClock
from payflow.config import Settings
from tests.chain import Anvil, anvil
from tests.lanes import Station, open_station


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines when it is told to, and is sure of a block after two epochs of one block."""
    async with anvil(mining=False, slots_in_an_epoch=1) as chain:
        yield chain


@pytest.fixture
async def station(settings: Settings, chain: Anvil, clock: FixedClock) -> AsyncIterator[Station]:
    """A lane on it, whose time moves only when the test says so."""
    async with open_station(settings, chain, clock=clock) as station:
        yield station


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep what the engine logs off the screen: most tests here make trouble on purpose."""
    with capture_logs():
        yield
