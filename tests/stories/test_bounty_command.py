"""What an operator does with bounties at the terminal, over the installation as it ships."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.magic import Webhook
from machines.bounty import lifecycle as s
from machines.core.errors import BadInput, BadSettings, NotFound
from payflow.app.installation import assemble
from payflow.cli import bounty_work
from payflow.cli.desk import Code, Desk, Usage
from payflow.config import Settings
from payflow.store.store import open_store
from tests.bounties import Fair, open_fair


@pytest.fixture
async def fair(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties."""
    async with open_fair(settings, "multisig", tmp_path) as fair:
        yield fair


@pytest.fixture
def desk(fair: Fair) -> Desk:
    """A command that answers in JSON."""
    return Desk(fair.settings, assemble, as_json=True)


def said(capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401  (JSON)
    """What the command printed last."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


async def test_sync_finds_what_was_not_told(fair: Fair, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """And says how much there was."""
    fair.github.how = Webhook.NEVER
    issue = await fair.labelled_issue()
    assert await bounty_work.sync(desk) is Code.OK
    assert said(capsys) == {"repositories": 1, "bounties opened": 1, "bounties read": 1}
    assert (await fair.record(issue)).state == s.OPENING


async def test_ls_and_show(fair: Fair, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """By the id, or by the issue's, with the pollers by the names of the payout flow's document."""
    issue = await fair.labelled_issue()
    await bounty_work.ls(desk, finished=False)
    assert [one["issue-id"] for one in said(capsys)] == [issue.id]
    for name in (str(issue.id), fair.id_of(issue)):
        await bounty_work.show(desk, name=name)
        told = said(capsys)
        assert (told["id"], told["pollers"]) == (
            fair.id_of(issue),
            "deploy-pending-contracts, update-issue-contract-address",
        )
    for people in (False, True):
        await bounty_work.ls(Desk(fair.settings, assemble, as_json=False), finished=people)
    assert "acme/widgets#1" in capsys.readouterr().out
    with pytest.raises(NotFound):
        await bounty_work.show(desk, name="1")


async def test_decide(fair: Fair, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
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
        await bounty_work.decide(desk, name=str(issue.id), number=77)
    await bounty_work.decide(desk, name=str(issue.id), number=second.number)
    assert said(capsys)["winner-login"] == "bob"
    with pytest.raises(BadInput, match="cannot be done now"):
        await bounty_work.decide(desk, name=str(issue.id), number=second.number)


async def test_without_bounties_it_says_what_to_set(settings: Settings) -> None:
    """And with half of it, what is missing."""
    async with open_store(settings):
        pass  # a command makes no store
    with pytest.raises(BadSettings, match="GITHUB_APP_ID"):
        await bounty_work.sync(Desk(settings, assemble, as_json=True))
    half = settings.model_copy(update={"bounty_lane": "bot"})
    with pytest.raises(BadSettings, match="GITHUB_PRIVATE_KEY_FILE"):
        await bounty_work.sync(Desk(half, assemble, as_json=True))
