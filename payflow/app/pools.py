"""The mining pools that this process pays for: their books, their nodes, and the lane that each is paid from."""

from collections.abc import Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from adapters.ethereum.endpoint import NodeLimits, chain_of
from adapters.ethereum.node import Nodes
from adapters.open_ethereum_pool import config
from adapters.open_ethereum_pool.books import PoolBooks
from adapters.open_ethereum_pool.config import Config
from adapters.open_ethereum_pool.link import PoolRedis
from machines.core.clock import Clock, SystemClock
from machines.core.errors import BadSettings, Retryable
from machines.transaction.ports import Lane
from payflow.app.lanes import open_lanes
from payflow.config import LaneSettings, Settings
from payflow.desk.pool.pool import Own, Pool, Pools, announcing
from payflow.desk.pool.room import PoolRoom, PoolRooms
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

HEAD_TRIES = 3
"""The newest blocks may differ for a moment."""

# ── from the files ───────────────────────────────────────────────────────────────────────────────────────────────────


async def open_pools(
    settings: Settings, files: Sequence[Path], store: Store, metrics: Metrics, clock: Clock, stack: AsyncExitStack
) -> Pools:
    """Open the pools of some configuration files, with their lanes and those of the settings."""
    configs = [config.load(path) for path in files]
    seen: dict[str, str] = {}
    for one in configs:
        other = seen.setdefault(one.coin, one.place)
        if other != one.place:
            raise BadSettings(f"{other} and {one.place} are both for the coin {one.coin}: give each file once.")
    books: dict[str, PoolBooks] = {}
    own = Own(books, store)
    nodes: dict[str, Nodes] = {}
    names: dict[str, str] = {}
    given = dict(settings.lanes)
    for one in configs:
        link = await stack.enter_async_context(PoolRedis(one.redis))
        books[one.coin] = PoolBooks(link, one.coin, one.flavour, weak_accepted=settings.accept_weak_durability)
        nodes[one.coin] = await pool_node(settings, one, stack)
        names[one.coin], lane = lane_settings(settings, one, nodes[one.coin])
        if given.get(names[one.coin]) is not settings.lanes.get(names[one.coin]):
            raise BadSettings(f"{one.place}: the lane {names[one.coin]} pays another pool already; each needs its own.")
        given[names[one.coin]] = lane
    announce = {names[coin]: announcing(one, own) for coin, one in books.items()}
    lanes = await open_lanes(settings.model_copy(update={"lanes": given}), store, clock, stack, metrics, announce)
    pools: dict[str, Pool] = {}
    for one in configs:
        paying = lanes.lanes[names[one.coin]]
        check_address(one, paying)
        await check_chain(one, paying, nodes[one.coin])
        pools[one.coin] = Pool(one, books[one.coin], nodes[one.coin], paying, lanes.rail(paying.name))
    return Pools(pools, lanes, clock, own, metrics)


async def pool_node(settings: Settings, pool: Config, stack: AsyncExitStack) -> Nodes:
    """Open the pool's own node, on the chain that it says it is on."""
    session = await stack.enter_async_context(aiohttp.ClientSession())
    limits = NodeLimits(exchange_s=pool.timeout_s)
    try:
        chain_id = await chain_of(session, pool.daemon, limits)
    except Retryable as error:
        raise Retryable(f"{pool.place}: payouts.daemon does not say which chain it is on: {error}") from error
    node = Nodes(session, [pool.daemon], chain_id, limits=limits, rail=lane_name(settings, pool))
    stack.push_async_callback(node.close)
    return node


def lane_settings(settings: Settings, pool: Config, node: Nodes) -> tuple[str, LaneSettings]:
    """Choose the lane that pays: the one of the settings with the pool's address, or one over the pool's own node."""
    name, given = _given_lane(settings, pool)
    if given is None:
        daemon = SecretStr(pool.daemon)
        given = LaneSettings(rpc=(daemon,), chain_id=node.chain_id, signer=daemon, address=pool.address)
    return name, _as_the_pool_says(given, pool)


async def check_chain(pool: Config, lane: Lane, node: Nodes) -> None:
    """See that the pool's node is on the lane's chain: else what one of them shows proves nothing about the other."""
    head, chain_id = await lane.chain.head(), node.chain_id
    if chain_id != lane.chain.chain_id:
        raise BadSettings(
            f"{pool.place}: payouts.daemon is on the chain {chain_id}, and the lane {lane.name} pays on "
            f"{lane.chain.chain_id}: name a node of the same chain."
        )
    if not head.hash:
        raise Retryable(f"{pool.place}: too few nodes of the lane {lane.name} agree on where its chain stands.")
    shown = await node.hash_of(head.number)
    for _ in range(HEAD_TRIES):
        # A node that is behind does not disagree.
        if shown in (None, head.hash):
            return
        head = await lane.chain.head()
        shown = await node.hash_of(head.number)
    raise Retryable(
        f"{pool.place}: at block {head.number} payouts.daemon has {shown}, and the nodes of the lane {lane.name} have "
        f"{head.hash}: they are on two forks of the chain {chain_id}."
    )


def check_address(pool: Config, lane: Lane) -> None:
    if lane.signer.address != pool.address:
        raise BadSettings(
            f"{pool.place}: payouts.address is {pool.address}, "
            f"and the lane {lane.name} signs for {lane.signer.address}."
        )


def lane_name(settings: Settings, pool: Config) -> str:
    """Name the lane that pays a pool's miners."""
    return _given_lane(settings, pool)[0]


def _given_lane(settings: Settings, pool: Config) -> tuple[str, LaneSettings | None]:
    if pool.lane:
        if pool.lane not in settings.lanes:
            raise BadSettings(f"{pool.place}: payflow.lane is {pool.lane!r}, and PAYFLOW_LANES has no such lane.")
        return pool.lane, settings.lanes[pool.lane]
    for name, lane in settings.lanes.items():
        if lane.address is not None and lane.address.lower() == pool.address.lower():
            return name, lane
    return f"pool-{pool.coin.lower()}", None


def _as_the_pool_says(given: LaneSettings, pool: Config) -> LaneSettings:
    """Let the lane send as the pool's file has it: its fees, and how many payments may overlap."""
    changes: dict[str, object] = {}
    if pool.gas_price_wei is not None:
        changes |= {"legacy": True, "gas_price_wei": pool.gas_price_wei, "gas_limit": pool.gas}
        # A fixed price may be any; what replaces a transaction that nobody mines must be able to offer more.
        changes["max_fee_ceiling_wei"] = max(given.max_fee_ceiling_wei, 4 * pool.gas_price_wei)
    if pool.confirmations:
        changes["depth"] = pool.confirmations
    return given.model_copy(update=changes)


def rooms_of(
    settings: Settings, store: Store, metrics: Metrics, stack: AsyncExitStack, files: Iterable[Path] | None = None
) -> PoolRooms:
    """Make room for the pools of some files: those that the dashboard shows, where none is named."""
    named = settings.pools if files is None else files
    return PoolRooms([_room(settings, file, store, metrics, stack) for file in named])


def _room(settings: Settings, file: Path, store: Store, metrics: Metrics, stack: AsyncExitStack) -> PoolRoom:
    given = config.load(file)
    name = lane_name(settings, given)
    # Only the lane that pays this pool: each of the others would ask its own signer once more.
    lanes = {name: settings.lanes[name]} if name in settings.lanes else {}
    own = settings.model_copy(update={"lanes": lanes, "enable_workers": False})
    explorer = lanes[name].explorer if lanes else ""

    def opens(trying: AsyncExitStack) -> Awaitable[Pools]:
        return open_pools(own, [file], store, metrics, SystemClock(), trying)

    return PoolRoom(given, name, f"{explorer}{{reference}}" if explorer else "", opens, stack)
