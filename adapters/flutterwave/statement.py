"""What Flutterwave says it did: each transfer, and each row of a wallet's history with what the wallet held.

API v3 has both, and no id for a row. A transfer's own debits say what it cost; what comes in under its reference came
back, be it of one that failed. All other rows are lines of their own. API v4 shows its transfers alone: what else moved
the wallet is not seen, and no balance is compared.
"""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from functools import partial

from adapters.flutterwave import wire_v3
from adapters.flutterwave.codec import RAIL
from adapters.flutterwave.rail import MOST_PAGES, families_since
from adapters.flutterwave.transfer import NOT_PAID, TAKEN_BACK, UNDER_WAY, FlutterwaveTransfer, root
from adapters.flutterwave.wire_v3 import WalletRowV3
from adapters.http import GatewayClient
from adapters.statement_days import all_pages, asset_of, days, moment
from machines.core.clock import DAY, Millis
from machines.core.money import Asset, Assets, Money
from machines.core.ports import LineKind, PaymentKey, StatementBalance, StatementLine, StatementPart
from machines.core.rail_share import FINE

WHO = "Flutterwave"
CREDIT = "C"


class FlutterwaveStatementV4:
    """The transfers of an account, whoever asked for them: a list without a filter by time, the newest first."""

    name = RAIL
    patience_ms = Millis(DAY)
    """As with v3."""
    overlap_ms = Millis(2 * DAY)
    """What is taken back later is on a line that was read long before: whoever watches the payout finds it."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        """Give what was asked for since, by day."""
        parts: dict[Millis, list[StatementLine]] = defaultdict(list)
        for key, family in (await families_since(self._client, since)).items():
            for one in family:
                for line in _shown(one, key, assets):
                    parts[Millis(line.at - line.at % DAY)].append(line)
        for begins in sorted(parts):
            if since - 2 * DAY < begins <= until + DAY:
                yield StatementPart(begins, tuple(parts[begins]))


def _shown(one: FlutterwaveTransfer, key: PaymentKey, assets: Assets) -> Iterator[StatementLine]:
    """Make the line of a transfer, under what it was first asked for, and that of its return."""
    back = one.taken_back or one.status == TAKEN_BACK
    if one.status == NOT_PAID and not back:
        return
    paid = replace(_paid(one, None, assets), reference=key)
    yield paid
    if back:
        at = moment(WHO, one.taken_back_at) if one.taken_back_at else paid.at
        yield StatementLine(f"{one.id}:back", LineKind.RETURN, paid.amount, out=False, at=at, reference=key)


async def _naira() -> Sequence[str]:
    return ("NGN",)


class FlutterwaveStatementV3:
    """The statement of an account, a day at a time: the gateway filters by days, in whatever zone it lives in."""

    name = RAIL
    patience_ms = Millis(DAY)
    """A bank may take a working day; the gateway itself takes minutes."""
    overlap_ms = Millis(2 * DAY)
    """What a bank took back days later is a row of that day; what is listed late is so by hours."""

    def __init__(self, client: GatewayClient, currencies: Callable[[], Awaitable[Sequence[str]]] = _naira) -> None:
        self._client = client
        self._currencies = currencies

    async def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        """Walk over the days."""
        # A bank may send money back on a day on which nothing else moves in its currency.
        ours = await self._currencies()
        for day, begins in days(since, until):
            transfers = await all_pages(
                self._client, WHO, MOST_PAGES, partial(wire_v3.listed_on, day.isoformat()), wire_v3.read_page
            )
            rows = [
                (currency, await self._rows(currency, day))
                for currency in dict.fromkeys((*ours, *(one.currency for one in transfers)))
            ]
            yield _part(begins, transfers, dict(rows), assets)

    async def _rows(self, currency: str, day: date) -> list[WalletRowV3]:
        """Give the rows of a day, the oldest first."""
        ask = partial(wire_v3.wallet_rows, currency, day.isoformat())
        rows = await all_pages(self._client, WHO, MOST_PAGES, ask, wire_v3.read_wallet_rows)
        return rows[::-1] if _newest_first(rows) else rows


def _part(
    begins: Millis,
    transfers: Iterable[FlutterwaveTransfer],
    rows: dict[str, list[WalletRowV3]],
    assets: Assets,
) -> StatementPart:
    by_id = {one.id: one for one in transfers}
    listed_today = {one.reference for one in by_id.values()}
    debited: dict[str, Decimal] = defaultdict(Decimal)
    for row in (row for listed in rows.values() for row in listed if row.type != CREDIT):
        debited[row.reference or ""] += row.amount
    lines = [_paid(one, debited.get(one.reference), assets) for one in by_id.values() if one.status != NOT_PAID]
    for currency, listed in rows.items():
        lines += [line for row in listed if (line := _moved(row, listed_today, asset_of(assets, currency)))]
    balances = {currency: _balance(listed, asset_of(assets, currency)) for currency, listed in rows.items() if listed}
    return StatementPart(begins, tuple(lines), balances)


def _paid(one: FlutterwaveTransfer, debited: Decimal | None, assets: Assets) -> StatementLine:
    """Make the line of a transfer: what it cost is what the wallet says, or else what the transfer itself does."""
    asset = asset_of(assets, one.currency)
    taken = debited - one.amount if debited is not None and debited >= one.amount else None
    if taken is None:
        taken = Decimal(one.fee) if one.fee else None
    fee, fee_rest = None, 0
    if taken is not None:
        fee, fee_rest = _units(taken, asset)
        fee, fee_rest = (fee + 1, fee_rest - FINE) if fee_rest else (fee, 0)
    return StatementLine(
        one.id,
        LineKind.PAYMENT,
        Money(_units(one.amount, asset)[0], asset),
        out=True,
        at=moment(WHO, one.created_at),
        reference=root(one.reference),
        handle=one.id,
        fee=fee,
        account=one.account or "",
        open=one.status in UNDER_WAY,
        fee_rest=fee_rest,
    )


def _moved(row: WalletRowV3, today: set[str], asset: Asset) -> StatementLine | None:
    """Make the line of a row; None for what a transfer of the same day says already."""
    reference, credit = row.reference or "", row.type == CREDIT
    if not credit and reference in today:
        return None
    said = (row.type, f"{row.amount}", f"{row.balance_before}", f"{row.balance_after}", row.date, reference)
    name = hashlib.sha256("\0".join(said).encode()).hexdigest()[:24]
    kind = LineKind.RETURN if credit and reference else LineKind.OTHER
    money, rest = _units(row.amount, asset)
    at = moment(WHO, row.date)
    return StatementLine(name, kind, Money(money, asset), not credit, at, root(reference), rest=rest)


def _balance(rows: Sequence[WalletRowV3], asset: Asset) -> StatementBalance:
    """Say what the wallet held, in whole units: a fee of 26.875 leaves fractions, which are cut off last."""
    opening, closing = rows[0].balance_before, rows[-1].balance_after
    moved = sum((row.amount if row.type == CREDIT else -row.amount for row in rows), Decimal(0))
    (before, before_rest), (after, after_rest) = _units(opening, asset), _units(closing, asset)
    return StatementBalance(before, after, _units(opening + moved, asset)[0] - before, before_rest, after_rest)


def _newest_first(rows: Sequence[WalletRowV3]) -> bool:
    if not rows or rows[0].date != rows[-1].date:
        return bool(rows) and rows[0].date > rows[-1].date
    return len(rows) > 1 and rows[0].balance_before == rows[1].balance_after


def _units(value: Decimal, asset: Asset) -> tuple[int, int]:
    """Give whole units, and what is less than one in parts of one."""
    exact = value.scaleb(asset.decimals)
    whole = exact.to_integral_value(ROUND_FLOOR)
    return int(whole), int((exact - whole) * FINE)
