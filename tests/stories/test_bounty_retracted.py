"""What was taken back cannot be carried out any more: the bot's word in a MultiSigWallet is revoked, then it rests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.sandbox.github.town import Issue
from machines.bounty import lifecycle as s
from machines.bounty.data import BountyRecord
from machines.core.clock import Millis
from machines.core.facts import Override
from machines.core.wallets import ContractCall
from payflow.config import Settings
from payflow.engine.step import take_in
from tests import abi
from tests.bounties import ANN, BOT, LANE_NAME, MIA, Fair, open_fair
from tests.chain import ETHER
from tests.waiting import wait_until


@pytest.fixture
async def fair(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties from MultiSigWallets."""
    async with open_fair(settings, "multisig", tmp_path) as fair:
        yield fair


def revoked(record: BountyRecord) -> bool:
    """Whether every approval that was taken back is worth nothing."""
    return bool(record.data.attempts) and record.data.to_withdraw is None and record.data.current is None


async def carries_out_nothing(fair: Fair, record: BountyRecord) -> None:
    """Mia's own wallet confirms the old payment, past the page, and tries again: nothing leaves."""
    (attempt,) = record.data.attempts
    wallet, place = attempt.proposal.wallet, int(attempt.confirm_hash, 16)
    asked = {"to": wallet, "data": abi.call_data("confirmations(uint256,address)", place, BOT.address)}
    assert int(await fair.chain.rpc("eth_call", asked, "latest"), 16) == 0
    before = await fair.chain.balance(ANN.address)
    for call in ("confirmTransaction(uint256)", "executeTransaction(uint256)"):
        await fair.hands.send(MIA, ContractCall(wallet, abi.call_data(call, place)))
    assert await fair.chain.balance(ANN.address) == before
    assert await fair.chain.balance(wallet) == ETHER // 2


async def test_a_payment_that_was_taken_back_is_revoked_while_nobody_decides(fair: Fair) -> None:
    """The other owner comes when it rests, and finds one word missing."""
    async with fair.worker():
        issue = await fair.confirmable_issue()
        await fair.says("mia", "POST", "/api/user/remove-bot-confirmation", {"issue-id": issue.id})
        record = await fair.until(issue, s.CONTESTED, that=revoked)
        await carries_out_nothing(fair, record)
        sent = len(await fair.sent_by_bot())
        for _ in range(3):
            await fair.look(fair.id_of(issue))
        assert len(await fair.sent_by_bot()) == sent, "it is revoked once"
        await fair.bounties.desk.decide(str(issue.id), "olu", record.data.winner_pull)
        await fair.until(issue, s.CONFIRMABLE)
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)
    assert await fair.chain.balance(record.data.contract_address) == 0


async def test_it_is_revoked_also_where_github_does_not_answer_and_a_pause_ends(fair: Fair) -> None:
    """What has to do with money waits for no forge; a pause holds what is sent, and no longer than it lasts."""
    async with fair.worker():
        issue = await fair.confirmable_issue()
        await fair.store.pauses.pause("machine:bounty", "olu", "looking into it", Millis(1))
        await fair.says("mia", "POST", "/api/user/remove-bot-confirmation", {"issue-id": issue.id})
        for _ in range(5):
            await fair.look(fair.id_of(issue))
        assert not revoked(await fair.record(issue))
        await fair.store.pauses.resume("machine:bounty")
        await carries_out_nothing(fair, await fair.until(issue, s.CONTESTED, that=revoked))


async def test_a_payment_that_was_confirmed_before_the_word_was_revoked_is_paid_and_said(fair: Fair) -> None:
    """Mia was faster: the books say that it was paid, and by what."""
    async with fair.worker():
        issue = await fair.confirmable_issue()
        record = await fair.record(issue)
    await fair.says("mia", "POST", "/api/user/remove-bot-confirmation", {"issue-id": issue.id})
    place = int(record.data.confirm_hash, 16)
    wallet = record.data.contract_address
    await fair.hands.send(MIA, ContractCall(wallet, abi.call_data("confirmTransaction(uint256)", place)))
    async with fair.worker():
        record = await fair.until(issue, s.PAID)
    assert "approval that was to be taken back" in record.data.banners[0]


async def by_hand(fair: Fair, issue: Issue) -> None:
    """An operator puts it to rest."""
    fact = Override(s.CONTESTED, "somebody must look", "olu")
    await take_in(fair.store.records, fair.metrics, fair.id_of(issue), fact, "olu")


async def test_whoever_puts_it_to_rest_by_hand_revokes_it_too(fair: Fair) -> None:
    """An operator's override does what a maintainer's click does."""
    async with fair.worker():
        issue = await fair.confirmable_issue()
        await by_hand(fair, issue)
        await carries_out_nothing(fair, await fair.until(issue, s.CONTESTED, that=revoked))


async def test_an_approval_that_is_on_its_way_when_it_is_put_to_rest_is_waited_for_and_revoked(fair: Fair) -> None:
    """What is in no block yet is no approval, and may be one at any time."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.proves("ann", ANN)
        await fair.chain.automine(on=False)
        await fair.merge(await fair.pull_for(issue), issue)

        async def on_its_way() -> bool:
            await fair.store.records.poke(fair.id_of(issue), fair.lanes.books.lane_id(LANE_NAME))
            record = await fair.record(issue)
            return record.state == s.EXECUTED and bool(record.data.execute_hash)

        await wait_until(on_its_way, "the bot's approval is on its way")
        await by_hand(fair, issue)
        await fair.store.records.poke(fair.id_of(issue))
        assert not revoked(await fair.record(issue))
        await fair.chain.automine(on=True)
        await carries_out_nothing(fair, await fair.until(issue, s.CONTESTED, that=revoked))
