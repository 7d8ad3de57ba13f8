"""What operators do to a pool's books: each looks at the evidence first, shows it, and changes nothing without it."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from adapters.open_ethereum_pool import addresses
from adapters.open_ethereum_pool.books import Answer, Row
from machines.core.chain import TxHash
from machines.core.clock import SECOND
from machines.core.decision import New
from machines.core.errors import BadInput, ClaimTaken
from machines.core.facts import Fact
from machines.core.money import ETH, Money
from machines.core.ports import Destination, Evidence, Failed, Payment, PaymentKey, Pending, Settled
from machines.pool import facts as f
from machines.pool import lifecycle as s
from machines.pool.acts import payment_of, why_not
from machines.pool.data import Line, PoolData, PoolRecord, line_of, row_of
from machines.pool.evidence import MARGIN_S, Case, Outcome, Verdict, check, judge
from machines.pool.ports import Booked
from payflow.app.pool_runs import payment_for
from payflow.app.pools import Pool, Pools
from payflow.engine.step import take_in
from payflow.telemetry.metrics import Metrics

log = structlog.get_logger()

DONE = (Booked.DONE, Booked.ALREADY)


@dataclass(frozen=True, slots=True)
class Judged:
    """A pending row, whose it is, and what is proven about it."""

    row: Row
    record: PoolRecord | None
    verdict: Verdict


class PoolDesk:
    """The desk of one pool, for one person."""

    def __init__(self, pools: Pools, pool: Pool, metrics: Metrics, who: str) -> None:
        self._pools = pools
        self.pool = pool
        self._own = pools.own
        self._metrics = metrics
        self._who = who

    # ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def pending(self) -> list[Judged]:
        """List what is pending, each with what is proven about it."""
        owners = await self._own.owners(self.pool.books)
        strange = sum(owner is None for _, owner in owners)
        return [Judged(row, owner, await self._verdict(row, owner, strange)) for row, owner in owners]

    async def _verdict(self, row: Row, record: PoolRecord | None, strange: int) -> Verdict:
        if record is None:
            return await self._judged(row, strange)
        match record.state:
            case s.PAID if record.data.evidence is not None:
                return Verdict(Outcome.PAID, f"Payflow paid it: {record.data.hash}", record.data.evidence)
            case s.CREDITED:
                return Verdict(Outcome.UNPAID, f"Payflow had proof: {record.data.reason}", record.data.evidence)
            case s.DUE:
                return Verdict(Outcome.UNKNOWN, "Payflow is about to send it: let `payflow pool run` go on")
            case _:
                return await self._rail_says(record)

    async def _rail_says(self, record: PoolRecord) -> Verdict:
        match await self.pool.rail.status(payment_of(record)):
            case Settled(evidence):
                return Verdict(Outcome.PAID, f"{evidence.reference} paid it", evidence)
            case Failed(reason, _, evidence):
                return Verdict(Outcome.UNPAID, reason, evidence)
            case Pending(waiting_for, evidence):
                sent = f"sent as {evidence.reference}" if evidence else f"waits for {waiting_for}"
                return Verdict(Outcome.UNKNOWN, f"Payflow is paying it ({sent}): let `payflow pool run` go on")
            case _:
                return Verdict(Outcome.UNKNOWN, "nothing was sent yet: `payflow pool run` sends it")

    async def _judged(self, row: Row, strange: int) -> Verdict:
        """Judge a row that another payer wrote, on what it noted and on what the chain says."""
        try:
            case = await self._case(row.login, row.shannon, row.at_s, rows=strange)
        except BadInput as error:
            return Verdict(Outcome.UNKNOWN, f"{error} Put it right by hand.")
        return await judge(self.pool.lane.chain, self.pool.node, case, self.pool.lane.policy)

    async def _case(self, login: str, shannon: int, at_s: int, *, rows: int = 1, booked: bool = True) -> Case:
        noted = await self.pool.books.remembered(Row(login, shannon, at_s))
        return Case(
            sender=self.pool.config.address,
            to=addresses.of_login(login),
            shannon=shannon,
            at_s=at_s,
            charge_wei=self.pool.config.charge_wei,
            tx=noted.tx,
            nonce=noted.nonce,
            booked=await self.pool.books.paid_with(login) if booked else frozenset(),
            rows=rows,
        )

    # ── resolve and adopt ────────────────────────────────────────────────────────────────────────────────────────────

    async def book(self, judged: Judged) -> bool:
        """Book a row that is proven paid, or give back one that is proven unpaid; False where nothing is proven."""
        if judged.verdict.outcome is Outcome.PAID and judged.verdict.evidence:
            await self._book_paid(judged, judged.verdict.evidence)
        elif judged.verdict.outcome is Outcome.UNPAID:
            await self._book_unpaid(judged)
        else:
            return False
        return True

    async def _book_paid(self, judged: Judged, evidence: Evidence) -> None:
        at_s = await self._now_s()
        self._must(await self.pool.books.write_payment(self._line(judged, at_s), TxHash(evidence.reference)))
        if judged.record is not None and judged.record.state != s.PAID:
            await self._learn(judged.record, f.MarkedPaid(self._who, evidence, at_s))

    async def _book_unpaid(self, judged: Judged) -> None:
        verdict = judged.verdict
        self._must(await self.pool.books.rollback(self._line(judged, judged.row.at_s)))
        if judged.record is not None and judged.record.state != s.CREDITED:
            fact = f.CreditedBack(verdict.why, verdict.evidence, by=self._who)
            await self._learn(judged.record, fact)

    async def adopt(self, judged: Judged) -> bool:
        """Pay a row of another payer that is proven unpaid, as a payment of ours; book one that is proven paid."""
        if judged.record is not None:
            return False
        if judged.verdict.outcome is not Outcome.UNPAID:
            return await self.book(judged)
        row = judged.row
        new = self._new(row.login, row.shannon, f"adopted:{row.at_s}")
        # The books first: once the record is there, a worker looks whether it is debited.
        self._must(await self.pool.books.adopt(Line(PaymentKey(new.id), row.login, row.shannon, row.at_s)))
        await self._make(new)
        return True

    async def fill(self, judged: Sequence[Judged]) -> list[Payment]:
        """Use up, with transactions that pay nobody, the nonces that old transactions might still come with."""
        address = self.pool.config.address
        to = Destination("call", (("to", address), ("data", "0x"), ("value_wei", "0")))
        # What is filled again later, because it proved nothing the first time, takes another nonce.
        window = await self._now_s() // MARGIN_S
        keys = [f"fill:{self.pool.coin}:{one.row.member}:{one.row.at_s}:{window}" for one in judged if one.verdict.fill]
        payments = [Payment(PaymentKey(key), to, Money(0, ETH), "uses up a nonce") for key in keys]
        for payment in payments:
            await self.pool.rail.submit(payment)
        return payments

    async def filled(self, payments: Sequence[Payment]) -> bool:
        """Say whether all of these are deep in the chain."""
        return all([isinstance(await self.pool.rail.status(one), Settled) for one in payments])

    # ── single repairs ───────────────────────────────────────────────────────────────────────────────────────────────

    async def find(self, login: str, shannon: int) -> Judged:
        """Find one pending row."""
        for row, owner in (owners := await self._own.owners(self.pool.books)):
            if row.member == row_of(login, shannon):
                strange = sum(other is None for _, other in owners)
                return Judged(row, owner, await self._verdict(row, owner, strange))
        raise BadInput(f"{row_of(login, shannon)} is not in the list of pending payments.")

    async def checked(self, login: str, shannon: int, tx: TxHash, *, booked: bool = True) -> Verdict:
        """Say whether the chain proves that a transaction paid this; refuse what it does not prove."""
        at_s = await self._now_s()
        case = await self._case(login, shannon, at_s, booked=booked)
        verdict = await check(self.pool.lane.chain, case, tx, self.pool.lane.policy)
        if verdict.outcome is not Outcome.PAID:
            raise BadInput(f"It is not proven that this was paid: {verdict.why}.")
        return verdict

    async def mark_paid(self, login: str, shannon: int, tx: TxHash, *, dry_run: bool) -> str:
        """Book a pending payment with a transaction that somebody names, once the chain proves it."""
        records = [one for one in await self._own.of_row(self.pool.coin, login, shannon) if one.state != s.SKIPPED]
        record = records[0] if records else None
        if record is not None and record.state == s.PAID and record.data.hash == tx:
            return f"{row_of(login, shannon)} is booked with {tx} already."
        verdict = await self.checked(login, shannon, tx)
        await self._not_ours_to_pay(record, tx)
        pending = [one for one in await self.pool.books.pending() if one.member == row_of(login, shannon)]
        if not pending and (record is None or record.state == s.PAID):
            raise BadInput(f"{row_of(login, shannon)} is not pending: `payflow pool add-missing` adds its history.")
        if not dry_run and verdict.evidence:
            await self._mark(record, pending, login, shannon, verdict.evidence)
        return f"{verdict.why}: {row_of(login, shannon)} is booked as paid."

    async def _mark(
        self, record: PoolRecord | None, pending: Sequence[Row], login: str, shannon: int, evidence: Evidence
    ) -> None:
        at_s = await self._now_s()
        line = line_of(record, at_s) if record else self._line_of_row(pending[0], at_s)
        self._must(await self.pool.books.write_payment(line, TxHash(evidence.reference), again=True))
        log.warning("A payment was marked as paid.", action="pool_mark_paid", who=self._who, row=row_of(login, shannon))
        if record is not None:
            await self._learn(record, f.MarkedPaid(self._who, evidence, at_s))

    async def _not_ours_to_pay(self, record: PoolRecord | None, tx: TxHash) -> None:
        """Refuse to book as paid by hand what Payflow itself may still pay."""
        if record is None or record.state not in (s.DUE, s.DEBITED, s.SENT, s.HALTED):
            return
        status = await self.pool.rail.status(payment_of(record))
        if isinstance(status, Failed) or (isinstance(status, Settled) and status.evidence.reference == tx):
            return
        raise BadInput(
            f"Payflow itself pays {record.id} and is not done with it: withdraw it first (`payflow lane`), "
            "or it may be paid twice."
        )

    async def credit(self, login: str, shannon: int, *, dry_run: bool) -> str:
        """Give one pending payment back, once it is proven unpaid."""
        judged = await self.find(login, shannon)
        if judged.verdict.outcome is not Outcome.UNPAID:
            raise BadInput(f"It is not proven that this was not paid: {judged.verdict.why}.")
        if not dry_run:
            await self._book_unpaid(judged)
        return f"Credited {shannon} Shannon back to {login}: {judged.verdict.why}."

    async def unlock(self, *, dry_run: bool) -> str:
        """Take the lock away, where nothing is pending."""
        lock, rows = await self.pool.books.lock(), await self.pool.books.pending()
        if not lock:
            return "Payouts are not locked."
        if rows:
            raise BadInput(f"{len(rows)} payments are pending: `payflow pool resolve` first, it unlocks with the last.")
        if await self._own.open_payments(self.pool.coin):
            raise BadInput("Payflow has payments under way: they unlock when they are done.")
        if not dry_run:
            self._must(await self.pool.books.unlock(lock))
        return f"Payouts unlocked: {lock} held the lock, and nothing is pending."

    async def add_missing(self, login: str, shannon: int, tx: TxHash, *, dry_run: bool) -> str:
        """Add the history of a payment that the chain proves and the pool did not log."""
        if any(one.member == row_of(login, shannon) for one in await self.pool.books.pending()):
            raise BadInput(f"{row_of(login, shannon)} is pending: `payflow pool mark-paid` books it whole.")
        verdict = await self.checked(login, shannon, tx, booked=False)
        if not dry_run and verdict.evidence:
            at_s = await self.pool.node.time_of(int(dict(verdict.evidence.details)["block"]))
            line = Line(PaymentKey(""), login, shannon, at_s, self.pool.config.charge_wei)
            answer = await self.pool.books.add_missing(line, tx)
            self._must(answer)
            if answer.code == Booked.ALREADY:
                return f"{answer.found} is in the history already."
        return f"{verdict.why}: added to the history of {login} and of all."

    # ── again ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def repeat(self, login: str, booked: tuple[int, TxHash] | None, *, dry_run: bool) -> str:
        """Pay once more what never came, only on proof that it never will."""
        if booked is not None:
            return await self._repeat_booked(login, *booked, dry_run=dry_run)
        strange = [one for one in await self.pending() if one.row.login == login and one.record is None]
        if strange:
            return await self._repeat_pending(strange[0], dry_run=dry_run)
        record = await self._own.newest(self.pool.coin, login)
        if record is None or record.state == s.PAID:
            raise BadInput(
                f"Payflow has no unpaid payment of {login}: name the amount and the transaction of the old one."
            )
        if record.state != s.CREDITED:
            verdict = await self._rail_says(record)
            raise BadInput(f"{record.id} is {record.state}: {verdict.why}. It must be over before it is paid again.")
        return await self._repeat_credited(record, dry_run=dry_run)

    async def _repeat_pending(self, judged: Judged, *, dry_run: bool) -> str:
        if judged.verdict.outcome is not Outcome.UNPAID:
            raise BadInput(f"It is not proven that the old one is dead: {judged.verdict.why}.")
        if not dry_run:
            await self.adopt(judged)
        return f"{judged.row.member} is paid again: {judged.verdict.why}."

    async def _repeat_credited(self, record: PoolRecord, *, dry_run: bool) -> str:
        balance = await self.pool.books.balance(record.data.login)
        if not balance.isdecimal() or not int(balance):
            raise BadInput(f"{record.data.login} has a balance of {balance} Shannon: there is nothing to pay.")
        if not dry_run:
            await self._make(self._new(record.data.login, int(balance), f"repeat:{record.id}"))
        return f"{balance} Shannon are paid to {record.data.login}, after {record.id} failed: {record.data.reason}."

    async def _repeat_booked(self, login: str, shannon: int, tx: TxHash, *, dry_run: bool) -> str:
        at_s = await self.pool.books.booked_at(login, tx)
        if at_s is None:
            raise BadInput(f"{tx} is not in the history of {login}.")
        case = await self._case(login, shannon, at_s)
        case = Case(case.sender, case.to, shannon, at_s, case.charge_wei, tx, None, case.booked - {tx})
        verdict = await judge(self.pool.lane.chain, self.pool.node, case, self.pool.lane.policy)
        if verdict.outcome is not Outcome.UNPAID:
            raise BadInput(f"It is not proven that the old one is dead: {verdict.why}.")
        if not dry_run:
            new = self._new(login, shannon, f"repeat:{tx}")
            line = Line(PaymentKey(new.id), login, shannon, at_s, self.pool.config.charge_wei)
            self._must(await self.pool.books.reopen(line, tx))
            await self._make(new)
        return f"{row_of(login, shannon)} is paid again: {verdict.why}."

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _new(self, login: str, shannon: int, run: str) -> New[PoolData]:
        to, shards = addresses.of_login(login), self._own.store.records.shards
        return payment_for(self.pool, login, to, shannon, run, shards)

    async def _make(self, new: New[PoolData]) -> None:
        try:
            await self._own.store.records.create(new, self._who)
        except ClaimTaken as error:
            raise BadInput(f"{new.data.login} has an open payment of Payflow's already.") from error

    async def _learn(self, record: PoolRecord, fact: Fact) -> None:
        await take_in(self._own.store.records, self._metrics, record.id, fact, self._who)

    def _line(self, judged: Judged, at_s: int) -> Line:
        return line_of(judged.record, at_s) if judged.record else self._line_of_row(judged.row, at_s)

    def _line_of_row(self, row: Row, at_s: int) -> Line:
        key = PaymentKey(f"row:{row.member}:{row.at_s}")
        return Line(key, row.login, row.shannon, at_s, self.pool.config.charge_wei)

    async def _now_s(self) -> int:
        return await self._own.store.records.now() // SECOND

    def _must(self, answer: Answer) -> None:
        if answer.code not in DONE:
            raise BadInput(f"The pool's books were not changed: {why_not(answer)}.")
