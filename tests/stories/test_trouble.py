"""What goes wrong between us and the gateway, and why nobody is paid twice, and nothing is lost, all the same."""

import asyncio
from contextlib import suppress

from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.magic import PAYS, STAYS
from machines.core.clock import HOUR
from machines.core.ids import RecordId
from machines.core.ports import Payment, Rail, Status
from machines.payout import facts as f
from payflow.engine.step import take_in
from tests.stories.town import BOUNCES, HOME, Town
from tests.waiting import wait_until


async def queued(town: Town) -> str:
    """Ann, an old customer, has ₦20,000 and asked for ₦2,000, which wait for the next batch."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("20000")
    payout = await town.ann_asks("2000")
    await town.until_queued(payout)
    return payout


async def sent(town: Town) -> str:
    """Their batch opened, and they are with the gateway."""
    payout = await queued(town)
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    return payout


async def failed(town: Town) -> str:
    """The bank has refused them once."""
    payout = await queued(town)
    town.bank.transfers.otherwise = BOUNCES
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=10)
    await town.until(payout, "failed")
    return payout


# ── one payout, one payment ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_failure_of_the_first_attempt_is_told_again_during_the_second(town: Town) -> None:
    """Gateways repeat old webhooks. What was said of attempt 1 must not fail attempt 2, which is being paid."""
    payout = await failed(town)
    failure = len(town.bank.courier.deliveries) - 1
    town.bank.transfers.otherwise = PAYS
    await town.time_passes(minutes=10)
    await town.until_sent(payout, attempt=2)

    # The old webhook arrives once more; and, as if another worker had learned it late, so does the fact itself.
    await town.gateway_says_again(failure)
    late = f.NotPaid(town.reference(payout, 1), "it failed")
    applied = await take_in(town.store.records, town.metrics, RecordId(payout), late, "a late worker")
    assert applied.decision.trigger is None
    assert applied.decision.why.startswith("noted")
    assert (await town.until_looked(payout)).state == "PROCESSING"

    await town.time_passes(seconds=5)
    record = await town.until(payout, "paid")
    assert record.data.paid_by == town.reference(record.id, 2)
    assert await town.ann_has() == ("18,000", "0", "32,000")
    assert town.reached(HOME) == "32,000"


async def test_somebody_clicks_retry_in_the_gateways_dashboard(town: Town) -> None:
    """The gateway makes a transfer of its own out of our failed one, under another reference, and pays it."""
    payout = await failed(town)
    town.bank.transfers.retry(town.transfer(payout), chosen=PAYS)
    await town.time_passes(seconds=10)
    assert town.reached(HOME) == "32,000"

    # Our own retry is due in ten minutes. Before it sends anything, it reads what became of every earlier attempt.
    await town.time_passes(minutes=10)
    record = await town.until(payout, "paid")
    assert record.data.paid_by == town.reference(record.id, 1)
    assert len(record.data.attempts) == 1
    assert town.reached(HOME) == "32,000"
    assert await town.ann_has() == ("18,000", "0", "32,000")


async def test_the_dashboards_retry_is_still_under_way_when_ours_is_due(town: Town) -> None:
    """Then ours waits: nothing is sent while an earlier attempt may yet be paid."""
    payout = await failed(town)
    clicked = town.bank.transfers.retry(town.transfer(payout), chosen=STAYS)
    for _ in range(3):
        await town.time_passes(hours=6)
        assert (await town.until_looked(payout)).state == "FAILED"
    assert len(town.transfers_of(payout)) == 2, "ours and the dashboard's"

    town.bank.transfers.finish(clicked, paid=False)
    await town.time_passes(hours=6)
    await town.until_sent(payout, attempt=2)


async def test_a_success_surfaces_after_the_payout_was_cancelled(town: Town) -> None:
    """The money was given back, and Ann has spent it. The books say what happened: she was paid, and owes it."""
    payout = await failed(town)
    await town.release(payout, "Ann does not want it any more")
    await town.until(payout, "cancelled")
    assert await town.ann_has() == ("20,000", "0", "30,000")
    town.bank.transfers.otherwise = PAYS
    again = await town.ann_asks("19000")
    await town.until_queued(again)

    # Somebody clicks Retry in the gateway's dashboard, of a payout that is over for us.
    town.bank.transfers.retry(town.transfer(payout), chosen=PAYS)
    await town.time_passes(seconds=10)
    await town.until_in(payout, "CONTRADICTED")
    account = await town.account()
    assert (account.available, account.held, account.paid, account.owed) == (0, 1_900_000, 3_200_000, 100_000)
    await town.until_told("Your payout of ₦2,000.00 was paid after all")

    # What she earns next settles it.
    await town.ann_earns("5000")
    account = await town.account()
    assert (account.available, account.owed) == (400_000, 0)


async def test_what_contradicts_the_books_stops_the_rail_until_a_person_resumes_it(town: Town) -> None:
    """A gateway that pays what we gave back may believe more that we do not know: it is sent nothing until then."""
    payout = await failed(town)
    await town.release(payout, "Ann does not want it any more")
    await town.until(payout, "cancelled")
    town.bank.transfers.otherwise = PAYS
    waiting = await town.ann_asks("3000")
    await town.until_queued(waiting)
    town.bank.transfers.retry(town.transfer(payout), chosen=PAYS)
    await town.time_passes(seconds=10)
    await town.until_in(payout, "CONTRADICTED")
    await town.until_paused("rail:flutterwave")
    pause = (await town.store.pauses.all())["rail:flutterwave"]
    assert f"{town.reference(payout)} was paid after the payout was CANCELLED" in pause.why

    # The batch opens; the payout of somebody who has nothing to do with it is looked at, and stays where it is.
    sent_before = town.sent()
    await town.time_passes(hours=2)
    assert (await town.until_looked(waiting)).state == "APPROVED"
    assert town.sent() == sent_before
    assert (await town.record(waiting)).data.failures == 0
    assert (await town.account()).held == 300_000

    # A person has looked at the gateway's dashboard, and is satisfied.
    await town.store.pauses.resume("rail:flutterwave")
    await town.time_passes(seconds=30)
    await town.until_sent(waiting)
    await town.time_passes(seconds=5)
    await town.until(waiting, "paid")


class Drowsy:
    """The real rail, to a worker who falls asleep between asking it and sending."""

    def __init__(self) -> None:
        self.tired = False
        self.asleep, self.awake = asyncio.Event(), asyncio.Event()
        self._rail: Rail | None = None

    def around(self, rail: Rail) -> Rail:
        self._rail = rail
        return self

    @property
    def rail(self) -> Rail:
        assert self._rail is not None
        return self._rail

    async def status(self, payment: Payment) -> Status:
        found = await self.rail.status(payment)
        if self.tired:
            self.asleep.set()
            await self.awake.wait()
        return found

    async def prepare(self, payment: Payment) -> Payment:
        return await self.rail.prepare(payment)

    async def submit(self, payment: Payment) -> str | None:
        return await self.rail.submit(payment)


async def test_a_worker_falls_asleep_just_before_the_send(sunday_town: Town) -> None:
    """Its lease runs out, and a colleague pays. When it wakes up it asks whether it may still send, and does not."""
    town, drowsy = sunday_town, Drowsy()
    async with town.worker(drowsy.around) as metrics:
        payout = await queued(town)
        before = town.sent()
        drowsy.tired = True
        await town.time_passes(hours=2)
        await drowsy.asleep.wait()

        # It asked; the gateway knew nothing of the payout; all that is left to do is to send. Eleven seconds later:
        async with town.worker():
            await town.time_passes(seconds=11)
            await town.until_sent(payout)
            drowsy.awake.set()

            def gave_up() -> bool:
                lost = metrics.registry.get_sample_value("payflow_leases_lost_total", {"machine": "payout"})
                return bool(lost)

            await wait_until(gave_up, "the sleeper found out that it had lost its lease")
            assert town.sent() == before + 1

        drowsy.tired = False
        await town.time_passes(seconds=5)
        await town.until(payout, "paid")


# ── what is not known is asked ───────────────────────────────────────────────────────────────────────────────────────


async def test_the_gateway_takes_it_and_its_answer_is_lost(town: Town) -> None:
    """A time-out is not a failure: it is looked for, found, and followed."""
    payout = await queued(town)
    town.bank.faults.add(Fault(Kind.RESET, created=True))
    await town.time_passes(hours=2)
    await town.until_in(payout, "UNCONFIRMED")
    await town.time_passes(seconds=10)
    await town.until(payout, "paid")
    assert len(town.transfers_of(payout)) == 1
    assert "lose_sight" in await town.story_of(payout)


async def test_the_gateway_never_got_it(town: Town) -> None:
    """Not found, twice, after it had time to show: the same reference goes out again."""
    payout = await queued(town)
    town.bank.faults.add(Fault(Kind.RESET))
    await town.time_passes(hours=2)
    await town.until_in(payout, "UNCONFIRMED")
    await town.time_passes(seconds=60)
    assert (await town.until_looked(payout)).state == "UNCONFIRMED"
    await town.time_passes(seconds=60)
    assert (await town.until_looked(payout)).data.unseen <= 1
    await town.time_passes(seconds=30)
    record = await town.until_sent(payout)
    assert len(record.data.attempts) == 1
    await town.time_passes(seconds=5)
    await town.until(payout, "paid")


async def test_our_wallet_is_empty(town: Town) -> None:
    """Ann did nothing wrong: no failure is counted, she is not bothered, and it goes out when there is money."""
    payout = await queued(town)
    town.bank.transfers.wallets["NGN"] = town.bank.transfers.wallets["NGN"] * 0
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=10)
    record = await town.until_in(payout, "APPROVED")
    assert record.data.failures == 0
    await town.until_all_is_told()
    assert "Your payout of ₦2,000.00 did not go through" not in town.ann_was_told()

    town.bank.transfers.wallets["NGN"] += 1_000_000
    await town.time_passes(minutes=7)  # its batch has opened: it waits for no second one
    await town.until_sent(payout, attempt=2)
    await town.time_passes(seconds=10)
    await town.until(payout, "paid")


async def test_the_gateway_revokes_our_key(town: Town) -> None:
    """It refuses us, not the payout: the rail is paused, nothing fails; a person sets a new key and resumes."""
    payout = await queued(town)
    town.bank.transfers.switches.key_revoked = True
    await town.time_passes(hours=2)
    await town.until_paused("rail:flutterwave")
    assert (await town.record(payout)).state == "PROCESSING"
    assert await town.ann_has() == ("18,000", "2,000", "30,000")

    town.bank.transfers.switches.key_revoked = False
    await town.store.pauses.resume("rail:flutterwave")
    await town.time_passes(seconds=30)
    await town.until_sent(payout)
    await town.time_passes(seconds=5)
    await town.until(payout, "paid")


async def test_the_platform_is_down_and_hears_everything_later(town: Town) -> None:
    """News waits in the outbox and is tried again, ever more slowly, until the platform acknowledges it."""
    payout = await queued(town)
    await town.until_all_is_told()
    town.shop.status = 503
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=5)
    await town.until(payout, "paid")
    await wait_until(lambda: town.shop_heard().count("payout.completed") == 1, "the shop was told, and refused")

    town.shop.status = 200
    # The refusal may be written down when the hour has passed already: then the next try is an hour later.
    for _ in range(3):
        await town.time_passes(hours=1)
        with suppress(AssertionError):
            await wait_until(lambda: town.shop_heard().count("payout.completed") == 2, "it was told", limit_s=3)
            break
    await town.until_all_is_told()
    assert town.shop_heard().count("payout.completed") == 2, "once refused, once taken"


async def test_the_platform_is_down_for_days_and_news_is_replayed_by_command(town: Town) -> None:
    """After about a day it is set aside, where operators see it; once the platform is up they send it again."""
    payout = await queued(town)
    await town.until_all_is_told()
    town.shop.status = 503
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=5)
    await town.until(payout, "paid")
    await town.until_shop_refused(1)
    began, tries = town.clock.now(), 1
    while not await town.store.outbox.undelivered():
        tries += 1
        await town.time_passes(hours=1)
        await town.until_shop_refused(tries)
    assert town.clock.now() - began > 20 * HOUR

    town.shop.status = 200
    (aside,) = await town.store.outbox.undelivered()
    await town.store.outbox.replay(aside.id)
    await town.time_passes(seconds=1)
    await town.until_all_is_told()
    assert town.shop.heard[-1].headers["webhook-id"] == aside.id.partition("@")[0], "the same, at its endpoint"
    assert await town.store.outbox.undelivered() == []
