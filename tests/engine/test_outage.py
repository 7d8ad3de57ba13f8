"""The store goes away and comes back: the worker lives on, and all is as if nothing had happened."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from machines.core.facts import Fact
from machines.core.ports import Payment, Step
from machines.core.record import Record
from payflow.engine import worker as worker_module
from payflow.store.embedded import embedded
from payflow.store.link import Link
from payflow.store.stored import Claimed, Queue
from tests.engine.office import Gate, Office, open_office
from tests.errand import Approved, ErrandData
from tests.waiting import wait_until


@contextmanager
def impatience() -> Iterator[None]:
    """Wait for an answer of the store for half a second, not for ten."""
    errors = Link.errors

    def impatient(link: Link, within_s: float | None = 0.5) -> AbstractAsyncContextManager[None]:
        return errors(link, within_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Link, "errors", impatient)
        yield


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back soon after trouble."""
    monkeypatch.setattr(worker_module, "AFTER_TROUBLE_S", 0.05)


def server_of(office: Office) -> int:
    """Tell which process serves the office."""
    return int((office.folder / "server.pid").read_text())


async def test_a_store_that_stood_still_is_caught_up_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls time out, and what they wrote nevertheless is found."""
    async with open_office(tmp_path / "data", lease_s=1) as office, AsyncExitStack() as stack:
        ids = await office.ask(200)
        asked, claim = Gate(), office.store.records.claim

        async def counted(queues: Sequence[Queue]) -> list[Claimed]:
            asked.came += 1
            return await claim(queues)

        monkeypatch.setattr(office.store.records, "claim", counted)
        with impatience():
            await stack.enter_async_context(office.worker())
            await wait_until(lambda: len(office.rail.submits) > 10, description="it is in the middle of it")
            with standing_still(office):
                await asked.reached(asked.came + 3)  # so the first ones timed out
        await office.until_all(ids, "DONE")
        await stack.aclose()
        assert office.rail.submits == dict.fromkeys(ids, 1)


@contextmanager
def standing_still(office: Office) -> Iterator[None]:
    """Stop the server for a while."""
    os.kill(server_of(office), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server_of(office), signal.SIGCONT)


async def test_a_store_that_was_killed_and_started_again_has_everything(tmp_path: Path) -> None:
    async with open_office(tmp_path / "data", lease_s=1) as office:
        ids = await office.ask(200)
        async with office.worker():
            for part in (10, 80):
                await wait_until(lambda part=part: len(office.rail.submits) > part, description=f"{part} are sent")  # type: ignore[misc]
                await kill_and_restart(office)
            await office.until_all(ids, "DONE")
        assert office.rail.submits == dict.fromkeys(ids, 1)
        assert office.store.guard.alarms == {}
        assert await office.store.pauses.all() == {}


async def kill_and_restart(office: Office) -> None:
    pid = server_of(office)
    os.kill(pid, signal.SIGKILL)

    async def another_serves() -> bool:
        async with embedded(office.folder) as store:  # who enters starts it; it stays, because the office uses it too
            return store.pid != pid

    await wait_until(another_serves, description="the store is served again")


async def test_a_worker_that_stops_while_the_store_is_away_stops(tmp_path: Path) -> None:
    async with open_office(tmp_path / "data", lease_s=1) as office:
        gate = Gate()

        async def act(record: Record[ErrandData], step: Step) -> Fact:
            await gate.pass_through()
            return Approved()

        approve, office.acts["ASKED"] = office.acts["ASKED"], act
        ids = await office.ask(5)
        async with AsyncExitStack() as stack:
            with impatience():
                await stack.enter_async_context(office.worker(grace_s=0.2))
                await gate.reached(5)
                with standing_still(office):
                    await stack.aclose()
        office.acts["ASKED"] = approve
        async with office.worker("second"):
            await office.until_all(ids, "DONE")


async def test_a_send_is_not_made_while_the_store_is_away(tmp_path: Path) -> None:
    async with open_office(tmp_path / "data", lease_s=1) as office:
        gate = Gate()
        status = office.rail.status

        async def slow(payment: Payment) -> object:
            answer = await status(payment)
            await gate.pass_through()
            return answer

        office.rail.status = slow  # type: ignore[method-assign,assignment]
        (record_id,) = await office.ask()
        async with AsyncExitStack() as stack:
            with impatience():
                await stack.enter_async_context(office.worker())
                await gate.reached()
                with standing_still(office):
                    gate.open()
                    await wait_until(lambda: looks(office) >= 3, description="the look at SENDING is over")
                    assert office.rail.submits == {}
            await office.until(record_id, "DONE")


def looks(office: Office) -> float:
    """Count the looks that are over."""
    return sum(
        office.sample("payflow_act_seconds_count", machine="errand", state=state)
        for state in ("ASKED", "READY", "SENDING")
    )


@pytest.fixture(autouse=True)
def no_server_left(tmp_path: Path) -> Iterator[None]:
    """End a server that a failed test left standing still."""
    yield
    for file in tmp_path.glob("*/server.pid"):
        try:
            os.kill(int(file.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            continue
