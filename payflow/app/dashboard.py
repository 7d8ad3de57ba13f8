"""What machines that pay over a chain give to the dashboard: lanes to look at, pools to resolve, where to look on."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from payflow.config import Settings
from payflow.desk.lane_steering import lane_holds, lane_sheet, ledger_of
from payflow.desk.pool import not_a_payment
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web.http.auth import SiblingPages
from payflow.web.pages import bounties as bounty_page
from payflow.web.pages.admin.frame import DashboardExtensions, Page

if TYPE_CHECKING:
    from adapters.oidc.client import IdentityProvider
    from payflow.app.bounties import Bounties
    from payflow.desk.lanes import Lanes
    from payflow.desk.pool.room import PoolRoom, PoolRooms


def pools_of(settings: Settings, store: Store, metrics: Metrics, stack: AsyncExitStack) -> "PoolRooms | None":
    """Make room for the pools that the dashboard shows; None where there are none."""
    if not settings.pools:
        return None
    from payflow.app.pools import rooms_of  # noqa: PLC0415  (two seconds, only where a chain is used)

    return rooms_of(settings, store, metrics, stack)


async def issuer_of(settings: Settings, stack: AsyncExitStack) -> "IdentityProvider | None":
    """Open the way to the identity provider by which people sign in; None where there is none."""
    if settings.oidc_client_secret is None:
        return None
    from adapters.oidc.client import opened  # noqa: PLC0415  (few installations have one)
    from adapters.oidc.wire import OidcClient  # noqa: PLC0415  (as above)

    client = OidcClient(
        settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret.get_secret_value(),
        settings.oidc_scopes, settings.oidc_groups_claim, settings.oidc_name_claim,
    )  # fmt: skip
    return await stack.enter_async_context(opened(client))


def board_of(
    settings: Settings,
    lanes: "Lanes | None",
    pools: "PoolRooms | None",
    bounties: "Bounties | None",
) -> DashboardExtensions:
    """Say what these add to the dashboard."""
    rooms: Sequence[PoolRoom] = tuple(pools.rooms.values()) if pools else ()
    own = {name: (lane, ledger_of(settings, name)) for name, lane in (lanes.lanes if lanes else {}).items()}
    return DashboardExtensions(
        rails={name: partial(lane_holds, lane, assets) for name, (lane, assets) in own.items()},
        lanes={name: partial(lane_sheet, lane, assets) for name, (lane, assets) in own.items()},
        coins={room.coin: room.lane for room in rooms},
        bounty_lane=settings.bounty_lane,
        also_opens=SiblingPages(bounty_page.COOKIE, "/", bounty_page.EVERYBODY) if bounties else None,
        pages=[
            *_pool_pages(rooms),
            *([Page("bounties", "Manage Payouts", lambda _: (), at=bounty_page.PLACE)] if bounties else []),
        ],
        verbs=[not_a_payment.verb(pools)],
    )


def _pool_pages(rooms: "Sequence[PoolRoom]") -> list[Page]:
    if not rooms:
        return []
    from payflow.web.pages.admin import pool  # noqa: PLC0415  (two seconds, only where there is a pool)

    return [pool.page(rooms)]
