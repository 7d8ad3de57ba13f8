"""Whether a pool's sums agree with its rows: per miner, and over all. What the manual procedure leaves is put right."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.open_ethereum_pool.books import PoolBooks, PoolLedger
from machines.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class Drift:
    """A sum that is not what the rows say."""

    key: str
    field: str
    has: str
    should: int
    why: str
    repairable: bool = True
    """Whether the rows prove what it should be; a history that lacks rows proves nothing."""

    @property
    def added(self) -> int:
        """What a repair adds."""
        return self.should - int(self.has or 0)


async def audit(books: PoolBooks) -> list[Drift]:
    """List every sum that is wrong; the books are read twice, because the pool may write meanwhile."""
    first = drifts(books, await books.ledger())
    if not first:
        return []
    again = drifts(books, await books.ledger())
    return [one for one in again if one in first]


def drifts(books: PoolBooks, ledger: PoolLedger) -> list[Drift]:
    """Compare sums and rows of one reading."""
    keys = books.keys
    pending: Counter[str] = Counter()
    for row in ledger.pending:
        pending[row.login] += row.shannon
    in_all = _by_login(ledger.everything)
    booked = {row.login for row in ledger.pending if _is_booked(row.shannon, ledger.histories.get(row.login, ()))}
    found: list[Drift] = []
    pending_total = paid_total = balances = 0
    for login, sums in ledger.miners.items():
        key, history = keys.miner(login), _amounts(ledger.histories[login])
        has_paid, has_pending = _whole(key, "paid", sums), _whole(key, "pending", sums)
        balances += _whole(key, "balance", sums)
        # A sum that no row explains is somebody's money: it is put right only where the history has it instead.
        unexplained = max(0, has_pending - pending[login] - max(0, history - has_paid))
        is_half_done = login in booked and has_paid < history
        pending_total += has_pending if unexplained else pending[login]
        paid_total += has_paid if is_half_done else max(history, has_paid)
        if unexplained:
            why = (
                f"a row over {unexplained} Shannon was taken away, and no history has it: where it was paid, "
                f"`add-missing` logs it; where not, put it back (ZADD {keys.pending}) and resolve"
            )
            found.append(_sum(key, "pending", sums, pending[login], why, repairable=False))
        elif has_pending != pending[login]:
            found.append(_sum(key, "pending", sums, pending[login], "the pending rows say so"))
        if is_half_done:
            why = "his history has a row that is still pending: `resolve` books it whole"
            found.append(_sum(key, "paid", sums, history, why, repairable=False))
        elif has_paid < history:
            found.append(_sum(key, "paid", sums, history, "his history has more: a row was added by hand"))
        elif has_paid > history:
            why = "his history has less: rows are missing (`add-missing`), or were cleared"
            found.append(_sum(key, "paid", sums, history, why, repairable=False))
        if in_all[login] != history:
            why = f"{keys.all} has {in_all[login]} for him: a row is in one list only (`add-missing`)"
            found.append(Drift(keys.payments(login), "rows", str(history), in_all[login], why, repairable=False))
    found += _finances(books, ledger, pending_total, paid_total)
    if _whole(keys.finances, "balance", ledger.finances) != balances:
        why = "the balances of all miners add up to it; no row says which of them is wrong"
        found.append(_sum(keys.finances, "balance", ledger.finances, balances, why, repairable=False))
    return found


def _finances(books: PoolBooks, ledger: PoolLedger, pending: int, paid: int) -> list[Drift]:
    key, sums = books.keys.finances, ledger.finances
    wanted = {"pending": (pending, "all pending rows"), "paid": (paid, "all miners, put right,")}
    return [
        _sum(key, field, sums, should, f"{whose} add up to it")
        for field, (should, whose) in wanted.items()
        if _whole(key, field, sums) != should
    ]


async def repair(books: PoolBooks, found: Sequence[Drift]) -> None:
    """Add what is missing, if every sum still is what was shown: all of it or nothing."""
    changes = [(one.key, one.field, one.has, one.added) for one in found if one.repairable]
    if not changes:
        return
    answer = await books.repair(changes)
    if answer.code != "done":
        raise BadInput(f"Nothing was repaired, because the books changed meanwhile: {answer.found}. Look again.")


def _sum(key: str, field: str, sums: dict[str, str], should: int, why: str, *, repairable: bool = True) -> Drift:
    return Drift(key, field, sums.get(field, ""), should, why, repairable)


def _whole(key: str, field: str, sums: dict[str, str]) -> int:
    text = sums.get(field, "0")
    if not text.removeprefix("-").isdecimal():
        raise BadInput(f"{key} has the {field} {text[:40]!r}, which is no whole number: put it right first.")
    return int(text)


def _amounts(members: Sequence[str]) -> int:
    """Add up a miner's history: `<tx>:<amount>`, with a third field in the friends fork."""
    return sum(
        int(parts[1]) for parts in (one.split(":") for one in members) if len(parts) > 1 and parts[1].isdecimal()
    )


def _is_booked(shannon: int, members: Sequence[str]) -> bool:
    return any(member.split(":")[1:2] == [str(shannon)] for member in members)


def _by_login(members: Sequence[str]) -> Counter[str]:
    """Add up the history of all: `<tx>:<login>:<amount>`, with a fourth field in the friends fork."""
    found: Counter[str] = Counter()
    for parts in (one.split(":") for one in members):
        if len(parts) > 2 and parts[2].isdecimal():  # noqa: PLR2004  (the place of the amount)
            found[parts[1]] += int(parts[2])
    return found
