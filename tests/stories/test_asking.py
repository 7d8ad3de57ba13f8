"""Asking is always possible: whose the account is and what arrives are found out by the record's own first look."""

import asyncio
from decimal import Decimal

import pytest

from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.flutterwave import v3 as face
from adapters.sandbox.magic import name_of
from payflow.config import Settings
from tests.stories.banks import Choice, v3, v4
from tests.stories.town import HOME, Town, open_town
from tests.waiting import wait_until

NOBODYS = "0100000021"
ENQUIRY = "*resolve*"
MANY = 40


async def test_a_request_is_taken_while_the_gateway_is_down_and_reviewers_are_asked_once_it_is_up(town: Town) -> None:
    """Reviewers see whose the account is, beside its digits."""
    town.bank.faults.add(Fault(Kind.UNAVAILABLE, where=ENQUIRY, times=1000))
    await town.ann_earns("5000")
    payout = await town.ann_asks("2000")
    assert (await town.ann_sees(payout))["status"] == "requested"
    assert await town.ann_has() == ("3,000", "2,000", "0")
    await until_enquired(town)
    await town.time_passes(minutes=10)
    assert not (await town.record(payout)).data.assessed
    assert town.reviewers_were_told() == []

    town.bank.faults.clear()
    await town.time_passes(minutes=10)
    seen = await town.review_of(payout)
    assert seen["holder"] == name_of(HOME)
    assert (await town.record(payout)).data.holder == name_of(HOME)


async def test_an_account_of_another_name_than_the_request_gives_is_shown_to_people(town: Town) -> None:
    """Rules alone would have paid it; in the bank's order and without accents it is the same name."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("5000")
    first, last = name_of(HOME).split()
    payout = await town.ann_asks("1000", name="Somebody Else")
    await town.until_looked(payout)
    seen = await town.review_of(payout)
    assert [finding["code"] for finding in seen["findings"]] == ["held_name"]
    assert (seen["name_score"], seen["approvals_needed"]) == (0, 2), "somebody else's account takes two"
    assert "Somebody" not in str(seen["findings"])
    payout = await town.ann_asks("1000", name=f"{last.upper()} Á. {first}")
    await town.until_looked(payout)
    assert (await town.record(payout)).data.findings == ()


async def until_enquired(town: Town, times: int = 1) -> None:
    """Wait until the gateway was asked whose an account is."""
    await wait_until(
        lambda: sum("resolve" in line for line in town.bank.server.calls) >= times, "the gateway was asked"
    )


async def test_requests_are_taken_without_waiting_for_a_gateway_that_is_slow(town: Town) -> None:
    """The gateway answers after thirty seconds of its clock, which stands still: every request is answered before."""
    town.bank.faults.add(Fault(Kind.SLOW, created=True, delay_s=30, where=ENQUIRY, times=1000))
    await town.ann_earns("100000")
    first = await town.ann_asks("1000")
    payouts = [first, *await asyncio.gather(*(town.ann_asks("1000") for _ in range(MANY - 1)))]
    assert len(set(payouts)) == MANY
    assert await town.ann_has() == ("60,000", "40,000", "0")
    records = [await town.record(payout) for payout in payouts]
    assert not any(record.data.assessed for record in records)


async def test_whoever_has_no_money_uses_up_none_of_the_calls_that_the_gateway_allows_us(town: Town) -> None:
    await town.ann_earns("5000")
    first = await town.ann_asks("5000")
    await town.until_looked(first)
    asked = list(town.bank.server.calls)
    for _ in range(5):
        with pytest.raises(AssertionError, match="short_balance"):
            await town.ann_asks("100")
    await town.time_passes(minutes=5)
    assert [line for line in town.bank.server.calls[len(asked) :] if "resolve" in line] == []


@pytest.mark.parametrize("choice", [v3, v4])
async def test_an_account_that_does_not_exist_is_refused_at_the_first_look_and_the_money_is_back(
    settings: Settings, choice: Choice
) -> None:
    """With a reason that the provider reads; nobody was asked to review it."""
    async with open_town(settings, choice) as town, town.worker():
        await town.ann_earns("5000")
        payout = await town.ann_asks("2000", NOBODYS)
        await town.until(payout, "rejected")
        assert (await town.ann_sees(payout))["reason"]
        assert await town.ann_has() == ("5,000", "0", "0")
        await town.until_all_is_told()
        assert town.reviewers_were_told() == []


async def test_after_an_hour_people_are_asked_without_the_banks_word_and_see_that(town: Town) -> None:
    town.bank.faults.add(Fault(Kind.UNAVAILABLE, where=ENQUIRY, times=100_000))
    await town.ann_earns("5000")
    payout = await town.ann_asks("2000")
    await until_enquired(town)
    await town.time_passes(minutes=61)
    await town.until_looked(payout)
    seen = await town.review_of(payout)
    assert seen["holder"] == ""
    assert "unresolved" in [finding["code"] for finding in seen["findings"]]


async def test_a_request_is_cancelled_during_its_first_look(town: Town) -> None:
    """What the look brings afterwards changes nothing."""
    town.bank.faults.add(Fault(Kind.SLOW, created=True, delay_s=5, where=ENQUIRY))
    await town.ann_earns("5000")
    payout = await town.ann_asks("2000")
    await until_enquired(town)
    await town.ann_cancels(payout)
    assert await town.ann_has() == ("5,000", "0", "0")
    await town.time_passes(seconds=6)
    await wait_until(lambda: any("fee" in line for line in town.bank.server.calls), "the look goes on")
    other = await town.ann_asks("1000")
    await town.review_of(other)
    assert (await town.record(payout)).state == "CANCELLED"
    assert await town.ann_has() == ("4,000", "1,000", "0")


async def test_what_arrives_is_fixed_before_anybody_approves_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fee that the provider bears is the one of the first look, whatever it is when the money leaves."""
    async with open_town(settings, payout_fee_bearer="provider") as town, town.worker():
        await town.ann_earns("5000")
        payout = await town.ann_asks("2000")
        seen = await town.review_of(payout)
        assert (seen["fee"], seen["arrives"]) == ("10.75", "1989.25")
        monkeypatch.setattr(face, "fee_of", lambda *_: Decimal(500))
        await town.approve(payout)
        await town.until_queued(payout)
        await town.time_passes(hours=2)
        await town.until_sent(payout)
        assert town.transfer(payout).order.amount == Decimal("1989.25")
        await town.time_passes(seconds=10)
        await town.until(payout, "paid")
        assert await town.ann_has() == ("3,000", "0", "2,000")


async def test_a_yes_to_what_was_asked_for_is_no_yes_to_what_the_bank_said_of_it(town: Town) -> None:
    """An approval is bound to all that a reviewer saw: amount, destination, what arrives, and whose account it is."""
    town.bank.faults.add(Fault(Kind.UNAVAILABLE, where=ENQUIRY, times=3))
    await town.ann_earns("5000")
    payout = await town.ann_asks("2000")
    before = (await town.record(payout)).data.fingerprint
    await town.time_passes(minutes=10)
    seen = await town.review_of(payout)
    assert seen["fingerprint"] != before
    await town.refuses_approval(payout, before)
    await town.approve(payout)
