"""`python -m tests.chains.lying`: a lane pays while some of its nodes lie, and nothing settles that did not happen.

Each seed says which nodes lie, how, and when; how far the honest ones are apart; what a short reorg takes back. The
real lane works in the real store, over nodes in memory. At every moment what counts as settled is buried in the honest
chain, in the end nobody was paid twice or elsewhere, and where the honest nodes are enough, everybody was paid and
nothing stopped.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

import structlog

from adapters.ethereum.endpoint import NodeLimits
from adapters.ethereum.node import Nodes
from adapters.ethereum.pay_many import PayManyContract
from machines.core.clock import FixedClock
from machines.core.money import ETH, Asset, Money
from machines.core.ports import Destination, Payment, PaymentKey
from machines.transaction import lifecycle as s
from machines.transaction.data import PaymentRecord
from machines.transaction.policy import FeePolicy, LanePolicy
from machines.transaction.ports import Lane, LaneToken
from payflow.config import load
from payflow.desk.lanes import Lanes
from payflow.engine.step import Steps
from payflow.store.store import Store, open_store
from payflow.store.stored import Queue, Stored
from payflow.telemetry.metrics import Metrics
from tests.chain import GWEI, LANE, raw_key, stranger
from tests.chains import lying_on_anvil
from tests.chains.stubs import PAY_MANY, TOKEN, Liar, Lie, StubChain, StubNode, StubSession

DEPTH, REORG = 4, 2
PAYMENTS = 8
GWEI_EACH = 1_000_000
TURNS, AT_LEAST = 150, 30
TRUST_FROM, TRUST_UNTIL = 40, 120
SEEDS_A_STORE = 20
LEASE_MS = 10_000
USD = Asset("USDT", 6)
QUICK = NodeLimits(rest_s=3.0, pause_s=0.001, grace_s=0.003, rounds=1)
LOOKED_AT = (
    ("lane", s.OPEN),
    *(("transaction", state) for state in (s.SIGNED, s.SENT, s.MINED, s.FINAL, s.REVERTED, s.DISPLACED)),
)
CROWDS = ((3, 1), (5, 2), (2, 1), (3, 0))
"""How many nodes there are, and how many of them lie."""


@dataclass(slots=True)
class Tally:
    """What runs came to."""

    runs: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    payments: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add another run's."""
        for mine, theirs in (
            (self.runs, other.runs),
            (self.settled, other.settled),
            (self.payments, other.payments),
            (self.stopped, other.stopped),
        ):
            mine.update(theirs)
        self.faults += other.faults


class Run:
    """One seed."""

    def __init__(self, seed: int, store: Store, lanes: Lanes, clock: FixedClock) -> None:
        self._seed = seed
        self._dice = Random(seed)
        self._store, self._lanes, self._clock = store, lanes, clock
        self._count, self._liars = CROWDS[seed % len(CROWDS)]
        self._name = f"seed-{seed}"
        self._chain = StubChain(LANE.address, 10**24, 10**12, self._dice)
        self._chain.blocks += self._mined(self._dice.randrange(3, 20))
        self._nodes = self._made_nodes()
        self._payments: list[Payment] = []
        self._trusts = self._liars * 2 == self._count and self._dice.random() < 0.3
        self._trusted = ""
        begins = self._dice.randrange(5, 40)
        self._outage = range(begins, begins + self._dice.choice((0, 5, 25)))
        self.tally = Tally()

    @property
    def _kind(self) -> str:
        return f"{self._liars} of {self._count}"

    @property
    def _honest_are_enough(self) -> bool:
        return self._count - self._liars > self._count // 2

    def open(self) -> None:
        """Open the lane."""
        urls = [f"http://{name}" for name in self._nodes]
        self._dice.shuffle(urls)
        session = cast("Any", StubSession(self._nodes))
        self._chain_seen = Nodes(session, urls, self._chain_id, self._clock, QUICK, self._name, reorg_blocks=DEPTH)
        self._chain_seen.trusted = self._who_is_trusted
        self._lanes.lanes[self._name] = self._lane(self._chain_seen)
        self.tally.runs[self._kind] += 1
        self.tally.payments[self._kind] += PAYMENTS

    async def close(self) -> None:
        """Close the lane, and see whether all was paid that had to be."""
        await self._end()
        del self._lanes.lanes[self._name]
        await self._chain_seen.close()

    async def order(self) -> None:
        """Perhaps order payments."""
        if len(self._payments) < PAYMENTS and self._dice.random() < 0.5:
            await self._pay(self._dice.randrange(1, 4))

    async def see(self, turn: int) -> bool:
        """Compare what counts as settled with the chain, and let the world go on; say whether all is over."""
        records = await asyncio.gather(*(self._record(one) for one in self._payments))
        self._compare(records)
        self._tick(turn)
        if turn == TRUST_UNTIL:
            self._trusted = ""
        if self._trusts and turn == TRUST_FROM:
            # As people do who have found out which node is right.
            self._trusted = next(name for name in self._nodes if name.startswith("honest")) + ":80"
            await self._store.pauses.resume(f"rail:{self._name}")
        for record in await self._lanes.books.unsettled(self._name):
            await self._store.records.poke(record.id)
        settled = len(records) == PAYMENTS and all(one.state == s.SETTLED for one in records)
        lost = not self._honest_are_enough and not self._trusts and await self._stopped()
        return bool(self.tally.faults) or ((settled or lost) and turn > AT_LEAST)

    async def _stopped(self) -> bool:
        return f"rail:{self._name}" in await self._store.pauses.all()

    async def _end(self) -> None:
        records = [await self._record(one) for one in self._payments]
        states = Counter(one.state for one in records)
        self.tally.settled[self._kind] += states[s.SETTLED]
        paused = await self._store.pauses.all()
        lane = await self._lanes.books.lane(self._name)
        stopped = [scope for scope in paused if scope.endswith(f":{self._name}")]
        self.tally.stopped[self._kind] += bool(stopped)
        if self._honest_are_enough or self._trusts:
            if states[s.SETTLED] != PAYMENTS:
                self._fault(f"not all are settled: {dict(states)}")
            if not self._trusts and (stopped or lane is None or lane.state != s.OPEN):
                self._fault(f"stopped: {[paused[one].why for one in stopped]}")

    # ── the world ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _mined(self, count: int) -> list[Any]:
        for _ in range(count):
            self._chain.mine()
        made, self._chain.blocks = self._chain.blocks[1:], self._chain.blocks[:1]
        return made

    @property
    def _chain_id(self) -> int:
        return 10_000 + self._seed

    def _made_nodes(self) -> dict[str, StubNode]:
        made: dict[str, StubNode] = {}
        for number in range(self._count):
            if number < self._liars:
                lies = frozenset(self._dice.sample(list(Lie), self._dice.randrange(1, 4)))
                if self._dice.random() < 0.3:
                    lies = frozenset({Lie.PRIVATE_FORK})
                made[f"liar-{number}"] = Liar(self._chain, self._chain_id, LANE.address, lies, self._dice)
            else:
                made[f"honest-{number}"] = StubNode(self._chain, self._chain_id)
        return made

    def _tick(self, turn: int) -> None:
        if self._dice.random() < 0.05 and len(self._chain.blocks) > REORG + 1:
            depth = self._dice.randrange(1, REORG + 1)
            self._chain.reorg(depth)
            for _ in range(depth):
                self._chain.mine()
        if self._dice.random() < 0.7:
            self._chain.mine()
        for node in self._nodes.values():
            if self._dice.random() < 0.8:  # (else it keeps the view that it had, even of a dead branch)
                node.sync(self._dice.choice((0, 0, 0, 1)))
            if not isinstance(node, Liar) and not self._honest_are_enough:
                node.gone = self._dice.random() < 0.05
        # One of those that are enough goes away for a while: the quorum is lost, and found again.
        self._nodes[f"honest-{self._count - 1}"].gone = self._honest_are_enough and turn in self._outage

    async def _who_is_trusted(self) -> str:
        return self._trusted

    # ── the lane ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _lane(self, nodes: Nodes) -> Lane:
        policy = LanePolicy(
            FeePolicy(max_fee_ceiling_wei=300 * GWEI),
            depth=DEPTH,
            bump_after_s=90,
            rebroadcast_s=30,
            batch_wait_s=self._dice.choice((0, 0, 20)),
        )
        contract = PayManyContract(PAY_MANY, self._name) if self._dice.random() < 0.5 else None
        return Lane(self._name, nodes, raw_key(LANE.key), policy, contract, {"USDT": LaneToken(TOKEN, 6)})

    async def _pay(self, count: int) -> None:
        for _ in range(min(count, PAYMENTS - len(self._payments))):
            asset = self._dice.choice((ETH, USD))
            to = Destination("ethereum", (("address", stranger()),))
            one = Payment(PaymentKey(f"{self._name}-{len(self._payments)}"), to, Money(GWEI_EACH, asset))
            self._payments.append(one)
            await self._lanes.rail(self._name).submit(one)

    async def _record(self, payment: Payment) -> PaymentRecord:
        found = await self._lanes.books.payment(self._name, payment.key)
        assert found is not None
        return found

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────

    def _compare(self, records: Iterable[PaymentRecord]) -> None:
        buried = self._chain.blocks[: max(1, len(self._chain.blocks) - DEPTH + 1)]
        newest = self._chain.blocks[-1].balances
        for payment, record in zip(self._payments, records, strict=True):
            ether = payment.amount.asset == ETH
            place = ("" if ether else TOKEN.lower(), payment.to["address"].lower())
            wei = GWEI_EACH * (GWEI if ether else 1)
            if record.state == s.SETTLED and buried[-1].balances.get(place, 0) != wei:
                self._fault(f"{payment.key} counts as settled, and is not")
            if record.state in {s.FAILED, s.SHORT}:
                self._fault(f"{payment.key} is {record.state}: {record.data.reason}")
            if newest.get(place, 0) not in {0, wei}:
                self._fault(f"{payment.key} was paid {newest[place]} and not {wei}")

    def _fault(self, words: str) -> None:
        lies = [sorted(lie.name for lie in node.lies) for node in self._nodes.values() if isinstance(node, Liar)]
        self.tally.faults.append(f"seed {self._seed}, {self._kind}, lies {lies}: {words}")


async def play(seeds: Iterable[int], folder: Path) -> Tally:
    """Play seeds, some at a time in one store."""
    tally, left = Tally(), list(seeds)
    while left:
        some, left = left[:SEEDS_A_STORE], left[SEEDS_A_STORE:]
        clock = FixedClock()
        where = {"PAYFLOW_DATA": str(folder / f"{some[0]}")}
        async with open_store(load(where), clock=clock) as store:
            lanes = Lanes({}, store)
            store.serve(lanes.machines)
            for run in await _played([Run(seed, store, lanes, clock) for seed in some], store, clock):
                tally.add(run.tally)
    return tally


async def _played(runs: list[Run], store: Store, clock: FixedClock) -> list[Run]:
    """Play runs side by side: they share the store and the time, and nothing else."""
    steps = Steps(store, Metrics(), who="lying", lease_ms=LEASE_MS)
    playing = list(runs)
    for run in runs:
        run.open()
    for turn in range(TURNS):
        await asyncio.gather(*(run.order() for run in playing))
        for claimed in await store.records.claim([Queue(*place, 1000, LEASE_MS) for place in LOOKED_AT]):
            await asyncio.gather(*(steps.look(one) for one in claimed.found if isinstance(one, Stored)))
        clock.advance(6)
        over = await asyncio.gather(*(run.see(turn) for run in playing))
        done = [run for run, ends in zip(playing, over, strict=True) if ends]
        await asyncio.gather(*(run.close() for run in done))
        playing = [run for run in playing if run not in done]
    await asyncio.gather(*(run.close() for run in playing))
    return runs


async def play_on_anvil(seeds: Iterable[int], folder: Path) -> Tally:
    """Play seeds on real nodes, one after the other."""
    tally = Tally()
    for seed in seeds:
        run = await lying_on_anvil.one(seed, folder)
        tally.runs[run.kind] += 1
        tally.payments[run.kind] += lying_on_anvil.PAYMENTS
        tally.settled[run.kind] += run.settled
        tally.stopped[run.kind] += run.stopped
        tally.faults += run.faults
    return tally


def main() -> int:
    """Play from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--real", action="store_true", help="on anvil, behind nodes that lie, instead of in memory")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="payflow-lying-") as folder:
        seeds = range(chosen.seed, chosen.seed + chosen.runs)
        tally = asyncio.run((play_on_anvil if chosen.real else play)(seeds, Path(folder)))
        said = [
            f"{kind} lie: {runs} runs, {tally.settled[kind]} of {tally.payments[kind]} payments settled, "
            f"{tally.stopped[kind]} lanes stopped"
            for kind, runs in sorted(tally.runs.items())
        ]
        faults = f"{len(tally.faults)} faults in {sum(tally.runs.values())} runs, {time.monotonic() - begun:.0f} s"
        sys.stdout.write("\n".join([*said, *tally.faults, faults, ""]))
        return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
