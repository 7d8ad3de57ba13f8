"""The same on real chains: a lane over nodes of an anvil, some of which lie, and one of which may be a private fork.

What a liar says is made of what the chain says, for anvil itself tells no lies; a private fork is an anvil of its own,
with the same id and the same past.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from enum import Enum, auto
from pathlib import Path
from random import Random
from typing import Any

from machines.core.clock import FixedClock
from machines.core.errors import StoreUnavailable
from machines.core.ports import Payment
from machines.transaction import lifecycle as s
from payflow.config import load
from tests.chain import GWEI, Anvil, anvil
from tests.chainproxy import ChainProxy
from tests.chains.stubs import tx_of
from tests.lanes import Station, open_station

AMOUNT_GWEI = 1_000_000
PAYMENTS = 4
DEPTH = 4
TURNS = 60
CROWDS = ((3, 1), (5, 2), (2, 1), (3, 1))


class Lie(Enum):
    """What is said instead of what is so."""

    NEWER_HEAD = auto()
    HIGHER_NONCE = auto()
    FALSE_RECEIPT = auto()
    FALSE_FAILURE = auto()
    FALSE_ABSENCE = auto()
    FALSE_HASH = auto()
    GOES_AWAY = auto()
    PRIVATE_FORK = auto()


class Run:
    """One seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed, self._folder = seed, folder
        self._dice = Random(seed)
        self._count, self._liars = CROWDS[seed % len(CROWDS)]
        self._lies = [
            frozenset({Lie.PRIVATE_FORK}) if self._dice.random() < 0.4 else frozenset(self._dice.sample(list(Lie), 2))
            for _ in range(self._liars)
        ]
        self._liar_proxies: list[ChainProxy] = []
        self._forks: list[Anvil] = []
        self.faults: list[str] = []
        self.settled = 0
        self.stopped = False

    @property
    def kind(self) -> str:
        """How many lie of how many."""
        return f"{self._liars} of {self._count}"

    async def play(self) -> None:
        """Pay, then compare with the chain."""
        async with AsyncExitStack() as stack:
            chain = await stack.enter_async_context(anvil(mining=False, slots_in_an_epoch=4))
            await chain.mine(self._dice.randrange(1, 8))
            urls = [await self._node(chain, number, stack) for number in range(self._count)]
            self._dice.shuffle(urls)
            clock, settings = FixedClock(), load({"PAYFLOW_DATA": str(self._folder / str(self._seed))})
            station = await stack.enter_async_context(open_station(settings, chain, urls=urls, clock=clock))
            station.set_policy(depth=DEPTH, rebroadcast_s=30, bump_after_s=600)
            payments = [station.payment(f"p-{number}", gwei=AMOUNT_GWEI) for number in range(PAYMENTS)]
            await stack.enter_async_context(station.worker())
            await self._turns(station, chain, clock, payments)

    async def _node(self, chain: Anvil, number: int, stack: AsyncExitStack) -> str:
        if number >= self._liars:
            return (await stack.enter_async_context(ChainProxy(chain.url))).url
        lies, upstream = self._lies[number], chain
        if Lie.PRIVATE_FORK in lies:
            upstream = await stack.enter_async_context(anvil(mining=False, slots_in_an_epoch=4))
            await upstream.rpc("anvil_loadState", await chain.rpc("anvil_dumpState"))
            self._forks.append(upstream)
        proxy = await stack.enter_async_context(ChainProxy(upstream.url))
        proxy.lie = Liar(lies, self._dice)
        self._liar_proxies.append(proxy)
        return proxy.url

    async def _turns(self, station: Station, chain: Anvil, clock: FixedClock, payments: Sequence[Payment]) -> None:
        honest = self._count - self._liars > self._count // 2
        for turn in range(TURNS):
            with suppress(StoreUnavailable):  # on a busy machine; the next turn asks again
                await self._turn(station, chain, payments[: turn + 1])
            if self.settled == PAYMENTS or self.faults or (self.stopped and turn > PAYMENTS):
                break
            await chain.mine(self._dice.randrange(1, 3))
            for fork in self._forks:
                await fork.mine(self._dice.randrange(1, 4))
            for proxy, lies in zip(self._liar_proxies, self._lies, strict=True):
                proxy.outage = Lie.GOES_AWAY in lies and turn > PAYMENTS
            clock.advance(31)
        if honest and (self.settled != PAYMENTS or self.stopped):
            self._fault(f"{self.settled} of {PAYMENTS} are settled{', and the lane stopped' if self.stopped else ''}")

    async def _turn(self, station: Station, chain: Anvil, payments: Sequence[Payment]) -> None:
        await station.pay(*payments)
        await station.settle_down()
        await self._compare(station, chain, payments)
        states = Counter([(await station.record(one)).state for one in payments])
        self.settled = states[s.SETTLED]
        self.stopped = bool(await station.store.pauses.all())

    async def _compare(self, station: Station, chain: Anvil, payments: Sequence[Payment]) -> None:
        records = [await station.record(one) for one in payments]
        deep = await chain.height() - DEPTH + 1
        for payment, record in zip(payments, records, strict=True):
            to = payment.to["address"]
            if record.state in {s.FAILED, s.SHORT}:
                self._fault(f"{payment.key} is {record.state}: {record.data.reason}")
            if record.state == s.SETTLED:
                wei = int(await chain.rpc("eth_getBalance", to, hex(max(0, deep))), 16)
                if wei != AMOUNT_GWEI * GWEI:
                    self._fault(f"{payment.key} counts as settled, and is not")
            if await chain.balance(to) not in {0, AMOUNT_GWEI * GWEI}:
                self._fault(f"{payment.key} was paid more than once")

    def _fault(self, words: str) -> None:
        lies = [sorted(lie.name for lie in one) for one in self._lies]
        self.faults.append(f"seed {self._seed} on anvil, {self.kind}, lies {lies}: {words}")


class Liar:
    """Makes a lie of what a node says."""

    def __init__(self, lies: frozenset[Lie], dice: Random) -> None:
        self._lies = lies
        self._dice = dice
        self._sent: set[str] = set()

    def __call__(self, method: str, params: Sequence[Any], result: Any) -> Any:  # noqa: ANN401  (as the wire has it)
        """Say something else, or the same."""
        match method:
            case "eth_sendRawTransaction":
                self._sent.add(tx_of(params[0]).hash)
            case "eth_blockNumber" if Lie.NEWER_HEAD in self._lies:
                return hex(int(result, 16) + 900)
            case "eth_getBlockByNumber" if result is not None:
                return self._block(params[0], result)
            case "eth_getTransactionReceipt":
                return self._receipt(params[0], result)
            case "eth_getTransactionCount" if Lie.HIGHER_NONCE in self._lies:
                return hex(int(result, 16) + 2)
        return result

    def _block(self, tag: str, result: Any) -> Any:  # noqa: ANN401  (as above)
        if Lie.NEWER_HEAD in self._lies and tag in {"latest", "finalized"}:
            height = int(result["number"], 16) + 900
            return result | {"number": hex(height), "hash": f"0x{height:064x}"}
        if Lie.FALSE_HASH in self._lies:
            return result | {"hash": f"0x{self._dice.getrandbits(256):064x}"}
        return result

    def _receipt(self, tx: str, result: Any) -> Any:  # noqa: ANN401  (as above)
        if Lie.FALSE_ABSENCE in self._lies:
            return None
        if result is not None and Lie.FALSE_FAILURE in self._lies:
            return result | {"status": "0x0", "logs": []}
        if result is None and Lie.FALSE_RECEIPT in self._lies and tx in self._sent:
            parts = {"transactionHash": tx, "blockNumber": "0x1", "blockHash": "0x" + "77" * 32}
            return parts | {"status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": "0x1", "logs": []}
        return result


async def one(seed: int, folder: Path) -> Run:
    """Play one seed."""
    run = Run(seed, folder)
    async with asyncio.timeout(300):
        await run.play()
    return run
