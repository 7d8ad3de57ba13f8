"""What the pool's Redis has forgotten of our payments: it was restored from a backup, or is another one by now.

A history that has a payment's transaction and amount is the booking: then our mark alone is written anew. What few and
young payments lack is booked again before anybody is due; more or older ones are shown, and a person decides.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from machines.core.clock import HOUR
from machines.core.errors import BadInput
from machines.core.ids import RecordId
from machines.pool import lifecycle as s
from machines.pool.acts import why_not
from machines.pool.data import PoolRecord, line_of, shannon_of
from machines.pool.ports import Booked, BookedAnswer
from payflow.desk import archive
from payflow.desk.pool.pool import Own, Pool

log = structlog.get_logger()

# How many payments in a row, newest first, the books must know for all older ones to be taken for known: a backup
# forgets what is newest, and payments that were under way at the same time may have been booked in another order.
KNOWN_IN_A_ROW = 100
FIRST_PAGE = 250
MOST_AT_ONCE = 3
"""So many forgotten payments are booked again without asking."""
YOUNG_MS = HOUR
"""Nor is it asked for what is younger."""
STEPS_OF = {s.PAID: "paid", s.CREDITED: "credited", s.DEBITED: "debited", s.SENT: "debited"}
DONE = (Booked.DONE, Booked.ALREADY)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the books lack."""

    records: tuple[PoolRecord, ...] = ()
    """The oldest first."""
    unreadable: tuple[str, ...] = ()
    """Archived payments that the books lack, and whose archive is not there."""
    marks: tuple[PoolRecord, ...] = ()
    """Payments that the history has, and that our own key alone has lost."""
    is_fresh: bool = False
    """Whether no payment was ever made in these books."""
    oldest_ms: int = 0

    def says(self) -> list[str]:
        """Say what they lack."""
        return [
            *(
                f"The books lack {shannon_of(one)} Shannon for {one.data.login}: {one.state}, {one.id}"
                for one in self.records
            ),
            *(f"The books lack {lost}" for lost in self.unreadable),
        ]

    @property
    def must_ask(self) -> bool:
        """Whether a person must say that these are to be booked again."""
        some = bool(self.records)
        many = len(self.records) > MOST_AT_ONCE or self.oldest_ms > YOUNG_MS
        return bool(self.unreadable) or (some and (many or self.is_fresh))


@dataclass(slots=True)
class PutRight:
    """What was done, and whom it concerns that it could not be done."""

    lines: list[str] = field(default_factory=list)
    stuck: dict[str, str] = field(default_factory=dict)
    """By login: why one of his payments is not as our record has it."""


async def forgotten(pool: Pool, own: Own) -> Forgotten:
    """Compare the books with our records; nothing is changed."""
    lacking, unreadable = await _over(pool, own)
    open_ones = await own.open_payments(pool.coin)
    open_steps = await pool.books.steps([one.id for one in open_ones])
    lacking += [one for one, step in zip(open_ones, open_steps, strict=True) if not _agrees(one, step)]
    steps = await pool.books.steps([one.id for one in lacking])
    booked = await _booked(pool, lacking)
    rows = {(row.member, row.at_s) for row in await pool.books.pending()}
    lost: list[PoolRecord] = []
    marks: list[PoolRecord] = []
    for record, step in zip(lacking, steps, strict=True):
        is_pending = (line_of(record, 0).row, record.data.debited_at) in rows
        is_lost = record.id not in booked and _is_lost(record, step, is_pending=is_pending)
        (lost if is_lost else marks).append(record)
    now = await own.store.records.now()
    # Books that know one of them by our mark are the right ones, from the middle of their first payment.
    unknown = bool(lost) and not any(step for record, step in zip(lacking, steps, strict=True) if record in lost)
    is_fresh = unknown and await pool.books.is_fresh()
    oldest_ms = max((now - one.since for one in lost), default=0)
    return Forgotten(tuple(lost), tuple(unreadable), tuple(marks), is_fresh, oldest_ms)


def _is_lost(record: PoolRecord, step: str, *, is_pending: bool) -> bool:
    """Say whether sums must move for it: else our mark alone is gone, or a person has settled it."""
    if record.state in (s.PAID, s.CREDITED) and is_pending:
        return True
    # Of what was given back, books that know nothing of it lack nothing.
    return not step and not is_pending and record.state != s.CREDITED


async def _booked(pool: Pool, records: Sequence[PoolRecord]) -> set[RecordId]:
    """Name the payments that the history has."""
    paid = [one for one in records if one.state == s.PAID]
    booked = await pool.books.booked(
        [(one.data.login, shannon_of(one), one.data.hash, int(one.data.charge_wei)) for one in paid]
    )
    return {one.id for one, is_booked in zip(paid, booked, strict=True) if is_booked}


async def apply_again(pool: Pool, records: Sequence[PoolRecord]) -> PutRight:
    """Book what the books forgot, and say of each what was done."""
    done = PutRight()
    for record in records:
        await _put_right(pool, record, done)
    if done.lines:
        log.error(
            "The pool's Redis had forgotten payments of ours: it was restored from an older backup.",
            action="pool_restored",
            coin=pool.coin,
            payments=len(done.lines),
        )
    return done


def asked(pool: Pool, found: Forgotten) -> str:
    """Say why a person must look first."""
    lost = [f"\t{shannon_of(one)} Shannon for {one.data.login}, {one.state}, {one.id}" for one in found.records]
    lost += [f"\t{one}" for one in found.unreadable]
    listed = "\n".join(lost[:20]) + (f"\n\tand {len(lost) - 20} more" if len(lost) > 20 else "")  # noqa: PLR2004
    books = "has no payment at all" if found.is_fresh else "lacks payments of Payflow's"
    return (
        f"Unable to start payouts: the pool's Redis {books}:\n{listed}\n"
        "Was it restored from a backup? `payflow pool rebook` books them again, after showing them. Is it another "
        f"pool? Then give it a coin or a folder (PAYFLOW_DATA) of its own: {pool.coin} is known here."
    )


async def _put_right(pool: Pool, record: PoolRecord, done: PutRight) -> None:
    """Bring the books of one payment to where our record is; what cannot be done concerns this miner alone."""
    said = f"{shannon_of(record)} Shannon for {record.data.login}"
    data = record.data
    answer: BookedAnswer
    if record.state == s.PAID:
        answer = await pool.books.write_payment(line_of(record, data.paid_at), data.hash)
        if answer.code in (Booked.ROW_GONE, Booked.BOOKED):
            answer = await _settled_by_hand(pool, record)
        line = "" if answer.found else f"booked {said} again, TxHash: {data.hash}"
    elif record.state == s.CREDITED:
        answer = await pool.books.rollback(line_of(record, data.debited_at))
        line = ""
    else:
        answer = await pool.books.debit(line_of(record, data.debited_at), again=True)
        line = "" if answer.found else f"took off {said} again"
    if answer.code not in DONE:
        done.stuck[data.login] = (
            f"{record.id} ({said}) is {record.state}, and {why_not(answer)}: `payflow pool resolve`"
        )
    elif line and answer.code == Booked.DONE:
        done.lines.append(f"The pool's Redis had forgotten a payment: {line}")


async def _settled_by_hand(pool: Pool, record: PoolRecord) -> BookedAnswer:
    """Take what the history has in place of a payment that people have called paid; or book it as they said."""
    line, since = line_of(record, record.data.paid_at), record.data.debited_at
    for one in await pool.books.bookings(record.data.login):
        if one.shannon == line.shannon and one.at_s >= since > 0:
            return await pool.books.write_payment(line, one.tx)
    return await pool.books.write_payment(line, record.data.hash, again=True)


def _agrees(record: PoolRecord, step: str) -> bool:
    """Say whether the books are where the record is, or where it will be as soon as its look is committed."""
    plain = step.partition(":")[0]
    if record.state not in STEPS_OF or plain == STEPS_OF[record.state]:
        return True
    return record.state in (s.DEBITED, s.SENT) and plain in ("paid", "credited")


async def _over(pool: Pool, own: Own) -> tuple[list[PoolRecord], list[str]]:
    """List finished payments that the books do not have as we do, the oldest first; archived ones count."""
    limit = FIRST_PAGE
    while True:
        found = await asyncio.gather(
            *(own.store.listing.newest("pool", state, limit) for state in (s.PAID, s.CREDITED))
        )
        whole = all(len(part) < limit for part in found)
        records = [one.record for part in found for one in part if one.record.data.coin == pool.coin]
        records.sort(key=lambda one: one.since, reverse=True)
        steps = await pool.books.steps([one.id for one in records])
        known = [_agrees(one, step) for one, step in zip(records, steps, strict=True)]
        oldest_unknown = max((place for place, one in enumerate(known) if not one), default=-1)
        enough = len(known) - oldest_unknown > KNOWN_IN_A_ROW
        if whole or enough:
            lacking = [one for one, is_known in zip(records, known, strict=True) if not is_known]
            old, unreadable = ([], []) if enough else await _archived(pool, own)
            return [*old, *lacking[::-1]], unreadable
        limit *= 4


async def _archived(pool: Pool, own: Own) -> tuple[list[PoolRecord], list[str]]:
    """List archived payments whose step the books do not have."""
    tombs = {name: tomb for name, tomb in (await own.archived(pool.coin)).items() if tomb.state in STEPS_OF}
    steps = await pool.books.steps([*tombs])
    records: list[PoolRecord] = []
    unreadable: list[str] = []
    for (name, tomb), step in zip(tombs.items(), steps, strict=True):
        if step.partition(":")[0] == STEPS_OF[tomb.state]:
            continue
        try:
            found = await archive.find(own.store, name, archive.folder_of(own.store))
        except BadInput as error:
            unreadable.append(f"{tomb.units} Shannon, {tomb.state}, {name}: {error}")
            continue
        records += [found.record] if found else []
    return sorted(records, key=lambda one: one.since), unreadable
