"""What goes wrong with bounties in the world: each trouble has a defined end, and people can read which."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.sandbox.faults import Fault, Kind
from machines.bounty import lifecycle as s
from machines.bounty.facts import SweepWanted
from machines.core.ids import derived_id, parse_id
from machines.core.wallets import ContractCall
from payflow.config import Settings
from tests.bounties import ANN, BOT, FUNDER, MIA, Fair, open_fair
from tests.chain import ETHER, FIFTH, account
from tests.wallets import REFUSES

BOB = FIFTH


@pytest.fixture
async def fair(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties from MultiSigWallets."""
    async with open_fair(settings, "multisig", tmp_path) as fair:
        yield fair


@pytest.fixture
async def safe_fair(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """The same with Safes."""
    async with open_fair(settings, "safe", tmp_path) as fair:
        yield fair


async def test_a_winner_without_an_address_is_asked_and_paid_when_he_answers(fair: Fair) -> None:
    """The comment asks him by name; as soon as he saves an address it goes on."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.merge(await fair.pull_for(issue), issue)
        await fair.until(issue, s.AWAITING_ADDRESS)
        asked = await fair.until_comment(issue, "Status: Pending user to save ETH address")
        assert "@ann" in asked
        await fair.proves("ann", ANN)
        record = await fair.until(issue, s.CONFIRMABLE)
    assert record.data.payout_address == ANN.address


async def test_an_address_is_saved_only_whole_and_proven_only_by_its_own_signature(fair: Fair) -> None:
    """Checksummed; and who signs must be who is named."""
    for text in ("0x", "ann", ANN.address[:-1], ANN.address.swapcase(), "0x" + "00" * 20):
        await fair.says("ann", "POST", "/api/user", {"address": text}, expect=400)
    told = await fair.says("ann", "POST", "/api/user", {"address": ANN.address.lower()})
    assert (told["address"], told["proven"], told["next-address"]) == (None, False, ANN.address)
    for signature in ("0x", "0x" + "11" * 65, "x"):
        asked = await fair.says("ann", "GET", f"/api/user/proof?address={ANN.address}")
        assert ANN.address in asked["message"]
        body = {"address": ANN.address, "message": asked["message"], "signature": signature}
        await fair.says("ann", "POST", "/api/user", body, expect=400)
    assert (await fair.proves("ann", ANN))["address"] == ANN.address


async def test_a_winner_who_takes_no_money(fair: Fair) -> None:
    """The maintainer's transaction succeeds and pays nothing: it is said, taken back, and paid elsewhere, once."""
    hostile, good = account("one"), account("another")
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.proves("ann", hostile)
        await fair.chain.set_code(hostile.address, REFUSES)
        await fair.merge(await fair.pull_for(issue), issue)
        await fair.until(issue, s.CONFIRMABLE)
        await fair.confirms(issue)
        record = await fair.until(issue, s.CONFIRMABLE, that=lambda one: "failed" in one.data.trouble)
        assert (record.data.payout_hash, record.data.winner_login) == ("", "ann")

        await fair.proves("ann", good)
        await fair.releases("ann", hostile, good)
        await fair.says("mia", "POST", "/api/user/remove-bot-confirmation", {"issue-id": issue.id})
        await fair.until(issue, s.CONTESTED)
        desk = fair.bounties.desk
        await desk.decide(str(issue.id), "olu", (await fair.record(issue)).data.winner_pull)
        record = await fair.until(issue, s.CONFIRMABLE)
        assert [one.withdrawn for one in record.data.attempts] == [True, False]
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)
    assert await fair.chain.balance(good.address) == ETHER // 2
    assert await fair.chain.balance(hostile.address) == 0


async def test_a_winner_who_takes_no_money_from_a_safe(safe_fair: Fair) -> None:
    """Before anything is sent the maintainer is told that it would fail."""
    fair, hostile = safe_fair, account("one")
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.proves("ann", hostile)
        await fair.chain.set_code(hostile.address, REFUSES)
        await fair.merge(await fair.pull_for(issue), issue)
        await fair.until(issue, s.CONFIRMABLE)
        path = f"/api/user/bounty/{issue.id}/confirmation?owner={MIA.address}"
        told = await fair.says("mia", "GET", path, expect=409)
        assert "It would fail now" in told["error"]["message"]


async def test_a_forge_that_is_down_keeps_nobody_from_his_money(fair: Fair) -> None:
    """Once it has shown who won, no comment can be written until the payment; afterwards the one says what happened.

    Before it has, the bot agrees to nothing: whoever writes into the record could name the winner else.
    """
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.proves("ann", ANN)
        await fair.until_comment(issue, "Current balance")
        blind = Fault(Kind.RESET, where="GET *issues*", times=100_000)
        fair.github.faults.add(Fault(Kind.UNAVAILABLE, times=100_000), blind)
        await fair.merge(await fair.pull_for(issue), issue)
        record = await fair.until(issue, s.MERGED, that=lambda one: one.tries > 0)
        assert (record.data.attempts, record.parked) == ((), "")
        fair.github.faults.clear()
        await fair.until(issue, s.EXECUTED, s.CONFIRMABLE)
        fair.github.faults.add(Fault(Kind.UNAVAILABLE, times=100_000), blind)
        await fair.until(issue, s.CONFIRMABLE)
        # Whether the work was taken back since cannot be asked, which is said; an owner's own wallet can confirm it.
        path = f"/api/user/bounty/{issue.id}/confirmation?owner={MIA.address}"
        told = await fair.says("mia", "GET", path, expect=503)
        assert (told["error"]["code"], "ask again later" in told["error"]["message"]) == ("forge_unavailable", True)
        fair.github.faults.clear()
        fair.github.faults.add(Fault(Kind.UNAVAILABLE, times=100_000))
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)
        assert "Paid to" not in fair.comment(issue).body
        fair.github.faults.clear()
        await fair.until_comment(issue, "Paid to: ann")


async def test_a_bounty_that_nobody_funded_is_never_paid(fair: Fair) -> None:
    """It waits; when somebody funds it after all, it goes on."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.proves("ann", ANN)
        await fair.merge(await fair.pull_for(issue), issue)
        record = await fair.until(issue, s.MERGED, that=lambda one: "fund" in one.data.waiting_for)
        assert len(await fair.sent_by_bot()) == 1, "the deploy alone"
        assert "holds nothing yet" in await fair.until_comment(issue, "Pending maintainer confirmation")
        await fair.funds(issue)
        record = await fair.until(issue, s.CONFIRMABLE)
    assert record.data.execute_hash


async def test_only_maintainers_of_that_repository_confirm(fair: Fair) -> None:
    """Neither a contributor, nor a maintainer of another organisation, nor who may only write."""
    fair.github.install("other/place", mallory="admin")
    async with fair.worker():
        issue = await fair.confirmable_issue()
        path = f"/api/user/bounty/{issue.id}"
        body = {"payout-hash": "0x" + "11" * 32}
        for who in ("mallory", "bob", "eve", "ann"):
            await fair.says(who, "POST", f"{path}/payout", body, expect=403)
            await fair.says(who, "GET", f"{path}/confirmation?owner={MIA.address}", expect=403)
            await fair.says(who, "POST", "/api/user/revoke", {"issue-id": issue.id, "address": BOB.address}, expect=403)
            await fair.says(who, "POST", "/api/user/remove-bot-confirmation", {"issue-id": issue.id}, expect=403)
        await fair.says("mallory", "GET", path, expect=404)
        await fair.says("olu", "POST", f"{path}/payout", body, expect=403)
        # A hash of nothing by the right person pays nothing either.
        await fair.says("mia", "POST", f"{path}/payout", body)
        record = await fair.until(issue, s.CONFIRMING)
    assert record.data.payout_receipt == ()


async def test_the_receipt_of_another_transaction_pays_nothing(fair: Fair) -> None:
    """A real transaction, mined and successful, that has nothing to do with the wallet."""
    async with fair.worker():
        issue = await fair.confirmable_issue()
        tx = await fair.hands.send(MIA, ContractCall(ANN.address, "0x"), ETHER // 2)
        await fair.says("mia", "POST", f"/api/user/bounty/{issue.id}/payout", {"payout-hash": tx})
        record = await fair.until(issue, s.CONFIRMABLE, that=lambda one: "paid nothing" in one.data.trouble)
        await fair.confirms(issue)
        record = await fair.until(issue, s.PAID)
    assert record.data.payout_hash != tx


async def test_a_tab_that_was_closed_before_it_told(fair: Fair) -> None:
    """The payment is found by its effect."""
    async with fair.worker():
        issue = await fair.confirmable_issue()
        tx = await fair.confirms(issue, tell=False)
        record = await fair.until(issue, s.PAID)
    assert record.data.payout_hash == tx


async def test_a_winner_who_is_an_owner_does_not_confirm_alone_what_another_owner_can(fair: Fair) -> None:
    """With another owner it is the other one's to confirm."""
    fair.home.roles[fair.github.town.person("moe").id] = "maintain"
    await fair.proves("moe", BOB, owner=True)
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.proves("mia", MIA)
        await fair.merge(await fair.pull_for(issue, author="mia"), issue)
        record = await fair.until(issue, s.MERGED, that=lambda one: bool(one.data.hand_wanted))
        await fair.says("moe", "POST", f"/api/user/bounty/{issue.id}/agree", {"about": record.data.question})
        await fair.until(issue, s.CONFIRMABLE)
        path = f"/api/user/bounty/{issue.id}/confirmation"
        await fair.says("mia", "GET", f"{path}?owner={MIA.address}", expect=403)
        await fair.confirms(issue, who="moe", account=BOB)
        await fair.until(issue, s.PAID)


async def test_a_bot_without_gas_waits_and_goes_on(fair: Fair) -> None:
    """It is said what is waited for, and one wallet is made in the end."""
    await fair.chain.set_balance(BOT.address, 1000)
    async with fair.worker():
        issue = await fair.labelled_issue()
        record = await fair.until(issue, s.OPENING, that=lambda one: bool(one.data.waiting_for))
        waits = await fair.until_comment(issue, "Status: waiting for")
        assert record.data.waiting_for in waits
        await fair.chain.set_balance(BOT.address, 10 * ETHER)
        fair.patience_s = 60
        await fair.until(issue, s.OPEN)
    assert [receipt.ok for receipt in await fair.sent_by_bot()] == [True]


async def test_no_wallet_is_made_before_an_owner_is_proven(fair: Fair) -> None:
    """And a signature of somebody else proves nothing."""
    other = fair.github.install("acme/gadgets", mia="admin")
    await fair.github.catch_up()
    issue = await fair.at_github(fair.github.open_issue, other, "It hurts", "bounty")
    first, fair.home = fair.home, other
    async with fair.worker():
        await fair.until(issue, s.OPENING, that=lambda one: "owner" in one.data.waiting_for)
        asked = await fair.says("mia", "GET", f"/api/user/proof?address={MIA.address}&repository={first.id}")
        body = {"address": MIA.address, "message": asked["message"], "signature": "0x" + "11" * 65}
        assert str(first.id) in asked["message"]
        await fair.says("mia", "POST", f"/api/user/repository/{other.id}/owner", body, expect=400)
        await fair.proves("ann", ANN, owner=True, expect=403)
        await fair.proves("mia", MIA, owner=True)
        record = await fair.until(issue, s.OPEN)
    assert [hand.login for hand in record.data.hands] == ["mia"]


async def test_pull_requests_that_claim_nothing(fair: Fair) -> None:
    """Of another repository, for another repository, without a body, into another branch, for no bounty, for none."""
    other = fair.github.install("acme/gadgets", mia="admin")
    await fair.github.catch_up()
    issue, plain = await fair.labelled_issue(), await fair.at_github(fair.github.open_issue, fair.home, "plain")
    pulls = [
        await fair.at_github(fair.github.open_pull, other, "eve", "x", f"closes acme/widgets#{issue.number}"),
        await fair.at_github(fair.github.open_pull, fair.home, "eve", "x", f"closes acme/gadgets#{issue.number}"),
        await fair.at_github(fair.github.open_pull, fair.home, "eve", "x", None),
        await fair.at_github(fair.github.open_pull, fair.home, "eve", "x", f"closes #{plain.number} and #999"),
        await fair.at_github(fair.github.open_pull, fair.home, None, f"fixes #{plain.number}"),
    ]
    for pull in pulls:
        home = other if pull is pulls[0] else fair.home
        await fair.at_github(fair.github.merge, home, pull)
    branch = await fair.pull_for(issue, author="eve", base="next")
    await fair.merge(branch)
    async with fair.worker():
        record = await fair.until(issue, s.OPEN)
    assert [(claim.number, int(claim.state)) for claim in record.data.claims] == [(branch.number, 2)]


async def test_a_label_taken_off_and_a_renamed_repository_in_the_middle(fair: Fair) -> None:
    """What is won goes on, whatever it is called."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.at_github(fair.github.rename, fair.home, "acme/wonders")
        await fair.funds(issue)
        await fair.proves("ann", ANN)
        await fair.merge(await fair.pull_for(issue), issue)
        await fair.until(issue, s.CONFIRMABLE)
        await fair.at_github(fair.github.unlabel, fair.home, issue)
        await fair.at_github(fair.github.rename, fair.home, "acme/marvels")
        await fair.confirms(issue)
        record = await fair.until(issue, s.PAID)
        await fair.until_comment(issue, "Paid to: ann")
    assert record.data.place.name == "acme/marvels"


async def test_a_moved_issue_is_closed_and_its_money_given_back(fair: Fair) -> None:
    """The funder is told, and a maintainer gives it back to where it came from, with the same two hands."""
    there = fair.github.install("acme/gadgets", mia="admin")
    await fair.github.catch_up()
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.until(issue, s.OPEN, that=lambda one: bool(one.data.holdings))
        await fair.at_github(fair.github.transfer_issue, fair.home, issue, there)
        record = await fair.until(issue, s.CLOSED)
        assert "moved to acme/gadgets#1" in record.data.gone
        before = await fair.chain.balance(FUNDER.address)
        await fair.says("mia", "POST", "/api/user/revoke", {"issue-id": issue.id, "address": FUNDER.address})
        await fair.until(issue, s.REVOKING, that=lambda one: bool(one.data.confirm_hash))
        await fair.confirms(issue)
        record = await fair.until(issue, s.REFUNDED)
    assert await fair.chain.balance(FUNDER.address) - before == ETHER // 2
    assert record.data.winner_login == ""


async def test_an_issue_closed_without_a_merge_tells_its_funders(fair: Fair) -> None:
    """The comment says where the money is and who can give it back; opened again it is a bounty again."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.until(issue, s.OPEN, that=lambda one: bool(one.data.holdings))
        await fair.at_github(fair.github.close_issue, fair.home, issue)
        assert "still holds funds" in await fair.until_comment(issue, "closed without a merge")
        await fair.at_github(fair.github.reopen_issue, fair.home, issue)
        await fair.until(issue, s.OPEN)


async def test_what_comes_in_later_is_swept_to_the_winner(safe_fair: Fair) -> None:
    """Offered, not taken along: the payment that was confirmed was exactly what was shown."""
    fair = safe_fair
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.proves("ann", ANN)
        before = await fair.chain.balance(ANN.address)
        await fair.merge(await fair.pull_for(issue), issue)
        record = await fair.until(issue, s.CONFIRMABLE)
        await fair.hands.send(FUNDER, ContractCall(record.data.contract_address, "0x"), ETHER // 4)
        await fair.confirms(issue)
        await fair.until(issue, s.PAID, that=lambda one: bool(one.data.holdings))
        assert await fair.chain.balance(ANN.address) - before == ETHER // 2
        desk = fair.bounties.desk
        home = fair.id_of(issue)
        await desk.tell(home, SweepWanted("mia"), "mia")
        child = derived_id("bounty", parse_id(home)[1], home, "sweep", "1")
        fair.id_of = lambda _: child  # type: ignore[method-assign,assignment]
        await fair.until(issue, s.CONFIRMABLE)
        call = await fair.says("mia", "GET", f"/api/user/bounty/{child}/confirmation?owner={MIA.address}")
        await fair.hands.send(MIA, ContractCall(call["to"], call["data"]))
        await fair.until(issue, s.PAID)
    assert await fair.chain.balance(ANN.address) - before == ETHER * 3 // 4
    assert len([one for one in issue.comments if one.app]) == 1
