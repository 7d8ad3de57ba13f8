"""Findings at the terminal: what differs, what is proposed for it, and how it ends."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from machines.core.clock import DAY, HOUR, Millis
from machines.core.ids import Owner, RecordId
from machines.core.money import NGN, Assets, Money
from machines.core.ports import LineKind, StatementBalance, StatementLine, StatementPart
from machines.finding.data import Finding
from machines.finding.matching import OurPayment
from machines.finding.react import finding
from payflow.app.installation import Parts, Payflow
from payflow.config import Settings
from payflow.desk.reconcile.comparison import Word
from payflow.desk.reconcile.findings import Findings
from payflow.desk.reconcile.reconciler import ComparedRail, Reconciler
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from tests.cli.till import Till, showing
from tests.servers import Deployment
from tests.service import parts

PAYOUT, OTHER = (RecordId(f"errand-01-{letter * 16}") for letter in "ab")


class Bank:
    """Both sides of a rail: what it says it did, and what our books say."""

    patience_ms = Millis(HOUR)
    overlap_ms = Millis(25 * HOUR)

    def __init__(self) -> None:
        self.lines: list[StatementLine] = []
        self.balances: dict[str, StatementBalance] = {}
        self.known: dict[RecordId, OurPayment] = {}

    async def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        yield StatementPart(since, tuple(self.lines), self.balances)

    async def ours(self, lines: Sequence[StatementLine]) -> Mapping[str, RecordId]:
        return {one.id: RecordId(one.reference) for one in lines if one.reference.startswith("errand-")}

    async def payments(self, records: Sequence[RecordId]) -> Mapping[RecordId, OurPayment]:
        return {name: self.known[name] for name in records if name in self.known}

    async def paid_between(self, since: Millis, until: Millis) -> AsyncIterator[Sequence[OurPayment]]:
        yield [one for one in self.known.values() if one.paid and since <= one.at < until]

    async def late(self, before: Millis) -> Sequence[OurPayment]:
        return [one for one in self.known.values() if one.open and one.at < before]

    async def ask(self, rail: str, record: RecordId, who: str) -> Sequence[Finding]:
        self.known[record] = replace(self.known[record], paid=False, open=False)
        return []

    async def adopt(self, rail: str, record: RecordId, since: Millis, word: Word) -> Sequence[Finding]:
        self.known[record] = replace(self.known[PAYOUT], record=record, owner=word.owners[record], at=since)
        return []

    async def learn_fee(self, record: RecordId, fee: str, who: str) -> None:
        self.known[record] = replace(self.known[record], fee=int(Decimal(fee) * 100))

    def is_paid(self, record: RecordId, now: Millis, *, line: str = "", units: int = 5_000) -> None:
        """Pay something in our books three hours ago, and on the statement where a line is named."""
        at, amount = Millis(now - 3 * HOUR), Money(5_000, NGN)
        self.known[record] = OurPayment(record, Owner("ann"), (record,), (), amount, None, "", True, False, at)  # noqa: FBT003
        if line:
            self.says(line, record, at, units)

    def says(self, line: str, reference: str, at: Millis, units: int = 5_000) -> None:
        """Add a line of a payment."""
        self.lines.append(
            StatementLine(line, LineKind.PAYMENT, Money(units, NGN), out=True, at=at, reference=reference)
        )


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def desk(till: Till, bank: Bank) -> Till:
    """The command line with that bank; the store is there."""

    async def with_bank(settings: Settings, store: Store, metrics: Metrics, stack: AsyncExitStack) -> Parts:
        own = await parts(settings, store, metrics, stack)
        reconciler = Reconciler(store, Findings(store, metrics), {"bank": ComparedRail(bank, bank, bank)})
        machines = (*own.machines, finding(reconciler.acts()))
        return replace(own, machines=machines, reconciler=reconciler)

    return Till(with_bank)


def now(desk: Till) -> Millis:
    async def of(payflow: Payflow) -> Millis:
        return await payflow.store.records.now()

    return desk.do(of)


def test_what_differs_is_named_with_what_is_proposed_and_nothing_else(desk: Till, bank: Bank) -> None:
    at = now(desk)
    assert desk.json("finding", "ls") == []
    bank.is_paid(PAYOUT, at, line="77")
    assert desk.json("reconcile", "--since", "5h")["clear"]
    bank.is_paid(OTHER, at, line="78", units=4_900)
    found = desk.json("reconcile", "--since", "5h", code=1)
    assert [(one["kind"], one["rail"]) for one in found["findings"]] == [("amount differs", "bank")]
    assert found["statements"] == [{"rail": "bank", "lines": 1, "failed": ""}]
    (listed,) = desk.json("finding", "ls", code=1)
    told = (listed["kind"], listed["amount"], listed["proposed"], listed["severity"], listed["record"])
    assert told == ("amount differs", {"asset": "NGN", "amount": "1.00"}, "correct", "severe", OTHER)
    shown = desk.json("finding", "show", listed["finding"])
    assert "NGN 49.00" in shown["line"]
    assert shown["stopped"] == "owner:ann"
    assert "amount differs" in desk("finding", "ls").out
    assert desk.json("finding", "ls", "--kind", "twice") == []
    assert "There is no kind 'worse'" in desk.refused("finding", "ls", "--kind", "worse", code=2)


def test_a_posting_takes_two_people_and_is_made_once(desk: Till, bank: Bank) -> None:
    bank.is_paid(PAYOUT, now(desk), line="77", units=4_900)
    desk("reconcile", "--since", "5h")
    (listed,) = desk.json("finding", "ls", code=1)
    with showing(desk, "otto"):
        (said,) = desk.json("finding", "resolve", listed["finding"], "--reason", "the bank kept 1.00", "--yes")
        assert "another operator" in said["said"]
        (proposal,) = desk.json("proposals")
    assert desk.json("finding", "show", listed["finding"])["state"] == "OPEN"
    with showing(desk, "olga"):
        assert "is resolved" in desk("confirm", proposal["proposal"], "--yes").out
    assert desk.json("finding", "ls") == []
    (account,) = desk.json("ledger", "ann")["accounts"]
    assert (account["available"], account["funded"]) == ("1.00", "1.00")
    assert desk.json("ledger")["conserved"]


def test_what_is_missing_is_asked_about_and_what_is_not_ours_is_booked_with_a_reason(desk: Till, bank: Bank) -> None:
    at = now(desk)
    bank.is_paid(PAYOUT, at)
    bank.says("99", "salary", Millis(at - 4 * HOUR), 77_700)
    desk("reconcile", "--since", "5h")
    found = {one["kind"]: one["finding"] for one in desk.json("finding", "ls", code=1)}
    assert set(found) == {"missing there", "not ours"}
    (booked,) = desk.json("finding", "resolve", found["not ours"], "--yes", code=1)
    assert "--reason" in booked["said"]
    (booked,) = desk.json("finding", "resolve", "--kind", "not ours", "--reason", "salaries of May", "--yes")
    assert booked["done"]
    (wallet,) = [one for one in desk.json("ledger")["rails"] if one["rail"] == "bank"]
    assert (wallet["parts"]["from outside"], wallet["expected"]) == ("-777.00", "-777.00"), "it left the wallet"
    (asked,) = desk.json("finding", "resolve", found["missing there"], "--yes")
    assert "paid no more" in asked["said"]
    assert {one["state"] for one in desk.json("finding", "ls", "--all")} == {"RESOLVED"}
    assert "is RESOLVED" in desk.refused("finding", "resolve", found["not ours"], "--reason", "again", answer="y\n")


def test_a_forgotten_record_is_taken_in_for_whoever_it_was(desk: Till, bank: Bank) -> None:
    at = now(desk)
    bank.is_paid(PAYOUT, at, line="77")
    bank.says("78", OTHER, Millis(at - 4 * HOUR))
    desk("reconcile", "--since", "5h")
    (listed,) = desk.json("finding", "ls", code=1)
    assert listed["kind"] == "missing here"
    (said,) = desk.json("finding", "resolve", listed["finding"], "--yes", code=1)
    assert "--owner" in said["said"]
    words = ("--owner", "bob", "--reason", "the API's log", "--yes")
    (said,) = desk.json("finding", "resolve", listed["finding"], *words)
    assert said["done"]
    assert bank.known[OTHER].owner == "bob"
    assert desk.json("reconcile", "--since", "5h")["findings"] == []


def test_a_line_without_our_reference_is_matched_by_hand(desk: Till, bank: Bank) -> None:
    at = now(desk)
    bank.is_paid(PAYOUT, at)
    bank.says("99", "who knows", Millis(at - 3 * DAY))
    desk("reconcile", "--since", "5h")
    found = {one["kind"]: one["finding"] for one in desk.json("finding", "ls", code=1)}
    desk.json("finding", "take", found["not ours"])
    assert "is no payment over bank" in desk.refused("finding", "match", found["not ours"], OTHER)
    assert desk.json("finding", "match", found["not ours"], PAYOUT)["state"] == "RESOLVED"

    async def look(payflow: Payflow) -> str:
        assert payflow.parts.reconciler is not None
        record = await payflow.parts.reconciler.findings.read(RecordId(found["missing there"]))
        return await payflow.parts.reconciler.explained(record.data)

    assert "99 says it too" in desk.do(look)


def test_what_stays_is_waived_with_a_reason_and_only_operators_do(desk: Till, bank: Bank) -> None:
    bank.is_paid(PAYOUT, now(desk))
    desk("reconcile", "--since", "5h")
    (listed,) = desk.json("finding", "ls", code=1)
    assert "add --reason" in desk.refused("finding", "waive", listed["finding"])
    with showing(desk, "vic", Role.VIEWER):
        assert "operator" in desk.refused("finding", "waive", listed["finding"], "--reason", "a letter")
    (said,) = desk.json("finding", "waive", listed["finding"], "--reason", "a letter", "--yes")
    assert said["done"]
    desk("reconcile", "--since", "5h")
    assert desk.json("finding", "ls") == []


def test_the_balances_of_a_rail_that_are_not_what_its_lines_come_to_are_found(desk: Till, bank: Bank) -> None:
    bank.balances["NGN"] = StatementBalance(100_000, 90_000, -9_000)
    desk("reconcile", "--since", "5h")
    (listed,) = desk.json("finding", "ls", code=1)
    assert (listed["kind"], listed["amount"]["amount"]) == ("balance differs", "10.00")


def test_a_file_is_shown_before_it_counts_and_each_of_its_lines_counts_once(
    desk: Till, bank: Bank, tmp_path: Path
) -> None:
    bank.is_paid(PAYOUT, now(desk))
    file = tmp_path / "may.csv"
    file.write_text(f"Day,Paid,Text\n2026-01-15,-49.00,{PAYOUT}\n2026-01-16,-777.00,salary\n", "utf-8")
    words = ("finding", "import", str(file), "--rail", "bank")
    assert "--columns at=Date" in desk.refused(*words, code=2)
    mapped = (*words, "--columns", "at=Day,amount=Paid,reference=Text")
    assert "2 lines, 2 of them new" in desk(*mapped, answer="n\n").out
    assert desk.json("finding", "ls") == [], "nobody has said yes"
    done = desk.json(*mapped, "--yes", code=1)
    assert (done["lines"], done["new"]) == (2, 2)
    assert {one["kind"] for one in done["findings"]} == {"amount differs", "not ours"}
    again = desk.json(*words, "--yes")
    assert (again["new"], again["findings"]) == (0, []), "the map of columns is kept, and each line counts once"
    assert "may.csv" in desk.json("finding", "show", done["findings"][0]["finding"])["line"]
    file.write_text("Day,Paid,Text\n2026-01-15,-1.00,x\n2062-05-01,-1.00,x\n", "utf-8")
    assert "2062-05-01 00:00" in desk.refused(*words, "--yes", code=2), "no balance of later would count any more"
    file.write_text("Day,Paid,Text\nyesterday,1,x\n", "utf-8")
    assert "'yesterday' is no time" in desk.refused(*words, code=2)
    assert "There is no file" in desk.refused("finding", "import", "none.csv", "--rail", "bank", code=2)
    assert "There is no rail 'nowhere'; there is bank." in desk.refused(*words[:4], "nowhere", code=2)


def test_the_till_reads_no_statement_by_itself(till: Till, server: Deployment, tmp_path: Path) -> None:
    with capture_logs():
        assert "compares itself with no rail" in till.refused("finding", "ls", code=2)
