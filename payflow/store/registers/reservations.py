"""What of the limits of a day is reserved: counted as things happen, and counted anew by who walks over the books.

The figures are kept by scripts, so nobody signs them. What was credited, and what has left, is in signed postings and
records: a walk compares, and puts right what says less.
"""

from collections.abc import Mapping
from typing import NamedTuple

from machines.core.clock import DAY, Millis
from payflow.store.link import Link
from payflow.store.scripts import RECOUNT, RESERVE

FORGOTTEN_AFTER_MS = 2 * DAY
"""Over the next day as well: the clock of a server may be set back."""


class Miscount(NamedTuple):
    """A limit of which something else is said to be used than is."""

    key: str
    limit: str
    said: int
    reserved: int
    used: int

    @property
    def place(self) -> str:
        return f"{self.key} {self.limit}"

    @property
    def text(self) -> str:
        """Say what is wrong, as far as people need to know."""
        return f"it says {self.said} units, what is reserved is {self.reserved}, and {self.used} are used at least"


async def reserve(
    link: Link, key: str, name: str, units: int, version: int, now: Millis, limits: Mapping[str, int]
) -> str:
    """Take units off all of these limits, or none, once for each name; gives the limit with too little left, or ''."""
    words = [word for limit, most in limits.items() for word in (limit, most)]
    full = await link.run(RESERVE, [key], name, units, version, now, FORGOTTEN_AFTER_MS, *words)
    return str(full.decode())


async def recount(link: Link, key: str, least: Mapping[str, int], now: Millis, *, put_right: bool) -> list[Miscount]:
    """Find the limits whose figure is not the sum of what is reserved, or is less than what is known to be used."""
    words = [word for limit, units in least.items() for word in (limit, units)]
    found = await link.run(RECOUNT, [key], int(put_right), now, FORGOTTEN_AFTER_MS, *words)
    return [Miscount(key, limit.decode(), *map(_number, figures)) for limit, *figures in found]


def _number(said: bytes) -> int:
    return int(said) if said.isdigit() else 0
