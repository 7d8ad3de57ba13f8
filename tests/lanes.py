"""A lane at work on a real chain and a real store, in this process: what its tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from adapters.ethereum.endpoint import NodeLimits
from adapters.ethereum.node import Nodes
from machines.core.chain import NO_DATA, Address, GasFee, PayMany, TxHash, Unsigned
from machines.core.clock import FixedClock
from machines.core.decision import keep
from machines.core.errors import Conflict
from machines.core.facts import Fact, Nothing
from machines.core.ids import RecordId
from machines.core.money import ETH, Asset, Assets, Money
from machines.core.ports import Destination, Payment, PaymentKey, Status
from machines.transaction import lifecycle as s
from machines.transaction.data import LaneData, PaymentRecord, TransactionRecord
from machines.transaction.policy import FeePolicy, LanePolicy
from machines.transaction.ports import Announce, Lane, LaneToken
from machines.transaction.rail import LaneRail
from payflow.config import Settings, load
from payflow.desk.lanes import Lanes
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.step import Steps, take_in
from payflow.engine.worker import Worker
from payflow.store.store import Store, open_store
from payflow.store.stored import Queue, Stored
from payflow.telemetry.metrics import Metrics
from tests.chain import CHAIN_ID, GWEI, LANE, Account, Anvil, raw_key, stranger
from tests.waiting import PATIENCE_S, wait_until

QUICK = LanePolicy(
    fees=FeePolicy(max_fee_ceiling_wei=10_000 * 10**9, tip_ceiling_wei=10_000 * 10**9),
    depth=2,
    bump_after_s=3600,
    rebroadcast_s=3600,
)
"""A policy under which nothing is bumped or sent again by itself unless a test asks for it."""

IMPATIENT = NodeLimits(exchange_s=2.0, rest_s=0.2, pause_s=0.02)

LEASE_MS = 10_000
USD = Asset("USDT", 6)
USUAL = GasFee(50 * GWEI, GWEI)


@dataclass
class Station:
    """A store, a chain, a lane with its rail, and workers."""

    settings: Settings
    store: Store
    chain: Anvil
    nodes: Nodes
    lanes: Lanes
    metrics: Metrics = field(default_factory=Metrics)
    told: list[object] = field(default_factory=list)
    """What the dispatcher delivered."""

    async def hear(self, post: object) -> None:
        """Take a message."""
        self.told.append(post)

    @property
    def rail(self) -> LaneRail:
        """The rail that pays over the lane."""
        return self.lanes.rail("ethereum")

    @property
    def lane(self) -> Lane:
        """The lane."""
        return self.lanes.lanes["ethereum"]

    def set_policy(self, **changes: Any) -> None:
        """Change how the lane sends."""
        self.change_lane(policy=replace(self.lane.policy, **changes))

    def change_lane(self, **changes: Any) -> None:
        """Change the lane, as other settings at the next start would."""
        self.lanes.lanes["ethereum"] = replace(self.lane, **changes)

    async def pause(self) -> None:
        """Let an operator stop what the lane sends."""
        await self.store.pauses.pause("rail:ethereum", "ada", "a test", await self.store.records.now())

    async def resume(self) -> None:
        """Let it send again."""
        await self.store.pauses.resume("rail:ethereum")

    def payment(self, key: str, to: Address | None = None, gwei: int = 1_000_000, asset: Asset = ETH) -> Payment:
        """Make a payment that nobody has seen."""
        address = to or stranger()
        return Payment(PaymentKey(key), Destination("ethereum", (("address", address),)), Money(gwei, asset))

    async def pay(self, *payments: Payment) -> None:
        """Hand payments to the rail."""
        await asyncio.gather(*(self.rail.submit(payment) for payment in payments))

    async def record(self, payment: Payment) -> PaymentRecord:
        """Read a payment's record."""
        found = await self.lanes.books.payment("ethereum", payment.key)
        assert found is not None
        return found

    async def transaction(self, nonce: int) -> TransactionRecord:
        """Read what the lane did with a nonce."""
        found = await self.lanes.books.transaction("ethereum", nonce)
        assert found is not None
        return found

    async def lane_data(self) -> LaneData:
        """Read the lane's record."""
        found = await self.lanes.books.lane("ethereum")
        assert found is not None
        return found.data

    async def status(self, payment: Payment) -> Status:
        """Ask the rail."""
        return await self.rail.status(payment)

    async def tell(self, record_id: RecordId, fact: Fact) -> None:
        """Take in an operator's word."""
        await take_in(self.store.records, self.metrics, record_id, fact, "an operator")

    async def until(self, payment: Payment, state: str) -> PaymentRecord:
        """Wait until a payment is in a state."""

        async def there() -> bool:
            return (await self.record(payment)).state == state

        await wait_until(there, description=f"{payment.key} is {state}")
        return await self.record(payment)

    async def until_nonce(self, nonce: int, *states: str) -> TransactionRecord:
        """Wait until a nonce's transaction is in one of these states."""

        async def there() -> bool:
            found = await self.lanes.books.transaction("ethereum", nonce)
            return found is not None and found.state in states

        await wait_until(there, description=f"nonce {nonce} is {' or '.join(states)}")
        return await self.transaction(nonce)

    async def until_settled(self, payments: Sequence[Payment], blocks: int = 3) -> None:
        """Mine until all these payments are settled."""
        await self.until_all(payments, s.SETTLED, blocks=blocks)

    async def until_all(
        self, payments: Sequence[Payment], state: str, *, blocks: int = 3, each: Callable[[], None] = lambda: None
    ) -> None:
        """Mine until all these payments are in a state; `each` says what else happens between the blocks."""

        async def there() -> bool:
            await self.chain.mine(blocks)
            each()
            await self.poke()
            await asyncio.sleep(0.03)
            found = await asyncio.gather(*map(self.record, payments))
            return all(one.state == state for one in found)

        await wait_until(there, description=f"all {len(payments)} payments are {state}")

    async def until_attempts(self, nonce: int, count: int) -> None:
        """Wait until a nonce has so many attempts."""

        async def there() -> bool:
            # Where a look failed by chance, its next one waits for a clock that stands still.
            await self.poke()
            return len((await self.transaction(nonce)).data.attempts) >= count

        await wait_until(there, description=f"nonce {nonce} has {count} attempts")

    async def until_lane(self, state: str) -> None:
        """Wait until the lane is in a state."""

        async def there() -> bool:
            found = await self.lanes.books.lane("ethereum")
            return found is not None and found.state == state

        await wait_until(there, description=f"the lane is {state}")

    async def until_waits(self, words: str) -> None:
        """Wait until the lane says that it waits for something."""

        async def there() -> bool:
            return words in (await self.lane_data()).waits_for

        await wait_until(there, description=f"the lane waits: {words}")

    async def until_next_nonce(self, nonce: int) -> None:
        """Wait until the lane knows its next nonce."""

        async def there() -> bool:
            return (await self.lane_data()).next_nonce == nonce

        await wait_until(there, description=f"the next nonce is {nonce}")

    async def force_next_nonce(self, nonce: int) -> None:
        """Damage the lane's counter, as a bug or a restored backup would."""
        record_id = self.lanes.books.lane_id("ethereum")

        async def damaged() -> bool:
            stored = await self.store.records.read(record_id)
            data = replace(stored.record.data, next_nonce=nonce)
            try:
                await self.store.records.commit(stored, keep("damaged by a test", data=data), Nothing(), "test")
            except Conflict:  # a worker has the lane at the same time
                return False
            return True

        await wait_until(damaged, description=f"the next nonce is made {nonce}")

    async def until_block(self, nonce: int, block: int) -> None:
        """Wait until a nonce's transaction is known to be in a block."""

        async def there() -> bool:
            return (await self.transaction(nonce)).data.block == block

        await wait_until(there, description=f"nonce {nonce} is in block {block}")

    async def until_paused(self, scope: str) -> None:
        """Wait until something is paused."""

        async def there() -> bool:
            return scope in await self.store.pauses.all()

        await wait_until(there, description=f"{scope} is paused")

    async def poke_nonce(self, nonce: int) -> None:
        """Let a nonce's transaction be looked at now, whatever became of it."""
        await self.store.records.poke((await self.transaction(nonce)).id)

    async def look_once(self, machine: str, state: str) -> None:
        """Look once at what is due in a state, as a worker would that ends right after."""
        steps = Steps(self.store, self.metrics, who="once", lease_ms=LEASE_MS)
        for claimed in await self.store.records.claim([Queue(machine, state, 100, LEASE_MS)]):
            await asyncio.gather(*(steps.look(one) for one in claimed.found if isinstance(one, Stored)))

    async def until_told(self, words: str) -> None:
        """Wait until people were told something."""

        async def told() -> bool:
            return any(words in one for one in await self.alarms())

        await wait_until(told, description=f"people are told: {words}")

    async def alarms(self) -> list[str]:
        """Tell what people were told."""
        return [str(message) for message in self.told]

    async def settle_down(self) -> None:
        """Let everything of the lane be looked at a few times."""
        for _ in range(3):
            await self.poke()
            await asyncio.sleep(0.1)

    async def whys(self, record_id: RecordId) -> list[str]:
        """Tell the reasons in a record's history."""
        return [event.why for event in await self.store.records.history(record_id)]

    async def poke(self) -> None:
        """Let everything of the lane be looked at now."""
        unsettled = await self.lanes.books.unsettled("ethereum")
        await self.store.records.poke(self.lanes.books.lane_id("ethereum"), *(one.id for one in unsettled))

    @asynccontextmanager
    async def worker(self, name: str = "first") -> AsyncIterator[Worker]:
        """Run a worker for as long as the context lasts; it must stop in order."""
        settings = load({}, **(self.settings.model_dump() | {"worker_name": name}))
        handlers = {"alarm": self.hear}
        dispatcher = Dispatcher(self.store.outbox, self.metrics, handlers, self.store.pauses)
        worker = Worker(self.store, settings, self.metrics, dispatcher)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            async with asyncio.timeout(PATIENCE_S):
                await running


@asynccontextmanager
async def open_station(
    settings: Settings,
    chain: Anvil,
    *,
    urls: Sequence[str] = (),
    policy: LanePolicy = QUICK,
    account: Account = LANE,
    clock: FixedClock | None = None,
    pay_many: PayMany | None = None,
    tokens: Mapping[str, LaneToken] | None = None,
    announce: Announce | None = None,
    limits: NodeLimits = IMPATIENT,
    assets: Assets | None = None,
) -> AsyncIterator[Station]:
    """Open a lane on a chain."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        nodes = Nodes(session, list(urls) or [chain.url], CHAIN_ID, clock, limits)
        stack.push_async_callback(nodes.close)
        lane = Lane("ethereum", nodes, raw_key(account.key), policy, pay_many, tokens or {}, announce)
        store = await stack.enter_async_context(open_store(settings, clock=clock, assets=assets))
        lanes = Lanes({"ethereum": lane}, store)
        store.serve(lanes.machines)
        yield Station(settings, store, chain, nodes, lanes)


async def received(chain: Anvil, payments: Sequence[Payment]) -> dict[str, int]:
    """Say what each recipient has in wei."""
    return {payment.to["address"]: await chain.balance(payment.to["address"]) for payment in payments}


async def steal(
    station: Station, chain: Anvil, *, nonce: int, to: str, wei: int, data: str = NO_DATA, gas: int = 21_000
) -> TxHash:
    """Replace what waits at a nonce, as a wallet with the same key would, by a better price."""
    fee = (await station.transaction(nonce)).data.newest.fee
    price = GasFee(fee.max_wei * 2, (fee.tip_wei or 1) * 2)
    return await outside(chain, nonce=nonce, to=to, wei=wei, price=price, data=data, gas=gas)


async def outside(
    chain: Anvil,
    *,
    nonce: int,
    to: str,
    wei: int,
    price: GasFee = USUAL,
    data: str = NO_DATA,
    gas: int = 21_000,
) -> TxHash:
    """Send from the lane's address, behind its back."""
    signed = await raw_key(LANE.key).sign(Unsigned(CHAIN_ID, nonce, Address(to), wei, data, gas, price))
    await chain.rpc("eth_sendRawTransaction", signed.raw)
    return signed.hash
