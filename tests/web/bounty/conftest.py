"""What the tests of the bounties' pages stand on: the fair, and a real Chromium."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from payflow.config import Settings
from tests.bounties import Fair, open_fair
from tests.web.admin.chromium import Chromium, chromium, started


@pytest.fixture
async def fair(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties."""
    async with open_fair(settings, "safe", tmp_path) as fair:
        yield fair


@pytest.fixture(scope="module")
def chromium_address() -> Iterator[str]:
    """One Chromium for the tests of a module."""
    with started() as address:
        yield address


@pytest.fixture
async def browser(fair: Fair, chromium_address: str) -> AsyncIterator[Chromium]:
    """Its windows for one test."""
    async with chromium(fair, chromium_address) as browser:  # type: ignore[arg-type]  # only the address is asked for
        yield browser
