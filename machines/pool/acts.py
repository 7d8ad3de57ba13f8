"""What a look at a pool payment does: asks the ports, and returns what was learned."""

from collections.abc import Mapping
from dataclasses import dataclass

from machines.core.chain import TxHash
from machines.core.clock import HOUR, SECOND
from machines.core.errors import OutcomeUnknown, Retryable
from machines.core.facts import Fact, Nothing, Proof, Reading
from machines.core.ports import (
    Act,
    Cause,
    Destination,
    Evidence,
    Failed,
    Payment,
    PaymentKey,
    Pending,
    PermitSigner,
    Rail,
    Reversed,
    Settled,
    Status,
    Step,
    Unsent,
)
from machines.pool import facts as f
from machines.pool import lifecycle as s
from machines.pool.data import WEI, PoolData, PoolLine, PoolRecord, line_of, nonce_of, sent_of
from machines.pool.permit import refuse_unpermitted
from machines.pool.ports import Booked, BookedAnswer, Checks, Ours, PaymentBooks

# The lock may pass from one of our payments to the next while we look at it.
LOCK_TRIES = 3
ELSEWHERE_S = 2.0
RAIL = "rail:ethereum"
FORGOTTEN_MS = HOUR
"""What the pool's books forgot is put back by itself so long after it was written; then a person is asked."""


@dataclass(frozen=True, slots=True)
class PayingPool:
    """Where one coin is paid from."""

    books: PaymentBooks
    rail: Rail
    checks: Checks
    scopes: tuple[str, ...] = (RAIL,)
    """What a pause may name to stop its sends."""


_WORDS = {
    Booked.DONE: "the pool's books have it as done",
    Booked.ALREADY: "the pool's books have it as {}",
    Booked.LOCKED: "payments are locked by {}",
    Booked.PENDING: "{} is pending in the pool's books already",
    Booked.SHORT: "the balance is only {} Shannon now",
    Booked.ROW_GONE: "its pending row is gone from the pool's books: somebody resolved it by hand",
    Booked.BOOKED: "its pending row is gone from the pool's books, and the miner's history has it as paid by {}",
    Booked.CONTRADICTS: "the pool's books have it as {}",
    Booked.BROKEN: "the pool's books cannot be used: {}",
}


@dataclass(frozen=True, slots=True)
class PoolActs:
    """The looks of the pool machine, bound to the coins that this process pays."""

    pools: Mapping[str, PayingPool]
    ours: Ours
    permits: PermitSigner

    def acts(self) -> dict[str, Act[PoolData]]:
        return {s.DUE: self.debit, s.DEBITED: self.send, s.SENT: self.follow, s.PAID: self.watch}

    async def debit(self, record: PoolRecord, step: Step) -> Fact:
        """Take it off the balance, or call it off; the books know which, whatever dies in between."""
        pool, line = self._pool(record), line_of(record, step.now // SECOND)
        if (await pool.books.book_state(line)).step:
            return await self._debited(record, pool, line)
        refuse_unpermitted(self.permits, record)
        fault = await pool.checks.fault(sent_of(record).units * WEI, line.key)
        fault = fault or await pool.checks.paid_outside(line.login)
        if fault:
            return await self._called_off(pool, line, fault)
        await step.may_send(*pool.scopes)
        return await self._debited(record, pool, line)

    async def _debited(self, record: PoolRecord, pool: PayingPool, line: PoolLine) -> Fact:
        answer = await pool.books.debit(line)
        for _ in range(LOCK_TRIES):
            if answer.code != Booked.LOCKED:
                break
            # A lock that names this very payment, which we have not debited, is another payer's.
            held = answer.found
            ours = held != line.row and await self.ours.names(record.data.coin, held)
            answer = await pool.books.debit(line, held if ours else "")
            if not ours and answer.code == Booked.LOCKED and answer.found == held:
                # Asked for twice: the first time it may have been the lock of a payment that was just done.
                return await self._called_off(pool, line, f"payments are locked by another one: {held}")
        match Booked(answer.code), answer.found:
            case Booked.DONE, _:
                return f.Debited(line.at_s)
            case Booked.ALREADY, "skipped":
                return f.Skipped("it was called off")
            case Booked.ALREADY, _:
                return await _debited_before(pool, line)
            case _:
                return await self._called_off(pool, line, why_not(answer))

    async def _called_off(self, pool: PayingPool, line: PoolLine, why: str) -> Fact:
        """Call it off in the books too: another worker that was asleep must not debit it afterwards."""
        answer = await pool.books.skip(line)
        if answer.code == Booked.ALREADY and answer.found != "skipped":
            return await _debited_before(pool, line)
        return f.Skipped(why)

    async def send(self, record: PoolRecord, step: Step) -> Fact:
        """Hand it to the lane, once it stands in the books for good, and follow it."""
        pool, line = self._pool(record), line_of(record, record.data.debited_at)
        status = await pool.rail.status(payment_of(record))
        if not isinstance(status, Unsent):
            return await self._learned(record, pool, status, step)
        refuse_unpermitted(self.permits, record)
        fault = await self._book_fault(pool, line, step.now - record.since)
        fault = fault or await pool.checks.paid_outside(line.login)
        if fault:
            return f.Contradicted(fault)
        await pool.books.keep()
        payment = await pool.rail.prepare(payment_of(record))
        await step.may_send(*pool.scopes)
        try:
            await pool.rail.submit(payment)
        except OutcomeUnknown as error:
            raise Retryable(str(error)) from error  # the same key again is safe, and the next look asks first
        return f.AtLane()

    async def _book_fault(self, pool: PayingPool, line: PoolLine, age_ms: int) -> str:
        """Say why nothing may be sent although it was debited: somebody changed the books by hand."""
        book_state = await pool.books.book_state(line)
        if book_state.step == "debited" and book_state.pending:
            return ""
        if book_state.step == "debited":
            return "its pending row is gone from the pool's books: somebody resolved it by hand"
        if book_state.step:
            return f"the pool's books have it as {book_state.step}"
        if age_ms > FORGOTTEN_MS:
            return "the pool's books do not know it any more, and it is too old for them to have lost it just now"
        # Our mark is gone, or the pool's Redis was restored from before the debit.
        answer = await pool.books.debit(line, again=True)
        return "" if answer.code in (Booked.DONE, Booked.ALREADY) else why_not(answer)

    async def follow(self, record: PoolRecord, step: Step) -> Fact:
        """Follow what was signed."""
        pool = self._pool(record)
        status = await pool.rail.status(payment_of(record))
        if isinstance(status, Unsent):
            return f.Contradicted(f"the lane does not know it any more, and {record.data.hash} was signed for it")
        return await self._learned(record, pool, status, step)

    async def watch(self, record: PoolRecord, step: Step) -> Fact:
        """See that a finished payment still is one; the lane notices when its chain drops a block."""
        pool = self.pools.get(record.data.coin)
        if pool is None:
            return Nothing()  # another process pays this coin, and looks in its turn
        match await pool.rail.status(payment_of(record)):
            case Settled(evidence):
                return f.ProvenPaid(evidence, step.now // SECOND)
            case Pending(waiting_for, evidence):
                waits = f"waiting for {waiting_for or 'the lane'}"
                return f.TakenBack(f"sent again as {evidence.reference}" if evidence else waits)
            case Failed(reason) if record.data.by_lane:
                return f.TakenBack(f"proven unpaid ({reason}): `payflow pool repeat` pays it again", unpaid=True)
            case _:
                return Nothing()

    async def _learned(self, record: PoolRecord, pool: PayingPool, status: Status, step: Step) -> Fact:
        """Book what the rail proves, and say what was learned."""
        match status:
            case Pending(waiting_for, None):
                return f.AtLane(waiting_for)
            case Pending(waiting_for, Evidence() as evidence):
                return await self._signed(record, pool, evidence, waiting_for)
            case Settled(evidence):
                return await self._paid(record, pool, evidence, step)
            case Failed() | Reversed():
                return await self._credited(record, pool, status)
            case _:
                return Nothing()

    async def _signed(self, record: PoolRecord, pool: PayingPool, evidence: Evidence, waiting_for: str) -> Fact:
        """Note it for the pool's own module once more: a process that knows the lane alone may have sent it."""
        tx, nonce = TxHash(evidence.reference), nonce_of(evidence, -1)
        if tx != record.data.hash:
            await pool.books.announce(line_of(record, record.data.debited_at), tx, nonce)
        return f.LaneSigned(tx, nonce, waiting_for)

    async def _paid(self, record: PoolRecord, pool: PayingPool, evidence: Evidence, step: Step) -> Fact:
        at_s = step.now // SECOND
        answer = await pool.books.write_payment(line_of(record, at_s), TxHash(evidence.reference))
        if answer.code in (Booked.DONE, Booked.ALREADY):
            return f.ProvenPaid(evidence, at_s)
        return f.Contradicted(f"{evidence.reference} paid it, and {why_not(answer)}", evidence)

    async def _credited(self, record: PoolRecord, pool: PayingPool, status: Failed | Reversed) -> Fact:
        reason, cause = (status.reason, status.cause) if isinstance(status, Failed) else ("it came back", Cause.UNKNOWN)
        answer = await pool.books.rollback(line_of(record, record.data.debited_at))
        if answer.code not in (Booked.DONE, Booked.ALREADY):
            return f.Contradicted(f"it is proven unpaid ({reason}), and {why_not(answer)}", status.evidence)
        return f.CreditedBack(reason, status.evidence, refused=cause is Cause.DESTINATION)

    async def prove(self, record: PoolRecord) -> Reading:
        """Say what the lane and the pool's books say, and what the lane proves."""
        pool = self.pools.get(record.data.coin)
        if pool is None or record.state in (s.DUE, s.SKIPPED):
            return Reading()
        status = await pool.rail.status(payment_of(record))
        booked = await pool.books.book_state(line_of(record, record.data.debited_at))
        row = "no row of it is pending" if booked.row_s is None else f"its row of {booked.row_s} is pending"
        books = ("the pool's books", f"{booked.step}; {row}")
        match status:
            case Settled(evidence):
                return Reading(Proof.PAID, (("the lane", f"paid: {evidence.source} {evidence.reference}"), books))
            case Failed(reason):
                return Reading(Proof.NOT_PAID, (("the lane", f"not paid: {reason}"), books))
            case _:
                return Reading(Proof.NONE, (("the lane", type(status).__name__.lower()), books))

    def _pool(self, record: PoolRecord) -> PayingPool:
        pool = self.pools.get(record.data.coin)
        if pool is None:
            raise Retryable(f"This process does not pay {record.data.coin}; another one does.", after_s=ELSEWHERE_S)
        return pool


async def _debited_before(pool: PayingPool, line: PoolLine) -> Fact:
    """Keep the second of the row as it is: it tells this payment's row from another one over the same amount."""
    book_state = await pool.books.book_state(line)
    return f.Debited(line.at_s if book_state.row_s is None else book_state.row_s)


def payment_of(record: PoolRecord) -> Payment:
    """Say what the lane is asked to pay; the key is the record's id, for ever."""
    to = Destination("ethereum", (("address", record.data.to),))
    return Payment(PaymentKey(record.id), to, sent_of(record), note=f"{record.data.coin} payout")


def why_not(answer: BookedAnswer) -> str:
    """Say in words what the books answered."""
    return _WORDS[Booked(answer.code)].format(answer.found or "nothing")
