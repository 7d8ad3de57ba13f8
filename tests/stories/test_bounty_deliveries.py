"""GitHub's deliveries come twice, out of order, or not at all: the end is the same."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.sandbox.courier import WebhookDelivery
from adapters.sandbox.magic import Webhook
from machines.bounty import lifecycle as s
from machines.bounty.data import BountyRecord
from machines.core.errors import NotFound
from payflow.config import Settings
from payflow.desk.bounties.bounties import sweep_forge
from tests.bounties import ANN, Fair, open_fair


@pytest.fixture
async def fair(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties, with the cheaper kind of wallet to make."""
    async with open_fair(settings, "multisig", tmp_path) as fair:
        yield fair


async def deliver(fair: Fair, delivery: WebhookDelivery) -> int:
    """Bring a delivery; gives the status of the answer."""
    headers = {"Content-Type": "application/json", **delivery.headers}
    async with fair.session.post(fair.github.courier.url, data=delivery.body, headers=headers) as answer:
        return answer.status


async def caught(fair: Fair) -> list[WebhookDelivery]:
    """Everything that happens at GitHub on the way to a merge, with no delivery made; gives what would be told."""
    gathered: list[WebhookDelivery] = []
    post = fair.github.courier.post

    def catch(body: bytes, headers: dict[str, str], how: Webhook = Webhook.ONCE) -> None:
        gathered.append(WebhookDelivery(len(gathered), body, headers))

    fair.github.courier.post = catch  # type: ignore[method-assign,assignment]
    issue = await fair.labelled_issue()
    pull = await fair.pull_for(issue)
    await fair.at_github(fair.github.edit_pull, fair.home, pull, f"Fixes #{issue.number}, really")
    await fair.merge(pull, issue)
    fair.github.courier.post = post  # type: ignore[method-assign]
    return gathered


async def winner(fair: Fair) -> BountyRecord:
    """The bounty, once it has one."""
    (issue,) = fair.home.issues.values()
    return await fair.until(issue, s.CONFIRMABLE)


async def finish(fair: Fair) -> BountyRecord:
    """Fund, and let the bot do its part; gives the bounty that a maintainer could confirm."""
    (issue,) = fair.home.issues.values()
    await fair.proves("ann", ANN)
    await fair.until(issue, that=lambda record: bool(record.data.contract_address))
    await fair.funds(issue)
    return await winner(fair)


async def test_every_order_of_deliveries_leads_to_the_same_end(fair: Fair) -> None:
    """A dozen orders, each delivery under a new id so that it is read every time."""
    told = await caught(fair)
    assert len(told) == 6
    (issue,) = fair.home.issues.values()
    ends = set()
    fresh = itertools.count()
    for order in itertools.islice(itertools.permutations(told), 0, 720, 60):
        for one in order:
            headers = fair.github.signed(one.headers["X-GitHub-Event"], one.body, f"again-{next(fresh)}")
            assert await deliver(fair, WebhookDelivery(0, one.body, headers)) == 200
        data = (await fair.record(issue)).data
        ends.add((tuple((claim.number, claim.state) for claim in data.claims), data.issue_open))
    assert ends == {(((2, 1),), False)}
    async with fair.worker():
        record = await finish(fair)
    assert (record.data.winner_login, len(record.data.claims)) == ("ann", 1)
    assert [receipt.ok for receipt in await fair.sent_by_bot()] == [True, True]


async def test_out_of_order_without_the_memory_of_deliveries(fair: Fair) -> None:
    """The newest first, each under a new id, as a replay by hand would bring them."""
    told = await caught(fair)
    for number, one in enumerate([*reversed(told), *told]):
        body = json.loads(one.body)
        kind = one.headers["X-GitHub-Event"]
        again = fair.github.signed(kind, one.body, f"replayed-{number}")
        assert body
        assert await deliver(fair, WebhookDelivery(number, one.body, again)) == 200
    async with fair.worker():
        record = await finish(fair)
    assert (record.data.winner_login, record.data.issue_open) == ("ann", False)
    assert [receipt.ok for receipt in await fair.sent_by_bot()] == [True, True]


async def test_twice_at_once(fair: Fair) -> None:
    """Two processes take in the same delivery at the same moment."""
    told = await caught(fair)
    for one in told:
        assert await asyncio.gather(*(deliver(fair, one) for _ in range(4))) == [200] * 4
    async with fair.worker():
        record = await finish(fair)
    assert record.data.winner_login == "ann"
    assert [receipt.ok for receipt in await fair.sent_by_bot()] == [True, True]


async def test_not_at_all_and_then_a_sweep(fair: Fair) -> None:
    """Nothing is known of the bounty until somebody sweeps; then all of it is."""
    await caught(fair)
    (issue,) = fair.home.issues.values()
    with pytest.raises(NotFound):
        await fair.record(issue)
    desk = fair.bounties.desk
    # What was labelled, merged and closed while nobody listened is not made a bounty after the fact.
    assert await sweep_forge(desk) == {"repositories": 1, "bounties opened": 0, "bounties read": 0}
    await fair.at_github(fair.github.reopen_issue, fair.home, issue)
    async with fair.worker():
        await fair.proves("ann", ANN)
        await fair.until(issue, that=lambda record: bool(record.data.contract_address))
        await fair.funds(issue)
        # It was opened again after the merge: whether that work is to be paid is for a maintainer to say.
        record = await fair.until(issue, s.MERGED, that=lambda one: bool(one.data.hand_wanted))
        await fair.says("mia", "POST", f"/api/user/bounty/{issue.id}/agree", {"about": record.data.question})
        record = await winner(fair)
    assert record.data.winner_login == "ann"


async def test_only_the_merge_is_lost_and_then_a_sweep(fair: Fair) -> None:
    """The old one's pull requests stayed open for ever in its books."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.proves("ann", ANN)
        pull = await fair.pull_for(issue)
        fair.github.how = Webhook.NEVER
        await fair.merge(pull, issue)
        assert (await fair.until(issue, s.OPEN)).data.issue_open
        told = await sweep_forge(fair.bounties.desk)
        assert told == {"repositories": 1, "bounties opened": 0, "bounties read": 1}
        record = await winner(fair)
    assert (record.data.winner_login, record.data.issue_open) == ("ann", False)


async def test_a_sweep_finds_labels_names_and_what_was_taken_away(fair: Fair) -> None:
    """Repositories that were renamed, added or taken away while nobody listened."""
    fair.github.how = Webhook.NEVER
    issue = await fair.labelled_issue()
    other = fair.github.install("acme/gadgets", mia="admin")
    fair.github.rename(fair.home, "acme/wonders")
    desk = fair.bounties.desk
    assert await sweep_forge(desk) == {"repositories": 2, "bounties opened": 1, "bounties read": 1}
    assert (await fair.record(issue)).data.place.name == "acme/wonders"
    assert {one.data.name for one in await desk.repositories()} == {"acme/wonders", "acme/gadgets"}
    del fair.github.town.repositories[other.id]
    await sweep_forge(desk)
    assert {one.data.name for one in await desk.repositories()} == {"acme/wonders"}


async def test_a_worker_sweeps_by_itself_in_its_turn(fair: Fair) -> None:
    """Nobody has to set a timer; of all processes one does it, once in so many hours."""
    fair.github.how = Webhook.NEVER
    issue = await fair.labelled_issue()
    told = [await fair.bounties.sweep_in_turn() for _ in range(3)]
    assert told == [{"repositories": 1, "bounties opened": 1, "bounties read": 1}, None, None]
    assert (await fair.record(issue)).data.labelled_at


async def test_one_repository_that_is_closed_to_us_hides_no_other(fair: Fair) -> None:
    """Its answer is a refusal, not an end."""
    fair.github.how = Webhook.NEVER
    issue = await fair.labelled_issue()
    other = fair.github.install("acme/aaa", mia="admin")
    other.blocked = True
    fair.github.town.repositories = {one.id: one for one in (other, fair.home)}
    told = await sweep_forge(fair.bounties.desk)
    assert told["bounties opened"] == 1
    assert (await fair.record(issue)).state == s.OPENING


async def test_what_is_paid_asks_github_nothing_any_more(settings: Settings, tmp_path: Path) -> None:
    """There are more of those every day: reading each for ever would use up what GitHub allows."""
    async with open_fair(settings, "multisig", tmp_path, bounty_sweep_hours=1e-6) as fair, fair.worker():
        issue = await fair.confirmable_issue()
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)
        await fair.until_comment(issue, "Paid to: ann")
        asked = len(fair.github.server.calls)
        await fair.funds(issue, 0.1)
        await fair.until(issue, s.PAID, that=lambda one: bool(one.data.holdings))
        assert len(fair.github.server.calls) == asked


async def test_a_merged_author_does_not_write_himself_into_a_later_bounty(fair: Fair) -> None:
    """He edits what was merged long ago, or after the label: told of it, or found by a sweep, he wins nothing by it."""
    old = await fair.at_github(fair.github.open_pull, fair.home, "eve", "Old work")
    await fair.merge(old)
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        new = await fair.at_github(fair.github.open_pull, fair.home, "eve", "Other work")
        await fair.merge(new)
        fair.ticks.advance(3600)
        for pull in (old, new):
            await fair.at_github(fair.github.edit_pull, fair.home, pull, f"Closes #{issue.number}")
        assert (await fair.record(issue)).data.claims == ()
        await sweep_forge(fair.bounties.desk)
        record = await fair.until(issue, s.CONTESTED)
    assert (record.data.winner_login, "before this was a bounty" in record.data.banners[0]) == ("", True)


async def test_a_pull_request_older_than_the_label(fair: Fair) -> None:
    """The first look reads what was there before anybody called it a bounty."""
    issue = await fair.at_github(fair.github.open_issue, fair.home, "It hurts")
    await fair.pull_for(issue)
    await fair.at_github(fair.github.label, fair.home, issue)
    async with fair.worker():
        record = await fair.until(issue, s.OPEN)
    assert [claim.author for claim in record.data.claims] == ["ann"]
