"""What a lane has, and how its nodes do, for whoever looks at it."""

from collections.abc import Sequence
from dataclasses import dataclass

from machines.core.money import ETH, MAX_UNITS, Asset, Money
from machines.transaction.calldata import balance_of, number
from machines.transaction.ports import Lane, LaneToken
from payflow.config import Settings
from payflow.desk.metering import NodeFigures

WEI_PER_GWEI = 10**9


@dataclass(frozen=True, slots=True)
class LaneNode:
    """One node of a lane."""

    name: str
    lag_blocks: int
    """How far it is behind the best."""
    rests: bool = False
    """Whether it did not answer when it was asked last."""


@dataclass(frozen=True, slots=True)
class LaneSheet:
    """What the chain says about a lane."""

    holds: Sequence[Money]
    nodes: Sequence[LaneNode]


def ledger_of(settings: Settings, lane: str) -> dict[str, Asset]:
    """Give the assets of a lane's tokens, as the ledger counts them."""
    given = settings.lanes.get(lane)
    return {code: Asset(code, one.ledger_decimals) for code, one in given.tokens.items()} if given else {}


async def lane_sheet(lane: Lane, assets: dict[str, Asset]) -> LaneSheet:
    """Ask every node of a lane where the chain stands, and one of them what the lane has."""
    before = {node.name: sum(node.errors.values()) for node in node_figures(lane)}
    await lane.chain.head()
    holds = await lane_holds(lane, assets)
    nodes = [
        LaneNode(one.name, one.lag_blocks, sum(one.errors.values()) > before[one.name]) for one in node_figures(lane)
    ]
    return LaneSheet(holds, nodes)


def node_figures(lane: Lane) -> "Sequence[NodeFigures]":
    from adapters.ethereum.node import Nodes  # noqa: PLC0415  (slow to import, and only where there is a lane)

    return lane.chain.figures() if isinstance(lane.chain, Nodes) else ()


async def lane_holds(lane: Lane, assets: dict[str, Asset]) -> Sequence[Money]:
    """Say what a lane has, rounded down to what the ledger counts."""
    wei = await lane.chain.balance(lane.signer.address)
    held = [Money(min(wei // WEI_PER_GWEI, MAX_UNITS), ETH)]
    for code, token in lane.tokens.items():
        if code in assets:
            held.append(await _token_balance(lane, token, assets[code]))
    return held


async def _token_balance(lane: Lane, token: LaneToken, asset: Asset) -> Money:
    units = number(await lane.chain.call(token.address, balance_of(lane.signer.address)))
    return Money(min(units * 10**asset.decimals // 10**token.decimals, MAX_UNITS), asset)
