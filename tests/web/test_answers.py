"""What a provider reads about a payout."""

import pytest

from machines.payout import lifecycle as s
from payflow.web.api import answers
from tests.machines.payout.scenes import payout


@pytest.mark.parametrize(
    ("state", "read"), [(s.FAILED, "no such account"), (s.REJECTED, "no such account"), (s.APPROVED, "")]
)
def test_a_provider_reads_why_his_payout_failed_and_not_why_our_wallet_makes_it_wait(state: str, read: str) -> None:
    assert answers.payout(payout(state, reason="no such account"), None, "ann").reason == read
