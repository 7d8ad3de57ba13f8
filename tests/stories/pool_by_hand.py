"""The old module's manual procedure, done half way, and then our commands: the miner is paid once, the books are right.

Its commands only add, remove and increment, so that their order does not change what they leave: every order and every
half way is one of the sets of steps below. `python -m tests.stories.pool_by_hand` tries every set with every order of
three of our commands; the tests try a slice.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, permutations
from pathlib import Path

from machines.core.chain import NO_HASH, TxHash
from machines.core.errors import BadInput
from payflow.desk.pool import audit as pool_audit
from payflow.desk.pool import resolving
from tests.chain import Anvil, anvil
from tests.servers import Deployment, Farm, Server
from tests.stories.old_payer import Died, OldPayer, Step
from tests.stories.pool_world import World, open_world, pool_redis

AMOUNT = 600_000_000
AGE_S = 11 * 60
"""How old a row is when somebody looks: what the address sends then is no more the payment."""
MOST_IN_A_WORLD = 100
"""The chain's clock is put forward for each, and must not overtake the pool's."""
BEGINS_S = 23 * 3600
NOBODY = TxHash("0x" + "7" * 64)


class Hand(StrEnum):
    """The steps of the manual procedure."""

    PAY = "pay"
    ALL = "ZADD all"
    OWN = "ZADD own"
    REMOVE = "ZREM"
    PENDING = "finances pending"
    PAID = "finances paid"
    UNLOCK = "DEL lock"


class Ours(StrEnum):
    """What an operator types afterwards."""

    RESOLVE = "resolve"
    FILL = "resolve --fill"
    MARK_PAID = "mark-paid"
    ADD_MISSING = "add-missing"
    ADOPT = "adopt"
    CREDIT = "credit"
    UNLOCK = "unlock"
    AUDIT = "audit --repair"
    RUN = "run"


@dataclass(frozen=True)
class Way:
    """One way to leave it in the middle, and to go on."""

    notes_nonces: bool
    sent: bool
    """Whether the old module had sent it before it died, so that the first step is left out."""
    hands: frozenset[Hand]
    commands: tuple[Ours, ...]

    def __str__(self) -> str:
        module = f"{'open-etc-pool' if self.notes_nonces else 'open-ethereum-pool'} {'sent' if self.sent else 'unsent'}"
        return f"{module}; by hand: {', '.join(sorted(self.hands)) or 'nothing'}; then: {', '.join(self.commands)}"


def half_ways() -> Iterator[tuple[bool, bool, frozenset[Hand]]]:
    """List every way to leave it: nothing can be logged before it is paid."""
    steps = tuple(Hand)[1:]
    for notes_nonces in (False, True):
        for sent in (False, True):
            for paid in (False, True):
                for size in range(len(steps) + 1):
                    for some in combinations(steps, size):
                        logged = {Hand.ALL, Hand.OWN} & set(some)
                        if (sent and paid) or (logged and not (sent or paid)):
                            continue
                        yield notes_nonces, sent, frozenset((*some, *((Hand.PAY,) if paid else ())))


def ways(commands: int) -> Iterator[Way]:
    """List every way, with every order of so many of our commands."""
    for notes_nonces, sent, hands in half_ways():
        for order in permutations(Ours, commands):
            yield Way(notes_nonces, sent, hands, order)


def some_ways(seed: int, count: int) -> list[Way]:
    """Choose some ways, each half way at most once, with an order of all our commands."""
    chance = random.Random(seed)
    chosen = chance.sample(list(half_ways()), count)
    return [Way(*one, tuple(chance.sample(list(Ours), len(Ours)))) for one in chosen]


async def clock(chain: Anvil) -> int:
    """The second of the newest block."""
    block = await chain.rpc("eth_getBlockByNumber", "latest", False)  # noqa: FBT003  (without its transactions)
    return int(block["timestamp"], 16)


@dataclass
class Trial:
    """One way, played for one miner."""

    world: World
    way: Way
    login: str
    amount: int
    at_s: int = 0
    tx: TxHash = NO_HASH

    async def play(self) -> None:
        """Leave it in the middle, go on, and come to an end; raises `AssertionError` where that is not right."""
        await self._leave()
        for hand in Hand:
            if hand in self.way.hands:
                await self._by_hand(hand)
        chain = self.world.chain
        await chain.rpc("evm_increaseTime", hex(AGE_S))
        await chain.mine(3)
        for command in self.way.commands:
            await self._type(command)
        await self._end()
        await self._check()

    async def _leave(self) -> None:
        world = self.world
        world.mine.earn(self.login, self.amount)
        self.at_s = await clock(world.chain)
        step = Step.SENT if self.way.sent else Step.NONCE_NOTED
        old = OldPayer(world.mine, world.chain, notes_nonces=self.way.notes_nonces, dies_after=step)
        with suppress(Died):
            await old.process(self.at_s)
        if self.way.sent:
            self.tx = await world.mined(old.sent[-1])

    async def _by_hand(self, hand: Hand) -> None:
        mine, row = self.world.mine, f"{self.login}:{self.amount}"
        match hand:
            case Hand.PAY:
                self.tx = await self.world.mined(await self.world.old_payer_sends(self.login, self.amount))
            case Hand.ALL:
                mine.do("ZADD", "eth:payments:all", self.at_s, f"{self.tx}:{row}")
            case Hand.OWN:
                mine.do("ZADD", f"eth:payments:{self.login}", self.at_s, f"{self.tx}:{self.amount}")
            case Hand.REMOVE:
                mine.do("ZREM", "eth:payments:pending", row)
            case Hand.PENDING:
                mine.do("HINCRBY", "eth:finances", "pending", -self.amount)
            case Hand.PAID:
                mine.do("HINCRBY", "eth:finances", "paid", self.amount)
            case Hand.UNLOCK:
                mine.do("DEL", "eth:payments:lock")

    async def _type(self, command: Ours) -> None:
        """Type a command; that it refuses is no fault."""
        with suppress(BadInput):
            await self._do(command)

    async def _do(self, command: Ours) -> None:
        desk, tx, books = self.world.desk(), self.tx or NOBODY, self.world.pool.books
        match command:
            case Ours.RESOLVE | Ours.FILL:
                await self._resolve(fill=command is Ours.FILL)
            case Ours.MARK_PAID:
                await desk.mark_paid(self.login, self.amount, tx, dry_run=False)
            case Ours.ADD_MISSING:
                await desk.add_missing(self.login, self.amount, tx, dry_run=False)
            case Ours.ADOPT:
                for judged in await desk.pending():
                    await desk.adopt(judged)
            case Ours.CREDIT:
                await desk.credit(self.login, self.amount, dry_run=False)
            case Ours.UNLOCK:
                await desk.unlock(dry_run=False)
            case Ours.AUDIT:
                await pool_audit.repair(books, await pool_audit.audit(books))
            case Ours.RUN:
                await self.world.run()

    async def _resolve(self, *, fill: bool) -> None:
        world = self.world
        async with mining(world.chain):
            found = await resolving.judged(world.desk(), world.lines.append, world.stop, fill=fill)
            await resolving.resolve_aloud(world.desk(), found, world.lines.append, "by hand", dry_run=False)

    async def _end(self) -> None:
        """Do what our commands say, until nothing is left: an operator who reads knows what they did by hand."""
        mine, row = self.world.mine, f"{self.login}:{self.amount}"
        is_open = row in mine.pending()
        if self.tx and is_open:
            await self._type(Ours.MARK_PAID)
        elif self.tx:
            await self._type(Ours.ADD_MISSING)
        elif not is_open and Hand.REMOVE in self.way.hands and mine.sums(self.login)[1] >= self.amount:
            mine.do("ZADD", "eth:payments:pending", self.at_s, row)
        for command in (Ours.RESOLVE, Ours.FILL, Ours.UNLOCK, Ours.AUDIT, Ours.RUN, Ours.RUN):
            await self._type(command)

    async def _check(self) -> None:
        mine, login = self.world.mine, self.login
        got = await self.world.got(login)
        assert got == self.amount, f"got {got} of {self.amount}"
        assert mine.sums(login) == (0, 0, self.amount), mine.sums(login)
        assert [one.partition(":")[2] for one in mine.history(login)] == [str(self.amount)], mine.history(login)
        assert (mine.pending(), mine.lock()) == ([], None), (mine.pending(), mine.lock())
        drifts = await pool_audit.audit(self.world.pool.books)
        assert drifts == [], drifts


@asynccontextmanager
async def mining(chain: Anvil) -> AsyncIterator[None]:
    """Let the chain grow by itself."""
    await chain.interval(1)
    yield
    await chain.interval(0)
    await chain.automine(on=True)


async def play(store: Deployment, redis: Server, folder: Path, some: Sequence[Way]) -> list[str]:
    """Play some ways in one world, each with a miner of its own, and say which went wrong."""
    faults = []
    options = ("--timestamp", str(int(time.time()) - BEGINS_S))
    async with anvil(slots_in_an_epoch=1, options=options) as chain:
        await chain.mine(3)
        async with open_world(store, redis, chain, folder) as world, world.working():
            for number, way in enumerate(some):
                trial = Trial(world, way, f"0x{(1 << 80) + number:040x}", AMOUNT + number)
                try:
                    await trial.play()
                except AssertionError as error:
                    faults.append(f"{way}: {error}")
                    break  # what is left over would be in the way of the others
    return faults


def main() -> None:
    """Play all, or a part of them."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--commands", type=int, default=3, help="how many of our commands, in every order")
    arguments.add_argument("--seed", type=int, help="play some ways chosen by this seed, with all our commands")
    arguments.add_argument("--count", type=int, default=MOST_IN_A_WORLD, help="how many of them")
    given = arguments.parse_args()
    chosen = list(ways(given.commands)) if given.seed is None else some_ways(given.seed, given.count)
    faults: list[str] = []
    played = 0
    while played < len(chosen):
        part = chosen[played : played + MOST_IN_A_WORLD]
        with tempfile.TemporaryDirectory(prefix="payflow-by-hand-") as name, Farm() as farm:
            found = asyncio.run(play(farm.server(), pool_redis(farm), Path(name), part))
        faults += found
        played += len(part)
        sys.stdout.write(f"{played} of {len(chosen)}, {len(faults)} faults\n" + "".join(f"  {one}\n" for one in found))
        sys.stdout.flush()
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
