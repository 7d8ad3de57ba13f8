"""Back-off grows, is spread, and has an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.core.machine import RetryPolicy

JITTER = st.floats(0, 1)


@given(tries=st.integers(0, 10**9), jitter=JITTER)
def test_a_wait_is_never_longer_than_the_cap_and_never_nothing(tries: int, jitter: float) -> None:
    policy = RetryPolicy(base_s=1, cap_s=300)
    assert 0.5 <= policy.delay_s(tries, jitter) <= 300


@given(tries=st.integers(0, 100))
def test_the_longest_wait_doubles_with_each_try_until_the_cap(tries: int) -> None:
    policy = RetryPolicy(base_s=1, cap_s=300)
    assert policy.delay_s(tries, 1.0) == min(300, 2**tries)


@given(tries=st.integers(0, 100), jitter=JITTER, more=JITTER)
def test_more_jitter_never_waits_less(tries: int, jitter: float, more: float) -> None:
    policy = RetryPolicy()
    low, high = sorted((jitter, more))
    assert policy.delay_s(tries, low) <= policy.delay_s(tries, high)


def test_records_that_failed_together_are_spread_over_the_whole_wait() -> None:
    policy = RetryPolicy(base_s=1, cap_s=300)
    waits = [policy.delay_s(8, jitter / 100) for jitter in range(101)]
    assert min(waits) < 1
    assert max(waits) == 256
    assert sum(1 for wait in waits if wait < 128) == pytest.approx(50, abs=1)
