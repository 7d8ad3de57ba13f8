"""What machines that pay over a chain give to the dashboard: lanes to look at, pools to resolve, where to look on."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from machines.core.money import ETH, MAX_UNITS, Asset, Money
from machines.transaction.calldata import balance_of, number
from machines.transaction.ports import Lane, LaneToken
from payflow.config import Settings
from payflow.desk.lanes import LaneSheet, Node
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web.http.sessions import Beside
from payflow.web.pages import bounties as bounty_page
from payflow.web.pages.admin import pool as pool_page
from payflow.web.pages.admin.extensions import Board

if TYPE_CHECKING:
    from payflow.app.bounties import Bounties
    from payflow.app.metering import NodeFigures
    from payflow.desk.lanes import Lanes
    from payflow.desk.pool.room import PoolRooms

WEI_PER_GWEI = 10**9


def pools_of(settings: Settings, store: Store, metrics: Metrics, stack: AsyncExitStack) -> "PoolRooms | None":
    """Make room for the pools that the dashboard shows; None where there are none."""
    if not settings.pools:
        return None
    from payflow.app.pools import rooms_of  # noqa: PLC0415  (two seconds, only where a chain is used)

    return rooms_of(settings, store, metrics, stack)


def board_of(
    settings: Settings,
    lanes: "Lanes | None",
    pools: "PoolRooms | None",
    bounties: "Bounties | None",
) -> Board:
    """Say what these add to the dashboard."""
    board = bounties.board() if bounties else Board()
    rooms = pools.rooms if pools else []
    own = {name: (lane, ledger_of(settings, name)) for name, lane in (lanes.lanes if lanes else {}).items()}
    return replace(
        board,
        rails={name: partial(_holds, lane, assets) for name, (lane, assets) in own.items()},
        lanes={name: partial(_sheet, lane, assets) for name, (lane, assets) in own.items()},
        coins={room.coin: room.lane for room in rooms},
        bounty_lane=settings.bounty_lane,
        beside=Beside(bounty_page.COOKIE, "/", bounty_page.EVERYBODY) if bounties else None,
        pages=[*([pool_page.page(rooms)] if rooms else []), *board.pages],
    )


def ledger_of(settings: Settings, lane: str) -> dict[str, Asset]:
    """Give the assets of a lane's tokens, as the ledger counts them."""
    given = settings.lanes.get(lane)
    return {code: Asset(code, one.ledger_decimals) for code, one in given.tokens.items()} if given else {}


async def _sheet(lane: Lane, assets: dict[str, Asset]) -> LaneSheet:
    """Ask every node of a lane where the chain stands, and one of them what the lane has."""
    before = {node.name: sum(node.errors.values()) for node in _figures(lane)}
    await lane.chain.head()
    holds = await _holds(lane, assets)
    nodes = [Node(one.name, one.lag_blocks, sum(one.errors.values()) > before[one.name]) for one in _figures(lane)]
    return LaneSheet(holds, nodes)


def _figures(lane: Lane) -> Sequence["NodeFigures"]:
    from adapters.ethereum.node import Nodes  # noqa: PLC0415  (slow to import, and only where there is a lane)

    return lane.chain.figures() if isinstance(lane.chain, Nodes) else ()


async def _holds(lane: Lane, assets: dict[str, Asset]) -> Sequence[Money]:
    """Say what a lane has, rounded down to what the ledger counts."""
    wei = await lane.chain.balance(lane.signer.address)
    held = [Money(min(wei // WEI_PER_GWEI, MAX_UNITS), ETH)]
    for code, token in lane.tokens.items():
        if code in assets:
            held.append(await _token(lane, token, assets[code]))
    return held


async def _token(lane: Lane, token: LaneToken, asset: Asset) -> Money:
    units = number(await lane.chain.call(token.address, balance_of(lane.signer.address)))
    return Money(min(units * 10**asset.decimals // 10**token.decimals, MAX_UNITS), asset)
