"""The story of a bounty with a worker that is killed at every one of its commits: all the same, each thing once."""

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from machines.bounty import lifecycle as s
from payflow.config import Settings
from tests.bounties import ANN, Fair, Kind, open_fair
from tests.chain import ETHER


class Lives:
    """One worker after the other, each of which dies at a commit."""

    def __init__(self, when: str, nth: int) -> None:
        self.order = f"{when} {nth}\n".encode()
        self.deaths = 0
        self.pid = 0
        self.over = False

    async def go_on(self, nursery: asyncio.subprocess.Process) -> None:
        """Start one whenever one has died."""
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        while not self.over:
            nursery.stdin.write(self.order)
            self.pid = int(await nursery.stdout.readline())
            assert await nursery.stdout.readline() == b"died\n"
            self.deaths += 1


@asynccontextmanager
async def dying(fair: Fair, folder: Path, when: str, nth: int) -> AsyncIterator[Lives]:
    """Let such workers work for as long as the block runs."""
    file = folder / "settings"
    file.write_bytes(pickle.dumps(fair.settings.model_dump()))
    nursery = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bounty_nursery",
        str(file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    lives = Lives(when, nth)
    running = asyncio.create_task(lives.go_on(nursery))
    try:
        yield lives
    finally:
        lives.over = True
        running.cancel()
        with suppress(ProcessLookupError):
            os.kill(lives.pid, signal.SIGKILL)
        nursery.kill()
        await nursery.wait()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("kind", "when", "nth"), [("safe", "after", 1), ("multisig", "before", 2)], ids=["behind-each", "before-each"]
)
async def test_killed_at_every_commit(settings: Settings, tmp_path: Path, kind: Kind, when: str, nth: int) -> None:
    """Behind each commit its answer is lost; before it all that the look did is done and not written."""
    async with open_fair(settings, kind, tmp_path, lease_s=1.0) as fair, dying(fair, tmp_path, when, nth) as lives:
        fair.patience_s = 150
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue, 0.5, units=1_000_000)
        await fair.proves("ann", ANN)
        before = await fair.chain.balance(ANN.address)
        await fair.merge(await fair.pull_for(issue), issue)
        await fair.until(issue, s.CONFIRMABLE)
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)
        await fair.until_comment(issue, "Paid to: ann")

        assert await fair.chain.balance(ANN.address) - before == ETHER // 2
        assert await fair.hands.balance(fair.token, ANN.address) == 1_000_000
        assert [receipt.ok for receipt in await fair.sent_by_bot()] == [True, True], "one deploy, one approval"
        assert fair.comment(issue).edits >= 1
        assert lives.deaths > 10, f"only {lives.deaths} deaths"
