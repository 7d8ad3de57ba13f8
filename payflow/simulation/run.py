"""One seed: one payout, from its request until it is at rest, with all that befalls it on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import cast

import aiohttp

from machines.core.clock import DAY, HOUR, SECOND, FixedClock, Millis
from machines.core.errors import PayflowError
from machines.core.ids import Owner
from machines.core.lifecycle import By
from machines.core.money import NGN, Money
from machines.core.ports import Destination
from machines.payout import lifecycle as s
from machines.payout.data import PayoutRecord
from payflow.app.gateways import setups
from payflow.config import Settings
from payflow.desk.gateways import GatewaySetup
from payflow.desk.payouts import Ask
from payflow.engine.step import Steps
from payflow.simulation.conditions import Story, drawn
from payflow.simulation.gateway import AtAwait, DirectSession, UnkindGateway
from payflow.simulation.outside import RESTING, Meddlers
from payflow.simulation.processes import OLGA, RITA, Installation, SimulatedLink, SimulatedProcess, installed
from payflow.store.link import Link
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store
from payflow.store.stored import Queue, Stored
from payflow.telemetry.metrics import Metrics

START = 1_800_000_000_000
LEASE_MS = 10_000
MOST_LOOKS = 2_000
MOST_MEDDLED_WITH = 1_000
LONGEST_MEDDLED_WITH_MS = 11 * DAY
"""After so many looks, or so long, people and death leave it alone: whether it comes to rest is up to us then."""
LONGEST_MS = 14 * DAY
MOST_HELP = 12
"""How often people help before a payout counts as one that never comes to rest."""
ROUND_MS = 6 * HOUR
"""How often an operator looks whether anything waits for a person."""
LOOKS_A_ROUND = 30
"""After how many looks an alarm would have called them by now."""
MOST_LOSSES = 2
FAILED_FOR_GOOD_MS = DAY
"""How long a payout that is not tried again by itself must lie there to be at rest."""
SOON_MS = 20 * SECOND
"""What passes without anybody outside doing anything."""
MEANWHILE = 0.5
"""How likely somebody may do something while more time passes, and how much likelier it is then."""
MEANWHILE_TIMES = 4.0
MOST_ASKED = 100
LEAST, MOST = 100_00, 49_000_00

ACCOUNTS = ("0690000001", "2110345678", "0110012345")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the store holds at a moment, to be put back: it is emptied between runs, and it may forget."""

    values: tuple[tuple[str, bytes], ...]

    @classmethod
    async def of(cls, link: Link) -> "Snapshot":
        """Read all that the store holds."""
        keys = [key async for key in link.keys("*")]
        values = await link.pipeline([("DUMP", key) for key in keys]) if keys else []
        return cls(tuple(zip(keys, values, strict=True)))

    async def put_back(self, link: Link) -> None:
        """Make the store hold this, and nothing else."""
        await link.pipeline([("FLUSHDB",), *(("RESTORE", key, 0, value) for key, value in self.values)])


class PayoutRun:
    """A world with one payout in it."""

    def __init__(
        self,
        seed: int,
        store: Store,
        clock: FixedClock,
        settings: Mapping[str, Settings],
        folder: Path,
        metrics: Metrics,
        *,
        truthful: bool,
    ) -> None:
        self.seed = seed
        self.clock = clock
        self._dice = Random(seed)  # noqa: S311  (a seed must bring the same run back)
        clock.at = START + self._dice.randrange(DAY)
        self.conditions = drawn(self._dice, truthful=truthful)
        self.story = Story(clock)
        self.gateway = UnkindGateway(self.conditions, self._dice, clock, self.story)
        self.amount = Decimal(0)
        self.looks = 0
        self.endless = False
        """Whether it was still looked at when the run was cut off."""
        self.last_look = clock.now()
        self.deaths = 0
        self._store = store
        self._settings = settings[self.conditions.api]
        self._folder = folder
        self._metrics = metrics
        self._processes: dict[str, tuple[SimulatedProcess, Installation]] = {}
        self._due: Millis | None = clock.now()
        """When a worker has something to do, as far as is known; None for never."""
        self._round_at = Millis(clock.now() + ROUND_MS)
        self._round_looks = LOOKS_A_ROUND
        self._losses = 0
        self._durable: Snapshot | None = None
        self.parts = self._install("outside", _pass)
        self.outside = Meddlers(self.conditions, self.gateway, self.story, self.parts, self._dice)

    @property
    def _left_alone(self) -> bool:
        return self.looks >= MOST_MEDDLED_WITH or self.clock.at - self.story.began > LONGEST_MEDDLED_WITH_MS

    # ── the whole life ───────────────────────────────────────────────────────────────────────────────────────────────

    async def live(self) -> PayoutRecord:
        """Live it, until the payout is at rest or was given up; gives it as it is then."""
        await self._request()
        await self._on_barrier()
        for number in range(self.conditions.workers):
            self._start(f"worker {number + 1}")
        while await self._step():
            if self.looks >= MOST_LOOKS or self.clock.at - self.story.began > LONGEST_MS:
                self.endless = True
                break
            if len(self.outside.needed) >= MOST_HELP:
                break
        for process, parts in self._processes.values():
            await process.bury()
            parts.store.guard.close()
        record = await self.outside.record()
        self.gateway.finish()
        return record

    async def _request(self) -> None:
        dice, parts = self._dice, self.parts
        owner, amount = Owner(f"provider-{self.seed}"), Money(dice.randrange(LEAST, MOST), NGN)
        number = dice.choice(ACCOUNTS)
        destination = Destination("bank", (("account_number", number), ("bank_code", "044")))
        self.outside.destinations.append(destination)
        self.amount = Decimal(amount.decimal)
        await parts.store.records.fund(owner, amount, f"earned-{self.seed}")
        await parts.store.profiles.write(Profile(owner), Profile(owner, verified=True), self.clock.now())
        await Tokens(parts.store.link).create(RITA.name, Role.REVIEWER, "", OLGA.name)
        ask = Ask(owner, amount, "bank", destination, key="key")
        for _ in range(MOST_ASKED):
            try:
                self.outside.payout = (await parts.desk.request(ask)).record.id
                break
            except PayflowError as error:
                self.story.tell("provider", f"asks in vain: {error}")
                self.clock.advance(30)
        self.story.began = self.clock.now()
        self._due = self.clock.now()
        self.story.tell("provider", f"asks for {amount} to {number}: {self.outside.payout}")

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _install(self, name: str, at_await: AtAwait, process: SimulatedProcess | None = None) -> Installation:
        session = cast("aiohttp.ClientSession", DirectSession(self.gateway, at_await))
        link = self._store.link
        own = SimulatedLink(link, process, self._on_barrier) if process else link

        def gateways(store: Store) -> Mapping[str, GatewaySetup]:
            return setups(self._settings, store, self.clock, session, read_pause_s=0)

        # It is of the machine, and outlives the process.
        high_water = self._folder / f"{self.seed}-{name}"
        return installed(self._store, own, self._settings, gateways, self.clock, high_water, self._metrics)

    def _start(self, name: str) -> None:
        process = SimulatedProcess(name, self._dice, self.clock, self.conditions, self.story)
        if self._left_alone:
            process.leave_alone()
        self._processes[name] = process, self._install(name, process.at_await, process)

    async def _step(self) -> bool:
        """Let somebody do something, or time pass; False when the payout is at rest."""
        self.gateway.agenda.run()
        while self.gateway.webhooks:
            await self.outside.deliver(self.gateway.webhooks.pop(0))
            self._due = self.clock.now()
        now = self.clock.now()
        awake = [each for each, _ in self._processes.values() if each.awake_at is not None and each.awake_at <= now]
        due = self._due is not None and self._due <= now
        idle = [(each, parts) for each, parts in self._processes.values() if due and each.idle]
        if not awake and not idle:
            return await self._pass_time()
        whose = self._dice.randrange(len(awake) + len(idle))
        if whose < len(awake):
            await awake[whose].go_on()
            if awake[whose].idle:
                self._due = now
        else:
            process, parts = idle[whose - len(awake)]
            await process.run(lambda: self._work(process, parts))
        await self._bury_the_dead()
        if self.looks >= self._round_looks:
            await self._make_round()
        await self._meddle(1.0)
        if self._dice.random() < self.conditions.losses:
            await self._forget()
        return True

    async def _bury_the_dead(self) -> None:
        """Clear away who died, and start another process in its place."""
        for name, (process, parts) in list(self._processes.items()):
            if process.dead:
                self.deaths += 1
                await process.bury()
                parts.store.guard.close()
                self._start(name)
                self._due = self.clock.now()

    async def _work(self, process: SimulatedProcess, parts: Installation) -> None:
        """Claim what is due and look at it, as a worker does."""
        store = parts.store
        try:
            if store.guard.doubted:
                await store.compare()
            (claimed,) = await store.records.claim(QUEUES)
        except PayflowError:
            self._due = Millis(self.clock.now() + SECOND)
            return
        self._due = claimed.next_due
        steps = Steps(store, self._metrics, who=process.name, lease_ms=LEASE_MS, rng=self._dice)
        for found in claimed.found:
            self._due = self.clock.now()
            if isinstance(found, Stored):
                self.looks += 1
                if self._left_alone:
                    for each, _ in self._processes.values():
                        each.leave_alone()
                self.last_look = self.clock.now()
                self.story.tell(process.name, f"looks at it in {found.record.state}")
                await steps.look(found)
            else:
                await steps.set_aside(found, found.problem)
            self._due = self.clock.now()

    async def _meddle(self, times: float) -> bool:
        """Let somebody click at the gateway, or want something, perhaps; say whether anybody did."""
        if self._left_alone:
            return False
        if self._dice.random() < self.conditions.clicks * times:
            return self.gateway.click()
        if self._dice.random() < self.conditions.wishes * times:
            await self.outside.wish()
            self._due = self.clock.now()
            return True
        return False

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _pass_time(self) -> bool:
        """Let time pass until something happens by itself; False when nothing will any more."""
        now = self.clock.now()
        stops = [each.awake_at for each, _ in self._processes.values()]
        coming = [at for at in (self._due, self.gateway.agenda.next_at(), *stops) if at is not None and at > now]
        at = min(*coming, self._round_at) if coming else self._round_at
        if at - now > SOON_MS:
            if self._is_at_rest(await self.outside.record(), coming):
                return False
            if self._dice.random() < MEANWHILE:
                self.clock.at = self._dice.randrange(now, at)
                if await self._meddle(MEANWHILE_TIMES):
                    return True
        self.clock.at = at
        if at >= self._round_at:
            await self._make_round()
        return True

    async def _make_round(self) -> None:
        self._round_at = Millis(self.clock.at + ROUND_MS)
        self._round_looks = self.looks + LOOKS_A_ROUND
        await self.outside.make_round(await self.outside.record())
        self._due = self.clock.now()

    def _is_at_rest(self, record: PayoutRecord, coming: list[Millis]) -> bool:
        if record.parked or record.state not in RESTING:
            return False
        if record.state != s.FAILED:
            return not coming
        return self.clock.at - record.since > FAILED_FOR_GOOD_MS

    # ── a store that forgets ─────────────────────────────────────────────────────────────────────────────────────────

    async def _on_barrier(self) -> None:
        """Remember what has surely reached the disk: all that was written before a barrier."""
        if self.conditions.losses:
            self._durable = await Snapshot.of(self._store.link)

    async def _forget(self) -> None:
        """Lose what was acknowledged since the last barrier."""
        if self._durable is not None and self._losses < MOST_LOSSES:
            self._losses += 1
            self.story.tell("store", "forgets what it acknowledged since the last barrier")
            await self._durable.put_back(self._store.link)
            self._due = self.clock.now()


QUEUES = [Queue(s.LIFECYCLE.machine, each.name, 1, LEASE_MS) for each in s.STATES if each.by is By.POLLER]


async def _pass(_: str) -> None:
    """Nothing befalls who is outside."""
