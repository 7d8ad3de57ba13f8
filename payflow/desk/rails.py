"""Both sides of the books as people read them: what the rails have, and the equations that hold or do not.

That owners' accounts say the same of what is paid as the rails' holds at every moment, for one script posts both; where
it does not the walk says so. That a wallet holds what it should is a matter of when it was asked: what is under way may
have left it already, and what it lacks besides is for who reconciles.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from machines.core.money import Assets
from machines.core.rail_share import FINE, REST, RailPart
from payflow.desk.person import Person
from payflow.desk.reconcile.reconciler import Reconciler
from payflow.desk.reconcile.wallet_opening import WalletOpening, open_wallets, wallet_openings
from payflow.shown import fine, plain
from payflow.store.accounts import Posting, RailAccount, RailKey
from payflow.store.ledger import LedgerReport
from payflow.store.opening import RailsOpening
from payflow.store.rail_side import RAIL
from payflow.store.store import Store


def fees_of_ours(account: RailAccount) -> int:
    """Say what of a rail's fees we bear; less than nothing where payees bear more than it charged."""
    return account.fine(RailPart.FEES) - account.fine(RailPart.BORNE)


def _part(part: RailPart) -> Callable[[RailAccount], int]:
    return lambda account: account.fine(part)


COLUMNS: Mapping[str, Callable[[RailAccount], int]] = {
    "in flight": _part(RailPart.IN_FLIGHT),
    "settled": _part(RailPart.SETTLED),
    "paid twice": _part(RailPart.TWICE),
    "fees": _part(RailPart.FEES),
    "payees bear": _part(RailPart.BORNE),
    "we bear": fees_of_ours,
    "gas": _part(RailPart.GAS),
    "for pools": _part(RailPart.POOLS),
    "for bounties": _part(RailPart.BOUNTIES),
    "for calls": _part(RailPart.CALLS),
    "from outside": _part(RailPart.FUNDED),
}


NOT_OPENED = (
    "The rails' side lacks what is from before it was kept, so both sides are not compared: `payflow ledger --open`."
)


class RailRow(NamedTuple):
    """The accounts of a rail in one asset, as they are written."""

    rail: str
    asset: str
    parts: Mapping[str, str]
    """Title -> amount; only what is anywhere."""
    expected: str
    """What the wallet should hold."""
    wallet: str
    """What the rail said that it does; empty where it was never asked."""
    unexplained: str
    """What it has beyond that, or lacks; empty where that is nothing, or not known."""


class Equation(NamedTuple):
    """Two sums that are the same."""

    asset: str
    left: str
    right: str
    holds: bool

    @property
    def says(self) -> str:
        return f"{self.asset}: {self.left} {'=' if self.holds else '≠'} {self.right}"


def rows_of(rails: Mapping[RailKey, RailAccount], assets: Assets) -> list[RailRow]:
    """Write the accounts of rails, with the same parts for all of them."""
    shown = {title: of for title, of in COLUMNS.items() if any(map(of, rails.values()))}
    rows = []
    for (rail, asset), account in sorted(rails.items()):
        parts = {title: fine(of(account), asset, assets) for title, of in shown.items()}
        beyond = account.unexplained
        wallet = "" if beyond is None else fine(account.fine(RailPart.WALLET), asset, assets)
        expected = fine(account.expected, asset, assets)
        rows.append(RailRow(rail, asset, parts, expected, wallet, fine(beyond, asset, assets) if beyond else ""))
    return rows


def equations_of(books: LedgerReport, assets: Assets) -> list[Equation]:
    """Say of each asset whether both sides agree on what is paid; nothing before what is from earlier is posted."""
    found: list[Equation] = []
    if not books.rails_opened:
        return found
    for asset, one in sorted(books.sides.items()):
        paid, settled, borne, twice = (
            fine(parts, asset, assets) for parts in (one.paid, one.settled, one.borne, one.twice)
        )
        right = f"{settled} settled + {borne} fees payees bear - {twice} paid twice"
        if one.paid or one.settled or one.borne or one.twice:
            found.append(Equation(asset, f"{paid} paid, say the owners' accounts", right, one.agree))
    return found


def is_rail(posting: Posting) -> bool:
    """Whether it is on a rail's side."""
    return posting.owner.startswith(RAIL)


def moved(posting: Posting) -> str:
    """Say from where to where."""
    source, target = (plain(part.removesuffix(REST)) for part in (posting.source, posting.target))
    return f"{source} → {target}"


def amount_of(posting: Posting, assets: Assets) -> str:
    """Write how much it moved; of what is less than a unit it counts the parts."""
    is_fine = posting.source.endswith(REST) or posting.target.endswith(REST)
    return fine(posting.units if is_fine else posting.units * FINE, posting.asset, assets)


async def rails_of(store: Store) -> tuple[list[RailRow], str]:
    """Give what the rails have now; and why both sides are not compared, empty where they are."""
    rows = rows_of(await store.ledger.rails(), store.records.assets)
    return rows, "" if await store.ledger.rails_opened() else NOT_OPENED


async def opening_of(store: Store) -> RailsOpening:
    """Work out what the opening would post."""
    return await store.opening.preview()


async def post_opening(
    store: Store, reconciler: Reconciler | None, person: Person
) -> tuple[RailsOpening, list[WalletOpening]]:
    """Post the rails' side of what an older version left, and what was in wallets before their statements begin.

    Both sides are compared from then on.
    """
    async with store.audit.doing(person.name, "open the rails' side", "the books"):
        done = await store.opening.post()
        wallets = await wallet_openings(store, reconciler)
        await open_wallets(store, wallets)
        return done, wallets
