"""Two hands are two people: on the chain itself, with a wallet that asks no page, for both kinds of wallets.

Whoever owns a bounty's wallet beside the bot can send whatever the wallet accepts. It accepts what the bot agreed to as
well; so the bot agrees to nothing that pays an owner, or gives money back elsewhere, before another hand has asked.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.github.town import Issue
from machines.bounty import lifecycle as s
from machines.bounty.data import BountyRecord
from machines.core.chain import Address
from machines.core.errors import PayflowError
from machines.core.wallets import ContractCall
from payflow.config import Settings
from tests.bounties import ANN, FUNDER, MIA, Fair, Kind, open_fair, signed
from tests.chain import ETHER, FIFTH, Account, account

MOE = FIFTH
PATH = "/api/user/bounty/{}"


@pytest.fixture(params=["safe", "multisig"])
def wallets(request: pytest.FixtureRequest) -> Kind:
    """Each kind of wallet in turn."""
    return "safe" if request.param == "safe" else "multisig"


@pytest.fixture
async def fair(settings: Settings, wallets: Kind, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties, where Mia owns every wallet beside the bot."""
    async with open_fair(settings, wallets, tmp_path) as fair:
        yield fair


async def moe_joins(fair: Fair) -> None:
    """A second maintainer proves an address."""
    fair.home.roles[fair.github.town.person("moe").id] = "maintain"
    await fair.proves("moe", MOE, owner=True)


async def funded(fair: Fair, by: Account = FUNDER) -> Issue:
    """A bounty with half an ether in it."""
    issue = await fair.labelled_issue()
    await fair.until(issue, s.OPEN)
    await fair.funds(issue, by=by)
    await fair.until(issue, s.OPEN, that=lambda one: bool(one.data.holdings))
    return issue


async def held_back(fair: Fair, issue: Issue) -> BountyRecord:
    """Where it comes to when it is looked at for a while: held back, or, where nothing holds it, approved."""

    def there(record: BountyRecord) -> bool:
        return bool(getattr(record.data, "hand_wanted", "")) or bool(record.data.confirm_hash)

    return await fair.until(issue, that=there)


async def takes_all_that_the_wallet_lets_her(fair: Fair, issue: Issue, to: Address, owner: Account = MIA) -> None:
    """An owner sends, without asking our page, everything that could bring a wallet to pay `to`."""
    record, wallets = await fair.record(issue), fair.bounties.desk.world.wallets
    wallet = Address(record.data.contract_address)
    current = record.data.current
    mine = await wallets.propose(wallet, to, await wallets.holdings(wallet), 99)
    # Her own proposal: at a Safe her word for its hash, at a MultiSigWallet an entry that she submits.
    await fair.hands.send(owner, mine.approval)
    if current is not None:
        try:
            call = await wallets.confirmation(current.proposal, record.data.confirm_hash, owner.address)
        except PayflowError:
            return
        await fair.hands.send(owner, ContractCall(call.to, call.data))


async def looked_at(fair: Fair, issue: Issue, times: int = 12) -> None:
    """The bot looks at it again and again."""
    for _ in range(times):
        await fair.look(fair.id_of(issue))
        await asyncio.sleep(0.05)


async def agrees(fair: Fair, who: str, issue: Issue, *, expect: int = 200) -> Any:  # noqa: ANN401  (JSON)
    """Somebody asks for it, having seen what is asked."""
    about = (await fair.record(issue)).data.question
    return await fair.says(who, "POST", f"{PATH.format(issue.id)}/agree", {"about": about}, expect=expect)


async def revokes(fair: Fair, issue: Issue, to: str, *, who: str = "mia", expect: int = 200) -> None:
    """A maintainer wants the money back at an address."""
    await fair.says(who, "POST", "/api/user/revoke", {"issue-id": issue.id, "address": to}, expect=expect)


async def names_refund(
    fair: Fair, issue: Issue, to: str, signer: Account = FUNDER, *, who: str = "eve", expect: int = 200
) -> None:
    """An address says where its money goes back to."""
    path = PATH.format(issue.id)
    words = (await fair.says(who, "GET", f"{path}/refund-proof?from={signer.address}&to={to}"))["message"]
    body = {"from": signer.address, "to": to, "message": words, "signature": signed(signer, words)}
    await fair.says(who, "POST", f"{path}/refund-address", body, expect=expect)


# ── who wins what she can confirm ────────────────────────────────────────────────────────────────────────────────────


async def test_an_owner_who_merges_her_own_work_gets_nothing_out_of_the_wallet_alone(fair: Fair) -> None:
    """Mia wins, and is the only owner: whatever she sends, the wallet keeps its money until an operator asks for it."""
    async with fair.worker():
        issue = await funded(fair)
        await fair.proves("mia", MIA)
        await fair.merge(await fair.pull_for(issue, author="mia"), issue)
        await held_back(fair, issue)
        record = await fair.record(issue)
        wallet = Address(record.data.contract_address)
        await takes_all_that_the_wallet_lets_her(fair, issue, MIA.address)
        await looked_at(fair, issue)
        assert await fair.chain.balance(wallet) == ETHER // 2
        record = await fair.record(issue)
        assert (record.state, record.data.current) == (s.MERGED, None)
        assert [receipt.ok for receipt in await fair.sent_by_bot()] == [True], "the bot made the wallet, and no more"
        told = await fair.until_comment(issue, "Held back")
        assert "seven days after this was first said here" in told
        assert (await fair.until(issue, that=lambda one: bool(one.data.told_at))).data.told_about

        await agrees(fair, "mia", issue, expect=409)
        await agrees(fair, "ann", issue, expect=403)
        await agrees(fair, "olu", issue)
        await fair.until(issue, s.CONFIRMABLE)
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)
    assert await fair.chain.balance(wallet) == 0


async def test_an_owner_who_wins_needs_the_other_owner_who_is_there(fair: Fair) -> None:
    """Neither her own word nor an operator's will do; the other owner asks for it, and confirms it."""
    await moe_joins(fair)
    async with fair.worker():
        issue = await funded(fair)
        await fair.proves("mia", MIA)
        await fair.merge(await fair.pull_for(issue, author="mia"), issue)
        await held_back(fair, issue)
        await takes_all_that_the_wallet_lets_her(fair, issue, MIA.address)
        await agrees(fair, "olu", issue)
        await looked_at(fair, issue)
        wallet = Address((await fair.record(issue)).data.contract_address)
        assert await fair.chain.balance(wallet) == ETHER // 2
        await agrees(fair, "moe", issue)
        await fair.until(issue, s.CONFIRMABLE)
        await fair.says("mia", "GET", f"{PATH.format(issue.id)}/confirmation?owner={MIA.address}", expect=403)
        await fair.confirms(issue, who="moe", account=MOE)
        await fair.until(issue, s.PAID)


async def test_a_pal_who_is_paid_at_an_owners_address_is_that_owner(fair: Fair) -> None:
    """Somebody else's account wins; the money would go to Mia."""
    async with fair.worker():
        issue = await funded(fair)
        await fair.proves("pal", MIA)
        await fair.merge(await fair.pull_for(issue, author="pal"), issue)
        await held_back(fair, issue)
        wallet = Address((await fair.record(issue)).data.contract_address)
        await takes_all_that_the_wallet_lets_her(fair, issue, MIA.address)
        await looked_at(fair, issue)
        assert await fair.chain.balance(wallet) == ETHER // 2


# ── who gets it back ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_maintainer_of_two_gives_nobody_elses_money_to_herself(fair: Fair) -> None:
    """Mia revokes a third person's half ether to her own address, and to a fresh one: only Moe's word lets it go."""
    await moe_joins(fair)
    for to in (MIA.address, account("fresh").address):
        async with fair.worker():
            issue = await funded(fair)
            await revokes(fair, issue, to)
            await held_back(fair, issue)
            wallet = Address((await fair.record(issue)).data.contract_address)
            await takes_all_that_the_wallet_lets_her(fair, issue, to)
            await looked_at(fair, issue)
            assert await fair.chain.balance(wallet) == ETHER // 2
            assert "two owners must ask for it" in await fair.until_comment(issue, "Held back")
            await agrees(fair, "olu", issue)
            await looked_at(fair, issue, 4)
            assert (await fair.record(issue)).data.current is None
            await agrees(fair, "moe", issue)
            await fair.until(issue, s.REVOKING, that=lambda one: bool(one.data.confirm_hash))
            await fair.confirms(issue)
            await fair.until(issue, s.REFUNDED)
            assert await fair.chain.balance(wallet) == 0


async def test_money_goes_back_to_the_very_address_that_it_came_from_without_another_hand(fair: Fair) -> None:
    """Also where that is the maintainer's own."""
    for funder in (FUNDER, MIA):
        async with fair.worker():
            issue = await funded(fair, by=funder)
            await revokes(fair, issue, funder.address)
            await fair.until(issue, s.REVOKING, that=lambda one: bool(one.data.confirm_hash))
            await fair.confirms(issue)
            record = await fair.until(issue, s.REFUNDED)
            assert record.data.payout_address == funder.address


async def test_a_funder_names_another_address_with_the_signature_of_the_one_that_funded(fair: Fair) -> None:
    """Once, for this bounty, signed by an account that put money in: then it goes there without another hand."""
    back = account("back").address
    async with fair.worker():
        issue, other = await funded(fair), await funded(fair)
        await names_refund(fair, issue, back, signer=account("nobody"), who="bob", expect=409)
        await names_refund(fair, issue, back, signer=account("nobody"), who="bob", expect=429)
        path = PATH.format(issue.id)
        words = (await fair.says("eve", "GET", f"{path}/refund-proof?from={FUNDER.address}&to={back}"))["message"]
        body = {"from": FUNDER.address, "to": back, "message": words, "signature": signed(MIA, words)}
        await fair.says("mia", "POST", f"{path}/refund-address", body, expect=400)
        words = (await fair.says("eve", "GET", f"{path}/refund-proof?from={FUNDER.address}&to={back}"))["message"]
        body |= {"message": words, "signature": signed(FUNDER, words)}
        await fair.says("mia", "POST", f"{PATH.format(other.id)}/refund-address", body, expect=400)
        await names_refund(fair, issue, back)
        await revokes(fair, issue, back)
        await fair.until(issue, s.REVOKING, that=lambda one: bool(one.data.confirm_hash))
        await fair.confirms(issue)
        await fair.until(issue, s.REFUNDED)
        # What was named for one bounty is named for no other.
        await revokes(fair, other, back)
        await held_back(fair, other)
        assert (await fair.record(other)).data.current is None
    assert await fair.chain.balance(Address(back)) == ETHER // 2


async def test_who_adds_a_grain_to_anothers_money_does_not_get_it_all_back(fair: Fair) -> None:
    """Mia puts a thousandth in, and so is an address that funded it: of two funders neither gets the other's."""
    async with fair.worker():
        issue = await funded(fair)
        await fair.funds(issue, 0.001, by=MIA)
        await revokes(fair, issue, MIA.address)
        await held_back(fair, issue)
        await takes_all_that_the_wallet_lets_her(fair, issue, MIA.address)
        await looked_at(fair, issue)
        wallet = Address((await fair.record(issue)).data.contract_address)
        assert await fair.chain.balance(wallet) == ETHER * 501 // 1000


async def test_a_refund_that_waits_for_another_hand_can_be_taken_back(fair: Fair) -> None:
    """Nothing was fixed: a person decides anew."""
    async with fair.worker():
        issue = await funded(fair)
        await revokes(fair, issue, account("typo").address)
        await held_back(fair, issue)
        await fair.says("mia", "POST", "/api/user/remove-bot-confirmation", {"issue-id": issue.id})
        await fair.until(issue, s.CONTESTED)
        await revokes(fair, issue, FUNDER.address)
        await fair.until(issue, s.REVOKING, that=lambda one: bool(one.data.confirm_hash))


async def test_a_word_about_another_payment_is_refused(fair: Fair) -> None:
    """What was seen is what is agreed to."""
    async with fair.worker():
        issue = await funded(fair)
        await revokes(fair, issue, account("first").address)
        await held_back(fair, issue)
        about = (await fair.record(issue)).data.question
        await fair.says("mia", "POST", "/api/user/remove-bot-confirmation", {"issue-id": issue.id})
        await fair.until(issue, s.CONTESTED)
        await revokes(fair, issue, account("second").address)
        await held_back(fair, issue)
        await fair.says("olu", "POST", f"{PATH.format(issue.id)}/agree", {"about": about}, expect=409)
        await looked_at(fair, issue, 4)
        assert (await fair.record(issue)).data.current is None


async def test_a_contributor_who_owns_nothing_is_paid_as_ever(fair: Fair) -> None:
    """Nobody has to ask for what is nobody's own."""
    async with fair.worker():
        issue = await fair.confirmable_issue()
        before = await fair.chain.balance(ANN.address)
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)
    assert await fair.chain.balance(ANN.address) - before == ETHER // 2
