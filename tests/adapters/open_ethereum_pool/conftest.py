"""A pool's Redis for tests: a real server, and a client of the books on it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.open_ethereum_pool.books import PoolBooks
from adapters.open_ethereum_pool.config import Flavour, Redis
from adapters.open_ethereum_pool.link import PoolRedis
from tests.adapters.open_ethereum_pool.mine import Mine, mine_of
from tests.servers import SINGLE, Farm, Kind, Server


@pytest.fixture(scope="session")
def pool_servers(farm: Farm) -> dict[Kind, Server]:
    """The servers of the pools, by what they are; started when they are asked for."""
    return {}


@pytest.fixture(params=SINGLE, ids=str)
def pool_server(request: pytest.FixtureRequest, farm: Farm, pool_servers: dict[Kind, Server]) -> Iterator[Server]:
    """A pool's Redis, empty: each kind that a pool may run."""
    kind: Kind = request.param
    if kind not in pool_servers:
        pool_servers[kind] = farm.server(kind, tcp=True)
    yield pool_servers[kind]
    pool_servers[kind].ask("FLUSHALL")


@pytest.fixture
def mine(pool_server: Server) -> Iterator[Mine]:
    """What others do to the books."""
    with mine_of(pool_server) as mine:
        yield mine


@pytest.fixture
async def link(pool_server: Server) -> AsyncIterator[PoolRedis]:
    """A connection to the pool's Redis."""
    async with PoolRedis(Redis(f"127.0.0.1:{pool_server.port}", 0, "", 10)) as link:
        yield link


@pytest.fixture
def books(link: PoolRedis) -> PoolBooks:
    """The books, as the original pool keeps them."""
    return PoolBooks(link, "eth", Flavour.OEP)
