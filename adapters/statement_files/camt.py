"""A bank's statement by ISO 20022: camt.053, in any of its versions.

Read as a stream, with no document type and no entities: what a bank sends needs neither, and both have been used to
make a reader eat memory or files.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import BinaryIO
from xml.parsers import expat

from adapters.statement_files.parts import LONGEST, MOST_LINES, asset_of
from machines.core.clock import SECOND, Millis
from machines.core.errors import BadAmount, BadInput
from machines.core.money import Assets, Money
from machines.core.ports import LineKind, StatementBalance, StatementLine

CHUNK = 64 * 1024
DEEPEST, LONGEST_TEXT = 40, 10_000
CREDIT = "CRDT"
OPENING, CLOSING = ("OPBD", "PRCD"), ("CLBD",)


@dataclass(slots=True)
class Node:
    """An element that is kept until its entry is read."""

    name: str
    currency: str = ""
    text: str = ""
    children: list["Node"] = field(default_factory=list)

    def at(self, path: str) -> "Node | None":
        """Find the first element at a path of names."""
        node: Node | None = self
        for name in path.split("/"):
            node = next((one for one in node.children if one.name == name), None) if node else None
        return node

    def said(self, *paths: str) -> str:
        """Give the text at the first of some paths that has one."""
        return next((node.text.strip() for path in paths if (node := self.at(path)) and node.text.strip()), "")


@dataclass(frozen=True, slots=True)
class CamtStatement:
    """What a file says."""

    lines: tuple[StatementLine, ...]
    balances: dict[str, StatementBalance]


def read(file: BinaryIO, assets: Assets) -> CamtStatement:
    """Read a file; raises `BadInput` where it is none, or says what cannot be."""
    lines: list[StatementLine] = []
    held: dict[str, dict[str, int]] = {}
    for node in _nodes(file):
        if node.name == "Ntry":
            lines.append(_line(node, assets, len(lines) + 1))
        else:
            _balance(node, assets, held)
        if len(lines) > MOST_LINES:
            raise BadInput(f"The file has more than {MOST_LINES:,} entries: ask the bank for shorter spans.")
    balances = {
        code: StatementBalance(one["opening"], one["closing"], _moved(lines, code))
        for code, one in held.items()
        if {"opening", "closing"} <= one.keys()
    }
    return CamtStatement(tuple(lines), balances)


def _moved(lines: Iterable[StatementLine], code: str) -> int:
    return sum(-one.amount.units if one.out else one.amount.units for one in lines if one.amount.asset.code == code)


class _Reader:
    """Collects entries and balances as they end, and nothing else of the file."""

    def __init__(self) -> None:
        self._stack: list[Node] = []
        self.done: list[Node] = []

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        if self._stack or name in ("Ntry", "Bal"):
            if len(self._stack) == DEEPEST:
                raise BadInput("The file nests deeper than any statement does.")
            self._stack.append(Node(name, attributes.get("Ccy", "")))

    def text(self, data: str) -> None:
        if self._stack and len(self._stack[-1].text) < LONGEST_TEXT:
            self._stack[-1].text += data

    def end(self, _: str) -> None:
        if self._stack:
            node = self._stack.pop()
            (self._stack[-1].children if self._stack else self.done).append(node)

    def refuse(self, *_: object) -> None:
        raise BadInput("The file declares a document type, which no bank's statement needs: it is not read.")


def _nodes(file: BinaryIO) -> Iterator[Node]:
    """Give each entry and each balance, whole, and forget it."""
    parser, reader = expat.ParserCreate(namespace_separator=" "), _Reader()
    parser.StartElementHandler, parser.EndElementHandler = reader.begin, reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = reader.refuse
    try:
        while chunk := file.read(CHUNK):
            parser.Parse(chunk, False)  # noqa: FBT003  (not the last one)
            yield from reader.done
            reader.done.clear()
        parser.Parse(b"", True)  # noqa: FBT003
    except expat.ExpatError as error:
        raise BadInput(f"The file is no XML: {expat.errors.messages[error.code]} in line {error.lineno}.") from error


def _line(node: Node, assets: Assets, number: int) -> StatementLine:
    amount = node.at("Amt")
    if amount is None:
        raise BadInput(f"Entry {number} has no amount.")
    details = node.at("NtryDtls/TxDtls") or node
    out = node.said("CdtDbtInd") != CREDIT
    at = _at(node.said("BookgDt/DtTm", "BookgDt/Dt", "ValDt/DtTm", "ValDt/Dt"), number)
    reference = details.said("Refs/EndToEndId", "Refs/InstrId", "RmtInf/Ustrd")
    reference = "" if reference == "NOTPROVIDED" else reference[:LONGEST]
    back = node.said("RvslInd") == "true" or bool(details.at("RtrInf"))
    own = details.said("Refs/AcctSvcrRef") or node.said("AcctSvcrRef", "NtryRef")
    return StatementLine(
        own[:LONGEST] or _name(node, number),
        LineKind.PAYMENT if out else LineKind.RETURN if back else LineKind.OTHER,
        _money(amount, assets, number),
        out=out,
        at=at,
        reference=reference,
        account=details.said("RltdPties/CdtrAcct/Id/IBAN", "RltdPties/CdtrAcct/Id/Othr/Id")[:LONGEST] if out else "",
    )


def _balance(node: Node, assets: Assets, held: dict[str, dict[str, int]]) -> None:
    kind, amount = node.said("Tp/CdOrPrtry/Cd"), node.at("Amt")
    if amount is None or kind not in (*OPENING, *CLOSING):
        return
    units = _money(amount, assets, 0).units
    side = "opening" if kind in OPENING else "closing"
    of = held.setdefault(amount.currency, {})
    if side == "closing" or side not in of:  # of several pages the first opens, and the last closes
        of[side] = units if node.said("CdtDbtInd") == CREDIT else -units


def _money(amount: Node, assets: Assets, number: int) -> Money:
    asset = asset_of(assets, amount.currency)
    try:
        moved = Decimal(amount.text.strip()).scaleb(asset.decimals)
        if not moved.is_finite() or moved != moved.to_integral_value():
            raise BadInput(f"Entry {number}: {amount.text[:40]!r} {asset.code} is no amount that can be kept.")
        return Money(int(moved), asset)
    except (InvalidOperation, BadAmount) as error:
        raise BadInput(f"Entry {number}: {amount.text[:40]!r} is no amount.") from error


def _at(text: str, number: int) -> Millis:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"Entry {number} says not when it was booked.") from None
    return Millis(int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * SECOND))


def _name(node: Node, number: int) -> str:
    """Name an entry by its place and all that it says, where the bank gives it no reference of its own."""

    def all_of(one: Node) -> str:
        return f"{one.name}({one.currency}{one.text.strip()}{''.join(map(all_of, one.children))})"

    return hashlib.sha256(f"{number}{all_of(node)}".encode()).hexdigest()[:24]
