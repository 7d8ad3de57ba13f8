"""The rail's side of the books: what a record has there, as its state says, and what a change of that is as postings.

A machine says of a record what of it is under way at its rail, what arrived, what it cost. A commit posts the
difference between that and what was posted of the record before, so nobody writes postings by hand, and none twice.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from machines.core.record import Record

FINE = 10**9
"""So many parts has a ledger unit on the rail's side: wei of a gwei, and what is beyond a kobo of a gateway's fee."""
REST = "_rest"
"""Behind the name of a part: what of it is less than a unit, in these parts. Whoever reads adds both."""
OUTSIDE = "outside"
"""Where that comes from, or goes to, which has no other part in the same change."""


class RailPart(StrEnum):
    """The accounts of a rail in one asset."""

    IN_FLIGHT = "in_flight"
    """Of owners: handed over, and not proven either way."""
    SETTLED = "settled"
    """What is proven to have arrived."""
    BORNE = "borne"
    """Fees that payees bear: what their owners paid and did not arrive."""
    TWICE = "twice"
    """Of what is settled, what no owner's account says: a second payment, one of a payout that is not paid here."""
    FEES = "fees"
    """What the rail charged, whoever bears it."""
    GAS = "gas"
    """Of a lane: what its transactions cost, whatever they did."""
    POOLS = "pools"
    """Of a lane: what it sent for mining pools."""
    BOUNTIES = "bounties"
    """Of a lane: what it sent for bounties."""
    CALLS = "calls"
    """Of a lane: what it sent for nobody's record, such as a call of an operator."""
    FUNDED = "funded"
    """What came into the wallet from outside, less what was taken out, as statements say."""
    WALLET = "wallet"
    """What the rail said last that is in the wallet."""


WENT = (
    RailPart.SETTLED,
    RailPart.FEES,
    RailPart.GAS,
    RailPart.POOLS,
    RailPart.BOUNTIES,
    RailPart.CALLS,
)
"""All that leaves the wallet."""


class RailShare(NamedTuple):
    """What a record has in the accounts of its rail."""

    rail: str
    asset: str
    parts: Mapping[RailPart, int]
    """In parts of a unit, see `FINE`."""


ShareOf: TypeAlias = Callable[[Record[Any]], RailShare | None]

Figures: TypeAlias = dict[str, int]
"""Part, or what is less than a unit of it -> units."""


def written(share: RailShare | None) -> str:
    """Write a share as it is kept on its record; empty where there is nothing."""
    if share is None:
        return ""
    words = [f"{name} {units}" for name, units in _figures(share.parts) if units]
    return " ".join((share.rail, share.asset, *words)) if words else ""


def _figures(parts: Mapping[RailPart, int]) -> Iterator[tuple[str, int]]:
    for part, fine in sorted(parts.items()):
        whole, rest = divmod(fine, FINE)
        yield part.value, whole
        yield part.value + REST, rest


def read(text: str) -> tuple[str, str, Figures]:
    """Read what is kept of a share: rail, asset, figures."""
    rail, asset, *words = text.split(" ")
    return rail, asset, {name: int(units) for name, units in zip(words[::2], words[1::2], strict=True)}


def changes(before: str, after: str) -> Iterator[tuple[str, str, Figures]]:
    """Say by how much which figures change, where what is kept of a share does."""
    sums: dict[tuple[str, str], Figures] = {}
    for text, sign in ((before, -1), (after, 1)):
        if text:
            rail, asset, figures = read(text)
            found = sums.setdefault((rail, asset), {})
            for name, units in figures.items():
                found[name] = found.get(name, 0) + sign * units
    for (rail, asset), found in sums.items():
        changed = {name: units for name, units in found.items() if units}
        if changed:
            yield rail, asset, changed


_ALONG = (
    RailPart.IN_FLIGHT,
    RailPart.SETTLED,
    RailPart.BORNE,
    RailPart.POOLS,
    RailPart.BOUNTIES,
    RailPart.CALLS,
)
"""What goes from one of these to another; what a rail charges, or paid twice, comes from outside."""
_PAIRED = frozenset(f"{part}{rest}" for part in _ALONG for rest in ("", REST))


def postings(changed: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """Give changes as postings: source, target, units. What has no other part comes from outside, or goes there."""
    given = {name: -units for name, units in changed.items() if units < 0}
    for target, wanted in ((name, units) for name, units in changed.items() if units > 0):
        left = wanted
        pairs = _PAIRED.intersection(given) if target in _PAIRED else frozenset[str]()
        for source in sorted(name for name in pairs if name.endswith(REST) == target.endswith(REST)):
            units = min(left, given[source])
            if units:
                yield source, target, units
                given[source] -= units
                left -= units
        if left:
            yield OUTSIDE, target, left
    for source, units in given.items():
        if units:
            yield source, OUTSIDE, units
