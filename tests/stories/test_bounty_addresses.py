"""Where a contributor is paid is the contributor's word alone: signed, dated, for this chain, once; or after days."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from adapters.sandbox.github.town import Issue
from machines.bounty import lifecycle as s
from machines.core.clock import DAY, HOUR, MINUTE, Millis
from machines.core.ids import Owner
from machines.core.ports import Destination
from machines.core.saved_address import CoolOff, SavedAddress
from payflow.config import Settings
from payflow.store.registers.contributors import AddressProof
from payflow.store.registers.profiles import Profile
from tests.bounties import ANN, Fair, open_fair, signed
from tests.chain import ETHER, Account, account
from tests.waiting import wait_until

THIEF = account("thief")
OLD = account("old")
CONTACT = "mailto:ann@example.com"


@pytest.fixture
async def fair(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties."""
    async with open_fair(settings, "multisig", tmp_path) as fair:
        yield fair


def ann_of(fair: Fair) -> Owner:
    """Ann's account."""
    return Owner(f"github:{fair.github.town.person('ann').id}")


async def won_by_ann(fair: Fair) -> Issue:
    """A funded bounty that Ann wins."""
    issue = await fair.labelled_issue()
    await fair.until(issue, s.OPEN)
    await fair.funds(issue)
    await fair.merge(await fair.pull_for(issue), issue)
    return issue


async def at_rest(fair: Fair, issue: Issue) -> str:
    """Where the bounty comes to when it is looked at for a while."""
    await fair.until(issue, s.AWAITING_ADDRESS, s.CONFIRMABLE)
    return (await fair.record(issue)).state


async def test_what_a_platform_wrote_over_a_contributor_pays_the_platform_nothing(
    fair: Fair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A platform claimed Ann's account before anybody kept it from that; she is asked, and paid where she says."""
    owner, profiles = ann_of(fair), fair.store.profiles
    monkeypatch.setattr(profiles, "refuse_reserved", lambda _: None, raising=False)
    where = Destination("ethereum", (("address", THIEF.address),))
    await profiles.write(Profile(owner), Profile(owner, "evil", verified=True, destination=where), Millis(1))
    async with fair.worker():
        issue = await won_by_ann(fair)
        assert await at_rest(fair, issue) == s.AWAITING_ADDRESS
        await fair.proves("ann", ANN)
        record = await fair.until(issue, s.CONFIRMABLE)
        assert record.data.payout_address == ANN.address


async def test_what_stands_in_the_profile_of_a_provider_pays_no_bounty(fair: Fair) -> None:
    """Whoever may write Ann's profile as a provider does not say where her bounties are paid."""
    owner = ann_of(fair)
    where = Destination("ethereum", (("address", THIEF.address),))
    await fair.store.profiles.write(Profile(owner), Profile(owner, destination=where), Millis(1))
    async with fair.worker():
        assert await at_rest(fair, await won_by_ann(fair)) == s.AWAITING_ADDRESS


async def test_an_address_that_was_proven_in_the_profile_before_is_still_paid(fair: Fair) -> None:
    """Earlier versions kept it there, with the mark that it was signed for; without the mark it counts for nothing."""
    owner = ann_of(fair)
    for proven, expected in (("no", s.AWAITING_ADDRESS), ("yes", s.CONFIRMABLE)):
        where = Destination("ethereum", (("address", ANN.address), ("proven", proven)))
        before = await fair.store.profiles.read(owner)
        await fair.store.profiles.write(before, Profile(owner, destination=where), Millis(1))
        async with fair.worker():
            assert await at_rest(fair, await won_by_ann(fair)) == expected


async def test_who_has_only_a_session_moves_nobodys_money_at_once_and_the_true_person_hears_of_it(fair: Fair) -> None:
    """An address without a signature counts after days; until then the one before does, and contacts are told."""
    owner = ann_of(fair)
    await fair.store.profiles.write(Profile(owner), Profile(owner, notify=(CONTACT,)), Millis(1))
    begun = await fair.store.records.now()
    await fair.proves("ann", ANN)
    await fair.says("ann", "POST", "/api/user", {"address": THIEF.address})
    told = await fair.store.outbox.take(100, 60_000)
    async with fair.worker():
        issue = await won_by_ann(fair)
        record = await fair.until(issue, s.CONFIRMABLE)
        assert record.data.payout_address == ANN.address
    (warning,) = [post for post in told if post.kind == "notify"]
    assert warning.at >= begun
    body = dict(warning.body)
    assert fair.store.profiles.opened_contacts(Owner(body["owner"]), body["to"]) == (CONTACT,)
    assert (body["event"], body["address"]) == ("bounty_address_changed", ANN.address)
    assert body["coming"] == THIEF.address
    seen = await fair.says("ann", "GET", "/api/user")
    assert (seen["address"], seen["proven"], seen["next-address"]) == (ANN.address, True, THIEF.address)
    # She saves her own again: it is as if nothing had been.
    await fair.says("ann", "POST", "/api/user", {"address": ANN.address})
    assert (await fair.says("ann", "GET", "/api/user"))["next-address"] is None


async def test_a_thief_who_signs_with_their_own_wallet_takes_no_proven_address_away(fair: Fair) -> None:
    """The old one is paid for days; Ann hears of it by mail and on her issue, and takes it back on the page."""
    owner = ann_of(fair)
    await fair.store.profiles.write(Profile(owner), Profile(owner, notify=(CONTACT,)), Millis(1))
    await fair.proves("ann", ANN)
    async with fair.worker():
        other = await fair.labelled_issue("not merged yet")
        await fair.until(other, s.OPEN)
        await fair.pull_for(other)
    stolen = await fair.proves("ann", THIEF)
    assert (stolen["address"], stolen["next-address"], stolen["next-proven"]) == (ANN.address, THIEF.address, True)
    (told,) = [post.body for post in await fair.store.outbox.take(100, 60_000) if post.kind == "notify"]
    assert fair.store.profiles.opened_contacts(owner, told["to"]) == (CONTACT,)
    assert (told["address"], told["coming"]) == (ANN.address, THIEF.address)
    assert told["day"] == str(stolen["next-from"])[:10]
    async with fair.worker():
        said = await fair.until_comment(other, f"@ann: another address of yours counts from {told['day']} on")
        assert THIEF.address not in said
        # Signing again, saving once more, or through the way that needs the old wallet: nothing makes it sooner.
        assert (await fair.proves("ann", THIEF))["next-from"] == stolen["next-from"]
        again = await fair.says("ann", "POST", "/api/user", {"address": THIEF.address})
        assert (again["next-from"], again["next-proven"]) == (stolen["next-from"], True)
        await fair.releases("ann", ANN, THIEF, by=THIEF, expect=400)
        await fair.releases("ann", THIEF, THIEF, expect=400)
        record = await fair.until(await won_by_ann(fair), s.CONFIRMABLE)
        assert record.data.payout_address == ANN.address
        kept = await fair.says("ann", "POST", "/api/user/withdraw-address")
        assert (kept["address"], kept["proven"], kept["next-address"]) == (ANN.address, True, None)
        await fair.until(other, that=lambda one: not one.data.address_changes)


async def test_the_old_address_lets_another_one_count_at_once(fair: Fair) -> None:
    """Both signed: nobody waits. What the old one signs for one address is good for no other one."""
    await fair.proves("ann", OLD)
    await fair.releases("ann", OLD, ANN, expect=400)  # nothing is to come yet
    await fair.says("ann", "POST", "/api/user", {"address": ANN.address})
    await fair.releases("ann", OLD, ANN, expect=400)  # and that one has not signed
    await fair.proves("ann", ANN)
    words = (await fair.says("ann", "GET", f"/api/user/proof?address={OLD.address}&gives-way-to={ANN.address}"))[
        "message"
    ]
    signature = signed(OLD, words)
    body = {"address": THIEF.address, "message": words, "signature": signature}
    await fair.says("ann", "POST", "/api/user/release-address", body, expect=400)
    await fair.says("ann", "POST", "/api/user", body | {"address": OLD.address}, expect=400)
    assert (await fair.releases("ann", OLD, ANN))["address"] == ANN.address
    seen = await fair.says("ann", "GET", "/api/user")
    assert (seen["address"], seen["proven"], seen["next-address"]) == (ANN.address, True, None)


async def test_a_signed_address_takes_the_others_place_when_its_days_are_over(fair: Fair) -> None:
    """Nobody objected, and the old wallet may be lost: it is paid there, and as a proven one."""
    await fair.proves("ann", OLD)
    before = await fair.store.contributors.read(ann_of(fair))
    now = await fair.store.records.now()
    saved = before.saved.saving(ANN.address, Millis(now - 4 * DAY), CoolOff(7 * DAY, 3 * DAY), proven=True)
    await fair.store.contributors.write(before, saved, None, Millis(0))
    seen = await fair.says("ann", "GET", "/api/user")
    assert (seen["address"], seen["proven"], seen["next-address"]) == (ANN.address, True, None)
    assert (await fair.proves("ann", THIEF))["address"] == ANN.address


async def test_an_unproven_address_is_waited_for_and_a_signature_ends_the_wait(fair: Fair) -> None:
    """The comment says since when it counts, and what makes it count at once."""
    await fair.says("ann", "POST", "/api/user", {"address": ANN.address})
    async with fair.worker():
        issue = await won_by_ann(fair)
        assert await at_rest(fair, issue) == s.AWAITING_ADDRESS
        assert "Signing for it" in await fair.until_comment(issue, "nobody signed for the address that ann saved")
        await fair.proves("ann", ANN)
        record = await fair.until(issue, s.CONFIRMABLE)
        assert (record.data.payout_address, record.data.waiting_for) == (ANN.address, "")


async def test_an_unproven_address_counts_when_its_days_are_over(fair: Fair) -> None:
    """Nobody objected: it is paid."""
    before = await fair.store.contributors.read(ann_of(fair))
    now = await fair.store.records.now()
    saved = before.saved.saving(ANN.address, Millis(now - 8 * DAY), CoolOff(7 * DAY, 3 * DAY), proven=False)
    await fair.store.contributors.write(before, saved, None, Millis(0))
    async with fair.worker():
        record = await fair.until(await won_by_ann(fair), s.CONFIRMABLE)
    assert record.data.payout_address == ANN.address


async def test_signed_words_are_good_once_for_one_person_one_purpose_one_chain_and_some_minutes(fair: Fair) -> None:
    """Nothing that was ever signed can be shown again, nor for anything else."""

    async def asked(who: str, at: str, more: str = "") -> str:
        return str((await fair.says(who, "GET", f"/api/user/proof?address={at}{more}"))["message"])

    async def saves(who: str, message: str, at: str, expect: int, signer: Account = OLD) -> None:
        body = {"address": at, "message": message, "signature": signed(signer, message)}
        await fair.says(who, "POST", "/api/user", body, expect=expect)

    words = await asked("ann", OLD.address)
    for part in (
        f"{fair.address.removeprefix('http://')} wants you to sign in with your Ethereum account:\n{OLD.address}\n\n",
        f"\nChain ID: {fair.chain.chain_id}\nNonce: ",
        f"\nURI: {fair.address}/bounties\nVersion: 1\n",
        "\nIssued At: 20",
        "\nExpiration Time: 20",
    ):
        assert part in words
    await saves("ann", words, OLD.address, 200)
    await fair.proves("ann", ANN)
    await saves("ann", words, OLD.address, 400)  # once

    await saves("bob", await asked("ann", OLD.address), OLD.address, 400)  # another person's
    await saves("ann", await asked("ann", OLD.address), ANN.address, 400)  # another address
    await saves("ann", await asked("mia", OLD.address, f"&repository={fair.home.id}"), OLD.address, 400)  # to own
    await saves("ann", await asked("ann", OLD.address), OLD.address, 400, signer=THIEF)
    chain = f"Chain ID: {fair.chain.chain_id}"
    await saves("ann", (await asked("ann", OLD.address)).replace(chain, "Chain ID: 1"), OLD.address, 400)
    late = await asked("ann", OLD.address)
    await saves("ann", late.replace("Expiration Time: 20", "Expiration Time: 21"), OLD.address, 400)
    made_up = f"GitHub account 1 uses {OLD.address} to be paid bounties at {fair.address}."
    await saves("ann", made_up, OLD.address, 400)
    # Of two who show the same words at once, one is told that they are used up.
    words = await asked("ann", OLD.address)
    body = {"address": OLD.address, "message": words, "signature": signed(OLD, words)}
    token = await fair.token_of("ann")

    async def status() -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with fair.session.post(fair.address + "/api/user", json=body, headers=headers) as answer:
            return answer.status

    assert sorted(await asyncio.gather(*(status() for _ in range(5)))) == [200, 400, 400, 400, 400]


async def test_words_that_were_signed_too_late_count_for_nothing(fair: Fair) -> None:
    """By the store's clock, whatever the browser's says."""
    words = (await fair.says("ann", "GET", f"/api/user/proof?address={ANN.address}"))["message"]
    now = await fair.store.records.now()
    assert await fair.store.challenges.take(words, Millis(now + HOUR)) is None
    words = (await fair.says("ann", "GET", f"/api/user/proof?address={ANN.address}"))["message"]
    assert await fair.store.challenges.take(words, Millis(now + MINUTE)) is not None


async def test_the_old_owners_proof_cannot_be_shown_again(fair: Fair) -> None:
    """A hand that was taken off is not brought back by what it signed before."""
    place = f"/api/user/repository/{fair.home.id}/owner"
    words = (await fair.says("mia", "GET", f"/api/user/proof?address={OLD.address}&repository={fair.home.id}"))[
        "message"
    ]
    body = {"address": OLD.address, "message": words, "signature": signed(OLD, words)}
    await fair.says("mia", "POST", place, body)
    await fair.says("mia", "POST", place, body, expect=400)


def for_somebody_else(fair: Fair) -> AddressProof:
    """What the thief signed to be paid for an account of their own."""
    thief = fair.github.town.person("mia").id
    words = f"here\n{THIEF.address}\n\nGitHub account {thief} wants to be paid bounties at this address."
    return AddressProof(words, signed(THIEF, words))


def by_nobody(fair: Fair) -> AddressProof:
    whose = ann_of(fair).partition(":")[2]
    words = f"here\n{THIEF.address}\n\nGitHub account {whose} wants to be paid bounties at this address."
    return AddressProof(words, signed(OLD, words))


def that_is_none(fair: Fair) -> AddressProof:
    return AddressProof(by_nobody(fair).message, "0x")


@pytest.mark.parametrize("proof", [for_somebody_else, by_nobody, that_is_none])
async def test_a_signature_that_the_desk_lets_pass_is_looked_at_again_before_anything_is_proposed(
    fair: Fair, proof: Callable[[Fair], AddressProof]
) -> None:
    """The process that everybody reaches has the keys of rows, and may write of any address that it was signed for."""
    before = await fair.store.contributors.read(ann_of(fair))
    await fair.store.contributors.write(before, SavedAddress(THIEF.address, proven=True), proof(fair), Millis(1))
    async with fair.worker():
        issue = await won_by_ann(fair)

        async def is_set_aside() -> bool:
            return "the signature that is kept is not theirs" in (await fair.record(issue)).parked

        await wait_until(is_set_aside, "it is set aside, and a person is told")
        assert (await fair.record(issue)).data.attempts == ()


async def test_what_was_signed_is_kept_for_the_address_that_is_to_come_as_well(fair: Fair) -> None:
    for one in (OLD, ANN):
        await fair.proves("ann", one)
    kept = await fair.store.contributors.read(ann_of(fair))
    assert (kept.saved.address, kept.saved.next_address) == (OLD.address, ANN.address)
    assert kept.proofs.keys() == {OLD.address, ANN.address}
    await fair.releases("ann", OLD, ANN)
    assert (await fair.store.contributors.read(ann_of(fair))).proofs.keys() == {ANN.address}
    async with fair.worker():
        assert (await fair.until(await won_by_ann(fair), s.CONFIRMABLE)).data.payout_address == ANN.address


async def test_paid_as_proven(fair: Fair) -> None:
    """All the way."""
    async with fair.worker():
        issue = await fair.confirmable_issue()
        before = await fair.chain.balance(ANN.address)
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)
    assert await fair.chain.balance(ANN.address) - before == ETHER // 2
