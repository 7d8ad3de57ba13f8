"""What operators do to a pool's books: each looks at the evidence first, shows it, and changes nothing without it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace

import structlog

from adapters.open_ethereum_pool.books import PendingRow, ScriptAnswer, address_of
from machines.core.chain import TxHash
from machines.core.clock import SECOND
from machines.core.decision import New
from machines.core.errors import BadInput, ClaimTaken, Conflict
from machines.core.facts import Fact
from machines.core.money import ETH, Money
from machines.core.ports import Destination, Evidence, Failed, Payment, PaymentKey, Settled, Status, Unsent
from machines.pool import facts as f
from machines.pool import lifecycle as s
from machines.pool.acts import payment_of, why_not
from machines.pool.data import WEI, PoolData, PoolLine, PoolRecord, line_of, row_of
from machines.pool.evidence import MARGIN_S, ChainOutcome, Verdict, judge
from machines.pool.ports import Booked
from payflow.desk.pool.audit import Drift, repair
from payflow.desk.pool.evidence import Judged, PoolEvidence
from payflow.desk.pool.outside import Stray, key_of
from payflow.desk.pool.pool import Pool, Pools, payment_for
from payflow.desk.pool.restored import Forgotten, apply_again, forgotten
from payflow.engine.step import take_in

log = structlog.get_logger()

DONE = (Booked.DONE, Booked.ALREADY)


class PoolDesk(PoolEvidence):
    """The desk of one pool, for one person."""

    def __init__(self, pools: Pools, pool: Pool, who: str) -> None:
        super().__init__(pools, pool)
        self._who = who

    def noted(
        self, act: str, subject: str, why: str = "", *, dry_run: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """Write into the audit log what is done to the pool's books; looking leaves no trace."""
        return nullcontext() if dry_run else self._own.store.audit.doing(self._who, act, subject, why)

    async def note_resolved(self, booked: Sequence[Judged]) -> None:
        """Write down what each row was resolved as, and why."""
        for one in booked:
            act, subject = f"resolved as {one.verdict.outcome}", one.record_id or one.row.member
            await self._own.store.audit.note(self._who, act, subject, one.verdict.why)

    # ── resolve and adopt ────────────────────────────────────────────────────────────────────────────────────────────

    async def book(self, judged: Judged) -> bool:
        """Book a row that is proven paid, or give back one that is proven unpaid; False where nothing is proven."""
        if judged.verdict.outcome is ChainOutcome.PAID and judged.verdict.evidence:
            await self._book_paid(judged, judged.verdict.evidence)
        elif judged.verdict.outcome is ChainOutcome.UNPAID:
            await self._book_unpaid(judged)
        else:
            return False
        return True

    async def _book_paid(self, judged: Judged, evidence: Evidence) -> None:
        at_s = await self._now_s()
        line, tx = self._line(judged, at_s, evidence), TxHash(evidence.reference)
        halted = judged.record is not None and judged.record.state in (s.HALTED, s.PAID)
        self._must(await self.pool.books.write_payment(line, tx, again=halted))
        if judged.record is not None and judged.record.state in (*s.OPEN, s.CREDITED):
            await self._learn(judged.record, f.MarkedPaid(self._who, evidence, at_s))

    async def _book_unpaid(self, judged: Judged) -> None:
        verdict = judged.verdict
        self._must(await self.pool.books.rollback(self._line(judged, judged.row.at_s)))
        if judged.record is not None and judged.record.state in s.OPEN:
            await self._learn(judged.record, f.CreditedBack(verdict.why, verdict.evidence, by=self._who))

    async def adopt_all(self, *, dry_run: bool) -> tuple[list[Judged], int]:
        """Take over what another payer left in the middle: give its rows, and say how many of them were taken over."""
        found, taken = [one for one in await self.pending() if one.record is None], 0
        async with self.noted("adopt pool payments", self.pool.coin, dry_run=dry_run):
            for one in found if not dry_run else ():
                taken += await self.adopt(one)
        return found, taken

    async def adopt(self, judged: Judged) -> bool:
        """Pay a row of another payer that is proven unpaid, as a payment of ours; book one that is proven paid."""
        if judged.record is not None:
            return False
        if judged.verdict.outcome is not ChainOutcome.UNPAID:
            return await self.book(judged)
        row = judged.row
        new = self._new(row.login, row.shannon, f"adopted:{row.at_s}")
        # The books first: once the record is there, a worker looks whether it is debited.
        line = PoolLine(PaymentKey(new.id), row.login, row.shannon, row.at_s, row_s=row.at_s)
        self._must(await self.pool.books.adopt(line))
        await self._make(new)
        return True

    async def fill(self, judged: Sequence[Judged]) -> list[Payment]:
        """Use up, with transactions that pay nobody, the nonces that old transactions might still come with."""
        to = Destination("call", (("to", self.pool.config.address), ("data", "0x"), ("value_wei", "0")))
        # What is filled again later, because it proved nothing the first time, takes another nonce.
        window = await self._now_s() // MARGIN_S
        keys = [f"fill:{self.pool.coin}:{one.row.member}:{one.row.at_s}:{window}" for one in judged if one.verdict.fill]
        payments = [Payment(PaymentKey(key), to, Money(0, ETH), "uses up a nonce") for key in keys]
        async with self.noted("fill nonces", self.pool.coin):
            for payment in payments:
                await self.pool.rail.submit(await self.pool.rail.prepare(payment))
        return payments

    async def filled(self, payments: Sequence[Payment]) -> bool:
        """Say whether all of these are in blocks that prove something: resolving judges by no others."""
        proven = self.pool.lane.policy.proven_up_to(await self.pool.lane.chain.head())
        blocks = [_block_of(await self.pool.rail.status(one)) for one in payments]
        return all(block is not None and block <= proven for block in blocks)

    # ── single repairs ───────────────────────────────────────────────────────────────────────────────────────────────

    async def mark_paid(self, login: str, shannon: int, tx: TxHash, *, dry_run: bool) -> str:
        """Book a pending payment with a transaction that somebody names, once the chain proves it."""
        async with self.noted("mark pool payment paid", row_of(login, shannon), dry_run=dry_run):
            records = [one for one in await self._own.of_row(self.pool.coin, login, shannon) if one.state != s.SKIPPED]
            record = records[0] if records else None
            if record is not None and record.state == s.PAID and record.data.hash == tx:
                return f"{row_of(login, shannon)} is booked with {tx} already."
            await self._not_ours_to_pay(record, tx)
            pending = [one for one in await self.pool.books.pending() if one.member == row_of(login, shannon)]
            at_s = pending[0].at_s if pending else record.data.debited_at if record else await self._now_s()
            verdict = await self.checked(await self._case(login, shannon, at_s, record=record), tx)
            if not pending and (record is None or record.state == s.PAID):
                raise BadInput(
                    f"{row_of(login, shannon)} is not pending. If it was taken off the balance, "
                    "`payflow pool add-missing` adds its history; if it was not, because a backup was restored, "
                    "`payflow pool rebook` books it."
                )
            if not dry_run and verdict.evidence:
                await self._mark(record, pending, login, shannon, verdict.evidence)
            return f"{verdict.why}: {row_of(login, shannon)} is booked as paid."

    async def _mark(
        self, record: PoolRecord | None, pending: Sequence[PendingRow], login: str, shannon: int, evidence: Evidence
    ) -> None:
        at_s = await self._now_s()
        row = pending[0] if pending else PendingRow(login, shannon, record.data.debited_at if record else at_s)
        line = self._line(Judged(row, record, Verdict(ChainOutcome.PAID, "")), at_s, evidence)
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
        if isinstance(status, Unsent) and record.state == s.HALTED:
            return  # the lane never had it, and nothing hands it over from there
        raise BadInput(
            f"Payflow itself pays {record.id} and is not done with it: withdraw it first (`payflow lane`), "
            "or it may be paid twice."
        )

    async def credit(self, login: str, shannon: int, *, dry_run: bool) -> str:
        """Give one pending payment back, once it is proven unpaid."""
        async with self.noted("credit pool payment", row_of(login, shannon), dry_run=dry_run):
            judged = await self.find(login, shannon)
            if judged.verdict.outcome is not ChainOutcome.UNPAID:
                raise BadInput(f"It is not proven that this was not paid: {judged.verdict.why}.")
            if not dry_run:
                await self._book_unpaid(judged)
            return f"Credited {shannon} Shannon back to {login}: {judged.verdict.why}."

    async def unlock(self, *, dry_run: bool) -> str:
        """Take the lock away, where nothing is pending."""
        async with self.noted("unlock pool", self.pool.coin, dry_run=dry_run):
            return await self._unlock(dry_run=dry_run)

    async def release(self) -> tuple[bool, str]:
        """Take away a lock that nothing pending holds; say whether payouts stay locked, and why."""
        if not await self.pool.books.lock():
            return False, "Payouts are not locked."
        if await self.pool.books.pending():
            return True, "Payouts stay locked until the rest is told."
        try:
            return False, await self._unlock(dry_run=False)
        except BadInput as error:
            return True, f"Payouts stay locked: {error}"

    async def _unlock(self, *, dry_run: bool) -> str:
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
        async with self.noted("add missing pool payment", row_of(login, shannon), dry_run=dry_run):
            if any(one.member == row_of(login, shannon) for one in await self.pool.books.pending()):
                raise BadInput(f"{row_of(login, shannon)} is pending: `payflow pool mark-paid` books it whole.")
            case = await self._case(login, shannon, await self._now_s())
            # What the history has already is completed, and a payment of ours may lack half of it.
            verdict = await self.checked(replace(case, history=(), ours=frozenset()), tx)
            if not dry_run and verdict.evidence:
                at_s = await self.pool.trail.time_of(int(dict(verdict.evidence.details)["block"]))
                line = PoolLine(PaymentKey(""), login, shannon, at_s, self.pool.config.charge_wei)
                answer = await self.pool.books.add_missing(line, tx)
                self._must(answer)
                if answer.code == Booked.ALREADY:
                    return f"{answer.found} is in the history already."
            return f"{verdict.why}: added to the history of {login} and of all."

    # ── after a restored backup ──────────────────────────────────────────────────────────────────────────────────────

    async def forgotten(self) -> tuple[Forgotten, Sequence[Stray]]:
        """Say what the books lack: payments of ours, and what the address sent that nobody knows of."""
        return await forgotten(self.pool, self._own), await self._pools.outside[self.pool.coin].strays()

    async def rebook(self, found: Forgotten, strays: Sequence[Stray]) -> list[str]:
        """Book what was shown, as store and chain prove it: payments of ours again, and strays as paid."""
        if found.unreadable:
            raise BadInput(f"Nothing was changed: {found.unreadable[0]}")
        async with self.noted("rebook pool payments", self.pool.coin):
            done = await apply_again(self.pool, [*found.marks, *found.records])
            booked = [await self._account_for(one) for one in strays]
        return [*done.lines, *done.stuck.values(), *booked]

    async def disown(self, login: str, tx: TxHash) -> str:
        """Count what the address sent as no payment, on the word of two people."""
        strays = await self._pools.outside[self.pool.coin].strays()
        stray = next((one for one in strays if (one.login, one.seen.hash) == (login, tx)), None)
        if stray is None:
            raise Conflict(f"{tx} to {login} is accounted for by now: look again. Nothing was changed.")
        self._must(await self.pool.books.skip(await self._line_of(stray)))
        log.warning("What was sent counts as no payment.", action="pool_no_payment", who=self._who, tx=tx, login=login)
        return f"{tx} to {login} counts as something else: the next run pays what they are owed."

    async def _line_of(self, stray: Stray) -> PoolLine:
        shannon = (stray.seen.value_wei + self.pool.config.charge_wei) // WEI
        now_s, charge_wei = await self._now_s(), self.pool.config.charge_wei
        return PoolLine(key_of(stray.seen.hash), stray.login, shannon, now_s, charge_wei)

    async def _account_for(self, stray: Stray) -> str:
        seen, login, line = stray.seen, stray.login, await self._line_of(stray)
        shannon = line.shannon
        case = await self._case(login, shannon, line.at_s)
        if any(row.login == login for row in await self.pool.books.pending()):
            return f"Left {seen.hash}: {login} has a pending row, `payflow pool resolve` first"
        if seen.to != case.to or seen.value_wei % WEI:
            return f"Left {seen.hash}: how much of it went to {login} is not told by it; `--other` if it was no payment"
        if int(await self.pool.books.balance(login) or "0") < shannon:
            return f"Left {seen.hash}: {login} has less than {shannon} Shannon; `payflow pool add-missing` logs it"
        await self.checked(replace(case, history=(), ours=frozenset()), seen.hash)
        at_s = await self.pool.trail.time_of(seen.block or 0)
        self._must(await self.pool.books.write_payment(replace(line, at_s=at_s), seen.hash))
        return f"Booked {shannon} Shannon for {login} as paid, TxHash: {seen.hash}"

    # ── again ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def repeat(self, login: str, booked: tuple[int, TxHash] | None, *, dry_run: bool) -> str:
        """Pay once more what never came, only on proof that it never will."""
        async with self.noted("repeat pool payment", login, dry_run=dry_run):
            if booked is not None:
                return await self._repeat_booked(login, *booked, dry_run=dry_run)
            strange = [one for one in await self.pending() if one.row.login == login and one.record is None]
            if strange:
                judged = strange[0]
                if judged.verdict.outcome is not ChainOutcome.UNPAID:
                    raise BadInput(f"It is not proven that the old one is dead: {judged.verdict.why}.")
                if not dry_run:
                    await self.adopt(judged)
                return f"{judged.row.member} is paid again: {judged.verdict.why}."
            record = await self._own.newest(self.pool.coin, login)
            if record is None or record.state == s.PAID:
                raise BadInput(
                    f"Payflow has no unpaid payment of {login}: name the amount and the transaction of the old one."
                )
            if record.state != s.CREDITED:
                verdict = await self._rail_says(record)
                raise BadInput(
                    f"{record.id} is {record.state}: {verdict.why}. It must be over before it is paid again."
                )
            return await self._repeat_credited(record, dry_run=dry_run)

    async def _repeat_credited(self, record: PoolRecord, *, dry_run: bool) -> str:
        balance = await self.pool.books.balance(record.data.login)
        if not balance.isdecimal() or not int(balance):
            raise BadInput(f"{record.data.login} has a balance of {balance} Shannon: there is nothing to pay.")
        if not dry_run:
            await self._make(self._new(record.data.login, int(balance), f"repeat:{record.id}"))
        return f"{balance} Shannon are paid to {record.data.login}, after {record.id} failed: {record.data.reason}."

    async def _repeat_booked(self, login: str, shannon: int, tx: TxHash, *, dry_run: bool) -> str:
        booked = next((one for one in await self.pool.books.bookings(login) if one.tx == tx), None)
        if booked is None:
            raise BadInput(f"{tx} is not in the history of {login}.")
        at_s = booked.at_s
        case = await self._case(login, shannon, at_s)
        history = tuple(one for one in case.history if one.tx != tx)
        case = replace(case, tx=tx, nonce=None, history=history, ours=case.ours - {tx})
        verdict = await judge(self.pool.lane.chain, self.pool.trail, case, self.pool.lane.policy)
        if verdict.outcome is not ChainOutcome.UNPAID:
            raise BadInput(f"It is not proven that the old one is dead: {verdict.why}.")
        if not dry_run:
            new = self._new(login, shannon, f"repeat:{tx}")
            line = PoolLine(PaymentKey(new.id), login, shannon, at_s, self.pool.config.charge_wei)
            self._must(await self.pool.books.reopen(line, tx))
            await self._make(new)
        return f"{row_of(login, shannon)} is paid again: {verdict.why}."

    # ── sums ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def repair_sums(self, found: Sequence[Drift]) -> None:
        """Put right what the rows prove."""
        async with self.noted("repair pool sums", self.pool.coin):
            await repair(self.pool.books, found)

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _new(self, login: str, shannon: int, run: str) -> New[PoolData]:
        return payment_for(self.pool, login, address_of(login), shannon, run, self._own.store)

    async def _make(self, new: New[PoolData]) -> None:
        try:
            await self._own.store.records.create(new, self._who)
        except ClaimTaken as error:
            raise BadInput(f"{new.data.login} has an open payment of Payflow's already.") from error

    async def _learn(self, record: PoolRecord, fact: Fact) -> None:
        await take_in(self._own.store.records, self._pools.metrics, record.id, fact, self._who)

    def _line(self, judged: Judged, at_s: int, evidence: Evidence | None = None) -> PoolLine:
        """Name a payment to the books; what was kept back is what the chain shows, whatever the file says by now."""
        row = judged.row
        line = (
            line_of(judged.record, at_s)
            if judged.record
            else PoolLine(
                PaymentKey(f"row:{row.member}:{row.at_s}"),
                row.login,
                row.shannon,
                at_s,
                self.pool.config.charge_wei,
                row.at_s,
            )
        )
        if evidence is None:
            return line
        return replace(line, charge_wei=int(dict(evidence.details).get("charge_wei", line.charge_wei)))

    async def _now_s(self) -> int:
        return await self._own.store.records.now() // SECOND

    def _must(self, answer: ScriptAnswer) -> None:
        if answer.code not in DONE:
            raise BadInput(f"The pool's books were not changed: {why_not(answer)}.")


def _block_of(status: Status) -> int | None:
    block = dict(status.evidence.details).get("block", "") if isinstance(status, Settled) else ""
    return int(block) if block.isdecimal() else None
