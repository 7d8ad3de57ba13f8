"""What was in a wallet before anybody read its statement: worked out once, shown first, and posted as what came in.

It is the first balance of the statement, and what had left the wallet until then by our books. What differs from the
statement since then stays unexplained, as it should, until its findings are gone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from machines.core.clock import Millis
from machines.core.ids import RecordId
from machines.core.ports import LineKind, StatementBalance
from machines.core.rail_share import FINE, WENT, RailPart
from machines.finding.matching import OurPayment
from payflow.desk.reconcile.reconciler import ComparedRail, Reconciler
from payflow.store.accounts import RailAccount, RailKey
from payflow.store.registers.statements import MatchedLine
from payflow.store.store import Store

REFERENCE = "opening balance"
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class WalletOpening:
    """One wallet."""

    rail: str
    asset: str
    begins: Millis
    """When its statement begins."""
    held: int
    """What it held then, in parts of a unit."""
    went: int
    """What had left it until then by our books, less what they say came in."""

    @property
    def fine(self) -> int:
        """What came into it before."""
        return self.held + self.went


async def unopened_wallets(
    store: Store, reconciler: Reconciler | None
) -> list[tuple[str, str, Millis, StatementBalance]]:  # fmt: skip
    """Name each wallet whose statement has balances and that was not opened: rail, asset, and the first balance."""
    found: list[tuple[str, str, Millis, StatementBalance]] = []
    known = {asset.code for asset in store.records.assets}
    for name in reconciler.rails if reconciler else ():
        first = await store.statements.first_balances(name)
        assets = sorted(known.intersection(first))
        done = await store.ledger.booked(name, [_reference(asset) for asset in assets])
        found += [(name, asset, *first[asset]) for asset, before in zip(assets, done, strict=True) if before is None]
    return found


async def wallet_openings(
    store: Store, reconciler: Reconciler | None, coming: Mapping[RailKey, RailAccount] = MappingProxyType({})
) -> list[WalletOpening]:
    """Work out what is to be posted of each wallet that was not opened; `coming` is on the rails' side by then."""
    found: list[WalletOpening] = []
    accounts = await store.ledger.rails()
    for key, one in coming.items():
        accounts.setdefault(key, RailAccount()).add(one)
    for name, asset, begins, balance in await unopened_wallets(store, reconciler):
        mark = await store.statements.mark(name)
        if mark is None or reconciler is None:
            continue  # it came as a file: nobody knows what it leaves out
        since = await _Since(store, name, reconciler.rails[name], asset).sum(begins, mark.begun)
        account = accounts.get((name, asset), RailAccount())
        went = sum(map(account.fine, WENT)) - account.fine(RailPart.FUNDED) - since
        held = balance.opening * FINE + balance.opening_rest
        found.append(WalletOpening(name, asset, begins, held, went))
    return found


async def open_wallets(store: Store, openings: list[WalletOpening]) -> None:
    """Post what was shown."""
    for one in openings:
        why = "what was in the wallet when its statement began"
        await store.ledger.book(one.rail, one.asset, RailPart.FUNDED, one.fine, _reference(one.asset), why)


def _reference(asset: str) -> str:
    return f"{REFERENCE} {asset}"


class _Since:
    """What left one wallet since its statement began, as our books have it: of that nothing was there before."""

    def __init__(self, store: Store, name: str, rail: ComparedRail, asset: str) -> None:
        self._store = store
        self._name = name
        self._rail = rail
        self._asset = asset

    async def sum(self, begins: Millis, begun: Millis) -> int:
        """Add it up, in parts of a unit."""
        seen: set[RecordId] = set()
        total = 0
        ids = await self._store.statements.since(self._name, begins)
        for first in range(0, len(ids), AT_ONCE):
            found = await self._store.statements.found(self._name, ids[first : first + AT_ONCE])
            lines = [one for one in found if one and one.line.amount.asset.code == self._asset]
            ours = await self._rail.books.payments([RecordId(one.record) for one in lines if one.record])
            total += sum(_went(lines, ours, seen))
            total += await self._booked([one.line.id for one in lines])
        # What our books say and no line shows yet left after it, or will.
        async for page in self._rail.books.paid_between(begun, await self._store.records.now()):
            there = await self._store.statements.matched_each(self._name, [one.record for one in page])
            total += sum(
                _whole(one, gas=True)
                for one, lines_ in zip(page, there, strict=True)
                if not lines_ and one.amount.asset.code == self._asset
            )
        return total

    async def _booked(self, lines: list[str]) -> int:
        """Add up what was booked of lines: what came in, less than nothing here, and what was charged."""
        names = [*lines, *(f"fee of {one}" for one in lines)]
        found = await self._store.ledger.booked(self._name, names)
        return sum(-fine if part == RailPart.FUNDED else fine for part, fine in filter(None, found))


def _went(lines: list[MatchedLine], ours: Mapping[RecordId, OurPayment], seen: set[RecordId]) -> Iterator[int]:
    """Say what our books posted for lines, each record once; its fee where the line has one."""
    for one in lines:
        known = ours.get(RecordId(one.record)) if one.record else None
        if known is None or not known.paid or one.line.kind is not LineKind.PAYMENT or known.record in seen:
            continue
        seen.add(known.record)
        yield _whole(known, gas=one.line.fee is not None)


def _whole(one: OurPayment, *, gas: bool) -> int:
    fee = one.fee * FINE + one.fee_rest if gas and one.fee is not None else 0
    return one.amount.units * FINE + fee
