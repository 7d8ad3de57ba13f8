"""The story of a record, told from its events alone."""

from dataclasses import dataclass

import pytest

from machines.core.clock import Millis
from machines.core.ids import Owner, RecordId
from machines.core.money import NGN, Money
from machines.core.record import Record
from payflow.desk.records import stopping, what_next
from payflow.shown import grouped, span, thousands
from payflow.store.codec import HistoryEvent
from payflow.store.listing import Outlook
from payflow.store.pauses import Pause
from payflow.web.pages.admin import story
from tests.errand import LIFECYCLE

NOW = Millis(1_800_000_000_000)


@dataclass(frozen=True, slots=True)
class Data:
    rail: str = "flutterwave"
    sealed: str = "gAAAA"
    send_units: int = 1_234_500
    opens_at: int = NOW
    sent: bool = True
    note: str = "0690000031"
    attempts: tuple[dict[str, object], ...] = ({"reference": "a-1", "sealed": "gAAAA", "fee_units": 1000},)


@dataclass(frozen=True, slots=True)
class Receipt:
    value_wei: str = "1500000000000000000"
    token: str | None = "0xabc"
    account: str = "0690000031"
    receipt: tuple[tuple[str, str], ...] = (("block", "7"), ("gas_price_wei", "1000000000"), ("to", "0690000031"))


def record(**changes: object) -> Record[Data]:
    parts: dict[str, object] = {
        "id": RecordId("errand-00-aaaaaaaaaaaaaaaa"), "machine": "errand", "state": "READY", "version": 2,
        "owner": Owner("ann"), "amount": Money(100, NGN), "data": Data(), "created_at": NOW, "since": NOW,
    }  # fmt: skip
    return Record(**parts | changes)  # type: ignore[arg-type]


def event(version: int, trigger: str, state: str, fact: str = "", **details: object) -> HistoryEvent:
    return HistoryEvent(NOW, version, trigger, state, "worker", "why", fact, details, b"")


def test_what_a_record_keeps_is_told_in_words_and_without_secrets() -> None:
    stored_data = story.stored_data(record())
    told = dict(story.pairs(stored_data))
    assert told == {
        "rail": "flutterwave", "sends": "NGN\N{NO-BREAK SPACE}12,345.00", "opens at": "2027-01-15 08:00:00 UTC",
        "sent": "yes", "note": "***",
    }  # fmt: skip
    assert story.tables(stored_data) == [("attempts", [[("reference", "a-1"), ("fee", "NGN\N{NO-BREAK SPACE}10.00")]])]


def test_events_are_told_newest_first_with_their_evidence_and_a_link_where_one_is_known() -> None:
    proof = {"source": "ethereum", "reference": "0xab/c", "details": [["block", "7"], ["fee_wei", "2100000000"]]}
    events = [event(1, "", "ASKED"), event(2, "approve", "READY"), event(3, "", "READY", "LostSight", evidence=proof)]
    told = story.chapters(events, None, {"ethereum": "https://chain.example/tx/{reference}"})
    assert [(one.what, one.state, one.moved) for one in told] == [
        ("lost sight", "READY", False), ("approve", "READY", True), ("made", "ASKED", True),
    ]  # fmt: skip
    assert told[0].proof == story.ProofShown(
        "ethereum", "0xab/c", "https://chain.example/tx/0xab%2Fc", [("block", "7"), ("fee wei", "2100000000")]
    )
    assert story.chapters(events, None, {})[0].proof.link == ""  # type: ignore[union-attr]
    assert story.went(events) == {("ASKED", "READY")}


@pytest.mark.parametrize(
    ("state", "outlook", "words"),
    [
        (
            "READY",
            Outlook(Millis(NOW + 60_000), leased=False),
            "The next look is at 2027-01-15 08:01:00 UTC, in 1 min.",
        ),
        ("READY", Outlook(Millis(NOW + 5_000), leased=True), "A worker looks at it now"),
        ("READY", Outlook(Millis(NOW - 60_000), leased=False), "A look has been due for 1"),
        ("READY", Outlook(None, leased=False), "Nobody looks any more. 3 looks in a row have failed. Ask for one."),
        ("FAILED", Outlook(None, leased=False), "A person decides: retry → READY, cancel → CANCELLED."),
        ("DONE", Outlook(None, leased=False), "Nothing: its story ends here."),
    ],
)
def test_what_happens_next_is_one_sentence(state: str, outlook: Outlook, words: str) -> None:
    assert what_next(LIFECYCLE, record(state=state, tries=3), outlook, NOW, "Ask for one.").startswith(words)


def test_only_pauses_that_stop_this_record_are_named() -> None:
    scopes = (
        "everything",
        "machine:errand",
        "machine:other",
        "owner:ann",
        "owner:bob",
        "rail:flutterwave",
        "lane:flutterwave",
        "rail:paystack",
        "shard:00",
        "shard:01",
    )
    named = {pause.scope for pause in stopping(record(), [Pause(scope, "otto", "x", NOW) for scope in scopes])}
    assert named == {"everything", "machine:errand", "owner:ann", "rail:flutterwave", "lane:flutterwave", "shard:00"}


def test_amounts_and_spans_are_written_as_people_read_them() -> None:
    assert grouped(Money(123_456_789, NGN)) == "NGN\N{NO-BREAK SPACE}1,234,567.89"
    assert thousands("0.000000001") == "0.000000001"
    assert [span(one) for one in (999, 61_000, 3_600_000)] == ["less than 1 s", "1 min", "1 h"]


def test_what_a_chain_counts_is_told_and_what_looks_like_an_account_number_is_not() -> None:
    stored_data = story.stored_data(record(data=Receipt()))
    assert story.pairs(stored_data) == [
        ("value wei", "1500000000000000000"),
        ("erc20 contract", "0xabc"),
        ("account", "***"),
    ]
    assert story.tables(stored_data) == [
        ("receipt", [[("block", "7"), ("gas price wei", "1000000000"), ("to", "***")]])
    ]
