"""What people read: honest, complete, and with amounts as people write them."""

import pytest

from adapters.notify.words import TEMPLATES, money, written
from machines.core.errors import BadInput
from tests.adapters.notify.news import MESSAGES, message


def test_there_are_words_for_all_that_the_machine_says_and_for_nothing_else() -> None:
    assert {body["event"] for body in MESSAGES} == set(TEMPLATES)


@pytest.mark.parametrize("place", range(len(MESSAGES)))
def test_no_message_has_a_blank_left(place: int) -> None:
    subject, text = written(MESSAGES[place])
    assert not set("{}") & set(subject + text)
    assert "None" not in subject + text
    assert not any(line.rstrip().endswith(":") for line in text.splitlines())
    assert len(subject.splitlines()) == 1


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("1250.50", "NGN", "₦1,250.50"),
        ("50000.00", "NGN", "₦50,000.00"),
        ("0.01", "NGN", "₦0.01"),
        ("9999999999999999.99", "NGN", "₦9,999,999,999,999,999.99"),
        ("1250.50", "KES", "KSh 1,250.50"),
        ("0.000000001", "ETH", "ETH 0.000000001"),
        ("1250", "UGX", "UGX 1,250"),
        ("", "NGN", ""),
    ],
)
def test_amounts_are_written_as_people_do(amount: str, currency: str, shown: str) -> None:
    assert money(amount, currency) == shown


def test_a_payout_that_was_paid_names_amount_and_reference() -> None:
    subject, text = written(message("completed"))
    assert subject == "₦1,250.50 was paid to you"
    assert text.splitlines()[:2] == [
        "₦1,250.50 was paid to 044 ••••0031.",
        "Reference: payout-01-abcdefgh23456777-1",
    ]


def test_whose_address_is_to_change_reads_what_counts_until_when_and_what_to_do() -> None:
    _, text = written(message("bounty_address_changed"))
    assert text.splitlines()[1:3] == ["They go to 0xold now.", "From 2026-12-02 on they go to 0xnew."]
    assert "take the change back on that page" in text
    _, text = written(message("bounty_address_changed", coming="", day=""))
    assert "From" not in text


def test_who_bears_the_fee_reads_what_arrives() -> None:
    _, text = written(message("completed", arrives="1223.62"))
    assert "After the fee, ₦1,223.62 arrives." in text


def test_a_payout_that_failed_names_the_reason_and_what_comes_next() -> None:
    _, text = written(message("failed"))
    assert "Reason: the bank did not pay it, and did not say why" in text
    assert "The money is still kept for you." in text
    assert "Next: A person looks into it" in text


def test_a_line_without_anything_to_say_is_left_out() -> None:
    assert "Reason" not in written(message("cancelled"))[1]
    assert "Reason: not needed" in written(message("cancelled", reason="not needed"))[1]


def test_reviewers_read_why_it_waits() -> None:
    subject, text = written(message("review_needed"))
    assert subject == "A payout of ₦1,250.50 waits for you"
    assert "Why it waits: NGN 125050.00 is more than NGN 50000.00" in text


def test_what_came_from_outside_stays_on_its_line() -> None:
    evil = "closed\r\nBcc: thief@example.com\x1b[31m \u202etxt" + "x" * 1000
    subject, text = written(message("failed", reason=evil, destination=evil))
    assert "\n" not in subject
    assert not any(line.startswith("Bcc") for line in text.splitlines())
    assert all(char.isprintable() or char == "\n" for char in text)
    assert len(text) < 3000


def test_news_without_words_is_refused() -> None:
    with pytest.raises(BadInput, match="no words for 'surprise'"):
        written({"event": "surprise"})
