"""The town in which the stories happen."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from payflow.config import Settings
from tests.stories.town import Town, open_town


@pytest.fixture
async def sunday_town(settings: Settings) -> AsyncIterator[Town]:
    """The town without a worker: nothing moves by itself."""
    async with open_town(settings) as town:
        yield town


@pytest.fixture
async def town(sunday_town: Town) -> AsyncIterator[Town]:
    """A payments desk in the morning: the store is empty, Ann is verified, the next batch opens at ten."""
    async with sunday_town.worker():
        yield sunday_town


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log off the screen: most stories are about trouble."""
    with capture_logs():
        yield
