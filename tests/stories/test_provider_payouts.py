"""The provider payouts of the implementation guide, walked from the request to the mail that closes the loop.

The numbers in the comments are those of its diagram: 1 request, 2 risk, 3 approval, 4 batch, 5 webhook, 6 notification.
"""

from adapters.sandbox.magic import PAYS
from payflow.store.registers.batches import Batches
from tests.stories.town import BOUNCES, HOME, Town


async def test_the_automated_path(town: Town) -> None:
    """Low risk: nobody has to look, and the money is with Ann after the next batch."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("80000")

    # 1. The request is accepted if the balance covers it, and the amount is held at once.
    payout = await town.ann_asks("50000")
    assert await town.ann_has() == ("30,000", "50,000", "30,000")

    # 2. and 3a. ₦50,000 to a verified provider with three successful payouts is low risk: approved without anybody.
    await town.until_queued(payout)
    await town.until_told("Your payout of ₦50,000.00 is approved")

    # 4. It waits in the queue until the next batch opens, two hours after the last one; then it is handed over.
    await town.time_passes(minutes=119)
    assert (await town.ann_sees(payout))["status"] == "approved"
    await town.time_passes(minutes=1)
    record = await town.until_sent(payout)
    batch = await Batches(town.store.link, town.store.records).find(record.data.batch)
    assert batch is not None

    # 5. The webhook says that it is done; the gateway is asked whether that is true; then the books say so.
    await town.time_passes(seconds=5)
    await town.until(payout, "paid")
    assert await town.ann_has() == ("30,000", "0", "80,000")
    assert [status for _, status in await town.anns_earnings()] == ["PAID_OUT", "AVAILABLE"]
    assert town.reached(HOME) == "80,000"

    # 6. Ann and her platform are told, with amount and reference.
    await town.until_told("₦50,000.00 was paid to you")
    assert town.reference(record.id, 1) in town.letters.mails[-1].text
    await town.until_all_is_told()
    assert town.shop_heard() == ["payout.approved", "payout.completed"]
    assert await town.story_of(payout) == ["approve", "process", "complete"]


async def test_the_manual_review_path(town: Town) -> None:
    """High risk: the payout is flagged and waits for a person, who approves it."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("80000")

    # 2. One kobo more than ₦50,000, and more than five times the ₦10,000 that she usually asks for.
    payout = await town.ann_asks("50000.01")

    # 3b. Its status remains `requested`; reviewers are told why, and see what the rules found.
    review = await town.review_of(payout)
    assert [finding["code"] for finding in review["findings"]] == ["amount", "spike"]
    assert (await town.ann_sees(payout))["status"] == "requested"
    await town.until_told("We got your request for ₦50,000.01")
    await town.until_all_is_told()
    assert "A payout of ₦50,000.01 waits for you" in town.reviewers_were_told()

    # However long it takes: no batch takes along what nobody approved.
    await town.time_passes(hours=6)
    assert (await town.ann_sees(payout))["status"] == "requested"
    assert town.transfers_of(payout) == []

    # A reviewer approves, and it goes the way of all others.
    await town.approve(payout, by="rita")
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=5)
    await town.until(payout, "paid")
    await town.until_told("₦50,000.01 was paid to you")


async def test_a_reviewer_says_no(town: Town) -> None:
    """The money is Ann's again at once, and she reads why."""
    await town.ann_earns("80000")
    payout = await town.ann_asks("60000")
    await town.reject(payout, "the invoice is missing")
    await town.until(payout, "rejected")
    assert await town.ann_has() == ("80,000", "0", "0")
    await town.until_told("Your payout of ₦60,000.00 was not approved")
    assert "the invoice is missing" in town.letters.mails[-1].text
    assert town.sent() == 0


async def test_a_balance_that_is_too_small_is_said_at_once(town: Town) -> None:
    """1. The request is refused with a reason, and nothing is held."""
    await town.ann_earns("1000")
    assert await town.ann_asks("1000.01", expect=400) == ""
    assert await town.ann_has() == ("1,000", "0", "0")


async def test_failure_and_three_retries(town: Town) -> None:
    """The bank refuses three times; each retry comes by itself, later than the last, and the third one is paid."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("20000")
    payout = await town.ann_asks("2000")
    town.bank.transfers.otherwise = BOUNCES
    await town.until_queued(payout)
    await town.time_passes(hours=2)

    for attempt, wait_s in ((1, 600), (2, 3_600), (3, 21_600)):
        # 5. The gateway says that it failed: the payout is FAILED, the reason is kept, the money is still held.
        await town.until_sent(payout, attempt)
        await town.time_passes(seconds=10)
        record = await town.until(payout, "failed")
        assert record.data.failures == attempt
        assert "fatal error" in record.data.reason
        assert await town.ann_has() == ("18,000", "2,000", "30,000")

        # An automated retry is scheduled: not before its time, under a reference of its own.
        await town.time_passes(seconds=wait_s - 10)
        assert (await town.until_looked(payout)).state == "FAILED"
        if attempt == 3:
            town.bank.transfers.otherwise = PAYS
        await town.time_passes(seconds=10)

    await town.until_sent(payout, 4)
    await town.time_passes(seconds=10)
    record = await town.until(payout, "paid")
    assert record.data.paid_by == town.reference(record.id, 4)
    assert town.reached(HOME) == "32,000"

    # 6. While it is tried again by itself Ann need not do anything, and is told nothing but the payment in the end.
    await town.until_told("₦2,000.00 was paid to you")
    await town.until_all_is_told()
    assert town.ann_was_told().count("Your payout of ₦2,000.00 did not go through") == 0
    assert await town.story_of(payout) == ["approve", "process", *["fail", "retry"] * 3, "complete"]


async def test_after_three_retries_it_requires_manual_intervention(town: Town) -> None:
    """Then nothing happens by itself any more. Ann names another account, a reviewer approves it, and it is paid."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("20000")
    payout = await town.ann_asks("2000")
    town.bank.transfers.otherwise = BOUNCES
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    for attempt, wait_s in ((1, 600), (2, 3_600), (3, 21_600), (4, 0)):
        await town.until_sent(payout, attempt)
        await town.time_passes(seconds=10)
        await town.until(payout, "failed")
        await town.time_passes(seconds=wait_s)

    await town.until_all_is_told()
    assert "A payout of ₦2,000.00 waits for you" in town.reviewers_were_told()
    await town.time_passes(days=3)
    assert (await town.until_looked(payout)).state == "FAILED"
    assert len(town.transfers_of(payout)) == 4

    # Another account is another risk: nothing goes there before somebody has looked at it.
    town.bank.transfers.otherwise = PAYS
    await town.ann_corrects(payout, "0123456780")
    await town.time_passes(days=1)
    assert (await town.until_looked(payout)).state == "FAILED"
    await town.approve(payout)
    await town.until_sent(payout, 5)
    await town.time_passes(seconds=10)
    await town.until(payout, "paid")
    assert (town.reached(HOME), town.reached("0123456780")) == ("30,000", "2,000")


async def test_a_payout_that_comes_back(town: Town) -> None:
    """Two days after it was paid the bank sends it back. Ann has the money available again, and is told."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("20000")
    payout = await town.ann_asks("2000")
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=5)
    await town.until(payout, "paid")
    assert await town.ann_has() == ("18,000", "0", "32,000")

    await town.time_passes(days=2)
    town.bank.transfers.reverse(town.transfer(payout))
    await town.time_passes(hours=6)  # v3 has no webhook for this: the watch finds it
    await town.until(payout, "returned")
    assert await town.ann_has() == ("20,000", "0", "30,000")
    await town.until_told("Your payout of ₦2,000.00 came back")
    assert await town.story_of(payout) == ["approve", "process", "complete", "reverse"]


async def test_a_payout_whose_webhook_never_comes_is_finished_all_the_same(town: Town) -> None:
    """A webhook is only a reason to look now: whoever gets none looks by himself."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("2000")
    town.bank.courier.on = False
    payout = await town.ann_asks("2000")
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=60)
    await town.until(payout, "paid")
