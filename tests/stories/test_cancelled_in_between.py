"""A payout is cancelled at each moment of its send: given back only where nothing has left, and never paid then."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from machines.core.ids import RecordId
from machines.core.ports import Payment, Rail, Status
from payflow.config import Settings
from payflow.store import keys
from tests.stories.town import ANN, Town, open_town
from tests.waiting import wait_until

MOMENTS = ("before the look", "after the look", "right before the send", "right after the send")


@dataclass
class Interrupted:
    """A rail that lets something happen at one moment, once."""

    rail: Rail
    moment: str
    then: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def at(self, moment: str) -> None:
        while moment == self.moment and self.then:
            await self.then.pop()()

    async def status(self, payment: Payment) -> Status:
        await self.at("before the look")
        status = await self.rail.status(payment)
        await self.at("after the look")
        return status

    async def prepare(self, payment: Payment) -> Payment:
        return await self.rail.prepare(payment)

    async def submit(self, payment: Payment) -> str | None:
        await self.at("right before the send")
        handle = await self.rail.submit(payment)
        await self.at("right after the send")
        return handle


async def cancelled_at(town: Town, moment: str) -> str:
    """Let a payout be sent, and cancelled at a moment of that."""
    rails: list[Interrupted] = []

    def around(rail: Rail) -> Rail:
        rails.append(Interrupted(rail, moment))
        return rails[-1]

    async with town.worker(around):
        await town.ann_earns("5000")
        payout = await town.ann_asks("1000")

        async def cancel() -> None:
            await town.ann_cancels(payout)

        rails[-1].then.append(cancel)
        await town.approve(payout)
        await town.until_queued(payout)
        await town.time_passes(hours=2)
        if moment.startswith("right"):
            await town.until_sent(payout)
            await town.time_passes(seconds=10)
            await town.until(payout, "paid")
        else:
            await wait_until(lambda: not rails[-1].then, "she took it back")
            await town.until_looked(payout)
            assert (await town.account()).held, "what might be under way would be seen in a while"
            await town.time_passes(minutes=5)
            await town.until(payout, "cancelled")
    return payout


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_payout_that_is_cancelled_while_it_is_sent_is_paid_or_given_back_and_never_both(
    settings: Settings, moment: str
) -> None:
    async with open_town(settings) as town:
        payout = await cancelled_at(town, moment)
        if moment.startswith("right"):
            assert await town.ann_has() == ("4,000", "0", "1,000")
            assert (await town.record(payout)).data.wish is None
        else:
            assert town.sent() == 0
            assert await town.ann_has() == ("5,000", "0", "0")


async def test_nothing_is_given_back_while_it_is_sent_though_somebody_took_the_mark_of_the_send_away(
    settings: Settings,
) -> None:
    """And the lease too, so that another worker looks at it while the first one sends."""
    async with open_town(settings) as town:
        rails: list[Interrupted] = []
        held: list[int] = []

        def around(rail: Rail) -> Rail:
            rails.append(Interrupted(rail, "right before the send"))
            return rails[-1]

        async with town.worker(around):
            await town.ann_earns("5000")
            payout = await town.ann_asks("1000")

            async def by_hand() -> None:
                await town.ann_cancels(payout)
                record, link = keys.record(RecordId(payout)), town.store.link
                await link.ask("HDEL", record, "sending")
                await link.ask("HINCRBY", record, "fence", 1)
                due = keys.due(town.store.records.owner_shard(ANN), "payout", "PROCESSING")
                await link.ask("ZADD", due, 1, payout)
                await town.until_looked(payout)
                held.append((await town.account()).held)

            rails[-1].then.append(by_hand)
            await town.approve(payout)
            await town.until_queued(payout)
            await town.time_passes(hours=2)
            await wait_until(lambda: bool(held), "somebody looked at it meanwhile")
            assert held == [1000_00], "it may be paid at any moment"
            await wait_until(lambda: bool(town.sent()), "it is sent all the same")
            await town.time_passes(minutes=5)
            await town.until(payout, "paid")
        assert await town.ann_has() == ("4,000", "0", "1,000")
