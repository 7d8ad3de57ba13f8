"""The lane that pays a pool's miners: one of the settings, or one over the pool's own node."""

from pydantic import SecretStr

from adapters.ethereum.node import Nodes
from adapters.open_ethereum_pool.config import Config
from adapters.open_ethereum_pool.node import PoolNode
from machines.core.chain import NO_DATA, Fee, Unsigned
from machines.core.errors import BadSettings, PayflowError, Retryable
from machines.pool.ports import Trail
from machines.transaction.ports import Lane
from payflow.config import LaneSettings, Settings

PLAIN_GAS = 21_000
# No chain ever gets to this nonce, so that what is signed to try a signer out can never be sent.
NEVER_NONCE = 2**64 - 2
HEAD_TRIES = 3
"""The newest blocks may differ for a moment."""


async def lane_settings(settings: Settings, pool: Config, node: PoolNode) -> tuple[str, LaneSettings]:
    """Choose the lane that pays: the one of the settings with the pool's address, or one over the pool's own node."""
    name, given = _given_lane(settings, pool)
    if given is None:
        try:
            chain_id = await node.chain_id()
        except PayflowError as error:
            raise Retryable(f"{pool.place}: payouts.daemon does not say which chain it is on: {error}") from error
        daemon = SecretStr(pool.daemon)
        given = LaneSettings(rpc=(daemon,), chain_id=chain_id, signer=daemon, address=pool.address)
    return name, _as_the_pool_says(given, pool)


def trail_of(lane: Lane, node: PoolNode) -> Trail:
    """Say where a chain is searched: on enough of the lane's nodes where there are several, else on the pool's own."""
    chain = lane.chain
    return chain if isinstance(chain, Nodes) and not chain.quorum.alone else node


async def check_chain(pool: Config, lane: Lane, node: PoolNode) -> None:
    """See that the pool's node is on the lane's chain: else what one of them shows proves nothing about the other."""
    head, chain_id = await lane.chain.head(), await node.chain_id()
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


async def try_signer(lane: Lane) -> None:
    """See that the signer signs for the lane's chain: to nobody, over nothing, with a nonce that no chain reaches."""
    unsigned = Unsigned(lane.chain.chain_id, NEVER_NONCE, lane.signer.address, 0, NO_DATA, PLAIN_GAS, Fee(1))
    await lane.signer.sign(unsigned)


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
