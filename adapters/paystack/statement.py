"""What Paystack says it did: each transfer, and each entry of the balance's ledger with what it held then."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from adapters.http import GatewayClient
from adapters.paystack import wire
from adapters.paystack.rail import MOST_PAGES
from adapters.statement_days import all_pages, asset_of, days, moment
from machines.core.clock import DAY, Millis
from machines.core.money import Asset, Assets, Money
from machines.core.ports import LineKind, StatementBalance, StatementLine, StatementPart

WHO = "Paystack"


class PaystackStatement:
    """The statement of an account, a day at a time."""

    name = wire.RAIL
    patience_ms = Millis(DAY)
    """A bank may take a working day; the gateway itself takes minutes."""
    overlap_ms = Millis(2 * DAY)
    """What a bank took back days later is a row of that day; what is listed late is so by hours."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        """Walk over the days; what an entry is about that comes after its transfer's day is looked up."""
        references: dict[str, str] = {}
        for day, begins in days(since, until):
            text, listed = day.isoformat(), partial(all_pages, self._client, WHO, MOST_PAGES)
            transfers = await listed(partial(wire.listed_on, text), wire.read_transfers)
            entries = await listed(partial(wire.ledger, text), wire.read_ledger)
            references |= {one.id: one.transfer.reference for one in transfers}
            for entry in entries:
                if entry.of_transfer and entry.about not in references:
                    found = wire.read_named(await self._client.read(wire.by_code(entry.about)))
                    references[entry.about] = found.reference if found else ""
            yield _part(begins, transfers, sorted(entries, key=lambda one: one.id), references, assets)


def _part(
    begins: Millis,
    transfers: Sequence[wire.ListedTransfer],
    entries: Sequence[wire.LedgerEntry],
    references: Mapping[str, str],
    assets: Assets,
) -> StatementPart:
    debited: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.of_transfer and entry.difference < 0:
            debited[entry.about] -= entry.difference
    lines = [
        _paid(one.transfer, debited.get(one.id), assets)
        for one in transfers
        if one.transfer.status.casefold() not in wire.NOT_PAID
    ]
    listed = {one.id for one in transfers}
    lines += [
        _moved(entry, references.get(entry.about, ""), assets)
        for entry in entries
        if entry.difference > 0 or not entry.of_transfer or entry.about not in listed
    ]
    by_currency: dict[str, list[wire.LedgerEntry]] = defaultdict(list)
    for entry in entries:
        by_currency[entry.currency.upper()].append(entry)
    balances = {code: _balance(of, asset_of(assets, code)) for code, of in by_currency.items()}
    return StatementPart(begins, tuple({line.id: line for line in lines}.values()), balances)


def _paid(one: wire.PaystackTransfer, debited: int | None, assets: Assets) -> StatementLine:
    """Make the line of a transfer: what it cost is what the ledger says, or else what the transfer itself does."""
    asset = asset_of(assets, one.currency.upper())
    fee = debited - one.amount if debited is not None and debited >= one.amount else one.fee_charged
    details = one.recipient.details if isinstance(one.recipient, wire.PaystackRecipient) else None
    return StatementLine(
        one.transfer_code,
        LineKind.PAYMENT,
        Money(_units(one.amount, asset), asset),
        out=True,
        at=moment(WHO, one.created_at or ""),
        reference=one.reference,
        handle=one.transfer_code,
        fee=None if fee is None else _units(fee, asset),
        account=str(details.account_number or "") if details else "",
        open=one.status.casefold() in wire.UNDER_WAY,
    )


def _moved(entry: wire.LedgerEntry, reference: str, assets: Assets) -> StatementLine:
    """Make the line of an entry that no listed transfer says already."""
    asset = asset_of(assets, entry.currency.upper())
    back = entry.of_transfer and entry.difference > 0
    return StatementLine(
        f"ledger-{entry.id}",
        LineKind.RETURN if back else LineKind.OTHER,
        Money(_units(abs(entry.difference), asset), asset),
        out=entry.difference < 0,
        at=moment(WHO, entry.created_at),
        reference=reference,
    )


def _balance(entries: Sequence[wire.LedgerEntry], asset: Asset) -> StatementBalance:
    first, last = entries[0], entries[-1]
    moved = sum(one.difference for one in entries)
    return StatementBalance(
        _units(first.balance - first.difference, asset), _units(last.balance, asset), _units(moved, asset)
    )


def _units(minor: int, asset: Asset) -> int:
    """Count hundredths, as the gateway does in every currency, in units of the asset."""
    return minor * int(10**asset.decimals) // wire.HUNDRED
