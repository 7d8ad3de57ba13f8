"""What the machines that pay over a chain give to the dashboard: lanes to look at, pools to resolve, where to look on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from adapters.ethereum.node import Nodes
from machines.core.chain import Chain
from machines.core.errors import PayflowError
from machines.core.money import ETH, MAX_UNITS, Asset, Money
from machines.transaction.orders import balance_of, number
from machines.transaction.ports import Lane
from payflow.config import LaneSettings, Settings
from payflow.web.admin import pool as pool_page
from payflow.web.admin.board import Board, LaneLook, LaneSheet, Node, Wallet

if TYPE_CHECKING:
    from payflow.app.bounties import Bounties
    from payflow.app.lanes import Lanes
    from payflow.app.pool_room import PoolRooms

WEI_PER_GWEI = 10**9


def board_of(
    settings: Settings, lanes: "Lanes | None", pools: "PoolRooms | None", bounties: "Bounties | None"
) -> Board:
    """Say what these add to the dashboard."""
    board = bounties.board() if bounties else Board()
    rooms = pools.rooms if pools else []
    looks: Mapping[str, LaneLook] = {
        lane.name: partial(_sheet, lane, settings.lanes.get(lane.name)) for lane in (lanes.lanes.values() if lanes else ())
    }
    wallets: dict[str, Wallet] = {
        lane.name: partial(_holds, lane, settings.lanes.get(lane.name)) for lane in (lanes.lanes.values() if lanes else ())
    }
    return replace(
        board,
        rails=wallets,
        lanes=looks,
        coins={room.coin: room.lane for room in rooms},
        bounty_lane=settings.bounty_lane or "",
        pages=[*([pool_page.page(rooms)] if rooms else []), *board.pages],
    )
