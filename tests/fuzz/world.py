"""One payout's life under random trouble, from request to rest."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

from machines.core.clock import FixedClock
from machines.core.decision import New
from machines.core.errors import PayflowError
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId, derived_id
from machines.core.machine import AnyMachine
from machines.core.money import NGN, Money
from machines.core.ports import Destination, Rail
from machines.payout import facts as f
from machines.payout.acts import Looks
from machines.payout.data import PayoutData, PayoutRecord
from machines.payout.policy import Policy
from machines.payout.react import payout
from machines.payout.risk import Standing, Thresholds
from payflow.engine.schedule import Schedule
from payflow.engine.step import Steps, take_in
from payflow.store.guard import Guard
from payflow.store.records import Records
from payflow.store.store import Store
from payflow.store.stored import Claimed, Queue, Stored
from payflow.telemetry.metrics import Metrics
from tests.fuzz.bank import Bank
from tests.fuzz.dying import Died, DyingLink, DyingRail, Fate

T = TypeVar("T")

LEASE_MS = 10_000
MOST_LOOKS = 4000
POLICY = Policy(watch_ms=0)
REST = ("COMPLETED", "CANCELLED", "REJECTED", "REVERSED", "CONTRADICTED")


@dataclass(slots=True)
class Tally:
    """What many runs came to."""

    runs: int = 0
    deaths: int = 0
    looks: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add another tally."""
        self.runs += other.runs
        self.deaths += other.deaths
        self.looks += other.looks
        self.ends += other.ends
        self.faults += other.faults


class Trusting:
    """Everybody is an old friend, so that payouts get to the rail."""

    async def standing(self, _record: PayoutRecord, _within_ms: int) -> Standing:
        """Say that all is well."""
        return Standing(verified=True, successes=9)


class OpenSeals:
    """Destinations in clear, for speed."""

    def open(self, sealed: str) -> Destination:
        """Read a destination."""
        return Destination("bank", (("bank", "044"), ("account", sealed)))


def machine_on(rails: Mapping[str, Rail]) -> AnyMachine:
    """Make the payout machine over rails."""
    lists = {name: rail if isinstance(rail, Bank) else getattr(rail, "bank", None) for name, rail in rails.items()}
    looks = Looks(rails, Trusting(), Schedule("instant"), OpenSeals(), Thresholds(), policy=POLICY, lists=lists)
    return payout(POLICY, looks.acts(), looks.prove)


class Run:
    """One seed."""

    def __init__(self, seed: int, store: Store, clock: FixedClock, danger: float = 0.03) -> None:
        self.seed = seed
        self._dice = Random(seed)
        self._store = store
        self._clock = clock
        self.fate = Fate(self._dice, danger)
        self.bank = Bank(self._dice, clock, trouble=self._dice.choice((0.0, 0.2, 0.5)))
        self._rail = DyingRail(self.bank, self.fate)
        self.tally = Tally(runs=1)
        self.payout = RecordId("")
        self._clicked = False

    async def play(self) -> Tally:
        """Live the whole life, then compare the books."""
        owner = Owner(f"provider-{self.seed}")
        amount = Money(self._dice.randrange(1, 50_000_00), NGN)
        await self._store.records.fund(owner, amount, f"earned-{self.seed}")
        await self.request(owner, amount)
        for _ in range(MOST_LOOKS):
            if not await self.turn():
                break
        await self.fate.bury()
        await self._judge(owner, amount)
        self.tally.deaths = self.fate.deaths
        return self.tally

    async def request(self, owner: Owner, amount: Money) -> None:
        """Ask for the payout, perhaps twice."""
        shard = self._store.records.owner_shard(owner)
        self.payout = derived_id("payout", shard, owner, "key")
        data = PayoutData("bank", "bank", "0123456789", "•6789", amount.units, requested_by=owner, fingerprint="seen")
        new = New(self.payout, "payout", owner, amount, data, fingerprint="f", counted=True)
        for _ in range(self._dice.choice((1, 1, 2))):
            await self._store.records.create(new, owner)

    async def turn(self) -> bool:
        """Let a process do what is due, or let time pass; False when there is nothing left to wait for."""
        link = DyingLink(self._store.link, self.fate)
        try:
            claimed = await self._work(self._process(link))
        except Died:
            link.cut = True
            await self.fate.bury()
            await self._meddle()
            return True
        if self.tally.faults:
            return False
        if claimed is None:
            return True
        await self._meddle()
        if not claimed.found:
            if claimed.next_due is None:
                return False
            self._clock.at = max(self._clock.at, claimed.next_due)
        return not await self._at_rest()

    async def _work(self, records: Records) -> Claimed | None:
        """Claim what is due, and look at it; None when the store did not answer. Whoever dies looks at nothing more."""
        steps = Steps(
            self._view(records), Metrics(), who=f"worker-{self.fate.deaths}", lease_ms=LEASE_MS, luck=self._dice
        )
        try:
            (claimed,) = await self._survive(records.claim(self._queues()))
        except PayflowError:
            return None
        for found in claimed.found:
            if isinstance(found, Stored):
                self.tally.looks += 1
                await self._survive(steps.look(found))
            else:
                self.tally.faults.append(f"seed {self.seed}: {found.id} cannot be read: {found.problem}")
        return claimed

    def _queues(self) -> list[Queue]:
        polled = ("REQUESTED", "APPROVED", "PROCESSING", "UNCONFIRMED", "FAILED", "COMPLETED", "CANCELLED")
        return [Queue("payout", state, 4, LEASE_MS) for state in polled]

    def _process(self, link: DyingLink) -> Records:
        """Start a process: its own memory, its own connection, the same store."""
        store = self._store
        guard = Guard(store.records.shards, None)
        machine = machine_on({"bank": self._rail})
        return Records(link, guard, [machine], store.records.shards, store.records.assets, self._clock)

    def _view(self, records: Records) -> Store:
        """Give the store as this process sees it."""
        return replace(self._store, link=records.link, guard=records.guard, records=records)

    async def _survive(self, work: Awaitable[T]) -> T:
        """Wait for some work, or for the process's death in the middle of it."""
        task = asyncio.ensure_future(work)
        death = asyncio.ensure_future(self.fate.died.wait())
        await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if task.done():
            return task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
        raise Died

    async def _meddle(self) -> None:
        """Let the outside world do something: a webhook, a provider, an operator, a click in the bank's dashboard."""
        whim = self._dice.random()
        record = await self._record()
        if whim < 0.15:
            await self._store.records.poke(self.payout)
        elif whim < 0.18:
            await self._say(f.Cancelled("provider", "changed my mind"))
        elif whim < 0.24 and record.data.current is not None:
            stale = self._dice.choice(record.data.attempts).reference
            if stale != record.data.current.reference:
                await self._say(f.NotPaid(stale, "said again"))
        elif whim < 0.30 and record.state == "FAILED" and not self._clicked:
            self._clicked = self.bank.click_retry(record.data.attempts[-1].reference)
        elif whim < 0.36 and record.state == "FAILED" and record.data.failures > len(POLICY.retry_after_s):
            await self._person(record)

    async def _person(self, record: PayoutRecord) -> None:
        """Let an operator decide on a payout that gave up."""
        if self._dice.random() < 0.5:
            await self._say(f.Retried("operator"))
            return
        prove = self._store.records.machines["payout"].prove
        if prove is not None:
            looks = machine_on({"bank": self.bank})
            try:
                proof = await looks.prove(record) if looks.prove else "none"
            except PayflowError:
                return
            await self._say(f.Released("operator", "give it back", proven=proof == "not_paid"))

    async def _say(self, fact: Fact) -> None:
        with contextlib.suppress(PayflowError):
            await take_in(self._store.records, Metrics(), self.payout, fact, "somebody")

    async def _record(self) -> PayoutRecord:
        return (await self._store.records.read(self.payout)).record

    async def _at_rest(self) -> bool:
        record = await self._record()
        waits = record.state == "FAILED" and record.data.failures > len(POLICY.retry_after_s)
        return (record.state in REST or waits) and self._dice.random() < 0.3

    async def _judge(self, owner: Owner, amount: Money) -> None:
        """Compare what we say with what the bank did."""
        record = await self._record()
        self.bank.finish()
        times = sum(self.bank.paid.values())
        self.tally.ends[record.state] += 1
        faults = []
        if times > 1:
            faults.append(f"paid {times} times: {dict(self.bank.paid)}")
        if record.state == "COMPLETED" and times != 1:
            faults.append(f"COMPLETED, but paid {times} times")
        if record.state in ("CANCELLED", "REJECTED", "FAILED") and times and not self._clicked:
            faults.append(f"{record.state}, but it was paid")
        if record.state not in (*REST, "FAILED"):
            faults.append(f"left in {record.state} after {self.tally.looks} looks")
        if record.parked:
            faults.append(f"parked: {record.parked}")
        account = (await self._store.ledger.account(owner))[amount.asset.code]
        if account.imbalance or min(account.available, account.held, account.paid) < 0:
            faults.append(f"the account is {account}")
        self.tally.faults += [f"seed {self.seed}: {fault}" for fault in faults]
