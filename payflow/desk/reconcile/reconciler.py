"""Compares our books with what rails say, all the time: only what is new is read, and only that is compared.

A line is kept once, and waits until something can be said of it: nothing is missing here or there before the rail's
own time has gone by. What both sides say alike needs no more looks; what differs becomes a finding, which looks at
itself, and goes when the difference does.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Protocol

import anyio
import structlog

from machines.core.clock import DAY, Millis
from machines.core.errors import BadInput, NotPossible, PayflowError
from machines.core.ids import RecordId
from machines.core.money import Asset
from machines.core.ports import Act, LineKind, RailStatement, StatementBalance, StatementLine, StatementPart
from machines.core.rail_share import FINE, RailPart
from machines.finding.acts import FindingActs
from machines.finding.data import Finding, FindingKind, FindingRecord
from machines.finding.lifecycle import OPEN
from machines.finding.matching import BooksDiffer, OurPayment, best, late_fee_differs, payment_differs, return_differs
from payflow.desk.gateways import GatewaySetup
from payflow.desk.person import Person
from payflow.desk.reconcile.comparison import Word
from payflow.desk.reconcile.findings import BALANCES, WHO, FindingFilter, Findings
from payflow.desk.reconcile.payouts import PayoutBooks, PayoutsReconcile
from payflow.store.registers.statements import ChangedLine, MatchedLine, StatementMark, asset_of
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

log = structlog.get_logger()

AT_ONCE = 200
MOST_LOOSE = 5_000
"""So many lines that name none of our records are compared by amount and time; beyond that they are not ours."""


class RailBooks(Protocol):
    """What our books say of one rail."""

    async def ours(self, lines: Sequence[StatementLine]) -> Mapping[str, RecordId]:
        """Name the records that lines are of, by line, whether or not we remember them; without those of nobody."""

    async def payments(self, records: Sequence[RecordId]) -> Mapping[RecordId, OurPayment]:
        """Say what they are, of those that are known, archived ones too."""

    def paid_between(self, since: Millis, until: Millis) -> AsyncIterator[Sequence[OurPayment]]:
        """Walk over what came to be paid between two times."""

    async def late(self, before: Millis) -> Sequence[OurPayment]:
        """List what has been under way since before a time."""


class RailRepairs(Protocol):
    """What is done to records of a rail that differ from it: all through what they learn of the rail itself."""

    async def ask(self, rail: str, record: RecordId, who: str) -> Sequence[Finding]:
        """Ask the rail about a record, and let it learn what it says; gives what is still open."""

    async def adopt(self, rail: str, record: RecordId, since: Millis, word: Word) -> Sequence[Finding]:
        """Take in what the rail did for a record that is forgotten; gives what is still open."""

    async def learn_fee(self, record: RecordId, fee: str, who: str) -> None:
        """Let a record learn what the rail's statement says that it cost, where nothing said so before."""


class ComparedRail(NamedTuple):
    """Both sides of one rail."""

    statement: RailStatement | None
    """None where it comes only as files."""
    books: RailBooks
    repairs: RailRepairs


@dataclass(frozen=True, slots=True)
class ReconciledRail:
    """What one turn came to."""

    rail: str
    lines: int
    """Lines that were new."""
    found: tuple[FindingRecord, ...]
    failed: str = ""
    """Why it could not be read; empty where it was."""


Progress = Callable[[str, Millis, Millis, Millis], None]
"""Is told of a rail, from when on and until when it is read, and how far that is."""


def _silent(_rail: str, _since: Millis, _until: Millis, _at: Millis) -> None:
    pass


class Reconciler:
    """Reads each rail's statement from where it was read before, and compares it with our books."""

    def __init__(self, store: Store, findings: Findings, rails: Mapping[str, ComparedRail]) -> None:
        self._store = store
        self._register = store.statements
        self.findings = findings
        self.rails = rails

    @property
    def asked(self) -> list[str]:
        """Name the rails that say by themselves what they did."""
        return [name for name, rail in self.rails.items() if rail.statement is not None]

    # ── in turn ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, every_s: float) -> None:
        """Compare as often as the settings say, whichever worker's turn it is, until cancelled."""
        while True:
            for rail in self.asked:
                try:
                    await self.compare_in_turn(rail, every_s)
                except PayflowError as error:
                    log.warning("A rail could not be reconciled.", action="reconcile", rail=rail, error=str(error))
                except Exception:  # an adapter that fails in an unforeseen way must not stop the worker
                    log.exception("A rail could not be reconciled.", action="reconcile", rail=rail)
            await anyio.sleep(min(every_s, 60.0))

    async def compare_in_turn(self, rail: str, every_s: float) -> ReconciledRail | None:
        """Compare a rail if nobody did so lately."""
        granted, _ = await self._store.records.rate_tokens(f"reconcile:{rail}", 1 / every_s, 1)
        return await self.compare(rail) if granted else None

    async def compare_all(self, since: Millis, progress: Progress = _silent) -> list[ReconciledRail]:
        """Compare every rail anew since a time; one that cannot be asked keeps the others from nothing."""
        found = []
        for rail in self.asked:
            try:
                found.append(await self.compare(rail, since, progress))
            except PayflowError as error:
                found.append(ReconciledRail(rail, 0, (), str(error)))
        return found

    async def compare(self, rail: str, since: Millis | None = None, progress: Progress = _silent) -> ReconciledRail:
        """Read what is new on a rail's statement, and compare it with what is new in our books."""
        statement = self.rails[rail].statement
        if statement is None:
            raise NotPossible(f"{rail} says nothing by itself: take its files in with `payflow finding import`.")
        now = await self._store.records.now()
        mark = await self._register.mark(rail)
        known = await self._unmarked(rail, now) if mark is None else mark.begun
        begun = Millis(min(known, now if since is None else since))
        compared = Millis(begun if mark is None else mark.compared)
        if since is not None:
            compared = Millis(min(compared, since))
        read = Millis(max(0, min(compared, now if mark is None else mark.read) - statement.overlap_ms))
        turn = _Turn(self, rail, now, self._store)
        await turn.read(statement, read, now, progress)
        await turn.look_again(Millis(now - statement.patience_ms - 2 * DAY))
        await turn.look_at_lines()
        until = Millis(max(compared, min(now - statement.patience_ms, turn.whole)))
        await turn.look_at_books(compared, until)
        await turn.settle()
        await self._register.advance(rail, StatementMark(now, until, begun))
        return ReconciledRail(rail, turn.lines, tuple(turn.found))

    async def _unmarked(self, rail: str, now: Millis) -> Millis:
        """Say from when on a statement is read of which nobody of us wrote down how far it was: up to its last line."""
        statement = self.rails[rail].statement
        newest = await self._register.newest(rail, 1)
        patience = statement.patience_ms if statement else Millis(DAY)
        return Millis(min([now, *(one.line.at - patience for one in newest)]) - DAY)

    async def read_again(self, rail: str, since: Millis, until: Millis) -> None:
        """Read what a rail says of some time once more: whatever came after it is read in its own turn."""
        statement = self.rails[rail].statement
        if statement is None:
            raise NotPossible(f"{rail} says nothing by itself: take its files in with `payflow finding import`.")
        turn = _Turn(self, rail, await self._store.records.now(), self._store)
        await turn.read(statement, since, until, _silent)
        await turn.look_at_lines()
        await turn.settle()

    async def take_in_file(self, rail: str, parts: Iterable[StatementPart], source: str) -> ReconciledRail:
        """Compare what a file says a rail did; nothing of ours is missing in it: nobody knows what it leaves out."""
        turn = _Turn(self, rail, await self._store.records.now(), self._store)
        for part in parts:
            await turn.take(part, source)
        await turn.look_at_lines()
        await turn.settle()
        return ReconciledRail(rail, turn.lines, tuple(turn.found))

    def acts(self) -> dict[str, Act[Finding]]:
        """Give the looks at findings."""
        return FindingActs(self).acts()

    # ── a finding looks at itself ────────────────────────────────────────────────────────────────────────────────────

    async def explained(self, finding: Finding) -> str:
        """Say why two books differ no more; empty as long as they do."""
        rail = self.rails.get(finding.rail)
        if rail is None or finding.advised:
            return ""  # whoever reconciles a store that lost writes says so
        if finding.kind in BALANCES:
            return await self._balances_agree(finding)
        found = await self._register.line(finding.rail, finding.line) if finding.line else None
        record = RecordId((found.record if found else "") or finding.record)
        ours = (await rail.books.payments([record])).get(record) if record else None
        if ours is None:
            return ""
        return await (self._line_agrees(finding, found.line, ours) if found else self._record_agrees(finding, ours))

    async def _record_agrees(self, finding: Finding, ours: OurPayment) -> str:
        if finding.kind is FindingKind.LATE:
            return "" if ours.open else f"{ours.record} is over"
        there = await self._register.matched(finding.rail, ours.record)
        if ours.paid and not there:
            return ""
        return f"the rail's line {there[0]} says it too" if there else f"{ours.record} is paid no more in our books"

    async def _line_agrees(self, finding: Finding, line: StatementLine, ours: OurPayment) -> str:
        differs = await self.differences(finding.rail, line, ours)
        if ours.open or line.open or any(one.kind is finding.kind for one in differs):
            return ""
        return f"line {line.id} and {ours.record} say the same"

    async def _balances_agree(self, finding: Finding) -> str:
        asset, _, begins = finding.subject.rpartition("/")[2].partition(" ")
        if not begins.isdecimal():
            return ""
        here = await self._register.balance(finding.rail, asset, Millis(int(begins)))
        if here is None:
            return ""
        if finding.kind is FindingKind.BALANCE_DIFFERS:
            return "the balances are what the lines come to" if not _off(here) else ""
        before = await self._register.balance(finding.rail, asset, Millis(int(finding.line or 0)))
        return "the spans follow each other" if before and before.closing == here.opening else ""

    async def differences(
        self, rail: str, line: StatementLine, ours: OurPayment, about: Sequence[str] | None = None
    ) -> list[BooksDiffer]:
        """Say in what a line and its record differ, whatever else is `about` the same record."""
        ids = await self._register.matched(rail, ours.record) if about is None else about
        found = await self._register.found(rail, [name for name in ids if name != line.id])
        others = [one.line for one in found if one]
        paid = [one for one in others if one.kind is LineKind.PAYMENT]
        late = _charged_late((*others, line), ours)
        back = Counter(one.reference for one in (*others, line) if one.kind is LineKind.RETURN)
        if line.kind is LineKind.PAYMENT:
            whole = _with_late(line, late)
            return payment_differs(whole, ours, [one.id for one in paid], _returned((*paid, line), back))
        if line in late:
            return late_fee_differs(line, ours, [_with_late(one, late) for one in paid])
        known = line.reference in {one.reference for one in paid}
        return return_differs(line, ours, len(paid) - _returned(paid, back)) if known else []

    async def match_by_hand(self, name: RecordId, record: RecordId, by: Person) -> FindingRecord:
        """Take a person's word for what the line of a finding is about; it goes where the two then say the same."""
        finding = (await self.findings.read(name)).data
        rail = self.rails.get(finding.rail)
        found = await self._register.line(finding.rail, finding.line) if finding.line else None
        if rail is None or found is None:
            raise NotPossible(f"{name} is about no line of a statement.")
        if record not in await rail.books.payments([record]):
            raise BadInput(f"{record} is no payment over {finding.rail}.")
        async with self._store.audit.doing(by.name, "match", name, f"{finding.line} is {record}"):
            await self._register.match(finding.rail, [(found, record)])
            why = await self.explained(finding)
            if not why:
                return await self.findings.read(name)
            return await self.findings.resolved(name, f"matched with {record}: {why}", by.name)


def _charged_late(lines: Iterable[StatementLine], ours: OurPayment) -> list[StatementLine]:
    """Find what the rail took for a payment on a later day than its line is of, which says what it took on its own."""
    lines = list(lines)
    days = [one.at // DAY for one in lines if one.kind is LineKind.PAYMENT]
    if not days:
        return []
    took = (one for one in lines if one.kind is LineKind.OTHER and one.out)
    return [one for one in took if one.at // DAY > min(days) and one.amount.units < ours.amount.units]


def _with_late(line: StatementLine, late: Iterable[StatementLine]) -> StatementLine:
    """Give a line with all that it cost."""
    fine = sum(one.amount.units * FINE + one.rest for one in late)
    if not fine:
        return line
    exact = (line.fee or 0) * FINE + line.fee_rest + fine
    fee = -(-exact // FINE)
    return replace(line, fee=fee, fee_rest=exact - fee * FINE)


def _until(ids: Sequence[str], name: str) -> list[str]:
    """Give the lines about a record up to one of them: those that came later are compared when it is their turn."""
    return [*ids[: ids.index(name)], name]


def _returned(paid: Iterable[StatementLine], back: Mapping[str, int]) -> int:
    """Count the payments that came back; what comes back of an attempt that failed is no payment's return."""
    made = Counter(one.reference for one in paid)
    return sum(min(count, back.get(reference, 0)) for reference, count in made.items())


def reconciler_of(
    store: Store,
    metrics: Metrics,
    setups: Mapping[str, GatewaySetup],
    payouts: PayoutsReconcile,
    others: Mapping[str, ComparedRail] = MappingProxyType({}),
) -> Reconciler:
    """Compare gateways with what payouts say of each, and the others, which say themselves what they paid."""
    rails = {name: ComparedRail(setup.statement, PayoutBooks(store, name), payouts) for name, setup in setups.items()}
    return Reconciler(store, Findings(store, metrics), {**rails, **others})


def _signed(line: StatementLine) -> int:
    """Say how a line moves its wallet, in parts of a unit."""
    fine = line.amount.units * FINE + line.rest
    return -fine if line.out else fine


def _fine(balance: StatementBalance) -> int:
    return balance.closing * FINE + balance.closing_rest


def _held(asset: Asset, units: int) -> str:
    return f"{asset.code} {Decimal(units).scaleb(-asset.decimals):,}"


def _off(balance: StatementBalance) -> int:
    return balance.closing - balance.opening - balance.moved


class _Turn:
    """One comparison of one rail."""

    def __init__(self, reconciler: Reconciler, rail: str, now: Millis, store: Store) -> None:
        self._reconciler = reconciler
        self._rail = rail
        self._now = now
        self._store = store
        self._register = store.statements
        statement = reconciler.rails[rail].statement
        self._patience_ms = statement.patience_ms if statement else Millis(DAY)
        self._books = reconciler.rails[rail].books
        self._before: dict[str, tuple[Millis, StatementBalance]] = {}
        self._loose: list[MatchedLine] = []
        self._missing: list[OurPayment] = []
        self.whole = now
        """Up to when the statement is whole."""
        self._there: set[str] = set()
        """The lines that were read."""
        self.lines = 0
        self.found: list[FindingRecord] = []

    # ── the rail's side ──────────────────────────────────────────────────────────────────────────────────────────────

    async def read(self, statement: RailStatement, since: Millis, until: Millis, progress: Progress) -> None:
        """Keep what the rail says, each line once."""
        async for part in statement.parts(since, until, self._store.records.assets):
            await self.take(part)
            self.whole = part.ends or until
            progress(self._rail, since, until, part.begins)
        await self._lose(statement, since)

    async def _lose(self, statement: RailStatement, since: Millis) -> None:
        """Forget what the rail lists no more, once it is as old as the rail's own time: that is missing there then.

        One answer that lacks it is no proof: it is asked for once more.
        """
        until = Millis(min(self._now - self._patience_ms, self.whole))
        lost = await self._register.gone(self._rail, since, until, self._there)
        if not lost:
            return
        times = [one.line.at for one in lost]
        async for part in statement.parts(min(times), max(times), self._store.records.assets):
            self._there.update(line.id for line in part.lines)
        lost = [one for one in lost if one.line.id not in self._there]
        await self._register.forget(self._rail, lost)
        names = list(dict.fromkeys(RecordId(one.record) for one in lost if one.record))
        ours = await self._books.payments(names) if names else {}
        there = await self._register.matched_each(self._rail, names)
        left = [ours[name] for name, lines in zip(names, there, strict=True) if not lines and name in ours]
        self._missing += [one for one in left if one.paid]

    async def _changed(self, changed: ChangedLine) -> None:
        """Name what a rail says otherwise than it did: what is about a record of ours is compared with it once more."""
        before, line = changed.before.line, changed.line
        asset = line.amount.asset
        if line.open and not before.open:
            says = f"{before.amount} was done as {line.id}, and is under way again"
            about = changed.before.record
            await self._find(
                Finding(self._rail, FindingKind.LATE, line.id, says, line.id, about, "", 0, asset.code, line.at)
            )
            return
        off = _signed(line) - _signed(before)
        if changed.waits or changed.before.record or not off or before.amount.asset != asset:
            return
        units, rest = divmod(off, FINE)
        says = f"{line.id} was {before.amount} when it was read first, and is {line.amount} now"
        subject, kind = f"{line.id} was {_signed(before)}", FindingKind.AMOUNT_DIFFERS
        await self._find(
            Finding(self._rail, kind, subject, says, line.id, "", "", units, asset.code, line.at, rest=rest)
        )

    async def take(self, part: StatementPart, source: str = "") -> None:
        """Keep one part of a statement."""
        lines = [replace(one, account=self._print(one)) for one in part.lines]
        for first in range(0, len(lines), AT_ONCE):
            taken = await self._register.take_in(self._rail, lines[first : first + AT_ONCE], source)
            self.lines += len(taken.fresh)
            for one in taken.changed:
                await self._changed(one)
        self._there.update(line.id for line in lines)
        await self._register.keep_balances(self._rail, part.begins, part.balances)
        known = {asset.code for asset in self._store.records.assets}
        for asset, balance in part.balances.items():
            await self._compare_balances(asset, part.begins, balance)
            if asset not in known:
                continue  # a wallet in a currency in which nobody keeps books here
            await self._store.ledger.book_balance(self._rail, asset, _fine(balance), part.begins)

    def _print(self, line: StatementLine) -> str:
        return self._store.seals.account(line.account, line.amount.asset)

    async def _compare_balances(self, asset: str, begins: Millis, balance: StatementBalance) -> None:
        subject, held = f"{asset} {begins}", partial(_held, asset_of(self._store.records.assets, asset))
        if off := _off(balance):
            went, moved = held(balance.closing - balance.opening), held(balance.moved)
            says = f"what was in the wallet changed by {went}, and the lines of that time come to {moved}"
            found = Finding(self._rail, FindingKind.BALANCE_DIFFERS, subject, says, units=off, asset=asset, at=begins)
            await self._find(found)
        at, before = self._before.get(asset, (begins, balance))
        if before is not balance and (gap := balance.opening - before.closing):
            ended, begin = held(before.closing), held(balance.opening)
            says = f"{ended} were in the wallet when one stretch of it ended, and {begin} when the next began"
            found = Finding(
                self._rail, FindingKind.STATEMENT_GAP, subject, says, str(at), units=gap, asset=asset, at=begins
            )
            await self._find(found)
        self._before[asset] = (begins, balance)

    async def look_again(self, since: Millis) -> None:
        """Look again at lines of which neither a record nor a finding says anything: somebody had them passed over."""
        unsaid = await self._register.unsaid(self._rail, since)
        known = [
            await self._reconciler.findings.knows(Finding(self._rail, FindingKind.NOT_OURS, one.id, ""))
            for one in unsaid
        ]
        again = [one for one, said in zip(unsaid, known, strict=True) if not said]
        await self._register.look_again(self._rail, again)

    # ── line by line ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def look_at_lines(self) -> None:
        """Look at all lines of which nothing was said yet."""
        staying = 0
        while names := await self._register.waiting(self._rail, staying, AT_ONCE):
            rows = await self._register.found(self._rail, names)
            found = [one for one in rows if one]
            done = [name for name, one in zip(names, rows, strict=True) if one is None]
            named = await self._books.ours([one.line for one in found])
            about = {one.line.id: RecordId(one.record) if one.record else named.get(one.line.id) for one in found}
            ours = await self._books.payments([record for record in about.values() if record])
            clear = []
            for one in found:
                record = about[one.line.id]
                known = ours.get(record) if record else None
                if one.line.kind is LineKind.TOP_UP:
                    await self._came_in(one.line)
                    done.append(one.line.id)
                elif known is not None and self._can_be_compared(one.line, known):
                    clear.append((one, known))
                elif known is None and await self._is_strange(one, record):
                    done.append(one.line.id)
            await self._compare(clear)
            done += [one.line.id for one, _ in clear]
            await self._register.done(self._rail, *done)
            staying += len(names) - len(done)

    async def _came_in(self, line: StatementLine) -> None:
        """Book what came into the wallet, once; in other currencies nobody keeps books here."""
        if line.amount.asset.code in {asset.code for asset in self._store.records.assets}:
            fine = line.amount.units * FINE + line.rest
            await self._store.ledger.book(
                self._rail, line.amount.asset.code, RailPart.FUNDED, fine, line.id, "it came in"
            )

    def _early(self, line: StatementLine) -> bool:
        return self._now < line.at + self._patience_ms

    def _can_be_compared(self, line: StatementLine, ours: OurPayment) -> bool:
        """Whether there is something to say of a line and its record by now."""
        if line.open or (not ours.paid and line.kind is LineKind.RETURN):
            return not line.open
        return not ours.open and (not self._early(line) or (ours.paid and line.kind is LineKind.PAYMENT))

    async def _is_strange(self, found: MatchedLine, record: RecordId | None) -> bool:
        """Name a line that no record is about, once it is time; what names none of ours waits for the others."""
        if found.line.open or self._early(found.line):
            return False
        if record is None and len(self._loose) < MOST_LOOSE:
            self._loose.append(found)
            return False
        await self._unknown(found, record)
        return True

    async def _compare(self, pairs: Sequence[tuple[MatchedLine, OurPayment]]) -> None:
        about = await self._register.match(self._rail, [(one, ours.record) for one, ours in pairs]) if pairs else {}
        for found, ours in pairs:
            line, ids = found.line, about[ours.record]
            # Of two that pay the same the second is the one too many; of what is not paid here all must be known.
            known = _until(ids, line.id) if ours.paid else ids
            await self._learn_fee(line, ours)
            for one in await self._reconciler.differences(self._rail, line, ours, known):
                asset = (ours if one.kind is FindingKind.WRONG_CURRENCY else line).amount.asset.code
                await self._find(
                    Finding(self._rail, one.kind, line.id, one.says, line.id, ours.record, ours.owner, one.units, asset,
                            line.at, rest=one.rest)
                )  # fmt: skip

    async def _learn_fee(self, line: StatementLine, ours: OurPayment) -> None:
        """Let a record learn what it cost where its own proof did not say."""
        if line.kind is LineKind.PAYMENT and ours.paid and ours.fee is None and line.fee and line.amount == ours.amount:
            fee = Decimal(line.fee * FINE + line.fee_rest) / FINE
            exact = fee.scaleb(-line.amount.asset.decimals)
            await self._reconciler.rails[self._rail].repairs.learn_fee(ours.record, f"{exact.normalize():f}", WHO)

    async def _unknown(self, found: MatchedLine, record: RecordId | None) -> None:
        """Name a line that no record of ours is about."""
        line = found.line
        way = "left" if line.out else "came in"
        says = f"{line.amount} {way} as {line.reference or line.id}" + f", in {line.handle}" * bool(line.handle)
        kind = FindingKind.NOT_OURS
        if record is not None and line.kind is LineKind.PAYMENT:
            kind, says = FindingKind.MISSING_HERE, f"{says}, and no record of ours knows it"
            await self._register.match(self._rail, [(found, record)])  # it is there when the record is made again
        sign = -1 if line.out else 1
        units, asset = sign * line.amount.units, line.amount.asset.code
        await self._find(
            Finding(self._rail, kind, line.id, says, line.id, record or "", "", units, asset, line.at,
                    rest=sign * line.rest)
        )  # fmt: skip

    # ── our side ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def look_at_books(self, since: Millis, until: Millis) -> None:
        """Find what came to be paid between two times and is on no line, and what takes too long."""
        async for page in self._books.paid_between(since, until):
            lines = await self._register.matched_each(self._rail, [one.record for one in page])
            self._missing += [one for one, there in zip(page, lines, strict=True) if not there]
        for ours in await self._books.late(Millis(self._now - self._patience_ms)):
            says = f"{ours.amount} has been under way since before the rail's own time"
            await self._about(FindingKind.LATE, ours, f"{ours.record}/{ours.at}", says, ours.amount.units)

    async def settle(self) -> None:
        """Put together what must be one, by the rail's name for it or by amount and time; name the rest."""
        missing = {one.record: one for one in self._missing}
        if self._loose:
            missing |= await self._missed_before()
        for found in self._loose:
            line = found.line
            known = [one for one in missing.values() if line.handle and line.handle in one.handles]
            ours = known[0] if known else best(line, missing.values())
            if ours is None:
                await self._unknown(found, None)
            else:
                del missing[ours.record]
                await self._compare([(found, ours)])
            await self._register.done(self._rail, line.id)
        for ours in missing.values():
            says = f"{ours.amount} is paid in our books, and on no line of the rail's"
            await self._about(FindingKind.MISSING_THERE, ours, ours.record, says, -ours.amount.units)
        await self._let_learn()

    async def _let_learn(self) -> None:
        """Have what was paid twice ask its rail: what its record learns of is posted by it, and by nobody else."""
        repairs = self._reconciler.rails[self._rail].repairs
        for one in self.found:
            if one.data.kind is FindingKind.TWICE and one.state == OPEN:
                try:
                    await repairs.ask(self._rail, RecordId(one.data.record), WHO)
                except PayflowError as error:
                    said = {"action": "reconcile", "rail": self._rail, "record": one.data.record, "error": str(error)}
                    log.warning("What was paid twice could not be asked about.", **said)

    async def _missed_before(self) -> Mapping[RecordId, OurPayment]:
        """Give what was found missing there before, and still is."""
        wanted = FindingFilter(self._rail, FindingKind.MISSING_THERE)
        open_ = await self._reconciler.findings.all(wanted)
        return await self._books.payments([RecordId(one.data.record) for one in open_])

    async def _about(self, kind: FindingKind, ours: OurPayment, subject: str, says: str, units: int) -> None:
        asset = ours.amount.asset.code
        await self._find(Finding(self._rail, kind, subject, says, "", ours.record, ours.owner, units, asset, ours.at))

    async def _find(self, finding: Finding) -> None:
        self.found.append(await self._reconciler.findings.make(finding))
