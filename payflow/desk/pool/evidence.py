"""What is pending in a pool's books, whose it is, and what the chain proves about it. Nothing here changes anything."""

from dataclasses import dataclass

from adapters.open_ethereum_pool.books import PendingRow, address_of
from adapters.open_ethereum_pool.config import MOST_CHARGE_WEI, Flavour
from machines.core.chain import TxHash
from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput
from machines.core.ids import RecordId
from machines.core.ports import Evidence, Failed, PaymentKey, Pending, Settled
from machines.pool import lifecycle as s
from machines.pool.acts import payment_of
from machines.pool.data import PoolLine, PoolRecord, line_of, row_of, shannon_of
from machines.pool.evidence import ChainOutcome, InHistory, UnprovenPayment, Verdict, check, judge
from payflow.desk.pool.pool import Pool, Pools


@dataclass(frozen=True, slots=True)
class Judged:
    """A pending row, whose it is, and what is proven about it."""

    row: PendingRow
    record: PoolRecord | None
    """None where another payer wrote it."""
    verdict: Verdict

    @property
    def at(self) -> Millis:
        """Since when it is pending."""
        return Millis(self.row.at_s * SECOND)

    @property
    def record_id(self) -> RecordId | None:
        """Whose payment it is; None where another payer wrote it."""
        return self.record.id if self.record else None

    @property
    def tx(self) -> str:
        """The transaction that proves it; empty where none does."""
        return self.verdict.evidence.reference if self.verdict.evidence else ""

    @property
    def identity(self) -> tuple[object, ...]:
        """What must be the same for it to be what somebody saw."""
        return self.row.login, self.row.shannon, self.row.at_s, self.record_id, self.verdict.outcome, self.tx


class PoolEvidence:
    """Looks at what is pending in one pool."""

    def __init__(self, pools: Pools, pool: Pool) -> None:
        self._pools = pools
        self.pool = pool
        self._own = pools.own

    async def pending(self) -> list[Judged]:
        """List what is pending, and what is halted without a row, each with what is proven about it."""
        owners = await self._own.owners(self.pool.books)
        strange = sum(owner is None for _, owner in owners)
        found = [Judged(row, owner, await self._verdict(row, owner, strange)) for row, owner in owners]
        listed = {owner.id for _, owner in owners if owner is not None}
        for record in await self._own.open_payments(self.pool.coin):
            if record.state == s.HALTED and record.id not in listed:
                row = PendingRow(record.data.login, shannon_of(record), record.data.debited_at)
                found.append(Judged(row, record, await self._halted(record, strange)))
        return found

    async def _verdict(self, row: PendingRow, record: PoolRecord | None, strange: int) -> Verdict:
        if record is None:
            return await self._judged(row, strange)
        match record.state:
            case s.PAID if record.data.evidence is not None:
                return Verdict(ChainOutcome.PAID, f"Payflow paid it: {record.data.hash}", record.data.evidence)
            case s.CREDITED:
                return Verdict(ChainOutcome.UNPAID, f"Payflow had proof: {record.data.reason}", record.data.evidence)
            case s.DUE:
                return Verdict(ChainOutcome.UNKNOWN, "Payflow is about to send it: let `payflow pool run` go on")
            case s.HALTED | s.SKIPPED | s.PAID:
                return await self._halted(record, strange)
            case _:
                return await self._rail_says(record)

    async def _rail_says(self, record: PoolRecord) -> Verdict:
        match await self.pool.rail.status(payment_of(record)):
            case Settled(evidence):
                return Verdict(ChainOutcome.PAID, f"{evidence.reference} paid it", evidence)
            case Failed(reason, _, evidence):
                return Verdict(ChainOutcome.UNPAID, reason, evidence)
            case Pending(waiting_for, evidence):
                return Verdict(ChainOutcome.UNKNOWN, self._under_way(waiting_for, evidence))
            case _:
                return Verdict(ChainOutcome.UNKNOWN, "nothing was sent yet: `payflow pool run` sends it")

    def _under_way(self, waiting_for: str, evidence: Evidence | None) -> str:
        name = self.pool.lane.name
        if evidence:
            how = f"`payflow lane show {name}`" if waiting_for else "let `payflow pool run` go on"
            return f"Payflow is paying it (sent as {evidence.reference}): {how}"
        return f"Payflow is paying it (waits for {waiting_for}): `payflow lane show {name}` says more"

    async def _halted(self, record: PoolRecord, strange: int) -> Verdict:
        """Judge a payment of ours that a person must end: by the lane, the books and the chain."""
        line = line_of(record, 0)
        book_state = await self.pool.books.book_state(line)
        status = await self.pool.rail.status(payment_of(record))
        if isinstance(status, Settled):
            return Verdict(ChainOutcome.PAID, f"{status.evidence.reference} paid it", status.evidence)
        if isinstance(status, Pending):
            return Verdict(ChainOutcome.UNKNOWN, self._must_withdraw(record, status))
        if book_state.step.startswith("paid:"):
            return await self._booked_by_others(record, TxHash(book_state.step.removeprefix("paid:")))
        case = await self._case(line.login, line.shannon, line.row_s, rows=max(strange, 1), record=record)
        verdict = await judge(self.pool.lane.chain, self.pool.trail, case, self.pool.lane.policy)
        if isinstance(status, Failed) and verdict.nothing_came:
            verdict = Verdict(ChainOutcome.UNPAID, status.reason, status.evidence)
        if verdict.outcome is not ChainOutcome.UNPAID or book_state.pending or book_state.step != "debited":
            return verdict
        return await self._without_its_row(record, line, verdict)

    async def _without_its_row(self, record: PoolRecord, line: PoolLine, unpaid: Verdict) -> Verdict:
        """Judge a payment that no transaction has made and whose row is gone: who took it away?"""
        for one in await self.pool.books.bookings(line.login):
            if one.shannon == line.shannon and one.at_s >= line.row_s:
                return await self._booked_by_others(record, one.tx)
        if await self.pool.books.holds_pending_sum(line):
            return Verdict(
                ChainOutcome.UNKNOWN,
                "its row was taken away, and neither the balance nor the history has the amount. If it was paid by "
                "hand, `payflow pool add-missing` accounts for the transaction; if not, put the row back and resolve: "
                f'ZADD "{self.pool.books.keys.pending}" {line.row_s} "{line.row}"',
            )
        return Verdict(ChainOutcome.UNPAID, f"it was given back by hand, and {unpaid.why}", unpaid.evidence)

    async def _booked_by_others(self, record: PoolRecord, tx: TxHash) -> Verdict:
        """Judge a payment that the books have as paid by a transaction that is not the lane's."""
        line = line_of(record, 0)
        case = await self._case(line.login, line.shannon, line.row_s, record=record)
        return await check(self.pool.lane.chain, case, tx, self.pool.lane.policy)

    def _must_withdraw(self, record: PoolRecord, status: Pending) -> str:
        """Say how a halted payment is taken out of the lane, which would still send it."""
        name, key = self.pool.lane.name, self._pools.lanes.books.payment_id(self.pool.lane.name, PaymentKey(record.id))
        nonce = dict(status.evidence.details).get("nonce", "") if status.evidence else ""
        how = f"payflow lane cancel {name} {nonce or key} --reason …"
        return f"the lane {name} still has it, and would pay it: `{how}` takes it out, then resolve"

    async def _judged(self, row: PendingRow, strange: int) -> Verdict:
        """Judge a row that another payer wrote, on what it noted and on what the chain says."""
        try:
            case = await self._case(row.login, row.shannon, row.at_s, rows=strange)
        except BadInput as error:
            return Verdict(ChainOutcome.UNKNOWN, f"{error} Put it right by hand.")
        return await judge(self.pool.lane.chain, self.pool.trail, case, self.pool.lane.policy)

    async def _case(
        self, login: str, shannon: int, at_s: int, *, rows: int = 1, record: PoolRecord | None = None
    ) -> UnprovenPayment:
        """Gather what is known about a payment that is to be judged."""
        books, given = self.pool.books, self.pool.config
        noted = await books.remembered(PendingRow(login, shannon, at_s))
        pending = await books.pending()
        return UnprovenPayment(
            sender=given.address,
            to=address_of(login),
            shannon=shannon,
            at_s=at_s,
            charge_wei=given.charge_wei,
            most_charge_wei=MOST_CHARGE_WEI if given.flavour is Flavour.FRIENDS else given.charge_wei,
            tx=noted.tx or (record.data.hash if record is not None and record.data.hash else None),
            nonce=noted.nonce,
            history=tuple(
                InHistory(one.tx, one.shannon, one.at_s, one.charge_wei) for one in await books.bookings(login)
            ),
            ours=await self._own.transactions_to(self.pool.coin, login, shannon, record),
            others=frozenset(row.shannon for row in pending if row.login == login) - {shannon},
            rows=rows,
            clock_s=await books.now(),
        )

    async def find(self, login: str, shannon: int) -> Judged:
        """Find one pending row."""
        for row, owner in (owners := await self._own.owners(self.pool.books)):
            if row.member == row_of(login, shannon):
                strange = sum(other is None for _, other in owners)
                return Judged(row, owner, await self._verdict(row, owner, strange))
        raise BadInput(f"{row_of(login, shannon)} is not in the list of pending payments.")

    async def checked(self, case: UnprovenPayment, tx: TxHash) -> Verdict:
        """Say whether the chain proves that a transaction paid this; refuse what it does not prove."""
        verdict = await check(self.pool.lane.chain, case, tx, self.pool.lane.policy)
        if verdict.outcome is not ChainOutcome.PAID:
            raise BadInput(f"It is not proven that this was paid: {verdict.why}.")
        return verdict
