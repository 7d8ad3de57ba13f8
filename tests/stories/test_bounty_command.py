"""What an operator does with bounties at the terminal, over the installation as it ships."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.magic import Webhook
from machines.bounty import lifecycle as s
from machines.core.errors import BadInput, BadSettings, NotFound
from payflow.app.installation import Payflow, assemble
from payflow.cli import bounties
from payflow.cli.terminal import Terminal, Usage
from payflow.config import Settings
from payflow.store.store import open_store
from tests.bounties import Fair, open_fair


@pytest.fixture
async def fair(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties."""
    async with open_fair(settings, "multisig", tmp_path) as fair:
        yield fair


def terminal_of(settings: Settings, *, as_json: bool = True) -> Terminal:
    """A command at work."""
    return Terminal(lambda: settings, assemble, as_json)


@pytest.fixture
def terminal(fair: Fair) -> Terminal:
    """A command that answers in JSON."""
    return terminal_of(fair.settings)


@pytest.fixture
async def payflow(terminal: Terminal) -> AsyncIterator[Payflow]:
    """What it has opened."""
    async with terminal.open() as payflow:
        yield payflow


def said(capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401  (JSON)
    """What the command printed last."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


async def test_sync_finds_what_was_not_told(
    fair: Fair, terminal: Terminal, payflow: Payflow, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says how much there was."""
    fair.github.how = Webhook.NEVER
    issue = await fair.labelled_issue()
    await bounties.sync(terminal, payflow)
    assert said(capsys) == {"repositories": 1, "bounties opened": 1, "bounties read": 1}
    assert (await fair.record(issue)).state == s.OPENING


async def test_ls_and_show(
    fair: Fair, terminal: Terminal, payflow: Payflow, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the id, or by the issue's, with the pollers by the names of the payout flow's document."""
    issue = await fair.labelled_issue()
    await bounties.ls(terminal, payflow, finished=False)
    assert [one["issue-id"] for one in said(capsys)] == [issue.id]
    for name in (str(issue.id), fair.id_of(issue)):
        await bounties.show(terminal, payflow, name)
        told = said(capsys)
        assert (told["id"], told["pollers"]) == (
            fair.id_of(issue),
            "deploy-pending-contracts, update-issue-contract-address",
        )
    for people in (False, True):
        await bounties.ls(terminal_of(fair.settings, as_json=False), payflow, finished=people)
    assert "acme/widgets#1" in capsys.readouterr().out
    with pytest.raises(NotFound):
        await bounties.show(terminal, payflow, "1")


async def test_decide(fair: Fair, terminal: Terminal, payflow: Payflow, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is contested, and only for who was merged."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        first, second = await fair.pull_for(issue), await fair.pull_for(issue, author="bob")
        await fair.merge(first)
        await fair.until(issue, s.AWAITING_ADDRESS)
        await fair.merge(second)
        await fair.until(issue, s.CONTESTED)
    with pytest.raises(Usage):
        await bounties.decide(terminal, payflow, str(issue.id), pull=77)
    await bounties.decide(terminal, payflow, str(issue.id), pull=second.number)
    assert said(capsys)["winner-login"] == "bob"
    with pytest.raises(BadInput, match="cannot be done now"):
        await bounties.decide(terminal, payflow, str(issue.id), pull=second.number)


async def test_without_bounties_it_says_what_to_set(settings: Settings) -> None:
    """And with half of it, what is missing."""
    async with open_store(settings):
        pass  # a command makes no store
    with pytest.raises(BadSettings, match="GITHUB_APP_ID"):
        async with terminal_of(settings).open() as payflow:
            await bounties.sync(terminal_of(settings), payflow)
    half = settings.model_copy(update={"bounty_lane": "bot"})
    with pytest.raises(BadSettings, match="GITHUB_PRIVATE_KEY_FILE"):
        async with terminal_of(half).open() as payflow:
            await bounties.sync(terminal_of(half), payflow)
