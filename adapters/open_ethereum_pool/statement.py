"""What a pool's database says was paid: its list of payments, a day at a time."""

from collections import Counter
from collections.abc import AsyncIterator

from adapters.open_ethereum_pool.books import PoolBooks
from adapters.statement_days import asset_of, days
from machines.core.clock import DAY, HOUR, SECOND, Millis
from machines.core.money import ETH, Assets, Money
from machines.core.ports import LineKind, StatementLine, StatementPart


class PoolStatement:
    """The statement of one coin."""

    patience_ms = Millis(HOUR)
    """A payment is in the list before it counts as paid here; an hour is for a Redis that does not answer."""
    overlap_ms = Millis(2 * DAY)
    """What was booked late stands at the time when it was paid."""

    def __init__(self, books: PoolBooks) -> None:
        self._books = books

    async def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        """Walk over the days; rows that no pool writes are left out, as the pool's own pages leave them out."""
        ether = asset_of(assets, ETH.code)
        for _, begins in days(since, until):
            lines: dict[str, StatementLine] = {}
            count = Counter[str]()
            for row in await self._books.paid_between(begins // SECOND, (begins + DAY) // SECOND):
                name = f"{row.tx}:{row.login}"
                count[name] += 1  # a transaction pays a miner once: what is in the list more often was put there
                name = name if count[name] == 1 else f"{name}:{row.shannon}:{row.at_s}"
                lines[name] = StatementLine(
                    name, LineKind.PAYMENT, Money(row.shannon, ether), out=True, at=Millis(row.at_s * SECOND),
                    reference=f"{row.tx}:{row.login}", handle=row.tx, account=row.login,
                )  # fmt: skip
            if lines:
                yield StatementPart(begins, tuple(lines.values()))
