"""Whatever goes wrong is a sentence on Manage Payouts, for whom it concerns."""

import html

import pytest

from adapters.sandbox.github.town import Issue
from machines.bounty import lifecycle as s
from machines.core.errors import PayflowError
from machines.core.forge import PullState
from payflow.desk.bounties.bounties import sweep_forge
from payflow.desk.person import Caller
from payflow.store.registers.tokens import Role
from tests.bounties import ANN, BOT, MIA, Fair
from tests.chain import ETHER
from tests.waiting import wait_until


async def page_of(fair: Fair, who: str) -> str:
    """What somebody reads."""
    signing_in = {"token": await fair.token_of(who)}
    async with fair.session.post(fair.address + "/bounties/sign-in", data=signing_in, allow_redirects=False) as answer:
        cookie = answer.cookies["payflow_bounties"].value
    headers = {"Cookie": f"payflow_bounties={cookie}"}
    async with fair.session.get(fair.address + "/bounties", headers=headers) as answer:
        assert answer.status == 200
        return html.unescape(await answer.text())


async def test_what_stands_in_the_way_before_anything_is_won(fair: Fair) -> None:
    """No gas, no label, no issue."""
    await fair.chain.set_balance(BOT.address, 1000)
    async with fair.worker():
        issue = await fair.labelled_issue()
        record = await fair.until(issue, s.OPENING, that=lambda one: BOT.address in one.data.waiting_for)
        assert f"Waits for {record.data.waiting_for}" in await page_of(fair, "mia")
        await fair.chain.set_balance(BOT.address, 10 * ETHER)
        fair.patience_s = 60
        await fair.until(issue, s.OPEN)
        await fair.at_github(fair.github.unlabel, fair.home, issue)
        await fair.until(issue, s.CLOSED)
        assert "The label was taken off." in await page_of(fair, "mia")
        await fair.at_github(fair.github.label, fair.home, issue)
        await fair.at_github(fair.github.close_issue, fair.home, issue)
        await fair.until(issue, s.CLOSED)
        assert "The issue was closed without a merge." in await page_of(fair, "mia")
        await fair.at_github(fair.github.delete_issue, fair.home, issue)
        assert "The issue was deleted." in await page_of(fair, "mia")


async def test_what_to_do_next_where_nobody_has_proven_an_address(fair: Fair) -> None:
    """Right after the label, to those who maintain the repository and to those who work here."""
    other = fair.github.install("acme/gadgets", mia="admin")
    await fair.github.catch_up()
    fair.home = other
    async with fair.worker():
        issue = await fair.labelled_issue()
        await wait_until(lambda: known(fair, issue), "it says what it waits for", 5)
    for who in ("mia", "vic"):
        assert "who proves his address: a maintainer of acme/gadgets does so on this page" in await page_of(fair, who)
    assert "Nobody yet: no wallet is made before somebody proves an address." in await page_of(fair, "mia")


async def test_who_maintains_no_more_owns_no_wallet_that_is_made(fair: Fair) -> None:
    """Whether GitHub took the right from him, or a maintainer took him off."""
    moe = fair.github.town.person("moe").id
    fair.home.roles[moe] = "maintain"
    await fair.proves("moe", ANN, owner=True)
    assert "Take moe off" in await page_of(fair, "mia")
    fair.home.roles[moe] = "write"
    async with fair.worker():
        issue = await fair.labelled_issue()
        record = await fair.until(issue, s.OPEN)
    assert [hand.login for hand in record.data.hands] == ["mia"]

    fair.home.roles[moe] = "maintain"
    desk = fair.bounties.desk
    with pytest.raises(PayflowError, match="Only who maintains"):
        await desk.remove_owner(Caller("eve", Role.PROVIDER, "github:1"), fair.home.id, moe)
    mia = Caller("mia", Role.PROVIDER, f"github:{fair.github.town.person('mia').id}")
    await desk.remove_owner(mia, fair.home.id, moe)
    assert "Take moe off" not in await page_of(fair, "mia")


async def known(fair: Fair, issue: Issue) -> bool:
    """Whether the bounty says what it waits for, without being asked to look again."""
    return bool((await fair.record(issue)).data.waiting_for)


async def test_what_stands_in_the_way_of_a_payment(fair: Fair) -> None:
    """No money, a hash of nothing, a later merge, an app that was taken away."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.proves("ann", ANN)
        await fair.merge(await fair.pull_for(issue), issue)
        await fair.until(issue, s.MERGED, that=lambda one: bool(one.data.waiting_for))
        assert "Waits for somebody to fund it" in await page_of(fair, "mia")
        await fair.funds(issue)
        await fair.until(issue, s.CONFIRMABLE)
        tx = await fair.chain.rpc("eth_sendTransaction", {"from": MIA.address, "to": ANN.address, "value": "0x1"})
        await fair.says("mia", "POST", f"/api/user/bounty/{issue.id}/payout", {"payout-hash": tx})
        await fair.until(issue, s.CONFIRMABLE, that=lambda one: bool(one.data.trouble))
        assert "paid nothing: the transaction does not speak of this payment" in await page_of(fair, "mia")
        await fair.merge(await fair.pull_for(issue, author="bob"))
        assert "of bob was merged too, later." in await page_of(fair, "mia")

        # Handed on to whom the app is a stranger: GitHub tells nothing, and a sweep finds it gone.
        home = fair.github.town.repositories.pop(fair.home.id)
        await sweep_forge(fair.bounties.desk)
        for who in ("ann", "vic"):
            assert "The GitHub App is not installed in acme/widgets any more" in await page_of(fair, who)
        fair.github.town.repositories[home.id] = home
        fair.github.rename(home, "others/widgets")
        await fair.github.catch_up()
        seen = await page_of(fair, "mia")
        assert "is not installed" not in seen
        assert "others/widgets" in seen
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)


async def test_a_claim_that_was_changed_after_its_merge(fair: Fair) -> None:
    """A person is asked, and may say that nobody has won yet."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        pull = await fair.at_github(fair.github.open_pull, fair.home, "eve", "Other work")
        await fair.merge(pull)
        fair.ticks.advance(3600)
        await fair.at_github(fair.github.edit_pull, fair.home, pull, f"Closes #{issue.number}")
        await sweep_forge(fair.bounties.desk)
        record = await fair.until(issue, s.CONTESTED)
        assert [claim.state for claim in record.data.claims] == [PullState.MERGED]
        seen = await page_of(fair, "olu")
        assert "was changed after its merge" in seen
        assert "nobody yet: it goes on" in seen
        desk = fair.bounties.desk
        await desk.decide(str(issue.id), "olu", 0)
        assert (await fair.record(issue)).state == s.OPEN


async def test_no_two_sweeps_of_one_wallet_at_once(fair: Fair) -> None:
    """Clicked twice, what came in later is prepared once."""
    async with fair.worker():
        issue = await fair.confirmable_issue()
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)
        await fair.funds(issue, 0.1)
        await fair.until(issue, s.PAID, that=lambda one: bool(one.data.holdings))
    assert "Pay out 0.1 ETH that came in later" in await page_of(fair, "mia")
    desk = fair.bounties.desk
    mia = Caller("mia", Role.PROVIDER, f"github:{fair.github.town.person('mia').id}")
    await desk.sweep(str(issue.id), mia)
    with pytest.raises(PayflowError, match="being paid out already"):
        await desk.sweep(str(issue.id), mia)
    assert "that came in later" not in await page_of(fair, "mia")
    assert len(await desk.of_repository(fair.home.id)) == 2
