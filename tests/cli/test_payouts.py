"""Batches and decisions at the terminal, on a real store, with the desk that the API has too."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from adapters.flutterwave.methods import V3
from machines.core.errors import Rejected
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId
from machines.core.money import NGN, Money
from machines.core.ports import Destination, Evidence, Failed, Payment, Status, Unsent
from machines.payout import facts as f
from machines.payout.acts import PayoutActs
from machines.payout.data import PayoutRecord, RiskFinding, reference_of
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout
from machines.payout.risk import Thresholds
from payflow.app.installation import Parts, Payflow, opened
from payflow.cli.commands import cli
from payflow.config import Settings, load
from payflow.desk.batches import Schedule
from payflow.desk.gateways import FirstLook, Gateway
from payflow.desk.payouts import Ask, Desk
from payflow.desk.providers import ProviderHistories
from payflow.engine.step import take_in
from payflow.store.registers.audit import AuditLine
from payflow.store.registers.batches import Batches
from payflow.store.registers.tokens import Role
from payflow.store.seals import new_key
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from tests.cli.till import SHELL, Result, showing
from tests.machines.payout.world import Unlimited
from tests.servers import Deployment

T = TypeVar("T")

ANN = Owner("ann")
MANUAL = Schedule("manual")
ACCOUNT = Destination("bank", (("bank_code", "044"), ("account_number", "0690000031")))


class Bank:
    """Knows every account but one; every transfer that it was asked for failed."""

    async def resolve(self, destination: Destination, currency: str) -> str:
        if destination["account_number"] == "0000000000":
            raise Rejected("There is no such account.")
        return "ANN A."

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, _: Payment) -> str | None:
        raise AssertionError("no command sends anything")

    async def status(self, payment: Payment) -> Status:
        return Failed("the account is closed", retryable=False) if payment.to["bank_code"] == "044" else Unsent()


async def parts(settings: Settings, store: Store, metrics: Metrics, _stack: AsyncExitStack) -> Parts:
    """The payout machine without the outside world."""
    bank = Bank()
    told = Gateway(resolve=bank.resolve, methods=V3)
    looks = PayoutActs(
        {"flutterwave": bank},
        ProviderHistories(store),
        MANUAL,
        store.seals,
        store.permit_keys,
        Thresholds(),
        Unlimited(),
        FirstLook({"flutterwave": told}, store.seals, borne_by_provider=False),
    )
    desk = Desk(store, settings, metrics, {"flutterwave": told}, MANUAL)
    return Parts((payout(PayoutPolicy(), {}, looks.prove),), desk=desk)


class Counter:
    """The command line, and what happens behind it."""

    def __call__(self, *words: str, answer: str = "") -> Result:
        """Type a command."""
        result = CliRunner().invoke(cli, list(words), obj=parts, input=answer or None)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    def json(self, *words: str, code: int = 0) -> Any:  # noqa: ANN401  (it is what the command says)
        """Type a command with --json, and read its one document."""
        result = self(*words, "--json")
        assert result.code == code, result
        (line,) = result.out.splitlines()
        return json.loads(line)

    def refused(self, *words: str, code: int = 1, answer: str = "") -> str:
        """Type a command that must not be done; gives its one sentence."""
        result = self(*words, answer=answer)
        assert result.code == code, result
        return result.err.removeprefix("payflow: ").strip()

    def do(self, work: Callable[[Payflow], Awaitable[T]]) -> T:
        """Do something behind the command line's back."""

        async def opened_for_it() -> T:
            async with opened(load(), parts) as payflow:
                return await work(payflow)

        return asyncio.run(opened_for_it())

    def payout(self, *facts: Callable[[str], Fact] | Fact, amount: str = "1000", key: str = "1") -> RecordId:
        """Make a payout of Ann's, and let things happen to it."""

        async def make(payflow: Payflow) -> RecordId:
            store = payflow.store
            await store.records.fund(ANN, Money.parse("1000000", NGN), "earned")
            assert payflow.parts.desk is not None
            answer = await payflow.parts.desk.request(Ask(ANN, Money.parse(amount, NGN), "bank", ACCOUNT, key=key))
            for fact in facts:
                learned = (
                    fact
                    if isinstance(fact, Fact)
                    else fact(reference_of(answer.record.id, 1, answer.record.data.installation))
                )
                if isinstance(learned, f.Assessed):
                    learned = replace(learned, place=answer.record.data.place)
                await take_in(store.records, payflow.metrics, answer.record.id, learned, "test")
            return answer.record.id

        return self.do(make)

    def rules_look(self, payout_id: RecordId) -> None:
        """Let the rules look at where a payout is to go now."""

        async def look(payflow: Payflow) -> None:
            proposed = (await payflow.store.records.read(payout_id)).record.data.proposal
            found = replace(REVIEW[0], place=proposed.place)
            await take_in(payflow.store.records, payflow.metrics, payout_id, found, "test")

        self.do(look)

    def record(self, payout_id: RecordId) -> PayoutRecord:
        """Read a payout."""

        async def read(payflow: Payflow) -> PayoutRecord:
            return (await payflow.store.records.read(payout_id)).record

        return self.do(read)

    def dispatch(self) -> None:
        """Let the dispatcher deliver who boarded."""

        async def deliver(payflow: Payflow) -> None:
            batches = Batches(payflow.store.link, payflow.store.records)
            for post in await payflow.store.outbox.take(1000, 1000):
                if post.kind == "batch":
                    await batches.deliver(post)

        self.do(deliver)


REVIEW = (f.Assessed((RiskFinding("new", "0 successful payouts, 3 are needed"),), seal="rules.sealed"),)
APPROVED = (f.Assessed((), seal="rules.sealed"),)
FAILED = (*APPROVED, f.Boarded("b"), lambda reference: f.NotPaid(reference, "the account is closed", retryable=False))


@pytest.fixture
def till(server: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    monkeypatch.delenv("PAYFLOW_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    ours = {"PAYFLOW_DATA": "data", "PAYFLOW_SHARDS": "4", "PAYFLOW_SEAL_KEYS": new_key()}
    for name, value in {**server.environment, **ours}.items():
        monkeypatch.setenv(name, value)
    with capture_logs():
        counter = Counter()

        async def nothing(_: Payflow) -> None: ...

        counter.do(nothing)
        yield counter


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_that_is_opened_by_hand_takes_all_that_is_approved(till: Counter) -> None:
    ready = [till.payout(*APPROVED, key=f"ready {number}") for number in range(3)]
    waits = till.payout(*REVIEW, key="waits")
    with showing(till, "otto"):
        told = till.json("batch", "run", "--yes")
    assert (told["boarded"], told["refused"]) == (3, [])
    assert told["batch"].endswith("-manual")
    assert {till.record(one).state for one in ready} == {"PROCESSING"}
    assert {till.record(one).data.batch for one in ready} == {told["batch"]}
    assert till.record(waits).state == "REQUESTED"

    async def newest(payflow: Payflow) -> AuditLine:
        return (await payflow.store.audit.page(None, 1))[0]

    line = till.do(newest)
    assert (line.who, line.act, line.subject) == ("otto", "open batch", told["batch"])
    assert line.why.startswith("3 payouts: ")


def test_opening_a_batch_asks_first_and_says_how_much_goes_out(till: Counter) -> None:
    payout_id = till.payout(*APPROVED, amount="1250.50")
    shown = till("batch", "run", answer="n\n")
    assert "1 payouts go out now: NGN 1250.50." in shown.out
    assert till.record(payout_id).state == "APPROVED"
    assert "add --yes" in till.refused("batch", "run", "--json", code=2)
    assert "1 payouts boarded" in till("batch", "run", answer="y\n").out
    assert till.record(payout_id).state == "PROCESSING"


def test_a_batch_with_nobody_in_it_is_none(till: Counter) -> None:
    assert till.json("batch", "run", "--yes") == {"batch": None, "boarded": 0, "refused": []}
    assert "No payout waits for a batch." in till("batch", "run").out


def test_one_that_cannot_board_does_not_hold_up_the_others(till: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad, gone = (till.payout(*APPROVED, key=str(number)) for number in range(3))

    async def stumbling(store: Any, metrics: Any, payout_id: RecordId, fact: Fact, who: str) -> Any:  # noqa: ANN401
        if payout_id == bad:
            raise Rejected("it stumbled")
        if payout_id == gone:
            await take_in(store.records, metrics, payout_id, f.Cancelled("ann"), "ann")
        return await take_in(store.records, metrics, payout_id, fact, who)

    monkeypatch.setattr("payflow.desk.batches.tell", stumbling)
    told = till.json("batch", "run", "--yes", code=1)
    assert told["boarded"] == 1
    assert {(one["id"], one["why"]) for one in told["refused"]} == {
        (bad, "it stumbled"),
        (gone, "it is CANCELLED by now"),
    }
    assert till.record(good).state == "PROCESSING"


def test_the_oldest_go_first_when_not_all_may(till: Counter) -> None:
    first, second = till.payout(*APPROVED, key="1"), till.payout(*APPROVED, key="2")
    assert till.json("batch", "run", "--yes", "--limit", "1")["boarded"] == 1
    assert (till.record(first).state, till.record(second).state) == ("PROCESSING", "APPROVED")


def test_batches_are_listed_with_what_became_of_them(till: Counter) -> None:
    assert "No batch has opened yet." in till("batch", "ls").out
    for number in range(2):
        till.payout(*APPROVED, key=str(number))
    name = till.json("batch", "run", "--yes")["batch"]
    till.dispatch()
    (batch,) = till.json("batch", "ls")
    assert (batch["batch"], batch["payouts"]) == (name, 2)
    assert batch["states"] == {"PROCESSING": {"count": 2, "amounts": {"NGN": "2000.00"}}}
    assert "2 PROCESSING" in till("batch", "ls").out


def test_one_batch_shows_its_payouts(till: Counter) -> None:
    ids = {till.payout(*APPROVED, key=str(number)) for number in range(2)}
    name = till.json("batch", "run", "--yes")["batch"]
    till.dispatch()
    told = till.json("batch", "show", name)
    assert {one["id"] for one in told["payouts"]} == ids
    shown = till("batch", "show", name, "--limit", "1").out
    assert "NGN 2000.00" in shown
    assert "These are the first 1 of them" in shown
    assert "There is no batch nowhere" in till.refused("batch", "show", "nowhere")


# ── decisions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reviewer_sees_what_he_approves(till: Counter) -> None:
    payout_id = till.payout(*REVIEW)
    with showing(till, "rita", Role.REVIEWER):
        shown = till("payout", "approve", payout_id, answer="y\n").out
    assert "NGN 1000.00 to 044 ••••0031, for ann" in shown
    assert "Found: 0 successful payouts, 3 are needed" in shown
    assert "It is APPROVED now: rita said yes." in shown
    assert till.record(payout_id).state == "APPROVED"


def test_a_reviewer_who_says_no_to_the_question_changes_nothing(till: Counter) -> None:
    payout_id = till.payout(*REVIEW)
    with showing(till, "rita", Role.REVIEWER):
        assert till.refused("payout", "approve", payout_id, answer="n\n") == "Nothing was changed."
    assert till.record(payout_id).state == "REQUESTED"


def test_nobody_approves_his_own_request(till: Counter) -> None:
    payout_id = till.payout(*REVIEW)
    with showing(till, "ann", Role.REVIEWER):
        assert "cannot approve it" in till.refused("payout", "approve", payout_id, "--yes")


def test_what_changed_while_he_looked_is_not_approved(till: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    payout_id = till.payout(*FAILED)
    till("payout", "correct", payout_id, "--account", "0690000032")

    async def change(payflow: Payflow) -> None:
        fact = f.Corrected("ann", "sealed", "044 ••••0033", "another print")
        await take_in(payflow.store.records, payflow.metrics, payout_id, fact, "ann")

    def meanwhile(*_: object) -> None:
        somebody_else = Thread(target=till.do, args=(change,))
        somebody_else.start()
        somebody_else.join()

    monkeypatch.setattr("payflow.cli.terminal.Terminal.confirm", meanwhile)
    with showing(till, "rita", Role.REVIEWER):
        assert "changed since you looked at it" in till.refused("payout", "approve", payout_id)
    assert till.record(payout_id).data.proposal.fingerprint == "another print"


def test_a_rejection_needs_a_reason_and_gives_the_money_back(till: Counter) -> None:
    payout_id = till.payout(*REVIEW)
    with showing(till, "rita", Role.REVIEWER):
        assert "add --reason" in till.refused("payout", "reject", payout_id)
        told = till.json("payout", "reject", payout_id, "--reason", "no invoice")
    assert (told["from"], told["state"], told["why"]) == ("REQUESTED", "REJECTED", "rita: no invoice")


def test_a_payout_is_cancelled_while_nothing_left_and_after_that_waits_for_proof(till: Counter) -> None:
    payout_id = till.payout(*APPROVED, key="1")
    assert till.json("payout", "cancel", payout_id, "--reason", "twice")["state"] == "CANCELLED"
    boarded = till.payout(*APPROVED, f.Boarded("b"), key="2")
    sent = till.payout(*APPROVED, f.Boarded("b"), f.Submitted, key="3")
    for payout_id in (boarded, sent):
        told = till.json("payout", "cancel", payout_id, "--reason", "twice")
        assert (told["state"], "waits for proof" in told["why"]) == ("PROCESSING", True)


def test_a_failed_payout_is_tried_again(till: Counter) -> None:
    payout_id = till.payout(*FAILED)
    assert till.json("payout", "retry", payout_id)["state"] == "PROCESSING"
    assert till.record(payout_id).data.current == till.record(payout_id).data.attempts[1]


def test_a_failed_payout_is_given_back_when_the_rail_proves_it_unpaid(till: Counter) -> None:
    payout_id = till.payout(*FAILED)
    told = till.json("payout", "release", payout_id, "--reason", "he asked for it")
    assert (told["state"], told["why"]) == ("CANCELLED", f"{SHELL}: he asked for it")


def test_another_account_goes_through_review(till: Counter) -> None:
    payout_id = till.payout(*FAILED)
    told = till.json("payout", "correct", payout_id, "--account", "0690000039")
    assert (told["state"], told["why"]) == ("FAILED", f"{SHELL} names another destination: 044 ••••0039")
    assert "waits for reviewers" in till.refused("payout", "retry", payout_id)
    assert "a shell without one is nobody" in till.refused("payout", "approve", payout_id, "--yes")
    with showing(till, "eve", Role.REVIEWER):
        assert "still being assessed" in till.refused("payout", "approve", payout_id, "--yes")
        till.rules_look(payout_id)
        shown = till("payout", "approve", payout_id, answer="y\n").out
    assert "to 044 ••••0039" in shown
    assert "It failed before: the account is closed" in shown
    assert till.record(payout_id).state == "PROCESSING"


@pytest.mark.parametrize("words", [("--account", "06"), ("--account", "x" * 99), ("--account", "1234", "--bank", "!")])
def test_what_is_no_account_is_refused(till: Counter, words: tuple[str, ...]) -> None:
    payout_id = till.payout(*FAILED)
    assert "This is no destination" in till.refused("payout", "correct", payout_id, *words)
    assert "no such account" in till.refused("payout", "correct", payout_id, "--account", "0000000000")


def test_what_is_no_payout_is_refused(till: Counter) -> None:
    assert "no record id" in till.refused("payout", "retry", "nonsense", code=2)
    assert "There is no record" in till.refused("payout", "retry", "payout-01-abcdefgh23456777")


# ── looking again ────────────────────────────────────────────────────────────────────────────────────────────────────

PAID = (*APPROVED, f.Boarded("b"), lambda reference: f.Paid(reference, Evidence("flutterwave", reference)))


@pytest.mark.parametrize("facts", [APPROVED, (*APPROVED, f.Boarded("b")), PAID], ids=["approved", "sent", "paid"])
def test_a_retry_of_a_payout_that_did_not_fail_looks_at_it_now(till: Counter, facts: tuple[Any, ...]) -> None:
    payout_id = till.payout(*facts)
    before = till.record(payout_id)
    assert till.json("retry", payout_id)["did"] == "due"
    assert till.record(payout_id).version == before.version, "a look is asked for, nothing is decided"


def test_a_retry_of_a_failed_payout_tries_it_and_says_why_where_it_cannot(till: Counter) -> None:
    failed, corrected = till.payout(*FAILED), till.payout(*FAILED, key="2")
    assert till.json("retry", failed)["did"] == "moved"
    till.json("payout", "correct", corrected, "--account", "0690000032")
    assert "waits for reviewers" in till.refused("retry", corrected)


def test_the_story_of_a_payout_does_not_show_where_its_money_goes_not_even_encrypted(till: Counter) -> None:
    payout_id = till.payout(*FAILED)
    till.json("payout", "correct", payout_id, "--account", "0690000032")
    told = till.json("show", payout_id)
    assert (
        told["data"]["sealed"] == told["data"]["attempts"][0]["sealed"] == told["data"]["correction"]["sealed"] == "***"
    )
    assert "gAAAA" not in str(told)
    assert "gAAAA" not in till("show", payout_id).out


# ── sealed anew ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_seal_key_is_retired_at_the_terminal(till: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    payout_id = till.payout(*REVIEW)
    prints = till.json("seal-key", "--fingerprints")["key"]
    monkeypatch.setenv("PAYFLOW_FINGERPRINT_KEY", prints)
    old, new = os.environ["PAYFLOW_SEAL_KEYS"], new_key()
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", f"{new},{old}")
    assert till.json("reseal") == {"looked_at": 1, "renewed": 1, "left": [], "done": True}
    assert "may be taken off PAYFLOW_SEAL_KEYS" in till("reseal").out
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new)

    async def opened_again(payflow: Payflow) -> Destination:
        record = (await payflow.store.records.read(payout_id)).record
        return payflow.store.seals.open(record.data.sealed, payout_id)

    assert till.do(opened_again) == ACCOUNT
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())
    assert "none of PAYFLOW_SEAL_KEYS" in till.refused("reseal", code=3)


def test_caps_of_the_day_are_shown(till: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No cap of the day is set" in till("caps").out
    monkeypatch.setenv("PAYFLOW_PAYOUT_CAPS", '{"all": "20000"}')
    (told,) = till.json("caps")
    assert told == {
        "cap": "all",
        "currency": "NGN",
        "a_day": "NGN 20000.00",
        "used": "NGN 0.00",
        "left": "NGN 20000.00",
        "reached": "",
    }
