"""What the engine's tests stand on: a store of their own, with the server's clock or one that a test moves."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from machines.core.clock import FixedClock
from payflow.engine import step
from tests.engine.office import Office, open_office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """Real time."""
    async with open_office(tmp_path / "data") as office:
        yield office


@pytest.fixture
def clock() -> FixedClock:
    """A clock that a test moves."""
    return FixedClock()


@pytest.fixture
async def still_office(tmp_path: Path, clock: FixedClock) -> AsyncIterator[Office]:
    """Time moves only when the test says so."""
    async with open_office(tmp_path / "data", clock=clock) as office:
        yield office


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again soon while sends are paused."""
    monkeypatch.setattr(step, "LOOK_AGAIN_WHEN_PAUSED_S", 0.05)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep what the engine logs off the screen: most tests here make trouble on purpose."""
    with capture_logs():
        yield
