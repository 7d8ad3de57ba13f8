"""A statement as a table (CSV), with a map from what we need to the columns that have it.

Every bank writes other columns. A map such as `id=Transaction ID,at=Date,amount=Amount,reference=Narration` says which;
where it may be called one thing or the other, `at=Date|Booked on`. Small letters, spaces and underscores are all one.
"""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from adapters.statement_files.parts import LONGEST, asset_of
from machines.core.clock import SECOND, Millis
from machines.core.errors import BadAmount, BadInput
from machines.core.money import Assets, Money
from machines.core.ports import LineKind, StatementLine

NEEDED = ("at", "amount")
KNOWN = {
    "at": "when it happened",
    "amount": "how much; less than nothing, or in `debit`, where it left",
    "debit": "how much left, where that stands in a column of its own; `amount` is what came in then",
    "id": "the bank's own id of the line",
    "reference": "our reference",
    "fee": "what the bank took",
    "account": "where it went",
    "currency": "the currency; that of --currency where there is no such column",
    "kind": "`return` where something came back",
    "way": "`D`, `debit` or `out` where it left, if all amounts are positive",
    "status": "`failed` where nothing came of it: such a line is left out",
}
FAILED = "failed"
LEFT = ("d", "dr", "debit", "out")
READY = {
    "flutterwave-transfers": (
        "id=id,at=created at,debit=amount,fee=fee,reference=reference,account=account number,currency=currency,"
        "status=status"
    ),
    "flutterwave-wallet": "at=date,amount=amount,way=type,reference=reference,currency=currency",
    "flutterwave-settlement": (
        "id=id,at=processed date|due date|transaction date,amount=net amount|amount,currency=currency,status=status"
    ),
}
"""Maps that are ready, by name. Their columns are called as the fields of the vendor's own API; it writes nowhere what
its dashboard calls them, so that what is read is shown first here as of any file."""
_FORMATS = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y", "%d-%b-%Y", "%d-%m-%Y", "%d.%m.%Y", "%Y/%m/%d")


def column_map(text: str) -> Mapping[str, str]:
    """Read a map of columns, or take one that is ready by its name."""
    text, found = READY.get(text.strip(), text), {}
    for part in text.split(","):
        name, sign, column = part.partition("=")
        if not sign or name.strip() not in KNOWN:
            raise BadInput(f"{part.strip()[:40]!r}: write name=Column, the name being one of {', '.join(KNOWN)}.")
        found[name.strip()] = column.strip()
    missing = [name for name in NEEDED if name not in found]
    if missing and not (missing == ["amount"] and "debit" in found):
        raise BadInput(f"The map names no column for {' and '.join(missing)}.")
    return found


def lines_of(
    rows: Iterable[str], columns: Mapping[str, str], currency: str, assets: Assets
) -> Iterable[StatementLine]:  # fmt: skip
    """Read the lines, one at a time."""
    reader = csv.DictReader(rows)
    there = [name.strip() for name in reader.fieldnames or ()]
    columns = {name: _named(column, there) for name, column in columns.items()}
    reader.fieldnames = there
    try:
        for row in reader:
            line = _line(row, columns, currency, assets, reader.line_num)
            if line is not None:
                yield line
    except csv.Error as error:
        raise BadInput(f"Line {reader.line_num} is no line of a table: {error}.") from error


def _named(column: str, there: Sequence[str]) -> str:
    """Find a column by one of the names that it may have."""
    spelled = {_plain(name): name for name in there}
    found = [spelled[plain] for one in column.split("|") if (plain := _plain(one)) in spelled]
    if not found:
        raise BadInput(f"The file has no column {column!r}; it has {', '.join(there)[:300]}.")
    return found[0]


def _plain(name: str) -> str:
    return "".join(name.casefold().replace("_", " ").split())


def _line(
    row: Mapping[str, str | None], columns: Mapping[str, str], currency: str, assets: Assets, number: int
) -> StatementLine | None:
    said = {name: (row.get(column) or "").strip() for name, column in columns.items()}
    amount, debit = _decimal(said.get("amount", ""), number), _decimal(said.get("debit", ""), number)
    if (not amount and not debit) or said.get("status", "").casefold() == FAILED:
        return None  # a heading, or a sum
    asset = asset_of(assets, said.get("currency") or currency)
    out = bool(debit) or amount < 0 or said.get("way", "").casefold() in LEFT
    moved = abs(debit or amount).scaleb(asset.decimals)
    if moved != moved.to_integral_value():
        raise BadInput(f"Line {number}: {said.get('amount') or said.get('debit')} is more exact than {asset.code} is.")
    fee = _decimal(said.get("fee", ""), number)
    kind = LineKind.RETURN if said.get("kind", "").casefold() == "return" else LineKind.OTHER
    reference = said.get("reference", "")[:LONGEST]
    try:
        money = Money(int(moved), asset)
    except BadAmount as error:
        raise BadInput(f"Line {number}: {error}") from error
    return StatementLine(
        said.get("id", "")[:LONGEST] or _name(row),
        LineKind.PAYMENT if out else kind,
        money,
        out=out,
        at=_at(said["at"], number),
        reference=reference,
        fee=int(abs(fee).scaleb(asset.decimals).to_integral_value(ROUND_CEILING)) if said.get("fee") else None,
        account=said.get("account", "")[:LONGEST],
    )


def _name(row: Mapping[str, str | None]) -> str:
    """Name a line by all that it says, where the bank gives it no id: two that say the same are one."""
    said = "\0".join(f"{name}={value}" for name, value in sorted((str(key), value) for key, value in row.items()))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _decimal(text: str, number: int) -> Decimal:
    try:
        value = Decimal(text.replace(",", "").replace(" ", "")) if text else Decimal(0)
    except InvalidOperation:
        raise BadInput(f"Line {number}: {text[:40]!r} is no amount; write 1250.50.") from None
    if not value.is_finite():
        raise BadInput(f"Line {number}: {text[:40]!r} is no amount.")
    return value


def _at(text: str, number: int) -> Millis:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = _otherwise(text, number)
    return Millis(int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * SECOND))


def _otherwise(text: str, number: int) -> datetime:
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise BadInput(f"Line {number}: {text[:40]!r} is no time; 2027-01-15, 2027-01-15T08:00 and 15/01/2027 are.")
