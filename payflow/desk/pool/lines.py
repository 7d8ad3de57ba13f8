"""What operators of a pool read, in the lines of the pool's own modules."""

from collections.abc import Callable
from datetime import datetime

from adapters.open_ethereum_pool.books import PendingRow
from machines.core.errors import PayflowError
from machines.pool import lifecycle as s
from machines.pool.data import PoolRecord, shannon_of
from payflow.desk.pool.pool import Pool

Say = Callable[[str], None]
"""Prints a line for operators."""


def spoken(text: str, at: datetime) -> str:
    """Write a line as the pool's own modules write theirs."""
    return f"{at:%Y/%m/%d %H:%M:%S} {text}"


def shown(row: PendingRow) -> str:
    """Write a pending payment as the pool lists it."""
    at = datetime.fromtimestamp(row.at_s).astimezone()
    return f"Address: {row.login}, Amount: {row.shannon} Shannon, {at:%Y-%m-%d %H:%M:%S %z %Z}"


def moved(before: PoolRecord, now: PoolRecord) -> list[str]:
    """Say what happened to a payment, in the lines that operators know."""
    data, shannon, lines = now.data, shannon_of(now), []
    if before.state == s.DUE and now.state not in (s.DUE, s.SKIPPED):
        lines.append(f"Locked payment for {data.login}, {shannon} Shannon")
    if data.hash and data.hash != before.data.hash:
        lines.append(f"Waiting for tx confirmation: {data.hash}")
    match now.state:
        case s.SKIPPED:
            lines.append(f"Skipped {data.login}, {shannon} Shannon: {data.reason}")
        case s.PAID:
            lines.append(f"Paid {shannon} Shannon to {data.login}, TxHash: {data.hash}")
            lines.append(f"Payout tx successful for {data.login}: {data.hash}")
        case s.CREDITED:
            tx = data.evidence.reference if data.evidence else data.hash
            if data.refused:
                lines.append(f"Payout tx failed for {data.login}: {tx}. Address contract throws on incoming tx.")
            lines.append(f"Credited {shannon} Shannon back to {data.login}")
        case s.HALTED:
            lines.append(
                f"Halted the payment of {shannon} Shannon to {data.login}: {data.reason}. `payflow show {now.id}`"
            )
        case _:
            pass
    return lines


async def save(pool: Pool, say: Say) -> None:
    """Let the pool's Redis write its snapshot."""
    try:
        say(f"Saving backend state to disk: {await pool.books.link.save_in_background()}")
    except PayflowError as error:
        say(f"Failed to perform BGSAVE on backend: {error}")
