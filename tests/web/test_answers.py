"""What a provider reads about a payout."""

import pytest

from machines.core.ports import Cause
from machines.payout import lifecycle as s
from machines.payout.reasons import NO_ACCOUNT, REASONS
from payflow.web.api import answers
from tests.machines.payout.scenes import payout

JARGON = "DISBURSE FAILED: A fatal error occured"


@pytest.mark.parametrize(
    ("state", "cause", "read"),
    [
        (s.FAILED, Cause.DESTINATION, REASONS[Cause.DESTINATION].text),
        (s.FAILED, "", REASONS[Cause.UNKNOWN].text),
        (s.CANCELLED, Cause.LIMIT, REASONS[Cause.LIMIT].text),
        (s.REJECTED, NO_ACCOUNT, REASONS[NO_ACCOUNT].text),
        (s.REJECTED, "", JARGON),
        (s.APPROVED, Cause.WALLET, ""),
        (s.REQUESTED, "", ""),
    ],
)
def test_a_provider_reads_why_in_plain_words_or_what_a_person_said_and_not_why_our_wallet_makes_it_wait(
    state: str, cause: str, read: str
) -> None:
    assert answers.payout(payout(state, reason=JARGON, cause=cause), None, "ann").reason == read
