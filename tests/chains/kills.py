"""`python -m tests.chains.kills`: a lane pays, and its process dies at every commit, every call and every signature.

Each process lives a little longer than the one before, so that the deaths walk over all the places where one can be;
the dice of the seed say how long that is, what else fails, and when a second process works beside the first. In the end
each payment has arrived once, the chain has exactly the sum, and no nonce is left open.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import structlog

from machines.core.clock import FixedClock
from machines.core.errors import PayflowError
from machines.core.ports import Payment
from machines.transaction import lifecycle as s
from machines.transaction.acts import TransactionActs
from machines.transaction.acts_lane import LaneActs
from machines.transaction.react import transaction as transaction_machine
from machines.transaction.react_lane import lane as lane_machine
from machines.transaction.react_payment import payment as payment_machine
from payflow.config import load
from payflow.desk.lanes import StoreBooks
from payflow.engine.step import Steps
from payflow.store.guard import Guard
from payflow.store.integrity import Integrity
from payflow.store.listing import Listing
from payflow.store.records import Records
from payflow.store.store import Store
from payflow.store.stored import Queue, Stored
from payflow.telemetry.metrics import Metrics
from tests.chain import GWEI, LANE, Anvil, anvil, stranger
from tests.chains.batches import made_contract
from tests.chains.dying import DyingChain, DyingSigner
from tests.chains.mortal import Died, DyingLink, Fate
from tests.lanes import QUICK, Station, open_station

LEASE_MS = 10_000
PAYMENTS = 30
UNITS = 1_000_000
MOST_TURNS = 300
SLEEPY = 0.25
LOOKS = (("lane", s.OPEN), ("transaction", s.SIGNED), ("transaction", s.SENT), ("transaction", s.MINED))


class Span(Fate):
    """Lets a process live for so many calls, and die at the next."""

    def __init__(self, dice: Random, trouble: float) -> None:
        super().__init__(dice, trouble)
        self.left = 0
        self.sleeps = False
        """Whether it falls asleep instead, and goes on when others believe it dead."""
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let what sleeps go on."""
        self._woken.set()
        self._woken = asyncio.Event()

    async def meet(self) -> None:
        """Die here, or fall asleep, when the time has come."""
        self.left -= 1
        if self.left == 0:
            self.deaths += 1
            self.died.set()
            if self.sleeps:
                self.died = asyncio.Event()
                await self._woken.wait()
                return
            self._dead.append(asyncio.current_task())
            await asyncio.Event().wait()


@dataclass(slots=True)
class Tally:
    """What runs came to."""

    payments: int = 0
    deaths: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Process:
    """One process of a lane: its own link, its own memory, the same store."""

    records: Records
    steps: Steps
    link: DyingLink
    chain: DyingChain


class Run:
    """One seed."""

    def __init__(self, seed: int, station: Station, clock: FixedClock) -> None:
        self.seed = seed
        self._dice = Random(seed)
        self._station = station
        self._clock = clock
        self._fate = Span(self._dice, self._dice.choice((0.0, 0.02)))
        self._payments: list[Payment] = []
        self._sleepers: list[asyncio.Future[object]] = []
        self.tally = Tally(PAYMENTS)

    async def play(self) -> Tally:
        """Pay, dying all the time, then compare the books."""
        await self._order()
        span = self._dice.randrange(1, 9)
        for _ in range(MOST_TURNS):
            if await self._turn(span):
                break
            span += self._dice.randrange(3)
        else:
            self.tally.faults.append("it did not come to an end")
        self._fate.wake()
        await asyncio.gather(*self._sleepers, return_exceptions=True)
        await self._judge()
        self.tally.deaths = self._fate.deaths
        self.tally.faults = [f"seed {self.seed}: {fault}" for fault in self.tally.faults]
        return self.tally

    async def _order(self) -> None:
        for number in range(PAYMENTS):
            to = stranger()
            if self._dice.random() < 0.8:
                await self._station.chain.set_balance(to, 1)
            self._payments.append(self._station.payment(f"p-{self.seed}-{number}", to, UNITS + number))
        await self._station.pay(*self._payments)

    async def _turn(self, span: int) -> bool:
        """Let a process, or two at once, live for a while; say whether all is done."""
        self._fate.left, self._fate.sleeps = span, self._dice.random() < SLEEPY
        processes = [self._process() for _ in range(self._dice.choice((1, 1, 2)))]
        sleepers, self._sleepers = self._sleepers, []
        try:
            await self._survive(asyncio.gather(*map(self._work, processes)))
        except Died:
            for process in processes:
                process.link.cut = process.chain.cut = True
            await self._fate.bury()
        if self._fate.died.is_set():  # the death of one that was believed to sleep, with nobody waiting for it
            await self._fate.bury()
        if sleepers:
            self._fate.left = 0  # it has no second death
            self._fate.wake()
            await asyncio.gather(*sleepers, return_exceptions=True)
        # What was leased by the dead comes back, and what waits for its next look is due.
        self._clock.advance(LEASE_MS / 1000 + self._dice.choice((1, 40)))
        if self._dice.random() < 0.7:
            await self._station.chain.mine(self._dice.randrange(1, 3))
        records = await asyncio.gather(*map(self._station.record, self._payments))
        return all(one.state == s.SETTLED for one in records)

    def _process(self) -> Process:
        station = self._station
        store = station.store
        link = DyingLink(store.link, self._fate)
        chain = DyingChain(station.nodes, self._fate)
        lane: Any = replace(station.lane, chain=chain, signer=DyingSigner(station.lane.signer, self._fate))
        guard = Guard(store.records.shards, None)
        records = Records(link, guard, store.records.shards, store.records.assets, self._clock)
        # What a process holds in memory is its own, and its locks as well.
        own: dict[str, Any] = {
            "_comparing": asyncio.Lock(),
            "listing": Listing(link, records),
            "integrity": Integrity(link, records),
        }
        view: Store = replace(store, link=link, guard=guard, records=records, **own)
        books = StoreBooks(view)
        view.serve(
            [
                lane_machine({s.OPEN: LaneActs({"ethereum": lane}, books).look}),
                payment_machine(),
                transaction_machine(TransactionActs({"ethereum": lane}, books).acts()),
            ]
        )
        return Process(records, Steps(view, Metrics(), who="worker", lease_ms=LEASE_MS, rng=self._dice), link, chain)

    async def _work(self, process: Process) -> None:
        """Look at what is due, as one claim after the other leases it."""
        queues = [Queue(machine, state, 100, LEASE_MS) for machine, state in LOOKS]
        for _ in range(4):
            try:
                claimed = await process.records.claim(queues)
            except PayflowError:
                return
            found = [one for answer in claimed for one in answer.found]
            if not found:
                return
            await asyncio.gather(*(process.steps.look(one) for one in found if isinstance(one, Stored)))

    async def _survive(self, work: Awaitable[object]) -> None:
        """Wait for some work, or for the process's death in the middle of it."""
        task = asyncio.ensure_future(work)
        death = asyncio.ensure_future(self._fate.died.wait())
        await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if task.done():
            await task
            return
        if self._fate.sleeps:
            self._sleepers.append(task)
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
        raise Died

    async def _judge(self) -> None:
        """Compare our books with the chain."""
        station, faults = self._station, self.tally.faults
        for number, payment in enumerate(self._payments):
            got = await station.chain.balance(payment.to["address"])
            if got not in {(UNITS + number) * GWEI, (UNITS + number) * GWEI + 1}:
                faults.append(f"{payment.key} got {got} wei")
        data = await station.lane_data()
        mined = await station.chain.nonce(LANE.address)
        if mined != data.next_nonce:
            faults.append(f"the chain counts {mined}, the lane {data.next_nonce}")
        if data.noticed or data.suspects:
            faults.append(f"its own transactions seemed foreign to it: {data}")
        left = await station.lanes.books.unsettled("ethereum")
        late = [one.data.nonce for one in left if one.data.members]
        if late:
            faults.append(f"nonces {late} are left open")
        async for fault in station.store.integrity.verify():
            faults.append(f"{fault.place}: {fault.problem}")


async def play(seeds: range, folder: Path, tell: Callable[[Tally], None] = lambda _: None) -> Tally:
    """Play some seeds on one store and one chain, every other one in batches."""
    total, clock = Tally(0), FixedClock()
    settings = load({"PAYFLOW_DATA": str(folder)})
    async with anvil(mining=False, slots_in_an_epoch=1) as chain:
        contract = await made_contract(chain)
        async with open_station(settings, chain, clock=clock, pay_many=contract) as station:
            for seed in seeds:
                policy = replace(QUICK, rebroadcast_s=30, bump_after_s=200, in_flight=1 + seed % 12)
                batches = seed % 2 == 0
                station.change_lane(policy=policy, pay_many=contract if batches else None)
                station.set_policy(batch_size=8)
                tally = await Run(seed, station, clock).play()
                total.payments += tally.payments
                total.deaths += tally.deaths
                total.faults += tally.faults
                await settle(station, chain, clock)
                tell(total)
    return total


async def settle(station: Station, chain: Anvil, clock: FixedClock) -> None:
    """Let what is left come to its end, so that the next seed begins with a lane at rest."""
    for _ in range(MOST_TURNS):
        if not await station.lanes.books.unsettled("ethereum"):
            return
        await chain.mine(3)
        clock.advance(60)
        for machine, state in LOOKS:
            await station.look_once(machine, state)


def _progress(tally: Tally) -> None:
    sys.stderr.write(f"\r{tally.payments} payments, {tally.deaths} deaths, {len(tally.faults)} faults")


def _drop(*_: object) -> str:
    raise structlog.DropEvent


def main() -> int:
    """Play, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="the first seed; a fault names the one to replay")
    given = parser.parse_args()
    structlog.configure(processors=[_drop])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = asyncio.run(play(range(given.seed, given.seed + given.runs), Path(folder), _progress))
    took = time.monotonic() - began
    told = f"{tally.payments} payments, {tally.deaths} deaths in {took:.0f} s, {len(tally.faults)} faults"
    sys.stdout.write("\n".join([*tally.faults, told, ""]))
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
