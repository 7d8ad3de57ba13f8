"""A mining pool for stories: its Redis, a chain, its configuration file, and Payflow that pays its miners."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from machines.core.chain import TxHash
from machines.pool import lifecycle as s
from machines.pool.data import PoolRecord
from payflow.app.installation import Parts, Payflow, opened
from payflow.desk.pool.pool import Pool, Pools
from payflow.desk.pool.repairs import PoolDesk
from payflow.desk.pool.runs import Run, RunOutcome
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.worker import Worker
from tests.adapters.open_ethereum_pool.mine import Mine, mine_of, payouts_json, write_config
from tests.chain import CHAIN_ID, GWEI, LANE, OTHER, Anvil
from tests.desk import settings_for
from tests.servers import Deployment, Farm, Server
from tests.waiting import wait_until

SHARDS = "4"


async def nothing_else(*_: object) -> Parts:
    """An installation that pays for a pool, and does nothing besides."""
    return Parts()


def pools_of(payflow: Payflow) -> Pools:
    """The pools that an installation was opened with."""
    assert payflow.parts.pools is not None
    return payflow.parts.pools


@dataclass
class World:
    """Everything that a story about a pool touches."""

    payflow: Payflow
    pools: Pools
    pool: Pool
    mine: Mine
    chain: Anvil
    lines: list[str] = field(default_factory=list)
    """What operators have read."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, **how: Any) -> RunOutcome:
        """Run over all miners once."""
        return await Run(self.pools, self.pool, self.lines.append, self.stop, **how).whole()

    def desk(self, who: str = "olu") -> PoolDesk:
        """The desk of an operator."""
        return PoolDesk(self.pools, self.pool, who)

    async def records(self, state: str) -> list[PoolRecord]:
        """The pool's payments in a state."""
        return [one.record for one in await self.payflow.store.listing.in_state("pool", state)]

    async def until(self, state: str, count: int = 1) -> list[PoolRecord]:
        """Wait until so many payments are in a state."""

        async def there() -> bool:
            return len(await self.records(state)) == count

        await wait_until(there, f"{count} payments are {state}")
        return await self.records(state)

    async def until_over(self) -> None:
        """Wait until no payment is under way."""

        async def over() -> bool:
            return not any([await self.records(state) for state in (s.DUE, s.DEBITED, s.SENT)])

        await wait_until(over, "no payment is under way")

    async def got(self, login: str) -> int:
        """How many Shannon a miner has on the chain."""
        return await self.chain.balance(login) // GWEI

    async def old_payer_sends(self, login: str, shannon: int, **fields: Any) -> TxHash:
        """Let the old module's node send, past Payflow."""
        return TxHash(await self.chain.send(LANE, login, shannon * GWEI, gas=hex(21_000), **fields))

    async def mined(self, tx: str) -> TxHash:
        """Wait until a transaction is in a block."""

        async def there() -> bool:
            return await self.chain.rpc("eth_getTransactionReceipt", tx) is not None

        await wait_until(there, f"{tx} is mined")
        return TxHash(tx)

    def said(self, text: str) -> bool:
        """Whether operators have read this."""
        return any(text in line for line in self.lines)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Let workers work."""
        dispatcher = Dispatcher(self.payflow.store.outbox, self.payflow.metrics, {}, self.payflow.store.pauses)
        worker = Worker(self.payflow.store, self.payflow.settings, self.payflow.metrics, dispatcher)
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            try:
                yield
            finally:
                worker.stop()
                with anyio.CancelScope(shield=True), anyio.move_on_after(2):
                    await asyncio.sleep(0.05)
                group.cancel_scope.cancel()


def lanes_json(chain: Anvil, folder: Path, *, depth: int = 1, **more: Any) -> str:
    """A lane of the pool's address, with its key in a file."""
    key = folder / "key"
    key.write_text(LANE.key, "utf-8")
    key.chmod(0o600)
    lane = {
        "rpc": [chain.url],
        "chain_id": CHAIN_ID,
        "key_file": str(key),
        "address": LANE.address,
        "depth": depth,
        "max_fee_ceiling_wei": 10_000 * GWEI,
        "tip_ceiling_wei": 10_000 * GWEI,
    }
    second = folder / "second key"
    second.write_text(OTHER.key, "utf-8")
    beside = lane | {"key_file": str(second), "address": OTHER.address}
    others = {name: value for name, value in more.items() if name != "pay_many"}  # the contract pays for one address
    return json.dumps({"pool": lane | more, "beside": beside | others})


@asynccontextmanager
async def open_world(
    store: Deployment,
    redis: Server,
    chain: Anvil,
    folder: Path,
    *,
    lane: dict[str, Any] | None = None,
    beside: tuple[Path, ...] = (),
    daemon: str = "",
    **changes: Any,
) -> AsyncIterator[World]:
    """Open the installation; no worker works yet."""
    file = write_config(folder / "payouts.json", payouts_json(redis, daemon or chain.url, LANE.address, **changes))
    settings = settings_for(
        store,
        folder / "data",
        PAYFLOW_LANES=lanes_json(chain, folder, **(lane or {})),
        PAYFLOW_LEASE_S="2",
        PAYFLOW_DEVELOPMENT="true",
    )
    async with AsyncExitStack() as stack:
        mine = stack.enter_context(mine_of(redis))
        payflow = await stack.enter_async_context(opened(settings, nothing_else, pool_files=[file, *beside]))
        pools = pools_of(payflow)
        yield World(payflow, pools, pools.pools["eth"], mine, chain)


def pool_redis(farm: Farm) -> Server:
    """A pool's Redis of its own."""
    return farm.server(tcp=True)
