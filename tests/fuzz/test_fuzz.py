"""A taste of the long run: `python -m tests.fuzz --runs 10000` plays as many as you have time for."""

import asyncio
import os
from pathlib import Path

from tests.fuzz.__main__ import play

RUNS = int(os.environ.get("FUZZ_RUNS", "60"))
FIRST = int(os.environ.get("FUZZ_SEED", "1"))


def test_no_payout_is_paid_twice_or_lost_whatever_fails_and_whoever_dies(tmp_path: Path) -> None:
    tally = asyncio.run(play(range(FIRST, FIRST + RUNS), tmp_path))
    assert tally.faults == []
    assert tally.ends["COMPLETED"]
    assert tally.deaths > RUNS
