"""The rows of a file, each checked as a single request would be, by the same functions; nobody outside is asked.

It runs in a thread of its own, some rows at a time: nothing of it touches the store.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal

from adapters.payout_files.rows import MOST_BYTES as LARGEST
from adapters.payout_files.rows import RawRow
from machines.core.errors import BadAmount, PayflowError
from machines.core.ids import Owner, derived_id
from machines.core.methods import BadDestination
from machines.core.money import Asset, Assets, Money
from machines.core.ports import Destination
from payflow.desk.gateways import print_of
from payflow.desk.methods import PayRoute
from payflow.desk.payouts import MACHINE, Desk, shown
from payflow.desk.requests import PARTS, refuse_bad_line
from payflow.store.registers.payout_files import FileRow, RedRow

LONGEST_NOTE, LONGEST_REFERENCE = 140, 100
MOST_BYTES = LARGEST
"""Of a file."""
THOUSAND = 3
"""So many digits stand between two signs of thousands."""
KNOWN: Mapping[str, str] = {
    "amount": "how much, as 1250.50",
    "currency": "its currency, as NGN",
    "method": "how it is paid; bank by default, or ethereum where there is an address",
    **{name: name.replace("_", " ") for name in PARTS},
    "note": "what the receiver's bank shows",
    "reference": "your own name for the row: no two payouts ever have the same",
}
"""What a column can be."""
_AS_TEXT = frozenset({"account_number", "bank_code", "branch_code"})
"""What has zeros in front, which a spreadsheet takes away from numbers."""


@dataclass(slots=True)
class RowChecker:
    """Checks the rows of one file."""

    desk: Desk
    owner: Owner
    sha256: str
    assets: Assets
    _pairs: dict[bytes, int] = field(default_factory=dict)
    """By payee and amount, the first row that has them."""
    _references: dict[str, int] = field(default_factory=dict)

    def check(self, rows: Iterator[RawRow], size: int) -> tuple[list[FileRow], list[RedRow], bool]:
        """Check the next rows; says besides whether these were the last."""
        good: list[FileRow] = []
        red: list[RedRow] = []
        for row in rows:
            found = self._checked(row)
            if isinstance(found, FileRow):
                good.append(found)
            else:
                red.append(found)
            if len(good) + len(red) == size:
                return good, red, False
        return good, red, True

    def _checked(self, row: RawRow) -> FileRow | RedRow:
        reference = row.said.get("reference", "")[:LONGEST_REFERENCE]
        cell = ""
        try:
            if row.problem:
                return RedRow(row.number, "", row.problem, reference)
            for name in _AS_TEXT & row.numbers:
                return RedRow(
                    row.number, name, "a number loses the zeros in front of it: format the column as text", reference
                )
            cell = "reference"
            refuse_bad_line(row.said.get("reference", ""), LONGEST_REFERENCE)
            cell = "note"
            refuse_bad_line(row.said.get("note", ""), LONGEST_NOTE)
            cell = "currency"
            asset = self.assets[row.said.get("currency", "").upper()]
            cell = "amount"
            amount = Money.parse(_plain(row.said.get("amount", ""), asset), asset)
            cell = "destination"
            parts = {name: row.said[name] for name in PARTS if row.said.get(name)}
            method = row.said.get("method", "") or ("ethereum" if "address" in parts else "bank")
            route, destination = self.desk.checked(amount, method, parts)
        except BadDestination as error:
            return RedRow(row.number, error.field, str(error), reference)
        except BadAmount as error:
            return RedRow(row.number, "amount" if cell == "destination" else cell, str(error), reference)
        except PayflowError as error:
            return RedRow(row.number, cell, str(error), reference)
        return self._once(row, amount, method, route, destination)

    def _once(
        self, row: RawRow, amount: Money, method: str, route: PayRoute, destination: Destination
    ) -> FileRow | RedRow:
        """Refuse what stands in the file twice."""
        reference, seals = row.said.get("reference", ""), self.desk.store.seals
        place = seals.place(destination)
        if reference:
            first = self._references.setdefault(reference, row.number)
            if first != row.number:
                return RedRow(row.number, "reference", f"row {first} has the same reference", reference)
        pair = f"{place}{amount}".encode()
        first = self._pairs.setdefault(pair, row.number)
        if first != row.number and not reference:
            why = f"row {first} pays the same to the same payee: give both a reference if both are meant"
            return RedRow(row.number, "", why)
        key = f"row ref {reference}" if reference else f"row {self.sha256} {row.number}"
        shard = self.desk.store.records.owner_shard(self.owner)
        payout = derived_id(MACHINE, shard, self.owner, key)
        return FileRow(
            number=row.number,
            payout=payout,
            asset=amount.asset.code,
            units=amount.units,
            method=method,
            rail=route.rail,
            sealed=seals.seal(destination, payout),
            shown=shown(destination),
            place=place,
            fingerprint=print_of(seals, amount, destination),
            note=row.said.get("note", ""),
            reference=reference,
            fee=_fee(route, amount),
        )


def _fee(route: PayRoute, amount: Money) -> int:
    """Say what the rail publishes that it takes, in ledger units, rounded up."""
    fee = route.row.fee(Decimal(amount.decimal)).scaleb(amount.asset.decimals)
    return int(fee.to_integral_value(ROUND_CEILING))


def _plain(text: str, asset: Asset) -> str:
    """Read an amount as spreadsheets write it; `1,250` may be one thousand or one and a quarter, and is refused.

    So is `1.250`, where the currency has fewer decimals than that.
    """
    if "," in text and ("." not in text or text.rfind(",") > text.rfind(".")):
        raise BadAmount(f"{text[:40]!r} can be read in two ways: write 1250.50.")
    if "," not in text and len(text.partition(".")[2]) == THOUSAND > asset.decimals:
        raise BadAmount(f"{text[:40]!r} can be read in two ways: {asset.code} has {asset.decimals} decimals.")
    return text.replace(",", "").replace(" ", "")
