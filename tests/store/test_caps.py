"""What may leave in a day is held in one place for all shards: once for each payout, through kills, back by a look."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from machines.core.clock import DAY, FixedClock, Millis
from machines.core.decision import New
from machines.core.errors import BadSettings, StoreUnavailable
from machines.core.facts import Fact, Override, Proof
from machines.core.ids import Owner, RecordId, derived_id
from machines.core.machine import AnyMachine
from machines.core.money import ETH, NGN, Money
from machines.core.ports import Destination, Evidence, Failed, Payment, Settled, Status, Unsent
from machines.payout import facts as f
from machines.payout.acts import PayoutActs
from machines.payout.data import PayoutData, reference_of
from machines.payout.lifecycle import APPROVED, CANCELLED, PROCESSING
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout
from machines.payout.risk import Thresholds
from payflow.desk.batches import Schedule
from payflow.desk.books import Bookkeeper, faults_of
from payflow.desk.caps import REACHED_FOR_MS, PayoutCaps, caps_of, daily_caps
from payflow.desk.providers import ProviderHistories
from payflow.engine.step import Steps
from payflow.store import keys
from payflow.store.store import Store, open_store
from payflow.store.stored import Queue, Stored
from payflow.telemetry.metrics import Metrics
from payflow.web.http.probes import read_gauges
from tests.desk import LEASE_MS, owner_in, settings_for
from tests.machines.payout.world import Believing, Unlimited
from tests.servers import EVERY, Deployment, Kind

HOME = Destination("bank", (("bank_code", "044"), ("account_number", "0690000031")))


class Bank:
    """Knows no transfer, until it is asked to make one, which fails or is paid as it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = False

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> str | None:
        """Take it."""
        self.asked.append(payment.key)
        return None

    async def status(self, payment: Payment) -> Status:
        """Say what became of it."""
        if payment.key not in self.asked:
            return Unsent()
        return Failed("no such account", retryable=True) if self.fails else Settled(Evidence("bank", payment.key))


class World:
    """Payouts over one bank, with a cap of NGN 1,000 a day for it, and of NGN 1,500 in all."""

    def __init__(self, store: Store, bank: Bank, clock: FixedClock) -> None:
        self.store, self.bank, self.clock = store, bank, clock
        self.metrics = Metrics()
        self.caps = PayoutCaps(store, store.settings)
        self.acts = PayoutActs(
            {"flutterwave": bank, "paystack": bank},
            ProviderHistories(store),
            Schedule("instant"),
            store.seals,
            Believing(),
            Thresholds(),
            Unlimited(),
            caps=self.caps,
        )
        self.machine: AnyMachine = payout(PayoutPolicy(), self.acts.acts(), self.acts.prove)
        store.serve([self.machine])

    async def approved(self, naira: int = 400, key: str = "1", owner: Owner | None = None, **more: Any) -> RecordId:
        """Make a payout that waits for its batch."""
        owner = owner or owner_in(0)
        record_id = derived_id("payout", self.store.records.owner_shard(owner), owner, key)
        units = naira * 100
        place = self.store.seals.place(HOME)
        data = PayoutData(
            "flutterwave", "bank", self.store.seals.seal(HOME, record_id), "••", units, assessed=True,
            rules="rules.believed", ruled_place=place, place=place, **more,
        )  # fmt: skip
        await self.store.records.fund(owner, Money(units, NGN), f"earned {record_id}")
        new = New(record_id, "payout", owner, Money(units, NGN), data)
        await self.store.records.recreate(new, APPROVED, "test", "made for a test")
        return record_id

    async def leased(self, state: str = APPROVED) -> list[Stored]:
        """Lease what is due in a state."""
        claimed = await self.store.records.claim([Queue("payout", state, 100, LEASE_MS)])
        return [one for part in claimed for one in part.found if isinstance(one, Stored)]

    async def looks(self, state: str = APPROVED) -> None:
        """A worker looks at what is due in a state."""
        steps = Steps(self.store, self.metrics, who="worker", lease_ms=LEASE_MS)
        for one in await self.leased(state):
            await steps.look(one)

    async def state(self, record_id: RecordId) -> str:
        """Say where a payout is."""
        return (await self.store.records.read(record_id)).record.state

    async def waits_for(self, record_id: RecordId) -> str:
        """Say what a payout waits for."""
        return str((await self.store.records.read(record_id)).record.data.waiting_for)

    async def learns(self, record_id: RecordId, fact: Fact) -> None:
        """Let a payout learn something from outside."""
        stored = await self.store.records.read(record_id)
        await self.store.records.commit(stored, self.machine.react(stored.record, fact, stored.at), fact, "test")

    async def used(self) -> list[int]:
        """Say how many naira are used of the bank's cap, and of that on all."""
        return [one.used.units // 100 for one in await daily_caps(self.store)]


@pytest.fixture
async def world(server: Deployment, tmp_path: Path, clock: FixedClock) -> AsyncIterator[World]:
    caps = '{"flutterwave": "1000", "all": "1500, 2 ETH"}'
    async with open_store(settings_for(server, tmp_path, PAYFLOW_PAYOUT_CAPS=caps), clock=clock) as store:
        yield World(store, Bank(), clock)


@pytest.mark.parametrize("kind", EVERY, indirect=True)
async def test_of_many_at_once_in_all_shards_no_more_leave_than_may(world: World) -> None:
    ids = [await world.approved(300, str(nth), owner_in(shard, nth)) for shard in range(4) for nth in range(3)]
    await asyncio.gather(*(world.looks() for _ in range(4)))
    states = [await world.state(one) for one in ids]
    assert (states.count(PROCESSING), states.count(APPROVED)) == (3, 9)
    assert await world.used() == [900, 900, 0]
    waits = {await world.waits_for(one) for one in ids} - {""}
    assert waits == {"no more than NGN 1000.00 may leave in a day through flutterwave"}
    await world.looks(PROCESSING)
    assert len(set(world.bank.asked)) == 3


@pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)
async def test_a_worker_that_is_killed_between_the_cap_and_the_payout_takes_nothing_twice(world: World) -> None:
    record_id = await world.approved()
    for _ in range(3):
        (found,) = await world.leased()
        fact = await world.acts.board(found.record, _Looking(found.at))
        assert isinstance(fact, f.Boarded), "reserved; and here the worker dies, before the payout knows of it"
        assert (await world.used(), await world.state(record_id)) == ([400, 400, 0], APPROVED)
        world.clock.at += LEASE_MS + 1
    await world.looks()
    assert (await world.used(), await world.state(record_id)) == ([400, 400, 0], PROCESSING)
    await world.looks(PROCESSING)
    await world.looks(PROCESSING)
    assert (await world.used(), world.bank.asked) == ([400, 400, 0], [reference_of(record_id, 1)])


@pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)
async def test_what_a_killed_worker_took_comes_back_by_a_look_and_never_by_time(world: World) -> None:
    record_id = await world.approved(1000)
    (found,) = await world.leased()
    await world.acts.board(found.record, _Looking(found.at))
    late = await world.approved(700, "late")
    world.clock.at += DAY // 2 - world.clock.at % DAY
    await world.learns(record_id, f.Cancelled("ann", "no", Proof.NONE))
    assert await world.state(record_id) == CANCELLED
    await world.looks()
    assert await world.state(late) == APPROVED, "nobody has looked yet whether anything of the other one left"
    await world.looks(CANCELLED)
    await world.looks(CANCELLED)
    assert await world.used() == [0, 0, 0]
    world.clock.at += 3600_000
    await world.looks()
    assert (await world.state(late), await world.waits_for(late)) == (PROCESSING, "")


async def test_one_that_was_put_back_and_took_its_part_anew_does_not_lose_it_to_an_older_look(world: World) -> None:
    record_id = await world.approved()
    await world.looks()
    before = (await world.store.records.read(record_id)).record
    amount, now = Money(400_00, NGN), world.clock.now()
    assert await world.store.caps.reserve(record_id, before.version + 5, amount, {"flutterwave NGN": 1}, now) is None
    assert not await world.store.caps.give_back(record_id, before.version + 4, amount, now)
    assert await world.used() == [400, 400, 0]
    assert await world.store.caps.give_back(record_id, before.version + 5, amount, now)
    assert not await world.store.caps.give_back(record_id, before.version + 5, amount, now)
    assert await world.used() == [0, 0, 0]


@pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_is_taken_and_given_back_at_once_what_is_used_is_what_is_held(world: World, seed: int) -> None:
    rng, caps, now = Random(seed), world.store.caps, world.clock.now()
    limits = {"all NGN": 15_000, "flutterwave NGN": 10_000}
    units = {RecordId(f"payout-00-{'a' * 14}{one}{two}"): rng.randrange(1, 4_000) for one in "abcd" for two in "abcde"}

    async def one_of(record_id: RecordId) -> None:
        for version in range(1, 9):
            amount, at = Money(units[record_id], NGN), rng.choice((version, version - 1))
            if rng.random() < 0.6:
                await caps.reserve(record_id, version, amount, dict(rng.sample(sorted(limits.items()), 2)), now)
            else:
                await caps.give_back(record_id, at, amount, now)

    await asyncio.gather(*map(one_of, units))
    fields = await world.store.link.ask("HGETALL", keys.capped(now // DAY))
    held = sum(int(name.split()[-1]) for name in fields if name.startswith(b"for:"))
    used = await caps.used(list(limits), now)
    assert {one.units for one in used} == {held}
    assert held <= min(limits.values())
    for record_id, number in units.items():
        await caps.give_back(record_id, 99, Money(number, NGN), now)
    assert [one.units for one in await caps.used(list(limits), now)] == [0, 0]


async def test_what_may_have_left_gives_nothing_back(world: World) -> None:
    record_id = await world.approved()
    await world.looks()
    word = Override(CANCELLED, "asked to", "otto", "rita", Proof.NONE)
    await world.learns(record_id, word)
    await world.looks(CANCELLED)
    assert (await world.state(record_id), await world.used()) == (CANCELLED, [400, 400, 0])


async def test_a_retry_on_another_day_counts_on_that_day_and_waits_where_that_is_full(world: World) -> None:
    record_id = await world.approved(600)
    world.bank.fails = True
    for state in (APPROVED, PROCESSING, PROCESSING):
        await world.looks(state)
        world.clock.at += 60_000
    assert await world.state(record_id) == "FAILED"
    world.clock.at += DAY
    other = await world.approved(700, "other")
    await world.looks()
    assert (await world.state(other), await world.used()) == (PROCESSING, [700, 700, 0])
    await world.looks("FAILED")
    await world.looks(PROCESSING)
    sent = [one for one in world.bank.asked if one.startswith(record_id)]
    assert (await world.state(record_id), len(sent)) == (APPROVED, 1), "the second attempt was never sent"
    world.clock.at += DAY
    await world.looks()
    assert (await world.state(record_id), await world.used()) == (PROCESSING, [600, 600, 0])


async def test_operators_and_alerts_see_how_much_is_used_and_whether_payouts_wait(world: World) -> None:
    async def seen(of: str) -> tuple[float | None, ...]:
        read = (await read_gauges(world.store)).registry.get_sample_value
        where = {"cap": of, "asset": "NGN"}
        return read("payflow_payout_cap_used_ratio", where), read("payflow_payout_cap_reached", where)

    await world.approved(900)
    await world.looks()
    assert (await seen("flutterwave"), await seen("all")) == ((0.9, 0), (0.6, 0))
    await world.approved(200, "waits")
    await world.looks()
    assert (await seen("flutterwave"), await seen("all")) == ((0.9, 1), (0.6, 0))
    world.clock.at += REACHED_FOR_MS
    assert await seen("flutterwave") == (0.9, 0)


async def test_a_currency_without_a_cap_and_an_installation_without_one_hold_nothing(world: World) -> None:
    assert [(one.of, str(one.most)) for one in await daily_caps(world.store)] == [
        ("flutterwave", "NGN 1000.00"),
        ("all", "NGN 1500.00"),
        ("all", "ETH 2.000000000"),
    ]
    record_id = await world.approved()
    record = (await world.store.records.read(record_id)).record
    elsewhere = replace(record, data=replace(record.data, rail="paystack"), amount=Money(1, ETH))
    assert await world.caps.reserve(elsewhere, world.clock.now()) == ""
    free = PayoutCaps(world.store, world.store.settings.model_copy(update={"payout_caps": {}}))
    assert await free.reserve(replace(record, amount=Money(10**15, NGN)), world.clock.now()) == ""


async def test_where_the_place_of_the_cap_cannot_be_asked_nothing_leaves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id = await world.approved()

    async def gone(*_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(world.store.caps, "reserve", gone)
    await world.looks()
    assert (await world.state(record_id), world.bank.asked) == (APPROVED, [])


def test_a_cap_on_a_rail_that_nobody_knows_is_refused(world: World) -> None:
    settings = world.store.settings.model_copy(update={"payout_caps": {"fluterwave": "1000"}})
    with pytest.raises(BadSettings, match="'fluterwave' is no rail"):
        caps_of(settings, world.store.records.assets)


class _Looking:
    """What an act is given, where nothing is paused."""

    def __init__(self, now: Millis) -> None:
        self.now = now

    async def may_send(self, *scopes: str) -> None: ...

    async def refuse_paused(self, *scopes: str) -> None: ...


async def test_what_left_counts_whatever_somebody_wrote(world: World) -> None:
    """Somebody takes away what is used of a cap again and again: it is counted anew from what was signed."""
    walker = Bookkeeper(world.store, 1, 3600)
    await world.approved(600, "1")
    await world.looks()
    await world.looks(PROCESSING)
    assert [fault async for fault in faults_of(world.store)] == []
    capped = keys.capped(world.clock.now() // DAY)
    await world.store.link.ask("DEL", capped)
    found = [fault.place async for fault in faults_of(world.store)]
    assert sorted(found) == [f"{capped} all NGN", f"{capped} flutterwave NGN"]
    await walker.check_in_turn()
    assert (await world.used())[:2] == [600, 600]
    assert await world.store.pauses.all() == {}
    second = await world.approved(600, "2")
    await world.looks()
    assert await world.state(second) == APPROVED
    await world.store.link.ask("DEL", capped)
    world.clock.advance(3600)
    await world.looks()
    await world.looks(PROCESSING)
    assert await world.state(second) != APPROVED, "it slipped through"
    await walker.check_in_turn()
    assert list(await world.store.pauses.all()) == ["rail:flutterwave"], "which is over its cap, and all is not"
    assert (await world.used())[:2] == [1200, 1200]


async def test_a_single_figure_of_a_cap_is_what_is_reserved_of_it(world: World) -> None:
    for key in ("1", "2"):
        await world.approved(300, key)
    await world.looks()
    capped = keys.capped(world.clock.now() // DAY)
    for change in (("HSET", capped, "all NGN", 1), ("HSET", capped, "flutterwave NGN", 7)):
        world.clock.advance(60)
        await world.store.link.ask(*change)
        assert [fault async for fault in faults_of(world.store)]
        await Bookkeeper(world.store, 1, 3600).check_in_turn()
        assert (await world.used())[:2] == [600, 600]
