"""The rail's side of a record as its commit writes it: what it has there now, what changes, and the postings."""

from typing import Any, Literal

import msgspec

from machines.core.ids import Owner
from machines.core.machine import AnyMachine
from machines.core.rail_share import changes, postings, written
from machines.core.record import Record
from payflow.store.macs import Macs

RAIL = "rail:"
"""Stands before the name of a rail where an owner's name stands in a posting."""


class RailOp(msgspec.Struct, array_like=True, gc=False):
    """How the rail's side of a record changes."""

    share: str
    """What it has there from now on."""
    changes: list[str]
    """Figure of `{pf:SS}:rails`, by how much; and so on."""
    postings: list[str]
    """As the journal has them."""


def on_rail(macs: Macs, machine: AnyMachine, record: Record[Any], before: str = "") -> RailOp | Literal[False]:
    """Say what changes where a record becomes this one; False where nothing does."""
    if machine.rail_share is None:
        return False
    share = written(machine.rail_share(record))
    if share == before:
        return False
    return posted(macs, before, share, record.id, record.version)


def posted(macs: Macs, before: str, share: str, cause: str, number: int) -> RailOp:
    """Say what changes between two shares, signed as postings of a cause."""
    op = RailOp(share, [], [])
    for rail, asset, changed in changes(before, share):
        for name, units in changed.items():
            op.changes += (f"{rail} {asset}.{name}", str(units))
        for source, target, units in postings(changed):
            op.postings.append(line_of(macs, rail_account(rail), asset, source, target, units, cause, number))
    return op


def line_of(
    macs: Macs, account: Owner, asset: str, source: str, target: str, units: int, cause: str, number: int
) -> str:  # fmt: skip
    """Write a posting of a rail as the journal has it, signed."""
    seal = macs.seal_posting((account, asset, source, target, str(units), cause), number)
    return f"{account} {asset} {source} {target} {units} 0 {cause}{seal}"


def rail_account(rail: str) -> Owner:
    """Give what stands in a posting where an owner does."""
    return Owner(f"{RAIL}{rail}")
