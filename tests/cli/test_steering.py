"""Steering: an override moves the money by positions and keeps who and why; a retry tries; a pause stops sends."""

from dataclasses import replace

import pytest

from machines.core.errors import OutcomeUnknown
from machines.core.facts import Proof
from machines.core.ids import RecordId
from machines.core.record import Record
from payflow.app import Payflow
from payflow.store.ledger import Account
from payflow.store.records import Records
from payflow.store.stored import Stored
from tests import service
from tests.cli.till import Till
from tests.desk import ANN, account, claim_one, faults
from tests.errand import Cancelled, ErrandData, errand


def books(till: Till) -> Account:
    """Ann's account."""

    async def read(payflow: Payflow) -> Account:
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
    assert (told["from"], told["to"], told["who"]) == ("FAILED", "CANCELLED", "ola")
    assert (told["from_position"], told["to_position"]) == ("held", "available")
    assert (books(till).available, books(till).held) == (1_000_000, 0)
    assert last_event(till, record_id) == ("override", "CANCELLED", "ola", "the bank called (ola)")
    assert nothing_is_wrong(till)


def test_an_override_can_say_that_it_was_paid(till: Till) -> None:
    record_id = till.errand("FAILED", units=1_200)
    till.json("override", record_id, "DONE", "--reason", "the receipt came by post", "--yes")
    assert (books(till).held, books(till).paid) == (0, 1_200)
    assert nothing_is_wrong(till)


def test_an_override_names_the_operator_that_it_is_told(till: Till) -> None:
    record_id = till.errand("FAILED")
    till.json("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes", "--as", "eve")
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


def test_money_that_may_have_left_takes_two_people(till: Till) -> None:
    record_id = till.errand("SENDING")
    words = ("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")
    assert "may have left" in till.refused(*words)
    assert "must be another" in till.refused(*words, "--second", "ola")
    assert till.record(record_id).state == "SENDING"
    till.json(*words, "--second", "eve")
    assert last_event(till, record_id)[3] == "the bank called (ola and eve)"
    assert books(till).held == 0
    assert nothing_is_wrong(till)


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
    async def prove(record: Record[ErrandData]) -> Proof:
        if isinstance(proof, OutcomeUnknown):
            raise proof
        return proof

    monkeypatch.setattr(service, "errand", lambda rail: replace(errand(rail), prove=prove))
    record_id = till.errand("SENDING")
    words = ("override", record_id, to, "--reason", "the bank called")
    if sentence:
        assert sentence in till.refused(*words, "--yes")
    else:
        assert "Evidence: the rail proves that it was" in till(*words, answer="y\n").out
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


def test_an_operator_without_a_name_is_refused(till: Till) -> None:
    assert "names nobody" in till.refused("override", till.errand("FAILED"), "DONE", "--as", " ", code=2)


# --- retry


def test_a_retry_of_a_failed_record_is_the_machines_own_move(till: Till) -> None:
    record_id = till.errand("FAILED")
    assert till.json("retry", record_id)["did"] == "moved"
    assert till.record(record_id).state == "READY"
    assert last_event(till, record_id) == ("retry", "READY", "ola", "again, says ola")


def test_a_retry_takes_up_what_was_set_aside(till: Till) -> None:
    record_id = till.parked()
    assert till.json("ls", "--stuck")["records"] != []
    assert till.json("retry", record_id)["did"] == "unparked"
    assert till.json("ls", "--stuck")["records"] == []
    assert "A look has been due" in till.json("show", record_id)["next"]
    assert last_event(till, record_id)[2] == "ola"
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
    assert (standing["scope"], standing["who"], standing["why"]) == ("rail:test", "ola", "the gateway is odd")
    assert "the gateway is odd" in till("paused").out


def test_the_first_pause_stays(till: Till) -> None:
    till("pause", "everything", "--why", "the gateway is odd")
    again = till("pause", "everything", "--why", "me too", "--as", "eve")
    assert (again.code, again.out) == (0, "everything is paused already, by ola: the gateway is odd\n")


def test_a_pause_ends_when_it_is_resumed(till: Till) -> None:
    till("pause", "machine:errand", "--why", "x")
    assert till("resume", "machine:errand").code == 0
    assert till.json("paused") == []
    assert "Nothing is paused." in till("paused").out


def test_resuming_what_is_not_paused_names_what_is(till: Till) -> None:
    till("pause", "rail:test", "--why", "x")
    assert till.refused("resume", "everything") == "everything is not paused; paused is: rail:test."


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("everything",), 1, "A pause needs a reason"),
        (("everything", "--why", " "), 1, "A pause needs a reason"),
        (("everythng", "--why", "x"), 2, "'everythng' cannot be paused: write everything, machine:<name>"),
        (("rail:", "--why", "x"), 2, "'rail:' cannot be paused"),
        (("machine:errnd", "--why", "x"), 2, "There is no machine 'errnd'; there is errand."),
        (("shard:00", "--why", "x"), 2, "Only Payflow itself closes a shard"),
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
    assert "run `payflow reconcile`" in till.refused("resume", "shard:01")


# --- written down


def test_what_operators_do_stands_in_the_audit_log_and_so_does_what_was_refused_to_them(till: Till) -> None:
    record_id = till.errand("FAILED")
    till.json("pause", "everything", "--why", "the gateway answers nonsense")
    till.json("resume", "everything")
    till.json("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")
    till.refused("resume", "everything")

    async def read(payflow: Payflow) -> list[tuple[str, str, str]]:
        return [(line.act, line.subject, line.why) for line in await payflow.store.audit.page(None, 10)]

    assert till.do(read) == [
        ("refused", "everything", "resume: everything is not paused; paused is: nothing."),
        ("resume", "everything", ""),
        ("override to CANCELLED", record_id, "the bank called"),
        ("resume", "everything", ""),
        ("pause", "everything", "the gateway answers nonsense"),
    ]
