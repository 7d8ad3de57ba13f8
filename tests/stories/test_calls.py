"""All calls to a gateway come out of one budget, whoever makes them and for what; counted against its clock."""

import asyncio

import pytest

from adapters.sandbox.faults import Fault, Kind
from machines.core.clock import SECOND
from machines.core.decision import New
from machines.core.ids import Owner, derived_id
from machines.core.money import NGN, Money
from machines.core.ports import Destination
from machines.payout.data import Attempt, PayoutData, reference_of
from payflow.config import PollerSettings, Settings
from payflow.store import keys
from tests.stories.banks import Choice, paystack, v3, v4
from tests.stories.town import HOME, Town, open_town
from tests.waiting import wait_until

RATE = 200.0
"""High, so that a permit takes little of the real time; what is counted is the time of the clock."""
BURST = RATE + RATE / 4 + 4
"""What may be saved up: a second of each share, and a little that nobody used."""
MANY, ENOUGH = 5_000, 1_000
"""So many are due at once; so many calls show what the others wait for."""
WATCHERS = {f"payout.{state}": PollerSettings(concurrency=64) for state in ("COMPLETED", "FAILED", "CANCELLED")}


async def finished(town: Town, count: int, state: str = "COMPLETED") -> None:
    """So many payouts to as many people are over, and all of them are watched at this moment."""
    where = Destination("bank", (("bank_code", "044"), ("account_number", HOME)))
    records, rail = town.store.records, town.settings.payout_rail

    async def one(number: int) -> None:
        owner = Owner(f"provider-{number}")
        payout = derived_id("payout", records.owner_shard(owner), owner, "key")
        reference = reference_of(payout, 1)
        sealed = town.store.seals.seal(where, payout)
        attempts = (Attempt(reference, sealed, handle=f"trf_{number}", sent=True),)
        data = PayoutData(rail, "bank", sealed, "044 6789", 100_00, assessed=True, attempts=attempts, paid_by=reference)
        await records.recreate(New(payout, "payout", owner, Money(100_00, NGN), data), state, "test", "made for a test")

    await asyncio.gather(*map(one, range(count)))


class Count:
    """What the gateway was asked since some moment of its clock, never more than its budget."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._begun, self._before = town.clock.now(), len(town.bank.server.calls)

    @property
    def calls(self) -> int:
        """How many calls it got."""
        return len(self._town.bank.server.calls) - self._before

    def within_budget(self) -> bool:
        """Whether they fit into the time that passed."""
        return self.calls <= RATE * (self._town.clock.now() - self._begun) / SECOND + BURST

    async def time_passes(self, seconds: float) -> None:
        """Let time pass, and somebody make use of it."""
        before = self.calls
        self._town.clock.advance(seconds)
        await self._town.store.link.ask("PUBLISH", keys.WAKE_CHANNEL, "the clock")
        await wait_until(lambda: self.calls > before, "somebody calls")
        assert self.within_budget()


async def test_five_thousand_finished_payouts_stay_inside_the_budget_and_a_send_gets_its_share(
    settings: Settings,
) -> None:
    """They were once all asked within seconds, and each 28 times in a week: the gateway would slow down the sends."""
    changes = {"gateway_calls": RATE, "pollers": WATCHERS, "batch_schedule": "instant"}
    async with open_town(settings, v3, **changes) as town:
        await town.ann_earns("5000")
        await finished(town, MANY)
        counted = Count(town)
        async with town.worker(), town.worker():
            payout = ""
            while counted.calls < ENOUGH:
                await counted.time_passes(0.5)
                if not payout and counted.calls > ENOUGH // 3:
                    payout = await town.ann_asks("1000")
                    await town.approve(payout)
            record = await town.until_with_gateway(payout)
            assert record.since - town.clock.now() <= 0
        assert counted.within_budget()


@pytest.mark.parametrize("choice", [v3, v4, paystack])
@pytest.mark.parametrize("told_s", [7, 0], ids=["with Retry-After", "without"])
async def test_when_a_gateway_asks_for_fewer_calls_everybody_obeys(
    settings: Settings, choice: Choice, told_s: int
) -> None:
    """In the middle of the sends: what was refused surely did not happen, and goes out under the same reference."""
    changes = {"gateway_calls": 1000.0, "pollers": WATCHERS}
    async with open_town(settings, choice, **changes) as town, town.worker(), town.worker():
        await town.ann_earns("50000")
        payouts = [await town.ann_asks("1000") for _ in range(6)]
        for payout in payouts:
            await town.approve(payout)
            await town.until_queued(payout)
        town.bank.faults.add(Fault(Kind.RATE_LIMITED, delay_s=told_s, where="*transfer*", times=1))
        counted = Count(town)
        await town.time_passes(hours=2)
        await wait_until(lambda: counted.calls > 0, "the gateway is called")
        await quiet(town, counted)
        heard = counted.calls
        await town.time_passes(seconds=(told_s or 30) - 1)
        await quiet(town, counted)
        assert counted.calls == heard, "nobody calls while the gateway rests"
        await town.time_passes(seconds=2)
        for payout in payouts:
            await until_sent_in_time(town, payout)
        await town.time_passes(seconds=60)
        for payout in payouts:
            record = await town.until(payout, "paid")
            assert len(record.data.attempts) == 1


async def quiet(town: Town, counted: Count) -> None:
    """Wait until every payout was looked at that could be, and no call is under way any more."""
    seen = -1
    while seen != counted.calls:
        seen = counted.calls
        for _ in range(20):
            await town.store.records.now()
            await asyncio.sleep(0.005)


async def until_sent_in_time(town: Town, payout: str) -> None:
    """Wait until a payout is with the gateway; time passes meanwhile, so slowly that no lease runs out."""

    async def there() -> bool:
        town.clock.advance(0.005)
        current = (await town.record(payout)).data.current
        return current is not None and current.sent

    await wait_until(there, f"{payout} is with the gateway")
