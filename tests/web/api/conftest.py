"""What the tests of the API stand on."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from machines.payout.risk import ProviderHistory
from payflow.config import Settings
from tests.web.api.front import Front, open_front


@pytest.fixture
async def front(settings: Settings) -> AsyncIterator[Front]:
    """The API on an empty store, with no worker."""
    async with open_front(settings) as front:
        yield front


@pytest.fixture
async def open_for_business(front: Front) -> AsyncIterator[Front]:
    """The API with a worker behind it, and Ann with ₦1,000."""
    await front.earn("1000")
    async with front.working():
        yield front


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[dict[str, object]]]:
    """Keep the log off the screen; a test may read it."""
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]


@pytest.fixture
async def flagged(open_for_business: Front) -> Front:
    """A desk at which Ann is unknown, so that people must look at what she asks for."""
    open_for_business.known.standing_of_all = ProviderHistory()
    return open_for_business
