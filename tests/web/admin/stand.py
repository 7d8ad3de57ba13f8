"""A whole installation with its dashboard over a real chain: lanes, and a mining pool with a Redis of its own."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from machines.core.money import ETH, Money
from machines.core.ports import Destination, Payment, PaymentKey
from machines.transaction.data import LaneRecord, PaymentRecord, TransactionRecord
from payflow.app.installation import Payflow, opened
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store
from payflow.web.http import app
from tests.adapters.open_ethereum_pool.mine import Mine, mine_of, payouts_json, write_config
from tests.chain import CHAIN_ID, GWEI, LANE, OTHER, Anvil, stranger
from tests.desk import settings_for
from tests.lanes import Station
from tests.servers import Deployment, Server
from tests.stories.pool_world import World, pools_of

EXPLORER = "https://chain.example/tx/"


@dataclass
class Stand:
    """What is served, and the world behind it."""

    payflow: Payflow
    world: World
    address: str
    session: aiohttp.ClientSession
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Its store."""
        return self.payflow.store

    @property
    def mine(self) -> Mine:
        """The pool's Redis."""
        return self.world.mine

    @property
    def chain(self) -> Anvil:
        """The chain."""
        return self.world.chain

    async def token(self, role: Role, of: str = "", name: str = "") -> str:
        """Give the token of somebody, made when he is first named."""
        name = name or str(role)
        if name not in self._tokens:
            self._tokens[name] = await Tokens(self.store.link).create(name, role, of, "test")
        return self._tokens[name]

    @property
    def lane(self) -> Station:
        """The lane `ethereum`, which pays providers."""
        lanes = self.payflow.parts.lanes
        assert lanes is not None
        nodes: Any = lanes.lanes["ethereum"].chain
        return Station(self.payflow.settings, self.store, self.chain, nodes, lanes, self.payflow.metrics)

    async def pay(self, key: str, to: str = "", gwei: int = 1_500_000_000) -> PaymentRecord:
        """Queue a payment in that lane."""
        where = Destination("ethereum", (("address", to or stranger()),))
        payment = Payment(PaymentKey(key), where, Money(gwei, ETH))
        await self.lane.pay(payment)
        return await self.lane.record(payment)

    async def sent(self, nonce: int = 0) -> TransactionRecord:
        """Wait until that lane has sent a nonce."""
        return await self.lane.until_nonce(nonce, "SENT")

    async def lane_record(self) -> LaneRecord:
        """Read that lane's record."""
        found = await self.lane.lanes.books.lane("ethereum")
        assert found is not None
        return found


def lanes_json(chain: Anvil, folder: Path) -> str:
    """Two lanes: the pool's, which has an explorer, and that of providers, with two nodes, one of them gone."""
    given = {}
    for name, account in (("pool", LANE), ("ethereum", OTHER)):
        key = folder / name
        key.write_text(account.key, "utf-8")
        key.chmod(0o600)
        given[name] = {
            "rpc": [chain.url] if name == "pool" else [chain.url, "http://127.0.0.1:9"], "quorum": 1,
            "chain_id": CHAIN_ID,
            "key_file": str(key), "address": account.address, "depth": 1,
            "explorer": EXPLORER if name == "pool" else "",
            "max_fee_ceiling_wei": 10_000 * GWEI, "tip_ceiling_wei": 10_000 * GWEI, "bump_after_s": 3600,
        }  # fmt: skip
    return json.dumps(given)


@asynccontextmanager
async def open_stand(store: Deployment, redis: Server, chain: Anvil, folder: Path) -> AsyncIterator[Stand]:
    """Open it; no worker works yet."""
    file = write_config(folder / "payouts.json", payouts_json(redis, chain.url, LANE.address))
    settings = settings_for(
        store, folder / "data", PAYFLOW_LANES=lanes_json(chain, folder), PAYFLOW_DEVELOPMENT="true",
        PAYFLOW_POOLS=str(file), PAYFLOW_LEASE_S="2",
        PAYFLOW_API_RATE="5000", PAYFLOW_API_ADDRESS_RATE="5000",
        PAYFLOW_PAYOUT_MOST_OPEN="0", PAYFLOW_PAYOUT_MOST_DAILY="0",
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        mine = stack.enter_context(mine_of(redis))
        payflow = await stack.enter_async_context(opened(settings, pool_files=[file]))
        pools = pools_of(payflow)
        world = World(payflow, pools, pools.pools["eth"], mine, chain)
        yield await stack.enter_async_context(serving(payflow, world))


@asynccontextmanager
async def serving(payflow: Payflow, world: World) -> AsyncIterator[Stand]:
    """Serve the pages of an installation."""
    routes = payflow.parts.routes()
    async with (
        aiohttp.ClientSession() as session,
        app.listening(app.application(routes), "127.0.0.1", 0) as address,
    ):
        yield Stand(payflow, world, address, session)
