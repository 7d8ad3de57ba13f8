"""A pool's Redis that was restored from before a run: what we paid is booked again before anybody is due."""

import asyncio

import structlog

from machines.core.errors import Retryable
from machines.pool import lifecycle as s
from machines.pool.acts import why_not
from machines.pool.data import PoolRecord, line_of, shannon_of
from machines.pool.ports import Booked
from payflow.app.pools import Own, Pool

log = structlog.get_logger()

# How many payments in a row, newest first, the books must know for all older ones to be taken for known: a backup
# forgets what is newest, and payments that were under way at the same time may have been booked in another order.
KNOWN_IN_A_ROW = 100
FIRST_PAGE = 250
STEPS_OF = {s.PAID: "paid", s.CREDITED: "credited", s.DEBITED: "debited", s.SENT: "debited"}


async def apply_again(pool: Pool, own: Own) -> list[str]:
    """Book what the books forgot, and say of each what was done; empty where they forgot nothing."""
    lines = []
    for record in [*await _over(pool, own), *await own.open_payments(pool.coin)]:
        line = await _put_right(pool, record)
        lines += [line] if line else []
    if lines:
        log.error(
            "The pool's Redis had forgotten payments of ours: it was restored from an older backup.",
            action="pool_restored",
            coin=pool.coin,
            payments=len(lines),
        )
    return lines


async def _put_right(pool: Pool, record: PoolRecord) -> str:
    """Bring the books of one payment to where our record is."""
    step = (await pool.books.steps([record.id]))[0].partition(":")[0]
    if record.state not in STEPS_OF or step == STEPS_OF[record.state] or _ahead(record, step):
        return ""
    said = f"{shannon_of(record)} Shannon for {record.data.login}"
    if record.state == s.PAID:
        answer = await pool.books.write_payment(line_of(record, record.data.paid_at), record.data.hash)
        done = f"The pool's Redis had forgotten a payment: booked {said} again, TxHash: {record.data.hash}"
    elif record.state == s.CREDITED:
        answer = await pool.books.rollback(line_of(record, record.data.debited_at))
        done = f"The pool's Redis had forgotten a credit: credited {said} again" if step else ""
    else:
        answer = await pool.books.debit(line_of(record, record.data.debited_at), again=True)
        done = f"The pool's Redis had forgotten a pending payment: took off {said} again"
    if answer.code not in (Booked.DONE, Booked.ALREADY):
        raise Retryable(f"{record.id} ({said}) is {record.state}, and {why_not(answer)}")
    return done


def _ahead(record: PoolRecord, step: str) -> bool:
    """Say whether the books are where the record will be as soon as its look is committed."""
    return record.state in (s.DEBITED, s.SENT) and step in ("paid", "credited")


async def _over(pool: Pool, own: Own) -> list[PoolRecord]:
    """List finished payments that the books do not have as we do, the oldest first."""
    limit = FIRST_PAGE
    while True:
        found = await asyncio.gather(
            *(own.store.listing.newest("pool", state, limit) for state in (s.PAID, s.CREDITED))
        )
        whole = all(len(part) < limit for part in found)
        records = [one.record for part in found for one in part if one.record.data.coin == pool.coin]
        records.sort(key=lambda one: one.since, reverse=True)
        steps = await pool.books.steps([one.id for one in records])
        known = [step.partition(":")[0] == STEPS_OF[one.state] for one, step in zip(records, steps, strict=True)]
        oldest_unknown = max((place for place, one in enumerate(known) if not one), default=-1)
        if whole or len(known) - oldest_unknown > KNOWN_IN_A_ROW:
            return [one for one, is_known in zip(records, known, strict=True) if not is_known][::-1]
        limit *= 4
