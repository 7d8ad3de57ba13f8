"""Lines put together by days, which is what a statement is read in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from machines.core.clock import DAY, Millis
from machines.core.errors import BadInput
from machines.core.money import Asset, Assets
from machines.core.ports import StatementBalance, StatementLine, StatementPart

MOST_LINES = 200_000
MOST_BYTES = 256 * 1024 * 1024
LONGEST = 140
"""So much of a name or a reference counts: the rest is what people write, and nothing is found by it."""


def by_day(
    lines: Iterable[StatementLine], balances: Mapping[str, StatementBalance] | None = None
) -> list[StatementPart]:  # fmt: skip
    """Give one part a day, the oldest first; what is said of all of it stands on the first."""
    days: dict[Millis, list[StatementLine]] = defaultdict(list)
    for count, line in enumerate(lines):
        if count == MOST_LINES:
            raise BadInput(f"The file has more than {MOST_LINES:,} lines: split it, by month or by day.")
        days[Millis(line.at - line.at % DAY)].append(line)
    parts = [StatementPart(begins, tuple(days[begins])) for begins in sorted(days)]
    if parts and balances:
        parts[0] = StatementPart(parts[0].begins, parts[0].lines, balances)
    return parts


def asset_of(assets: Assets, code: str) -> Asset:
    """Give an asset; what nobody keeps books in here has two decimals, as most currencies do."""
    code = code.strip().upper()
    return next((one for one in assets if one.code == code), Asset(code, 2))
