"""Steering: an override moves the money by positions and keeps who and why; a retry tries; a pause stops sends."""

import os
from dataclasses import replace
from threading import Thread
from unittest.mock import patch

import pytest

from machines.core.errors import OutcomeUnknown
from machines.core.facts import Proof, Reading
from machines.core.ids import RecordId
from machines.core.record import Record
from payflow.app.installation import Payflow
from payflow.desk.dual_control import DualControl
from payflow.desk.person import Person
from payflow.desk.pool import not_a_payment
from payflow.store.accounts import LedgerAccount
from payflow.store.records import Records
from payflow.store.registers.tokens import Role
from payflow.store.stored import Stored
from tests import service
from tests.cli.till import SHELL, Till, showing
from tests.desk import ANN, account, claim_one, faults, tell
from tests.errand import Cancelled, ErrandData, NotDone, errand


def books(till: Till) -> LedgerAccount:
    """Ann's account."""

    async def read(payflow: Payflow) -> LedgerAccount:
        return await account(payflow.store, ANN)

    return till.do(read)


def nothing_is_wrong(till: Till) -> bool:
    async def look(payflow: Payflow) -> list[str]:
        return await faults(payflow.store)

    return till.do(look) == []


def last_event(till: Till, record_id: RecordId) -> tuple[str, str, str, str]:
    event = till.json("show", record_id)["history"][-1]
    return event["trigger"], event["state"], event["who"], event["why"]


# --- override


def test_an_override_of_a_held_record_puts_the_money_where_the_new_state_says(till: Till) -> None:
    record_id = till.errand("FAILED", units=1_200)
    assert (books(till).available, books(till).held) == (998_800, 1_200)
    told = till.json("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")
    assert (told["from"], told["to"], told["who"]) == ("FAILED", "CANCELLED", SHELL)
    assert (told["from_position"], told["to_position"]) == ("held", "available")
    assert (books(till).available, books(till).held) == (1_000_000, 0)
    assert last_event(till, record_id) == ("override", "CANCELLED", SHELL, f"the bank called ({SHELL})")
    assert nothing_is_wrong(till)


def test_an_override_can_say_that_it_was_paid(till: Till) -> None:
    record_id = till.errand("FAILED", units=1_200)
    till.json("override", record_id, "DONE", "--reason", "the receipt came by post", "--yes")
    assert (books(till).held, books(till).paid) == (0, 1_200)
    assert nothing_is_wrong(till)


def test_an_override_names_the_holder_of_the_token_that_is_shown(till: Till) -> None:
    record_id = till.errand("FAILED")
    with showing(till, "eve"):
        till.json("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")
    assert last_event(till, record_id)[2:] == ("eve", "the bank called (eve)")


@pytest.mark.parametrize("reason", [(), ("--reason", ""), ("--reason", "  ")])
def test_an_override_without_a_reason_is_refused(till: Till, reason: tuple[str, ...]) -> None:
    record_id = till.errand("FAILED")
    assert "needs a reason" in till.refused("override", record_id, "CANCELLED", *reason, "--yes")
    assert till.record(record_id).state == "FAILED"


def test_an_override_shows_what_it_would_change_and_asks(till: Till) -> None:
    record_id = till.errand("FAILED")
    words = ("override", record_id, "CANCELLED", "--reason", "the bank called")
    assert till.refused(*words, answer="n\n") == "Nothing was changed."
    assert till.record(record_id).state == "FAILED"
    shown = till(*words, answer="y\n")
    assert shown.code == 0
    for part in (f"{record_id}: FAILED → CANCELLED", "NGN 12.00 of ann goes from held to available.", "Do it?"):
        assert part in shown.out
    assert till.record(record_id).state == "CANCELLED"


def test_an_override_that_nobody_confirms_changes_nothing(till: Till) -> None:
    record_id = till.errand("FAILED")
    words = ("override", record_id, "CANCELLED", "--reason", "the bank called")
    assert "add --yes in scripts" in till.refused(*words)
    assert "add --yes" in till.refused(*words, "--json", code=2)
    assert till.record(record_id).state == "FAILED"


def test_money_that_may_have_left_takes_two_people_of_whom_a_shell_is_neither(till: Till) -> None:
    record_id = till.errand("SENDING")
    words = ("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")
    assert "a shell without a token is nobody here" in till.refused(*words)
    assert till.json("proposals") == []
    with showing(till, "ola"):
        told = till.json(*words)
        assert "may have left" in told["why"]
        assert told["proposal"] in till("proposals").out
        assert "must be another one" in till.refused("confirm", told["proposal"], "--yes")
    assert till.record(record_id).state == "SENDING"
    assert "nobody here" in till.refused("confirm", told["proposal"], "--yes")
    for role, of in ((Role.VIEWER, ""), (Role.REVIEWER, ""), (Role.PROVIDER, "ann"), (Role.PLATFORM, "shop")):
        with showing(till, "vic", role, of):
            assert "takes the token of an operator" in till.refused("confirm", told["proposal"], "--yes")
    with showing(till, "eve", made_by="ola"):
        assert "ola proposed it and made the token eve" in till.refused("confirm", told["proposal"], "--yes")
    assert till.record(record_id).state == "SENDING"
    with showing(till, "eve"):
        assert "Done" in till("confirm", told["proposal"], "--yes").out
    assert last_event(till, record_id)[2:] == ("eve", "the bank called (ola and eve)")
    assert books(till).held == 0
    assert till.json("proposals") == []
    assert nothing_is_wrong(till)


def test_a_proposal_about_a_pool_that_no_file_names_is_refused_and_stays_on_the_table(till: Till) -> None:
    """Whoever confirms on the wrong machine must not have it proposed anew."""
    tx = "0x" + "ab" * 32

    async def propose(payflow: Payflow) -> str:
        two = DualControl(payflow.store, [not_a_payment.verb(None)])
        seen, ola = {"login": "0x" + "11" * 20, "sent": "5"}, Person("ola", Role.OPERATOR, "boss")
        return (await two.propose(not_a_payment.NO_PAYMENT, f"eth/{tx}", seen, "a gift", ola)).digest

    till.made()
    digest = till.do(propose)
    with showing(till, "eve"):
        said = till.refused("confirm", digest, "--yes")
    assert said.startswith("No file names the pool eth here, so nothing was done, and it stays proposed")
    assert "PAYFLOW_POOL_CONFIG" in said
    assert [one["proposal"] for one in till.json("proposals")] == [digest]


def test_what_took_the_place_of_a_proposal_is_not_confirmed_by_whoever_saw_the_first(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """She is shown one thing and asked; while she reads, its proposer puts another thing in its place."""
    record_id = till.errand("SENDING")
    words = ("--reason", "the bank called", "--yes")
    with showing(till, "ola") as ola:
        seen = till.json("override", record_id, "CANCELLED", *words)["proposal"]

    def swap(*_: object) -> None:
        def swapped() -> None:
            till("decline", seen)
            till("override", record_id, "READY", *words)

        with patch.dict(os.environ, PAYFLOW_TOKEN=ola):
            somebody_else = Thread(target=swapped)
            somebody_else.start()
            somebody_else.join()

    with showing(till, "ola") as ola, showing(till, "eve"), monkeypatch.context() as patched:
        patched.setattr("payflow.cli.terminal.Terminal.confirm", swap)
        assert "What you looked at is not proposed any more" in till.refused("confirm", record_id)
    (standing,) = till.json("proposals")
    assert standing["seen"]["to"] == "READY"
    assert till.record(record_id).state == "SENDING"


def test_a_confirmation_shows_what_it_confirms_and_asks(till: Till) -> None:
    record_id = till.errand("SENDING")
    with showing(till, "ola"):
        told = till.json("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")
    with showing(till, "eve"):
        assert "name the proposal by its hash" in till.refused("confirm", record_id, "--yes", code=2)
        refused = till("confirm", record_id, answer="n\n")
        assert refused.code == 1
        for part in ("ola proposes", "SENDING → CANCELLED", "from held to available", "the bank called"):
            assert part in refused.out
        assert told["proposal"] in refused.out
        assert till.record(record_id).state == "SENDING"
        assert till("confirm", record_id, answer="y\n").code == 0
    assert till.record(record_id).state == "CANCELLED"


def test_what_changed_since_it_was_proposed_is_not_confirmed(till: Till) -> None:
    record_id = till.errand("SENDING")
    with showing(till, "ola"):
        digest = till.json("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")["proposal"]

    async def change(payflow: Payflow) -> None:
        await tell(payflow.store, record_id, NotDone("bounced"))

    till.do(change)
    with showing(till, "eve"):
        assert "changed while you were looking at it" in till.refused("confirm", digest, "--yes")
        assert "No proposal" in till.refused("confirm", digest, "--yes")
    assert till.record(record_id).state == "FAILED"


def test_what_the_rail_says_otherwise_since_it_was_proposed_is_not_confirmed(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [Proof.NONE]

    async def prove(_: Record[ErrandData]) -> Reading:
        return Reading(said[-1], (("the bank", f"says {said[-1]}"),))

    monkeypatch.setattr(service, "errand", lambda rail: replace(errand(rail), prove=prove))
    record_id = till.errand("SENDING")
    with showing(till, "ola"):
        digest = till.json("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")["proposal"]
    said.append(Proof.PAID)
    with showing(till, "eve"):
        assert "The rail says something else" in till.refused("confirm", digest, "--yes")
    assert till.record(record_id).state == "SENDING"


def test_a_proposal_is_declined_by_its_name(till: Till) -> None:
    record_id = till.errand("SENDING")
    with showing(till, "ola"):
        digest = till.json("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")["proposal"]
    assert "No proposal nonsense waits" in till.refused("decline", "nonsense")
    till("decline", digest)
    assert till.json("proposals") == []
    with showing(till, "eve"):
        assert "No proposal" in till.refused("confirm", digest, "--yes")
    assert till.record(record_id).state == "SENDING"


@pytest.mark.parametrize(
    ("proof", "to", "sentence"),
    [
        (Proof.NOT_PAID, "CANCELLED", ""),
        (Proof.PAID, "DONE", ""),
        (Proof.PAID, "CANCELLED", "may have left"),
        (Proof.NOT_PAID, "DONE", "The rail says that"),
        (Proof.NONE, "CANCELLED", "may have left"),
        (OutcomeUnknown("it is asleep"), "CANCELLED", "may have left"),
    ],
)
def test_the_rail_is_asked_before_a_person_overrules_it(
    till: Till, monkeypatch: pytest.MonkeyPatch, proof: Proof | OutcomeUnknown, to: str, sentence: str
) -> None:
    async def prove(record: Record[ErrandData]) -> Reading:
        if isinstance(proof, OutcomeUnknown):
            raise proof
        return Reading(proof, (("errand-1", f"the rail says {proof}"),))

    monkeypatch.setattr(service, "errand", lambda rail: replace(errand(rail), prove=prove))
    record_id = till.errand("SENDING")
    words = ("override", record_id, to, "--reason", "the bank called")
    if sentence:
        with showing(till, "ola"):
            assert sentence in till.json(*words, "--yes")["why"]
    else:
        shown = till(*words, answer="y\n").out
        assert "Evidence: The rail proves that it was" in shown
        assert f"Read: errand-1: the rail says {proof}" in shown
        assert [["errand-1", f"the rail says {proof}"]] == till.json("show", record_id)["history"][-1]["details"][
            "read"
        ]
    assert till.record(record_id).state == ("SENDING" if sentence else to)


def test_an_override_into_a_state_that_there_is_not_names_those_that_there_are(till: Till) -> None:
    record_id = till.errand("FAILED")
    sentence = till.refused("override", record_id, "PAID", "--reason", "x", code=2)
    assert sentence.startswith("There is no state 'PAID'; there is ASKED, READY")


def test_an_override_into_the_same_state_is_refused(till: Till) -> None:
    record_id = till.errand("FAILED")
    assert "is in FAILED already" in till.refused("override", record_id, "FAILED", "--reason", "x", "--yes")


def test_an_override_of_what_changed_since_it_was_shown_is_refused(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    record_id = till.errand("FAILED")
    read, reads = Records.read, 0

    async def read_too_late(records: Records, name: RecordId) -> Stored:
        nonlocal reads
        reads += 1
        if reads == 2:  # it was read once to be shown
            stored = await read(records, name)
            decision = records.machines["errand"].react(stored.record, Cancelled(), stored.at)
            await records.commit(stored, decision, Cancelled(), "somebody else")
        return await read(records, name)

    monkeypatch.setattr(Records, "read", read_too_late)
    sentence = till.refused("override", record_id, "DONE", "--reason", "x", "--yes")
    assert sentence == f"{record_id} changed while you were looking at it: look again."
    assert till.record(record_id).state == "CANCELLED"


def test_a_token_that_is_none_of_ours_opens_nothing_and_is_not_taken_for_a_shell(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id = till.errand("FAILED")
    for secret in ("payflow_" + "x" * 43, "nonsense"):
        monkeypatch.setenv("PAYFLOW_TOKEN", secret)
        assert "is unknown here, expired or revoked" in till.refused(
            "override", record_id, "DONE", "--reason", "x", "--yes"
        )
    monkeypatch.delenv("PAYFLOW_TOKEN")
    for role, of in ((Role.VIEWER, ""), (Role.REVIEWER, ""), (Role.PROVIDER, "ann"), (Role.PLATFORM, "shop")):
        with showing(till, "vic", role, of):
            for words in (("override", record_id, "DONE", "--reason", "x", "--yes"), ("retry", record_id)):
                assert "takes the token of an operator" in till.refused(*words)
            assert "takes the token of an operator" in till.refused("pause", "everything", "--why", "x")
    assert till.record(record_id).state == "FAILED"
    assert till.json("paused") == []


# --- retry


def test_a_retry_of_a_failed_record_is_the_machines_own_move(till: Till) -> None:
    record_id = till.errand("FAILED")
    assert till.json("retry", record_id)["did"] == "moved"
    assert till.record(record_id).state == "READY"
    assert last_event(till, record_id) == ("retry", "READY", SHELL, f"again, says {SHELL}")


def test_a_retry_takes_up_what_was_set_aside(till: Till) -> None:
    record_id = till.parked()
    assert till.json("ls", "--stuck")["records"] != []
    assert till.json("retry", record_id)["did"] == "unparked"
    assert till.json("ls", "--stuck")["records"] == []
    assert "A look has been due" in till.json("show", record_id)["next"]
    assert last_event(till, record_id)[2] == SHELL
    assert nothing_is_wrong(till)


def test_a_retry_of_a_waiting_record_makes_its_look_due_and_writes_no_event(till: Till) -> None:
    record_id = till.errand()
    assert till.json("retry", record_id)["did"] == "due"
    assert len(till.json("show", record_id)["history"]) == 1
    assert till.record(record_id).state == "ASKED", "it is looked at again, not approved"


def test_a_retry_of_a_record_that_is_being_looked_at_does_not_let_a_second_worker_in(till: Till) -> None:
    record_id = till.errand()

    async def lease(payflow: Payflow) -> None:
        await claim_one(payflow.store)

    till.do(lease)
    assert till.json("retry", record_id)["did"] == "leased"


def test_a_retry_of_a_finished_record_is_refused(till: Till) -> None:
    assert "is in DONE, where nothing is tried. Its story ends there." in till.refused("retry", till.errand("DONE"))


# --- pause


def test_a_pause_is_kept_with_who_and_why(till: Till) -> None:
    assert till.json("pause", "rail:test", "--why", "the gateway is odd")["fresh"]
    (standing,) = till.json("paused")
    assert (standing["scope"], standing["who"], standing["why"]) == ("rail:test", SHELL, "the gateway is odd")
    assert "the gateway is odd" in till("paused").out


def test_the_first_pause_stays(till: Till) -> None:
    till("pause", "everything", "--why", "the gateway is odd")
    with showing(till, "eve"):
        again = till("pause", "everything", "--why", "me too")
    assert again.code == 0
    assert f"It was paused already, by {SHELL}: the gateway is odd" in again.out.replace("\n", " ")


def test_a_pause_ends_when_it_is_resumed(till: Till) -> None:
    till("pause", "machine:errand", "--why", "x")
    assert till("resume", "machine:errand", "--why", "well again").code == 0
    assert till.json("paused") == []
    assert "Nothing is paused." in till("paused").out


def test_resuming_what_is_not_paused_names_what_is(till: Till) -> None:
    till("pause", "rail:test", "--why", "x")
    assert till.refused("resume", "everything", "--why", "x") == "everything is not paused; paused is: rail:test."


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("everything",), 1, "A pause needs a reason"),
        (("everything", "--why", " "), 1, "A pause needs a reason"),
        (("everythng", "--why", "x"), 1, "'everythng' cannot be paused: write everything, machine:<name>"),
        (("rail:", "--why", "x"), 1, "'rail:' cannot be paused"),
        (("machine:errnd", "--why", "x"), 1, "Did you mean machine:errand?"),
        (("rail:tset", "--why", "x"), 1, "Did you mean rail:test?"),
        (("rail:flutterwave", "--why", "x"), 1, "Nothing here is called 'rail:flutterwave'"),
        (("lane:etherium", "--why", "x"), 1, "There is everything, machine:errand, rail:test."),
        (("shard:00", "--why", "x"), 1, "Only Payflow itself closes a shard"),
    ],
)
def test_a_pause_that_would_stop_nothing_is_refused(
    till: Till, words: tuple[str, ...], code: int, sentence: str
) -> None:
    assert sentence in till.refused("pause", *words, code=code)
    assert till.json("paused") == []


def test_what_the_sequence_guard_closed_is_not_opened_by_hand(till: Till) -> None:
    async def close(payflow: Payflow) -> None:
        await payflow.store.pauses.pause(
            "shard:01", "sequence guard", "writes are gone", await payflow.store.records.now()
        )

    till.do(close)
    assert "run `payflow reconcile`" in till.refused("resume", "shard:01", "--why", "I say so")


# --- written down


def test_what_operators_do_stands_in_the_audit_log_and_so_does_what_was_refused_to_them(till: Till) -> None:
    record_id = till.errand("FAILED")
    till.json("pause", "everything", "--why", "the gateway answers nonsense")
    till.json("resume", "everything", "--why", "it is well")
    till.json("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")
    till.refused("resume", "everything", "--why", "again")
    assert "Say why" in till.refused("resume", "everything")

    async def read(payflow: Payflow) -> list[tuple[str, str, str]]:
        return [(line.act, line.subject, line.why) for line in await payflow.store.audit.page(None, 10)]

    assert till.do(read) == [
        ("refused", "everything", "resume: everything is not paused; paused is: nothing."),
        ("resume", "everything", "again"),
        ("override to CANCELLED", record_id, "the bank called"),
        ("resume", "everything", "it is well"),
        ("pause", "everything", "the gateway answers nonsense"),
    ]
