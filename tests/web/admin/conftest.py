"""What the tests of the dashboard stand on: the desk of the API's tests, and a real Chromium."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.web.admin.chromium import Chromium, chromium, started
from tests.web.admin.visitor import Visitor
from tests.web.api.conftest import flagged, front, logged, open_for_business
from tests.web.api.front import Front

__all__ = ["flagged", "front", "logged", "open_for_business"]


@pytest.fixture
async def visitor(flagged: Front) -> Visitor:
    """Somebody with a browser who is not signed in."""
    return Visitor(flagged)


@pytest.fixture(scope="session")
def chromium_address() -> Iterator[str]:
    """One Chromium for all tests; each has windows of its own."""
    with started() as address:
        yield address


@pytest.fixture
async def browser(flagged: Front, chromium_address: str) -> AsyncIterator[Chromium]:
    """A real Chromium before the desk."""
    async with chromium(flagged, chromium_address) as browser:
        yield browser
