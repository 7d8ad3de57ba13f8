"""What tests share: real servers, a store on them that starts empty, a clock that obeys, a rail that remembers."""

import os
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings as hypothesis_settings

from machines.core.clock import FixedClock
from payflow.config import Settings
from payflow.store.store import Store
from payflow.telemetry import logs
from tests.desk import FakeRail, opened, settings_for
from tests.keycheck import unlisted
from tests.servers import Deployment, Farm, Kind, flush, types

# How long an example takes tells how busy the machine is, and nothing else.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")


ENVIRONMENT = pytest.StashKey[dict[str, str]]()


@pytest.hookimpl(tryfirst=True)  # a test that is skipped is torn down too
def pytest_configure() -> None:
    """Started in the background, a suite would hand an ignored SIGINT on to every process that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember the environment, which the processes of later tests inherit."""
    item.stash[ENVIRONMENT] = _environment()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """A test that leaves a variable behind fails, and not one that comes after it."""
    result = yield
    # One that was skipped has found nothing, and left nothing.
    if (left := _environment()) != (found := item.stash.get(ENVIRONMENT, left)):
        os.environ.clear()
        os.environ.update(found)
        pytest.fail(f"this test left another environment than it found: {sorted(left.items() ^ found.items())}")
    return result


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loggers keep what they were first configured with: no test may do that to those that come after it."""
    monkeypatch.setattr(logs, "configure", lambda level, style: None)
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def farm() -> Iterator[Farm]:
    """Servers that live as long as the session; nothing of them is left afterwards."""
    with Farm() as farm:
        yield farm


@pytest.fixture
def own() -> Iterator[Farm]:
    """Servers for one test alone, to be mistreated."""
    with Farm() as farm:
        yield farm


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    """Which store: the newest Valkey, unless the test is parametrised."""
    return getattr(request, "param", Kind.VALKEY)


@pytest.fixture
def server(farm: Farm, kind: Kind) -> Iterator[Deployment]:
    """An empty store. A test that leaves a key which no list names fails."""
    deployment = farm.shared(kind)
    yield deployment
    left = types(deployment)
    flush(deployment)
    assert not unlisted(left), "keys that payflow/store/keys.py does not list, or with another type"


@pytest.fixture
def settings(server: Deployment, tmp_path: Path) -> Settings:
    """Settings that lead to the empty store."""
    return settings_for(server, tmp_path / "data")


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still until it is told to go."""
    return FixedClock()


@pytest.fixture
def rail() -> FakeRail:
    """A rail that counts what it pays."""
    return FakeRail()


@pytest.fixture
async def store(settings: Settings, clock: FixedClock, rail: FakeRail) -> AsyncIterator[Store]:
    """The store of the sample machine, empty, with a clock that obeys."""
    async with opened(settings, clock=clock, rail=rail) as store:
        yield store
